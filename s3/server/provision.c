/* The state machine of an account's bucket, and the threads that run it.
 *
 * | state      | is true                                        | step to the next                                    |
 * |------------|------------------------------------------------|-----------------------------------------------------|
 * | reserved   | the name is recorded                           | create; taken by others: record the next name, again
 * | | created    | the bucket is ours: its tag says so            | public access, owner, encryption, versions,
 * lifecycle | | configured | all that the store knows is set                | check that nobody else can reach it | |
 * ready      | it may be used                                 |                                                     |
 */
#include "s3/server/provision.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "base/workers.h"
#include "s3/server/bucket.h"
#include "s3/server/config.h"
#include "s3/server/look.h"

#include <pthread.h>

#define ATTEMPTS_MOST 100
#define QUEUE_MOST 10000

static void count(const struct provision_options *options, enum metrics_event event) {
    if (options->metrics)
        metrics_count(options->metrics, event);
}

/* Steps. */

static int take_next_name(const struct provision_options *options, struct user *user, struct fault *fault) {
    if (user->attempt >= ATTEMPTS_MOST)
        return fault_set(fault, PAIL_DENIED, "no free bucket name was found for account %s", user->name);
    AUTO_FREE char *next = bucket_next_name(user->bucket, user->attempt);
    if (!next)
        return -ENOMEM;
    log_info("The bucket %s is somebody else's; account %s takes %s", user->bucket, user->name, next);
    int error = users_record_bucket(options->users, user->id, next, user->attempt + 1, fault);
    return error == -ESTALE ? 0 : error; /* somebody else went on: look again */
}

static int create_step(const struct provision_options *options, struct user *user, struct fault *fault) {
    int error = bucket_create(options->remote, user->bucket, user->mark, fault);
    if (error == BUCKET_TAKEN)
        return take_next_name(options, user, fault);
    return error ? error : users_advance(options->users, user->id, USERS_CREATED, 0, fault);
}

static int configure_step(const struct provision_options *options, struct user *user, struct fault *fault) {
    struct bucket_wishes wishes = {
        .block_public_acls = options->block_public_acls(options->context),
        .keep_versions_d = options->remote->config->keep_versions_d,
    };
    int error = bucket_configure(options->remote, user->bucket, &wishes, fault);
    int64_t versioned_at_s = wishes.keep_versions_d ? clock_realtime_s() : 0;
    return error ? error : users_advance(options->users, user->id, USERS_CONFIGURED, versioned_at_s, fault);
}

static int check_step(const struct provision_options *options, struct user *user, struct fault *fault) {
    int error = bucket_check_private(options->remote, user->bucket, fault);
    if (error)
        return error == BUCKET_OPEN ? PAIL_DENIED : error;
    error = users_advance(options->users, user->id, USERS_READY, 0, fault);
    if (error)
        return error;
    count(options, METRICS_BUCKET_MADE);
    log_info("Account %s has its bucket %s", user->name, user->bucket);
    return 0;
}

static int step(const struct provision_options *options, struct user *user, struct fault *fault) {
    switch (user->state) {
    case USERS_RESERVED:
        return create_step(options, user, fault);
    case USERS_CREATED:
        return configure_step(options, user, fault);
    case USERS_CONFIGURED:
        return check_step(options, user, fault);
    case USERS_READY:
        break;
    }
    return 0;
}

int provision_account(const struct provision_options *options, int64_t account, struct user *out, struct fault *fault) {
    for (;;) {
        CLEANUP(user_finish) struct user user = {0};
        int error = users_find_id(options->users, account, &user, fault);
        if (error)
            return error;
        if (user.state == USERS_READY) {
            *out = user;
            user = (struct user){0};
            return 0;
        }
        error = step(options, &user, fault);
        if (error)
            return error;
    }
}

/* Threads. One job for each account, with everybody who waits for it. */

struct waiter {
    struct waiter *next;
    provision_done *done; /* NULL: nobody wants to know */
    void *context;
};

struct job {
    struct provision *provision;
    int64_t account;
    bool looks;             /* at a bucket that was ready */
    struct waiter *waiters; /* under provision->lock */
};

struct provision {
    struct provision_options options;
    struct workers *workers;
    pthread_mutex_t lock;
    struct map jobs; /* by account; under lock */
};

int provision_create(struct provision **out, const struct provision_options *options) {
    struct provision *provision = calloc(1, sizeof *provision);
    if (!provision)
        return -ENOMEM;
    provision->options = *options;
    pthread_mutex_init(&provision->lock, NULL);
    int error = workers_create(&provision->workers, "provision", options->threads ? options->threads : 8, QUEUE_MOST);
    if (error) {
        free(provision);
        return error;
    }
    *out = provision;
    return 0;
}

void provision_destroy(struct provision *provision) {
    if (!provision)
        return;
    workers_destroy(provision->workers);
    map_finish(&provision->jobs);
    pthread_mutex_destroy(&provision->lock);
    free(provision);
}

static void tell(struct waiter *waiters, int result, const struct user *user, const struct fault *fault) {
    while (waiters) {
        struct waiter *next = waiters->next;
        if (waiters->done)
            waiters->done(waiters->context, result, user, fault);
        free(waiters);
        waiters = next;
    }
}

static void run_job(void *context) {
    struct job *job = context;
    struct provision *provision = job->provision;
    struct user user = {0};
    struct fault fault = {0};
    int64_t began = clock_monotonic_ms();
    int result = provision_account(&provision->options, job->account, &user, &fault);
    bool there = !result && job->looks && !look_there(&provision->options, &user, &fault) && !user.missing_s;
    if (!result && !job->looks && provision->options.metrics)
        metrics_count_provision(provision->options.metrics, clock_monotonic_ms() - began);
    if (result) {
        count(&provision->options, METRICS_BUCKET_FAILED);
        log_error("Account %lld has no bucket yet: %s", (long long)job->account,
                  fault.text[0] ? fault.text : error_text(result));
    }
    pthread_mutex_lock(&provision->lock);
    map_remove(&provision->jobs, (uint64_t)job->account);
    struct waiter *waiters = job->waiters;
    pthread_mutex_unlock(&provision->lock);
    tell(waiters, result, &user, &fault);
    if (there)
        look_closed(&provision->options, &user, &fault);
    user_finish(&user);
    free(job);
}

/* Under lock. */
static int add_job(struct provision *provision, int64_t account, bool looks, struct job **out) {
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return -ENOMEM;
    *job = (struct job){.provision = provision, .account = account, .looks = looks};
    int error = map_put(&provision->jobs, (uint64_t)account, job);
    if (!error) {
        error = workers_submit(provision->workers, WORKERS_SOON, run_job, job);
        if (error)
            map_remove(&provision->jobs, (uint64_t)account);
    }
    if (error)
        free(job);
    else
        *out = job;
    return error;
}

static int start(struct provision *provision, int64_t account, bool looks, provision_done *done, void *context) {
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter)
        return -ENOMEM;
    pthread_mutex_lock(&provision->lock);
    struct job *job = map_get(&provision->jobs, (uint64_t)account);
    int error = job ? 0 : add_job(provision, account, looks, &job);
    if (!error) {
        *waiter = (struct waiter){.next = job->waiters, .done = done, .context = context};
        job->waiters = waiter;
    }
    pthread_mutex_unlock(&provision->lock);
    if (error)
        free(waiter);
    return error;
}

int provision_start(struct provision *provision, int64_t account, provision_done *done, void *context) {
    return start(provision, account, false, done, context);
}

int provision_look(struct provision *provision, int64_t account, provision_done *done, void *context) {
    return start(provision, account, true, done, context);
}

static int resume_one(void *context, const struct user *user) {
    struct provision *provision = context;
    int error = provision_start(provision, user->id, NULL, NULL);
    return error == -EAGAIN ? 0 : error; /* its next request will */
}

int provision_resume(struct provision *provision, struct fault *fault) {
    return users_each_unfinished(provision->options.users, resume_one, provision, fault);
}
