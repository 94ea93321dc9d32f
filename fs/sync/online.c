/* Is there a network: the first failure makes the mount offline, cuts what waits, and starts probing.
 *
 * state           what happens                       to
 * ONLINE          a call gives PAIL_OFFLINE          OFFLINE, everything under way is cut
 *                 a call gives PAIL_LOGIN_REQUIRED   LOGIN_REQUIRED, likewise
 * OFFLINE, LOGIN  a probe gets an answer             ONLINE, the work goes on
 *                 a probe fails                      the one that fits; the next probe after 1, 2, 4 ... 30 s */
#include "base/clock.h"
#include "base/log.h"
#include "fs/sync/private.h"

#include <assert.h>
#include <stdio.h>

#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE_MS 30000
#define PROBE_STALL_MS 10000

static struct epoch *epoch_create(void) {
    struct epoch *epoch = calloc(1, sizeof *epoch);
    if (epoch)
        epoch->uses = 1;
    return epoch;
}

/* Under lock. */
static void epoch_drop(struct epoch *epoch) {
    if (epoch && --epoch->uses == 0)
        free(epoch);
}

int online_init(struct online *online) {
    *online = (struct online){.state = SYNC_ONLINE, .epoch = epoch_create(), .pause_ms = FIRST_PAUSE_MS};
    pthread_mutex_init(&online->lock, NULL);
    return online->epoch ? 0 : -ENOMEM;
}

void online_finish(struct online *online) {
    epoch_drop(online->epoch);
    pthread_mutex_destroy(&online->lock);
}

static int error_of(const struct online *online) {
    if (online->ending)
        return PAIL_CANCELLED;
    return online->state == SYNC_ONLINE ? 0 : online->state == SYNC_OFFLINE ? PAIL_OFFLINE : PAIL_LOGIN_REQUIRED;
}

int online_error(struct sync *sync) {
    pthread_mutex_lock(&sync->online.lock);
    int error = error_of(&sync->online);
    pthread_mutex_unlock(&sync->online.lock);
    return error;
}

int online_enter(struct sync *sync, struct net *net, struct fault *fault) {
    struct online *online = &sync->online;
    pthread_mutex_lock(&online->lock);
    int error = error_of(online);
    char why[sizeof online->why];
    memcpy(why, online->why, sizeof why);
    if (!error) {
        *net = (struct net){.sync = sync, .epoch = online->epoch};
        net->epoch->uses++;
        net->call = (struct store_call){.stall_ms = sync->options.stall_ms, .cancelled = &net->epoch->cut};
    }
    pthread_mutex_unlock(&online->lock);
    if (error)
        return fault_set(fault, error, "%s", why[0] ? why : error_text(error));
    net->call.fault = fault ? fault : &net->fault;
    return 0;
}

/* Under lock: nothing that was begun before goes on. If there is no memory for a new flag, calls begun meanwhile are
 * cut as well. */
static void cut_all(struct online *online) {
    struct epoch *next = epoch_create();
    atomic_store(&online->epoch->cut, true);
    if (!next)
        return;
    epoch_drop(online->epoch);
    online->epoch = next;
}

static void lose(struct sync *sync, enum sync_online state, const char *why) {
    struct online *online = &sync->online;
    pthread_mutex_lock(&online->lock);
    bool news = online->state != state && !online->ending, told = online->told;
    if (news) {
        if (online->state == SYNC_ONLINE) {
            cut_all(online);
            online->since_s = clock_realtime_s();
            online->pause_ms = FIRST_PAUSE_MS;
            online->probe_ms = clock_monotonic_ms() + online->pause_ms;
        }
        online->state = state;
        snprintf(online->why, sizeof online->why, "%s", why);
        online->told |= state == SYNC_LOGIN_REQUIRED;
    }
    pthread_mutex_unlock(&online->lock);
    if (!news)
        return;
    if (state == SYNC_LOGIN_REQUIRED && !told)
        sync_news(sync, "The login has ended: run 'pail login'. What is written stays here until then.");
    else
        log_warning("offline: %s", why);
    flush_end_all(sync, state == SYNC_OFFLINE ? PAIL_OFFLINE : PAIL_LOGIN_REQUIRED);
    schedule_wake(sync);
}

static void found(struct sync *sync) {
    struct online *online = &sync->online;
    pthread_mutex_lock(&online->lock);
    bool news = online->state != SYNC_ONLINE;
    if (news && atomic_load(&online->epoch->cut))
        cut_all(online);
    online->state = SYNC_ONLINE;
    online->why[0] = 0;
    online->since_s = 0;
    online->told = false;
    pthread_mutex_unlock(&online->lock);
    if (news)
        log_info("online again");
    schedule_wake(sync);
}

int online_leave(struct net *net, int result) {
    struct sync *sync = net->sync;
    const char *why = net->call.fault->text[0] ? net->call.fault->text : error_text(result);
    pthread_mutex_lock(&sync->online.lock);
    bool cut = atomic_load(&net->epoch->cut);
    epoch_drop(net->epoch);
    int now = error_of(&sync->online);
    pthread_mutex_unlock(&sync->online.lock);
    if (cut && (result == PAIL_CANCELLED || result == PAIL_OFFLINE))
        return now ? now : PAIL_OFFLINE;
    if (result == PAIL_OFFLINE)
        lose(sync, SYNC_OFFLINE, why);
    else if (result == PAIL_LOGIN_REQUIRED)
        lose(sync, SYNC_LOGIN_REQUIRED, why);
    return result;
}

static void probe(void *context) {
    struct sync *sync = context;
    struct fault fault = {0};
    AUTO_PAGE struct store_page page = {0};
    struct store_call call = {.stall_ms = PROBE_STALL_MS, .cancelled = &sync->cut, .fault = &fault};
    if (sync->options.stall_ms && sync->options.stall_ms < PROBE_STALL_MS)
        call.stall_ms = sync->options.stall_ms;
    int r = store_list(sync->store, &(struct store_list){.prefix = "", .max_keys = 1}, &page, &call);
    pthread_mutex_lock(&sync->online.lock);
    struct online *online = &sync->online;
    online->probing = false;
    online->pause_ms = online->pause_ms * 2 < LONGEST_PAUSE_MS ? online->pause_ms * 2 : LONGEST_PAUSE_MS;
    online->probe_ms = clock_monotonic_ms() + online->pause_ms;
    pthread_mutex_unlock(&sync->online.lock);
    const char *why = fault.text[0] ? fault.text : error_text(r);
    if (r == PAIL_OFFLINE)
        lose(sync, SYNC_OFFLINE, why);
    else if (r == PAIL_LOGIN_REQUIRED)
        lose(sync, SYNC_LOGIN_REQUIRED, why);
    else if (r != PAIL_CANCELLED)
        found(sync); /* any answer is one from the network */
    schedule_wake(sync);
}

int64_t online_tick(struct sync *sync) {
    struct online *online = &sync->online;
    int64_t next = INT64_MAX;
    bool begin = false;
    pthread_mutex_lock(&online->lock);
    if (online->state != SYNC_ONLINE && !online->probing && !online->ending) {
        begin = clock_monotonic_ms() >= online->probe_ms;
        online->probing = begin;
        next = online->probe_ms;
    }
    pthread_mutex_unlock(&online->lock);
    if (!begin)
        return next;
    if (sync_submit(sync, sync->names, WORKERS_NOW, probe, sync)) {
        pthread_mutex_lock(&online->lock);
        online->probing = false;
        online->probe_ms = clock_monotonic_ms() + FIRST_PAUSE_MS;
        pthread_mutex_unlock(&online->lock);
    }
    return INT64_MAX; /* the probe wakes the scheduler */
}

void online_probe_soon(struct sync *sync) {
    pthread_mutex_lock(&sync->online.lock);
    sync->online.probe_ms = clock_monotonic_ms();
    sync->online.pause_ms = FIRST_PAUSE_MS;
    pthread_mutex_unlock(&sync->online.lock);
    schedule_wake(sync);
}

void online_end(struct sync *sync) {
    pthread_mutex_lock(&sync->online.lock);
    sync->online.ending = true;
    atomic_store(&sync->online.epoch->cut, true);
    pthread_mutex_unlock(&sync->online.lock);
    atomic_store(&sync->cut, true);
}
