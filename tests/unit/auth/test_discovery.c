/* Tests of auth/discovery.c: what an issuer and a server may say of themselves. */
#include "auth/discovery.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "http_stub.h"
#include "patience.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct http_stub *stub;
    struct fetch *fetch;
    pthread_mutex_t lock;
    struct http_stub_reply reply; /* protected by lock, as target */
    char target[256];
    struct fault fault;
};

static void answer(void *context, const struct http_stub_request *request, struct http_stub_reply *reply) {
    struct fixture *f = context;
    pthread_mutex_lock(&f->lock);
    *reply = f->reply;
    snprintf(f->target, sizeof f->target, "%s", request->target);
    pthread_mutex_unlock(&f->lock);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    f->stub = http_stub_bind();
    http_stub_run(f->stub, answer, f);
    *state = f;
    return fetch_create(&f->fetch, &(struct fetch_options){.timeout_ms = PATIENCE_MS});
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fetch_destroy(f->fetch);
    http_stub_stop(f->stub);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static void tell(struct fixture *f, int status, const char *body) {
    f->reply.status = status;
    snprintf(f->reply.body, sizeof f->reply.body, "%s", body);
}

/* Replaces the first `from` in text. */
static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    assert_non_null(at);
    return text_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static const char good_discovery[] =
    "{\"issuer\":\"ISSUER\",\"authorization_endpoint\":\"https://a.example/authorize\","
    "\"token_endpoint\":\"https://a.example/oauth/token\",\"jwks_uri\":\"https://a.example/jwks\","
    "\"revocation_endpoint\":\"https://a.example/revoke\",\"code_challenge_methods_supported\":[\"plain\",\"S256\"],"
    "\"authorization_response_iss_parameter_supported\":true}";

static int discover(struct fixture *f, const char *document, const char *issuer, struct discovery *out) {
    AUTO_FREE char *text = strstr(document, "ISSUER") ? replaced(document, "ISSUER", issuer) : strdup(document);
    tell(f, 200, text);
    return discovery_fetch(out, f->fetch, issuer, NULL, &f->fault);
}

static void a_good_issuer_is_learned(void **state) {
    struct fixture *f = *state;
    AUTO_FREE char *issuer = text_format("%s/", http_stub_url(f->stub));
    CLEANUP(discovery_finish) struct discovery got = {0};
    assert_int_equal(discover(f, good_discovery, issuer, &got), 0);
    assert_string_equal(f->target, "/.well-known/openid-configuration");
    assert_string_equal(got.issuer, issuer);
    assert_string_equal(got.authorization_url, "https://a.example/authorize");
    assert_string_equal(got.token_url, "https://a.example/oauth/token");
    assert_string_equal(got.keys_url, "https://a.example/jwks");
    assert_string_equal(got.revocation_url, "https://a.example/revoke");
    assert_true(got.names_itself);
}

static void an_issuer_with_a_path_is_asked_below_it(void **state) {
    struct fixture *f = *state;
    AUTO_FREE char *issuer = text_format("%s/realms/x", http_stub_url(f->stub));
    CLEANUP(discovery_finish) struct discovery got = {0};
    assert_int_equal(discover(f, good_discovery, issuer, &got), 0);
    assert_string_equal(f->target, "/realms/x/.well-known/openid-configuration");
}

static void a_wrong_issuer_is_refused(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *from, *to;
    } table[] = {
        {"\"ISSUER\"", "\"https://other.example/\""},
        {"\"ISSUER\"", "7"},
        {"\"issuer\":\"ISSUER\",", ""},
        {"ISSUER", "ISSUER/"}, /* the slash counts */
        {"\"S256\"", "\"S512\""},
        {"https://a.example/authorize", "http://a.example/authorize"},
        {"https://a.example/oauth/token", "http://a.example/oauth/token"},
        {"https://a.example/oauth/token", "ftp://a.example/"},
        {"https://a.example/jwks", "file:///etc/passwd"},
        {"https://a.example/revoke", "http://a.example/revoke"},
        {"https://a.example/authorize", "https://a.example/x\\ny"},
        {"\"token_endpoint\"", "\"other\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        AUTO_FREE char *document = replaced(good_discovery, table[i].from, table[i].to);
        struct discovery got;
        int r = discover(f, document, http_stub_url(f->stub), &got);
        if (r != PAIL_DAMAGED)
            fail_msg("row %zu: %d %s", i, r, f->fault.text);
        assert_null(got.issuer);
    }
}

static void a_document_that_is_not_there_says_so(void **state) {
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *body;
        int expected;
    } table[] = {
        {200, "<html>", PAIL_DAMAGED}, {200, "[]", PAIL_DAMAGED}, {404, "{}", PAIL_DAMAGED}, {302, "{}", PAIL_DAMAGED},
        {500, "{}", PAIL_OFFLINE},     {429, "{}", PAIL_OFFLINE}, {0, "", PAIL_OFFLINE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct discovery got;
        tell(f, table[i].status, table[i].body);
        assert_int_equal(discovery_fetch(&got, f->fetch, http_stub_url(f->stub), NULL, &f->fault), table[i].expected);
        assert_string_not_equal(f->fault.text, "");
    }
}

static const char good_configuration[] =
    "{\"version\":1,\"issuer\":\"https://t.auth0.com/\",\"client_id\":\"c1\",\"audience\":\"https://d.example\","
    "\"scopes\":[\"openid\",\"email\"],\"loopback_ports\":[40001,40002],\"modes\":[\"presigned\"]}";

static void a_good_server_is_learned(void **state) {
    struct fixture *f = *state;
    CLEANUP(configuration_finish) struct configuration got = {0};
    tell(f, 200, good_configuration);
    assert_int_equal(configuration_fetch(&got, f->fetch, http_stub_url(f->stub), NULL, &f->fault), 0);
    assert_string_equal(f->target, "/.well-known/pail-configuration");
    assert_string_equal(got.issuer, "https://t.auth0.com/");
    assert_string_equal(got.client_id, "c1");
    assert_string_equal(got.audience, "https://d.example");
    assert_string_equal(got.scopes, "openid offline_access email");
    assert_int_equal(got.port_count, 2);
    assert_int_equal(got.ports[1], 40002);
}

static void ports_have_a_default(void **state) {
    struct fixture *f = *state;
    CLEANUP(configuration_finish) struct configuration got = {0};
    AUTO_FREE char *document = replaced(good_configuration, "\"loopback_ports\":[40001,40002],", "");
    tell(f, 200, document);
    assert_int_equal(configuration_fetch(&got, f->fetch, http_stub_url(f->stub), NULL, &f->fault), 0);
    assert_int_equal(got.port_count, 3);
    assert_int_equal(got.ports[0], 47831);
    assert_int_equal(got.ports[2], 47833);
}

static void a_server_that_makes_no_sense_is_refused(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *from, *to;
    } table[] = {
        {"\"version\":1", "\"version\":2"},
        {"\"version\":1", "\"version\":\"1\""},
        {"https://t.auth0.com/", "http://t.auth0.com/"},
        {"\"c1\"", "\"\""},
        {"\"c1\"", "\"a b\""},
        {"\"audience\"", "\"audience2\""},
        {"\"email\"", "\"e\\\"mail\""},
        {"\"email\"", "5"},
        {"\"email\"", "\"email openid&x\\u0001\""},
        {"40001", "80"},
        {"40001", "65536"},
        {"40001", "-1"},
        {"40001", "\"40001\""},
        {"40001", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        AUTO_FREE char *document = replaced(good_configuration, table[i].from, table[i].to);
        struct configuration got;
        tell(f, 200, document);
        int r = configuration_fetch(&got, f->fetch, http_stub_url(f->stub), NULL, &f->fault);
        if (r != PAIL_DAMAGED)
            fail_msg("row %zu: %d", i, r);
        assert_null(got.issuer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_issuer_is_learned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_issuer_with_a_path_is_asked_below_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_issuer_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_document_that_is_not_there_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_good_server_is_learned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ports_have_a_default, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_makes_no_sense_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
