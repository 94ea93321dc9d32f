/* The store that fails when told: every operation, in each way. */
#include "s3/failing_store.h"
#include "s3/memory_store.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OBJECT 300000u

static int read_zeros(void *context, uint64_t offset, void *data, size_t size) {
    (void)context, (void)offset;
    memset(data, 0, size);
    return 0;
}

static int count(void *context, const void *data, size_t size) {
    (void)data;
    *(uint64_t *)context += size;
    return 0;
}

struct rig {
    struct store *memory, *failing;
    char *upload; /* one under way at "k" */
    struct store_part part;
    uint64_t sunk;
    struct store_call call;
};

static int do_get(struct rig *rig) {
    struct store_sink sink = {count, &rig->sunk};
    struct store_object object;
    rig->sunk = 0;
    int error = store_get(rig->failing, &(struct store_get){.key = "k"}, &sink, &object, &rig->call);
    store_object_finish(&object);
    return error;
}

static int do_head(struct rig *rig) {
    struct store_object object;
    int error = store_head(rig->failing, "k", NULL, &object, &rig->call);
    store_object_finish(&object);
    return error;
}

static int do_put(struct rig *rig) {
    struct store_put request = {.key = "k", .source = {read_zeros, NULL, OBJECT}};
    struct store_written written;
    int error = store_put(rig->failing, &request, &written, &rig->call);
    store_written_finish(&written);
    return error;
}

static int do_copy(struct rig *rig) {
    struct store_copy request = {.source = "k", .key = "copy", .size = OBJECT};
    struct store_written written;
    int error = store_copy(rig->failing, &request, &written, &rig->call);
    store_written_finish(&written);
    return error;
}

static int do_remove(struct rig *rig) {
    return store_remove(rig->failing, "never", NULL, &rig->call);
}

static int do_remove_many(struct rig *rig) {
    return store_remove_many(rig->failing, &(struct store_delete){.key = "never"}, 1, &rig->call);
}

static int do_list(struct rig *rig) {
    struct store_page page;
    int error = store_list(rig->failing, &(struct store_list){.prefix = ""}, &page, &rig->call);
    store_page_finish(&page);
    return error;
}

static int do_list_versions(struct rig *rig) {
    struct store_page page;
    int error = store_list_versions(rig->failing, &(struct store_list_versions){.prefix = ""}, &page, &rig->call);
    store_page_finish(&page);
    return error;
}

static int do_create(struct rig *rig) {
    char *upload;
    int error = store_create_upload(rig->failing, "other", NULL, &upload, &rig->call);
    free(upload);
    return error;
}

static int do_put_part(struct rig *rig) {
    struct store_source source = {read_zeros, NULL, 10};
    char *etag;
    int error = store_put_part(rig->failing, "k", rig->upload, 2, &source, &etag, &rig->call);
    free(etag);
    return error;
}

static int do_copy_part(struct rig *rig) {
    struct store_copy source = {.source = "k"};
    char *etag;
    int error = store_copy_part(rig->failing, "k", rig->upload, 3, &source, 0, 10, &etag, &rig->call);
    free(etag);
    return error;
}

static int do_list_parts(struct rig *rig) {
    struct store_parts parts;
    int error = store_list_parts(rig->failing, "k", rig->upload, &parts, &rig->call);
    store_parts_finish(&parts);
    return error;
}

static int do_complete(struct rig *rig) {
    struct store_parts parts = {&rig->part, 1};
    struct store_written written;
    int error = store_complete_upload(rig->failing, "k", rig->upload, &parts, 10, NULL, &written, &rig->call);
    store_written_finish(&written);
    return error;
}

static int do_abort(struct rig *rig) {
    return store_abort_upload(rig->failing, "k", rig->upload, &rig->call);
}

/* once: a second call of its kind finds the upload gone. */
static const struct {
    int (*call)(struct rig *rig);
    bool once;
} operations[] = {
    {do_get, false},     {do_head, false},        {do_put, false},       {do_copy, false},
    {do_remove, false},  {do_remove_many, false}, {do_list, false},      {do_list_versions, false},
    {do_create, false},  {do_put_part, false},    {do_copy_part, false}, {do_list_parts, false},
    {do_complete, true}, {do_abort, true},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

static void start(struct rig *rig) {
    struct store_source source = {read_zeros, NULL, 10};
    struct store_put put = {.key = "k", .source = {read_zeros, NULL, OBJECT}};
    *rig = (struct rig){.part = {.number = 1, .size = 10}};
    assert_int_equal(memory_store_create(&rig->memory, &(struct memory_store_options){.versions = true}), 0);
    assert_int_equal(failing_store_create(&rig->failing, rig->memory), 0);
    assert_int_equal(store_put(rig->memory, &put, NULL, NULL), 0);
    assert_int_equal(store_create_upload(rig->memory, "k", NULL, &rig->upload, NULL), 0);
    assert_int_equal(store_put_part(rig->memory, "k", rig->upload, 1, &source, &rig->part.etag, NULL), 0);
}

static void stop(struct rig *rig) {
    free(rig->part.etag);
    free(rig->upload);
    store_destroy(rig->failing);
    store_destroy(rig->memory);
}

static void test_passes_on(void **state) {
    (void)state;
    for (size_t i = 0; i < OPERATIONS; i++) {
        struct rig rig;
        start(&rig);
        assert_int_equal(operations[i].call(&rig), 0);
        assert_int_equal(failing_store_calls(rig.failing), 1);
        stop(&rig);
    }
}

static void test_before(void **state) {
    (void)state;
    for (size_t i = 0; i < OPERATIONS; i++) {
        struct rig rig;
        start(&rig);
        failing_store_arm(rig.failing, 1, 1, FAILING_BEFORE, PAIL_DENIED);
        assert_int_equal(operations[i].call(&rig), PAIL_DENIED);
        assert_int_equal(operations[i].call(&rig), 0); /* nothing was done by the first */
        stop(&rig);
    }
}

static void test_after(void **state) {
    (void)state;
    for (size_t i = 0; i < OPERATIONS; i++) {
        struct rig rig;
        start(&rig);
        failing_store_arm(rig.failing, 1, 1, FAILING_AFTER, PAIL_OFFLINE);
        assert_int_equal(operations[i].call(&rig), PAIL_OFFLINE);
        assert_int_equal(operations[i].call(&rig), operations[i].once ? PAIL_GONE : 0); /* it was done */
        stop(&rig);
    }
}

static void test_half(void **state) {
    struct rig rig;
    (void)state;
    start(&rig);
    failing_store_arm(rig.failing, 1, 1, FAILING_HALF, PAIL_OFFLINE);
    assert_int_equal(do_get(&rig), PAIL_OFFLINE);
    assert_int_equal(rig.sunk, OBJECT / 2);
    assert_int_equal(do_get(&rig), 0);
    assert_int_equal(rig.sunk, OBJECT);
    for (size_t i = 1; i < OPERATIONS - 2; i++) {
        failing_store_arm(rig.failing, 1, 1, FAILING_HALF, PAIL_OFFLINE);
        assert_int_equal(operations[i].call(&rig), PAIL_OFFLINE);
        assert_int_equal(operations[i].call(&rig), 0);
    }
    stop(&rig);
}

static void test_stall(void **state) {
    _Atomic bool cancelled = true;
    struct rig rig;
    (void)state;
    start(&rig);
    rig.call.stall_ms = 50;
    for (size_t i = 0; i < OPERATIONS; i++) {
        failing_store_arm(rig.failing, 1, 1, FAILING_STALL, 0);
        int64_t began = clock_monotonic_ms();
        assert_int_equal(operations[i].call(&rig), PAIL_OFFLINE);
        assert_true(clock_monotonic_ms() - began >= 50);
    }
    rig.call = (struct store_call){.cancelled = &cancelled};
    failing_store_arm(rig.failing, 1, 1, FAILING_STALL, 0);
    assert_int_equal(do_head(&rig), PAIL_CANCELLED);
    stop(&rig);
}

static void test_nth(void **state) {
    struct rig rig;
    struct fault fault = {""};
    (void)state;
    start(&rig);
    rig.call.fault = &fault;
    failing_store_arm(rig.failing, 3, 2, FAILING_BEFORE, -EIO);
    for (unsigned i = 1; i <= 6; i++)
        assert_int_equal(do_head(&rig), i == 3 || i == 4 ? -EIO : 0);
    assert_int_equal(failing_store_calls(rig.failing), 6);
    assert_non_null(strstr(fault.text, "planted"));
    stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_on), cmocka_unit_test(test_before), cmocka_unit_test(test_after),
        cmocka_unit_test(test_half),      cmocka_unit_test(test_stall),  cmocka_unit_test(test_nth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
