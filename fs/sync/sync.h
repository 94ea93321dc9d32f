/* Brings the tree and the bucket together: remote -> local (list, head, fetch) and local -> remote (the journal: put,
 * multipart, copy, delete; conflicts). The only part of fs that calls the store. Knows no FUSE.
 *
 * Threads of its own: names (lists, heads), data (ranges for content), work (uploads, copies, deletes), each a bounded
 * pool, so that stalled reads never hold up names; and one scheduler. Everything that waits for the network takes
 * (done, context) and calls done exactly once, from one of those threads, without locks. Thread-safe.
 *
 * Offline: the first failure makes it offline; then what needs the network fails at once with PAIL_OFFLINE (reads that
 * are under way included), one probe runs at 1, 2, 4 ... 30 s, and its success ends it and goes on with the work. */
#pragma once

#include "base/error.h"
#include "fs/content/content.h"
#include "fs/tree/tree.h"
#include "s3/store.h"

#include <stdbool.h>
#include <stdint.h>

struct sync;
typedef void sync_done(void *context, int result); /* 0, -errno or enum pail_error */

struct sync_options {
    struct store *store;                               /* borrowed */
    struct tree *tree;                                 /* borrowed */
    const char *host;                                  /* for conflict names; NULL: gethostname */
    int64_t stall_ms;                                  /* deadline without progress: 30,000 */
    int64_t fresh_ms;                                  /* a listing is trusted for: 5,000; INT64_MAX: always */
    unsigned data_threads, name_threads, work_threads; /* 0: 32, 16, 16 */
    uint64_t part_size;   /* multipart above this, in parts of this (growing with the file): 0: 16 MiB */
    uint64_t send_memory; /* most bytes held by uploads at once: 0: 64 MiB */
    /* A hint that these will be read or headed soon (http_store_will_read); NULL: none. */
    void (*will_read)(void *context, const char *const *keys, const char *const *versions, size_t count);
    void *will_read_context;
    /* News for people: a conflict copy was made, an upload cannot be done, login required. From any thread. NULL: none.
     */
    void (*news)(void *context, const char *text);
    void *news_context;
    /* The quota refused something; from any thread, must not wait. NULL: nobody wants to know. */
    void (*over_quota)(void *context);
    void *over_quota_context;
};

/* Implements content's origin (identities are tree_identity() of the node's remote: another one now means PAIL_GONE):
 * pass sync_origin(sync) to content_create, then sync_start with the content. */
int sync_create(struct sync **out, const struct sync_options *options, struct fault *fault);
struct content_origin sync_origin(struct sync *sync);
int sync_start(struct sync *sync, struct content *content);
/* Ends at the next safe point: transfers under way are cut (uploads go on where they were after the next start). Every
 * done has been called when it returns. */
void sync_stop(struct sync *sync);
void sync_destroy(struct sync *sync);

/* ---- remote -> local
 * ---------------------------------------------------------------------------------------------------- */

/* Lists the folder completely into the tree (one listing at a time per folder: later askers share it), then starts the
 * heads of what it found, in parallel. */
void sync_list(struct sync *sync, uint64_t folder, sync_done *done, void *context);
/* The attributes (and a link's target) of a node: a head of its key; shared by all who ask. PAIL_GONE: it is not there.
 * done's result is TREE-independent: look at the tree again afterwards (the name may have a new ino). */
void sync_head(struct sync *sync, uint64_t ino, sync_done *done, void *context);
/* Tells that the folder is being used: if its listing is older than fresh_ms, it is listed anew in the background.
 * Returns true if it is so old (over a minute) or unknown that the caller should wait with sync_list first. */
bool sync_touch(struct sync *sync, uint64_t folder);

/* ---- local -> remote
 * ------------------------------------------------------------------------------------------------------ */

/* The journal has news. Also called by the observer that sync_start puts on the tree. */
void sync_kick(struct sync *sync);
/* Done when everything that is in the journal now below ino (or of the file ino) is in the bucket: such work is
 * hastened. PAIL_OFFLINE when it cannot go on now (the work stays); the first error of those that cannot be done
 * otherwise. */
void sync_flush(struct sync *sync, uint64_t ino, sync_done *done, void *context);
/* Blocks until the journal is empty or *cancelled; PAIL_CANCELLED. Survives being offline. For the time after
 * unmounting. */
int sync_drain(struct sync *sync, const _Atomic bool *cancelled);

/* ---- For people
 * ------------------------------------------------------------------------------------------------------------ */

enum sync_online { SYNC_ONLINE, SYNC_OFFLINE, SYNC_LOGIN_REQUIRED };
struct sync_status {
    enum sync_online online;
    char why[200];                               /* when not online */
    int64_t offline_since_s;                     /* Unix */
    uint64_t sending, sending_bytes, sent_bytes; /* files being sent, their bytes, and of those sent so far */
    uint64_t received_total, sent_total;         /* bytes since start */
};
void sync_status(struct sync *sync, struct sync_status *out);
/* One node's transfer, if it is under way: bytes sent of total. */
bool sync_sending(struct sync *sync, uint64_t ino, uint64_t *sent, uint64_t *total);
/* Something waits here because the quota is used up. Takes no lock. */
bool sync_over_quota(struct sync *sync);
/* When something of ours last went up or was deleted: what the server had told of the quota before is out of date.
 * Monotonic; 0: never. */
int64_t sync_room_changed_ms(struct sync *sync);
/* There may be more room: what was refused is tried again soon. */
void sync_room_made(struct sync *sync);
/* Probe at once (a change of the network, `pail retry`). */
void sync_retry(struct sync *sync);
