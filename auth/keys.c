/* The issuer's keys. One thread does all the fetching; whoever needs a key that is not there asks it and waits a while.
 *
 * A set is believed for cache_s and fetched again when four fifths of that are over. While the issuer does not answer,
 * the last set goes on. */
#include "auth/keys.h"

#include "auth/jwks.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_S 10     /* for a fetch that somebody asked for */
#define MAX_WAITERS 8 /* so that a flood of strange tokens cannot hold every thread */
#define FIRST_RETRY_S 5
#define CLOCK_TROUBLE_S 60 /* as far as a token's times are let off */

struct keys {
    char *issuer;        /* owned */
    struct fetch *fetch; /* borrowed */
    int64_t refetch_s, cache_s;
    atomic_bool ending;

    pthread_rwlock_t guard; /* protects set, generation; held while a signature is checked, never over I/O */
    struct jwks *set;       /* owned; NULL: none yet */
    uint64_t generation;

    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t changed;
    pthread_t thread;
    bool wanted, fetching;
    unsigned waiters;
    uint64_t attempts;                         /* that ended */
    int64_t attempted_s, fetched_s, expires_s; /* boot time; 0: never */
    int last_result;
    struct fault last_fault;
    char *userinfo_url;    /* owned */
    int64_t clock_ahead_s; /* the issuer's, before ours */
};

/* Fetching. */

static int get_json(struct keys *keys, const char *what, const char *url, struct fetch_answer *answer,
                    struct fault *fault) {
    struct fetch_request request = {.method = "GET", .url = url, .cancelled = &keys->ending};
    int error = fetch_perform(keys->fetch, &request, answer, fault);
    if (error)
        return fault_prefix(fault, error, "the issuer's %s", what);
    if (answer->status != 200)
        return fault_set(fault, answer->status >= 500 || answer->status == 429 ? PAIL_OFFLINE : PAIL_DAMAGED,
                         "the issuer's %s at %s answered HTTP %d", what, url, answer->status);
    if (!json_is_object(answer->json))
        return fault_set(fault, PAIL_DAMAGED, "the issuer's %s at %s is not a JSON object", what, url);
    return 0;
}

/* OpenID Connect Discovery 1.0, 4.3: the issuer named in the document is exactly the one that was asked. */
static int discover(struct keys *keys, char **jwks_url, char **userinfo_url, struct fault *fault) {
    AUTO_FREE char *url =
        text_format("%s%s.well-known/openid-configuration", keys->issuer, text_ends(keys->issuer, "/") ? "" : "/");
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    if (!url)
        return -ENOMEM;
    int error = get_json(keys, "discovery document", url, &answer, fault);
    if (error)
        return error;
    const char *issuer = json_get_text(answer.json, "issuer"), *jwks = json_get_text(answer.json, "jwks_uri");
    const char *userinfo = json_get_text(answer.json, "userinfo_endpoint");
    if (!text_equal(issuer, keys->issuer))
        return fault_set(fault, PAIL_DAMAGED, "%s names the issuer \"%.200s\", not \"%.200s\"", url,
                         issuer ? issuer : "", keys->issuer);
    if (!jwks || !fetch_url_allowed(jwks))
        return fault_set(fault, PAIL_DAMAGED, "%s has no jwks_uri over https", url);
    *jwks_url = strdup(jwks);
    if (userinfo && fetch_url_allowed(userinfo))
        *userinfo_url = strdup(userinfo);
    return *jwks_url ? 0 : -ENOMEM;
}

static void take_set(struct keys *keys, struct jwks *set) {
    pthread_rwlock_wrlock(&keys->guard);
    struct jwks *old = keys->set;
    bool changed = !old || !jwks_equal(old, set);
    if (changed) {
        keys->set = set;
        keys->generation++;
    }
    pthread_rwlock_unlock(&keys->guard);
    jwks_destroy(changed ? old : set);
    if (changed)
        log_info("The issuer's keys were fetched: %zu usable", set->count);
}

/* What one attempt brought. */
struct fetched {
    struct jwks *set;   /* owned, as the next */
    char *userinfo_url; /* NULL: the issuer has none */
    int64_t clock_ahead_s;
};

static int fetch_keys(struct keys *keys, struct fetched *out, struct fault *fault) {
    AUTO_FREE char *url = NULL;
    int error = discover(keys, &url, &out->userinfo_url, fault);
    if (error)
        return error;
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    error = get_json(keys, "key set", url, &answer, fault);
    if (error)
        return error;
    out->clock_ahead_s = fetch_clock_ahead_s(&answer);
    error = jwks_parse(&out->set, answer.json, fault);
    return error ? fault_prefix(fault, error, "the issuer's key set at %s", url) : 0;
}

/* The thread. */

static int64_t next_fetch_s(const struct keys *keys) {
    if (!keys->fetched_s)
        return keys->attempted_s + FIRST_RETRY_S;
    int64_t due = keys->fetched_s + keys->cache_s * 4 / 5;
    int64_t allowed = keys->attempted_s + keys->refetch_s;
    return due > allowed ? due : allowed;
}

/* Under lock. */
static void take_clock(struct keys *keys, int64_t ahead_s) {
    if (llabs(ahead_s) > CLOCK_TROUBLE_S && llabs(keys->clock_ahead_s) <= CLOCK_TROUBLE_S)
        log_warning("This machine's clock is %lld seconds %s that of the issuer %s: good tokens will be turned away",
                    (long long)llabs(ahead_s), ahead_s > 0 ? "behind" : "ahead of", keys->issuer);
    keys->clock_ahead_s = ahead_s;
}

/* Under lock: whoever finds a new key finds the rest as well. Takes what was fetched. */
static void record_attempt(struct keys *keys, int result, const struct fault *fault, struct fetched *fetched) {
    keys->attempted_s = clock_boottime_s();
    keys->attempts++;
    if (!result) {
        keys->fetched_s = keys->attempted_s;
        free(keys->userinfo_url);
        keys->userinfo_url = fetched->userinfo_url;
        take_clock(keys, fetched->clock_ahead_s);
        take_set(keys, fetched->set);
    } else {
        free(fetched->userinfo_url);
        if (!atomic_load(&keys->ending))
            log_warning("%s; the keys known so far stay in use", fault->text[0] ? fault->text : error_text(result));
    }
    keys->last_result = result;
    keys->last_fault = *fault;
}

static void *run(void *context) {
    struct keys *keys = context;
    pthread_mutex_lock(&keys->lock);
    while (!atomic_load(&keys->ending)) {
        if (!keys->wanted && keys->attempts && clock_boottime_s() < next_fetch_s(keys)) {
            clock_cond_wait_ms(&keys->changed, &keys->lock, 1000);
            continue;
        }
        keys->wanted = false;
        keys->fetching = true;
        pthread_mutex_unlock(&keys->lock);
        struct fault fault = {0};
        struct fetched fetched = {0};
        int result = fetch_keys(keys, &fetched, &fault);
        pthread_mutex_lock(&keys->lock);
        keys->fetching = false;
        record_attempt(keys, result, &fault, &fetched);
        pthread_cond_broadcast(&keys->changed);
    }
    pthread_mutex_unlock(&keys->lock);
    return NULL;
}

/* Waits, under lock, for the attempt that is under way or begins now. */
static bool wait_for_attempt(struct keys *keys) {
    if (keys->waiters >= MAX_WAITERS)
        return false;
    uint64_t before = keys->attempts;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    keys->waiters++;
    int late = 0;
    while (keys->attempts == before && !late && !atomic_load(&keys->ending))
        late = pthread_cond_timedwait(&keys->changed, &keys->lock, &until);
    keys->waiters--;
    return keys->attempts != before;
}

/* Taken before a look at the set. */
struct glance {
    uint64_t attempts;
    bool fetching; /* what is on its way may be older than the token's key */
};

static struct glance glance(struct keys *keys) {
    pthread_mutex_lock(&keys->lock);
    struct glance now = {.attempts = keys->attempts, .fetching = keys->fetching};
    pthread_mutex_unlock(&keys->lock);
    return now;
}

/* True if a fetch has ended since the glance, well or not: look again. */
static bool ask_again(struct keys *keys, const struct glance *since, int *result, struct fault *fault) {
    pthread_mutex_lock(&keys->lock);
    int64_t pause = keys->fetched_s ? keys->refetch_s : 0;
    bool allowed = keys->fetching || keys->wanted || !keys->attempts || clock_boottime_s() - keys->attempted_s >= pause;
    bool ended = keys->attempts != since->attempts;
    if (!ended && allowed && keys->waiters < MAX_WAITERS) {
        keys->wanted |= !keys->fetching;
        pthread_cond_broadcast(&keys->changed);
        ended = wait_for_attempt(keys);
    }
    *result = keys->last_result;
    if (fault)
        *fault = keys->last_fault;
    pthread_mutex_unlock(&keys->lock);
    return ended;
}

/* Checking. */

enum look {
    GOOD,
    WRONG /* not that key's signature, or no key of that type */,
    STRANGE /* no key of that name */,
    EMPTY
};

static enum look look_up(struct keys *keys, const struct jwt *jwt, uint64_t *generation) {
    enum look look = EMPTY;
    pthread_rwlock_rdlock(&keys->guard);
    const struct jwks_key *key = keys->set ? jwks_find(keys->set, jwt) : NULL;
    if (key && !jwt_check(jwt, key)) {
        look = GOOD;
        *generation = keys->generation;
    } else if (keys->set) {
        look = key || !jwt->key_id || jwks_has(keys->set, jwt->key_id) ? WRONG : STRANGE;
    }
    pthread_rwlock_unlock(&keys->guard);
    return look;
}

/* A set that is too old is asked for again first; without an answer it stays good. */
static void renew_if_old(struct keys *keys) {
    pthread_mutex_lock(&keys->lock);
    int64_t now = clock_boottime_s();
    bool old = keys->fetched_s && now - keys->fetched_s > keys->cache_s && now - keys->attempted_s >= keys->refetch_s;
    struct glance before = {.attempts = keys->attempts};
    pthread_mutex_unlock(&keys->lock);
    int ignored;
    if (old)
        ask_again(keys, &before, &ignored, NULL);
}

/* Some issuers give a new key the name of the old one, so a wrong signature is worth a look at the issuer too, where
 * one is allowed. It stays a forgery meanwhile: else anybody could have tokens that are wrong answered with "try
 * again". */
int keys_check(struct keys *keys, const struct jwt *jwt, uint64_t *generation, struct fault *fault) {
    renew_if_old(keys);
    struct glance before = glance(keys);
    enum look look = look_up(keys, jwt, generation);
    if (look == GOOD)
        return 0;
    int fetched = 0;
    bool ended = ask_again(keys, &before, &fetched, NULL);
    if (ended)
        look = look_up(keys, jwt, generation);
    if (look == GOOD)
        return 0;
    if (look == WRONG)
        return fault_set(fault, KEYS_FORGED, "the token's signature is not that of the issuer's key");
    if (!ended)
        return fault_set(fault, KEYS_UNPROVEN, "the token's key is not known, and may not be asked for yet");
    if (look == EMPTY || fetched)
        return fault_set(fault, KEYS_UNPROVEN, "the token's key is not known, and the issuer does not answer");
    if (before.fetching)
        return fault_set(fault, KEYS_UNPROVEN, "the token's key was not known a moment ago, and may be soon");
    return fault_set(fault, KEYS_FORGED, "the issuer has no such key");
}

int keys_prepare(struct keys *keys, struct fault *fault) {
    int result = 0;
    struct glance before = glance(keys);
    if (keys_generation(keys) > 0 || (ask_again(keys, &before, &result, fault) && !result))
        return 0;
    return result ? result : fault_set(fault, PAIL_OFFLINE, "the issuer %s does not answer", keys->issuer);
}

uint64_t keys_generation(struct keys *keys) {
    pthread_rwlock_rdlock(&keys->guard);
    uint64_t generation = keys->generation;
    pthread_rwlock_unlock(&keys->guard);
    return generation;
}

int64_t keys_age_s(struct keys *keys) {
    pthread_mutex_lock(&keys->lock);
    int64_t age = keys->fetched_s ? clock_boottime_s() - keys->fetched_s : -1;
    pthread_mutex_unlock(&keys->lock);
    return age;
}

int64_t keys_clock_ahead_s(struct keys *keys) {
    pthread_mutex_lock(&keys->lock);
    int64_t ahead = keys->clock_ahead_s;
    pthread_mutex_unlock(&keys->lock);
    return ahead;
}

char *keys_userinfo_url(struct keys *keys) {
    pthread_mutex_lock(&keys->lock);
    char *url = keys->userinfo_url ? strdup(keys->userinfo_url) : NULL;
    pthread_mutex_unlock(&keys->lock);
    return url;
}

int keys_create(struct keys **out, const struct keys_options *options) {
    AUTO_FREE struct keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return -ENOMEM;
    AUTO_FREE char *issuer = strdup(options->issuer);
    if (!issuer)
        return -ENOMEM;
    keys->issuer = issuer;
    keys->fetch = options->fetch;
    keys->refetch_s = options->refetch_s;
    keys->cache_s = options->cache_s;
    pthread_rwlock_init(&keys->guard, NULL);
    pthread_mutex_init(&keys->lock, NULL);
    clock_cond_init(&keys->changed);
    int error = -pthread_create(&keys->thread, NULL, run, keys);
    if (error)
        return error;
    issuer = NULL;
    *out = TAKE(keys);
    return 0;
}

void keys_destroy(struct keys *keys) {
    if (!keys)
        return;
    atomic_store(&keys->ending, true);
    pthread_mutex_lock(&keys->lock);
    pthread_cond_broadcast(&keys->changed);
    pthread_mutex_unlock(&keys->lock);
    pthread_join(keys->thread, NULL);
    pthread_cond_destroy(&keys->changed);
    pthread_mutex_destroy(&keys->lock);
    pthread_rwlock_destroy(&keys->guard);
    jwks_destroy(keys->set);
    free(keys->userinfo_url);
    free(keys->issuer);
    free(keys);
}
