/* Headers that a client may have in a grant: a closed list. Thread-safe. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "s3/policy.h"

enum policy_headers_for {
    POLICY_HEADERS_PUT,     /* metadata, content-type and its kin, checksums */
    POLICY_HEADERS_COPY,    /* storage class and copy conditions: metadata comes from the source */
    POLICY_HEADERS_REPLACE, /* metadata, content-type and its kin, storage class, copy conditions */
    POLICY_HEADERS_CREATE,  /* metadata, content-type and its kin, storage class, the checksum's algorithm */
};

/* headers: an object of texts, or NULL. Adds them to the plan, borrowed. 0 or POLICY_REFUSED with a fault. */
int policy_headers_take(const struct json *headers, enum policy_headers_for purpose, struct policy_plan *plan,
                        struct fault *fault);
