/* Content's origin: bytes of one version of one node. Where it lies is asked of the tree when the request runs, since
 * moves and changes of metadata give the same bytes another key, version or ETag. */
#include "fs/sync/private.h"

struct fetch {
    struct sync *sync;
    uint64_t ino, offset, length;
    struct content_fetch *fetch; /* borrowed until its end */
    char identity[128];
    uint64_t passed; /* bytes handed over */
    char *version;   /* owned: found by looking through the versions */
};

/* ---- Other identities of the same bytes ---- */

struct alias {
    char identity[128], now[128];
};

void fetch_alias(struct sync *sync, uint64_t ino, const struct tree_remote *before, const struct tree_remote *after) {
    struct alias *alias = malloc(sizeof *alias), *old;
    if (!alias)
        return;
    tree_identity(before, alias->identity);
    tree_identity(after, alias->now);
    if (strcmp(alias->identity, alias->now) == 0 || !alias->identity[0]) {
        free(alias);
        return;
    }
    pthread_mutex_lock(&sync->lock);
    old = map_get(&sync->aliases, ino);
    if (old && strcmp(old->now, alias->identity) == 0)
        memcpy(alias->identity, old->identity, sizeof alias->identity);
    if (map_put(&sync->aliases, ino, alias))
        old = alias;
    pthread_mutex_unlock(&sync->lock);
    free(old);
}

static bool known_alias(struct sync *sync, uint64_t ino, const char *identity, const char *now) {
    pthread_mutex_lock(&sync->lock);
    const struct alias *alias = map_get(&sync->aliases, ino);
    bool known = alias && strcmp(alias->identity, identity) == 0 && strcmp(alias->now, now) == 0;
    pthread_mutex_unlock(&sync->lock);
    return known;
}

/* The identity was taken before a head told pail-content, or by another form of the same version. */
static bool is_wanted(struct fetch *fetch, const struct tree_remote *remote) {
    char now[128];
    if (strcmp(tree_identity(remote, now), fetch->identity) == 0)
        return true;
    if (known_alias(fetch->sync, fetch->ino, fetch->identity, now))
        return true;
    struct tree_remote plain = *remote;
    plain.content = NULL;
    return strcmp(tree_identity(&plain, now), fetch->identity) == 0;
}

/* ---- One request ---- */

static int pass_on(void *context, const void *data, size_t size) {
    struct fetch *fetch = context;
    fetch->passed += size;
    atomic_fetch_add(&fetch->sync->received_total, size);
    return content_fetch_data(fetch->fetch, data, size) ? PAIL_CANCELLED : 0;
}

/* A GET counts as a head. */
static void apply(struct fetch *fetch, const struct tree_node *node, uint64_t asked,
                  const struct store_object *object) {
    uint64_t now;
    AUTO_METADATA struct metadata metadata = {0};
    if (node->remote.head_known || !text_equal(object->etag, node->remote.etag) || node->type != TREE_FILE)
        return;
    if (!metadata_read(object, node->remote.key, &metadata))
        tree_apply_head(fetch->sync->tree, fetch->ino, asked, &metadata.head, &now);
}

static int get(struct fetch *fetch, const struct tree_node *node, struct fault *fault) {
    AUTO_OBJECT struct store_object object = {0};
    struct store_sink sink = {pass_on, fetch};
    struct store_get request = {.key = node->remote.key,
                                .version = fetch->version ? fetch->version : node->remote.version,
                                .offset = fetch->offset + fetch->passed,
                                .length = fetch->length - fetch->passed};
    uint64_t asked = tree_change_number(fetch->sync->tree);
    if (fetch->passed >= fetch->length)
        return 0;
    if (!request.version && node->remote.etag && *node->remote.etag)
        request.if_match = node->remote.etag;
    int r = call_get(fetch->sync, &request, &sink, &object, fault);
    if (!r && !fetch->version)
        apply(fetch, node, asked, &object);
    return r;
}

static bool same_place(const struct tree_remote *a, const struct tree_remote *b) {
    return text_equal(a->key, b->key) && text_equal(a->etag, b->etag) && text_equal(a->version, b->version);
}

/* The object is not there as we knew it. It may have moved meanwhile, have other metadata, or be found by its version.
 * JOB_AGAIN: worth another try. */
static int look_again(struct fetch *fetch, const struct tree_node *before, struct fault *fault) {
    struct sync *sync = fetch->sync;
    struct store_features features;
    AUTO_NODE struct tree_node node = {0};
    if (tree_get(sync->tree, fetch->ino, &node))
        return PAIL_GONE;
    if (!same_place(&node.remote, &before->remote))
        return JOB_AGAIN;
    head_run(sync, fetch->ino);
    tree_node_finish(&node);
    if (!tree_get(sync->tree, fetch->ino, &node) && !same_place(&node.remote, &before->remote) &&
        is_wanted(fetch, &node.remote))
        return JOB_AGAIN;
    store_features(sync->store, &features);
    if (!features.versions || fetch->version || before->remote.version || !before->remote.etag)
        return PAIL_GONE;
    int r = versions_find(sync, before->remote.key, before->remote.etag, before->remote.size, &fetch->version, fault);
    return r ? r : JOB_AGAIN;
}

static int try(struct fetch *fetch, struct fault *fault) {
    AUTO_NODE struct tree_node node = {0};
    int r = tree_get(fetch->sync->tree, fetch->ino, &node);
    if (r)
        return r == -ENOENT ? PAIL_GONE : r > 0 ? PAIL_BUSY : r;
    if (!node.remote.key || !is_wanted(fetch, &node.remote))
        return PAIL_GONE;
    r = get(fetch, &node, fault);
    return r == PAIL_GONE || r == PAIL_CONFLICT ? look_again(fetch, &node, fault) : r;
}

static void run(void *context) {
    struct fetch *fetch = context;
    struct fault fault = {0};
    int r = JOB_AGAIN;
    for (int tries = 0; r == JOB_AGAIN && tries < 4; tries++)
        r = try(fetch, &fault);
    content_fetch_end(fetch->fetch, r == JOB_AGAIN ? PAIL_GONE : r);
    free(fetch->version);
    free(fetch);
}

int fetch_begin(void *context, uint64_t ino, const char *identity, uint64_t offset, uint64_t length, bool urgent,
                struct content_fetch *content_fetch) {
    struct sync *sync = context;
    int r = online_error(sync);
    if (r)
        return r;
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return -ENOMEM;
    *fetch = (struct fetch){.sync = sync, .ino = ino, .offset = offset, .length = length, .fetch = content_fetch};
    strncpy(fetch->identity, identity, sizeof fetch->identity - 1);
    r = sync_submit(sync, sync->data, urgent ? WORKERS_NOW : WORKERS_LATER, run, fetch);
    if (r)
        free(fetch);
    return r;
}
