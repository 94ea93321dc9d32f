/* The account's quota, as far as it is met here: what was refused for it waits, and goes up when there may be room. */
#include "base/clock.h"
#include "fs/sync/private.h"

#define KNOWN_MS                                                                                                       \
    360000 /* the longest pause of what was refused, and a minute: by then it was refused again, or went up */
#define HASTEN_MS 5000 /* between two tries of everything that was refused */

void room_changed(struct sync *sync) {
    atomic_store(&sync->room_changed_ms, clock_monotonic_ms());
}

int64_t sync_room_changed_ms(struct sync *sync) {
    return atomic_load(&sync->room_changed_ms);
}

/* Whether it is news. */
bool room_refused(struct sync *sync) {
    int64_t now = clock_monotonic_ms(), before = atomic_exchange(&sync->refused_ms, now);
    if (sync->options.over_quota)
        sync->options.over_quota(sync->options.over_quota_context);
    return !before || now - before > KNOWN_MS;
}

bool sync_over_quota(struct sync *sync) {
    int64_t refused = atomic_load(&sync->refused_ms);
    return refused && clock_monotonic_ms() - refused <= KNOWN_MS;
}

void sync_room_made(struct sync *sync) {
    int64_t now = clock_monotonic_ms(), before = atomic_load(&sync->hastened_ms);
    if (!sync_over_quota(sync) || now - before < HASTEN_MS)
        return;
    if (!atomic_compare_exchange_strong(&sync->hastened_ms, &before, now))
        return;
    tree_work_hasten(sync->tree, TREE_ROOT);
    sync_kick(sync);
}
