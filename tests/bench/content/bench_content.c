/* How fast fs/content is by itself: an origin in this process, reads as the kernel makes them. Not run by the tests.
 * Usage: bench_content [FOLDER] */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/workers.h"
#include "fs/content/content.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

enum { PIECE = 128 << 10 };
#define GIB (1ull << 30)

struct bench {
    struct content *content;
    struct workers *workers;
    char bytes[PIECE], copy[1 << 20];
    _Atomic uint64_t fetched, fetches;
};

struct ask {
    struct bench *bench;
    struct content_fetch *fetch;
    uint64_t length;
};

static void serve(void *context) {
    struct ask *ask = context;
    int r = 0;
    for (uint64_t sent = 0; !r && sent < ask->length;) {
        size_t n = ask->length - sent < PIECE ? (size_t)(ask->length - sent) : PIECE;
        r = content_fetch_data(ask->fetch, ask->bench->bytes, n);
        sent += n;
        ask->bench->fetched += n;
    }
    content_fetch_end(ask->fetch, r);
    free(ask);
}

static int fetch(void *context, uint64_t ino, const char *identity, uint64_t offset, uint64_t length, bool urgent,
                 struct content_fetch *content_fetch) {
    (void)ino, (void)identity, (void)offset;
    struct bench *bench = context;
    struct ask *ask = malloc(sizeof *ask);
    *ask = (struct ask){bench, content_fetch, length};
    bench->fetches++;
    return workers_submit_always(bench->workers, urgent ? WORKERS_NOW : WORKERS_SOON, serve, ask);
}

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool done;
    size_t size;
    char *copy; /* as the kernel makes one */
};

static void on_read(void *context, const struct content_answer *answer) {
    struct wait *wait = context;
    if (answer->data)
        memcpy(wait->copy, answer->data, answer->size);
    else
        file_pread_all(answer->fd, wait->copy, answer->size, answer->fd_offset);
    pthread_mutex_lock(&wait->lock);
    wait->done = true;
    wait->size = answer->size;
    pthread_cond_signal(&wait->told);
    pthread_mutex_unlock(&wait->lock);
}

static size_t read_wait(struct bench *bench, struct content_handle *handle, uint64_t offset, size_t size) {
    struct wait wait = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER, .copy = bench->copy};
    content_read(handle, offset, size, on_read, &wait);
    pthread_mutex_lock(&wait.lock);
    while (!wait.done)
        pthread_cond_wait(&wait.told, &wait.lock);
    pthread_mutex_unlock(&wait.lock);
    return wait.size;
}

static double seconds_since(int64_t start_ns) {
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

static long peak_mib(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

static void read_whole(struct bench *bench, const char *what, struct content_handle *handle, size_t size) {
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    uint64_t fetches = bench->fetches;
    int64_t start = clock_monotonic_ns();
    for (uint64_t at = 0; at < GIB; at += size)
        read_wait(bench, handle, at, size);
    double took = seconds_since(start);
    getrusage(RUSAGE_SELF, &after);
    double cpu =
        (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
        (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) /
            1e6;
    printf("%-34s %7zu KiB reads: %5.2f GB/s, %.2f s of CPU, %llu ranges, peak %ld MiB\n", what, size >> 10,
           1.073741824 / took, cpu, (unsigned long long)(bench->fetches - fetches), peak_mib());
}

static struct content_handle *open_file(struct bench *bench, uint64_t ino, uint64_t size, uint64_t spool) {
    struct content_handle *handle = NULL;
    uint64_t moment = content_moment(bench->content, ino);
    if (content_open(bench->content, ino, &(struct content_version){"v", size}, spool, moment, &handle))
        abort();
    return handle;
}

static void read_cold_and_again(struct bench *bench, uint64_t ino, size_t size) {
    struct content_handle *handle = open_file(bench, ino, GIB, 0);
    read_whole(bench, "read 1 GiB, cold", handle, size);
    content_close(handle);
    clock_sleep_ms(500);
    handle = open_file(bench, ino, GIB, 0);
    read_whole(bench, "again, checksums looked at", handle, size);
    read_whole(bench, "again, spliced", handle, size);
    content_close(handle);
}

static void read_at_random(struct bench *bench) {
    struct content_handle *handle = open_file(bench, 50, GIB, 0);
    uint64_t seed = 88172645463325252u, before = bench->fetched;
    int64_t start = clock_monotonic_ns();
    enum { COUNT = 2000 };
    for (int i = 0; i < COUNT; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        read_wait(bench, handle, seed % (GIB / 4096) * 4096, 4096);
    }
    double took = seconds_since(start);
    printf("random 4 KiB reads: %.1f us each, %.1f KiB fetched for each\n", took / COUNT * 1e6,
           (double)(bench->fetched - before) / COUNT / 1024);
    content_close(handle);
}

static void write_whole(struct bench *bench) {
    uint64_t spool;
    if (content_new_spool(bench->content, &spool))
        abort();
    struct content_handle *handle = open_file(bench, 60, 0, spool);
    int64_t start = clock_monotonic_ns();
    for (uint64_t at = 0; at < GIB; at += PIECE)
        if (content_write(handle, bench->bytes, PIECE, at))
            abort();
    printf("write 1 GiB in 128 KiB pieces: %.2f GB/s\n", 1.073741824 / seconds_since(start));
    content_close(handle);
    content_drop(bench->content, 60, spool);
}

static void small_files(struct bench *bench) {
    enum { COUNT = 2000 };
    int64_t start = clock_monotonic_ns();
    for (uint64_t i = 0; i < COUNT; i++) {
        struct content_state state;
        uint64_t spool;
        if (content_new_spool(bench->content, &spool))
            abort();
        struct content_handle *handle = open_file(bench, 1000 + i, 0, spool);
        content_write(handle, bench->bytes, 4096, 0);
        content_commit(handle, false, &state);
        content_close(handle);
    }
    printf("create, write 4 KiB, commit, close: %.1f us each\n", seconds_since(start) / COUNT * 1e6);
    start = clock_monotonic_ns();
    for (uint64_t i = 0; i < COUNT; i++) {
        struct content_handle *handle = open_file(bench, 5000 + i, 4096, 0);
        read_wait(bench, handle, 0, 4096);
        content_close(handle);
    }
    printf("open, read 4 KiB cold, close: %.1f us each\n", seconds_since(start) / COUNT * 1e6);
}

int main(int argc, char **argv) {
    char folder[200], cache[256], spool[256];
    snprintf(folder, sizeof folder, "%s/pail-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(spool, sizeof spool, "%s/spool", folder);
    struct bench *bench = calloc(1, sizeof *bench);
    memset(bench->bytes, 'x', sizeof bench->bytes);
    struct content_options options = {
        .cache_folder = cache, .spool_folder = spool, .cache_limit = 8 * GIB, .origin = {bench, fetch}};
    struct fault fault;
    if (workers_create(&bench->workers, "origin", 8, 1000) || content_create(&bench->content, &options, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    read_cold_and_again(bench, 10, 128 << 10);
    read_cold_and_again(bench, 11, 1 << 20);
    read_at_random(bench);
    write_whole(bench);
    small_files(bench);
    content_destroy(bench->content);
    workers_destroy(bench->workers);
    free(bench);
    return file_remove_tree(folder) ? 1 : 0;
}
