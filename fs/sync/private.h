/* What the files of fs/sync share. Nobody else includes it.
 *
 * Locks: online.lock and sync.lock guard memory only; neither is held while the tree, content, the store or a caller's
 * function is called. sync.lock may be held when online.lock is taken, never the other way round. */
#pragma once

#include "base/cleanup.h"
#include "base/map.h"
#include "base/text.h"
#include "base/workers.h"
#include "fs/sync/sync.h"

#include <pthread.h>
#include <stdatomic.h>

/* Results that never leave fs/sync: they stand above enum pail_error. */
enum job_result {
    JOB_AGAIN = PAIL_ERROR_END + 1, /* what was learned is noted: look at the work once more */
    JOB_QUIET,                      /* the file is written faster than it can be sent: wait until it rests */
    JOB_BLOCKED,                    /* another node has to move first */
    JOB_LARGE,                      /* for the pool of long transfers */
    JOB_PUT_OFF,                    /* can wait for the next change of content */
};

/* ---- online.c: is there a network, and cutting what waits for it ------------------------------------------------ */

/* A flag that many calls share; going offline raises it and puts a new one in its place. */
struct epoch {
    unsigned uses; /* under online.lock */
    _Atomic bool cut;
};

struct online {
    pthread_mutex_t lock;
    enum sync_online state; /* under lock, as all below */
    char why[200];
    int64_t since_s;
    struct epoch *epoch;        /* one use is ours */
    int64_t probe_ms, pause_ms; /* when the next probe runs (monotonic), and the pause after it */
    bool probing, ending;
    bool told; /* that a login is needed: once, until we are online again */
};

int online_init(struct online *online);
void online_finish(struct online *online);
/* A call to the store that is being watched. */
struct net {
    struct sync *sync;
    struct epoch *epoch;
    struct store_call call;
    struct fault fault;
};
/* PAIL_OFFLINE, PAIL_LOGIN_REQUIRED or PAIL_CANCELLED at once if there is no use in calling. */
int online_enter(struct sync *sync, struct net *net, struct fault *fault);
/* Every enter that gave 0 is followed by one leave with the call's result; returns what the caller is to make of it. */
int online_leave(struct net *net, int result);
/* The error that what needs the network gets now; 0 when it is there. */
int online_error(struct sync *sync);
/* Runs a probe if it is time; returns when the next one is due (monotonic ms; INT64_MAX: online). */
int64_t online_tick(struct sync *sync);
void online_probe_soon(struct sync *sync);
void online_end(struct sync *sync);

/* ---- calls.c: the store's calls, each watched. Answers are empty on failure ------------------------------------- */

int call_get(struct sync *sync, const struct store_get *request, const struct store_sink *sink,
             struct store_object *object, struct fault *fault);
int call_head(struct sync *sync, const char *key, const char *version, struct store_object *object,
              struct fault *fault);
/* Of an object that was there: a HEAD's 404 is the same when the whole bucket is gone, so the list is asked as well. */
int call_head_known(struct sync *sync, const char *key, const char *version, struct store_object *object,
                    struct fault *fault);
int call_put(struct sync *sync, const struct store_put *request, struct store_written *written, struct fault *fault);
int call_copy(struct sync *sync, const struct store_copy *request, struct store_written *written, struct fault *fault);
int call_remove(struct sync *sync, const char *key, const char *etag, struct fault *fault);
int call_remove_many(struct sync *sync, struct store_delete *items, size_t count, struct fault *fault);
int call_list(struct sync *sync, const struct store_list *request, struct store_page *page, struct fault *fault);
int call_list_versions(struct sync *sync, const struct store_list_versions *request, struct store_page *page,
                       struct fault *fault);
int call_create_upload(struct sync *sync, const char *key, const struct store_headers *headers, char **upload,
                       struct fault *fault);
int call_put_part(struct sync *sync, const char *key, const char *upload, unsigned number,
                  const struct store_source *source, char **etag, struct fault *fault);
int call_copy_part(struct sync *sync, const char *key, const char *upload, unsigned number,
                   const struct store_copy *source, uint64_t offset, uint64_t length, char **etag, struct fault *fault);
int call_complete_upload(struct sync *sync, const char *key, const char *upload, const struct store_parts *parts,
                         uint64_t total, const struct store_when *when, struct store_written *written,
                         struct fault *fault);
int call_abort_upload(struct sync *sync, const char *key, const char *upload, struct fault *fault);
int call_list_parts(struct sync *sync, const char *key, const char *upload, struct store_parts *parts,
                    struct fault *fault);

#define AUTO_OBJECT CLEANUP(store_object_finish)
#define AUTO_PAGE CLEANUP(store_page_finish)
#define AUTO_NODE CLEANUP(tree_node_finish)
#define AUTO_HEADERS CLEANUP(store_headers_finish)
#define AUTO_WRITTEN CLEANUP(store_written_finish)
#define AUTO_PARTS CLEANUP(store_parts_finish)

/* ---- mime.c ------------------------------------------------------------------------------------------------------ */

struct mime;
/* types: a file in the form of /etc/mime.types, or NULL; it is fine if it is not there. -ENOMEM. */
int mime_create(struct mime **out, const char *types);
void mime_destroy(struct mime *mime);
/* By the name's extension; never NULL. */
const char *mime_type(const struct mime *mime, const char *name);

/* ---- metadata.c: a node's attributes as an object's headers, in s3fs's form ------------------------------------- */

#define META "x-amz-meta-"
#define META_CONTENT META "pail-content"
#define META_WRITE META "pail-write"

/* Taken apart headers: head points into them and into the object. */
struct metadata {
    struct tree_head head;
    char **names, **values; /* owned, as all below */
    size_t *sizes, count;
    char *target;
};
int metadata_read(const struct store_object *object, const char *key, struct metadata *out);
void metadata_finish(struct metadata *metadata);
#define AUTO_METADATA CLEANUP(metadata_finish)
/* Sets in headers what is ours: mode, owner, times, xattrs, pail-content. What else stands there stays. content_type:
 * NULL keeps what is there. PAIL_TOO_LARGE above S3's 2 KiB. */
int metadata_write(struct sync *sync, const struct tree_node *node, const char *content_type,
                   struct store_headers *headers);
/* Whether two sets of headers say the same of mode, owner, times and xattrs. */
bool metadata_equal(const struct store_headers *a, const struct store_headers *b);
int metadata_check_size(const struct store_headers *headers);

/* ---- same.c: is it the same content? ----------------------------------------------------------------------------- */

struct version_facts {
    const char *etag, *content; /* NULL: unknown */
    uint64_t size;
};
bool same_content(const struct version_facts *a, const struct version_facts *b);
struct version_facts facts_of_object(const struct store_object *object);
struct version_facts facts_of_remote(const struct tree_remote *remote);

/* ---- flight.c: one request for all who ask ----------------------------------------------------------------------- */

typedef int flight_work(struct sync *sync, uint64_t ino);
struct flight_kind {
    struct map *flights; /* under sync.lock */
    flight_work *work;
};
/* Joins the flight for ino, or begins it on the names pool. done may be NULL. */
void flight_join(struct sync *sync, const struct flight_kind *kind, uint64_t ino, enum workers_priority priority,
                 sync_done *done, void *context);

/* ---- list.c, head.c, fetch.c ------------------------------------------------------------------------------------- */

int list_run(struct sync *sync, uint64_t folder, bool flat, struct fault *fault);
/* Blocks until a flat listing of the folder is in the tree. */
int list_flat(struct sync *sync, uint64_t folder, struct fault *fault);
void list_soon(struct sync *sync, uint64_t folder); /* in the background; nobody waits */
/* The object is what stands at the node's key, asked for after change number `asked`. JOB_AGAIN: the node changed
 * since. */
int head_apply(struct sync *sync, uint64_t ino, uint64_t asked, const char *key, const struct store_object *object);
int head_run(struct sync *sync, uint64_t ino);
void head_soon(struct sync *sync, const uint64_t *inos, size_t count);
bool head_settled(const struct store_object *object);
bool young_versions(struct sync *sync); /* the minutes after a bucket got versions: a 404 may be wrong */
int fetch_begin(void *context, uint64_t ino, const char *identity, uint64_t offset, uint64_t length, bool urgent,
                struct content_fetch *fetch);
/* The same bytes of ino have another identity from now on (a copy changed the ETag of somebody else's object). */
void fetch_alias(struct sync *sync, uint64_t ino, const struct tree_remote *before, const struct tree_remote *after);

/* ---- versions.c: what stood below ours --------------------------------------------------------------------------- */

/* The version of key with this ETag and size; PAIL_GONE if none. *version is owned by the caller. */
int versions_find(struct sync *sync, const char *key, const char *etag, uint64_t size, char **version,
                  struct fault *fault);
/* What is directly below the version `ours` of key (NULL: below the newest entry). *below is empty (key NULL) if there
 * is none. *newest_is_ours: whether ours, or the newest, is the current one. */
int versions_below(struct sync *sync, const char *key, const char *ours, struct store_object *below,
                   struct store_object *newest, struct fault *fault);

/* ---- The journal's work ------------------------------------------------------------------------------------------ */

/* One node's work under way; lives in the thread that runs it. */
struct job {
    struct sync *sync;
    uint64_t ino;
    struct tree_work work; /* as the tree had it at the start of this round */
    bool has_work;
    struct fault fault;
    bool large;       /* runs on the pool of long transfers */
    bool breaking;    /* breaks a cycle of renames: goes on although blocked */
    char settled[33]; /* a write id that is not to be looked for any more */
    /* What stands at base_key, as learned in this job; counts instead of the tree's. base_etag NULL: nothing. */
    char *base_key, *base_etag, *base_content;
    uint64_t base_size;
    uint64_t change; /* the last change that is in the bucket */
    bool progress;
};

/* A file's spool as it is sent: what is read after the mark and is not changed since is one version. */
struct snapshot {
    struct content_upload *upload; /* owned; NULL: no bytes of a file */
    uint64_t size, mark, generation;
    bool recorded; /* all that was written before the mark is known to the tree as this generation */
};
int snapshot_open(struct job *job, struct snapshot *snapshot);
/* Takes a new mark, and from the tree what belongs to it. -ENOENT: there is no such work any more. */
int snapshot_mark(struct job *job, struct snapshot *snapshot);
void snapshot_close(struct snapshot *snapshot);
#define AUTO_SNAPSHOT CLEANUP(snapshot_close)

/* One attempt to bring something to a key: write.c. */
enum write_kind { WRITE_PUT, WRITE_COPY, WRITE_COMPLETE };
struct write {
    struct job *job;           /* borrowed */
    struct snapshot *snapshot; /* borrowed; NULL for what has no bytes of its own */
    enum write_kind kind;
    const char *key;              /* borrowed */
    char id[33];                  /* pail-write */
    struct store_when when;       /* for the request; its etag is borrowed from the job */
    struct version_facts base;    /* borrowed; etag NULL: nothing is there */
    struct version_facts ours;    /* borrowed; of what is written */
    bool guarded;                 /* the store ignores the condition: look before and after */
    struct store_headers headers; /* owned */
    struct store_written written; /* owned */
};
/* Says what the condition is. look: compare with what is there now (always, if the store ignores the condition). 0, or
 * as conflict_meet. */
int write_prepare(struct write *write, bool look);
/* A new pail-write, in the journal and the headers: right before the first byte leaves. */
int write_note(struct write *write);
/* After the request: 0 and *remote (owned by the caller) when it is in the bucket; JOB_AGAIN; or the error. */
int write_settle(struct write *write, int result, struct tree_remote *remote);
void write_finish(struct write *write);
int remote_of_object(const char *key, const struct store_object *object, struct tree_remote *remote);
void remote_finish(struct tree_remote *remote);
#define AUTO_REMOTE CLEANUP(remote_finish)
#define AUTO_WRITE CLEANUP(write_finish)
/* Write ids tried in this life: what carries one is never somebody else's. */
void writes_note(struct sync *sync, const char *id);
bool writes_has(struct sync *sync, const char *id);

/* conflict.c: what is at the key is not what the write is based on. theirs NULL: nothing is there. JOB_AGAIN when the
 * tree or the job knows what to do next. */
int conflict_meet(struct write *write, const struct store_object *theirs);
/* After a write whose condition the store ignored: what stood directly below ours gets a name of its own, if it is not
 * our base. */
int conflict_look_below(struct job *job, const char *key, const char *our_version, const struct version_facts *base,
                        const struct version_facts *ours);
/* An attempt from before whose answer was not seen. 0: it did not arrive; JOB_AGAIN: it did, and the tree knows. */
int conflict_resolve(struct job *job);

/* The kinds of work; each 0 when something was done, JOB_*, or an error. */
int upload_run(struct job *job);
int multipart_run(struct job *job, struct snapshot *snapshot);
int copy_run(struct job *job);
int move_folder(struct job *job);
int move_unblock(struct job *job);
/* A copy on the server's side, by parts if it is too large for one request. */
int copy_object(struct sync *sync, const struct store_copy *copy, struct store_written *written, struct fault *fault);
void remove_run(void *context); /* a struct removal */
struct removal {
    struct sync *sync;
    struct tree_gone *gone; /* owned */
    size_t count;
};
void abort_dropped(void *context); /* a struct sync */
/* Notes success in the tree; bits: what succeeded. snapshot NULL: no bytes of a file. */
int job_done(struct job *job, unsigned bits, const struct tree_remote *remote, struct snapshot *snapshot);
/* The object at the key is what a write of ours would have made: notes that. JOB_AGAIN or an error. */
int job_adopt(struct job *job, const char *key, const struct store_object *object, unsigned bits);
/* What the job believes to stand at its target. */
void job_base(const struct job *job, const char *key, struct version_facts *base);
/* What the job believes to stand below this object, which a write of its own has made there. */
void job_base_below(const struct job *job, const char *key, const struct store_object *object,
                    struct version_facts *base);
int job_rebase(struct job *job, const char *key, const struct store_object *object);
/* What content calls the bucket's version of a node. identity has 128 bytes. */
struct content_version version_of(const struct tree_remote *remote, char *identity);

/* parts.c: calls part(context, number) for each of the numbers, several at once, and waits for all; the first error
 * ends it. */
typedef int part_work(void *context, unsigned number, struct fault *fault);
int parts_run(struct sync *sync, const unsigned *numbers, size_t count, part_work *part, void *context,
              struct fault *fault);
/* How large parts are when `least` would be wished: at most 10,000, whole MiB. 0: beyond S3's largest object. */
uint64_t parts_size(uint64_t total, uint64_t least);

/* ---- flush.c: who waits for the bucket ----------------------------------------------------------------------------
 */

struct flush;
/* A node's job ended: `change` is in the bucket, or (error) it cannot be done now. left: work is still there. */
void flush_job_ended(struct sync *sync, uint64_t ino, uint64_t change, bool left, int error);
/* The work of `from` is the work of `to` now. Called with the tree's lock held. */
void flush_follow(struct sync *sync, uint64_t from, uint64_t to);
void flush_look(struct sync *sync, uint64_t ino); /* whether it has work at all */
void flush_gone_ended(struct sync *sync, int error);
void flush_gone_idle(struct sync *sync, uint64_t turn); /* a look for deletes begun at this turn found none */
void flush_end_all(struct sync *sync, int error);
bool flush_wants(struct sync *sync, uint64_t ino); /* 0: anything */

/* ---- schedule.c ---------------------------------------------------------------------------------------------------
 */

int schedule_start(struct sync *sync);
void schedule_wake(struct sync *sync);
void schedule_finish(struct sync *sync);
void job_run(void *context); /* a struct job: job.c */
void job_destroy(struct job *job);
void schedule_park(struct job *job);                  /* takes the job over */
void schedule_ended(struct sync *sync, uint64_t ino); /* a node or key is free: what waits for it is due */
void schedule_job_ended(struct sync *sync, uint64_t ino, bool large); /* parked jobs that wait for it run again */
int schedule_large(struct job *job);                                  /* goes on in the pool of long transfers */

/* One file being sent, for people. */
struct sending {
    uint64_t total;
    _Atomic uint64_t sent;
};
struct sending *sending_begin(struct sync *sync, uint64_t ino, uint64_t total);
void sending_end(struct sync *sync, uint64_t ino);

struct writes {
    char (*ids)[33]; /* owned ring */
    size_t next;
};

struct sync {
    struct store *store;     /* borrowed */
    struct tree *tree;       /* borrowed */
    struct content *content; /* borrowed; from sync_start */
    struct sync_options options;
    char host[65];
    struct mime *mime;
    struct online online;
    _Atomic bool cut; /* sync_stop: everything ends */
    _Atomic uint64_t received_total, sent_total;
    /* For the quota: the last refusal, the last try of all, the last success; monotonic, 0: none. */
    _Atomic int64_t refused_ms, hastened_ms, room_changed_ms;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock; kicked, memory freed, a job ended, ending */
    bool started, ending;   /* under lock, as all below */
    struct workers *names, *data, *work, *large, *parts;
    pthread_t scheduler;
    bool kicked;
    struct map lists, flats, heads, aliases;
    struct map sendings;   /* by ino: struct sending, owned */
    struct map uploads;    /* by ino: id of the multipart upload that runs now, borrowed from its job */
    uint64_t send_free;    /* bytes of send_memory not in use */
    bool expanding;        /* one folder's move at a time goes through the tree */
    unsigned jobs;         /* claimed nodes that run or wait in a pool */
    unsigned removing;     /* batches of deletes under way */
    uint64_t gone_turn;    /* counts looks for deletes */
    struct map parked;     /* by ino: struct parked, owned */
    struct flush *flushes; /* owned list */
    struct writes writes;
};

/* Queues on a pool of sync; PAIL_CANCELLED once it ends. */
int sync_submit(struct sync *sync, struct workers *pool, enum workers_priority priority, workers_job *job,
                void *context);
/* Calls done(context, result) from a thread of ours; from this one only if there is none any more. */
void sync_answer(struct sync *sync, sync_done *done, void *context, int result);
void sync_news(struct sync *sync, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Memory for an upload's bytes; waits. PAIL_CANCELLED. */
int send_memory_take(struct sync *sync, uint64_t size);
void send_memory_give(struct sync *sync, uint64_t size);
int64_t realtime_ms(void);

/* ---- room.c: the quota ---- */
/* True: it was not known before. */
bool room_refused(struct sync *sync);
/* Something went up or was deleted: called before the tree knows. */
void room_changed(struct sync *sync);
