/* Conformance: listings of objects and versions. */
#include "support.h"

#include <pthread.h>
#include <stdio.h>

static const char *const names[] = {"a", "a.txt", "b/1", "b/2", "b/c/3", "b0", "c/", "d/x", "\xc3\xa9"};
#define NAMES (sizeof names / sizeof *names)

static void make_tree(const struct conformance *run) {
    for (size_t i = 0; i < NAMES; i++) {
        char name[64];
        snprintf(name, sizeof name, "tree/%s", names[i]);
        support_put(run, support_key(run, name), i, 20 + i, NULL, NULL);
    }
}

/* The key without the run's folder and "tree/". */
static const char *bare(const struct conformance *run, const char *key) {
    size_t skip_size = strlen(run->folder) + strlen("tree/");
    assert_true(strlen(key) >= skip_size);
    return key + skip_size;
}

static void test_flat(void **state) {
    const struct conformance *run = *state;
    struct store_list request = {.prefix = support_key(run, "tree/")};
    struct store_page page;
    make_tree(run);
    assert_ok(store_list(run->store, &request, &page, &call));
    assert_int_equal(page.count, NAMES);
    assert_int_equal(page.prefix_count, 0);
    assert_null(page.next_token);
    for (size_t i = 0; i < NAMES; i++) {
        assert_string_equal(bare(run, page.objects[i].key), names[i]);
        assert_int_equal(page.objects[i].size, 20 + i);
        assert_int_equal(strlen(page.objects[i].etag), 32);
        assert_true(page.objects[i].modified_s > 1700000000);
    }
    store_page_finish(&page);
}

static void test_delimiter(void **state) {
    const struct conformance *run = *state;
    static const char *const objects[] = {"a", "a.txt", "b0", "\xc3\xa9"}, *const folders[] = {"b/", "c/", "d/"};
    struct store_list request = {.prefix = support_key(run, "tree/"), .delimiter = "/"};
    struct store_page page;
    make_tree(run);
    assert_ok(store_list(run->store, &request, &page, &call));
    assert_int_equal(page.count, 4);
    assert_int_equal(page.prefix_count, 3);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(bare(run, page.objects[i].key), objects[i]);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(bare(run, page.prefixes[i]), folders[i]);
    store_page_finish(&page);
}

/* Pages of two, put together, are the whole, in order. */
static void walk_pages(const struct conformance *run, const char *delimiter, size_t expected) {
    struct store_list request = {.prefix = support_key(run, "tree/"), .delimiter = delimiter, .max_keys = 2};
    char *token = NULL;
    size_t seen = 0, pages = 0;
    do {
        struct store_page page;
        request.token = token;
        assert_ok(store_list(run->store, &request, &page, &call));
        assert_true(page.count + page.prefix_count <= 2);
        seen += page.count + page.prefix_count;
        free(token);
        token = page.next_token;
        page.next_token = NULL;
        store_page_finish(&page);
    } while (token && ++pages < 20);
    assert_null(token);
    assert_int_equal(seen, expected);
}

static void test_pages(void **state) {
    make_tree(*state);
    walk_pages(*state, NULL, NAMES);
    walk_pages(*state, "/", 7);
}

static void test_start_after(void **state) {
    const struct conformance *run = *state;
    struct store_list request = {.prefix = support_key(run, "tree/"), .start_after = support_key(run, "tree/b/2")};
    struct store_page page;
    make_tree(run);
    assert_ok(store_list(run->store, &request, &page, &call));
    assert_int_equal(page.count, 5);
    assert_string_equal(bare(run, page.objects[0].key), "b/c/3");
    store_page_finish(&page);
    request.start_after = support_key(run, "tree/b/1x"); /* need not be there */
    assert_ok(store_list(run->store, &request, &page, &call));
    assert_int_equal(page.count, 6);
    store_page_finish(&page);
}

static void test_nothing(void **state) {
    const struct conformance *run = *state;
    struct store_list request = {.prefix = support_key(run, "nothing here/"), .delimiter = "/"};
    struct store_list_versions versions = {.prefix = request.prefix};
    struct store_page page;
    assert_ok(store_list(run->store, &request, &page, &call));
    assert_int_equal(page.count + page.prefix_count, 0);
    assert_null(page.next_token);
    store_page_finish(&page);
    assert_ok(store_list_versions(run->store, &versions, &page, &call));
    assert_int_equal(page.count, 0);
    store_page_finish(&page);
}

static void test_deleted_is_not_listed(void **state) {
    const struct conformance *run = *state;
    struct store_list request = {.prefix = support_key(run, "listed/")};
    struct store_page page;
    support_put(run, support_key(run, "listed/stays"), 1, 1, NULL, NULL);
    support_put(run, support_key(run, "listed/goes"), 1, 1, NULL, NULL);
    assert_ok(store_remove(run->store, support_key(run, "listed/goes"), NULL, &call));
    assert_ok(store_list(run->store, &request, &page, &call));
    assert_int_equal(page.count, 1);
    assert_string_equal(page.objects[0].key, support_key(run, "listed/stays"));
    store_page_finish(&page);
}

static void test_versions_in_order(void **state) {
    const struct conformance *run = *state;
    struct store_list_versions request = {.prefix = support_key(run, "history/")};
    struct store_page page;
    char *ids[3] = {0};
    needs(versions);
    for (unsigned i = 0; i < 3; i++)
        support_put(run, support_key(run, "history/a"), i, 30 + i, NULL, &ids[i]);
    assert_ok(store_remove(run->store, support_key(run, "history/a"), NULL, &call));
    support_put(run, support_key(run, "history/b"), 9, 9, NULL, NULL);
    assert_ok(store_list_versions(run->store, &request, &page, &call));
    assert_int_equal(page.count, 5);
    assert_true(page.objects[0].delete_marker && page.objects[0].is_latest);
    for (unsigned i = 0; i < 3; i++) {
        const struct store_object *object = &page.objects[1 + i];
        assert_string_equal(object->key, support_key(run, "history/a"));
        assert_string_equal(object->version, ids[2 - i]);
        assert_int_equal(object->size, 32 - i);
        assert_false(object->is_latest || object->delete_marker);
    }
    assert_string_equal(page.objects[4].key, support_key(run, "history/b"));
    assert_true(page.objects[4].is_latest);
    store_page_finish(&page);
    for (unsigned i = 0; i < 3; i++)
        free(ids[i]);
}

static void test_versions_in_pages(void **state) {
    const struct conformance *run = *state;
    struct store_list_versions request = {.prefix = support_key(run, "paged/"), .max_keys = 2};
    struct store_page page = {0}, next;
    size_t seen = 0, pages = 0;
    needs(versions);
    for (unsigned i = 0; i < 5; i++)
        support_put(run, support_key(run, i < 3 ? "paged/a" : "paged/b"), i, 40 + i, NULL, NULL);
    do {
        request.key_marker = page.next_key_marker;
        request.version_marker = page.next_version_marker;
        assert_ok(store_list_versions(run->store, &request, &next, &call));
        store_page_finish(&page);
        page = next;
        seen += page.count;
    } while (page.next_key_marker && ++pages < 10);
    assert_null(page.next_key_marker);
    assert_int_equal(seen, 5);
    store_page_finish(&page);
}

enum { MANY = 1030, MAKERS = 16 };

struct maker {
    const struct conformance *run;
    unsigned first;
    int error;
};

static void *make_many(void *context) {
    struct maker *maker = context;
    for (unsigned i = maker->first; i < MANY && !maker->error; i += MAKERS) {
        char key[128];
        uint64_t seed = i;
        snprintf(key, sizeof key, "%smany pages/%05u", maker->run->folder, i);
        struct store_put put = {.key = key, .source = support_source(&seed, 1)};
        maker->error = store_put(maker->run->store, &put, NULL, NULL);
    }
    return NULL;
}

static void remove_page(const struct conformance *run, const struct store_page *page) {
    struct store_delete *items = calloc(page->count ? page->count : 1, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < page->count; i++)
        items[i].key = page->objects[i].key;
    assert_ok(store_remove_many(run->store, items, page->count, &call));
    for (size_t i = 0; i < page->count; i++)
        assert_int_equal(items[i].result, 0);
    free(items);
}

/* More than a page, made in parallel, listed and deleted by thousands. */
static void test_many(void **state) {
    const struct conformance *run = *state;
    struct store_list request = {.prefix = support_key(run, "many pages/")};
    struct maker makers[MAKERS];
    pthread_t threads[MAKERS];
    size_t pages[] = {1000, 30};
    for (unsigned i = 0; i < MAKERS; i++) {
        makers[i] = (struct maker){.run = run, .first = i};
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, &makers[i]), 0);
    }
    for (unsigned i = 0; i < MAKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(makers[i].error, 0);
    }
    struct store_page page[2];
    assert_ok(store_list(run->store, &request, &page[0], &call));
    assert_non_null(page[0].next_token);
    request.token = page[0].next_token;
    assert_ok(store_list(run->store, &request, &page[1], &call));
    assert_null(page[1].next_token);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(page[i].count, pages[i]);
        remove_page(run, &page[i]);
        store_page_finish(&page[i]);
    }
    request.token = NULL;
    assert_ok(store_list(run->store, &request, &page[0], &call));
    assert_int_equal(page[0].count, 0);
    store_page_finish(&page[0]);
}

const struct CMUnitTest *conformance_listings(size_t *count) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_delimiter),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_start_after),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_deleted_is_not_listed),
        cmocka_unit_test(test_versions_in_order),
        cmocka_unit_test(test_versions_in_pages),
        cmocka_unit_test(test_many),
    };
    *count = sizeof tests / sizeof *tests;
    return tests;
}
