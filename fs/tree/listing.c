/* Listings: a page is merged with what is known, by key. Both are in key order, so one walk over the known keys of the
 * page's range tells what is new, what changed and what is gone. Without a delimiter ("flat") the range has all that
 * lies below; else what lies deeper than the folder is stepped over.
 *
 * An entry never alters a node with work, or one that changed after the listing began. */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>

#define SECONDS_APART 2 /* our own write's Last-Modified and the answer's Date */

/* ---- When folders were listed ---- */

struct tree_listed {
    int64_t ms, flat_ms;
};

int tree_listing_note(struct tree *tree, uint64_t folder, int64_t ms, bool flat) {
    struct tree_listed *listed = map_get(&tree->listed, folder);
    if (!listed) {
        listed = calloc(1, sizeof *listed);
        if (!listed)
            return -ENOMEM;
        int r = map_put(&tree->listed, folder, listed);
        if (r) {
            free(listed);
            return r;
        }
    }
    listed->ms = ms;
    if (flat)
        listed->flat_ms = ms;
    return 0;
}

void tree_listing_forget(struct tree *tree, uint64_t folder) {
    free(map_remove(&tree->listed, folder));
}

/* A flat listing of a folder above counts as well. */
int64_t tree_listing_time(struct tree *tree, uint64_t folder) {
    const struct tree_listed *listed = map_get(&tree->listed, folder);
    int64_t latest = listed ? listed->ms : 0;
    while (tree->listed.count && folder && folder != TREE_ROOT) {
        int64_t parent;
        if (tree_sql_integer(&tree->sql, &parent, 0, "SELECT parent FROM node WHERE ino=?", WITH(INT(folder))))
            break;
        folder = (uint64_t)parent;
        listed = map_get(&tree->listed, folder);
        if (listed && listed->flat_ms > latest)
            latest = listed->flat_ms;
    }
    return latest;
}

/* ---- A page ---- */

struct page {
    struct tree *tree;
    struct tree_listing *listing;
    struct tree_row item; /* the next known key, if has_item */
    bool has_item, exhausted;
    bool gone, attempts; /* whether there are any */
    bool told;           /* the folder's names were known before: changes are news */
    char *end;           /* behind the last key of the prefix */
    uint64_t *heads;     /* owned */
    size_t head_count, head_capacity;
};

static void page_finish(struct page *page) {
    tree_row_finish(&page->item);
    free(page->end);
    free(page->heads);
}

static int add_head(struct page *page, const struct tree_row *row) {
    const struct tree_node *node = &row->node;
    if (node->remote.head_known || page->tree->options.attrs_listing || tree_row_is_shadow(row))
        return 0;
    if (page->head_count == page->head_capacity) {
        size_t capacity = page->head_capacity ? page->head_capacity * 2 : 64;
        uint64_t *heads = realloc(page->heads, capacity * sizeof *heads);
        if (!heads)
            return -ENOMEM;
        page->heads = heads;
        page->head_capacity = capacity;
    }
    page->heads[page->head_count++] = node->ino;
    return 0;
}

static bool may_alter(const struct page *page, const struct tree_row *row) {
    return !row->node.work && row->node.change <= page->listing->number;
}

/* ---- The walk over known keys ---- */

static void drop_item(struct page *page) {
    tree_row_finish(&page->item);
    page->has_item = false;
}

/* The next known key is behind `key` (passed), or may be key itself. */
static int advance(struct page *page, const char *key, bool passed) {
    struct tree_listing *listing = page->listing;
    int r = tree_row_set(&listing->position, key);
    listing->position_passed = passed;
    bool behind = page->has_item && strcmp(page->item.node.remote.key, listing->position) >= (passed ? 1 : 0);
    if (!behind)
        drop_item(page);
    return r;
}

static int advance_behind(struct page *page, const char *prefix) {
    AUTO_FREE char *end = tree_path_end(prefix);
    return end ? advance(page, end, false) : -ENOMEM;
}

/* 1: there is one. */
static int peek(struct page *page) {
    struct tree *tree = page->tree;
    const struct tree_listing *listing = page->listing;
    AUTO_ROW sqlite3_stmt *from = NULL;
    if (page->has_item || page->exhausted)
        return page->has_item;
    const struct tree_value position = TEXT(listing->position), end = TEXT(page->end);
    int r = listing->position_passed
                ? tree_sql_row(&tree->sql, &from,
                               "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_key WHERE owns=1 AND rkey>? AND rkey<?"
                               " ORDER BY rkey LIMIT 1",
                               WITH(position, end))
                : tree_sql_row(&tree->sql, &from,
                               "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_key WHERE owns=1 AND rkey>=?"
                               " AND rkey<? ORDER BY rkey LIMIT 1",
                               WITH(position, end));
    page->exhausted = r == 0;
    if (r <= 0)
        return r;
    r = tree_row_read(tree, from, &page->item);
    page->has_item = !r;
    return r ? r : 1;
}

/* ---- Gone ---- */

static int local_below(struct page *page, uint64_t folder) {
    return tree_sql_any(
        &page->tree->sql,
        "WITH RECURSIVE below(ino) AS (VALUES(?1) UNION ALL SELECT node.ino FROM below"
        " CROSS JOIN node INDEXED BY node_child ON node.parent=below.ino AND node.parent<>0)"
        " SELECT 1 FROM below CROSS JOIN node ON node.ino=below.ino WHERE node.work<>0 OR node.change>?2"
        " OR (?3 AND node.rcontent IS NOT NULL) OR EXISTS (SELECT 1 FROM node held INDEXED BY node_shadow"
        " WHERE held.holder=node.ino AND held.holder<>0 AND (held.work<>0 OR held.change>?2)) LIMIT 1",
        WITH(INT(folder), INT(page->listing->number), INT(page->listing->keep_ours)));
}

static int remove_shadows(struct tree *tree, uint64_t folder) {
    return tree_sql_run(&tree->sql, "DELETE FROM node WHERE holder=? AND holder<>0", WITH(INT(folder)));
}

static int take_name(struct tree *tree, struct tree_row *row) {
    int r = tree_tell(tree, EVENT_GONE, row->node.parent, row->node.name, row->node.ino);
    return r ? r : tree_names_detach(tree, row, REMOVED_THERE);
}

/* The first child, again and again, until none is left. */
static int remove_below(struct tree *tree, uint64_t folder) {
    for (;;) {
        AUTO_ROWS struct tree_row row = {0};
        AUTO_ROW sqlite3_stmt *from = NULL;
        int r =
            tree_sql_row(&tree->sql, &from,
                         "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_child WHERE parent=? AND parent<>0 LIMIT 1",
                         WITH(INT(folder)));
        if (r <= 0)
            return r;
        r = tree_row_read(tree, from, &row);
        tree_sql_done(&from);
        if (!r && row.node.type == TREE_FOLDER)
            r = remove_below(tree, row.node.ino);
        if (!r && row.node.type == TREE_FOLDER)
            r = remove_shadows(tree, row.node.ino);
        if (!r)
            r = take_name(tree, &row);
        if (r)
            return r;
    }
}

static int missing_folder(struct page *page, struct tree_row *row) {
    struct tree *tree = page->tree;
    int r = local_below(page, row->node.ino);
    if (r)
        return r < 0 ? r : 0;
    tree->structure++;
    page->listing->way_folder = 0;
    r = remove_below(tree, row->node.ino);
    if (!r)
        r = remove_shadows(tree, row->node.ino);
    return r ? r : take_name(tree, row);
}

static int missing(struct page *page, struct tree_row *row) {
    if (!may_alter(page, row) || (page->listing->keep_ours && row->node.remote.content))
        return 0;
    if (tree_row_is_shadow(row))
        return tree_row_delete(page->tree, row->node.ino);
    if (row->node.type == TREE_FOLDER)
        return missing_folder(page, row);
    return take_name(page->tree, row);
}

/* No marker: the folder is only what lies below it. */
static int marker_missing(struct page *page, struct tree_row *row) {
    if (!may_alter(page, row) || !row->node.remote.etag || page->listing->keep_ours)
        return 0;
    free(TAKE(row->node.remote.etag));
    row->node.remote.size = 0;
    row->node.remote.modified_s = 0;
    row->head = HEAD_KNOWN;
    row->changed |= ROW_BODY;
    return tree_row_store(page->tree, row);
}

/* Where a key leaves the folder: the slash in "sub/x" behind the prefix, if there is something behind it. */
static const char *deeper(const struct page *page, const char *key) {
    const char *slash = strchr(key + strlen(page->listing->prefix), '/');
    return slash && slash[1] ? slash : NULL;
}

static int step_over(struct page *page, const char *slash) {
    const char *key = page->item.node.remote.key;
    AUTO_FREE char *below = strndup(key, (size_t)(slash - key) + 1);
    if (!below)
        return -ENOMEM;
    int r = page->item.holder == page->listing->folder ? missing(page, &page->item) : 0;
    return r ? r : advance_behind(page, below);
}

/* The known key lies before the entry (NULL: behind it nothing is listed). */
static int pass_item(struct page *page, const struct tree_entry *entry) {
    struct tree_row *item = &page->item;
    AUTO_FREE char *key = strdup(item->node.remote.key);
    bool flat = page->listing->flat, folder = item->node.type == TREE_FOLDER && !item->holder;
    int r = 0;
    if (!key)
        return -ENOMEM;
    if (strcmp(key, page->listing->prefix) == 0)
        return advance(page, key, true); /* the folder itself */
    const char *slash = flat ? NULL : deeper(page, item->node.remote.key);
    if (slash)
        return step_over(page, slash);
    if (flat && folder && entry && text_starts(entry->key, key))
        r = marker_missing(page, item);
    else
        r = missing(page, item);
    if (r)
        return r;
    return folder && !flat ? advance_behind(page, key) : advance(page, key, true);
}

static int pass_until(struct page *page, const struct tree_entry *entry) {
    for (;;) {
        int r = peek(page);
        if (r <= 0 || (entry && strcmp(page->item.node.remote.key, entry->key) >= 0))
            return r < 0 ? r : 0;
        r = pass_item(page, entry);
        if (r)
            return r;
    }
}

/* ---- Known ---- */

static int note_modified(struct tree_row *row, int64_t modified_s, enum tree_head_state head) {
    row->node.remote.modified_s = modified_s;
    row->head = head;
    row->changed |= ROW_BODY;
    return 0;
}

/* The same ETag and size: what its metadata is, the time tells. */
static int same_object(struct tree_row *row, const struct tree_entry *entry) {
    struct tree_remote *remote = &row->node.remote;
    int64_t apart = entry->modified_s - remote->modified_s;
    if (row->head == HEAD_OURS && (!remote->modified_s || (apart <= SECONDS_APART && apart >= -SECONDS_APART)))
        return note_modified(row, entry->modified_s, HEAD_KNOWN);
    if (apart && !(row->head == HEAD_NEVER && !remote->modified_s)) {
        free(TAKE(remote->version)); /* a copy onto itself is another version */
        return note_modified(row, entry->modified_s, row->head == HEAD_NEVER ? HEAD_NEVER : HEAD_OUTDATED);
    }
    if (apart)
        return note_modified(row, entry->modified_s, HEAD_NEVER);
    if (row->head == HEAD_PASSING || row->head == HEAD_OURS)
        return note_modified(row, entry->modified_s, row->head == HEAD_OURS ? HEAD_KNOWN : HEAD_OUTDATED);
    return 0;
}

/* "x" may be called so again when no folder has the name any more. */
static int true_name(struct page *page, struct tree_row *row) {
    AUTO_ROWS struct tree_row there = {0};
    struct tree *tree = page->tree;
    if (!row->tail || row->holder)
        return 0;
    int r = tree_row_find(tree, row->node.parent, row->tail, &there);
    if (r)
        return r < 0 ? r : 0;
    r = tree_tell(tree, EVENT_GONE, row->node.parent, row->node.name, row->node.ino);
    if (!r)
        r = tree_tell(tree, EVENT_ENTRY, row->node.parent, row->tail, row->node.ino);
    free(row->node.name);
    row->node.name = TAKE(row->tail);
    row->changed |= ROW_PLACE;
    return r;
}

static struct tree_remote remote_of(const struct tree_entry *entry) {
    return (struct tree_remote){.key = (char *)(uintptr_t)entry->key,
                                .etag = (char *)(uintptr_t)(entry->etag ? entry->etag : ""),
                                .size = entry->size,
                                .modified_s = entry->modified_s};
}

/* tree_row_load over a loaded one. */
static int reload(struct page *page, struct tree_row *row) {
    uint64_t ino = row->node.ino;
    tree_row_finish(row);
    return tree_row_load(page->tree, ino, row);
}

static int new_content(struct page *page, struct tree_row *row, const struct tree_entry *entry) {
    const struct tree_remote remote = remote_of(entry);
    int r = tree_head_replace(page->tree, row, &remote);
    if (r || row->node.archived == entry->archived)
        return r;
    row->node.archived = entry->archived;
    row->changed |= ROW_BODY;
    return 0;
}

static int known(struct page *page, struct tree_row *row, const struct tree_entry *entry) {
    const struct tree_remote *remote = &row->node.remote;
    if (!may_alter(page, row))
        return 0;
    bool etag_known = remote->etag && *remote->etag;
    bool same = remote->size == entry->size && (!etag_known || text_equal(remote->etag, entry->etag));
    int r = 0;
    if (!etag_known && same)
        r = tree_row_set(&row->node.remote.etag, entry->etag ? entry->etag : "");
    if (!r && same && !etag_known)
        row->changed |= ROW_BODY;
    if (!r)
        r = same ? same_object(row, entry) : new_content(page, row, entry);
    if (!r && row->node.archived != entry->archived) {
        row->node.archived = entry->archived;
        row->changed |= ROW_BODY;
    }
    if (!r && row->holder && row->node.type == TREE_FOLDER) { /* it was a common prefix only */
        row->node.type = TREE_FILE;
        row->changed |= ROW_BODY;
    }
    if (!r)
        r = true_name(page, row);
    bool changed = row->changed;
    if (!r)
        r = tree_row_store(page->tree, row);
    if (!r && changed)
        r = reload(page, row);
    return r ? r : add_head(page, row);
}

/* 1: it was removed here, and the bucket may not know yet; or it is a write of ours on its way. */
static int explained(struct page *page, const char *key) {
    struct tree_sql *sql = &page->tree->sql;
    int r = !page->gone ? 0
                        : tree_sql_any(sql, "SELECT 1 FROM gone WHERE key=? AND (done=0 OR done>?)",
                                       WITH(TEXT(key), INT(page->listing->number)));
    if (r || !page->attempts)
        return r;
    return tree_sql_any(sql, "SELECT 1 FROM attempt WHERE key=?", WITH(TEXT(key)));
}

/* 1: it is the marker of a folder that is elsewhere now. */
static int is_of_another(struct page *page, const struct tree_row *row, const char *key) {
    return tree_sql_any(
        &page->tree->sql,
        "SELECT 1 FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? AND ino<>? AND retag IS NOT NULL"
        " LIMIT 1",
        WITH(TEXT(key), INT(row->node.ino)));
}

/* A folder's marker: a folder stays the same whatever it says. */
static int marker(struct page *page, struct tree_row *row, const struct tree_entry *entry) {
    struct tree_remote *remote = &row->node.remote;
    if (!may_alter(page, row))
        return 0;
    bool had = remote->etag && *remote->etag;
    int r = had ? 0 : explained(page, entry->key);
    if (!r)
        r = is_of_another(page, row, entry->key);
    if (r)
        return r < 0 ? r : 0;
    if (had && remote->size == entry->size && text_equal(remote->etag, entry->etag)) {
        r = same_object(row, entry);
    } else {
        r = tree_row_set(&remote->etag, entry->etag ? entry->etag : "");
        free(TAKE(remote->version));
        free(TAKE(remote->content));
        remote->size = entry->size;
        note_modified(row, entry->modified_s, had ? HEAD_OUTDATED : HEAD_NEVER);
    }
    bool changed = row->changed;
    if (!r)
        r = tree_row_store(page->tree, row);
    if (!r && changed)
        r = reload(page, row);
    return r ? r : add_head(page, row);
}

/* ---- New ---- */

/* The same for anything below a prefix; or keys there belong to nodes that are elsewhere now. */
static int explained_below(struct page *page, const char *prefix) {
    struct tree_sql *sql = &page->tree->sql;
    AUTO_FREE char *end = tree_path_end(prefix);
    if (!end)
        return -ENOMEM;
    int r = tree_sql_any(sql, "SELECT 1 FROM node INDEXED BY node_key WHERE owns=1 AND rkey>=? AND rkey<? LIMIT 1",
                         WITH(TEXT(prefix), TEXT(end)));
    if (!r && page->gone)
        r = tree_sql_any(sql, "SELECT 1 FROM gone WHERE key>=? AND key<? AND (done=0 OR done>?) LIMIT 1",
                         WITH(TEXT(prefix), TEXT(end), INT(page->listing->number)));
    if (!r && page->attempts)
        r = tree_sql_any(sql, "SELECT 1 FROM attempt WHERE key>=? AND key<? LIMIT 1", WITH(TEXT(prefix), TEXT(end)));
    return r;
}

static bool is_segment(const char *text, size_t size) {
    if (!size || size > TREE_MAX_NAME || !text_is_utf8(text, size))
        return false;
    return !(text[0] == '.' && (size == 1 || (size == 2 && text[1] == '.')));
}

/* How much of the key can be a path: up to the first segment that cannot be a name. */
static size_t fitting(const char *key, size_t from) {
    while (key[from]) {
        size_t size = strcspn(key + from, "/");
        if (!is_segment(key + from, size))
            return from;
        from += size + (key[from + size] == '/');
    }
    return from;
}

static int tell_new(struct page *page, uint64_t parent, const char *name) {
    return page->told ? tree_tell(page->tree, EVENT_ENTRY, parent, name, 0) : 0;
}

/* An object that has to share its name with a folder. */
static int make_name_up(struct page *page, struct tree_row *row) {
    AUTO_FREE char *made = NULL;
    struct tree *tree = page->tree;
    int r = tree_names_make(tree, row->node.parent, row->node.name, "object", false, &made);
    if (!r && !row->tail)
        r = tree_row_set(&row->tail, row->node.name);
    if (!r)
        r = tree_tell(tree, EVENT_ENTRY, row->node.parent, row->node.name, row->node.ino);
    if (!r)
        r = tree_tell(tree, EVENT_ENTRY, row->node.parent, made, row->node.ino);
    if (!r)
        r = tree_row_set(&row->node.name, made);
    row->changed |= ROW_PLACE;
    return r ? r : tree_row_store(tree, row);
}

static int set_change(struct page *page, struct tree_row *row) {
    row->node.change = page->listing->number;
    row->changed |= ROW_BODY;
    return tree_row_store(page->tree, row);
}

static int new_folder(struct page *page, uint64_t parent, const char *key, const char *name, const char *etag,
                      struct tree_row *out) {
    AUTO_ROWS struct tree_row there = {0};
    struct tree *tree = page->tree;
    const struct tree_remote remote = {.key = (char *)(uintptr_t)key, .etag = (char *)(uintptr_t)etag};
    int r = tree_row_find(tree, parent, name, &there);
    if (r < 0)
        return r;
    if (r && (there.node.type == TREE_FOLDER || !may_alter(page, &there)))
        return 0; /* what is here has the name, and will meet theirs when it is sent */
    if (r)
        r = make_name_up(page, &there);
    if (!r)
        r = tree_head_new_node(tree, parent, name, &remote, out);
    if (!r)
        r = set_change(page, out);
    if (!r)
        r = tell_new(page, parent, name);
    return r ? r : 1;
}

/* The folder below `parent` that has this prefix; made if need be. *ino 0: the name is taken by something else. */
static int one_way_down(struct page *page, uint64_t parent, const char *key, uint64_t *ino) {
    AUTO_ROWS struct tree_row row = {0};
    int64_t found;
    int r = tree_sql_integer(&page->tree->sql, &found, 0,
                             "SELECT ino FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? AND type=2"
                             " ORDER BY parent=? DESC LIMIT 1",
                             WITH(TEXT(key), INT(parent)));
    *ino = (uint64_t)found;
    if (r || *ino)
        return r;
    size_t size = strlen(key) - 1, start = size;
    while (start && key[start - 1] != '/')
        start--;
    AUTO_FREE char *name = strndup(key + start, size - start);
    if (!name)
        return -ENOMEM;
    r = new_folder(page, parent, key, name, NULL, &row);
    *ino = r > 0 ? row.node.ino : 0;
    return r < 0 ? r : 0;
}

/* The folder for keys that begin with `way`, which is the listing's prefix or lies below it. */
static int find_way(struct page *page, const char *way, uint64_t *folder) {
    struct tree_listing *listing = page->listing;
    if (listing->way_folder && text_equal(listing->way, way)) {
        *folder = listing->way_folder;
        return 0;
    }
    AUTO_FREE char *key = strdup(way);
    uint64_t at = listing->folder;
    int r = key ? 0 : -ENOMEM;
    for (size_t i = strlen(listing->prefix); !r && at && key[i]; i++) {
        if (key[i] != '/')
            continue;
        char behind = key[i + 1];
        key[i + 1] = 0;
        r = one_way_down(page, at, key, &at);
        key[i + 1] = behind;
    }
    *folder = at;
    listing->way_folder = r ? 0 : at;
    return r ? r : tree_row_set(&listing->way, way);
}

static int new_shadow(struct page *page, const struct tree_entry *entry, size_t fits) {
    AUTO_FREE char *way = strndup(entry->key, fits);
    uint64_t holder;
    int r = way ? find_way(page, way, &holder) : -ENOMEM;
    if (r || !holder)
        return r;
    struct tree_row row = {.holder = holder, .tail = (char *)(uintptr_t)entry->key + fits, .owns = true};
    row.node = (struct tree_node){.name = (char *)(uintptr_t) "",
                                  .type = entry->prefix ? TREE_FOLDER : TREE_FILE,
                                  .kept_uid = -1,
                                  .kept_gid = -1,
                                  .size = entry->size,
                                  .archived = entry->archived,
                                  .change = page->listing->number,
                                  .remote = remote_of(entry)};
    return tree_row_insert(page->tree, &row);
}

static int new_file(struct page *page, uint64_t parent, const char *name, const struct tree_entry *entry) {
    AUTO_ROWS struct tree_row there = {0}, row = {0};
    AUTO_FREE char *made = NULL;
    struct tree *tree = page->tree;
    const struct tree_remote remote = remote_of(entry);
    int r = tree_row_find(tree, parent, name, &there);
    if (r < 0 || (r && there.node.type != TREE_FOLDER && !may_alter(page, &there)))
        return r < 0 ? r : 0;
    if (r)
        r = tree_names_make(tree, parent, name, "object", false, &made);
    if (!r)
        r = tree_head_new_node(tree, parent, made ? made : name, &remote, &row);
    if (!r && made)
        r = tree_row_set(&row.tail, name);
    if (r)
        return r;
    row.changed |= made ? ROW_PLACE : 0u;
    row.node.archived = entry->archived;
    r = set_change(page, &row);
    if (!r)
        r = tell_new(page, parent, row.node.name);
    return r ? r : add_head(page, &row);
}

/* A key that no node has. */
static int new_object(struct page *page, const struct tree_entry *entry, uint64_t folder) {
    const char *last = strrchr(entry->key, '/');
    return new_file(page, folder, last ? last + 1 : entry->key, entry);
}

/* The part of the key up to the last slash. */
static int find_parent(struct page *page, const char *key, uint64_t *folder) {
    const char *last = strrchr(key, '/');
    AUTO_FREE char *way = strndup(key, last ? (size_t)(last - key) + 1 : 0);
    return way ? find_way(page, way, folder) : -ENOMEM;
}

static int new_prefix(struct page *page, const struct tree_entry *entry) {
    AUTO_ROWS struct tree_row row = {0};
    const char *prefix = page->listing->prefix;
    size_t start = strlen(prefix), size = strlen(entry->key) - 1;
    int r = explained_below(page, entry->key);
    if (r)
        return r < 0 ? r : 0;
    if (fitting(entry->key, start) <= size)
        return new_shadow(page, entry, start);
    AUTO_FREE char *name = strndup(entry->key + start, size - start);
    if (!name)
        return -ENOMEM;
    r = new_folder(page, page->listing->folder, entry->key, name, "", &row);
    return r > 0 ? add_head(page, &row) : r;
}

static int new_marker(struct page *page, const struct tree_entry *entry) {
    AUTO_ROWS struct tree_row row = {0};
    uint64_t folder;
    int r = find_way(page, entry->key, &folder);
    if (r || !folder)
        return r;
    r = tree_row_load(page->tree, folder, &row);
    return r ? r : text_equal(row.node.remote.key, entry->key) ? marker(page, &row, entry) : 0;
}

static int new_key(struct page *page, const struct tree_entry *entry) {
    uint64_t folder;
    int r = explained(page, entry->key);
    if (r)
        return r < 0 ? r : 0;
    size_t fits = fitting(entry->key, strlen(page->listing->prefix));
    if (entry->key[fits] || strlen(entry->key) > page->listing->tree->max_key)
        return new_shadow(page, entry, fits);
    if (text_ends(entry->key, "/"))
        return new_marker(page, entry);
    r = find_parent(page, entry->key, &folder);
    return r || !folder ? r : new_object(page, entry, folder);
}

/* ---- Entries ---- */

static int own_marker(struct page *page, const struct tree_entry *entry) {
    AUTO_ROWS struct tree_row row = {0};
    page->listing->marker_seen = true;
    int r = tree_row_load(page->tree, page->listing->folder, &row);
    return r ? r : marker(page, &row, entry);
}

static int merge_prefix(struct page *page, const struct tree_entry *entry, bool matched) {
    int r = matched ? 0 : new_prefix(page, entry);
    return r ? r : advance_behind(page, entry->key);
}

static int merge_object(struct page *page, const struct tree_entry *entry, bool matched) {
    int r;
    if (strcmp(entry->key, page->listing->prefix) == 0)
        r = own_marker(page, entry);
    else if (!matched)
        r = new_key(page, entry);
    else if (page->item.node.type == TREE_FOLDER && !page->item.holder)
        r = marker(page, &page->item, entry);
    else
        r = known(page, &page->item, entry);
    if (r)
        return r;
    drop_item(page);
    return advance(page, entry->key, true);
}

static int merge(struct page *page, const struct tree_entry *entry) {
    struct tree_listing *listing = page->listing;
    int order = strcmp(entry->key, listing->position);
    if (!text_starts(entry->key, listing->prefix) || (entry->prefix && !text_ends(entry->key, "/")))
        return -EBADMSG;
    if (order == 0 && listing->position_passed)
        return 0; /* a page may begin with what the last one ended with */
    if (order < 0) {
        log_error("a listing is not in the order of its keys: '%s' after '%s'", entry->key, listing->position);
        return -EBADMSG;
    }
    int r = pass_until(page, entry);
    if (!r)
        r = peek(page);
    if (r < 0)
        return r;
    bool matched = r && strcmp(page->item.node.remote.key, entry->key) == 0;
    return entry->prefix ? merge_prefix(page, entry, matched) : merge_object(page, entry, matched);
}

/* ---- Begin, page, end ---- */

static int begin(struct tree *tree, uint64_t folder, struct tree_listing *listing) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, folder, &row);
    if (r)
        return r;
    if (row.node.type != TREE_FOLDER)
        return -ENOTDIR;
    if (!tree_row_named(&row))
        return -ENOENT;
    r = tree_next_change(tree, &listing->number);
    if (!r)
        r = tree_row_set(&listing->prefix, row.node.remote.key);
    return r ? r : tree_row_set(&listing->position, listing->prefix);
}

int tree_listing_begin(struct tree *tree, uint64_t folder, bool flat, struct tree_listing **out, char **prefix) {
    struct tree_listing *listing = calloc(1, sizeof *listing);
    if (!listing)
        return -ENOMEM;
    *listing = (struct tree_listing){.tree = tree, .folder = folder, .flat = flat, .began_ms = clock_monotonic_ms()};
    int r = tree_begin(tree);
    if (!r) {
        r = begin(tree, folder, listing);
        *prefix = r ? NULL : strdup(listing->prefix);
        if (!r && !*prefix)
            r = -ENOMEM;
        listing->next = tree->listings; /* from here on gone rows are kept for it */
        tree->listings = listing;
        r = tree_end(tree, r);
    }
    if (r)
        tree_listing_end(listing);
    else
        *out = listing;
    return r;
}

void tree_listing_keep_ours(struct tree_listing *listing) {
    tree_lock(listing->tree);
    listing->keep_ours = true;
    tree_unlock(listing->tree);
}

static int complete_all(struct page *page) {
    struct tree *tree = page->tree;
    const struct tree_listing *listing = page->listing;
    int r =
        tree_sql_run(&tree->sql, "UPDATE node SET complete=1 WHERE ino=? AND complete=0", WITH(INT(listing->folder)));
    if (r || !listing->flat)
        return r;
    return tree_sql_run(&tree->sql,
                        "UPDATE node SET complete=1 WHERE owns=1 AND rkey>=? AND rkey<? AND type=2 AND complete=0",
                        WITH(TEXT(listing->prefix), TEXT(page->end)));
}

static int finish_listing(struct page *page) {
    AUTO_ROWS struct tree_row row = {0};
    const struct tree_listing *listing = page->listing;
    int r = pass_until(page, NULL);
    if (!r && !listing->marker_seen)
        r = tree_row_load(page->tree, listing->folder, &row);
    if (!r && !listing->marker_seen && listing->folder != TREE_ROOT)
        r = marker_missing(page, &row);
    if (!r)
        r = complete_all(page);
    return r ? r : tree_listing_note(page->tree, listing->folder, listing->began_ms, listing->flat);
}

static int set_up(struct page *page) {
    AUTO_ROWS struct tree_row row = {0};
    struct tree_sql *sql = &page->tree->sql;
    struct tree_listing *listing = page->listing;
    listing->way_folder = 0; /* it may have gone since the last page */
    int r = tree_row_load(page->tree, listing->folder, &row);
    if (r == -ENOENT || (!r && (!tree_row_named(&row) || !text_equal(row.node.remote.key, listing->prefix))))
        return TREE_STALE;
    if (r)
        return r;
    page->told = row.complete;
    page->end = tree_path_end(listing->prefix);
    int gone = tree_sql_any(sql, "SELECT 1 FROM gone LIMIT 1", WITHOUT);
    int attempts = tree_sql_any(sql, "SELECT 1 FROM attempt LIMIT 1", WITHOUT);
    page->gone = gone;
    page->attempts = attempts;
    return gone < 0 ? gone : attempts < 0 ? attempts : page->end ? 0 : -ENOMEM;
}

/* Where the walk was, so that a page that failed can be given once more. */
struct mark {
    char *position;
    bool passed, marker_seen;
};

static int merge_all(struct page *page, const struct tree_entry *entries, size_t count, bool last) {
    int r = set_up(page);
    for (size_t i = 0; !r && i < count; i++)
        r = merge(page, &entries[i]);
    return r || !last ? r : finish_listing(page);
}

int tree_listing_page(struct tree_listing *listing, const struct tree_entry *entries, size_t count, bool last,
                      uint64_t **heads, size_t *head_count) {
    struct tree *tree = listing->tree;
    CLEANUP(page_finish) struct page page = {.tree = tree, .listing = listing};
    int r = tree_begin(tree);
    if (r)
        return r;
    struct mark mark = {strdup(listing->position), listing->position_passed, listing->marker_seen};
    r = mark.position ? merge_all(&page, entries, count, last) : -ENOMEM;
    if (r) { /* before the lock is free */
        free(listing->position);
        listing->position = TAKE(mark.position);
        listing->position_passed = mark.passed;
        listing->marker_seen = mark.marker_seen;
        listing->way_folder = 0;
    }
    free(mark.position);
    r = tree_end(tree, r);
    if (heads) {
        *heads = r ? NULL : TAKE(page.heads);
        *head_count = r ? 0 : page.head_count;
    }
    return r;
}

void tree_listing_end(struct tree_listing *listing) {
    if (!listing)
        return;
    struct tree *tree = listing->tree;
    int r = tree_begin(tree);
    if (r)
        tree_lock(tree); /* the disk is full, or worse; the rows stay until the next time */
    for (struct tree_listing **at = &tree->listings; *at; at = &(*at)->next) {
        if (*at != listing)
            continue;
        *at = listing->next;
        break;
    }
    if (r)
        tree_unlock(tree);
    else
        tree_end(tree, tree_gone_sweep(tree));
    free(listing->prefix);
    free(listing->position);
    free(listing->way);
    free(listing);
}
