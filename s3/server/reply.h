/* Answers of the mapping server: JSON, or an error in the contract's form. Thread-safe. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "s3/server/http.h"

/* Hands body's bytes over as JSON. */
void reply_buffer(struct http_request *request, int status, struct buffer *body);
/* Prints and destroys object; without memory the answer is 500. */
void reply_json(struct http_request *request, int status, struct json *object);

struct reply_kind {
    int status;
    const char *code;   /* of wire.h */
    int retry_after_s;  /* 0: no such header */
    const char *reason; /* what it is counted as; NULL: the code */
};
extern const struct reply_kind reply_token, reply_denied, reply_not_found, reply_not_offered, reply_counted,
    reply_method, reply_too_large, reply_bad_item, reply_busy, reply_unavailable, reply_internal;
/* 429, for as many seconds. reason: static, as above. */
struct reply_kind reply_limited(unsigned retry_after_s, const char *reason);
/* {"error":{...}} with the request's id, which the log has too; request->note is the reason. message is for the person
 * at the client. */
void reply_error(struct http_request *request, const struct reply_kind *kind, const char *message);
/* Appends {"error":{"code","message"}} of a single item. Bytes of message that are not ASCII are replaced. */
int reply_write_item_error(struct buffer *out, const char *code, const char *message);
