/* Reading from and writing to the cache, block by block. */
#include "base/file.h"
#include "fs/content/cache_inside.h"

#include <string.h>
#include <sys/stat.h>

/* Under lock. */
static bool is_checked(const struct cache_body *body, uint64_t block) {
    const struct cache_table *table = body->tables[block / TABLE_BLOCKS];
    uint64_t i = block % TABLE_BLOCKS;
    return table && table->checked[i / 64] >> (i % 64) & 1;
}

static bool all_checked(struct cache_file *file, const struct cache_body *body, uint64_t from, uint64_t to) {
    bool all = true;
    pthread_mutex_lock(&file->lock);
    for (uint64_t block = from / CACHE_BLOCK; all && !body->whole && block * CACHE_BLOCK < to; block++)
        all = cache_body_crc(body, block) && is_checked(body, block);
    pthread_mutex_unlock(&file->lock);
    return all;
}

static void forget_block(struct cache_file *file, struct cache_body *body, uint64_t block) {
    static const uint32_t none = 0;
    pthread_mutex_lock(&file->lock);
    struct cache_table *table = body->tables[block / TABLE_BLOCKS];
    if (table)
        table->crc[block % TABLE_BLOCKS] = 0;
    pthread_mutex_unlock(&file->lock);
    if (file_pwrite_all(body->fd, &none, sizeof none, cache_trailer_crc_at(file, block)))
        return; /* it is found out again, in another life */
}

/* Whether a block that was just read, and has this checksum, is what was written. */
static bool check_block(struct cache_file *file, struct cache_body *body, uint64_t block, uint32_t crc) {
    pthread_mutex_lock(&file->lock);
    uint32_t expected = cache_body_crc(body, block);
    bool checked = body->whole || is_checked(body, block);
    pthread_mutex_unlock(&file->lock);
    if (checked)
        return true;
    if (!expected)
        return false;
    if (crc != expected) {
        file->cache->damaged++;
        forget_block(file, body, block);
        return false;
    }
    pthread_mutex_lock(&file->lock);
    struct cache_table *table = body->tables[block / TABLE_BLOCKS];
    if (table && table->crc[block % TABLE_BLOCKS] == expected)
        table->checked[block % TABLE_BLOCKS / 64] |= 1ull << (block % 64);
    pthread_mutex_unlock(&file->lock);
    return true;
}

/* Reads part of a block that has to be checked as a whole. */
static size_t read_part(struct cache_file *file, struct cache_body *body, uint64_t from, uint64_t to, char *data) {
    char whole[CACHE_BLOCK];
    uint64_t block = from / CACHE_BLOCK, start = block * CACHE_BLOCK;
    size_t size = cache_block_size(file, block), n = (size_t)(cache_least(to, start + size) - from);
    uint32_t crc;
    if (file_pread_all(body->fd, whole, size, (off_t)start) != (ssize_t)size)
        return 0;
    cache_trailer_crcs(whole, size, &crc);
    if (!check_block(file, body, block, crc))
        return 0;
    memcpy(data, whole + (from - start), n);
    return n;
}

/* Reads whole blocks straight to where they are wanted. */
static size_t read_blocks(struct cache_file *file, struct cache_body *body, uint64_t from, uint64_t to, char *data) {
    uint32_t crc[BLOCKS_AT_ONCE];
    size_t done = 0, size = (size_t)(to - from);
    if (file_pread_all(body->fd, data, size, (off_t)from) != (ssize_t)size)
        return 0;
    while (done < size) {
        size_t part = cache_least(size - done, (uint64_t)BLOCKS_AT_ONCE * CACHE_BLOCK);
        size_t count = cache_trailer_crcs(data + done, part, crc);
        for (size_t i = 0; i < count; i++) {
            uint64_t block = (from + done) / CACHE_BLOCK;
            if (!check_block(file, body, block, crc[i]))
                return done;
            done += cache_block_size(file, block);
        }
    }
    return done;
}

static size_t read_unchecked(struct cache_file *file, struct cache_body *body, uint64_t from, uint64_t to, char *data) {
    uint64_t at = from;
    while (at < to) {
        uint64_t whole_to = to == file->size ? to : to - to % CACHE_BLOCK;
        size_t n, wanted = at % CACHE_BLOCK || whole_to <= at
                               ? (size_t)(cache_least(to, at - at % CACHE_BLOCK + CACHE_BLOCK) - at)
                               : (size_t)(whole_to - at);
        if (at % CACHE_BLOCK || whole_to <= at)
            n = read_part(file, body, at, to, data + (at - from));
        else
            n = read_blocks(file, body, at, whole_to, data + (at - from));
        at += n;
        if (n < wanted)
            break;
    }
    return (size_t)(at - from);
}

size_t cache_read(struct cache_file *file, uint64_t from, uint64_t to, void *data) {
    cache_load(file, from, to);
    struct cache_body *body = cache_body_hold(file);
    if (!body)
        return 0;
    to = cache_run(file, from, to);
    size_t done = 0;
    if (to > from && all_checked(file, body, from, to)) {
        ssize_t n = file_pread_all(body->fd, data, (size_t)(to - from), (off_t)from);
        done = n > 0 ? (size_t)n : 0;
    } else if (to > from) {
        done = read_unchecked(file, body, from, to, data);
    }
    if (to > from && !done) /* cut by somebody else, or the disk fails: do not look here again */
        cache_forget(file, from - from % CACHE_BLOCK, from - from % CACHE_BLOCK + 1);
    cache_body_done(file, body);
    return done;
}

struct cache_body *cache_body(struct cache_file *file, uint64_t from, uint64_t to, int *fd) {
    struct cache_body *body = cache_body_hold(file);
    struct stat st;
    if (!body)
        return NULL;
    if (all_checked(file, body, from, to) && !fstat(body->fd, &st) && (uint64_t)st.st_size >= to) {
        *fd = body->fd;
        return body;
    }
    cache_body_done(file, body);
    return NULL;
}

uint64_t cache_present(struct cache_file *file) {
    if (!file->size)
        return 0;
    cache_load(file, 0, file->size);
    uint64_t bytes = 0;
    pthread_mutex_lock(&file->lock);
    const struct cache_body *body = file->body;
    for (uint64_t block = 0; body && block < file->blocks; block++)
        if (body->whole || cache_body_crc(body, block))
            bytes += cache_block_size(file, block);
    pthread_mutex_unlock(&file->lock);
    return bytes;
}

/* ---- Writing */

/* Data first, then what says that they are here. */
static void write_blocks(struct cache_file *file, struct cache_body *body, uint64_t from, const char *data,
                         size_t size) {
    uint32_t crc[BLOCKS_AT_ONCE];
    uint64_t first = from / CACHE_BLOCK;
    size_t count = cache_trailer_crcs(data, size, crc);
    if (file_pwrite_all(body->fd, data, size, (off_t)from) ||
        file_pwrite_all(body->fd, crc, count * sizeof *crc, cache_trailer_crc_at(file, first)))
        return;
    pthread_mutex_lock(&file->lock);
    for (size_t i = 0; i < count; i++) {
        struct cache_table *table = body->tables[(first + i) / TABLE_BLOCKS];
        uint64_t at = (first + i) % TABLE_BLOCKS;
        if (!table)
            continue;
        table->crc[at] = crc[i];
        table->checked[at / 64] &= ~(1ull << (at % 64));
    }
    pthread_mutex_unlock(&file->lock);
    cache_count(file, size);
}

void cache_write(struct cache_file *file, uint64_t from, const void *data, size_t size) {
    uint64_t to = from + size;
    if (to != file->size)
        to -= to % CACHE_BLOCK;
    if (from % CACHE_BLOCK || to > file->size || from >= to || to - from > AT_ONCE)
        return;
    size = (size_t)(to - from);
    if (cache_run(file, from, to) == to || !cache_fits(file, size))
        return;
    struct cache_body *body = cache_body_to_write(file);
    if (!body)
        return;
    cache_body_load(file, body, from, to);
    if (!body->whole)
        write_blocks(file, body, from, data, size);
    cache_body_done(file, body);
}

void cache_forget(struct cache_file *file, uint64_t from, uint64_t to) {
    struct cache_body *body = cache_body_hold(file);
    if (!body)
        return;
    if (body->whole) {
        cache_body_done(file, body);
        cache_body_done(file, cache_body_change(file, NULL));
        cache_remove(file->cache, file->ino);
        return;
    }
    for (uint64_t block = from / CACHE_BLOCK; block * CACHE_BLOCK < to; block++)
        forget_block(file, body, block);
    cache_body_done(file, body);
}
