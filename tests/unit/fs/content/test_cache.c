/* fs/content/cache: what is believed, what is not, and what is given up. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/content/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { SIZE = 10 * CACHE_BLOCK + 777 };

struct here {
    char folder[64];
    struct cache *cache;
    struct cache_options options;
    bool full;
    char data[SIZE], out[SIZE];
};

static const _Atomic bool never = false;

static bool has_room(void *context, uint64_t size) {
    (void)size;
    return !((struct here *)context)->full;
}

static void begin_life(struct here *here) {
    cache_destroy(here->cache);
    assert_int_equal(cache_create(&here->cache, &here->options), 0);
    cache_scan(here->cache, &never);
}

static int setup(void **state) {
    struct here *here = calloc(1, sizeof *here);
    snprintf(here->folder, sizeof here->folder, "/tmp/pail-cache-XXXXXX");
    assert_non_null(mkdtemp(here->folder));
    here->options = (struct cache_options){here->folder, 100 << 20, has_room, here};
    for (size_t i = 0; i < SIZE; i++)
        here->data[i] = (char)(i * 31 + i / 1000);
    begin_life(here);
    *state = here;
    return 0;
}

static int teardown(void **state) {
    struct here *here = *state;
    cache_destroy(here->cache);
    file_remove_tree(here->folder);
    free(here);
    return 0;
}

static char *path_of(const struct here *here, uint64_t ino) {
    return text_format("%s/%02x/%016llx", here->folder, (unsigned)(ino & 255), (unsigned long long)ino);
}

static void put(struct here *here, uint64_t ino, const char *identity) {
    struct cache_file *file = cache_open(here->cache, ino, identity, SIZE);
    cache_write(file, 0, here->data, SIZE);
    cache_close(file);
}

static size_t get(struct here *here, uint64_t ino, const char *identity, uint64_t size, uint64_t from, uint64_t to) {
    struct cache_file *file = cache_open(here->cache, ino, identity, size);
    memset(here->out, 0, SIZE);
    size_t n = cache_read(file, from, to, here->out);
    assert_memory_equal(here->out, here->data + from, n);
    cache_close(file);
    return n;
}

static void what_was_written_is_read(void **state) {
    struct here *here = *state;
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), 0);
    put(here, 5, "v1");
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), SIZE);
    begin_life(here);
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), SIZE);
    assert_int_equal(get(here, 5, "v1", SIZE, 100, 101), 1);
    assert_int_equal(get(here, 5, "v1", SIZE, CACHE_BLOCK - 1, 3 * CACHE_BLOCK + 1), 2 * CACHE_BLOCK + 2);
    assert_int_equal(get(here, 5, "v1", SIZE, SIZE - 1, SIZE), 1);
    uint64_t bytes, limit, files;
    cache_totals(here->cache, &bytes, &limit, &files);
    assert_int_equal(files, 1);
    assert_true(bytes >= SIZE);
}

static void parts_are_remembered(void **state) {
    struct here *here = *state;
    struct cache_file *file = cache_open(here->cache, 5, "v1", SIZE);
    cache_write(file, 2 * CACHE_BLOCK, here->data + 2 * CACHE_BLOCK, 3 * CACHE_BLOCK);
    cache_write(file, 7 * CACHE_BLOCK, here->data + 7 * CACHE_BLOCK, 2 * CACHE_BLOCK - 1); /* the second is not whole */
    cache_write(file, 9 * CACHE_BLOCK + 1, here->data, CACHE_BLOCK);                       /* not at a block's start */
    for (int life = 0; life < 2; life++) {
        cache_load(file, 0, SIZE);
        assert_int_equal(cache_run(file, 0, SIZE), 0);
        assert_int_equal(cache_hole(file, 0, SIZE), 2 * CACHE_BLOCK);
        assert_int_equal(cache_run(file, 2 * CACHE_BLOCK + 5, SIZE), 5 * CACHE_BLOCK);
        assert_int_equal(cache_run(file, 7 * CACHE_BLOCK, SIZE), 8 * CACHE_BLOCK);
        assert_int_equal(cache_hole(file, 8 * CACHE_BLOCK + 1, SIZE), SIZE);
        assert_int_equal(cache_present(file), 4 * CACHE_BLOCK);
        assert_int_equal(cache_read(file, 4 * CACHE_BLOCK + 1, SIZE, here->out), CACHE_BLOCK - 1);
        cache_close(file);
        begin_life(here);
        file = cache_open(here->cache, 5, "v1", SIZE);
    }
    cache_close(file);
}

/* After the database was lost, inodes start anew: number 5 is another file now. */
static void a_foreign_file_is_not_believed(void **state) {
    struct here *here = *state;
    put(here, 5, "v1");
    begin_life(here);
    assert_int_equal(get(here, 5, "v2", SIZE, 0, SIZE), 0);
    assert_int_equal(get(here, 5, "v", SIZE, 0, SIZE), 0);
    assert_int_equal(get(here, 5, "v1", SIZE - 1, 0, 10), 0);
    assert_int_equal(get(here, 5, "v1", SIZE + 5 * CACHE_BLOCK, 0, 10), 0);
    AUTO_FREE char *five = path_of(here, 5);
    AUTO_FREE char *six = path_of(here, 0x105);
    assert_int_equal(rename(five, six), 0); /* whose name says another number */
    assert_int_equal(get(here, 0x105, "v1", SIZE, 0, SIZE), 0);
}

static void a_new_version_takes_the_place(void **state) {
    struct here *here = *state;
    put(here, 5, "v1");
    struct cache_file *old = cache_open(here->cache, 5, "v1", SIZE);
    assert_int_equal(cache_read(old, 0, SIZE, here->out), SIZE);
    put(here, 5, "v2");
    assert_int_equal(cache_read(old, 0, SIZE, here->out), 0);
    cache_close(old);
    assert_int_equal(get(here, 5, "v2", SIZE, 0, SIZE), SIZE);
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), 0);
    uint64_t bytes, limit, files;
    cache_totals(here->cache, &bytes, &limit, &files);
    assert_int_equal(files, 1);
}

static void flip(struct here *here, uint64_t ino, off_t at) {
    AUTO_FREE char *path = path_of(here, ino);
    AUTO_CLOSE int fd = open(path, O_RDWR);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void bit_rot_is_a_miss(void **state) {
    struct here *here = *state;
    put(here, 5, "v1");
    begin_life(here);
    flip(here, 5, 3 * CACHE_BLOCK + 100);
    flip(here, 5, SIZE - 1);
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), 3 * CACHE_BLOCK);
    assert_int_equal(cache_damaged(here->cache), 1);
    assert_int_equal(get(here, 5, "v1", SIZE, 3 * CACHE_BLOCK + 7, 3 * CACHE_BLOCK + 8), 0);
    assert_int_equal(cache_damaged(here->cache), 1); /* known by now */
    assert_int_equal(get(here, 5, "v1", SIZE, 4 * CACHE_BLOCK + 1, SIZE), 6 * CACHE_BLOCK - 1);
    assert_int_equal(cache_damaged(here->cache), 2);
    begin_life(here); /* also in the next */
    assert_int_equal(get(here, 5, "v1", SIZE, 3 * CACHE_BLOCK, 4 * CACHE_BLOCK), 0);
    put(here, 5, "v1"); /* and mended by writing again */
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), SIZE);
}

static void a_damaged_trailer_is_not_believed(void **state) {
    struct here *here = *state;
    off_t header = 11 * CACHE_BLOCK;
    for (off_t at = header; at < header + 1060; at += 13) {
        put(here, 5, "v1");
        begin_life(here);
        flip(here, 5, at);
        assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), 0);
        cache_remove(here->cache, 5);
    }
    put(here, 5, "v1"); /* and one of the table costs that block */
    begin_life(here);
    flip(here, 5, header + 4096);
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), 0);
    assert_int_equal(get(here, 5, "v1", SIZE, CACHE_BLOCK, SIZE), SIZE - CACHE_BLOCK);
}

static void a_cut_file_is_a_miss(void **state) {
    struct here *here = *state;
    put(here, 5, "v1");
    struct cache_file *file = cache_open(here->cache, 5, "v1", SIZE);
    assert_int_equal(cache_read(file, 0, SIZE, here->out), SIZE);
    int fd;
    struct cache_body *body = cache_body(file, 0, SIZE, &fd);
    assert_non_null(body); /* all was checked */
    cache_body_done(file, body);
    AUTO_FREE char *path = path_of(here, 5);
    assert_int_equal(truncate(path, 2 * CACHE_BLOCK), 0);
    assert_null(cache_body(file, 0, SIZE, &fd));
    assert_true(cache_read(file, 4 * CACHE_BLOCK, SIZE, here->out) == 0);
    cache_close(file);
}

static void only_checked_bytes_are_spliced(void **state) {
    struct here *here = *state;
    int fd;
    put(here, 5, "v1");
    struct cache_file *file = cache_open(here->cache, 5, "v1", SIZE);
    cache_load(file, 0, SIZE);
    assert_null(cache_body(file, 0, CACHE_BLOCK, &fd)); /* nobody looked yet */
    assert_int_equal(cache_read(file, 10, CACHE_BLOCK, here->out), CACHE_BLOCK - 10);
    struct cache_body *body = cache_body(file, 0, CACHE_BLOCK, &fd);
    assert_non_null(body);
    assert_null(cache_body(file, 0, CACHE_BLOCK + 1, &fd));
    cache_evict(here->cache, 0); /* what is being spliced stays */
    char byte;
    assert_int_equal(pread(fd, &byte, 1, 100), 1);
    assert_int_equal(byte, here->data[100]);
    cache_body_done(file, body);
    assert_null(cache_body(file, 0, CACHE_BLOCK, &fd));
    cache_close(file);
}

/* A node was removed while a program reads it. */
static void what_was_removed_is_read_to_the_end(void **state) {
    struct here *here = *state;
    put(here, 5, "v1");
    struct cache_file *file = cache_open(here->cache, 5, "v1", SIZE);
    assert_int_equal(cache_read(file, 0, 10, here->out), 10);
    cache_remove(here->cache, 5);
    AUTO_FREE char *path = path_of(here, 5);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(cache_read(file, 0, SIZE, here->out), SIZE);
    assert_memory_equal(here->out, here->data, SIZE);
    cache_close(file);
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), 0);
}

static void the_folder_may_go_at_any_moment(void **state) {
    struct here *here = *state;
    struct cache_file *file = cache_open(here->cache, 5, "v1", SIZE);
    cache_write(file, 0, here->data, CACHE_BLOCK);
    assert_int_equal(file_remove_tree(here->folder), 0);
    cache_write(file, CACHE_BLOCK, here->data + CACHE_BLOCK, CACHE_BLOCK);
    size_t n = cache_read(file, 0, CACHE_BLOCK, here->out);
    assert_true(n == 0 || !memcmp(here->out, here->data, n));
    assert_int_equal(cache_read(file, CACHE_BLOCK, 2 * CACHE_BLOCK, here->out), CACHE_BLOCK);
    assert_memory_equal(here->out, here->data + CACHE_BLOCK, CACHE_BLOCK);
    cache_close(file);
    begin_life(here); /* and what was written after that is there */
    assert_int_equal(get(here, 5, "v1", SIZE, CACHE_BLOCK, 2 * CACHE_BLOCK), CACHE_BLOCK);
}

static void the_least_recently_used_goes_first(void **state) {
    struct here *here = *state;
    uint64_t bytes, limit, files;
    for (uint64_t ino = 1; ino <= 10; ino++)
        put(here, ino, "v");
    assert_int_equal(get(here, 1, "v", SIZE, 0, SIZE), SIZE); /* reading is use */
    cache_totals(here->cache, &bytes, &limit, &files);
    cache_evict(here->cache, bytes / 2);
    assert_int_equal(get(here, 2, "v", SIZE, 0, SIZE), 0);
    assert_int_equal(get(here, 1, "v", SIZE, 0, SIZE), SIZE);
    assert_int_equal(get(here, 10, "v", SIZE, 0, SIZE), SIZE);
    cache_totals(here->cache, &bytes, &limit, &files);
    assert_true(files == 4 || files == 5); /* sizes are guessed until a file is opened again */
    AUTO_FREE char *old = path_of(here, 10);
    AUTO_FREE char *gone = path_of(here, 2);
    assert_int_equal(access(gone, F_OK), -1);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    utimensat(AT_FDCWD, old, times, 0);
    begin_life(here); /* the order survives */
    cache_evict(here->cache, bytes - 1);
    assert_int_equal(get(here, 10, "v", SIZE, 0, SIZE), 0);
    assert_int_equal(get(here, 9, "v", SIZE, 0, SIZE), SIZE);
    cache_evict(here->cache, 0);
    cache_totals(here->cache, &bytes, &limit, &files);
    assert_int_equal(bytes + files, 0);
}

/* The disk is full before the scan in the background has begun. */
static void what_no_scan_has_seen_is_given_up_too(void **state) {
    struct here *here = *state;
    put(here, 1, "v");
    cache_destroy(here->cache);
    assert_int_equal(cache_create(&here->cache, &here->options), 0);
    cache_give_up(here->cache, &never);
    AUTO_FREE char *path = path_of(here, 1);
    assert_int_equal(access(path, F_OK), -1);
    put(here, 2, "v");
    AUTO_FREE char *left = path_of(here, 3); /* as if the scan below had seen a file that went meanwhile */
    AUTO_FREE char *there = path_of(here, 2);
    char *slash = strrchr(left, '/');
    *slash = '\0';
    mkdir(left, 0700);
    *slash = '/';
    assert_int_equal(link(there, left), 0);
    cache_scan(here->cache, &never);
    uint64_t bytes, limit, files;
    cache_totals(here->cache, &bytes, &limit, &files);
    assert_int_equal(files, 1);
}

static void it_stays_within_its_limit(void **state) {
    struct here *here = *state;
    here->options.limit = 20 * SIZE;
    begin_life(here);
    for (uint64_t ino = 1; ino <= 100; ino++) {
        put(here, ino, "v");
        uint64_t bytes, limit, files;
        cache_totals(here->cache, &bytes, &limit, &files);
        assert_true(bytes <= limit);
    }
    assert_int_equal(get(here, 100, "v", SIZE, 0, SIZE), SIZE);
    here->options.limit = SIZE; /* one that would fill it is not taken */
    begin_life(here);
    put(here, 200, "v");
    assert_int_equal(get(here, 200, "v", SIZE, 0, SIZE), 0);
}

static void a_full_disk_is_only_a_miss(void **state) {
    struct here *here = *state;
    here->full = true;
    put(here, 5, "v1");
    assert_int_equal(get(here, 5, "v1", SIZE, 0, SIZE), 0);
    AUTO_FREE char *path = path_of(here, 5);
    assert_int_equal(access(path, F_OK), -1);
}

static int move(void *context, const char *path) {
    return rename(context, path) ? -errno : 0;
}

static struct cache_file *adopt(struct here *here, uint64_t ino, const char *identity, uint64_t size) {
    AUTO_FREE char *spool = text_format("%s.spool", here->folder);
    int fd = open(spool, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(file_pwrite_all(fd, here->data, SIZE, 0), 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return cache_adopt(here->cache, ino, identity, size, fd, move, spool);
}

static void a_spool_file_is_adopted(void **state) {
    struct here *here = *state;
    put(here, 5, "v1");
    struct cache_file *file = adopt(here, 5, "v2", SIZE);
    assert_non_null(file);
    assert_int_equal(cache_present(file), SIZE);
    assert_int_equal(cache_read(file, 0, SIZE, here->out), SIZE);
    assert_memory_equal(here->out, here->data, SIZE);
    cache_close(file);
    begin_life(here);
    assert_int_equal(get(here, 5, "v2", SIZE, 0, SIZE), 0); /* not sealed: not believed */
    file = adopt(here, 5, "v2", SIZE);
    cache_seal(file, &never);
    cache_close(file);
    begin_life(here);
    assert_int_equal(get(here, 5, "v2", SIZE, 0, SIZE), SIZE);
    flip(here, 5, 10);
    begin_life(here);
    assert_int_equal(get(here, 5, "v2", SIZE, 0, SIZE), 0);
}

static void holes_of_an_adopted_file_are_zeros(void **state) {
    struct here *here = *state;
    uint64_t size = 5ull << 30;
    struct cache_file *file = adopt(here, 5, "v2", size + 100);
    assert_non_null(file);
    cache_seal(file, &never);
    cache_close(file);
    begin_life(here);
    file = cache_open(here->cache, 5, "v2", size + 100);
    static const char zeros[100];
    assert_int_equal(cache_read(file, size, size + 100, here->out), 100);
    assert_memory_equal(here->out, zeros, 100);
    assert_int_equal(cache_read(file, 0, SIZE, here->out), SIZE);
    assert_memory_equal(here->out, here->data, SIZE);
    assert_int_equal(cache_present(file), size + 100);
    cache_close(file);
}

static void a_very_long_identity_is_not_cached(void **state) {
    struct here *here = *state;
    char identity[3000];
    memset(identity, 'i', sizeof identity - 1);
    identity[sizeof identity - 1] = 0;
    put(here, 5, identity);
    assert_int_equal(get(here, 5, identity, SIZE, 0, SIZE), 0);
    assert_null(adopt(here, 5, identity, SIZE));
    AUTO_FREE char *spool = text_format("%s.spool", here->folder);
    assert_int_equal(unlink(spool), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read),
        TEST(parts_are_remembered),
        TEST(a_foreign_file_is_not_believed),
        TEST(a_new_version_takes_the_place),
        TEST(bit_rot_is_a_miss),
        TEST(a_damaged_trailer_is_not_believed),
        TEST(a_cut_file_is_a_miss),
        TEST(only_checked_bytes_are_spliced),
        TEST(what_was_removed_is_read_to_the_end),
        TEST(the_folder_may_go_at_any_moment),
        TEST(the_least_recently_used_goes_first),
        TEST(what_no_scan_has_seen_is_given_up_too),
        TEST(it_stays_within_its_limit),
        TEST(a_full_disk_is_only_a_miss),
        TEST(a_spool_file_is_adopted),
        TEST(holes_of_an_adopted_file_are_zeros),
        TEST(a_very_long_identity_is_not_cached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
