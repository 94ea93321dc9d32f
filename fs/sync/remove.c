/* Keys that were removed here, out of the bucket: a thousand a request, each only if it is still what was removed.
 * Where the store does not look at that, this does: a fresh listing just before, and the versions just after. */
#include "base/log.h"
#include "fs/sync/private.h"

#define LATER_MS 5000
#define DENIED_MS 300000
#define FEW 3 /* so many keys of one folder are asked for one by one */
#define MOST_PAGES_AHEAD 10

/* One key on its way. */
struct item {
    struct tree_gone *gone; /* borrowed */
    char *etag;             /* owned: what is to be deleted; NULL: whatever is there */
    enum { OPEN, GONE, THEIRS, LATER } end;
    int error;
    bool seen;
};

struct batch {
    struct sync *sync;
    struct item *items; /* owned; by key */
    size_t count;
    struct store_features features;
    struct fault fault;
};

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct item *)a)->gone->key, ((const struct item *)b)->gone->key);
}

static bool xml_can_hold(const char *key) {
    for (const unsigned char *c = (const unsigned char *)key; *c; c++)
        if (*c < ' ' && *c != '\t' && *c != '\n')
            return false;
        else if (c[0] == 0xef && c[1] == 0xbf && (c[2] == 0xbe || c[2] == 0xbf))
            return false; /* U+FFFE, U+FFFF */
    return true;
}

static void fail(struct item *item, int error) {
    item->end = LATER;
    item->error = error;
}

/* ---- Is it still what was removed? ---- */

static void set_etag(struct item *item, const char *etag) {
    char *copy = strdup(etag);
    free(item->etag);
    item->etag = copy;
    if (!copy)
        fail(item, -ENOMEM);
}

static bool is_what_was_removed(const struct tree_gone *gone, const struct store_object *now) {
    struct version_facts known = {gone->etag, gone->content, gone->size}, facts = facts_of_object(now);
    const char *id = store_headers_get(&now->headers, META_WRITE);
    return !gone->etag || same_content(&known, &facts) ||
           (id && strlen(id) == 32 && gone->write_id && strstr(gone->write_id, id));
}

/* For whoever has to find out later why a file came back. */
static void log_theirs(const struct tree_gone *gone, const struct store_object *now, const char *where) {
    const char *content = store_headers_get(&now->headers, META_CONTENT),
               *id = store_headers_get(&now->headers, META_WRITE);
    log_info(
        "'%s' is not what was deleted (%s): etag %s, content %s, %llu bytes, writes %s; there: etag %s, content %s, "
        "%llu bytes, write %s, version %s",
        gone->key, where, gone->etag ? gone->etag : "-", gone->content ? gone->content : "-",
        (unsigned long long)gone->size, gone->write_id ? gone->write_id : "-", now->etag ? now->etag : "-",
        content ? content : "-", (unsigned long long)now->size, id ? id : "-", now->version ? now->version : "-");
}

/* Something else may stand there: the same content with other metadata, or somebody else's. */
static void look_closer(struct batch *batch, struct item *item) {
    AUTO_OBJECT struct store_object object = {0};
    int r = call_head(batch->sync, item->gone->key, NULL, &object, &batch->fault);
    if (r == PAIL_GONE)
        item->end = GONE;
    else if (r)
        fail(item, r);
    else if (is_what_was_removed(item->gone, &object))
        set_etag(item, object.etag);
    else {
        log_theirs(item->gone, &object, "at the key");
        item->end = THEIRS;
    }
}

/* ---- The look before, for stores that take no condition ---- */

static size_t folder_length(const char *key) {
    const char *slash = strrchr(key, '/');
    return slash ? (size_t)(slash - key) + 1 : 0;
}

static bool same_folder(const char *a, const char *b) {
    size_t length = folder_length(a);
    return length == folder_length(b) && strncmp(a, b, length) == 0;
}

static void match_page(struct batch *batch, size_t first, size_t last, const struct store_page *page) {
    for (size_t i = first, o = 0; i < last && o < page->count;) {
        int order = strcmp(batch->items[i].gone->key, page->objects[o].key);
        if (order == 0) {
            batch->items[i].seen = true;
            set_etag(&batch->items[i], page->objects[o].etag);
        }
        i += order <= 0;
        o += order >= 0;
    }
}

/* Lists from the first key to the last. Items found have their ETag of now. */
static int list_range(struct batch *batch, size_t first, size_t last) {
    const char *start = batch->items[first].gone->key, *end = batch->items[last - 1].gone->key;
    AUTO_FREE char *prefix = strndup(start, folder_length(start)), *token = NULL, *after = strdup(start);
    if (!prefix || !after)
        return -ENOMEM;
    after[strlen(after) - 1] = (char)(after[strlen(after) - 1] - 1); /* start-after is exclusive: one just before */
    if (!text_is_utf8(after, strlen(after)) || strcmp(after, prefix) <= 0)
        after[0] = 0;
    for (int pages = 0; pages < MOST_PAGES_AHEAD; pages++) {
        AUTO_PAGE struct store_page page = {0};
        struct store_list request = {.prefix = prefix, .token = token, .start_after = !token && *after ? after : NULL};
        int r = call_list(batch->sync, &request, &page, &batch->fault);
        if (r)
            return r;
        match_page(batch, first, last, &page);
        free(token);
        token = TAKE(page.next_token);
        if (!token || (page.count && strcmp(page.objects[page.count - 1].key, end) >= 0))
            return 0;
    }
    return PAIL_BUSY; /* too much lies between: each by itself */
}

static void look_at(struct batch *batch, size_t first, size_t last) {
    for (size_t i = first; i < last; i++)
        batch->items[i].seen = false;
    bool young = young_versions(batch->sync); /* a name may be missing that is there */
    int r = last - first > FEW ? list_range(batch, first, last) : PAIL_BUSY;
    for (size_t i = first; i < last; i++) {
        struct item *item = &batch->items[i];
        if (item->end != OPEN)
            continue;
        if (r == PAIL_BUSY || (!r && item->seen && !text_equal(item->etag, item->gone->etag)))
            look_closer(batch, item);
        else if (r)
            fail(item, r);
        else if (!item->seen && !young)
            item->end = GONE;
    }
}

static void look_before(struct batch *batch) {
    for (size_t first = 0, last; first < batch->count; first = last) {
        for (last = first + 1; last < batch->count; last++)
            if (!same_folder(batch->items[first].gone->key, batch->items[last].gone->key))
                break;
        look_at(batch, first, last);
    }
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i].end == OPEN && tree_gone_look(batch->sync->tree, batch->items[i].gone->key))
            fail(&batch->items[i], -EIO);
}

/* ---- The look after ---- */

/* Ours hid a version of somebody else: it is copied back. */
static int bring_back(struct batch *batch, const char *key, const struct store_object *below) {
    AUTO_WRITTEN struct store_written written = {0};
    struct store_copy copy = {.source = key,
                              .source_version = below->version,
                              .key = key,
                              .when = {STORE_IF_ABSENT, NULL},
                              .size = below->size};
    int r = copy_object(batch->sync, &copy, &written, &batch->fault);
    return r == PAIL_CONFLICT ? 0 : r; /* somebody has put something there again */
}

static void look_after(struct batch *batch, struct item *item) {
    const struct tree_gone *gone = item->gone;
    AUTO_OBJECT struct store_object below = {0}, newest = {0}, whole = {0};
    int r = versions_below(batch->sync, gone->key, NULL, &below, &newest, &batch->fault);
    if (r)
        fail(item, r);
    else if (newest.key && !newest.delete_marker)
        item->end = OPEN; /* the delete did not arrive, or somebody wrote since */
    else if (!below.key || below.delete_marker || (gone->etag && text_equal(below.etag, gone->etag)))
        item->end = GONE;
    else if ((r = call_head(batch->sync, gone->key, below.version, &whole, &batch->fault)))
        fail(item, r);
    else if (is_what_was_removed(gone, &whole))
        item->end = GONE;
    else if ((r = bring_back(batch, gone->key, &below)))
        fail(item, r);
    else {
        log_theirs(gone, &whole, "below ours");
        item->end = THEIRS;
    }
}

/* ---- The act ---- */

static void take_result(struct batch *batch, struct item *item, int result, bool honoured) {
    if (!result || result == PAIL_GONE)
        item->end = GONE;
    else if (result == PAIL_CONFLICT && honoured)
        look_closer(batch, item); /* stays OPEN with the new ETag if it is ours: once more */
    else
        fail(item, result);
}

static void remove_one(struct batch *batch, struct item *item) {
    bool honoured = batch->features.delete_if_match;
    int r = call_remove(batch->sync, item->gone->key, honoured ? item->etag : NULL, &batch->fault);
    take_result(batch, item, r, honoured);
}

static void remove_together(struct batch *batch, struct item **items, size_t count) {
    AUTO_FREE struct store_delete *deletes = calloc(count, sizeof *deletes);
    bool honoured = batch->features.delete_many_if_match;
    for (size_t i = 0; deletes && i < count; i++)
        deletes[i] = (struct store_delete){items[i]->gone->key, honoured ? items[i]->etag : NULL, 0};
    int r = deletes ? call_remove_many(batch->sync, deletes, count, &batch->fault) : -ENOMEM;
    for (size_t i = 0; i < count; i++)
        take_result(batch, items[i], r ? r : deletes[i].result, honoured);
}

static void act(struct batch *batch) {
    AUTO_FREE struct item **together = calloc(batch->count, sizeof *together);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct item *item = &batch->items[i];
        if (item->end != OPEN)
            continue;
        if (together && xml_can_hold(item->gone->key))
            together[count++] = item;
        else
            remove_one(batch, item);
    }
    if (count == 1)
        remove_one(batch, together[0]);
    else if (count)
        remove_together(batch, together, count);
}

static bool honours_conditions(const struct batch *batch) {
    return batch->features.delete_if_match && batch->features.delete_many_if_match;
}

static void run(struct batch *batch) {
    bool blind = !honours_conditions(batch);
    for (size_t i = 0; blind && i < batch->count; i++)
        if (batch->items[i].gone->looked && batch->features.versions)
            look_after(batch, &batch->items[i]); /* the act may have been before a restart */
    for (int tries = 0; tries < 3; tries++) {
        for (size_t i = 0; i < batch->count; i++) /* without knowing what it was, it is looked at first */
            if (batch->items[i].end == OPEN && !batch->items[i].etag && !blind)
                look_closer(batch, &batch->items[i]);
        if (blind)
            look_before(batch);
        act(batch);
        for (size_t i = 0; blind && batch->features.versions && i < batch->count; i++)
            if (batch->items[i].end == GONE)
                look_after(batch, &batch->items[i]);
    }
}

/* ---- The end ---- */

static void tell_tree(struct batch *batch, struct item *item) {
    struct tree *tree = batch->sync->tree;
    const char *key = item->gone->key;
    if (item->end == GONE) {
        room_changed(batch->sync);
        tree_gone_end(tree, key, TREE_GONE_DONE, 0);
    } else if (item->end == THEIRS) {
        tree_gone_end(tree, key, TREE_GONE_THEIRS, 0);
        sync_news(batch->sync, "'%s' was deleted here, but somebody else had changed it: theirs is back.", key);
    } else {
        tree_gone_end(tree, key, TREE_GONE_LATER, item->error == PAIL_DENIED ? DENIED_MS : LATER_MS);
    }
}

static bool interrupted(int error) {
    return error == PAIL_OFFLINE || error == PAIL_CANCELLED || error == PAIL_LOGIN_REQUIRED;
}

static int finish(struct batch *batch) {
    int error = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct item *item = &batch->items[i];
        if (item->end == OPEN)
            fail(item, PAIL_BUSY);
        if (item->end == LATER && !error && !interrupted(item->error))
            error = item->error;
        tell_tree(batch, item);
        free(item->etag);
    }
    if (error)
        log_warning("deleting in the bucket: %s", batch->fault.text[0] ? batch->fault.text : error_text(error));
    free(batch->items);
    return error;
}

void remove_run(void *context) {
    struct removal *removal = context;
    struct sync *sync = removal->sync;
    struct batch batch = {.sync = sync, .count = removal->count};
    int error = -ENOMEM;
    batch.items = calloc(batch.count ? batch.count : 1, sizeof *batch.items);
    store_features(sync->store, &batch.features);
    for (size_t i = 0; batch.items && i < batch.count; i++) {
        batch.items[i].gone = &removal->gone[i];
        if (removal->gone[i].etag && *removal->gone[i].etag)
            set_etag(&batch.items[i], removal->gone[i].etag);
    }
    if (batch.items) {
        qsort(batch.items, batch.count, sizeof *batch.items, by_key);
        run(&batch);
        error = finish(&batch);
    }
    tree_gone_free(removal->gone, removal->count);
    free(removal);
    pthread_mutex_lock(&sync->lock);
    sync->removing--;
    pthread_mutex_unlock(&sync->lock);
    sync_room_made(sync);
    flush_gone_ended(sync, error);
    schedule_ended(sync, 0);
}
