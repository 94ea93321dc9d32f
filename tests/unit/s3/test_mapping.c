/* Asking the mapping server, against one that answers as the test says. */
#include "s3/mapping.h"

#include "base/clock.h"
#include "s3/wire.h"
#include "script_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SESSION                                                                                                        \
    "{\"account\":\"a1\",\"email\":\"ann@example.org\",\"bucket\":{\"name\":\"pail-x\",\"prefix\":\"ann/\","           \
    "\"region\":\"eu-central-1\",\"endpoint\":\"https://s3.example.org\",\"style\":\"virtual\",\"versioning\":true,"   \
    "\"versioned_at\":1700000000},\"quota\":{\"limit\":1000,\"used\":10},\"features\":{\"put_if_match\":true,"         \
    "\"quoted_etag\":true,\"copy_if_match\":false},\"server_time\":1800000000}"

struct server {
    int status;
    const char *headers, *body;
    char seen[8192]; /* the last request */
};

static bool answer(void *context, const struct script_request *request) {
    struct server *server = context;
    char authorization[200] = "";
    script_header(request, "authorization", authorization, sizeof authorization);
    snprintf(server->seen, sizeof server->seen, "%s %s|%s|%.*s", request->method, request->target, authorization,
             (int)request->body_size, request->body ? request->body : "");
    return script_reply(request->fd, server->status, server->headers ? server->headers : "", server->body);
}

static int token(void *context, const char *refused, char **out, struct fault *fault) {
    (void)context, (void)refused, (void)fault;
    *out = strdup("t0ken");
    return 0;
}

struct rig {
    struct server server;
    struct script_server *script;
    struct fetch *fetch;
    struct mapping *mapping;
    struct fault fault;
};

static void start(struct rig *rig) {
    char url[100];
    *rig = (struct rig){.server = {.status = 200, .body = SESSION}};
    rig->script = script_server_start(answer, &rig->server);
    snprintf(url, sizeof url, "%s/", script_server_url(rig->script));
    assert_int_equal(fetch_create(&rig->fetch, &(struct fetch_options){.tokens = {NULL, token}}), 0);
    assert_int_equal(mapping_create(&rig->mapping, rig->fetch, url), 0);
}

static void stop(struct rig *rig) {
    mapping_destroy(rig->mapping);
    fetch_destroy(rig->fetch);
    script_server_stop(rig->script);
}

static void assert_session(const struct mapping_session *session) {
    assert_string_equal(session->account, "a1");
    assert_string_equal(session->email, "ann@example.org");
    assert_string_equal(session->bucket.name, "pail-x");
    assert_string_equal(session->bucket.prefix, "ann/");
    assert_string_equal(session->bucket.region, "eu-central-1");
    assert_string_equal(session->bucket.endpoint, "https://s3.example.org");
    assert_true(session->bucket.virtual_style);
    assert_int_equal(session->quota_limit, 1000);
    assert_int_equal(session->quota_used, 10);
    assert_true(session->features.put_if_match && session->features.quoted_etag && session->features.versions);
    assert_false(session->features.copy_if_match || session->features.put_if_absent);
    assert_int_equal(session->features.versioned_at_s, 1700000000);
    assert_int_equal(session->server_time_s, 1800000000);
}

static void test_refresh(void **state) {
    struct rig rig;
    struct mapping_session session;
    struct store_features features;
    (void)state;
    start(&rig);
    assert_int_equal(mapping_known(rig.mapping, &session), -ENODATA);
    mapping_features(rig.mapping, &features);
    assert_false(features.put_if_match);
    assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), 0);
    assert_string_equal(rig.server.seen, "POST " WIRE_PATH_SESSION "|Bearer t0ken|{}");
    assert_session(&session);
    mapping_session_finish(&session);
    assert_int_equal(mapping_known(rig.mapping, &session), 0);
    assert_session(&session);
    mapping_session_finish(&session);
    mapping_features(rig.mapping, &features);
    assert_true(features.put_if_match);
    rig.server.status = 201; /* the first time */
    assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), 0);
    mapping_session_finish(&session);
    stop(&rig);
}

static void test_kept(void **state) {
    struct mapping_session session, again;
    struct mapping *mapping;
    (void)state;
    assert_int_equal(mapping_session_parse(SESSION, strlen(SESSION), &session), 0);
    char *text = mapping_session_print(&session);
    assert_non_null(text);
    assert_int_equal(mapping_session_parse(text, strlen(text), &again), 0);
    assert_session(&again);
    mapping_session_finish(&again);
    assert_int_equal(mapping_create(&mapping, NULL, "http://127.0.0.1:1"), 0);
    assert_int_equal(mapping_restore(mapping, &session), 0);
    assert_int_equal(mapping_known(mapping, &again), 0);
    assert_session(&again);
    mapping_session_finish(&again);
    mapping_session_finish(&session);
    mapping_destroy(mapping);
    free(text);
}

static char *without(const char *part, const char *instead) {
    const char *at = strstr(SESSION, part);
    char *text = malloc(strlen(SESSION) + strlen(instead) + 1);
    assert_non_null(at);
    sprintf(text, "%.*s%s%s", (int)(at - SESSION), SESSION, instead, at + strlen(part));
    return text;
}

static void test_incomplete(void **state) {
    static const char *const changes[][2] = {
        {"\"account\":\"a1\"", "\"account\":1"},
        {"\"email\":\"ann@example.org\"", "\"e\":1"},
        {"\"name\":\"pail-x\"", "\"name\":\"\""},
        {"\"prefix\":\"ann/\"", "\"prefix\":\"ann\""},
        {"\"region\":\"eu-central-1\"", "\"region\":null"},
        {"https://s3.example.org", "file:///etc"},
        {"\"style\":\"virtual\"", "\"s\":1"},
        {"\"server_time\":1800000000}", ""},
    };
    struct mapping_session session;
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *text = without(changes[i][0], changes[i][1]);
        assert_int_equal(mapping_session_parse(text, strlen(text), &session), PAIL_DAMAGED);
        free(text);
    }
}

static void test_refusals(void **state) {
    static const struct {
        int status, error;
    } cases[] = {{401, PAIL_LOGIN_REQUIRED}, {403, PAIL_DENIED},      {404, PAIL_GONE}, {409, PAIL_CONFLICT},
                 {413, PAIL_TOO_LARGE},      {422, PAIL_UNSUPPORTED}, {429, PAIL_BUSY}, {500, PAIL_OFFLINE},
                 {503, PAIL_OFFLINE},        {507, PAIL_QUOTA}};
    struct rig rig;
    struct mapping_session session;
    (void)state;
    start(&rig);
    rig.server.body = "{\"error\":{\"code\":\"x\",\"message\":\"ask your administrator\",\"request_id\":\"r17\"}}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig.server.status = cases[i].status;
        assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), cases[i].error);
        assert_non_null(strstr(rig.fault.text, "ask your administrator"));
        assert_non_null(strstr(rig.fault.text, "r17"));
    }
    stop(&rig);
}

static void test_not_a_server(void **state) {
    struct rig rig;
    struct mapping_session session;
    (void)state;
    start(&rig);
    rig.server.body = "<html>hello</html>";
    assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), PAIL_DAMAGED);
    rig.server.body = "{\"account\":\"a\"}";
    assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), PAIL_DAMAGED);
    assert_int_equal(mapping_known(rig.mapping, &session), -ENODATA);
    stop(&rig);
}

static void test_offline(void **state) {
    struct rig rig;
    struct mapping_session session;
    (void)state;
    start(&rig);
    assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), 0);
    mapping_session_finish(&session);
    script_server_stop(rig.script);
    assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), PAIL_OFFLINE);
    assert_true(rig.fault.text[0]);
    assert_int_equal(mapping_known(rig.mapping, &session), 0); /* what was known stays */
    assert_session(&session);
    mapping_session_finish(&session);
    mapping_destroy(rig.mapping);
    fetch_destroy(rig.fetch);
}

static void test_grants(void **state) {
    struct rig rig;
    struct json *json;
    _Atomic bool cancelled = true;
    (void)state;
    start(&rig);
    rig.server.body = "{\"grants\":[]}";
    assert_int_equal(mapping_grants(rig.mapping, "{\"items\":[]}", 12, NULL, &json, &rig.fault), 0);
    assert_string_equal(rig.server.seen, "POST " WIRE_PATH_GRANTS "|Bearer t0ken|{\"items\":[]}");
    assert_true(json_is_array(json_get(json, "grants")));
    json_destroy(json);
    assert_int_equal(mapping_grants(rig.mapping, "{}", 2, &cancelled, &json, &rig.fault), PAIL_CANCELLED);
    assert_null(json);
    stop(&rig);
}

static void test_the_request_is_named(void **state) {
    struct rig rig;
    struct json *json;
    (void)state;
    start(&rig);
    rig.server.body = "{\"grants\":[]}";
    rig.server.headers = "X-Request-Id: 4f3c\r\n";
    assert_int_equal(mapping_grants(rig.mapping, "{\"items\":[]}", 12, NULL, &json, &rig.fault), 0);
    assert_string_equal(json_get_text(json, "request_id"), "4f3c");
    json_destroy(json);
    rig.server.status = 500;
    rig.server.body = "<html>a proxy's page</html>";
    assert_int_equal(mapping_grants(rig.mapping, "{\"items\":[]}", 12, NULL, &json, &rig.fault), PAIL_OFFLINE);
    assert_non_null(strstr(rig.fault.text, "(request 4f3c)"));
    stop(&rig);
}

/* The first request of each mapping is too many. */
static bool answer_429_first(void *context, const struct script_request *request) {
    struct server *server = context;
    if (request->number == 1)
        return script_reply(request->fd, 429, server->headers, "{\"error\":{\"message\":\"too often\"}}");
    return script_reply(request->fd, 200, "", "{\"grants\":[]}");
}

static void start_busy(struct rig *rig, const char *retry_after) {
    *rig = (struct rig){.server = {.headers = retry_after}};
    rig->script = script_server_start(answer_429_first, &rig->server);
    assert_int_equal(fetch_create(&rig->fetch, &(struct fetch_options){.tokens = {NULL, token}}), 0);
    assert_int_equal(mapping_create(&rig->mapping, rig->fetch, script_server_url(rig->script)), 0);
}

static void test_it_waits_as_long_as_the_server_says(void **state) {
    struct rig rig;
    struct json *json;
    (void)state;
    start_busy(&rig, "Retry-After: 1\r\n");
    int64_t began = clock_monotonic_ms();
    assert_int_equal(mapping_grants(rig.mapping, "{}", 2, NULL, &json, &rig.fault), 0);
    json_destroy(json);
    assert_true(clock_monotonic_ms() - began >= 1000);
    assert_int_equal(script_server_requests(rig.script), 2);
    stop(&rig);
}

/* For longer than anybody waits: then nobody asks, until the time is over. */
static void test_it_leaves_the_server_alone(void **state) {
    struct rig rig;
    struct json *json;
    struct mapping_session session;
    _Atomic bool cancelled = false;
    (void)state;
    start_busy(&rig, "Retry-After: 120\r\n");
    assert_int_equal(mapping_grants(rig.mapping, "{}", 2, NULL, &json, &rig.fault), PAIL_BUSY);
    assert_non_null(strstr(rig.fault.text, "too often"));
    assert_int_equal(mapping_grants(rig.mapping, "{}", 2, &cancelled, &json, &rig.fault), PAIL_BUSY);
    assert_non_null(strstr(rig.fault.text, "left alone for 1"));
    assert_int_equal(mapping_refresh(rig.mapping, &session, &rig.fault), PAIL_BUSY);
    assert_int_equal(script_server_requests(rig.script), 1);
    cancelled = true;
    assert_int_equal(mapping_grants(rig.mapping, "{}", 2, &cancelled, &json, &rig.fault), PAIL_CANCELLED);
    stop(&rig);
}

#define KEYS                                                                                                           \
    "{\"access_key_id\":\"AK\",\"secret_access_key\":\"s3cret\",\"session_token\":\"t/+=\",\"expires_in\":840,"        \
    "\"by_grant\":[\"delete_many\",\"something_new\"],\"server_time\":1800000000}"

static void test_credentials(void **state) {
    struct rig rig;
    struct mapping_keys keys;
    (void)state;
    start(&rig);
    rig.server.body = KEYS;
    assert_int_equal(mapping_credentials(rig.mapping, NULL, &keys, &rig.fault), 0);
    assert_string_equal(rig.server.seen, "GET " WIRE_PATH_CREDENTIALS "|Bearer t0ken|");
    assert_string_equal(keys.access_key, "AK");
    assert_string_equal(keys.secret_key, "s3cret");
    assert_string_equal(keys.session_token, "t/+=");
    assert_int_equal(keys.expires_in_s, 840);
    assert_int_equal(keys.server_time_s, 1800000000);
    assert_true(keys.grant_delete_many);
    assert_false(keys.grant_part_copy);
    mapping_keys_finish(&keys);
    assert_null(keys.secret_key);
    stop(&rig);
}

static void test_no_credentials(void **state) {
    static const struct {
        int status, error;
        const char *body;
    } cases[] = {
        {404, PAIL_UNSUPPORTED, "{\"error\":{\"code\":\"not_offered\",\"message\":\"none here\"}}"},
        {404, PAIL_GONE, "{\"error\":{\"code\":\"not_found\",\"message\":\"none here\"}}"},
        {403, PAIL_QUOTA, "{\"error\":{\"code\":\"quota\",\"message\":\"none here\"}}"},
        {403, PAIL_DENIED, "{\"error\":{\"code\":\"denied\",\"message\":\"none here\"}}"},
        {503, PAIL_OFFLINE, "{\"error\":{\"code\":\"unavailable\",\"message\":\"none here\"}}"},
        {200, PAIL_DAMAGED, "{}"},
        {200, PAIL_DAMAGED,
         "{\"access_key_id\":\"A\",\"secret_access_key\":\"S\",\"session_token\":\"T\",\"expires_in\":0,"
         "\"by_grant\":[],\"server_time\":1}"},
        {200, PAIL_DAMAGED,
         "{\"access_key_id\":\"A\",\"secret_access_key\":\"S\",\"expires_in\":9,\"by_grant\":[],"
         "\"server_time\":1}"},
    };
    struct rig rig;
    struct mapping_keys keys;
    (void)state;
    start(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig.server.status = cases[i].status;
        rig.server.body = cases[i].body;
        assert_int_equal(mapping_credentials(rig.mapping, NULL, &keys, &rig.fault), cases[i].error);
        assert_null(keys.secret_key);
        assert_true(rig.fault.text[0]);
    }
    stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_request_is_named),
        cmocka_unit_test(test_it_waits_as_long_as_the_server_says),
        cmocka_unit_test(test_it_leaves_the_server_alone),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_not_a_server),
        cmocka_unit_test(test_offline),
        cmocka_unit_test(test_grants),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_no_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
