/* Keeping the keys that the mapping server lends. */
#include "s3/lent_keys.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/workers.h"

#include <pthread.h>
#include <string.h>

#define MARGIN_MS 2000         /* nothing is begun with keys so near their end */
#define HOLD_MS 10000          /* between attempts to renew in the background */
#define REFUSED_HOLD_MS 300000 /* before keys are asked for again that this account may not have */
#define YOUNG_MS 60000         /* a refusal does not speak against keys that have just come */
#define LOOK_MS 80

struct lent_keys {
    struct lent_source source;
    struct workers *worker; /* asks; owned */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct lent *lent;     /* one use is ours; NULL without. Under lock, as all below */
    bool asking, doubtful; /* doubtful: refused by the store, and not asked about since */
    uint64_t round;        /* grows with each answer */
    int error;             /* of the last answer */
    struct fault fault;
    int64_t hold_until_ms; /* boot time */
    _Atomic bool ending;
};

/* ---- one set of keys ---- */

int64_t lent_now_s(const struct lent *lent) {
    return lent->keys.server_time_s + (clock_boottime_ms() - lent->received_ms) / 1000;
}

void lent_release(struct lent *lent) {
    if (!lent || --lent->uses)
        return;
    mapping_keys_finish(&lent->keys);
    sign_cache_destroy(lent->signing);
    free(lent);
}
DEFINE_CLEANUP(struct lent *, lent_release)

/* Takes the keys over, also on failure. */
static int make_lent(struct mapping_keys *keys, int64_t asked_ms, struct lent **out) {
    CLEANUP(lent_release_p) struct lent *lent = calloc(1, sizeof *lent);
    if (!lent) {
        mapping_keys_finish(keys);
        return -ENOMEM;
    }
    int64_t life_ms = keys->expires_in_s * 1000;
    lent->uses = 1;
    lent->keys = *keys;
    lent->received_ms = clock_boottime_ms();
    lent->ends_ms = asked_ms + life_ms;
    lent->renew_ms = asked_ms + life_ms / 5 * 4;
    int error = sign_cache_create(&lent->signing);
    if (!error)
        *out = TAKE(lent);
    return error;
}

/* ---- asking ---- */

/* Once for each kind of trouble: it is asked again and again. */
static void say(const struct lent_keys *keys, int error, const struct fault *fault) {
    if (error && error != keys->error && error != PAIL_CANCELLED)
        log_warning("temporary keys were not lent: %s", fault->text[0] ? fault->text : error_text(error));
}

/* Under lock. */
static void take_answer(struct lent_keys *keys, struct lent *lent, int error, const struct fault *fault) {
    bool none = error == PAIL_UNSUPPORTED || error == PAIL_QUOTA;
    keys->asking = keys->doubtful = false;
    keys->round++;
    keys->error = error;
    keys->fault = *fault;
    keys->hold_until_ms = error ? clock_boottime_ms() + (none ? REFUSED_HOLD_MS : HOLD_MS) : 0;
    if (!error || none) { /* what is not lent any more is not used any more */
        lent_release(keys->lent);
        keys->lent = lent;
    }
    pthread_cond_broadcast(&keys->answered);
}

static void ask(void *context) {
    struct lent_keys *keys = context;
    struct mapping_keys answer = {0};
    struct lent *lent = NULL;
    struct fault fault = {0};
    int64_t asked_ms = clock_boottime_ms();
    int error = keys->source.ask(keys->source.context, &keys->ending, &answer, &fault);
    if (!error)
        error = make_lent(&answer, asked_ms, &lent);
    pthread_mutex_lock(&keys->lock);
    say(keys, error, &fault);
    take_answer(keys, lent, error, &fault);
    pthread_mutex_unlock(&keys->lock);
}

/* Under lock. */
static int start_asking(struct lent_keys *keys) {
    if (keys->asking)
        return 0;
    int error = workers_submit(keys->worker, WORKERS_NOW, ask, keys);
    keys->asking = !error;
    return error;
}

static bool is_set(const _Atomic bool *flag) {
    return flag && atomic_load_explicit(flag, memory_order_relaxed);
}

/* Under lock: until the source has answered. */
static int wait_for(struct lent_keys *keys, int64_t until_ms, const _Atomic bool *cancelled, struct fault *fault) {
    uint64_t round = keys->round;
    while (keys->round == round) {
        int64_t left = until_ms - clock_monotonic_ms();
        if (is_set(cancelled))
            return PAIL_CANCELLED;
        if (left <= 0)
            return fault_set(fault, PAIL_OFFLINE, "the mapping server has not answered in time");
        clock_cond_wait_ms(&keys->answered, &keys->lock, left < LOOK_MS ? left : LOOK_MS);
    }
    return keys->error ? fault_set(fault, keys->error, "%s", keys->fault.text) : 0;
}

/* ---- using ---- */

static bool serves(const struct lent_keys *keys) {
    return keys->lent && clock_boottime_ms() < keys->lent->ends_ms - MARGIN_MS;
}

static bool none_for_us(const struct lent_keys *keys) {
    return (keys->error == PAIL_UNSUPPORTED || keys->error == PAIL_QUOTA) && clock_boottime_ms() < keys->hold_until_ms;
}

/* Under lock: there are keys that serve then. */
static int get_locked(struct lent_keys *keys, int64_t wait_ms, const _Atomic bool *cancelled, struct fault *fault) {
    int64_t now_ms = clock_boottime_ms();
    if (serves(keys) && !keys->doubtful) {
        if (now_ms >= keys->lent->renew_ms && now_ms >= keys->hold_until_ms)
            start_asking(keys); /* if it cannot be started now, it can later */
        return 0;
    }
    if (none_for_us(keys))
        return fault_set(fault, keys->error, "%s", keys->fault.text);
    int error = start_asking(keys);
    if (!error)
        error = wait_for(keys, clock_monotonic_ms() + wait_ms, cancelled, fault);
    bool passes = error == PAIL_OFFLINE || error == PAIL_BUSY || error == PAIL_DAMAGED;
    return passes && serves(keys) ? 0 : error; /* the old ones serve to their end */
}

int lent_keys_get(struct lent_keys *keys, int64_t wait_ms, const _Atomic bool *cancelled, struct lent **out,
                  struct fault *fault) {
    *out = NULL;
    pthread_mutex_lock(&keys->lock);
    int error = get_locked(keys, wait_ms, cancelled, fault);
    if (!error) {
        keys->lent->uses++;
        *out = keys->lent;
    }
    pthread_mutex_unlock(&keys->lock);
    return error;
}

void lent_keys_refused(struct lent_keys *keys, const char *url) {
    pthread_mutex_lock(&keys->lock);
    const struct lent *lent = keys->lent;
    bool old = lent && clock_boottime_ms() - lent->received_ms >= YOUNG_MS;
    if (old && strstr(url, lent->keys.access_key))
        keys->doubtful = true;
    pthread_mutex_unlock(&keys->lock);
}

int lent_keys_state(struct lent_keys *keys, struct fault *fault) {
    pthread_mutex_lock(&keys->lock);
    int error = serves(keys) ? 0 : keys->error ? keys->error : PAIL_OFFLINE;
    if (error)
        fault_set(fault, error, "%s", keys->fault.text);
    pthread_mutex_unlock(&keys->lock);
    return error;
}

/* ---- life ---- */

int lent_keys_create(struct lent_keys **out, const struct lent_source *source) {
    struct lent_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return -ENOMEM;
    keys->source = *source;
    pthread_mutex_init(&keys->lock, NULL);
    clock_cond_init(&keys->answered);
    int error = workers_create(&keys->worker, "pail-keys", 1, 2);
    if (error)
        lent_keys_destroy(keys);
    else
        *out = keys;
    return error;
}

void lent_keys_destroy(struct lent_keys *keys) {
    if (!keys)
        return;
    atomic_store(&keys->ending, true);
    workers_destroy(keys->worker);
    lent_release(keys->lent);
    pthread_cond_destroy(&keys->answered);
    pthread_mutex_destroy(&keys->lock);
    free(keys);
}
