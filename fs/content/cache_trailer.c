/* What stands behind the data of a cache file: whose they are, and their checksums. */
#include "base/crc32c.h"
#include "base/file.h"
#include "fs/content/cache_inside.h"

#include <stddef.h>
#include <string.h>

struct header {
    char magic[8];
    uint64_t ino, size, identity_size;
    char identity[IDENTITY_MOST];
    uint32_t crc; /* of all above */
    uint32_t zero;
};
static const char magic[8] = "pailbyt1";

static uint64_t header_at(const struct cache_file *file) {
    return (file->size + CACHE_BLOCK - 1) / CACHE_BLOCK * CACHE_BLOCK;
}

off_t cache_trailer_crc_at(const struct cache_file *file, uint64_t block) {
    return (off_t)(header_at(file) + HEADER_BYTES + block * sizeof(uint32_t));
}

static void make_header(const struct cache_file *file, struct header *header) {
    memset(header, 0, sizeof *header);
    memcpy(header->magic, magic, sizeof magic);
    header->ino = file->ino;
    header->size = file->size;
    header->identity_size = strlen(file->identity);
    memcpy(header->identity, file->identity, header->identity_size);
    header->crc = crc32c(0, header, offsetof(struct header, crc));
}

bool cache_trailer_is_ours(const struct cache_file *file, int fd) {
    struct header expected, found;
    make_header(file, &expected);
    return file_pread_all(fd, &found, sizeof found, (off_t)header_at(file)) == sizeof found &&
           !memcmp(&expected, &found, sizeof found);
}

int cache_trailer_write(const struct cache_file *file, int fd) {
    struct header header;
    make_header(file, &header);
    return file_pwrite_all(fd, &header, sizeof header, (off_t)header_at(file));
}

/* The checksums of the blocks in `size` bytes from a block's start on; how many there are. */
size_t cache_trailer_crcs(const void *data, size_t size, uint32_t *out) {
    size_t whole = size / CACHE_BLOCK, rest = size % CACHE_BLOCK, count = whole + (rest != 0);
    crc32c_blocks(data, CACHE_BLOCK, whole, out);
    if (rest)
        out[whole] = crc32c(0, (const char *)data + whole * CACHE_BLOCK, rest);
    for (size_t i = 0; i < count; i++)
        if (!out[i])
            out[i] = 1; /* 0 says that it is not here */
    return count;
}
