/* The storage keys of the server itself: from the settings, the environment, ~/.aws/credentials, or a role that the
 * machine has (container, instance), which are renewed before they end. A file is read again when it has changed.
 * Thread-safe. */
#pragma once

#include "base/error.h"
#include "s3/sign.h"
#include "s3/transfer.h"

#include <stdint.h>

struct config;

/* A copy of the keys as they are now. */
struct lease {
    char *access_key, *secret_key;
    char *session_token; /* NULL for long-lived keys */
    int64_t expires_s;   /* Unix; 0: never */
    unsigned generation; /* of the server's own: grows with each renewal */
};
void lease_finish(struct lease *lease); /* wipes */
int lease_copy(struct lease *to, const struct lease *from);
/* For requests to S3; borrows from the lease. */
struct sign_credentials lease_to_sign(const struct lease *lease, const char *region);

struct credentials;
/* Finds them; -ENOENT with a fault that says where was looked. config and transfer are borrowed. */
int credentials_create(struct credentials **out, const struct config *config, struct transfer *transfer,
                       struct fault *fault);
void credentials_destroy(struct credentials *credentials);
/* May wait for a renewal. 0 or PAIL_OFFLINE, PAIL_DENIED with a fault. */
int credentials_get(struct credentials *credentials, struct lease *out, struct fault *fault);
/* The store refused keys of this generation: the source is asked anew, at most once in 30 s, and the log told. True if
 * there are others now: try again with those. */
bool credentials_refused(struct credentials *credentials, unsigned generation);
/* Whether there are others than those of this generation already, in the file for example: a refusal by a store that
 * does not say why may have been for those. */
bool credentials_replaced(struct credentials *credentials, unsigned generation);
/* Whether credentials_get would not wait. */
bool credentials_at_hand(struct credentials *credentials);
