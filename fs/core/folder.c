/* Reading folders. */
#include "base/cleanup.h"
#include "fs/core/core_private.h"

int core_folder_open(struct core *core, unsigned round, uint64_t folder, struct core_wait *wait) {
    bool old = sync_touch(core->sync, folder);
    struct tree_folder state;
    int r = tree_folder_state(core->tree, folder, &state);
    if (r)
        return r;
    if (!state.complete && round >= 8)
        return -EAGAIN;
    if (!state.complete)
        return core_wait_list(wait, folder);
    if (!old || round)
        return 0;
    core_wait_list(wait, folder);
    return core_wait_brief(wait);
}

struct reading {
    struct core *core;
    bool references;
    int (*visit)(void *context, const char *name, const struct core_entry *entry, int64_t offset);
    void *context;
};

/* Offsets: 1 after ".", 2 after "..", then ino + 2 of the child passed last. */
enum { DOTS = 2 };

static int visit_child(void *context, const struct tree_node *node) {
    struct reading *reading = context;
    struct core_entry entry = {.attributes = core_attributes_known(reading->core, node)};
    core_attributes_fill(reading->core, node, &entry.st);
    int r = reading->visit(reading->context, node->name, &entry, (int64_t)node->ino + DOTS);
    if (!r && reading->references && entry.attributes)
        r = core_inode_refer(reading->core, node->ino);
    return r;
}

static int visit_dots(struct core *core, uint64_t folder, int64_t offset, struct reading *reading) {
    struct tree_node node;
    int r = tree_get(core->tree, folder, &node);
    if (r)
        return r;
    struct core_entry entry = {0};
    entry.st.st_mode = S_IFDIR;
    entry.st.st_ino = folder;
    if (offset < 1)
        r = reading->visit(reading->context, ".", &entry, 1);
    entry.st.st_ino = node.parent ? node.parent : TREE_ROOT;
    if (!r && offset < 2)
        r = reading->visit(reading->context, "..", &entry, 2);
    tree_node_finish(&node);
    return r;
}

int core_folder_read(struct core *core, uint64_t folder, int64_t offset, bool references,
                     int (*visit)(void *context, const char *name, const struct core_entry *entry, int64_t offset),
                     void *context) {
    struct reading reading = {core, references, visit, context};
    int r = offset < DOTS ? visit_dots(core, folder, offset, &reading) : 0;
    if (r)
        return r < 0 ? r : 0;
    r = tree_children(core->tree, folder, offset > DOTS ? (uint64_t)(offset - DOTS) : 0, visit_child, &reading);
    return r < 0 ? r : 0;
}

int core_folder_sync(struct core *core, unsigned round, uint64_t folder, struct core_wait *wait) {
    int r = tree_flush(core->tree);
    return r || !core->options.durable_bucket || round ? r : core_wait_flush(wait, folder);
}
