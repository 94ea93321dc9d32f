/* One limit for all fetched bytes held in memory, who gives way when it is reached, and the buffers themselves. Spans
 * (fetch.h) that are complete stand in one of two lines, oldest first: `fresh` (nobody has read them to their end) and
 * `spent` (nobody is expected to). Read-ahead makes room from spent ones only; what a reader waits for always gets
 * room. Thread-safe. May be called with a source's lock held, except budget_reserve and budget_trim. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget;
struct span;

enum { BUDGET_BUFFER = 1 << 20 }; /* buffers of this size are kept for the next use */

struct budget_links { /* part of a span */
    struct span *next, *previous;
    bool listed, spent;
    int64_t used_ms; /* when it was last of use */
};
struct budget_user { /* implemented by source.c */
    struct budget_links *(*links)(struct span *span);
    void (*hold)(struct span *span); /* called under the budget's lock */
    /* Takes the span out of its file, or lists it again if somebody waits for it (idle_only: or if it is still to be
     * written to the cache). Drops the hold. */
    void (*evict)(struct span *span, bool idle_only);
};

int budget_create(struct budget **out, uint64_t limit, const struct budget_user *user);
void budget_destroy(struct budget *budget);

/* Returns how many of `wanted` bytes there is room for, at least `needed`, which may pass the limit. evict: spans give
 * way. */
uint64_t budget_reserve(struct budget *budget, uint64_t wanted, uint64_t needed, bool evict);
void budget_charge(struct budget *budget, uint64_t bytes); /* takes room without looking */
void budget_release(struct budget *budget, uint64_t bytes);
void *budget_buffer(struct budget *budget, size_t size);            /* room for it was reserved. NULL: no memory */
void budget_free(struct budget *budget, void *buffer, size_t size); /* and releases its room */

void budget_list(struct budget *budget, struct span *span);   /* is complete */
void budget_touch(struct budget *budget, struct span *span);  /* was of use */
void budget_spend(struct budget *budget, struct span *span);  /* is not expected to be of use again */
void budget_unlist(struct budget *budget, struct span *span); /* leaves its file */

/* Gives up what the cache has (or never will have) and was of no use for idle_ms, and kept buffers. Whether any span is
 * left. */
bool budget_trim(struct budget *budget, int64_t idle_ms);
void budget_clear(struct budget *budget); /* gives up every span */
uint64_t budget_limit(struct budget *budget);
uint64_t budget_used(struct budget *budget);
