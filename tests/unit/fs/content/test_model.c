/* fs/content against a plain buffer: random operations of one writer, with readers beside it, over commits, closings,
 * uploads, new lives and a cache folder that disappears. The seed is printed; PAIL_SEED repeats a run. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "origin.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MOST = 6 << 20, READERS = 3, INO = 42 };

struct model {
    struct fixture fixture;
    uint64_t seed;
    char *bytes; /* what the file is */
    uint64_t size;
    struct content_handle *handle;
    uint64_t spool; /* as recorded */
    char identity[32];
    uint64_t base_size;
    unsigned versions;
    pthread_rwlock_t changing; /* readers share; the writer is alone while bytes and model differ */
    _Atomic bool ending;
};

static uint64_t random_of(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t below(uint64_t *seed, uint64_t limit) {
    return (random_of(seed) >> 8) % limit;
}

/* Short ones are more likely than long ones. */
static uint64_t some_length(uint64_t *seed) {
    return 1 + below(seed, 1ull << (4 + below(seed, 17)));
}

static void open_it(struct model *model) {
    model->handle = fixture_open(&model->fixture, INO, model->identity, model->base_size, model->spool);
    struct content_state now;
    content_state(model->handle, &now);
    assert_int_equal(now.size, model->size);
}

static void record(struct model *model, bool durable) {
    struct content_state now;
    assert_int_equal(content_commit(model->handle, durable, &now), 0);
    assert_int_equal(now.size, model->size);
    model->spool = now.spool;
}

static void check(struct content_handle *handle, const struct model *model, uint64_t offset, size_t size) {
    AUTO_FREE char *data = NULL;
    size_t got;
    assert_int_equal(read_now(handle, offset, size, &data, &got), 0);
    size_t expected = offset >= model->size ? 0 : size < model->size - offset ? size : (size_t)(model->size - offset);
    assert_int_equal(got, expected);
    for (size_t i = 0; i < got; i++)
        if (data[i] != model->bytes[offset + i])
            fail_msg("byte %zu of [%zu, +%zu) is %02x, not %02x", i, (size_t)offset, size, (unsigned char)data[i],
                     (unsigned char)model->bytes[offset + i]);
}

static void *read_beside(void *context) {
    struct model *model = context;
    uint64_t seed = clock_realtime_ns() | 1;
    while (!model->ending) {
        pthread_rwlock_rdlock(&model->changing);
        if (model->handle)
            check(model->handle, model, below(&seed, model->size + 100), (size_t)some_length(&seed));
        pthread_rwlock_unlock(&model->changing);
    }
    return NULL;
}

static void write_some(struct model *model) {
    uint64_t offset = below(&model->seed, model->size + 1000), size = some_length(&model->seed);
    if (offset + size > MOST)
        return;
    AUTO_FREE char *data = malloc(size);
    for (uint64_t i = 0; i < size; i++)
        data[i] = (char)random_of(&model->seed);
    assert_int_equal(content_write(model->handle, data, size, offset), 0);
    if (offset > model->size)
        memset(model->bytes + model->size, 0, offset - model->size);
    memcpy(model->bytes + offset, data, size);
    if (offset + size > model->size)
        model->size = offset + size;
}

static void truncate_some(struct model *model) {
    uint64_t size = below(&model->seed, 4) ? below(&model->seed, MOST) : 0;
    assert_int_equal(content_truncate(model->handle, size), 0);
    if (size > model->size)
        memset(model->bytes + model->size, 0, size - model->size);
    model->size = size;
}

static void allocate_some(struct model *model) {
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[below(&model->seed, 5)];
    uint64_t offset = below(&model->seed, MOST / 2), length = some_length(&model->seed), end = offset + length;
    assert_int_equal(content_allocate(model->handle, mode, offset, length), 0);
    uint64_t zero_to = end < model->size ? end : model->size;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && zero_to > offset)
        memset(model->bytes + offset, 0, zero_to - offset);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > model->size) {
        memset(model->bytes + model->size, 0, end - model->size);
        model->size = end;
    }
}

/* Sends it all, as sync does: fill, read, and say so. */
static void upload_it(struct model *model) {
    record(model, false);
    if (!model->spool)
        return;
    struct content_upload *upload;
    uint64_t size;
    struct content_version base = {model->identity, model->base_size};
    assert_int_equal(content_upload_open(model->fixture.content, INO, model->spool, &base, &upload, &size), 0);
    assert_int_equal(size, model->size);
    uint64_t mark = content_upload_mark(upload);
    assert_int_equal(content_fill(upload, NULL), 0);
    AUTO_FREE char *sent = malloc(size + 1);
    assert_int_equal(content_upload_read(upload, 0, sent, size), 0);
    assert_memory_equal(sent, model->bytes, size);
    assert_false(content_upload_changed(upload, mark, 0, size));
    snprintf(model->identity, sizeof model->identity, "version %u", ++model->versions);
    origin_put(&model->fixture.origin, model->identity, sent, size);
    model->base_size = size;
    model->spool = 0;
    assert_true(content_uploaded(upload, mark, &(struct content_version){model->identity, size}));
    content_upload_close(upload);
}

static void reopen(struct model *model, bool new_life) {
    record(model, below(&model->seed, 8) == 0);
    content_close(TAKE(model->handle));
    if (new_life) {
        fixture_stop(&model->fixture);
        fixture_start(&model->fixture);
        assert_int_equal(content_sweep(model->fixture.content, &model->spool, model->spool != 0), 0);
    }
    open_it(model);
}

static void step(struct model *model) {
    uint64_t dice = below(&model->seed, 100);
    pthread_rwlock_wrlock(&model->changing);
    if (dice < 55)
        write_some(model);
    else if (dice < 62)
        truncate_some(model);
    else if (dice < 70)
        allocate_some(model);
    else if (dice < 80)
        record(model, below(&model->seed, 10) == 0);
    else if (dice < 88)
        upload_it(model);
    else if (dice < 95)
        reopen(model, dice < 91);
    else if (dice < 98)
        content_evict(model->fixture.content, below(&model->seed, MOST));
    else
        file_remove_tree(model->fixture.cache);
    pthread_rwlock_unlock(&model->changing);
    pthread_rwlock_rdlock(&model->changing);
    check(model->handle, model, below(&model->seed, model->size + 1), (size_t)some_length(&model->seed));
    pthread_rwlock_unlock(&model->changing);
}

static void random_operations_match_a_plain_buffer(void **state) {
    (void)state;
    struct model *model = calloc(1, sizeof *model);
    const char *given = getenv("PAIL_SEED");
    model->seed = given ? strtoull(given, NULL, 0) : (uint64_t)clock_realtime_ns() | 1;
    printf("PAIL_SEED=%llu\n", (unsigned long long)model->seed);
    model->bytes = calloc(1, MOST + (1 << 21));
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&model->changing, &writers_first);
    fixture_init(&model->fixture);
    model->fixture.options.memory_budget = 3 << 20;
    model->fixture.options.cache_limit = 24 << 20;
    fixture_start(&model->fixture);
    model->size = model->base_size = 2500000;
    snprintf(model->identity, sizeof model->identity, "first");
    origin_fill(INO, model->identity, 0, model->bytes, model->size);
    open_it(model);
    pthread_t readers[READERS];
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_beside, model);
    int64_t until = clock_monotonic_ms() + (getenv("PAIL_SECONDS") ? atoi(getenv("PAIL_SECONDS")) * 1000 : 4000);
    unsigned steps = 0;
    for (; clock_monotonic_ms() < until; steps++)
        step(model);
    model->ending = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    printf("%u steps, %u versions\n", steps, model->versions);
    assert_true(steps > 20);
    check(model->handle, model, 0, MOST);
    content_close(model->handle);
    fixture_finish(&model->fixture);
    pthread_rwlock_destroy(&model->changing);
    free(model->bytes);
    free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_operations_match_a_plain_buffer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
