/* Spool files and their records, brought together at the start. */
#include "base/cleanup.h"
#include "fs/core/core.h"

/* A process that was killed between a write and its record left bytes of which the record knows nothing: size, time and
 * generation would be those of other bytes, and an upload under way would go on with half of each. */
static int record(struct tree *tree, struct content *content, uint64_t ino, uint64_t spool) {
    struct content_state state;
    int r = content_unrecorded(content, spool, &state);
    if (r <= 0)
        return r == -ENOENT ? 0 : r; /* one that is lost is told when it is opened, or sent */
    r = tree_wrote(tree, ino, spool, state.size, state.mtime_ns, false);
    if (!r)
        content_recorded(content, ino, spool);
    return r;
}

int core_recover(struct tree *tree, struct content *content) {
    AUTO_FREE uint64_t *inos = NULL, *spools = NULL;
    size_t count;
    int r = tree_spools(tree, &inos, &spools, &count);
    for (size_t i = 0; !r && i < count; i++)
        r = record(tree, content, inos[i], spools[i]);
    return r ? r : content_sweep(content, spools, count);
}
