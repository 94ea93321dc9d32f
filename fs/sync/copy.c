/* Moves and changes of metadata: copies on the server's side. Each starts from a head of the source and sends back what
 * stands there with only ours changed, on condition of that head's ETag. */
#include "fs/sync/private.h"

#include <inttypes.h>

#define COPY_PART (512ull << 20)
#define META_LARGEST (64ull << 30) /* above it, a change of metadata waits for the next change of content */

/* ---- Large ones, by parts ---- */

struct part_copy {
    struct sync *sync;
    const struct store_copy *copy;
    const char *upload;
    uint64_t part_size;
    struct store_parts parts; /* each thread fills its own */
};

static int copy_one(void *context, unsigned number, struct fault *fault) {
    struct part_copy *all = context;
    uint64_t offset = (number - 1) * all->part_size, left = all->copy->size - offset;
    struct store_part *part = &all->parts.items[number - 1];
    part->number = number;
    part->size = left < all->part_size ? left : all->part_size;
    return call_copy_part(all->sync, all->copy->key, all->upload, number, all->copy, offset, part->size, &part->etag,
                          fault);
}

static int copy_parts(struct part_copy *all, struct store_written *written, struct fault *fault) {
    size_t count = (all->copy->size + all->part_size - 1) / all->part_size;
    AUTO_FREE unsigned *numbers = calloc(count, sizeof *numbers);
    all->parts.items = calloc(count, sizeof *all->parts.items);
    if (!numbers || !all->parts.items)
        return -ENOMEM;
    all->parts.count = count;
    for (size_t i = 0; i < count; i++)
        numbers[i] = (unsigned)i + 1;
    int r = parts_run(all->sync, numbers, count, copy_one, all, fault);
    return r ? r
             : call_complete_upload(all->sync, all->copy->key, all->upload, &all->parts, all->copy->size,
                                    &all->copy->when, written, fault);
}

/* By parts nothing is taken over from the source by itself. */
static int copy_large(struct sync *sync, const struct store_copy *copy, struct store_written *written,
                      struct fault *fault) {
    AUTO_OBJECT struct store_object source = {0};
    AUTO_FREE char *upload = NULL;
    struct part_copy all = {.sync = sync, .copy = copy, .part_size = parts_size(copy->size, COPY_PART)};
    const struct store_headers *headers = copy->headers;
    int r = all.part_size ? 0 : PAIL_TOO_LARGE;
    if (!r && !headers) {
        r = call_head(sync, copy->source, copy->source_version, &source, fault);
        headers = &source.headers;
    }
    if (!r)
        r = call_create_upload(sync, copy->key, headers, &upload, fault);
    if (r)
        return r;
    all.upload = upload;
    r = copy_parts(&all, written, fault);
    if (r)
        call_abort_upload(sync, copy->key, upload, NULL); /* what this misses, the bucket's lifecycle ends */
    store_parts_finish(&all.parts);
    return r;
}

int copy_object(struct sync *sync, const struct store_copy *copy, struct store_written *written, struct fault *fault) {
    return copy->size > STORE_MAX_PUT ? copy_large(sync, copy, written, fault) : call_copy(sync, copy, written, fault);
}

/* ---- One node ---- */

/* Theirs is applied to the node: other content gives the name a new node, which takes the work over. */
static int take_theirs(struct job *job, uint64_t asked, const struct store_object *object) {
    int r = head_apply(job->sync, job->ino, asked, job->work.node.remote.key, object);
    return r ? r : JOB_AGAIN;
}

static int take_absence(struct job *job, uint64_t asked) {
    uint64_t now;
    struct tree_head gone = {.key = job->work.node.remote.key, .absent = true};
    int r = tree_apply_head(job->sync->tree, job->ino, asked, &gone, &now);
    return r < 0 ? r : JOB_AGAIN;
}

/* The source is not there. The version that we knew may be; otherwise it was deleted by somebody else. */
static int source_gone(struct job *job, uint64_t asked, struct store_object *object) {
    const struct tree_remote *remote = &job->work.node.remote;
    if (young_versions(job->sync) && remote->content)
        return fault_set(&job->fault, PAIL_BUSY, "the bucket does not show it yet");
    if (!remote->version || !(job->work.node.work & TREE_WORK_NAME))
        return take_absence(job, asked);
    int r = call_head(job->sync, remote->key, remote->version, object, &job->fault); /* the bucket was there just now */
    return r == PAIL_GONE ? take_absence(job, asked) : r;
}

static void clear(struct store_object *object) {
    store_object_finish(object);
    *object = (struct store_object){0};
}

/* Another node of ours was written over it since the work was described, or an old write arrived late. */
static int covered(struct job *job, struct store_object *object, bool *by_version) {
    const struct tree_remote *remote = &job->work.node.remote;
    if (!remote->version || *by_version)
        return JOB_AGAIN;
    int r = text_equal(remote->key, job->work.target_key) ? job_rebase(job, remote->key, object) : 0;
    clear(object);
    *by_version = true;
    return r ? r : call_head_known(job->sync, remote->key, remote->version, object, &job->fault);
}

/* *object: the source as it is now, of the content that the node has. */
static int see_source(struct job *job, struct store_object *object, bool *by_version) {
    const struct tree_remote *remote = &job->work.node.remote;
    uint64_t asked = tree_change_number(job->sync->tree);
    *by_version = job->work.overtaken && remote->version;
    int r = call_head_known(job->sync, remote->key, *by_version ? remote->version : NULL, object, &job->fault);
    if (r == PAIL_GONE) {
        clear(object);
        *by_version = true;
        return source_gone(job, asked, object);
    }
    if (r)
        return r;
    struct version_facts now = facts_of_object(object), known = facts_of_remote(remote);
    if (same_content(&now, &known) || (remote->etag && !*remote->etag))
        return 0;
    if (!writes_has(job->sync, store_headers_get(&object->headers, META_WRITE)))
        return take_theirs(job, asked, object);
    bool foreign = !now.content && !known.content; /* copied by parts, which makes another ETag */
    return foreign && now.size == known.size ? 0 : covered(job, object, by_version);
}

static int refuse_unkeepable(struct job *job, const struct store_object *object) {
    bool tags = store_headers_get(&object->headers, "x-amz-tagging-count") && object->size > STORE_MAX_PUT;
    if (object->archived)
        return fault_set(&job->fault, PAIL_ARCHIVED, "it is archived: restore it first");
    if (store_headers_get(&object->headers, "x-amz-website-redirect-location"))
        return fault_set(&job->fault, PAIL_UNSUPPORTED, "it keeps its old metadata: the object has a redirect");
    if (tags)
        return fault_set(&job->fault, PAIL_UNSUPPORTED, "it keeps its old metadata: the object has tags and is large");
    return 0;
}

static const char *last_name(const char *key) {
    const char *slash = strrchr(key, '/');
    return slash ? slash + 1 : key;
}

/* The type follows the name, if it was the one that the old name stood for. */
static const char *new_type(struct job *job, const struct store_headers *headers) {
    const struct tree_work *work = &job->work;
    const char *now = store_headers_get(headers, "content-type");
    const char *was = mime_type(job->sync->mime, last_name(work->node.remote.key));
    if (work->node.type != TREE_FILE || !now || strcmp(now, was) != 0)
        return NULL;
    return mime_type(job->sync->mime, last_name(work->target_key));
}

static int make_headers(struct job *job, const struct store_object *object, struct store_headers *headers) {
    const char *type;
    int r = store_headers_copy(headers, &object->headers);
    if (!r)
        r = store_headers_set(headers, "x-amz-tagging-count", NULL);
    if (!r && (job->work.node.work & TREE_WORK_META))
        return metadata_write(job->sync, &job->work.node, new_type(job, headers), headers);
    if (!r && (type = new_type(job, headers)))
        r = store_headers_set(headers, "content-type", type);
    return r;
}

static int copy_from(struct job *job, const struct store_object *object, bool by_version) {
    struct sync *sync = job->sync;
    const struct tree_node *node = &job->work.node;
    AUTO_REMOTE struct tree_remote remote = {0};
    AUTO_WRITE struct write write = {.job = job, .key = job->work.target_key};
    bool self = text_equal(write.key, node->remote.key);
    write.kind = object->size > STORE_MAX_PUT ? WRITE_COMPLETE : WRITE_COPY;
    write.ours = facts_of_object(object);
    int r = self && !by_version ? job_rebase(job, write.key, object) : 0;
    if (!r)
        r = make_headers(job, object, &write.headers);
    if (!r)
        r = write_prepare(&write, false);
    if (!r)
        r = write_note(&write);
    if (r)
        return r;
    struct store_copy copy = {.source = node->remote.key,
                              .source_version = by_version ? object->version : NULL,
                              .source_if_match = object->etag,
                              .key = write.key,
                              .when = write.when,
                              .headers = &write.headers,
                              .size = object->size};
    r = write_settle(&write, copy_object(sync, &copy, &write.written, &job->fault), &remote);
    if (!r && !(node->work & TREE_WORK_META))
        remote.head_known = node->remote.head_known;
    return r ? r : job_done(job, node->work & (TREE_WORK_META | TREE_WORK_NAME), &remote, NULL);
}

int copy_run(struct job *job) {
    const struct tree_node *node = &job->work.node;
    AUTO_OBJECT struct store_object object = {0};
    bool by_version;
    if (!node->remote.key || !node->remote.etag)
        return fault_set(&job->fault, -EIO, "the bucket has nothing of it to be copied");
    if (node->remote.size > META_LARGEST && node->work == TREE_WORK_META && !flush_wants(job->sync, job->ino))
        return JOB_PUT_OFF;
    if (node->remote.size > STORE_MAX_PUT && !job->large)
        return JOB_LARGE;
    int r = see_source(job, &object, &by_version);
    if (!r)
        r = refuse_unkeepable(job, &object);
    return r ? r : copy_from(job, &object, by_version);
}
