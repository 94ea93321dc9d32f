/* What operators watch: counted here, written in Prometheus' text format (version 0.0.4). Never an email, a key or a
 * bucket in it. Thread-safe; counting takes no lock. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics;
int metrics_create(struct metrics **out);
void metrics_destroy(struct metrics *metrics); /* NULL is fine */

enum metrics_path { METRICS_SESSION, METRICS_GRANTS, METRICS_OTHER, METRICS_PATHS };
/* status 0: it was cut off before it was answered. */
void metrics_count_request(struct metrics *metrics, enum metrics_path path, int status, int64_t took_ms);
/* op: of wire.h. */
void metrics_count_grants(struct metrics *metrics, const char *op, size_t urls);
/* Who asks too often: the codes of 429. */
#define METRICS_LIMITED_ACCOUNT "account_requests"
#define METRICS_LIMITED_GRANTS "account_grants"
#define METRICS_LIMITED_ADDRESS "address_requests"
#define METRICS_LIMITED_FAILURES "address_failures"
/* code: of wire.h, or above; of a whole request or of one item. */
void metrics_count_refusal(struct metrics *metrics, const char *code);

/* How an attempt at a request of the server's own to the store ended. */
enum metrics_store {
    METRICS_STORE_ANSWERED, /* whatever it said */
    METRICS_STORE_OFFLINE,
    METRICS_STORE_BROKEN, /* 5xx */
    METRICS_STORE_BUSY,   /* 429, or 503 */
    METRICS_STORE_KEYS,   /* the storage keys were refused */
    METRICS_STORE_WAYS
};
void metrics_count_store(struct metrics *metrics, enum metrics_store way, int64_t took_ms);
/* Something was done with the storage keys: they are not refused any more. */
void metrics_store_took_keys(struct metrics *metrics);
/* What the last attempts say of the store. */
struct metrics_lately {
    int64_t down_s;    /* how long there was no answer but 5xx; -1: it answers */
    int64_t refused_s; /* how long our keys have been refused; -1: they are taken */
};
struct metrics_lately metrics_store_lately(struct metrics *metrics);
/* An account's bucket was made, from its first step in this process to ready. */
void metrics_count_provision(struct metrics *metrics, int64_t took_ms);

enum metrics_event {
    METRICS_BUCKET_MADE,
    METRICS_BUCKET_FAILED, /* an attempt to make one, or to set it up */
    METRICS_BUCKET_GONE,   /* one that was ready was found to be gone, or somebody else's */
    METRICS_BUCKET_CLOSED, /* one was found open to others, and closed */
    METRICS_BUCKET_OPEN,   /* the same, and could not be closed */
    METRICS_DATABASE_FAILED,
    METRICS_SIGNING_FAILED, /* no storage keys to sign with */
    METRICS_PROOF_FAILED,   /* the store did not do what it has to, or did not answer */
    METRICS_KEYS_LENT,      /* temporary keys to a client */
    METRICS_EVENTS
};
void metrics_count(struct metrics *metrics, enum metrics_event event);

/* What is looked up when somebody asks. Ages in seconds; -1: never. */
struct metrics_now {
    bool ready;
    int64_t keys_age_s, proof_age_s;
    size_t unfinished;                                          /* accounts whose bucket is not ready */
    size_t missing;                                             /* accounts whose bucket is gone */
    uint64_t connections, refused_connections, cut_connections; /* as struct http_counts */
};
int metrics_write(struct metrics *metrics, const struct metrics_now *now, struct buffer *out);
