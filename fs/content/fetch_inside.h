/* What source.c and fetch.c know of each other. Everything here is called under the source's lock. */
#pragma once

#include "fs/content/inside.h"

/* A range on its way. The origin owns it from fetch() to content_fetch_end(). */
struct content_fetch {
    struct content_fetch *next;   /* of its source; under its lock, as all below */
    struct content_fetch *launch; /* the next to be asked for; its maker's */
    struct source *source;        /* held */
    uint64_t start, end;
    uint64_t at;       /* arrived up to here; written by the origin's thread */
    uint64_t reserved; /* of the budget, for what has not arrived; the origin's thread's */
    struct span *span; /* being filled, held: the origin's thread's, as is filled */
    size_t filled;     /* bytes in it */
    bool urgent, keep, for_cache;
    bool given_up; /* nobody wants the rest; not among the source's any more */
};

/* ---- source.c */
size_t source_find_span(const struct source *source, uint64_t at); /* the index of the first that ends after `at` */
int source_insert_span(struct source *source, struct span *span);  /* takes over a hold; -ENOMEM */
/* True: the caller gets the hold, to be released without locks. */
bool source_remove_span(struct source *source, struct span *span);
bool span_is_spent(const struct span *span); /* a program has read all of it */
/* Where what is here from `at` on ends, at most `to`. */
uint64_t source_here_until(const struct source *source, uint64_t at, uint64_t to);
struct content_fetch *source_fetch_at(const struct source *source, uint64_t at); /* that brings this byte; NULL */
/* The first position in [at, to) that is neither here nor on its way; and where such a hole ends. */
uint64_t source_find_hole(const struct source *source, uint64_t at, uint64_t to);
uint64_t source_hole_until(const struct source *source, uint64_t at, uint64_t to);
/* Takes those out who wait for part of [from, to) and can go on: everything they wait for is here, or its first missing
 * byte is not on its way. failed: all of them. */
struct waiter *source_take_ready(struct source *source, uint64_t from, uint64_t to, bool failed);
void source_tell(struct waiter *ready, int result); /* without locks */

static inline uint64_t fetch_least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static inline uint64_t fetch_block_down(uint64_t at) {
    return at - at % FETCH_BLOCK;
}

static inline uint64_t fetch_block_up(const struct source *source, uint64_t at) {
    return fetch_least(fetch_block_down(at + FETCH_BLOCK - 1), source->size);
}
