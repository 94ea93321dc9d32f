/* Tests of auth/verify and auth/keys while time passes: keys rotate under load, the issuer is away for an hour, clocks
 * differ. clock_boottime_s is replaced by one that stands still until a test sets it forward. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "patience.h"
#include "verify_scene.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

static atomic_llong now_s = 100000;

int64_t __wrap_clock_boottime_s(void);
int64_t __wrap_clock_boottime_s(void) {
    return atomic_load(&now_s);
}

/* Whose next look at the key set is followed by the end of the fetch that is under way. */
static _Thread_local struct scene *looking;

int __real_pthread_rwlock_unlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock) {
    int result = __real_pthread_rwlock_unlock(lock);
    struct scene *scene = looking;
    looking = NULL;
    while (scene && !verify_generation(scene->verify))
        clock_sleep_ms(1);
    return result;
}

static void let_pass(int64_t seconds) {
    atomic_fetch_add(&now_s, seconds);
}

static char *token_of(const struct scene *scene, EVP_PKEY *key, const char *kid) {
    AUTO_FREE char *header = text_format("{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
    AUTO_FREE char *text = claims(scene, NULL, 0);
    return forge_token(key, header, text);
}

/* A fetch that began before may end only now, and count as the one of these 30 seconds. */
static bool becomes(struct scene *scene, const char *token, int result) {
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (result_of(scene, token) != result) {
        if (clock_monotonic_ms() > until_ms)
            return false;
        clock_sleep_ms(10);
        let_pass(31);
    }
    return true;
}

static void publish_only(struct scene *scene, EVP_PKEY *key, const char *kid) {
    AUTO_FREE char *jwk = forge_jwk(key, kid, ""), *set = text_format("{\"keys\":[%s]}", jwk);
    publish(scene, set);
}

static void an_hour_without_the_issuer(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *known = token_of(scene, scene->rsa, "r1"), *strange = token_of(scene, scene->stranger, "r2");
    assert_int_equal(result_of(scene, known), 0);
    atomic_store(&scene->issuer.status, 500);
    for (int minutes = 0; minutes < 60; minutes += 5) {
        let_pass(300);
        assert_int_equal(result_of(scene, known), 0);
        assert_int_equal(result_of(scene, strange), VERIFY_UNPROVEN);
    }
    assert_true(verify_keys_age_s(scene->verify) >= 3600);
    publish_only(scene, scene->stranger, "r2"); /* it comes back, and has another key */
    atomic_store(&scene->issuer.status, 0);
    let_pass(30);
    assert_true(becomes(scene, strange, 0));
    assert_int_not_equal(result_of(scene, known), 0);
}

static void a_withdrawn_key_is_believed_for_the_cache_time_at_most(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *old = token_of(scene, scene->rsa, "r1");
    assert_int_equal(result_of(scene, old), 0);
    publish_only(scene, scene->stranger, "r2");
    let_pass(400);
    assert_int_equal(result_of(scene, old), 0);
    let_pass(201); /* nobody asked for another key meanwhile */
    assert_int_not_equal(result_of(scene, old), 0);
}

/* The set that is on its way was written down before the key was made. */
static void a_key_that_is_younger_than_the_fetch_is_not_refused(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *fresh = token_of(scene, scene->stranger, "r2");
    assert_int_equal(verify_prepare(scene->verify, NULL), 0); /* else its fetch is counted late */
    atomic_store(&scene->issuer.delay_ms, 500);
    unsigned before = atomic_load(&scene->issuer.fetched);
    make_verify(scene, 0, 0);
    while (atomic_load(&scene->issuer.fetched) == before)
        clock_sleep_ms(1);
    clock_sleep_ms(20); /* the old set is in the answer by now */
    publish_only(scene, scene->stranger, "r2");
    atomic_store(&scene->issuer.delay_ms, 0);
    assert_int_equal(result_of(scene, fresh), VERIFY_UNPROVEN);
    let_pass(30);
    assert_int_equal(result_of(scene, fresh), 0);
}

/* No other fetch is allowed for 30 seconds. */
static void a_token_whose_key_comes_right_after_the_look_is_not_turned_away(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *good = token_of(scene, scene->rsa, "r1");
    atomic_store(&scene->issuer.delay_ms, 100);
    make_verify(scene, 0, 0);
    looking = scene;
    assert_int_equal(result_of(scene, good), 0);
    assert_null(looking);
}

static void a_thousand_strange_names_make_one_fetch_in_thirty_seconds(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *known = token_of(scene, scene->rsa, "r1");
    assert_int_equal(result_of(scene, known), 0);
    unsigned fetched = atomic_load(&scene->issuer.fetched);
    for (int round = 0; round < 3; round++) {
        let_pass(30);
        for (int i = 0; i < 1000; i++) {
            AUTO_FREE char *header =
                text_format("{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"strange-%d-%d\"}", round, i);
            AUTO_FREE char *text = claims(scene, NULL, 0), *start = forge_unsigned(header, text);
            AUTO_FREE char *token = text_format("%sAAAA", start);
            int result = result_of(scene, token);
            assert_int_equal(result, i ? VERIFY_UNPROVEN : VERIFY_REFUSED); /* the first is asked about */
        }
        assert_int_equal(atomic_load(&scene->issuer.fetched), fetched + (unsigned)round + 1);
        assert_int_equal(result_of(scene, known), 0);
    }
}

/* Rotation. */

enum { KEYS = 6, WORKERS = 4 };

struct rotation {
    struct scene *scene;
    EVP_PKEY *keys[KEYS];
    _Atomic size_t count; /* of those that were published */
    atomic_uint accepted[KEYS], refused;
    _Atomic bool over;
};

static void kid_of(size_t number, char kid[24]) {
    snprintf(kid, 24, "k%zu", number);
}

/* The issuer signs with its newest key from the moment on at which it publishes it. */
static void publish_first(struct rotation *rotation, size_t count, size_t from) {
    AUTO_FREE char *set = strdup("{\"keys\":[");
    for (size_t i = from; i < count; i++) {
        char kid[24];
        kid_of(i, kid);
        AUTO_FREE char *jwk = forge_jwk(rotation->keys[i], kid, "");
        char *longer = text_format("%s%s%s", set, i > from ? "," : "", jwk);
        free(set);
        set = longer;
    }
    AUTO_FREE char *whole = text_format("%s]}", set);
    publish(rotation->scene, whole);
    atomic_store(&rotation->count, count);
}

static void *ask_all_the_time(void *context) {
    struct rotation *rotation = context;
    while (!atomic_load(&rotation->over)) {
        char kid[24];
        size_t newest = atomic_load(&rotation->count) - 1;
        kid_of(newest, kid);
        AUTO_FREE char *token = token_of(rotation->scene, rotation->keys[newest], kid);
        CLEANUP(verify_claims_finish) struct verify_claims out = {0};
        int result = verify_token(rotation->scene->verify, token, strlen(token), &out, NULL);
        if (!result)
            atomic_fetch_add(&rotation->accepted[newest], 1);
        else if (result != VERIFY_UNPROVEN)
            atomic_fetch_add(&rotation->refused, 1);
    }
    return NULL;
}

static bool is_accepted(struct rotation *rotation, size_t number) {
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (!atomic_load(&rotation->accepted[number])) {
        if (clock_monotonic_ms() > until_ms)
            return false;
        clock_sleep_ms(200);
        let_pass(31);
    }
    return true;
}

static void keys_rotate_while_requests_run(void **state) {
    struct scene *scene = *state;
    struct rotation rotation = {.scene = scene};
    pthread_t workers[WORKERS];
    for (size_t i = 0; i < KEYS; i++)
        rotation.keys[i] = forge_rsa(2048);
    publish_first(&rotation, 1, 0);
    make_verify(scene, 0, 0);
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, ask_all_the_time, &rotation), 0);
    bool well = is_accepted(&rotation, 0);
    for (size_t count = 2; count <= KEYS && well; count++) {
        atomic_store(&scene->issuer.delay_ms, count % 2 ? 0 : 100);
        let_pass(31);
        publish_first(&rotation, count, 0);
        let_pass(31);
        well = is_accepted(&rotation, count - 1);
    }
    atomic_store(&rotation.over, true);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    assert_true(well);
    assert_int_equal(rotation.refused, 0); /* no good token was called a bad one */
    publish_first(&rotation, KEYS, KEYS - 1);
    let_pass(601);
    for (size_t i = 0; i < KEYS; i++) {
        char kid[24];
        kid_of(i, kid);
        AUTO_FREE char *token = token_of(scene, rotation.keys[i], kid);
        int result = result_of(scene, token);
        assert_true(i == KEYS - 1 ? result == 0 : result != 0); /* withdrawn ones are over */
        EVP_PKEY_free(rotation.keys[i]);
    }
}

/* Clocks. */

/* As an issuer makes it whose clock is that far before ours. */
static char *token_at(const struct scene *scene, int64_t made_s) {
    char iat[24], exp[24];
    snprintf(iat, sizeof iat, "%lld", (long long)(clock_realtime_s() + made_s));
    snprintf(exp, sizeof exp, "%lld", (long long)(clock_realtime_s() + made_s + 600));
    const struct change changes[] = {{"iat", iat}, {"exp", exp}};
    return token_with(scene, RS256, changes, 2);
}

static void a_clock_that_is_an_hour_wrong_is_named(void **state) {
    struct scene *scene = *state;
    static const struct {
        int ahead_s;
        const char *says;
    } rows[] = {{3600, "60 minutes behind"}, {-3600, "60 minutes ahead of"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        atomic_store(&scene->issuer.clock_ahead_s, rows[i].ahead_s);
        make_verify(scene, 0, 0);
        AUTO_FREE char *fresh = token_at(scene, rows[i].ahead_s), *over = token_at(scene, rows[i].ahead_s - 7200);
        CLEANUP(verify_claims_finish) struct verify_claims out = {0};
        struct fault fault = {{0}};
        assert_int_equal(verify_token(scene->verify, fresh, strlen(fresh), &out, &fault), VERIFY_UNPROVEN);
        assert_non_null(strstr(fault.text, rows[i].says));
        assert_int_equal(result_of(scene, over), VERIFY_REFUSED); /* by both clocks */
    }
}

static void a_clock_that_nobody_tells_is_not_guessed(void **state) {
    struct scene *scene = *state;
    atomic_store(&scene->issuer.clock_ahead_s, FORGE_NO_TIME);
    make_verify(scene, 0, 0);
    AUTO_FREE char *early = token_at(scene, 3600), *late = token_at(scene, -3600);
    assert_int_equal(result_of(scene, early), VERIFY_REFUSED);
    assert_int_equal(result_of(scene, late), VERIFY_REFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_hour_without_the_issuer),
        TEST(a_withdrawn_key_is_believed_for_the_cache_time_at_most),
        TEST(a_key_that_is_younger_than_the_fetch_is_not_refused),
        TEST(a_token_whose_key_comes_right_after_the_look_is_not_turned_away),
        TEST(a_thousand_strange_names_make_one_fetch_in_thirty_seconds),
        TEST(keys_rotate_while_requests_run),
        TEST(a_clock_that_is_an_hour_wrong_is_named),
        TEST(a_clock_that_nobody_tells_is_not_guessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
