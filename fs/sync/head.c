/* The attributes of a node: a head of its key, shared by all who ask; a link's target is its object's body. */
#include "base/buffer.h"
#include "fs/sync/private.h"

#include <sys/stat.h>

#define LONGEST_TARGET 4096u

static int append(void *context, const void *data, size_t size) {
    struct buffer *buffer = context;
    return buffer->size + size > LONGEST_TARGET ? -EFBIG : buffer_append(buffer, data, size);
}

/* The body of what calls itself a link. One that cannot be a target leaves a link without. */
static int read_target(struct sync *sync, const struct store_object *object, struct metadata *metadata) {
    const struct tree_head *head = &metadata->head;
    AUTO_BUFFER struct buffer body = {0};
    AUTO_OBJECT struct store_object answer = {0};
    struct store_sink sink = {append, &body};
    struct store_get request = {.key = head->key, .version = object->version};
    if (!request.version)
        request.if_match = object->etag;
    if (!head->has_mode || !S_ISLNK(head->mode) || !head->size || head->size > LONGEST_TARGET || head->archived)
        return 0;
    int r = call_get(sync, &request, &sink, &answer, NULL);
    if (r)
        return r;
    metadata->target = buffer_take(&body);
    metadata->head.target = metadata->target;
    return metadata->target ? 0 : -ENOMEM;
}

/* The tree's own results are not errors of ours. */
static int of_tree(int r) {
    return r == TREE_STALE ? JOB_AGAIN : r > 0 ? PAIL_BUSY : r;
}

int head_apply(struct sync *sync, uint64_t ino, uint64_t asked, const char *key, const struct store_object *object) {
    uint64_t now;
    AUTO_METADATA struct metadata metadata = {0};
    int r = metadata_read(object, key, &metadata);
    if (!r)
        r = read_target(sync, object, &metadata);
    return r ? r : of_tree(tree_apply_head(sync->tree, ino, asked, &metadata.head, &now));
}

/* In the minutes after a bucket got versions, what we wrote may be said not to be there: that is no news. */
static int apply_absent(struct sync *sync, const struct tree_node *node, uint64_t asked) {
    uint64_t now;
    struct tree_head head = {.key = node->remote.key, .absent = true};
    if (node->remote.content && young_versions(sync))
        return PAIL_BUSY;
    int r = of_tree(tree_apply_head(sync->tree, node->ino, asked, &head, &now));
    return r || node->type == TREE_FOLDER ? r : PAIL_GONE; /* a folder needs no marker */
}

/* Whether another node's object stands at its key by now, so that it can be seen by its version only. */
static bool overtaken(struct sync *sync, const struct tree_node *node) {
    struct tree_work work;
    if (!(node->work & TREE_WORK_NAME) || !node->remote.version || tree_work_get(sync->tree, node->ino, &work))
        return false;
    bool result = work.overtaken;
    tree_work_finish(&work);
    return result;
}

/* One try; JOB_AGAIN if the node changed meanwhile. */
static int ask(struct sync *sync, uint64_t ino) {
    AUTO_NODE struct tree_node node = {0};
    AUTO_OBJECT struct store_object object = {0};
    uint64_t asked = tree_change_number(sync->tree);
    int r = tree_get(sync->tree, ino, &node);
    if (r)
        return r == -ENOENT ? PAIL_GONE : of_tree(r);
    if (!node.remote.key || !*node.remote.key || (node.type == TREE_FOLDER && !node.remote.etag))
        return 0; /* the bucket has no object of it */
    r = call_head_known(sync, node.remote.key, overtaken(sync, &node) ? node.remote.version : NULL, &object, NULL);
    if (r == PAIL_GONE)
        return apply_absent(sync, &node, asked);
    return r ? r : head_apply(sync, ino, asked, node.remote.key, &object);
}

int head_run(struct sync *sync, uint64_t ino) {
    int r = JOB_AGAIN;
    for (int tries = 0; (r == JOB_AGAIN || r == PAIL_CONFLICT) && tries < 3; tries++)
        r = ask(sync, ino);
    return r == JOB_AGAIN ? 0 : r; /* it changes all the time: who asked looks at the tree */
}

void sync_head(struct sync *sync, uint64_t ino, sync_done *done, void *context) {
    struct flight_kind kind = {&sync->heads, head_run};
    int r = online_error(sync);
    if (r)
        sync_answer(sync, done, context, r);
    else
        flight_join(sync, &kind, ino, WORKERS_NOW, done, context);
}

/* Grants for many heads are minted in one request. */
static void tell_will_read(struct sync *sync, const uint64_t *inos, size_t count) {
    AUTO_FREE struct tree_node *nodes = calloc(count, sizeof *nodes);
    AUTO_FREE const char **keys = calloc(count, sizeof *keys), **versions = calloc(count, sizeof *versions);
    size_t known = 0;
    if (!nodes || !keys || !versions)
        return;
    for (size_t i = 0; i < count; i++) {
        if (tree_get(sync->tree, inos[i], &nodes[i]) || !nodes[i].remote.key)
            continue;
        keys[known++] = nodes[i].remote.key;
    }
    sync->options.will_read(sync->options.will_read_context, keys, versions, known);
    for (size_t i = 0; i < count; i++)
        tree_node_finish(&nodes[i]);
}

void head_soon(struct sync *sync, const uint64_t *inos, size_t count) {
    struct flight_kind kind = {&sync->heads, head_run};
    if (sync->options.will_read)
        tell_will_read(sync, inos, count);
    for (size_t i = 0; i < count; i++)
        flight_join(sync, &kind, inos[i], WORKERS_LATER, NULL, NULL);
}
