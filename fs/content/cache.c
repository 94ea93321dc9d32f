/* Disposable copies of what the origin has: which there are, in what order they are given up. The file of inode 0x1234
 * is FOLDER/34/0000000000001234. It is never cut or replaced in place: one that is not believed is unlinked and made
 * anew, so that readers of the old one are not disturbed. */
#include "base/cleanup.h"
#include "base/text.h"
#include "fs/content/cache_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- Making and ending */

int cache_create(struct cache **out, const struct cache_options *options) {
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return -ENOMEM;
    cache->options = *options;
    cache->folder = strdup(options->folder);
    if (!cache->folder) {
        free(cache);
        return -ENOMEM;
    }
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return 0;
}

void cache_destroy(struct cache *cache) {
    if (!cache)
        return;
    struct cache_entry *entry;
    for (size_t position = 0; (entry = map_next(&cache->entries, &position, NULL));)
        free(entry);
    map_finish(&cache->entries);
    pthread_mutex_destroy(&cache->lock);
    free(cache->folder);
    free(cache);
}

char *cache_path(struct cache *cache, uint64_t ino) {
    return text_format("%s/%02x/%016llx", cache->folder, (unsigned)(ino & 0xff), (unsigned long long)ino);
}

static void unlink_of(struct cache *cache, uint64_t ino) {
    AUTO_FREE char *path = cache_path(cache, ino);
    if (path)
        unlink(path);
}

/* ---- Entries. Under the cache's lock. */

static void take(struct cache *cache, struct cache_entry *entry) {
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
}

static void put_newest(struct cache *cache, struct cache_entry *entry) {
    entry->older = cache->newest;
    entry->newer = NULL;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void put_oldest(struct cache *cache, struct cache_entry *entry) {
    entry->newer = cache->oldest;
    entry->older = NULL;
    *(cache->oldest ? &cache->oldest->older : &cache->newest) = entry;
    cache->oldest = entry;
}

static struct cache_entry *make_entry(struct cache *cache, uint64_t ino) {
    struct cache_entry *entry = calloc(1, sizeof *entry);
    if (!entry || map_put(&cache->entries, ino, entry)) {
        free(entry);
        return NULL;
    }
    entry->ino = ino;
    return entry;
}

static void forget_entry(struct cache *cache, struct cache_entry *entry) {
    map_remove(&cache->entries, entry->ino);
    take(cache, entry);
    cache->bytes -= entry->bytes;
    free(entry);
}

/* The inode's file on disk is this one's now, with so many bytes; another that had it open loses it. */
void cache_own(struct cache_file *file, uint64_t bytes) {
    struct cache *cache = file->cache;
    struct cache_file *other = NULL;
    struct cache_body *lost = NULL;
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *entry = map_get(&cache->entries, file->ino);
    if (entry)
        take(cache, entry);
    else
        entry = make_entry(cache, file->ino);
    if (entry) {
        if (entry->file && entry->file != file) {
            other = entry->file;
            other->holds++;
            lost = cache_body_change(other, NULL);
        }
        cache->bytes += bytes - entry->bytes; /* wraps as it should */
        entry->bytes = bytes;
        entry->file = file;
        put_newest(cache, entry);
    }
    pthread_mutex_unlock(&cache->lock);
    if (other) {
        cache_body_done(other, lost);
        cache_close(other);
    }
}

/* ---- Room */

/* A file may fill half of the cache: a longer one would only push everything out, itself at last. */
bool cache_fits(struct cache_file *file, size_t size) {
    struct cache *cache = file->cache;
    pthread_mutex_lock(&cache->lock);
    const struct cache_entry *entry = map_get(&cache->entries, file->ino);
    bool small = (entry && entry->file == file ? entry->bytes : 0) + size <= cache->options.limit / 2;
    pthread_mutex_unlock(&cache->lock);
    return small && cache->options.room(cache->options.context, size);
}

void cache_count(struct cache_file *file, size_t size) {
    struct cache *cache = file->cache;
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *entry = map_get(&cache->entries, file->ino);
    if (entry && entry->file == file) {
        entry->bytes += size;
        cache->bytes += size;
        take(cache, entry);
        put_newest(cache, entry);
    }
    bool over = cache->bytes > cache->options.limit;
    pthread_mutex_unlock(&cache->lock);
    if (over)
        cache_evict(cache, cache->options.limit - cache->options.limit / 16);
}

/* Removes the entry and its file. room: also for those who have it open, so that the disk has its room again. Under the
 * cache's lock, which is let go. */
static void give_up(struct cache *cache, struct cache_entry *entry, bool room) {
    uint64_t ino = entry->ino;
    struct cache_file *file = room ? entry->file : NULL;
    struct cache_body *lost = NULL;
    if (file) {
        file->holds++;
        lost = cache_body_change(file, NULL);
    }
    forget_entry(cache, entry);
    pthread_mutex_unlock(&cache->lock);
    unlink_of(cache, ino);
    if (file) {
        cache_body_done(file, lost);
        cache_close(file);
    }
    pthread_mutex_lock(&cache->lock);
}

void cache_remove(struct cache *cache, uint64_t ino) {
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *entry = map_get(&cache->entries, ino);
    if (entry)
        give_up(cache, entry, false);
    pthread_mutex_unlock(&cache->lock);
    if (!entry)
        unlink_of(cache, ino);
}

void cache_evict(struct cache *cache, uint64_t keep) {
    pthread_mutex_lock(&cache->lock);
    while (cache->bytes > keep && cache->oldest)
        give_up(cache, cache->oldest, true);
    pthread_mutex_unlock(&cache->lock);
}

void cache_totals(struct cache *cache, uint64_t *bytes, uint64_t *limit, uint64_t *files) {
    pthread_mutex_lock(&cache->lock);
    *bytes = cache->bytes;
    *limit = cache->options.limit;
    *files = cache->entries.count;
    pthread_mutex_unlock(&cache->lock);
}

uint64_t cache_damaged(struct cache *cache) {
    return cache->damaged;
}

/* ---- Taking stock */

struct stock {
    struct item {
        uint64_t ino, bytes;
        int64_t used_ns;
    } * items;
    size_t count, capacity;
};

static int add_item(struct stock *stock, struct item item) {
    if (stock->count == stock->capacity) {
        size_t more = stock->capacity ? stock->capacity * 2 : 256;
        struct item *items = realloc(stock->items, more * sizeof *items);
        if (!items)
            return -ENOMEM;
        stock->items = items;
        stock->capacity = more;
    }
    stock->items[stock->count++] = item;
    return 0;
}

static void scan_folder(struct cache *cache, unsigned number, struct stock *stock) {
    AUTO_FREE char *path = text_format("%s/%02x", cache->folder, number);
    DIR *folder = path ? opendir(path) : NULL;
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat st;
        char *end;
        uint64_t ino = strtoull(entry->d_name, &end, 16);
        if (!ino || *end || (ino & 0xff) != number || strlen(entry->d_name) != 16 ||
            fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        struct item item = {ino, (uint64_t)st.st_blocks * 512, st.st_mtim.tv_sec * 1000000000l + st.st_mtim.tv_nsec};
        if (add_item(stock, item))
            break;
    }
    closedir(folder);
}

static int newest_first(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    return (x->used_ns < y->used_ns) - (x->used_ns > y->used_ns);
}

/* Behind all that was used in this life. Only the first stock counts: what a later one saw may be gone since. */
static void add_stock(struct cache *cache, struct stock *stock) {
    if (stock->count)
        qsort(stock->items, stock->count, sizeof *stock->items, newest_first);
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < stock->count && !cache->stock_taken; i++) {
        const struct item *item = &stock->items[i];
        struct cache_entry *entry = map_get(&cache->entries, item->ino) ? NULL : make_entry(cache, item->ino);
        if (!entry)
            continue;
        entry->bytes = item->bytes;
        cache->bytes += item->bytes;
        put_oldest(cache, entry);
    }
    cache->stock_taken = true;
    pthread_mutex_unlock(&cache->lock);
}

void cache_scan(struct cache *cache, const _Atomic bool *ending) {
    struct stock stock = {0};
    for (unsigned i = 0; i < 256 && !*ending; i++)
        scan_folder(cache, i, &stock);
    add_stock(cache, &stock);
    free(stock.items);
    cache_evict(cache, cache->options.limit);
}

void cache_give_up(struct cache *cache, const _Atomic bool *ending) {
    pthread_mutex_lock(&cache->lock);
    bool taken = cache->stock_taken;
    pthread_mutex_unlock(&cache->lock);
    if (!taken)
        cache_scan(cache, ending);
    cache_evict(cache, 0);
}
