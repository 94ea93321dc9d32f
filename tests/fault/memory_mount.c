/* A mount on the store in memory, whose calls fail when told: the whole of fs on the real kernel, without network or
 * accounts.
 *
 *   memory_mount FOLDER STATE CACHE [versions] [conditions]
 * Prints "ready" when mounted. Commands on stdin, each answered by a line:
 *   arm FIRST COUNT before|after|half|stall ERROR   calls FIRST.. fail (ERROR: a number of enum pail_error)
 *   calls                                           how many there were since
 *   keys                                            the number of objects in the store
 *   quit                                            unmounts, sends what is left, ends */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/core/core.h"
#include "fs/fuse/adapter.h"
#include "s3/failing_store.h"
#include "s3/memory_store.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct app {
    struct store *memory, *store;
    struct tree *tree;
    struct sync *sync;
    struct content *content;
    struct core *core;
    struct adapter *adapter;
};

static void must(int r, const char *what, const struct fault *fault) {
    if (!r)
        return;
    fprintf(stderr, "%s: %s %s\n", what, error_text(r), fault->text);
    exit(1);
}

static void count_page(void *context, const struct store_page *page) {
    *(size_t *)context += page->count;
}

static size_t count_keys(struct app *app) {
    size_t count = 0;
    AUTO_FREE char *token = NULL;
    for (;;) {
        struct store_page page = {0};
        if (store_list(app->memory, &(struct store_list){.prefix = "", .token = token}, &page, NULL))
            return count;
        count_page(&count, &page);
        free(token);
        token = TAKE(page.next_token);
        store_page_finish(&page);
        if (!token)
            return count;
    }
}

static void arm(struct app *app, const char *line) {
    static const char *const ways[] = {"before", "after", "half", "stall"};
    unsigned long first, count;
    char way[16];
    int error;
    if (sscanf(line, "arm %lu %lu %15s %d", &first, &count, way, &error) != 4) {
        puts("what?");
        return;
    }
    for (int i = 0; i < 4; i++)
        if (strcmp(way, ways[i]) == 0)
            failing_store_arm(app->store, first, count, (enum failing_way)i, error);
    puts("armed");
}

static void *obey(void *context) {
    struct app *app = context;
    char line[200];
    while (fgets(line, sizeof line, stdin) && strncmp(line, "quit", 4) != 0) {
        if (strncmp(line, "arm", 3) == 0)
            arm(app, line);
        else if (strncmp(line, "calls", 5) == 0)
            printf("%lu\n", failing_store_calls(app->store));
        else if (strncmp(line, "keys", 4) == 0)
            printf("%zu\n", count_keys(app));
        else
            puts("what?");
        fflush(stdout);
    }
    adapter_stop(app->adapter);
    return NULL;
}

static struct store_features all_features(bool versions) {
    return (struct store_features){.put_if_absent = true,
                                   .put_if_match = true,
                                   .complete_if_absent = true,
                                   .complete_if_match = true,
                                   .complete_size = true,
                                   .copy_if_absent = true,
                                   .copy_if_match = true,
                                   .copy_source_if_match = true,
                                   .part_copy_source_if_match = true,
                                   .delete_if_match = true,
                                   .delete_many_if_match = true,
                                   .content_md5 = true,
                                   .crc32c = true,
                                   .sha256 = true,
                                   .quoted_etag = true,
                                   .versions = versions};
}

static void open_store(struct app *app, bool versions, bool conditions) {
    struct memory_store_options options = {.versions = versions};
    options.features = conditions ? all_features(versions) : (struct store_features){.versions = versions};
    must(memory_store_create(&app->memory, &options), "memory store", &(struct fault){0});
    must(failing_store_create(&app->store, app->memory), "failing store", &(struct fault){0});
}

static void open_parts(struct app *app, const char *folder, const char *state, const char *cache) {
    struct fault fault = {0};
    AUTO_FREE char *spool = text_format("%s/spool", state);
    struct tree_options tree = {
        .folder = state, .uid = getuid(), .gid = getgid(), .file_mode = 0644, .folder_mode = 0755, .rest_ms = 1000};
    must(tree_create(&app->tree, &tree, &fault), "tree", &fault);
    struct sync_options sync = {.store = app->store, .tree = app->tree, .stall_ms = 3000, .fresh_ms = 5000};
    must(sync_create(&app->sync, &sync, &fault), "sync", &fault);
    struct content_options content = {.cache_folder = cache, .spool_folder = spool, .origin = sync_origin(app->sync)};
    must(content_create(&app->content, &content, &fault), "content", &fault);
    struct core_options core = {.tree = app->tree,
                                .content = app->content,
                                .sync = app->sync,
                                .uid = getuid(),
                                .gid = getgid(),
                                .fresh_ms = 5000};
    must(core_create(&app->core, &core, &fault), "core", &fault);
    struct adapter_options adapter = {.core = app->core, .folder = folder, .name = "pail#memory", .fresh_ms = 5000};
    must(adapter_create(&app->adapter, &adapter, &fault), "adapter", &fault);
    struct tree_watch watch = adapter_watch(app->adapter);
    must(tree_observe(app->tree, &watch), "observe", &fault);
    must(sync_start(app->sync, app->content), "sync start", &fault);
}

static int end(struct app *app) {
    _Atomic bool cancelled = false;
    must(core_commit_all(app->core), "commit", &(struct fault){0});
    failing_store_arm(app->store, 0, 0, FAILING_BEFORE, 0);
    int r = sync_drain(app->sync, &cancelled);
    sync_stop(app->sync);
    adapter_destroy(app->adapter);
    core_destroy(app->core);
    content_destroy(app->content);
    sync_destroy(app->sync);
    tree_destroy(app->tree);
    printf("drained %s, %zu keys\n", error_text(r), count_keys(app));
    store_destroy(app->store);
    store_destroy(app->memory);
    return r;
}

int main(int argc, char **argv) {
    bool versions = false, conditions = false;
    if (argc < 4)
        return 2;
    for (int i = 4; i < argc; i++) {
        versions = versions || strcmp(argv[i], "versions") == 0;
        conditions = conditions || strcmp(argv[i], "conditions") == 0;
    }
    signal(SIGPIPE, SIG_IGN);
    struct app app = {0};
    open_store(&app, versions, conditions);
    open_parts(&app, argv[1], argv[2], argv[3]);
    pthread_t commands;
    must(-pthread_create(&commands, NULL, obey, &app), "thread", &(struct fault){0});
    puts("ready");
    fflush(stdout);
    must(adapter_run(app.adapter), "run", &(struct fault){0});
    int r = end(&app);
    pthread_cancel(commands);
    pthread_join(commands, NULL);
    return r ? 1 : 0;
}
