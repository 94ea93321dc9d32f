/* A bounded pool of threads with a queue of jobs in a few priorities. Thread-safe. No job may wait for another job of
 * the same pool. */
#pragma once

#include <stddef.h>

struct workers;
typedef void workers_job(void *context);

enum workers_priority { WORKERS_NOW, WORKERS_SOON, WORKERS_LATER, WORKERS_PRIORITIES };

/* threads are started as they are needed, up to the number; name (15 characters) shows in ps. 0 or -errno. */
int workers_create(struct workers **out, const char *name, unsigned threads, size_t queue_limit);
/* Runs what is queued, then joins every thread. NULL is fine. */
void workers_destroy(struct workers *workers);
/* Queues job(context). -EAGAIN when the queue is full: the caller decides what is given up. */
int workers_submit(struct workers *workers, enum workers_priority priority, workers_job *job, void *context);
/* Like submit, but the limit does not hold: for what was accepted already and must not be lost. -ENOMEM. */
int workers_submit_always(struct workers *workers, enum workers_priority priority, workers_job *job, void *context);
/* Jobs queued or running. */
size_t workers_pending(struct workers *workers);
