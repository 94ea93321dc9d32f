/* The scheduler: claims what is due and hands it to the pools, gathers deletes, probes while offline. One thread; it
 * does no network I/O itself.
 *
 * state of a node's work   what happens                                   to
 * due in the tree          claimed                                        running (work pool)
 * running                  done, failed or put off                        released
 *                          too large for the work pool                    running (large pool)
 *                          its key is another node's, which has to move   parked: released for a moment
 * parked                   that node's job ended, or the moment passed    due in the tree */
#include "base/clock.h"
#include "base/log.h"
#include "fs/sync/private.h"

#include <time.h>

#define PACE_MS 20       /* news is gathered for this long before it is looked at */
#define GONE_PACE_MS 300 /* deletes are gathered for this long */
#define GONE_BATCH 1000u /* S3's largest */
#define GONE_BATCHES 4u  /* at once */
#define PARKED_MS 200
#define AGAIN_MS 1000
#define DROPPED_MS 10000

struct parked {
    struct parked *next;
    uint64_t ino, blocker; /* blocker 0: whoever it is */
    bool folder;
};

int64_t realtime_ms(void) {
    return clock_realtime_ns() / 1000000;
}

void schedule_wake(struct sync *sync) {
    pthread_mutex_lock(&sync->lock);
    sync->kicked = true;
    pthread_cond_broadcast(&sync->changed);
    pthread_mutex_unlock(&sync->lock);
}

/* ---- Jobs and pools ---- */

static void count_jobs(struct sync *sync, int change) {
    pthread_mutex_lock(&sync->lock);
    sync->jobs += (unsigned)change;
    pthread_mutex_unlock(&sync->lock);
}

/* Takes the job over; if sync ends, its claim is given back. */
static void submit(struct job *job) {
    struct sync *sync = job->sync;
    if (!sync_submit(sync, sync->work, WORKERS_SOON, job_run, job))
        return;
    tree_work_release(sync->tree, job->ino, -1, NULL);
    count_jobs(sync, -1);
    job_destroy(job);
}

int schedule_large(struct job *job) {
    struct sync *sync = job->sync;
    if (job->large)
        return PAIL_BUSY;
    job->large = true;
    int r = sync_submit(sync, sync->large, WORKERS_SOON, job_run, job);
    if (!r)
        count_jobs(sync, -1); /* long transfers take no place from short ones */
    else
        job->large = false;
    return r ? r : JOB_LARGE;
}

/* ---- Parked ones ---- */

/* Takes out those that wait for this node. Under lock. */
static struct parked *unpark(struct sync *sync, uint64_t blocker) {
    struct parked *parked, *out = NULL;
    for (size_t position = 0; (parked = map_next(&sync->parked, &position, NULL));)
        if (!parked->blocker || parked->blocker == blocker) {
            parked->next = out;
            out = parked;
        }
    for (parked = out; parked; parked = parked->next)
        map_remove(&sync->parked, parked->ino);
    return out;
}

/* A folder's own work comes again by itself: hastening it would hasten all below. */
void schedule_ended(struct sync *sync, uint64_t ino) {
    pthread_mutex_lock(&sync->lock);
    struct parked *parked = unpark(sync, ino), *next;
    pthread_mutex_unlock(&sync->lock);
    for (; parked; parked = next) {
        next = parked->next;
        if (!parked->folder)
            tree_work_hasten(sync->tree, parked->ino);
        free(parked);
    }
    schedule_wake(sync);
}

/* It gives its claim back, since the one it waits for may have to wait for what is claimed. */
void schedule_park(struct job *job) {
    struct sync *sync = job->sync;
    struct parked *parked = malloc(sizeof *parked);
    if (parked)
        *parked = (struct parked){.ino = job->ino,
                                  .blocker = job->has_work ? job->work.blocked_by : 0,
                                  .folder = !job->has_work || job->work.node.type == TREE_FOLDER};
    tree_work_release(sync->tree, job->ino, PARKED_MS, NULL);
    pthread_mutex_lock(&sync->lock);
    if (!job->large)
        sync->jobs--;
    free(map_remove(&sync->parked, job->ino)); /* it may have run again since it was released */
    if (parked && map_put(&sync->parked, job->ino, parked))
        free(parked); /* it comes again by itself */
    sync->kicked = true;
    pthread_cond_broadcast(&sync->changed);
    pthread_mutex_unlock(&sync->lock);
    job_destroy(job);
}

void schedule_job_ended(struct sync *sync, uint64_t ino, bool large) {
    if (!large)
        count_jobs(sync, -1);
    schedule_ended(sync, ino);
}

void schedule_finish(struct sync *sync) {
    struct parked *parked;
    for (size_t position = 0; (parked = map_next(&sync->parked, &position, NULL));)
        free(parked);
    map_finish(&sync->parked);
}

/* ---- What is due ---- */

struct agenda {
    int64_t now_ms, next_ms;     /* Unix */
    int64_t gone_ms, dropped_ms; /* monotonic: not before */
};

static void start_job(struct sync *sync, uint64_t ino) {
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        tree_work_release(sync->tree, ino, PARKED_MS, NULL);
        return;
    }
    job->sync = sync;
    job->ino = ino;
    pthread_mutex_lock(&sync->lock);
    sync->jobs++;
    free(map_remove(&sync->parked, ino));
    pthread_mutex_unlock(&sync->lock);
    submit(job);
}

static void claim_work(struct sync *sync, struct agenda *agenda) {
    AUTO_FREE uint64_t *inos = NULL;
    size_t count = 0;
    int64_t next = INT64_MAX;
    unsigned most = sync->options.work_threads * 2;
    pthread_mutex_lock(&sync->lock);
    unsigned room = sync->jobs < most ? most - sync->jobs : 0;
    pthread_mutex_unlock(&sync->lock);
    if (!room)
        return; /* the end of a job wakes us */
    int r = tree_work_claim(sync->tree, agenda->now_ms, room, &inos, &count, &next);
    if (r) {
        log_error("the journal cannot be read: %s", error_text(r));
        next = agenda->now_ms + AGAIN_MS;
    }
    for (size_t i = 0; i < count; i++)
        start_job(sync, inos[i]);
    if (next < agenda->next_ms && count < room)
        agenda->next_ms = next;
}

static bool start_removal(struct sync *sync, struct tree_gone *gone, size_t count) {
    struct removal *removal = malloc(sizeof *removal);
    if (removal)
        *removal = (struct removal){sync, gone, count};
    pthread_mutex_lock(&sync->lock);
    sync->removing++;
    pthread_mutex_unlock(&sync->lock);
    if (removal && !sync_submit(sync, sync->work, WORKERS_NOW, remove_run, removal))
        return true;
    for (size_t i = 0; i < count; i++)
        tree_gone_end(sync->tree, gone[i].key, TREE_GONE_LATER, 0);
    tree_gone_free(gone, count);
    free(removal);
    pthread_mutex_lock(&sync->lock);
    sync->removing--;
    pthread_mutex_unlock(&sync->lock);
    return false;
}

static void claim_gone(struct sync *sync, struct agenda *agenda, int64_t now) {
    struct tree_gone *gone = NULL;
    size_t count = 0;
    int64_t next = INT64_MAX;
    pthread_mutex_lock(&sync->lock);
    unsigned running = sync->removing;
    uint64_t turn = ++sync->gone_turn;
    pthread_mutex_unlock(&sync->lock);
    if (running >= GONE_BATCHES)
        return; /* the end of a batch wakes us */
    if (tree_gone_claim(sync->tree, agenda->now_ms, GONE_BATCH, &gone, &count, &next))
        return;
    if (count)
        start_removal(sync, gone, count);
    else
        tree_gone_free(gone, 0);
    agenda->gone_ms = now + (count == GONE_BATCH ? 0 : GONE_PACE_MS);
    if (!count && !running)
        flush_gone_idle(sync, turn);
    if (next < agenda->next_ms)
        agenda->next_ms = next;
}

static void look_at_dropped(struct sync *sync, struct agenda *agenda, int64_t now) {
    if (now < agenda->dropped_ms)
        return;
    agenda->dropped_ms = now + DROPPED_MS;
    sync_submit(sync, sync->work, WORKERS_LATER, abort_dropped, sync);
}

static int64_t sooner(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Everything that is to be done now; returns when to look again (monotonic ms). */
static int64_t turn(struct sync *sync, struct agenda *agenda) {
    int64_t now = clock_monotonic_ms();
    agenda->now_ms = realtime_ms();
    agenda->next_ms = INT64_MAX;
    int64_t probe = online_tick(sync);
    if (online_error(sync))
        return sooner(probe, now + DROPPED_MS);
    claim_work(sync, agenda);
    bool gather = now < agenda->gone_ms && !flush_wants(sync, 0);
    if (!gather)
        claim_gone(sync, agenda, now);
    look_at_dropped(sync, agenda, now);
    int64_t wait = agenda->next_ms == INT64_MAX ? DROPPED_MS : agenda->next_ms - agenda->now_ms;
    int64_t next = now + (wait < PACE_MS ? PACE_MS : sooner(wait, DROPPED_MS));
    if (gather)
        next = sooner(next, agenda->gone_ms);
    pthread_mutex_lock(&sync->lock);
    bool waited_for = sync->flushes;
    pthread_mutex_unlock(&sync->lock);
    return waited_for ? sooner(next, now + PACE_MS) : next;
}

/* ---- The thread ---- */

static struct timespec at(int64_t monotonic_ms) {
    return (struct timespec){monotonic_ms / 1000, monotonic_ms % 1000 * 1000000};
}

/* Until something is due or there is news; news is gathered for a moment. */
static void rest(struct sync *sync, int64_t until) {
    int64_t began = clock_monotonic_ms();
    struct timespec end = at(until);
    while (!sync->ending && !sync->kicked)
        if (pthread_cond_timedwait(&sync->changed, &sync->lock, &end) == ETIMEDOUT)
            break;
    struct timespec pace = at(began + PACE_MS);
    while (!sync->ending && !sync->flushes)
        if (pthread_cond_timedwait(&sync->changed, &sync->lock, &pace) == ETIMEDOUT)
            break;
    sync->kicked = false;
}

static void *run(void *context) {
    struct sync *sync = context;
    struct agenda agenda = {0};
    pthread_setname_np(pthread_self(), "pail-sync");
    for (;;) {
        int64_t until = turn(sync, &agenda);
        pthread_mutex_lock(&sync->lock);
        if (!sync->ending)
            rest(sync, until);
        bool ending = sync->ending;
        pthread_mutex_unlock(&sync->lock);
        if (ending)
            return NULL;
    }
}

int schedule_start(struct sync *sync) {
    return -pthread_create(&sync->scheduler, NULL, run, sync);
}
