/* The core's own view of nodes that the kernel or a program holds. Private to fs/core. */
#pragma once

#include "base/map.h"
#include "fs/core/core.h"

#include <pthread.h>
#include <stdatomic.h>

/* A node that the kernel knows or that is open. Found by ino under core->lock. */
struct core_inode {
    uint64_t ino;
    uint64_t lookups; /* under core->lock, as the next two */
    struct core_handle *handles;
    bool held;                   /* tree_hold was called: it lost its name while open */
    pthread_mutex_t commit_lock; /* one content_commit and its tree_wrote at a time */
    bool created;                /* under commit_lock: made here and not yet closed once */
};

struct core_handle {
    struct core *core;              /* borrowed */
    struct core_inode *inode;       /* borrowed: lives as long as it has handles */
    struct content_handle *content; /* owned */
    struct core_handle *next;       /* in inode->handles, under core->lock */
};

/* Small files opened in the order of their folder: ahead.c. */
struct core_ahead {
    uint64_t folder, last; /* where, and the one opened last */
    uint64_t reached;      /* up to this node they are fetched, */
    size_t files;          /* which is so many after the last */
    unsigned run;          /* opened in order so far */
};

struct core {
    struct core_options options;
    struct tree *tree; /* borrowed, as the two below */
    struct content *content;
    struct sync *sync;
    pthread_mutex_t lock;
    struct map inodes;             /* struct core_inode by ino, under lock */
    struct core_patient *patients; /* borrowed list: waits for freshness, each owned by its request; under lock */
    unsigned overdue;              /* those whose patience has ended and whose answer has not come; under lock */
    struct core_ahead ahead;       /* under lock */
    pthread_t ticker;
    pthread_cond_t tick;
    _Atomic int64_t full_ms; /* room.c: when full was last found out; 0: it is to be found out anew */
    _Atomic bool full;
    bool ending; /* under lock */
    bool ticking;
};

/* inodes.c */
int core_inode_refer(struct core *core, uint64_t ino);
/* Adds the handle to its inode, which is made if need be. */
int core_inode_open(struct core *core, uint64_t ino, struct core_handle *handle);
void core_inode_close(struct core *core, struct core_handle *handle);
/* Its name went: keep its bytes for those who have it open, forget it if nobody does. */
void core_inode_nameless(struct core *core, uint64_t ino);

/* attributes.c */
void core_attributes_fill(struct core *core, const struct tree_node *node, struct stat *st);
bool core_attributes_known(const struct core *core, const struct tree_node *node);
int core_attributes_entry(struct core *core, const struct tree_node *node, struct core_entry *out);

/* file.c */
/* What was written through any handle of the inode is recorded in the tree. rest: a change rests before it is sent. */
int core_file_commit(struct core_handle *handle, bool durable, bool rest);

/* ahead.c: a file was opened for reading; node as it was then. */
void core_ahead_opened(struct core *core, const struct tree_node *node);

/* room.c */
/* Bytes of the quota that are used when everything here was sent. */
uint64_t core_room_used(struct core *core, const struct core_quota *quota, const struct tree_totals *totals);
/* Whether the file may become so large; the quota is known to be used up, else. */
bool core_room_for(struct core *core, uint64_t ino, uint64_t size);
/* A file was removed: there may be room. */
void core_room_made(struct core *core);

/* wait.c */
int core_wait_list(struct core_wait *wait, uint64_t folder);
int core_wait_head(struct core_wait *wait, uint64_t ino);
int core_wait_flush(struct core_wait *wait, uint64_t ino);
/* For attributes that are not known, or not any more. */
int core_wait_attributes(struct core_wait *wait, const struct tree_node *node);
/* The wait just set is only for freshness, and has patience. */
int core_wait_brief(struct core_wait *wait);
/* Tells those whose patience has ended. */
void core_wait_tick(struct core *core);

/* ticker.c */
int core_ticker_start(struct core *core);
void core_ticker_stop(struct core *core);
