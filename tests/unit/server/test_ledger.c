/* Tests of s3/server/ledger: what an account uses, by counts and claims. */
#include "s3/server/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define LIMIT 1000
#define LIFE_MS 100000

static int64_t now_ms; /* boot time; Unix time is this / 1,000 */

static struct ledger_moment now(void) {
    return (struct ledger_moment){now_ms, now_ms / 1000};
}

static int claim(struct ledger *ledger, struct ledger_claim asked) {
    struct ledger_moment moment = now();
    asked.until_ms = now_ms + LIFE_MS;
    return ledger_claim(ledger, LIMIT, &asked, &moment);
}

static int put(struct ledger *ledger, uint64_t key, uint64_t size) {
    return claim(ledger, (struct ledger_claim){.key = key, .size = size});
}

static int put_over(struct ledger *ledger, uint64_t key, uint64_t size, uint64_t replaces) {
    return claim(ledger, (struct ledger_claim){.key = key, .size = size, .looked = true, .replaces = replaces});
}

static int parts(struct ledger *ledger, uint64_t key, uint64_t upload, unsigned first, unsigned count, uint64_t size) {
    return claim(ledger,
                 (struct ledger_claim){.key = key, .upload = upload, .first = first, .count = count, .size = size});
}

static void begin(struct ledger *ledger) {
    now_ms += 1000;
    ledger_count_begin(ledger, now_ms);
}

static void there(struct ledger *ledger, uint64_t key, uint64_t size) {
    ledger_count_version(ledger, key, size, true, now_ms / 1000);
}

static int set_up(void **state) {
    static struct ledger ledger;
    ledger = (struct ledger){0};
    now_ms = 5000000;
    *state = &ledger;
    return 0;
}

static int tear_down(void **state) {
    ledger_finish(*state);
    return 0;
}

static void what_fits_is_granted_and_no_more(void **state) {
    struct ledger *ledger = *state;
    for (uint64_t key = 1; key <= 10; key++)
        assert_int_equal(put(ledger, key, 100), 0);
    assert_int_equal(put(ledger, 11, 1), LEDGER_LOOK);
    assert_int_equal(put_over(ledger, 11, 1, 0), LEDGER_FULL);
    assert_int_equal(put(ledger, 12, 0), 0); /* nothing fits always */
    assert_int_equal(ledger_used(ledger), 1000);
}

static void a_file_saved_again_and_again_counts_once(void **state) {
    struct ledger *ledger = *state;
    begin(ledger);
    there(ledger, 1, 850);
    there(ledger, 2, 100);
    ledger_count_end(ledger);
    assert_int_equal(put(ledger, 2, 100), LEDGER_LOOK);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(put_over(ledger, 2, 100, 100), 0);
        now_ms += 10000;
    }
    assert_int_equal(ledger_used(ledger), 950);
    assert_int_equal(put_over(ledger, 2, 150, 100), 0); /* it grows */
    assert_int_equal(ledger_used(ledger), 1000);
    assert_int_equal(put_over(ledger, 2, 151, 100), LEDGER_FULL);
    begin(ledger);
    there(ledger, 1, 850);
    there(ledger, 2, 150);
    ledger_count_version(ledger, 2, 100, false, 100);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 1000);
    assert_int_equal(ledger_used_old(ledger), 100);
    assert_int_equal(ledger->entry_count, 0);
}

static void a_count_does_not_take_away_what_may_still_come(void **state) {
    struct ledger *ledger = *state;
    assert_int_equal(put(ledger, 1, 600), 0);
    for (int i = 0; i < 5; i++) {
        begin(ledger);
        ledger_count_end(ledger);
        assert_int_equal(ledger_used(ledger), 600);
        assert_int_equal(put_over(ledger, 2, 500, 0), LEDGER_FULL);
    }
    now_ms += LIFE_MS; /* never used */
    begin(ledger);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 0);
    assert_int_equal(put(ledger, 2, 500), 0);
}

static void what_is_claimed_while_it_is_counted_stays(void **state) {
    struct ledger *ledger = *state;
    begin(ledger);
    there(ledger, 1, 300);
    assert_int_equal(put(ledger, 2, 200), 0);
    assert_int_equal(put(ledger, 1, 400), 0); /* more than the count has seen */
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 300 + 200 + 400);
    begin(ledger);
    there(ledger, 1, 400);
    there(ledger, 2, 200);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 600);
}

static void a_count_that_is_broken_off_changes_nothing(void **state) {
    struct ledger *ledger = *state;
    assert_int_equal(put(ledger, 1, 600), 0);
    begin(ledger);
    there(ledger, 2, 399);
    ledger_count_break_off(ledger);
    assert_int_equal(ledger_used(ledger), 600);
    begin(ledger);
    there(ledger, 1, 600);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 600);
}

static void what_was_written_and_deleted_is_free(void **state) {
    struct ledger *ledger = *state;
    assert_int_equal(put(ledger, 1, 900), 0);
    ledger_give_up(ledger, 1);
    begin(ledger);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 0);

    assert_int_equal(put(ledger, 2, 900), 0); /* with versions it is seen even without a word of ours */
    begin(ledger);
    ledger_count_version(ledger, 2, 0, false, now_ms / 1000);
    ledger_count_version(ledger, 2, 900, false, now_ms / 1000);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 0);
    assert_int_equal(ledger_used_old(ledger), 900);
    assert_int_equal(put(ledger, 3, 1000), 0); /* what is old takes no room from what is not */
}

static void a_claim_after_the_delete_holds(void **state) {
    struct ledger *ledger = *state;
    assert_int_equal(put(ledger, 1, 900), 0);
    ledger_give_up(ledger, 1);
    assert_int_equal(put(ledger, 1, 800), 0);
    begin(ledger);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 900); /* either may come */
}

static void an_older_version_does_not_stand_for_a_claim(void **state) {
    struct ledger *ledger = *state;
    assert_int_equal(put(ledger, 1, 900), 0);
    begin(ledger);
    ledger_count_version(ledger, 1, 50, true, now_ms / 1000 - 60); /* from before the grant */
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 900);
}

static void parts_count_until_their_upload_is_over(void **state) {
    struct ledger *ledger = *state;
    assert_int_equal(parts(ledger, 1, 7, 1, 4, 100), 0);
    assert_int_equal(parts(ledger, 1, 7, 1, 4, 100), 0); /* the same run, since its grant grew old */
    assert_int_equal(ledger_used(ledger), 400);
    assert_int_equal(ledger_used_old(ledger), 400);
    assert_int_equal(
        claim(ledger,
              (struct ledger_claim){.key = 1, .upload = 7, .first = 5, .count = 2, .size = 100, .last_size = 30}),
        0);
    assert_int_equal(ledger_used(ledger), 530);
    assert_int_equal(parts(ledger, 1, 7, 7, 5, 100), LEDGER_FULL);
    begin(ledger);
    ledger_count_upload(ledger, 1, 7, 230); /* two parts came */
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 530);
    assert_int_equal(ledger_used_old(ledger), 530);
    assert_int_equal(claim(ledger, (struct ledger_claim){.key = 1, .upload = 7, .size = 530}), 0); /* complete */
    begin(ledger);
    there(ledger, 1, 530); /* the upload is not listed any more */
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 530);
    assert_int_equal(ledger_used_old(ledger), 0);
    assert_int_equal(ledger->entry_count, 0);
}

static void the_end_of_an_old_upload_is_claimed_whole(void **state) {
    struct ledger *ledger = *state;
    assert_int_equal(parts(ledger, 1, 7, 1, 6, 100), 0);
    now_ms += LIFE_MS;
    begin(ledger);
    ledger_count_upload(ledger, 1, 7, 600);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 0); /* it rests among what is unfinished */
    assert_int_equal(ledger_used_old(ledger), 600);
    assert_int_equal(put(ledger, 2, 500), 0);
    assert_int_equal(claim(ledger, (struct ledger_claim){.key = 1, .upload = 7, .size = 600, .looked = true}),
                     LEDGER_FULL);
    assert_int_equal(claim(ledger, (struct ledger_claim){.key = 1, .upload = 7, .size = 500, .looked = true}), 0);
}

static void old_versions_have_a_limit_of_their_own(void **state) {
    struct ledger *ledger = *state;
    begin(ledger);
    there(ledger, 1, 10);
    ledger_count_version(ledger, 1, 950, false, 1);
    ledger_count_end(ledger);
    assert_int_equal(put(ledger, 2, 900), 0); /* the other limit */
    assert_int_equal(parts(ledger, 3, 7, 1, 1, 51), LEDGER_FULL_OLD);
    assert_int_equal(parts(ledger, 3, 7, 1, 1, 50), 0);
    begin(ledger);
    ledger_count_version(ledger, 1, 1001, false, 1);
    ledger_count_end(ledger);
    assert_int_equal(put(ledger, 4, 1), LEDGER_FULL_OLD);
}

/* Random claims, uses and counts: what lies there is never more than what the ledger says. */
static void the_ledger_is_never_below_what_lies_there(void **state) {
    struct ledger *ledger = *state;
    uint64_t object[20] = {0}, seed = 12345;
    struct {
        uint64_t key, size;
        int64_t until_ms;
    } grants[400];
    size_t granted = 0;
    for (int round = 0; round < 20000; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned what = (unsigned)(seed >> 60), key = (unsigned)(seed >> 40) % 20;
        uint64_t size = (seed >> 20) % 200;
        now_ms += 1500;
        if (what < 6 && granted < 400 && !put_over(ledger, key + 1, size, object[key]))
            grants[granted++] = (__typeof__(grants[0])){key, size, now_ms + LIFE_MS};
        if (what >= 6 && what < 12 && granted) { /* one of them is used, or is over */
            size_t i = (size_t)(seed >> 8) % granted;
            if (grants[i].until_ms > now_ms)
                object[grants[i].key] = grants[i].size;
            grants[i] = grants[--granted];
        }
        if (what >= 14) {
            begin(ledger);
            for (unsigned i = 0; i < 20; i++)
                if (object[i])
                    ledger_count_version(ledger, i + 1, object[i], true, 0); /* times say nothing here */
            ledger_count_end(ledger);
        }
        uint64_t sum = 0;
        for (unsigned i = 0; i < 20; i++)
            sum += object[i];
        assert_true(sum <= ledger_used(ledger));
        assert_true(ledger_used(ledger) <= LIMIT);
    }
    now_ms += LIFE_MS;
    begin(ledger);
    ledger_count_end(ledger);
    assert_int_equal(ledger_used(ledger), 0);
    assert_int_equal(ledger->entry_count, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_fits_is_granted_and_no_more),
        TEST(a_file_saved_again_and_again_counts_once),
        TEST(a_count_does_not_take_away_what_may_still_come),
        TEST(what_is_claimed_while_it_is_counted_stays),
        TEST(a_count_that_is_broken_off_changes_nothing),
        TEST(what_was_written_and_deleted_is_free),
        TEST(a_claim_after_the_delete_holds),
        TEST(an_older_version_does_not_stand_for_a_claim),
        TEST(parts_count_until_their_upload_is_over),
        TEST(the_end_of_an_old_upload_is_claimed_whole),
        TEST(old_versions_have_a_limit_of_their_own),
        TEST(the_ledger_is_never_below_what_lies_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
