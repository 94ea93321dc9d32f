/* What programs ask the issuer: discovery, keys, tokens (RFC 6749, 7009, 7636; OpenID Connect Core), in Auth0's shape.
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/embedded/issuer_parts.h"

#include <errno.h>

static int add_url(struct json *json, const char *name, const struct issuer *issuer, const char *path) {
    AUTO_FREE char *url = text_format("%s%s", issuer->url, path);
    return url ? json_add_text(json, name, url) : -ENOMEM;
}

static void add_list(struct json *json, const char *name, const char *const *texts) {
    struct json *list = json_array();
    for (; *texts; texts++)
        json_push_text(list, *texts);
    json_add(json, name, list);
}

void issuer_serve_discovery(struct issuer *issuer, struct http_request *request) {
    struct json *json = json_object();
    json_add_text(json, "issuer", issuer->url);
    add_url(json, "authorization_endpoint", issuer, "authorize");
    add_url(json, "token_endpoint", issuer, "oauth/token");
    add_url(json, "userinfo_endpoint", issuer, "userinfo");
    add_url(json, "jwks_uri", issuer, ".well-known/jwks.json");
    add_url(json, "revocation_endpoint", issuer, "oauth/revoke");
    add_list(json, "response_types_supported", (const char *const[]){"code", NULL});
    add_list(json, "grant_types_supported", (const char *const[]){"authorization_code", "refresh_token", NULL});
    add_list(json, "code_challenge_methods_supported", (const char *const[]){"S256", NULL});
    add_list(json, "subject_types_supported", (const char *const[]){"public", NULL});
    add_list(json, "id_token_signing_alg_values_supported", (const char *const[]){"RS256", NULL});
    add_list(json, "token_endpoint_auth_methods_supported", (const char *const[]){"none", NULL});
    add_list(json, "scopes_supported", (const char *const[]){"openid", "email", "offline_access", NULL});
    json_add_boolean(json, "authorization_response_iss_parameter_supported", true);
    issuer_answer_json(request, 200, json);
}

void issuer_serve_keys(struct issuer *issuer, struct http_request *request) {
    issuer_answer_json(request, 200, issuer_key_set(issuer->key));
}

/* The same person is the same subject, for ever. */
static char *subject_of(const char *email) {
    AUTO_FREE char *hash = NULL;
    if (checksum_hex(CHECKSUM_SHA256, email, strlen(email), &hash))
        return NULL;
    return text_format("demo|%.24s", hash);
}

static struct json *common_claims(const struct issuer *issuer, const char *email, const char *subject) {
    struct json *claims = json_object();
    int64_t now_s = clock_realtime_s();
    json_add_text(claims, "iss", issuer->url);
    json_add_text(claims, "sub", subject);
    json_add_text(claims, "email", email);
    json_add_boolean(claims, "email_verified", true);
    json_add_integer(claims, "iat", now_s);
    json_add_integer(claims, "exp", now_s + issuer->token_life_s);
    return claims;
}

/* Auth0's access token: two audiences when openid was asked for, and azp. */
static int make_access(const struct issuer *issuer, const char *email, const char *subject, const char *scope,
                       char **token) {
    AUTO_JSON struct json *claims = common_claims(issuer, email, subject);
    AUTO_FREE char *userinfo = text_format("%suserinfo", issuer->url);
    struct json *audience = json_array();
    json_push_text(audience, issuer->audience);
    if (userinfo)
        json_push_text(audience, userinfo);
    json_add(claims, "aud", audience);
    json_add_text(claims, "azp", issuer->client_id);
    json_add_text(claims, "scope", scope);
    return issuer_key_sign(issuer->key, claims, token);
}

static int make_id(const struct issuer *issuer, const char *email, const char *subject, const char *nonce,
                   char **token) {
    AUTO_JSON struct json *claims = common_claims(issuer, email, subject);
    json_add_text(claims, "aud", issuer->client_id);
    if (nonce)
        json_add_text(claims, "nonce", nonce);
    return issuer_key_sign(issuer->key, claims, token);
}

/* refresh: NULL for none. */
static void answer_tokens(const struct issuer *issuer, struct http_request *request, const char *email,
                          const char *scope, const char *nonce, const char *refresh) {
    AUTO_FREE char *subject = subject_of(email);
    AUTO_SECRET char *access = NULL, *id = NULL;
    int r = subject ? make_access(issuer, email, subject, scope, &access) : -ENOMEM;
    if (!r)
        r = make_id(issuer, email, subject, nonce, &id);
    if (r) {
        issuer_answer_error(request, 500, "server_error", "the token cannot be made");
        return;
    }
    struct json *json = json_object();
    json_add_text(json, "access_token", access);
    json_add_text(json, "id_token", id);
    if (refresh)
        json_add_text(json, "refresh_token", refresh);
    json_add_text(json, "token_type", "Bearer");
    json_add_text(json, "scope", scope);
    json_add_integer(json, "expires_in", issuer->token_life_s);
    issuer_answer_json(request, 200, json);
}

/* RFC 7636, 4.6. */
static bool proves(const char *verifier, const char *challenge) {
    AUTO_FREE char *hex = NULL, *text = NULL;
    if (!verifier || strlen(verifier) < 43 || strlen(verifier) > 128)
        return false;
    if (checksum_hex(CHECKSUM_SHA256, verifier, strlen(verifier), &hex))
        return false;
    unsigned char raw[32];
    for (size_t i = 0; i < 32; i++) {
        unsigned byte = 0;
        for (size_t j = 0; j < 2; j++)
            byte = byte << 4 | (unsigned)(hex[2 * i + j] <= '9' ? hex[2 * i + j] - '0' : hex[2 * i + j] - 'a' + 10);
        raw[i] = (unsigned char)byte;
    }
    text = text_base64url(raw, sizeof raw);
    return text && text_equal_secret(text, challenge);
}

static void redeem_code(struct issuer *issuer, struct http_request *request, const struct form *form) {
    CLEANUP(issuer_login_finish) struct issuer_login login = {0};
    CLEANUP(issuer_session_finish) struct issuer_session session = {0};
    const char *code = form_get(form, "code");
    int r = code ? issuer_sessions_redeem(issuer->sessions, code, &login) : -ENOENT;
    if (r) {
        issuer_answer_error(request, 403, "invalid_grant", "Invalid authorization code");
        return;
    }
    if (!text_equal(form_get(form, "redirect_uri"), login.redirect_uri) ||
        !proves(form_get(form, "code_verifier"), login.challenge)) {
        issuer_answer_error(request, 403, "invalid_grant", "Failed to verify code verifier");
        return;
    }
    if (strstr(login.scope, "offline_access"))
        r = issuer_sessions_start(issuer->sessions, &login, code, &session);
    if (r)
        issuer_answer_error(request, 500, "server_error", "the session cannot be kept");
    else
        answer_tokens(issuer, request, login.email, login.scope, login.nonce, session.refresh_token);
}

static void redeem_refresh(struct issuer *issuer, struct http_request *request, const struct form *form) {
    CLEANUP(issuer_session_finish) struct issuer_session session = {0};
    const char *token = form_get(form, "refresh_token");
    int r = token ? issuer_sessions_refresh(issuer->sessions, token, &session) : -ENOENT;
    if (r == -ENOENT)
        issuer_answer_error(request, 403, "invalid_grant", "Unknown or invalid refresh token.");
    else if (r)
        issuer_answer_error(request, 500, "server_error", "the session cannot be kept");
    else
        answer_tokens(issuer, request, session.email, session.scope, NULL, session.refresh_token);
}

/* 0, or answered. */
static int read_form(struct issuer *issuer, struct http_request *request, struct form *form) {
    int r = form_parse(form, request->body ? request->body : "");
    if (r) {
        issuer_answer_error(request, 400, "invalid_request", "the form cannot be read");
        return r;
    }
    if (text_equal(form_get(form, "client_id"), issuer->client_id))
        return 0;
    issuer_answer_error(request, 401, "invalid_client", "the client is not known");
    return -EINVAL;
}

void issuer_serve_token(struct issuer *issuer, struct http_request *request) {
    CLEANUP(form_finish) struct form form = {0};
    if (read_form(issuer, request, &form))
        return;
    const char *type = form_get(&form, "grant_type");
    if (text_equal(type, "authorization_code"))
        redeem_code(issuer, request, &form);
    else if (text_equal(type, "refresh_token"))
        redeem_refresh(issuer, request, &form);
    else
        issuer_answer_error(request, 400, "unsupported_grant_type", "authorization_code or refresh_token");
}

void issuer_serve_revoke(struct issuer *issuer, struct http_request *request) {
    CLEANUP(form_finish) struct form form = {0};
    if (read_form(issuer, request, &form))
        return;
    const char *token = form_get(&form, "token");
    int r = token ? issuer_sessions_revoke(issuer->sessions, token) : 0;
    issuer_answer_json(request, r ? 500 : 200, json_object());
}

/* The token is one of ours if it is what we would have signed: RS256 gives the same signature each time. */
static struct json *read_own_token(const struct issuer *issuer, const char *token) {
    const char *body = strchr(token, '.'), *signature = body ? strchr(body + 1, '.') : NULL;
    AUTO_FREE unsigned char *text = NULL;
    AUTO_JSON struct json *claims = NULL;
    AUTO_SECRET char *again = NULL;
    size_t size;
    if (!signature || text_base64url_decode(body + 1, (size_t)(signature - body - 1), &text, &size) ||
        json_parse(&claims, (char *)text, size))
        return NULL;
    if (issuer_key_sign(issuer->key, claims, &again) || !text_equal_secret(again, token))
        return NULL;
    if (json_get_integer(claims, "exp", 0) < clock_realtime_s() || !json_is_array(json_get(claims, "aud")))
        return NULL;
    return TAKE(claims);
}

void issuer_serve_userinfo(struct issuer *issuer, struct http_request *request) {
    const char *authorization = http_header(request, "authorization");
    bool bearer = authorization && strncasecmp(authorization, "Bearer ", 7) == 0;
    AUTO_JSON struct json *claims = bearer ? read_own_token(issuer, authorization + 7) : NULL;
    if (!claims) {
        issuer_answer_error(request, 401, "invalid_token", "an access token of this issuer is needed");
        return;
    }
    struct json *json = json_object();
    json_add_text(json, "sub", json_get_text(claims, "sub"));
    json_add_text(json, "email", json_get_text(claims, "email"));
    json_add_boolean(json, "email_verified", true);
    issuer_answer_json(request, 200, json);
}
