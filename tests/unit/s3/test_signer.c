/* Credentials mode: what this machine signs is what the mapping server would, and what it may not sign is the server's.
 */
#include "s3/signer.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/mint.h"
#include "s3/policy.h"
#include "s3/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795000000

static char bucket_name[] = "pail-b", prefix[] = "ann/", region[] = "eu-central-1",
            endpoint[] = "https://s3.example.com";

struct scene {
    struct signer *signer;
    struct grants_mint mint;
    struct store_features features;
    int keys_error, grants_error;
    bool many_by_grant, parts_by_grant;
    unsigned keys_asked;
    char *asked; /* owned: the last body that the mapping server got */
};

static int ask_keys(void *context, const _Atomic bool *cancelled, struct mapping_keys *out, struct fault *fault) {
    struct scene *scene = context;
    (void)cancelled;
    scene->keys_asked++;
    if (scene->keys_error)
        return fault_set(fault, scene->keys_error, "planted");
    *out = (struct mapping_keys){.access_key = strdup("AKIDEXAMPLE"),
                                 .secret_key = strdup("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                                 .session_token = strdup("token/with+signs="),
                                 .expires_in_s = 5000,
                                 .server_time_s = NOW,
                                 .grant_delete_many = scene->many_by_grant,
                                 .grant_part_copy = scene->parts_by_grant};
    return 0;
}

/* The server: names each item's operation in the URL. */
static int grant(void *context, const char *body, size_t size, const _Atomic bool *cancelled, struct json **answer,
                 struct fault *fault) {
    struct scene *scene = context;
    AUTO_JSON struct json *request = NULL;
    (void)cancelled;
    free(scene->asked);
    scene->asked = strndup(body, size);
    if (scene->grants_error)
        return fault_set(fault, scene->grants_error, "the server is away");
    assert_int_equal(json_parse(&request, body, size), 0);
    struct json *grants = json_array();
    for (const struct json *item = json_first(json_get(request, "items")); item; item = json_next(item)) {
        struct json *one = json_object();
        json_add_text(one, "url", json_get_text(item, "op"));
        json_push(grants, one);
    }
    *answer = json_object();
    return json_add(*answer, "grants", grants);
}

static void features(void *context, struct store_features *out) {
    *out = ((struct scene *)context)->features;
}

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    scene->features = (struct store_features){.quoted_etag = true, .complete_size = true};
    struct mapping_bucket bucket = {.name = bucket_name, .prefix = prefix, .region = region, .endpoint = endpoint};
    struct signer_options options = {.grants = {.mint = grant, .context = scene},
                                     .keys = {ask_keys, scene},
                                     .features = features,
                                     .context = scene,
                                     .bucket = &bucket};
    assert_int_equal(signer_create(&scene->signer, &options), 0);
    scene->mint = signer_mint(scene->signer);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    signer_destroy(scene->signer);
    free(scene->asked);
    free(scene);
    return 0;
}

/* The grants for these items. */
static struct json *mint(struct scene *scene, const char *items) {
    AUTO_FREE char *body = text_format("{\"items\":[%s]}", items);
    struct json *answer = NULL;
    struct fault fault = {0};
    if (scene->mint.mint(scene->mint.context, body, strlen(body), NULL, &answer, &fault))
        fail_msg("%s: %s", items, fault.text);
    return answer;
}

static int mint_error(struct scene *scene, const char *items) {
    AUTO_FREE char *body = text_format("{\"items\":[%s]}", items);
    AUTO_JSON struct json *answer = NULL;
    return scene->mint.mint(scene->mint.context, body, strlen(body), NULL, &answer, NULL);
}

static const struct json *at(const struct json *answer, size_t index) {
    return json_at(json_get(answer, "grants"), index);
}

/* As s3/server/batch.c does it for this account with these keys, at this time. */
static char *of_the_server(const char *item, int64_t now_s) {
    struct sign_credentials keys = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                    "token/with+signs=", region, "s3"};
    struct policy policy = {.bucket = bucket_name, .prefix = prefix, .quoted_etag = true, .complete_size = true};
    struct mint server = {.endpoint = endpoint, .bucket = bucket_name, .keys = &keys, .life_s = 900, .now_s = now_s};
    AUTO_BUFFER struct buffer out = {0};
    AUTO_JSON struct json *json = NULL, *again = NULL;
    struct policy_plan plan;
    assert_int_equal(json_parse(&json, item, strlen(item)), 0);
    assert_int_equal(policy_plan(&policy, json, &plan, NULL), 0);
    assert_int_equal(mint_write(&server, &plan, &out), 0);
    policy_plan_finish(&plan);
    assert_int_equal(json_parse(&again, out.data, out.size), 0);
    return json_print(again);
}

static void test_each_operation(void **state) {
    static const char *const items[] = {
        "{\"op\":\"get\",\"key\":\"ann/a b\",\"version\":\"v1\"}",
        "{\"op\":\"head\",\"key\":\"ann/\\u00fc\"}",
        "{\"op\":\"put\",\"key\":\"ann/k\",\"size\":5,\"headers\":{\"x-amz-meta-mode\":\"33188\",\"content-type\":\"a/"
        "b\"}}",
        "{\"op\":\"copy\",\"key\":\"ann/k\",\"source\":\"ann/a?b\",\"source_if_match\":\"e\",\"directive\":\"COPY\"}",
        "{\"op\":\"create\",\"key\":\"ann/k\"}",
        "{\"op\":\"part\",\"key\":\"ann/k\",\"upload\":\"u\",\"first\":5,\"count\":4,\"size\":8388608,\"last_size\":7}",
        "{\"op\":\"part_copy\",\"key\":\"ann/k\",\"upload\":\"u\",\"number\":3,\"source\":\"ann/"
        "s\",\"range\":\"bytes=0-9\"}",
        "{\"op\":\"complete\",\"key\":\"ann/k\",\"upload\":\"u\",\"total\":12}",
        "{\"op\":\"abort\",\"key\":\"ann/k\",\"upload\":\"u\"}",
        "{\"op\":\"list_parts\",\"key\":\"ann/k\",\"upload\":\"u\",\"marker\":\"9\"}",
        "{\"op\":\"list\",\"prefix\":\"ann/f/\",\"delimiter\":\"/\",\"start_after\":\"ann/f/a\"}",
        "{\"op\":\"list_versions\",\"prefix\":\"ann/\"}",
        "{\"op\":\"delete\",\"key\":\"ann/k\"}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"ann/a\",\"etag\":\"e\"},{\"key\":\"ann/b\"}]}",
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        AUTO_JSON struct json *answer = mint(scene, items[i]);
        AUTO_FREE char *here = json_print(at(answer, 0));
        bool same = false;
        for (int second = 0; second < 60 && !same; second++) { /* the clock runs meanwhile */
            AUTO_FREE char *server = of_the_server(items[i], NOW + second);
            same = strcmp(server, here) == 0;
        }
        if (!same)
            fail_msg("%s is signed as %s", items[i], here);
    }
    assert_int_equal(scene->keys_asked, 1);
    assert_null(scene->asked);
}

static void test_refused_items(void **state) {
    static const char *const items[] = {
        "{\"op\":\"get\",\"key\":\"bob/k\"}",
        "{\"op\":\"list\",\"prefix\":\"\"}",
        "{\"op\":\"delete\",\"key\":\"ann/k\",\"version\":\"v\"}",
        "{\"op\":\"put\",\"key\":\"ann/k\",\"size\":1,\"headers\":{\"x-amz-acl\":\"public-read\"}}",
        "{\"op\":\"other\"}",
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        AUTO_FREE char *both = text_format("%s,{\"op\":\"get\",\"key\":\"ann/k\"}", items[i]);
        AUTO_JSON struct json *answer = mint(scene, both);
        assert_string_equal(json_get_text(json_get(at(answer, 0), "error"), "code"), WIRE_ERROR_BAD_ITEM);
        assert_non_null(json_get_text(at(answer, 1), "url"));
    }
}

#define DELETE_MANY "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"ann/a\"}]}"
#define PART_COPY                                                                                                      \
    "{\"op\":\"part_copy\",\"key\":\"ann/k\",\"upload\":\"u\",\"number\":3,\"source\":\"ann/"                          \
    "s\",\"range\":\"bytes=0-9\"}"
#define GET "{\"op\":\"get\",\"key\":\"ann/k\"}"

static void test_what_the_keys_may_not_do(void **state) {
    struct scene *scene = *state;
    scene->many_by_grant = true;
    AUTO_JSON struct json *mixed = mint(scene, GET "," DELETE_MANY "," PART_COPY "," DELETE_MANY "," GET);
    assert_string_equal(scene->asked, "{\"items\":[" DELETE_MANY "," DELETE_MANY "]}");
    assert_true(text_starts(json_get_text(at(mixed, 0), "url"), endpoint));
    assert_string_equal(json_get_text(at(mixed, 1), "url"), "delete_many");
    assert_true(text_starts(json_get_text(at(mixed, 2), "url"), endpoint));
    assert_string_equal(json_get_text(at(mixed, 3), "url"), "delete_many");
    assert_true(text_starts(json_get_text(at(mixed, 4), "url"), endpoint));
    assert_int_equal(json_size(json_get(mixed, "grants")), 5);
}

/* A server that is away keeps nobody from what is signed here. */
static void test_the_server_is_away(void **state) {
    static const struct {
        int error;
        const char *code;
    } cases[] = {{PAIL_OFFLINE, WIRE_ERROR_UNAVAILABLE}, {PAIL_LOGIN_REQUIRED, WIRE_ERROR_TOKEN},
                 {PAIL_DENIED, WIRE_ERROR_DENIED},       {PAIL_BUSY, WIRE_ERROR_BUSY},
                 {PAIL_GONE, WIRE_ERROR_NOT_FOUND},      {PAIL_QUOTA, WIRE_ERROR_QUOTA}};
    struct scene *scene = *state;
    scene->parts_by_grant = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene->grants_error = cases[i].error;
        AUTO_JSON struct json *mixed = mint(scene, GET "," PART_COPY);
        assert_true(text_starts(json_get_text(at(mixed, 0), "url"), endpoint));
        assert_string_equal(json_get_text(json_get(at(mixed, 1), "error"), "code"), cases[i].code);
    }
}

static void test_grants_where_no_keys_are_lent(void **state) {
    static const int errors[] = {PAIL_QUOTA, PAIL_UNSUPPORTED};
    for (size_t i = 0; i < 2; i++) {
        tear_down(state);
        set_up(state);
        struct scene *scene = *state;
        struct fault fault = {0};
        scene->keys_error = errors[i];
        assert_int_equal(signer_start(scene->signer, 5000, &fault), errors[i]);
        assert_string_equal(fault.text, "planted");
        AUTO_JSON struct json *answer = mint(scene, GET);
        assert_string_equal(scene->asked, "{\"items\":[" GET "]}");
        assert_string_equal(json_get_text(at(answer, 0), "url"), "get");
        assert_int_equal(signer_state(scene->signer, NULL), errors[i]);
        assert_int_equal(scene->keys_asked, 1);
    }
}

static void test_no_keys_for_now(void **state) {
    static const int errors[] = {PAIL_OFFLINE, PAIL_LOGIN_REQUIRED, PAIL_DENIED, PAIL_BUSY};
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        scene->keys_error = errors[i];
        assert_int_equal(mint_error(scene, GET), errors[i]);
        assert_null(scene->asked);
    }
    scene->keys_error = 0;
    AUTO_JSON struct json *answer = mint(scene, GET);
    assert_true(text_starts(json_get_text(at(answer, 0), "url"), endpoint));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_each_operation),
        TEST(test_refused_items),
        TEST(test_what_the_keys_may_not_do),
        TEST(test_the_server_is_away),
        TEST(test_grants_where_no_keys_are_lent),
        TEST(test_no_keys_for_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
