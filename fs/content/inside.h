/* What the files of fs/content know of each other.
 *
 * Locks, outermost first: content_file.commit, content_file.order, content_file.lock, source.lock; then the leaves: the
 * cache's, the budget's, the writer's, the spool's, content.lock. Only commit and order are held across I/O, on this
 * machine's disk. Nothing is held when the origin or a reader is called. */
#pragma once

#include "base/map.h"
#include "base/workers.h"
#include "fs/content/budget.h"
#include "fs/content/cache.h"
#include "fs/content/content.h"
#include "fs/content/fetch.h"
#include "fs/content/ranges.h"
#include "fs/content/readahead.h"
#include "fs/content/spool.h"
#include "fs/content/writer.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MOMENTS = 1024 };

struct content {
    struct content_origin origin; /* its context is borrowed */
    unsigned parallel_ranges;
    struct spool *spool; /* owned, as those below */
    struct cache *cache;
    struct budget *budget;
    struct writer *writer;
    struct workers *tidy; /* slow things that nobody waits for */
    _Atomic uint64_t hits, misses;
    _Atomic bool ending;
    pthread_mutex_t lock;
    pthread_cond_t quiet;      /* fetching became 0 */
    struct map files;          /* ino to struct content_file, those that something holds; under lock, as all below */
    struct map spools;         /* ino to spool number: written files that nothing holds */
    uint64_t moments[MOMENTS]; /* by ino, several share one: how often a written file became clean */
    size_t fetching;
};

/* One inode's bytes. */
struct content_file {
    struct content *content;
    uint64_t ino;
    unsigned holds, handles; /* under content->lock */
    bool listed;             /* in content->files; likewise */
    pthread_mutex_t commit;  /* one commit at a time */
    pthread_rwlock_t order;  /* who changes the bytes is alone; who reads the spool shares */
    pthread_mutex_t lock;  /* for what is below; changed with order held as well, so that either suffices to read it */
    struct source *source; /* owned; what the origin has */
    uint64_t size;
    uint64_t spool; /* 0: clean, and none of the next lines counts */
    int fd;         /* owned; of the spool file, else -1 */
    uint64_t counted;
    struct spool_map map; /* what of the origin's bytes the spool has or does not need */
    bool map_stored;      /* there is a map file */
    bool map_changed;     /* and it, or its absence, is not what `map` says */
    bool filled;          /* bytes from the origin came into the spool and are not on the disk for sure */
    uint64_t renewed;     /* how often a truncate wrote the map file anew */
    bool name_new;        /* names in the spool folder changed since it was last made durable */
    bool dropped;         /* the node is gone */
    bool uncommitted;
    bool marked;        /* the spool file, on the disk, as written since content_recorded; under order */
    uint64_t uncounted; /* bytes written since the spool's size was last counted */
    int64_t mtime_ns, written_ms, first_written_ms;
    unsigned uploads; /* open ones: while there are any, changes are noted. Changed under content->lock as well */
    uint64_t mark;
    bool mark_used;        /* something changed since the mark was last asked for */
    uint64_t size_mark;    /* of the last change that counts for all bytes: of the size, or when nobody noted where */
    struct ranges changes; /* to the mark of the last change */
    bool prefetching;
    uint64_t prefetched; /* how far prefetch has come */
};

struct content_handle {
    _Atomic unsigned holds;    /* a read may outlive the close that its answer allows */
    struct content_file *file; /* held */
    pthread_mutex_t lock;
    struct readahead ahead; /* under lock */
};

/* ---- content.c */
void content_file_hold(struct content_file *file);
void content_file_release(struct content_file *file); /* without locks */
/* The file of this inode, held, as it stands or made from the record. moment NULL: the record is surely not old. */
int content_file_get(struct content *content, uint64_t ino, const struct content_version *version, uint64_t spool,
                     const uint64_t *moment, struct content_file **out);
/* A written file is clean now: records from before are old. */
void content_moment_over(struct content *content, uint64_t ino);
void content_fetch_begun(struct content *content);
void content_fetch_over(struct content *content);

void content_handle_release(struct content_handle *handle);

/* ---- file.c */
int file_create(struct content *content, uint64_t ino, const struct content_version *version, uint64_t spool,
                struct content_file **out);
void file_destroy(struct content_file *file);
void file_state(struct content_file *file, struct content_state *out);
/* The first hole of [from, to) in the spool, under order or lock: *start == to if there is none. All of a clean file is
 * one. */
void file_hole(const struct content_file *file, uint64_t from, uint64_t to, uint64_t *start, uint64_t *end);
/* Before so many bytes are written: 0 or -ENOSPC. slow: waits a little when the writer outruns the wire. */
int file_admit(struct content_file *file, uint64_t size, bool slow);
/* [start, end) of the spool has bytes now. Under order. */
int file_note(struct content_file *file, uint64_t start, uint64_t end);
bool file_is_partial(const struct content_file *file); /* under order or lock */

/* ---- commit.c */
int file_commit(struct content_file *file, bool durable, struct content_state *out);
/* As content_recorded, for a file that is held. */
void file_recorded(struct content_file *file, uint64_t spool);
/* Notes on disk what content_fill brought. */
int file_keep_map(struct content_file *file);

/* ---- read.c */
/* A fetch ended with this result: the next ranges of a file that is fetched whole are asked for. */
void file_prefetch_step(struct content_file *file, int result);
