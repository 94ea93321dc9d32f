/* s3/store: headers, and that every call reaches the implementation's function of that name. */
#include "base/cleanup.h"
#include "s3/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void headers_are_set_replaced_and_removed(void **state) {
    (void)state;
    struct store_headers headers = {0}, copy;
    assert_null(store_headers_get(&headers, "a"));
    assert_null(store_headers_get(NULL, "a"));
    assert_int_equal(store_headers_set(&headers, "a", "1"), 0);
    assert_int_equal(store_headers_set(&headers, "b", "2"), 0);
    assert_int_equal(store_headers_set(&headers, "c", "3"), 0);
    assert_int_equal(store_headers_set(&headers, "a", "4"), 0);
    assert_int_equal(headers.count, 3);
    assert_int_equal(store_headers_set(&headers, "b", NULL), 0);
    assert_int_equal(store_headers_set(&headers, "never", NULL), 0);
    assert_int_equal(store_headers_copy(&copy, &headers), 0);
    store_headers_finish(&headers);
    assert_int_equal(copy.count, 2);
    assert_string_equal(store_headers_get(&copy, "a"), "4");
    assert_null(store_headers_get(&copy, "b"));
    assert_string_equal(store_headers_get(&copy, "c"), "3");
    store_headers_finish(&copy);
    assert_int_equal(store_headers_copy(&copy, NULL), 0);
    assert_int_equal(copy.count, 0);
}

/* An implementation that answers each call with a number of its own. */
static void my_destroy(struct store *store) {
    (void)store;
    function_called();
}
static void my_features(struct store *store, struct store_features *out) {
    (void)store;
    *out = (struct store_features){.crc32c = true};
}
static int my_get(struct store *s, const struct store_get *r, const struct store_sink *k, struct store_object *o,
                  const struct store_call *c) {
    (void)s, (void)r, (void)k, (void)o, (void)c;
    return 1;
}
static int my_head(struct store *s, const char *k, const char *v, struct store_object *o, const struct store_call *c) {
    (void)s, (void)k, (void)v, (void)o, (void)c;
    return 2;
}
static int my_put(struct store *s, const struct store_put *r, struct store_written *w, const struct store_call *c) {
    (void)s, (void)r, (void)w, (void)c;
    return 3;
}
static int my_copy(struct store *s, const struct store_copy *r, struct store_written *w, const struct store_call *c) {
    (void)s, (void)r, (void)w, (void)c;
    return 4;
}
static int my_remove(struct store *s, const char *k, const char *e, const struct store_call *c) {
    (void)s, (void)k, (void)e, (void)c;
    return 5;
}
static int my_remove_many(struct store *s, struct store_delete *i, size_t n, const struct store_call *c) {
    (void)s, (void)i, (void)n, (void)c;
    return 6;
}
static int my_list(struct store *s, const struct store_list *r, struct store_page *p, const struct store_call *c) {
    (void)s, (void)r, (void)p, (void)c;
    return 7;
}
static int my_list_versions(struct store *s, const struct store_list_versions *r, struct store_page *p,
                            const struct store_call *c) {
    (void)s, (void)r, (void)p, (void)c;
    return 8;
}
static int my_create_upload(struct store *s, const char *k, const struct store_headers *h, char **u,
                            const struct store_call *c) {
    (void)s, (void)k, (void)h, (void)u, (void)c;
    return 9;
}
static int my_put_part(struct store *s, const char *k, const char *u, unsigned n, const struct store_source *b,
                       char **e, const struct store_call *c) {
    (void)s, (void)k, (void)u, (void)n, (void)b, (void)e, (void)c;
    return 10;
}
static int my_copy_part(struct store *s, const char *k, const char *u, unsigned n, const struct store_copy *f,
                        uint64_t o, uint64_t l, char **e, const struct store_call *c) {
    (void)s, (void)k, (void)u, (void)n, (void)f, (void)o, (void)l, (void)e, (void)c;
    return 11;
}
static int my_complete_upload(struct store *s, const char *k, const char *u, const struct store_parts *p, uint64_t t,
                              const struct store_when *w, struct store_written *o, const struct store_call *c) {
    (void)s, (void)k, (void)u, (void)p, (void)t, (void)w, (void)o, (void)c;
    return 12;
}
static int my_abort_upload(struct store *s, const char *k, const char *u, const struct store_call *c) {
    (void)s, (void)k, (void)u, (void)c;
    return 13;
}
static int my_list_parts(struct store *s, const char *k, const char *u, struct store_parts *p,
                         const struct store_call *c) {
    (void)s, (void)k, (void)u, (void)p, (void)c;
    return 14;
}

static const struct store_operations my_operations = {
    .destroy = my_destroy,
    .features = my_features,
    .get = my_get,
    .head = my_head,
    .put = my_put,
    .copy = my_copy,
    .remove = my_remove,
    .remove_many = my_remove_many,
    .list = my_list,
    .list_versions = my_list_versions,
    .create_upload = my_create_upload,
    .put_part = my_put_part,
    .copy_part = my_copy_part,
    .complete_upload = my_complete_upload,
    .abort_upload = my_abort_upload,
    .list_parts = my_list_parts,
};

static void calls_reach_their_function(void **state) {
    (void)state;
    struct store store = {&my_operations};
    struct store_features features = {0};
    store_features(&store, &features);
    assert_true(features.crc32c);
    assert_int_equal(store_get(&store, NULL, NULL, NULL, NULL), 1);
    assert_int_equal(store_head(&store, NULL, NULL, NULL, NULL), 2);
    assert_int_equal(store_put(&store, NULL, NULL, NULL), 3);
    assert_int_equal(store_copy(&store, NULL, NULL, NULL), 4);
    assert_int_equal(store_remove(&store, NULL, NULL, NULL), 5);
    assert_int_equal(store_remove_many(&store, NULL, 0, NULL), 6);
    assert_int_equal(store_list(&store, NULL, NULL, NULL), 7);
    assert_int_equal(store_list_versions(&store, NULL, NULL, NULL), 8);
    assert_int_equal(store_create_upload(&store, NULL, NULL, NULL, NULL), 9);
    assert_int_equal(store_put_part(&store, NULL, NULL, 1, NULL, NULL, NULL), 10);
    assert_int_equal(store_copy_part(&store, NULL, NULL, 1, NULL, 0, 0, NULL, NULL), 11);
    assert_int_equal(store_complete_upload(&store, NULL, NULL, NULL, 0, NULL, NULL, NULL), 12);
    assert_int_equal(store_abort_upload(&store, NULL, NULL, NULL), 13);
    assert_int_equal(store_list_parts(&store, NULL, NULL, NULL, NULL), 14);
    expect_function_call(my_destroy);
    store_destroy(&store);
    store_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_set_replaced_and_removed),
        cmocka_unit_test(calls_reach_their_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
