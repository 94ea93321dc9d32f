/* Is this access token good? The signature by the issuer's keys, then each claim by a rule of its own. */
#include "auth/verify.h"

#include "auth/jwt.h"
#include "auth/keys.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LEEWAY_S 60
#define MAX_SUBJECT 255 /* OpenID Connect Core, 2 */
#define MAX_EMAIL 254   /* RFC 5321, 4.5.3.1.3 */

struct verify {
    char *issuer, *audience;        /* owned, as the two lists */
    char **clients, **email_claims; /* NULL-terminated */
    struct fetch *fetch;            /* borrowed */
    struct keys *keys;              /* owned */
};

void verify_claims_finish(struct verify_claims *claims) {
    free(claims->subject);
    free(claims->email);
    *claims = (struct verify_claims){0};
}

/* The header's rules. */

static int check_type(const struct json *header, struct fault *fault) {
    const char *type = json_get_text(header, "typ");
    if (type && !strncasecmp(type, "application/", 12))
        type += 12;
    if (type && (!strcasecmp(type, "JWT") || !strcasecmp(type, "at+jwt")))
        return 0;
    return fault_set(fault, VERIFY_REFUSED, "the token's typ is not JWT or at+jwt");
}

/* The claims' rules: each returns 0 or enum verify_result. */

static int check_issuer(const struct verify *verify, const struct json *claims, struct fault *fault) {
    if (text_equal(json_get_text(claims, "iss"), verify->issuer))
        return 0;
    return fault_set(fault, VERIFY_REFUSED, "the token is of another issuer");
}

static int check_audience(const struct verify *verify, const struct json *claims, struct fault *fault) {
    const struct json *audience = json_get(claims, "aud");
    bool ours = text_equal(json_text(audience), verify->audience);
    if (json_is_array(audience))
        for (const struct json *each = json_first(audience); each; each = json_next(each))
            ours |= text_equal(json_text(each), verify->audience);
    return ours ? 0 : fault_set(fault, VERIFY_REFUSED, "the token is not for this audience");
}

/* Absent is -ENOENT; what is not a number of seconds after 1970 is refused. */
static int read_time(const struct json *claims, const char *name, int64_t *out, struct fault *fault) {
    const struct json *value = json_get(claims, name);
    double seconds = 0;
    if (!value)
        return -ENOENT;
    if (json_number(value, &seconds) || !(seconds >= 0 && seconds <= 9007199254740992.0))
        return fault_set(fault, VERIFY_REFUSED, "the token's %s is not a time", name);
    *out = (int64_t)seconds;
    return 0;
}

static int check_not_before(const struct json *claims, const char *name, int64_t now, struct fault *fault) {
    int64_t time = 0;
    int result = read_time(claims, name, &time, fault);
    if (result)
        return result == -ENOENT ? 0 : result;
    return time <= now + LEEWAY_S ? 0
                                  : fault_set(fault, VERIFY_REFUSED, "the token's %s is in the future by %lld s", name,
                                              (long long)(time - now));
}

static int check_times(const struct json *claims, int64_t now, int64_t *expires_s, struct fault *fault) {
    int result = read_time(claims, "exp", expires_s, fault);
    if (result)
        return result == -ENOENT ? fault_set(fault, VERIFY_REFUSED, "the token has no exp") : result;
    if (now >= *expires_s + LEEWAY_S)
        return fault_set(fault, VERIFY_REFUSED, "the token has expired %lld s ago", (long long)(now - *expires_s));
    result = check_not_before(claims, "nbf", now, fault);
    return result ? result : check_not_before(claims, "iat", now, fault);
}

/* A token that is refused for its times, but good by the issuer's clock: ours is wrong, and no new login helps. */
static int check_when(const struct verify *verify, const struct json *claims, int64_t *expires_s, struct fault *fault) {
    int64_t now = clock_realtime_s(), ahead = keys_clock_ahead_s(verify->keys), ignored = 0;
    int result = check_times(claims, now, expires_s, fault);
    if (!result || llabs(ahead) <= LEEWAY_S || check_times(claims, now + ahead, &ignored, NULL))
        return result;
    return fault_set(fault, VERIFY_UNPROVEN,
                     "the server's clock is about %lld minutes %s the login provider's: its operator must set it",
                     (long long)clock_minutes(ahead), ahead > 0 ? "behind" : "ahead of");
}

/* What only ID tokens carry (OpenID Connect Core, 2 and 3.3.2.11); Cognito and Keycloak name the kind. */
static int check_not_id_token(const struct json *claims, struct fault *fault) {
    static const char *const marks[] = {"nonce", "at_hash", "c_hash", "s_hash"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (json_get(claims, marks[i]))
            return fault_set(fault, VERIFY_REFUSED, "this is an ID token (it has %s), not an access token", marks[i]);
    const char *use = json_get_text(claims, "token_use"), *type = json_get_text(claims, "typ");
    if (text_equal(use, "id") || text_equal(type, "ID") || text_equal(type, "Refresh"))
        return fault_set(fault, VERIFY_REFUSED, "this is not an access token");
    return 0;
}

static bool client_allowed(const struct verify *verify, const struct json *client) {
    for (char **each = verify->clients; *each; each++)
        if (text_equal(json_text(client), *each))
            return true;
    return false;
}

/* Each name of the client that the token has must be allowed, and there must be one. */
static int check_client(const struct verify *verify, const struct json *claims, struct fault *fault) {
    const struct json *party = json_get(claims, "azp"), *client = json_get(claims, "client_id");
    if (!*verify->clients)
        return 0;
    if ((party || client) && (!party || client_allowed(verify, party)) && (!client || client_allowed(verify, client)))
        return 0;
    return fault_set(fault, VERIFY_REFUSED, "the token was given to a client that is not allowed");
}

static bool is_plain(const char *text, size_t max) {
    size_t size = strlen(text);
    for (const char *each = text; *each; each++)
        if ((unsigned char)*each < 0x20 || *each == 0x7f)
            return false;
    return size > 0 && size <= max;
}

static int take_subject(const struct json *claims, struct verify_claims *out, struct fault *fault) {
    const char *subject = json_get_text(claims, "sub");
    if (!subject || !is_plain(subject, MAX_SUBJECT))
        return fault_set(fault, VERIFY_REFUSED, "the token's sub is missing or longer than %d bytes", MAX_SUBJECT);
    out->subject = strdup(subject);
    return out->subject ? 0 : -ENOMEM;
}

static int check_claims(const struct verify *verify, const struct json *claims, struct verify_claims *out,
                        struct fault *fault) {
    int result = check_issuer(verify, claims, fault);
    if (!result)
        result = check_audience(verify, claims, fault);
    if (!result)
        result = check_when(verify, claims, &out->expires_s, fault);
    if (!result)
        result = check_not_id_token(claims, fault);
    if (!result)
        result = check_client(verify, claims, fault);
    return result ? result : take_subject(claims, out, fault);
}

/* The email. */

static int take_email(const char *email, const struct json *verified, struct verify_claims *out, struct fault *fault) {
    bool is_verified = false;
    if (!is_plain(email, MAX_EMAIL) || !strchr(email, '@'))
        return fault_set(fault, VERIFY_UNVERIFIED, "what the issuer says is your email is no email address");
    json_boolean(verified, &is_verified);
    if (!is_verified)
        return fault_set(fault, VERIFY_UNVERIFIED,
                         "your email address %s is not verified: open the mail that the login provider sent you",
                         email);
    out->email = strdup(email);
    out->email_verified = true;
    return out->email ? 0 : -ENOMEM;
}

static int find_email(const struct verify *verify, const struct json *claims, struct verify_claims *out,
                      struct fault *fault) {
    for (char **each = verify->email_claims; *each; each++) {
        const char *email = json_get_text(claims, *each);
        if (!email)
            continue;
        AUTO_FREE char *verified = text_format("%s_verified", *each);
        return verified ? take_email(email, json_get(claims, verified), out, fault) : -ENOMEM;
    }
    return 0;
}

/* The whole. */

static int check_signature(struct verify *verify, const struct jwt *jwt, uint64_t *generation, struct fault *fault) {
    int result = keys_check(verify->keys, jwt, generation, fault);
    return result <= 0 ? result : result == KEYS_UNPROVEN ? VERIFY_UNPROVEN : VERIFY_REFUSED;
}

int verify_token(struct verify *verify, const char *token, size_t size, struct verify_claims *claims,
                 struct fault *fault) {
    CLEANUP(jwt_finish) struct jwt jwt = {0};
    *claims = (struct verify_claims){0};
    int result = jwt_parse(&jwt, token, size, fault);
    if (result)
        return result < 0 ? result : VERIFY_REFUSED;
    result = check_type(jwt.header, fault);
    if (!result)
        result = check_issuer(verify, jwt.claims, fault); /* before a strange key could cause a fetch */
    if (!result)
        result = check_signature(verify, &jwt, &claims->generation, fault);
    if (!result)
        result = check_claims(verify, jwt.claims, claims, fault);
    if (!result)
        result = find_email(verify, jwt.claims, claims, fault);
    if (result)
        verify_claims_finish(claims);
    return result;
}

static int ask_userinfo(struct verify *verify, const char *token, struct fetch_answer *answer, struct fault *fault) {
    AUTO_FREE char *url = keys_userinfo_url(verify->keys);
    if (!url)
        return fault_set(fault, VERIFY_UNVERIFIED,
                         "the token has no email and the issuer no userinfo: the operator must add an email claim");
    struct fetch_request request = {.method = "GET", .url = url, .bearer = token, .secret_answer = true};
    if (fetch_perform(verify->fetch, &request, answer, fault))
        return fault_prefix(fault, VERIFY_UNPROVEN, "the issuer's userinfo");
    if (answer->status == 401)
        return fault_set(fault, VERIFY_REFUSED, "the issuer's userinfo refused the token");
    if (answer->status == 429 || answer->status >= 500)
        return fault_set(fault, VERIFY_UNPROVEN, "the issuer's userinfo answered HTTP %d", answer->status);
    if (answer->status != 200 || !json_is_object(answer->json))
        return fault_set(fault, VERIFY_UNVERIFIED,
                         "the issuer's userinfo tells no email (HTTP %d): the scopes must include openid and email",
                         answer->status);
    return 0;
}

int verify_userinfo(struct verify *verify, const char *token, struct verify_claims *claims, struct fault *fault) {
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int result = ask_userinfo(verify, token, &answer, fault);
    if (result)
        return result;
    /* OpenID Connect Core, 5.3.4: otherwise the answer must not be used */
    if (!text_equal(json_get_text(answer.json, "sub"), claims->subject))
        return fault_set(fault, VERIFY_REFUSED, "the issuer's userinfo is about somebody else");
    const char *email = json_get_text(answer.json, "email");
    if (!email)
        return fault_set(fault, VERIFY_UNVERIFIED, "the login provider tells no email address of yours");
    return take_email(email, json_get(answer.json, "email_verified"), claims, fault);
}

int verify_prepare(struct verify *verify, struct fault *fault) {
    return keys_prepare(verify->keys, fault);
}

uint64_t verify_generation(struct verify *verify) {
    return keys_generation(verify->keys);
}

int64_t verify_keys_age_s(struct verify *verify) {
    return keys_age_s(verify->keys);
}

/* Making one. */

static char **copy_list(const char *const *list, size_t count) {
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(list[i]);
        if (!copy[i]) {
            while (i--)
                free(copy[i]);
            free(copy);
            return NULL;
        }
    }
    return copy;
}

static void free_list(char **list) {
    for (char **each = list; each && *each; each++)
        free(*each);
    free(list);
}

void verify_destroy(struct verify *verify) {
    if (!verify)
        return;
    keys_destroy(verify->keys);
    free_list(verify->clients);
    free_list(verify->email_claims);
    free(verify->issuer);
    free(verify->audience);
    free(verify);
}

static inline void verify_destroy_p(struct verify **verify) {
    verify_destroy(*verify);
}

int verify_create(struct verify **out, const struct verify_options *options, struct fault *fault) {
    if (!fetch_url_allowed(options->issuer))
        return fault_set(fault, -EINVAL, "the issuer \"%s\" must be an https URL", options->issuer);
    CLEANUP(verify_destroy_p) struct verify *verify = calloc(1, sizeof *verify);
    if (!verify)
        return -ENOMEM;
    verify->fetch = options->fetch;
    verify->issuer = strdup(options->issuer);
    verify->audience = strdup(options->audience);
    verify->clients = copy_list(options->clients, options->client_count);
    verify->email_claims = copy_list(options->email_claims, options->email_claim_count);
    if (!verify->issuer || !verify->audience || !verify->clients || !verify->email_claims)
        return -ENOMEM;
    struct keys_options keys = {
        .issuer = options->issuer,
        .fetch = options->fetch,
        .refetch_s = options->refetch_s ? options->refetch_s : 30,
        .cache_s = options->cache_s ? options->cache_s : 600,
    };
    int error = keys_create(&verify->keys, &keys);
    if (error)
        return error;
    *out = TAKE(verify);
    return 0;
}
