/* What the files of the cache know of each other. Locks: the cache's outside of a cache_file's; nothing is read or
 * written with either held. */
#pragma once

#include "base/map.h"
#include "fs/content/cache.h"

#include <pthread.h>

enum {
    TABLE_BLOCKS = 4096,  /* blocks of one table: 64 MiB */
    HEADER_BYTES = 4096,  /* of the trailer; then the table, four bytes a block */
    IDENTITY_MOST = 1024, /* longer ones are not cached */
    AT_ONCE = 1 << 20,    /* bytes written, checked or sealed at once */
    BLOCKS_AT_ONCE = AT_ONCE / CACHE_BLOCK,
    SEAL_AT_END = 4 << 20, /* files up to this are sealed even when everything ends */
};

struct cache_table {
    uint64_t checked[TABLE_BLOCKS / 64]; /* a bit for each block that was good when read in this life */
    uint32_t crc[];                      /* 0: not here */
};

/* An open file on disk. Under its cache_file's lock, but for fd. */
struct cache_body {
    int fd;
    unsigned holds; /* the cache_file's, and one for each that reads or writes just now */
    bool whole;     /* a spool file once: all is here, and sound */
    struct cache_table *tables[];
};

struct cache_file {
    struct cache *cache;
    uint64_t ino, size, blocks;
    char *identity;
    unsigned holds; /* under the cache's lock */
    pthread_mutex_t lock;
    bool looked;             /* for a file of an earlier life; under lock, as below */
    struct cache_body *body; /* NULL: nothing is here */
};

/* A file on disk. */
struct cache_entry {
    uint64_t ino, bytes;
    struct cache_entry *older, *newer;
    struct cache_file *file; /* who has it open; NULL: nobody */
};

struct cache {
    struct cache_options options;
    char *folder;
    pthread_mutex_t lock; /* outside of every cache_file's */
    struct map entries;   /* by ino; under lock, as all below */
    struct cache_entry *oldest, *newest;
    uint64_t bytes;
    bool stock_taken; /* of what earlier lives left */
    _Atomic uint64_t damaged;
};

/* ---- cache.c */
char *cache_path(struct cache *cache, uint64_t ino); /* the caller frees; NULL without memory */
/* The inode's file on disk is this one's now, with so many bytes; another that had it open loses it. */
void cache_own(struct cache_file *file, uint64_t bytes);
/* So many bytes were written to it: it was used, and others may have to go. */
void cache_count(struct cache_file *file, size_t size);
/* Whether it may have so many more bytes. */
bool cache_fits(struct cache_file *file, size_t size);

/* ---- cache_body.c */
/* Takes fd over, also on failure (NULL). The hold is the caller's. */
struct cache_body *cache_body_make(const struct cache_file *file, int fd);
struct cache_body *cache_body_hold(struct cache_file *file); /* NULL: nothing is here */
/* The file has this body from now on (NULL: none). Returns the one before, whose hold is the caller's. */
struct cache_body *cache_body_change(struct cache_file *file, struct cache_body *body);
/* The body to write to: the one there is, if its file is still in the folder, or a new one. Held; NULL: not possible.
 */
struct cache_body *cache_body_to_write(struct cache_file *file);
void cache_body_load(struct cache_file *file, struct cache_body *body, uint64_t from, uint64_t to); /* its tables */
uint32_t cache_body_crc(const struct cache_body *body, uint64_t block); /* 0: not here. Under the file's lock */
int cache_open_new(const char *path);                                   /* a new file, with its folder; -1 */

/* ---- cache_trailer.c */
off_t cache_trailer_crc_at(const struct cache_file *file, uint64_t block);
bool cache_trailer_is_ours(const struct cache_file *file, int fd);
int cache_trailer_write(const struct cache_file *file, int fd);
/* The checksums of the blocks in `size` bytes from a block's start on; how many there are. None is 0. */
size_t cache_trailer_crcs(const void *data, size_t size, uint32_t *out);

static inline uint64_t cache_least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static inline size_t cache_block_size(const struct cache_file *file, uint64_t block) {
    return (size_t)cache_least(file->size - block * CACHE_BLOCK, CACHE_BLOCK);
}

static inline int cache_take_fd(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}
