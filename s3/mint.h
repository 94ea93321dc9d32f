/* From a checked plan to a grant: the signed URLs and headers, written as JSON. The mapping server does it, and the
 * client in credentials mode. No I/O. Thread-safe. */
#pragma once

#include "base/buffer.h"
#include "s3/policy.h"
#include "s3/sign.h"

#include <stdint.h>

/* Who signs, and for which bucket; all borrowed. */
struct mint {
    const char *endpoint; /* origin of the store, as clients reach it */
    bool virtual_style;   /* the bucket stands in the host name */
    const char *bucket;
    struct sign_cache *signing;
    const struct sign_credentials *keys;
    int64_t keys_expire_s; /* Unix; 0: never */
    int64_t life_s;        /* of a grant, if the keys live as long */
    int64_t now_s;         /* Unix */
};

/* Seconds that a grant signed with these keys lives: the shorter of its own life and theirs; 0: they are over. */
unsigned mint_life_s(const struct mint *signer);
/* Appends {"method", "url"|"urls", "headers", ...}. 0, -ENOMEM, or -ESTALE when the keys are over; the buffer may then
 * hold a part of it. */
int mint_write(const struct mint *signer, const struct policy_plan *plan, struct buffer *out);
/* Appends text between quotes, escaped for JSON. It must be UTF-8. */
int mint_write_text(struct buffer *out, const char *text, size_t size);
/* Appends {"error":{"code","message","request_id"?}}; request_id NULL: none. Bytes of message that are not ASCII are
 * replaced. */
int mint_write_error(struct buffer *out, const char *code, const char *message, const char *request_id);
