/* The tokens of one login. */
#include "auth/token.h"

#include "auth/form.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <stdio.h>
#include <strings.h>

enum { MAX_TOKEN = 64 << 10, DEFAULT_LIFE_S = 300, MAX_LIFE_S = 30 * 86400 };

void token_set_finish(struct token_set *set) {
    secret_free(set->access);
    secret_free(set->refresh);
    secret_free(set->id);
    *set = (struct token_set){0};
}

static void read_boot(char out[40]) {
    AUTO_FREE char *text = NULL;
    size_t size;
    out[0] = 0;
    if (!file_read("/proc/sys/kernel/random/boot_id", 64, &text, &size))
        sscanf(text, "%39s", out);
}

/* In the vault. */

char *token_set_print(const struct token_set *set) {
    AUTO_WIPE_JSON struct json *json = json_object();
    json_add_integer(json, "version", 1);
    json_add_text(json, "refresh_token", set->refresh);
    json_add_text(json, "access_token", set->access);
    json_add_integer(json, "obtained", set->obtained_s);
    json_add_integer(json, "life", set->life_s);
    return json_add_text(json, "boot", set->boot) ? NULL : json_print(json);
}

static int copy_secret(const struct json *json, const char *name, char **out) {
    const char *text = json_get_text(json, name);
    if (!text)
        return 0;
    *out = strdup(text);
    return *out ? 0 : -ENOMEM;
}

int token_set_parse(const char *text, struct token_set *out) {
    *out = (struct token_set){0};
    AUTO_WIPE_JSON struct json *json = NULL;
    int r = json_parse(&json, text, strlen(text));
    if (!r)
        r = copy_secret(json, "refresh_token", &out->refresh);
    if (!r)
        r = copy_secret(json, "access_token", &out->access);
    if (!r && (!out->refresh || json_get_integer(json, "version", 0) != 1))
        r = -EBADMSG;
    if (r) {
        token_set_finish(out);
        return r;
    }
    out->obtained_s = json_get_integer(json, "obtained", 0);
    out->life_s = json_get_integer(json, "life", 0);
    const char *boot = json_get_text(json, "boot");
    snprintf(out->boot, sizeof out->boot, "%s", boot ? boot : "");
    return 0;
}

static int64_t age_s(const struct token_set *set) {
    char boot[40];
    read_boot(boot);
    int64_t age = clock_boottime_s() - set->obtained_s;
    return set->access && strcmp(boot, set->boot) == 0 && age >= 0 ? age : INT32_MAX;
}

int64_t token_set_left_s(const struct token_set *set) {
    return set->life_s - age_s(set);
}

bool token_set_is_young(const struct token_set *set) {
    return age_s(set) * 5 < set->life_s * 4;
}

/* Asking the issuer. */

/* RFC 6750 2.1, and what may stand in a header at all. */
static bool is_token(const char *text) {
    size_t size = text ? strlen(text) : 0;
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return size > 0 && size <= MAX_TOKEN;
}

static int64_t read_life(const struct json *json) {
    int64_t life = json_get_integer(json, "expires_in", DEFAULT_LIFE_S);
    if (life < 1)
        return DEFAULT_LIFE_S;
    return life < MAX_LIFE_S ? life : MAX_LIFE_S;
}

/* asked_s: before the request left, so that a slow answer never makes a token look younger than it is. */
static int read_answer(struct token_set *out, const struct json *json, int64_t asked_s, struct fault *fault) {
    const char *type = json_get_text(json, "token_type"), *refresh = json_get_text(json, "refresh_token");
    const char *access = json_get_text(json, "access_token"), *id = json_get_text(json, "id_token");
    if (!type || strcasecmp(type, "Bearer") != 0 || !is_token(access))
        return fault_set(fault, PAIL_DAMAGED, "the issuer's answer has no bearer token in it");
    if ((refresh && !is_token(refresh)) || (id && !is_token(id)))
        return fault_set(fault, PAIL_DAMAGED, "the issuer's answer has a token that cannot be one");
    int r = copy_secret(json, "access_token", &out->access);
    if (!r)
        r = copy_secret(json, "refresh_token", &out->refresh);
    if (!r)
        r = copy_secret(json, "id_token", &out->id);
    out->obtained_s = asked_s;
    out->life_s = read_life(json);
    read_boot(out->boot);
    return r;
}

/* The tokens of a new login. */
static int read_first(struct token_set *out, const struct json *json, int64_t asked_s, struct fault *fault) {
    int r = read_answer(out, json, asked_s, fault);
    if (!r && !out->refresh)
        r = fault_set(fault, PAIL_DAMAGED,
                      "the issuer gave no refresh token: offline access must be allowed for this application and API");
    if (r)
        token_set_finish(out);
    return r;
}

int token_exchange(struct token_set *out, struct fetch *fetch, const char *token_url, const struct token_code *code,
                   const _Atomic bool *cancelled, struct fault *fault) {
    *out = (struct token_set){0};
    const struct form_field fields[] = {
        {"grant_type", "authorization_code"}, {"client_id", code->client_id},       {"code", code->code},
        {"code_verifier", code->verifier},    {"redirect_uri", code->redirect_uri},
    };
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int64_t asked_s = clock_boottime_s();
    int r = form_post(fetch, token_url, fields, sizeof fields / sizeof *fields, cancelled, &answer, fault);
    if (r)
        return r;
    char words[300];
    form_error_words(&answer, words, sizeof words);
    if (form_is_for_later(&answer))
        return fault_set(fault, PAIL_OFFLINE, "the issuer cannot answer right now (%s); try again", words);
    if (answer.status != 200)
        return fault_set(fault, PAIL_DENIED, "the issuer refused the login (%s)", words);
    return read_first(out, answer.json, asked_s, fault);
}

/* RFC 8628 3.5. */
static int read_poll_error(const struct fetch_answer *answer, bool *slow_down, struct fault *fault) {
    const char *error = json_get_text(answer->json, "error");
    char words[300];
    form_error_words(answer, words, sizeof words);
    *slow_down = text_equal(error, "slow_down") || answer->status == 429;
    if (*slow_down || text_equal(error, "authorization_pending"))
        return PAIL_BUSY;
    if (text_equal(error, "expired_token"))
        return fault_set(fault, -ETIMEDOUT, "nobody typed the code in time; run 'pail login' again");
    if (text_equal(error, "access_denied"))
        return fault_set(fault, PAIL_DENIED, "the login was declined (%s)", words);
    if (form_is_for_later(answer))
        return fault_set(fault, PAIL_OFFLINE, "the issuer cannot answer right now (%s)", words);
    return fault_set(fault, PAIL_DENIED, "the issuer refused the login (%s)", words);
}

int token_poll(struct token_set *out, struct fetch *fetch, const char *token_url, const char *client_id,
               const char *device_code, const _Atomic bool *cancelled, struct token_poll *poll, struct fault *fault) {
    *out = (struct token_set){0};
    *poll = (struct token_poll){.retry_after_s = -1};
    const struct form_field fields[] = {
        {"grant_type", "urn:ietf:params:oauth:grant-type:device_code"},
        {"client_id", client_id},
        {"device_code", device_code},
    };
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int64_t asked_s = clock_boottime_s();
    int r = form_post(fetch, token_url, fields, sizeof fields / sizeof *fields, cancelled, &answer, fault);
    if (r)
        return r;
    poll->retry_after_s = answer.retry_after_s;
    return answer.status == 200 ? read_first(out, answer.json, asked_s, fault)
                                : read_poll_error(&answer, &poll->slow_down, fault);
}

int token_refresh(struct token_set *out, struct fetch *fetch, const char *token_url, const char *client_id,
                  const char *refresh, int64_t *retry_after_s, struct fault *fault) {
    *out = (struct token_set){0};
    *retry_after_s = -1;
    const struct form_field fields[] = {
        {"grant_type", "refresh_token"}, {"client_id", client_id}, {"refresh_token", refresh}};
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int64_t asked_s = clock_boottime_s();
    int r = form_post(fetch, token_url, fields, sizeof fields / sizeof *fields, NULL, &answer, fault);
    if (r)
        return r;
    char words[300];
    form_error_words(&answer, words, sizeof words);
    *retry_after_s = answer.retry_after_s;
    /* RFC 6749 5.2 says 400; Auth0 answers 403 to a refresh token that was used already. */
    if (answer.status >= 400 && answer.status < 500 && text_equal(json_get_text(answer.json, "error"), "invalid_grant"))
        return fault_set(fault, PAIL_LOGIN_REQUIRED, "the login has ended (%s): run 'pail login'", words);
    if (answer.status != 200)
        return fault_set(fault, PAIL_OFFLINE, "the issuer gives no new token right now (%s)", words);
    r = read_answer(out, answer.json, asked_s, fault);
    if (r == PAIL_DAMAGED)
        r = PAIL_OFFLINE; /* a portal or proxy in between answers 200 to anything */
    if (!r && !out->refresh && !(out->refresh = strdup(refresh)))
        r = -ENOMEM;
    if (r)
        token_set_finish(out);
    return r;
}

int token_revoke(struct fetch *fetch, const char *revocation_url, const char *client_id, const char *refresh,
                 struct fault *fault) {
    const struct form_field fields[] = {
        {"client_id", client_id}, {"token", refresh}, {"token_type_hint", "refresh_token"}};
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int r = form_post(fetch, revocation_url, fields, sizeof fields / sizeof *fields, NULL, &answer, fault);
    if (r)
        return r;
    char words[300];
    form_error_words(&answer, words, sizeof words);
    if (answer.status == 200 || answer.status == 204)
        return 0;
    return fault_set(fault, PAIL_DENIED, "the issuer did not revoke the token (%s)", words);
}
