/* A tree in a folder of its own, for the tests of fs/tree. */
#pragma once

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/tree/check.h"
#include "fs/tree/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    unsigned changed, gone, attributes, work, conflicts;
    uint64_t taken_from, taken_to;
    char last_changed[300], last_gone[300];
};

struct fixture {
    char *folder; /* owned */
    struct tree *tree;
    struct tree_options options;
    struct seen seen;
    uint64_t next_spool;
};

#define AUTO_NODE __attribute__((cleanup(tree_node_finish)))
#define AUTO_WORK __attribute__((cleanup(tree_work_finish)))

static inline void seen_changed(void *context, uint64_t parent, const char *name) {
    struct seen *seen = context;
    (void)parent;
    seen->changed++;
    snprintf(seen->last_changed, sizeof seen->last_changed, "%s", name);
}

static inline void seen_gone(void *context, uint64_t parent, const char *name, uint64_t ino) {
    struct seen *seen = context;
    (void)parent, (void)ino;
    seen->gone++;
    snprintf(seen->last_gone, sizeof seen->last_gone, "%s", name);
}

static inline void seen_attributes(void *context, uint64_t ino) {
    (void)ino;
    ((struct seen *)context)->attributes++;
}

static inline void seen_work(void *context) {
    ((struct seen *)context)->work++;
}

static inline void seen_taken_over(void *context, uint64_t from, uint64_t to) {
    struct seen *seen = context;
    seen->taken_from = from;
    seen->taken_to = to;
}

static inline void seen_conflict(void *context, uint64_t parent, const char *name, const char *copy_name) {
    (void)parent, (void)name, (void)copy_name;
    ((struct seen *)context)->conflicts++;
}

static inline void fixture_open(struct fixture *fixture) {
    struct fault fault = {0};
    struct tree_watch watch = {.context = &fixture->seen,
                               .entry_changed = seen_changed,
                               .entry_gone = seen_gone,
                               .attributes_changed = seen_attributes,
                               .work_added = seen_work,
                               .work_taken_over = seen_taken_over,
                               .conflict = seen_conflict};
    int r = tree_create(&fixture->tree, &fixture->options, &fault);
    if (r)
        fail_msg("tree_create: %d %s", r, fault.text);
    assert_int_equal(tree_observe(fixture->tree, &watch), 0);
}

static inline void fixture_reopen(struct fixture *fixture) {
    tree_destroy(fixture->tree);
    fixture_open(fixture);
}

static inline int fixture_setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const char *base = getenv("TMPDIR");
    fixture->folder = text_format("%s/pail-test-tree-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->options = (struct tree_options){
        .folder = fixture->folder, .uid = 1000, .gid = 1001, .file_mode = 0644, .folder_mode = 0755, .rest_ms = 1000};
    fixture->next_spool = 1;
    fixture_open(fixture);
    *state = fixture;
    return 0;
}

static inline int fixture_teardown(void **state) {
    struct fixture *fixture = *state;
    int r = tree_check(fixture->tree);
    tree_destroy(fixture->tree);
    file_remove_tree(fixture->folder);
    free(fixture->folder);
    free(fixture);
    return r;
}

#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* ---- What programs do ---- */

static inline uint64_t make(struct fixture *fixture, uint64_t parent, const char *name, enum tree_type type) {
    AUTO_NODE struct tree_node node = {0};
    struct tree_owner owner = {1000, 1001};
    uint64_t spool = type == TREE_FILE ? fixture->next_spool++ : 0;
    int r = tree_create_node(fixture->tree, parent, name, type, type == TREE_FOLDER ? 0755 : 0644, &owner,
                             type == TREE_LINK ? "target" : NULL, spool, &node);
    if (r)
        fail_msg("making %s: %d", name, r);
    return node.ino;
}

static inline uint64_t look(struct fixture *fixture, uint64_t parent, const char *name) {
    AUTO_NODE struct tree_node node = {0};
    return tree_lookup(fixture->tree, parent, name, &node) ? 0 : node.ino;
}

/* ---- What the bucket says ---- */

static inline struct tree_entry object(const char *key, const char *etag, uint64_t size, int64_t modified_s) {
    return (struct tree_entry){.key = key, .etag = etag, .size = size, .modified_s = modified_s};
}

static inline struct tree_entry prefix(const char *key) {
    return (struct tree_entry){.key = key, .prefix = true};
}

static inline struct tree_listing *begin_listing(struct fixture *fixture, uint64_t folder, bool flat,
                                                 const char *expected) {
    struct tree_listing *listing = NULL;
    AUTO_FREE char *at = NULL;
    assert_int_equal(tree_listing_begin(fixture->tree, folder, flat, &listing, &at), 0);
    assert_string_equal(at, expected);
    return listing;
}

static inline void page(struct tree_listing *listing, const struct tree_entry *entries, size_t count, bool last) {
    AUTO_FREE uint64_t *heads = NULL;
    size_t head_count;
    assert_int_equal(tree_listing_page(listing, entries, count, last, &heads, &head_count), 0);
}

static inline void list(struct fixture *fixture, uint64_t folder, bool flat, const char *at,
                        const struct tree_entry *entries, size_t count) {
    struct tree_listing *listing = begin_listing(fixture, folder, flat, at);
    page(listing, entries, count, true);
    tree_listing_end(listing);
}

#define LIST(fixture, folder, at, ...)                                                                                 \
    list(fixture, folder, false, at, (const struct tree_entry[]){__VA_ARGS__},                                         \
         sizeof((const struct tree_entry[]){__VA_ARGS__}) / sizeof(struct tree_entry))
#define LIST_FLAT(fixture, folder, at, ...)                                                                            \
    list(fixture, folder, true, at, (const struct tree_entry[]){__VA_ARGS__},                                          \
         sizeof((const struct tree_entry[]){__VA_ARGS__}) / sizeof(struct tree_entry))

static inline void list_empty(struct fixture *fixture, uint64_t folder, const char *at) {
    list(fixture, folder, false, at, NULL, 0);
}

/* ---- What sync does ---- */

static inline unsigned work_of(struct fixture *fixture, uint64_t ino) {
    AUTO_WORK struct tree_work work = {0};
    return tree_work_get(fixture->tree, ino, &work) ? 0 : work.node.work;
}

/* All of it arrived with this ETag. Returns whether it is clean. */
static inline bool upload(struct fixture *fixture, uint64_t ino, const char *etag) {
    AUTO_WORK struct tree_work work = {0};
    bool clean;
    assert_int_equal(tree_work_get(fixture->tree, ino, &work), 0);
    const struct tree_remote remote = {.key = work.target_key,
                                       .etag = (char *)(uintptr_t)etag,
                                       .content = work.node.content,
                                       .size = work.node.size,
                                       .head_known = true};
    assert_int_equal(tree_work_done(fixture->tree, ino, work.node.change, work.node.generation, 7, &remote, &clean), 0);
    return clean;
}

static inline int by_key(const void *a, const void *b) {
    return strcmp(((const struct tree_gone *)a)->key, ((const struct tree_gone *)b)->key);
}

/* The keys to be deleted, in order, as "key etag,key etag"; each is over then. */
static inline char *delete_gone(struct fixture *fixture, enum tree_gone_end end) {
    struct tree_gone *gone;
    size_t count;
    int64_t next;
    char *text = calloc(1, 4096);
    assert_int_equal(tree_gone_claim(fixture->tree, INT64_MAX, 100, &gone, &count, &next), 0);
    qsort(gone, count, sizeof *gone, by_key);
    for (size_t i = 0; i < count; i++) {
        snprintf(text + strlen(text), 4096 - strlen(text), "%s%s %s", i ? "," : "", gone[i].key,
                 gone[i].etag ? gone[i].etag : "?");
        assert_int_equal(tree_gone_end(fixture->tree, gone[i].key, end, 0), 0);
    }
    tree_gone_free(gone, count);
    return text;
}

#define ASSERT_GONE(fixture, expected)                                                                                 \
    do {                                                                                                               \
        AUTO_FREE char *gone_ = delete_gone(fixture, TREE_GONE_DONE);                                                  \
        assert_string_equal(gone_, expected);                                                                          \
    } while (0)

static inline void assert_children(struct fixture *fixture, uint64_t folder, const char *expected);

static inline int join_name(void *context, const struct tree_node *node) {
    char *text = context;
    snprintf(text + strlen(text), 4096 - strlen(text), "%s%s", *text ? "," : "", node->name);
    return 0;
}

static inline void assert_children(struct fixture *fixture, uint64_t folder, const char *expected) {
    char text[4096] = "";
    assert_int_equal(tree_children(fixture->tree, folder, 0, join_name, text), 0);
    assert_string_equal(text, expected);
}

static inline void assert_target(struct fixture *fixture, uint64_t ino, const char *key, const char *base) {
    AUTO_WORK struct tree_work work = {0};
    assert_int_equal(tree_work_get(fixture->tree, ino, &work), 0);
    assert_string_equal(work.target_key, key);
    if (base)
        assert_string_equal(work.base_etag ? work.base_etag : "(null)", base);
    else
        assert_null(work.base_etag);
}
