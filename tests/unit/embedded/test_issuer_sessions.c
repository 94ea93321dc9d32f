/* s3/embedded/issuer_sessions: once is once, tokens rotate, a stolen one ends its session, and hashes alone are kept.
 */
#include "s3/embedded/issuer_sessions.h"

#include "folder.h"

#include <pthread.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct sessions_test {
    char *folder, *path;
    struct issuer_sessions *sessions;
};

static int open_it(struct sessions_test *test, unsigned overlap_s) {
    struct fault fault = {{0}};
    return issuer_sessions_open(&test->sessions, test->path, overlap_s, &fault);
}

static int set_up(void **state) {
    struct sessions_test *test = calloc(1, sizeof *test);
    test->folder = folder_make();
    test->path = folder_path(test->folder, "sessions.json");
    assert_int_equal(open_it(test, 10), 0);
    *state = test;
    return 0;
}

static int tear_down(void **state) {
    struct sessions_test *test = *state;
    issuer_sessions_close(test->sessions);
    folder_remove(test->folder);
    free(test->path);
    free(test);
    return 0;
}

static void tickets_are_good_once(void **state) {
    struct sessions_test *test = *state;
    AUTO_SECRET char *one = NULL, *two = NULL;
    assert_int_equal(issuer_sessions_give_ticket(test->sessions, &one), 0);
    assert_int_equal(issuer_sessions_give_ticket(test->sessions, &two), 0);
    assert_string_not_equal(one, two);
    assert_true(issuer_sessions_take_ticket(test->sessions, one));
    assert_false(issuer_sessions_take_ticket(test->sessions, one));
    assert_false(issuer_sessions_take_ticket(test->sessions, ""));
    assert_true(issuer_sessions_take_ticket(test->sessions, two));
}

static void many_tickets_push_the_oldest_out(void **state) {
    struct sessions_test *test = *state;
    AUTO_SECRET char *first = NULL, *last = NULL;
    assert_int_equal(issuer_sessions_give_ticket(test->sessions, &first), 0);
    for (int i = 0; i < 100; i++) {
        secret_free(TAKE(last));
        assert_int_equal(issuer_sessions_give_ticket(test->sessions, &last), 0);
    }
    assert_false(issuer_sessions_take_ticket(test->sessions, first));
    assert_true(issuer_sessions_take_ticket(test->sessions, last));
}

/* A code for ann. */
static char *make_code(struct sessions_test *test) {
    struct issuer_login login = {.redirect_uri = strdup("r"), .scope = strdup("openid"), .challenge = strdup("c")},
                        copy = {0};
    AUTO_SECRET char *handle = NULL;
    char *code = NULL;
    assert_int_equal(issuer_sessions_begin(test->sessions, &login, &handle), 0);
    assert_null(login.scope);
    assert_true(issuer_sessions_knows(test->sessions, handle));
    assert_int_equal(issuer_sessions_grant(test->sessions, handle, "ann@example.com", &code, &copy), 0);
    assert_string_equal(copy.email, "ann@example.com");
    issuer_login_finish(&copy);
    assert_false(issuer_sessions_knows(test->sessions, handle));
    char *again = NULL;
    assert_int_equal(issuer_sessions_grant(test->sessions, handle, "bob@example.com", &again, &copy), -ENOENT);
    return code;
}

static char *start_session(struct sessions_test *test, char **code_out) {
    char *code = make_code(test);
    CLEANUP(issuer_login_finish) struct issuer_login login = {0};
    struct issuer_session session = {0};
    assert_int_equal(issuer_sessions_redeem(test->sessions, code, &login), 0);
    assert_int_equal(issuer_sessions_start(test->sessions, &login, code, &session), 0);
    char *token = TAKE(session.refresh_token);
    issuer_session_finish(&session);
    if (code_out)
        *code_out = code;
    else
        secret_free(code);
    return token;
}

/* The next token, or NULL. */
static char *refresh(struct sessions_test *test, const char *token) {
    struct issuer_session session = {0};
    int r = issuer_sessions_refresh(test->sessions, token, &session);
    char *next = r ? NULL : TAKE(session.refresh_token);
    if (!r)
        assert_string_equal(session.email, "ann@example.com");
    issuer_session_finish(&session);
    return next;
}

static void a_code_used_again_ends_what_came_of_it(void **state) {
    struct sessions_test *test = *state;
    AUTO_SECRET char *code = NULL, *token = start_session(test, &code);
    CLEANUP(issuer_login_finish) struct issuer_login login = {0};
    assert_int_equal(issuer_sessions_redeem(test->sessions, code, &login), -ENOENT);
    assert_null(refresh(test, token));
}

static void tokens_rotate_with_an_overlap(void **state) {
    struct sessions_test *test = *state;
    AUTO_SECRET char *one = start_session(test, NULL), *two = refresh(test, one), *three = refresh(test, one);
    assert_non_null(two);
    assert_non_null(three);
    AUTO_SECRET char *four = refresh(test, two), *five = refresh(test, three);
    assert_non_null(four);
    assert_non_null(five);
}

static void without_overlap_reuse_ends_the_session(void **state) {
    struct sessions_test *test = *state;
    AUTO_SECRET char *one = start_session(test, NULL), *two = refresh(test, one);
    issuer_sessions_close(test->sessions);
    sleep(2);
    assert_int_equal(open_it(test, 1), 0);
    assert_null(refresh(test, one));
    assert_null(refresh(test, two));
}

static void sessions_outlive_us_and_no_token_is_in_the_file(void **state) {
    struct sessions_test *test = *state;
    AUTO_SECRET char *one = start_session(test, NULL), *two = refresh(test, one);
    issuer_sessions_close(test->sessions);
    AUTO_FREE char *text = NULL;
    size_t size;
    assert_int_equal(file_read(test->path, 1 << 20, &text, &size), 0);
    assert_null(strstr(text, strchr(one, '.') + 1));
    assert_null(strstr(text, strchr(two, '.') + 1));
    assert_int_equal(open_it(test, 10), 0);
    AUTO_FREE char *last = issuer_sessions_last_email(test->sessions);
    assert_string_equal(last, "ann@example.com");
    AUTO_SECRET char *three = refresh(test, two);
    assert_non_null(three);
}

static void revoked_is_gone(void **state) {
    struct sessions_test *test = *state;
    AUTO_SECRET char *one = start_session(test, NULL), *other = start_session(test, NULL);
    assert_int_equal(issuer_sessions_revoke(test->sessions, one), 0);
    assert_int_equal(issuer_sessions_revoke(test->sessions, "nonsense"), 0);
    assert_null(refresh(test, one));
    AUTO_SECRET char *next = refresh(test, other);
    assert_non_null(next);
}

static void a_damaged_file_is_told(void **state) {
    struct sessions_test *test = *state;
    issuer_sessions_close(TAKE(test->sessions));
    assert_int_equal(file_replace(test->path, 0600, "{", 1), 0);
    assert_int_equal(open_it(test, 10), -EBADMSG);
    const char *odd = "{\"sessions\":[{\"id\":\"short\"},{},3]}";
    assert_int_equal(file_replace(test->path, 0600, odd, strlen(odd)), 0);
    assert_int_equal(open_it(test, 10), 0);
    assert_null(issuer_sessions_last_email(test->sessions));
}

static void *rotate(void *context) {
    struct sessions_test *test = context;
    AUTO_SECRET char *token = start_session(test, NULL);
    for (int i = 0; i < 10; i++) {
        char *next = refresh(test, token);
        if (!next)
            return context;
        secret_free(token);
        token = next;
    }
    return NULL;
}

static void many_at_once(void **state) {
    struct sessions_test *test = *state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, rotate, test), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tickets_are_good_once),
        TEST(many_tickets_push_the_oldest_out),
        TEST(a_code_used_again_ends_what_came_of_it),
        TEST(tokens_rotate_with_an_overlap),
        TEST(without_overlap_reuse_ends_the_session),
        TEST(sessions_outlive_us_and_no_token_is_in_the_file),
        TEST(revoked_is_gone),
        TEST(a_damaged_file_is_told),
        TEST(many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
