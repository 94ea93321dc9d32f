/* AWS Signature Version 4: checking a request that came in. What was signed is rebuilt from the request itself, and
 * every x-amz-* header must be part of it. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/sign_canonical.h"
#include "s3/sign_key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SKEW_S 900       /* AWS: 15 minutes */
#define LONGEST_S 604800 /* of a pre-signed URL: 7 days */

/* What the request says of its own signature. */
struct claim {
    char *credential, *signed_names, *signature, *date; /* owned */
    char *algorithm;                                    /* owned; query form only */
    uint64_t expires_s;                                 /* query form only */
    bool in_query;
};

static void claim_finish(struct claim *claim) {
    free(claim->credential);
    free(claim->signed_names);
    free(claim->signature);
    free(claim->date);
    free(claim->algorithm);
}

void sign_checked_finish(struct sign_checked *checked) {
    free(checked->payload_sha256);
    explicit_bzero(checked, sizeof *checked);
}

static const char *header_of(const struct sign_incoming *incoming, const char *name) {
    for (size_t i = 0; i < incoming->header_count; i++)
        if (strcmp(incoming->headers[i].name, name) == 0)
            return incoming->headers[i].value;
    return NULL;
}

/* Walks "a=1&b": false at the end. */
static bool next_parameter(const char **at, const char **name, size_t *name_size, const char **value,
                           size_t *value_size) {
    while (**at == '&')
        ++*at;
    if (!**at)
        return false;
    size_t size = strcspn(*at, "&");
    const char *equals = memchr(*at, '=', size);
    *name = *at;
    *name_size = equals ? (size_t)(equals - *at) : size;
    *value = equals ? equals + 1 : NULL;
    *value_size = equals ? size - *name_size - 1 : 0;
    *at += size;
    return true;
}

/* The decoded value of a query parameter; *value NULL if it is absent. */
static int parameter_of(const char *query, const char *wanted, char **value) {
    const char *name, *text;
    size_t name_size, text_size, size;
    *value = NULL;
    while (next_parameter(&query, &name, &name_size, &text, &text_size)) {
        if (name_size != strlen(wanted) || memcmp(name, wanted, name_size) != 0)
            continue;
        *value = text_percent_decode(text ? text : "", text_size, true, &size);
        if (!*value)
            return errno == EINVAL ? SIGN_MALFORMED : -ENOMEM;
        return strlen(*value) == size ? 0 : SIGN_MALFORMED;
    }
    return 0;
}

static int claim_from_query(const char *query, struct claim *claim) {
    AUTO_FREE char *expires = NULL;
    claim->in_query = true;
    int r = parameter_of(query, "X-Amz-Algorithm", &claim->algorithm);
    if (!r)
        r = parameter_of(query, "X-Amz-Credential", &claim->credential);
    if (!r)
        r = parameter_of(query, "X-Amz-Date", &claim->date);
    if (!r)
        r = parameter_of(query, "X-Amz-SignedHeaders", &claim->signed_names);
    if (!r)
        r = parameter_of(query, "X-Amz-Signature", &claim->signature);
    if (!r)
        r = parameter_of(query, "X-Amz-Expires", &expires);
    if (r)
        return r;
    bool complete = text_equal(claim->algorithm, SIGN_ALGORITHM) && claim->credential && claim->date &&
                    claim->signed_names && claim->signature && expires;
    if (!complete || text_parse_u64(expires, &claim->expires_s) || claim->expires_s > LONGEST_S)
        return SIGN_MALFORMED;
    return 0;
}

/* "name=value" up to a comma; NULL if absent. */
static char *field_of(const char *text, const char *name) {
    size_t size = strlen(name);
    while (*text) {
        text += strspn(text, " ,");
        size_t length = strcspn(text, ",");
        if (length > size && text[size] == '=' && strncmp(text, name, size) == 0) {
            while (length > size + 1 && text[length - 1] == ' ')
                length--;
            return strndup(text + size + 1, length - size - 1);
        }
        text += length;
    }
    return NULL;
}

/* x-amz-date, or else Date, in SigV4's form. */
static int claim_date(const struct sign_incoming *incoming, struct claim *claim) {
    const char *date = header_of(incoming, "x-amz-date");
    if (date) {
        claim->date = strdup(date);
        return claim->date ? 0 : -ENOMEM;
    }
    int64_t seconds;
    struct tm tm;
    date = header_of(incoming, "date");
    if (!date || clock_parse_http(date, &seconds) || !gmtime_r(&(time_t){seconds}, &tm))
        return SIGN_MALFORMED;
    char text[17];
    if (!strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &tm))
        return SIGN_MALFORMED;
    claim->date = strdup(text);
    return claim->date ? 0 : -ENOMEM;
}

static int claim_from_header(const struct sign_incoming *incoming, const char *authorization, struct claim *claim) {
    size_t size = strlen(SIGN_ALGORITHM);
    if (strncmp(authorization, SIGN_ALGORITHM " ", size + 1) != 0)
        return SIGN_MALFORMED;
    claim->credential = field_of(authorization + size, "Credential");
    claim->signed_names = field_of(authorization + size, "SignedHeaders");
    claim->signature = field_of(authorization + size, "Signature");
    if (!claim->credential || !claim->signed_names || !claim->signature)
        return SIGN_MALFORMED;
    return claim_date(incoming, claim);
}

static int claim_read(const struct sign_incoming *incoming, struct claim *claim) {
    const char *authorization = header_of(incoming, "authorization");
    if (authorization)
        return claim_from_header(incoming, authorization, claim);
    if (strstr(incoming->raw_query, "X-Amz-Signature=") || strstr(incoming->raw_query, "X-Amz-Algorithm="))
        return claim_from_query(incoming->raw_query, claim);
    return SIGN_MISSING;
}

static int parse_date(const char *date, int64_t *seconds) {
    struct tm tm = {0};
    if (strlen(date) != 16)
        return SIGN_MALFORMED;
    const char *end = strptime(date, "%Y%m%dT%H%M%SZ", &tm);
    if (!end || *end)
        return SIGN_MALFORMED;
    *seconds = timegm(&tm);
    return 0;
}

static int check_time(const struct claim *claim, int64_t now_s) {
    int64_t signed_s;
    int r = parse_date(claim->date, &signed_s);
    if (r)
        return r;
    if (signed_s > now_s + SKEW_S)
        return SIGN_SKEWED;
    if (claim->in_query)
        return now_s > signed_s + (int64_t)claim->expires_s ? SIGN_EXPIRED : 0;
    return signed_s < now_s - SKEW_S ? SIGN_SKEWED : 0;
}

/* "KEY/day/region/service/aws4_request": whose, and for where. An access key may hold slashes. */
static int check_credential(const struct claim *claim, const struct sign_credentials *credentials,
                            struct sign_checked *checked) {
    int length = snprintf(checked->scope, sizeof checked->scope, "%.8s/%s/%s/aws4_request", claim->date,
                          credentials->region, credentials->service);
    if (length < 0 || (size_t)length >= sizeof checked->scope)
        return -EINVAL;
    size_t key = strlen(credentials->access_key);
    if (strncmp(claim->credential, credentials->access_key, key) != 0 || claim->credential[key] != '/')
        return SIGN_UNKNOWN_KEY;
    return strcmp(claim->credential + key + 1, checked->scope) == 0 ? 0 : SIGN_MALFORMED;
}

static bool is_signed(const char *names, const char *name) {
    size_t size = strlen(name);
    for (const char *at = names; *at;) {
        size_t length = strcspn(at, ";");
        if (length == size && memcmp(at, name, size) == 0)
            return true;
        at += length + (at[length] == ';');
    }
    return false;
}

/* Host and every x-amz-* header are signed, and every signed name is there. */
static int check_signed_names(const struct sign_incoming *incoming, const struct claim *claim) {
    if (!is_signed(claim->signed_names, "host"))
        return SIGN_MALFORMED;
    for (size_t i = 0; i < incoming->header_count; i++)
        if (text_starts(incoming->headers[i].name, "x-amz-") &&
            !is_signed(claim->signed_names, incoming->headers[i].name))
            return SIGN_UNSIGNED_HEADER;
    return 0;
}

static int collect_headers(const struct sign_incoming *incoming, const struct claim *claim, struct sign_list *list) {
    int r = 0;
    for (size_t i = 0; i < incoming->header_count && !r; i++)
        if (is_signed(claim->signed_names, incoming->headers[i].name))
            r = sign_list_add_header(list, incoming->headers[i].name, incoming->headers[i].value);
    sign_list_sort_headers(list);
    if (r)
        return r == -EINVAL ? SIGN_MALFORMED : r;
    AUTO_BUFFER struct buffer names = {0};
    r = sign_canonical_signed_names(&names, list);
    if (r)
        return r;
    return names.data && strcmp(names.data, claim->signed_names) == 0 ? 0 : SIGN_MISMATCH;
}

static int collect_one(const char *name, size_t name_size, const char *value, size_t value_size,
                       struct sign_list *list) {
    size_t plain_name_size, plain_value_size = 0;
    AUTO_FREE char *plain_name = text_percent_decode(name, name_size, true, &plain_name_size);
    AUTO_FREE char *plain_value = NULL;
    if (plain_name && value)
        plain_value = text_percent_decode(value, value_size, true, &plain_value_size);
    if (!plain_name || (value && !plain_value))
        return errno == EINVAL ? SIGN_MALFORMED : -ENOMEM;
    return sign_list_add_query(list, plain_name, plain_name_size, plain_value, plain_value_size);
}

static int collect_query(const struct sign_incoming *incoming, const struct claim *claim, struct sign_list *list) {
    const char *at = incoming->raw_query, *name, *value;
    size_t name_size, value_size;
    int r = 0;
    while (!r && next_parameter(&at, &name, &name_size, &value, &value_size)) {
        static const char signature[] = "X-Amz-Signature";
        if (claim->in_query && name_size == strlen(signature) && memcmp(name, signature, name_size) == 0)
            continue;
        r = collect_one(name, name_size, value, value_size, list);
    }
    sign_list_sort_query(list);
    return r;
}

/* What the request says of its body's hash. */
static int take_payload(const struct sign_incoming *incoming, const struct claim *claim, struct sign_checked *checked) {
    const char *payload = header_of(incoming, "x-amz-content-sha256");
    if (!payload && !claim->in_query)
        return SIGN_MALFORMED;
    checked->payload_sha256 = strdup(payload ? payload : "UNSIGNED-PAYLOAD");
    return checked->payload_sha256 ? 0 : -ENOMEM;
}

static int expected_signature(const struct sign_credentials *credentials, struct sign_cache *cache,
                              const struct sign_incoming *incoming, const struct claim *claim,
                              struct sign_checked *checked) {
    AUTO_SIGN_LIST struct sign_list query = {0}, headers = {0};
    AUTO_WIPE_BUFFER struct buffer canonical = {0};
    size_t path_size;
    AUTO_FREE char *path = text_percent_decode(incoming->raw_path, strlen(incoming->raw_path), false, &path_size);
    if (!path)
        return errno == EINVAL ? SIGN_MALFORMED : -ENOMEM;
    int r = collect_headers(incoming, claim, &headers);
    if (!r)
        r = collect_query(incoming, claim, &query);
    if (!r)
        r = sign_canonical_write(&canonical, incoming->method, path, path_size, &query, &headers,
                                 checked->payload_sha256);
    char day[9] = {0};
    memcpy(day, claim->date, 8);
    if (!r)
        r = sign_key_derive(cache, credentials, day, checked->key);
    if (!r)
        r = sign_key_sign_request(cache, checked->key, claim->date, checked->scope, canonical.data, canonical.size,
                                  checked->previous);
    return r;
}

static int check_claim(const struct sign_credentials *credentials, struct sign_cache *cache,
                       const struct sign_incoming *incoming, const struct claim *claim, struct sign_checked *checked) {
    int64_t unused;
    int r = parse_date(claim->date, &unused);
    if (!r)
        r = check_credential(claim, credentials, checked);
    if (!r)
        r = check_signed_names(incoming, claim);
    if (!r)
        r = take_payload(incoming, claim, checked);
    if (!r)
        r = expected_signature(credentials, cache, incoming, claim, checked);
    if (r)
        return r;
    memcpy(checked->date, claim->date, sizeof checked->date);
    if (!text_equal_secret(checked->previous, claim->signature))
        return SIGN_MISMATCH;
    return check_time(claim, incoming->now_s);
}

int sign_check(const struct sign_credentials *credentials, struct sign_cache *cache,
               const struct sign_incoming *incoming, struct sign_checked *checked) {
    CLEANUP(claim_finish) struct claim claim = {0};
    struct sign_checked result = {0};
    int r = claim_read(incoming, &claim);
    if (!r)
        r = check_claim(credentials, cache, incoming, &claim, &result);
    if (r)
        sign_checked_finish(&result);
    else
        *checked = result;
    return r;
}

int sign_check_chunk(struct sign_checked *checked, bool trailer, const char *sha256, const char *signature) {
    static const char nothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    AUTO_BUFFER struct buffer text = {0};
    int r =
        buffer_append_format(&text, "%s\n%s\n%s\n%s\n", trailer ? SIGN_ALGORITHM "-TRAILER" : SIGN_ALGORITHM "-PAYLOAD",
                             checked->date, checked->scope, checked->previous);
    if (!r && !trailer)
        r = buffer_append_format(&text, "%s\n", nothing);
    if (!r)
        r = buffer_append_text(&text, sha256);
    char expected[65];
    if (!r)
        r = sign_key_sign(NULL, checked->key, text.data, text.size, expected);
    if (r)
        return r;
    if (!text_equal_secret(expected, signature))
        return SIGN_MISMATCH;
    memcpy(checked->previous, expected, sizeof expected);
    return 0;
}
