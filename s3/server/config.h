/* The server's settings: one table, read from an INI file, PAIL_* variables and flags, in that order, the later ones
 * winning. Every wrong setting becomes one line that names it, its value and what would be right. Not thread-safe while
 * it is filled; constant afterwards. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_list {
    char **items; /* owned */
    size_t count;
};

struct peer_network;
struct config_networks {
    struct peer_network *items; /* owned */
    size_t count;
};

enum config_style { CONFIG_PATH, CONFIG_VIRTUAL };
enum config_identity { CONFIG_SUBJECT, CONFIG_EMAIL };
enum config_layout { CONFIG_BUCKETS, CONFIG_SHARED };

/* All texts are owned; NULL where a setting has no value and needs none. */
struct config {
    /* [server] */
    char *listen_address;            /* numeric */
    uint16_t listen_port;            /* 0: a free one */
    char *public_url;                /* without a slash at the end */
    char *tls_certificate, *tls_key; /* paths */
    char *database;
    int64_t connections, connections_per_address;
    int64_t idle_s, request_s;
    int64_t requests_per_account, grants_per_account; /* each second; 0: no limit, as all below */
    int64_t requests_per_address;                     /* each second */
    int64_t failures_per_address;                     /* each minute */
    struct config_networks trusted_proxies;
    struct config_list metrics_from; /* numeric addresses */
    char *log, *log_format;
    /* [login] */
    char *issuer, *audience, *client_id, *login_ca_file;
    struct config_list allowed_clients; /* besides client_id */
    struct config_list scopes, email_claims, loopback_ports;
    int64_t identity; /* enum config_identity */
    /* [store] */
    char *endpoint, *public_endpoint; /* origins, without a slash at the end */
    char *region, *store_ca_file;
    int64_t style; /* enum config_style */
    char *credentials, *profile, *access_key_id, *secret_access_key;
    char *role_arn, *sts_endpoint;
    int64_t offer_credentials; /* 0 or 1 */
    char *bucket_prefix;
    int64_t layout;          /* enum config_layout */
    char *shared_bucket;     /* NULL: made from bucket_prefix */
    int64_t keep_versions_d; /* days; 0: no versions */
    int64_t grant_life_s;
    int64_t quota; /* bytes, of new accounts; 0: none */
};

/* Lines, one for each wrong setting, and one for each that is only doubtful. */
struct config_problems {
    struct buffer lines;
    unsigned errors, warnings;
    uint64_t refused; /* a bit for each setting whose value was wrong: it is not missing as well */
};
void config_problems_finish(struct config_problems *problems);

/* With every default set. 0 or -ENOMEM. */
int config_init(struct config *config);
void config_finish(struct config *config);

/* Sets one by its name ("endpoint"). where says where it came from ("--endpoint", "server.ini:12"), for the line.
 * Trouble goes into problems; 0 or -ENOMEM. */
int config_set(struct config *config, const char *name, const char *value, const char *where,
               struct config_problems *problems);
int config_read_file(struct config *config, const char *path, struct config_problems *problems);
int config_read_environment(struct config *config, char *const *environment, struct config_problems *problems);
/* Takes --name VALUE and --name=VALUE out of the arguments; *left counts those that are no settings, which stay, in
 * order, in front. */
int config_read_flags(struct config *config, int count, char **arguments, int *left, struct config_problems *problems);
/* What one setting alone cannot tell: what is missing, what does not go together. */
int config_check(const struct config *config, struct config_problems *problems);

/* Every setting with its section, default and meaning: for --help, and for the man page's test. Owned by the caller. */
char *config_help(void);
bool config_address_is_loopback(const char *address);
/* The S3 server as clients reach it. */
const char *config_public_endpoint(const struct config *config);
