/* Large files, in parts: parallel, journaled, resumed after a crash. A part whose bytes changed while the rest was sent
 * is sent again before the upload is completed; after three rounds it waits until the file rests. */
#include "base/log.h"
#include "fs/sync/private.h"

#define ROUNDS 3

struct slot {
    char *etag; /* owned; NULL: not sent */
    uint64_t size, mark;
};

struct multipart {
    struct job *job; /* borrowed, as the next two */
    struct snapshot *snapshot;
    struct sending *sending;
    struct write write;
    char *key, *upload; /* owned */
    uint64_t part_size;
    struct slot *slots; /* owned */
    size_t count;
};

static void finish(struct multipart *all) {
    for (size_t i = 0; all->slots && i < all->count; i++)
        free(all->slots[i].etag);
    free(all->slots);
    free(all->key);
    free(all->upload);
    write_finish(&all->write);
}
#define AUTO_MULTIPART CLEANUP(finish)

static uint64_t offset_of(const struct multipart *all, unsigned number) {
    return (number - 1) * all->part_size;
}

static uint64_t size_of(const struct multipart *all, unsigned number) {
    uint64_t left = all->snapshot->size - offset_of(all, number);
    return left < all->part_size ? left : all->part_size;
}

/* ---- Beginning, or going on ---- */

static int make_slots(struct multipart *all) {
    all->count = (all->snapshot->size + all->part_size - 1) / all->part_size;
    all->slots = calloc(all->count, sizeof *all->slots);
    return all->slots ? 0 : -ENOMEM;
}

/* While it runs, its upload is nobody's leftover, whatever the journal says. */
static void set_running(struct multipart *all, bool running) {
    struct sync *sync = all->job->sync;
    pthread_mutex_lock(&sync->lock);
    if (running)
        map_put(&sync->uploads, all->job->ino, all->upload);
    else
        map_remove(&sync->uploads, all->job->ino);
    pthread_mutex_unlock(&sync->lock);
}

static int begin(struct multipart *all) {
    struct job *job = all->job;
    struct sync *sync = job->sync;
    int r = write_prepare(&all->write, true); /* before gigabytes are sent for nothing */
    if (!r)
        r = write_note(&all->write);
    if (!r)
        r = call_create_upload(sync, all->key, &all->write.headers, &all->upload, &job->fault);
    if (!r)
        r = tree_upload_begin(sync->tree, job->ino, all->upload, all->snapshot->generation, all->part_size);
    return r;
}

static bool on_server(const struct store_parts *there, const struct tree_part *part) {
    for (size_t i = 0; i < there->count; i++)
        if (there->items[i].number == part->number)
            return there->items[i].size == part->size && text_equal(there->items[i].etag, part->etag);
    return false;
}

static void take_part(struct multipart *all, const struct tree_part *part) {
    struct slot *slot;
    if (part->number < 1 || part->number > all->count || part->generation != all->snapshot->generation ||
        part->size != size_of(all, part->number))
        return;
    slot = &all->slots[part->number - 1];
    slot->etag = strdup(part->etag);
    slot->size = part->size;
    slot->mark = all->snapshot->mark;
    if (slot->etag)
        atomic_fetch_add(&all->sending->sent, part->size);
}

/* What the journal and the store agree upon is not sent again. */
static int resume(struct multipart *all) {
    struct job *job = all->job;
    struct tree_work *work = &job->work;
    AUTO_PARTS struct store_parts there = {0};
    struct tree_part *parts = NULL;
    size_t count = 0;
    all->upload = strdup(work->upload);
    if (!all->upload)
        return -ENOMEM;
    memcpy(all->write.id, work->write_id, strnlen(work->write_id, sizeof all->write.id - 1));
    writes_note(job->sync, all->write.id);
    int r = call_list_parts(job->sync, all->key, all->upload, &there, &job->fault);
    if (!r)
        r = tree_upload_parts(job->sync->tree, job->ino, &parts, &count);
    for (size_t i = 0; !r && i < count; i++)
        if (on_server(&there, &parts[i]))
            take_part(all, &parts[i]);
    tree_parts_free(parts, count);
    return r;
}

static bool can_resume(const struct multipart *all) {
    const struct tree_work *work = &all->job->work;
    return work->upload && work->write_id && text_equal(work->write_key, all->key) && work->part_size &&
           work->upload_generation == all->snapshot->generation && all->snapshot->recorded &&
           strlen(work->write_id) == sizeof all->write.id - 1;
}

static int start(struct multipart *all) {
    struct job *job = all->job;
    bool goes_on = can_resume(all);
    all->part_size = goes_on ? job->work.part_size : parts_size(all->snapshot->size, job->sync->options.part_size);
    if (!all->part_size)
        return fault_set(&job->fault, PAIL_TOO_LARGE, "it is larger than the largest object of S3");
    int r = make_slots(all);
    if (!r && goes_on && (r = resume(all)) == PAIL_GONE) { /* ended by the bucket's rules, or by somebody */
        free(TAKE(all->upload));
        r = 0;
    }
    return r || all->upload ? r : begin(all);
}

/* ---- Sending ---- */

struct source {
    struct multipart *all;
    uint64_t offset;
};

static int read_part(void *context, uint64_t offset, void *data, size_t size) {
    struct source *source = context;
    return content_upload_read(source->all->snapshot->upload, source->offset + offset, data, size);
}

static int send_part(void *context, unsigned number, struct fault *fault) {
    struct multipart *all = context;
    struct job *job = all->job;
    struct snapshot *snapshot = all->snapshot;
    struct slot *slot = &all->slots[number - 1];
    struct source source = {all, offset_of(all, number)};
    struct store_source body = {read_part, &source, size_of(all, number)};
    char *etag = NULL;
    uint64_t mark = content_upload_mark(snapshot->upload);
    int r = call_put_part(job->sync, all->key, all->upload, number, &body, &etag, fault);
    if (r)
        return r;
    if (!slot->etag)
        atomic_fetch_add(&all->sending->sent, body.size);
    atomic_fetch_add(&job->sync->sent_total, body.size);
    free(slot->etag);
    *slot = (struct slot){etag, body.size, mark};
    if (snapshot->recorded && !content_upload_changed(snapshot->upload, mark, source.offset, body.size))
        tree_upload_part(job->sync->tree, job->ino, number, etag, body.size, snapshot->generation);
    return 0;
}

/* The numbers of those that are not sent, or changed since. */
static size_t outstanding(struct multipart *all, unsigned *numbers) {
    size_t count = 0;
    for (unsigned number = 1; number <= all->count; number++) {
        const struct slot *slot = &all->slots[number - 1];
        if (!slot->etag ||
            content_upload_changed(all->snapshot->upload, slot->mark, offset_of(all, number), slot->size))
            numbers[count++] = number;
    }
    return count;
}

static int send_all(struct multipart *all) {
    struct job *job = all->job;
    AUTO_FREE unsigned *numbers = calloc(all->count, sizeof *numbers);
    if (!numbers)
        return -ENOMEM;
    for (int round = 0; round <= ROUNDS; round++) {
        int r = snapshot_mark(job, all->snapshot);
        size_t count = r ? 0 : outstanding(all, numbers);
        if (r || !count)
            return r;
        if (round == ROUNDS)
            break;
        r = parts_run(job->sync, numbers, count, send_part, all, &job->fault);
        if (r)
            return r;
    }
    return JOB_QUIET;
}

/* ---- Completing ---- */

static int complete(struct multipart *all, struct tree_remote *remote) {
    struct job *job = all->job;
    struct store_parts parts = {calloc(all->count, sizeof *parts.items), all->count};
    int r = parts.items ? write_prepare(&all->write, false) : -ENOMEM;
    for (size_t i = 0; !r && i < all->count; i++)
        parts.items[i] = (struct store_part){(unsigned)i + 1, all->slots[i].etag, all->slots[i].size};
    if (!r) {
        r = call_complete_upload(job->sync, all->key, all->upload, &parts, all->snapshot->size, &all->write.when,
                                 &all->write.written, &job->fault);
        r = write_settle(&all->write, r, remote);
    }
    free(parts.items);
    return r;
}

/* The headers went out at the beginning: what was changed of them since is still to be stored. */
static int note_done(struct multipart *all, const struct tree_remote *remote, const struct store_headers *sent) {
    struct job *job = all->job;
    struct sync *sync = job->sync;
    AUTO_NODE struct tree_node node = {0};
    AUTO_HEADERS struct store_headers now = {0};
    int r = tree_get(sync->tree, job->ino, &node);
    if (!r)
        r = metadata_write(sync, &node, NULL, &now);
    bool same = !r && metadata_equal(&now, sent);
    unsigned bits = TREE_WORK_CONTENT | TREE_WORK_NAME | (same ? TREE_WORK_META : 0);
    r = job_done(job, bits, remote, all->snapshot);
    tree_upload_aborted(sync->tree, all->upload);
    return r;
}

/* An upload that is not there any more cannot be gone on with. */
static int start_over(struct multipart *all, int r) {
    if (r != PAIL_GONE)
        return r;
    tree_upload_aborted(all->job->sync->tree, all->upload);
    return JOB_AGAIN;
}

static int run(struct multipart *all) {
    struct job *job = all->job;
    AUTO_HEADERS struct store_headers sent = {0};
    AUTO_REMOTE struct tree_remote remote = {0};
    int r = metadata_write(job->sync, &job->work.node, mime_type(job->sync->mime, job->work.node.name),
                           &all->write.headers);
    if (!r)
        r = start(all);
    if (r)
        return r;
    set_running(all, true);
    r = send_all(all);
    if (!r)
        r = store_headers_copy(&sent, &all->write.headers);
    if (r == PAIL_GONE)
        r = start_over(all, r);
    else if (!r && !(r = complete(all, &remote)))
        r = note_done(all, &remote, &sent);
    set_running(all, false);
    return r;
}

int multipart_run(struct job *job, struct snapshot *snapshot) {
    AUTO_MULTIPART struct multipart all = {.job = job, .snapshot = snapshot, .key = strdup(job->work.target_key)};
    all.write = (struct write){.job = job, .snapshot = snapshot, .kind = WRITE_COMPLETE, .key = all.key};
    AUTO_FREE char *content = job->work.node.content ? strdup(job->work.node.content) : NULL;
    all.write.ours = (struct version_facts){NULL, content, snapshot->size};
    int r = all.key ? snapshot_mark(job, snapshot) : -ENOMEM;
    if (r)
        return r;
    if (snapshot->generation != job->work.node.generation)
        return JOB_AGAIN;
    all.sending = sending_begin(job->sync, job->ino, snapshot->size);
    r = all.sending ? run(&all) : -ENOMEM;
    sending_end(job->sync, job->ino);
    return r;
}

/* ---- Uploads that nobody goes on with ---- */

static bool runs(struct sync *sync, const char *upload) {
    size_t position = 0;
    const char *id;
    bool found = false;
    pthread_mutex_lock(&sync->lock);
    while (!found && (id = map_next(&sync->uploads, &position, NULL)))
        found = strcmp(id, upload) == 0;
    pthread_mutex_unlock(&sync->lock);
    return found;
}

void abort_dropped(void *context) {
    struct sync *sync = context;
    char **keys = NULL, **uploads = NULL;
    size_t count = 0;
    if (tree_upload_dropped(sync->tree, &keys, &uploads, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        int r = runs(sync, uploads[i]) ? PAIL_BUSY : call_abort_upload(sync, keys[i], uploads[i], NULL);
        if (!r || r == PAIL_GONE)
            tree_upload_aborted(sync->tree, uploads[i]);
        free(keys[i]);
        free(uploads[i]);
    }
    free(keys);
    free(uploads);
}
