/* Answers in JSON. */
#include "s3/server/reply.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/mint.h"
#include "s3/wire.h"

#include <stdio.h>
#include <string.h>

const struct reply_kind reply_token = {401, WIRE_ERROR_TOKEN, 0, NULL};
const struct reply_kind reply_denied = {403, WIRE_ERROR_DENIED, 0, NULL};
const struct reply_kind reply_not_found = {404, WIRE_ERROR_NOT_FOUND, 0, NULL};
const struct reply_kind reply_not_offered = {404, WIRE_ERROR_NOT_OFFERED, 0, NULL};
const struct reply_kind reply_counted = {403, WIRE_ERROR_QUOTA, 0, NULL};
const struct reply_kind reply_method = {405, WIRE_ERROR_NOT_FOUND, 0, NULL};
const struct reply_kind reply_too_large = {413, WIRE_ERROR_TOO_LARGE, 0, NULL};
const struct reply_kind reply_bad_item = {422, WIRE_ERROR_BAD_ITEM, 0, NULL};
const struct reply_kind reply_busy = {503, WIRE_ERROR_BUSY, 1, NULL};
const struct reply_kind reply_unavailable = {503, WIRE_ERROR_UNAVAILABLE, 5, NULL};
const struct reply_kind reply_internal = {500, WIRE_ERROR_UNAVAILABLE, 0, NULL};

struct reply_kind reply_limited(unsigned retry_after_s, const char *reason) {
    return (struct reply_kind){429, WIRE_ERROR_BUSY, (int)retry_after_s, reason};
}

static const struct http_header json_headers[] = {
    {"Content-Type", "application/json"},
    {"Cache-Control", "no-store"}, /* grants and emails are nobody else's */
    {"X-Content-Type-Options", "nosniff"},
};
#define JSON_HEADERS (sizeof json_headers / sizeof *json_headers)

static size_t begin_headers(const struct http_request *request, struct http_header *headers) {
    memcpy(headers, json_headers, sizeof json_headers);
    headers[JSON_HEADERS] = (struct http_header){"X-Request-Id", request->id};
    return JSON_HEADERS + 1;
}

static void send_json(struct http_request *request, int status, char *text, size_t size) {
    struct http_header headers[JSON_HEADERS + 1];
    size_t count = begin_headers(request, headers);
    http_answer(request, &(struct http_answer){
                             .status = status, .headers = headers, .header_count = count, .bytes = text, .size = size});
}

void reply_buffer(struct http_request *request, int status, struct buffer *body) {
    size_t size = body->size;
    send_json(request, status, buffer_take(body), size);
}

void reply_json(struct http_request *request, int status, struct json *object) {
    char *text = json_print(object);
    json_destroy(object);
    if (text)
        send_json(request, status, text, strlen(text));
    else
        reply_error(request, &reply_internal, "out of memory");
}

int reply_write_item_error(struct buffer *out, const char *code, const char *message) {
    return mint_write_error(out, code, message, NULL);
}

/* A flood fills no disk: 429 is counted, and told now and then (routes.c). */
static enum log_level level_of(int status) {
    return status >= 500 ? LOG_WARNING : status == 429 ? LOG_DEBUG : LOG_INFO;
}

static void log_refusal(const struct http_request *request, const struct reply_kind *kind, const char *message) {
    struct log_field fields[] = {{.name = "status", .number = kind->status},
                                 {.name = "code", .value = kind->reason ? kind->reason : kind->code},
                                 {.name = "request", .value = request->id}};
    log_event(level_of(kind->status), fields, sizeof fields / sizeof *fields, "%s %s: %s", request->method,
              request->label ? request->label : "(elsewhere)", message);
}

void reply_error(struct http_request *request, const struct reply_kind *kind, const char *message) {
    AUTO_BUFFER struct buffer body = {0};
    char retry[12];
    snprintf(retry, sizeof retry, "%d", kind->retry_after_s);
    struct http_header headers[JSON_HEADERS + 3];
    size_t count = begin_headers(request, headers);
    if (kind->retry_after_s)
        headers[count++] = (struct http_header){"Retry-After", retry};
    if (kind->status == 401)
        headers[count++] = (struct http_header){"WWW-Authenticate", "Bearer"};
    log_refusal(request, kind, message);
    mint_write_error(&body, kind->code, message, request->id);
    request->note = kind->reason ? kind->reason : kind->code;
    size_t size = body.size;
    http_answer(request, &(struct http_answer){.status = kind->status,
                                               .headers = headers,
                                               .header_count = count,
                                               .bytes = buffer_take(&body),
                                               .size = size});
}
