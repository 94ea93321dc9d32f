/* The account's quota, as it looks from here: with what waits to be sent. */
#include "base/clock.h"
#include "fs/core/core_private.h"

enum { FRESH_MS = 250 };

uint64_t core_room_used(struct core *core, uint64_t limit, uint64_t used, const struct tree_totals *totals) {
    uint64_t replaced = 0;
    if (limit && totals->unsent_bytes && tree_unsent_replaces(core->tree, &replaced))
        replaced = 0;
    used += totals->unsent_bytes;
    return used > replaced ? used - replaced : 0;
}

static bool holds_all_that_fits(struct core *core) {
    uint64_t limit = 0, used = 0;
    struct tree_totals totals;
    core->options.quota(core->options.quota_context, &limit, &used);
    return limit && !tree_totals(core->tree, &totals) && core_room_used(core, limit, used, &totals) >= limit;
}

bool core_is_full(struct core *core) {
    if (!core->options.quota || !sync_over_quota(core->sync))
        return false;
    int64_t now = clock_monotonic_ms();
    if (now - atomic_load(&core->full_ms) >= FRESH_MS) {
        atomic_store(&core->full_ms, now);
        atomic_store(&core->full, holds_all_that_fits(core));
    }
    return atomic_load(&core->full);
}

/* A file may always become again as large as it was, here or in the bucket: `cp` over it, or an editor, empties it
 * first, which the tree learns when it is closed. */
bool core_room_for(struct core *core, uint64_t ino, uint64_t size) {
    struct tree_node node;
    if (!core_is_full(core) || tree_get(core->tree, ino, &node))
        return true;
    bool fits = size <= node.remote.size || size <= node.size;
    tree_node_finish(&node);
    return fits;
}
