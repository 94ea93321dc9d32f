/* One inode's bytes: what is written lies in the spool, over what the origin has. */
#include "base/file.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "fs/content/inside.h"

#include <errno.h>
#include <fcntl.h>

enum { COUNT_BYTES = 16 << 20 };

/* ---- Making and unmaking */

static int open_spool(struct content_file *file, uint64_t spool) {
    struct spool *folder = file->content->spool;
    struct spool_file there;
    int r = spool_open(folder, spool, &there);
    if (r)
        return r;
    file->fd = there.fd;
    file->size = there.size;
    file->counted = there.counted;
    file->marked = there.marked;
    file->spool = spool;
    r = spool_map_read(folder, spool, &file->map);
    if (r == -ENOENT)
        return 0;
    file->map_stored = true;
    if (!r && file->map.limit > file->size)
        file->map.limit = file->size; /* cut after the map was written */
    return r == -EBADMSG ? PAIL_DAMAGED : r;
}

int file_create(struct content *content, uint64_t ino, const struct content_version *version, uint64_t spool,
                struct content_file **out) {
    struct content_file *file = calloc(1, sizeof *file);
    if (!file)
        return -ENOMEM;
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&file->order, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    pthread_mutex_init(&file->lock, NULL);
    pthread_mutex_init(&file->commit, NULL);
    file->content = content;
    file->ino = ino;
    file->fd = -1;
    file->holds = 1;
    file->mark = file->size_mark = (uint64_t)clock_monotonic_ns(); /* beyond all marks of an earlier struct */
    file->size = version->size;
    file->source = source_create(file, version, NULL);
    int r = file->source ? 0 : -ENOMEM;
    if (!r && spool)
        r = open_spool(file, spool);
    if (r) {
        file_destroy(file);
        return r;
    }
    *out = file;
    return 0;
}

void file_destroy(struct content_file *file) {
    if (!file)
        return;
    if (file->fd >= 0) {
        if (!file->dropped)
            spool_count(file->content->spool, file->fd, &file->counted);
        close(file->fd);
    }
    source_release_own(file->source);
    ranges_finish(&file->map.ranges);
    ranges_finish(&file->changes);
    pthread_mutex_destroy(&file->commit);
    pthread_mutex_destroy(&file->lock);
    pthread_rwlock_destroy(&file->order);
    free(file);
}

/* ---- What is where */

void file_hole(const struct content_file *file, uint64_t from, uint64_t to, uint64_t *start, uint64_t *end) {
    *start = from;
    *end = to;
    if (!file->spool)
        return;
    *start = to;
    if (from >= file->map.limit)
        return;
    uint64_t hole_end, hole = ranges_hole(&file->map.ranges, from, &hole_end);
    if (hole >= file->map.limit || hole >= to)
        return;
    if (hole_end > file->map.limit)
        hole_end = file->map.limit;
    *start = hole;
    *end = hole_end < to ? hole_end : to;
}

bool file_is_partial(const struct content_file *file) {
    uint64_t start, end;
    file_hole(file, 0, file->map.limit, &start, &end);
    return file->spool && start < file->map.limit;
}

int file_note(struct content_file *file, uint64_t start, uint64_t end) {
    if (end > file->map.limit)
        end = file->map.limit;
    if (start >= end)
        return 0;
    pthread_mutex_lock(&file->lock);
    uint64_t before = file->map.ranges.bytes;
    int r = ranges_set(&file->map.ranges, start, end, 1);
    if (file->map.ranges.bytes != before)
        file->map_changed = true;
    pthread_mutex_unlock(&file->lock);
    return r;
}

void file_state(struct content_file *file, struct content_state *out) {
    pthread_mutex_lock(&file->lock);
    *out = (struct content_state){.size = file->size,
                                  .spool = file->spool,
                                  .uncommitted = file->uncommitted,
                                  .mtime_ns = file->mtime_ns,
                                  .written_ms = file->written_ms,
                                  .first_written_ms = file->first_written_ms,
                                  .partial = file_is_partial(file)};
    pthread_mutex_unlock(&file->lock);
}

/* ---- Changing. With order held alone. */

/* The first change of a clean file: a spool file over the origin's version. */
static int make_spool(struct content_file *file) {
    if (file->spool)
        return 0;
    uint64_t number;
    int fd, r = spool_new(file->content->spool, &number, &fd);
    if (r)
        return r;
    if (file->size && ftruncate(fd, (off_t)file->size)) {
        r = -errno;
        close(fd);
        spool_remove(file->content->spool, number, false);
        return r;
    }
    pthread_mutex_lock(&file->lock);
    file->spool = number;
    file->fd = fd;
    file->counted = 0;
    file->map.limit = file->size;
    file->map_stored = false;
    file->map_changed = file->size;
    file->name_new = true;
    pthread_mutex_unlock(&file->lock);
    file->marked = true;
    return 0;
}

/* Before a change: the spool file, marked, so that a crash in the middle is seen afterwards. */
static int prepare(struct content_file *file) {
    int r = make_spool(file);
    if (!r && !file->marked) {
        spool_mark(file->fd, true);
        file->marked = true;
    }
    return r;
}

/* Too many changes to tell apart: neighbours become one, as of the later. */
static void thin_changes(struct ranges *changes) {
    struct ranges thin = {0};
    struct range a, b;
    for (uint64_t at = 0; ranges_next(changes, at, &a); at = a.end) {
        if (ranges_next(changes, a.end, &b)) {
            a.value = a.value > b.value ? a.value : b.value;
            a.end = b.end;
        }
        if (ranges_set(&thin, a.start, a.end, a.value)) {
            ranges_finish(&thin); /* no memory: stay as it was */
            return;
        }
    }
    ranges_finish(changes);
    *changes = thin;
}

/* Something in [start, end) changed. Under lock. */
static void note_change(struct content_file *file, uint64_t start, uint64_t end) {
    enum { MOST_CHANGES = 4096 };
    int64_t now_ms = clock_monotonic_ms();
    file->mtime_ns = clock_realtime_ns();
    file->written_ms = now_ms;
    if (!file->uncommitted)
        file->first_written_ms = now_ms;
    file->uncommitted = true;
    file->mark_used = true;
    /* Where is not noted while nobody sends it; an older mark is not to be trusted then. */
    if (!file->uploads || ranges_set(&file->changes, start, end, file->mark + 1))
        file->size_mark = file->mark + 1; /* everything counts as changed; likewise without memory */
    if (file->changes.count > MOST_CHANGES)
        thin_changes(&file->changes);
}

static void set_size(struct content_file *file, uint64_t size) {
    if (file->size == size)
        return;
    file->size = size;
    file->size_mark = file->mark + 1;
}

static void count_written(struct content_file *file, uint64_t size) {
    file->uncounted += size;
    if (file->uncounted < COUNT_BYTES || file->dropped)
        return;
    file->uncounted = 0;
    spool_count(file->content->spool, file->fd, &file->counted);
}

int file_admit(struct content_file *file, uint64_t size, bool slow) {
    struct content *content = file->content;
    int64_t delay_ms;
    int r = spool_admit(content->spool, size, &delay_ms);
    if (r) {
        cache_give_up(content->cache, &content->ending); /* the cache is given up first */
        spool_look(content->spool);
        r = spool_admit(content->spool, size, &delay_ms);
    }
    if (!r && slow && delay_ms)
        clock_sleep_ms(delay_ms);
    return r;
}

/* Writes; what fails leaves the size as it was, but not surely the bytes. */
static int put(struct content_file *file, const void *data, size_t size, uint64_t offset) {
    int r = file_pwrite_all(file->fd, data, size, (off_t)offset);
    if (r == -ENOSPC) {
        cache_give_up(file->content->cache, &file->content->ending);
        r = file_pwrite_all(file->fd, data, size, (off_t)offset);
    }
    if (r && offset + size > file->size && ftruncate(file->fd, (off_t)file->size))
        log_warning("cannot cut a file in the spool after a failed write: %s", error_text(-errno));
    return r;
}

static int write_locked(struct content_file *file, const void *data, size_t size, uint64_t offset) {
    int r = prepare(file);
    if (r)
        return r;
    r = put(file, data, size, offset);
    if (!r)
        r = file_note(file, offset, offset + size);
    pthread_mutex_lock(&file->lock);
    if (!r || offset < file->size)
        note_change(file, offset, offset + size);
    if (!r && offset + size > file->size)
        set_size(file, offset + size);
    pthread_mutex_unlock(&file->lock);
    count_written(file, size);
    return r;
}

int content_write(struct content_handle *handle, const void *data, size_t size, uint64_t offset) {
    struct content_file *file = handle->file;
    if (size > INT64_MAX || offset > INT64_MAX - size)
        return -EFBIG;
    if (!size)
        return 0;
    int r = file_admit(file, size, true);
    if (r)
        return r;
    pthread_rwlock_wrlock(&file->order);
    r = write_locked(file, data, size, offset);
    pthread_rwlock_unlock(&file->order);
    return r;
}

/* A map on disk must not speak of bytes that were cut off: they would come back when the file grows again. */
static int renew_map(struct content_file *file) {
    if (!file->map_stored || file->dropped)
        return 0;
    bool partial = file_is_partial(file);
    int r = partial ? spool_map_write(file->content->spool, file->spool, &file->map, false)
                    : spool_map_remove(file->content->spool, file->spool);
    if (r)
        return r;
    pthread_mutex_lock(&file->lock);
    file->map_stored = partial;
    file->map_changed = false;
    file->name_new = true;
    file->renewed++;
    pthread_mutex_unlock(&file->lock);
    return 0;
}

static int truncate_locked(struct content_file *file, uint64_t size) {
    uint64_t before = file->size;
    if (size == before) {
        pthread_mutex_lock(&file->lock);
        file->mtime_ns = clock_realtime_ns();
        pthread_mutex_unlock(&file->lock);
        return 0;
    }
    int r = prepare(file);
    if (!r && ftruncate(file->fd, (off_t)size))
        r = -errno;
    if (r)
        return r;
    pthread_mutex_lock(&file->lock);
    bool cut = size < file->map.limit;
    if (cut) {
        file->map.limit = size;
        ranges_cut(&file->map.ranges, size);
        file->map_changed = true;
    }
    set_size(file, size);
    note_change(file, size < before ? size : before, size < before ? before : size);
    pthread_mutex_unlock(&file->lock);
    return cut ? renew_map(file) : 0;
}

int content_truncate(struct content_handle *handle, uint64_t size) {
    struct content_file *file = handle->file;
    if (size > INT64_MAX)
        return -EFBIG;
    pthread_rwlock_wrlock(&file->order);
    int r = truncate_locked(file, size);
    pthread_rwlock_unlock(&file->order);
    return r;
}

/* Makes [start, end) of the spool file zeros. */
static int put_zeros(struct content_file *file, uint64_t start, uint64_t end) {
    if (start >= end)
        return 0;
    if (!fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)(end - start)))
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return -errno;
    static const char zeros[64 << 10];
    int r = 0;
    for (; !r && start < end; start += sizeof zeros)
        r = put(file, zeros, end - start < sizeof zeros ? (size_t)(end - start) : sizeof zeros, start);
    return r;
}

static int zero_locked(struct content_file *file, uint64_t start, uint64_t end) {
    if (end > file->size)
        end = file->size;
    if (start >= end)
        return 0;
    int r = prepare(file);
    if (!r)
        r = put_zeros(file, start, end);
    if (!r)
        r = file_note(file, start, end);
    if (r)
        return r;
    pthread_mutex_lock(&file->lock);
    note_change(file, start, end);
    pthread_mutex_unlock(&file->lock);
    return 0;
}

/* Room on the disk for [start, end) of a written file, so that writing there cannot fail for want of it. */
static int reserve_locked(struct content_file *file, uint64_t start, uint64_t end) {
    for (int i = 0; i < 2; i++) {
        if (!file->spool || !fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)(end - start)))
            return 0;
        if (errno != ENOSPC)
            break;
        cache_give_up(file->content->cache, &file->content->ending);
        errno = ENOSPC;
    }
    return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

static int allocate_locked(struct content_file *file, int mode, uint64_t start, uint64_t end) {
    bool zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
    int r = 0;
    if (zero)
        r = zero_locked(file, start, end);
    if (!r && !(mode & FALLOC_FL_KEEP_SIZE) && end > file->size)
        r = truncate_locked(file, end);
    if (!r && !zero)
        r = reserve_locked(file, start, end);
    return r;
}

int content_allocate(struct content_handle *handle, int mode, uint64_t offset, uint64_t length) {
    struct content_file *file = handle->file;
    bool known = !mode || mode == FALLOC_FL_KEEP_SIZE || mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) ||
                 (mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE;
    if (!known)
        return -EOPNOTSUPP;
    if (!length)
        return -EINVAL;
    if (length > INT64_MAX || offset > INT64_MAX - length)
        return -EFBIG;
    int r = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ? 0 : file_admit(file, length, true);
    if (r)
        return r;
    spool_look(file->content->spool);
    pthread_rwlock_wrlock(&file->order);
    r = allocate_locked(file, mode, offset, offset + length);
    pthread_rwlock_unlock(&file->order);
    return r;
}

int content_detach(struct content_handle *handle) {
    struct content_file *file = handle->file;
    pthread_rwlock_wrlock(&file->order);
    int r = make_spool(file);
    pthread_rwlock_unlock(&file->order);
    return r;
}

void content_touch(struct content_handle *handle) {
    pthread_mutex_lock(&handle->file->lock);
    handle->file->mtime_ns = 0;
    pthread_mutex_unlock(&handle->file->lock);
}

void content_state(struct content_handle *handle, struct content_state *out) {
    file_state(handle->file, out);
}
