/* Spool files that the bucket has by now become files of the cache. */
#include "base/cleanup.h"
#include "base/file.h"
#include "fs/content/cache_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct cache_file *cache_adopt(struct cache *cache, uint64_t ino, const char *identity, uint64_t size, int fd_in,
                               int (*give)(void *context, const char *path), void *context) {
    AUTO_CLOSE int fd = fd_in;
    AUTO_FREE char *path = cache_path(cache, ino);
    struct stat st;
    if (!path || strlen(identity) >= IDENTITY_MOST || fstat(fd, &st) ||
        (uint64_t)st.st_blocks * 512 > cache->options.limit / 2)
        return NULL;
    cache_remove(cache, ino); /* who has an older version open keeps what it has read, not the file */
    int made = cache_open_new(path);
    if (made >= 0)
        close(made);
    if (give(context, path))
        return NULL;
    struct cache_file *file = cache_open(cache, ino, identity, size);
    struct cache_body *body = file ? cache_body_make(file, cache_take_fd(&fd)) : NULL;
    if (!body) {
        cache_close(file);
        unlink(path);
        return NULL;
    }
    body->whole = true;
    cache_body_done(file, cache_body_change(file, body));
    cache_own(file, (uint64_t)st.st_blocks * 512);
    cache_count(file, 0);
    return file;
}

/* The checksums of the blocks in [from, to); *data_at: where the next bytes are that are not a hole. */
static int seal_step(struct cache_file *file, int fd, uint64_t from, uint64_t to, off_t *data_at, char *buffer) {
    uint32_t crc[BLOCKS_AT_ONCE];
    size_t size = (size_t)(to - from);
    if (*data_at < (off_t)from)
        *data_at = lseek(fd, (off_t)from, SEEK_DATA);
    if (*data_at < 0)
        *data_at = errno == ENXIO ? (off_t)file->size : (off_t)from;
    if (*data_at >= (off_t)to)
        memset(buffer, 0, size);
    else if (file_pread_all(fd, buffer, size, (off_t)from) != (ssize_t)size)
        return -EIO;
    size_t count = cache_trailer_crcs(buffer, size, crc);
    return file_pwrite_all(fd, crc, count * sizeof *crc, cache_trailer_crc_at(file, from / CACHE_BLOCK));
}

void cache_seal(struct cache_file *file, const _Atomic bool *ending) {
    struct cache_body *body = cache_body_hold(file);
    AUTO_FREE char *buffer = malloc(AT_ONCE);
    int r = body && buffer ? 0 : -ENOMEM;
    off_t data_at = -1;
    for (uint64_t at = 0, to; !r && at < file->size; at = to) {
        to = cache_least(at + AT_ONCE, file->size);
        r = *ending && file->size > SEAL_AT_END ? -ECANCELED : seal_step(file, body->fd, at, to, &data_at, buffer);
    }
    if (!r)
        cache_trailer_write(file, body->fd);
    cache_body_done(file, body);
}
