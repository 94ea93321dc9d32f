/* One request for all who ask: lists by folder, heads by node. A flight that waits behind less urgent ones is queued
 * once more when somebody asks for it more urgently; the copy that comes second finds it begun and does nothing. */
#include "fs/sync/private.h"

struct waiter {
    struct waiter *next;
    sync_done *done;
    void *context;
};

struct flight {
    struct sync *sync;
    struct flight_kind kind;
    uint64_t ino;
    struct waiter *waiters; /* owned list; under sync.lock, as all below */
    bool begun;
    unsigned jobs; /* queued or running */
    enum workers_priority priority;
};

static struct waiter *waiter_create(sync_done *done, void *context) {
    struct waiter *waiter = malloc(sizeof *waiter);
    if (waiter)
        *waiter = (struct waiter){NULL, done, context};
    return waiter;
}

static void tell(struct waiter *waiters, int result) {
    while (waiters) {
        struct waiter *next = waiters->next;
        waiters->done(waiters->context, result);
        free(waiters);
        waiters = next;
    }
}

/* Takes it out of the map: who asks from now on gets a new one. */
static struct waiter *land(struct flight *flight) {
    struct sync *sync = flight->sync;
    pthread_mutex_lock(&sync->lock);
    struct waiter *waiters = TAKE(flight->waiters);
    if (map_get(flight->kind.flights, flight->ino) == flight)
        map_remove(flight->kind.flights, flight->ino);
    pthread_mutex_unlock(&sync->lock);
    return waiters;
}

static void drop_job(struct flight *flight) {
    struct sync *sync = flight->sync;
    pthread_mutex_lock(&sync->lock);
    bool last = --flight->jobs == 0;
    pthread_mutex_unlock(&sync->lock);
    if (last)
        free(flight);
}

static void fly(void *context) {
    struct flight *flight = context;
    pthread_mutex_lock(&flight->sync->lock);
    bool second = flight->begun;
    flight->begun = true;
    pthread_mutex_unlock(&flight->sync->lock);
    if (!second) {
        int result = flight->kind.work(flight->sync, flight->ino);
        tell(land(flight), result);
    }
    drop_job(flight);
}

/* Under lock. NULL without memory. */
static struct flight *find_or_make(struct sync *sync, const struct flight_kind *kind, uint64_t ino) {
    struct flight *flight = map_get(kind->flights, ino);
    if (flight)
        return flight;
    flight = malloc(sizeof *flight);
    if (!flight)
        return NULL;
    *flight = (struct flight){.sync = sync, .kind = *kind, .ino = ino, .priority = WORKERS_PRIORITIES};
    if (map_put(kind->flights, ino, flight)) {
        free(flight);
        return NULL;
    }
    return flight;
}

/* Under lock. */
static int queue(struct flight *flight, enum workers_priority priority) {
    if (flight->begun || priority >= flight->priority)
        return 0;
    int r = workers_submit_always(flight->sync->names, priority, fly, flight);
    if (r)
        return flight->jobs ? 0 : r;
    flight->jobs++;
    flight->priority = priority;
    return 0;
}

void flight_join(struct sync *sync, const struct flight_kind *kind, uint64_t ino, enum workers_priority priority,
                 sync_done *done, void *context) {
    struct waiter *waiter = done ? waiter_create(done, context) : NULL;
    int r = done && !waiter ? -ENOMEM : 0;
    pthread_mutex_lock(&sync->lock);
    if (!r && (!sync->started || sync->ending))
        r = PAIL_CANCELLED;
    struct flight *flight = r ? NULL : find_or_make(sync, kind, ino);
    if (!r && !(r = flight ? queue(flight, priority) : -ENOMEM) && waiter) {
        waiter->next = flight->waiters;
        flight->waiters = waiter;
    }
    if (r && flight && !flight->jobs) {
        map_remove(kind->flights, ino);
        free(flight);
    }
    pthread_mutex_unlock(&sync->lock);
    if (!r)
        return;
    free(waiter);
    if (done)
        sync_answer(sync, done, context, r);
}
