/* One machine in a test: a tree, a content and a sync on a store that several may share; and what programs do, without
 * FUSE. Every function fails the test if it cannot do what it says. */
#pragma once

#include "base/buffer.h"
#include "base/cleanup.h"
#include "fs/content/content.h"
#include "fs/sync/sync.h"
#include "fs/tree/tree.h"
#include "s3/failing_store.h"
#include "s3/memory_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct machine {
    char folder[64]; /* state and cache below */
    const char *host;
    struct store *store; /* borrowed */
    struct tree *tree;
    struct content *content;
    struct sync *sync;
    uint64_t part_size;
    int64_t stall_ms; /* of the store's calls */
    int64_t rest_ms;  /* so long that only a flush sends anything, unless a test says otherwise */
    _Atomic unsigned news, conflicts;
};

/* With everything, or as Ceph 16 has it: no condition at all; without versions, those on put. */
enum shop { SHOP_ALL, SHOP_ALL_UNVERSIONED, SHOP_CEPH, SHOP_CEPH_UNVERSIONED, SHOP_END };
extern const char *const shop_names[];
struct store *shop_open(enum shop shop);
struct store_features shop_features(enum shop shop);

void machine_init(struct machine *machine, struct store *store, const char *host);
void machine_start(struct machine *machine); /* after init, or again after stop: the state folder stays */
void machine_start_watched(struct machine *machine, const struct tree_watch *watch); /* NULL: nobody watches */
void machine_stop(struct machine *machine);
void machine_finish(struct machine *machine); /* stops, and removes the folder */

/* ---- As programs do ---- */
int machine_list(struct machine *machine, const char *folder);
uint64_t machine_find(struct machine *machine, const char *path); /* 0: not there. Lists and heads what it must */
void machine_node(struct machine *machine, const char *path, struct tree_node *node);
void machine_write(struct machine *machine, const char *path, const void *data, size_t size);
void machine_write_text(struct machine *machine, const char *path, const char *text);
/* Overwrites some bytes of a file that is there. */
void machine_patch(struct machine *machine, const char *path, const char *text, uint64_t offset);
struct content_handle *machine_open(struct machine *machine, uint64_t ino); /* the caller closes it */
void machine_mkdir(struct machine *machine, const char *path);
void machine_link(struct machine *machine, const char *path, const char *target);
void machine_unlink(struct machine *machine, const char *path);
void machine_rmdir(struct machine *machine, const char *path);
void machine_rename(struct machine *machine, const char *from, const char *to, unsigned flags);
void machine_chmod(struct machine *machine, const char *path, uint32_t mode);
/* The answer to something asynchronous: hand over answer_take and this. */
struct answer {
    _Atomic bool done;
    int result;
};
void answer_take(void *answer, int result);
int answer_wait(const struct answer *answer); /* the result; the test's time limit ends a wait for ever */
/* The bytes of a file; result is the read's. */
int machine_read(struct machine *machine, const char *path, struct buffer *out);
bool machine_has_text(struct machine *machine, const char *path, const char *text);
/* Until everything is in the bucket; sync_flush's result. */
int machine_flush(struct machine *machine);
/* Flushes until it succeeds: through failures that pass. */
void machine_flush_through(struct machine *machine);
/* Forgets how fresh its listings are and lists the folder. */
unsigned machine_names(struct machine *machine, const char *folder, const char *having); /* how many contain this */

/* ---- The bucket ---- */
void bucket_put(struct store *store, const char *key, const char *text);
void bucket_put_meta(struct store *store, const char *key, const char *text, const char *name, const char *value);
char *bucket_get(struct store *store, const char *key); /* NULL: not there. The caller frees */
bool bucket_has_text(struct store *store, const char *key, const char *text);
unsigned bucket_count(struct store *store, const char *having); /* keys that contain this */
bool bucket_holds(struct store *store, const char *text);       /* under whatever key */
char *bucket_header(struct store *store, const char *key, const char *name);
void bucket_remove(struct store *store, const char *key);

/* Pseudo-random bytes. The caller frees. */
char *bytes_make(size_t size, unsigned seed);
