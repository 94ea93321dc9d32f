/* A store that passes calls on to another and fails the nth in a chosen way: for tests. */
#pragma once

#include "s3/store.h"

enum failing_way {
    FAILING_BEFORE, /* the error, and nothing was done */
    FAILING_AFTER,  /* done, but the answer is lost: the error all the same */
    FAILING_HALF,   /* get: half of the bytes, then the error; else like BEFORE */
    FAILING_STALL,  /* waits until stall_ms or cancelled, then PAIL_OFFLINE or PAIL_CANCELLED */
    FAILING_LATE,   /* put: the error at once, and done just before a later call (failing_store_delay); else like BEFORE
                     */
};

/* Does not own inner. */
int failing_store_create(struct store **out, struct store *inner);
/* Fails calls number first, first + 1, ... (counted from 1 from now on), count of them, with this error. */
void failing_store_arm(struct store *failing, unsigned long first, unsigned long count, enum failing_way way,
                       int error);
unsigned long failing_store_calls(struct store *failing); /* since armed */
/* How many calls after a put that is late it is done; 1, the next, unless this says otherwise. One put can be late at a
 * time. */
void failing_store_delay(struct store *failing, unsigned long calls);
