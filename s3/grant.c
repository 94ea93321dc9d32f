/* One grant in memory. */
#include "s3/grant.h"

#include "base/buffer.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define MOST_LIFE_S 604800 /* S3's own limit for signed URLs */

void grant_drop(struct owned_grant *grant) {
    if (!grant || --grant->uses)
        return;
    free(grant->texts);
    free(grant->urls);
    free(grant->headers);
    free(grant);
}

static int add_member_texts(struct buffer *texts, const struct json *object, size_t *count) {
    for (const struct json *member = json_first(object); member; member = json_next(member)) {
        const char *name = json_name(member), *value = json_text(member);
        if (!name || !value)
            return PAIL_DAMAGED;
        if (buffer_append(texts, name, strlen(name) + 1) || buffer_append(texts, value, strlen(value) + 1))
            return -ENOMEM;
        (*count)++;
    }
    return 0;
}

static int add_url(struct buffer *texts, const struct json *url, size_t *count) {
    const char *text = json_text(url);
    if (!text || (!text_starts(text, "https://") && !text_starts(text, "http://")))
        return PAIL_DAMAGED;
    (*count)++;
    return buffer_append(texts, text, strlen(text) + 1);
}

static int add_urls(struct buffer *texts, const struct json *json, size_t *count) {
    const struct json *urls = json_get(json, "urls");
    if (!urls)
        return add_url(texts, json_get(json, "url"), count);
    for (const struct json *url = json_first(urls); url; url = json_next(url)) {
        int error = add_url(texts, url, count);
        if (error)
            return error;
    }
    return *count ? 0 : PAIL_DAMAGED;
}

static const char *next_text(const char **at) {
    const char *text = *at;
    *at += strlen(text) + 1;
    return text;
}

/* Sets the pointers into the texts: method, URLs, headers, last headers, body. */
static int point_into(struct owned_grant *owned, size_t body_size) {
    struct grant *grant = &owned->grant;
    size_t headers = grant->header_count + grant->last_header_count;
    const char *at = owned->texts;
    owned->urls = calloc(grant->url_count, sizeof *owned->urls);
    owned->headers = calloc(headers ? headers : 1, sizeof *owned->headers);
    if (!owned->urls || !owned->headers)
        return -ENOMEM;
    grant->method = next_text(&at);
    for (size_t i = 0; i < grant->url_count; i++)
        owned->urls[i] = next_text(&at);
    for (size_t i = 0; i < headers; i++) {
        owned->headers[i].name = next_text(&at);
        owned->headers[i].value = next_text(&at);
    }
    grant->urls = owned->urls;
    grant->headers = owned->headers;
    grant->last_headers = grant->last_header_count ? owned->headers + grant->header_count : NULL;
    grant->body = body_size ? at : NULL;
    grant->body_size = body_size;
    return 0;
}

int grant_parse(const struct json *json, int64_t asked_ms, struct owned_grant **out) {
    AUTO_BUFFER struct buffer texts = {0};
    CLEANUP(grant_drop_p) struct owned_grant *owned = calloc(1, sizeof *owned);
    if (!owned)
        return -ENOMEM;
    struct grant *grant = &owned->grant;
    owned->uses = 1;
    const char *method = json_get_text(json, "method"), *body = json_get_text(json, "body");
    int64_t life_s = json_get_integer(json, "expires_in", 0);
    grant->life_ms = (life_s < MOST_LIFE_S ? life_s : MOST_LIFE_S) * 1000;
    grant->expires_ms = asked_ms + grant->life_ms;
    if (!method || life_s <= 0)
        return PAIL_DAMAGED;
    int error = buffer_append(&texts, method, strlen(method) + 1);
    if (!error)
        error = add_urls(&texts, json, &grant->url_count);
    if (!error)
        error = add_member_texts(&texts, json_get(json, "headers"), &grant->header_count);
    if (!error)
        error = add_member_texts(&texts, json_get(json, "last_headers"), &grant->last_header_count);
    if (!error && body)
        error = buffer_append(&texts, body, strlen(body));
    if (error)
        return error;
    owned->bytes = sizeof *owned + texts.size + 200;
    owned->texts = buffer_take(&texts);
    error = owned->texts ? point_into(owned, body ? strlen(body) : 0) : -ENOMEM;
    if (!error)
        *out = TAKE(owned);
    return error;
}
