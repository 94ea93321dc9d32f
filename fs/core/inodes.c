/* Nodes that the kernel knows or that are open: how long they must be kept. */
#include "base/cleanup.h"
#include "fs/core/core_private.h"

/* Under lock. */
static struct core_inode *obtain(struct core *core, uint64_t ino) {
    struct core_inode *inode = map_get(&core->inodes, ino);
    if (inode)
        return inode;
    inode = calloc(1, sizeof *inode);
    if (!inode || map_put(&core->inodes, ino, inode)) {
        free(inode);
        return NULL;
    }
    inode->ino = ino;
    pthread_mutex_init(&inode->commit_lock, NULL);
    return inode;
}

/* Under lock: takes it out of the table if nothing refers to it. */
static bool release(struct core *core, struct core_inode *inode) {
    if (inode->lookups || inode->handles)
        return false;
    map_remove(&core->inodes, inode->ino);
    pthread_mutex_destroy(&inode->commit_lock);
    free(inode);
    return true;
}

/* Only a node without a name goes; for all others this is nothing. */
static void forget_nameless(struct core *core, uint64_t ino) {
    uint64_t spool = 0;
    struct tree_node node;
    if (tree_get(core->tree, ino, &node))
        return;
    bool nameless = node.parent == 0 && ino != TREE_ROOT;
    tree_node_finish(&node);
    if (nameless && tree_forget(core->tree, ino, &spool) == 0)
        content_drop(core->content, ino, spool);
}

int core_inode_refer(struct core *core, uint64_t ino) {
    pthread_mutex_lock(&core->lock);
    struct core_inode *inode = obtain(core, ino);
    if (inode)
        inode->lookups++;
    pthread_mutex_unlock(&core->lock);
    return inode ? 0 : -ENOMEM;
}

void core_forget(struct core *core, uint64_t ino, uint64_t count) {
    pthread_mutex_lock(&core->lock);
    struct core_inode *inode = map_get(&core->inodes, ino);
    bool gone = false;
    if (inode) {
        inode->lookups -= count < inode->lookups ? count : inode->lookups;
        gone = release(core, inode);
    }
    pthread_mutex_unlock(&core->lock);
    if (gone)
        forget_nameless(core, ino);
}

int core_inode_open(struct core *core, uint64_t ino, struct core_handle *handle) {
    pthread_mutex_lock(&core->lock);
    struct core_inode *inode = obtain(core, ino);
    if (inode) {
        handle->inode = inode;
        handle->next = inode->handles;
        inode->handles = handle;
    }
    pthread_mutex_unlock(&core->lock);
    return inode ? 0 : -ENOMEM;
}

void core_inode_close(struct core *core, struct core_handle *handle) {
    struct core_inode *inode = handle->inode;
    uint64_t ino = inode->ino;
    pthread_mutex_lock(&core->lock);
    struct core_handle **at = &inode->handles;
    while (*at != handle)
        at = &(*at)->next;
    *at = handle->next;
    bool let_go = inode->held && !inode->handles;
    if (let_go)
        inode->held = false;
    bool gone = release(core, inode);
    pthread_mutex_unlock(&core->lock);
    if (let_go)
        tree_hold(core->tree, ino, false);
    if (gone)
        forget_nameless(core, ino);
}

void core_inode_nameless(struct core *core, uint64_t ino) {
    core_room_made(core);
    pthread_mutex_lock(&core->lock);
    struct core_inode *inode = map_get(&core->inodes, ino);
    bool hold = inode && inode->handles && !inode->held;
    if (hold)
        inode->held = true;
    pthread_mutex_unlock(&core->lock);
    if (hold)
        tree_hold(core->tree, ino, true);
    else if (!inode)
        forget_nameless(core, ino);
}
