/* Paths, which are derived from (parent, name), and names that are fit for one. */
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>

#define LONGEST                                                                                                        \
    8192u /* a folder's rename can make paths longer than S3's keys where the names below were not known               \
           */

/* Filled from its end. */
struct backwards {
    char text[LONGEST];
    size_t start;
};

static int prepend(struct backwards *path, const char *piece, size_t size) {
    if (size > path->start)
        return -ENAMETOOLONG;
    path->start -= size;
    memcpy(path->text + path->start, piece, size);
    return 0;
}

static char *finish(const struct backwards *path) {
    return strndup(path->text + path->start, sizeof path->text - path->start);
}

/* Puts "name/" of each folder from `folder` up before what is there. */
static int prepend_folders(struct tree *tree, uint64_t folder, struct backwards *path) {
    while (folder != TREE_ROOT) {
        AUTO_ROW sqlite3_stmt *row = NULL;
        int r = tree_sql_row(&tree->sql, &row, "SELECT parent, name FROM node WHERE ino=?", WITH(INT(folder)));
        if (r <= 0)
            return r ? r : -ENOENT;
        const char *name = tree_sql_column(row, 1);
        uint64_t parent = (uint64_t)tree_sql_number(row, 0);
        if (!parent)
            return -ENOENT;
        r = prepend(path, "/", 1);
        if (!r)
            r = prepend(path, name, strlen(name));
        if (r)
            return r;
        folder = parent;
    }
    return 0;
}

int tree_path_folder(struct tree *tree, uint64_t folder, char **path) {
    struct backwards back = {.start = LONGEST};
    int r = prepend_folders(tree, folder, &back);
    if (r)
        return r;
    *path = finish(&back);
    return *path ? 0 : -ENOMEM;
}

static int path_of(struct tree *tree, const struct tree_row *row, const char *last, char **path) {
    struct backwards back = {.start = LONGEST};
    uint64_t folder = row->holder ? row->holder : row->node.parent;
    if (row->node.ino == TREE_ROOT)
        return tree_path_folder(tree, TREE_ROOT, path);
    if (!folder)
        return -ENOENT;
    int r = row->node.type == TREE_FOLDER && !row->holder ? prepend(&back, "/", 1) : 0;
    if (!r)
        r = prepend(&back, last, strlen(last));
    if (!r)
        r = prepend_folders(tree, folder, &back);
    if (r)
        return r;
    *path = finish(&back);
    return *path ? 0 : -ENOMEM;
}

int tree_path_target(struct tree *tree, const struct tree_row *row, char **key) {
    return path_of(tree, row, row->tail ? row->tail : row->node.name, key);
}

int tree_path_shown(struct tree *tree, const struct tree_row *row, char **path) {
    return path_of(tree, row, row->holder ? row->tail : row->node.name, path);
}

int tree_path_below(struct tree *tree, uint64_t ino, uint64_t folder) {
    while (ino && ino != folder) {
        int64_t parent;
        int r = tree_sql_integer(&tree->sql, &parent, 0, "SELECT parent+holder FROM node WHERE ino=?", WITH(INT(ino)));
        if (r)
            return r;
        ino = (uint64_t)parent;
    }
    return ino == folder;
}

int tree_path_note_arrival(struct tree *tree, uint64_t folder, const char *key) {
    while (folder && folder != TREE_ROOT) {
        AUTO_ROW sqlite3_stmt *row = NULL;
        int r =
            tree_sql_row(&tree->sql, &row, "SELECT parent, rkey, expanding FROM node WHERE ino=?", WITH(INT(folder)));
        if (r <= 0)
            return r;
        uint64_t parent = (uint64_t)tree_sql_number(row, 0);
        const char *prefix = tree_sql_column(row, 1);
        bool news = !tree_sql_number(row, 2) && prefix && !text_starts(key, prefix);
        tree_sql_done(&row);
        if (news)
            r = tree_sql_run(&tree->sql, "UPDATE node SET expanding=1 WHERE ino=?", WITH(INT(folder)));
        if (r < 0)
            return r;
        folder = parent;
    }
    return 0;
}

char *tree_path_end(const char *prefix) {
    size_t size = strlen(prefix);
    char *end = size ? strdup(prefix) : strdup("\xff"); /* no UTF-8 begins with it */
    if (end && size)
        end[size - 1]++;
    return end;
}

int tree_path_check_name(const char *name) {
    size_t size = strlen(name);
    if (!size || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    if (size > TREE_MAX_NAME)
        return -ENAMETOOLONG;
    return text_is_utf8(name, size) ? 0 : -EILSEQ;
}

/* One step down. 1: found. */
static int step(struct tree *tree, struct tree_row *row, const char *name, size_t size, bool *unknown) {
    AUTO_FREE char *piece = strndup(name, size);
    AUTO_ROWS struct tree_row child = {0};
    if (!piece)
        return -ENOMEM;
    if (row->node.type != TREE_FOLDER)
        return -ENOTDIR;
    int r = tree_row_find(tree, row->node.ino, piece, &child);
    if (r == 0)
        *unknown = !row->complete;
    if (r <= 0)
        return r;
    tree_row_finish(row);
    *row = child;
    child = (struct tree_row){0};
    return 1;
}

int tree_path_find(struct tree *tree, const char *path, struct tree_row *row, bool *unknown) {
    *unknown = false;
    int r = tree_row_load(tree, TREE_ROOT, row);
    r = r ? r : 1;
    while (r > 0 && *path) {
        size_t size = strcspn(path, "/");
        if (size && !(size == 1 && *path == '.'))
            r = step(tree, row, path, size, unknown);
        path += size;
        path += strspn(path, "/");
    }
    if (r <= 0)
        tree_row_finish(row);
    return r;
}

int tree_path(struct tree *tree, uint64_t ino, char **path) {
    AUTO_ROWS struct tree_row row = {0};
    tree_lock(tree);
    int r = tree_row_load(tree, ino, &row);
    if (!r)
        r = tree_path_shown(tree, &row, path);
    tree_unlock(tree);
    return r;
}

int tree_find(struct tree *tree, const char *path, struct tree_node *out) {
    AUTO_ROWS struct tree_row row = {0};
    bool unknown;
    tree_lock(tree);
    int r = tree_path_find(tree, path, &row, &unknown);
    if (r > 0)
        tree_row_take(&row, out);
    tree_unlock(tree);
    return r > 0 ? 0 : r ? r : unknown ? TREE_UNKNOWN : -ENOENT;
}
