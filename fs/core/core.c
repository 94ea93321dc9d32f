/* Making and ending the core. */
#include "base/cleanup.h"
#include "fs/core/core_private.h"

int core_create(struct core **out, const struct core_options *options, struct fault *fault) {
    struct core *core = calloc(1, sizeof *core);
    if (!core)
        return -ENOMEM;
    core->options = *options;
    if (!core->options.quiet_ms)
        core->options.quiet_ms = 10000;
    if (!core->options.longest_ms)
        core->options.longest_ms = 300000;
    if (!core->options.patience_ms)
        core->options.patience_ms = 2000;
    core->tree = options->tree;
    core->content = options->content;
    core->sync = options->sync;
    pthread_mutex_init(&core->lock, NULL);
    int r = core_ticker_start(core);
    if (r) {
        pthread_mutex_destroy(&core->lock);
        free(core);
        return fault_set(fault, r, "cannot start a thread: %s", error_text(r));
    }
    *out = core;
    return 0;
}

/* At the end the kernel closes nothing for us when it was unmounted by force. */
static void close_all(struct core *core) {
    for (;;) {
        size_t position = 0;
        struct core_inode *inode;
        pthread_mutex_lock(&core->lock);
        while ((inode = map_next(&core->inodes, &position, NULL)) && !inode->handles)
            ;
        struct core_handle *handle = inode ? inode->handles : NULL;
        pthread_mutex_unlock(&core->lock);
        if (!handle)
            return;
        core_file_close(core, handle);
    }
}

void core_destroy(struct core *core) {
    if (!core)
        return;
    core_ticker_stop(core);
    close_all(core);
    size_t position = 0;
    struct core_inode *inode;
    while ((inode = map_next(&core->inodes, &position, NULL))) {
        pthread_mutex_destroy(&inode->commit_lock);
        free(inode);
    }
    map_finish(&core->inodes);
    pthread_mutex_destroy(&core->lock);
    free(core);
}
