/* Bytes of files: what was fetched (cache: disposable), what was written here and is not in the bucket yet (spool:
 * precious), read-ahead, and one memory budget for the mount. Knows neither FUSE nor S3: missing bytes are asked of a
 * content_origin.
 *
 * A struct content_file is one inode's bytes, shared by all its handles; it is found by ino and counted. An inode's
 * bytes change only by content_write and its kin: new content from outside is a new inode. A file that was not written
 * is "clean": blocks of 16 KiB of the origin's version, in a sparse cache file with a CRC-32C for each, checked on
 * reading back (a bad one is a miss). The first write makes a spool file that lies over the origin's version: ranges
 * written here are in the spool, the others are still read from the origin, until content_fill has brought the rest or
 * nothing is missing. Which ranges are in the spool is kept beside it (atomically, at content_commit), so that it
 * survives kill -9.
 *
 * Thread-safe. No call waits for the network except content_fill; those that write or sync wait for this machine's
 * disk. No lock is held across disk or network I/O other than the one file's own order of writes. Results: 0, -errno,
 * or enum pail_error from the origin (PAIL_OFFLINE, PAIL_GONE: that version is no longer to be had, ...). */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct content;
struct content_file;
struct content_handle;

/* Bytes that arrive for a request to the origin, in order. Called by the origin from any thread; content copies them.
 */
struct content_fetch;
/* Non-zero: nobody wants the rest (dropped, cancelled); the origin stops and calls content_fetch_end all the same. */
int content_fetch_data(struct content_fetch *fetch, const void *data, size_t size);
void content_fetch_end(struct content_fetch *fetch, int result); /* exactly once; fetch is gone afterwards */

/* Where missing bytes come from: implemented by sync, and by tests. */
struct content_origin {
    void *context;
    /* Begins to bring [offset, offset + length) of the version with this identity of node ino, urgent ones first;
     * returns at once. An error returned means that content_fetch_end will not be called. */
    int (*fetch)(void *context, uint64_t ino, const char *identity, uint64_t offset, uint64_t length, bool urgent,
                 struct content_fetch *fetch);
};

struct content_options {
    const char *cache_folder; /* exists or is made (0700); disposable at any moment */
    const char *spool_folder; /* likewise; precious */
    uint64_t cache_limit;     /* bytes; 0: 10 GiB or a tenth of the free disk, whichever is less */
    uint64_t memory_budget;   /* bytes of fetched data held in memory; 0: 96 MiB */
    uint64_t disk_reserve; /* a writer gets ENOSPC when the spool's disk has less than this free; 0: 1 GiB, or a tenth
                              of a disk that is smaller than 10 GiB */
    unsigned parallel_ranges; /* most ranges in flight for one reader; 0: 8 */
    struct content_origin origin;
};

int content_create(struct content **out, const struct content_options *options, struct fault *fault);
void content_destroy(struct content *content); /* every handle is closed before; waits for fetches under way */
/* Removes spool files whose numbers are not in use (after a crash), but for those made since content_create. */
int content_sweep(struct content *content, const uint64_t *spools, size_t count);

/* ---- Opening
 * ---------------------------------------------------------------------------------------------------------- */

/* What the bucket has of it. identity: any text that is another one for another version (ETag and version id); "" and
 * size 0 for a file that the bucket does not have. */
struct content_version {
    const char *identity;
    uint64_t size;
};

/* To be asked before a record is read by which something is then opened. */
uint64_t content_moment(struct content *content, uint64_t ino);
/* spool: number of the spool file that holds its bytes; 0: they are the origin's version. Cheap: nothing is read. A
 * file that is open, or was written in this life and not uploaded, is what it is here, whatever a record of a moment
 * ago says. -ESTALE: something was uploaded since that moment, or the spool file is gone: read the record again.
 * PAIL_DAMAGED: what is noted beside the spool file cannot be read. */
int content_open(struct content *content, uint64_t ino, const struct content_version *version, uint64_t spool,
                 uint64_t moment, struct content_handle **out);
void content_close(
    struct content_handle *handle); /* NULL is fine. What was not committed stays in the spool of an open file */
/* An empty spool file for a node that is about to be created. */
int content_new_spool(struct content *content, uint64_t *spool);
/* Nobody needs these bytes any more: the node is gone. Readers that still have it open go on reading. */
void content_drop(struct content *content, uint64_t ino, uint64_t spool);

/* ---- Reading
 * -------------------------------------------------------------------------------------------------------------- */

/* The answer: result 0 and size bytes (fewer than asked only at the end of the file), or an error. data is valid during
 * the call only; if data is NULL, the bytes are in fd at fd_offset (for splice), as valid. */
struct content_answer {
    int result;
    const void *data;
    size_t size;
    int fd;
    off_t fd_offset;
};
typedef void content_read_done(void *context, const struct content_answer *answer);
/* done is called exactly once: before this returns if nothing is missing, else from another thread, without locks of
 * ours. Grows the read-ahead of this handle. */
void content_read(struct content_handle *handle, uint64_t offset, size_t size, content_read_done *done, void *context);
/* Fetches all of a file that is not written into the cache, in the background, if there is room; for small files that
 * will be read soon. Up to 8 MiB also stays in memory for some seconds. Does not count as open. As content_open. */
int content_prefetch(struct content *content, uint64_t ino, const struct content_version *version, uint64_t moment);

/* ---- Writing
 * ---------------------------------------------------------------------------------------------------------------- */

/* 0 or -ENOSPC, -EIO, -EFBIG (the process ignores SIGXFSZ). The first one on a clean file makes the spool. A writer
 * that outruns the wire is slowed (up to 100 ms a call) once the spool passes half of the free disk. */
int content_write(struct content_handle *handle, const void *data, size_t size, uint64_t offset);
int content_truncate(struct content_handle *handle, uint64_t size);
/* mode as for fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE [| KEEP_SIZE]; else -EOPNOTSUPP. */
int content_allocate(struct content_handle *handle, int mode, uint64_t offset, uint64_t length);

/* A spool file for bytes that are to stay as they are whatever becomes of the origin's version; content_fill brings
 * them. Nothing changes for readers and writers. */
int content_detach(struct content_handle *handle);

/* As it is here and now, written or not. */
struct content_state {
    uint64_t size;
    uint64_t spool;     /* 0: clean */
    bool uncommitted;   /* written since the last content_commit */
    int64_t mtime_ns;   /* of the last write; 0: none in this life, or set aside by content_touch */
    int64_t written_ms; /* clock_monotonic_ms() of the last write, and of the first since the last commit */
    int64_t first_written_ms;
    bool partial; /* something of the origin's version is still missing in the spool */
};
void content_state(struct content_handle *handle, struct content_state *out);
/* The same for an inode that may be open or not; false if it is not open. */
bool content_peek(struct content *content, uint64_t ino, struct content_state *out);
/* utimens on an open file: the mtime of earlier writes does not count any more. */
void content_touch(struct content_handle *handle);
/* Notes on disk what a crash must find: after this the spool number and size may be recorded elsewhere. out: the state
 * that was committed. durable: with fsync of the spool and its folder. Writes that come meanwhile are uncommitted
 * again. */
int content_commit(struct content_handle *handle, bool durable, struct content_state *out);

/* The committed state is recorded, with this spool number: from now on a crash finds it as it was recorded, or finds
 * with content_unrecorded that it was written since. */
void content_recorded(struct content *content, uint64_t ino, uint64_t spool);
/* After a crash, before the file is opened: 1 if it was written since content_recorded, with its size and the mtime of
 * the last write in *out. 0: it was not. -ENOENT. */
int content_unrecorded(struct content *content, uint64_t spool, struct content_state *out);

/* ---- Uploading
 * ---------------------------------------------------------------------------------------------------------------- */

/* One version of a written file, to be sent; opened by ino and spool number, whether programs have it open or not. */
struct content_upload;
/* -ESTALE: there is nothing to send any more (uploaded by another, or dropped). */
int content_upload_open(struct content *content, uint64_t ino, uint64_t spool, const struct content_version *base,
                        struct content_upload **out, uint64_t *size);
void content_upload_close(struct content_upload *upload);
/* Brings what is missing from the origin into the spool. Blocks; cancelled is looked at. PAIL_GONE: the base is lost.
 */
int content_fill(struct content_upload *upload, const _Atomic bool *cancelled);
/* All of [offset, offset + size), from the spool only. -ESTALE: the file is shorter now, or was uploaded by another;
 * -ENODATA: content_fill did not bring that. */
int content_upload_read(struct content_upload *upload, uint64_t offset, void *data, size_t size);
/* A mark to compare with: grows with every write, truncate and the like of the file. */
uint64_t content_upload_mark(struct content_upload *upload);
/* Whether [offset, offset + length) or the size changed after that mark. */
bool content_upload_changed(struct content_upload *upload, uint64_t mark, uint64_t offset, uint64_t length);
/* The bucket has these bytes now as this version. If nothing was written since mark, the spool file becomes a cache
 * file (or is removed where that is impossible), the file is clean, and true is returned: record spool 0 BEFORE calling
 * (a spool file without a record is swept; a record without its file would be a loss). Else it stays as it was, over
 * this version from now on. A dropped file keeps its bytes for those who have it open. */
bool content_uploaded(struct content_upload *upload, uint64_t mark, const struct content_version *version);

/* ---- For people and limits
 * ------------------------------------------------------------------------------------------------------ */

struct content_totals {
    uint64_t cache_bytes, cache_limit, cache_files;
    uint64_t spool_bytes;
    uint64_t memory_bytes;
    uint64_t hits, misses, damaged; /* blocks */
};
void content_totals(struct content *content, struct content_totals *out);
/* Gives cache up: least recently used first, until at most `keep` bytes stay. */
void content_evict(struct content *content, uint64_t keep);
/* Bytes of this inode's version that are here (cache or spool). */
uint64_t content_present(struct content *content, uint64_t ino, const struct content_version *version);
