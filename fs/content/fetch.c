/* Ranges on their way: asking the origin for them, taking what arrives, giving up what nobody needs. */
#include "base/cleanup.h"
#include "fs/content/fetch_inside.h"

#include <errno.h>

/* ---- Asking */

/* Under lock. */
static void unlink_fetch(struct content_fetch *fetch) {
    struct source *source = fetch->source;
    for (struct content_fetch **at = &source->fetches; *at; at = &(*at)->next) {
        if (*at != fetch)
            continue;
        *at = fetch->next;
        source->in_flight--;
        return;
    }
}

static int make_fetch(struct source *source, uint64_t start, uint64_t end, struct content_fetch ***tail) {
    struct content_fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return -ENOMEM;
    fetch->source = source;
    fetch->start = fetch->at = start;
    fetch->end = end;
    fetch->reserved = end - start;
    fetch->next = source->fetches;
    source->fetches = fetch;
    source->in_flight++;
    **tail = fetch;
    *tail = &fetch->launch;
    return 0;
}

struct making {
    uint64_t room;               /* bytes reserved and not used yet */
    struct content_fetch **tail; /* of the list to launch */
    uint64_t reached;
};

/* Makes fetches for the holes of [at, to). Under lock. */
static int make_fetches(struct source *source, const struct source_wish *wish, uint64_t at, uint64_t to,
                        struct making *making) {
    while ((at = source_find_hole(source, at, to)) < to) {
        uint64_t end = fetch_least(source_hole_until(source, at, to), at - at % wish->piece + wish->piece);
        bool demanded = at < wish->to && end > wish->from;
        if (demanded && end - at > making->room && end > wish->to)
            end = wish->to;
        if (demanded && end - at > making->room) {
            budget_charge(source->content->budget, end - at - making->room);
            making->room = end - at;
        }
        if (!demanded && (source->in_flight >= wish->limit || end - at > making->room))
            break;
        int r = make_fetch(source, at, end, &making->tail);
        if (r)
            return r;
        struct content_fetch *fetch = source->fetches;
        fetch->urgent = demanded;
        fetch->keep = wish->keep;
        fetch->for_cache = wish->for_cache;
        making->room -= end - at;
        at = end;
    }
    making->reached = at;
    return 0;
}

/* How many bytes of [at, to) are neither here nor on their way. Under lock. */
static uint64_t count_holes(const struct source *source, uint64_t at, uint64_t to) {
    uint64_t bytes = 0;
    while ((at = source_find_hole(source, at, to)) < to) {
        uint64_t end = source_hole_until(source, at, to);
        bytes += end - at;
        at = end;
    }
    return bytes;
}

static void finish_fetch(struct content_fetch *fetch, int result);

static void launch_fetches(struct content_fetch *fetch) {
    while (fetch) {
        struct content_fetch *next = fetch->launch; /* the origin may be done with it before it returns */
        struct source *source = fetch->source;
        struct content *content = source->content;
        int r = PAIL_CANCELLED;
        if (!content->ending)
            r = content->origin.fetch(content->origin.context, source->ino, source->identity, fetch->start,
                                      fetch->end - fetch->start, fetch->urgent, fetch);
        if (r)
            finish_fetch(fetch, r);
        fetch = next;
    }
}

/* Before the lock is let go: each fetch stands for a hold on its source. */
static void begin_fetches(struct content_fetch *fetch) {
    for (; fetch; fetch = fetch->launch) {
        source_hold(fetch->source);
        content_fetch_begun(fetch->source->content);
    }
}

static struct source_wish in_blocks(const struct source *source, const struct source_wish *wish) {
    struct source_wish whole = *wish;
    whole.from = fetch_block_down(wish->from);
    whole.to = wish->to > wish->from ? fetch_block_up(source, wish->to) : whole.from;
    whole.ahead = fetch_block_down(wish->ahead);
    whole.until = fetch_block_up(source, wish->until);
    if (whole.ahead > whole.from && whole.ahead <= whole.to)
        whole.ahead = whole.from; /* one with what is demanded */
    return whole;
}

static uint64_t reserve_for(struct source *source, const struct source_wish *wish) {
    if (source->cache && wish->to > wish->from)
        cache_load(source->cache, wish->from, wish->to);
    if (source->cache && wish->until > wish->ahead)
        cache_load(source->cache, wish->ahead, wish->until);
    pthread_mutex_lock(&source->lock);
    uint64_t needed = count_holes(source, wish->from, wish->to);
    uint64_t wanted = count_holes(source, wish->ahead, wish->until);
    pthread_mutex_unlock(&source->lock);
    if (wish->ahead > wish->from)
        wanted += needed;
    if (wanted < needed)
        wanted = needed;
    /* What goes to the cache has to wait for the disk, or it would push itself out of memory unwritten. */
    return wanted ? budget_reserve(source->content->budget, wanted, needed, !wish->for_cache) : 0;
}

int source_request(struct source *source, const struct source_wish *wish_in, struct waiter *waiter, uint64_t *reached) {
    const struct source_wish wish = in_blocks(source, wish_in);
    struct content_fetch *launch = NULL;
    struct making making = {reserve_for(source, &wish), &launch, wish.until};
    int r = 0;
    pthread_mutex_lock(&source->lock);
    if (wish.ahead > wish.from)
        r = make_fetches(source, &wish, wish.from, wish.to, &making);
    if (!r && wish.until > wish.ahead)
        r = make_fetches(source, &wish, wish.ahead, wish.until, &making);
    if (waiter) {
        uint64_t missing = source_here_until(source, waiter->from, waiter->to);
        if (missing >= waiter->to) {
            r = SOURCE_HERE;
        } else if (source_fetch_at(source, missing)) {
            waiter->next = source->waiters;
            source->waiters = waiter;
            r = 0;
        } else if (!r) {
            r = SOURCE_HERE; /* it went meanwhile: look again */
        }
    }
    begin_fetches(launch);
    pthread_mutex_unlock(&source->lock);
    budget_release(source->content->budget, making.room);
    if (reached)
        *reached = making.reached;
    launch_fetches(launch);
    return r;
}

/* ---- Arriving */

/* Under lock. */
static bool unwanted(struct content_fetch *fetch) {
    return fetch->given_up || fetch->source->content->ending;
}

/* The span that the next bytes go to. Only the origin's thread makes one. */
static struct span *filling(struct content_fetch *fetch) {
    struct source *source = fetch->source;
    if (fetch->span)
        return fetch->span;
    struct span *span = calloc(1, sizeof *span);
    uint64_t end = fetch_least(fetch->end, fetch->at - fetch->at % FETCH_SPAN + FETCH_SPAN);
    size_t capacity = (size_t)(end - fetch->at);
    if (span)
        span->data = budget_buffer(source->content->budget, capacity);
    if (!span || !span->data) {
        free(span);
        return NULL;
    }
    source_hold(source);
    span->source = source;
    span->start = fetch->at;
    span->capacity = capacity;
    span->refs = 1;
    if (fetch->for_cache)
        span->read_bytes = capacity;
    fetch->reserved -= capacity;
    fetch->span = span;
    fetch->filled = 0;
    return span;
}

/* It will not get longer: the cache may have it, and memory may want it back. Under lock. */
static void complete(struct source *source, struct span *span) {
    if (!span->inside)
        return;
    bool spent = span_is_spent(span);
    budget_list(source->content->budget, span);
    if (spent)
        budget_spend(source->content->budget, span);
    writer_add(source->content->writer, span);
}

/* n more bytes stand in the span. */
static int publish(struct content_fetch *fetch, struct span *span, size_t n) {
    struct source *source = fetch->source;
    pthread_mutex_lock(&source->lock);
    int r = fetch->given_up ? PAIL_CANCELLED : fetch->filled ? 0 : source_insert_span(source, span);
    if (r) {
        pthread_mutex_unlock(&source->lock);
        return r;
    }
    if (!fetch->filled)
        span_hold(span);
    fetch->filled += n;
    fetch->at += n;
    span->have = fetch->filled;
    bool full = span->have == span->capacity;
    if (full) {
        complete(source, span);
        fetch->span = NULL;
    }
    struct waiter *ready = source_take_ready(source, span->start, fetch->at, false);
    pthread_mutex_unlock(&source->lock);
    source_tell(ready, 0);
    if (full)
        span_release(span);
    return 0;
}

int content_fetch_data(struct content_fetch *fetch, const void *data, size_t size) {
    const char *bytes = data;
    struct source *source = fetch->source;
    while (size) {
        pthread_mutex_lock(&source->lock);
        bool stop = unwanted(fetch) || fetch->at == fetch->end;
        pthread_mutex_unlock(&source->lock);
        if (stop)
            return PAIL_CANCELLED;
        struct span *span = filling(fetch);
        if (!span)
            return -ENOMEM;
        size_t n = span->capacity - fetch->filled;
        if (n > size)
            n = size;
        memcpy(span->data + fetch->filled, bytes, n);
        int r = publish(fetch, span, n);
        if (r)
            return r;
        bytes += n;
        size -= n;
    }
    return 0;
}

/* What arrived of an unfinished span stays, in whole blocks. Under lock; true: the caller releases the source's hold.
 */
static bool cut_span(struct source *source, struct span *span) {
    if (!span->inside)
        return false;
    size_t keep = (size_t)(fetch_block_down(span->start + span->have) - span->start);
    if (!keep)
        return source_remove_span(source, span);
    span->have = keep;
    complete(source, span);
    return false;
}

/* Bytes that turned out to be wrong leave memory and cache. */
static void discard(struct source *source, uint64_t from, uint64_t to) {
    for (;;) {
        pthread_mutex_lock(&source->lock);
        size_t i = source_find_span(source, from);
        struct span *span = i < source->count && source->spans[i]->start < to ? source->spans[i] : NULL;
        if (span)
            source_remove_span(source, span);
        bool dequeued = span && writer_remove(source->content->writer, span);
        pthread_mutex_unlock(&source->lock);
        if (!span)
            break;
        if (dequeued)
            span_release(span);
        span_release(span);
    }
    if (source->cache)
        cache_forget(source->cache, fetch_block_down(from), fetch_block_up(source, to));
}

static void finish_fetch(struct content_fetch *fetch, int result) {
    struct source *source = fetch->source;
    struct content *content = source->content;
    struct span *span = fetch->span;
    if (!result && fetch->at < fetch->end)
        result = PAIL_DAMAGED;
    pthread_mutex_lock(&source->lock);
    unlink_fetch(fetch);
    fetch->span = NULL;
    bool removed = span && !fetch->given_up && cut_span(source, span);
    struct waiter *ready = NULL;
    if (result && !fetch->given_up)
        ready = source_take_ready(source, result == PAIL_DAMAGED ? fetch->start : fetch_block_down(fetch->at),
                                  fetch->end, true);
    pthread_mutex_unlock(&source->lock);
    if (result == PAIL_DAMAGED)
        discard(source, fetch->start, fetch->at);
    source_tell(ready, result);
    if (removed)
        span_release(span);
    span_release(span);
    budget_release(content->budget, fetch->reserved);
    file_prefetch_step(source->file, result);
    source_release(source);
    free(fetch);
    content_fetch_over(content);
}

void content_fetch_end(struct content_fetch *fetch, int result) {
    finish_fetch(fetch, result);
}

/* ---- Giving up */

static bool anybody_waits(const struct source *source, const struct content_fetch *fetch) {
    for (const struct waiter *waiter = source->waiters; waiter; waiter = waiter->next)
        if (waiter->from < fetch->end && waiter->to > fetch->at)
            return true;
    return false;
}

/* One that is to be given up, given up, with the span whose hold the caller releases. Under lock. */
static bool give_up_one(struct source *source, struct span **removed) {
    for (struct content_fetch *fetch = source->fetches; fetch; fetch = fetch->next) {
        /* What is nearly here is cheaper to take than to stop: that costs a connection. */
        if (fetch->keep || fetch->end - fetch->at <= FETCH_SPAN || anybody_waits(source, fetch))
            continue;
        unlink_fetch(fetch);
        fetch->given_up = true;
        size_t i = fetch->at > fetch->start ? source_find_span(source, fetch->at - 1) : source->count;
        struct span *span = i < source->count ? source->spans[i] : NULL;
        bool unfinished = span && span->start < fetch->at && span->have < span->capacity;
        *removed = unfinished && cut_span(source, span) ? span : NULL;
        return true;
    }
    return false;
}

void source_abandon(struct source *source) {
    for (bool more = true; more;) {
        struct span *removed = NULL;
        pthread_mutex_lock(&source->lock);
        more = give_up_one(source, &removed);
        pthread_mutex_unlock(&source->lock);
        span_release(removed);
    }
}
