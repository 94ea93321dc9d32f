/* Minting grants. The JSON is written straight into the answer: a batch holds a thousand of them. */
#include "s3/mint.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/address.h"
#include "s3/checksum.h"

#include <stdio.h>
#include <string.h>

#define HEADER_FORM_LIFE_S 900 /* S3 takes a header signature for 15 minutes after its date */

unsigned mint_life_s(const struct mint *signer) {
    int64_t life = signer->life_s;
    if (signer->keys_expire_s && signer->keys_expire_s - signer->now_s < life)
        life = signer->keys_expire_s - signer->now_s;
    return life > 0 ? (unsigned)life : 0;
}

/* JSON. */

static int write_escaped(struct buffer *out, unsigned char byte) {
    if (byte == '"' || byte == '\\') {
        char pair[2] = {'\\', (char)byte};
        return buffer_append(out, pair, 2);
    }
    return buffer_append_format(out, "\\u%04x", byte);
}

int mint_write_text(struct buffer *out, const char *text, size_t size) {
    int error = buffer_append(out, "\"", 1);
    for (size_t from = 0, at = 0; at <= size && !error; at++) {
        unsigned char byte = at < size ? (unsigned char)text[at] : 0;
        if (at < size && byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        error = buffer_append(out, text + from, at - from);
        if (!error && at < size)
            error = write_escaped(out, byte);
        from = at + 1;
    }
    return error ? error : buffer_append(out, "\"", 1);
}

/* Messages may quote what was asked, cut anywhere: ASCII is always JSON. */
static void to_ascii(const char *message, char out[600]) {
    snprintf(out, 600, "%s", message);
    for (char *each = out; *each; each++)
        if ((unsigned char)*each >= 0x7f || (unsigned char)*each < 0x20)
            *each = '?';
}

int mint_write_error(struct buffer *out, const char *code, const char *message, const char *request_id) {
    char ascii[600];
    to_ascii(message, ascii);
    int error = buffer_append_format(out, "{\"error\":{\"code\":\"%s\",\"message\":", code);
    if (!error)
        error = mint_write_text(out, ascii, strlen(ascii));
    if (!error && request_id)
        error = buffer_append_format(out, ",\"request_id\":\"%s\"", request_id);
    return error ? error : buffer_append_text(out, "}}");
}

static int write_member(struct buffer *out, const char *before, const char *name, const char *value) {
    int error = buffer_append_text(out, before);
    if (!error)
        error = mint_write_text(out, name, strlen(name));
    if (!error)
        error = buffer_append(out, ":", 1);
    return error ? error : mint_write_text(out, value, strlen(value));
}

static int write_pairs(struct buffer *out, const struct sign_pair *pairs, size_t count, bool *first) {
    int error = 0;
    for (size_t i = 0; i < count && !error; i++) {
        error = write_member(out, *first ? "" : ",", pairs[i].name, pairs[i].value);
        *first = false;
    }
    return error;
}

static int write_headers(struct buffer *out, const char *name, const struct policy_plan *plan) {
    bool first = true;
    int error = buffer_append(out, ",", 1);
    if (!error)
        error = mint_write_text(out, name, strlen(name));
    if (!error)
        error = buffer_append(out, ":{", 2);
    if (!error)
        error = write_pairs(out, plan->signed_headers, plan->signed_count, &first);
    if (!error)
        error = write_pairs(out, plan->free_headers, plan->free_count, &first);
    return error ? error : buffer_append(out, "}", 1);
}

/* Signing. */

static struct sign_request to_sign(const struct mint *signer, const struct policy_plan *plan,
                                   const struct address *address) {
    return (struct sign_request){
        .method = plan->method,
        .scheme_host = address->scheme_host,
        .path = address->path,
        .path_size = strlen(address->path),
        .query = plan->query,
        .query_count = plan->query_count,
        .headers = plan->signed_headers,
        .header_count = plan->signed_count,
        .time_s = signer->now_s,
    };
}

static int write_url(const struct mint *signer, const struct policy_plan *plan, const struct address *address,
                     unsigned life_s, struct buffer *out) {
    struct sign_request request = to_sign(signer, plan, address);
    int error = buffer_append(out, "\"", 1);
    if (!error)
        error = sign_url_append(signer->keys, signer->signing, &request, life_s, out);
    return error ? error : buffer_append(out, "\"", 1);
}

/* A run of parts: one URL each; the last one's content-length may be another, and is signed as that. */
static int write_parts(const struct mint *signer, const struct policy_plan *plan, const struct address *address,
                       unsigned life_s, struct buffer *out) {
    struct policy_plan each = *plan;
    char number[12];
    int error = buffer_append_text(out, "\"urls\":[");
    for (unsigned i = 0; i < plan->count && !error; i++) {
        snprintf(number, sizeof number, "%u", plan->first + i);
        each.query[plan->number_place].value = number;
        if (plan->last_size && i + 1 == plan->count)
            each.signed_headers[plan->length_place].value = plan->last_size;
        if (i)
            error = buffer_append(out, ",", 1);
        if (!error)
            error = write_url(signer, &each, address, life_s, out);
    }
    if (!error)
        error = buffer_append(out, "]", 1);
    if (!error)
        error = write_headers(out, "headers", plan);
    return error || !plan->last_size ? error : write_headers(out, "last_headers", &each);
}

/* A body that only the header form can bind: signed by its SHA-256, and handed out as it must be sent. */
static int write_bound(const struct mint *signer, const struct policy_plan *plan, const struct address *address,
                       struct buffer *out) {
    struct sign_request request = to_sign(signer, plan, address);
    AUTO_FREE char *sha256 = NULL, *md5 = NULL, *url = NULL, *authorization = NULL;
    char date[17];
    int error = checksum_hex(CHECKSUM_SHA256, plan->body, plan->body_size, &sha256);
    if (!error)
        error = checksum_base64(CHECKSUM_MD5, plan->body, plan->body_size, &md5);
    if (!error)
        error = sign_headers(signer->keys, signer->signing, &request, sha256, &url, &authorization, date);
    if (error)
        return error;
    struct sign_pair headers[] = {
        {"authorization", authorization},    {"x-amz-date", date},
        {"x-amz-content-sha256", sha256},    {"content-md5", md5},
        {"content-type", "application/xml"}, {"x-amz-security-token", signer->keys->session_token},
    };
    bool first = true;
    error = write_member(out, "", "url", url);
    if (!error)
        error = buffer_append_text(out, ",\"headers\":{");
    if (!error)
        error = write_pairs(out, headers, signer->keys->session_token ? 6 : 5, &first);
    if (!error)
        error = buffer_append_text(out, "},\"body\":");
    return error ? error : mint_write_text(out, plan->body, plan->body_size);
}

static int write_one(const struct mint *signer, const struct policy_plan *plan, const struct address *address,
                     unsigned life_s, struct buffer *out) {
    int error = buffer_append_text(out, "\"url\":");
    if (!error)
        error = write_url(signer, plan, address, life_s, out);
    return error ? error : write_headers(out, "headers", plan);
}

int mint_write(const struct mint *signer, const struct policy_plan *plan, struct buffer *out) {
    unsigned life_s = mint_life_s(signer);
    if (!life_s)
        return -ESTALE;
    if (plan->body && life_s > HEADER_FORM_LIFE_S)
        life_s = HEADER_FORM_LIFE_S;
    __attribute__((cleanup(address_finish))) struct address address = {0};
    int error = address_make(signer->endpoint, signer->virtual_style, signer->bucket, plan->key, &address);
    if (!error)
        error = write_member(out, "{", "method", plan->method);
    if (!error)
        error = buffer_append(out, ",", 1);
    if (error)
        return error;
    if (plan->body)
        error = write_bound(signer, plan, &address, out);
    else if (plan->is_run)
        error = write_parts(signer, plan, &address, life_s, out);
    else
        error = write_one(signer, plan, &address, life_s, out);
    return error ? error : buffer_append_format(out, ",\"expires_in\":%u}", life_s);
}
