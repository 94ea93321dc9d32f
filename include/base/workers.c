/* A bounded pool of threads with a queue of jobs. */
#include "base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
    struct job *next;
    workers_job *run;
    void *context;
};

struct lane {
    struct job *first, **last;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct lane lanes[WORKERS_PRIORITIES]; /* under lock, as all below */
    size_t queued, limit, running;
    unsigned started, idle, most;
    bool ending;
    pthread_t *threads;
    char name[16];
};

static struct job *take_first(struct workers *workers) {
    for (int i = 0; i < WORKERS_PRIORITIES; i++) {
        struct lane *lane = &workers->lanes[i];
        struct job *job = lane->first;
        if (!job)
            continue;
        lane->first = job->next;
        if (!lane->first)
            lane->last = &lane->first;
        workers->queued--;
        return job;
    }
    return NULL;
}

static void *run(void *context) {
    struct workers *workers = context;
    pthread_setname_np(pthread_self(), workers->name);
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        struct job *job = take_first(workers);
        if (job) {
            workers->running++;
            pthread_mutex_unlock(&workers->lock);
            job->run(job->context);
            free(job);
            pthread_mutex_lock(&workers->lock);
            workers->running--;
        } else if (workers->ending) {
            break;
        } else {
            workers->idle++;
            pthread_cond_wait(&workers->work, &workers->lock);
            workers->idle--;
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

int workers_create(struct workers **out, const char *name, unsigned threads, size_t queue_limit) {
    struct workers *workers = calloc(1, sizeof *workers);
    if (!workers)
        return -ENOMEM;
    workers->threads = calloc(threads, sizeof *workers->threads);
    if (!workers->threads) {
        free(workers);
        return -ENOMEM;
    }
    workers->most = threads;
    workers->limit = queue_limit;
    snprintf(workers->name, sizeof workers->name, "%s", name);
    for (int i = 0; i < WORKERS_PRIORITIES; i++)
        workers->lanes[i].last = &workers->lanes[i].first;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    *out = workers;
    return 0;
}

void workers_destroy(struct workers *workers) {
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->ending = true;
    pthread_cond_broadcast(&workers->work);
    unsigned started = workers->started; /* for good: none is started any more */
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    free(workers->threads);
    free(workers);
}

/* Under lock. Threads of ours take no signals: those are main's. */
static int start_one(struct workers *workers) {
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512 << 10);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&workers->threads[workers->started], &attributes, run, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!r)
        workers->started++;
    return -r;
}

static int submit(struct workers *workers, enum workers_priority priority, workers_job *run_job, void *context,
                  bool bounded) {
    struct job *job = malloc(sizeof *job);
    if (!job)
        return -ENOMEM;
    *job = (struct job){.run = run_job, .context = context};
    int r = 0;
    pthread_mutex_lock(&workers->lock);
    if (bounded && workers->queued >= workers->limit)
        r = -EAGAIN;
    else if (workers->queued >= workers->idle && workers->started < workers->most && !workers->ending)
        r = start_one(workers);
    if (r && r != -EAGAIN && workers->started)
        r = 0; /* no new thread, but those there will come to it */
    if (!r) {
        struct lane *lane = &workers->lanes[priority];
        *lane->last = job;
        lane->last = &job->next;
        workers->queued++;
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->lock);
    if (r)
        free(job);
    return r;
}

int workers_submit(struct workers *workers, enum workers_priority priority, workers_job *run_job, void *context) {
    return submit(workers, priority, run_job, context, true);
}

int workers_submit_always(struct workers *workers, enum workers_priority priority, workers_job *run_job,
                          void *context) {
    return submit(workers, priority, run_job, context, false);
}

size_t workers_pending(struct workers *workers) {
    pthread_mutex_lock(&workers->lock);
    size_t pending = workers->queued + workers->running;
    pthread_mutex_unlock(&workers->lock);
    return pending;
}
