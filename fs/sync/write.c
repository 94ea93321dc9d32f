/* One conditional write: what it is based on, its id in the journal before the first byte leaves, and what became of
 * it. Where the store ignores the condition, this looks at the key just before, and below ours just after. */
#include "fs/sync/private.h"

#define REMEMBERED 4096u

void remote_finish(struct tree_remote *remote) {
    free(remote->key);
    free(remote->etag);
    free(remote->version);
    free(remote->content);
    *remote = (struct tree_remote){0};
}

void write_finish(struct write *write) {
    store_headers_finish(&write->headers);
    store_written_finish(&write->written);
}

void writes_note(struct sync *sync, const char *id) {
    pthread_mutex_lock(&sync->lock);
    if (!sync->writes.ids)
        sync->writes.ids = calloc(REMEMBERED, sizeof *sync->writes.ids);
    if (sync->writes.ids)
        memcpy(sync->writes.ids[sync->writes.next++ % REMEMBERED], id, sizeof *sync->writes.ids);
    pthread_mutex_unlock(&sync->lock);
}

bool writes_has(struct sync *sync, const char *id) {
    bool found = false;
    pthread_mutex_lock(&sync->lock);
    size_t count = sync->writes.next < REMEMBERED ? sync->writes.next : REMEMBERED;
    for (size_t i = 0; id && sync->writes.ids && i < count && !found; i++)
        found = strcmp(sync->writes.ids[i], id) == 0;
    pthread_mutex_unlock(&sync->lock);
    return found;
}

static bool honoured(const struct store_features *features, enum write_kind kind, enum store_condition condition) {
    bool absent = condition == STORE_IF_ABSENT;
    switch (kind) {
    case WRITE_PUT:
        return absent ? features->put_if_absent : features->put_if_match;
    case WRITE_COPY:
        return absent ? features->copy_if_absent : features->copy_if_match;
    default:
        return absent ? features->complete_if_absent : features->complete_if_match;
    }
}

static void set_condition(struct write *write) {
    struct store_features features;
    store_features(write->job->sync->store, &features);
    job_base(write->job, write->key, &write->base);
    enum store_condition condition = write->base.etag ? STORE_IF_MATCH : STORE_IF_ABSENT;
    write->guarded = !honoured(&features, write->kind, condition);
    write->when = (struct store_when){STORE_ANY, NULL};
    if (!write->guarded)
        write->when = (struct store_when){condition, write->base.etag};
}

static bool as_expected(const struct write *write, const struct store_object *there) {
    return there ? write->base.etag && text_equal(there->etag, write->base.etag) : !write->base.etag;
}

/* What is at the key now: *object, or absent. */
static int see(struct write *write, struct store_object *object, const struct store_object **there) {
    struct job *job = write->job;
    int r = write->base.etag ? call_head_known(job->sync, write->key, NULL, object, &job->fault)
                             : call_head(job->sync, write->key, NULL, object, &job->fault);
    *there = r ? NULL : object;
    return r == PAIL_GONE ? 0 : r;
}

/* The base's ETag is not known; is it this one? */
static bool may_be_base(const struct write *write, const struct store_object *there) {
    struct version_facts facts = facts_of_object(there);
    facts.etag = NULL;
    return write->base.content ? same_content(&write->base, &facts) : write->base.size == facts.size;
}

int write_prepare(struct write *write, bool look) {
    AUTO_OBJECT struct store_object object = {0};
    const struct store_object *there;
    set_condition(write);
    bool unknown = write->base.etag && !*write->base.etag;
    if (!look && !write->guarded && !unknown)
        return 0;
    int r = see(write, &object, &there);
    if (r)
        return r;
    if (unknown && there && may_be_base(write, there)) {
        r = job_rebase(write->job, write->key, there);
        set_condition(write);
        return r;
    }
    return as_expected(write, there) ? 0 : conflict_meet(write, there);
}

int write_note(struct write *write) {
    struct job *job = write->job;
    random_hex(write->id, 16);
    int r = store_headers_set(&write->headers, META_WRITE, write->id);
    if (!r)
        r = metadata_check_size(&write->headers);
    if (r == PAIL_TOO_LARGE)
        return fault_set(&job->fault, r, "its attributes are larger than the 2 KiB that S3 keeps with an object");
    if (!r)
        r = tree_write_begin(job->sync->tree, job->ino, write->key, write->id);
    if (r)
        return r == TREE_STALE ? JOB_AGAIN : r > 0 ? PAIL_BUSY : r;
    writes_note(job->sync, write->id);
    return 0;
}

static char *copy_text(const char *text, int *error) {
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy)
        *error = -ENOMEM;
    return copy;
}

int remote_of_object(const char *key, const struct store_object *object, struct tree_remote *remote) {
    int error = 0;
    *remote = (struct tree_remote){.key = copy_text(key, &error),
                                   .etag = copy_text(object->etag, &error),
                                   .version = copy_text(object->version, &error),
                                   .content = copy_text(store_headers_get(&object->headers, META_CONTENT), &error),
                                   .size = object->size,
                                   .modified_s = head_settled(object) ? object->modified_s : 0,
                                   .head_known = true};
    if (error)
        remote_finish(remote);
    return error;
}

static int remote_of_written(const struct write *write, struct tree_remote *remote) {
    int error = 0;
    *remote = (struct tree_remote){.key = copy_text(write->key, &error),
                                   .etag = copy_text(write->written.etag, &error),
                                   .version = copy_text(write->written.version, &error),
                                   .content = copy_text(store_headers_get(&write->headers, META_CONTENT), &error),
                                   .size = write->ours.size,
                                   .head_known = true};
    if (error)
        remote_finish(remote);
    return error;
}

static bool is_ours(const struct write *write, const struct store_object *there) {
    return there && text_equal(store_headers_get(&there->headers, META_WRITE), write->id);
}

/* The store said yes, but not all there is to know (Ceph: no ETag after complete, no version after copy). */
static int ask_rest(struct write *write, struct tree_remote *remote) {
    AUTO_OBJECT struct store_object object = {0};
    const struct store_object *there;
    int r = see(write, &object, &there);
    if (r)
        return r;
    if (is_ours(write, there))
        return remote_of_object(write->key, there, remote);
    r = remote_of_written(write, remote); /* somebody has replaced it already: the next listing says with what */
    if (!r && !*remote->etag) {
        free(remote->etag);
        remote->etag = strdup("-");
    }
    return r ? r : remote->etag ? 0 : -ENOMEM;
}

static int learn(struct write *write, struct tree_remote *remote) {
    struct store_features features;
    const struct store_written *written = &write->written;
    store_features(write->job->sync->store, &features);
    bool whole = written->etag && *written->etag && (written->version || !features.versions);
    return whole ? remote_of_written(write, remote) : ask_rest(write, remote);
}

static int settle_refused(struct write *write, struct tree_remote *remote) {
    AUTO_OBJECT struct store_object object = {0};
    const struct store_object *there;
    int r = see(write, &object, &there);
    if (r)
        return r;
    if (is_ours(write, there))
        return remote_of_object(write->key, there, remote);
    memcpy(write->job->settled, write->id, sizeof write->id);
    if (as_expected(write, there))
        return JOB_AGAIN; /* it was not the key's condition: the source of a copy, or the upload */
    return conflict_meet(write, there);
}

int write_settle(struct write *write, int result, struct tree_remote *remote) {
    int r = result;
    if (!result)
        r = learn(write, remote);
    else if (result == PAIL_CONFLICT || result == PAIL_GONE)
        r = settle_refused(write, remote);
    if (!r && write->guarded)
        r = conflict_look_below(write->job, write->key, remote->version, &write->base, &write->ours);
    if (r)
        remote_finish(remote);
    return r;
}
