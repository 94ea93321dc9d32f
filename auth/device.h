/* The device authorization grant (RFC 8628): a short code that is typed in a browser on any machine. Not thread-safe.
 */
#pragma once

#include "auth/fetch.h"
#include "auth/token.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct device {
    char *code;      /* owned secret */
    char *user_code; /* owned, as the next two: what the person types, */
    char *url;       /* and where */
    char *url_whole; /* the same with the code in it; NULL: the issuer gave none */
    int64_t life_s;  /* of the code, as the issuer said it */
    int64_t interval_ms;
    int64_t expires_ms, due_ms; /* clock_monotonic_ms() */
};
void device_finish(struct device *device);

struct device_request {
    const char *client_id, *scopes, *audience;
};
/* 0, PAIL_OFFLINE, PAIL_CANCELLED, PAIL_DENIED (this application may not do that), PAIL_DAMAGED. */
int device_begin(struct device *out, struct fetch *fetch, const char *device_url, const struct device_request *request,
                 const _Atomic bool *cancelled, struct fault *fault);
/* Asks as often as the issuer allows until the person has logged in. Goes on when the network is away meanwhile.
 * -ETIMEDOUT: the code's life, or timeout_s (0: no other limit), is over. Else as token_exchange. */
int device_wait(struct device *device, struct token_set *out, struct fetch *fetch, const char *token_url,
                const char *client_id, int timeout_s, const _Atomic bool *cancelled, struct fault *fault);
