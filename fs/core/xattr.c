/* Extended attributes: those of users, and the few that Pail makes up. */
#include "base/cleanup.h"
#include "base/text.h"
#include "fs/core/core_private.h"

#include <string.h>

#define STATE "user.pail.state"
#define PROBLEM "user.pail.error"
#define SYNC "user.pail.sync"

/* Other name spaces do not exist here: said from memory, so that ls asks once and not for each file. */
static bool is_user(const char *name) {
    return text_starts(name, "user.");
}

static const char *state_of(struct core *core, const struct tree_node *node) {
    uint64_t sent, total;
    char identity[128];
    if (node->problem)
        return "error";
    if (node->work && sync_sending(core->sync, node->ino, &sent, &total))
        return "uploading";
    if (node->work)
        return "local";
    if (node->type != TREE_FILE)
        return "synced";
    struct content_version version = {tree_identity(&node->remote, identity), node->remote.size};
    return content_present(core->content, node->ino, &version) >= node->size ? "synced" : "cloud";
}

static int made_up(struct core *core, uint64_t ino, const char *name, char **value, size_t *size) {
    struct tree_node node;
    int r = tree_get(core->tree, ino, &node);
    if (r)
        return r;
    const char *text = strcmp(name, STATE) == 0 ? state_of(core, &node) : node.problem;
    *value = text ? strdup(text) : NULL;
    *size = text ? strlen(text) : 0;
    tree_node_finish(&node);
    return !text ? -ENODATA : *value ? 0 : -ENOMEM;
}

int core_xattr_get(struct core *core, uint64_t ino, const char *name, char **value, size_t *size) {
    if (!is_user(name))
        return -ENOTSUP;
    if (strcmp(name, STATE) == 0 || strcmp(name, PROBLEM) == 0)
        return made_up(core, ino, name, value, size);
    return strcmp(name, SYNC) == 0 ? -ENODATA : tree_xattr_get(core->tree, ino, name, value, size);
}

int core_xattr_set(struct core *core, unsigned round, uint64_t ino, const char *name, const void *value, size_t size,
                   int flags, struct core_wait *wait) {
    if (!is_user(name))
        return -ENOTSUP;
    if (strcmp(name, SYNC) == 0) {
        int r = round ? 0 : core_commit_all(core);
        return r || round ? r : core_wait_flush(wait, ino);
    }
    if (text_starts(name, "user.pail."))
        return -EPERM;
    return tree_xattr_set(core->tree, ino, name, value, size, flags);
}

int core_xattr_remove(struct core *core, uint64_t ino, const char *name) {
    if (!is_user(name))
        return -ENOTSUP;
    return text_starts(name, "user.pail.") ? -EPERM : tree_xattr_remove(core->tree, ino, name);
}

int core_xattr_list(struct core *core, uint64_t ino, char **names, size_t *size) {
    return tree_xattr_list(core->tree, ino, names, size);
}
