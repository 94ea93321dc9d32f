/* Two writers: who keeps the name, and what the other one is called. */
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>
#include <time.h>

/* "conflict HOST 2026-11-23 14.05.12", in local time. A host's name has nothing in it that a file's cannot have. */
static char *conflict_text(const char *host, int64_t seconds) {
    char date[32] = "";
    struct tm tm;
    time_t time = (time_t)seconds;
    if (localtime_r(&time, &tm))
        strftime(date, sizeof date, "%Y-%m-%d %H.%M.%S", &tm);
    char *text = text_format("conflict %.64s %s", host, date);
    for (char *at = text; at && *at; at++)
        if (*at == '/')
            *at = '_';
    return text;
}

static int note(struct tree *tree, const char *key, const char *copy_name) {
    return tree_sql_run(&tree->sql, "INSERT INTO conflict(time_s,key,copy) VALUES(?,?,?)",
                        WITH(INT(tree_now_ms() / 1000), TEXT(key), TEXT(copy_name)));
}

/* ---- Theirs keeps the name ---- */

/* The object at its key is theirs now. What it still reads of its base stays readable only by version. */
static void lose_key(struct tree_row *row) {
    row->changed |= ROW_KEY;
    if (row->node.remote.version)
        row->owns = false;
    else
        tree_row_clear_remote(row);
}

static int step_aside(struct tree *tree, struct tree_row *row, const char *key, const char *copy_name) {
    bool at_key = row->owns && text_equal(row->node.remote.key, key);
    bool folder = row->node.type == TREE_FOLDER;
    if (at_key && !folder)
        lose_key(row);
    row->changed |= ROW_PLACE;
    free(TAKE(row->tail));
    int r = tree_row_set(&row->node.name, copy_name);
    if (!r)
        r = tree_row_changed(tree, row);
    if (r)
        return r;
    bool elsewhere = row->node.remote.key && (!at_key || folder);
    if (!elsewhere)
        tree_row_drop_work(row, TREE_WORK_NAME);
    if (folder)
        tree->structure++;
    tree_row_add_work(tree, row, elsewhere ? TREE_WORK_NAME : TREE_WORK_CONTENT, false);
    return tree_row_store(tree, row);
}

/* Where the name that both want is. */
struct place {
    uint64_t parent;
    char *name, *tail, *key; /* owned */
};

static void place_finish(struct place *place) {
    free(place->name);
    free(place->tail);
    free(place->key);
}

static int add_theirs(struct tree *tree, const struct place *place, const struct tree_head *head) {
    AUTO_ROWS struct tree_row row = {0};
    bool changed;
    const struct tree_remote remote = {.key = place->key,
                                       .etag = (char *)(uintptr_t)(head->etag ? head->etag : ""),
                                       .version = (char *)(uintptr_t)head->version,
                                       .content = (char *)(uintptr_t)head->content,
                                       .size = head->size,
                                       .modified_s = head->modified_s};
    int r = tree_head_new_node(tree, place->parent, place->name, &remote, &row);
    if (!r)
        r = tree_row_set(&row.tail, place->tail);
    if (r)
        return r;
    row.changed |= ROW_PLACE;
    row.node.archived = head->archived;
    row.head = head->settled ? HEAD_KNOWN : HEAD_PASSING;
    r = tree_head_attributes(tree, &row, head, &changed);
    return r ? r : tree_row_store(tree, &row);
}

static int put_theirs(struct tree *tree, const struct place *place, const struct tree_head *theirs) {
    if (theirs && !theirs->absent)
        return add_theirs(tree, place, theirs);
    tree_listing_forget(tree, place->parent);
    return tree_sql_run(&tree->sql, "UPDATE node SET complete=0 WHERE ino=?", WITH(INT(place->parent)));
}

static int tell(struct tree *tree, uint64_t parent, const char *name, const char *copy_name, uint64_t ino) {
    int r = tree_tell(tree, EVENT_ENTRY, parent, name, ino);
    if (!r)
        r = tree_tell(tree, EVENT_ENTRY, parent, copy_name, ino);
    return r ? r : tree_tell_conflict(tree, parent, name, copy_name);
}

/* Its folder moved on, and somebody else's object is where it should follow: it stays behind, as theirs now. */
static int leave_shadow(struct tree *tree, struct tree_row *row, char **copy_name) {
    int r = tree_sql_run(&tree->sql, "UPDATE node SET retag='', head=0 WHERE ino=? AND ?=''",
                         WITH(INT(row->holder), TEXT(row->tail)));
    if (!r)
        r = tree_row_delete(tree, row->node.ino);
    *copy_name = TAKE(row->tail);
    return r;
}

static int find_place(struct tree *tree, const struct tree_row *row, struct place *place) {
    int r = tree_row_set(&place->name, row->node.name);
    if (!r)
        r = tree_row_set(&place->tail, row->tail);
    return r ? r : tree_path_target(tree, row, &place->key);
}

/* Another node's object was at the key, and it is to move away: theirs is over it. Its bytes are here, or readable by
 * version; else TREE_STALE. */
static int lay_over(struct tree *tree, uint64_t ino, const char *key) {
    int r = tree_sql_any(&tree->sql,
                         "SELECT 1 FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? AND ino<>?"
                         " AND retag IS NOT NULL AND (work&4=0 OR (rversion IS NULL AND spool=0 AND type=1)) LIMIT 1",
                         WITH(TEXT(key), INT(ino)));
    return r ? (r > 0 ? TREE_STALE : r) : tree_row_overtake(tree, ino, key);
}

/* The node may have been renamed since. */
static int take_place(struct tree *tree, uint64_t ino, const struct place *place, const struct tree_head *theirs) {
    if (theirs && theirs->key && strcmp(theirs->key, place->key) != 0)
        return TREE_STALE;
    return lay_over(tree, ino, place->key);
}

static int conflict(struct tree *tree, uint64_t ino, const char *host, const struct tree_head *theirs,
                    char **copy_name) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, ino, &row);
    if (r || !tree_row_named(&row) || ino == TREE_ROOT)
        return r ? r : -ENOENT;
    if (row.holder)
        return leave_shadow(tree, &row, copy_name);
    AUTO_FREE char *what = conflict_text(host, tree_now_ms() / 1000);
    CLEANUP(place_finish) struct place place = {.parent = row.node.parent};
    r = what ? find_place(tree, &row, &place) : -ENOMEM;
    if (!r)
        r = take_place(tree, ino, &place, theirs);
    if (!r)
        r = tree_names_make(tree, place.parent, place.name, what, true, copy_name);
    if (!r)
        r = step_aside(tree, &row, place.key, *copy_name);
    if (!r)
        r = tree_gone_forget(tree, place.key);
    if (!r)
        r = tree_upload_drop(tree, ino);
    if (!r)
        r = tree_attempt_clear(tree, ino);
    if (!r)
        r = put_theirs(tree, &place, theirs);
    if (!r)
        r = note(tree, place.key, *copy_name);
    return r ? r : tell(tree, place.parent, place.name, *copy_name, ino);
}

int tree_conflict(struct tree *tree, uint64_t ino, const char *host, const struct tree_head *theirs, char **copy_name) {
    *copy_name = NULL;
    int r = tree_begin(tree);
    if (r)
        return r;
    r = tree_end(tree, conflict(tree, ino, host, theirs, copy_name));
    if (r)
        free(TAKE(*copy_name));
    return r;
}

/* ---- Ours keeps the name ---- */

/* Asked again, also after a restart, it is the same name, unless something else of ours has it. */
static int name_theirs(struct tree *tree, const struct tree_row *row, const char *what, char **copy_name) {
    AUTO_ROWS struct tree_row there = {0};
    int r = tree_names_make(tree, 0, row->node.name, what, true, copy_name);
    if (!r)
        r = tree_row_find(tree, row->node.parent, *copy_name, &there);
    if (r <= 0 || !there.node.work)
        return r < 0 ? r : 0;
    free(TAKE(*copy_name));
    return tree_names_make(tree, row->node.parent, row->node.name, what, true, copy_name);
}

static int note_once(struct tree *tree, const char *key, const char *copy_name, bool *new) {
    int r = tree_sql_any(&tree->sql, "SELECT 1 FROM conflict WHERE key=? AND copy=?", WITH(TEXT(key), TEXT(copy_name)));
    *new = r == 0;
    return r ? (r < 0 ? r : 0) : note(tree, key, copy_name);
}

static int conflict_theirs(struct tree *tree, uint64_t ino, const char *host, int64_t modified_s, char **copy_name,
                           char **copy_key) {
    AUTO_ROWS struct tree_row row = {0};
    AUTO_FREE char *key = NULL, *folder = NULL, *what = conflict_text(host, modified_s);
    bool new = false;
    int r = what ? tree_row_load(tree, ino, &row) : -ENOMEM;
    if (!r && !row.node.parent)
        r = -ENOENT;
    if (!r)
        r = tree_path_target(tree, &row, &key);
    if (!r)
        r = tree_path_folder(tree, row.node.parent, &folder);
    if (!r)
        r = name_theirs(tree, &row, what, copy_name);
    if (!r)
        r = note_once(tree, key, *copy_name, &new);
    if (!r && new)
        r = tree_tell_conflict(tree, row.node.parent, row.node.name, *copy_name);
    if (r)
        return r;
    *copy_key = text_format("%s%s", folder, *copy_name);
    return *copy_key ? 0 : -ENOMEM;
}

int tree_conflict_theirs(struct tree *tree, uint64_t ino, const char *host, int64_t modified_s, char **copy_name,
                         char **copy_key) {
    *copy_name = *copy_key = NULL;
    int r = tree_begin(tree);
    if (r)
        return r;
    r = tree_end(tree, conflict_theirs(tree, ino, host, modified_s, copy_name, copy_key));
    if (r) {
        free(TAKE(*copy_name));
        free(TAKE(*copy_key));
    }
    return r;
}

/* ---- Another base ---- */

/* What stands at a key that the node is to take over, and is to be replaced. */
static int rebase_target(struct tree *tree, const struct tree_row *row, const struct tree_remote *remote) {
    AUTO_FREE char *target = NULL;
    if (!remote->key || !remote->etag) {
        int r = tree_path_target(tree, row, &target);
        return r ? r : tree_gone_forget(tree, remote->key ? remote->key : target);
    }
    int r = tree_gone_forget(tree, remote->key); /* with the attempt that it came from */
    return r ? r : tree_gone_add(tree, remote, row->node.ino);
}

static int rebase(struct tree *tree, uint64_t ino, const struct tree_remote *remote) {
    AUTO_ROWS struct tree_row row = {0};
    AUTO_FREE char *target = NULL;
    int r = tree_row_load(tree, ino, &row);
    if (!r)
        r = tree_path_target(tree, &row, &target);
    if (r)
        return r;
    const char *key = remote->key ? remote->key : target;
    if (!row.owns || !text_equal(row.node.remote.key, key))
        return rebase_target(tree, &row, remote);
    if (remote->key && remote->etag) {
        r = tree_row_set_remote(&row, remote);
    } else if (row.node.type == TREE_FOLDER) {
        free(TAKE(row.node.remote.etag));
        row.changed |= ROW_BODY;
    } else {
        tree_row_clear_remote(&row);
        tree_row_drop_work(&row, TREE_WORK_NAME | TREE_WORK_META);
    }
    if (!r)
        r = tree_row_store(tree, &row);
    return r ? r : tree_gone_forget(tree, key);
}

int tree_rebase(struct tree *tree, uint64_t ino, const struct tree_remote *remote) {
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, rebase(tree, ino, remote));
}
