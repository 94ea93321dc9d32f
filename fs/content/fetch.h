/* One version of a file as the origin has it: bytes in memory (spans), on their way (fetches), or in the cache, and
 * those who wait for them. Locks: a source's own, a leaf but for the budget's, the writer's, the cache's and the
 * table's. */
#pragma once

#include "fs/content/budget.h"
#include "fs/content/cache.h"
#include "fs/content/content.h"

#include <pthread.h>
#include <stdatomic.h>

struct content_file;
struct source;

enum {
    FETCH_BLOCK = CACHE_BLOCK,
    FETCH_SPAN = BUDGET_BUFFER, /* spans do not cross its multiples */
};

/* Fetched bytes in memory: [start, start + have) of the version, at most to start + capacity. */
struct span {
    struct budget_links links; /* under the budget's lock */
    struct span *write_next, *write_previous;
    bool queued;           /* for the writer; these three under its lock */
    struct source *source; /* held */
    uint64_t start;
    size_t capacity;
    char *data; /* from the budget; below `have` it does not change any more */
    _Atomic unsigned refs;
    size_t have;         /* under the source's lock, as all below */
    uint64_t read_bytes; /* how many were read, counted twice if read twice */
    bool inside;         /* among the source's spans */
    bool written;        /* the cache has it, or never will */
};
void span_hold(struct span *span);
void span_release(struct span *span); /* without locks */

struct waiter {
    struct waiter *next;
    uint64_t from, to;
    /* Everything may be here now (result 0: look again), or something cannot be had. Once, without locks. */
    void (*ready)(struct waiter *waiter, int result);
};

struct source {
    struct content *content;
    struct content_file *file; /* each hold on the source, but the file's own, is one on the file */
    uint64_t ino, size;
    char *identity;
    struct cache_file *cache; /* NULL: not cached */
    _Atomic unsigned refs;
    _Atomic bool retired; /* not to be cached any more: the inode has another version, or is gone */
    pthread_mutex_t lock;
    struct span **spans; /* ordered by start; under lock, as all below */
    size_t count, capacity;
    struct content_fetch *fetches;
    size_t in_flight;
    struct waiter *waiters;
};

/* cache: taken over; NULL: cache_open. NULL: no memory (then cache is closed). */
struct source *source_create(struct content_file *file, const struct content_version *version,
                             struct cache_file *cache);
void source_hold(struct source *source);
void source_release(struct source *source);     /* without locks */
void source_release_own(struct source *source); /* the file's */

/* What to ask of the origin. Demanded bytes always are; others as far as budget and limit allow. */
struct source_wish {
    uint64_t from, to;     /* demanded; from == to: nothing is */
    uint64_t ahead, until; /* and these, which may include the demanded ones */
    uint64_t piece;        /* ranges end at its multiples: a multiple of a block */
    size_t limit;          /* read ahead only while fewer than this are in flight */
    bool keep;             /* not given up by source_abandon */
    bool for_cache;        /* nobody will read them from memory */
};
/* Asks for what is neither here nor on its way. With a waiter, it is told when the demanded bytes are here, unless they
 * are already: then this returns SOURCE_HERE. *reached: up to where `ahead` is here or asked for. */
enum { SOURCE_HERE = 1000 };
int source_request(struct source *source, const struct source_wish *wish, struct waiter *waiter, uint64_t *reached);
/* The waiter is not to be told any more; false: it was, or is being told just now. */
bool source_unwait(struct source *source, struct waiter *waiter);
/* Read-ahead that nobody waits for is given up. */
void source_abandon(struct source *source);
/* All fetched bytes leave the memory. */
void source_clear(struct source *source);

/* The first position in [from, to) that is not here; to if all are. Reads tables of the cache as needed. */
uint64_t source_missing(struct source *source, uint64_t from, uint64_t to);
/* Copies what is here from `from` on; returns how far it came. */
uint64_t source_copy(struct source *source, uint64_t from, uint64_t to, void *data);
/* The span that holds all of [from, to), held; NULL: none does. */
struct span *source_span(struct source *source, uint64_t from, uint64_t to);
/* These bytes were read by a program: a span that was read whole is not kept for long. */
void source_read_done(struct source *source, uint64_t from, uint64_t to);
uint64_t source_present(struct source *source); /* bytes in memory or cache */

void source_written(struct span *span); /* the writer is done with it */

extern const struct budget_user fetch_budget_user;
