/* Requests to an issuer's endpoints that take a form: tokens, revocation, device codes (RFC 6749 4). Thread-safe. */
#pragma once

#include "auth/fetch.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct form_field {
    const char *name, *value; /* value NULL: left out */
};
/* What was sent and what comes back is taken for secret, and wiped. Errors as fetch_perform. */
int form_post(struct fetch *fetch, const char *url, const struct form_field *fields, size_t count,
              const _Atomic bool *cancelled, struct fetch_answer *answer, struct fault *fault);
/* What the issuer says went wrong (RFC 6749 5.2), harmless to print. */
void form_error_words(const struct fetch_answer *answer, char *out, size_t size);
/* Whether asking again later may help. */
bool form_is_for_later(const struct fetch_answer *answer);
