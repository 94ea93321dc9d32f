/* Tests of auth/session.c and auth/tokens.c: one refresh for everybody, stored before it is used, and what ends a
 * login. The issuer in these tests kills a login when a refresh token is used twice, as Auth0 does. */
#include "auth/session.h"

#include "auth/session_parts.h"
#include "auth/tokens.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fake_issuer.h"
#include "patience.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { CROWD = 20 };

struct fixture {
    char root[40];
    struct fake_issuer *fake;
    struct account account;
    struct session *session;
    struct fault fault;
};

static int set_up_bound(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    strcpy(f->root, "/tmp/pail-test-session-XXXXXX");
    if (!mkdtemp(f->root) || setenv("XDG_STATE_HOME", f->root, 1) || setenv("XDG_CACHE_HOME", f->root, 1))
        return -1;
    f->fake = fake_issuer_bind();
    f->account = (struct account){
        .server = strdup("http://127.0.0.1:9"),
        .issuer = strdup(f->fake->issuer),
        .client_id = strdup("pail"),
        .audience = strdup("a"),
        .scopes = strdup("openid"),
        .subject = strdup("auth0|7"),
        .vault = ACCOUNT_VAULT_FILE,
    };
    return account_derive(&f->account);
}

static int set_up(void **state) {
    int r = set_up_bound(state);
    fake_issuer_run(((struct fixture *)*state)->fake);
    return r;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    session_destroy(f->session);
    fake_issuer_stop(f->fake);
    account_finish(&f->account);
    file_remove_tree(f->root);
    free(f);
    return 0;
}

/* What a login left in the vault: refresh-0 and an access token of this age. */
static void keep_tokens(const struct fixture *f, int generation, int64_t age_s) {
    CLEANUP(vault_destroy_p) struct vault *vault = NULL;
    char refresh[32];
    snprintf(refresh, sizeof refresh, "refresh-%d", generation);
    struct token_set set = {.access = (char[]){"access-at-login"},
                            .refresh = refresh,
                            .obtained_s = clock_boottime_s() - age_s,
                            .life_s = 100};
    AUTO_FREE char *boot = NULL;
    size_t size;
    assert_int_equal(file_read("/proc/sys/kernel/random/boot_id", 64, &boot, &size), 0);
    sscanf(boot, "%39s", set.boot);
    assert_int_equal(vault_open(&vault, ACCOUNT_VAULT_FILE, NULL), 0);
    assert_int_equal(tokens_store(vault, &f->account, &set, NULL), 0);
}

static void open_session(struct fixture *f) {
    assert_int_equal(session_create(&f->session, &f->account, &f->fault), 0);
}

static int get_from(struct session *session, const char *refused, char **token, struct fault *fault) {
    struct fetch_tokens tokens = session_tokens(session);
    return tokens.get(tokens.context, refused, token, fault);
}

static void assert_token(struct fixture *f, const char *refused, const char *expected) {
    AUTO_SECRET char *token = NULL;
    int r = get_from(f->session, refused, &token, &f->fault);
    if (r)
        fail_msg("%d: %s", r, f->fault.text);
    assert_string_equal(token, expected);
}

static bool has_token(struct fixture *f) {
    AUTO_SECRET char *token = NULL;
    return get_from(f->session, NULL, &token, &f->fault) == 0;
}

static void assert_no_token(struct fixture *f, int expected) {
    AUTO_SECRET char *token = NULL;
    assert_int_equal(get_from(f->session, NULL, &token, &f->fault), expected);
    assert_null(token);
    assert_string_not_equal(f->fault.text, "");
}

static int refreshes(struct fixture *f) {
    pthread_mutex_lock(&f->fake->lock);
    int count = f->fake->refreshes;
    assert_int_equal(f->fake->reused, 0);
    pthread_mutex_unlock(&f->fake->lock);
    return count;
}

static void set_token_answer(struct fixture *f, int status, const char *body) {
    pthread_mutex_lock(&f->fake->lock);
    f->fake->token_status = status;
    snprintf(f->fake->token_body, sizeof f->fake->token_body, "%s", body);
    pthread_mutex_unlock(&f->fake->lock);
}

static void a_young_token_needs_no_network(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 79);
    open_session(f);
    assert_int_equal(session_state(f->session, NULL), SESSION_FRESH);
    assert_token(f, NULL, "access-at-login");
    assert_int_equal(refreshes(f), 0);
    assert_int_equal(f->fake->discoveries, 0);
}

static void at_four_fifths_of_its_life_it_is_renewed(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 81);
    open_session(f);
    assert_token(f, NULL, "access-1-1");
    assert_token(f, NULL, "access-1-1");
    assert_int_equal(refreshes(f), 1);
}

static void each_refresh_uses_the_newest_refresh_token(void **state) {
    struct fixture *f = *state;
    f->fake->life_s = 1;
    keep_tokens(f, 0, 200);
    open_session(f);
    for (int i = 1; i <= 3; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "access-%d-%d", i, i);
        assert_token(f, NULL, expected);
        clock_sleep_ms(1050);
    }
    assert_int_equal(refreshes(f), 3);
}

static void an_issuer_that_does_not_rotate_is_fine(void **state) {
    struct fixture *f = *state;
    f->fake->life_s = 1;
    f->fake->keeps_refresh = f->fake->no_refresh = true;
    keep_tokens(f, 0, 200);
    open_session(f);
    assert_token(f, NULL, "access-0-1");
    clock_sleep_ms(1050);
    assert_token(f, NULL, "access-0-2");
}

struct asker {
    struct fixture *f;
    pthread_t thread;
    char *token;
    int result;
};

static void *ask(void *context) {
    struct asker *asker = context;
    asker->result = get_from(asker->f->session, NULL, &asker->token, NULL);
    return NULL;
}

static void twenty_threads_make_one_refresh(void **state) {
    struct fixture *f = *state;
    f->fake->token_delay_ms = 200;
    keep_tokens(f, 0, 200);
    open_session(f);
    struct asker askers[CROWD] = {0};
    for (size_t i = 0; i < CROWD; i++) {
        askers[i].f = f;
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].result, 0);
        assert_string_equal(askers[i].token, "access-1-1");
        secret_free(askers[i].token);
    }
    assert_int_equal(refreshes(f), 1);
}

static void twenty_threads_share_one_failure(void **state) {
    struct fixture *f = *state;
    f->fake->token_delay_ms = 200;
    f->fake->token_status = 503;
    keep_tokens(f, 0, 200);
    open_session(f);
    struct asker askers[CROWD] = {0};
    for (size_t i = 0; i < CROWD; i++) {
        askers[i].f = f;
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].result, PAIL_OFFLINE);
        assert_null(askers[i].token);
    }
    assert_int_equal(refreshes(f), 1);
}

/* A process of its own: waits for the start, asks, and tells what it got. */
static void be_a_process(const struct fixture *f, int start, int tell) {
    char byte;
    if (read(start, &byte, 1) < 0)
        _exit(1);
    struct session *session;
    char *token = NULL;
    int r = session_create(&session, &f->account, NULL);
    if (!r)
        r = get_from(session, NULL, &token, NULL);
    char line[64];
    snprintf(line, sizeof line, "%-31s", r ? "failed" : token);
    if (write(tell, line, 32) != 32)
        _exit(1);
    secret_free(token);
    if (!r)
        session_destroy(session);
    _exit(0);
}

static void twenty_processes_make_one_refresh(void **state) {
    struct fixture *f = *state;
    f->fake->token_delay_ms = 200;
    keep_tokens(f, 0, 200);
    int start[2], tell[2];
    assert_int_equal(pipe(start), 0);
    assert_int_equal(pipe(tell), 0);
    pid_t pids[CROWD];
    for (size_t i = 0; i < CROWD; i++) { /* before this process has threads */
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            close(start[1]);
            be_a_process(f, start[0], tell[1]);
        }
    }
    fake_issuer_run(f->fake);
    close(start[0]);
    close(start[1]);
    for (size_t i = 0; i < CROWD; i++) {
        char line[33] = "";
        assert_int_equal(read(tell[0], line, 32), 32);
        assert_true(text_starts(line, "access-1-1 "));
    }
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    close(tell[0]);
    close(tell[1]);
    assert_int_equal(refreshes(f), 1);
}

/* A vault that can be told to fail. */
struct moody {
    struct vault vault, *inner;
    _Atomic bool closed;
    int stores;
    char stored[512];
};

static void moody_destroy(struct vault *vault) {
    vault_destroy(((struct moody *)vault)->inner);
    free(vault);
}

static int moody_store(struct vault *vault, const char *id, const char *secret, struct fault *fault) {
    struct moody *moody = (struct moody *)vault;
    moody->stores++;
    if (atomic_load(&moody->closed))
        return fault_set(fault, VAULT_CLOSED, "closed");
    snprintf(moody->stored, sizeof moody->stored, "%s", secret);
    return vault_store(moody->inner, id, secret, fault);
}

static int moody_load(struct vault *vault, const char *id, char **secret, struct fault *fault) {
    struct moody *moody = (struct moody *)vault;
    return atomic_load(&moody->closed) ? fault_set(fault, VAULT_CLOSED, "closed")
                                       : vault_load(moody->inner, id, secret, fault);
}

static const struct vault_operations moody_operations = {
    .destroy = moody_destroy, .store = moody_store, .load = moody_load};

static struct moody *open_moody(struct fixture *f) {
    struct moody *moody = calloc(1, sizeof *moody);
    moody->vault.operations = &moody_operations;
    assert_int_equal(vault_open(&moody->inner, ACCOUNT_VAULT_FILE, NULL), 0);
    assert_int_equal(session_create_with(&f->session, &f->account, &moody->vault, &f->fault), 0);
    return moody;
}

static void new_tokens_are_stored_before_they_are_used(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 200);
    struct moody *moody = open_moody(f);
    assert_token(f, NULL, "access-1-1");
    assert_int_equal(moody->stores, 1);
    assert_non_null(strstr(moody->stored, "refresh-1"));
    assert_non_null(strstr(moody->stored, "access-1-1"));
}

static int store_and_die(struct vault *vault, const char *id, const char *secret, struct fault *fault) {
    (void)vault, (void)id, (void)secret, (void)fault;
    raise(SIGKILL);
    return -EIO;
}

static const struct vault_operations deadly_operations = {
    .destroy = moody_destroy, .store = store_and_die, .load = moody_load};

/* A process that is killed when the issuer has answered and the vault has nothing yet. */
static void be_killed(struct fixture *f, int start) {
    char byte;
    char *token;
    struct moody *moody = calloc(1, sizeof *moody);
    if (!moody || read(start, &byte, 1) < 0 || vault_open(&moody->inner, ACCOUNT_VAULT_FILE, NULL))
        _exit(1);
    moody->vault.operations = &deadly_operations;
    if (session_create_with(&f->session, &f->account, &moody->vault, NULL))
        _exit(1);
    get_from(f->session, NULL, &token, NULL);
    _exit(2);
}

static void kill_one_in_between(struct fixture *f) {
    int start[2], status;
    keep_tokens(f, 0, 200);
    assert_int_equal(pipe(start), 0);
    pid_t pid = fork(); /* before this process has threads */
    assert_true(pid >= 0);
    if (!pid) {
        close(start[1]);
        be_killed(f, start[0]);
    }
    fake_issuer_run(f->fake);
    close(start[0]);
    close(start[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(refreshes(f), 1);
}

static void killed_in_between_the_overlap_saves_it(void **state) {
    struct fixture *f = *state;
    f->fake->overlaps = true;
    kill_one_in_between(f);
    open_session(f);
    assert_token(f, NULL, "access-2-2");
    assert_token(f, NULL, "access-2-2");
    assert_int_equal(refreshes(f), 2);
}

static void killed_in_between_without_overlap_needs_a_login(void **state) {
    struct fixture *f = *state;
    kill_one_in_between(f);
    open_session(f);
    for (int i = 0; i < 3; i++) {
        assert_no_token(f, PAIL_LOGIN_REQUIRED);
        assert_non_null(strstr(f->fault.text, "pail login"));
        clock_sleep_ms(1050);
    }
    assert_int_equal(f->fake->refreshes, 2); /* the spent one is not sent again */
    keep_tokens(f, 7, 0);
    assert_token(f, NULL, "access-at-login");
}

static void what_cannot_be_stored_is_not_used_and_not_lost(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 200);
    struct moody *moody = open_moody(f);
    pthread_mutex_lock(&f->fake->lock);
    f->fake->token_delay_ms = 3000;
    pthread_mutex_unlock(&f->fake->lock);
    struct asker asker = {.f = f};
    assert_int_equal(pthread_create(&asker.thread, NULL, ask, &asker), 0);
    WAIT_UNTIL(refreshes(f)); /* it has read the vault and asks the issuer; the keyring is locked now */
    atomic_store(&moody->closed, true);
    pthread_join(asker.thread, NULL);
    assert_int_equal(asker.result, PAIL_OFFLINE);
    assert_null(asker.token);
    assert_int_equal(session_state(f->session, NULL), SESSION_VAULT_CLOSED);
    int fd;
    assert_int_equal(tokens_lock(&f->account, 50, &fd, NULL), PAIL_BUSY); /* nobody else uses the spent one */
    clock_sleep_ms(1100);
    atomic_store(&moody->closed, false);
    assert_token(f, NULL, "access-1-1");
    assert_int_equal(refreshes(f), 1);
    assert_non_null(strstr(moody->stored, "refresh-1"));
    assert_int_equal(tokens_lock(&f->account, 1000, &fd, NULL), 0);
    close(fd);
}

static void a_vault_that_is_closed_at_the_start_is_tried_again(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 10);
    struct moody *moody = calloc(1, sizeof *moody);
    moody->vault.operations = &moody_operations;
    moody->closed = true;
    assert_int_equal(vault_open(&moody->inner, ACCOUNT_VAULT_FILE, NULL), 0);
    assert_int_equal(session_create_with(&f->session, &f->account, &moody->vault, &f->fault), 0);
    assert_int_equal(session_state(f->session, &f->fault), SESSION_VAULT_CLOSED);
    assert_string_equal(f->fault.text, "closed");
    assert_no_token(f, PAIL_OFFLINE);
    atomic_store(&moody->closed, false);
    clock_sleep_ms(1100);
    assert_token(f, NULL, "access-at-login");
    assert_int_equal(session_state(f->session, NULL), SESSION_FRESH);
    assert_int_equal(refreshes(f), 0);
}

static void only_invalid_grant_ends_it_and_it_never_loops(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 200);
    open_session(f);
    set_token_answer(f, 400, "{\"error\":\"invalid_grant\"}");
    for (int i = 0; i < 3; i++) {
        assert_no_token(f, PAIL_LOGIN_REQUIRED);
        assert_non_null(strstr(f->fault.text, "pail login"));
        assert_int_equal(session_state(f->session, NULL), SESSION_LOGIN_REQUIRED);
        clock_sleep_ms(1100);
    }
    assert_int_equal(refreshes(f), 1);
}

static void a_new_login_is_noticed(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 200);
    open_session(f);
    set_token_answer(f, 400, "{\"error\":\"invalid_grant\"}");
    assert_no_token(f, PAIL_LOGIN_REQUIRED);
    keep_tokens(f, 5, 0);
    clock_sleep_ms(1100);
    assert_token(f, NULL, "access-at-login");
    assert_int_equal(session_state(f->session, NULL), SESSION_FRESH);
}

static void nothing_in_the_vault_means_login(void **state) {
    struct fixture *f = *state;
    open_session(f);
    assert_int_equal(session_state(f->session, &f->fault), SESSION_LOGIN_REQUIRED);
    assert_non_null(strstr(f->fault.text, "pail login"));
    assert_no_token(f, PAIL_LOGIN_REQUIRED);
    assert_int_equal(f->fake->discoveries, 0);
}

static void trouble_on_the_way_is_offline_and_passes(void **state) {
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *body;
    } table[] = {{500, ""}, {503, "{\"error\":\"invalid_grant\"}"},  {429, "{}"},
                 {-1, ""},  {401, "{\"error\":\"invalid_client\"}"}, {200, "<html>hotel"},
                 {302, ""}};
    keep_tokens(f, 0, 200);
    open_session(f);
    int rows = (int)(sizeof table / sizeof *table);
    for (int i = 0; i < rows; i++) {
        set_token_answer(f, table[i].status, table[i].body);
        assert_no_token(f, PAIL_OFFLINE);
        assert_int_equal(session_state(f->session, NULL), SESSION_OFFLINE);
        assert_no_token(f, PAIL_OFFLINE); /* not asked again at once */
        assert_int_equal(refreshes(f), i + 1);
        clock_sleep_ms(1050);
    }
    set_token_answer(f, 0, "");
    pthread_mutex_lock(&f->fake->lock);
    f->fake->discovery_status = 404; /* the issuer is being repaired */
    pthread_mutex_unlock(&f->fake->lock);
    assert_no_token(f, PAIL_OFFLINE);
    clock_sleep_ms(1050);
    pthread_mutex_lock(&f->fake->lock);
    f->fake->discovery_status = 0;
    pthread_mutex_unlock(&f->fake->lock);
    char expected[32];
    snprintf(expected, sizeof expected, "access-1-%d", rows + 1);
    assert_token(f, NULL, expected);
    assert_int_equal(session_state(f->session, NULL), SESSION_FRESH);
}

static void retry_after_is_honoured(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 200);
    open_session(f);
    set_token_answer(f, 429, "{}");
    strcpy(f->fake->token_headers, "Retry-After: 3\r\n");
    int64_t began = clock_monotonic_ms();
    assert_no_token(f, PAIL_OFFLINE);
    set_token_answer(f, 0, "");
    WAIT_UNTIL(has_token(f));
    assert_true(clock_monotonic_ms() - began >= 3000);
    assert_token(f, NULL, "access-1-2");
    assert_int_equal(refreshes(f), 2);
}

static void an_old_token_serves_while_it_lives(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 85);
    open_session(f);
    set_token_answer(f, 503, "");
    assert_token(f, NULL, "access-at-login");
    assert_int_equal(session_state(f->session, NULL), SESSION_OFFLINE);
    assert_int_equal(refreshes(f), 1);
}

static void a_refused_token_is_renewed_once(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 30);
    open_session(f);
    assert_token(f, NULL, "access-at-login");
    assert_token(f, "access-at-login", "access-1-1");
    assert_int_equal(refreshes(f), 1);
    assert_token(f, "access-at-login", "access-1-1"); /* somebody who still had the old one */
    assert_token(f, "access-1-1", "access-1-1");      /* a new one does not help: no loop */
    assert_int_equal(refreshes(f), 1);
}

static void another_process_that_hangs_is_not_waited_for_for_ever(void **state) {
    struct fixture *f = *state;
    int held, fd;
    assert_int_equal(tokens_lock(&f->account, 0, &held, &f->fault), 0);
    int64_t before = clock_monotonic_ms();
    assert_int_equal(tokens_lock(&f->account, 300, &fd, &f->fault), PAIL_BUSY);
    assert_in_range(clock_monotonic_ms() - before, 250, SOON_MS);
    assert_int_equal(fd, -1);
    close(held);
    assert_int_equal(tokens_lock(&f->account, 300, &fd, &f->fault), 0);
    close(fd);
}

static void what_cannot_be_understood_needs_a_login(void **state) {
    struct fixture *f = *state;
    CLEANUP(vault_destroy_p) struct vault *vault = NULL;
    assert_int_equal(vault_open(&vault, ACCOUNT_VAULT_FILE, NULL), 0);
    assert_int_equal(vault_store(vault, f->account.id, "{\"half", NULL), 0);
    open_session(f);
    assert_no_token(f, PAIL_LOGIN_REQUIRED);
}

static void a_fetch_uses_it(void **state) {
    struct fixture *f = *state;
    keep_tokens(f, 0, 200);
    open_session(f);
    struct fetch *fetch;
    struct fetch_answer answer;
    struct fetch_options options = {.tokens = session_tokens(f->session)};
    assert_int_equal(fetch_create(&fetch, &options), 0);
    struct fetch_request request = {.method = "GET", .url = f->fake->issuer, .authorized = true};
    assert_int_equal(fetch_perform(fetch, &request, &answer, &f->fault), 0);
    assert_int_equal(answer.status, 404);
    fetch_answer_finish(&answer);
    fetch_destroy(fetch);
    assert_int_equal(refreshes(f), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        /* First, before any thread was started here. */
        cmocka_unit_test_setup_teardown(twenty_processes_make_one_refresh, set_up_bound, tear_down),
        cmocka_unit_test_setup_teardown(killed_in_between_the_overlap_saves_it, set_up_bound, tear_down),
        cmocka_unit_test_setup_teardown(killed_in_between_without_overlap_needs_a_login, set_up_bound, tear_down),
        TEST(a_young_token_needs_no_network),
        TEST(at_four_fifths_of_its_life_it_is_renewed),
        TEST(each_refresh_uses_the_newest_refresh_token),
        TEST(an_issuer_that_does_not_rotate_is_fine),
        TEST(twenty_threads_make_one_refresh),
        TEST(twenty_threads_share_one_failure),
        TEST(new_tokens_are_stored_before_they_are_used),
        TEST(what_cannot_be_stored_is_not_used_and_not_lost),
        TEST(a_vault_that_is_closed_at_the_start_is_tried_again),
        TEST(only_invalid_grant_ends_it_and_it_never_loops),
        TEST(a_new_login_is_noticed),
        TEST(nothing_in_the_vault_means_login),
        TEST(trouble_on_the_way_is_offline_and_passes),
        TEST(retry_after_is_honoured),
        TEST(an_old_token_serves_while_it_lives),
        TEST(a_refused_token_is_renewed_once),
        TEST(another_process_that_hangs_is_not_waited_for_for_ever),
        TEST(what_cannot_be_understood_needs_a_login),
        TEST(a_fetch_uses_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
