/* Attributes: what stat(2) shows, and changing it. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/core/core_private.h"

#include <string.h>

static uint32_t type_bits(enum tree_type type) {
    return type == TREE_FOLDER ? S_IFDIR : type == TREE_LINK ? S_IFLNK : S_IFREG;
}

static struct timespec to_timespec(int64_t ns) {
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += 1000000000;
    }
    return t;
}

void core_attributes_fill(struct core *core, const struct tree_node *node, struct stat *st) {
    int64_t mtime_ns = node->mtime_ns;
    *st = (struct stat){
        .st_ino = node->ino,
        .st_mode = type_bits(node->type) | node->mode,
        .st_nlink = node->parent || node->ino == TREE_ROOT ? node->links : 0,
        .st_uid = node->uid,
        .st_gid = node->gid,
        .st_size = (off_t)node->size,
        .st_blksize = 4096,
    };
    struct content_state state;
    if (node->type == TREE_FILE && content_peek(core->content, node->ino, &state) && state.spool) {
        st->st_size = (off_t)state.size;
        if (state.uncommitted && state.mtime_ns)
            mtime_ns = state.mtime_ns;
    }
    if (node->type == TREE_LINK)
        st->st_size = node->target ? (off_t)strlen(node->target) : (off_t)node->size;
    st->st_blocks = (st->st_size + 511) / 512;
    st->st_mtim = st->st_atim = to_timespec(mtime_ns);
    st->st_ctim = to_timespec(node->ctime_ns > mtime_ns ? node->ctime_ns : mtime_ns);
}

bool core_attributes_known(const struct core *core, const struct tree_node *node) {
    if (node->work || node->ino == TREE_ROOT)
        return true;
    return core->options.attrs_listing || node->remote.head_known;
}

int core_attributes_entry(struct core *core, const struct tree_node *node, struct core_entry *out) {
    core_attributes_fill(core, node, &out->st);
    out->attributes = true;
    return core_inode_refer(core, node->ino);
}

int core_get(struct core *core, unsigned round, uint64_t ino, struct stat *out, struct core_wait *wait) {
    struct tree_node node;
    int r = tree_get(core->tree, ino, &node);
    if (r)
        return r == -ENOENT ? -ESTALE : r;
    if (round == 0 && node.parent && !core_attributes_known(core, &node))
        r = core_wait_attributes(wait, &node);
    else
        core_attributes_fill(core, &node, out);
    tree_node_finish(&node);
    return r;
}

/* A size set without an open file: a handle for this moment. */
static int set_size_closed(struct core *core, uint64_t ino, uint64_t size, struct core_wait *wait) {
    struct core_handle *handle;
    int r = core_file_open(core, 1, ino, 1 /* O_WRONLY */, &handle, wait);
    if (r)
        return r;
    r = content_truncate(handle->content, size);
    if (!r)
        r = core_file_commit(handle, false, true);
    core_file_close(core, handle);
    return r;
}

static int set_size(struct core *core, uint64_t ino, struct core_handle *handle, uint64_t size,
                    struct core_wait *wait) {
    return handle ? content_truncate(handle->content, size) : set_size_closed(core, ino, size, wait);
}

/* An explicit mtime stands above that of writes before it, also of those not yet committed. */
static void touch_open(struct core *core, uint64_t ino) {
    pthread_mutex_lock(&core->lock);
    struct core_inode *inode = map_get(&core->inodes, ino);
    if (inode && inode->handles)
        content_touch(inode->handles->content);
    pthread_mutex_unlock(&core->lock);
}

int core_set(struct core *core, uint64_t ino, struct core_handle *handle, const struct core_set *set, struct stat *out,
             struct core_wait *wait) {
    int r = 0;
    if (set->mask & CORE_SET_SIZE)
        r = set_size(core, ino, handle, set->size, wait);
    unsigned mask = ((set->mask & CORE_SET_MODE) ? TREE_MODE : 0u) | ((set->mask & CORE_SET_UID) ? TREE_UID : 0u) |
                    ((set->mask & CORE_SET_GID) ? TREE_GID : 0u) | ((set->mask & CORE_SET_MTIME) ? TREE_MTIME : 0u);
    if (!r && mask) {
        struct tree_node values = {
            .mode = set->mode & 07777, .uid = set->uid, .gid = set->gid, .mtime_ns = set->mtime_ns};
        r = tree_set_attributes(core->tree, ino, mask, &values);
        if (!r && (mask & TREE_MTIME))
            touch_open(core, ino);
    }
    return r ? r : core_get(core, 1, ino, out, wait);
}

int core_readlink(struct core *core, uint64_t ino, char **target, struct core_wait *wait) {
    struct tree_node node;
    int r = tree_get(core->tree, ino, &node);
    if (r)
        return r;
    if (node.type != TREE_LINK)
        r = -EINVAL;
    else if (!node.target)
        r = core_wait_head(wait, ino);
    else
        *target = TAKE(node.target);
    tree_node_finish(&node);
    return r;
}

void core_statfs(struct core *core, struct statvfs *out) {
    enum { BLOCK = 4096 };
    struct core_quota quota = {0};
    if (core->options.quota)
        core->options.quota(core->options.quota_context, &quota);
    uint64_t limit = quota.limit, used = quota.used;
    struct tree_totals totals;
    if (tree_totals(core->tree, &totals) == 0)
        used = core_room_used(core, &quota, &totals);
    else
        totals = (struct tree_totals){0};
    if (!limit)
        limit = used + (1ull << 50); /* no quota: a petabyte is always free */
    uint64_t left = used < limit ? limit - used : 0;
    *out = (struct statvfs){
        .f_bsize = BLOCK,
        .f_frsize = BLOCK,
        .f_blocks = limit / BLOCK,
        .f_bfree = left / BLOCK ? left / BLOCK : 1, /* programs take 0 for broken */
        .f_files = totals.nodes + (1ull << 30),
        .f_ffree = 1ull << 30,
        .f_favail = 1ull << 30,
        .f_namemax = 255,
    };
    out->f_bavail = out->f_bfree;
}
