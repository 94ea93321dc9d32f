/* The thread that writes fetched spans to the cache. */
#include "fs/content/writer.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/content/fetch.h"

#include <errno.h>
#include <signal.h>

enum { TICK_S = 1, IDLE_MS = 4000, LINGER_MS = 1000 };

struct writer {
    struct budget *budget; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct span *first, *last; /* under lock, as all below */
    bool ending, ticking, stopped;
    int64_t give_up_ms;
};

/* Under lock. */
static void take(struct writer *writer, struct span *span) {
    *(span->write_previous ? &span->write_previous->write_next : &writer->first) = span->write_next;
    *(span->write_next ? &span->write_next->write_previous : &writer->last) = span->write_previous;
    span->queued = false;
}

void writer_add(struct writer *writer, struct span *span) {
    span_hold(span);
    pthread_mutex_lock(&writer->lock);
    span->write_next = NULL;
    span->write_previous = writer->last;
    *(writer->last ? &writer->last->write_next : &writer->first) = span;
    writer->last = span;
    span->queued = true;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->lock);
}

bool writer_remove(struct writer *writer, struct span *span) {
    pthread_mutex_lock(&writer->lock);
    bool queued = span->queued;
    if (queued)
        take(writer, span);
    pthread_mutex_unlock(&writer->lock);
    return queued;
}

static void write_span(struct span *span, bool drop) {
    struct source *source = span->source;
    if (!drop && !source->retired)
        cache_write(source->cache, span->start, span->data, span->have); /* complete: `have` stays */
    source_written(span);
    span_release(span);
}

/* Under lock, which is let go. While memory holds anything, it is tidied each second. */
static void wait_for_work(struct writer *writer) {
    if (!writer->ticking) {
        pthread_cond_wait(&writer->work, &writer->lock);
        return;
    }
    if (!clock_cond_wait_ms(&writer->work, &writer->lock, TICK_S * 1000))
        return;
    pthread_mutex_unlock(&writer->lock);
    bool more = budget_trim(writer->budget, IDLE_MS);
    pthread_mutex_lock(&writer->lock);
    writer->ticking = more || writer->first;
}

static void *run(void *context) {
    struct writer *writer = context;
    pthread_setname_np(pthread_self(), "pail-cache");
    pthread_mutex_lock(&writer->lock);
    while (!writer->ending || writer->first) {
        struct span *span = writer->first;
        if (span) {
            take(writer, span);
            writer->ticking = true;
            bool drop = writer->ending && clock_monotonic_ms() > writer->give_up_ms;
            pthread_mutex_unlock(&writer->lock);
            write_span(span, drop);
            pthread_mutex_lock(&writer->lock);
            continue;
        }
        wait_for_work(writer);
    }
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

static int start(struct writer *writer) {
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&writer->thread, &attributes, run, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}

int writer_create(struct writer **out, struct budget *budget) {
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return -ENOMEM;
    writer->budget = budget;
    pthread_mutex_init(&writer->lock, NULL);
    clock_cond_init(&writer->work);
    int r = start(writer);
    if (r) {
        pthread_cond_destroy(&writer->work);
        pthread_mutex_destroy(&writer->lock);
        free(writer);
        return r;
    }
    *out = writer;
    return 0;
}

void writer_stop(struct writer *writer) {
    if (!writer || writer->stopped)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->ending = true;
    writer->give_up_ms = clock_monotonic_ms() + LINGER_MS;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    writer->stopped = true;
}

void writer_destroy(struct writer *writer) {
    if (!writer)
        return;
    writer_stop(writer);
    pthread_cond_destroy(&writer->work);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}
