/* Content that goes in one request: files up to the part size, links, folders' markers. */
#include "fs/sync/private.h"

#define READS 3 /* so often a file that changes while it is read is read again */

struct piece {
    const char *data; /* borrowed */
    uint64_t size;
};

static int read_piece(void *context, uint64_t offset, void *data, size_t size) {
    struct piece *piece = context;
    if (offset > piece->size || size > piece->size - offset)
        return -EIO;
    memcpy(data, piece->data + offset, size);
    return 0;
}

static const char *content_type(struct job *job) {
    const struct tree_node *node = &job->work.node;
    if (node->type == TREE_FOLDER)
        return "application/x-directory";
    return node->type == TREE_LINK ? "application/octet-stream" : mime_type(job->sync->mime, node->name);
}

/* Sends what piece holds as the node's content. */
static int put(struct job *job, struct piece *piece, struct snapshot *snapshot) {
    struct sync *sync = job->sync;
    const struct tree_node *node = &job->work.node;
    AUTO_REMOTE struct tree_remote remote = {0};
    AUTO_WRITE struct write write = {.job = job, .snapshot = snapshot, .kind = WRITE_PUT, .key = job->work.target_key};
    write.ours = (struct version_facts){NULL, node->content, piece->size};
    int r = metadata_write(sync, node, content_type(job), &write.headers);
    if (!r)
        r = write_prepare(&write, false);
    if (!r)
        r = write_note(&write);
    if (r)
        return r;
    struct store_put request = {
        .key = write.key, .source = {read_piece, piece, piece->size}, .when = write.when, .headers = &write.headers};
    r = call_put(sync, &request, &write.written, &job->fault);
    if (!r)
        atomic_fetch_add(&sync->sent_total, piece->size);
    r = write_settle(&write, r, &remote);
    return r ? r : job_done(job, TREE_WORK_CONTENT | TREE_WORK_META | TREE_WORK_NAME, &remote, snapshot);
}

/* One version of the file into memory; JOB_QUIET if it changes faster than it can be read. */
static int read_whole(struct job *job, struct snapshot *snapshot, char *data) {
    for (int tries = 0; tries < READS; tries++) {
        int r = snapshot_mark(job, snapshot);
        if (!r && snapshot->generation != job->work.node.generation)
            return JOB_AGAIN; /* other attributes and pail-content belong to it */
        if (!r && snapshot->size)
            r = content_upload_read(snapshot->upload, 0, data, snapshot->size);
        if (r)
            return r == -ESTALE ? JOB_AGAIN : r;
        if (!content_upload_changed(snapshot->upload, snapshot->mark, 0, snapshot->size))
            return snapshot->recorded || job->work.attempts >= READS ? 0 : JOB_QUIET;
    }
    return JOB_QUIET;
}

static int put_small(struct job *job, struct snapshot *snapshot) {
    struct sync *sync = job->sync;
    int r = send_memory_take(sync, snapshot->size);
    if (r)
        return r;
    AUTO_FREE char *data = malloc(snapshot->size ? snapshot->size : 1);
    struct piece piece = {data, snapshot->size};
    struct sending *sending = sending_begin(sync, job->ino, snapshot->size);
    r = data && sending ? read_whole(job, snapshot, data) : -ENOMEM;
    if (!r)
        r = put(job, &piece, snapshot);
    sending_end(sync, job->ino);
    send_memory_give(sync, snapshot->size);
    return r;
}

static int put_file(struct job *job) {
    struct sync *sync = job->sync;
    AUTO_SNAPSHOT struct snapshot snapshot = {0};
    if (!job->work.node.spool)
        return fault_set(&job->fault, -EIO, "what was written is not here any more");
    int r = snapshot_open(job, &snapshot);
    if (r)
        return r;
    bool large = snapshot.size > sync->options.part_size;
    if (large && !job->large)
        return JOB_LARGE;
    r = content_fill(snapshot.upload, &sync->cut);
    if (r == PAIL_GONE)
        return fault_set(&job->fault, PAIL_DAMAGED,
                         "the version that was edited here is gone from the bucket before the rest of it was fetched");
    if (r)
        return r;
    return large ? multipart_run(job, &snapshot) : put_small(job, &snapshot);
}

int upload_run(struct job *job) {
    const struct tree_node *node = &job->work.node;
    struct piece piece = {.data = node->target ? node->target : "", .size = node->target ? strlen(node->target) : 0};
    if (node->type == TREE_FILE)
        return put_file(job);
    if (node->type == TREE_LINK && !node->target)
        return fault_set(&job->fault, -EIO, "the link's target is not known here");
    if (node->type == TREE_FOLDER)
        piece = (struct piece){.data = ""};
    return put(job, &piece, NULL);
}
