/* Moves that need more than one copy: folders, and nodes whose new key is still another's. */
#include "base/log.h"
#include "fs/sync/private.h"

#define EXPAND 500
#define LONGEST_CHAIN 64

/* ---- Folders: a flat listing first, then each node below moves by itself; old keys are removed when that is done ----
 */

static int take_turn(struct sync *sync) {
    pthread_mutex_lock(&sync->lock);
    while (sync->expanding && !sync->ending)
        pthread_cond_wait(&sync->changed, &sync->lock);
    bool ending = sync->ending;
    if (!ending)
        sync->expanding = true;
    pthread_mutex_unlock(&sync->lock);
    return ending ? PAIL_CANCELLED : 0;
}

static void end_turn(struct sync *sync) {
    pthread_mutex_lock(&sync->lock);
    sync->expanding = false;
    pthread_cond_broadcast(&sync->changed);
    pthread_mutex_unlock(&sync->lock);
}

/* TREE_UNKNOWN: not all below is known yet. */
static int expand(struct job *job) {
    struct sync *sync = job->sync;
    bool left = true;
    int r = take_turn(sync);
    if (r)
        return r;
    while (!r && left) {
        r = tree_move_expand(sync->tree, job->ino, EXPAND, &left);
        schedule_wake(sync);
    }
    end_turn(sync);
    return r == TREE_UNKNOWN ? JOB_AGAIN : r > 0 ? PAIL_BUSY : r;
}

/* What is known completely moves as it was known: a key that somebody adds under the old name stays there. */
int move_folder(struct job *job) {
    int r = expand(job);
    if (r != JOB_AGAIN)
        return r;
    r = list_flat(job->sync, job->ino, &job->fault);
    if (!r)
        r = expand(job);
    return r == JOB_AGAIN ? PAIL_BUSY : r;
}

/* ---- Cycles ---- */

/* Follows who waits for whom. True if it comes back to this job's node, and that is the one that is to break it: the
 * lowest of them, so that only one does. */
static bool is_mine_to_break(struct job *job) {
    uint64_t at = job->work.blocked_by, lowest = job->ino;
    for (int steps = 0; at && at != job->ino; steps++) {
        struct tree_work work;
        if (steps == LONGEST_CHAIN || tree_work_get(job->sync->tree, at, &work))
            return false;
        if (at < lowest)
            lowest = at;
        at = work.blocked_by;
        tree_work_finish(&work);
    }
    return at == job->ino && lowest == job->ino;
}

/* Its bytes stay readable by version id when its key is overwritten. What somebody else has put there is its content
 * from now on. */
static int keep_by_version(struct job *job, const struct tree_node *other) {
    struct sync *sync = job->sync;
    AUTO_OBJECT struct store_object object = {0};
    uint64_t asked = tree_change_number(sync->tree);
    if (other->remote.version)
        return 0;
    int r = call_head(sync, other->remote.key, NULL, &object, &job->fault);
    if (r || !object.version)
        return r ? r : PAIL_UNSUPPORTED;
    struct version_facts now = facts_of_object(&object), known = facts_of_remote(&other->remote);
    if (!same_content(&now, &known)) {
        if (writes_has(sync, store_headers_get(&object.headers, META_WRITE)))
            return PAIL_CONFLICT; /* its own job has to find that out */
        r = head_apply(sync, other->ino, asked, other->remote.key, &object);
        return r ? r : JOB_AGAIN;
    }
    struct tree_remote remote = other->remote; /* borrowed strings */
    remote.version = object.version;
    remote.etag = object.etag;
    r = tree_rebase(sync->tree, other->ino, &remote);
    return r > 0 ? PAIL_BUSY : r;
}

/* The same record, and then what is opened is of it. */
static int open_other(struct sync *sync, const struct tree_node *other, struct content_handle **out) {
    AUTO_NODE struct tree_node now = {0};
    char identity[128];
    uint64_t moment = content_moment(sync->content, other->ino);
    int r = tree_get(sync->tree, other->ino, &now);
    if (r)
        return r == -ENOENT ? JOB_AGAIN : r > 0 ? PAIL_BUSY : r;
    if (now.generation != other->generation || now.spool)
        return JOB_AGAIN;
    struct content_version version = version_of(&now.remote, identity);
    r = content_open(sync->content, other->ino, &version, 0, moment, out);
    return r == -ESTALE ? JOB_AGAIN : r;
}

/* A spool over the bucket's version, with nothing of its own yet. */
static int make_spool(struct sync *sync, const struct tree_node *other, struct content_state *state) {
    struct content_handle *handle = NULL;
    int r = open_other(sync, other, &handle);
    if (r)
        return r;
    r = content_detach(handle);
    if (!r)
        r = content_commit(handle, true, state);
    content_close(handle);
    return r;
}

/* Its bytes come here, and are put as new content when their turn is there. */
static int keep_in_spool(struct job *job, const struct tree_node *other) {
    struct sync *sync = job->sync;
    struct content_state state = {.spool = other->spool};
    struct content_upload *upload = NULL;
    char identity[128];
    struct content_version version = version_of(&other->remote, identity);
    uint64_t size;
    int r = other->spool ? 0 : make_spool(sync, other, &state);
    if (!r)
        r = content_upload_open(sync->content, other->ino, state.spool, &version, &upload, &size);
    if (!r)
        r = content_fill(upload, &sync->cut);
    content_upload_close(upload);
    if (!r && !other->spool)
        r = tree_wrote(sync->tree, other->ino, state.spool, state.size,
                       state.mtime_ns ? state.mtime_ns : other->mtime_ns, false);
    if (!r && !other->spool)
        content_recorded(sync->content, other->ino, state.spool);
    return r;
}

static int keep_bytes(struct job *job, const struct tree_node *other) {
    struct store_features features;
    store_features(job->sync->store, &features);
    if (other->type != TREE_FILE)
        return 0; /* what a link or folder is, the tree knows */
    int r = features.versions && !other->spool ? keep_by_version(job, other) : PAIL_UNSUPPORTED;
    return r == PAIL_UNSUPPORTED ? keep_in_spool(job, other) : r;
}

int move_unblock(struct job *job) {
    AUTO_NODE struct tree_node other = {0};
    int r = tree_get(job->sync->tree, job->work.blocked_by, &other);
    if (r)
        return r == -ENOENT ? JOB_AGAIN : r > 0 ? PAIL_BUSY : r;
    if (!is_mine_to_break(job)) {
        tree_work_hasten(job->sync->tree, other.ino);
        return JOB_BLOCKED;
    }
    r = keep_bytes(job, &other);
    if (r)
        return r;
    job->breaking = true;
    return JOB_AGAIN;
}
