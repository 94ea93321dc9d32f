/* When to try again: jittered pauses that grow, inside the time that a call may go without progress. Used by one
 * thread. */
#pragma once

#include "s3/store.h"

struct retry {
    const struct store_call *call; /* borrowed; may be NULL */
    int64_t idle_ms;               /* without progress so far, over all attempts */
    unsigned attempts;             /* since the last progress that stays */
    bool renewed;                  /* new grants were asked for since then */
};

void retry_init(struct retry *retry, const struct store_call *call);
/* What is left of the call's stall_ms: the next attempt may stand still for this long. At least 1. */
int64_t retry_left_ms(const struct retry *retry);
/* Something that need not be done again was done (bytes handed on, a page read): everything starts anew. */
void retry_progress(struct retry *retry);
/* An attempt stood still for this long at its end. */
void retry_idle(struct retry *retry, int64_t ms);
/* Sleeps before the next attempt; after_s: what Retry-After said, or -1. 0: try again, for which there is a second, or
 * a quarter of stall_ms. PAIL_OFFLINE: the time is over (or 12 attempts were made). PAIL_CANCELLED. */
int retry_pause(struct retry *retry, int64_t after_s);
/* True the first time since the last progress: new grants are worth one try. */
bool retry_renew(struct retry *retry);
/* Sleeps without counting. 0 or PAIL_CANCELLED within 100 ms of the flag. */
int retry_sleep(const struct store_call *call, int64_t ms);
