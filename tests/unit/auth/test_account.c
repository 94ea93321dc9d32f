/* Tests of auth/account.c. */
#include "auth/account.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
    char root[40];
    struct fault fault;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->root, "/tmp/pail-test-account-XXXXXX");
    *state = f;
    if (!mkdtemp(f->root))
        return -1;
    AUTO_FREE char *kept = text_format("%s/state", f->root), *cache = text_format("%s/cache", f->root);
    return setenv("XDG_STATE_HOME", kept, 1) || setenv("XDG_CACHE_HOME", cache, 1);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    file_remove_tree(f->root);
    free(f);
    return 0;
}

static struct account make(const char *server, const char *subject, const char *email) {
    return (struct account){
        .server = strdup(server),
        .issuer = strdup("https://t.auth0.com/"),
        .client_id = strdup("c"),
        .audience = strdup("https://d.example"),
        .scopes = strdup("openid email"),
        .subject = strdup(subject),
        .email = email ? strdup(email) : NULL,
        .vault = ACCOUNT_VAULT_FILE,
    };
}

static void save(struct fixture *f, const char *server, const char *subject, const char *email, char **id) {
    CLEANUP(account_finish) struct account account = make(server, subject, email);
    assert_int_equal(account_save(&account, &f->fault), 0);
    if (id)
        *id = strdup(account.id);
}

static void what_is_saved_can_be_loaded(void **state) {
    struct fixture *f = *state;
    CLEANUP(account_finish) struct account account = make("https://Drive.example:8443/x", "auth0|1", "ann@example.com");
    CLEANUP(account_finish) struct account again = {0};
    account.ca_file = strdup("/etc/ca.pem");
    assert_int_equal(account_save(&account, &f->fault), 0);
    assert_true(text_starts(account.id, "drive.example-"));
    assert_int_equal(strlen(account.id), strlen("drive.example-") + 12);
    assert_int_equal(account_load(&again, NULL, &f->fault), 0);
    const char *pairs[][2] = {{again.id, account.id},
                              {again.server, account.server},
                              {again.issuer, account.issuer},
                              {again.client_id, account.client_id},
                              {again.audience, account.audience},
                              {again.scopes, account.scopes},
                              {again.subject, account.subject},
                              {again.email, account.email},
                              {again.ca_file, "/etc/ca.pem"},
                              {again.state_folder, account.state_folder},
                              {again.cache_folder, account.cache_folder}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(pairs[i][0], pairs[i][1]);
    assert_int_equal(again.vault, ACCOUNT_VAULT_FILE);
    AUTO_FREE char *kept = text_format("%s/state/pail/%s", f->root, account.id);
    AUTO_FREE char *cache = text_format("%s/cache/pail/%s", f->root, account.id);
    assert_string_equal(again.state_folder, kept);
    assert_string_equal(again.cache_folder, cache);
}

static void others_of_the_machine_can_read_nothing(void **state) {
    struct fixture *f = *state;
    AUTO_FREE char *id = NULL;
    mode_t before = umask(0);
    save(f, "https://d.example", "1", NULL, &id);
    umask(before);
    const char *below[] = {"", "/current", "/issuers.json"};
    struct stat st;
    for (size_t i = 0; i < 3; i++) {
        AUTO_FREE char *path = text_format("%s/state/pail%s", f->root, below[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
    AUTO_FREE char *file = text_format("%s/state/pail/%s/account.json", f->root, id);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void nobody_is_told_as_nobody(void **state) {
    struct fixture *f = *state;
    struct account account;
    assert_int_equal(account_load(&account, NULL, &f->fault), -ENOENT);
    assert_non_null(strstr(f->fault.text, "pail login"));
    assert_int_equal(account_load(&account, "ann", &f->fault), -ENOENT);
    struct account *all;
    size_t count;
    assert_int_equal(account_list(&all, &count), 0);
    assert_int_equal(count, 0);
    free(all);
}

static void which_one_is_current(void **state) {
    struct fixture *f = *state;
    AUTO_FREE char *first = NULL, *second = NULL, *third = NULL;
    save(f, "https://a.example", "1", "ann@example.com", &first);
    save(f, "https://b.example", "2", "bob@example.com", &second);
    save(f, "https://c.example", "3", "eve@example.com", &third); /* who logs in last */
    const char *expected[] = {third, first, NULL, second, NULL};
    for (int step = 0; step < 5; step++) {
        CLEANUP(account_finish) struct account ann = {0}, current = {0};
        if (step == 1) { /* chosen */
            assert_int_equal(account_load(&ann, "ann@example.com", &f->fault), 0);
            assert_false(account_is_current(&ann));
            assert_int_equal(account_make_current(&ann, &f->fault), 0);
            assert_true(account_is_current(&ann));
        } else if (step == 2) { /* forgotten, and two others are left */
            assert_int_equal(account_load(&ann, NULL, &f->fault), 0);
            assert_int_equal(account_forget(&ann), 0);
        } else if (step == 3) { /* another one, while one has to be chosen: not that */
            assert_int_equal(account_load(&ann, third, &f->fault), 0);
            assert_int_equal(account_make_current(&ann, &f->fault), 0);
            assert_int_equal(account_forget(&ann), 0);
        } else if (step == 4) {
            assert_int_equal(account_load(&ann, second, &f->fault), 0);
            assert_int_equal(account_forget(&ann), 0);
        }
        assert_int_equal(account_load(&current, NULL, &f->fault), expected[step] ? 0 : -ENOENT);
        if (expected[step])
            assert_string_equal(current.id, expected[step]);
        else
            assert_non_null(strstr(f->fault.text, step == 2 ? "whoami --all" : "nobody is logged in"));
    }
}

static void several_are_told_apart(void **state) {
    struct fixture *f = *state;
    AUTO_FREE char *first = NULL, *second = NULL, *third = NULL;
    save(f, "https://a.example", "1", "ann@example.com", &first);
    save(f, "https://b.example", "1", "ann@example.com", &second);
    save(f, "https://b.example", "2", "bob@example.com", &third);
    assert_string_not_equal(second, third);
    static const struct {
        const char *name;
        int expected;
        const char *subject;
    } table[] = {
        {NULL, 0, "2"},
        {"bob@example.com", 0, "2"},
        {"https://a.example", 0, "1"},
        {"https://a.example/", 0, "1"},
        {"a.example", 0, "1"},
        {"ann@example.com", -ENOTUNIQ, NULL},
        {"https://b.example", -ENOTUNIQ, NULL},
        {"https://a.exampl", -ENOENT, NULL},
        {"", -ENOENT, NULL},
        {"../x", -ENOENT, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        CLEANUP(account_finish) struct account got = {0};
        assert_int_equal(account_load(&got, table[i].name, &f->fault), table[i].expected);
        if (table[i].subject)
            assert_string_equal(got.subject, table[i].subject);
    }
    CLEANUP(account_finish) struct account by_id = {0};
    assert_int_equal(account_load(&by_id, first, &f->fault), 0);
    assert_string_equal(by_id.server, "https://a.example");
    struct account *all;
    size_t count;
    assert_int_equal(account_list(&all, &count), 0);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        account_finish(&all[i]);
    free(all);
}

static void forgetting_keeps_state_and_issuer(void **state) {
    struct fixture *f = *state;
    CLEANUP(account_finish) struct account account = make("https://d.example", "1", NULL);
    assert_int_equal(account_save(&account, &f->fault), 0);
    AUTO_FREE char *precious = text_format("%s/spool", account.state_folder);
    assert_int_equal(file_make_folders(precious, 0700), 0);
    assert_int_equal(account_forget(&account), 0);
    assert_int_equal(account_forget(&account), 0);
    struct account none;
    assert_int_equal(account_load(&none, NULL, &f->fault), -ENOENT);
    assert_int_equal(account_load(&none, "https://d.example", &f->fault), -ENOENT);
    assert_int_equal(access(precious, F_OK), 0);
    AUTO_FREE char *issuer = NULL, *other = NULL;
    assert_int_equal(account_known_issuer("https://d.example", &issuer), 0);
    assert_string_equal(issuer, "https://t.auth0.com/");
    assert_int_equal(account_known_issuer("https://other.example", &other), -ENOENT);
}

static void forgetting_another_keeps_the_current_one(void **state) {
    struct fixture *f = *state;
    CLEANUP(account_finish) struct account first = make("https://a.example", "1", NULL), got = {0};
    assert_int_equal(account_save(&first, &f->fault), 0);
    save(f, "https://b.example", "1", NULL, NULL);
    assert_int_equal(account_forget(&first), 0);
    assert_int_equal(account_load(&got, NULL, &f->fault), 0);
    assert_string_equal(got.server, "https://b.example");
}

static void overwrite(const char *path, const char *text) {
    assert_int_equal(file_replace(path, 0600, text, strlen(text)), 0);
}

static void what_is_damaged_is_no_account(void **state) {
    struct fixture *f = *state;
    CLEANUP(account_finish) struct account account = make("https://a.example", "1", NULL), got = {0};
    assert_int_equal(account_save(&account, &f->fault), 0);
    AUTO_FREE char *path = text_format("%s/account.json", account.state_folder), *text = NULL;
    size_t size;
    assert_int_equal(file_read(path, 9999, &text, &size), 0);
    static const char *const bad[] = {"", "{", "{}", "{\"version\":1}", "[]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        overwrite(path, bad[i]);
        assert_int_equal(account_load(&got, NULL, &f->fault), -EBADMSG);
    }
    char *server = strstr(text, "a.example"); /* a folder whose name does not follow from what is in it */
    server[0] = 'b';
    overwrite(path, text);
    assert_int_equal(account_load(&got, NULL, &f->fault), -EBADMSG);
    struct account *all;
    size_t count;
    assert_int_equal(account_list(&all, &count), 0);
    assert_int_equal(count, 0);
    free(all);
    AUTO_FREE char *current = text_format("%s/state/pail/current", f->root);
    overwrite(current, "../../etc");
    assert_int_equal(account_load(&got, NULL, &f->fault), -ENOENT);
}

static void a_damaged_list_of_issuers_is_not_taken_for_none(void **state) {
    struct fixture *f = *state;
    save(f, "https://a.example", "1", NULL, NULL);
    AUTO_FREE char *path = text_format("%s/state/pail/issuers.json", f->root), *issuer = NULL;
    overwrite(path, "{\"https://a.exam");
    assert_int_equal(account_known_issuer("https://a.example", &issuer), -EBADMSG);
    CLEANUP(account_finish) struct account account = make("https://a.example", "1", NULL);
    assert_int_equal(account_save(&account, &f->fault), -EBADMSG);
}

static void a_strange_host_stays_one_folder(void **state) {
    (void)state;
    static const struct {
        const char *server, *start;
    } table[] = {
        {"http://[::1]:80", "---1--"},
        {"https://drive.example:9", "drive.example-"},
        {"http://127.0.0.1:4000", "127.0.0.1-"},
        {"https://xn--bcher-kva.example", "xn--bcher-kva.example-"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        CLEANUP(account_finish) struct account account = make(table[i].server, "a/../../b", NULL);
        assert_int_equal(account_derive(&account), 0);
        if (!text_starts(account.id, table[i].start))
            fail_msg("%s: %s", table[i].server, account.id);
        assert_null(strchr(account.id, '/'));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_saved_can_be_loaded),       TEST(others_of_the_machine_can_read_nothing),
        TEST(nobody_is_told_as_nobody),          TEST(which_one_is_current),
        TEST(nobody_is_told_as_nobody),          TEST(several_are_told_apart),
        TEST(forgetting_keeps_state_and_issuer), TEST(forgetting_another_keeps_the_current_one),
        TEST(what_is_damaged_is_no_account),     TEST(a_damaged_list_of_issuers_is_not_taken_for_none),
        TEST(a_strange_host_stays_one_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
