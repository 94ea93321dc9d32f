/* Nodes as they are on disk: reading, writing, and the small rules that every change keeps. */
#include "base/clock.h"
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>

#define LONGEST_REST_MS 300000 /* a file that is written again and again is due in the end */

/* ---- Reading ---- */

static char *text(sqlite3_stmt *from, int column) {
    return (char *)(uintptr_t)tree_sql_column(from, column);
}

static bool head_known(const struct tree *tree, const struct tree_row *row) {
    if (tree->options.attrs_listing || (row->node.type == TREE_FOLDER && !row->node.remote.etag))
        return true;
    return row->head == HEAD_KNOWN || row->head == HEAD_PASSING || row->head == HEAD_OURS;
}

static void show_head(const struct tree *tree, struct tree_row *row) {
    row->node.remote.head_known = head_known(tree, row);
    row->node.remote.head_outdated = !row->node.remote.head_known && row->head == HEAD_OUTDATED;
}

static void show_owner(const struct tree *tree, struct tree_row *row) {
    bool keep = tree->options.owner_keep;
    row->node.uid = keep && row->node.kept_uid >= 0 ? (uint32_t)row->node.kept_uid : tree->options.uid;
    row->node.gid = keep && row->node.kept_gid >= 0 ? (uint32_t)row->node.kept_gid : tree->options.gid;
}

static void borrow_remote(sqlite3_stmt *from, struct tree_remote *remote) {
    remote->key = text(from, 29);
    remote->etag = text(from, 31);
    remote->version = text(from, 32);
    remote->content = text(from, 33);
    remote->size = (uint64_t)tree_sql_number(from, 34);
    remote->modified_s = tree_sql_number(from, 35);
}

static void borrow_journal(sqlite3_stmt *from, struct tree_row *row) {
    row->attributes_change = (uint64_t)tree_sql_number(from, 18);
    row->dirty = (unsigned)tree_sql_number(from, 19);
    row->node.work = (unsigned)tree_sql_number(from, 20);
    row->due_ms = tree_sql_number(from, 21);
    row->since_ms = tree_sql_number(from, 22);
    row->attempts = (unsigned)tree_sql_number(from, 23);
    row->node.problem = text(from, 24);
    row->head = (enum tree_head_state)tree_sql_number(from, 26);
    row->complete = tree_sql_number(from, 27);
    row->expanding = tree_sql_number(from, 28);
    row->owns = tree_sql_number(from, 30);
}

void tree_row_borrow(struct tree *tree, sqlite3_stmt *from, struct tree_row *row) {
    *row = (struct tree_row){.holder = (uint64_t)tree_sql_number(from, 3),
                             .tail = text(from, 4),
                             .folders = (uint32_t)tree_sql_number(from, 9)};
    row->node = (struct tree_node){.ino = (uint64_t)tree_sql_number(from, 0),
                                   .parent = (uint64_t)tree_sql_number(from, 1),
                                   .name = text(from, 2),
                                   .type = (enum tree_type)tree_sql_number(from, 5),
                                   .mode = (uint32_t)tree_sql_number(from, 6),
                                   .kept_uid = tree_sql_number(from, 7),
                                   .kept_gid = tree_sql_number(from, 8),
                                   .size = (uint64_t)tree_sql_number(from, 10),
                                   .mtime_ns = tree_sql_number(from, 11),
                                   .ctime_ns = tree_sql_number(from, 12),
                                   .target = text(from, 13),
                                   .content = text(from, 14),
                                   .spool = (uint64_t)tree_sql_number(from, 15),
                                   .generation = (uint64_t)tree_sql_number(from, 16),
                                   .change = (uint64_t)tree_sql_number(from, 17),
                                   .archived = tree_sql_number(from, 25)};
    borrow_remote(from, &row->node.remote);
    borrow_journal(from, row);
    row->node.links = row->node.type == TREE_FOLDER ? 2 + row->folders : 1;
    show_head(tree, row);
    show_owner(tree, row);
}

static int own(char **field) {
    if (!*field)
        return 0;
    *field = strdup(*field);
    return *field ? 0 : -ENOMEM;
}

int tree_row_read(struct tree *tree, sqlite3_stmt *from, struct tree_row *row) {
    tree_row_borrow(tree, from, row);
    struct tree_node *node = &row->node;
    struct tree_remote *remote = &node->remote;
    char **const fields[] = {&node->name,   &node->target,    &node->content,   &node->problem, &remote->key,
                             &remote->etag, &remote->version, &remote->content, &row->tail};
    int r = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (own(fields[i]))
            r = -ENOMEM;
    if (r)
        tree_row_finish(row);
    return r;
}

void tree_node_finish(struct tree_node *node) {
    free(node->name);
    free(node->target);
    free(node->content);
    free(node->problem);
    free(node->remote.key);
    free(node->remote.etag);
    free(node->remote.version);
    free(node->remote.content);
    *node = (struct tree_node){0};
}

void tree_row_finish(struct tree_row *row) {
    tree_node_finish(&row->node);
    free(row->tail);
    *row = (struct tree_row){0};
}

static int read_first(struct tree *tree, int found, sqlite3_stmt *from, struct tree_row *row) {
    if (found <= 0)
        return found;
    int r = tree_row_read(tree, from, row);
    return r ? r : 1;
}

int tree_row_load(struct tree *tree, uint64_t ino, struct tree_row *row) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    *row = (struct tree_row){0};
    int r = tree_sql_row(&tree->sql, &from, "SELECT " ROW_COLUMNS " FROM node WHERE ino=?", WITH(INT(ino)));
    r = read_first(tree, r, from, row);
    return r > 0 ? 0 : r ? r : -ENOENT;
}

int tree_row_find(struct tree *tree, uint64_t parent, const char *name, struct tree_row *row) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    *row = (struct tree_row){0};
    int r =
        tree_sql_row(&tree->sql, &from,
                     "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_name WHERE parent=? AND parent<>0 AND name=?",
                     WITH(INT(parent), TEXT(name)));
    return read_first(tree, r, from, row);
}

int tree_row_at_key(struct tree *tree, const char *key, struct tree_row *row) {
    AUTO_ROW sqlite3_stmt *from = NULL;
    *row = (struct tree_row){0};
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? ORDER BY ino",
                         WITH(TEXT(key)));
    return read_first(tree, r, from, row);
}

/* ---- Writing ---- */

int tree_row_insert(struct tree *tree, struct tree_row *row) {
    struct tree_node *node = &row->node;
    int r = tree_next_ino(tree, &node->ino);
    if (r)
        return r;
    row->changed = ROW_BODY;
    r = tree_sql_run(&tree->sql,
                     "INSERT INTO node(ino,parent,name,holder,tail,type,mode,uid,gid,folders,size,mtime_ns,ctime_ns,"
                     "spool,generation,change,attributes_change,dirty,work,due_ms,since_ms,attempts,archived,head,"
                     "complete,expanding,rkey,owns,retag,rversion,rcontent,rsize,rmodified_s,target,content)"
                     "VALUES(?,?,?,?,?,?,?,?,?,0,?,?,?,?,?,?,?,?,?,?,?,0,?,?,?,0,?,?,?,?,?,?,?,?,?)",
                     WITH(INT(node->ino), INT(node->parent), TEXT(node->name), INT(row->holder), TEXT(row->tail),
                          INT(node->type), INT(node->mode), INT(row->node.kept_uid), INT(row->node.kept_gid),
                          INT(node->size), INT(node->mtime_ns), INT(node->ctime_ns), INT(node->spool),
                          INT(node->generation), INT(node->change), INT(row->attributes_change), INT(row->dirty),
                          INT(node->work), INT(row->due_ms), INT(row->since_ms), INT(node->archived), INT(row->head),
                          INT(row->complete), TEXT(node->remote.key), INT(row->owns), TEXT(node->remote.etag),
                          TEXT(node->remote.version), TEXT(node->remote.content), INT(node->remote.size),
                          INT(node->remote.modified_s), TEXT(node->target), TEXT(node->content)));
    if (r)
        return r;
    row->changed = 0;
    node->links = node->type == TREE_FOLDER ? 2 : 1;
    show_head(tree, row);
    show_owner(tree, row);
    return 0;
}

static int store_body(struct tree *tree, const struct tree_row *row) {
    const struct tree_node *node = &row->node;
    const struct tree_remote *remote = &node->remote;
    return tree_sql_run(
        &tree->sql,
        "UPDATE node SET type=?,mode=?,uid=?,gid=?,mtime_ns=?,ctime_ns=?,target=?,content=?,spool=?,generation=?,"
        "change=?,attributes_change=?,dirty=?,since_ms=?,attempts=?,problem=?,head=?,complete=?,expanding=?,retag=?,"
        "rversion=?,rcontent=?,rsize=?,rmodified_s=?,size=?,archived=? WHERE ino=?",
        WITH(INT(node->type), INT(node->mode), INT(row->node.kept_uid), INT(row->node.kept_gid), INT(node->mtime_ns),
             INT(node->ctime_ns), TEXT(node->target), TEXT(node->content), INT(node->spool), INT(node->generation),
             INT(node->change), INT(row->attributes_change), INT(row->dirty), INT(row->since_ms), INT(row->attempts),
             TEXT(node->problem), INT(row->head), INT(row->complete), INT(row->expanding), TEXT(remote->etag),
             TEXT(remote->version), TEXT(remote->content), INT(remote->size), INT(remote->modified_s), INT(node->size),
             INT(node->archived), INT(node->ino)));
}

int tree_row_store(struct tree *tree, struct tree_row *row) {
    struct tree_node *node = &row->node;
    struct tree_sql *sql = &tree->sql;
    int r = 0;
    if (row->changed & ROW_PLACE)
        r = tree_sql_run(sql, "UPDATE node SET parent=?,name=?,holder=?,tail=? WHERE ino=?",
                         WITH(INT(node->parent), TEXT(node->name), INT(row->holder), TEXT(row->tail), INT(node->ino)));
    if (!r && (row->changed & ROW_KEY))
        r = tree_sql_run(sql, "UPDATE node SET rkey=?,owns=? WHERE ino=?",
                         WITH(TEXT(node->remote.key), INT(row->owns), INT(node->ino)));
    if (!r && (row->changed & ROW_WORK))
        r = tree_sql_run(sql, "UPDATE node SET work=?,due_ms=? WHERE ino=?",
                         WITH(INT(node->work), INT(row->due_ms), INT(node->ino)));
    if (!r && row->changed)
        r = store_body(tree, row);
    if (!r)
        row->changed = 0;
    return r;
}

int tree_row_delete(struct tree *tree, uint64_t ino) {
    int r = tree_attempt_clear(tree, ino);
    return r ? r : tree_sql_run(&tree->sql, "DELETE FROM node WHERE ino=?", WITH(INT(ino)));
}

/* ---- Fields ---- */

int tree_row_set(char **field, const char *value) {
    if (*field == value)
        return 0;
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

int tree_row_set_remote(struct tree_row *row, const struct tree_remote *remote) {
    struct tree_remote *to = &row->node.remote;
    row->changed |= ROW_KEY | ROW_BODY;
    int r = tree_row_set(&to->key, remote->key);
    if (!r)
        r = tree_row_set(&to->etag, remote->etag);
    if (!r)
        r = tree_row_set(&to->version, remote->version);
    if (!r)
        r = tree_row_set(&to->content, remote->content);
    to->size = remote->size;
    to->modified_s = remote->modified_s;
    return r;
}

void tree_row_clear_remote(struct tree_row *row) {
    static const struct tree_remote none = {0};
    tree_row_set_remote(row, &none);
    row->owns = false;
}

bool tree_row_is_shadow(const struct tree_row *row) {
    return row->holder != 0;
}

bool tree_row_named(const struct tree_row *row) {
    return row->node.parent || row->holder || row->node.ino == TREE_ROOT;
}

void tree_row_take(struct tree_row *row, struct tree_node *out) {
    *out = row->node;
    if (out->ino == TREE_ROOT)
        out->parent = TREE_ROOT;
    row->node = (struct tree_node){0};
    tree_row_finish(row);
}

int tree_row_has_children(struct tree *tree, uint64_t folder) {
    return tree_sql_any(&tree->sql, "SELECT 1 FROM node INDEXED BY node_child WHERE parent=? AND parent<>0 LIMIT 1",
                        WITH(INT(folder)));
}

int tree_row_has_shadows(struct tree *tree, uint64_t folder) {
    return tree_sql_any(&tree->sql, "SELECT 1 FROM node INDEXED BY node_shadow WHERE holder=? AND holder<>0 LIMIT 1",
                        WITH(INT(folder)));
}

/* ---- Work ---- */

void tree_row_add_work(struct tree *tree, struct tree_row *row, unsigned bits, bool rest) {
    int64_t now = tree_now_ms(), longest;
    if (!row->node.work)
        row->since_ms = now;
    longest = row->since_ms + LONGEST_REST_MS;
    row->node.work |= bits;
    row->due_ms = rest ? now + tree->options.rest_ms : now;
    if (row->due_ms > longest)
        row->due_ms = longest > now ? longest : now;
    row->attempts = 0;
    free(TAKE(row->node.problem));
    row->changed |= ROW_WORK | ROW_BODY;
    tree_tell_work(tree);
}

void tree_row_drop_work(struct tree_row *row, unsigned bits) {
    row->node.work &= ~bits;
    row->changed |= ROW_WORK | ROW_BODY;
    if (row->node.work)
        return;
    row->attempts = 0;
    row->dirty = 0;
    free(TAKE(row->node.problem));
}

int tree_row_overtake(struct tree *tree, uint64_t ino, const char *key) {
    if (text_ends(key, "/")) /* a folder keeps its prefix, and has no marker any more */
        return tree_sql_run(&tree->sql,
                            "UPDATE node SET retag=NULL, rsize=0, work=iif(work&2, (work|1)&~2, work)"
                            " WHERE rkey=? AND owns=1 AND ino<>? AND type=2",
                            WITH(TEXT(key), INT(ino)));
    return tree_sql_run(&tree->sql, "UPDATE node SET owns=0, work=work|4 WHERE rkey=? AND owns=1 AND ino<>?",
                        WITH(TEXT(key), INT(ino)));
}

int tree_row_changed(struct tree *tree, struct tree_row *row) {
    row->node.ctime_ns = clock_realtime_ns();
    row->changed |= ROW_BODY;
    return tree_next_change(tree, &row->node.change);
}
