/* One limit for all fetched bytes held in memory. */
#include "fs/content/budget.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

enum { MAPPED_LEAST = 64 << 10 };

struct line {
    struct span *first, *last;
    size_t count;
};

struct kept {
    struct kept *next;
};

struct budget {
    uint64_t limit;
    struct budget_user user;
    pthread_mutex_t lock;
    uint64_t used; /* under lock, as all below; without kept buffers */
    struct line fresh, spent;
    struct kept *kept; /* free buffers */
    size_t kept_count;
};

int budget_create(struct budget **out, uint64_t limit, const struct budget_user *user) {
    struct budget *budget = calloc(1, sizeof *budget);
    if (!budget)
        return -ENOMEM;
    budget->limit = limit;
    budget->user = *user;
    pthread_mutex_init(&budget->lock, NULL);
    *out = budget;
    return 0;
}

static void free_kept(struct kept *kept) {
    while (kept) {
        struct kept *next = kept->next;
        munmap(kept, BUDGET_BUFFER);
        kept = next;
    }
}

void budget_destroy(struct budget *budget) {
    if (!budget)
        return;
    free_kept(budget->kept);
    pthread_mutex_destroy(&budget->lock);
    free(budget);
}

/* ---- Lines. Under lock. */

static struct line *line_of(struct budget *budget, const struct budget_links *links) {
    return links->spent ? &budget->spent : &budget->fresh;
}

static void append(struct budget *budget, struct span *span) {
    struct budget_links *links = budget->user.links(span);
    struct line *line = line_of(budget, links);
    links->next = NULL;
    links->previous = line->last;
    if (line->last)
        budget->user.links(line->last)->next = span;
    else
        line->first = span;
    line->last = span;
    line->count++;
    links->listed = true;
}

static void take(struct budget *budget, struct span *span) {
    struct budget_links *links = budget->user.links(span);
    if (!links->listed)
        return;
    struct line *line = line_of(budget, links);
    if (links->next)
        budget->user.links(links->next)->previous = links->previous;
    else
        line->last = links->previous;
    if (links->previous)
        budget->user.links(links->previous)->next = links->next;
    else
        line->first = links->next;
    line->count--;
    links->listed = false;
}

void budget_list(struct budget *budget, struct span *span) {
    pthread_mutex_lock(&budget->lock);
    struct budget_links *links = budget->user.links(span);
    links->used_ms = clock_monotonic_ms();
    if (!links->listed)
        append(budget, span);
    pthread_mutex_unlock(&budget->lock);
}

void budget_touch(struct budget *budget, struct span *span) {
    pthread_mutex_lock(&budget->lock);
    struct budget_links *links = budget->user.links(span);
    links->used_ms = clock_monotonic_ms();
    if (links->listed) {
        take(budget, span);
        append(budget, span);
    }
    pthread_mutex_unlock(&budget->lock);
}

void budget_spend(struct budget *budget, struct span *span) {
    pthread_mutex_lock(&budget->lock);
    struct budget_links *links = budget->user.links(span);
    bool listed = links->listed;
    take(budget, span);
    links->spent = true;
    if (listed)
        append(budget, span);
    pthread_mutex_unlock(&budget->lock);
}

void budget_unlist(struct budget *budget, struct span *span) {
    pthread_mutex_lock(&budget->lock);
    take(budget, span);
    pthread_mutex_unlock(&budget->lock);
}

/* ---- Room */

/* Evicts from the front of one line until `wanted` bytes fit, at most as many as stand in it. Under lock, which is let
 * go for each. A span that cannot go now joins the end again. */
static void evict_line(struct budget *budget, struct line *line, uint64_t wanted) {
    for (size_t left = line->count; left && line->first && budget->used + wanted > budget->limit; left--) {
        struct span *span = line->first;
        take(budget, span);
        budget->user.hold(span);
        pthread_mutex_unlock(&budget->lock);
        budget->user.evict(span, false);
        pthread_mutex_lock(&budget->lock);
    }
}

/* Kept buffers count: what is in memory is in memory. Under lock. */
static void drop_kept(struct budget *budget) {
    while (budget->kept && budget->used + budget->kept_count * BUDGET_BUFFER > budget->limit) {
        struct kept *kept = budget->kept;
        budget->kept = kept->next;
        budget->kept_count--;
        munmap(kept, BUDGET_BUFFER);
    }
}

uint64_t budget_reserve(struct budget *budget, uint64_t wanted, uint64_t needed, bool evict) {
    pthread_mutex_lock(&budget->lock);
    if (evict)
        evict_line(budget, &budget->spent, wanted);
    if (evict && needed)
        evict_line(budget, &budget->fresh, needed);
    uint64_t room = budget->used < budget->limit ? budget->limit - budget->used : 0;
    uint64_t granted = wanted < room ? wanted : room;
    if (granted < needed)
        granted = needed;
    budget->used += granted;
    pthread_mutex_unlock(&budget->lock);
    return granted;
}

void budget_charge(struct budget *budget, uint64_t bytes) {
    pthread_mutex_lock(&budget->lock);
    budget->used += bytes;
    pthread_mutex_unlock(&budget->lock);
}

void budget_release(struct budget *budget, uint64_t bytes) {
    pthread_mutex_lock(&budget->lock);
    budget->used -= bytes;
    pthread_mutex_unlock(&budget->lock);
}

/* Not from the heap, which would keep the holes that they leave. */
static void *map_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void *budget_buffer(struct budget *budget, size_t size) {
    if (size < MAPPED_LEAST)
        return malloc(size);
    if (size != BUDGET_BUFFER)
        return map_memory(size);
    pthread_mutex_lock(&budget->lock);
    struct kept *kept = budget->kept;
    if (kept) {
        budget->kept = kept->next;
        budget->kept_count--;
    }
    pthread_mutex_unlock(&budget->lock);
    return kept ? kept : map_memory(BUDGET_BUFFER);
}

void budget_free(struct budget *budget, void *buffer, size_t size) {
    if (size < MAPPED_LEAST)
        free(buffer);
    else if (size != BUDGET_BUFFER)
        munmap(buffer, size);
    pthread_mutex_lock(&budget->lock);
    budget->used -= size;
    if (size == BUDGET_BUFFER) {
        struct kept *kept = buffer;
        kept->next = budget->kept;
        budget->kept = kept;
        budget->kept_count++;
    }
    drop_kept(budget);
    pthread_mutex_unlock(&budget->lock);
}

/* Under lock, let go for each. The lines are in order of use, so that the first young one ends it. */
static void trim_line(struct budget *budget, struct line *line, int64_t before_ms) {
    for (size_t left = line->count; left && line->first; left--) {
        struct span *span = line->first;
        if (budget->user.links(span)->used_ms > before_ms)
            break;
        take(budget, span);
        budget->user.hold(span);
        pthread_mutex_unlock(&budget->lock);
        budget->user.evict(span, true);
        pthread_mutex_lock(&budget->lock);
    }
}

bool budget_trim(struct budget *budget, int64_t idle_ms) {
    int64_t before_ms = clock_monotonic_ms() - idle_ms;
    pthread_mutex_lock(&budget->lock);
    trim_line(budget, &budget->spent, before_ms);
    trim_line(budget, &budget->fresh, before_ms);
    struct kept *kept = budget->kept;
    budget->kept = NULL;
    budget->kept_count = 0;
    bool left = budget->fresh.first || budget->spent.first;
    pthread_mutex_unlock(&budget->lock);
    free_kept(kept);
    return left;
}

void budget_clear(struct budget *budget) {
    pthread_mutex_lock(&budget->lock);
    evict_line(budget, &budget->spent, UINT64_MAX / 2);
    evict_line(budget, &budget->fresh, UINT64_MAX / 2);
    pthread_mutex_unlock(&budget->lock);
}

uint64_t budget_limit(struct budget *budget) {
    return budget->limit;
}

uint64_t budget_used(struct budget *budget) {
    pthread_mutex_lock(&budget->lock);
    uint64_t used = budget->used;
    pthread_mutex_unlock(&budget->lock);
    return used;
}
