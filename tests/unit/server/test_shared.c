/* Tests of s3/server/shared: one bucket for all, whatever fails, is killed or races; a name that was set is never
 * changed. */
#include "s3/server/shared.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "fake_store.h"
#include "server_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    struct server_parts parts;
    struct fake_store store;
    struct fault fault;
};

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    server_parts_begin(&scene->parts);
    fake_store_start(&scene->store);
    server_parts_set(&scene->parts, "endpoint", scene->store.endpoint);
    server_parts_set(&scene->parts, "issuer", "https://issuer.example/");
    server_parts_set(&scene->parts, "audience", "https://drive.example");
    server_parts_set(&scene->parts, "layout", "prefix");
    server_parts_open(&scene->parts);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    fake_store_stop(&scene->store);
    server_parts_end(&scene->parts);
    free(scene);
    return 0;
}

static int prepare(struct scene *scene, struct shared *out) {
    scene->fault = (struct fault){0};
    shared_finish(out);
    return shared_prepare(&scene->parts.remote, scene->parts.users, true, out, &scene->fault);
}

static void assert_whole(struct scene *scene, const struct shared *shared) {
    struct fake_bucket *bucket = fake_store_find(&scene->store, shared->bucket);
    assert_int_equal(shared->state, USERS_READY);
    assert_true(shared->versioned_at_s > 0);
    assert_non_null(bucket);
    assert_string_equal(bucket->tag, shared->mark);
    assert_true(bucket->blocked && bucket->owned && bucket->encrypted && bucket->versioned && bucket->lifecycled);
}

static void it_is_made_once_and_then_only_looked_at(void **state) {
    struct scene *scene = *state;
    CLEANUP(shared_finish) struct shared shared = {0}, again = {0};
    if (prepare(scene, &shared))
        fail_msg("%s", scene->fault.text);
    assert_whole(scene, &shared);
    assert_int_equal(strlen(shared.bucket), strlen("pail-") + 20);
    assert_int_equal(prepare(scene, &again), 0);
    assert_string_equal(again.bucket, shared.bucket);
    assert_int_equal(again.versioned_at_s, shared.versioned_at_s);
    assert_int_equal(fake_store_find(&scene->store, shared.bucket)->puts, 1);
    assert_int_equal(fake_store_count(&scene->store), 1);
}

/* Refused at each request in turn, done and not done: what a kill between a store call and its record leaves. */
static void stopped_at_each_request_and_started_again(void **state) {
    struct scene *scene = *state;
    CLEANUP(shared_finish) struct shared shared = {0};
    assert_int_equal(prepare(scene, &shared), 0);
    unsigned requests = scene->store.requests;
    assert_true(requests > 8);
    for (unsigned at = 1; at <= requests; at++)
        for (int after = 0; after < 2; after++) {
            AUTO_FREE char *name = text_format("shared-%u-%d", at, after);
            server_parts_set(&scene->parts, "shared_bucket", name);
            size_t before = fake_store_count(&scene->store);
            scene->store.fail_at = scene->store.requests + at;
            scene->store.way = after ? FAKE_AFTER : FAKE_BEFORE;
            prepare(scene, &shared);
            scene->store.fail_at = 0;
            if (prepare(scene, &shared))
                fail_msg("request %u, %s: %s", at, after ? "done" : "not done", scene->fault.text);
            assert_whole(scene, &shared);
            assert_int_equal(fake_store_count(&scene->store), before + 1);
        }
}

static void a_name_that_is_made_gives_way(void **state) {
    struct scene *scene = *state;
    CLEANUP(shared_finish) struct shared first = {0}, second = {0};
    assert_int_equal(prepare(scene, &first), 0);
    AUTO_FREE char *database = text_format("%s/other.db", scene->parts.folder);
    users_close(scene->parts.users);
    assert_int_equal(users_open(&scene->parts.users, database, NULL), 0);
    server_parts_set(&scene->parts, "audience", "https://other.example");
    CLEANUP(shared_finish) struct shared other = {0};
    assert_int_equal(prepare(scene, &other), 0);
    assert_string_not_equal(other.bucket, first.bucket); /* another installation of the same issuer */
    users_close(scene->parts.users);
    AUTO_FREE char *third = text_format("%s/third.db", scene->parts.folder);
    assert_int_equal(users_open(&scene->parts.users, third, NULL), 0);
    strcpy(fake_store_find(&scene->store, other.bucket)->tag, "somebody else's");
    assert_int_equal(prepare(scene, &second), 0);
    assert_true(text_starts(second.bucket, other.bucket) && text_ends(second.bucket, "-1"));
    assert_whole(scene, &second);
}

static void a_lost_database_finds_its_bucket_again(void **state) {
    struct scene *scene = *state;
    CLEANUP(shared_finish) struct shared shared = {0}, again = {0};
    assert_int_equal(prepare(scene, &shared), 0);
    fake_store_find(&scene->store, shared.bucket)->holds_key = true;
    users_close(scene->parts.users);
    AUTO_FREE char *database = text_format("%s/new.db", scene->parts.folder);
    assert_int_equal(users_open(&scene->parts.users, database, NULL), 0);
    assert_int_equal(prepare(scene, &again), 0);
    assert_string_equal(again.bucket, shared.bucket);
    assert_string_equal(again.mark, shared.mark);
}

static void a_name_that_is_set_is_kept_or_refused(void **state) {
    static const struct {
        const char *name;
        bool foreign, holds_key;
        const char *tag;
        int expected;
    } rows[] = {
        {"new-one", false, false, NULL, 0},
        {"empty-one", false, false, "", 0},
        {"full-one", false, true, "", PAIL_DENIED},
        {"tagged-one", false, false, "another", PAIL_DENIED},
        {"foreign-one", true, false, "", PAIL_DENIED},
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CLEANUP(shared_finish) struct shared shared = {0};
        struct fake_bucket *bucket = rows[i].tag ? fake_store_add(&scene->store, rows[i].name) : NULL;
        if (bucket) {
            bucket->foreign = rows[i].foreign;
            bucket->holds_key = rows[i].holds_key;
            strcpy(bucket->tag, rows[i].tag);
        }
        server_parts_set(&scene->parts, "shared_bucket", rows[i].name);
        assert_int_equal(prepare(scene, &shared), rows[i].expected);
        if (!rows[i].expected)
            assert_string_equal(shared.bucket, rows[i].name);
        else if (!strstr(scene->fault.text, "shared_bucket") || !strstr(scene->fault.text, rows[i].name))
            fail_msg("%s: %s", rows[i].name, scene->fault.text);
    }
}

static void gone_opened_or_taken_it_is_refused(void **state) {
    struct scene *scene = *state;
    CLEANUP(shared_finish) struct shared shared = {0}, again = {0};
    assert_int_equal(prepare(scene, &shared), 0);
    struct fake_bucket *bucket = fake_store_find(&scene->store, shared.bucket);
    bucket->is_public = true;
    assert_int_equal(prepare(scene, &again), PAIL_DENIED);
    assert_non_null(strstr(scene->fault.text, "everybody"));
    bucket->is_public = false;
    strcpy(bucket->tag, "another");
    assert_int_equal(prepare(scene, &again), PAIL_DENIED);
    assert_non_null(strstr(scene->fault.text, "tag"));
    strcpy(bucket->name, "renamed");
    assert_int_equal(prepare(scene, &again), PAIL_DENIED);
    assert_non_null(strstr(scene->fault.text, "not there any more"));
    assert_null(fake_store_find(&scene->store, shared.bucket)); /* and it is not made anew, empty */
}

static void a_store_that_is_down(void **state) {
    struct scene *scene = *state;
    CLEANUP(shared_finish) struct shared shared = {0}, never = {0}, again = {0};
    assert_int_equal(prepare(scene, &shared), 0);
    server_parts_set(&scene->parts, "endpoint", "http://127.0.0.1:1");
    assert_int_equal(prepare(scene, &again), PAIL_OFFLINE);
    assert_string_equal(again.bucket, shared.bucket); /* it was ready: the caller may go on */
    server_parts_set(&scene->parts, "shared_bucket", "never-made");
    assert_int_equal(prepare(scene, &never), PAIL_OFFLINE);
    assert_null(never.bucket);
}

static void *prepare_beside(void *context) {
    struct scene *scene = context;
    CLEANUP(shared_finish) struct shared shared = {0};
    return (void *)(intptr_t)shared_prepare(&scene->parts.remote, scene->parts.users, true, &shared, NULL);
}

static void several_servers_at_once_make_one(void **state) {
    struct scene *scene = *state;
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, prepare_beside, scene), 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    CLEANUP(shared_finish) struct shared shared = {0};
    assert_int_equal(prepare(scene, &shared), 0);
    assert_whole(scene, &shared);
    assert_int_equal(fake_store_count(&scene->store), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_is_made_once_and_then_only_looked_at),
        TEST(stopped_at_each_request_and_started_again),
        TEST(a_name_that_is_made_gives_way),
        TEST(a_lost_database_finds_its_bucket_again),
        TEST(a_name_that_is_set_is_kept_or_refused),
        TEST(gone_opened_or_taken_it_is_refused),
        TEST(a_store_that_is_down),
        TEST(several_servers_at_once_make_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
