/* fs/content and kill -9: what was committed is there, whatever was going on. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "origin.h"
#include "patience.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { SIZE = 3 << 20, RECORD = 4096, RECORDS = SIZE / RECORD };

/* What the child has been promised, shared with it. */
struct promises {
    _Atomic uint64_t spool;
    _Atomic uint64_t committed[RECORDS]; /* number of the write that a commit covers; 0: the origin's */
    _Atomic uint64_t writing;            /* the last write that was begun */
};

static void stamp(char *record, uint64_t number, uint64_t index) {
    for (size_t i = 0; i < RECORD / 16; i++) {
        memcpy(record + i * 16, &number, 8);
        memcpy(record + i * 16 + 8, &index, 8);
    }
}

/* Writes, cuts nothing, commits now and then, until it is killed. */
static void work(struct fixture *fixture, struct promises *promises, unsigned seed, bool fills) {
    fixture_start(fixture);
    struct content_handle *handle = fixture_open(fixture, 5, "v", SIZE, promises->spool);
    uint64_t pending[RECORDS] = {0};
    for (uint64_t number = promises->writing + 1;; number++) {
        char record[RECORD];
        uint64_t index = (uint64_t)rand_r(&seed) % RECORDS;
        stamp(record, number, index);
        promises->writing = number;
        if (content_write(handle, record, RECORD, index * RECORD))
            _exit(3);
        pending[index] = number;
        if (rand_r(&seed) % 20)
            continue;
        struct content_state now;
        if (content_commit(handle, rand_r(&seed) % 8 == 0, &now))
            _exit(4);
        promises->spool = now.spool; /* as the tree records it */
        for (size_t i = 0; i < RECORDS; i++)
            if (pending[i])
                promises->committed[i] = pending[i];
        memset(pending, 0, sizeof pending);
        if (fills && rand_r(&seed) % 6 == 0) { /* an upload that fills, while it is killed */
            struct content_upload *upload;
            uint64_t size;
            if (content_upload_open(fixture->content, 5, now.spool, &(struct content_version){"v", SIZE}, &upload,
                                    &size))
                _exit(5);
            if (content_fill(upload, NULL))
                _exit(6);
            content_upload_close(upload);
        }
    }
}

static void check(struct fixture *fixture, struct promises *promises) {
    uint64_t spool = promises->spool;
    assert_int_equal(content_sweep(fixture->content, &spool, spool != 0), 0);
    struct content_handle *handle = fixture_open(fixture, 5, "v", SIZE, spool);
    struct content_state now;
    content_state(handle, &now);
    assert_int_equal(now.size, SIZE);
    AUTO_FREE char *data = NULL;
    size_t got;
    assert_int_equal(read_now(handle, 0, SIZE, &data, &got), 0);
    assert_int_equal(got, SIZE);
    for (uint64_t i = 0; i < RECORDS; i++) {
        char expected[RECORD];
        uint64_t found, promised = promises->committed[i];
        memcpy(&found, data + i * RECORD, 8);
        origin_fill(5, "v", i * RECORD, expected, RECORD);
        if (!promised && !memcmp(expected, data + i * RECORD, RECORD))
            continue;
        if (found < promised || found > promises->writing)
            fail_msg("record %d is of write %llu, promised %llu", (int)i, (unsigned long long)found,
                     (unsigned long long)promised);
        stamp(expected, found, i);
        if (found != promises->writing) /* the last one may be half there */
            assert_memory_equal(expected, data + i * RECORD, RECORD);
    }
    content_close(handle);
}

/* Sleeps until the child, however slow it is, is somewhere in its work. */
static void let_it_work(struct promises *promises, uint64_t before, unsigned *seed) {
    uint64_t enough = before + 1 + (uint64_t)rand_r(seed) % 60;
    WAIT_UNTIL(promises->writing >= enough);
    clock_sleep_ms(rand_r(seed) % 20);
}

/* Three lives of one file: in the last one an upload fills what is still the origin's. */
static void three_lives(struct promises *promises, unsigned *seed) {
    char folder[] = "/tmp/pail-content-XXXXXX";
    assert_non_null(mkdtemp(folder));
    memset(promises, 0, sizeof *promises);
    for (int life = 0; life < 3; life++) {
        uint64_t before = promises->writing;
        pid_t child = fork(); /* before anything here has threads */
        if (!child) {
            struct fixture fixture;
            fixture_init_at(&fixture, folder);
            work(&fixture, promises, *seed + (unsigned)life, life == 2);
        }
        let_it_work(promises, before, seed);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* it did not fail by itself */
        struct fixture fixture;
        fixture_init_at(&fixture, folder);
        fixture_start(&fixture);
        check(&fixture, promises);
        fixture_stop(&fixture);
        origin_finish(&fixture.origin);
    }
    file_remove_tree(folder);
}

static struct promises *make_promises(void) {
    struct promises *promises = mmap(NULL, sizeof *promises, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(promises != MAP_FAILED);
    return promises;
}

static void kill_9_keeps_what_was_committed(void **state) {
    (void)state;
    struct promises *promises = make_promises();
    unsigned seed = (unsigned)clock_realtime_ns();
    uint64_t writes = 0;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 5; round++) {
        three_lives(promises, &seed);
        writes += promises->writing;
    }
    assert_true(writes > 100);
    print_message("%llu writes\n", (unsigned long long)writes);
    munmap(promises, sizeof *promises);
}

static void cut_and_die(struct fixture *fixture, struct promises *promises) {
    struct content_state now;
    fixture_start(fixture);
    struct content_handle *handle = fixture_open(fixture, 5, "v", SIZE, 0);
    if (content_write(handle, "x", 1, 10) || content_commit(handle, false, &now))
        _exit(3);
    promises->spool = now.spool;
    if (content_truncate(handle, RECORD) || content_truncate(handle, SIZE))
        _exit(4);
    kill(getpid(), SIGKILL);
}

/* The map from before the cut must not bring the origin's bytes back. */
static void kill_9_does_not_bring_back_what_was_cut(void **state) {
    (void)state;
    struct promises *promises = make_promises();
    char folder[] = "/tmp/pail-content-XXXXXX";
    int status;
    assert_non_null(mkdtemp(folder));
    pid_t child = fork();
    if (!child) {
        struct fixture fixture;
        fixture_init_at(&fixture, folder);
        cut_and_die(&fixture, promises);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct fixture fixture;
    fixture_init_at(&fixture, folder);
    fixture_start(&fixture);
    struct content_handle *handle = fixture_open(&fixture, 5, "v", SIZE, promises->spool);
    AUTO_FREE char *data = NULL;
    size_t got;
    assert_origin(handle, 5, "v", 11, RECORD - 11);
    assert_int_equal(read_now(handle, RECORD, SIZE, &data, &got), 0);
    assert_int_equal(got, SIZE - RECORD);
    for (size_t i = 0; i < got; i++)
        assert_int_equal(data[i], 0);
    content_close(handle);
    fixture_finish(&fixture);
    munmap(promises, sizeof *promises);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kill_9_keeps_what_was_committed),
                                       cmocka_unit_test(kill_9_does_not_bring_back_what_was_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
