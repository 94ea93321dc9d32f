/* Conformance: conditions. Each is asked only of a store that was proven to honour it. */
#include "support.h"

#define WRONG "00000000000000000000000000000000"

static int put_when(const struct conformance *run, const char *key, uint64_t seed, enum store_condition condition,
                    const char *etag) {
    struct store_put put = {.key = key, .source = support_source(&seed, 10 + seed), .when = {condition, etag}};
    struct store_written written;
    int error = store_put(run->store, &put, &written, NULL);
    store_written_finish(&written);
    return error;
}

static void test_put_if_absent(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "put if absent");
    needs(put_if_absent);
    assert_int_equal(put_when(run, key, 1, STORE_IF_ABSENT, NULL), 0);
    assert_int_equal(put_when(run, key, 2, STORE_IF_ABSENT, NULL), PAIL_CONFLICT);
    support_assert_object(run, key, 1, 11);
    assert_ok(store_remove(run->store, key, NULL, &call));
    assert_int_equal(put_when(run, key, 3, STORE_IF_ABSENT, NULL), 0);
    support_assert_object(run, key, 3, 13);
}

static void test_put_if_match(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "put if match");
    char *etag = NULL;
    needs(put_if_match);
    support_put(run, key, 1, 11, &etag, NULL);
    assert_int_equal(put_when(run, key, 2, STORE_IF_MATCH, WRONG), PAIL_CONFLICT);
    support_assert_object(run, key, 1, 11);
    assert_int_equal(put_when(run, key, 3, STORE_IF_MATCH, etag), 0);
    support_assert_object(run, key, 3, 13);
    assert_int_equal(put_when(run, key, 4, STORE_IF_MATCH, etag), PAIL_CONFLICT);
    int absent = put_when(run, support_key(run, "put if match, never there"), 1, STORE_IF_MATCH, etag);
    assert_true(absent == PAIL_GONE || absent == PAIL_CONFLICT);
    free(etag);
}

static int copy_when(const struct conformance *run, const char *from, const char *to, enum store_condition condition,
                     const char *etag, const char *source_etag) {
    struct store_copy copy = {
        .source = from, .source_if_match = source_etag, .key = to, .when = {condition, etag}, .size = 11};
    return store_copy(run->store, &copy, NULL, NULL);
}

static void test_copy_if_absent(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "condition source"), *to = support_key(run, "copy if absent");
    needs(copy_if_absent);
    support_put(run, from, 1, 11, NULL, NULL);
    assert_int_equal(copy_when(run, from, to, STORE_IF_ABSENT, NULL, NULL), 0);
    support_put(run, to, 2, 12, NULL, NULL);
    assert_int_equal(copy_when(run, from, to, STORE_IF_ABSENT, NULL, NULL), PAIL_CONFLICT);
    support_assert_object(run, to, 2, 12);
}

static void test_copy_if_match(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "condition source"), *to = support_key(run, "copy if match");
    char *etag = NULL;
    needs(copy_if_match);
    support_put(run, from, 1, 11, NULL, NULL);
    support_put(run, to, 2, 12, &etag, NULL);
    assert_int_equal(copy_when(run, from, to, STORE_IF_MATCH, WRONG, NULL), PAIL_CONFLICT);
    support_assert_object(run, to, 2, 12);
    assert_int_equal(copy_when(run, from, to, STORE_IF_MATCH, etag, NULL), 0);
    support_assert_object(run, to, 1, 11);
    free(etag);
}

static void test_copy_source_if_match(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "condition source"), *to = support_key(run, "copy source if match");
    char *etag = NULL;
    needs(copy_source_if_match);
    support_put(run, from, 1, 11, &etag, NULL);
    assert_int_equal(copy_when(run, from, to, STORE_ANY, NULL, WRONG), PAIL_CONFLICT);
    support_assert_gone(run, to);
    assert_int_equal(copy_when(run, from, to, STORE_ANY, NULL, etag), 0);
    support_assert_object(run, to, 1, 11);
    free(etag);
}

static void test_delete_if_match(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "delete if match");
    char *etag = NULL;
    needs(delete_if_match);
    support_put(run, key, 1, 11, &etag, NULL);
    assert_result(store_remove(run->store, key, WRONG, &call), PAIL_CONFLICT);
    support_assert_object(run, key, 1, 11);
    assert_ok(store_remove(run->store, key, etag, &call));
    support_assert_gone(run, key);
    assert_result(store_remove(run->store, key, etag, &call), PAIL_GONE);
    free(etag);
}

static void test_delete_many_if_match(void **state) {
    const struct conformance *run = *state;
    char *one = NULL;
    needs(delete_many_if_match);
    struct store_delete items[] = {{.key = support_key(run, "many one")}, {.key = support_key(run, "many two")}};
    support_put(run, items[0].key, 1, 11, &one, NULL);
    support_put(run, items[1].key, 2, 12, NULL, NULL);
    items[0].etag = one;
    items[1].etag = WRONG;
    assert_ok(store_remove_many(run->store, items, 2, &call));
    assert_int_equal(items[0].result, 0);
    assert_int_equal(items[1].result, PAIL_CONFLICT);
    support_assert_gone(run, items[0].key);
    support_assert_object(run, items[1].key, 2, 12);
    free(one);
}

/* What is not honoured must not stand in the way either: the caller looks by itself. */
static void test_unproven_conditions_pass(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "unproven");
    char *etag = NULL;
    support_put(run, key, 1, 11, &etag, NULL);
    assert_int_equal(put_when(run, key, 2, STORE_IF_MATCH, etag), 0);
    support_assert_object(run, key, 2, 12);
    free(etag);
    struct store_object object;
    assert_ok(store_head(run->store, key, NULL, &object, &call));
    assert_int_equal(copy_when(run, key, support_key(run, "unproven copy"), STORE_IF_ABSENT, NULL, object.etag), 0);
    assert_ok(store_remove(run->store, key, object.etag, &call));
    support_assert_gone(run, key);
    store_object_finish(&object);
}

const struct CMUnitTest *conformance_conditions(size_t *count) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_if_absent),        cmocka_unit_test(test_put_if_match),
        cmocka_unit_test(test_copy_if_absent),       cmocka_unit_test(test_copy_if_match),
        cmocka_unit_test(test_copy_source_if_match), cmocka_unit_test(test_delete_if_match),
        cmocka_unit_test(test_delete_many_if_match), cmocka_unit_test(test_unproven_conditions_pass),
    };
    *count = sizeof tests / sizeof *tests;
    return tests;
}
