/* What the files of fs/fuse share. Private to fs/fuse. */
#pragma once

#define FUSE_USE_VERSION 312
#include "base/workers.h"
#include "fs/fuse/adapter.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

struct notifier;

struct adapter {
    struct core *core;            /* borrowed */
    struct fuse_session *session; /* owned */
    struct workers *local;        /* owned: what waits for this machine's disk */
    struct notifier *notifier;    /* owned */
    double timeout_s;
    bool mounted;
    pthread_t runner; /* in adapter_run, while running; under lock */
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t parked;          /* under lock: requests not answered yet */
    _Atomic bool told_link; /* the log has said why hard links are refused */
};

/* ---- parked.c: a request that may have to wait ---- */

struct parked;
/* Calls the core and, on success, replies and returns 0; else returns what the core returned. */
typedef int parked_step(struct parked *parked, struct core_wait *wait);

struct parked {
    struct adapter *adapter;
    fuse_req_t request;
    parked_step *step;
    unsigned round;
    _Atomic int state; /* see parked.c */
    struct core_wait wait;
    /* Arguments, as the operation needs them. */
    uint64_t ino, other;
    char *name, *other_name; /* owned */
    struct fuse_file_info file;
    uint32_t mode, flags;
    size_t size;
    int64_t offset;
    void *data; /* owned */
    struct core_set set;
};

/* NULL after having replied ENOMEM. Names may be NULL. */
struct parked *parked_create(fuse_req_t request, parked_step *step, uint64_t ino, const char *name);
void parked_run(struct parked *parked);
/* The first step on a thread that may wait for the disk. */
void parked_run_local(struct parked *parked);
/* For answers that come by a callback: begin before asking; end before replying: false if ^C was answered already. Then
 * parked_destroy. */
void parked_begin(struct parked *parked);
bool parked_end(struct parked *parked);
void parked_destroy(struct parked *parked);

/* ---- reply.c ---- */

/* enum pail_error or -errno to a positive errno. */
int reply_errno(int result);
void reply_error(fuse_req_t request, int result);
void reply_entry(struct parked *parked, const struct core_entry *entry);
void reply_fill_entry(const struct adapter *adapter, const struct core_entry *entry, struct fuse_entry_param *out);

/* ---- notify.c ---- */

int notifier_create(struct notifier **out, struct fuse_session *session);
void notifier_destroy(struct notifier *notifier);
struct tree_watch notifier_watch(struct notifier *notifier);

/* ---- the operations, by file ---- */

void ops_names_fill(struct fuse_lowlevel_ops *ops);
void ops_attributes_fill(struct fuse_lowlevel_ops *ops);
void ops_file_fill(struct fuse_lowlevel_ops *ops);
void ops_folder_fill(struct fuse_lowlevel_ops *ops);
void ops_xattr_fill(struct fuse_lowlevel_ops *ops);
