/* The files of the cache while they are open, and what their tables say is in them. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/content/cache_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- Bodies */

static size_t table_count(const struct cache_file *file) {
    return (size_t)((file->blocks + TABLE_BLOCKS - 1) / TABLE_BLOCKS);
}

static void free_body(const struct cache_file *file, struct cache_body *body) {
    for (size_t i = 0; i < table_count(file); i++)
        free(body->tables[i]);
    close(body->fd);
    free(body);
}

struct cache_body *cache_body_make(const struct cache_file *file, int fd) {
    struct cache_body *body = calloc(1, sizeof *body + table_count(file) * sizeof(struct cache_table *));
    if (!body) {
        close(fd);
        return NULL;
    }
    body->fd = fd;
    body->holds = 1;
    return body;
}

struct cache_body *cache_body_hold(struct cache_file *file) {
    pthread_mutex_lock(&file->lock);
    struct cache_body *body = file->body;
    if (body)
        body->holds++;
    pthread_mutex_unlock(&file->lock);
    return body;
}

void cache_body_done(struct cache_file *file, struct cache_body *body) {
    if (!body)
        return;
    pthread_mutex_lock(&file->lock);
    bool last = !--body->holds;
    pthread_mutex_unlock(&file->lock);
    if (last)
        free_body(file, body);
}

/* The file has this body from now on (NULL: none). Returns the one before, whose hold is the caller's. */
struct cache_body *cache_body_change(struct cache_file *file, struct cache_body *body) {
    pthread_mutex_lock(&file->lock);
    struct cache_body *before = file->body;
    file->body = body;
    file->looked = true;
    pthread_mutex_unlock(&file->lock);
    return before;
}

/* ---- Opening */

struct cache_file *cache_open(struct cache *cache, uint64_t ino, const char *identity, uint64_t size) {
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *entry = map_get(&cache->entries, ino);
    struct cache_file *file = entry ? entry->file : NULL;
    if (file && file->size == size && text_equal(file->identity, identity))
        file->holds++;
    else
        file = NULL;
    pthread_mutex_unlock(&cache->lock);
    if (file)
        return file;
    file = calloc(1, sizeof *file);
    char *copy = strdup(identity);
    if (!file || !copy) {
        free(file);
        free(copy);
        return NULL;
    }
    *file = (struct cache_file){.cache = cache, .ino = ino, .size = size, .identity = copy, .holds = 1};
    file->blocks = (size + CACHE_BLOCK - 1) / CACHE_BLOCK;
    file->looked = strlen(identity) >= IDENTITY_MOST;
    pthread_mutex_init(&file->lock, NULL);
    return file;
}

void cache_hold(struct cache_file *file) {
    pthread_mutex_lock(&file->cache->lock);
    file->holds++;
    pthread_mutex_unlock(&file->cache->lock);
}

void cache_close(struct cache_file *file) {
    if (!file)
        return;
    struct cache *cache = file->cache;
    pthread_mutex_lock(&cache->lock);
    bool last = !--file->holds;
    struct cache_entry *entry = last ? map_get(&cache->entries, file->ino) : NULL;
    if (entry && entry->file == file)
        entry->file = NULL;
    pthread_mutex_unlock(&cache->lock);
    if (!last)
        return;
    if (file->body) {
        futimens(file->body->fd, NULL); /* for the order of giving up, in later lives */
        free_body(file, file->body);
    }
    pthread_mutex_destroy(&file->lock);
    free(file->identity);
    free(file);
}

/* Looks once for what earlier lives left. */
static void look_on_disk(struct cache_file *file) {
    pthread_mutex_lock(&file->lock);
    bool looked = file->looked;
    pthread_mutex_unlock(&file->lock);
    if (looked)
        return;
    AUTO_FREE char *path = cache_path(file->cache, file->ino);
    AUTO_CLOSE int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    struct stat st;
    bool ours = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && cache_trailer_is_ours(file, fd);
    struct cache_body *body = ours ? cache_body_make(file, cache_take_fd(&fd)) : NULL;
    pthread_mutex_lock(&file->lock);
    bool late = file->looked;
    if (!late) {
        file->looked = true;
        file->body = body;
    }
    pthread_mutex_unlock(&file->lock);
    if (late)
        cache_body_done(file, body);
    else if (body)
        cache_own(file, (uint64_t)st.st_blocks * 512);
}

int cache_open_new(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    AUTO_FREE char *folder = strdup(path); /* the first of this folder, or somebody removed it */
    if (!folder)
        return -1;
    *strrchr(folder, '/') = 0;
    return file_make_folders(folder, 0700) ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

/* A new file on disk, in the place of any other. The body is held for the caller. */
static struct cache_body *create_body(struct cache_file *file) {
    AUTO_FREE char *path = cache_path(file->cache, file->ino);
    if (!path || strlen(file->identity) >= IDENTITY_MOST)
        return NULL;
    unlink(path);
    AUTO_CLOSE int fd = cache_open_new(path);
    if (fd < 0)
        return NULL;
    if (cache_trailer_write(file, fd)) {
        unlink(path);
        return NULL;
    }
    struct cache_body *body = cache_body_make(file, cache_take_fd(&fd));
    if (!body)
        return NULL;
    body->holds++;
    cache_body_done(file, cache_body_change(file, body));
    cache_own(file, HEADER_BYTES);
    return body;
}

/* The body to write to: the one there is, if its file is still in the folder, or a new one. Held. */
struct cache_body *cache_body_to_write(struct cache_file *file) {
    struct stat st;
    look_on_disk(file);
    struct cache_body *body = cache_body_hold(file);
    if (body && !fstat(body->fd, &st) && st.st_nlink)
        return body;
    cache_body_done(file, body);
    return create_body(file);
}

/* ---- Tables */

static uint64_t blocks_of_table(const struct cache_file *file, size_t index) {
    return cache_least(file->blocks - (uint64_t)index * TABLE_BLOCKS, TABLE_BLOCKS);
}

static struct cache_table *read_table(const struct cache_file *file, int fd, size_t index) {
    uint64_t blocks = blocks_of_table(file, index);
    struct cache_table *table = calloc(1, sizeof *table + blocks * sizeof *table->crc);
    if (table) /* what is beyond the end of the file was not written: zeros */
        file_pread_all(fd, table->crc, blocks * sizeof *table->crc,
                       cache_trailer_crc_at(file, (uint64_t)index * TABLE_BLOCKS));
    return table;
}

static void load_table(struct cache_file *file, struct cache_body *body, size_t index) {
    pthread_mutex_lock(&file->lock);
    bool loaded = body->whole || body->tables[index];
    pthread_mutex_unlock(&file->lock);
    if (loaded)
        return;
    struct cache_table *table = read_table(file, body->fd, index);
    pthread_mutex_lock(&file->lock);
    if (!body->tables[index])
        body->tables[index] = TAKE(table);
    pthread_mutex_unlock(&file->lock);
    free(table);
}

void cache_body_load(struct cache_file *file, struct cache_body *body, uint64_t from, uint64_t to) {
    const uint64_t bytes = (uint64_t)TABLE_BLOCKS * CACHE_BLOCK;
    for (uint64_t i = from / bytes; i <= (to - 1) / bytes; i++)
        load_table(file, body, (size_t)i);
}

void cache_load(struct cache_file *file, uint64_t from, uint64_t to) {
    look_on_disk(file);
    struct cache_body *body = from < to ? cache_body_hold(file) : NULL;
    if (!body)
        return;
    cache_body_load(file, body, from, to);
    cache_body_done(file, body);
}

/* 0: not here. Under lock. */
uint32_t cache_body_crc(const struct cache_body *body, uint64_t block) {
    const struct cache_table *table = body->tables[block / TABLE_BLOCKS];
    return table ? table->crc[block % TABLE_BLOCKS] : 0;
}

/* Where the run of blocks from `from` on that are here (or are not) ends. Under lock. */
static uint64_t run_until(const struct cache_body *body, uint64_t from, uint64_t to, bool here) {
    while (from < to) {
        uint64_t block = from / CACHE_BLOCK;
        if (!cache_body_crc(body, block) == here)
            return from;
        from = (block + 1) * CACHE_BLOCK;
    }
    return to;
}

uint64_t cache_run(struct cache_file *file, uint64_t from, uint64_t to) {
    pthread_mutex_lock(&file->lock);
    const struct cache_body *body = file->body;
    uint64_t end = !body ? from : body->whole ? to : run_until(body, from, to, true);
    pthread_mutex_unlock(&file->lock);
    return end;
}

uint64_t cache_hole(struct cache_file *file, uint64_t from, uint64_t to) {
    pthread_mutex_lock(&file->lock);
    const struct cache_body *body = file->body;
    uint64_t end = !body ? to : body->whole ? from : run_until(body, from, to, false);
    pthread_mutex_unlock(&file->lock);
    return end;
}
