/* Names, attributes, inode numbers, listings and the journal of one account, in SQLite. Knows neither FUSE nor S3: a
 * key is a string of bytes, an ETag a string.
 *
 * What is kept for each node: what it should have (name, attributes, content; what programs see) and what the bucket
 * has (key, ETag, version, metadata). Work is the difference; a node without a difference has no journal row. A path is
 * derived from (parent, name), so renaming a folder changes one row. The key where a node's bytes are now is a field of
 * its own; it differs from the path while a move is outstanding (bit TREE_WORK_NAME) and for names made up ("x
 * (object)"). A name that was removed here leaves a `gone` row for its key until the bucket has no such object either,
 * and until every listing that was under way is over, so that a listing never brings deleted names back.
 *
 * Thread-safe: one lock, held for memory and SQLite only. Each changing call is one transaction, in the operating
 * system's hands when it returns (promise 1); tree_flush makes it safe against a power cut (promise 2). Results: 0,
 * -errno (-ENOENT, -EEXIST, -ENOTEMPTY, -ENOTDIR, -EISDIR, -ENAMETOOLONG, -EILSEQ, -ENOSPC, -EIO, ...), or enum
 * tree_result. Strings in filled structs are owned by them and freed by the _finish. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree;

enum tree_result {
    TREE_UNKNOWN = 1, /* the folder is not known completely: whether the name exists must be asked of the bucket */
    TREE_STALE,       /* the node changed meanwhile: what the caller learned is out of date; look again */
    TREE_NEWER,       /* the database was written by a newer Pail: nothing was touched */
};

enum { TREE_ROOT = 1 };

enum tree_type { TREE_FILE = 1, TREE_FOLDER, TREE_LINK };

/* What the bucket has of a node. */
struct tree_remote {
    char *key;  /* NULL: nothing yet. Folders: always the prefix below which their children lie ("" or ending in '/') */
    char *etag; /* NULL: no object at that key (a folder without a marker). "" unknown (ask head) */
    char *version; /* NULL: the bucket keeps no versions, or not told */
    char *content; /* pail-content, 32 hex digits, or NULL */
    uint64_t size;
    int64_t modified_s; /* Last-Modified as a listing or head shows it; 0: not yet seen (after our own write) */
    bool head_known;    /* mode, owner, mtime, xattrs are those of (etag, modified_s, size) */
    bool head_outdated; /* not any more, but they were */
};

/* What is to be done for a node. */
enum tree_work_bits {
    TREE_WORK_CONTENT = 1, /* the bytes (or a folder's marker, or a link's target) are to be put */
    TREE_WORK_META = 2,    /* mode, owner, times, xattrs are to be stored by a copy onto itself */
    TREE_WORK_NAME = 4,    /* the object is to be moved from remote.key to the path; for a folder: all below it */
};

struct tree_node {
    uint64_t ino;
    uint64_t parent; /* 0: it has no name any more, but is still open or known to the kernel */
    char *name;
    enum tree_type type;
    uint32_t mode;              /* permission bits, 07777 */
    uint32_t uid, gid;          /* as shown (-o owner) */
    int64_t kept_uid, kept_gid; /* the numbers that the object's metadata has or is to have; -1: none */
    uint32_t links;             /* files 1; folders 2 + folders inside, as far as known */
    uint64_t size;
    int64_t mtime_ns, ctime_ns;
    char *target;        /* of a link; NULL if not yet known */
    char *content;       /* pail-content of what it should have; NULL for an object of others */
    uint64_t spool;      /* number of the spool file that holds its bytes; 0: they are in the bucket */
    uint64_t generation; /* grows with each tree_wrote: which content it should have */
    uint64_t change;     /* number of its last change here, or of its last finished upload */
    unsigned work;       /* enum tree_work_bits */
    char *problem;       /* why the work cannot be done, for people; NULL */
    bool archived;
    struct tree_remote remote;
};
void tree_node_finish(struct tree_node *node);

/* News that did not come from the kernel of this machine. Called from the thread that caused it, after the transaction,
 * and without the tree's lock held but where it is said. Any member may be NULL. */
struct tree_watch {
    void *context;
    void (*entry_changed)(void *context, uint64_t parent, const char *name); /* now another node, or a new one */
    void (*entry_gone)(void *context, uint64_t parent, const char *name, uint64_t ino);
    void (*attributes_changed)(void *context, uint64_t ino); /* same content */
    void (*work_added)(void *context);                       /* the journal has something that it had not */
    /* The name of `from` has another object: `to` stands there now, and has what was to be sent, if it still is. With
     * the tree's lock held, so that nobody sees `from` without its work before; must not call the tree. */
    void (*work_taken_over)(void *context, uint64_t from, uint64_t to);
    void (*work_went_over)(void *context, uint64_t to); /* the same once more, without the lock */
    void (*conflict)(void *context, uint64_t parent, const char *name, const char *copy_name);
};

struct tree_options {
    const char *folder;              /* state folder, exists; the database is FOLDER/tree.db */
    uint32_t uid, gid;               /* owner shown for what has none */
    uint32_t file_mode, folder_mode; /* for objects without metadata: 0644, 0755 */
    bool owner_keep;    /* -o owner=keep: show stored numbers; else always uid, gid (the numbers are kept either way) */
    bool attrs_listing; /* -o attrs=listing: heads are never asked for: every node counts as known */
    int64_t rest_ms;    /* a change rests this long before it is due: 1,000 */
};

/* -EWOULDBLOCK: another process has it (lock in the folder). TREE_NEWER. Orphans of an earlier life are removed. */
int tree_create(struct tree **out, const struct tree_options *options, struct fault *fault);
void tree_destroy(struct tree *tree);
/* Adds an observer; before the first operation. The struct is copied. At most 4. */
int tree_observe(struct tree *tree, const struct tree_watch *watch);
/* A key may have so many bytes: 1,024, S3's limit, without this call. Less where the bucket's keys begin with a prefix
 * of the account, which is not told here. Before the first operation. */
void tree_limit_keys(struct tree *tree, size_t bytes);
int tree_flush(struct tree *tree); /* all that returned so far survives a power cut */

/* ---- Looking
 * ---------------------------------------------------------------------------------------------------------- */

int tree_get(struct tree *tree, uint64_t ino, struct tree_node *out);
/* -ENOENT only where the folder is known completely; else TREE_UNKNOWN. "." and ".." are not names here. */
int tree_lookup(struct tree *tree, uint64_t parent, const char *name, struct tree_node *out);
/* Children with ino > after, in order of ino, until visit returns non-zero (which is returned). Under the tree's lock:
 * visit must not call the tree. The node is borrowed. */
int tree_children(struct tree *tree, uint64_t folder, uint64_t after,
                  int (*visit)(void *context, const struct tree_node *node), void *context);
/* The path, which is the key it should have ("a/b"; folders "a/b/"; root ""). -ENOENT for one without a name. Owned. */
int tree_path(struct tree *tree, uint64_t ino, char **path);
/* From a path below the root, as programs write it. TREE_UNKNOWN where a folder on the way is not known. */
int tree_find(struct tree *tree, const char *path, struct tree_node *out);

struct tree_folder {
    bool complete;     /* every name in it is known */
    int64_t listed_ms; /* clock_monotonic_ms() of the start of the last whole listing in this life; 0: none */
    uint64_t children;
};
int tree_folder_state(struct tree *tree, uint64_t folder, struct tree_folder *out);

/* The identity of the bytes that the bucket has of a node, for content and its origin: pail-content where the object
 * carries one (it survives copies and changes of metadata), else the ETag; "" for none. size: of out, at least 128;
 * longer ETags are cut by hashing. Returns out. */
const char *tree_identity(const struct tree_remote *remote, char out[128]);

/* ---- Changing, as programs do
 * ------------------------------------------------------------------------------------------- */

struct tree_owner {
    uint32_t uid, gid;
};

/* A new file (spool: its empty content's spool file), folder (complete from the start) or link. -EEXIST; TREE_UNKNOWN.
 */
int tree_create_node(struct tree *tree, uint64_t parent, const char *name, enum tree_type type, uint32_t mode,
                     const struct tree_owner *owner, const char *target, uint64_t spool, struct tree_node *out);
/* Its name goes; the node stays without a name until tree_forget. *ino: which it was. The parent gets a marker if it
 * has none and became empty. -EISDIR / -ENOTDIR / -ENOTEMPTY (also for keys that cannot be shown); TREE_UNKNOWN. */
int tree_unlink(struct tree *tree, uint64_t parent, const char *name, uint64_t *ino);
int tree_rmdir(struct tree *tree, uint64_t parent, const char *name, uint64_t *ino);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE of renameat2(2). *replaced: the node that lost its name, or 0. -EINVAL into
 * itself; -ENAMETOOLONG also when a known file below would get a key beyond 1,024 bytes; -EXDEV for archived objects.
 */
int tree_rename(struct tree *tree, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                unsigned flags, uint64_t *replaced);
/* A node without a name that nothing knows any more is removed. Its spool number is returned in *spool (0: none), for
 * content. */
int tree_forget(struct tree *tree, uint64_t ino, uint64_t *spool);
/* While held, the object of a node without a name is not deleted from a bucket without versions: somebody reads it. */
int tree_hold(struct tree *tree, uint64_t ino, bool held);

enum tree_attributes { TREE_MODE = 1, TREE_UID = 2, TREE_GID = 4, TREE_MTIME = 8 };
/* Takes those named by mask from values; sets TREE_WORK_META (TREE_WORK_CONTENT for a folder without a marker). */
int tree_set_attributes(struct tree *tree, uint64_t ino, unsigned mask, const struct tree_node *values);
/* The content is now what spool file `spool` holds: size, mtime; a new generation and pail-content. rest: false = due
 * now. */
int tree_wrote(struct tree *tree, uint64_t ino, uint64_t spool, uint64_t size, int64_t mtime_ns, bool rest);

/* User xattrs ("user.x"). Values are bytes. -ENODATA, -EEXIST, -ENOSPC beyond S3's 2 KiB of metadata. */
int tree_xattr_get(struct tree *tree, uint64_t ino, const char *name, char **value, size_t *size);
int tree_xattr_set(struct tree *tree, uint64_t ino, const char *name, const void *value, size_t size, int flags);
int tree_xattr_remove(struct tree *tree, uint64_t ino, const char *name);
/* Names, each with its NUL, in one piece. */
int tree_xattr_list(struct tree *tree, uint64_t ino, char **names, size_t *size);

/* ---- What the bucket says
 * ------------------------------------------------------------------------------------------------- */

/* A listing page is merged by key. One listing at a time per folder. */
struct tree_listing;
struct tree_entry {
    const char *key; /* whole key; a common prefix ends in '/' and has prefix = true */
    bool prefix;
    const char *etag;
    uint64_t size;
    int64_t modified_s;
    bool archived;
};
/* prefix: where the folder's children lie (its remote.key), copied into *prefix for the request; notes the change
 * number. flat: the whole subtree without delimiter; folders on the way are made, and all are complete at the end. A
 * folder made here counts as listed when it was made (nobody else knows it yet). */
int tree_listing_begin(struct tree *tree, uint64_t folder, bool flat, struct tree_listing **out, char **prefix);
/* Entries in key order; last: no page follows. One transaction. heads (owned array, may be NULL) receives the nodes
 * whose head is not known. A listed key never alters a node with work, or one whose change is newer than the listing; a
 * name is gone only if its range was covered and lacks it. New content at a known name gets a new ino. Keys that cannot
 * be files are counted as hidden. */
int tree_listing_page(struct tree_listing *listing, const struct tree_entry *entries, size_t count, bool last,
                      uint64_t **heads, size_t *head_count);
void tree_listing_end(struct tree_listing *listing); /* also after a failure; NULL is fine */
/* From now on a name that the listing lacks stays if its object carries pail-content: for the minutes after a bucket
 * got versions, in which S3 may not show what we wrote. */
void tree_listing_keep_ours(struct tree_listing *listing);

/* What a head or get said. Metadata already taken apart by the caller. */
struct tree_head {
    const char *key;
    const char *etag, *version;
    uint64_t size;
    int64_t modified_s;
    bool settled; /* false: its Date was under 2 s after Last-Modified; not kept as known for later listings */
    bool archived;
    bool absent;         /* 404: no such object */
    const char *content; /* pail-content */
    bool has_mode, has_uid, has_gid, has_mtime;
    uint32_t mode; /* with the file type, as s3fs writes it; only file, folder, link count */
    uint32_t uid, gid;
    int64_t mtime_ns;
    const char *target;             /* of a link, when read */
    const char *const *xattr_names; /* without "user." */
    const char *const *xattr_values;
    const size_t *xattr_sizes;
    size_t xattr_count;
};
/* Applies a head of node ino's remote.key that was asked for when the change number was `asked`. Same content (equal
 * etag, or equal pail-content and size): attributes are updated under the same ino. Other content: the name gets a new
 * ino, *now tells it (else *now = ino; 0 when the name is gone). Nodes with CONTENT work keep what they should have.
 * Other content at a node with only NAME or META work: the new ino takes the name and that work over, with their mtime
 * ("theirs moves along"; "ours is applied again to their version"). Absent, with NAME or META work only: the name goes.
 */
int tree_apply_head(struct tree *tree, uint64_t ino, uint64_t asked, const struct tree_head *head, uint64_t *now);
uint64_t tree_change_number(struct tree *tree);

/* ---- The journal: what the bucket should have
 * ---------------------------------------------------------------------------------- */

struct tree_work {
    struct tree_node node; /* as it is now */
    char *target_key;      /* where it belongs: its path if the NAME bit is set or it has no key, else remote.key. NULL:
                              without      a name */
    /* What stands at target_key in the bucket as far as we know, and is to be replaced: the condition of the write. */
    char *base_etag; /* NULL: nothing may be there (If-None-Match: *) */
    char *base_version;
    char *base_content; /* its pail-content, if known */
    uint64_t base_size;
    bool overtaken; /* another node has written its own object to this node's remote.key (a cycle of renames): these
                       bytes can be read by remote.version only, and the object there now is not theirs */
    uint64_t blocked_by;        /* another node whose bytes are still at target_key and must move first; 0: none */
    char *write_key, *write_id; /* an attempt whose answer was not seen (pail-write), from before; NULL: none */
    char *upload;               /* multipart upload under way, for write_key; NULL: none */
    uint64_t upload_generation, part_size; /* of that upload */
    int64_t due_ms;                        /* Unix ms */
    unsigned attempts;
};
void tree_work_finish(struct tree_work *work);

/* Nodes with work due at now_ms (Unix ms; INT64_MAX: all), not among those claimed; they become claimed. In order of
 * due time; fewest bytes first among equals. *next_ms: when the next one is due (INT64_MAX: none). */
int tree_work_claim(struct tree *tree, int64_t now_ms, size_t limit, uint64_t **inos, size_t *count, int64_t *next_ms);
/* Everything about one node's work now. -ENOENT: nothing left to do (also when it lost its name). TREE_STALE: at
 * this moment what stands at its target, or at the key of its last attempt, is being deleted (tree_gone_claim), or the
 * target is written by another node that is claimed; look again when that has ended. */
int tree_work_get(struct tree *tree, uint64_t ino, struct tree_work *out);
/* Done with it for now. delay_ms < 0: drop the claim, due as before; else due in delay_ms, attempts + 1, problem kept
 * for people (NULL clears it). */
int tree_work_release(struct tree *tree, uint64_t ino, int64_t delay_ms, const char *problem);
/* Makes everything (folder: below it; file: it alone) due now; for `pail sync`, fsync and `pail retry`. */
int tree_work_hasten(struct tree *tree, uint64_t ino);

/* Before the first byte leaves: this write id is about to be tried at this key. Clears any upload noted before.
 * TREE_STALE: what stands there is being deleted, or written by another node, or the node has lost its name; describe
 * the work again. -ENOENT: there is no such node any more. */
int tree_write_begin(struct tree *tree, uint64_t ino, const char *key, const char *write_id);
/* All writes of ours, of this life and earlier ones, that may have arrived without our knowing it: an object with such
 * a pail-write is not somebody else's. For sync at its start. Owned arrays of owned strings. */
int tree_writes_unseen(struct tree *tree, char ***keys, char ***ids, size_t *count);
int tree_upload_begin(struct tree *tree, uint64_t ino, const char *upload, uint64_t generation, uint64_t part_size);
int tree_upload_part(struct tree *tree, uint64_t ino, unsigned number, const char *etag, uint64_t size,
                     uint64_t generation);
struct tree_part {
    unsigned number;
    char *etag;
    uint64_t size, generation;
};
int tree_upload_parts(struct tree *tree, uint64_t ino, struct tree_part **parts, size_t *count);
void tree_parts_free(struct tree_part *parts, size_t count);
/* Uploads nobody needs any more (the node was removed or written anew): to be aborted. Owned arrays of owned strings.
 */
int tree_upload_dropped(struct tree *tree, char ***keys, char ***uploads, size_t *count);
int tree_upload_aborted(struct tree *tree, const char *upload);

/* The bucket has it: the write under `remote->key` with this content generation and these bits succeeded. Clears the
 * bits unless the node changed since (`seen`: node.change in tree_work_get), replaces remote, turns the old key (if
 * another) into a gone row, removes the gone row of remote->key. A node that lost its name meanwhile leaves a gone row
 * for remote->key. *clean: its content is now in the bucket as it is here, and the spool can become cache. If
 * generation is the node's, its content becomes remote->content (an upload under way keeps the one it began with).
 * bits without META: attributes changed here that are not in the bucket yet become work of their own. */
int tree_work_done(struct tree *tree, uint64_t ino, uint64_t seen, uint64_t generation, unsigned bits,
                   const struct tree_remote *remote, bool *clean);
/* Theirs has the name: node ino takes the conflict name in the same folder, without a key (to be put as new); theirs
 * (may be NULL: not known yet, the folder is to be listed) becomes a node at the old name. *copy_name is owned by the
 * caller. A node whose bytes are at another key (it was renamed to the name) keeps remote and the NAME work, and so
 * moves to the conflict name. TREE_STALE: it is not theirs that stands in its way (it was renamed meanwhile). */
int tree_conflict(struct tree *tree, uint64_t ino, const char *host, const struct tree_head *theirs, char **copy_name);
/* Ours keeps the name: a free conflict name beside ino for theirs, whose object the caller puts at *copy_key (it comes
 * into the tree with the next listing); noted for people, observers are told. modified_s (theirs) is the time in the
 * name, so that the same question gives the same name. Owned by the caller. */
int tree_conflict_theirs(struct tree *tree, uint64_t ino, const char *host, int64_t modified_s, char **copy_name,
                         char **copy_key);
/* The base was replaced by other metadata of the same content, or was deleted (remote->key NULL): go on from there. */
int tree_rebase(struct tree *tree, uint64_t ino, const struct tree_remote *remote);
/* A folder with the NAME bit whose subtree is known completely: gives the NAME bit to up to `limit` nodes below that
 * still have their old keys; *left: whether there are more. At the end the folder's own prefix becomes its path. */
int tree_move_expand(struct tree *tree, uint64_t folder, size_t limit, bool *left);

/* Keys to be deleted from the bucket. */
struct tree_gone {
    char *key;
    char *etag; /* the version that was removed here; NULL: unknown */
    char *version;
    char *content;
    uint64_t size;
    bool looked;    /* the look after an unconditional delete (stores without conditions) is still to be done */
    char *write_id; /* pail-write of attempts whose answers were not seen, with blanks between: an object with one of
                       them is ours, to be deleted as well; NULL: none. etag "-": nothing had been seen there */
};
void tree_gone_free(struct tree_gone *gone, size_t count);
/* Due ones that no live node still has as its key and no node is about to take over; they become claimed. */
int tree_gone_claim(struct tree *tree, int64_t now_ms, size_t limit, struct tree_gone **gone, size_t *count,
                    int64_t *next_ms);
enum tree_gone_end {
    TREE_GONE_DONE,   /* the bucket has it no more (the row stays until listings under way are over) */
    TREE_GONE_THEIRS, /* somebody changed it: theirs stays and comes back with the next listing; noted for `pail
                         conflicts` */
    TREE_GONE_LATER,  /* failed: again in delay_ms */
};
int tree_gone_end(struct tree *tree, const char *key, enum tree_gone_end end, int64_t delay_ms);
int tree_gone_look(struct tree *tree, const char *key); /* notes that the act comes now and a look must follow */

/* ---- For people
 * ------------------------------------------------------------------------------------------------------------- */

struct tree_totals {
    uint64_t nodes;
    uint64_t unsent, unsent_bytes; /* nodes with work; bytes of content to be sent */
    uint64_t deletes;              /* gone rows not done */
    uint64_t problems;
    uint64_t hidden;    /* keys that cannot be files */
    uint64_t conflicts; /* noted since the database was made */
};
int tree_totals(struct tree *tree, struct tree_totals *out);
/* What of unsent_bytes replaces something in the bucket, and how many bytes that has. Reads a row for each. */
int tree_unsent_replaces(struct tree *tree, uint64_t *bytes);
/* Nodes with work below folder, oldest first, at most limit. path is borrowed. */
int tree_unsent(struct tree *tree, uint64_t folder, size_t limit,
                int (*visit)(void *context, const char *path, const struct tree_node *node), void *context);
int tree_hidden(struct tree *tree, size_t limit, int (*visit)(void *context, const char *key), void *context);
/* Whether ino (a folder: anything below it) has work, or keys below it are to be deleted. */
int tree_has_work(struct tree *tree, uint64_t ino, bool *out);
/* Every spool number in use, and the node that each belongs to. Owned arrays. */
int tree_spools(struct tree *tree, uint64_t **inos, uint64_t **spools, size_t *count);
