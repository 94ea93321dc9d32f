/* A store that passes calls on to another and fails the nth in a chosen way: for tests. */
#include "s3/failing_store.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_STALL_MS 30000
#define CUT (-EUCLEAN) /* our own sink's word for "enough" */

/* A put that is under way although its caller has been told that it failed. */
struct late_put {
    struct store_put request; /* its key NULL: there is none. Strings and headers are owned here */
    struct store_headers headers;
    char *data; /* owned */
    unsigned long due;
};

struct failing_store {
    struct store base;
    struct store *inner; /* borrowed */
    pthread_mutex_t lock;
    unsigned long calls, first, count, delay; /* under lock, as all below */
    enum failing_way way;
    int error;
    struct late_put late;
};

/* What is to happen to one call. */
struct fate {
    bool fails;
    enum failing_way way;
    int error;
};

static struct failing_store *failing_of(struct store *store) {
    return (struct failing_store *)store;
}

/* ---- What arrives late ---- */

static void late_finish(struct late_put *late) {
    free((char *)(uintptr_t)late->request.key);
    free((char *)(uintptr_t)late->request.when.etag);
    store_headers_finish(&late->headers);
    free(late->data);
    *late = (struct late_put){0};
}

static int read_late(void *context, uint64_t offset, void *data, size_t size) {
    const struct late_put *late = context;
    memcpy(data, late->data + offset, size);
    return 0;
}

static int late_keep(struct failing_store *failing, const struct store_put *request) {
    const struct store_source *source = &request->source;
    struct late_put late = {.request = *request, .data = malloc(source->size + 1)};
    late.request.key = strdup(request->key);
    late.request.when.etag = request->when.etag ? strdup(request->when.etag) : NULL;
    int r = late.data && late.request.key ? 0 : -ENOMEM;
    if (!r && request->headers)
        r = store_headers_copy(&late.headers, request->headers);
    if (!r && source->size)
        r = source->read(source->context, 0, late.data, source->size);
    pthread_mutex_lock(&failing->lock);
    late.due = failing->calls + (failing->delay ? failing->delay : 1);
    if (!r && !failing->late.request.key)
        failing->late = late;
    else
        late_finish(&late);
    pthread_mutex_unlock(&failing->lock);
    return r;
}

/* Under lock: what comes next sees it. */
static void late_arrive(struct failing_store *failing) {
    struct late_put *late = &failing->late;
    if (!late->request.key || failing->calls < late->due)
        return;
    late->request.headers = &late->headers;
    late->request.source = (struct store_source){read_late, late, late->request.source.size};
    store_put(failing->inner, &late->request, NULL, NULL);
    late_finish(late);
}

/* ---- Which call fails ---- */

static struct fate next_fate(struct store *store) {
    struct failing_store *failing = failing_of(store);
    pthread_mutex_lock(&failing->lock);
    unsigned long number = ++failing->calls;
    late_arrive(failing);
    struct fate fate = {failing->first && number >= failing->first && number - failing->first < failing->count,
                        failing->way, failing->error};
    pthread_mutex_unlock(&failing->lock);
    return fate;
}

static int blame(const struct store_call *call, int error) {
    return fault_set(call ? call->fault : NULL, error, "planted by a test: %s", error_text(error));
}

static bool is_cancelled(const struct store_call *call) {
    return call && call->cancelled && atomic_load(call->cancelled);
}

static int stall(const struct store_call *call) {
    int64_t until = clock_monotonic_ms() + (call && call->stall_ms > 0 ? call->stall_ms : DEFAULT_STALL_MS);
    while (clock_monotonic_ms() < until && !is_cancelled(call))
        clock_sleep_ms(10);
    return is_cancelled(call) ? PAIL_CANCELLED : PAIL_OFFLINE;
}

/* True: the call fails without reaching the inner store, and *error says with what. */
static bool fails_before(const struct fate *fate, const struct store_call *call, int *error) {
    if (!fate->fails || fate->way == FAILING_AFTER)
        return false;
    *error = blame(call, fate->way == FAILING_STALL ? stall(call) : fate->error);
    return true;
}

static void clear_written(struct store_written *written) {
    if (written)
        *written = (struct store_written){0};
}

/* What the caller hears of a call that reached the inner store. */
static int heard(const struct fate *fate, const struct store_call *call, int result) {
    return fate->fails && fate->way == FAILING_AFTER ? blame(call, fate->error) : result;
}

/* Passes on half of what would come. */
struct half {
    const struct store_sink *sink;
    const struct store_object *object;
    const struct store_get *request;
    uint64_t passed;
};

static int write_half(void *context, const void *data, size_t size) {
    struct half *half = context;
    uint64_t whole = half->object->size - half->request->offset;
    if (half->request->length && half->request->length < whole)
        whole = half->request->length;
    uint64_t room = whole / 2 - half->passed;
    size_t take = size < room ? size : (size_t)room;
    int error = take ? half->sink->write(half->sink->context, data, take) : 0;
    half->passed += take;
    return error ? error : take == size ? 0 : CUT;
}

static int get_half(struct store *inner, const struct store_get *request, const struct store_sink *sink,
                    struct store_object *object, const struct store_call *call, int planted) {
    struct half half = {.sink = sink, .object = object, .request = request};
    struct store_sink cutting = {write_half, &half};
    int error = store_get(inner, request, &cutting, object, call);
    return error && error != CUT ? error : blame(call, planted);
}

static int failing_get(struct store *store, const struct store_get *request, const struct store_sink *sink,
                       struct store_object *object, const struct store_call *call) {
    struct fate fate = next_fate(store);
    struct store *inner = failing_of(store)->inner;
    int error;
    *object = (struct store_object){0};
    if (fate.fails && fate.way == FAILING_HALF)
        return get_half(inner, request, sink, object, call, fate.error);
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_get(inner, request, sink, object, call));
}

static int failing_head(struct store *store, const char *key, const char *version, struct store_object *object,
                        const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    *object = (struct store_object){0};
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_head(failing_of(store)->inner, key, version, object, call));
}

/* An answer that is lost tells nothing. */
static int heard_written(const struct fate *fate, const struct store_call *call, int result,
                         struct store_written *written) {
    if (fate->fails && written)
        store_written_finish(written);
    return heard(fate, call, result);
}

static int failing_put(struct store *store, const struct store_put *request, struct store_written *written,
                       const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    clear_written(written);
    if (fate.fails && fate.way == FAILING_LATE && (error = late_keep(failing_of(store), request)))
        return error;
    if (fails_before(&fate, call, &error))
        return error;
    return heard_written(&fate, call, store_put(failing_of(store)->inner, request, written, call), written);
}

static int failing_copy(struct store *store, const struct store_copy *request, struct store_written *written,
                        const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    clear_written(written);
    if (fails_before(&fate, call, &error))
        return error;
    return heard_written(&fate, call, store_copy(failing_of(store)->inner, request, written, call), written);
}

static int failing_remove(struct store *store, const char *key, const char *etag, const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_remove(failing_of(store)->inner, key, etag, call));
}

static int failing_remove_many(struct store *store, struct store_delete *items, size_t count,
                               const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_remove_many(failing_of(store)->inner, items, count, call));
}

static int failing_list(struct store *store, const struct store_list *request, struct store_page *page,
                        const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    *page = (struct store_page){0};
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_list(failing_of(store)->inner, request, page, call));
}

static int failing_list_versions(struct store *store, const struct store_list_versions *request,
                                 struct store_page *page, const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    *page = (struct store_page){0};
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_list_versions(failing_of(store)->inner, request, page, call));
}

/* A text in an answer that is lost. */
static int heard_text(const struct fate *fate, const struct store_call *call, int result, char **text) {
    if (fate->fails) {
        free(*text);
        *text = NULL;
    }
    return heard(fate, call, result);
}

static int failing_create_upload(struct store *store, const char *key, const struct store_headers *headers,
                                 char **upload, const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    *upload = NULL;
    if (fails_before(&fate, call, &error))
        return error;
    return heard_text(&fate, call, store_create_upload(failing_of(store)->inner, key, headers, upload, call), upload);
}

static int failing_put_part(struct store *store, const char *key, const char *upload, unsigned number,
                            const struct store_source *source, char **etag, const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    *etag = NULL;
    if (fails_before(&fate, call, &error))
        return error;
    error = store_put_part(failing_of(store)->inner, key, upload, number, source, etag, call);
    return heard_text(&fate, call, error, etag);
}

static int failing_copy_part(struct store *store, const char *key, const char *upload, unsigned number,
                             const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                             const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    *etag = NULL;
    if (fails_before(&fate, call, &error))
        return error;
    error = store_copy_part(failing_of(store)->inner, key, upload, number, source, offset, length, etag, call);
    return heard_text(&fate, call, error, etag);
}

static int failing_complete_upload(struct store *store, const char *key, const char *upload,
                                   const struct store_parts *parts, uint64_t total, const struct store_when *when,
                                   struct store_written *written, const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    clear_written(written);
    if (fails_before(&fate, call, &error))
        return error;
    error = store_complete_upload(failing_of(store)->inner, key, upload, parts, total, when, written, call);
    return heard_written(&fate, call, error, written);
}

static int failing_abort_upload(struct store *store, const char *key, const char *upload,
                                const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_abort_upload(failing_of(store)->inner, key, upload, call));
}

static int failing_list_parts(struct store *store, const char *key, const char *upload, struct store_parts *parts,
                              const struct store_call *call) {
    struct fate fate = next_fate(store);
    int error;
    *parts = (struct store_parts){0};
    if (fails_before(&fate, call, &error))
        return error;
    return heard(&fate, call, store_list_parts(failing_of(store)->inner, key, upload, parts, call));
}

static void failing_features(struct store *store, struct store_features *out) {
    store_features(failing_of(store)->inner, out);
}

static void failing_destroy(struct store *store) {
    late_finish(&failing_of(store)->late);
    pthread_mutex_destroy(&failing_of(store)->lock);
    free(store);
}

static const struct store_operations operations = {
    .destroy = failing_destroy,
    .features = failing_features,
    .get = failing_get,
    .head = failing_head,
    .put = failing_put,
    .copy = failing_copy,
    .remove = failing_remove,
    .remove_many = failing_remove_many,
    .list = failing_list,
    .list_versions = failing_list_versions,
    .create_upload = failing_create_upload,
    .put_part = failing_put_part,
    .copy_part = failing_copy_part,
    .complete_upload = failing_complete_upload,
    .abort_upload = failing_abort_upload,
    .list_parts = failing_list_parts,
};

int failing_store_create(struct store **out, struct store *inner) {
    struct failing_store *failing = calloc(1, sizeof *failing);
    if (!failing)
        return -ENOMEM;
    failing->base.operations = &operations;
    failing->inner = inner;
    pthread_mutex_init(&failing->lock, NULL);
    *out = &failing->base;
    return 0;
}

void failing_store_arm(struct store *store, unsigned long first, unsigned long count, enum failing_way way, int error) {
    struct failing_store *failing = failing_of(store);
    pthread_mutex_lock(&failing->lock);
    failing->calls = 0;
    failing->first = first;
    failing->count = count;
    failing->way = way;
    failing->error = error;
    pthread_mutex_unlock(&failing->lock);
}

unsigned long failing_store_calls(struct store *store) {
    struct failing_store *failing = failing_of(store);
    pthread_mutex_lock(&failing->lock);
    unsigned long calls = failing->calls;
    pthread_mutex_unlock(&failing->lock);
    return calls;
}

void failing_store_delay(struct store *store, unsigned long calls) {
    struct failing_store *failing = failing_of(store);
    pthread_mutex_lock(&failing->lock);
    failing->delay = calls;
    pthread_mutex_unlock(&failing->lock);
}
