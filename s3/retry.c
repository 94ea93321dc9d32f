/* When to try again: jittered pauses inside the time that a call may go without progress. */
#include "s3/retry.h"

#include "base/clock.h"
#include "base/text.h"

#define DEFAULT_STALL_MS 30000
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000
#define MOST_ATTEMPTS 12
#define LEAST_MS 1000 /* for an attempt to be worth it */
#define LOOK_MS 50

void retry_init(struct retry *retry, const struct store_call *call) {
    *retry = (struct retry){.call = call};
}

static int64_t stall_ms(const struct retry *retry) {
    return retry->call && retry->call->stall_ms > 0 ? retry->call->stall_ms : DEFAULT_STALL_MS;
}

/* A quarter where the whole is short. */
static int64_t least_ms(const struct retry *retry) {
    int64_t quarter = stall_ms(retry) / 4;
    return quarter < LEAST_MS ? quarter : LEAST_MS;
}

int64_t retry_left_ms(const struct retry *retry) {
    int64_t left = stall_ms(retry) - retry->idle_ms;
    return left > 1 ? left : 1;
}

void retry_progress(struct retry *retry) {
    retry_init(retry, retry->call);
}

void retry_idle(struct retry *retry, int64_t ms) {
    if (ms > 0)
        retry->idle_ms += ms;
}

bool retry_renew(struct retry *retry) {
    bool first = !retry->renewed;
    retry->renewed = true;
    return first;
}

static bool is_cancelled(const struct store_call *call) {
    return call && call->cancelled && atomic_load(call->cancelled);
}

int retry_sleep(const struct store_call *call, int64_t ms) {
    while (ms > 0 && !is_cancelled(call)) {
        int64_t piece = ms < LOOK_MS ? ms : LOOK_MS;
        clock_sleep_ms(piece);
        ms -= piece;
    }
    return is_cancelled(call) ? PAIL_CANCELLED : 0;
}

/* Between half and all of a pause that doubles, so that many clients do not come back together. */
static int64_t jittered(unsigned attempts) {
    int64_t pause = attempts < 6 ? (int64_t)FIRST_PAUSE_MS << attempts : LONGEST_PAUSE_MS;
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    return pause / 2 + (int64_t)(dice % (uint32_t)(pause / 2 + 1));
}

int retry_pause(struct retry *retry, int64_t after_s) {
    int64_t pause = jittered(retry->attempts++);
    if (after_s > 0 && after_s * 1000 > pause)
        pause = after_s * 1000;
    if (is_cancelled(retry->call))
        return PAIL_CANCELLED;
    if (retry->attempts >= MOST_ATTEMPTS || retry->idle_ms + pause + least_ms(retry) > stall_ms(retry))
        return PAIL_OFFLINE;
    retry_idle(retry, pause);
    return retry_sleep(retry->call, pause);
}
