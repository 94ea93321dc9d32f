/* What each file operation means: tree, content and sync put together. Knows no FUSE; fs/fuse unpacks requests and
 * calls this.
 *
 * No function waits for the network. One that misses something returns CORE_WAIT and says in *wait what for; the caller
 * hands that to core_wait_for, and calls the function again with round + 1 when done came with 0 (with another result
 * the operation has failed with it). Reads are asynchronous by themselves. Writes, commits and syncs use this machine's
 * disk. Results: 0, -errno, enum pail_error, or CORE_WAIT. Thread-safe. */
#pragma once

#include "fs/content/content.h"
#include "fs/sync/sync.h"
#include "fs/tree/tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct core;
struct core_handle; /* an open file */

enum { CORE_WAIT = 100 };

enum core_wait_kind {
    CORE_WAIT_LIST,  /* the folder's names */
    CORE_WAIT_HEAD,  /* the node's attributes */
    CORE_WAIT_FLUSH, /* until the bucket has it */
};

struct core_wait {
    enum core_wait_kind kind;
    uint64_t ino;
    bool optional; /* only to be more up to date: without it the operation goes on with what is known here */
    bool brief;    /* and soon: it has patience_ms */
};

/* What the server told of the account's quota; all 0: nothing, or it has none. */
struct core_quota {
    uint64_t limit, used; /* bytes */
    int64_t asked_ms;     /* when it was asked; monotonic */
};

struct core_options {
    struct tree *tree; /* borrowed, as the two below */
    struct content *content;
    struct sync *sync;
    uint32_t uid, gid;   /* who mounted */
    bool durable_bucket; /* -o durable=bucket: close and fsync wait for the bucket */
    bool attrs_listing;  /* -o attrs=listing */
    int64_t fresh_ms;    /* how long the kernel may keep names and attributes */
    int64_t quiet_ms;    /* an open file is committed after so long without a write: 10,000; 0: that */
    int64_t longest_ms;  /* and at least this often while it is written: 300,000; 0: that */
    int64_t patience_ms; /* a wait that is only for freshness ends after this, within a second: 2,000; 0: that */
    void (*quota)(void *context, struct core_quota *out); /* must not wait; NULL: there is none */
    void *quota_context;
};

/* After a crash, or none, before anything is opened: what was written to the spool after its last record is recorded,
 * and what no record knows is removed. */
int core_recover(struct tree *tree, struct content *content);

int core_create(struct core **out, const struct core_options *options, struct fault *fault);
void core_destroy(struct core *core); /* commits what is still open; no operation may be under way */

/* Calls done once: when it came, failed, or (brief) took too long. From a thread of sync's, the ticker, or this one.
 */
void core_wait_for(struct core *core, const struct core_wait *wait, sync_done *done, void *context);

/* ---- Names
 * ---------------------------------------------------------------------------------------------------------------- */

struct core_entry {
    struct stat st;  /* st_ino is the node's number */
    bool attributes; /* false (readdir only): st has only ino and type */
};

/* 0 counts one more reference of the kernel to out->st.st_ino; core_forget takes them back. The same for every function
 * with a core_entry out. */
int core_lookup(struct core *core, unsigned round, uint64_t parent, const char *name, struct core_entry *out,
                struct core_wait *wait);
void core_forget(struct core *core, uint64_t ino, uint64_t count);
int core_mkdir(struct core *core, uint64_t parent, const char *name, uint32_t mode, const struct tree_owner *owner,
               struct core_entry *out, struct core_wait *wait);
int core_symlink(struct core *core, uint64_t parent, const char *name, const char *target,
                 const struct tree_owner *owner, struct core_entry *out, struct core_wait *wait);
int core_unlink(struct core *core, uint64_t parent, const char *name, struct core_wait *wait);
int core_rmdir(struct core *core, unsigned round, uint64_t parent, const char *name, struct core_wait *wait);
int core_rename(struct core *core, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                unsigned flags, struct core_wait *wait);

/* Makes sure that the folder's names are known and fresh enough to be read. */
int core_folder_open(struct core *core, unsigned round, uint64_t folder, struct core_wait *wait);
/* "." and ".." first, then children; offset is that of the entry after which to go on (0: from the start), and what
 * visit gets is the one to pass to go on after it. visit returns non-zero to stop (the entry was not taken). With
 * references, each entry taken (other than "." and "..") that has attributes counts one more reference. */
int core_folder_read(struct core *core, uint64_t folder, int64_t offset, bool references,
                     int (*visit)(void *context, const char *name, const struct core_entry *entry, int64_t offset),
                     void *context);

/* ---- Attributes
 * --------------------------------------------------------------------------------------------------------------- */

int core_get(struct core *core, unsigned round, uint64_t ino, struct stat *out, struct core_wait *wait);

enum core_set_mask { CORE_SET_MODE = 1, CORE_SET_UID = 2, CORE_SET_GID = 4, CORE_SET_MTIME = 8, CORE_SET_SIZE = 16 };
struct core_set {
    unsigned mask;
    uint32_t mode, uid, gid;
    int64_t mtime_ns;
    uint64_t size;
};
/* handle: through which a size is set; NULL: none. */
int core_set(struct core *core, uint64_t ino, struct core_handle *handle, const struct core_set *set, struct stat *out,
             struct core_wait *wait);
int core_readlink(struct core *core, uint64_t ino, char **target, struct core_wait *wait);
void core_statfs(struct core *core, struct statvfs *out);
/* The server has refused something for the quota of late, and nothing more would fit. */
bool core_is_full(struct core *core);

/* "user.pail.state" is made up; setting "user.pail.sync" waits until the bucket has the file or folder. */
int core_xattr_get(struct core *core, uint64_t ino, const char *name, char **value, size_t *size);
int core_xattr_set(struct core *core, unsigned round, uint64_t ino, const char *name, const void *value, size_t size,
                   int flags, struct core_wait *wait);
int core_xattr_remove(struct core *core, uint64_t ino, const char *name);
int core_xattr_list(struct core *core, uint64_t ino, char **names, size_t *size);

/* ---- Files
 * ----------------------------------------------------------------------------------------------------------------------
 */

int core_file_create(struct core *core, uint64_t parent, const char *name, uint32_t mode,
                     const struct tree_owner *owner, struct core_entry *out, struct core_handle **handle,
                     struct core_wait *wait);
/* flags of open(2): O_TRUNC and the access mode count. */
int core_file_open(struct core *core, unsigned round, uint64_t ino, int flags, struct core_handle **out,
                   struct core_wait *wait);
void core_file_read(struct core_handle *handle, uint64_t offset, size_t size, content_read_done *done, void *context);
int core_file_write(struct core_handle *handle, const void *data, size_t size, uint64_t offset);
int core_file_allocate(struct core_handle *handle, int mode, uint64_t offset, uint64_t length);
/* close(2): what was written is recorded. CORE_WAIT with durable_bucket. */
int core_file_flush(struct core *core, unsigned round, struct core_handle *handle, struct core_wait *wait);
/* fsync(2): it survives a power cut. Uses the disk: call it from a thread that may wait for that. */
int core_file_sync(struct core *core, unsigned round, struct core_handle *handle, struct core_wait *wait);
void core_file_close(struct core *core, struct core_handle *handle);
/* fsync(2) of a folder. */
int core_folder_sync(struct core *core, unsigned round, uint64_t folder, struct core_wait *wait);

/* Every open file's writes are recorded now, so that core_wait_for of CORE_WAIT_FLUSH covers them. */
int core_commit_all(struct core *core);
