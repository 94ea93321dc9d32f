/* sync: made, started, ended; and what its parts share. */
#include "fs/sync/sync.h"

#include "base/clock.h"
#include "base/log.h"
#include "fs/sync/private.h"

#include <stdarg.h>
#include <stdio.h>

#define LARGE_THREADS 4 /* coordinate long transfers; the parts pool carries them */
#define QUEUE SIZE_MAX

/* ---- Shared by the parts ---- */

int sync_submit(struct sync *sync, struct workers *pool, enum workers_priority priority, workers_job *job,
                void *context) {
    pthread_mutex_lock(&sync->lock);
    int r = !sync->started || sync->ending ? PAIL_CANCELLED : workers_submit_always(pool, priority, job, context);
    pthread_mutex_unlock(&sync->lock);
    return r;
}

struct answer {
    sync_done *done;
    void *context;
    int result;
};

static void give_answer(void *context) {
    struct answer *answer = context;
    answer->done(answer->context, answer->result);
    free(answer);
}

void sync_answer(struct sync *sync, sync_done *done, void *context, int result) {
    struct answer *answer = malloc(sizeof *answer);
    if (answer) {
        *answer = (struct answer){done, context, result};
        if (!sync_submit(sync, sync->names, WORKERS_NOW, give_answer, answer))
            return;
    }
    free(answer);
    done(context, result);
}

void sync_news(struct sync *sync, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_warning("%s", text);
    if (sync->options.news)
        sync->options.news(sync->options.news_context, text);
}

int send_memory_take(struct sync *sync, uint64_t size) {
    pthread_mutex_lock(&sync->lock);
    uint64_t all = sync->options.send_memory;
    while (!sync->ending && sync->send_free < size && sync->send_free < all)
        pthread_cond_wait(&sync->changed, &sync->lock);
    bool ending = sync->ending;
    if (!ending)
        sync->send_free -= size < sync->send_free ? size : sync->send_free;
    pthread_mutex_unlock(&sync->lock);
    return ending ? PAIL_CANCELLED : 0;
}

void send_memory_give(struct sync *sync, uint64_t size) {
    pthread_mutex_lock(&sync->lock);
    uint64_t all = sync->options.send_memory;
    sync->send_free = size < all - sync->send_free ? sync->send_free + size : all;
    pthread_cond_broadcast(&sync->changed);
    pthread_mutex_unlock(&sync->lock);
}

struct sending *sending_begin(struct sync *sync, uint64_t ino, uint64_t total) {
    struct sending *sending = calloc(1, sizeof *sending);
    if (!sending)
        return NULL;
    sending->total = total;
    pthread_mutex_lock(&sync->lock);
    bool fine = !map_get(&sync->sendings, ino) && !map_put(&sync->sendings, ino, sending);
    pthread_mutex_unlock(&sync->lock);
    if (fine)
        return sending;
    free(sending);
    return NULL;
}

void sending_end(struct sync *sync, uint64_t ino) {
    pthread_mutex_lock(&sync->lock);
    free(map_remove(&sync->sendings, ino));
    pthread_mutex_unlock(&sync->lock);
}

/* ---- Made and unmade ---- */

static void set_options(struct sync *sync, const struct sync_options *options) {
    struct sync_options *o = &sync->options;
    *o = *options;
    o->stall_ms = o->stall_ms ? o->stall_ms : 30000;
    o->fresh_ms = o->fresh_ms ? o->fresh_ms : 5000;
    o->data_threads = o->data_threads ? o->data_threads : 32;
    o->name_threads = o->name_threads ? o->name_threads : 16;
    o->work_threads = o->work_threads ? o->work_threads : 16;
    o->part_size = o->part_size ? o->part_size : 16u << 20;
    o->send_memory = o->send_memory ? o->send_memory : 64u << 20;
    sync->send_free = o->send_memory;
    sync->store = options->store;
    sync->tree = options->tree;
    if (options->host)
        snprintf(sync->host, sizeof sync->host, "%s", options->host);
    else if (gethostname(sync->host, sizeof sync->host - 1))
        snprintf(sync->host, sizeof sync->host, "this machine");
    o->host = sync->host;
}

static int init_lock(struct sync *sync) {
    pthread_mutex_init(&sync->lock, NULL);
    clock_cond_init(&sync->changed);
    return online_init(&sync->online);
}

int sync_create(struct sync **out, const struct sync_options *options, struct fault *fault) {
    struct sync *sync = calloc(1, sizeof *sync);
    if (!sync)
        return fault_set(fault, -ENOMEM, "out of memory");
    set_options(sync, options);
    int r = init_lock(sync);
    if (!r)
        r = mime_create(&sync->mime, "/etc/mime.types");
    if (r) {
        sync_destroy(sync);
        return fault_set(fault, r, "%s", error_text(r));
    }
    *out = sync;
    return 0;
}

static void free_values(struct map *map) {
    size_t position = 0;
    void *value;
    while ((value = map_next(map, &position, NULL)))
        free(value);
    map_finish(map);
}

void sync_destroy(struct sync *sync) {
    if (!sync)
        return;
    sync_stop(sync);
    map_finish(&sync->lists);
    map_finish(&sync->flats);
    map_finish(&sync->heads);
    map_finish(&sync->uploads);
    free_values(&sync->aliases);
    free_values(&sync->sendings);
    free(sync->writes.ids);
    mime_destroy(sync->mime);
    online_finish(&sync->online);
    pthread_cond_destroy(&sync->changed);
    pthread_mutex_destroy(&sync->lock);
    free(sync);
}

struct content_origin sync_origin(struct sync *sync) {
    return (struct content_origin){.context = sync, .fetch = fetch_begin};
}

static void work_added(void *context) {
    sync_kick(context);
}

static void work_taken_over(void *context, uint64_t from, uint64_t to) {
    flush_follow(context, from, to);
}

static void work_went_over(void *context, uint64_t to) {
    flush_look(context, to);
}

static int create_pools(struct sync *sync) {
    const struct sync_options *o = &sync->options;
    int r = workers_create(&sync->names, "pail-names", o->name_threads, QUEUE);
    if (!r)
        r = workers_create(&sync->data, "pail-data", o->data_threads, QUEUE);
    if (!r)
        r = workers_create(&sync->work, "pail-work", o->work_threads, QUEUE);
    if (!r)
        r = workers_create(&sync->large, "pail-large", LARGE_THREADS, QUEUE);
    if (!r)
        r = workers_create(&sync->parts, "pail-parts", o->work_threads, QUEUE);
    return r;
}

/* The pointers stay as they are: sync_submit refuses by `ending`. */
static void destroy_pools(struct sync *sync) {
    workers_destroy(sync->large); /* those that wait for parts, before the parts */
    workers_destroy(sync->work);
    workers_destroy(sync->parts);
    workers_destroy(sync->names);
    workers_destroy(sync->data);
}

/* What was tried before a restart is ours. */
static int note_unseen(struct sync *sync) {
    char **keys, **ids;
    size_t count;
    int r = tree_writes_unseen(sync->tree, &keys, &ids, &count);
    for (size_t i = 0; i < count; i++) {
        if (strlen(ids[i]) == 32)
            writes_note(sync, ids[i]);
        free(keys[i]);
        free(ids[i]);
    }
    free(keys);
    free(ids);
    return r;
}

int sync_start(struct sync *sync, struct content *content) {
    struct tree_watch watch = {.context = sync,
                               .work_added = work_added,
                               .work_taken_over = work_taken_over,
                               .work_went_over = work_went_over};
    sync->content = content;
    int r = note_unseen(sync);
    if (!r)
        r = create_pools(sync);
    if (!r)
        r = tree_observe(sync->tree, &watch);
    pthread_mutex_lock(&sync->lock);
    sync->started = !r;
    pthread_mutex_unlock(&sync->lock);
    if (!r && (r = schedule_start(sync))) {
        pthread_mutex_lock(&sync->lock);
        sync->started = false;
        pthread_mutex_unlock(&sync->lock);
    }
    if (r)
        destroy_pools(sync);
    return r;
}

void sync_stop(struct sync *sync) {
    pthread_mutex_lock(&sync->lock);
    bool running = sync->started && !sync->ending;
    sync->ending = true;
    pthread_cond_broadcast(&sync->changed);
    pthread_mutex_unlock(&sync->lock);
    if (!running)
        return;
    online_end(sync);
    pthread_join(sync->scheduler, NULL);
    destroy_pools(sync);
    schedule_finish(sync);
    flush_end_all(sync, PAIL_CANCELLED);
}

/* ---- For people ---- */

void sync_kick(struct sync *sync) {
    schedule_wake(sync);
}

void sync_retry(struct sync *sync) {
    online_probe_soon(sync);
}

void sync_status(struct sync *sync, struct sync_status *out) {
    *out = (struct sync_status){.received_total = atomic_load(&sync->received_total),
                                .sent_total = atomic_load(&sync->sent_total)};
    pthread_mutex_lock(&sync->online.lock);
    out->online = sync->online.state;
    out->offline_since_s = sync->online.since_s;
    memcpy(out->why, sync->online.why, sizeof out->why);
    pthread_mutex_unlock(&sync->online.lock);
    size_t position = 0;
    struct sending *sending;
    pthread_mutex_lock(&sync->lock);
    while ((sending = map_next(&sync->sendings, &position, NULL))) {
        out->sending++;
        out->sending_bytes += sending->total;
        out->sent_bytes += atomic_load(&sending->sent);
    }
    pthread_mutex_unlock(&sync->lock);
}

bool sync_sending(struct sync *sync, uint64_t ino, uint64_t *sent, uint64_t *total) {
    pthread_mutex_lock(&sync->lock);
    struct sending *sending = map_get(&sync->sendings, ino);
    if (sending) {
        *sent = atomic_load(&sending->sent);
        *total = sending->total;
    }
    pthread_mutex_unlock(&sync->lock);
    return sending != NULL;
}
