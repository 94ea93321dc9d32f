/* Tests of s3/server/quota and usage, on the embedded store: counted, claimed by many at once, and counted again when
 * the store fails. */
#include "s3/server/quota.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "patience.h"
#include "s3/embedded/local_store.h"
#include "s3/listing.h"
#include "s3/server/bucket.h"
#include "s3/server/usage.h"
#include "server_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024
#define MIB (1024 * KIB)

struct scene {
    struct server_parts parts;
    struct local_store *store;
    atomic_bool cancelled;
    struct quota *quota;
    struct user user;
};

static void read_user(struct scene *scene) {
    int64_t id = scene->user.id;
    user_finish(&scene->user);
    assert_int_equal(users_find_id(scene->parts.users, id, &scene->user, NULL), 0);
}

static void start_quota(struct scene *scene) {
    struct quota_options options = {.remote = &scene->parts.remote, .users = scene->parts.users, .grant_life_s = 900};
    assert_int_equal(quota_create(&scene->quota, &options), 0);
}

static void make_account(struct scene *scene, int64_t quota) {
    struct users_arrival arrival = {.issuer = "i",
                                    .subject = "ann",
                                    .email = "ann@example.com",
                                    .bucket = "pail-ann",
                                    .prefix = "",
                                    .region = "us-east-1",
                                    .mark = "m",
                                    .quota = quota};
    struct bucket_wishes wishes = {.block_public_acls = true, .keep_versions_d = 30};
    bool created;
    assert_int_equal(users_arrive(scene->parts.users, &arrival, &scene->user, &created, NULL), 0);
    assert_int_equal(bucket_create(&scene->parts.remote, "pail-ann", "m", NULL), 0);
    assert_int_equal(bucket_configure(&scene->parts.remote, "pail-ann", &wishes, NULL), 0);
    assert_int_equal(users_advance(scene->parts.users, scene->user.id, USERS_READY, 1, NULL), 0);
    read_user(scene);
    assert_int_equal(scene->user.quota, quota);
}

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    server_parts_begin(&scene->parts);
    scene->store = server_parts_store(&scene->parts);
    server_parts_open(&scene->parts);
    scene->parts.remote.cancelled = &scene->cancelled;
    make_account(scene, 10 * MIB);
    start_quota(scene);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    atomic_store(&scene->cancelled, true);
    quota_destroy(scene->quota);
    user_finish(&scene->user);
    local_store_destroy(scene->store);
    server_parts_end(&scene->parts);
    free(scene);
    return 0;
}

/* The store, by its own keys. */

static char *ask(struct scene *scene, const char *method, const char *key, const struct sign_pair *query, size_t count,
                 size_t size) {
    AUTO_FREE char *body = calloc(1, size + 1);
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    struct remote_request request = {.method = method,
                                     .bucket = "pail-ann",
                                     .key = key,
                                     .query = query,
                                     .query_count = count,
                                     .body = strcmp(method, "GET") && strcmp(method, "DELETE") ? body : NULL,
                                     .body_size = size};
    assert_int_equal(remote_perform(&scene->parts.remote, &request, &answer, NULL), 0);
    assert_true(answer.status / 100 == 2);
    return answer.body ? strdup(answer.body) : strdup("");
}

static void put(struct scene *scene, const char *key, size_t size) {
    free(ask(scene, "PUT", key, NULL, 0, size));
}

static char *open_upload(struct scene *scene, const char *key, unsigned parts, size_t size) {
    AUTO_FREE char *xml = ask(scene, "POST", key, &(struct sign_pair){"uploads", NULL}, 1, 0);
    char *upload = NULL, number[12];
    assert_int_equal(listing_parse_upload_id(xml, strlen(xml), &upload), 0);
    for (unsigned i = 1; i <= parts; i++) {
        snprintf(number, sizeof number, "%u", i);
        struct sign_pair query[] = {{"partNumber", number}, {"uploadId", upload}};
        free(ask(scene, "PUT", key, query, 2, size));
    }
    return upload;
}

/* Claiming as a batch does. */

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
};

static void resume(void *context) {
    struct waiting *waiting = context;
    pthread_mutex_lock(&waiting->lock);
    waiting->is_over = true;
    pthread_cond_signal(&waiting->over);
    pthread_mutex_unlock(&waiting->lock);
}

static void wait_for_count(struct scene *scene, int64_t patience_ms) {
    struct waiting waiting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    assert_int_equal(quota_wait(scene->quota, &scene->user, patience_ms, resume, &waiting), 0);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.is_over)
        pthread_cond_wait(&waiting.over, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
}

static int claim(struct scene *scene, struct quota_claim asked, struct fault *fault) {
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    for (;;) {
        int result = quota_claim(scene->quota, &scene->user, &asked, fault);
        if (result == QUOTA_LOOK) {
            CLEANUP(usage_object_finish) struct usage_object object = {0};
            usage_look(&scene->parts.remote, "pail-ann", asked.key, NULL, &object, NULL);
            asked.looked = true;
            asked.replaces = object.size;
        } else if (result == QUOTA_COUNT) {
            wait_for_count(scene, 10000);
            asked.has_waited = clock_monotonic_ms() > until;
        } else {
            return result;
        }
    }
}

static int claim_put(struct scene *scene, const char *key, uint64_t size) {
    return claim(scene, (struct quota_claim){.key = key, .size = size}, NULL);
}

/* Tests. */

struct seen {
    uint64_t current, older, uploads;
    unsigned versions;
};

static void see_version(void *context, const char *key, uint64_t size, bool is_current, int64_t modified_s) {
    struct seen *seen = context;
    (void)key;
    seen->versions++;
    *(is_current ? &seen->current : &seen->older) += size;
    assert_true(llabs(modified_s - clock_realtime_s()) < 600);
}

static void see_upload(void *context, const char *key, const char *upload, uint64_t size) {
    struct seen *seen = context;
    assert_string_equal(key, "big file");
    assert_true(*upload != 0);
    seen->uploads += size;
}

static void everything_is_counted_over_all_pages(void **state) {
    struct scene *scene = *state;
    char key[24];
    for (int i = 0; i < 1005; i++) {
        snprintf(key, sizeof key, "n/%04d é+%%", i);
        put(scene, key, 10);
    }
    put(scene, "n/0001 é+%", 7); /* an older version */
    free(ask(scene, "DELETE", "n/0002 é+%", NULL, 0, 0));
    for (int i = 0; i < 1003; i++)
        free(open_upload(scene, "big file", 0, 0));
    free(open_upload(scene, "big file", 2, 100));
    struct seen seen = {0};
    struct usage_visitor visitor = {see_version, see_upload, &seen};
    struct fault fault = {0};
    if (usage_walk(&scene->parts.remote, "pail-ann", "", &visitor, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(seen.current, 1003 * 10 + 7);
    assert_int_equal(seen.older, 20);
    assert_int_equal(seen.uploads, 200);
    assert_int_equal(seen.versions, 1005 + 2);
    seen = (struct seen){0};
    assert_int_equal(usage_walk(&scene->parts.remote, "pail-ann", "n/0001", &visitor, &fault), 0);
    assert_int_equal(seen.versions, 2);
    assert_int_equal(seen.uploads, 0);
}

static void an_account_is_counted_before_its_first_grant(void **state) {
    struct scene *scene = *state;
    put(scene, "there", 9 * MIB);
    assert_int_equal(claim_put(scene, "new", MIB + 1), QUOTA_FULL);
    assert_int_equal(claim_put(scene, "new", MIB), 0);
    assert_int_equal(quota_used(scene->quota, &scene->user), 10 * MIB);
    assert_int_equal(claim_put(scene, "there", 9 * MIB), 0); /* it replaces itself */
    struct fault fault = {0};
    assert_int_equal(claim(scene, (struct quota_claim){.key = "more", .size = 1}, &fault), QUOTA_FULL);
    assert_string_equal(fault.text, "10.0 MiB of 10.0 MiB are used: remove files, or ask your administrator for more");
}

struct racer {
    struct scene *scene;
    pthread_t thread;
    pthread_barrier_t *start;
    unsigned number, granted;
};

static void *race(void *context) {
    struct racer *racer = context;
    char key[24];
    pthread_barrier_wait(racer->start);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "%u/%u", racer->number, i);
        racer->granted += !claim_put(racer->scene, key, MIB);
    }
    return NULL;
}

static void a_hundred_at_once_get_what_fits(void **state) {
    struct scene *scene = *state;
    enum { RACERS = 100 };
    static struct racer racers[RACERS];
    pthread_barrier_t start;
    unsigned granted = 0;
    put(scene, "there", MIB / 2);
    pthread_barrier_init(&start, NULL, RACERS);
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.scene = scene, .start = &start, .number = i};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        granted += racers[i].granted;
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(granted, 9);
}

static void room_that_was_made_is_found_by_the_next_count(void **state) {
    struct scene *scene = *state;
    put(scene, "there", 10 * MIB);
    assert_int_equal(claim_put(scene, "new", MIB), QUOTA_FULL);
    quota_give_up(scene->quota, &scene->user, "there");
    free(ask(scene, "DELETE", "there", NULL, 0, 0));
    put(scene, "a version counts to the other limit", 0);
    assert_int_equal(claim_put(scene, "new", 0), 0);
    assert_int_equal(
        claim(scene, (struct quota_claim){.key = "u", .upload = "u", .first = 1, .count = 1, .size = 5 * MIB}, NULL),
        QUOTA_FULL);
    assert_int_equal(claim_put(scene, "new", MIB), 0);
}

static void a_refusal_stands_until_something_can_have_changed(void **state) {
    struct scene *scene = *state;
    put(scene, "there", 10 * MIB);
    assert_int_equal(claim_put(scene, "new", MIB), QUOTA_FULL);
    struct quota_claim again = {.key = "new", .size = MIB, .looked = true};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(quota_claim(scene->quota, &scene->user, &again, NULL), QUOTA_FULL);
}

static void a_count_that_fails_is_repeated(void **state) {
    struct scene *scene = *state;
    put(scene, "there", 9 * MIB);
    AUTO_FREE char *endpoint = strdup(scene->parts.config.endpoint);
    server_parts_set(&scene->parts, "endpoint", "http://127.0.0.1:1");
    struct quota_claim asked = {.key = "new", .size = MIB};
    assert_int_equal(quota_claim(scene->quota, &scene->user, &asked, NULL), QUOTA_COUNT);
    wait_for_count(scene, 60000);
    asked.has_waited = true;
    assert_int_equal(quota_claim(scene->quota, &scene->user, &asked, NULL), QUOTA_BUSY); /* never counted: not "full" */
    server_parts_set(&scene->parts, "endpoint", endpoint);
    WAIT_UNTIL(!quota_claim(scene->quota, &scene->user, &asked, NULL)); /* nobody waits for it: it comes by itself */
    assert_int_equal(quota_used(scene->quota, &scene->user), 10 * MIB);
}

static void use_is_recorded_and_an_uncounted_restart_is_not_empty(void **state) {
    struct scene *scene = *state;
    put(scene, "there", 4 * MIB);
    put(scene, "there", 3 * MIB);
    assert_int_equal(claim_put(scene, "a", MIB), 0);
    assert_int_equal(claim_put(scene, "b", MIB), 0);
    quota_destroy(scene->quota);
    read_user(scene);
    assert_int_equal(scene->user.used, 5 * MIB);
    assert_int_equal(scene->user.used_old, 4 * MIB);
    assert_true(llabs(scene->user.counted_s - clock_realtime_s()) < 600);
    start_quota(scene);
    assert_int_equal(claim_put(scene, "c", 5 * MIB), 0); /* without a count: what was recorded is known */
    assert_int_equal(quota_used(scene->quota, &scene->user), 10 * MIB);
}

static void parts_are_one_with_their_upload(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *upload = open_upload(scene, "big", 2, 2 * MIB);
    struct quota_claim run = {.key = "big", .upload = upload, .first = 1, .count = 2, .size = 2 * MIB};
    assert_int_equal(claim(scene, run, NULL), 0);
    uint64_t size = 0;
    assert_int_equal(usage_parts(&scene->parts.remote, "pail-ann", "big", upload, &size, NULL), 0);
    assert_int_equal(size, 4 * MIB);
    assert_int_equal(usage_parts(&scene->parts.remote, "pail-ann", "big", "none", &size, NULL), PAIL_GONE);
    run.first = 3;
    run.count = 4;
    assert_int_equal(claim(scene, run, NULL), QUOTA_FULL); /* a run may be more than is left */
    run.count = 1;
    assert_int_equal(claim(scene, run, NULL), 0); /* this part is not */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(everything_is_counted_over_all_pages),
        TEST(an_account_is_counted_before_its_first_grant),
        TEST(a_hundred_at_once_get_what_fits),
        TEST(room_that_was_made_is_found_by_the_next_count),
        TEST(a_refusal_stands_until_something_can_have_changed),
        TEST(a_count_that_fails_is_repeated),
        TEST(use_is_recorded_and_an_uncounted_restart_is_not_empty),
        TEST(parts_are_one_with_their_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
