/* The account's quota, as it looks from here: with what waits to be sent. */
#include "base/clock.h"
#include "fs/core/core_private.h"

enum { FRESH_MS = 250 };

uint64_t core_room_used(struct core *core, const struct core_quota *quota, const struct tree_totals *totals) {
    uint64_t replaced = 0;
    if (quota->limit && totals->unsent_bytes && tree_unsent_replaces(core->tree, &replaced))
        replaced = 0;
    uint64_t used = quota->used + totals->unsent_bytes;
    return used > replaced ? used - replaced : 0;
}

static bool was_refused(struct core *core) {
    return core->options.quota && sync_over_quota(core->sync);
}

/* surely: what the server told before our last change of the bucket is too old for that, and the deletes that wait will
 * make room. */
static bool holds_all_that_fits(struct core *core, bool surely) {
    struct core_quota quota = {0};
    struct tree_totals totals;
    core->options.quota(core->options.quota_context, &quota);
    if (!quota.limit || (surely && quota.asked_ms <= sync_room_changed_ms(core->sync)) ||
        tree_totals(core->tree, &totals) || (surely && totals.deletes))
        return false;
    return core_room_used(core, &quota, &totals) >= quota.limit;
}

bool core_is_full(struct core *core) {
    return was_refused(core) && holds_all_that_fits(core, false);
}

static bool is_surely_full(struct core *core) {
    if (!was_refused(core))
        return false;
    int64_t now = clock_monotonic_ms(), found = atomic_load(&core->full_ms);
    if (now - found >= FRESH_MS || found <= sync_room_changed_ms(core->sync)) {
        atomic_store(&core->full_ms, now);
        atomic_store(&core->full, holds_all_that_fits(core, true));
    }
    return atomic_load(&core->full);
}

void core_room_made(struct core *core) {
    atomic_store(&core->full_ms, 0);
}

/* A file may always become again as large as it was, here or in the bucket: `cp` over it, or an editor, empties it
 * first, which the tree learns when it is closed. */
bool core_room_for(struct core *core, uint64_t ino, uint64_t size) {
    struct tree_node node;
    if (!is_surely_full(core) || tree_get(core->tree, ino, &node))
        return true;
    bool fits = size <= node.remote.size || size <= node.size;
    tree_node_finish(&node);
    return fits;
}
