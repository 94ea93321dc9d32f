/* Names: looking up, making, removing and moving them, as programs do. */
#include "base/clock.h"
#include "base/text.h"
#include "fs/tree/inside.h"

#include <stdio.h>
#include <string.h>

#define OPEN_REST_MS 300000

/* ---- Looking ---- */

int tree_get(struct tree *tree, uint64_t ino, struct tree_node *out) {
    AUTO_ROWS struct tree_row row = {0};
    tree_lock(tree);
    int r = tree_row_load(tree, ino, &row);
    if (!r)
        tree_row_take(&row, out);
    tree_unlock(tree);
    return r;
}

/* The folder as the place of a name. Its strings are left out: only what a lookup asks for. */
static int look_at_folder(struct tree *tree, uint64_t folder, bool *complete) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    int r = tree_sql_row(&tree->sql, &row, "SELECT type, complete, parent FROM node WHERE ino=?", WITH(INT(folder)));
    if (r <= 0)
        return r ? r : -ENOENT;
    if (tree_sql_number(row, 0) != TREE_FOLDER)
        return -ENOTDIR;
    *complete = tree_sql_number(row, 1);
    return tree_sql_number(row, 2) || folder == TREE_ROOT ? 0 : -ENOENT;
}

/* The child, or -ENOENT, or TREE_UNKNOWN. */
static int find_child(struct tree *tree, uint64_t parent, const char *name, struct tree_row *out) {
    bool complete;
    int r = tree_row_find(tree, parent, name, out);
    if (r)
        return r > 0 ? 0 : r;
    r = look_at_folder(tree, parent, &complete);
    if (r)
        return r;
    if (strlen(name) > TREE_MAX_NAME)
        return -ENAMETOOLONG;
    if (!text_is_utf8(name, strlen(name)))
        return -ENOENT; /* no key has such a name */
    return complete ? -ENOENT : TREE_UNKNOWN;
}

int tree_lookup(struct tree *tree, uint64_t parent, const char *name, struct tree_node *out) {
    AUTO_ROWS struct tree_row row = {0};
    tree_lock(tree);
    int r = find_child(tree, parent, name, &row);
    if (!r)
        tree_row_take(&row, out);
    tree_unlock(tree);
    return r;
}

static int visit_children(struct tree *tree, uint64_t folder, uint64_t after,
                          int (*visit)(void *context, const struct tree_node *node), void *context) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_child WHERE parent=? AND parent<>0 AND ino>?"
                         " ORDER BY ino",
                         WITH(INT(folder), INT(after)));
    for (; r > 0; r = tree_sql_next(&tree->sql, from)) {
        struct tree_row row;
        tree_row_borrow(tree, from, &row);
        int stop = visit(context, &row.node);
        if (stop)
            return stop;
    }
    return r;
}

int tree_children(struct tree *tree, uint64_t folder, uint64_t after,
                  int (*visit)(void *context, const struct tree_node *node), void *context) {
    bool complete;
    tree_lock(tree);
    int r = look_at_folder(tree, folder, &complete);
    if (!r)
        r = visit_children(tree, folder, after, visit, context);
    tree_unlock(tree);
    return r;
}

int tree_folder_state(struct tree *tree, uint64_t folder, struct tree_folder *out) {
    int64_t children = 0;
    *out = (struct tree_folder){0};
    tree_lock(tree);
    int r = look_at_folder(tree, folder, &out->complete);
    if (!r)
        r = tree_sql_integer(&tree->sql, &children, 0,
                             "SELECT count(*) FROM node INDEXED BY node_child WHERE parent=? AND parent<>0",
                             WITH(INT(folder)));
    out->children = (uint64_t)children;
    out->listed_ms = tree_listing_time(tree, folder);
    tree_unlock(tree);
    return r;
}

/* ---- Folders and what lies in them ---- */

static int touch(struct tree *tree, uint64_t folder) {
    int64_t now = clock_realtime_ns();
    return tree_sql_run(&tree->sql, "UPDATE node SET mtime_ns=?, ctime_ns=? WHERE ino=?",
                        WITH(INT(now), INT(now), INT(folder)));
}

int tree_names_count_folder(struct tree *tree, uint64_t parent, int by) {
    return tree_sql_run(&tree->sql, "UPDATE node SET folders=max(0,folders+?) WHERE ino=?", WITH(INT(by), INT(parent)));
}

static int is_empty(struct tree *tree, uint64_t folder) {
    int r = tree_row_has_children(tree, folder);
    if (!r)
        r = tree_row_has_shadows(tree, folder);
    return r < 0 ? r : !r;
}

int tree_names_keep_folder(struct tree *tree, uint64_t folder) {
    AUTO_ROWS struct tree_row row = {0};
    if (folder == TREE_ROOT)
        return 0;
    int r = is_empty(tree, folder);
    if (r <= 0)
        return r;
    r = tree_row_load(tree, folder, &row);
    if (r)
        return r;
    bool marked = row.node.remote.etag && *row.node.remote.etag;
    if (marked || (row.node.work & TREE_WORK_CONTENT) || !row.node.parent)
        return 0;
    tree_row_add_work(tree, &row, TREE_WORK_CONTENT, true);
    r = tree_next_change(tree, &row.node.change);
    return r ? r : tree_row_store(tree, &row);
}

/* ---- Making ---- */

/* The key that a new name would have. */
static int new_key(struct tree *tree, uint64_t parent, const char *name, bool folder, char **key) {
    AUTO_FREE char *prefix = NULL;
    int r = tree_path_folder(tree, parent, &prefix);
    if (r)
        return r;
    *key = text_format("%s%s%s", prefix, name, folder ? "/" : "");
    if (!*key)
        return -ENOMEM;
    return strlen(*key) > tree->max_key ? -ENAMETOOLONG : 0;
}

static void new_content(struct tree_node *node, char content[33]) {
    random_hex(content, 16);
    node->content = content;
    node->generation++;
}

struct birth {
    uint64_t parent;
    const char *name;
    enum tree_type type;
    uint32_t mode;
    const struct tree_owner *owner;
    const char *target;
    uint64_t spool;
};

/* Fills a row whose strings are borrowed. */
static void describe(struct tree *tree, const struct birth *birth, char *key, char content[33], struct tree_row *row) {
    int64_t now = clock_realtime_ns();
    struct tree_node *node = &row->node;
    *row = (struct tree_row){.head = HEAD_KNOWN, .dirty = TREE_MODE | TREE_UID | TREE_GID | TREE_MTIME | TREE_XATTRS};
    *node = (struct tree_node){.parent = birth->parent,
                               .name = (char *)(uintptr_t)birth->name,
                               .type = birth->type,
                               .mode = birth->mode & 07777,
                               .kept_uid = birth->owner ? (int64_t)birth->owner->uid : -1,
                               .kept_gid = birth->owner ? (int64_t)birth->owner->gid : -1,
                               .mtime_ns = now,
                               .ctime_ns = now,
                               .spool = birth->spool,
                               .target = (char *)(uintptr_t)birth->target};
    if (birth->type == TREE_LINK)
        node->size = birth->target ? strlen(birth->target) : 0;
    if (birth->type == TREE_FOLDER) {
        node->remote.key = key;
        row->owns = true;
        row->complete = true;
    } else {
        new_content(node, content);
    }
    tree_row_add_work(tree, row, TREE_WORK_CONTENT, true);
    if (birth->type == TREE_FILE) /* somebody is about to write it: its close makes it due; after a crash, this does */
        row->due_ms += OPEN_REST_MS;
}

static int insert_born(struct tree *tree, const struct birth *birth, uint64_t *ino) {
    AUTO_FREE char *key = NULL;
    char content[33];
    struct tree_row row;
    int r = new_key(tree, birth->parent, birth->name, birth->type == TREE_FOLDER, &key);
    if (r)
        return r;
    describe(tree, birth, key, content, &row);
    r = tree_next_change(tree, &row.node.change);
    row.attributes_change = row.node.change;
    if (!r)
        r = tree_row_insert(tree, &row);
    if (!r)
        r = touch(tree, birth->parent);
    if (!r && birth->type == TREE_FOLDER)
        r = tree_names_count_folder(tree, birth->parent, 1);
    if (!r && birth->type == TREE_FOLDER)
        r = tree_path_note_arrival(tree, birth->parent, key);
    if (!r && birth->type == TREE_FOLDER)
        r = tree_listing_note(tree, row.node.ino, clock_monotonic_ms(), false);
    *ino = row.node.ino;
    return r;
}

static int create(struct tree *tree, const struct birth *birth, struct tree_node *out) {
    AUTO_ROWS struct tree_row there = {0}, made = {0};
    uint64_t ino;
    int r = tree_path_check_name(birth->name);
    if (r)
        return r;
    r = find_child(tree, birth->parent, birth->name, &there);
    if (r != -ENOENT)
        return r ? r : -EEXIST;
    bool complete;
    r = look_at_folder(tree, birth->parent, &complete);
    if (!r)
        r = insert_born(tree, birth, &ino);
    if (!r)
        r = tree_row_load(tree, ino, &made);
    if (!r)
        tree_row_take(&made, out);
    return r;
}

int tree_create_node(struct tree *tree, uint64_t parent, const char *name, enum tree_type type, uint32_t mode,
                     const struct tree_owner *owner, const char *target, uint64_t spool, struct tree_node *out) {
    const struct birth birth = {parent, name, type, mode, owner, target, spool};
    int r = tree_begin(tree);
    if (r)
        return r;
    *out = (struct tree_node){0};
    r = tree_end(tree, create(tree, &birth, out));
    if (r)
        tree_node_finish(out);
    return r;
}

/* ---- Removing ---- */

static int leave_gone(struct tree *tree, const struct tree_row *row) {
    int r = 0;
    if (row->owns && row->node.remote.key && row->node.remote.etag)
        r = tree_gone_add(tree, &row->node.remote, row->node.ino);
    if (!r)
        r = tree_gone_add_attempt(tree, row->node.ino);
    return r ? r : tree_upload_drop(tree, row->node.ino);
}

/* The look of a node without a name: what open handles still read stays. */
static void strip(struct tree_row *row) {
    row->node.parent = 0;
    row->holder = 0;
    row->owns = false;
    row->expanding = false;
    row->changed |= ROW_PLACE | ROW_KEY | ROW_BODY;
    tree_row_drop_work(row, ~0u);
}

int tree_names_detach(struct tree *tree, struct tree_row *row, enum tree_removal why) {
    uint64_t parent = row->node.parent;
    struct tree_row before = *row; /* borrows */
    if (tree_row_is_shadow(row))   /* nobody can know it */
        return tree_row_delete(tree, row->node.ino);
    strip(row);
    int r = tree_row_changed(tree, row);
    if (!r)
        r = tree_row_store(tree, row); /* first, so that it does not own its key any more */
    before.node.change = row->node.change;
    if (!r && why == REMOVED_HERE)
        r = leave_gone(tree, &before);
    if (!r && why == REMOVED_THERE)
        r = tree_attempt_give_up(tree, row->node.ino);
    if (!r && why == REMOVED_THERE)
        r = tree_upload_drop(tree, row->node.ino);
    if (!r && row->node.type == TREE_FOLDER) {
        tree_listing_forget(tree, row->node.ino);
        tree_move_forget(tree, row->node.ino);
        r = tree_names_count_folder(tree, parent, -1);
    }
    return r ? r : touch(tree, parent);
}

/* rmdir's question. 0 if it is. */
static int check_removable(struct tree *tree, const struct tree_row *row) {
    int r = tree_row_has_children(tree, row->node.ino);
    if (!r && row->node.remote.etag && row->node.remote.size)
        r = 1; /* a marker with bytes in it */
    if (r)
        return r < 0 ? r : -ENOTEMPTY;
    if (!row->complete)
        return TREE_UNKNOWN;
    r = tree_sql_any(&tree->sql,
                     "SELECT 1 FROM node INDEXED BY node_shadow WHERE holder=? AND holder<>0"
                     " AND (tail<>'' OR rsize<>0) LIMIT 1",
                     WITH(INT(row->node.ino)));
    return r < 0 ? r : r ? -ENOTEMPTY : 0;
}

/* The marker of a moved folder, on its way: it goes with the folder. */
static int remove_marker_shadow(struct tree *tree, uint64_t folder) {
    AUTO_ROWS struct tree_row shadow = {0};
    int64_t ino;
    int r =
        tree_sql_integer(&tree->sql, &ino, 0,
                         "SELECT ino FROM node INDEXED BY node_shadow WHERE holder=? AND holder<>0", WITH(INT(folder)));
    if (r || !ino)
        return r;
    r = tree_row_load(tree, (uint64_t)ino, &shadow);
    if (r)
        return r;
    /* first, so that it owns its key no more, and what it tried is not wanted at its place */
    r = tree_sql_run(&tree->sql, "UPDATE node SET owns=0, holder=0 WHERE ino=?", WITH(INT(ino)));
    if (!r)
        r = leave_gone(tree, &shadow);
    return r ? r : tree_row_delete(tree, (uint64_t)ino);
}

static int remove_folder(struct tree *tree, struct tree_row *row) {
    int r = check_removable(tree, row);
    if (!r)
        r = remove_marker_shadow(tree, row->node.ino);
    if (!r)
        tree->structure++;
    return r ? r : tree_names_detach(tree, row, REMOVED_HERE);
}

static int remove_name(struct tree *tree, uint64_t parent, const char *name, bool folder, uint64_t *ino) {
    AUTO_ROWS struct tree_row row = {0};
    int r = find_child(tree, parent, name, &row);
    if (r)
        return r;
    *ino = row.node.ino;
    if (folder != (row.node.type == TREE_FOLDER))
        return folder ? -ENOTDIR : -EISDIR;
    r = folder ? remove_folder(tree, &row) : tree_names_detach(tree, &row, REMOVED_HERE);
    return r ? r : tree_names_keep_folder(tree, parent);
}

int tree_unlink(struct tree *tree, uint64_t parent, const char *name, uint64_t *ino) {
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, remove_name(tree, parent, name, false, ino));
}

int tree_rmdir(struct tree *tree, uint64_t parent, const char *name, uint64_t *ino) {
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, remove_name(tree, parent, name, true, ino));
}

/* ---- Moving ---- */

/* Whether something of it is in the bucket, or may be without being known. */
static int bucket_has_some(struct tree *tree, const struct tree_row *row) {
    if (!row->complete || row->node.remote.etag)
        return 1;
    int r = tree_sql_any(&tree->sql,
                         "SELECT 1 FROM node INDEXED BY node_child WHERE parent=? AND parent<>0 AND rkey IS NOT NULL"
                         " LIMIT 1",
                         WITH(INT(row->node.ino)));
    return r ? r : tree_row_has_shadows(tree, row->node.ino);
}

/* Sets or clears the NAME bit by where the bytes are and where they belong. */
static int decide_move(struct tree *tree, struct tree_row *row) {
    AUTO_FREE char *target = NULL;
    const struct tree_remote *remote = &row->node.remote;
    bool folder = row->node.type == TREE_FOLDER;
    if (!remote->key)
        return 0;
    int r = tree_path_target(tree, row, &target);
    if (r)
        return r;
    bool there = row->owns && !row->expanding && strcmp(target, remote->key) == 0;
    if (!there && folder && !row->expanding) {
        r = bucket_has_some(tree, row);
        if (r < 0)
            return r;
        there = !r;
        r = there ? tree_row_set(&row->node.remote.key, target) : 0;
        row->changed |= there ? ROW_KEY : 0u;
    }
    if (there)
        tree_row_drop_work(row, TREE_WORK_NAME);
    else if (!(row->node.work & TREE_WORK_NAME))
        tree_row_add_work(tree, row, TREE_WORK_NAME, true);
    return r;
}

int tree_names_put(struct tree *tree, struct tree_row *row, uint64_t parent, const char *name) {
    uint64_t old = row->node.parent;
    bool folder = row->node.type == TREE_FOLDER;
    row->node.parent = parent;
    row->changed |= ROW_PLACE;
    free(TAKE(row->tail));
    int r = tree_row_set(&row->node.name, name);
    if (!r)
        r = decide_move(tree, row);
    if (!r)
        r = tree_row_changed(tree, row);
    if (!r)
        r = tree_row_store(tree, row);
    if (!r)
        r = tree_gone_add_attempt(tree, row->node.ino);
    if (!r && row->node.remote.key && !(row->node.work & TREE_WORK_NAME))
        r = tree_path_note_arrival(tree, parent, row->node.remote.key);
    if (folder)
        tree->structure++;
    if (!r && folder && old != parent)
        r = tree_names_count_folder(tree, old, -1);
    if (!r && folder && old != parent)
        r = tree_names_count_folder(tree, parent, 1);
    return r;
}

/* The longest part of a key below the folder, in bytes: "b/c.txt". */
static int longest_below(struct tree *tree, uint64_t folder, int64_t *out) {
    return tree_sql_integer(&tree->sql, out, 0,
                            "WITH RECURSIVE below(ino, size) AS (VALUES(?, 0) UNION ALL"
                            " SELECT node.ino, below.size + length(CAST(node.name AS BLOB)) + 1 FROM below"
                            " CROSS JOIN node INDEXED BY node_name ON node.parent=below.ino AND node.parent<>0)"
                            " SELECT max(size) FROM below",
                            WITH(INT(folder)));
}

/* A key that was made shorter or kept its length still fits. */
static int check_length(struct tree *tree, const struct tree_row *row, uint64_t parent, const char *name) {
    AUTO_FREE char *now = NULL, *then = NULL;
    int64_t below;
    int r = new_key(tree, parent, name, row->node.type == TREE_FOLDER, &then);
    if (r || row->node.type != TREE_FOLDER)
        return r;
    r = tree_path_shown(tree, row, &now);
    if (r || strlen(then) <= strlen(now))
        return r;
    r = longest_below(tree, row->node.ino, &below);
    return r ? r : strlen(then) + (size_t)below > tree->max_key + 1 ? -ENAMETOOLONG : 0;
}

/* S3 cannot copy what is archived. */
static int check_archived(struct tree *tree, const struct tree_row *row) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    if (row->node.type != TREE_FOLDER)
        return row->node.archived && !row->node.spool ? -EXDEV : 0;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT ino FROM node INDEXED BY node_archived WHERE archived<>0 AND spool=0", WITHOUT);
    for (; r > 0; r = tree_sql_next(&tree->sql, from)) {
        r = tree_path_below(tree, (uint64_t)tree_sql_number(from, 0), row->node.ino);
        if (r)
            return r < 0 ? r : -EXDEV;
    }
    return r;
}

static int check_move(struct tree *tree, const struct tree_row *row, uint64_t parent, const char *name) {
    int r = row->node.type == TREE_FOLDER ? tree_path_below(tree, parent, row->node.ino) : 0;
    if (r)
        return r < 0 ? r : -EINVAL;
    r = check_length(tree, row, parent, name);
    return r ? r : check_archived(tree, row);
}

static int replace_target(struct tree *tree, const struct tree_row *row, struct tree_row *target) {
    bool folder = target->node.type == TREE_FOLDER;
    if (folder != (row->node.type == TREE_FOLDER))
        return folder ? -EISDIR : -ENOTDIR;
    return folder ? remove_folder(tree, target) : tree_names_detach(tree, target, REMOVED_HERE);
}

static int exchange(struct tree *tree, struct tree_row *a, struct tree_row *b) {
    uint64_t parent_a = a->node.parent, parent_b = b->node.parent;
    AUTO_FREE char *name_a = strdup(a->node.name);
    AUTO_FREE char *name_b = strdup(b->node.name);
    if (!name_a || !name_b)
        return -ENOMEM;
    int r = check_move(tree, a, parent_b, name_b);
    if (!r)
        r = check_move(tree, b, parent_a, name_a);
    if (!r) /* two cannot have one name, not even for a moment */
        r = tree_sql_run(&tree->sql, "UPDATE node SET parent=0 WHERE ino=?", WITH(INT(a->node.ino)));
    if (!r)
        r = tree_names_put(tree, b, parent_a, name_a);
    return r ? r : tree_names_put(tree, a, parent_b, name_b);
}

struct move {
    uint64_t parent;
    const char *name;
    uint64_t new_parent;
    const char *new_name;
    unsigned flags;
};

static int move_one(struct tree *tree, struct tree_row *row, struct tree_row *target, bool there,
                    const struct move *move, uint64_t *replaced) {
    int r = check_move(tree, row, move->new_parent, move->new_name);
    if (!r && there) {
        *replaced = target->node.ino;
        r = replace_target(tree, row, target);
    }
    if (!r)
        r = tree_names_put(tree, row, move->new_parent, move->new_name);
    return r ? r : tree_names_keep_folder(tree, move->parent);
}

static int rename_locked(struct tree *tree, const struct move *move, uint64_t *replaced) {
    AUTO_ROWS struct tree_row row = {0}, target = {0};
    int r = find_child(tree, move->parent, move->name, &row);
    if (r)
        return r;
    r = tree_path_check_name(move->new_name);
    if (r)
        return r;
    r = find_child(tree, move->new_parent, move->new_name, &target);
    bool there = !r;
    if (r && r != -ENOENT)
        return r;
    if (there && (move->flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (there && target.node.ino == row.node.ino)
        return 0;
    bool complete;
    r = look_at_folder(tree, move->new_parent, &complete);
    if (r)
        return r;
    if (!(move->flags & RENAME_EXCHANGE))
        r = move_one(tree, &row, &target, there, move, replaced);
    else
        r = there ? exchange(tree, &row, &target) : -ENOENT;
    if (!r)
        r = touch(tree, move->parent);
    return r || move->parent == move->new_parent ? r : touch(tree, move->new_parent);
}

int tree_rename(struct tree *tree, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                unsigned flags, uint64_t *replaced) {
    const struct move move = {parent, name, new_parent, new_name, flags};
    *replaced = 0;
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, rename_locked(tree, &move, replaced));
}

/* ---- Made-up names ---- */

/* Where the extension begins: ".txt" of "a.txt"; not the dot of ".profile", nor that of a date in brackets. */
static size_t stem_size(const char *name) {
    const char *dot = strrchr(name, '.');
    size_t size = strlen(name);
    bool plain = !dot || dot == name || size - (size_t)(dot - name) > 32 || strpbrk(dot, " ()");
    return plain ? size : (size_t)(dot - name);
}

int tree_names_make(struct tree *tree, uint64_t parent, const char *name, const char *what, bool split, char **out) {
    size_t stem = split ? stem_size(name) : strlen(name);
    const char *extension = name + stem;
    for (unsigned number = 1;; number++) {
        char count[16] = "";
        if (number > 1)
            snprintf(count, sizeof count, " %u", number);
        size_t rest = strlen(what) + strlen(count) + strlen(extension) + 3; /* " (" and ")" */
        size_t kept = rest < TREE_MAX_NAME ? text_cut_utf8(name, stem, TREE_MAX_NAME - rest) : 0;
        AUTO_FREE char *made = text_format("%.*s (%s%s)%s", (int)kept, name, what, count, extension);
        AUTO_ROWS struct tree_row there = {0};
        if (!made)
            return -ENOMEM;
        int r = tree_row_find(tree, parent, made, &there);
        if (r < 0)
            return r;
        if (!r) {
            *out = TAKE(made);
            return 0;
        }
    }
}
