/* Tests of s3/server/proof: on the embedded store everything holds; what a store does not do is found out. */
#include "s3/server/proof.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "fake_store.h"
#include "s3/embedded/local_store.h"
#include "server_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    struct server_parts parts;
    struct local_store *store;
};

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    server_parts_begin(&scene->parts);
    scene->store = server_parts_store(&scene->parts);
    server_parts_open(&scene->parts);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    local_store_destroy(scene->store);
    server_parts_end(&scene->parts);
    free(scene);
    return 0;
}

static void everything_holds_on_the_embedded_store(void **state) {
    struct scene *scene = *state;
    for (int versioned = 0; versioned < 2; versioned++) {
        struct proof proof;
        struct fault fault = {0};
        if (proof_run(&scene->parts.remote, scene->parts.users, NULL, NULL, versioned, &proof, &fault))
            fail_msg("%s", fault.text);
        for (size_t i = 0; i < proof_feature_count; i++)
            if (!proof_holds(&proof.features, &proof_features[i]))
                fail_msg("%s does not hold (versioned: %d)", proof_features[i].name, versioned);
        assert_true(proof.refuses_added);
        assert_true(proof.block_public_acls);
        assert_true(proof.proven_s > 0);
        assert_true(proof_has_all_conditions(&proof.features));
    }
}

static void a_proof_is_kept_for_each_state(void **state) {
    struct scene *scene = *state;
    struct proof kept = {.features = {.put_if_match = true, .quoted_etag = true},
                         .block_public_acls = true,
                         .delete_many = PROOF_OWN,
                         .part_copy = PROOF_NOBODY,
                         .proven_s = 1234},
                 loaded;
    assert_int_equal(proof_load(scene->parts.users, &scene->parts.config, true, &loaded), -ENOENT);
    assert_int_equal(proof_save(scene->parts.users, &scene->parts.config, true, &kept, NULL), 0);
    assert_int_equal(proof_load(scene->parts.users, &scene->parts.config, true, &loaded), 0);
    assert_memory_equal(&loaded.features, &kept.features, sizeof kept.features);
    assert_true(loaded.block_public_acls);
    assert_false(loaded.refuses_added);
    assert_int_equal(loaded.delete_many, PROOF_OWN);
    assert_int_equal(loaded.part_copy, PROOF_NOBODY);
    assert_int_equal(loaded.proven_s, 1234);
    assert_int_equal(proof_load(scene->parts.users, &scene->parts.config, false, &loaded), -ENOENT);
    server_parts_set(&scene->parts, "endpoint", "http://127.0.0.1:1");
    assert_int_equal(proof_load(scene->parts.users, &scene->parts.config, true, &loaded), -ENOENT);
}

/* This store has no STS: nothing is lent, and all else is as proven. */
static void keys_of_no_role_are_not_lent(void **state) {
    struct scene *scene = *state;
    struct role *lending = NULL;
    struct proof proof;
    struct fault fault = {0};
    server_parts_set(&scene->parts, "role_arn", "arn:aws:iam::1:role/pail");
    assert_int_equal(role_create(&lending, &scene->parts.remote, &role_for_lending), 0);
    if (proof_run(&scene->parts.remote, scene->parts.users, NULL, lending, true, &proof, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(proof.lending, PROOF_LENDING_REFUSED);
    assert_non_null(strstr(proof.lending_why, "role"));
    assert_true(proof.refuses_added && proof_has_all_conditions(&proof.features));
    role_destroy(lending);
}

static void what_is_lent_is_proven_for_one_role(void **state) {
    struct scene *scene = *state;
    struct proof kept = {.lending = PROOF_LENDING_SAFE, .lent_part_copy = true, .proven_s = 1}, loaded;
    server_parts_set(&scene->parts, "role_arn", "arn:aws:iam::1:role/pail");
    assert_int_equal(proof_save(scene->parts.users, &scene->parts.config, true, &kept, NULL), 0);
    assert_int_equal(proof_load(scene->parts.users, &scene->parts.config, true, &loaded), 0);
    assert_int_equal(loaded.lending, PROOF_LENDING_SAFE);
    assert_true(loaded.lent_part_copy);
    assert_false(loaded.lent_delete_many);
    server_parts_set(&scene->parts, "role_arn", "arn:aws:iam::1:role/another");
    assert_int_equal(proof_load(scene->parts.users, &scene->parts.config, true, &loaded), 0);
    assert_int_equal(loaded.lending, PROOF_LENDING_UNTRIED);
    kept.lending = PROOF_LENDING_REFUSED;
    strcpy(kept.lending_why, "they can do more");
    assert_int_equal(proof_save(scene->parts.users, &scene->parts.config, true, &kept, NULL), 0);
    assert_int_equal(proof_load(scene->parts.users, &scene->parts.config, true, &loaded), 0);
    assert_int_equal(loaded.lending, PROOF_LENDING_REFUSED);
    assert_string_equal(loaded.lending_why, "they can do more");
}

static void each_condition_counts(void **state) {
    (void)state;
    struct store_features all = {.put_if_absent = true,
                                 .put_if_match = true,
                                 .complete_if_absent = true,
                                 .complete_if_match = true,
                                 .copy_if_absent = true,
                                 .copy_if_match = true,
                                 .copy_source_if_match = true,
                                 .part_copy_source_if_match = true,
                                 .delete_if_match = true,
                                 .delete_many_if_match = true};
    assert_true(proof_has_all_conditions(&all));
    for (size_t i = 0; i < proof_feature_count; i++) {
        struct store_features without = all;
        bool *place = (bool *)((char *)&without + proof_features[i].place);
        if (*place) {
            *place = false;
            assert_false(proof_has_all_conditions(&without));
        }
    }
}

static void a_store_that_is_down_proves_nothing(void **state) {
    struct scene *scene = *state;
    struct proof proof;
    struct fault fault = {0};
    local_store_destroy(TAKE(scene->store));
    assert_int_equal(proof_run(&scene->parts.remote, scene->parts.users, NULL, NULL, true, &proof, &fault),
                     PAIL_OFFLINE);
    assert_true(*fault.text);
}

/* It makes buckets and takes no objects: not even a plain grant works, so nothing is proven. */
static void a_store_that_takes_no_objects(void **state) {
    struct scene *scene = *state;
    struct fake_store fake;
    struct proof proof;
    struct fault fault = {0};
    fake_store_start(&fake);
    server_parts_set(&scene->parts, "endpoint", fake.endpoint);
    assert_int_not_equal(proof_run(&scene->parts.remote, scene->parts.users, NULL, NULL, true, &proof, &fault), 0);
    assert_true(*fault.text);
    fake_store_stop(&fake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(everything_holds_on_the_embedded_store), TEST(a_proof_is_kept_for_each_state),
        cmocka_unit_test(each_condition_counts),      TEST(a_store_that_is_down_proves_nothing),
        TEST(a_store_that_takes_no_objects),          TEST(keys_of_no_role_are_not_lent),
        TEST(what_is_lent_is_proven_for_one_role),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
