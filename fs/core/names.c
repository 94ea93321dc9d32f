/* Names: looking them up, making, removing and moving them. */
#include "base/cleanup.h"
#include "fs/core/core_private.h"

/* TREE_UNKNOWN says: the folder must be listed first. */
static int or_list(int r, uint64_t folder, struct core_wait *wait) {
    return r == TREE_UNKNOWN ? core_wait_list(wait, folder) : r;
}

int core_lookup(struct core *core, unsigned round, uint64_t parent, const char *name, struct core_entry *out,
                struct core_wait *wait) {
    bool old = sync_touch(core->sync, parent);
    struct tree_node node;
    int r = tree_lookup(core->tree, parent, name, &node);
    if (r == TREE_UNKNOWN)
        return round < 8 ? core_wait_list(wait, parent) : -EAGAIN;
    if (old && round == 0) {
        if (!r)
            tree_node_finish(&node);
        core_wait_list(wait, parent);
        return core_wait_brief(wait);
    }
    if (r)
        return r;
    if (!core_attributes_known(core, &node) && round < 2)
        r = core_wait_attributes(wait, &node);
    else
        r = core_attributes_entry(core, &node, out);
    tree_node_finish(&node);
    return r;
}

static int make(struct core *core, uint64_t parent, const char *name, enum tree_type type, uint32_t mode,
                const char *target, const struct tree_owner *owner, struct core_entry *out, struct core_wait *wait) {
    struct tree_node node;
    int r = tree_create_node(core->tree, parent, name, type, mode & 07777, owner, target, 0, &node);
    if (r)
        return or_list(r, parent, wait);
    r = core_attributes_entry(core, &node, out);
    tree_node_finish(&node);
    return r;
}

int core_mkdir(struct core *core, uint64_t parent, const char *name, uint32_t mode, const struct tree_owner *owner,
               struct core_entry *out, struct core_wait *wait) {
    return make(core, parent, name, TREE_FOLDER, mode, NULL, owner, out, wait);
}

int core_symlink(struct core *core, uint64_t parent, const char *name, const char *target,
                 const struct tree_owner *owner, struct core_entry *out, struct core_wait *wait) {
    return make(core, parent, name, TREE_LINK, 0777, target, owner, out, wait);
}

int core_unlink(struct core *core, uint64_t parent, const char *name, struct core_wait *wait) {
    uint64_t ino;
    int r = tree_unlink(core->tree, parent, name, &ino);
    if (r)
        return or_list(r, parent, wait);
    core_inode_nameless(core, ino);
    return 0;
}

int core_rmdir(struct core *core, unsigned round, uint64_t parent, const char *name, struct core_wait *wait) {
    uint64_t ino;
    int r = tree_rmdir(core->tree, parent, name, &ino);
    if (r == TREE_UNKNOWN) {
        struct tree_node node;
        if (round >= 8)
            return -EAGAIN;
        if (tree_lookup(core->tree, parent, name, &node))
            return core_wait_list(wait, parent);
        r = core_wait_list(wait, node.ino); /* it is its content that is not known */
        tree_node_finish(&node);
        return r;
    }
    if (r)
        return r;
    core_inode_nameless(core, ino);
    return 0;
}

/* Which of the two folders is not known: the one whose name cannot be looked up. */
static int wait_either(struct core *core, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                       struct core_wait *wait) {
    struct tree_node node;
    int r = tree_lookup(core->tree, parent, name, &node);
    if (r == TREE_UNKNOWN)
        return core_wait_list(wait, parent);
    if (r == 0)
        tree_node_finish(&node);
    r = tree_lookup(core->tree, new_parent, new_name, &node);
    if (r == TREE_UNKNOWN)
        return core_wait_list(wait, new_parent);
    if (r)
        return core_wait_list(wait, new_parent);
    r = core_wait_list(wait, node.ino); /* a folder to be replaced, whose content is not known */
    tree_node_finish(&node);
    return r;
}

int core_rename(struct core *core, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                unsigned flags, struct core_wait *wait) {
    uint64_t replaced;
    int r = tree_rename(core->tree, parent, name, new_parent, new_name, flags, &replaced);
    if (r == TREE_UNKNOWN)
        return wait_either(core, parent, name, new_parent, new_name, wait);
    if (!r && replaced)
        core_inode_nameless(core, replaced);
    return r;
}
