/* One machine in a test. */
#include "fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "patience.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- Stores ---- */

const char *const shop_names[] = {"all", "all, unversioned", "ceph", "ceph, unversioned"};

struct store_features shop_features(enum shop shop) {
    if (shop == SHOP_ALL || shop == SHOP_ALL_UNVERSIONED)
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
                                       .content_md5 = true};
    /* With versions, Ceph 16 ignores those on put too. */
    return (struct store_features){.put_if_absent = shop == SHOP_CEPH_UNVERSIONED,
                                   .put_if_match = shop == SHOP_CEPH_UNVERSIONED};
}

struct store *shop_open(enum shop shop) {
    struct store *store;
    struct memory_store_options options = {.versions = shop == SHOP_ALL || shop == SHOP_CEPH,
                                           .features = shop_features(shop),
                                           .page_size = 7,
                                           .min_part = 1};
    assert_int_equal(memory_store_create(&store, &options), 0);
    return store;
}

/* ---- Machines ---- */

static void count_news(void *context, const char *text) {
    struct machine *machine = context;
    (void)text;
    machine->news++;
}

static void count_conflict(void *context, uint64_t parent, const char *name, const char *copy_name) {
    struct machine *machine = context;
    (void)parent;
    (void)name;
    (void)copy_name;
    machine->conflicts++;
}

void machine_init(struct machine *machine, struct store *store, const char *host) {
    *machine =
        (struct machine){.store = store, .host = host, .part_size = 64 << 10, .stall_ms = 2000, .rest_ms = 600000};
    strcpy(machine->folder, "/tmp/pail-sync-test-XXXXXX");
    assert_non_null(mkdtemp(machine->folder));
    log_setup(LOG_ERROR, false, 2);
}

static void start_content(struct machine *machine) {
    AUTO_FREE char *cache = text_format("%s/cache", machine->folder), *spool = text_format("%s/spool", machine->folder);
    struct fault fault = {0};
    struct content_options options = {.cache_folder = cache, .spool_folder = spool, .cache_limit = 1ull << 30};
    options.origin = sync_origin(machine->sync);
    assert_int_equal(content_create(&machine->content, &options, &fault), 0);
    AUTO_FREE uint64_t *inos = NULL, *spools = NULL;
    size_t count;
    assert_int_equal(tree_spools(machine->tree, &inos, &spools, &count), 0);
    assert_int_equal(content_sweep(machine->content, spools, count), 0);
}

void machine_start(struct machine *machine) {
    machine_start_watched(machine, NULL);
}

void machine_start_watched(struct machine *machine, const struct tree_watch *also) {
    struct fault fault = {0};
    struct tree_options tree_options = {.folder = machine->folder,
                                        .uid = 1000,
                                        .gid = 1000,
                                        .file_mode = 0644,
                                        .folder_mode = 0755,
                                        .rest_ms = machine->rest_ms};
    assert_int_equal(tree_create(&machine->tree, &tree_options, &fault), 0);
    struct tree_watch watch = {.context = machine, .conflict = count_conflict};
    assert_int_equal(tree_observe(machine->tree, &watch), 0);
    if (also)
        assert_int_equal(tree_observe(machine->tree, also), 0);
    struct sync_options options = {.store = machine->store,
                                   .tree = machine->tree,
                                   .host = machine->host,
                                   .stall_ms = machine->stall_ms,
                                   .data_threads = 4,
                                   .name_threads = 4,
                                   .work_threads = 4,
                                   .part_size = machine->part_size,
                                   .news = count_news,
                                   .news_context = machine};
    assert_int_equal(sync_create(&machine->sync, &options, &fault), 0);
    start_content(machine);
    assert_int_equal(sync_start(machine->sync, machine->content), 0);
}

void machine_stop(struct machine *machine) {
    if (machine->sync)
        sync_stop(machine->sync);
    content_destroy(TAKE(machine->content));
    sync_destroy(TAKE(machine->sync));
    tree_destroy(TAKE(machine->tree));
}

void machine_finish(struct machine *machine) {
    machine_stop(machine);
    file_remove_tree(machine->folder);
}

/* ---- Waiting ---- */

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    int result;
    struct buffer *into;
};

#define WAIT_INIT                                                                                                      \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER }

static void wake(void *context, int result) {
    struct wait *wait = context;
    pthread_mutex_lock(&wait->lock);
    wait->done = true;
    wait->result = result;
    pthread_cond_signal(&wait->over);
    pthread_mutex_unlock(&wait->lock);
}

static int wait_for(struct wait *wait) {
    pthread_mutex_lock(&wait->lock);
    while (!wait->done)
        pthread_cond_wait(&wait->over, &wait->lock);
    pthread_mutex_unlock(&wait->lock);
    return wait->result;
}

void answer_take(void *context, int result) {
    struct answer *answer = context;
    answer->result = result;
    answer->done = true;
}

int answer_wait(const struct answer *answer) {
    while (!answer->done)
        clock_sleep_ms(2);
    return answer->result;
}

int machine_flush(struct machine *machine) {
    struct wait wait = WAIT_INIT;
    sync_flush(machine->sync, TREE_ROOT, wake, &wait);
    return wait_for(&wait);
}

static int show(void *context, const char *path, const struct tree_node *node) {
    struct machine *machine = context;
    struct tree_work work;
    print_error("left: '%s' (%llu): work %x, spool %llu, at '%s' %s, %s\n", path, (unsigned long long)node->ino,
                node->work, (unsigned long long)node->spool, node->remote.key, node->remote.etag, node->problem);
    int r = tree_work_get(machine->tree, node->ino, &work);
    if (r) {
        print_error("      no work to be had: %d\n", r);
        return 0;
    }
    print_error("      to '%s', base %s, blocked by %llu, write '%s' %s, attempts %u\n", work.target_key,
                work.base_etag, (unsigned long long)work.blocked_by, work.write_key, work.write_id, work.attempts);
    tree_work_finish(&work);
    return 0;
}

/* For whoever has to find out why it does not come to an end. */
static void fail_unsent(struct machine *machine, const struct tree_totals *totals) {
    struct sync_status status;
    sync_status(machine->sync, &status);
    print_error("%llu unsent, %llu deletes, online state %d %s\n", (unsigned long long)totals->unsent,
                (unsigned long long)totals->deletes, (int)status.online, status.why);
    tree_unsent(machine->tree, TREE_ROOT, 100, show, machine);
    fail_msg("not everything reached the bucket");
}

void machine_flush_through(struct machine *machine) {
    struct tree_totals totals;
    int64_t until = clock_monotonic_ms() + 2 * PATIENCE_MS;
    do {
        sync_retry(machine->sync);
        machine_flush(machine);
        assert_int_equal(tree_totals(machine->tree, &totals), 0);
        if (totals.unsent || totals.deletes)
            clock_sleep_ms(5);
        if (clock_monotonic_ms() >= until)
            fail_unsent(machine, &totals);
    } while (totals.unsent || totals.deletes);
}

static int list(struct machine *machine, uint64_t folder) {
    struct wait wait = WAIT_INIT;
    sync_list(machine->sync, folder, wake, &wait);
    return wait_for(&wait);
}

static int head(struct machine *machine, uint64_t ino) {
    struct wait wait = WAIT_INIT;
    sync_head(machine->sync, ino, wake, &wait);
    return wait_for(&wait);
}

/* ---- Names ---- */

int machine_list(struct machine *machine, const char *folder) {
    uint64_t ino = *folder ? machine_find(machine, folder) : TREE_ROOT;
    assert_int_not_equal(ino, 0);
    return list(machine, ino);
}

/* The parent of a path, and the last name in it. */
static uint64_t parent_of(struct machine *machine, const char *path, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return TREE_ROOT;
    AUTO_FREE char *folder = strndup(path, (size_t)(slash - path));
    uint64_t ino = machine_find(machine, folder);
    assert_int_not_equal(ino, 0);
    return ino;
}

uint64_t machine_find(struct machine *machine, const char *path) {
    const char *name;
    struct tree_node node;
    if (!*path)
        return TREE_ROOT;
    uint64_t parent = parent_of(machine, path, &name);
    int r = tree_lookup(machine->tree, parent, name, &node);
    if (r == TREE_UNKNOWN) {
        assert_int_equal(list(machine, parent), 0);
        r = tree_lookup(machine->tree, parent, name, &node);
    }
    if (r == -ENOENT)
        return 0;
    assert_int_equal(r, 0);
    uint64_t ino = node.ino;
    bool known = node.remote.head_known || !node.remote.etag;
    tree_node_finish(&node);
    if (known)
        return ino;
    r = head(machine, ino);
    if (r == PAIL_GONE)
        return 0;
    assert_int_equal(r, 0);
    r = tree_lookup(machine->tree, parent, name, &node);
    assert_int_equal(r, 0);
    ino = node.ino;
    tree_node_finish(&node);
    return ino;
}

void machine_node(struct machine *machine, const char *path, struct tree_node *node) {
    uint64_t ino = machine_find(machine, path);
    assert_int_not_equal(ino, 0);
    assert_int_equal(tree_get(machine->tree, ino, node), 0);
}

struct counting {
    const char *having;
    unsigned count;
};

static int count_name(void *context, const struct tree_node *node) {
    struct counting *counting = context;
    counting->count += strstr(node->name, counting->having) != NULL;
    return 0;
}

unsigned machine_names(struct machine *machine, const char *folder, const char *having) {
    struct counting counting = {having, 0};
    assert_int_equal(machine_list(machine, folder), 0);
    assert_int_equal(tree_children(machine->tree, machine_find(machine, folder), 0, count_name, &counting), 0);
    return counting.count;
}

/* ---- Changing ---- */

/* The record may be older than the end of an upload: then content says so, and the record is read again. */
struct content_handle *machine_open(struct machine *machine, uint64_t ino) {
    struct content_handle *handle = NULL;
    int r = -ESTALE;
    for (int tries = 0; r == -ESTALE && tries < 100; tries++) {
        char identity[128];
        struct tree_node node;
        uint64_t moment = content_moment(machine->content, ino);
        assert_int_equal(tree_get(machine->tree, ino, &node), 0);
        struct content_version version = {tree_identity(&node.remote, identity), node.remote.size};
        r = content_open(machine->content, ino, &version, node.spool, moment, &handle);
        tree_node_finish(&node);
    }
    assert_int_equal(r, 0);
    return handle;
}

static void close_written(struct machine *machine, uint64_t ino, struct content_handle *handle) {
    struct content_state state;
    assert_int_equal(content_commit(handle, false, &state), 0);
    int64_t mtime = state.mtime_ns ? state.mtime_ns : clock_realtime_ns();
    assert_int_equal(tree_wrote(machine->tree, ino, state.spool, state.size, mtime, true), 0);
    content_recorded(machine->content, ino, state.spool);
    content_close(handle);
}

static const struct tree_owner owner = {1000, 1000};

static void make_file(struct machine *machine, const char *path, struct tree_node *node) {
    const char *name;
    uint64_t spool, parent = parent_of(machine, path, &name);
    assert_int_equal(content_new_spool(machine->content, &spool), 0);
    int r = tree_create_node(machine->tree, parent, name, TREE_FILE, 0644, &owner, NULL, spool, node);
    if (r == TREE_UNKNOWN) {
        assert_int_equal(list(machine, parent), 0);
        r = tree_create_node(machine->tree, parent, name, TREE_FILE, 0644, &owner, NULL, spool, node);
    }
    assert_int_equal(r, 0);
}

void machine_write(struct machine *machine, const char *path, const void *data, size_t size) {
    struct tree_node node;
    uint64_t ino = machine_find(machine, path);
    if (ino)
        assert_int_equal(tree_get(machine->tree, ino, &node), 0);
    else
        make_file(machine, path, &node);
    struct content_handle *handle = machine_open(machine, node.ino);
    assert_int_equal(content_truncate(handle, 0), 0);
    if (size)
        assert_int_equal(content_write(handle, data, size, 0), 0);
    close_written(machine, node.ino, handle);
    tree_node_finish(&node);
}

void machine_write_text(struct machine *machine, const char *path, const char *text) {
    machine_write(machine, path, text, strlen(text));
}

void machine_patch(struct machine *machine, const char *path, const char *text, uint64_t offset) {
    struct tree_node node;
    machine_node(machine, path, &node);
    struct content_handle *handle = machine_open(machine, node.ino);
    assert_int_equal(content_write(handle, text, strlen(text), offset), 0);
    close_written(machine, node.ino, handle);
    tree_node_finish(&node);
}

static void make(struct machine *machine, const char *path, enum tree_type type, const char *target) {
    const char *name;
    struct tree_node node;
    uint64_t parent = parent_of(machine, path, &name);
    uint32_t mode = type == TREE_FOLDER ? 0755 : 0777;
    int r = tree_create_node(machine->tree, parent, name, type, mode, &owner, target, 0, &node);
    if (r == TREE_UNKNOWN) {
        assert_int_equal(list(machine, parent), 0);
        r = tree_create_node(machine->tree, parent, name, type, mode, &owner, target, 0, &node);
    }
    assert_int_equal(r, 0);
    tree_node_finish(&node);
}

void machine_mkdir(struct machine *machine, const char *path) {
    make(machine, path, TREE_FOLDER, NULL);
}

void machine_link(struct machine *machine, const char *path, const char *target) {
    make(machine, path, TREE_LINK, target);
}

static void forget(struct machine *machine, uint64_t ino) {
    uint64_t spool = 0;
    assert_int_equal(tree_forget(machine->tree, ino, &spool), 0);
    content_drop(machine->content, ino, spool);
}

void machine_unlink(struct machine *machine, const char *path) {
    const char *name;
    uint64_t ino = machine_find(machine, path), parent = parent_of(machine, path, &name);
    assert_int_not_equal(ino, 0);
    assert_int_equal(tree_unlink(machine->tree, parent, name, &ino), 0);
    forget(machine, ino);
}

void machine_rmdir(struct machine *machine, const char *path) {
    const char *name;
    uint64_t ino = machine_find(machine, path), parent = parent_of(machine, path, &name);
    assert_int_not_equal(ino, 0);
    int r = tree_rmdir(machine->tree, parent, name, &ino);
    if (r == TREE_UNKNOWN) {
        assert_int_equal(list(machine, ino), 0);
        r = tree_rmdir(machine->tree, parent, name, &ino);
    }
    assert_int_equal(r, 0);
    forget(machine, ino);
}

void machine_rename(struct machine *machine, const char *from, const char *to, unsigned flags) {
    const char *name, *new_name;
    assert_int_not_equal(machine_find(machine, from), 0);
    uint64_t parent = parent_of(machine, from, &name), new_parent = parent_of(machine, to, &new_name), replaced = 0;
    machine_find(machine, to);
    assert_int_equal(tree_rename(machine->tree, parent, name, new_parent, new_name, flags, &replaced), 0);
    if (replaced && !flags)
        forget(machine, replaced);
}

void machine_chmod(struct machine *machine, const char *path, uint32_t mode) {
    struct tree_node values = {.mode = mode};
    uint64_t ino = machine_find(machine, path);
    assert_int_not_equal(ino, 0);
    assert_int_equal(tree_set_attributes(machine->tree, ino, TREE_MODE, &values), 0);
}

/* ---- Reading ---- */

static void take(void *context, const struct content_answer *answer) {
    struct wait *wait = context;
    int r = answer->result;
    if (!r && answer->data) {
        r = buffer_append(wait->into, answer->data, answer->size);
    } else if (!r && answer->size) {
        AUTO_FREE char *bytes = malloc(answer->size);
        ssize_t got = bytes ? file_pread_all(answer->fd, bytes, answer->size, answer->fd_offset) : -ENOMEM;
        r = got < 0 ? (int)got : buffer_append(wait->into, bytes, (size_t)got);
    }
    wake(wait, r);
}

int machine_read(struct machine *machine, const char *path, struct buffer *out) {
    struct tree_node node;
    machine_node(machine, path, &node);
    struct content_handle *handle = machine_open(machine, node.ino);
    int r = 0;
    size_t before;
    do {
        struct wait wait = WAIT_INIT;
        wait.into = out;
        before = out->size;
        content_read(handle, before, 128 << 10, take, &wait);
        r = wait_for(&wait);
    } while (!r && out->size > before);
    content_close(handle);
    tree_node_finish(&node);
    return r;
}

bool machine_has_text(struct machine *machine, const char *path, const char *text) {
    AUTO_BUFFER struct buffer bytes = {0};
    if (!machine_find(machine, path))
        return false;
    assert_int_equal(machine_read(machine, path, &bytes), 0);
    return bytes.size == strlen(text) && memcmp(bytes.data ? bytes.data : "", text, bytes.size) == 0;
}

/* ---- The bucket ---- */

static int read_text(void *context, uint64_t offset, void *data, size_t size) {
    memcpy(data, (const char *)context + offset, size);
    return 0;
}

void bucket_put_meta(struct store *store, const char *key, const char *text, const char *name, const char *value) {
    struct store_headers headers = {0};
    struct store_written written = {0};
    if (name)
        assert_int_equal(store_headers_set(&headers, name, value), 0);
    struct store_put put = {
        .key = key, .source = {read_text, (void *)(uintptr_t)text, strlen(text)}, .headers = &headers};
    assert_int_equal(store_put(store, &put, &written, NULL), 0);
    store_written_finish(&written);
    store_headers_finish(&headers);
}

void bucket_put(struct store *store, const char *key, const char *text) {
    bucket_put_meta(store, key, text, NULL, NULL);
}

static int append(void *context, const void *data, size_t size) {
    return buffer_append(context, data, size);
}

char *bucket_get(struct store *store, const char *key) {
    struct buffer bytes = {0};
    struct store_object object = {0};
    struct store_sink sink = {append, &bytes};
    int r = store_get(store, &(struct store_get){.key = key}, &sink, &object, NULL);
    store_object_finish(&object);
    if (r == PAIL_GONE) {
        buffer_finish(&bytes);
        return NULL;
    }
    assert_int_equal(r, 0);
    return buffer_take(&bytes);
}

bool bucket_has_text(struct store *store, const char *key, const char *text) {
    AUTO_FREE char *there = bucket_get(store, key);
    return there && strcmp(there, text) == 0;
}

static bool key_contains(struct store *store, const char *key, const char *having) {
    (void)store;
    return strstr(key, having);
}

/* How many keys of the bucket fit. */
static unsigned count_keys(struct store *store, bool (*fits)(struct store *store, const char *key, const char *text),
                           const char *text) {
    AUTO_FREE char *token = NULL;
    unsigned count = 0;
    do {
        struct store_page page = {0};
        assert_int_equal(store_list(store, &(struct store_list){.prefix = "", .token = token}, &page, NULL), 0);
        for (size_t i = 0; i < page.count; i++)
            count += fits(store, page.objects[i].key, text);
        free(token);
        token = TAKE(page.next_token);
        store_page_finish(&page);
    } while (token);
    return count;
}

unsigned bucket_count(struct store *store, const char *having) {
    return count_keys(store, key_contains, having);
}

bool bucket_holds(struct store *store, const char *text) {
    return count_keys(store, bucket_has_text, text);
}

char *bucket_header(struct store *store, const char *key, const char *name) {
    struct store_object object = {0};
    assert_int_equal(store_head(store, key, NULL, &object, NULL), 0);
    const char *value = store_headers_get(&object.headers, name);
    char *copy = value ? strdup(value) : NULL;
    store_object_finish(&object);
    return copy;
}

void bucket_remove(struct store *store, const char *key) {
    assert_int_equal(store_remove(store, key, NULL, NULL), 0);
}

char *bytes_make(size_t size, unsigned seed) {
    char *bytes = malloc(size ? size : 1);
    assert_non_null(bytes);
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (char)(state >> 24);
    }
    return bytes;
}
