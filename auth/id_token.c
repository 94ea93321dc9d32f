/* Who logged in: the ID token, checked. */
#include "auth/id_token.h"

#include "auth/jwt.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <string.h>

enum { LEEWAY_S = 300, MAX_SUBJECT = 255, MAX_EMAIL = 320 };

void id_token_finish(struct id_token *id_token) {
    free(id_token->subject);
    free(id_token->email);
    *id_token = (struct id_token){0};
}

static int refused(struct fault *fault, const char *what) {
    return fault_set(fault, PAIL_DENIED, "the issuer's ID token is refused: %s", what);
}

static bool audience_is(const struct json *claims, const char *client_id) {
    const struct json *audience = json_get(claims, "aud");
    if (json_text(audience))
        return text_equal(json_text(audience), client_id);
    bool found = false;
    for (const struct json *item = json_first(audience); item; item = json_next(item))
        found = found || text_equal(json_text(item), client_id);
    return found && json_is_array(audience);
}

static int check_parties(const struct json *claims, const struct id_token_expected *expected, struct fault *fault) {
    const struct json *azp = json_get(claims, "azp");
    if (!text_equal(json_get_text(claims, "iss"), expected->issuer))
        return refused(fault, "it is of another issuer");
    if (!audience_is(claims, expected->client_id))
        return refused(fault, "it is meant for another application");
    if (azp ? !text_equal(json_text(azp), expected->client_id) : json_size(json_get(claims, "aud")) > 1)
        return refused(fault, "it was given to another application");
    const char *nonce = json_get_text(claims, "nonce");
    if (expected->nonce && (!nonce || !text_equal_secret(nonce, expected->nonce)))
        return refused(fault, "it belongs to another login");
    return 0;
}

static int check_times(const struct json *claims, int64_t now_s, struct fault *fault) {
    int64_t expires, issued;
    if (json_integer(json_get(claims, "exp"), &expires) || json_integer(json_get(claims, "iat"), &issued))
        return refused(fault, "it does not say when it was made and when it ends");
    int64_t off = issued - now_s;
    if (off > LEEWAY_S || expires <= now_s - LEEWAY_S)
        return fault_set(
            fault, PAIL_DENIED,
            "this machine's clock is about %lld minutes %s what the issuer says; set it, then log in again",
            (long long)clock_minutes(off), off > 0 ? "behind" : "ahead of");
    return 0;
}

static int copy_person(struct id_token *out, const struct json *claims, struct fault *fault) {
    const char *subject = json_get_text(claims, "sub"), *email = json_get_text(claims, "email");
    if (!subject || !*subject || strlen(subject) > MAX_SUBJECT)
        return refused(fault, "it does not say who logged in");
    out->subject = strdup(subject);
    if (email && *email && strlen(email) <= MAX_EMAIL)
        out->email = strdup(email);
    return out->subject && (!email || !*email || strlen(email) > MAX_EMAIL || out->email) ? 0 : -ENOMEM;
}

int id_token_check(struct id_token *out, const char *token, const struct jwks *keys,
                   const struct id_token_expected *expected, struct fault *fault) {
    *out = (struct id_token){0};
    CLEANUP(jwt_finish) struct jwt jwt = {0};
    int r = jwt_parse(&jwt, token, strlen(token), fault);
    if (r)
        return r < 0 ? r : fault_prefix(fault, PAIL_DENIED, "the issuer's ID token is refused");
    const struct jwks_key *key = jwks_find(keys, &jwt);
    if (!key || jwt_check(&jwt, key))
        return refused(fault, "its signature is not the issuer's");
    r = check_parties(jwt.claims, expected, fault);
    if (!r)
        r = check_times(jwt.claims, expected->now_s, fault);
    if (!r)
        r = copy_person(out, jwt.claims, fault);
    if (r)
        id_token_finish(out);
    return r;
}
