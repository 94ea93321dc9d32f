/* The folder of precious bytes, the maps beside them, and how full their disk is. */
#include "fs/content/spool.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { LOOK_MS = 500, SLOWEST_MS = 100 };
/* A bit that means nothing else for such a file; changing it costs no writing to the disk that anybody waits for. */
enum { RECORDED_MODE = 0600, MARKED_MODE = 0700, MARK = S_IXUSR };
#define LOOK_BYTES (64ull << 20)
#define DEFAULT_RESERVE (1ull << 30)

struct spool {
    int folder; /* owned fd */
    _Atomic uint64_t next, bytes;
    uint64_t first; /* numbers below are from an earlier life */
    uint64_t reserve;
    pthread_mutex_t lock;
    int64_t looked_ms; /* under lock, as all below */
    uint64_t free, admitted, step;
};

struct name {
    char text[32];
};

static struct name name_of(uint64_t number, const char *suffix) {
    struct name name;
    snprintf(name.text, sizeof name.text, "%llu%s", (unsigned long long)number, suffix);
    return name;
}

/* The number a file belongs to, whatever its suffix; 0: not one of ours. */
static uint64_t number_of(const char *name) {
    char *end;
    if (*name < '1' || *name > '9')
        return 0;
    errno = 0;
    unsigned long long number = strtoull(name, &end, 10);
    bool ours = !*end || text_equal(end, ".map") || text_equal(end, ".map~");
    return errno || !ours ? 0 : number;
}

static int each_file(struct spool *spool, int (*visit)(struct spool *, const char *name, void *), void *context) {
    int fd = openat(spool->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    int r = 0;
    for (struct dirent *entry; !r && (entry = readdir(folder));)
        if (number_of(entry->d_name))
            r = visit(spool, entry->d_name, context);
    closedir(folder);
    return r;
}

static int note_file(struct spool *spool, const char *name, void *context) {
    (void)context;
    struct stat st;
    uint64_t number = number_of(name);
    if (number >= spool->next)
        spool->next = number + 1;
    if (!fstatat(spool->folder, name, &st, AT_SYMLINK_NOFOLLOW))
        spool->bytes += (uint64_t)st.st_blocks * 512;
    return 0;
}

/* On a small disk a gigabyte would be most of it: a tenth must do there. */
static uint64_t default_reserve(int folder) {
    struct statvfs fs;
    if (fstatvfs(folder, &fs))
        return DEFAULT_RESERVE;
    uint64_t tenth = (uint64_t)fs.f_blocks * fs.f_frsize / 10;
    return tenth < DEFAULT_RESERVE ? tenth : DEFAULT_RESERVE;
}

int spool_create(struct spool **out, const char *folder, uint64_t reserve) {
    int r = file_make_folders(folder, 0700);
    if (r)
        return r;
    CLEANUP(cleanup_free) struct spool *spool = calloc(1, sizeof *spool);
    if (!spool)
        return -ENOMEM;
    spool->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->folder < 0)
        return -errno;
    spool->reserve = reserve ? reserve : default_reserve(spool->folder);
    /* Numbers go on from the clock, so that one which some record still knows is not given out again. */
    spool->next = (uint64_t)clock_realtime_ns() / 1000;
    r = each_file(spool, note_file, NULL);
    spool->first = spool->next;
    if (r) {
        close(spool->folder);
        return r;
    }
    pthread_mutex_init(&spool->lock, NULL);
    *out = TAKE(spool);
    return 0;
}

void spool_destroy(struct spool *spool) {
    if (!spool)
        return;
    pthread_mutex_destroy(&spool->lock);
    close(spool->folder);
    free(spool);
}

int spool_new(struct spool *spool, uint64_t *number, int *fd) {
    do {
        *number = atomic_fetch_add(&spool->next, 1);
        *fd = openat(spool->folder, name_of(*number, "").text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, MARKED_MODE);
    } while (*fd < 0 && errno == EEXIST);
    return *fd < 0 ? -errno : 0;
}

int spool_open(struct spool *spool, uint64_t number, struct spool_file *out) {
    struct stat st;
    int fd = openat(spool->folder, name_of(number, "").text, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st)) {
        int r = -errno;
        close(fd);
        return r;
    }
    *out = (struct spool_file){fd, (uint64_t)st.st_size, (uint64_t)st.st_blocks * 512, st.st_mode & MARK};
    return 0;
}

void spool_mark(int fd, bool written) {
    if (fchmod(fd, written ? MARKED_MODE : RECORDED_MODE))
        log_debug("a spool file cannot be marked: %s", error_text(-errno));
}

int spool_marked(struct spool *spool, uint64_t number, uint64_t *size, int64_t *mtime_ns) {
    struct stat st;
    if (fstatat(spool->folder, name_of(number, "").text, &st, AT_SYMLINK_NOFOLLOW))
        return -errno;
    *size = (uint64_t)st.st_size;
    *mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
    return (st.st_mode & MARK) != 0;
}

void spool_unmark(struct spool *spool, uint64_t number) {
    if (fchmodat(spool->folder, name_of(number, "").text, RECORDED_MODE, 0))
        log_debug("a spool file cannot be marked: %s", error_text(-errno));
}

void spool_remove(struct spool *spool, uint64_t number, bool counts) {
    struct stat st;
    struct name name = name_of(number, "");
    if (counts && !fstatat(spool->folder, name.text, &st, AT_SYMLINK_NOFOLLOW))
        spool->bytes -= (uint64_t)st.st_blocks * 512;
    /* The file first: without its map it would look whole. */
    unlinkat(spool->folder, name.text, 0);
    unlinkat(spool->folder, name_of(number, ".map").text, 0);
}

struct kept {
    const uint64_t *numbers;
    size_t count;
};

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int sweep_one(struct spool *spool, const char *name, void *context) {
    const struct kept *kept = context;
    uint64_t number = number_of(name);
    if (number >= spool->first)
        return 0;
    bool used = bsearch(&number, kept->numbers, kept->count, sizeof number, compare_numbers);
    if (used && !text_ends(name, "~"))
        return 0;
    struct stat st;
    if (!fstatat(spool->folder, name, &st, AT_SYMLINK_NOFOLLOW) && !unlinkat(spool->folder, name, 0))
        spool->bytes -= (uint64_t)st.st_blocks * 512;
    return 0;
}

int spool_sweep(struct spool *spool, const uint64_t *numbers, size_t count) {
    AUTO_FREE uint64_t *sorted = calloc(count + 1, sizeof *sorted);
    if (!sorted)
        return -ENOMEM;
    if (count)
        memcpy(sorted, numbers, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_numbers);
    struct kept kept = {sorted, count};
    return each_file(spool, sweep_one, &kept);
}

int spool_give(struct spool *spool, uint64_t number, const char *path) {
    if (renameat(spool->folder, name_of(number, "").text, AT_FDCWD, path))
        return -errno;
    unlinkat(spool->folder, name_of(number, ".map").text, 0);
    return 0;
}

int spool_sync_folder(struct spool *spool) {
    return fsync(spool->folder) ? -errno : 0;
}

/* ---- Maps: a header, then (start, end) for each range, in this machine's byte order: it never leaves it. */

struct map_header {
    char magic[8];
    uint64_t limit, count;
    uint32_t crc; /* of what follows, then of the three above */
    uint32_t zero;
};
static const char map_magic[8] = "pailmap1";

static uint32_t map_crc(const struct map_header *header, const uint64_t *pairs) {
    uint32_t crc = crc32c(0, pairs, header->count * 2 * sizeof *pairs);
    return crc32c(crc, header, offsetof(struct map_header, crc));
}

static void *encode(const struct spool_map *map, size_t *size) {
    *size = sizeof(struct map_header) + map->ranges.count * 2 * sizeof(uint64_t);
    struct map_header *header = calloc(1, *size);
    if (!header)
        return NULL;
    memcpy(header->magic, map_magic, sizeof map_magic);
    header->limit = map->limit;
    header->count = map->ranges.count;
    uint64_t *pairs = (uint64_t *)(header + 1), *pair = pairs;
    struct range range;
    for (uint64_t at = 0; ranges_next(&map->ranges, at, &range); at = range.end) {
        *pair++ = range.start;
        *pair++ = range.end;
    }
    header->crc = map_crc(header, pairs);
    return header;
}

int spool_map_write(struct spool *spool, uint64_t number, const struct spool_map *map, bool durable) {
    size_t size;
    AUTO_FREE void *bytes = encode(map, &size);
    if (!bytes)
        return -ENOMEM;
    struct name name = name_of(number, ".map"), beside = name_of(number, ".map~");
    AUTO_CLOSE int fd = openat(spool->folder, beside.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = file_write_all(fd, bytes, size);
    if (!r && durable && fdatasync(fd))
        r = -errno;
    if (!r && renameat(spool->folder, beside.text, spool->folder, name.text))
        r = -errno;
    if (r)
        unlinkat(spool->folder, beside.text, 0);
    return r;
}

int spool_map_remove(struct spool *spool, uint64_t number) {
    return unlinkat(spool->folder, name_of(number, ".map").text, 0) && errno != ENOENT ? -errno : 0;
}

static int decode(const void *bytes, size_t size, struct spool_map *map) {
    const struct map_header *header = bytes;
    if (size < sizeof *header || memcmp(header->magic, map_magic, sizeof map_magic) != 0)
        return -EBADMSG;
    const uint64_t *pairs = (const uint64_t *)(header + 1);
    size_t room = (size - sizeof *header) / (2 * sizeof *pairs);
    if (header->count != room || map_crc(header, pairs) != header->crc)
        return -EBADMSG;
    *map = (struct spool_map){.limit = header->limit};
    for (size_t i = 0; i < room; i++) {
        int r = ranges_set(&map->ranges, pairs[2 * i], pairs[2 * i + 1], 1);
        if (r) {
            ranges_finish(&map->ranges);
            return r;
        }
    }
    return 0;
}

int spool_map_read(struct spool *spool, uint64_t number, struct spool_map *map) {
    AUTO_CLOSE int fd = openat(spool->folder, name_of(number, ".map").text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return -errno;
    AUTO_FREE void *bytes = malloc((size_t)st.st_size + 1);
    if (!bytes)
        return -ENOMEM;
    ssize_t n = file_pread_all(fd, bytes, (size_t)st.st_size, 0);
    return n < 0 ? (int)n : decode(bytes, (size_t)n, map);
}

/* ---- The disk */

/* Under lock. */
static void look(struct spool *spool) {
    struct statvfs fs;
    if (fstatvfs(spool->folder, &fs))
        return; /* as it was */
    spool->free = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t room = spool->free > spool->reserve ? spool->free - spool->reserve : 0;
    spool->step = room / 8 < LOOK_BYTES ? room / 8 : LOOK_BYTES;
    spool->admitted = 0;
    spool->looked_ms = clock_monotonic_ms();
}

/* From nothing at half of the free disk to the slowest at three quarters. */
static int64_t delay_for(uint64_t spooled, uint64_t free) {
    uint64_t half = free / 2;
    if (spooled <= half)
        return 0;
    uint64_t over = spooled - half, span = free / 4 + 1;
    return over >= span ? SLOWEST_MS : (int64_t)(SLOWEST_MS * over / span);
}

/* Under lock. */
static bool take_room(struct spool *spool, uint64_t size, uint64_t keep) {
    bool late = spool->admitted + size > spool->step || clock_monotonic_ms() - spool->looked_ms > LOOK_MS;
    if (!spool->looked_ms || late)
        look(spool);
    if (spool->free < spool->admitted + size + keep)
        return false;
    spool->admitted += size;
    return true;
}

int spool_admit(struct spool *spool, uint64_t size, int64_t *delay_ms) {
    pthread_mutex_lock(&spool->lock);
    bool fits = take_room(spool, size, spool->reserve);
    *delay_ms = delay_for(spool->bytes, spool->free);
    pthread_mutex_unlock(&spool->lock);
    return fits ? 0 : -ENOSPC;
}

bool spool_spare(struct spool *spool, uint64_t size, uint64_t spare) {
    pthread_mutex_lock(&spool->lock);
    bool fits = take_room(spool, size, spool->reserve + spare);
    pthread_mutex_unlock(&spool->lock);
    return fits;
}

void spool_look(struct spool *spool) {
    pthread_mutex_lock(&spool->lock);
    spool->looked_ms = 0;
    pthread_mutex_unlock(&spool->lock);
}

void spool_count(struct spool *spool, int fd, uint64_t *counted) {
    struct stat st;
    uint64_t now = fd >= 0 && !fstat(fd, &st) ? (uint64_t)st.st_blocks * 512 : 0;
    atomic_fetch_add(&spool->bytes, now - *counted); /* wraps as it should */
    *counted = now;
}

uint64_t spool_bytes(struct spool *spool) {
    return spool->bytes;
}
