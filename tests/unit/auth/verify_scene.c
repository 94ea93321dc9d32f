/* A verifier, its issuer and keys, and good tokens with whatever change a test wants. */
#include "verify_scene.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

void publish(struct scene *scene, const char *keys) {
    assert_true(scene->set_count < sizeof scene->sets / sizeof *scene->sets);
    scene->sets[scene->set_count] = strdup(keys);
    atomic_store(&scene->issuer.keys, scene->sets[scene->set_count++]);
}

static void publish_usual(struct scene *scene) {
    AUTO_FREE char *a = forge_jwk(scene->rsa, "r1", ",\"use\":\"sig\",\"alg\":\"RS256\"");
    AUTO_FREE char *b = forge_jwk(scene->ec, "e1", "");
    AUTO_FREE char *c = forge_jwk(scene->ec, "r1", ""); /* the name of the RSA key again, of another type */
    AUTO_FREE char *text = text_format("{\"keys\":[%s,%s,%s]}", a, b, c);
    publish(scene, text);
}

void make_verify(struct scene *scene, unsigned refetch_s, unsigned cache_s) {
    static const char *const clients[] = {"pail", "other-app"}, *const emails[] = {EMAIL, "email"};
    struct verify_options options = {
        .issuer = scene->issuer.url,
        .audience = AUDIENCE,
        .clients = clients,
        .client_count = 2,
        .email_claims = emails,
        .email_claim_count = 2,
        .fetch = scene->fetch,
        .refetch_s = refetch_s,
        .cache_s = cache_s,
    };
    verify_destroy(scene->verify);
    scene->verify = NULL;
    assert_int_equal(verify_create(&scene->verify, &options, NULL), 0);
}

/* Once for all tests of a program: they take longer than most of these. */
static void make_keys(struct scene *scene) {
    static EVP_PKEY *rsa, *ec, *stranger;
    if (!rsa) {
        rsa = forge_rsa(2048);
        ec = forge_p256();
        stranger = forge_rsa(2048);
    }
    scene->rsa = rsa;
    scene->ec = ec;
    scene->stranger = stranger;
}

int scene_set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    forge_issuer_start(&scene->issuer);
    make_keys(scene);
    publish_usual(scene);
    assert_int_equal(fetch_create(&scene->fetch, &(struct fetch_options){.timeout_ms = 5000}), 0);
    make_verify(scene, 0, 0);
    *state = scene;
    return 0;
}

int scene_tear_down(void **state) {
    struct scene *scene = *state;
    verify_destroy(scene->verify);
    fetch_destroy(scene->fetch);
    forge_issuer_stop(&scene->issuer);
    while (scene->set_count)
        free(scene->sets[--scene->set_count]);
    free(scene);
    return 0;
}

char *claims(const struct scene *scene, const struct change *changes, size_t count) {
    int64_t now = clock_realtime_s();
    char times[3][24], issuer[80], audience[200];
    snprintf(times[0], 24, "%lld", (long long)now + 300);
    snprintf(times[1], 24, "%lld", (long long)now);
    snprintf(issuer, sizeof issuer, "\"%s\"", scene->issuer.url);
    snprintf(audience, sizeof audience, "[\"%s\",\"%suserinfo\"]", AUDIENCE, scene->issuer.url);
    struct change usual[] = {
        {"iss", issuer},
        {"sub", "\"auth0|ann\""},
        {"aud", audience},
        {"exp", times[0]},
        {"iat", times[1]},
        {"azp", "\"pail\""},
        {EMAIL, "\"Ann@Example.com\""},
        {EMAIL "_verified", "true"},
    };
    AUTO_BUFFER struct buffer text = {0};
    buffer_append_text(&text, "{\"jti\":\"1\"");
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        for (size_t j = 0; j < count; j++)
            if (text_equal(usual[i].name, changes[j].name))
                usual[i].json = "";
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (*usual[i].json)
            buffer_append_format(&text, ",\"%s\":%s", usual[i].name, usual[i].json);
    for (size_t j = 0; j < count; j++)
        if (changes[j].name && *changes[j].json)
            buffer_append_format(&text, ",\"%s\":%s", changes[j].name, changes[j].json);
    buffer_append_text(&text, "}");
    return buffer_take(&text);
}

char *token_with(const struct scene *scene, const char *header, const struct change *changes, size_t count) {
    AUTO_FREE char *text = claims(scene, changes, count);
    return forge_token(scene->rsa, header, text);
}

int verify_it(struct scene *scene, const char *token, struct verify_claims *out) {
    struct fault fault = {0};
    int result = verify_token(scene->verify, token, strlen(token), out, &fault);
    assert_int_equal(result != 0, fault.text[0] != '\0');
    assert_true(strlen(token) < 16 || !strstr(fault.text, token));
    return result;
}

int result_of(struct scene *scene, const char *token) {
    CLEANUP(verify_claims_finish) struct verify_claims out = {0};
    return verify_it(scene, token, &out);
}
