/* The status of a mount as JSON. */
#include "fs/control/status.h"

#include "base/buffer.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* JSON is UTF-8, a name may not be: what is not is shown as \xNN. */
static int add_name(struct json *object, const char *field, const char *name) {
    if (text_is_utf8(name, strlen(name)))
        return json_add_text(object, field, name);
    AUTO_BUFFER struct buffer out = {0};
    for (; *name; name++) {
        int r = (unsigned char)*name < 0x80 ? buffer_append(&out, name, 1)
                                            : buffer_append_format(&out, "\\x%02x", (unsigned)(unsigned char)*name);
        if (r)
            return r;
    }
    return json_add_text(object, field, out.data);
}

struct listing {
    struct sync *sync;
    struct json *files; /* borrowed */
};

static int add_unsent(void *context, const char *path, const struct tree_node *node) {
    struct listing *listing = context;
    struct json *file = json_object();
    uint64_t sent = 0, total = node->size;
    bool sending = sync_sending(listing->sync, node->ino, &sent, &total);
    add_name(file, "path", path);
    json_add_integer(file, "size", (int64_t)(node->work & TREE_WORK_CONTENT ? node->size : 0));
    json_add_integer(file, "sent", (int64_t)sent);
    json_add_text(file, "state", node->problem ? "error" : sending ? "uploading" : "waiting");
    json_add_text(file, "error", node->problem);
    return json_push(listing->files, file);
}

static int add_hidden(void *context, const char *key) {
    struct json *item = json_object();
    add_name(item, "key", key);
    return json_push(context, item);
}

static void describe_tree(struct tree *tree, struct sync *sync, size_t limit, struct json *status) {
    struct tree_totals totals;
    if (tree_totals(tree, &totals))
        return;
    struct json *unsent = json_object(), *files = json_array(), *hidden = json_array();
    struct listing listing = {sync, files};
    json_add_integer(unsent, "files", (int64_t)totals.unsent);
    json_add_integer(unsent, "bytes", (int64_t)totals.unsent_bytes);
    json_add_integer(unsent, "deletes", (int64_t)totals.deletes);
    tree_unsent(tree, TREE_ROOT, limit, add_unsent, &listing);
    json_add(unsent, "list", files);
    json_add(status, "unsent", unsent);
    json_add_integer(status, "known", (int64_t)totals.nodes);
    json_add_integer(status, "problems", (int64_t)totals.problems);
    json_add_integer(status, "conflicts", (int64_t)totals.conflicts);
    json_add_integer(status, "hidden", (int64_t)totals.hidden);
    tree_hidden(tree, limit, add_hidden, hidden);
    json_add(status, "hidden_keys", hidden);
}

static void describe_content(struct content *content, struct json *status) {
    struct content_totals totals;
    content_totals(content, &totals);
    struct json *cache = json_object();
    json_add_integer(cache, "bytes", (int64_t)totals.cache_bytes);
    json_add_integer(cache, "limit", (int64_t)totals.cache_limit);
    json_add_integer(cache, "files", (int64_t)totals.cache_files);
    json_add_integer(cache, "memory", (int64_t)totals.memory_bytes);
    json_add_integer(cache, "damaged", (int64_t)totals.damaged);
    json_add(status, "cache", cache);
    json_add_integer(status, "spool_bytes", (int64_t)totals.spool_bytes);
}

struct json *status_describe(struct tree *tree, struct content *content, struct sync *sync, size_t limit) {
    static const char *const names[] = {
        [SYNC_ONLINE] = "online", [SYNC_OFFLINE] = "offline", [SYNC_LOGIN_REQUIRED] = "login required"};
    struct json *status = json_object();
    struct sync_status now;
    sync_status(sync, &now);
    json_add_text(status, "network", names[now.online]);
    json_add_text(status, "why", now.online == SYNC_ONLINE ? NULL : now.why);
    json_add_integer(status, "offline_since", now.online == SYNC_ONLINE ? 0 : now.offline_since_s);
    json_add_integer(status, "sending", (int64_t)now.sending);
    json_add_integer(status, "sent_total", (int64_t)now.sent_total);
    json_add_integer(status, "received_total", (int64_t)now.received_total);
    describe_tree(tree, sync, limit, status);
    describe_content(content, status);
    return status;
}
