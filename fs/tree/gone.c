/* Keys that were removed here and have still to be deleted from the bucket.
 *
 *   state        row                    leaves it by
 *   waiting      done=0                 tree_gone_claim; a node that takes the key over (tree_work_done)
 *   claimed      done=0, in gone_claims tree_gone_end
 *   done         done=change number     the end of the last listing that began before (tree_gone_sweep)
 */
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>

/* FNV-1a. Two keys with one hash only make one of them wait. */
static uint64_t hash(const char *key) {
    uint64_t h = 0xcbf29ce484222325ull;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 0x100000001b3ull;
    return h ? h : 1;
}

bool tree_gone_claimed(struct tree *tree, const char *key) {
    return tree->gone_claims.count && map_get(&tree->gone_claims, hash(key));
}

void tree_gone_row_finish(struct tree_gone_row *row) {
    free(row->gone.key);
    free(row->gone.etag);
    free(row->gone.version);
    free(row->gone.content);
    free(row->gone.write_id);
    *row = (struct tree_gone_row){0};
}

#define GONE_COLUMNS "key,etag,version,content,size,looked,done,ino"

static int read_row(sqlite3_stmt *from, struct tree_gone_row *out) {
    *out =
        (struct tree_gone_row){.gone = {.size = (uint64_t)tree_sql_number(from, 4), .looked = tree_sql_number(from, 5)},
                               .ino = (uint64_t)tree_sql_number(from, 7),
                               .done = tree_sql_number(from, 6),
                               .done_change = (uint64_t)tree_sql_number(from, 6)};
    char **const fields[] = {&out->gone.key, &out->gone.etag, &out->gone.version, &out->gone.content};
    int r = 0;
    for (int i = 0; i < 4; i++)
        if (tree_sql_copy(from, i, fields[i]))
            r = -ENOMEM;
    if (r)
        tree_gone_row_finish(out);
    return r;
}

int tree_gone_load(struct tree *tree, const char *key, struct tree_gone_row *row) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    *row = (struct tree_gone_row){0};
    int r = tree_sql_row(&tree->sql, &from, "SELECT " GONE_COLUMNS " FROM gone WHERE key=?", WITH(TEXT(key)));
    if (r <= 0)
        return r;
    r = read_row(from, row);
    return r ? r : 1;
}

static int owned(struct tree *tree, const char *key) {
    return tree_sql_any(&tree->sql, "SELECT 1 FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? LIMIT 1",
                        WITH(TEXT(key)));
}

/* A folder's prefix is its own without an object being there. */
static int object_owned(struct tree *tree, const char *key) {
    return text_ends(key, "/") ? tree_sql_any(&tree->sql,
                                              "SELECT 1 FROM node INDEXED BY node_key WHERE owns=1 AND rkey=?"
                                              " AND retag IS NOT NULL LIMIT 1",
                                              WITH(TEXT(key)))
                               : owned(tree, key);
}

int tree_gone_add(struct tree *tree, const struct tree_remote *remote, uint64_t ino) {
    int r = object_owned(tree, remote->key);
    if (r)
        return r < 0 ? r : 0;
    tree_tell_work(tree);
    const char *etag = remote->etag && *remote->etag ? remote->etag : NULL;
    return tree_sql_run(&tree->sql,
                        "INSERT INTO gone VALUES(?1,?2,?3,?4,?5,?6,0,0,?7,0) ON CONFLICT(key) DO UPDATE SET"
                        " ino=?2, etag=?3, version=?4, content=?5, size=?6, looked=0, done=0, due_ms=?7, attempts=0",
                        WITH(TEXT(remote->key), INT(ino), TEXT(etag), TEXT(remote->version), TEXT(remote->content),
                             INT(remote->size), INT(tree_now_ms() + tree->options.rest_ms)));
}

/* The ETag is one that no object has, so that the object is looked at by its pail-write and pail-content. */
static int add_attempt(struct tree *tree, uint64_t ino, sqlite3_stmt *from) {
    const char *key = tree_sql_column(from, 0);
    int r = tree_attempt_give_up(tree, ino);
    if (!r)
        r = object_owned(tree, key);
    if (r)
        return r < 0 ? r : 0;
    tree_tell_work(tree);
    return tree_sql_run(&tree->sql,
                        "INSERT INTO gone VALUES(?1,?2,'-',NULL,?3,?4,0,0,?5,0) ON CONFLICT(key) DO UPDATE SET done=0",
                        WITH(TEXT(key), INT(ino), TEXT(tree_sql_column(from, 1)), INT(tree_sql_number(from, 2)),
                             INT(tree_now_ms() + tree->options.rest_ms)));
}

int tree_gone_add_attempt(struct tree *tree, uint64_t ino) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    AUTO_ROWS struct tree_row row = {0};
    AUTO_FREE char *target = NULL;
    int r = tree_sql_row(&tree->sql, &from, "SELECT key, content, size FROM attempt WHERE ino=?", WITH(INT(ino)));
    if (r <= 0)
        return r;
    r = tree_row_load(tree, ino, &row);
    if (!r && tree_row_named(&row))
        r = tree_path_target(tree, &row, &target);
    if (r)
        return r;
    bool wanted = text_equal(target, tree_sql_column(from, 0));
    return wanted ? 0 : add_attempt(tree, ino, from);
}

int tree_gone_forget(struct tree *tree, const char *key) {
    return tree_sql_run(&tree->sql, "DELETE FROM gone WHERE key=?", WITH(TEXT(key)));
}

int tree_gone_sweep(struct tree *tree) {
    uint64_t oldest = UINT64_MAX >> 1;
    for (const struct tree_listing *listing = tree->listings; listing; listing = listing->next)
        if (listing->number < oldest)
            oldest = listing->number;
    return tree_sql_run(&tree->sql, "DELETE FROM gone WHERE done<>0 AND done<=?", WITH(INT(oldest)));
}

/* ---- Handing them out ---- */

void tree_gone_free(struct tree_gone *gone, size_t count) {
    for (size_t i = 0; gone && i < count; i++) {
        free(gone[i].key);
        free(gone[i].etag);
        free(gone[i].version);
        free(gone[i].content);
        free(gone[i].write_id);
    }
    free(gone);
}

/* 1: a node is about to write to the key, which replaces the object. */
static int is_awaited(struct tree *tree, const char *key) {
    AUTO_ROWS struct tree_row row = {0};
    AUTO_FREE char *target = NULL;
    bool unknown;
    int r = tree_path_find(tree, key, &row, &unknown);
    if (r <= 0)
        return r == -ENOTDIR ? 0 : r;
    if (!(row.node.work & (TREE_WORK_CONTENT | TREE_WORK_NAME)))
        return 0;
    r = tree_path_target(tree, &row, &target);
    return r ? r : strcmp(target, key) == 0;
}

/* 1: it may be deleted now. */
static int is_free(struct tree *tree, const struct tree_gone_row *row) {
    const char *key = row->gone.key;
    if (tree_gone_claimed(tree, key) || map_get(&tree->claims, row->ino))
        return 0;
    if (!row->gone.version && map_get(&tree->held, row->ino))
        return 0; /* somebody reads it, and it could not be read any more */
    int r = tree_attempt_awaited(tree, key, 0);
    if (!r)
        r = object_owned(tree, key);
    if (!r)
        r = is_awaited(tree, key);
    return r < 0 ? r : !r;
}

struct catch {
    struct tree_gone *items; /* owned */
    size_t count, limit;
    int64_t next_ms;
};

static int take(struct tree *tree, struct catch *catch, struct tree_gone_row *row) {
    int r = tree_unseen_at(tree, row->gone.key, &row->gone.write_id);
    if (!r)
        r = map_put(&tree->gone_claims, hash(row->gone.key), tree);
    if (r)
        return r;
    catch->items[catch->count++] = row->gone;
    row->gone = (struct tree_gone){0};
    return 0;
}

static int consider(struct tree *tree, sqlite3_stmt *from, struct catch *catch) {
    CLEANUP(tree_gone_row_finish) struct tree_gone_row row = {0};
    int r = read_row(from, &row);
    if (!r)
        r = is_free(tree, &row);
    return r > 0 ? take(tree, catch, &row) : r;
}

static int collect(struct tree *tree, int64_t now_ms, struct catch *catch) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT " GONE_COLUMNS ",due_ms FROM gone INDEXED BY gone_due WHERE done=0 ORDER BY due_ms",
                         WITHOUT);
    while (r > 0 && catch->count < catch->limit) {
        int64_t due = tree_sql_number(from, 8);
        if (due > now_ms) {
            catch->next_ms = due;
            return 0;
        }
        r = consider(tree, from, catch);
        if (!r)
            r = tree_sql_next(&tree->sql, from);
    }
    if (r > 0)
        catch->next_ms = now_ms;
    return r < 0 ? r : 0;
}

int tree_gone_claim(struct tree *tree, int64_t now_ms, size_t limit, struct tree_gone **gone, size_t *count,
                    int64_t *next_ms) {
    struct catch catch = {.limit = limit, .next_ms = INT64_MAX};
    *gone = NULL;
    *count = 0;
    catch.items = calloc(limit ? limit : 1, sizeof *catch.items);
    if (!catch.items)
        return -ENOMEM;
    tree_lock(tree);
    int r = collect(tree, now_ms, &catch);
    if (r)
        for (size_t i = 0; i < catch.count; i++)
            map_remove(&tree->gone_claims, hash(catch.items[i].key));
    tree_unlock(tree);
    if (next_ms)
        *next_ms = catch.next_ms;
    if (r) {
        tree_gone_free(catch.items, catch.count);
        return r;
    }
    *gone = catch.items;
    *count = catch.count;
    return 0;
}

/* ---- What became of them ---- */

/* The folder that the key lay in is to be listed again before it is believed. */
static int doubt_folder(struct tree *tree, const char *key) {
    AUTO_ROWS struct tree_row row = {0};
    bool unknown;
    const char *last = strrchr(key, '/');
    AUTO_FREE char *folder = strndup(key, last ? (size_t)(last - key) : 0);
    if (!folder)
        return -ENOMEM;
    int r = tree_path_find(tree, folder, &row, &unknown);
    if (r > 0)
        tree_listing_forget(tree, row.node.ino);
    return r < 0 && r != -ENOTDIR ? r : 0;
}

static int note_theirs(struct tree *tree, const char *key) {
    return tree_sql_run(&tree->sql, "INSERT INTO conflict(time_s,key,copy) VALUES(?,?,NULL)",
                        WITH(INT(tree_now_ms() / 1000), TEXT(key)));
}

/* Listings under way do not show it again as it was; those that begin now do. */
static int finish(struct tree *tree, const char *key) {
    uint64_t number;
    int r = tree_next_change(tree, &number);
    if (!r)
        r = tree_sql_run(&tree->sql, "UPDATE gone SET done=? WHERE key=?", WITH(INT(number), TEXT(key)));
    if (!r)
        r = tree_unseen_settle(tree, key);
    return r ? r : tree_gone_sweep(tree);
}

static int end(struct tree *tree, const char *key, enum tree_gone_end end, int64_t delay_ms) {
    int r = tree_sql_any(&tree->sql, "SELECT 1 FROM gone WHERE key=? AND done=0", WITH(TEXT(key)));
    if (r <= 0)
        return r; /* a node has taken the key over meanwhile */
    if (end == TREE_GONE_LATER)
        return tree_sql_run(&tree->sql, "UPDATE gone SET due_ms=?, attempts=attempts+1 WHERE key=?",
                            WITH(INT(tree_now_ms() + delay_ms), TEXT(key)));
    r = finish(tree, key);
    if (r || end != TREE_GONE_THEIRS)
        return r;
    r = note_theirs(tree, key);
    return r ? r : doubt_folder(tree, key);
}

int tree_gone_end(struct tree *tree, const char *key, enum tree_gone_end how, int64_t delay_ms) {
    int r = tree_begin(tree);
    if (r)
        return r;
    map_remove(&tree->gone_claims, hash(key));
    return tree_end(tree, end(tree, key, how, delay_ms));
}

int tree_gone_look(struct tree *tree, const char *key) {
    int r = tree_begin(tree);
    if (r)
        return r;
    return tree_end(tree, tree_sql_run(&tree->sql, "UPDATE gone SET looked=1 WHERE key=?", WITH(TEXT(key))));
}
