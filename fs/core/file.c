/* Files: open, read, write, close, and recording what was written. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/core/core_private.h"

#include <fcntl.h>

static void destroy_handle(struct core_handle *handle) {
    if (!handle)
        return;
    content_close(handle->content);
    free(handle);
}
DEFINE_CLEANUP(struct core_handle *, destroy_handle)

/* A handle on the bytes that the node has, wherever they are. */
static int open_handle(struct core *core, const struct tree_node *node, uint64_t moment, struct core_handle **out) {
    CLEANUP(destroy_handle_p) struct core_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return -ENOMEM;
    char identity[128];
    struct content_version version = {tree_identity(&node->remote, identity), node->remote.size};
    handle->core = core;
    int r = content_open(core->content, node->ino, &version, node->spool, moment, &handle->content);
    if (!r)
        r = core_inode_open(core, node->ino, handle);
    if (!r)
        *out = TAKE(handle);
    return r;
}

int core_file_create(struct core *core, uint64_t parent, const char *name, uint32_t mode,
                     const struct tree_owner *owner, struct core_entry *out, struct core_handle **handle,
                     struct core_wait *wait) {
    uint64_t spool;
    int r = content_new_spool(core->content, &spool);
    if (r)
        return r;
    struct tree_node node;
    r = tree_create_node(core->tree, parent, name, TREE_FILE, mode & 07777, owner, NULL, spool, &node);
    if (r) {
        content_drop(core->content, 0, spool);
        return r == TREE_UNKNOWN ? core_wait_list(wait, parent) : r;
    }
    r = open_handle(core, &node, content_moment(core->content, node.ino), handle);
    if (!r) {
        (*handle)->inode->created = true;
        r = core_attributes_entry(core, &node, out);
    }
    tree_node_finish(&node);
    return r;
}

/* Another machine may have changed it: opening asks, if the listing of its folder is not fresh. */
static bool is_old(struct core *core, const struct tree_node *node) {
    struct tree_folder folder;
    if (node->work || !node->parent || core->options.fresh_ms == INT64_MAX)
        return false;
    if (tree_folder_state(core->tree, node->parent, &folder))
        return false;
    return !folder.listed_ms || clock_monotonic_ms() - folder.listed_ms > core->options.fresh_ms;
}

/* Whether the node can be opened as it is; CORE_WAIT to be sure of its version. */
static int check_open(struct core *core, unsigned round, const struct tree_node *node, int flags,
                      struct core_wait *wait) {
    struct content_state state;
    bool is_open = content_peek(core->content, node->ino, &state);
    if (node->type != TREE_FILE)
        return node->type == TREE_FOLDER ? -EISDIR : -ELOOP;
    if (round && !node->parent && !is_open)
        return -ESTALE; /* what we waited for gave its name to another: the kernel looks the name up again */
    if (round == 0 && !is_open && is_old(core, node)) {
        core_wait_head(wait, node->ino);
        return core_wait_brief(wait);
    }
    return node->archived && !node->spool && !(flags & O_TRUNC) ? PAIL_ARCHIVED : 0;
}

static int try_open(struct core *core, unsigned round, uint64_t ino, int flags, struct core_handle **out,
                    struct core_wait *wait) {
    struct tree_node node;
    uint64_t moment = content_moment(core->content, ino);
    int r = tree_get(core->tree, ino, &node);
    if (r)
        return r == -ENOENT ? -ESTALE : r;
    r = check_open(core, round, &node, flags, wait);
    if (!r && (r = open_handle(core, &node, moment, out)) == -ESTALE)
        r = -EAGAIN; /* the record was a moment old */
    if (!r && (flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC))
        core_ahead_opened(core, &node);
    tree_node_finish(&node);
    return r;
}

int core_file_open(struct core *core, unsigned round, uint64_t ino, int flags, struct core_handle **out,
                   struct core_wait *wait) {
    int r = -EAGAIN;
    for (int tries = 0; r == -EAGAIN && tries < 8; tries++)
        r = try_open(core, round, ino, flags, out, wait);
    if (!r && (flags & O_TRUNC)) {
        r = content_truncate((*out)->content, 0);
        if (r)
            core_file_close(core, TAKE(*out));
    }
    return r == -EAGAIN ? -ESTALE : r;
}

void core_file_read(struct core_handle *handle, uint64_t offset, size_t size, content_read_done *done, void *context) {
    content_read(handle->content, offset, size, done, context);
}

int core_file_write(struct core_handle *handle, const void *data, size_t size, uint64_t offset) {
    if (!core_room_for(handle->core, handle->inode->ino, offset + size))
        return PAIL_QUOTA;
    return content_write(handle->content, data, size, offset);
}

int core_file_allocate(struct core_handle *handle, int mode, uint64_t offset, uint64_t length) {
    if (!(mode & FALLOC_FL_PUNCH_HOLE) && !core_room_for(handle->core, handle->inode->ino, offset + length))
        return PAIL_QUOTA;
    return content_allocate(handle->content, mode, offset, length);
}

/* Under the inode's commit_lock. */
static int commit_locked(struct core_handle *handle, bool durable, bool rest) {
    struct core *core = handle->core;
    struct core_inode *inode = handle->inode;
    struct content_state state;
    content_state(handle->content, &state);
    bool news = state.uncommitted || inode->created;
    if (!news && (!durable || !state.spool))
        return 0;
    int r = content_commit(handle->content, durable, &state);
    if (r || !news)
        return r;
    int64_t mtime_ns = state.mtime_ns;
    if (!mtime_ns) { /* set by hand, or nothing was written: the tree has it */
        struct tree_node node;
        r = tree_get(core->tree, inode->ino, &node);
        if (r)
            return r;
        mtime_ns = node.mtime_ns;
        tree_node_finish(&node);
    }
    r = tree_wrote(core->tree, inode->ino, state.spool, state.size, mtime_ns, rest);
    if (!r) {
        inode->created = false;
        content_recorded(core->content, inode->ino, state.spool);
    }
    return r;
}

int core_file_commit(struct core_handle *handle, bool durable, bool rest) {
    pthread_mutex_lock(&handle->inode->commit_lock);
    int r = commit_locked(handle, durable, rest);
    pthread_mutex_unlock(&handle->inode->commit_lock);
    return r;
}

int core_file_flush(struct core *core, unsigned round, struct core_handle *handle, struct core_wait *wait) {
    if (round)
        return 0;
    struct content_state state;
    content_state(handle->content, &state);
    int r = core_file_commit(handle, false, !core->options.durable_bucket);
    return !r && core->options.durable_bucket && state.spool ? core_wait_flush(wait, handle->inode->ino) : r;
}

int core_file_sync(struct core *core, unsigned round, struct core_handle *handle, struct core_wait *wait) {
    if (round)
        return 0;
    int r = core_file_commit(handle, true, false);
    if (!r)
        r = tree_flush(core->tree);
    return !r && core->options.durable_bucket ? core_wait_flush(wait, handle->inode->ino) : r;
}

void core_file_close(struct core *core, struct core_handle *handle) {
    core_file_commit(handle, false, true); /* writes of a memory map may have come after the last flush */
    struct content_handle *content = handle->content;
    core_inode_close(core, handle);
    content_close(content);
    free(handle);
}
