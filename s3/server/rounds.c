/* What the server looks after by itself, now and then: the store, and everybody's bucket. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "s3/server/config.h"
#include "s3/server/inside.h"
#include "s3/server/look.h"

#define LOOK_EVERY_S (24 * 3600)

static bool is_ending(struct server *server) {
    pthread_mutex_lock(&server->lock);
    bool ending = server->ending;
    pthread_mutex_unlock(&server->lock);
    return ending;
}

void rounds_ask(struct server *server) {
    struct metrics_lately before = metrics_store_lately(server->metrics);
    struct fault fault = {0};
    proof_ask(&server->remote, server->users, server->config->keep_versions_d != 0, &fault);
    struct metrics_lately now = metrics_store_lately(server->metrics);
    if (before.down_s < 0 && now.down_s >= 0)
        log_error("The store does not answer: %s", fault.text);
    else if (before.down_s >= 0 && now.down_s < 0)
        log_info("The store answers again, after %lld s", (long long)before.down_s);
}

struct ids {
    int64_t *ids; /* owned */
    size_t count, capacity;
    bool shared; /* one of those that share a bucket is there */
};

static int note_ready(void *context, const struct user *user) {
    struct ids *ids = context;
    if (user->state != USERS_READY || user->removing_s || (*user->prefix && ids->shared))
        return 0;
    ids->shared |= *user->prefix != '\0';
    if (ids->count == ids->capacity) {
        size_t capacity = ids->capacity ? ids->capacity * 2 : 1024;
        int64_t *more = reallocarray(ids->ids, capacity, sizeof *more);
        if (!more)
            return -ENOMEM;
        ids->ids = more;
        ids->capacity = capacity;
    }
    ids->ids[ids->count++] = user->id;
    return 0;
}

static void look_at(struct server *server, int64_t id) {
    struct fault fault = {0};
    CLEANUP(user_finish) struct user user = {0};
    if (users_find_id(server->users, id, &user, &fault))
        return;
    struct provision_options options = server_provision_tools(server);
    int error = look_there(&options, &user, &fault);
    if (!error && !user.missing_s)
        error = look_closed(&options, &user, &fault);
    if (error)
        log_warning("The bucket of account %s could not be looked at: %s", user.name,
                    fault.text[0] ? fault.text : error_text(error));
}

/* Every bucket, once a day, one after the other; the day is in the database, so that a restart begins no new one. */
void rounds_look(struct server *server) {
    struct ids ids = {0};
    struct fault fault = {0};
    AUTO_FREE char *ignored = NULL;
    int64_t looked_s = 0;
    int error = users_get_fact(server->users, "looked", &ignored, &looked_s, &fault);
    int64_t age = clock_realtime_s() - looked_s;
    if ((!error && age >= 0 && age < LOOK_EVERY_S) || metrics_store_lately(server->metrics).down_s >= 0)
        return;
    bool first = error == -ENOENT;
    if (!error || first)
        error = users_put_fact(server->users, "looked", "", &fault);
    if (!error && !first) /* the first day, all are new, or come from before: sessions look at them */
        error = users_each(server->users, NULL, note_ready, &ids, &fault);
    for (size_t i = 0; i < ids.count && !error && !is_ending(server); i++) {
        if (metrics_store_lately(server->metrics).down_s >= 0)
            error = fault_set(&fault, PAIL_OFFLINE, "the store does not answer; %zu are left", ids.count - i);
        else
            look_at(server, ids.ids[i]);
    }
    free(ids.ids);
    if (error)
        log_error("The buckets could not be looked at: %s", fault.text[0] ? fault.text : error_text(error));
}
