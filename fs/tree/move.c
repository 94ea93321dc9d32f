/* Folders that moved: the nodes below get their own moves, in steps, once everything below is known. A walk goes down
 * through the folder; each folder's own prefix becomes its path when all that lies in it has been told. */
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>

#define LOOKS_PER_CHANGE 4 /* so many nodes are looked at in a step for each that may be changed */

struct budget {
    size_t changes, looks;
};

/* ---- The way down ---- */

static int descend(struct tree_walk *walk, uint64_t ino) {
    if (walk->depth == walk->capacity) {
        size_t capacity = walk->capacity ? walk->capacity * 2 : 16;
        struct tree_step *steps = realloc(walk->steps, capacity * sizeof *steps);
        if (!steps)
            return -ENOMEM;
        walk->steps = steps;
        walk->capacity = capacity;
    }
    walk->steps[walk->depth++] = (struct tree_step){ino, 0};
    return 0;
}

/* Only that one: programs' own failures must not keep a large folder from ever getting to its end. */
void tree_move_take_back(struct tree *tree) {
    if (tree->walking)
        tree->walking->structure = 0;
}

void tree_move_forget(struct tree *tree, uint64_t folder) {
    struct tree_walk *walk = map_remove(&tree->walks, folder);
    if (walk && walk == tree->walking)
        tree->walking = NULL;
    if (walk)
        free(walk->steps);
    free(walk);
}

static int make_walk(struct tree *tree, uint64_t folder, struct tree_walk **out) {
    *out = map_get(&tree->walks, folder);
    if (*out)
        return 0;
    *out = calloc(1, sizeof **out);
    int r = *out ? map_put(&tree->walks, folder, *out) : -ENOMEM;
    if (r)
        free(TAKE(*out));
    return r;
}

/* Goes on where it was, unless folders moved since. */
static int start_walk(struct tree *tree, uint64_t folder, struct tree_walk **out) {
    int r = make_walk(tree, folder, out);
    if (r || (*out)->structure == tree->structure)
        return r;
    (*out)->folder = folder;
    (*out)->structure = tree->structure;
    (*out)->depth = 0;
    return descend(*out, folder);
}

/* ---- One node ---- */

/* 1: its key is its path already; of a folder, what lies below it need not be known then. */
static int is_there(struct tree *tree, const struct tree_row *row) {
    AUTO_FREE char *target = NULL;
    int r = tree_path_target(tree, row, &target);
    return r ? r : row->owns && text_equal(row->node.remote.key, target);
}

static int tell_to_move(struct tree *tree, struct tree_row *row, struct budget *budget) {
    if (!row->node.remote.key || (row->node.work & TREE_WORK_NAME))
        return 0;
    int there = is_there(tree, row);
    if (there)
        return there < 0 ? there : 0;
    if (budget->changes)
        budget->changes--;
    tree_row_add_work(tree, row, TREE_WORK_NAME, false);
    return tree_row_store(tree, row);
}

/* Keys that cannot be files. A common prefix of such that is to move is not known well enough: TREE_UNKNOWN. */
static int tell_shadow(struct tree *tree, struct tree_row *shadow, struct budget *budget) {
    if (shadow->node.type != TREE_FOLDER)
        return tell_to_move(tree, shadow, budget);
    int there = is_there(tree, shadow);
    return there < 0 ? there : there ? 0 : TREE_UNKNOWN;
}

static int tell_shadows(struct tree *tree, uint64_t folder, struct budget *budget) {
    for (uint64_t after = 0;;) {
        AUTO_ROWS struct tree_row row = {0};
        AUTO_ROW sqlite3_stmt *from = NULL;
        int r = tree_sql_row(&tree->sql, &from,
                             "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_shadow WHERE holder=? AND holder<>0"
                             " AND ino>? ORDER BY ino LIMIT 1",
                             WITH(INT(folder), INT(after)));
        if (r <= 0)
            return r;
        r = tree_row_read(tree, from, &row);
        tree_sql_done(&from);
        if (!r)
            r = tell_shadow(tree, &row, budget);
        if (r)
            return r;
        after = row.node.ino;
    }
}

/* ---- A folder's own key ---- */

/* The marker is carried over as it is: it has bytes in it, or metadata that is not known here. */
static int carry_marker(struct tree *tree, const struct tree_row *folder, const struct tree_remote *old) {
    struct tree_row shadow = {.holder = folder->node.ino, .tail = (char *)(uintptr_t) "", .owns = true};
    shadow.node = (struct tree_node){.name = (char *)(uintptr_t) "",
                                     .type = TREE_FILE,
                                     .kept_uid = -1,
                                     .kept_gid = -1,
                                     .size = old->size,
                                     .content = old->content,
                                     .remote = *old};
    tree_row_add_work(tree, &shadow, TREE_WORK_NAME, false);
    int r = tree_next_change(tree, &shadow.node.change);
    return r ? r : tree_row_insert(tree, &shadow);
}

static int move_marker(struct tree *tree, struct tree_row *folder, const struct tree_row *before) {
    const struct tree_remote *old = &before->node.remote;
    bool plain = !old->size && *old->etag && before->head != HEAD_NEVER && before->head != HEAD_OUTDATED;
    if (!plain)
        return carry_marker(tree, folder, old);
    tree_row_add_work(tree, folder, TREE_WORK_CONTENT, false);
    int r = tree_row_store(tree, folder);
    return r ? r : tree_gone_add(tree, old, folder->node.ino);
}

static int keep_visible(struct tree *tree, struct tree_row *folder) {
    int r = tree_row_has_children(tree, folder->node.ino);
    if (!r)
        r = tree_row_has_shadows(tree, folder->node.ino);
    if (r)
        return r < 0 ? r : 0;
    tree_row_add_work(tree, folder, TREE_WORK_CONTENT, false);
    return tree_row_store(tree, folder);
}

static int switch_prefix(struct tree *tree, struct tree_row *folder, const char *path) {
    AUTO_ROWS struct tree_row before = {0};
    int r = tree_row_load(tree, folder->node.ino, &before);
    if (!r)
        r = tree_row_set(&folder->node.remote.key, path);
    free(TAKE(folder->node.remote.etag));
    free(TAKE(folder->node.remote.version));
    folder->node.remote.size = 0;
    folder->node.remote.modified_s = 0;
    folder->owns = true;
    folder->changed |= ROW_KEY | ROW_BODY;
    if (!r)
        r = tree_next_change(tree, &folder->node.change);
    if (!r)
        r = tree_row_store(tree, folder);
    if (!r)
        r = tree_path_note_arrival(tree, folder->node.parent, path);
    if (r)
        return r;
    return before.node.remote.etag ? move_marker(tree, folder, &before) : keep_visible(tree, folder);
}

/* All in it has been told. */
static int leave_folder(struct tree *tree, const struct tree_walk *walk, uint64_t ino, struct budget *budget) {
    AUTO_ROWS struct tree_row row = {0};
    AUTO_FREE char *path = NULL;
    int r = tell_shadows(tree, ino, budget);
    if (!r)
        r = tree_row_load(tree, ino, &row);
    if (!r)
        r = tree_path_folder(tree, ino, &path);
    if (r)
        return r;
    if (ino == walk->folder)
        tree_row_drop_work(&row, TREE_WORK_NAME);
    if (row.expanding || row.changed) {
        row.expanding = false;
        row.changed |= ROW_BODY;
        r = tree_row_store(tree, &row);
    }
    if (!r && strcmp(path, row.node.remote.key) != 0)
        r = switch_prefix(tree, &row, path);
    return r ? r : tree_journal_merge_marker(tree, ino);
}

/* ---- Steps ---- */

/* A folder with a move of its own is left alone. */
static int enter_folder(struct tree *tree, struct tree_walk *walk, const struct tree_row *row) {
    if (row->node.work & TREE_WORK_NAME)
        return 0;
    int known = row->complete ? 1 : is_there(tree, row);
    return known < 0 ? known : known ? descend(walk, row->node.ino) : TREE_UNKNOWN;
}

static int next_child(struct tree *tree, const struct tree_step *step, struct tree_row *row) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_child WHERE parent=? AND parent<>0 AND ino>?"
                         " ORDER BY ino LIMIT 1",
                         WITH(INT(step->ino), INT(step->after)));
    if (r <= 0)
        return r;
    r = tree_row_read(tree, from, row);
    return r ? r : 1;
}

static int one_step(struct tree *tree, struct tree_walk *walk, struct budget *budget) {
    AUTO_ROWS struct tree_row row = {0};
    struct tree_step *step = &walk->steps[walk->depth - 1];
    int r = next_child(tree, step, &row);
    if (r < 0)
        return r;
    budget->looks--;
    if (!r) {
        r = leave_folder(tree, walk, step->ino, budget);
        walk->depth--;
        return r;
    }
    step->after = row.node.ino;
    return row.node.type == TREE_FOLDER ? enter_folder(tree, walk, &row) : tell_to_move(tree, &row, budget);
}

static int expand(struct tree *tree, uint64_t folder, size_t limit, bool *left) {
    AUTO_ROWS struct tree_row row = {0};
    struct budget budget = {limit, limit * LOOKS_PER_CHANGE};
    struct tree_walk *walk = NULL;
    *left = false;
    int r = tree_row_load(tree, folder, &row);
    if (r || !row.node.parent || !(row.node.work & TREE_WORK_NAME))
        return r;
    if (!row.complete)
        return TREE_UNKNOWN;
    if (!row.expanding)
        r = tree_sql_run(&tree->sql, "UPDATE node SET expanding=1 WHERE ino=?", WITH(INT(folder)));
    if (!r)
        r = start_walk(tree, folder, &walk);
    tree->walking = walk;
    while (!r && walk->depth && budget.changes && budget.looks)
        r = one_step(tree, walk, &budget);
    *left = r || walk->depth;
    if (!*left)
        tree_move_forget(tree, folder);
    return r;
}

int tree_move_expand(struct tree *tree, uint64_t folder, size_t limit, bool *left) {
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, expand(tree, folder, limit ? limit : 1, left));
}
