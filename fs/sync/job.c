/* One node's work, from its claim to its release: looks at the difference, does one thing, looks again. */
#include "base/clock.h"
#include "base/log.h"
#include "fs/sync/private.h"

#include <stdio.h>

#define MOST_ROUNDS 16
#define QUIET_MS 2000
#define PUT_OFF_MS 3600000
#define COMMIT_MS 3000 /* from content's commit to the tree's row it takes less than this */

/* ---- What a job knows ---- */

static void known_base(const struct job *job, const char *key, struct version_facts *base) {
    const struct tree_work *work = &job->work;
    if (text_equal(key, work->target_key))
        *base = (struct version_facts){work->base_etag, work->base_content, work->base_size};
    else
        *base = facts_of_remote(&work->node.remote);
}

void job_base(const struct job *job, const char *key, struct version_facts *base) {
    if (job->base_key && text_equal(job->base_key, key))
        *base = (struct version_facts){job->base_etag, job->base_content, job->base_size};
    else
        known_base(job, key, base);
}

/* A write that arrived late may have been met as the base of the next one, before it was known for what it is. */
void job_base_below(const struct job *job, const char *key, const struct store_object *object,
                    struct version_facts *base) {
    job_base(job, key, base);
    if (base->etag && text_equal(base->etag, object->etag))
        known_base(job, key, base);
}

static void forget_base(struct job *job) {
    free(TAKE(job->base_key));
    free(TAKE(job->base_etag));
    free(TAKE(job->base_content));
}

int job_rebase(struct job *job, const char *key, const struct store_object *object) {
    const char *content = object ? store_headers_get(&object->headers, META_CONTENT) : NULL;
    char *new_key = strdup(key), *etag = object ? strdup(object->etag) : NULL;
    char *new_content = content ? strdup(content) : NULL;
    forget_base(job);
    job->base_key = new_key;
    job->base_etag = etag;
    job->base_content = new_content;
    job->base_size = object ? object->size : 0;
    return new_key && (etag || !object) && (new_content || !content) ? 0 : -ENOMEM;
}

struct content_version version_of(const struct tree_remote *remote, char *identity) {
    return (struct content_version){tree_identity(remote, identity), *identity ? remote->size : 0};
}

void job_destroy(struct job *job) {
    if (!job)
        return;
    if (job->has_work)
        tree_work_finish(&job->work);
    forget_base(job);
    free(job);
}

/* The node and its work as they are now. -ENOENT: nothing is left to be done. */
static int look(struct job *job) {
    if (job->has_work)
        tree_work_finish(&job->work);
    int r = tree_work_get(job->sync->tree, job->ino, &job->work);
    job->has_work = !r;
    return r == TREE_STALE ? JOB_BLOCKED : r > 0 ? PAIL_BUSY : r;
}

/* ---- The bytes of a written file ---- */

int snapshot_open(struct job *job, struct snapshot *snapshot) {
    const struct tree_node *node = &job->work.node;
    char identity[128];
    struct content_version base = version_of(&node->remote, identity);
    *snapshot = (struct snapshot){0};
    int r = content_upload_open(job->sync->content, job->ino, node->spool, &base, &snapshot->upload, &snapshot->size);
    if (r == -ESTALE) /* it changed its place between the tree's answer and content's */
        return JOB_AGAIN;
    return r ? fault_set(&job->fault, r, "what was written cannot be read here: %s", error_text(r)) : 0;
}

/* What was written before the mark belongs to the generation only if the tree was told of it: not if it is not
 * committed yet, and not in the moment between content's commit and the tree's row. (Much later a newer mtime means
 * nothing: truncating to the same size sets it.) */
static bool recorded(struct sync *sync, const struct tree_node *node) {
    struct content_state state;
    if (!content_peek(sync->content, node->ino, &state) || !state.spool)
        return true;
    bool fresh = clock_monotonic_ms() - state.written_ms < COMMIT_MS;
    return !state.uncommitted && state.spool == node->spool && state.size == node->size &&
           (!fresh || state.mtime_ns <= node->mtime_ns);
}

int snapshot_mark(struct job *job, struct snapshot *snapshot) {
    struct sync *sync = job->sync;
    struct tree_work work;
    snapshot->mark = content_upload_mark(snapshot->upload);
    int r = tree_work_get(sync->tree, job->ino, &work);
    if (r)
        return r > 0 ? PAIL_BUSY : r;
    snapshot->generation = work.node.generation;
    snapshot->recorded = recorded(sync, &work.node);
    tree_work_finish(&work);
    return 0;
}

void snapshot_close(struct snapshot *snapshot) {
    content_upload_close(snapshot->upload);
    snapshot->upload = NULL;
}

/* ---- Success ---- */

int job_done(struct job *job, unsigned bits, const struct tree_remote *remote, struct snapshot *snapshot) {
    struct sync *sync = job->sync;
    const struct tree_node *node = &job->work.node;
    bool bytes = snapshot && snapshot->upload, clean = false;
    uint64_t seen = node->change; /* the headers were made from it */
    uint64_t generation = bytes ? snapshot->generation : node->generation;
    if (bytes && !snapshot->recorded) { /* newer than what the tree knows: to be sent again once it knows */
        generation = 0;
        bits &= ~(unsigned)TREE_WORK_CONTENT;
    }
    fetch_alias(sync, job->ino, &node->remote, remote);
    if (bytes && remote->size != node->remote.size)
        room_changed(sync);
    int r = tree_work_done(sync->tree, job->ino, seen, generation, bits, remote, &clean);
    if (r)
        return r > 0 ? PAIL_BUSY : r;
    char identity[128];
    struct content_version version = version_of(remote, identity);
    if (clean && bytes)
        content_uploaded(snapshot->upload, snapshot->mark, &version);
    job->progress = true;
    if (bytes)
        sync_room_made(sync); /* it went up: the others may too */
    if (seen > job->change)
        job->change = seen;
    forget_base(job);
    return bytes && !snapshot->recorded ? JOB_QUIET : 0;
}

/* The spool of what is in the bucket already. */
static int adopt_bytes(struct job *job, unsigned bits, const struct tree_remote *remote) {
    AUTO_SNAPSHOT struct snapshot snapshot = {0};
    int r = snapshot_open(job, &snapshot);
    if (!r)
        r = snapshot_mark(job, &snapshot);
    if (r)
        return r;
    if (snapshot.generation != job->work.node.generation)
        return JOB_AGAIN;
    return job_done(job, bits, remote, &snapshot);
}

int job_adopt(struct job *job, const char *key, const struct store_object *object, unsigned bits) {
    const struct tree_node *node = &job->work.node;
    AUTO_REMOTE struct tree_remote remote = {0};
    int r = remote_of_object(key, object, &remote);
    if (r)
        return r;
    bool bytes = node->type == TREE_FILE && node->spool && (bits & TREE_WORK_CONTENT);
    r = bytes ? adopt_bytes(job, bits, &remote) : job_done(job, bits, &remote, NULL);
    return r ? (r > 0 && r < PAIL_ERROR_END ? PAIL_BUSY : r) : JOB_AGAIN;
}

/* ---- One round ---- */

static int do_one_thing(struct job *job) {
    const struct tree_node *node = &job->work.node;
    if (!job->work.target_key)
        return -ENOENT;
    int r = conflict_resolve(job);
    if (!r && job->work.blocked_by && !job->breaking)
        r = move_unblock(job);
    if (r)
        return r;
    if (node->type == TREE_FOLDER && (node->work & TREE_WORK_NAME))
        return move_folder(job);
    if (node->work & TREE_WORK_CONTENT)
        return upload_run(job);
    return copy_run(job);
}

static bool is_due(const struct job *job) {
    return job->work.due_ms <= realtime_ms();
}

static int rounds(struct job *job) {
    int r = 0;
    for (int round = 0; round < MOST_ROUNDS; round++) {
        job->fault.text[0] = 0;
        r = look(job);
        if (r == -ENOENT || (!r && round && !is_due(job)))
            return 0;
        if (!r)
            r = do_one_thing(job);
        if (r == -ENOENT && look(job) == -ENOENT)
            return 0;
        if (r && r != JOB_AGAIN)
            return r;
    }
    return r ? PAIL_BUSY : 0;
}

/* ---- The end of it ---- */

static bool passes(int error) {
    switch (error) {
    case PAIL_DENIED:
    case PAIL_QUOTA:
    case PAIL_TOO_LARGE:
    case PAIL_ARCHIVED:
    case PAIL_UNSUPPORTED:
    case -EILSEQ:
    case -ENAMETOOLONG:
        return false;
    default:
        return true;
    }
}

static int64_t pause_after(const struct job *job, int error) {
    unsigned attempts = job->has_work && job->work.attempts < 6 ? job->work.attempts : 6;
    if (error == JOB_QUIET)
        return attempts < 5 ? QUIET_MS << attempts : 60000;
    if (error == JOB_PUT_OFF)
        return PUT_OFF_MS;
    if (passes(error))
        return 500ll << attempts;
    if (error == PAIL_QUOTA)
        return attempts < 4 ? 30000ll << attempts : 300000;
    return attempts < 4 ? 60000ll << attempts : 900000;
}

static const char *reason(const struct job *job, int error) {
    if (error == JOB_QUIET)
        return "is being written; it is sent when it rests";
    return job->fault.text[0] ? job->fault.text : error_text(error);
}

/* News, once, of what does not pass by itself; the log tells the rest. */
static void tell_problem(struct job *job, int error, const char *why) {
    const struct tree_node *node = &job->work.node;
    const char *name = job->has_work && node->name ? node->name : "a file";
    bool told = error == PAIL_QUOTA && !room_refused(job->sync); /* one word for all that wait */
    if (!job->has_work || passes(error) || told || text_equal(node->problem, why))
        log_warning("'%s': %s", name, why);
    else
        sync_news(job->sync, "'%s' cannot be brought into the bucket: %s", name, why);
}

static void release(struct job *job, int error) {
    struct sync *sync = job->sync;
    if (!error || error == PAIL_OFFLINE || error == PAIL_CANCELLED || error == PAIL_LOGIN_REQUIRED) {
        tree_work_release(sync->tree, job->ino, -1, NULL);
        return;
    }
    AUTO_FREE char *why = strdup(reason(job, error));
    if (error < JOB_AGAIN)
        tell_problem(job, error, why ? why : error_text(error));
    tree_work_release(sync->tree, job->ino, pause_after(job, error), why);
}

static void end(struct job *job, int error) {
    struct sync *sync = job->sync;
    bool left = error || look(job) != -ENOENT;
    int told = error == JOB_QUIET || (error && passes(error) && job->has_work && job->work.attempts < 3) ? 0 : error;
    release(job, error);
    flush_job_ended(sync, job->ino, job->change, left, told);
    schedule_job_ended(sync, job->ino, job->large);
    job_destroy(job);
}

void job_run(void *context) {
    struct job *job = context;
    int r = atomic_load(&job->sync->cut) ? PAIL_CANCELLED : rounds(job);
    if (r == JOB_LARGE)
        r = schedule_large(job);
    if (r == JOB_LARGE)
        return; /* it goes on there */
    if (r == JOB_BLOCKED)
        schedule_park(job);
    else
        end(job, r);
}
