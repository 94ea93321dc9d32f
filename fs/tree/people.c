/* For people: how much there is, what is unsent, what cannot be shown; and hastening. */
#include "base/text.h"
#include "fs/tree/inside.h"

static int count(struct tree *tree, uint64_t *out, const char *sql) {
    int64_t number;
    int r = tree_sql_integer(&tree->sql, &number, 0, sql, WITHOUT);
    *out = (uint64_t)number;
    return r;
}

static int count_all(struct tree *tree, struct tree_totals *out) {
    int r = count(tree, &out->nodes, "SELECT count(*) FROM node INDEXED BY node_child WHERE parent<>0");
    if (!r)
        r = count(tree, &out->unsent, "SELECT count(*) FROM node INDEXED BY node_due WHERE work<>0");
    if (!r)
        r = count(tree, &out->unsent_bytes,
                  "SELECT sum(size) FROM node INDEXED BY node_due WHERE work<>0 AND work&1=1");
    if (!r)
        r = count(tree, &out->deletes, "SELECT count(*) FROM gone INDEXED BY gone_due WHERE done=0");
    if (!r)
        r = count(tree, &out->problems,
                  "SELECT count(*) FROM node INDEXED BY node_due WHERE work<>0 AND problem IS NOT NULL");
    if (!r)
        r = count(tree, &out->hidden, "SELECT count(*) FROM node INDEXED BY node_shadow WHERE holder<>0 AND tail<>''");
    return r ? r : count(tree, &out->conflicts, "SELECT count(*) FROM conflict");
}

int tree_totals(struct tree *tree, struct tree_totals *out) {
    *out = (struct tree_totals){0};
    tree_lock(tree);
    int r = count_all(tree, out);
    tree_unlock(tree);
    out->nodes++; /* the root */
    return r;
}

int tree_unsent_replaces(struct tree *tree, uint64_t *bytes) {
    tree_lock(tree);
    int r = count(tree, bytes, "SELECT sum(rsize) FROM node INDEXED BY node_due WHERE work<>0 AND work&1=1");
    tree_unlock(tree);
    return r;
}

/* ---- Unsent ---- */

static int visit_one(struct tree *tree, const struct tree_row *row,
                     int (*visit)(void *context, const char *path, const struct tree_node *node), void *context) {
    AUTO_FREE char *path = NULL;
    int r = tree_path_shown(tree, row, &path);
    return r ? r : visit(context, path, &row->node);
}

static int visit_unsent(struct tree *tree, uint64_t folder, size_t limit,
                        int (*visit)(void *context, const char *path, const struct tree_node *node), void *context) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_due WHERE work<>0 ORDER BY since_ms, ino",
                         WITHOUT);
    for (; r > 0 && limit; r = tree_sql_next(&tree->sql, from)) {
        struct tree_row row;
        tree_row_borrow(tree, from, &row);
        r = folder == TREE_ROOT ? 1 : tree_path_below(tree, row.node.ino, folder);
        if (r > 0) {
            limit--;
            r = visit_one(tree, &row, visit, context);
        }
        if (r)
            return r;
    }
    return r < 0 ? r : 0;
}

int tree_unsent(struct tree *tree, uint64_t folder, size_t limit,
                int (*visit)(void *context, const char *path, const struct tree_node *node), void *context) {
    tree_lock(tree);
    int r = visit_unsent(tree, folder, limit, visit, context);
    tree_unlock(tree);
    return r;
}

/* ---- Keys that cannot be files ---- */

int tree_hidden(struct tree *tree, size_t limit, int (*visit)(void *context, const char *key), void *context) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    tree_lock(tree);
    int r =
        tree_sql_row(&tree->sql, &from,
                     "SELECT rkey FROM node INDEXED BY node_shadow WHERE holder<>0 AND tail<>'' ORDER BY rkey LIMIT ?",
                     WITH(INT(limit)));
    int stop = 0;
    for (; r > 0 && !stop; r = tree_sql_next(&tree->sql, from))
        stop = visit(context, tree_sql_column(from, 0));
    tree_sql_done(&from);
    tree_unlock(tree);
    return r < 0 ? r : stop;
}

/* ---- Work below a folder ---- */

/* Where keys of the folder may be: its path, and where they still are. */
struct ranges {
    char *path, *path_end, *key, *key_end; /* owned */
};

static void ranges_finish(struct ranges *ranges) {
    free(ranges->path);
    free(ranges->path_end);
    free(ranges->key);
    free(ranges->key_end);
}

static int find_ranges(struct tree *tree, const struct tree_row *row, struct ranges *out) {
    int r = tree_path_folder(tree, row->node.ino, &out->path);
    if (r)
        return r;
    out->key = strdup(row->node.remote.key ? row->node.remote.key : out->path);
    out->path_end = tree_path_end(out->path);
    out->key_end = out->key ? tree_path_end(out->key) : NULL;
    return out->path_end && out->key_end ? 0 : -ENOMEM;
}

#define RANGES(r) WITH(TEXT((r).path), TEXT((r).path_end), TEXT((r).key), TEXT((r).key_end))

/* 1: yes. */
static int gone_below(struct tree *tree, const struct tree_row *row) {
    CLEANUP(ranges_finish) struct ranges ranges = {0};
    int r = find_ranges(tree, row, &ranges);
    return r ? r
             : tree_sql_any(
                   &tree->sql,
                   "SELECT 1 FROM gone WHERE done=0 AND ((key>=?1 AND key<?2) OR (key>=?3 AND key<?4)) LIMIT 1",
                   RANGES(ranges));
}

static int work_below(struct tree *tree, uint64_t folder) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from, "SELECT ino FROM node INDEXED BY node_due WHERE work<>0", WITHOUT);
    for (; r > 0; r = tree_sql_next(&tree->sql, from)) {
        int below = folder == TREE_ROOT ? 1 : tree_path_below(tree, (uint64_t)tree_sql_number(from, 0), folder);
        if (below)
            return below;
    }
    return r;
}

static int has_work(struct tree *tree, uint64_t ino, bool *out) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, ino, &row);
    if (r)
        return r;
    *out = row.node.work;
    if (*out || row.node.type != TREE_FOLDER || !tree_row_named(&row))
        return 0;
    r = work_below(tree, ino);
    if (!r)
        r = gone_below(tree, &row);
    *out = r > 0;
    return r < 0 ? r : 0;
}

int tree_has_work(struct tree *tree, uint64_t ino, bool *out) {
    tree_lock(tree);
    int r = has_work(tree, ino, out);
    tree_unlock(tree);
    return r;
}

/* ---- Hastening ---- */

static int hasten_all(struct tree *tree) {
    int r = tree_sql_run(&tree->sql, "UPDATE node SET due_ms=0 WHERE work<>0 AND due_ms<>0", WITHOUT);
    return r ? r : tree_sql_run(&tree->sql, "UPDATE gone SET due_ms=0 WHERE done=0 AND due_ms<>0", WITHOUT);
}

static int hasten_gone(struct tree *tree, const struct tree_row *row) {
    CLEANUP(ranges_finish) struct ranges ranges = {0};
    int r = find_ranges(tree, row, &ranges);
    return r ? r
             : tree_sql_run(&tree->sql,
                            "UPDATE gone SET due_ms=0 WHERE done=0 AND ((key>=?1 AND key<?2) OR (key>=?3 AND key<?4))",
                            RANGES(ranges));
}

struct inos {
    uint64_t *items; /* owned */
    size_t count, capacity;
};

static int append(struct inos *inos, uint64_t ino) {
    if (inos->count == inos->capacity) {
        size_t capacity = inos->capacity ? inos->capacity * 2 : 64;
        uint64_t *items = realloc(inos->items, capacity * sizeof *items);
        if (!items)
            return -ENOMEM;
        inos->items = items;
        inos->capacity = capacity;
    }
    inos->items[inos->count++] = ino;
    return 0;
}

static int gather_below(struct tree *tree, uint64_t folder, struct inos *out) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from, "SELECT ino FROM node INDEXED BY node_due WHERE work<>0 AND due_ms<>0",
                         WITHOUT);
    for (; r > 0; r = tree_sql_next(&tree->sql, from)) {
        uint64_t ino = (uint64_t)tree_sql_number(from, 0);
        r = tree_path_below(tree, ino, folder);
        if (r > 0)
            r = append(out, ino);
        if (r < 0)
            return r;
    }
    return r;
}

static int hasten_one(struct tree *tree, uint64_t ino) {
    return tree_sql_run(&tree->sql, "UPDATE node SET due_ms=0 WHERE ino=? AND work<>0", WITH(INT(ino)));
}

static int hasten_below(struct tree *tree, const struct tree_row *row) {
    struct inos inos = {0};
    int r = gather_below(tree, row->node.ino, &inos);
    for (size_t i = 0; !r && i < inos.count; i++)
        r = hasten_one(tree, inos.items[i]);
    free(inos.items);
    return r ? r : hasten_gone(tree, row);
}

static int hasten(struct tree *tree, uint64_t ino) {
    AUTO_ROWS struct tree_row row = {0};
    if (ino == TREE_ROOT)
        return hasten_all(tree);
    int r = tree_row_load(tree, ino, &row);
    if (r)
        return r;
    if (row.node.type != TREE_FOLDER || !tree_row_named(&row))
        return hasten_one(tree, ino);
    return hasten_below(tree, &row);
}

int tree_work_hasten(struct tree *tree, uint64_t ino) {
    int r = tree_begin(tree);
    if (r)
        return r;
    tree_tell_work(tree);
    return tree_end(tree, hasten(tree, ino));
}

/* ---- For content ---- */

static int gather_spools(struct tree *tree, struct inos *inos, struct inos *spools) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT ino,spool FROM node INDEXED BY node_due WHERE work<>0 AND spool<>0 UNION "
                         "SELECT ino,spool FROM node INDEXED BY node_nameless WHERE parent=0 AND spool<>0",
                         WITHOUT);
    for (; r > 0; r = tree_sql_next(&tree->sql, from))
        if (append(inos, (uint64_t)tree_sql_number(from, 0)) || append(spools, (uint64_t)tree_sql_number(from, 1)))
            return -ENOMEM;
    return r;
}

int tree_spools(struct tree *tree, uint64_t **inos, uint64_t **spools, size_t *count) {
    struct inos nodes = {0}, numbers = {0};
    tree_lock(tree);
    int r = gather_spools(tree, &nodes, &numbers);
    tree_unlock(tree);
    if (r) {
        free(TAKE(nodes.items));
        free(TAKE(numbers.items));
    }
    *inos = nodes.items;
    *spools = numbers.items;
    *count = r ? 0 : numbers.count;
    return r;
}
