/* One version of a file as the origin has it: its spans in memory, what is here of it, and those who wait. */
#include "base/cleanup.h"
#include "fs/content/fetch_inside.h"

#include <errno.h>

/* ---- Spans */

void span_hold(struct span *span) {
    atomic_fetch_add(&span->refs, 1);
}

void span_release(struct span *span) {
    if (!span || atomic_fetch_sub(&span->refs, 1) > 1)
        return;
    struct source *source = span->source;
    budget_free(source->content->budget, span->data, span->capacity);
    free(span);
    source_release(source);
}

static struct budget_links *links_of(struct span *span) {
    return &span->links;
}

/* The index of the first span that ends after `at`. Under lock. */
size_t source_find_span(const struct source *source, uint64_t at) {
    size_t low = 0, high = source->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct span *span = source->spans[middle];
        if (span->start + span->have > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* NULL: `at` is in none. Under lock. */
static struct span *span_at(const struct source *source, uint64_t at) {
    size_t i = source_find_span(source, at);
    return i < source->count && source->spans[i]->start <= at ? source->spans[i] : NULL;
}

/* Takes over a hold. Under lock. */
int source_insert_span(struct source *source, struct span *span) {
    if (source->count == source->capacity) {
        size_t more = source->capacity ? source->capacity * 2 : 8;
        struct span **spans = realloc(source->spans, more * sizeof(struct span *));
        if (!spans)
            return -ENOMEM;
        source->spans = spans;
        source->capacity = more;
    }
    size_t i = source_find_span(source, span->start);
    memmove(source->spans + i + 1, source->spans + i, (source->count - i) * sizeof *source->spans);
    source->spans[i] = span;
    source->count++;
    span->inside = true;
    return 0;
}

/* Under lock; the caller gets the hold, to be released without locks. */
bool source_remove_span(struct source *source, struct span *span) {
    if (!span->inside)
        return false;
    size_t i = source_find_span(source, span->start);
    while (source->spans[i] != span) /* an empty one has no place of its own */
        i++;
    source->count--;
    memmove(source->spans + i, source->spans + i + 1, (source->count - i) * sizeof *source->spans);
    span->inside = false;
    budget_unlist(source->content->budget, span);
    return true;
}

static bool is_awaited(const struct source *source, const struct span *span) {
    for (const struct waiter *waiter = source->waiters; waiter; waiter = waiter->next)
        if (waiter->from < span->start + span->have && waiter->to > span->start)
            return true;
    return false;
}

/* budget_user: its hold is ours now. */
static void evict_span(struct span *span, bool idle_only) {
    struct source *source = span->source;
    bool removed = false, dequeued = false;
    pthread_mutex_lock(&source->lock);
    if (span->inside && (is_awaited(source, span) || (idle_only && !span->written))) {
        budget_list(source->content->budget, span);
    } else {
        removed = source_remove_span(source, span);
        dequeued = writer_remove(source->content->writer, span);
    }
    pthread_mutex_unlock(&source->lock);
    if (dequeued)
        span_release(span);
    if (removed)
        span_release(span);
    span_release(span);
}

const struct budget_user fetch_budget_user = {links_of, span_hold, evict_span};

bool span_is_spent(const struct span *span) {
    return span->read_bytes >= span->have;
}

void source_written(struct span *span) {
    struct source *source = span->source;
    pthread_mutex_lock(&source->lock);
    span->written = true;
    bool removed =
        span_is_spent(span) && !is_awaited(source, span) && source->cache && source_remove_span(source, span);
    pthread_mutex_unlock(&source->lock);
    if (removed)
        span_release(span);
    file_prefetch_step(source->file, 0); /* there may be room again; the caller's span holds the file */
}

void source_read_done(struct source *source, uint64_t from, uint64_t to) {
    while (from < to) {
        pthread_mutex_lock(&source->lock);
        size_t i = source_find_span(source, from);
        struct span *span = i < source->count ? source->spans[i] : NULL;
        if (!span || span->start >= to) {
            pthread_mutex_unlock(&source->lock);
            return;
        }
        uint64_t start = from > span->start ? from : span->start, end = fetch_least(to, span->start + span->have);
        bool before = span_is_spent(span), removed = false;
        span->read_bytes += end - start;
        if (span_is_spent(span) && span->have == span->capacity) {
            removed = span->written && source->cache && !is_awaited(source, span) && source_remove_span(source, span);
            if (!removed && !before)
                budget_spend(source->content->budget, span);
        }
        pthread_mutex_unlock(&source->lock);
        if (removed)
            span_release(span);
        from = end;
    }
}

/* ---- Sources */

struct source *source_create(struct content_file *file, const struct content_version *version,
                             struct cache_file *cache) {
    struct source *source = calloc(1, sizeof *source);
    char *identity = strdup(version->identity);
    if (!cache && version->size)
        cache = cache_open(file->content->cache, file->ino, version->identity, version->size);
    if (!source || !identity || (version->size && !cache)) {
        free(source);
        free(identity);
        cache_close(cache);
        return NULL;
    }
    source->content = file->content;
    source->file = file;
    source->ino = file->ino;
    source->size = version->size;
    source->identity = identity;
    source->cache = cache;
    source->refs = 1;
    pthread_mutex_init(&source->lock, NULL);
    return source;
}

void source_hold(struct source *source) {
    content_file_hold(source->file);
    atomic_fetch_add(&source->refs, 1);
}

void source_release_own(struct source *source) {
    if (!source || atomic_fetch_sub(&source->refs, 1) > 1)
        return;
    cache_close(source->cache);
    pthread_mutex_destroy(&source->lock);
    free(source->spans);
    free(source->identity);
    free(source);
}

void source_release(struct source *source) {
    struct content_file *file = source->file;
    source_release_own(source);
    content_file_release(file);
}

void source_clear(struct source *source) {
    source->retired = true;
    for (;;) {
        pthread_mutex_lock(&source->lock);
        struct span *span = source->count ? source->spans[source->count - 1] : NULL;
        if (span)
            source_remove_span(source, span);
        bool dequeued = span && writer_remove(source->content->writer, span);
        pthread_mutex_unlock(&source->lock);
        if (!span)
            return;
        if (dequeued)
            span_release(span);
        span_release(span);
    }
}

/* ---- What is here, what is on its way */

/* Where what is here from `at` on ends, at most `to`. Under lock. */
uint64_t source_here_until(const struct source *source, uint64_t at, uint64_t to) {
    while (at < to) {
        const struct span *span = span_at(source, at);
        uint64_t next = span ? span->start + span->have : source->cache ? cache_run(source->cache, at, to) : at;
        if (next == at)
            break;
        at = next;
    }
    return fetch_least(at, to);
}

struct content_fetch *source_fetch_at(const struct source *source, uint64_t at) {
    for (struct content_fetch *fetch = source->fetches; fetch; fetch = fetch->next)
        if (fetch->at <= at && at < fetch->end)
            return fetch;
    return NULL;
}

/* The first position in [at, to) that is neither here nor on its way. Under lock. */
uint64_t source_find_hole(const struct source *source, uint64_t at, uint64_t to) {
    while (at < to) {
        uint64_t next = source_here_until(source, at, to);
        const struct content_fetch *fetch = source_fetch_at(source, next);
        if (fetch)
            next = fetch->end;
        if (next == at)
            break;
        at = next;
    }
    return fetch_least(at, to);
}

/* Where the hole that begins at `at` ends. Under lock. */
uint64_t source_hole_until(const struct source *source, uint64_t at, uint64_t to) {
    size_t i = source_find_span(source, at);
    if (i < source->count)
        to = fetch_least(to, source->spans[i]->start);
    for (const struct content_fetch *fetch = source->fetches; fetch; fetch = fetch->next)
        if (fetch->at > at)
            to = fetch_least(to, fetch->at);
    return source->cache ? cache_hole(source->cache, at, to) : to;
}

uint64_t source_missing(struct source *source, uint64_t from, uint64_t to) {
    if (source->cache)
        cache_load(source->cache, from, to);
    pthread_mutex_lock(&source->lock);
    uint64_t at = source_here_until(source, from, to);
    pthread_mutex_unlock(&source->lock);
    return at;
}

struct span *source_span(struct source *source, uint64_t from, uint64_t to) {
    pthread_mutex_lock(&source->lock);
    struct span *span = span_at(source, from);
    if (span && to <= span->start + span->have)
        span_hold(span);
    else
        span = NULL;
    pthread_mutex_unlock(&source->lock);
    if (span)
        budget_touch(source->content->budget, span);
    return span;
}

/* Copies from the span at `at`; 0: there is none. */
static size_t copy_from_span(struct source *source, uint64_t at, uint64_t to, void *data) {
    pthread_mutex_lock(&source->lock);
    struct span *span = span_at(source, at);
    size_t n = 0;
    if (span) {
        n = (size_t)fetch_least(to - at, span->start + span->have - at);
        span_hold(span);
    }
    pthread_mutex_unlock(&source->lock);
    if (!span)
        return 0;
    memcpy(data, span->data + (at - span->start), n);
    budget_touch(source->content->budget, span);
    span_release(span);
    return n;
}

/* How far [at, to) may be read from the cache before memory has it. */
static uint64_t until_span(struct source *source, uint64_t at, uint64_t to) {
    pthread_mutex_lock(&source->lock);
    size_t i = source_find_span(source, at);
    if (i < source->count && source->spans[i]->start > at)
        to = fetch_least(to, source->spans[i]->start);
    pthread_mutex_unlock(&source->lock);
    return to;
}

uint64_t source_copy(struct source *source, uint64_t from, uint64_t to, void *data) {
    uint64_t at = from;
    while (at < to) {
        char *out = (char *)data + (at - from);
        size_t n = copy_from_span(source, at, to, out);
        if (!n && source->cache)
            n = cache_read(source->cache, at, until_span(source, at, to), out);
        if (!n)
            break;
        at += n;
    }
    return at;
}

uint64_t source_present(struct source *source) {
    uint64_t bytes = source->cache ? cache_present(source->cache) : 0;
    pthread_mutex_lock(&source->lock);
    for (size_t i = 0; i < source->count; i++) {
        const struct span *span = source->spans[i];
        for (uint64_t at = span->start, end = at + span->have; at < end;) {
            uint64_t next = fetch_least(fetch_block_down(at) + FETCH_BLOCK, end);
            if (!source->cache || cache_run(source->cache, at, next) < next)
                bytes += next - at;
            at = next;
        }
    }
    pthread_mutex_unlock(&source->lock);
    return bytes;
}

/* ---- Waiting */

/* Takes those out who can go on: everything they wait for is here, or its first missing byte is not on its way. Those
 * who overlap [from, to) only. Under lock. */
struct waiter *source_take_ready(struct source *source, uint64_t from, uint64_t to, bool failed) {
    struct waiter *ready = NULL;
    for (struct waiter **at = &source->waiters; *at;) {
        struct waiter *waiter = *at;
        bool take = waiter->from < to && waiter->to > from;
        if (take && !failed) {
            uint64_t missing = source_here_until(source, waiter->from, waiter->to);
            take = missing >= waiter->to || !source_fetch_at(source, missing);
        }
        if (!take) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = ready;
        ready = waiter;
    }
    return ready;
}

void source_tell(struct waiter *ready, int result) {
    while (ready) {
        struct waiter *next = ready->next;
        ready->ready(ready, result);
        ready = next;
    }
}

bool source_unwait(struct source *source, struct waiter *waiter) {
    bool found = false;
    pthread_mutex_lock(&source->lock);
    for (struct waiter **at = &source->waiters; *at && !found;) {
        found = *at == waiter;
        if (found)
            *at = waiter->next;
        else
            at = &(*at)->next;
    }
    pthread_mutex_unlock(&source->lock);
    return found;
}
