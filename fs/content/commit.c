/* Noting on disk what a crash must find of a written file: its bytes, and the map of where they are. */
#include "fs/content/inside.h"

#include <errno.h>
#include <unistd.h>

/* What a commit makes true, taken at one moment. */
struct snapshot {
    struct content_state state;
    struct spool_map map; /* owned copy */
    int fd;
    uint64_t spool;
    uint64_t renewed;
    bool partial, map_stored, write_map, sync, name_new;
};

static int copy_map(const struct spool_map *from, struct spool_map *to) {
    struct range range;
    to->limit = from->limit;
    for (uint64_t at = 0; ranges_next(&from->ranges, at, &range) && range.start < from->limit; at = range.end) {
        int r = ranges_set(&to->ranges, range.start, range.end, range.value);
        if (r)
            return r;
    }
    return 0;
}

/* From now on, writes are uncommitted again (map_only: those from before still are). */
static int take_snapshot(struct content_file *file, bool durable, bool map_only, struct snapshot *snapshot) {
    file_state(file, &snapshot->state);
    pthread_mutex_lock(&file->lock);
    *snapshot = (struct snapshot){.state = snapshot->state, .fd = file->fd, .spool = file->spool};
    snapshot->partial = file_is_partial(file);
    snapshot->map_stored = file->map_stored;
    snapshot->write_map = file->map_changed || snapshot->partial != file->map_stored;
    /* A map that speaks of fetched bytes must not be older than they are: a power cut would make them zeros. */
    snapshot->sync = durable || (file->filled && snapshot->write_map);
    snapshot->name_new = file->name_new;
    snapshot->renewed = file->renewed;
    int r = snapshot->partial && snapshot->write_map ? copy_map(&file->map, &snapshot->map) : 0;
    if (!r) {
        file->uncommitted &= map_only;
        file->map_changed = false;
        if (snapshot->sync)
            file->filled = false;
        if (durable)
            file->name_new = false;
    }
    pthread_mutex_unlock(&file->lock);
    return r;
}

/* With order held shared, so that no truncate renews the map at the same time. */
static int store_map(struct content_file *file, const struct snapshot *snapshot, bool durable) {
    struct spool *spool = file->content->spool;
    int r = 0;
    if (snapshot->write_map && snapshot->partial)
        r = spool_map_write(spool, snapshot->spool, &snapshot->map, durable);
    else if (snapshot->write_map && snapshot->map_stored)
        r = spool_map_remove(spool, snapshot->spool);
    if (!r && durable && (snapshot->name_new || snapshot->write_map))
        r = spool_sync_folder(spool);
    return r;
}

static void settle(struct content_file *file, const struct snapshot *snapshot, bool durable, int result) {
    pthread_mutex_lock(&file->lock);
    if (result) {
        file->uncommitted |= snapshot->state.uncommitted;
        file->map_changed |= snapshot->write_map;
        file->filled |= snapshot->sync;
        file->name_new = true;
    } else if (snapshot->write_map) {
        file->map_stored = snapshot->partial;
        file->name_new |= !durable;
    }
    pthread_mutex_unlock(&file->lock);
}

enum { AGAIN = 1 };

/* Nobody is held up while bytes are brought to the disk, which may take long. If the file is cut meanwhile, the map on
 * the disk is newer than the snapshot: AGAIN. */
static int commit_once(struct content_file *file, bool durable, bool map_only, struct snapshot *snapshot) {
    pthread_rwlock_rdlock(&file->order);
    int r = take_snapshot(file, durable, map_only, snapshot);
    pthread_rwlock_unlock(&file->order);
    if (r)
        return r;
    int synced = snapshot->sync && fdatasync(snapshot->fd) ? -errno : 0;
    pthread_rwlock_rdlock(&file->order);
    if (file->dropped)
        r = 0;
    else if (synced)
        r = synced;
    else if (file->renewed != snapshot->renewed)
        r = AGAIN;
    else
        r = store_map(file, snapshot, durable);
    settle(file, snapshot, durable, r);
    pthread_rwlock_unlock(&file->order);
    return r;
}

static int commit_written(struct content_file *file, bool durable, bool map_only, struct content_state *out) {
    int r = AGAIN;
    while (r == AGAIN) {
        struct snapshot snapshot = {0};
        r = commit_once(file, durable, map_only, &snapshot);
        ranges_finish(&snapshot.map.ranges);
        *out = snapshot.state;
    }
    out->uncommitted = r;
    return r;
}

int file_commit(struct content_file *file, bool durable, struct content_state *out) {
    int r = 0;
    pthread_mutex_lock(&file->commit);
    file_state(file, out);
    if (out->spool)
        r = commit_written(file, durable, false, out);
    pthread_mutex_unlock(&file->commit);
    return r;
}

int content_commit(struct content_handle *handle, bool durable, struct content_state *out) {
    return file_commit(handle->file, durable, out);
}

void file_recorded(struct content_file *file, uint64_t spool) {
    pthread_rwlock_wrlock(&file->order);
    if (file->spool == spool && file->marked && !file->uncommitted) {
        spool_mark(file->fd, false);
        file->marked = false;
    }
    pthread_rwlock_unlock(&file->order);
}

int file_keep_map(struct content_file *file) {
    struct content_state state;
    int r = 0;
    pthread_mutex_lock(&file->commit);
    file_state(file, &state);
    if (state.spool)
        r = commit_written(file, false, true, &state);
    pthread_mutex_unlock(&file->commit);
    return r;
}
