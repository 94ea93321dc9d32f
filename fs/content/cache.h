/* Disposable copies of what the origin has: a sparse file for each inode's version. The data stand at 0; behind them,
 * at the next full block, a trailer: whose bytes these are (inode, identity, size), and the CRC-32C of each block of 16
 * KiB (0: not here). A file whose trailer says anything else is not believed, nor is a block that does not check; each
 * block is checked when it is read for the first time in this life. Bounded, least recently used first; the folder may
 * be removed at any moment. Thread-safe. Positions are multiples of a block, but for the end of the file, unless it
 * says otherwise. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cache;
struct cache_file;

enum { CACHE_BLOCK = 16 << 10 };

struct cache_options {
    const char *folder;
    uint64_t limit;
    /* Whether the disk can take size more bytes. */
    bool (*room)(void *context, uint64_t size);
    void *context;
};
int cache_create(struct cache **out, const struct cache_options *options);
void cache_destroy(struct cache *cache);
/* Takes stock of what earlier lives left. For a background thread. *ending stops it. */
void cache_scan(struct cache *cache, const _Atomic bool *ending);

/* The copy of this version; reads and makes nothing yet. Another version of the inode gives way. NULL: no memory. */
struct cache_file *cache_open(struct cache *cache, uint64_t ino, const char *identity, uint64_t size);
void cache_hold(struct cache_file *file);
void cache_close(struct cache_file *file); /* NULL is fine */
/* Reads what the trailer says of these bytes, if it was not read before. */
void cache_load(struct cache_file *file, uint64_t from, uint64_t to);
/* Where what is here from `from` on ends (from: nothing), as far as it was loaded; and where what is not here ends. Any
 * positions. No I/O. */
uint64_t cache_run(struct cache_file *file, uint64_t from, uint64_t to);
uint64_t cache_hole(struct cache_file *file, uint64_t from, uint64_t to);
/* Reads from `from` on (any positions); returns how many bytes were here and sound, 0: not even the first. */
size_t cache_read(struct cache_file *file, uint64_t from, uint64_t to, void *data);
/* What to splice [from, to) from, if all of it was checked in this life: *fd is good until cache_body_done. NULL: no.
 */
struct cache_body;
struct cache_body *cache_body(struct cache_file *file, uint64_t from, uint64_t to, int *fd);
void cache_body_done(struct cache_file *file, struct cache_body *body);
/* Notes these bytes. Not done, without notice, when the disk is full, the file too large or anything fails. */
void cache_write(struct cache_file *file, uint64_t from, const void *data, size_t size);
void cache_forget(struct cache_file *file, uint64_t from, uint64_t to); /* they are not as they should be */
uint64_t cache_present(struct cache_file *file); /* bytes of it that are here; reads all of the trailer */
uint64_t cache_damaged(struct cache *cache);     /* blocks found damaged */

/* A spool file becomes the copy of this version. give moves the file to the path; fd (its content, taken over in any
 * case) is believed at once, for this life. NULL: not possible, fd is closed. Then cache_seal, in the background: makes
 * it believed after a restart. */
struct cache_file *cache_adopt(struct cache *cache, uint64_t ino, const char *identity, uint64_t size, int fd,
                               int (*give)(void *context, const char *path), void *context);
void cache_seal(struct cache_file *file, const _Atomic bool *ending);

void cache_remove(struct cache *cache, uint64_t ino); /* nobody will open it any more; who has it open reads on */
void cache_evict(struct cache *cache, uint64_t keep); /* least recently used first, until at most keep bytes stay */
/* All of it, also what no scan has seen yet: for a full disk. *ending ends the scan that may be needed. */
void cache_give_up(struct cache *cache, const _Atomic bool *ending);
void cache_totals(struct cache *cache, uint64_t *bytes, uint64_t *limit, uint64_t *files);
