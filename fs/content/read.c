/* Reading: from the spool where it was written, else from what was fetched, else parked until it arrives. */
#include "base/cleanup.h"
#include "base/file.h"
#include "fs/content/inside.h"

#include <errno.h>

enum { SPLICE_LEAST = 64 << 10 };
#define WINDOW_MOST (64ull << 20)

/* Bytes found, and what holds them. */
struct found {
    struct content_answer answer;
    struct source *source;   /* held, if the bytes are of it */
    struct span *span;       /* held */
    struct cache_body *body; /* whose fd is in use */
    void *buffer;            /* from the budget */
    size_t buffer_size;
    struct budget *budget;
    uint64_t missing;     /* where the first byte that is not here is wanted */
    uint64_t missing_end; /* and the last one */
};

struct reading {
    struct waiter waiter;
    struct content_file *file; /* held while parked */
    uint64_t offset;
    size_t size;
    content_read_done *done;
    void *context;
};

static void found_finish(struct found *found) {
    if (found->body)
        cache_body_done(found->source->cache, found->body);
    span_release(found->span);
    if (found->source)
        source_release(found->source);
    if (found->buffer)
        budget_free(found->budget, found->buffer, found->buffer_size);
}

/* For bytes that have to be put together. Large ones are kept for the next read. */
static char *make_buffer(struct content_file *file, size_t size, struct found *found) {
    found->budget = file->content->budget;
    found->buffer_size = size > FETCH_SPAN / 8 && size < FETCH_SPAN ? FETCH_SPAN : size;
    budget_charge(found->budget, found->buffer_size);
    found->buffer = budget_buffer(found->budget, found->buffer_size);
    if (!found->buffer)
        budget_release(found->budget, found->buffer_size);
    return found->buffer;
}

/* ---- Looking. Each returns 0, READ_MISSING, -errno or enum pail_error. */

enum { READ_MISSING = 1001 };

static int missing_at(struct found *found, uint64_t at, uint64_t end) {
    found->missing = at;
    found->missing_end = end;
    return READ_MISSING;
}

static int look_in_source(struct source *source, uint64_t from, uint64_t to, struct found *found) {
    found->answer.size = (size_t)(to - from);
    found->span = source_span(source, from, to);
    if (found->span) {
        found->answer.data = found->span->data + (from - found->span->start);
        return 0;
    }
    uint64_t missing = source_missing(source, from, to);
    if (missing < to)
        return missing_at(found, missing, to);
    if (to - from >= SPLICE_LEAST)
        found->body = cache_body(source->cache, from, to, &found->answer.fd);
    if (found->body) {
        found->answer.fd_offset = (off_t)from;
        return 0;
    }
    if (!make_buffer(source->file, (size_t)(to - from), found))
        return -ENOMEM;
    missing = source_copy(source, from, to, found->buffer);
    found->answer.data = found->buffer;
    return missing < to ? missing_at(found, missing, to) : 0;
}

static int read_spool(struct content_file *file, uint64_t from, uint64_t to, void *data) {
    ssize_t n = file_pread_all(file->fd, data, (size_t)(to - from), (off_t)from);
    if (n < 0)
        return (int)n;
    memset((char *)data + n, 0, (size_t)(to - from) - (size_t)n); /* a spool cut by somebody else reads zeros */
    return 0;
}

/* Where the last byte of [from, to) that the origin has ends. With order. */
static uint64_t last_hole(struct content_file *file, uint64_t from, uint64_t to) {
    uint64_t last = from;
    for (uint64_t start, end, at = from; at < to; at = end) {
        file_hole(file, at, to, &start, &end);
        if (start >= to)
            break;
        last = end;
    }
    return last;
}

/* A written file: piece by piece into one buffer. With order. */
static int look_in_spool(struct content_file *file, uint64_t from, uint64_t to, struct found *found) {
    char *out = make_buffer(file, (size_t)(to - from), found);
    if (!out)
        return -ENOMEM;
    found->answer.data = out;
    found->answer.size = (size_t)(to - from);
    for (uint64_t at = from; at < to;) {
        uint64_t start, end;
        file_hole(file, at, to, &start, &end);
        int r = start > at ? read_spool(file, at, start, out + (at - from)) : 0;
        if (r)
            return r;
        if (start >= to)
            break;
        if (end > file->source->size)
            return PAIL_DAMAGED; /* the record speaks of more bytes than the origin ever had */
        uint64_t missing = source_missing(file->source, start, end);
        if (missing >= end)
            missing = source_copy(file->source, start, end, out + (start - from));
        if (missing < end)
            return missing_at(found, missing, last_hole(file, missing, to));
        at = end;
    }
    return 0;
}

/* Looks once. The source that was looked in stays held in `found`, for asking it. */
static int look(struct content_file *file, uint64_t offset, size_t size, struct found *found) {
    *found = (struct found){.answer = {.data = NULL, .fd = -1}};
    pthread_rwlock_rdlock(&file->order);
    uint64_t from = offset < file->size ? offset : file->size;
    uint64_t to = size < file->size - from ? from + size : file->size;
    if (from == to) {
        pthread_rwlock_unlock(&file->order);
        found->answer.data = "";
        return 0;
    }
    found->source = file->source;
    source_hold(found->source);
    if (file->spool) {
        int r = look_in_spool(file, from, to, found);
        pthread_rwlock_unlock(&file->order);
        return r;
    }
    pthread_rwlock_unlock(&file->order);
    return look_in_source(found->source, from, to, found);
}

/* ---- Answering */

static void answer(struct reading *reading, const struct content_answer *answer) {
    reading->done(reading->context, answer);
}

static void answer_error(struct reading *reading, int result) {
    answer(reading, &(struct content_answer){.result = result, .fd = -1});
}

static void answer_found(struct reading *reading, struct found *found) {
    answer(reading, &found->answer);
    if (found->source)
        source_read_done(found->source, reading->offset, reading->offset + found->answer.size);
}

/* Read-ahead that goes with the read; nothing if `until` is 0. */
struct ahead {
    uint64_t from, until, piece;
    uint64_t reached;
};

static void on_ready(struct waiter *waiter, int result);

/* Parks the reading until what is missing is here. SOURCE_HERE: look again. */
static int park(struct reading *reading, const struct found *found, struct ahead *ahead) {
    reading->waiter = (struct waiter){.from = found->missing, .to = found->missing_end, .ready = on_ready};
    struct source_wish wish = {.from = found->missing,
                               .to = found->missing_end,
                               .ahead = found->missing_end,
                               .until = found->missing_end,
                               .piece = READAHEAD_PIECE,
                               .limit = reading->file->content->parallel_ranges};
    if (ahead->until) {
        wish.ahead = ahead->from;
        wish.until = ahead->until;
        wish.piece = ahead->piece;
    }
    ahead->until = 0;
    return source_request(found->source, &wish, &reading->waiter, &ahead->reached);
}

/* Looks until there is an answer, or it is parked; then the reading must not be touched any more. */
static void go_on(struct reading *reading, struct found *found, int r, struct ahead *ahead) {
    for (;;) {
        if (r != READ_MISSING) {
            if (r)
                answer_error(reading, r);
            else
                answer_found(reading, found);
            found_finish(found);
            struct content_file *file = reading->file;
            free(reading);
            content_file_release(file);
            return;
        }
        r = park(reading, found, ahead);
        if (r != SOURCE_HERE && r)
            continue;
        if (!r) {
            found_finish(found);
            return;
        }
        found_finish(found);
        r = look(reading->file, reading->offset, reading->size, found);
    }
}

static void on_ready(struct waiter *waiter, int result) {
    struct reading *reading = (struct reading *)waiter; /* its first member */
    struct found found = {.answer.fd = -1};
    struct ahead none = {0};
    if (!result)
        result = look(reading->file, reading->offset, reading->size, &found);
    go_on(reading, &found, result, &none);
}

/* ---- Beginning */

static void count(struct content *content, const struct found *found, int r) {
    uint64_t missing = r == READ_MISSING ? found->missing_end - found->missing : 0;
    uint64_t blocks = (found->answer.size + FETCH_BLOCK - 1) / FETCH_BLOCK;
    uint64_t missed = (missing + FETCH_BLOCK - 1) / FETCH_BLOCK;
    atomic_fetch_add_explicit(&content->misses, missed, memory_order_relaxed);
    if (blocks > missed)
        atomic_fetch_add_explicit(&content->hits, blocks - missed, memory_order_relaxed);
}

static uint64_t window_most(const struct content *content) {
    uint64_t most = budget_limit(content->budget) / 3 * 2;
    return most < WINDOW_MOST ? most : WINDOW_MOST;
}

static struct ahead plan_ahead(struct content_handle *handle, uint64_t offset, size_t size, struct source *source,
                               bool *lost) {
    if (!source || !size || offset >= source->size)
        return (struct ahead){0};
    uint64_t end = size < source->size - offset ? offset + size : source->size;
    pthread_mutex_lock(&handle->lock);
    struct readahead_plan plan =
        readahead_read(&handle->ahead, offset, end - offset, source->size, window_most(handle->file->content));
    pthread_mutex_unlock(&handle->lock);
    *lost = plan.lost;
    if (plan.until <= plan.from)
        return (struct ahead){0};
    return (struct ahead){plan.from, plan.until, plan.piece, plan.until};
}

static void stopped(struct content_handle *handle, const struct ahead *before, const struct ahead *after) {
    if (!before->until || after->reached >= before->until)
        return;
    pthread_mutex_lock(&handle->lock);
    readahead_stopped(&handle->ahead, after->reached);
    pthread_mutex_unlock(&handle->lock);
}

/* Of a written file, read ahead only what the spool lacks: up to the first range that it has. */
static void clip_ahead(struct content_file *file, struct ahead *ahead) {
    uint64_t start, end;
    pthread_mutex_lock(&file->lock);
    if (file->spool && ahead->until) {
        file_hole(file, ahead->from, ahead->until, &start, &end);
        *ahead = start < ahead->until ? (struct ahead){start, end, ahead->piece, end} : (struct ahead){0};
    }
    pthread_mutex_unlock(&file->lock);
}

static void read_ahead(struct source *source, struct ahead *ahead) {
    struct source_wish wish = {.from = ahead->from,
                               .to = ahead->from,
                               .ahead = ahead->from,
                               .until = ahead->until,
                               .piece = ahead->piece,
                               .limit = source->content->parallel_ranges};
    ahead->until = 0;
    source_request(source, &wish, NULL, &ahead->reached);
}

static struct reading *make_reading(struct content_file *file, uint64_t offset, size_t size, content_read_done *done,
                                    void *context) {
    struct reading *reading = malloc(sizeof *reading);
    if (!reading)
        return NULL;
    *reading = (struct reading){.file = file, .offset = offset, .size = size, .done = done, .context = context};
    content_file_hold(file);
    return reading;
}

static void park_or_fail(struct content_file *file, const struct reading *wanted, struct found *found,
                         struct ahead *ahead) {
    struct reading *reading = make_reading(file, wanted->offset, wanted->size, wanted->done, wanted->context);
    if (reading) {
        go_on(reading, found, READ_MISSING, ahead);
        return;
    }
    wanted->done(wanted->context, &(struct content_answer){.result = -ENOMEM, .fd = -1});
    found_finish(found);
}

static void read_once(struct content_handle *handle, uint64_t offset, size_t size, content_read_done *done,
                      void *context) {
    struct content_file *file = handle->file;
    struct reading reading = {.file = file, .offset = offset, .size = size, .done = done, .context = context};
    struct found found;
    bool lost = false;
    int r = look(file, offset, size, &found);
    count(file->content, &found, r);
    struct ahead ahead = plan_ahead(handle, offset, size, found.source, &lost);
    clip_ahead(file, &ahead);
    const struct ahead planned = ahead;
    if (lost)
        source_abandon(found.source);
    if (r == READ_MISSING) {
        park_or_fail(file, &reading, &found, &ahead);
        stopped(handle, &planned, &ahead);
        return;
    }
    if (ahead.until) { /* before answering: the origin works while the reader does */
        read_ahead(found.source, &ahead);
        stopped(handle, &planned, &ahead);
    }
    if (r)
        answer_error(&reading, r);
    else
        answer_found(&reading, &found);
    found_finish(&found);
}

void content_read(struct content_handle *handle, uint64_t offset, size_t size, content_read_done *done, void *context) {
    atomic_fetch_add(&handle->holds, 1); /* once it is answered, it may be closed */
    read_once(handle, offset, size, done, context);
    content_handle_release(handle);
}

/* ---- Prefetching */

void file_prefetch_step(struct content_file *file, int result) {
    enum { IN_FLIGHT = 4 };
    pthread_mutex_lock(&file->lock);
    struct source *source = file->source;
    bool wanted = !result && file->prefetching && !file->spool && file->prefetched < source->size;
    file->prefetching = wanted;
    if (wanted)
        source_hold(source);
    uint64_t from = file->prefetched;
    pthread_mutex_unlock(&file->lock);
    if (!wanted)
        return;
    uint64_t until =
        source->size - from < IN_FLIGHT * READAHEAD_PIECE ? source->size : from + IN_FLIGHT * READAHEAD_PIECE;
    struct source_wish wish = {.from = from,
                               .to = from,
                               .ahead = from,
                               .until = until,
                               .piece = READAHEAD_PIECE,
                               .limit = IN_FLIGHT,
                               .keep = true,
                               .for_cache = source->size > READAHEAD_PIECE};
    uint64_t reached = from;
    source_request(source, &wish, NULL, &reached);
    pthread_mutex_lock(&file->lock);
    if (file->source == source && reached > file->prefetched)
        file->prefetched = reached;
    pthread_mutex_unlock(&file->lock);
    source_release(source);
}

int content_prefetch(struct content *content, uint64_t ino, const struct content_version *version, uint64_t moment) {
    struct content_file *file;
    int r = content_file_get(content, ino, version, 0, &moment, &file);
    if (r)
        return r;
    pthread_mutex_lock(&file->lock);
    file->prefetching = true;
    file->prefetched = 0;
    pthread_mutex_unlock(&file->lock);
    file_prefetch_step(file, 0);
    content_file_release(file);
    return 0;
}
