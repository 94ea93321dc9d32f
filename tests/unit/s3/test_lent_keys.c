/* Keys that the mapping server lends: asked for once for all, renewed in time, given up when they must be. Time passes
 * by moving the times in the keys. */
#include "s3/lent_keys.h"

#include "base/clock.h"
#include "base/text.h"
#include "patience.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE 60000

/* A mapping server that is not there. */
struct source {
    _Atomic unsigned asked;
    _Atomic int error;
    _Atomic bool stuck; /* answers only when it is cancelled */
    struct lent_keys *keys;
};

static int ask(void *context, const _Atomic bool *cancelled, struct mapping_keys *out, struct fault *fault) {
    struct source *source = context;
    unsigned number = ++source->asked;
    while (source->stuck && !*cancelled)
        clock_sleep_ms(1);
    if (*cancelled)
        return PAIL_CANCELLED;
    if (source->error)
        return fault_set(fault, source->error, "planted");
    *out = (struct mapping_keys){.access_key = text_format("AK%u.", number),
                                 .secret_key = strdup("secret"),
                                 .session_token = strdup("token"),
                                 .expires_in_s = 900,
                                 .server_time_s = 1800000000};
    return 0;
}

static int set_up(void **state) {
    struct source *source = calloc(1, sizeof *source);
    assert_int_equal(lent_keys_create(&source->keys, &(struct lent_source){ask, source}), 0);
    *state = source;
    return 0;
}

static int tear_down(void **state) {
    struct source *source = *state;
    lent_keys_destroy(source->keys);
    free(source);
    return 0;
}

static struct lent *get(struct source *source) {
    struct lent *lent = NULL;
    struct fault fault = {0};
    if (lent_keys_get(source->keys, 5000, NULL, &lent, &fault))
        fail_msg("%s", fault.text);
    return lent;
}

static int get_error(struct source *source) {
    struct lent *lent = NULL;
    struct fault fault = {0};
    int error = lent_keys_get(source->keys, 5000, NULL, &lent, &fault);
    if (error)
        assert_string_equal(fault.text, "planted");
    lent_release(lent);
    return error;
}

static void age(struct lent *lent, int64_t ms) {
    lent->received_ms -= ms;
    lent->renew_ms -= ms;
    lent->ends_ms -= ms;
}

static void wait_asked(struct source *source, unsigned times) {
    WAIT_UNTIL(source->asked >= times);
    assert_int_equal(source->asked, times);
}

/* The keys that are given out are other ones than these. */
static bool has_changed(struct source *source, const char *before) {
    struct lent *lent = get(source);
    bool changed = strcmp(lent->keys.access_key, before) != 0;
    lent_release(lent);
    return changed;
}

static void wait_changed(struct source *source, const char *before) {
    WAIT_UNTIL(has_changed(source, before));
    assert_true(has_changed(source, before));
}

static void test_asked_once(void **state) {
    struct source *source = *state;
    assert_int_equal(lent_keys_state(source->keys, NULL), PAIL_OFFLINE);
    struct lent *first = get(source), *second = get(source);
    assert_ptr_equal(first, second);
    assert_string_equal(first->keys.access_key, "AK1.");
    assert_int_equal(source->asked, 1);
    assert_int_equal(lent_keys_state(source->keys, NULL), 0);
    assert_in_range(lent_now_s(first), 1800000000, 1800000005);
    assert_in_range(first->ends_ms - clock_boottime_ms(), 895000, 900000);
    lent_release(first);
    lent_release(second);
}

static void *get_some(void *context) {
    for (int i = 0; i < 50; i++)
        lent_release(get(context));
    return NULL;
}

static void test_many_at_once(void **state) {
    struct source *source = *state;
    pthread_t threads[20];
    source->stuck = true;
    for (int i = 0; i < 20; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_some, source), 0);
    wait_asked(source, 1);
    source->stuck = false;
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(source->asked, 1);
}

/* At four fifths, in the background; the old ones serve meanwhile and whoever still holds them. */
static void test_renewed(void **state) {
    struct source *source = *state;
    struct lent *old = get(source);
    age(old, 11 * MINUTE);
    lent_release(get(source));
    assert_int_equal(source->asked, 1);
    age(old, 2 * MINUTE);
    source->stuck = true;
    for (int i = 0; i < 3; i++) {
        struct lent *lent = get(source);
        assert_ptr_equal(lent, old);
        lent_release(lent);
    }
    wait_asked(source, 2); /* one at a time */
    source->stuck = false;
    wait_changed(source, "AK1.");
    assert_int_equal(source->asked, 2);
    assert_string_equal(old->keys.secret_key, "secret");
    lent_release(old);
}

static void test_old_ones_serve_to_their_end(void **state) {
    struct source *source = *state;
    struct lent *old = get(source);
    source->error = PAIL_OFFLINE;
    age(old, 13 * MINUTE);
    for (int i = 0; i < 3; i++)
        lent_release(get(source));
    wait_asked(source, 2);
    for (int i = 0; i < 100; i++) /* not asked again with each use */
        lent_release(get(source));
    assert_int_equal(source->asked, 2);
    age(old, 2 * MINUTE); /* over */
    assert_int_equal(get_error(source), PAIL_OFFLINE);
    assert_int_equal(lent_keys_state(source->keys, NULL), PAIL_OFFLINE);
    source->error = 0;
    struct lent *fresh = get(source);
    assert_ptr_not_equal(fresh, old);
    lent_release(fresh);
    lent_release(old);
}

static void test_refused_by_the_store(void **state) {
    struct source *source = *state;
    struct lent *old = get(source);
    lent_keys_refused(source->keys, "https://s3/b/k?X-Amz-Credential=AK1.%2Fday"); /* they have only just come */
    lent_release(get(source));
    assert_int_equal(source->asked, 1);
    age(old, 2 * MINUTE);
    lent_keys_refused(source->keys, "https://s3/b/k?X-Amz-Credential=ANOTHER%2Fday");
    lent_release(get(source));
    assert_int_equal(source->asked, 1);
    lent_keys_refused(source->keys, "https://s3/b/k?X-Amz-Credential=AK1.%2Fday");
    struct lent *fresh = get(source);
    assert_string_equal(fresh->keys.access_key, "AK2.");
    lent_keys_refused(source->keys, "https://s3/b/k?X-Amz-Credential=AK2.%2Fday"); /* once, not in a circle */
    lent_release(get(source));
    assert_int_equal(source->asked, 2);
    lent_release(fresh);
    lent_release(old);
}

/* The refusal may mean something else; without an answer the old ones go on. */
static void test_refused_while_the_server_is_away(void **state) {
    struct source *source = *state;
    struct lent *old = get(source);
    age(old, 2 * MINUTE);
    source->error = PAIL_OFFLINE;
    lent_keys_refused(source->keys, "AK1.");
    for (int i = 0; i < 5; i++) {
        struct lent *lent = get(source);
        assert_ptr_equal(lent, old);
        lent_release(lent);
    }
    assert_int_equal(source->asked, 2);
    lent_release(old);
}

static void test_none_for_this_account(void **state) {
    static const int errors[] = {PAIL_QUOTA, PAIL_UNSUPPORTED};
    struct source *source = *state;
    for (unsigned i = 0; i < 2; i++) {
        tear_down(state);
        set_up(state);
        source = *state;
        source->error = errors[i];
        for (int j = 0; j < 10; j++)
            assert_int_equal(get_error(source), errors[i]);
        assert_int_equal(source->asked, 1); /* not each time anew */
        assert_int_equal(lent_keys_state(source->keys, NULL), errors[i]);
    }
}

/* A quota that is set while the mount is at work ends the keys that it has, as soon as the server says so. */
static void test_taken_back(void **state) {
    struct source *source = *state;
    struct lent *old = get(source);
    age(old, 13 * MINUTE);
    source->error = PAIL_QUOTA;
    lent_release(get(source));
    wait_asked(source, 2);
    WAIT_UNTIL(lent_keys_state(source->keys, NULL));
    assert_int_equal(get_error(source), PAIL_QUOTA);
    lent_release(old);
}

static void test_waits_no_longer_than_told(void **state) {
    struct source *source = *state;
    struct lent *lent = NULL;
    struct fault fault = {0};
    _Atomic bool cancelled = true;
    source->stuck = true;
    assert_int_equal(lent_keys_get(source->keys, 10, NULL, &lent, &fault), PAIL_OFFLINE);
    assert_true(fault.text[0]);
    assert_int_equal(lent_keys_get(source->keys, 5000, &cancelled, &lent, &fault), PAIL_CANCELLED);
    assert_int_equal(source->asked, 1);
} /* and its end does not wait for a server that is stuck */

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_asked_once),
        TEST(test_many_at_once),
        TEST(test_renewed),
        TEST(test_old_ones_serve_to_their_end),
        TEST(test_refused_by_the_store),
        TEST(test_refused_while_the_server_is_away),
        TEST(test_none_for_this_account),
        TEST(test_taken_back),
        TEST(test_waits_no_longer_than_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
