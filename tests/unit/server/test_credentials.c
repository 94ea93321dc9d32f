/* Tests of s3/server/credentials: keys from a file that changes while the server runs, and keys that are refused. */
#include "s3/server/credentials.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "s3/server/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scene {
    char folder[40], path[80];
    struct config config;
    struct transfer *transfer;
    struct credentials *credentials;
};

static void set(struct scene *scene, const char *name, const char *value) {
    struct config_problems problems = {0};
    assert_int_equal(config_set(&scene->config, name, value, "test", &problems), 0);
}

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    strcpy(scene->folder, "/tmp/pail-credentials-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    snprintf(scene->path, sizeof scene->path, "%s/credentials", scene->folder);
    assert_int_equal(config_init(&scene->config), 0);
    assert_int_equal(transfer_create(&scene->transfer, &(struct transfer_options){.connections = 1}), 0);
    assert_int_equal(setenv("AWS_SHARED_CREDENTIALS_FILE", scene->path, 1), 0);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    credentials_destroy(scene->credentials);
    transfer_destroy(scene->transfer);
    config_finish(&scene->config);
    file_remove_tree(scene->folder);
    free(scene);
    return 0;
}

static void write_keys(struct scene *scene, const char *text) {
    assert_int_equal(file_replace(scene->path, 0600, text, strlen(text)), 0);
}

#define KEYS(name) "[default]\naws_access_key_id = " name "\naws_secret_access_key = secret\n"

static void start(struct scene *scene, const char *source) {
    set(scene, "credentials", source);
    assert_int_equal(credentials_create(&scene->credentials, &scene->config, scene->transfer, NULL), 0);
}

static unsigned assert_has(struct scene *scene, const char *access_key) {
    CLEANUP(lease_finish) struct lease lease = {0};
    assert_int_equal(credentials_get(scene->credentials, &lease, NULL), 0);
    assert_string_equal(lease.access_key, access_key);
    return lease.generation;
}

static void a_file_that_was_replaced_is_read_again(void **state) {
    struct scene *scene = *state;
    write_keys(scene, KEYS("ONE"));
    start(scene, "profile");
    unsigned first = assert_has(scene, "ONE");
    write_keys(scene, KEYS("TWO"));
    clock_sleep_ms(150);
    unsigned second = assert_has(scene, "TWO");
    assert_int_not_equal(first, second);
    write_keys(scene, KEYS("TWO")); /* the same again */
    clock_sleep_ms(150);
    assert_int_equal(assert_has(scene, "TWO"), second);
}

static void half_a_file_or_none_is_passed_over(void **state) {
    struct scene *scene = *state;
    write_keys(scene, KEYS("ONE"));
    start(scene, "profile");
    write_keys(scene, "[default]\naws_access_key_id = TWO\n");
    clock_sleep_ms(150);
    assert_has(scene, "ONE");
    assert_int_equal(unlink(scene->path), 0);
    clock_sleep_ms(150);
    assert_has(scene, "ONE");
    write_keys(scene, KEYS("THREE"));
    clock_sleep_ms(150);
    assert_has(scene, "THREE");
}

static void after_a_refusal_the_file_is_read_at_once(void **state) {
    struct scene *scene = *state;
    write_keys(scene, KEYS("ONE"));
    start(scene, "profile");
    unsigned generation = assert_has(scene, "ONE");
    assert_false(credentials_replaced(scene->credentials, generation));
    write_keys(scene, KEYS("TWO"));
    assert_true(credentials_replaced(scene->credentials, generation));
    assert_true(credentials_replaced(scene->credentials, generation)); /* for everybody who had the old ones */
    assert_has(scene, "TWO");
    assert_true(credentials_refused(scene->credentials, generation));
}

static void keys_of_the_settings_stay(void **state) {
    struct scene *scene = *state;
    set(scene, "access_key_id", "SET");
    set(scene, "secret_access_key", "secret");
    start(scene, "settings");
    unsigned generation = assert_has(scene, "SET");
    write_keys(scene, KEYS("ONE"));
    assert_false(credentials_refused(scene->credentials, generation));
    assert_false(credentials_replaced(scene->credentials, generation));
    assert_has(scene, "SET");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_was_replaced_is_read_again),
        TEST(half_a_file_or_none_is_passed_over),
        TEST(after_a_refusal_the_file_is_read_at_once),
        TEST(keys_of_the_settings_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
