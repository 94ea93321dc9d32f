/* An S3-compatible store on a local folder: who may ask, the way of a request, and the life of the store. */
#include "s3/embedded/local_store.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/embedded/lifecycle.h"
#include "s3/embedded/port.h"
#include "s3/embedded/serve.h"
#include "s3/sign.h"

#include <pthread.h>
#include <stdio.h>

#define MOST_XML (8u << 20)
#define GRACE_MS 10000
#define LIFECYCLE_S 3600

struct local_store {
    char *access_key, *secret_key, *region; /* owned */
    char host[32];                          /* what the Host header must say */
    int lock;                               /* fd that holds the folder, or -1 */
    struct catalog *catalog;
    struct blobs *blobs;
    struct sign_cache *signing;
    struct http_server *server;
    pthread_t keeper; /* sweeps and runs the lifecycle */
    bool keeping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool closing; /* by mutex */
};

static int problem_of(int verdict) {
    static const int problems[] = {
        [SIGN_MISSING] = PROBLEM_ACCESS_DENIED,
        [SIGN_MALFORMED] = PROBLEM_MALFORMED_AUTHORIZATION,
        [SIGN_UNKNOWN_KEY] = PROBLEM_INVALID_ACCESS_KEY,
        [SIGN_MISMATCH] = PROBLEM_SIGNATURE,
        [SIGN_EXPIRED] = PROBLEM_EXPIRED,
        [SIGN_SKEWED] = PROBLEM_SKEWED,
        [SIGN_UNSIGNED_HEADER] = PROBLEM_UNSIGNED_HEADER,
    };
    return verdict <= 0 ? verdict : problems[verdict];
}

static int check_signature(struct local_store *store, struct visit *visit) {
    const struct http_request *request = visit->request;
    AUTO_FREE struct sign_pair *headers = calloc(request->header_count + 1, sizeof *headers);
    if (!headers)
        return -ENOMEM;
    for (size_t i = 0; i < request->header_count; i++)
        headers[i] = (struct sign_pair){request->headers[i].name, request->headers[i].value};
    struct sign_credentials credentials = {
        .access_key = store->access_key, .secret_key = store->secret_key, .region = store->region, .service = "s3"};
    struct sign_incoming incoming = {.method = request->method,
                                     .raw_path = request->raw_path,
                                     .raw_query = request->raw_query,
                                     .headers = headers,
                                     .header_count = request->header_count,
                                     .now_s = clock_realtime_s()};
    return problem_of(sign_check(&credentials, store->signing, &incoming, &visit->checked));
}

/* A web page that reaches us by a name of its own, or a browser at all, gets nothing. */
static int check_host(const struct local_store *store, const struct http_request *request) {
    const char *host = http_header(request, "host");
    return host && strcmp(host, store->host) == 0 ? 0 : PROBLEM_WRONG_HOST;
}

static int take_piece(void *context, struct http_request *request, const void *data, size_t size) {
    (void)context;
    struct visit *visit = request->own;
    return intake_add(visit->intake, data, size);
}

static int prepare_body(struct visit *visit) {
    bool object = visit->route->body == VISIT_OBJECT;
    if (visit->route->body == VISIT_NONE)
        return 0;
    int r = intake_create(&visit->intake, visit->request, &visit->checked, object ? visit->blobs : NULL);
    if (r)
        return r;
    if (object)
        http_stream(visit->request, take_piece);
    else
        http_collect(visit->request, MOST_XML);
    return 0;
}

static void begin(void *context, struct http_request *request) {
    struct local_store *store = context;
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        http_answer(request, &(struct http_answer){.status = 503, .kind = HTTP_BYTES, .close = true});
        return;
    }
    request->own = visit;
    visit->catalog = store->catalog;
    visit->blobs = store->blobs;
    visit->region = store->region;
    int r = visit_init(visit, request);
    if (!r)
        r = check_host(store, request);
    if (!r)
        r = check_signature(store, visit);
    if (!r)
        r = serve_find_route(visit);
    if (!r)
        r = prepare_body(visit);
    if (r)
        answer_problem(visit, r);
}

/* The collected XML is what its headers said of it. */
static int check_collected(struct visit *visit) {
    const struct http_request *request = visit->request;
    if (visit->route->body != VISIT_XML)
        return 0;
    int r = intake_add(visit->intake, request->body ? request->body : "", request->body_size);
    return r ? r : intake_finish(visit->intake);
}

static void complete(void *context, struct http_request *request) {
    (void)context;
    struct visit *visit = request->own;
    int r = request->body_error;
    if (r == -EFBIG)
        r = PROBLEM_MALFORMED_XML;
    if (!r)
        r = check_collected(visit);
    if (r)
        answer_problem(visit, r);
    else
        visit->route->run(visit);
}

static void end(void *context, struct http_request *request) {
    (void)context;
    struct visit *visit = request->own;
    if (visit)
        visit_finish(visit);
    free(visit);
}

static int is_known(struct catalog_session *session, void *context) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT 1 FROM blob WHERE name = ?");
    catalog_bind_text(&query, 1, context);
    return catalog_step(&query);
}

static int known(void *context, const char *name) {
    struct local_store *store = context;
    return catalog_read(store->catalog, is_known, (void *)name);
}

static bool wait_for_next(struct local_store *store) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LIFECYCLE_S;
    pthread_mutex_lock(&store->mutex);
    int r = 0;
    while (!store->closing && r == 0)
        r = pthread_cond_timedwait(&store->wake, &store->mutex, &until);
    bool closing = store->closing;
    pthread_mutex_unlock(&store->mutex);
    return !closing;
}

static void *keeper_main(void *context) {
    struct local_store *store = context;
    int r = blobs_sweep(store->blobs, known, store);
    if (r)
        log_warning("store: files of an earlier run could not be looked through: %s", error_text(r));
    do {
        r = lifecycle_run(store->catalog, store->blobs, clock_realtime_ns() / 1000000);
        if (r)
            log_warning("store: the lifecycle could not be followed: %s", error_text(r));
    } while (wait_for_next(store));
    return NULL;
}

static int start_keeper(struct local_store *store) {
    pthread_mutex_init(&store->mutex, NULL);
    clock_cond_init(&store->wake);
    int r = -pthread_create(&store->keeper, NULL, keeper_main, store);
    store->keeping = !r;
    return r;
}

static int open_folder(struct local_store *store, const char *folder, struct fault *fault) {
    AUTO_FREE char *lock = text_format("%s/lock", folder), *index = text_format("%s/index.db", folder);
    if (!lock || !index)
        return fault_set(fault, -ENOMEM, "no memory");
    int r = file_make_folders(folder, 0700);
    if (r)
        return fault_set(fault, r, "%s cannot be made: %s", folder, error_text(r));
    store->lock = file_lock(lock, 0);
    if (store->lock < 0)
        return fault_set(fault, store->lock, "%s is in use by another pail-server", folder);
    r = catalog_open(&store->catalog, index, fault);
    return r ? r : blobs_open(&store->blobs, folder, fault);
}

/* The host is set before the first request can come: so a free port is looked for first, and tried. */
static int start_server(struct local_store *store, uint16_t port, struct fault *fault) {
    int r = -EADDRINUSE;
    for (int tries = 0; r == -EADDRINUSE && tries < (port ? 1 : 10); tries++) {
        uint16_t number = port;
        r = port ? 0 : port_find(&number);
        if (r)
            return fault_set(fault, r, "no port is free: %s", error_text(r));
        snprintf(store->host, sizeof store->host, "127.0.0.1:%u", number);
        struct http_options options = {
            .port = number,
            .worker_threads = 32,
            .handler = {.begin = begin, .complete = complete, .end = end, .context = store},
        };
        r = http_server_create(&store->server, &options, fault);
    }
    return r;
}

DEFINE_CLEANUP(struct local_store *, local_store_destroy)

int local_store_create(struct local_store **out, const struct local_store_options *options, struct fault *fault) {
    CLEANUP(local_store_destroy_p) struct local_store *store = calloc(1, sizeof *store);
    if (!store)
        return fault_set(fault, -ENOMEM, "no memory");
    store->lock = -1;
    store->access_key = strdup(options->access_key);
    store->secret_key = strdup(options->secret_key);
    store->region = strdup(options->region);
    if (!store->access_key || !store->secret_key || !store->region)
        return fault_set(fault, -ENOMEM, "no memory");
    int r = sign_cache_create(&store->signing);
    if (r)
        return fault_set(fault, r, "no SHA-256: %s", error_text(r));
    r = open_folder(store, options->folder, fault);
    if (!r)
        r = start_keeper(store);
    if (!r)
        r = start_server(store, options->port, fault);
    if (!r)
        *out = TAKE(store);
    return r;
}

uint16_t local_store_port(const struct local_store *store) {
    return http_server_port(store->server);
}

static void stop_keeper(struct local_store *store) {
    pthread_mutex_lock(&store->mutex);
    store->closing = true;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->mutex);
    pthread_join(store->keeper, NULL);
    pthread_cond_destroy(&store->wake);
    pthread_mutex_destroy(&store->mutex);
}

void local_store_destroy(struct local_store *store) {
    if (!store)
        return;
    if (store->server)
        http_server_drain(store->server, GRACE_MS);
    http_server_destroy(store->server);
    if (store->keeping)
        stop_keeper(store);
    catalog_close(store->catalog);
    blobs_close(store->blobs);
    sign_cache_destroy(store->signing);
    cleanup_close(&store->lock);
    secret_free(store->secret_key);
    free(store->access_key);
    free(store->region);
    free(store);
}
