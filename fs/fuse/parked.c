/* Requests that may have to wait: run once in the FUSE worker, then, each time what was missing has come, on the thread
 * that brought it.
 *
 *   RUNNING --core says CORE_WAIT--> PARKED --it came--> RUNNING --> replied, destroyed
 *                                      \--^C--> ANSWERED (EINTR); destroyed when it comes
 * Only the one who moves it out of PARKED replies. */
#include "base/cleanup.h"
#include "fs/fuse/adapter_private.h"

#include <string.h>

enum { RUNNING, PARKED, ANSWERED };

struct parked *parked_create(fuse_req_t request, parked_step *step, uint64_t ino, const char *name) {
    struct parked *parked = calloc(1, sizeof *parked);
    if (parked && name)
        parked->name = strdup(name);
    if (!parked || (name && !parked->name)) {
        free(parked);
        fuse_reply_err(request, ENOMEM);
        return NULL;
    }
    parked->adapter = fuse_req_userdata(request);
    parked->request = request;
    parked->step = step;
    parked->ino = ino;
    pthread_mutex_lock(&parked->adapter->lock);
    parked->adapter->parked++;
    pthread_mutex_unlock(&parked->adapter->lock);
    return parked;
}

void parked_destroy(struct parked *parked) {
    struct adapter *adapter = parked->adapter;
    free(parked->name);
    free(parked->other_name);
    free(parked->data);
    free(parked);
    pthread_mutex_lock(&adapter->lock);
    if (--adapter->parked == 0)
        pthread_cond_broadcast(&adapter->idle);
    pthread_mutex_unlock(&adapter->lock);
}

/* libfuse calls it with the request's own lock held, so the request cannot go away under it. */
static void interrupted(fuse_req_t request, void *data) {
    struct parked *parked = data;
    int expected = PARKED;
    if (atomic_compare_exchange_strong(&parked->state, &expected, ANSWERED))
        fuse_reply_err(request, EINTR); /* parked is another's from here on */
}

void parked_begin(struct parked *parked) {
    atomic_store(&parked->state, PARKED);
    fuse_req_interrupt_func(parked->request, interrupted, parked);
}

bool parked_end(struct parked *parked) {
    int expected = PARKED;
    if (!atomic_compare_exchange_strong(&parked->state, &expected, RUNNING))
        return false;
    fuse_req_interrupt_func(parked->request, NULL, NULL); /* waits for a call of interrupted() that is under way */
    return true;
}

static void came(void *context, int result) {
    struct parked *parked = context;
    if (!parked_end(parked)) {
        parked_destroy(parked);
    } else if (result && result != PAIL_GONE && !parked->wait.optional) {
        reply_error(parked->request, result);
        parked_destroy(parked);
    } else {
        parked->round++; /* gone: the tree knows it by now, and the step says so in the right words */
        parked_run(parked);
    }
}

void parked_run(struct parked *parked) {
    int r = parked->step(parked, &parked->wait);
    if (r == CORE_WAIT && parked->round < 16) {
        struct core *core = parked->adapter->core;
        struct core_wait wait = parked->wait;
        parked_begin(parked);
        core_wait_for(core, &wait, came, parked);
        return;
    }
    if (r)
        reply_error(parked->request, r == CORE_WAIT ? -EAGAIN : r);
    parked_destroy(parked);
}

static void run_job(void *context) {
    parked_run(context);
}

void parked_run_local(struct parked *parked) {
    if (workers_submit_always(parked->adapter->local, WORKERS_NOW, run_job, parked) == 0)
        return;
    reply_error(parked->request, -ENOMEM);
    parked_destroy(parked);
}
