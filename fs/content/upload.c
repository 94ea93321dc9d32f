/* One version of a written file on its way to the bucket: reading it, noticing changes, and being clean afterwards. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "fs/content/inside.h"

#include <errno.h>

enum {
    FILL_STEP = 1 << 20,     /* brought from memory to the spool at once */
    FILL_AHEAD = 4,          /* pieces in flight */
    FILL_COMMIT = 256 << 20, /* noted on disk this often: a crash must not begin anew */
    POLL_MS = 100,
};

struct content_upload {
    struct content_file *file; /* held */
    uint64_t spool;            /* the one it was opened for */
};

static void change_uploads(struct content_file *file, bool more) {
    pthread_mutex_lock(&file->lock);
    pthread_mutex_lock(&file->content->lock);
    if (more)
        file->uploads++;
    else
        file->uploads--;
    pthread_mutex_unlock(&file->content->lock);
    if (!file->uploads)
        ranges_finish(&file->changes);
    pthread_mutex_unlock(&file->lock);
}

int content_upload_open(struct content *content, uint64_t ino, uint64_t spool, const struct content_version *base,
                        struct content_upload **out, uint64_t *size) {
    struct content_upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        return -ENOMEM;
    int r = content_file_get(content, ino, base, spool, NULL, &upload->file);
    if (r) {
        free(upload);
        return r;
    }
    struct content_file *file = upload->file;
    change_uploads(file, true);
    pthread_mutex_lock(&file->lock);
    upload->spool = file->spool;
    *size = file->size;
    bool gone = !file->spool || file->dropped;
    pthread_mutex_unlock(&file->lock);
    if (gone) { /* sent by another, or removed */
        content_upload_close(upload);
        return -ESTALE;
    }
    *out = upload;
    return 0;
}

void content_upload_close(struct content_upload *upload) {
    if (!upload)
        return;
    change_uploads(upload->file, false);
    content_file_release(upload->file);
    free(upload);
}

/* ---- Filling */

struct waiting {
    struct waiter waiter;
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool done;
    int result;
};

static void on_ready(struct waiter *waiter, int result) {
    struct waiting *waiting = (struct waiting *)waiter;
    pthread_mutex_lock(&waiting->lock);
    waiting->done = true;
    waiting->result = result;
    pthread_cond_signal(&waiting->told);
    pthread_mutex_unlock(&waiting->lock);
}

static bool is_cancelled(const struct content_upload *upload, const _Atomic bool *cancelled) {
    return (cancelled && *cancelled) || upload->file->content->ending;
}

/* PAIL_CANCELLED: and nobody will tell any more. */
static int wait_until_told(struct content_upload *upload, struct source *source, struct waiting *waiting,
                           const _Atomic bool *cancelled) {
    pthread_mutex_lock(&waiting->lock);
    while (!waiting->done) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += POLL_MS * 1000000l;
        until.tv_sec += until.tv_nsec / 1000000000l;
        until.tv_nsec %= 1000000000l;
        pthread_cond_timedwait(&waiting->told, &waiting->lock, &until);
        if (waiting->done || !is_cancelled(upload, cancelled))
            continue;
        pthread_mutex_unlock(&waiting->lock);
        bool quiet = source_unwait(source, &waiting->waiter);
        pthread_mutex_lock(&waiting->lock);
        while (!quiet && !waiting->done)
            pthread_cond_wait(&waiting->told, &waiting->lock);
        waiting->done = true;
        waiting->result = PAIL_CANCELLED;
    }
    pthread_mutex_unlock(&waiting->lock);
    return waiting->result;
}

/* Until [from, to) of the source is here, with more of [from, until) on its way. */
static int bring(struct content_upload *upload, struct source *source, uint64_t from, uint64_t to, uint64_t until,
                 const _Atomic bool *cancelled) {
    uint64_t most = from + (uint64_t)FILL_AHEAD * READAHEAD_PIECE;
    struct waiting waiting = {.waiter = {.from = from, .to = to, .ready = on_ready}};
    struct source_wish wish = {.from = from,
                               .to = to,
                               .ahead = from,
                               .until = until < most ? until : most,
                               .piece = READAHEAD_PIECE,
                               .limit = FILL_AHEAD};
    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.told, NULL);
    int r = source_request(source, &wish, &waiting.waiter, NULL);
    if (!r)
        r = wait_until_told(upload, source, &waiting, cancelled);
    pthread_cond_destroy(&waiting.told);
    pthread_mutex_destroy(&waiting.lock);
    return r == SOURCE_HERE ? 0 : r;
}

/* Writes what of these bytes the spool still lacks: what was written meanwhile stays. With order held alone. */
static int pour_locked(struct content_file *file, uint64_t from, uint64_t to, const char *data) {
    for (uint64_t start, end, at = from; at < to; at = end) {
        file_hole(file, at, to, &start, &end);
        if (start >= to)
            return 0;
        int r = file_pwrite_all(file->fd, data + (start - from), (size_t)(end - start), (off_t)start);
        if (!r)
            r = file_note(file, start, end);
        if (r)
            return r;
    }
    return 0;
}

static int pour(struct content_upload *upload, uint64_t from, uint64_t to, const char *data) {
    struct content_file *file = upload->file;
    int r = file_admit(file, to - from, false);
    if (r)
        return r;
    pthread_rwlock_wrlock(&file->order);
    if (file->spool == upload->spool) {
        r = pour_locked(file, from, to, data);
        pthread_mutex_lock(&file->lock);
        file->filled = true;
        pthread_mutex_unlock(&file->lock);
    }
    pthread_rwlock_unlock(&file->order);
    return r;
}

/* The next hole of the file; false: it is whole. The source is held for the caller. */
static bool next_hole(struct content_upload *upload, uint64_t *from, uint64_t *until, struct source **source) {
    struct content_file *file = upload->file;
    pthread_mutex_lock(&file->lock);
    uint64_t limit = file->map.limit;
    bool hole = file->spool == upload->spool && limit;
    if (hole)
        file_hole(file, 0, limit, from, until);
    hole = hole && *from < limit;
    if (hole) {
        *source = file->source;
        source_hold(*source);
    }
    pthread_mutex_unlock(&file->lock);
    return hole;
}

static int fill_step(struct content_upload *upload, struct source *source, uint64_t from, uint64_t until,
                     const _Atomic bool *cancelled) {
    uint64_t to = from - from % FILL_STEP + FILL_STEP;
    if (to > until)
        to = until;
    if (to > source->size)
        return PAIL_DAMAGED; /* the record speaks of more bytes than the origin ever had */
    AUTO_FREE char *data = malloc((size_t)(to - from));
    if (!data)
        return -ENOMEM;
    int r = bring(upload, source, from, to, until, cancelled);
    if (r)
        return r;
    to = source_copy(source, from, to, data); /* less: some of it went again */
    source_read_done(source, from, to);
    return to > from ? pour(upload, from, to, data) : 0;
}

int content_fill(struct content_upload *upload, const _Atomic bool *cancelled) {
    uint64_t from, until, poured = 0;
    struct source *source;
    bool any = false;
    while (next_hole(upload, &from, &until, &source)) {
        int r = is_cancelled(upload, cancelled) ? PAIL_CANCELLED : fill_step(upload, source, from, until, cancelled);
        source_release(source);
        any = true;
        poured += FILL_STEP;
        if (!r && poured >= FILL_COMMIT) {
            poured = 0;
            r = file_keep_map(upload->file);
        }
        if (r)
            return r;
    }
    return any ? file_keep_map(upload->file) : 0;
}

/* ---- Sending */

int content_upload_read(struct content_upload *upload, uint64_t offset, void *data, size_t size) {
    struct content_file *file = upload->file;
    uint64_t start, end;
    int r = 0;
    pthread_rwlock_rdlock(&file->order);
    if (file->spool != upload->spool || offset > file->size || size > file->size - offset) {
        r = -ESTALE;
    } else {
        file_hole(file, offset, offset + size, &start, &end);
        r = start < offset + size ? -ENODATA : 0;
    }
    if (!r) {
        ssize_t n = file_pread_all(file->fd, data, size, (off_t)offset);
        r = n < 0 ? (int)n : (size_t)n < size ? -EIO : 0;
    }
    pthread_rwlock_unlock(&file->order);
    return r;
}

uint64_t content_upload_mark(struct content_upload *upload) {
    struct content_file *file = upload->file;
    pthread_mutex_lock(&file->lock);
    if (file->mark_used)
        file->mark++;
    file->mark_used = false;
    uint64_t mark = file->mark;
    pthread_mutex_unlock(&file->lock);
    return mark;
}

/* Under lock. */
static bool changed_since(const struct content_file *file, uint64_t mark, uint64_t start, uint64_t end) {
    if (file->size_mark > mark)
        return true;
    struct range range;
    for (uint64_t at = start; at < end && ranges_next(&file->changes, at, &range) && range.start < end; at = range.end)
        if (range.value > mark)
            return true;
    return false;
}

bool content_upload_changed(struct content_upload *upload, uint64_t mark, uint64_t offset, uint64_t length) {
    struct content_file *file = upload->file;
    pthread_mutex_lock(&file->lock);
    uint64_t end = length < UINT64_MAX - offset ? offset + length : UINT64_MAX;
    bool changed = file->spool != upload->spool || changed_since(file, mark, offset, end);
    pthread_mutex_unlock(&file->lock);
    return changed;
}

/* ---- Being clean */

static int give(void *context, const char *path) {
    struct content_file *file = context;
    return spool_give(file->content->spool, file->spool, path);
}

struct sealing {
    struct cache_file *cache;
    struct content *content;
};

static void seal(void *context) {
    struct sealing *sealing = context;
    cache_seal(sealing->cache, &sealing->content->ending);
    cache_close(sealing->cache);
    free(sealing);
}

/* In the background. The file descriptor stays believed without it. */
static void begin_seal(struct content *content, struct cache_file *cache) {
    struct sealing *sealing = malloc(sizeof *sealing);
    if (!sealing)
        return;
    cache_hold(cache);
    *sealing = (struct sealing){cache, content};
    if (!workers_submit_always(content->tidy, WORKERS_LATER, seal, sealing))
        return;
    cache_close(cache);
    free(sealing);
}

/* The spool file as a cache file of the version; NULL: it was removed. With order held alone. */
static struct cache_file *become_cache(struct content_file *file, const struct content_version *version, bool whole) {
    struct content *content = file->content;
    struct cache_file *cache = NULL;
    spool_count(content->spool, -1, &file->counted);
    if (whole && version->size)
        cache = cache_adopt(content->cache, file->ino, version->identity, version->size, file->fd, give, file);
    else
        close(file->fd);
    if (!cache)
        spool_remove(content->spool, file->spool, false);
    return cache;
}

/* The file's source from now on is this one. Returns the one before. With order. */
static struct source *change_source(struct content_file *file, struct source *source) {
    pthread_mutex_lock(&file->lock);
    struct source *before = file->source;
    file->source = source;
    pthread_mutex_unlock(&file->lock);
    before->retired = true;
    return before;
}

/* With commit held, and order alone. Returns the source before. */
static struct source *become_clean(struct content_file *file, struct source *source,
                                   const struct content_version *version) {
    uint64_t start, end;
    file_hole(file, 0, file->map.limit, &start, &end);
    struct cache_file *cache = become_cache(file, version, start >= file->map.limit);
    if (cache) {
        begin_seal(file->content, cache);
        cache_close(source->cache);
        source->cache = cache;
    }
    struct source *before = change_source(file, source);
    pthread_mutex_lock(&file->lock);
    file->spool = 0;
    file->fd = -1;
    file->uncommitted = false;
    file->map_stored = file->map_changed = file->filled = file->name_new = false;
    ranges_finish(&file->map.ranges);
    file->map.limit = 0;
    pthread_mutex_unlock(&file->lock);
    content_moment_over(file->content, file->ino);
    return before;
}

/* With commit held, and order alone. Returns a source that is not the file's any more. */
static struct source *take_version(struct content_upload *upload, uint64_t mark, struct source *source,
                                   const struct content_version *version, bool *clean) {
    struct content_file *file = upload->file;
    pthread_mutex_lock(&file->lock);
    bool ours = file->spool == upload->spool;
    *clean = ours && file->size == version->size && !changed_since(file, mark, 0, UINT64_MAX);
    bool based = ours && version->size >= file->map.limit;
    bool dropped = file->dropped;
    pthread_mutex_unlock(&file->lock);
    if (dropped) /* what the bucket has is about to be deleted: who has it open goes on with the spool's bytes */
        return source;
    if (*clean)
        return become_clean(file, source, version);
    /* What was not written since is, in the bucket, the same as it was before. */
    return based ? change_source(file, source) : source;
}

bool content_uploaded(struct content_upload *upload, uint64_t mark, const struct content_version *version) {
    struct content_file *file = upload->file;
    struct source *source = source_create(file, version, NULL);
    if (!source)
        return false;
    bool clean;
    pthread_mutex_lock(&file->commit);
    pthread_rwlock_wrlock(&file->order);
    struct source *before = take_version(upload, mark, source, version, &clean);
    pthread_rwlock_unlock(&file->order);
    pthread_mutex_unlock(&file->commit);
    source_clear(before);
    source_release_own(before);
    return clean;
}
