/* What the files of fs/tree share. Nobody else includes it. Everything here is used under the tree's lock, inside the
 * transaction of tree_begin where it changes something. Results: 0 (or 1 for "yes", where said) or -errno. */
#pragma once

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/map.h"
#include "fs/tree/sql.h"
#include "fs/tree/tree.h"

#include <pthread.h>

/* The type of text that is read into tree.h's structs: a remote key, a name, ... */
#define TREE_MAX_KEY 1024u
#define TREE_MAX_NAME 255u

/* ---- The tree ---- */

enum tree_event_kind { EVENT_ENTRY, EVENT_GONE, EVENT_ATTRIBUTES, EVENT_WORK, EVENT_TAKEN_OVER, EVENT_CONFLICT };

struct tree_event {
    enum tree_event_kind kind;
    uint64_t parent, ino;   /* EVENT_TAKEN_OVER: by ino from `parent` */
    char *name, *copy_name; /* owned */
};

struct tree_events {
    struct tree_event *items; /* owned */
    size_t count, capacity;
    bool work; /* EVENT_WORK is told once */
};

/* A walk through a folder that is being moved: where it was after the last step (move.c). */
struct tree_walk {
    uint64_t folder;
    uint64_t structure; /* of the tree then; 0: to be begun again */
    struct tree_step {
        uint64_t ino, after;
    } * steps; /* owned: the way down, the folder first */
    size_t depth, capacity;
};

struct tree_listing {
    struct tree *tree;         /* borrowed */
    struct tree_listing *next; /* of the tree's, under its lock */
    uint64_t folder, number;
    int64_t began_ms;
    bool flat, keep_ours, marker_seen;
    char *prefix;         /* owned */
    char *position;       /* owned; keys from here on are still to come, */
    bool position_passed; /* but not this one itself */
    char *way;            /* owned; flat: the folder that the last entry lay in, */
    uint64_t way_folder;  /* and its node; 0: to be found again */
};

struct tree {
    struct tree_options options; /* folder is owned */
    int lock_fd, wal_fd;
    struct tree_watch watches[4]; /* written before the first operation */
    size_t watch_count;
    size_t max_key; /* bytes; likewise */

    pthread_mutex_t lock;
    struct tree_sql sql;           /* under lock, as all below */
    uint64_t next_ino, ino_limit;  /* numbers up to the limit are set aside on disk */
    uint64_t change, change_limit; /* likewise */
    uint64_t structure;            /* grows when a folder moves */
    struct map claims;             /* by ino; the values say nothing */
    struct map held, forgotten;    /* likewise */
    struct map gone_claims;        /* by hash of the key */
    struct map listed;             /* by ino: struct tree_listed, owned (listing.c) */
    struct tree_listing *listings; /* those under way */
    struct map walks;              /* by ino of the folder: struct tree_walk, owned (move.c) */
    struct tree_walk *walking;     /* the one that this transaction goes on with; NULL: none */
    struct tree_events events;     /* of the transaction under way */
};

DEFINE_CLEANUP(struct tree *, tree_destroy)

/* ---- watch.c: transactions, and news after them ---- */

void tree_lock(struct tree *tree);
void tree_unlock(struct tree *tree);
/* Takes the lock and begins a transaction. On failure the lock is free again. */
int tree_begin(struct tree *tree);
/* result 0: commits; else takes everything back. Frees the lock, tells the news, returns the result. */
int tree_end(struct tree *tree, int result);
int tree_tell(struct tree *tree, enum tree_event_kind kind, uint64_t parent, const char *name, uint64_t ino);
int tree_tell_conflict(struct tree *tree, uint64_t parent, const char *name, const char *copy_name);
void tree_tell_work(struct tree *tree);
void tree_events_finish(struct tree_events *events);

/* ---- schema.c ---- */

int tree_schema_open(struct tree *tree, const char *path, struct fault *fault); /* or TREE_NEWER */
int tree_next_change(struct tree *tree, uint64_t *out);
int tree_next_ino(struct tree *tree, uint64_t *out);
int64_t tree_now_ms(void); /* Unix */

/* ---- row.c: nodes as they are on disk ---- */

enum tree_head_state {
    HEAD_NEVER,    /* attributes are made up */
    HEAD_KNOWN,    /* for (etag, modified_s, size) */
    HEAD_PASSING,  /* until the next listing: the object was younger than whole seconds can tell */
    HEAD_OURS,     /* our own write: modified_s is taken from the next listing */
    HEAD_OUTDATED, /* attributes were known once, and may have changed */
};

enum tree_row_part { ROW_PLACE = 1, ROW_KEY = 2, ROW_WORK = 4, ROW_BODY = 8 };

struct tree_row {
    struct tree_node node; /* strings owned */
    uint64_t holder;       /* a key that cannot be a file: the folder it lies in; such a node has no parent */
    char *tail;            /* last part of the key where it is not the name; of a held one: all below the holder */
    bool owns;             /* remote.key is its own; else it can only be read by version */
    bool complete;         /* a folder whose names are all known */
    bool expanding;        /* a folder that moves: something below it is at its new key already, or told to go there */
    enum tree_head_state head;
    unsigned dirty;             /* enum tree_attributes and TREE_XATTRS: changed here, not yet in the bucket */
    uint64_t attributes_change; /* number of the last change of those */
    uint32_t folders;           /* inside */
    int64_t due_ms, since_ms;
    unsigned attempts;
    unsigned changed; /* enum tree_row_part: what tree_row_store has to write */
};
enum { TREE_XATTRS = 16 };

#define ROW_COLUMNS                                                                                                    \
    "ino,parent,name,holder,tail,type,mode,uid,gid,folders,size,mtime_ns,ctime_ns,target,content,spool,generation,"    \
    "change,attributes_change,dirty,work,due_ms,since_ms,attempts,problem,archived,head,complete,expanding,rkey,owns," \
    "retag,rversion,rcontent,rsize,rmodified_s"

void tree_row_finish(struct tree_row *row);
#define AUTO_ROWS __attribute__((cleanup(tree_row_finish)))
/* Borrows its strings from the statement. */
void tree_row_borrow(struct tree *tree, sqlite3_stmt *from, struct tree_row *row);
int tree_row_read(struct tree *tree, sqlite3_stmt *from, struct tree_row *row);
int tree_row_load(struct tree *tree, uint64_t ino, struct tree_row *row); /* -ENOENT */
/* 1: there is such a child. */
int tree_row_find(struct tree *tree, uint64_t parent, const char *name, struct tree_row *row);
/* 1: a node has this key as its own; a folder only if `folder`. */
int tree_row_at_key(struct tree *tree, const char *key, struct tree_row *row);
int tree_row_insert(struct tree *tree, struct tree_row *row); /* gives it its ino */
int tree_row_store(struct tree *tree, struct tree_row *row);  /* writes what changed says */
int tree_row_delete(struct tree *tree, uint64_t ino);         /* with its parts and attempt */
/* Replaces a string. */
int tree_row_set(char **field, const char *value);
int tree_row_set_remote(struct tree_row *row, const struct tree_remote *remote);
void tree_row_clear_remote(struct tree_row *row);
bool tree_row_is_shadow(const struct tree_row *row);
bool tree_row_named(const struct tree_row *row); /* has a name or is a shadow or the root */
/* Hands the node over. */
void tree_row_take(struct tree_row *row, struct tree_node *out);
int tree_row_has_children(struct tree *tree, uint64_t folder);
int tree_row_has_shadows(struct tree *tree, uint64_t folder);
/* Adds work; rest: it is due after the usual rest, else now. */
void tree_row_add_work(struct tree *tree, struct tree_row *row, unsigned bits, bool rest);
void tree_row_drop_work(struct tree_row *row, unsigned bits);
/* Whoever but ino has this key as its own can be read by its version only from now on. */
int tree_row_overtake(struct tree *tree, uint64_t ino, const char *key);
int tree_row_changed(struct tree *tree, struct tree_row *row); /* gives it a new change number and ctime */

/* ---- path.c ---- */

/* The prefix below which the folder's children belong: "a/b/"; root "". -ENOENT without a name. Owned. */
int tree_path_folder(struct tree *tree, uint64_t folder, char **path);
/* The key at which the node belongs; for names made up the true one. Owned. */
int tree_path_target(struct tree *tree, const struct tree_row *row, char **key);
/* The path that people see. Owned. */
int tree_path_shown(struct tree *tree, const struct tree_row *row, char **path);
/* 1: ino is `folder` or lies below it. */
int tree_path_below(struct tree *tree, uint64_t ino, uint64_t folder);
/* Something below `folder` is at this key in the bucket now. Folders on the way up whose prefix is still another,
 * because they or one above are to be moved, are moved in part: bringing one back to its prefix does not undo the move.
 */
int tree_path_note_arrival(struct tree *tree, uint64_t folder, const char *key);
/* The node at a path: 1, or 0. *unknown: not known to be there or not. */
int tree_path_find(struct tree *tree, const char *path, struct tree_row *row, bool *unknown);
/* The first key behind all that start with prefix, which ends in '/': "a/" gives "a0". "" gives "\xff". Owned. */
char *tree_path_end(const char *prefix);
int tree_path_check_name(const char *name);

/* ---- names.c ---- */

enum tree_removal { REMOVED_HERE, REMOVED_THERE };
/* Takes the node's name away. Here: its object is to be deleted as well. */
int tree_names_detach(struct tree *tree, struct tree_row *row, enum tree_removal why);
/* A folder that became empty and has no marker gets one. */
int tree_names_keep_folder(struct tree *tree, uint64_t folder);
int tree_names_count_folder(struct tree *tree, uint64_t parent, int by);
/* Puts the node at (parent, name), and decides whether its object has to move. */
int tree_names_put(struct tree *tree, struct tree_row *row, uint64_t parent, const char *name);
/* A free name made of stem and extension of `name` with " (what)" or " (what 2)" between. Owned. */
int tree_names_make(struct tree *tree, uint64_t parent, const char *name, const char *what, bool split, char **out);

/* ---- journal.c ---- */

/* If the folder's marker was carried to where the folder is now, it becomes the folder's own again. */
int tree_journal_merge_marker(struct tree *tree, uint64_t folder);

/* ---- move.c ---- */

void tree_move_take_back(struct tree *tree); /* what the walk of this transaction did, if there is one */
void tree_move_forget(struct tree *tree, uint64_t folder);

/* ---- gone.c ---- */

/* The object is to be deleted, unless a node has it as its own. ino: who had it. */
int tree_gone_add(struct tree *tree, const struct tree_remote *remote, uint64_t ino);
/* A write of ours to key may have arrived; whoever asked for it does not want it there any more. */
int tree_gone_add_attempt(struct tree *tree, uint64_t ino);
int tree_gone_forget(struct tree *tree, const char *key);
struct tree_gone_row {
    struct tree_gone gone;
    uint64_t ino; /* who had the key; 0: unknown */
    bool done;
    uint64_t done_change;
};
void tree_gone_row_finish(struct tree_gone_row *row);
int tree_gone_load(struct tree *tree, const char *key, struct tree_gone_row *row); /* 1, 0 */
bool tree_gone_claimed(struct tree *tree, const char *key);
/* Rows that were kept only for listings that are over. */
int tree_gone_sweep(struct tree *tree);

/* ---- listing.c ---- */

int tree_listing_note(struct tree *tree, uint64_t folder, int64_t ms, bool flat);
void tree_listing_forget(struct tree *tree, uint64_t folder);
int64_t tree_listing_time(struct tree *tree, uint64_t folder);

/* ---- head.c ---- */

bool tree_head_same(const struct tree_remote *known, const char *etag, const char *content, uint64_t size);
/* A node of an object of others at (parent, name): attributes made up, head unknown. */
int tree_head_new_node(struct tree *tree, uint64_t parent, const char *name, const struct tree_remote *remote,
                       struct tree_row *out);
/* Other content is at the node's key: its name gets a new node, `row` becomes that one. */
int tree_head_replace(struct tree *tree, struct tree_row *row, const struct tree_remote *remote);
int tree_head_attributes(struct tree *tree, struct tree_row *row, const struct tree_head *head, bool *changed);

/* ---- attributes.c, xattr.c ---- */

/* They were changed here: to be stored in the bucket. dirty: which. Stores the row. */
int tree_attributes_changed(struct tree *tree, struct tree_row *row, unsigned dirty);
int tree_xattr_replace_all(struct tree *tree, uint64_t ino, const struct tree_head *head, bool *changed);

/* ---- upload.c ---- */

int tree_upload_drop(struct tree *tree, uint64_t ino); /* what was begun is to be aborted */
int tree_attempt_clear(struct tree *tree, uint64_t ino);
/* 1: a write to the key is under way, of whatever node but this one (0: of any). */
int tree_attempt_awaited(struct tree *tree, const char *key, uint64_t but);
/* The node goes on without an answer: what it tried may arrive all the same. */
int tree_attempt_give_up(struct tree *tree, uint64_t ino);
/* What stands at the key is known. */
int tree_unseen_settle(struct tree *tree, const char *key);
/* Ids of writes to the key that may have arrived, one of them (`latest`) or all with blanks between; NULL: none. */
int tree_unseen_at(struct tree *tree, const char *key, char **ids);
