/* What can go wrong for a user, in one short list, and the text that goes with it.
 *
 * Return values in Pail: 0 is fine; below 0 is -errno and is forwarded unchanged; above 0 is an enum that the header of
 * the called function declares. Where that is enum pail_error, the caller either handles it or passes it on to the one
 * place that turns it into an errno (fs/fuse/reply.c) or into a message. */
#pragma once

#include <errno.h>
#include <stdbool.h>

enum pail_error {
    PAIL_OFFLINE = 1,    /* no answer from the network, the store or the server; trying again later may help */
    PAIL_LOGIN_REQUIRED, /* the session has ended; only `pail login` helps */
    PAIL_DENIED,         /* the account may not do this */
    PAIL_GONE,           /* the object, version or upload is not there */
    PAIL_NO_BUCKET,      /* the bucket itself is not there: nothing is known of what it held */
    PAIL_CONFLICT,       /* a condition did not hold: somebody else changed it */
    PAIL_QUOTA,          /* the account's quota is used up */
    PAIL_DISK_FULL,      /* this machine's disk is full */
    PAIL_DAMAGED,        /* bytes or a document that do not check */
    PAIL_TOO_LARGE,      /* beyond what S3 or Pail can hold */
    PAIL_ARCHIVED,       /* in an archive class: restore it first */
    PAIL_BUSY,           /* somebody else holds it, or too many requests; try again */
    PAIL_UNSUPPORTED,    /* the store does not know this operation */
    PAIL_CANCELLED,      /* the caller asked for it to stop */
    PAIL_ERROR_END
};

/* A sentence for people: what happened and what to do. Filled where the cause is known, shown where the user is. */
struct fault {
    char text[600];
};

/* Writes the text (when fault is not NULL) and returns error, so that `return fault_set(fault, -EINVAL, ...)` reads
 * well. */
int fault_set(struct fault *fault, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "text: " before what is there already. Returns error. */
int fault_prefix(struct fault *fault, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A static, lower-case text for any return value: an errno's or a pail_error's. Thread-safe. */
const char *error_text(int error);
