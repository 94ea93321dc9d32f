/* Two writers: what is at a key is not what our write is based on. filesystem.md has the table. */
#include "base/log.h"
#include "fs/sync/private.h"

#include <stdio.h>

/* ---- Are the bytes the same? ---- */

struct comparison {
    struct content_upload *upload;
    uint64_t offset;
    bool differ;
};

static int compare(void *context, const void *data, size_t size) {
    struct comparison *comparison = context;
    AUTO_FREE void *ours = malloc(size);
    if (!ours)
        return -ENOMEM;
    int r = content_upload_read(comparison->upload, comparison->offset, ours, size);
    comparison->offset += size;
    comparison->differ = r || memcmp(ours, data, size) != 0;
    return comparison->differ ? PAIL_CANCELLED : 0;
}

/* Two machines that write the same file do not clash. Only for what is sent in one piece. */
static bool same_bytes(struct write *write, const struct store_object *theirs) {
    struct sync *sync = write->job->sync;
    AUTO_OBJECT struct store_object answer = {0};
    struct snapshot *snapshot = write->snapshot;
    if (!snapshot || !snapshot->upload || theirs->size != snapshot->size || theirs->archived ||
        theirs->size > sync->options.part_size)
        return false;
    struct comparison comparison = {.upload = snapshot->upload};
    struct store_sink sink = {compare, &comparison};
    struct store_get request = {.key = write->key, .if_match = theirs->etag};
    if (theirs->size && call_get(sync, &request, &sink, &answer, NULL))
        return false;
    return !comparison.differ && !content_upload_changed(snapshot->upload, snapshot->mark, 0, snapshot->size);
}

/* ---- Theirs keeps the name ---- */

static int step_aside(struct write *write, const struct store_object *theirs) {
    struct job *job = write->job;
    AUTO_METADATA struct metadata metadata = {0};
    AUTO_FREE char *copy_name = NULL, *name = strdup(job->work.node.name ? job->work.node.name : write->key);
    if (!job->work.node.parent) /* a key that cannot be a file has no other name to go to */
        return fault_set(&job->fault, PAIL_CONFLICT, "another object has its key");
    int r = name ? metadata_read(theirs, write->key, &metadata) : -ENOMEM;
    if (!r)
        r = tree_conflict(job->sync->tree, job->ino, job->sync->host, &metadata.head, &copy_name);
    if (r)
        return r > 0 ? PAIL_BUSY : r;
    sync_news(job->sync, "'%s' was changed by somebody else too. Theirs keeps the name; yours is '%s'.", name,
              copy_name);
    return JOB_AGAIN;
}

int conflict_meet(struct write *write, const struct store_object *theirs) {
    struct job *job = write->job;
    const struct tree_node *node = &job->work.node;
    if (!theirs) /* deleted: ours is made again */
        return write->base.etag ? (job_rebase(job, write->key, NULL), JOB_AGAIN) : JOB_AGAIN;
    struct version_facts facts = facts_of_object(theirs);
    const char *id = store_headers_get(&theirs->headers, META_WRITE);
    bool earlier = writes_has(job->sync, id) || (id && text_equal(id, job->work.write_id));
    if (node->type == TREE_FOLDER)
        return job_adopt(job, write->key, theirs, TREE_WORK_CONTENT);
    if (earlier || (write->base.etag && same_content(&facts, &write->base))) {
        int r = job_rebase(job, write->key, theirs);
        return r ? r : JOB_AGAIN;
    }
    if (write->kind == WRITE_COPY && text_equal(write->key, node->remote.key))
        return JOB_AGAIN; /* metadata only: applied to theirs, which the next round sees */
    if (same_content(&facts, &write->ours) || same_bytes(write, theirs))
        return job_adopt(job, write->key, theirs, (node->work & TREE_WORK_CONTENT) | TREE_WORK_NAME);
    return step_aside(write, theirs);
}

/* ---- Ours keeps the name: the store ignored the condition ---- */

static int copy_aside(struct job *job, const char *key, const struct store_object *theirs) {
    struct sync *sync = job->sync;
    AUTO_FREE char *name = NULL, *copy_key = NULL;
    AUTO_WRITTEN struct store_written written = {0};
    struct fault *fault = &job->fault;
    int r = tree_conflict_theirs(sync->tree, job->ino, sync->host, theirs->modified_s, &name, &copy_key);
    if (r)
        return r > 0 ? PAIL_BUSY : r;
    struct store_copy copy = {.source = key,
                              .source_version = theirs->version,
                              .key = copy_key,
                              .when = {STORE_IF_ABSENT, NULL},
                              .size = theirs->size};
    r = copy_object(sync, &copy, &written, fault);
    if (r && r != PAIL_CONFLICT) /* it is there already: from before a restart */
        return r;
    sync_news(sync, "'%s' was changed by somebody else too. Yours keeps the name; theirs is '%s'.",
              job->work.node.name ? job->work.node.name : key, name);
    list_soon(sync, job->work.node.parent);
    return 0;
}

/* Whether a version is our base, or one of our own writes. */
static bool expected(struct job *job, const struct store_object *below, const struct version_facts *base,
                     const struct version_facts *ours) {
    struct version_facts facts = facts_of_object(below);
    const char *id = store_headers_get(&below->headers, META_WRITE);
    if (id && (writes_has(job->sync, id) || text_equal(id, job->work.write_id)))
        return true;
    return (base->etag && same_content(&facts, base)) || same_content(&facts, ours);
}

/* As a listing tells it: our base, or the same bytes that somebody put at the same time. */
static bool harmless(const struct store_object *below, const struct store_object *newest, const char *our_version,
                     const struct version_facts *base) {
    struct version_facts facts = facts_of_object(below), newest_facts = facts_of_object(newest);
    bool newest_is_ours = newest->key && (!our_version || text_equal(newest->version, our_version));
    return same_content(&facts, base) || (newest_is_ours && same_content(&facts, &newest_facts));
}

int conflict_look_below(struct job *job, const char *key, const char *our_version, const struct version_facts *base,
                        const struct version_facts *ours) {
    struct store_features features;
    AUTO_OBJECT struct store_object below = {0}, newest = {0}, whole = {0};
    store_features(job->sync->store, &features);
    if (!features.versions || job->work.node.type == TREE_FOLDER)
        return 0;
    int r = versions_below(job->sync, key, our_version, &below, &newest, &job->fault);
    if (r || !below.key || below.delete_marker)
        return r;
    if (harmless(&below, &newest, our_version, base))
        return 0;
    r = call_head(job->sync, key, below.version, &whole, &job->fault);
    if (r)
        return r == PAIL_GONE ? 0 : r;
    return expected(job, &whole, base, ours) ? 0 : copy_aside(job, key, &whole);
}

/* ---- An attempt whose answer was not seen ---- */

/* What of the node's work the object at its key already has. */
static int bits_in(struct job *job, const struct store_object *object, unsigned *bits) {
    const struct tree_work *work = &job->work;
    const struct tree_node *node = &work->node;
    AUTO_HEADERS struct store_headers headers = {0};
    const char *content = store_headers_get(&object->headers, META_CONTENT);
    int r = metadata_write(job->sync, node, NULL, &headers);
    if (r)
        return r;
    bool same = node->type == TREE_FOLDER ||
                (node->content && text_equal(content, node->content) && object->size == node->size);
    *bits = same ? TREE_WORK_CONTENT : 0;
    if (text_equal(work->write_key, work->target_key))
        *bits |= TREE_WORK_NAME;
    if (metadata_equal(&headers, &object->headers))
        *bits |= TREE_WORK_META;
    return 0;
}

/* A move arrived, but meanwhile somebody had changed its source: what is there now is to be moved over it. */
static bool moved_another(const struct job *job, const struct store_object *object) {
    const struct tree_node *node = &job->work.node;
    struct version_facts known = facts_of_remote(&node->remote), facts = facts_of_object(object);
    bool copied = node->type != TREE_FOLDER && !(node->work & TREE_WORK_CONTENT);
    return copied && !text_equal(job->work.write_key, node->remote.key) && !same_content(&facts, &known);
}

static bool honours_all(struct sync *sync) {
    struct store_features f;
    store_features(sync->store, &f);
    return f.put_if_absent && f.put_if_match && f.copy_if_absent && f.copy_if_match && f.complete_if_absent &&
           f.complete_if_match;
}

int conflict_resolve(struct job *job) {
    struct tree_work *work = &job->work;
    AUTO_OBJECT struct store_object object = {0};
    unsigned bits;
    if (!work->write_id || strcmp(job->settled, work->write_id) == 0)
        return 0;
    int r = call_head(job->sync, work->write_key, NULL, &object, &job->fault);
    if (r == PAIL_GONE)
        return 0;
    if (r || !text_equal(store_headers_get(&object.headers, META_WRITE), work->write_id))
        return r;
    struct version_facts base, ours = facts_of_object(&object);
    job_base_below(job, work->write_key, &object, &base);
    if (!honours_all(job->sync))
        r = conflict_look_below(job, work->write_key, object.version, &base, &ours);
    if (!r && moved_another(job, &object)) {
        snprintf(job->settled, sizeof job->settled, "%s", work->write_id);
        return job_rebase(job, work->write_key, &object);
    }
    if (!r)
        r = bits_in(job, &object, &bits);
    return r ? r : job_adopt(job, work->write_key, &object, bits);
}
