/* All of it: making, ending, and the table of files that something holds. */
#include "fs/content/inside.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <sys/statvfs.h>

#define DEFAULT_CACHE (10ull << 30)
#define DEFAULT_MEMORY (96ull << 20)
enum { DEFAULT_RANGES = 8, FREE_BESIDE_CACHE = 64 << 20 };

/* ---- Making and ending */

/* The spool's disk is as good a guess for the cache's as any: they are one on nearly every machine. */
static bool has_room(void *context, uint64_t size) {
    return spool_spare(context, size, FREE_BESIDE_CACHE);
}

static uint64_t default_cache(const char *folder) {
    struct statvfs fs;
    if (statvfs(folder, &fs))
        return DEFAULT_CACHE;
    uint64_t tenth = (uint64_t)fs.f_bavail * fs.f_frsize / 10;
    return tenth < DEFAULT_CACHE ? tenth : DEFAULT_CACHE;
}

static int create_cache(struct content *content, const struct content_options *options) {
    int r = file_make_folders(options->cache_folder, 0700);
    if (r)
        return r;
    struct cache_options cache = {.folder = options->cache_folder,
                                  .limit = options->cache_limit ? options->cache_limit
                                                                : default_cache(options->cache_folder),
                                  .room = has_room,
                                  .context = content->spool};
    return cache_create(&content->cache, &cache);
}

static void scan_cache(void *context) {
    struct content *content = context;
    cache_scan(content->cache, &content->ending);
}

static int create_parts(struct content *content, const struct content_options *options, struct fault *fault) {
    int r = spool_create(&content->spool, options->spool_folder, options->disk_reserve);
    if (r)
        return fault_set(fault, r, "cannot use the folder %s for files that are not in the bucket yet: %s",
                         options->spool_folder, error_text(r));
    r = create_cache(content, options);
    if (r)
        return fault_set(fault, r, "cannot use the folder %s for cached files: %s", options->cache_folder,
                         error_text(r));
    r = budget_create(&content->budget, options->memory_budget ? options->memory_budget : DEFAULT_MEMORY,
                      &fetch_budget_user);
    if (!r)
        r = writer_create(&content->writer, content->budget);
    if (!r)
        r = workers_create(&content->tidy, "pail-tidy", 2, SIZE_MAX);
    if (!r)
        r = workers_submit(content->tidy, WORKERS_LATER, scan_cache, content);
    return r ? fault_set(fault, r, "cannot start to keep files: %s", error_text(r)) : 0;
}

DEFINE_CLEANUP(struct content *, content_destroy)

int content_create(struct content **out, const struct content_options *options, struct fault *fault) {
    CLEANUP(content_destroy_p) struct content *content = calloc(1, sizeof *content);
    if (!content)
        return -ENOMEM;
    pthread_mutex_init(&content->lock, NULL);
    pthread_cond_init(&content->quiet, NULL);
    content->origin = options->origin;
    content->parallel_ranges = options->parallel_ranges ? options->parallel_ranges : DEFAULT_RANGES;
    int r = create_parts(content, options, fault);
    if (!r)
        *out = TAKE(content);
    return r;
}

void content_destroy(struct content *content) {
    if (!content)
        return;
    content->ending = true;
    pthread_mutex_lock(&content->lock);
    while (content->fetching)
        pthread_cond_wait(&content->quiet, &content->lock);
    pthread_mutex_unlock(&content->lock);
    writer_stop(content->writer);
    workers_destroy(content->tidy);
    budget_clear(content->budget); /* files stay as long as memory holds bytes of them */
    writer_destroy(content->writer);
    budget_destroy(content->budget);
    cache_destroy(content->cache);
    spool_destroy(content->spool);
    map_finish(&content->files);
    map_finish(&content->spools);
    pthread_cond_destroy(&content->quiet);
    pthread_mutex_destroy(&content->lock);
    free(content);
}

int content_sweep(struct content *content, const uint64_t *spools, size_t count) {
    return spool_sweep(content->spool, spools, count);
}

int content_unrecorded(struct content *content, uint64_t spool, struct content_state *out) {
    *out = (struct content_state){.spool = spool};
    return spool_marked(content->spool, spool, &out->size, &out->mtime_ns);
}

void content_recorded(struct content *content, uint64_t ino, uint64_t spool) {
    pthread_mutex_lock(&content->lock);
    struct content_file *file = map_get(&content->files, ino);
    if (file)
        file->holds++;
    pthread_mutex_unlock(&content->lock);
    if (!file) {
        spool_unmark(content->spool, spool);
        return;
    }
    file_recorded(file, spool);
    content_file_release(file);
}

void content_fetch_begun(struct content *content) {
    pthread_mutex_lock(&content->lock);
    content->fetching++;
    pthread_mutex_unlock(&content->lock);
}

void content_fetch_over(struct content *content) {
    pthread_mutex_lock(&content->lock);
    if (!--content->fetching)
        pthread_cond_broadcast(&content->quiet);
    pthread_mutex_unlock(&content->lock);
}

/* ---- The table */

void content_file_hold(struct content_file *file) {
    pthread_mutex_lock(&file->content->lock);
    file->holds++;
    pthread_mutex_unlock(&file->content->lock);
}

/* A written file is remembered by its spool's number: a caller whose record is a moment old must not see the origin's
 * bytes under it. Under lock. */
static void forget_file(struct content_file *file) {
    struct content *content = file->content;
    if (!file->listed)
        return;
    map_remove(&content->files, file->ino);
    file->listed = false;
    if (file->spool && !file->dropped)
        map_put(&content->spools, file->ino, (void *)(uintptr_t)file->spool);
}

void content_file_release(struct content_file *file) {
    struct content *content = file->content;
    pthread_mutex_lock(&content->lock);
    bool last = !--file->holds;
    if (last)
        forget_file(file);
    pthread_mutex_unlock(&content->lock);
    if (last)
        file_destroy(file);
}

/* A file that nobody has open, only memory holds bytes of it, and which is of another version than the record says. */
static bool is_stale(const struct content_file *file, const struct content_version *version, uint64_t spool) {
    return !file->handles && !file->uploads && !file->spool && !spool &&
           (file->source->size != version->size || !text_equal(file->source->identity, version->identity));
}

/* The file as it is known, held; NULL: it is not. Under lock. */
static struct content_file *find_file(struct content *content, uint64_t ino, const struct content_version *version,
                                      uint64_t spool) {
    struct content_file *file = map_get(&content->files, ino);
    if (file && is_stale(file, version, spool)) {
        forget_file(file);
        file->source->retired = true;
        file = NULL;
    }
    if (file)
        file->holds++;
    return file;
}

uint64_t content_moment(struct content *content, uint64_t ino) {
    pthread_mutex_lock(&content->lock);
    uint64_t moment = content->moments[ino % MOMENTS];
    pthread_mutex_unlock(&content->lock);
    return moment;
}

void content_moment_over(struct content *content, uint64_t ino) {
    pthread_mutex_lock(&content->lock);
    content->moments[ino % MOMENTS]++;
    pthread_mutex_unlock(&content->lock);
}

/* A file made from an old record would be taken for the truth by everybody who opens it meanwhile. Under lock. */
static int list_file(struct content *content, struct content_file *file, const uint64_t *moment) {
    if (moment && content->moments[file->ino % MOMENTS] != *moment)
        return -ESTALE;
    int r = map_put(&content->files, file->ino, file);
    if (r)
        return r;
    map_remove(&content->spools, file->ino);
    file->listed = true;
    return 0;
}

int content_file_get(struct content *content, uint64_t ino, const struct content_version *version, uint64_t spool,
                     const uint64_t *moment, struct content_file **out) {
    pthread_mutex_lock(&content->lock);
    *out = find_file(content, ino, version, spool);
    uintptr_t known = (uintptr_t)map_get(&content->spools, ino);
    pthread_mutex_unlock(&content->lock);
    if (*out)
        return 0;
    struct content_file *fresh;
    int r = file_create(content, ino, version, known ? known : spool, &fresh);
    if (r)
        return r == -ENOENT ? -ESTALE : r;
    pthread_mutex_lock(&content->lock);
    *out = find_file(content, ino, version, spool);
    if (!*out && !(r = list_file(content, fresh, moment)))
        *out = TAKE(fresh);
    pthread_mutex_unlock(&content->lock);
    if (fresh)
        content_file_release(fresh);
    return r;
}

/* ---- Handles */

int content_open(struct content *content, uint64_t ino, const struct content_version *version, uint64_t spool,
                 uint64_t moment, struct content_handle **out) {
    struct content_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return -ENOMEM;
    int r = content_file_get(content, ino, version, spool, &moment, &handle->file);
    if (r) {
        free(handle);
        return r;
    }
    pthread_mutex_init(&handle->lock, NULL);
    handle->holds = 1;
    pthread_mutex_lock(&content->lock);
    handle->file->handles++;
    pthread_mutex_unlock(&content->lock);
    *out = handle;
    return 0;
}

void content_handle_release(struct content_handle *handle) {
    if (atomic_fetch_sub(&handle->holds, 1) > 1)
        return;
    struct content_file *file = handle->file;
    pthread_mutex_destroy(&handle->lock);
    free(handle);
    content_file_release(file);
}

void content_close(struct content_handle *handle) {
    if (!handle)
        return;
    struct content_file *file = handle->file;
    pthread_mutex_lock(&file->content->lock);
    bool last = !--file->handles;
    pthread_mutex_unlock(&file->content->lock);
    if (last) {
        struct content_state state;
        file_state(file, &state);
        if (state.spool && (state.uncommitted || state.partial))
            file_commit(file, false, &state); /* what memory knows of the spool is written down */
        pthread_mutex_lock(&file->lock);
        struct source *source = file->source;
        source_hold(source);
        pthread_mutex_unlock(&file->lock);
        source_abandon(source);
        source_release(source);
    }
    content_handle_release(handle);
}

int content_new_spool(struct content *content, uint64_t *spool) {
    int64_t delay_ms;
    int r = spool_admit(content->spool, 1, &delay_ms);
    if (r)
        return r;
    int fd;
    r = spool_new(content->spool, spool, &fd);
    if (!r)
        close(fd);
    return r;
}

bool content_peek(struct content *content, uint64_t ino, struct content_state *out) {
    pthread_mutex_lock(&content->lock);
    struct content_file *file = map_get(&content->files, ino);
    if (file && file->handles)
        file->holds++;
    else
        file = NULL;
    pthread_mutex_unlock(&content->lock);
    if (!file)
        return false;
    file_state(file, out);
    content_file_release(file);
    return true;
}

struct removal {
    struct content *content;
    uint64_t ino, spool;
    bool counts;
};

static void remove_bytes(void *context) {
    struct removal *removal = context;
    if (removal->spool)
        spool_remove(removal->content->spool, removal->spool, removal->counts);
    if (removal->ino)
        cache_remove(removal->content->cache, removal->ino);
    free(removal);
}

/* Marks the file as gone, if it is known; *spool becomes its own. Whether that one's bytes are still counted. */
static bool drop_file(struct content *content, uint64_t ino, uint64_t *spool) {
    pthread_mutex_lock(&content->lock);
    struct content_file *file = map_get(&content->files, ino);
    if (file)
        file->holds++;
    uint64_t known = (uintptr_t)map_remove(&content->spools, ino);
    pthread_mutex_unlock(&content->lock);
    if (!file) {
        *spool = *spool ? *spool : known;
        return true;
    }
    pthread_mutex_lock(&file->commit);
    pthread_mutex_lock(&file->lock);
    if (file->spool) {
        *spool = file->spool;
        spool_count(content->spool, -1, &file->counted);
    }
    file->dropped = true;
    file->source->retired = true;
    pthread_mutex_unlock(&file->lock);
    pthread_mutex_unlock(&file->commit);
    content_file_release(file);
    return false;
}

void content_drop(struct content *content, uint64_t ino, uint64_t spool) {
    bool counts = !ino || drop_file(content, ino, &spool);
    struct removal *removal = malloc(sizeof *removal);
    if (!removal)
        return; /* the next start sweeps */
    *removal = (struct removal){content, ino, spool, counts};
    if (workers_submit_always(content->tidy, WORKERS_SOON, remove_bytes, removal))
        remove_bytes(removal);
}

/* ---- For people and limits */

void content_totals(struct content *content, struct content_totals *out) {
    *out = (struct content_totals){.spool_bytes = spool_bytes(content->spool),
                                   .memory_bytes = budget_used(content->budget),
                                   .hits = content->hits,
                                   .misses = content->misses,
                                   .damaged = cache_damaged(content->cache)};
    cache_totals(content->cache, &out->cache_bytes, &out->cache_limit, &out->cache_files);
}

void content_evict(struct content *content, uint64_t keep) {
    cache_evict(content->cache, keep);
}

/* Bytes of a written file that are in the spool. */
static uint64_t present_in_spool(struct content_file *file) {
    uint64_t bytes = 0;
    pthread_mutex_lock(&file->lock);
    for (uint64_t start, end, at = 0; at < file->size; at = end) {
        file_hole(file, at, file->size, &start, &end);
        bytes += start - at;
        if (start == file->size)
            break;
    }
    pthread_mutex_unlock(&file->lock);
    return bytes;
}

uint64_t content_present(struct content *content, uint64_t ino, const struct content_version *version) {
    pthread_mutex_lock(&content->lock);
    struct content_file *file = map_get(&content->files, ino);
    uint64_t known = (uintptr_t)map_get(&content->spools, ino);
    if (file)
        file->holds++;
    pthread_mutex_unlock(&content->lock);
    if (!file && file_create(content, ino, version, known, &file)) /* for this look only: the record may be old */
        return 0;
    uint64_t bytes = 0;
    pthread_mutex_lock(&file->lock);
    bool written = file->spool;
    struct source *source = file->source;
    source_hold(source);
    pthread_mutex_unlock(&file->lock);
    bytes = written ? present_in_spool(file) : source_present(source);
    source_release(source);
    content_file_release(file);
    return bytes;
}
