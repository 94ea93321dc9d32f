/* Accounts with a quota: their ledgers, and the threads that count.
 *
 * An account is counted when somebody waits for it, when it is first seen by this process, when much was granted since
 * the last count, and every quarter of an hour while it writes; never twice at once, and not again before twice the
 * time has passed that the last count took. A count that fails is repeated. */
#include "s3/server/quota.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/size.h"
#include "base/text.h"
#include "base/workers.h"
#include "s3/checksum.h"
#include "s3/server/ledger.h"
#include "s3/server/usage.h"

#include <pthread.h>

#define COUNTERS 2
#define LOOK_ROUND_MS 1000  /* the keeper's round when nobody waits */
#define REST_MS 1000        /* least pause between two counts of one account */
#define OLD_MS 30000        /* a count older than this refuses nobody */
#define UNSETTLED_MS 10000  /* a delete that was granted may be done this much later */
#define WRITING_MS 900000   /* how often an account that writes is counted */
#define RECORD_MS 10000     /* how often what was granted is recorded */
#define IDLE_MS 3600000     /* an account that asks for nothing is forgotten */
#define FIRST_RETRY_MS 2000 /* after a count that failed; doubles */
#define MOST_RETRIES 7      /* doublings */
#define SPREAD_MS 30000     /* over which first counts are spread */
#define LATE_MS 300000      /* a request may still end this long after its grant has */
#define CROWD 10000u        /* claims; then counting makes room */

struct waiter {
    struct waiter *next;
    void (*resume)(void *context);
    void *context;
    int64_t until_ms;
};

struct account {
    struct quota *quota;
    uint64_t key;                 /* in quota->accounts */
    char *name, *bucket, *prefix; /* owned */
    struct ledger ledger;         /* under quota->lock, as all below */
    uint64_t limit;
    bool counted;                        /* by this process or an earlier one */
    bool busy;                           /* a thread is at work for it: it is neither counted nor forgotten meanwhile */
    int64_t due_ms;                      /* when the next count begins; 0: not planned */
    int64_t began_ms, ended_ms, took_ms; /* of the last count; 0: none in this process */
    int64_t freed_ms;                    /* when something was last given up; 0: never */
    int64_t asked_ms;                    /* last claim */
    uint64_t granted;                    /* bytes since the last count began */
    unsigned failures;                   /* of counts, in a row */
    uint64_t recorded;                   /* bytes used, in the database */
    int64_t recorded_ms;
    struct waiter *waiters; /* owned */
};

struct quota {
    struct quota_options options;
    unsigned char seed[32];  /* of the hashes: else keys could be made that are taken for each other */
    struct workers *workers; /* that count */
    pthread_t keeper;
    bool keeping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ending;         /* under lock, as all below */
    size_t waiting;      /* waiters of all accounts */
    struct map accounts; /* by account_key */
};

/* --- names --- */

static int hash(const struct quota *quota, const char *text, uint64_t *out) {
    unsigned char raw[32] = {0};
    struct checksum *sum = NULL;
    int error = checksum_create(&sum, CHECKSUM_SHA256);
    if (!error)
        error = checksum_add(sum, quota->seed, sizeof quota->seed);
    if (!error)
        error = checksum_add(sum, text, strlen(text));
    if (!error)
        error = checksum_end(sum, raw);
    checksum_destroy(sum);
    if (error < 0)
        return error;
    memcpy(out, raw, sizeof *out);
    *out += !*out;
    return 0;
}

/* --- accounts; under lock --- */

static void destroy_account(struct account *account) {
    if (!account)
        return;
    ledger_finish(&account->ledger);
    free(account->name);
    free(account->bucket);
    free(account->prefix);
    free(account);
}
DEFINE_CLEANUP(struct account *, destroy_account)

/* Of its name, which is random; an id may be given to another account later. */
static uint64_t account_key(const struct user *user) {
    return text_hash(user->name, strlen(user->name));
}

static struct account *make_account(struct quota *quota, const struct user *user) {
    CLEANUP(destroy_account_p) struct account *account = calloc(1, sizeof *account);
    if (!account)
        return NULL;
    account->quota = quota;
    account->key = account_key(user);
    account->name = strdup(user->name);
    account->bucket = strdup(user->bucket);
    account->prefix = strdup(user->prefix);
    if (!account->name || !account->bucket || !account->prefix || map_put(&quota->accounts, account->key, account))
        return NULL;
    account->counted = user->counted_s != 0;
    account->ledger.current = account->recorded = (uint64_t)user->used;
    account->ledger.older = (uint64_t)user->used_old;
    /* What an earlier process granted is not known. After a start not all are counted at once. */
    account->due_ms = clock_boottime_ms() + (account->counted ? user->id * 7919 % SPREAD_MS : 0);
    return TAKE(account);
}

static struct account *account_of(struct quota *quota, const struct user *user) {
    struct account *account = map_get(&quota->accounts, account_key(user));
    if (!account)
        account = make_account(quota, user);
    if (account) {
        account->limit = (uint64_t)user->quota;
        account->asked_ms = clock_boottime_ms();
    }
    return account;
}

/* The earliest that the account may be counted again. */
static int64_t rested_ms(const struct account *account) {
    int64_t rest = 2 * account->took_ms > REST_MS ? 2 * account->took_ms : REST_MS;
    return account->ended_ms ? account->ended_ms + rest : 0;
}

static void plan_count(struct account *account, int64_t now_ms) {
    int64_t earliest = rested_ms(account);
    int64_t due = earliest > now_ms ? earliest : now_ms;
    if (!account->due_ms || due < account->due_ms)
        account->due_ms = due;
}

static bool is_cancelled(const struct quota *quota) {
    const _Atomic bool *cancelled = quota->options.remote->cancelled;
    return cancelled && atomic_load(cancelled);
}

/* Whether another count could find more room than the last one. */
static bool worth_counting(const struct account *account, int64_t now_ms) {
    if (is_cancelled(account->quota))
        return false;
    bool old = !account->began_ms || now_ms - account->began_ms > OLD_MS;
    bool freed = account->freed_ms && account->freed_ms > account->began_ms - UNSETTLED_MS;
    return old || freed || account->ledger.count.began_ms;
}

/* --- claims --- */

static int refuse(const struct account *account, int result, struct fault *fault) {
    uint64_t used = result == LEDGER_FULL_OLD ? ledger_used_old(&account->ledger) : ledger_used(&account->ledger);
    char much[16], limit[16];
    size_format(used, much);
    size_format(account->limit, limit);
    if (!account->counted)
        return fault_set(fault, QUOTA_BUSY, "what this account uses is being counted: try again");
    if (result == LEDGER_CROWDED)
        return fault_set(fault, QUOTA_BUSY, "too much is on its way at once: try again");
    if (result == LEDGER_FULL_OLD)
        return fault_set(fault, QUOTA_FULL,
                         "older versions and unfinished uploads take up %s of %s: they go with time, or ask your "
                         "administrator for more",
                         much, limit);
    return fault_set(fault, QUOTA_FULL, "%s of %s are used: remove files, or ask your administrator for more", much,
                     limit);
}

/* Counting soon where much has changed, before somebody has to wait for it. */
static void note_granted(struct account *account, const struct quota_claim *claim, int64_t now_ms) {
    uint64_t size = claim->count > 1 ? claim->size * claim->count : claim->size;
    account->granted += size;
    if (account->granted > account->limit / 4 || account->ledger.entry_count > CROWD)
        if (now_ms - account->began_ms > OLD_MS)
            plan_count(account, now_ms);
}

static int claim_locked(struct account *account, const struct ledger_claim *asked, const struct quota_claim *claim,
                        const struct ledger_moment *now, struct fault *fault) {
    int result = account->counted ? ledger_claim(&account->ledger, account->limit, asked, now) : LEDGER_FULL;
    if (!result) {
        note_granted(account, claim, now->ms);
        return 0;
    }
    if (result < 0)
        return result;
    if (result == LEDGER_LOOK)
        return QUOTA_LOOK;
    return !claim->has_waited && worth_counting(account, now->ms) ? QUOTA_COUNT : refuse(account, result, fault);
}

int quota_claim(struct quota *quota, const struct user *user, const struct quota_claim *claim, struct fault *fault) {
    struct ledger_moment now = {clock_boottime_ms(), clock_realtime_s()};
    struct ledger_claim asked = {
        .first = claim->first,
        .count = claim->count,
        .size = claim->size,
        .last_size = claim->last_size,
        .looked = claim->looked,
        .replaces = claim->replaces,
        .until_ms = now.ms + quota->options.grant_life_s * 1000 + LATE_MS,
    };
    int error = hash(quota, claim->key, &asked.key);
    if (!error && claim->upload)
        error = hash(quota, claim->upload, &asked.upload);
    if (error)
        return error;
    pthread_mutex_lock(&quota->lock);
    struct account *account = account_of(quota, user);
    int result = account ? claim_locked(account, &asked, claim, &now, fault) : -ENOMEM;
    pthread_mutex_unlock(&quota->lock);
    return result;
}

void quota_give_up(struct quota *quota, const struct user *user, const char *key) {
    uint64_t hashed = 0;
    if (key && hash(quota, key, &hashed))
        return;
    pthread_mutex_lock(&quota->lock);
    struct account *account = account_of(quota, user);
    if (account) {
        account->freed_ms = clock_boottime_ms();
        if (key)
            ledger_give_up(&account->ledger, hashed);
    }
    pthread_mutex_unlock(&quota->lock);
}

/* Who sees that it is full does not ask for more, and so is not refused: what was deleted since is counted all the
 * same.
 */
static void count_if_nearly_full(struct account *account) {
    int64_t now_ms = clock_boottime_ms();
    bool full = account->limit - account->limit / 10 < ledger_used(&account->ledger);
    bool changed = account->granted || account->freed_ms > account->began_ms - UNSETTLED_MS;
    if (account->counted && full && changed && now_ms - account->ended_ms > UNSETTLED_MS)
        plan_count(account, now_ms);
}

int64_t quota_used(struct quota *quota, const struct user *user) {
    pthread_mutex_lock(&quota->lock);
    struct account *account = user->quota > 0 ? account_of(quota, user) : NULL;
    if (account)
        count_if_nearly_full(account);
    int64_t used = account ? (int64_t)ledger_used(&account->ledger) : user->used;
    pthread_mutex_unlock(&quota->lock);
    return used;
}

/* --- waiting --- */

int quota_wait(struct quota *quota, const struct user *user, int64_t patience_ms, void (*resume)(void *context),
               void *context) {
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter)
        return -ENOMEM;
    int64_t now = clock_boottime_ms();
    pthread_mutex_lock(&quota->lock);
    struct account *account = account_of(quota, user);
    if (account) {
        *waiter = (struct waiter){account->waiters, resume, context, now + patience_ms};
        account->waiters = waiter;
        quota->waiting++;
        plan_count(account, now);
        pthread_cond_signal(&quota->wake);
    }
    pthread_mutex_unlock(&quota->lock);
    if (!account)
        free(waiter);
    return account ? 0 : -ENOMEM;
}

/* Under lock: takes those who have waited long enough. */
static void take_waiters(struct quota *quota, struct account *account, int64_t until_ms, struct waiter **taken) {
    for (struct waiter **link = &account->waiters, *waiter; (waiter = *link);) {
        if (waiter->until_ms > until_ms) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        waiter->next = *taken;
        *taken = waiter;
        quota->waiting--;
    }
}

static void resume_all(struct waiter *waiters) {
    while (waiters) {
        struct waiter *waiter = waiters;
        waiters = waiter->next;
        waiter->resume(waiter->context);
        free(waiter);
    }
}

/* --- counting --- */

static void see_upload(void *context, const char *key, const char *upload, uint64_t size) {
    struct account *account = context;
    uint64_t hashed, upload_hashed;
    if (hash(account->quota, key, &hashed) || hash(account->quota, upload, &upload_hashed))
        hashed = upload_hashed = 0; /* without memory its claim is left as it is */
    pthread_mutex_lock(&account->quota->lock);
    ledger_count_upload(&account->ledger, hashed, upload_hashed, size);
    pthread_mutex_unlock(&account->quota->lock);
}

static void see_version(void *context, const char *key, uint64_t size, bool is_current, int64_t modified_s) {
    struct account *account = context;
    uint64_t hashed;
    if (hash(account->quota, key, &hashed))
        hashed = 0;
    pthread_mutex_lock(&account->quota->lock);
    ledger_count_version(&account->ledger, hashed, size, is_current, modified_s);
    pthread_mutex_unlock(&account->quota->lock);
}

/* Under lock. */
static void end_count(struct account *account, int error, int64_t now_ms) {
    account->ended_ms = now_ms;
    account->took_ms = now_ms - account->began_ms;
    if (error) {
        unsigned doubled = account->failures < MOST_RETRIES ? account->failures : MOST_RETRIES;
        ledger_count_break_off(&account->ledger);
        account->due_ms = now_ms + (FIRST_RETRY_MS << doubled);
        account->failures++;
        return;
    }
    ledger_count_end(&account->ledger);
    account->counted = true;
    account->failures = 0;
    account->due_ms = 0; /* all who wait are told of this one */
}

static void record(struct account *account, const struct users_use *use) {
    struct fault fault = {0};
    if (users_record_use(account->quota->options.users, account->name, use, &fault))
        log_error("What account %s uses is not recorded: %s", account->name, fault.text);
}

static void record_count(struct account *account) {
    struct quota *quota = account->quota;
    pthread_mutex_lock(&quota->lock);
    struct users_use use = {(int64_t)ledger_used(&account->ledger), (int64_t)account->ledger.older, clock_realtime_s()};
    account->recorded = (uint64_t)use.used;
    account->recorded_ms = clock_boottime_ms();
    pthread_mutex_unlock(&quota->lock);
    record(account, &use);
}

/* A job. The account stays: it is not forgotten while it is being counted. */
static void count(void *context) {
    struct account *account = context;
    struct quota *quota = account->quota;
    struct usage_visitor visitor = {see_version, see_upload, account};
    struct waiter *waiters = NULL;
    struct fault fault = {0};
    int error = usage_walk(quota->options.remote, account->bucket, account->prefix, &visitor, &fault);
    if (error && error != PAIL_CANCELLED)
        log_warning("What account %s uses cannot be counted: %s", account->name,
                    fault.text[0] ? fault.text : error_text(error));
    if (!error)
        log_debug("Account %s was counted", account->name);
    pthread_mutex_lock(&quota->lock);
    end_count(account, error, clock_boottime_ms());
    take_waiters(quota, account, INT64_MAX, &waiters);
    pthread_mutex_unlock(&quota->lock);
    resume_all(waiters);
    if (!error)
        record_count(account);
    pthread_mutex_lock(&quota->lock);
    account->busy = false;
    pthread_mutex_unlock(&quota->lock);
}

/* Under lock. */
static void begin_count(struct account *account, int64_t now_ms) {
    account->due_ms = 0;
    account->busy = true;
    account->began_ms = now_ms;
    account->granted = 0;
    ledger_count_begin(&account->ledger, now_ms);
    if (!workers_submit_always(account->quota->workers, account->waiters ? WORKERS_NOW : WORKERS_LATER, count, account))
        return;
    account->busy = false;
    end_count(account, -ENOMEM, now_ms);
}

/* --- the keeper --- */

static bool is_due(const struct account *account, int64_t now_ms) {
    if (account->busy)
        return false;
    if (account->due_ms)
        return account->due_ms <= now_ms;
    return account->granted && now_ms - account->began_ms > WRITING_MS;
}

static bool is_idle(const struct account *account, int64_t now_ms) {
    return !account->busy && !account->waiters && !account->due_ms && !account->ledger.entry_count &&
           now_ms - account->asked_ms > IDLE_MS && account->recorded == ledger_used(&account->ledger);
}

static bool is_news(const struct account *account, int64_t now_ms) {
    return account->counted && !account->busy && account->recorded != ledger_used(&account->ledger) &&
           now_ms - account->recorded_ms > RECORD_MS;
}

/* What one round of the keeper found. */
struct found {
    struct waiter *late;     /* who waits no longer */
    struct account *changed; /* one whose use is to be recorded */
    struct users_use use;
    uint64_t idle; /* key of an account to be forgotten; 0: none */
};

/* Under lock. */
static void look_at(struct account *account, int64_t now_ms, struct found *found) {
    take_waiters(account->quota, account, now_ms, &found->late);
    if (is_due(account, now_ms))
        begin_count(account, now_ms);
    if (is_idle(account, now_ms))
        found->idle = account->key;
    if (found->changed || !is_news(account, now_ms))
        return;
    found->changed = account;
    account->recorded = ledger_used(&account->ledger);
    account->recorded_ms = now_ms;
    found->use = (struct users_use){.used = (int64_t)account->recorded};
}

/* Under lock, which is let go meanwhile. Whether there is more to do at once. */
static bool keep_round(struct quota *quota) {
    struct found found = {0};
    struct account *account;
    int64_t now_ms = clock_boottime_ms();
    size_t position = 0;
    while ((account = map_next(&quota->accounts, &position, NULL)))
        look_at(account, now_ms, &found);
    if (found.idle)
        destroy_account(map_remove(&quota->accounts, found.idle));
    if (!found.late && !found.changed)
        return found.idle != 0;
    if (found.changed)
        found.changed->busy = true; /* so that it stays */
    pthread_mutex_unlock(&quota->lock);
    resume_all(found.late);
    if (found.changed)
        record(found.changed, &found.use);
    pthread_mutex_lock(&quota->lock);
    if (found.changed)
        found.changed->busy = false;
    return true;
}

static void rest(struct quota *quota) {
    clock_cond_wait_ms(&quota->wake, &quota->lock, quota->waiting ? 50 : LOOK_ROUND_MS);
}

static void *keep(void *context) {
    struct quota *quota = context;
    pthread_mutex_lock(&quota->lock);
    while (!quota->ending)
        if (!keep_round(quota))
            rest(quota);
    pthread_mutex_unlock(&quota->lock);
    return NULL;
}

/* --- life --- */

int quota_create(struct quota **out, const struct quota_options *options) {
    CLEANUP(cleanup_free) struct quota *quota = calloc(1, sizeof *quota);
    if (!quota)
        return -ENOMEM;
    quota->options = *options;
    random_bytes(quota->seed, sizeof quota->seed);
    int error = workers_create(&quota->workers, "count", COUNTERS, SIZE_MAX);
    if (error)
        return error;
    pthread_mutex_init(&quota->lock, NULL);
    clock_cond_init(&quota->wake);
    error = -pthread_create(&quota->keeper, NULL, keep, quota);
    quota->keeping = !error;
    if (error)
        quota_destroy(TAKE(quota));
    else
        *out = TAKE(quota);
    return error;
}

static void stop_keeper(struct quota *quota) {
    pthread_mutex_lock(&quota->lock);
    quota->ending = true;
    pthread_cond_signal(&quota->wake);
    pthread_mutex_unlock(&quota->lock);
    if (quota->keeping)
        pthread_join(quota->keeper, NULL);
}

void quota_destroy(struct quota *quota) {
    if (!quota)
        return;
    stop_keeper(quota);
    workers_destroy(quota->workers);
    struct account *account;
    size_t position = 0;
    while ((account = map_next(&quota->accounts, &position, NULL))) {
        struct users_use use = {.used = (int64_t)ledger_used(&account->ledger)};
        if (account->counted && account->recorded != (uint64_t)use.used)
            record(account, &use);
        destroy_account(account);
    }
    map_finish(&quota->accounts);
    pthread_cond_destroy(&quota->wake);
    pthread_mutex_destroy(&quota->lock);
    free(quota);
}
