/* Tests of the vaults that need no keyring: vault.c, vault_file.c, vault_memory.c. */
#include "auth/vault.h"

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
    struct vault *vault;
    struct fault fault;
};

static int set_up_kind(void **state, enum account_vault kind) {
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->root, "/tmp/pail-test-vault-XXXXXX");
    *state = f;
    if (!mkdtemp(f->root) || setenv("XDG_STATE_HOME", f->root, 1))
        return -1;
    return vault_open(&f->vault, kind, &f->fault);
}

static int set_up_file(void **state) {
    return set_up_kind(state, ACCOUNT_VAULT_FILE);
}

static int set_up_memory(void **state) {
    return set_up_kind(state, ACCOUNT_VAULT_MEMORY);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    vault_destroy(f->vault);
    file_remove_tree(f->root);
    free(f);
    return 0;
}

static void it_keeps_replaces_and_erases(void **state) {
    struct fixture *f = *state;
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -ENOENT);
    assert_int_equal(vault_erase(f->vault, "a", &f->fault), 0);
    assert_int_equal(vault_store(f->vault, "a", "first", &f->fault), 0);
    assert_int_equal(vault_store(f->vault, "b", "other", &f->fault), 0);
    assert_int_equal(vault_store(f->vault, "a", "second", &f->fault), 0);
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), 0);
    assert_string_equal(secret, "second");
    secret_free(TAKE(secret));
    assert_int_equal(vault_erase(f->vault, "a", &f->fault), 0);
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -ENOENT);
    assert_null(secret);
    assert_int_equal(vault_load(f->vault, "b", &secret, &f->fault), 0);
    assert_string_equal(secret, "other");
}

static void probing_leaves_nothing_behind(void **state) {
    struct fixture *f = *state;
    assert_int_equal(vault_probe(f->vault, NULL, &f->fault), 0);
    AUTO_FREE char *folder = text_format("%s/pail/vault", f->root);
    assert_int_not_equal(access(folder, F_OK), 0);
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static void a_file_is_for_the_owner_only(void **state) {
    struct fixture *f = *state;
    mode_t before = umask(0);
    int r = vault_store(f->vault, "a", "secret", &f->fault);
    umask(before);
    assert_int_equal(r, 0);
    AUTO_FREE char *folder = text_format("%s/pail/vault", f->root), *path = text_format("%s/a.secret", folder);
    assert_int_equal(mode_of(folder), 0700);
    assert_int_equal(mode_of(path), 0600);
}

static void a_folder_or_file_that_others_can_read_is_refused(void **state) {
    struct fixture *f = *state;
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_store(f->vault, "a", "secret", &f->fault), 0);
    AUTO_FREE char *folder = text_format("%s/pail/vault", f->root), *path = text_format("%s/a.secret", folder);
    static const mode_t modes[] = {0710, 0701, 0755, 0770};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -EACCES);
        assert_int_equal(vault_store(f->vault, "a", "secret", &f->fault), -EACCES);
        assert_int_equal(vault_probe(f->vault, NULL, &f->fault), -EACCES);
        assert_non_null(strstr(f->fault.text, "chmod"));
    }
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -EACCES);
    assert_null(secret);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), 0);
}

static void another_users_folder_is_refused(void **state) {
    struct fixture *f = *state;
    if (geteuid() != 0) {
        print_message("skipped: only root can give a folder away\n");
        skip();
    }
    assert_int_equal(vault_store(f->vault, "a", "secret", &f->fault), 0);
    AUTO_FREE char *folder = text_format("%s/pail/vault", f->root);
    assert_int_equal(chown(folder, 12345, 12345), 0);
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -EACCES);
}

static void links_are_not_followed(void **state) {
    struct fixture *f = *state;
    assert_int_equal(vault_store(f->vault, "a", "secret", &f->fault), 0);
    AUTO_FREE char *path = text_format("%s/pail/vault/a.secret", f->root), *other = text_format("%s/other", f->root);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -ELOOP);
    assert_int_equal(vault_erase(f->vault, "a", &f->fault), 0); /* the link, not what it names */
    AUTO_FREE char *text = NULL;
    size_t size;
    assert_int_equal(file_read(other, 100, &text, &size), 0);
    assert_string_equal(text, "secret");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_keeps_replaces_and_erases, set_up_file, tear_down),
        cmocka_unit_test_setup_teardown(it_keeps_replaces_and_erases, set_up_memory, tear_down),
        cmocka_unit_test_setup_teardown(probing_leaves_nothing_behind, set_up_file, tear_down),
        cmocka_unit_test_setup_teardown(probing_leaves_nothing_behind, set_up_memory, tear_down),
        cmocka_unit_test_setup_teardown(a_file_is_for_the_owner_only, set_up_file, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_or_file_that_others_can_read_is_refused, set_up_file, tear_down),
        cmocka_unit_test_setup_teardown(another_users_folder_is_refused, set_up_file, tear_down),
        cmocka_unit_test_setup_teardown(links_are_not_followed, set_up_file, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
