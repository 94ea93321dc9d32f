/* Waiting for what is missing. A wait that is only for freshness has patience: a network that is frozen but not yet
 * known to be gone must not hold up what can be answered from here.
 *
 * state of a brief wait       what happens                  to
 * PATIENT (in the list)       the answer comes              told, freed
 *                             its patience ends             OVERDUE: told PAIL_OFFLINE
 * OVERDUE (counted)           the answer comes              freed
 * While any is overdue, new ones are begun but not waited for. */
#include "base/clock.h"
#include "fs/core/core_private.h"

#include <assert.h>
#include <stdlib.h>

struct core_patient {
    struct core_patient *next; /* in core->patients while it is patient; under core->lock, as all below */
    struct core *core;         /* borrowed */
    sync_done *done;
    void *context;
    int64_t until_ms;
    bool overdue;
};

int core_wait_list(struct core_wait *wait, uint64_t folder) {
    *wait = (struct core_wait){.kind = CORE_WAIT_LIST, .ino = folder};
    return CORE_WAIT;
}

int core_wait_head(struct core_wait *wait, uint64_t ino) {
    *wait = (struct core_wait){.kind = CORE_WAIT_HEAD, .ino = ino};
    return CORE_WAIT;
}

int core_wait_flush(struct core_wait *wait, uint64_t ino) {
    *wait = (struct core_wait){.kind = CORE_WAIT_FLUSH, .ino = ino};
    return CORE_WAIT;
}

int core_wait_attributes(struct core_wait *wait, const struct tree_node *node) {
    core_wait_head(wait, node->ino);
    wait->optional = node->remote.head_outdated;
    return CORE_WAIT;
}

int core_wait_brief(struct core_wait *wait) {
    wait->optional = wait->brief = true;
    return CORE_WAIT;
}

static void begin(struct core *core, const struct core_wait *wait, sync_done *done, void *context) {
    switch (wait->kind) {
    case CORE_WAIT_LIST:
        sync_list(core->sync, wait->ino, done, context);
        break;
    case CORE_WAIT_HEAD:
        sync_head(core->sync, wait->ino, done, context);
        break;
    case CORE_WAIT_FLUSH:
        sync_flush(core->sync, wait->ino, done, context);
        break;
    }
}

/* Under lock. */
static void take_out(struct core_patient *patient) {
    struct core_patient **link = &patient->core->patients;
    while (*link != patient) {
        assert(*link);
        link = &(*link)->next;
    }
    *link = patient->next;
}

static void came(void *context, int result) {
    struct core_patient *patient = context;
    struct core *core = patient->core;
    pthread_mutex_lock(&core->lock);
    bool told = patient->overdue;
    if (told)
        core->overdue--;
    else
        take_out(patient);
    pthread_mutex_unlock(&core->lock);
    if (!told)
        patient->done(patient->context, result);
    free(patient);
}

void core_wait_for(struct core *core, const struct core_wait *wait, sync_done *done, void *context) {
    struct core_patient *patient = wait->brief ? malloc(sizeof *patient) : NULL;
    if (!patient) {
        begin(core, wait, done, context);
        return;
    }
    pthread_mutex_lock(&core->lock);
    bool overdue = core->overdue > 0;
    *patient = (struct core_patient){.core = core,
                                     .done = done,
                                     .context = context,
                                     .until_ms = clock_monotonic_ms() + core->options.patience_ms,
                                     .overdue = overdue};
    if (overdue) {
        core->overdue++;
    } else {
        patient->next = core->patients;
        core->patients = patient;
    }
    pthread_mutex_unlock(&core->lock);
    begin(core, wait, came, patient);
    if (overdue)
        done(context, PAIL_OFFLINE);
}

/* Takes one whose patience has ended; false: there is none. */
static bool next_overdue(struct core *core, sync_done **done, void **context) {
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&core->lock);
    struct core_patient *patient = core->patients;
    while (patient && patient->until_ms > now)
        patient = patient->next;
    if (patient) {
        take_out(patient);
        patient->overdue = true;
        core->overdue++;
        *done = patient->done; /* the patient itself may be gone once the lock is */
        *context = patient->context;
    }
    pthread_mutex_unlock(&core->lock);
    return patient != NULL;
}

void core_wait_tick(struct core *core) {
    sync_done *done;
    void *context;
    while (next_overdue(core, &done, &context))
        done(context, PAIL_OFFLINE);
}
