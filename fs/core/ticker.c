/* Every second: files that are written and stay open are recorded when they have been quiet for a while, and at least
 * every few minutes; waits for freshness end. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/core/core_private.h"

#include <signal.h>

/* Under lock. */
static bool is_due(struct core *core, struct core_inode *inode, bool all) {
    if (!inode->handles)
        return false;
    struct content_state state;
    content_state(inode->handles->content, &state);
    int64_t now = clock_monotonic_ms();
    if (all)
        return state.uncommitted || inode->created;
    return state.uncommitted && (now - state.written_ms >= core->options.quiet_ms ||
                                 now - state.first_written_ms >= core->options.longest_ms);
}

/* A second handle, so that programs may close theirs meanwhile. Under lock; content_open of an open file reads nothing.
 */
static int borrow(struct core_inode *inode, struct core_handle **out) {
    struct core_handle *of = inode->handles, *handle = calloc(1, sizeof *handle);
    if (!handle)
        return -ENOMEM;
    struct content *content = of->core->content;
    int r = content_open(content, inode->ino, &(struct content_version){"", 0}, 0, content_moment(content, inode->ino),
                         &handle->content);
    if (r) {
        free(handle);
        return r;
    }
    handle->core = of->core;
    handle->inode = inode;
    handle->next = of;
    inode->handles = handle;
    *out = handle;
    return 0;
}

/* The number borrowed, or -errno with none. *out is owned by the caller. */
static int64_t borrow_due(struct core *core, bool all, struct core_handle ***out) {
    pthread_mutex_lock(&core->lock);
    size_t position = 0;
    int64_t count = 0;
    struct core_inode *inode;
    *out = core->inodes.count ? calloc(core->inodes.count, sizeof **out) : NULL;
    while (*out && (inode = map_next(&core->inodes, &position, NULL)))
        if (is_due(core, inode, all) && borrow(inode, &(*out)[count]) == 0)
            count++;
    pthread_mutex_unlock(&core->lock);
    return count;
}

static int commit_due(struct core *core, bool all) {
    AUTO_FREE struct core_handle **handles = NULL;
    int64_t count = borrow_due(core, all, &handles);
    int result = 0;
    for (int64_t i = 0; i < count; i++) {
        int r = core_file_commit(handles[i], false, false);
        core_file_close(core, handles[i]);
        result = result ? result : r;
    }
    return result;
}

int core_commit_all(struct core *core) {
    return commit_due(core, true);
}

static void *tick(void *context) {
    struct core *core = context;
    pthread_setname_np(pthread_self(), "pail-ticker");
    pthread_mutex_lock(&core->lock);
    while (!core->ending) {
        clock_cond_wait_ms(&core->tick, &core->lock, 1000);
        if (core->ending)
            break;
        pthread_mutex_unlock(&core->lock);
        core_wait_tick(core);
        commit_due(core, false);
        pthread_mutex_lock(&core->lock);
    }
    pthread_mutex_unlock(&core->lock);
    return NULL;
}

int core_ticker_start(struct core *core) {
    clock_cond_init(&core->tick);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&core->ticker, NULL, tick, core);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    core->ticking = r == 0;
    return -r;
}

void core_ticker_stop(struct core *core) {
    if (!core->ticking)
        return;
    pthread_mutex_lock(&core->lock);
    core->ending = true;
    pthread_cond_signal(&core->tick);
    pthread_mutex_unlock(&core->lock);
    pthread_join(core->ticker, NULL);
    pthread_cond_destroy(&core->tick);
    core->ticking = false;
}
