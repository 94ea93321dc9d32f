/* Tests of s3/server/provision and bucket: one bucket, ours, configured, whatever fails, is killed or races. */
#include "s3/server/provision.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fake_store.h"
#include "patience.h"
#include "s3/server/bucket.h"
#include "server_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ISSUER "https://issuer.example/"

struct scene {
    struct server_parts parts;
    struct fake_store store;
    struct provision_options options;
};

static bool yes(void *context) {
    (void)context;
    return true;
}

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    server_parts_begin(&scene->parts);
    fake_store_start(&scene->store);
    server_parts_set(&scene->parts, "endpoint", scene->store.endpoint);
    server_parts_open(&scene->parts);
    scene->options = (struct provision_options){
        .remote = &scene->parts.remote, .users = scene->parts.users, .block_public_acls = yes};
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

static int64_t arrive(struct scene *scene, const char *subject) {
    CLEANUP(user_finish) struct user user = {0};
    bool created;
    AUTO_FREE char *email = text_format("%s@example.com", subject);
    AUTO_FREE char *seed = text_format("%s|%s", ISSUER, subject);
    AUTO_FREE char *bucket = bucket_name("pail", seed, strlen(seed), 0);
    AUTO_FREE char *mark = bucket_mark(ISSUER, subject);
    struct users_arrival arrival = {.issuer = ISSUER,
                                    .subject = subject,
                                    .email = email,
                                    .bucket = bucket,
                                    .prefix = "",
                                    .region = "us-east-1",
                                    .mark = mark};
    assert_int_equal(users_arrive(scene->parts.users, &arrival, &user, &created, NULL), 0);
    return user.id;
}

static int provision(struct scene *scene, int64_t id, struct user *out, struct fault *fault) {
    return provision_account(&scene->options, id, out, fault);
}

static void assert_whole(struct scene *scene, const struct user *user) {
    struct fake_bucket *bucket = fake_store_find(&scene->store, user->bucket);
    assert_int_equal(user->state, USERS_READY);
    assert_true(user->versioned_at_s > 0);
    assert_non_null(bucket);
    assert_string_equal(bucket->tag, user->mark);
    assert_true(bucket->blocked && bucket->owned && bucket->encrypted && bucket->versioned && bucket->lifecycled);
}

static void a_first_login_makes_a_bucket(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, again = {0};
    int64_t id = arrive(scene, "ann");
    assert_int_equal(provision(scene, id, &user, NULL), 0);
    assert_whole(scene, &user);
    assert_int_equal(fake_store_count(&scene->store), 1);
    unsigned requests = scene->store.requests;
    assert_int_equal(provision(scene, id, &again, NULL), 0);
    assert_int_equal(scene->store.requests, requests); /* ready: nothing to ask */
}

/* Refused at each request in turn, done and not done: what a kill between a store call and its record leaves. */
static void failing_at_each_step(void **state) {
    struct scene *scene = *state;
    for (enum fake_way way = FAKE_BEFORE; way <= FAKE_AFTER; way++) {
        bool failed = true;
        for (unsigned n = 1; failed; n++) {
            CLEANUP(user_finish) struct user user = {0};
            AUTO_FREE char *subject = text_format("%d-%u", way, n);
            int64_t id = arrive(scene, subject);
            size_t before = fake_store_count(&scene->store);
            scene->store.requests = 0;
            scene->store.fail_at = n;
            scene->store.way = way;
            failed = provision(scene, id, &user, NULL) != 0;
            scene->store.fail_at = 0;
            bool reached = scene->store.requests >= n;
            if (failed)
                assert_int_equal(provision(scene, id, &user, NULL), 0);
            assert_whole(scene, &user);
            assert_int_equal(fake_store_count(&scene->store), before + 1);
            assert_int_equal(user.attempt, 0);
            if (!reached)
                break;
            failed = true; /* refusals of some questions are no failures: go on until none was left to refuse */
            assert_true(n < 50);
        }
    }
}

static void a_name_that_others_have_is_passed_over(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, first = {0};
    int64_t id = arrive(scene, "ann");
    assert_int_equal(users_find_id(scene->parts.users, id, &first, NULL), 0);
    fake_store_add(&scene->store, first.bucket)->foreign = true;
    AUTO_FREE char *second = text_format("%s-1", first.bucket);
    strcpy(fake_store_add(&scene->store, second)->tag, "somebody-else-of-ours");
    AUTO_FREE char *third = text_format("%s-2", first.bucket);
    fake_store_add(&scene->store, third)->holds_key = true; /* untagged, and not empty: nobody can place it */
    assert_int_equal(provision(scene, id, &user, NULL), 0);
    assert_whole(scene, &user);
    AUTO_FREE char *expected = text_format("%s-3", first.bucket);
    assert_string_equal(user.bucket, expected);
    assert_int_equal(user.attempt, 3);
    assert_string_equal(fake_store_find(&scene->store, second)->tag, "somebody-else-of-ours");
    assert_string_equal(fake_store_find(&scene->store, third)->tag, "");
}

static void a_bucket_of_our_own_is_found_again(void **state) {
    struct scene *scene = *state;
    for (int answers_200 = 0; answers_200 < 2; answers_200++) {
        CLEANUP(user_finish) struct user user = {0}, first = {0};
        AUTO_FREE char *subject = text_format("ann%d", answers_200);
        int64_t id = arrive(scene, subject);
        scene->store.answers_200_for_own = answers_200;
        assert_int_equal(users_find_id(scene->parts.users, id, &first, NULL), 0);
        struct fake_bucket *bucket = fake_store_add(&scene->store, first.bucket);
        strcpy(bucket->tag, first.mark); /* the accounts were lost, the bucket was not */
        bucket->holds_key = true;
        assert_int_equal(provision(scene, id, &user, NULL), 0);
        assert_whole(scene, &user);
        assert_string_equal(user.bucket, first.bucket);
    }
}

static void what_the_store_does_not_know_is_passed_over(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    scene->store.unknown = 1 | 2 | 4 | 8 | 16;
    assert_int_equal(provision(scene, arrive(scene, "ann"), &user, NULL), 0);
    assert_int_equal(user.state, USERS_READY);
}

static void but_versions_are_not(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    struct fault fault = {0};
    scene->store.unknown = 32;
    assert_int_not_equal(provision(scene, arrive(scene, "ann"), &user, &fault), 0);
    assert_non_null(strstr(fault.text, "versions"));
    server_parts_set(&scene->parts, "keep_versions_d", "0");
    assert_int_equal(provision(scene, arrive(scene, "bob"), &user, NULL), 0);
    assert_int_equal(user.versioned_at_s, 0);
}

static void a_bucket_that_strangers_can_list_is_not_handed_out(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, first = {0};
    struct fault fault = {0};
    int64_t id = arrive(scene, "ann");
    assert_int_equal(users_find_id(scene->parts.users, id, &first, NULL), 0);
    fake_store_add(&scene->store, first.bucket)->is_public = true;
    assert_int_equal(provision(scene, id, &user, &fault), PAIL_DENIED);
    assert_non_null(strstr(fault.text, first.bucket));
    user_finish(&first);
    assert_int_equal(users_find_id(scene->parts.users, id, &first, NULL), 0);
    assert_int_equal(first.state, USERS_CONFIGURED);
    fake_store_find(&scene->store, first.bucket)->is_public = false;
    assert_int_equal(provision(scene, id, &user, NULL), 0);
}

static void a_store_that_is_down_leaves_the_account_reserved(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    int64_t id = arrive(scene, "ann");
    AUTO_FREE char *endpoint = strdup(scene->parts.config.endpoint);
    server_parts_set(&scene->parts, "endpoint", "http://127.0.0.1:1");
    assert_int_equal(provision(scene, id, &user, NULL), PAIL_OFFLINE);
    server_parts_set(&scene->parts, "endpoint", endpoint);
    assert_int_equal(provision(scene, id, &user, NULL), 0);
    assert_whole(scene, &user);
}

/* Threads. */

struct tally {
    atomic_uint fine, failed;
    char bucket[80];
};

static void count(void *context, int result, const struct user *user, const struct fault *fault) {
    struct tally *tally = context;
    (void)fault;
    if (result || user->state != USERS_READY)
        atomic_fetch_add(&tally->failed, 1);
    else
        atomic_fetch_add(&tally->fine, 1);
}

static void wait_for(const struct tally *tally, unsigned all) {
    WAIT_UNTIL(atomic_load(&tally->fine) + atomic_load(&tally->failed) >= all);
}

static void a_thousand_at_once_for_one_person(void **state) {
    struct scene *scene = *state;
    struct provision *provision = NULL;
    struct tally tally = {0};
    int64_t id = arrive(scene, "ann");
    assert_int_equal(provision_create(&provision, &scene->options), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(provision_start(provision, id, count, &tally), 0);
    wait_for(&tally, 1000);
    provision_destroy(provision);
    assert_int_equal(atomic_load(&tally.fine), 1000);
    assert_int_equal(fake_store_count(&scene->store), 1);
    assert_int_equal(scene->store.buckets->puts, 1);
}

static void a_hundred_persons_at_once(void **state) {
    struct scene *scene = *state;
    struct provision *provision = NULL;
    struct tally tally = {0};
    assert_int_equal(provision_create(&provision, &scene->options), 0);
    for (int i = 0; i < 100; i++) {
        AUTO_FREE char *subject = text_format("person-%d", i);
        assert_int_equal(provision_start(provision, arrive(scene, subject), count, &tally), 0);
    }
    wait_for(&tally, 100);
    provision_destroy(provision);
    assert_int_equal(atomic_load(&tally.fine), 100);
    assert_int_equal(fake_store_count(&scene->store), 100);
}

static void unfinished_accounts_are_taken_up(void **state) {
    struct scene *scene = *state;
    struct provision *provision = NULL;
    CLEANUP(user_finish) struct user user = {0};
    int64_t id = arrive(scene, "ann");
    scene->store.fail_at = 3;
    assert_int_not_equal(provision_account(&scene->options, id, &user, NULL), 0);
    assert_int_equal(provision_create(&provision, &scene->options), 0);
    assert_int_equal(provision_resume(provision, NULL), 0);
    provision_destroy(provision); /* finishes what was queued */
    assert_int_equal(users_find_id(scene->parts.users, id, &user, NULL), 0);
    assert_whole(scene, &user);
}

static void everybody_who_waits_hears_of_a_failure(void **state) {
    struct scene *scene = *state;
    struct provision *provision = NULL;
    struct tally tally = {0};
    int64_t id = arrive(scene, "ann");
    scene->store.unknown = 32;
    assert_int_equal(provision_create(&provision, &scene->options), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(provision_start(provision, id, count, &tally), 0);
    provision_destroy(provision);
    assert_int_equal(atomic_load(&tally.failed), 50);
}

/* Names. */

static void names_are_what_s3_takes(void **state) {
    (void)state;
    AUTO_FREE char *plain = bucket_name("pail", "i\0s", 3, 0), *third = bucket_name("pail", "i\0s", 3, 3);
    AUTO_FREE char *other = bucket_name("pail", "i\0t", 3, 0);
    AUTO_FREE char *longest = bucket_name("abcdefghijabcdefghijabcdefghijabcdef", "x", 1, 9999);
    assert_int_equal(strlen(plain), 4 + 1 + 20);
    assert_int_equal(strspn(plain + 5, "abcdefghijklmnopqrstuvwxyz234567"), 20);
    assert_true(text_starts(third, plain) && text_ends(third, "-3"));
    assert_string_not_equal(plain, other);
    assert_true(strlen(longest) <= 63);
    AUTO_FREE char *next = bucket_next_name(plain, 0), *after = bucket_next_name(next, 1);
    assert_true(text_starts(after, plain) && text_ends(after, "-2"));
    AUTO_FREE char *known = bucket_name("pail", "x", 1, 0); /* by Python's hashlib and base64 */
    assert_string_equal(known, "pail-fvyrmqvxe2yeialcpsu7");
}

static void marks_tell_accounts_apart(void **state) {
    (void)state;
    AUTO_FREE char *a = bucket_mark("i", "s"), *b = bucket_mark("i", "t"), *c = bucket_mark("is", ""),
                   *d = bucket_mark("i", "s");
    assert_int_equal(strlen(a), 64);
    assert_string_equal(a, d);
    assert_string_not_equal(a, b);
    assert_string_not_equal(a, c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_first_login_makes_a_bucket),
        TEST(failing_at_each_step),
        TEST(a_name_that_others_have_is_passed_over),
        TEST(a_bucket_of_our_own_is_found_again),
        TEST(what_the_store_does_not_know_is_passed_over),
        TEST(but_versions_are_not),
        TEST(a_bucket_that_strangers_can_list_is_not_handed_out),
        TEST(a_store_that_is_down_leaves_the_account_reserved),
        TEST(a_thousand_at_once_for_one_person),
        TEST(a_hundred_persons_at_once),
        TEST(unfinished_accounts_are_taken_up),
        TEST(everybody_who_waits_hears_of_a_failure),
        cmocka_unit_test(names_are_what_s3_takes),
        cmocka_unit_test(marks_tell_accounts_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
