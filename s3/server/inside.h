/* What the parts of the mapping server share. Private to s3/server. */
#pragma once

#include "auth/fetch.h"
#include "auth/verify.h"
#include "s3/server/credentials.h"
#include "s3/server/http.h"
#include "s3/server/limits.h"
#include "s3/server/metrics.h"
#include "s3/server/proof.h"
#include "s3/server/provision.h"
#include "s3/server/quota.h"
#include "s3/server/remote.h"
#include "s3/server/role.h"
#include "s3/server/shared.h"
#include "s3/server/tokens.h"
#include "s3/server/users.h"

#include <pthread.h>
#include <stdbool.h>

#define SERVER_ASKING 64 /* persons whose email is being asked for at once */

struct server {
    const struct config *config; /* borrowed */
    struct fetch *fetch;         /* owned, as all below */
    struct verify *verify;
    struct users *users;
    struct transfer *transfer;
    struct credentials *credentials;
    struct sign_cache *signing;
    struct remote remote;
    struct role *role;    /* NULL without a role in the settings */
    struct role *lending; /* NULL unless the settings offer credentials */
    struct shared shared; /* with layout = prefix: constant once requests are served */
    struct tokens *tokens;
    struct provision *provision;
    struct quota *quota;
    struct metrics *metrics;
    struct limits *limits;
    struct http_server *http;
    _Atomic int64_t told_limit_ms; /* when the log last said that somebody is held back */
    atomic_bool ended;             /* nobody waits for the store any more */
    char *configuration[2];        /* the answer to WIRE_PATH_CONFIGURATION, without and with credentials mode */

    pthread_t keeper; /* proves the store again each day */
    bool keeping;
    pthread_mutex_t lock;
    pthread_cond_t ending_soon;
    bool ending;                    /* under lock, as all below */
    bool is_proven[2];              /* by versioning */
    struct proof proofs[2];         /* by versioning */
    uint64_t asking[SERVER_ASKING]; /* hashes of subjects; 0: free */
};

/* -EAGAIN when it is not proven now. */
int server_proof(struct server *server, bool versioned, struct proof *out);
/* Whether new accounts are offered credentials mode: it is in the settings, and proven to be safe. */
bool server_lends(struct server *server);

struct provision_options server_provision_tools(struct server *server);

/* On the keeper's thread, every half a minute. The first asks the store something small, so that its state is known
 * though nobody logs in; the second looks at every bucket once a day (look.h). */
void rounds_ask(struct server *server);
void rounds_look(struct server *server);

/* Handlers of requests, each on a worker thread or, as said, on an event thread. Each answers. */
void session_handle(struct server *server, struct http_request *request);
void batch_handle(struct server *server, struct http_request *request);
void lending_handle(struct server *server, struct http_request *request);
void health_handle(struct server *server, struct http_request *request);
void ready_handle(struct server *server, struct http_request *request);
void metrics_handle(struct server *server, struct http_request *request);
extern const struct http_handler routes_handler; /* without its context */
int routes_make_configuration(const struct config *config, bool lends, char **out);
