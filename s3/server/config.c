/* Settings: the table, and reading them from everywhere. */
#include "s3/server/config.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/config_values.h"

#include <assert.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE (1u << 20)
#define FIELD(name) offsetof(struct config, name)

struct setting {
    const char *section, *name;
    config_values_parser *parse;
    size_t field;
    const char *fallback; /* NULL: none */
    const char *right;    /* what would be right, for the line about a wrong one */
    const char *meaning;
    bool required, secret;
};

static const struct setting settings[] = {
    {"server", "listen", config_values_listen, FIELD(listen_address), "127.0.0.1:8470",
     "ADDRESS:PORT or [ADDRESS]:PORT", "where to listen; beyond loopback only with TLS", false, false},
    {"server", "public_url", config_values_url, FIELD(public_url), NULL,
     "the server's URL as users type it, https://HOST", "the server's address as users type it", true, false},
    {"server", "tls_certificate", config_values_readable, FIELD(tls_certificate), NULL, "a PEM file that can be read",
     "certificate chain, PEM; without one a reverse proxy stands in front, on this machine", false, false},
    {"server", "tls_key", config_values_readable, FIELD(tls_key), NULL, "a PEM file that can be read",
     "the certificate's key, PEM", false, false},
    {"server", "database", config_values_path, FIELD(database), "/var/lib/pail/accounts.db", "a file name",
     "accounts (SQLite)", false, false},
    {"server", "connections", config_values_connections, FIELD(connections), "1000", "a number from 10 to 100000",
     "most connections at once", false, false},
    {"server", "connections_per_address", config_values_limit, FIELD(connections_per_address), "100",
     "a number up to 1000000, 0 for no limit", "most connections of one address (IPv6: of one /64), proxies aside",
     false, false},
    {"server", "idle_s", config_values_patience, FIELD(idle_s), "75", "seconds from 1 to 3600",
     "a connection without a request is closed after this time, sooner when few are left", false, false},
    {"server", "request_s", config_values_patience, FIELD(request_s), "30", "seconds from 1 to 3600",
     "a request has to be there within this time, and more by its size", false, false},
    {"server", "requests_per_account", config_values_limit, FIELD(requests_per_account), "1000",
     "a number up to 1000000, 0 for no limit", "requests of one account a second; ten times that at once", false,
     false},
    {"server", "grants_per_account", config_values_limit, FIELD(grants_per_account), "10000",
     "a number up to 1000000, 0 for no limit", "URLs for one account a second; ten times that at once", false, false},
    {"server", "requests_per_address", config_values_limit, FIELD(requests_per_address), "100",
     "a number up to 1000000, 0 for no limit",
     "requests of one address a second that bring no token known to be good; ten times that at once", false, false},
    {"server", "failures_per_address", config_values_limit, FIELD(failures_per_address), "120",
     "a number up to 1000000, 0 for no limit", "bad tokens of one address a minute, before new ones are looked at",
     false, false},
    {"server", "trusted_proxies", config_values_networks, FIELD(trusted_proxies), "127.0.0.1 ::1",
     "addresses and networks (10.0.0.0/8) separated by spaces", "whose X-Forwarded-For is believed", false, false},
    {"server", "metrics_from", config_values_addresses, FIELD(metrics_from), "127.0.0.1 ::1",
     "numeric addresses separated by spaces", "who may read /metrics, asking directly; empty: nobody", false, false},
    {"server", "log", config_values_log, FIELD(log), "info", "debug, info, warning or error",
     "least level that is logged", false, false},
    {"server", "log_format", config_values_log_format, FIELD(log_format), "text", "text or json", "form of the log",
     false, false},

    {"login", "issuer", config_values_issuer, FIELD(issuer), NULL, "the issuer's URL, exactly as it names itself",
     "login provider, exactly as it names itself (Auth0: https://TENANT.auth0.com/)", true, false},
    {"login", "audience", config_values_text, FIELD(audience), NULL, "the API identifier, best the public_url itself",
     "what access tokens must be meant for (Auth0: the API identifier)", true, false},
    {"login", "client_id", config_values_text, FIELD(client_id), NULL, "the client id of the native application",
     "the application that people log in with", true, false},
    {"login", "allowed_clients", config_values_list, FIELD(allowed_clients), "", "client ids separated by spaces",
     "further clients whose tokens are taken", false, false},
    {"login", "scopes", config_values_list, FIELD(scopes), "openid email offline_access", "scopes separated by spaces",
     "what the login asks for", false, false},
    {"login", "loopback_ports", config_values_ports, FIELD(loopback_ports), "47831 47832 47833",
     "ports from 1024 to 65535 separated by spaces",
     "ports of http://127.0.0.1:PORT/callback, as the provider knows them", false, false},
    {"login", "email_claims", config_values_list, FIELD(email_claims), "email", "claim names separated by spaces",
     "claims that hold the email, the first one there is taken; CLAIM_verified stands beside it", false, false},
    {"login", "identity", config_values_identity, FIELD(identity), "subject", "subject or email",
     "email: a second subject of this issuer with the same verified email is the same person", false, false},
    {"login", "login_ca_file", config_values_readable, FIELD(login_ca_file), NULL, "a PEM file that can be read",
     "private authority of the login provider", false, false},

    {"store", "endpoint", config_values_origin, FIELD(endpoint), NULL, "https://HOST[:PORT] without a path",
     "the S3 server", true, false},
    {"store", "public_endpoint", config_values_origin, FIELD(public_endpoint), NULL,
     "https://HOST[:PORT] without a path", "the S3 server as clients reach it; default: endpoint", false, false},
    {"store", "region", config_values_region, FIELD(region), "us-east-1", "a region such as eu-central-1",
     "region of the buckets", false, false},
    {"store", "style", config_values_style, FIELD(style), "path", "path or virtual",
     "virtual: the bucket stands in the host name (AWS)", false, false},
    {"store", "store_ca_file", config_values_readable, FIELD(store_ca_file), NULL, "a PEM file that can be read",
     "private authority of the S3 server", false, false},
    {"store", "credentials", config_values_credentials, FIELD(credentials), "auto",
     "auto, settings, environment, profile, container or instance", "where the storage keys come from", false, false},
    {"store", "profile", config_values_text, FIELD(profile), "default", "a section of ~/.aws/credentials",
     "section of ~/.aws/credentials", false, false},
    {"store", "access_key_id", config_values_text, FIELD(access_key_id), NULL, "an access key id",
     "storage key, when it stands in the settings", false, false},
    {"store", "secret_access_key", config_values_text, FIELD(secret_access_key), NULL, "a secret access key",
     "its secret; not taken from the command line", false, true},
    {"store", "role_arn", config_values_role, FIELD(role_arn), NULL, "arn:PARTITION:iam::ACCOUNT:role/NAME",
     "role that grants are signed with, narrowed to one account's bucket; Ceph needs it", false, false},
    {"store", "sts_endpoint", config_values_origin, FIELD(sts_endpoint), NULL, "https://HOST[:PORT] without a path",
     "where AssumeRole is asked; default: endpoint (AWS: https://sts.REGION.amazonaws.com)", false, false},
    {"store", "offer_credentials", config_values_yes, FIELD(offer_credentials), "no", "yes or no",
     "lend clients temporary keys of role_arn, narrowed to their bucket (pail mount --mode=credentials)", false, false},
    {"store", "bucket_prefix", config_values_bucket_prefix, FIELD(bucket_prefix), "pail",
     "3 to 36 of a-z, 0-9 and -, beginning with a letter or digit", "what bucket names begin with", false, false},
    {"store", "layout", config_values_layout, FIELD(layout), "bucket", "bucket or prefix",
     "what a new account gets: a bucket of its own, or a prefix of one bucket that all share", false, false},
    {"store", "shared_bucket", config_values_bucket, FIELD(shared_bucket), NULL,
     "a bucket's name: 3 to 63 of a-z, 0-9, - and .", "that one bucket; default: a name made from bucket_prefix", false,
     false},
    {"store", "keep_versions_d", config_values_days, FIELD(keep_versions_d), "30", "days from 0 to 36500",
     "older versions of files are kept this long; 0: no versions", false, false},
    {"store", "grant_life_s", config_values_grant_life, FIELD(grant_life_s), "900", "seconds from 60 to 43200",
     "how long a grant is good", false, false},
    {"store", "quota", config_values_size, FIELD(quota), "0", "bytes, or a size such as 10 GiB; 0 for none",
     "how much a new account may hold; pail users quota changes that of one; 0: no limit", false, false},
};
#define SETTINGS (sizeof settings / sizeof *settings)
static_assert(SETTINGS <= 64, "config_problems.refused has a bit for each");

/* Problems. */

void config_problems_finish(struct config_problems *problems) {
    buffer_finish(&problems->lines);
    problems->errors = problems->warnings = 0;
    problems->refused = 0;
}

static int problem(struct config_problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int problem(struct config_problems *problems, const char *format, ...) {
    char line[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    problems->errors++;
    return buffer_append_format(&problems->lines, "%s\n", line);
}

static int doubt(struct config_problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int doubt(struct config_problems *problems, const char *format, ...) {
    char line[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    problems->warnings++;
    return buffer_append_format(&problems->lines, "warning: %s\n", line);
}

/* One setting. */

static const struct setting *find_setting(const char *name) {
    for (size_t i = 0; i < SETTINGS; i++)
        if (!strcmp(settings[i].name, name))
            return &settings[i];
    return NULL;
}

static size_t distance(const char *a, const char *b) {
    size_t row[64], b_size = strlen(b);
    if (b_size >= 63)
        return 99;
    for (size_t i = 0; i <= b_size; i++)
        row[i] = i;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]), step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[b_size];
}

static const char *nearest_name(const char *name) {
    const char *best = NULL;
    size_t least = 4;
    for (size_t i = 0; i < SETTINGS; i++) {
        size_t each = distance(name, settings[i].name);
        if (each < least) {
            least = each;
            best = settings[i].name;
        }
    }
    return best;
}

static int unknown(const char *name, const char *value, const char *where, struct config_problems *problems) {
    const char *near = nearest_name(name);
    if (near)
        return problem(problems, "%s: %s = \"%.100s\": there is no such setting; did you mean %s?", where, name, value,
                       near);
    return problem(problems, "%s: %s = \"%.100s\": there is no such setting; pail-server --help lists them", where,
                   name, value);
}

static int set(struct config *config, const struct setting *setting, const char *value, const char *where,
               struct config_problems *problems) {
    int error = setting->parse((char *)config + setting->field, config, value);
    if (error != -EINVAL)
        return error;
    problems->refused |= UINT64_C(1) << (setting - settings);
    return problem(problems, "%s: %s = \"%.200s\" is wrong: write %s", where, setting->name,
                   setting->secret ? "..." : value, setting->right);
}

int config_set(struct config *config, const char *name, const char *value, const char *where,
               struct config_problems *problems) {
    const struct setting *setting = find_setting(name);
    return setting ? set(config, setting, value, where, problems) : unknown(name, value, where, problems);
}

int config_init(struct config *config) {
    *config = (struct config){0};
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *setting = &settings[i];
        if (!setting->fallback)
            continue;
        int error = setting->parse((char *)config + setting->field, config, setting->fallback);
        if (error) {
            config_finish(config);
            return error;
        }
    }
    return 0;
}

static void finish_list(struct config_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

void config_finish(struct config *config) {
    char *texts[] = {
        config->listen_address,  config->public_url,    config->tls_certificate, config->tls_key,
        config->database,        config->log,           config->log_format,      config->issuer,
        config->audience,        config->client_id,     config->login_ca_file,   config->endpoint,
        config->public_endpoint, config->region,        config->store_ca_file,   config->credentials,
        config->profile,         config->access_key_id, config->role_arn,        config->sts_endpoint,
        config->bucket_prefix,   config->shared_bucket,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    secret_free(config->secret_access_key);
    free(config->trusted_proxies.items);
    finish_list(&config->metrics_from);
    finish_list(&config->allowed_clients);
    finish_list(&config->scopes);
    finish_list(&config->email_claims);
    finish_list(&config->loopback_ports);
    *config = (struct config){0};
}

/* The file. */

struct reading {
    struct config *config;
    struct config_problems *problems;
    const char *path;
    bool seen[SETTINGS];
    bool secret;
    int error;
};

static int take_pair(void *context, const char *section, const char *name, const char *value) {
    struct reading *reading = context;
    const struct setting *setting = find_setting(name);
    AUTO_FREE char *where = text_format("%s: [%s]", reading->path, section);
    if (!where)
        reading->error = -ENOMEM;
    else if (!setting)
        reading->error = unknown(name, value, where, reading->problems);
    else if (strcmp(setting->section, section) != 0)
        reading->error =
            problem(reading->problems, "%s %s = \"%.100s\" stands in the wrong section: write it below [%s]", where,
                    name, setting->secret ? "..." : value, setting->section);
    else if (reading->seen[setting - settings])
        reading->error = problem(reading->problems, "%s %s = \"%.100s\" is set twice: write it once, on one line",
                                 where, name, setting->secret ? "..." : value);
    else
        reading->error = set(reading->config, setting, value, where, reading->problems);
    if (setting) {
        reading->seen[setting - settings] = true;
        reading->secret |= setting->secret;
    }
    return reading->error ? 0 : 1;
}

/* The INI reader cuts longer lines silently. */
static int check_lines(const char *path, const char *text, struct config_problems *problems) {
    unsigned number = 1;
    for (const char *line = text; *line; number++) {
        size_t size = strcspn(line, "\n");
        if (size > 190)
            return problem(problems, "%s:%u: the line is longer than 190 bytes: shorten it, or use a PAIL_ variable",
                           path, number);
        line += size + (line[size] == '\n');
    }
    return 0;
}

int config_read_file(struct config *config, const char *path, struct config_problems *problems) {
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    struct stat status = {0};
    int error = file_read(path, MAX_FILE, &text, &size);
    if (error)
        return problem(problems, "--config = \"%s\" cannot be read (%s): name an INI file", path, error_text(error));
    error = check_lines(path, text, problems);
    struct reading reading = {.config = config, .problems = problems, .path = path};
    int line = ini_parse_string(text, take_pair, &reading);
    if (error || reading.error)
        return error ? error : reading.error;
    if (line > 0)
        return problem(problems, "%s:%d: this is neither [section], name = value nor a comment", path, line);
    if (reading.secret && !stat(path, &status) && (status.st_mode & 07))
        return problem(problems, "%s: secret_access_key stands in a file that everybody can read: chmod o= %s", path,
                       path);
    return 0;
}

/* The environment and the flags. */

/* "--public-url" and "PAIL_PUBLIC_URL" are public_url. */
static char *name_of(const char *text, size_t size) {
    char *name = strndup(text, size);
    for (char *each = name; each && *each; each++)
        if (*each == '-')
            *each = '_';
    if (name)
        text_lower_ascii(name);
    return name;
}

int config_read_environment(struct config *config, char *const *environment, struct config_problems *problems) {
    for (char *const *each = environment; *each; each++) {
        const char *value = strchr(*each, '=');
        if (!text_starts(*each, "PAIL_") || !value)
            continue;
        AUTO_FREE char *name = name_of(*each + 5, (size_t)(value - *each - 5));
        AUTO_FREE char *where = strndup(*each, (size_t)(value - *each));
        if (!name || !where)
            return -ENOMEM;
        const struct setting *setting = find_setting(name);
        /* other programs may have variables of that name; but not one that is nearly a setting */
        int error = setting ? set(config, setting, value + 1, where, problems)
                    : nearest_name(name)
                        ? doubt(problems, "%s is no setting; did you mean %s?", where, nearest_name(name))
                        : 0;
        if (error)
            return error;
    }
    return 0;
}

static int take_flag(struct config *config, const char *flag, const char *next, bool *used_next,
                     struct config_problems *problems) {
    const char *equals = strchr(flag, '=');
    AUTO_FREE char *name = name_of(flag + 2, equals ? (size_t)(equals - flag - 2) : strlen(flag) - 2);
    if (!name)
        return -ENOMEM;
    const struct setting *setting = find_setting(name);
    if (!setting)
        return -ENOENT;
    *used_next = !equals;
    if (setting->secret)
        return problem(problems, "%.40s: everybody can read command lines: write it into the file, or use PAIL_%s",
                       name, "SECRET_ACCESS_KEY");
    if (!equals && !next)
        return problem(problems, "%s: the value is missing: write %s", flag, setting->right);
    return set(config, setting, equals ? equals + 1 : next, "command line", problems);
}

int config_read_flags(struct config *config, int count, char **arguments, int *left, struct config_problems *problems) {
    *left = 0;
    for (int i = 0; i < count; i++) {
        bool used_next = false;
        int error = -ENOENT;
        if (text_starts(arguments[i], "--"))
            error = take_flag(config, arguments[i], i + 1 < count ? arguments[i + 1] : NULL, &used_next, problems);
        if (error == -ENOENT)
            arguments[(*left)++] = arguments[i];
        else if (error)
            return error;
        i += used_next;
    }
    return 0;
}

/* All of them together. */

static const char *text_value(const struct config *config, const struct setting *setting) {
    return *(char *const *)((const char *)config + setting->field);
}

static int check_required(const struct config *config, struct config_problems *problems) {
    int error = 0;
    for (size_t i = 0; i < SETTINGS && !error; i++)
        if (settings[i].required && !text_value(config, &settings[i]) && !(problems->refused >> i & 1))
            error = problem(problems, "[%s] %s = \"\" is missing: write %s", settings[i].section, settings[i].name,
                            settings[i].right);
    return error;
}

static int check_tls(const struct config *config, struct config_problems *problems) {
    if (!config->tls_certificate != !config->tls_key)
        return problem(problems, "[server] %s = \"\" is missing: certificate and key go together",
                       config->tls_key ? "tls_certificate" : "tls_key");
    if (!config->tls_certificate && config->listen_address && !config_address_is_loopback(config->listen_address))
        return problem(problems,
                       "[server] listen = \"%s:%u\" is reachable from outside without TLS: set tls_certificate and "
                       "tls_key, or listen on 127.0.0.1 behind a reverse proxy",
                       config->listen_address, config->listen_port);
    return 0;
}

static int check_credentials(const struct config *config, struct config_problems *problems) {
    bool settings_wanted = text_equal(config->credentials, "settings");
    if (!config->access_key_id != !config->secret_access_key)
        return problem(problems, "[store] %s = \"\" is missing: access_key_id and secret_access_key go together",
                       config->access_key_id ? "secret_access_key" : "access_key_id");
    if (settings_wanted && !config->access_key_id)
        return problem(problems, "[store] credentials = \"settings\" needs access_key_id and secret_access_key");
    if (config->offer_credentials && !config->role_arn)
        return problem(problems, "[store] offer_credentials = \"yes\" needs role_arn: the role whose keys are lent");
    return 0;
}

/* The client compares these by origin, and sends its token nowhere else (login.md). */
static int check_audience(const struct config *config, struct config_problems *problems) {
    if (!config->audience || !config->public_url)
        return 0;
    size_t size = strlen(config->public_url);
    const char *rest = config->audience + size;
    if (text_starts(config->audience, config->public_url) && (!*rest || *rest == '/'))
        return 0;
    return doubt(problems,
                 "[login] audience = \"%s\" is not below public_url \"%s\": clients refuse to log in unless they are "
                 "started with --audience",
                 config->audience, config->public_url);
}

static int check_layout(const struct config *config, struct config_problems *problems) {
    if (!config->shared_bucket || config->layout == CONFIG_SHARED)
        return 0;
    return doubt(problems, "[store] shared_bucket = \"%s\" is for layout = prefix, and layout is bucket: not used",
                 config->shared_bucket);
}

int config_check(const struct config *config, struct config_problems *problems) {
    int error = check_required(config, problems);
    if (!error)
        error = check_layout(config, problems);
    if (!error)
        error = check_tls(config, problems);
    if (!error)
        error = check_credentials(config, problems);
    return error ? error : check_audience(config, problems);
}

const char *config_public_endpoint(const struct config *config) {
    return config->public_endpoint ? config->public_endpoint : config->endpoint;
}

char *config_help(void) {
    AUTO_BUFFER struct buffer help = {0};
    const char *section = "";
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *setting = &settings[i];
        if (strcmp(section, setting->section) != 0)
            buffer_append_format(&help, "  [%s]\n", setting->section);
        section = setting->section;
        buffer_append_format(&help, "  %-18s %s%s%s%s\n", setting->name, setting->meaning,
                             setting->fallback && *setting->fallback ? " (" : "",
                             setting->fallback   ? setting->fallback
                             : setting->required ? " (required)"
                                                 : "",
                             setting->fallback && *setting->fallback ? ")" : "");
    }
    return buffer_take(&help);
}
