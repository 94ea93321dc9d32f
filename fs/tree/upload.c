/* Attempts to write, and multipart uploads under way: in the journal before the first byte leaves. */
#include "fs/tree/inside.h"

int tree_attempt_clear(struct tree *tree, uint64_t ino) {
    int r = tree_sql_run(&tree->sql, "DELETE FROM part WHERE ino=?", WITH(INT(ino)));
    return r ? r : tree_sql_run(&tree->sql, "DELETE FROM attempt WHERE ino=?", WITH(INT(ino)));
}

int tree_attempt_give_up(struct tree *tree, uint64_t ino) {
    return tree_sql_run(&tree->sql,
                        "INSERT OR IGNORE INTO unseen SELECT key,write_id,unixepoch() FROM attempt WHERE ino=?",
                        WITH(INT(ino)));
}

int tree_unseen_settle(struct tree *tree, const char *key) {
    return tree_sql_run(&tree->sql, "DELETE FROM unseen WHERE key=?", WITH(TEXT(key)));
}

int tree_unseen_at(struct tree *tree, const char *key, char **ids) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    int r = tree_sql_row(&tree->sql, &row,
                         "SELECT group_concat(write_id,' ') FROM (SELECT write_id FROM unseen WHERE key=?1"
                         " UNION SELECT write_id FROM attempt WHERE key=?1)",
                         WITH(TEXT(key)));
    return r > 0 ? tree_sql_copy(row, 0, ids) : r;
}

int tree_upload_drop(struct tree *tree, uint64_t ino) {
    int r = tree_sql_run(&tree->sql,
                         "INSERT OR IGNORE INTO dropped(upload,key)"
                         " SELECT upload,key FROM attempt WHERE ino=? AND upload IS NOT NULL",
                         WITH(INT(ino)));
    if (!r)
        r = tree_sql_run(&tree->sql, "UPDATE attempt SET upload=NULL WHERE ino=? AND upload IS NOT NULL",
                         WITH(INT(ino)));
    if (r || map_get(&tree->claims, ino)) /* it may be on its way: others wait for it */
        return r ? r : tree_sql_run(&tree->sql, "DELETE FROM part WHERE ino=?", WITH(INT(ino)));
    return tree_attempt_clear(tree, ino);
}

/* Another node's object stands there, to be overwritten: a cycle of renames is being broken. Whatever comes of it, that
 * node does not count on the key any more: its bytes are here, or readable by version. */
static int displace(struct tree *tree, uint64_t ino, const char *key) {
    AUTO_ROWS struct tree_row other = {0};
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? AND ino<>?"
                         " AND retag IS NOT NULL AND (rversion IS NOT NULL OR spool<>0 OR type<>1) LIMIT 1",
                         WITH(TEXT(key), INT(ino)));
    if (r <= 0)
        return r;
    r = tree_row_read(tree, from, &other);
    tree_sql_done(&from);
    if (!r)
        r = tree_row_overtake(tree, ino, key);
    return r ? r : tree_gone_add(tree, &other.node.remote, other.node.ino);
}

int tree_attempt_awaited(struct tree *tree, const char *key, uint64_t but) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r =
        tree_sql_row(&tree->sql, &from, "SELECT ino FROM attempt WHERE key=? AND ino<>?", WITH(TEXT(key), INT(but)));
    for (; r > 0; r = tree_sql_next(&tree->sql, from))
        if (map_get(&tree->claims, (uint64_t)tree_sql_number(from, 0)))
            return 1;
    return r;
}

/* Since the work was described, the key's old object may have been taken for deleting, or another node may have begun
 * to write there: neither could tell this write from somebody else's. */
static int is_busy(struct tree *tree, uint64_t ino, const char *key) {
    int r = tree_gone_claimed(tree, key) ? 1 : tree_attempt_awaited(tree, key, ino);
    return r > 0 ? TREE_STALE : r;
}

/* A node that lost its name since is not written any more: its removal knew of no attempt, and nobody would delete what
 * this one left if the process died. An attempt before this one, at another key, may have arrived. */
static int begin(struct tree *tree, uint64_t ino, const char *key, const char *write_id) {
    AUTO_ROWS struct tree_row row = {0};
    int r = is_busy(tree, ino, key);
    if (!r)
        r = tree_row_load(tree, ino, &row);
    if (!r && !tree_row_named(&row))
        r = TREE_STALE;
    if (!r)
        r = tree_gone_add_attempt(tree, ino);
    if (!r)
        r = tree_upload_drop(tree, ino);
    if (!r)
        r = displace(tree, ino, key);
    return r ? r
             : tree_sql_run(&tree->sql, "INSERT OR REPLACE INTO attempt VALUES(?,?,?,?,?,NULL,0,0)",
                            WITH(INT(ino), TEXT(key), TEXT(write_id), TEXT(row.node.content), INT(row.node.size)));
}

int tree_write_begin(struct tree *tree, uint64_t ino, const char *key, const char *write_id) {
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, begin(tree, ino, key, write_id));
}

static int note_upload(struct tree *tree, uint64_t ino, const char *upload, uint64_t generation, uint64_t part_size) {
    int r = tree_sql_run(&tree->sql, "UPDATE attempt SET upload=?,generation=?,part_size=? WHERE ino=?",
                         WITH(TEXT(upload), INT(generation), INT(part_size), INT(ino)));
    return r ? r : sqlite3_changes(tree->sql.db) ? 0 : -ENOENT;
}

int tree_upload_begin(struct tree *tree, uint64_t ino, const char *upload, uint64_t generation, uint64_t part_size) {
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, note_upload(tree, ino, upload, generation, part_size));
}

int tree_upload_part(struct tree *tree, uint64_t ino, unsigned number, const char *etag, uint64_t size,
                     uint64_t generation) {
    int r = tree_begin(tree);
    if (r)
        return r;
    r = tree_sql_run(&tree->sql, "INSERT OR REPLACE INTO part VALUES(?,?,?,?,?)",
                     WITH(INT(ino), INT(number), TEXT(etag), INT(size), INT(generation)));
    return tree_end(tree, r);
}

/* ---- Reading ---- */

void tree_parts_free(struct tree_part *parts, size_t count) {
    for (size_t i = 0; parts && i < count; i++)
        free(parts[i].etag);
    free(parts);
}

static int read_parts(struct tree *tree, uint64_t ino, struct tree_part *parts, size_t *count) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    size_t most = *count;
    *count = 0;
    int r = tree_sql_row(&tree->sql, &row, "SELECT number,etag,size,generation FROM part WHERE ino=? ORDER BY number",
                         WITH(INT(ino)));
    for (; r > 0 && *count < most; r = tree_sql_next(&tree->sql, row)) {
        struct tree_part *part = &parts[*count];
        *part = (struct tree_part){.number = (unsigned)tree_sql_number(row, 0),
                                   .size = (uint64_t)tree_sql_number(row, 2),
                                   .generation = (uint64_t)tree_sql_number(row, 3)};
        if (tree_sql_copy(row, 1, &part->etag))
            return -ENOMEM;
        ++*count;
    }
    return r < 0 ? r : 0;
}

static int collect_parts(struct tree *tree, uint64_t ino, struct tree_part **parts, size_t *count) {
    int64_t number;
    int r = tree_sql_integer(&tree->sql, &number, 0, "SELECT count(*) FROM part WHERE ino=?", WITH(INT(ino)));
    if (r)
        return r;
    *count = (size_t)number;
    *parts = calloc(*count ? *count : 1, sizeof **parts);
    if (!*parts)
        return -ENOMEM;
    r = read_parts(tree, ino, *parts, count);
    if (r) {
        tree_parts_free(*parts, *count);
        *parts = NULL;
        *count = 0;
    }
    return r;
}

int tree_upload_parts(struct tree *tree, uint64_t ino, struct tree_part **parts, size_t *count) {
    *parts = NULL;
    *count = 0;
    tree_lock(tree);
    int r = collect_parts(tree, ino, parts, count);
    tree_unlock(tree);
    return r;
}

/* ---- Lists of texts ---- */

struct strings {
    char **keys, **uploads; /* owned */
    size_t count;
};

static void free_strings(struct strings *strings) {
    for (size_t i = 0; i < strings->count; i++) {
        free(strings->keys[i]);
        free(strings->uploads[i]);
    }
    free(strings->keys);
    free(strings->uploads);
    *strings = (struct strings){0};
}

static int grow(struct strings *strings, size_t *capacity) {
    size_t next = *capacity ? *capacity * 2 : 16;
    char **keys = realloc(strings->keys, next * sizeof *keys);
    if (!keys)
        return -ENOMEM;
    strings->keys = keys;
    char **uploads = realloc(strings->uploads, next * sizeof *uploads);
    if (!uploads)
        return -ENOMEM;
    strings->uploads = uploads;
    *capacity = next;
    return 0;
}

/* The rows of a statement with two texts. */
static int read_texts(struct tree *tree, const char *sql, struct strings *out) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    size_t capacity = 0;
    int r = tree_sql_row(&tree->sql, &row, sql, WITHOUT);
    for (; r > 0; r = tree_sql_next(&tree->sql, row)) {
        if (out->count == capacity && grow(out, &capacity))
            return -ENOMEM;
        size_t at = out->count++;
        out->keys[at] = out->uploads[at] = NULL;
        if (tree_sql_copy(row, 0, &out->keys[at]) || tree_sql_copy(row, 1, &out->uploads[at]))
            return -ENOMEM;
    }
    return r;
}

static int collect_texts(struct tree *tree, const char *sql, char ***first, char ***second, size_t *count) {
    struct strings strings = {0};
    tree_lock(tree);
    int r = read_texts(tree, sql, &strings);
    tree_unlock(tree);
    if (r)
        free_strings(&strings);
    *first = strings.keys;
    *second = strings.uploads;
    *count = strings.count;
    return r;
}

int tree_upload_dropped(struct tree *tree, char ***keys, char ***uploads, size_t *count) {
    return collect_texts(tree, "SELECT key,upload FROM dropped", keys, uploads, count);
}

int tree_writes_unseen(struct tree *tree, char ***keys, char ***ids, size_t *count) {
    return collect_texts(tree, "SELECT key,write_id FROM unseen UNION SELECT key,write_id FROM attempt", keys, ids,
                         count);
}

int tree_upload_aborted(struct tree *tree, const char *upload) {
    int r = tree_begin(tree);
    if (r)
        return r;
    return tree_end(tree, tree_sql_run(&tree->sql, "DELETE FROM dropped WHERE upload=?", WITH(TEXT(upload))));
}
