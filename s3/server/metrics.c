/* Counting, and writing it down for Prometheus. */
#include "s3/server/metrics.h"

#include "base/clock.h"
#include "s3/wire.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const paths[METRICS_PATHS] = {"session", "grants", "other"};
static const int statuses[] = {200, 201, 401, 403, 404, 405, 413, 422, 429, 500, 503, 507, 0};
static const int64_t limits_ms[] = {1, 5, 20, 100, 500, 2000, 10000};
static const char *const limits[] = {"0.001", "0.005", "0.02", "0.1", "0.5", "2", "10", "+Inf"};
static const char *const operations[] = {WIRE_OP_GET,    WIRE_OP_HEAD,       WIRE_OP_PUT,       WIRE_OP_COPY,
                                         WIRE_OP_CREATE, WIRE_OP_PART,       WIRE_OP_PART_COPY, WIRE_OP_COMPLETE,
                                         WIRE_OP_ABORT,  WIRE_OP_LIST_PARTS, WIRE_OP_LIST,      WIRE_OP_LIST_VERSIONS,
                                         WIRE_OP_DELETE, WIRE_OP_DELETE_MANY};
static const char *const codes[] = {WIRE_ERROR_TOKEN,         WIRE_ERROR_DENIED,      WIRE_ERROR_NOT_FOUND,
                                    WIRE_ERROR_TOO_LARGE,     WIRE_ERROR_BAD_ITEM,    WIRE_ERROR_BUSY,
                                    WIRE_ERROR_UNAVAILABLE,   WIRE_ERROR_QUOTA,       WIRE_ERROR_AGAIN,
                                    METRICS_LIMITED_ACCOUNT,  METRICS_LIMITED_GRANTS, METRICS_LIMITED_ADDRESS,
                                    METRICS_LIMITED_FAILURES, WIRE_ERROR_NOT_OFFERED};
static const struct {
    const char *name, *help;
} events[METRICS_EVENTS] = {
    [METRICS_BUCKET_MADE] = {"pail_buckets_made_total", "Buckets made at somebody's first login."},
    [METRICS_BUCKET_FAILED] = {"pail_bucket_failures_total", "Attempts to make or set up a bucket that failed."},
    [METRICS_BUCKET_GONE] = {"pail_buckets_gone_total", "Buckets found to be deleted, or somebody else's."},
    [METRICS_BUCKET_CLOSED] = {"pail_buckets_closed_total", "Buckets found open to others, and closed."},
    [METRICS_BUCKET_OPEN] = {"pail_bucket_close_failures_total", "Buckets found open to others, and still so."},
    [METRICS_DATABASE_FAILED] = {"pail_database_failures_total", "Requests for which the accounts were out of reach."},
    [METRICS_SIGNING_FAILED] = {"pail_signing_failures_total", "Requests that no storage keys could be had for."},
    [METRICS_KEYS_LENT] = {"pail_keys_lent_total", "Temporary keys lent to clients."},
    [METRICS_PROOF_FAILED] = {"pail_store_proof_failures_total", "Trials of the store that failed."},
};

static const char *const ways[METRICS_STORE_WAYS] = {
    [METRICS_STORE_ANSWERED] = "answered", [METRICS_STORE_OFFLINE] = "offline", [METRICS_STORE_BROKEN] = "broken",
    [METRICS_STORE_BUSY] = "busy",         [METRICS_STORE_KEYS] = "keys",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { STATUSES = COUNT(statuses), LIMITS = COUNT(limits), OPERATIONS = COUNT(operations), CODES = COUNT(codes) };

struct histogram {
    _Atomic uint64_t counts[LIMITS]; /* each by itself, not added up */
    _Atomic uint64_t sum_ms;
};

struct metrics {
    _Atomic uint64_t requests[METRICS_PATHS][STATUSES + 1]; /* the last: any other */
    struct histogram took[METRICS_PATHS], store_took, provision_took;
    _Atomic uint64_t grants[OPERATIONS + 1], refusals[CODES + 1];
    _Atomic uint64_t events[METRICS_EVENTS], store[METRICS_STORE_WAYS];
    _Atomic int64_t down_since_s, refused_since_s; /* boot time; 0: not so */
};

int metrics_create(struct metrics **out) {
    *out = calloc(1, sizeof **out);
    return *out ? 0 : -ENOMEM;
}

void metrics_destroy(struct metrics *metrics) {
    free(metrics);
}

static void add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static uint64_t read(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Its place, or count for one that is not known. */
static size_t find(const char *const *names, size_t count, const char *name) {
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static void observe(struct histogram *histogram, int64_t took_ms) {
    size_t limit = 0;
    while (limit < COUNT(limits_ms) && took_ms > limits_ms[limit])
        limit++;
    add(&histogram->counts[limit], 1);
    add(&histogram->sum_ms, took_ms > 0 ? (uint64_t)took_ms : 0);
}

void metrics_count_request(struct metrics *metrics, enum metrics_path path, int status, int64_t took_ms) {
    size_t i = 0;
    while (i < STATUSES && statuses[i] != status)
        i++;
    add(&metrics->requests[path][i], 1);
    observe(&metrics->took[path], took_ms);
}

void metrics_count_provision(struct metrics *metrics, int64_t took_ms) {
    observe(&metrics->provision_took, took_ms);
}

/* Notes when a trouble began, unless that is known, or that it is over. */
static void note_since(_Atomic int64_t *since_s, bool trouble) {
    int64_t none = 0;
    if (!trouble)
        atomic_store(since_s, 0);
    else
        atomic_compare_exchange_strong(since_s, &none, clock_boottime_s() + 1); /* never 0 */
}

void metrics_count_store(struct metrics *metrics, enum metrics_store way, int64_t took_ms) {
    add(&metrics->store[way], 1);
    observe(&metrics->store_took, took_ms);
    note_since(&metrics->down_since_s, way == METRICS_STORE_OFFLINE || way == METRICS_STORE_BROKEN);
    if (way == METRICS_STORE_KEYS)
        note_since(&metrics->refused_since_s, true);
}

void metrics_store_took_keys(struct metrics *metrics) {
    note_since(&metrics->refused_since_s, false);
}

static int64_t since_s(const _Atomic int64_t *began_s) {
    int64_t began = atomic_load(began_s), ago = clock_boottime_s() + 1 - began;
    return !began ? -1 : ago > 0 ? ago : 0;
}

struct metrics_lately metrics_store_lately(struct metrics *metrics) {
    return (struct metrics_lately){since_s(&metrics->down_since_s), since_s(&metrics->refused_since_s)};
}

void metrics_count_grants(struct metrics *metrics, const char *op, size_t urls) {
    add(&metrics->grants[find(operations, OPERATIONS, op)], urls);
}

void metrics_count_refusal(struct metrics *metrics, const char *code) {
    add(&metrics->refusals[find(codes, CODES, code)], 1);
}

void metrics_count(struct metrics *metrics, enum metrics_event event) {
    add(&metrics->events[event], 1);
}

/* Writing. Every name is there from the start, with 0: an alert can be made before it is needed. */

static int head(struct buffer *out, const char *name, const char *type, const char *help) {
    return buffer_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int write_requests(const struct metrics *metrics, struct buffer *out) {
    int r = head(out, "pail_requests_total", "counter", "Requests by path and HTTP status; 0 was cut off.");
    for (size_t path = 0; path < METRICS_PATHS; path++)
        for (size_t i = 0; i <= STATUSES && !r; i++) {
            char status[12] = "other";
            if (i < STATUSES)
                snprintf(status, sizeof status, "%d", statuses[i]);
            r = buffer_append_format(out, "pail_requests_total{path=\"%s\",status=\"%s\"} %llu\n", paths[path], status,
                                     (unsigned long long)read(&metrics->requests[path][i]));
        }
    return r;
}

/* label: "path=\"grants\"", or "". */
static int write_histogram(struct buffer *out, const char *name, const char *label, const struct histogram *histogram) {
    unsigned long long so_far = 0;
    const char *open = *label ? "{" : "", *close = *label ? "}" : "";
    int r = 0;
    for (size_t i = 0; i < LIMITS && !r; i++) {
        so_far += read(&histogram->counts[i]);
        r = buffer_append_format(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, label, *label ? "," : "", limits[i],
                                 so_far);
    }
    uint64_t sum_ms = read(&histogram->sum_ms);
    return r ? r
             : buffer_append_format(out, "%s_sum%s%s%s %llu.%03u\n%s_count%s%s%s %llu\n", name, open, label, close,
                                    (unsigned long long)(sum_ms / 1000), (unsigned)(sum_ms % 1000), name, open, label,
                                    close, so_far);
}

static int write_all_took(const struct metrics *metrics, struct buffer *out) {
    int r = head(out, "pail_request_seconds", "histogram", "From a request's headers to the end of its answer.");
    for (size_t path = 0; path < METRICS_PATHS && !r; path++) {
        char label[20];
        snprintf(label, sizeof label, "path=\"%s\"", paths[path]);
        r = write_histogram(out, "pail_request_seconds", label, &metrics->took[path]);
    }
    if (!r)
        r = head(out, "pail_store_request_seconds", "histogram", "The server's own requests to the store.");
    if (!r)
        r = write_histogram(out, "pail_store_request_seconds", "", &metrics->store_took);
    if (!r)
        r = head(out, "pail_provision_seconds", "histogram", "Making and setting up a bucket at a first login.");
    return r ? r : write_histogram(out, "pail_provision_seconds", "", &metrics->provision_took);
}

static int write_store(const struct metrics *metrics, struct buffer *out) {
    int r = head(out, "pail_store_requests_total", "counter",
                 "The server's own requests to the store: answered, offline, broken (5xx), busy, keys (refused).");
    for (size_t i = 0; i < METRICS_STORE_WAYS && !r; i++)
        r = buffer_append_format(out, "pail_store_requests_total{outcome=\"%s\"} %llu\n", ways[i],
                                 (unsigned long long)read(&metrics->store[i]));
    return r;
}

static int write_named(struct buffer *out, const char *name, const char *label, const char *help,
                       const char *const *names, size_t count, const _Atomic uint64_t *counters) {
    int r = head(out, name, "counter", help);
    for (size_t i = 0; i <= count && !r; i++)
        r = buffer_append_format(out, "%s{%s=\"%s\"} %llu\n", name, label, i < count ? names[i] : "other",
                                 (unsigned long long)read(&counters[i]));
    return r;
}

static int write_gauge(struct buffer *out, const char *name, const char *help, int64_t value) {
    int r = head(out, name, "gauge", help);
    return r ? r : buffer_append_format(out, "%s %lld\n", name, (long long)value);
}

static int write_lately(struct metrics *metrics, struct buffer *out) {
    struct metrics_lately lately = metrics_store_lately(metrics);
    int r =
        write_gauge(out, "pail_store_up", "Whether the store answered the server's last request.", lately.down_s < 0);
    return r ? r
             : write_gauge(out, "pail_storage_keys_refused", "Whether the store refuses the server's keys.",
                           lately.refused_s >= 0);
}

static int write_connections(const struct metrics_now *now, struct buffer *out) {
    int r = write_gauge(out, "pail_connections", "Connections that are open.", (int64_t)now->connections);
    if (!r)
        r = head(out, "pail_connections_closed_total", "counter",
                 "Connections that the server closed: too many of an address, or too slow.");
    return r ? r
             : buffer_append_format(out,
                                    "pail_connections_closed_total{reason=\"address\"} %llu\n"
                                    "pail_connections_closed_total{reason=\"slow\"} %llu\n",
                                    (unsigned long long)now->refused_connections,
                                    (unsigned long long)now->cut_connections);
}

static int write_now(const struct metrics_now *now, struct buffer *out) {
    int r = write_gauge(out, "pail_ready", "Whether grants can be given.", now->ready);
    if (!r)
        r = write_gauge(out, "pail_jwks_age_seconds", "Age of the login provider's keys; -1: never had.",
                        now->keys_age_s);
    if (!r)
        r = write_gauge(out, "pail_store_proof_age_seconds", "Age of the store's proof; -1: not proven.",
                        now->proof_age_s);
    if (!r)
        r = write_gauge(out, "pail_accounts_unfinished", "Accounts whose bucket is not ready.",
                        (int64_t)now->unfinished);
    if (!r)
        r = write_gauge(out, "pail_accounts_missing", "Accounts whose bucket is gone from the store.",
                        (int64_t)now->missing);
    return r ? r : write_connections(now, out);
}

int metrics_write(struct metrics *metrics, const struct metrics_now *now, struct buffer *out) {
    int r = write_requests(metrics, out);
    if (!r)
        r = write_all_took(metrics, out);
    if (!r)
        r = write_named(out, "pail_grants_total", "op", "URLs handed out, by operation.", operations, OPERATIONS,
                        metrics->grants);
    if (!r)
        r = write_named(out, "pail_refusals_total", "code",
                        "Requests and single items refused, by the contract's code.", codes, CODES, metrics->refusals);
    for (size_t i = 0; i < METRICS_EVENTS && !r; i++) {
        r = head(out, events[i].name, "counter", events[i].help);
        if (!r)
            r = buffer_append_format(out, "%s %llu\n", events[i].name, (unsigned long long)read(&metrics->events[i]));
    }
    if (!r)
        r = write_store(metrics, out);
    if (!r)
        r = write_lately(metrics, out);
    return r ? r : write_now(now, out);
}
