/* Small files that are read in the order of their folder: the next ones are fetched before they are opened, many at
 * once, since each alone is one round trip. */
#include "base/cleanup.h"
#include "fs/core/core_private.h"

#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 64 << 10,
    RUN = 3,      /* so many opened in order begin it */
    WINDOW = 32,  /* files ahead at most */
    VISITS = 256, /* nodes looked at for one window */
};

/* A file that is to be fetched. */
struct wanted {
    uint64_t ino, size, moment;
    char identity[128];
};

struct gathering {
    struct core *core;
    struct wanted *items; /* owned by the caller; WINDOW of them */
    size_t count, most;
    unsigned visits;
    uint64_t reached;
};

static bool is_small(const struct tree_node *node) {
    return node->type == TREE_FILE && !node->work && !node->spool && !node->archived && node->remote.etag &&
           node->remote.size && node->remote.size <= SMALL;
}

static int gather(void *context, const struct tree_node *node) {
    struct gathering *gathering = context;
    if (gathering->count == gathering->most || gathering->visits++ == VISITS)
        return 1;
    if (node->type == TREE_FILE && !core_attributes_known(gathering->core, node))
        return 1; /* its head says what its bytes are called; it is on its way */
    gathering->reached = node->ino;
    if (is_small(node)) {
        struct wanted *wanted = &gathering->items[gathering->count++];
        wanted->ino = node->ino;
        wanted->size = node->remote.size;
        /* In time, since the tree's lock is held: no upload of it can be recorded between. */
        wanted->moment = content_moment(gathering->core->content, node->ino);
        tree_identity(&node->remote, wanted->identity);
    }
    return 0;
}

static void fetch_next(struct core *core, uint64_t folder, uint64_t after, size_t most) {
    AUTO_FREE struct wanted *items = calloc(most, sizeof *items);
    struct gathering gathering = {.core = core, .items = items, .most = most, .reached = after};
    if (!items || tree_children(core->tree, folder, after, gather, &gathering) < 0)
        return;
    pthread_mutex_lock(&core->lock);
    if (core->ahead.folder == folder && core->ahead.reached == after) {
        core->ahead.reached = gathering.reached;
        core->ahead.files += gathering.count;
    } else {
        gathering.count = 0; /* another open was quicker, or elsewhere */
    }
    pthread_mutex_unlock(&core->lock);
    for (size_t i = 0; i < gathering.count; i++) {
        struct content_version version = {items[i].identity, items[i].size};
        content_prefetch(core->content, items[i].ino, &version, items[i].moment); /* if not: it is fetched when read */
    }
}

static bool is_here(struct core *core, const struct tree_node *node) {
    char identity[128];
    struct content_version version = {tree_identity(&node->remote, identity), node->remote.size};
    return content_present(core->content, node->ino, &version) >= version.size;
}

/* Under lock: the file is the next one of the order. Whether it was expected, and is fetched or on its way. */
static bool advance(struct core_ahead *ahead, const struct tree_node *node) {
    if (ahead->folder != node->parent || node->ino <= ahead->last)
        *ahead = (struct core_ahead){.folder = node->parent};
    bool expected = node->ino <= ahead->reached;
    if (expected && ahead->files)
        ahead->files--;
    if (!expected) {
        ahead->reached = node->ino;
        ahead->files = 0;
    }
    ahead->run++;
    ahead->last = node->ino;
    return expected;
}

void core_ahead_opened(struct core *core, const struct tree_node *node) {
    if (!is_small(node))
        return;
    pthread_mutex_lock(&core->lock);
    bool expected = advance(&core->ahead, node);
    bool wanted = core->ahead.run >= RUN && core->ahead.files <= WINDOW / 2;
    size_t most = WINDOW - core->ahead.files;
    uint64_t after = core->ahead.reached;
    pthread_mutex_unlock(&core->lock);
    if (wanted && (expected || !is_here(core, node))) /* what is here already needs no help */
        fetch_next(core, node->parent, after, most);
}
