/* The journal: what the bucket should have. Work is the difference between what a node should have and what the bucket
 * has of it; this hands it out and notes what was done. */
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>

/* ---- Handing out ---- */

struct harvest {
    uint64_t *inos; /* owned */
    size_t count, limit;
    int64_t next_ms;
};

/* Its key is just being deleted: the one would undo the other. */
static int waits_for_delete(struct tree *tree, uint64_t ino) {
    AUTO_ROWS struct tree_row row = {0};
    AUTO_FREE char *target = NULL;
    if (!tree->gone_claims.count)
        return 0;
    int r = tree_row_load(tree, ino, &row);
    if (!r)
        r = tree_path_target(tree, &row, &target);
    if (r)
        return r == -ENOENT ? 0 : r;
    return tree_gone_claimed(tree, target);
}

static int take(struct tree *tree, uint64_t ino, struct harvest *harvest) {
    int r = waits_for_delete(tree, ino);
    if (r)
        return r < 0 ? r : 0;
    r = map_put(&tree->claims, ino, tree);
    if (!r)
        harvest->inos[harvest->count++] = ino;
    return r;
}

static int gather(struct tree *tree, int64_t now_ms, struct harvest *harvest) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    int r = tree_sql_row(&tree->sql, &row,
                         "SELECT ino,due_ms FROM node INDEXED BY node_due WHERE work<>0 ORDER BY due_ms,size", WITHOUT);
    for (; r > 0; r = tree_sql_next(&tree->sql, row)) {
        uint64_t ino = (uint64_t)tree_sql_number(row, 0);
        int64_t due = tree_sql_number(row, 1);
        if (map_get(&tree->claims, ino))
            continue;
        if (due > now_ms || harvest->count == harvest->limit) {
            harvest->next_ms = due;
            return 0;
        }
        r = take(tree, ino, harvest);
        if (r)
            return r;
    }
    return r;
}

int tree_work_claim(struct tree *tree, int64_t now_ms, size_t limit, uint64_t **inos, size_t *count, int64_t *next_ms) {
    struct harvest harvest = {.limit = limit, .next_ms = INT64_MAX};
    *inos = NULL;
    *count = 0;
    harvest.inos = calloc(limit ? limit : 1, sizeof *harvest.inos);
    if (!harvest.inos)
        return -ENOMEM;
    tree_lock(tree);
    int r = gather(tree, now_ms, &harvest);
    for (size_t i = 0; r && i < harvest.count; i++)
        map_remove(&tree->claims, harvest.inos[i]);
    tree_unlock(tree);
    if (next_ms)
        *next_ms = harvest.next_ms;
    if (r) {
        free(harvest.inos);
        return r;
    }
    *inos = harvest.inos;
    *count = harvest.count;
    return 0;
}

/* ---- One node's work ---- */

void tree_work_finish(struct tree_work *work) {
    tree_node_finish(&work->node);
    free(work->target_key);
    free(work->base_etag);
    free(work->base_version);
    free(work->base_content);
    free(work->write_key);
    free(work->write_id);
    free(work->upload);
    *work = (struct tree_work){0};
}

/* A made-up name is the name if somebody else has the true one now. */
static int give_up_tail(struct tree *tree, struct tree_row *row) {
    AUTO_ROWS struct tree_row there = {0};
    if (!row->tail || row->holder)
        return 0;
    int r = tree_row_find(tree, row->node.parent, row->tail, &there);
    if (r <= 0 || there.node.type == TREE_FOLDER)
        return r < 0 ? r : 0;
    free(TAKE(row->tail));
    row->changed |= ROW_PLACE;
    return tree_row_store(tree, row);
}

/* A moved folder's marker has arrived where the folder is now. */
static int merge_marker(struct tree *tree, const struct tree_row *shadow) {
    AUTO_ROWS struct tree_row folder = {0};
    int r = tree_row_load(tree, shadow->holder, &folder);
    if (r || !text_equal(folder.node.remote.key, shadow->node.remote.key))
        return r; /* it moves once more, and takes the marker along */
    r = tree_row_set_remote(&folder, &shadow->node.remote);
    folder.head = folder.dirty ? folder.head : HEAD_NEVER;
    if (!r)
        r = tree_next_change(tree, &folder.node.change); /* listings under way do not know it yet */
    if (!r)
        r = tree_row_store(tree, &folder);
    return r ? r : tree_row_delete(tree, shadow->node.ino);
}

/* On its way with its folder, or just arrived. */
static bool is_carried_marker(const struct tree_row *row) {
    return row->holder && row->tail && !*row->tail;
}

/* A move that led back to where the bytes are is none. */
static int settle(struct tree *tree, struct tree_row *row) {
    AUTO_FREE char *target = NULL;
    if (!(row->node.work & TREE_WORK_NAME) || !row->owns || row->expanding || row->node.type == TREE_FOLDER)
        return 0;
    int r = tree_path_target(tree, row, &target);
    if (r || strcmp(target, row->node.remote.key) != 0)
        return r;
    tree_row_drop_work(row, TREE_WORK_NAME);
    r = tree_row_store(tree, row);
    if (!r)
        r = tree_gone_add_attempt(tree, row->node.ino);
    if (r || row->node.work)
        return r;
    r = tree_upload_drop(tree, row->node.ino);
    if (!r)
        r = tree_attempt_clear(tree, row->node.ino);
    return r || !is_carried_marker(row) ? r : merge_marker(tree, row);
}

static int find_target(struct tree *tree, const struct tree_row *row, char **target) {
    const struct tree_remote *remote = &row->node.remote;
    if (remote->key && row->owns && !(row->node.work & TREE_WORK_NAME))
        return tree_row_set(target, remote->key);
    return tree_path_target(tree, row, target);
}

/* It has to give its key up: a made-up name becomes its true one, what lies in a moved folder moves ahead of it. */
static int make_way(struct tree *tree, struct tree_row *other) {
    if (other->node.type == TREE_FOLDER || (other->node.work & TREE_WORK_NAME))
        return 0;
    if (!other->holder) {
        free(TAKE(other->tail));
        other->changed |= ROW_PLACE;
    }
    tree_row_add_work(tree, other, TREE_WORK_NAME, false);
    return tree_row_store(tree, other);
}

static int set_base(struct tree_work *work, const char *etag, const struct tree_remote *from) {
    int r = tree_row_set(&work->base_etag, etag);
    if (!r)
        r = tree_row_set(&work->base_version, from->version);
    if (!r)
        r = tree_row_set(&work->base_content, from->content);
    work->base_size = from->size;
    return r;
}

static int base_from_gone(struct tree_work *work, const struct tree_gone_row *gone) {
    const struct tree_remote remote = {
        .version = gone->gone.version, .content = gone->gone.content, .size = gone->gone.size};
    const char *etag = gone->gone.etag;
    bool nothing = etag && strcmp(etag, "-") == 0;
    return set_base(work, nothing ? NULL : etag ? etag : "", &remote);
}

/* Another node whose object stands at the target. */
static int base_from_other(struct tree *tree, const struct tree_row *row, struct tree_work *work) {
    AUTO_ROWS struct tree_row other = {0};
    AUTO_ROW sqlite3_stmt *from = NULL;
    int r = tree_sql_row(&tree->sql, &from,
                         "SELECT " ROW_COLUMNS " FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? AND ino<>?"
                         " AND (type<>2 OR retag IS NOT NULL) LIMIT 1",
                         WITH(TEXT(work->target_key), INT(row->node.ino)));
    if (r <= 0)
        return r;
    r = tree_row_read(tree, from, &other);
    tree_sql_done(&from);
    if (!r)
        r = set_base(work, other.node.remote.etag, &other.node.remote);
    work->blocked_by = other.node.ino;
    return r ? r : make_way(tree, &other);
}

static int find_base(struct tree *tree, const struct tree_row *row, struct tree_work *work) {
    CLEANUP(tree_gone_row_finish) struct tree_gone_row gone = {0};
    const struct tree_remote *remote = &row->node.remote;
    if (remote->key && row->owns && strcmp(remote->key, work->target_key) == 0) {
        if (remote->etag || row->node.type != TREE_FOLDER)
            return set_base(work, remote->etag, remote);
    }
    if (tree_gone_claimed(tree, work->target_key))
        return TREE_STALE;
    int r = tree_gone_load(tree, work->target_key, &gone);
    if (r < 0)
        return r;
    if (!r || gone.done)
        return base_from_other(tree, row, work);
    if (gone.ino != row->node.ino && map_get(&tree->claims, gone.ino))
        return TREE_STALE; /* a write of it to this key may be on its way */
    return base_from_gone(work, &gone);
}

/* A write to the target that another node began and whose answer is awaited ends first, whoever waits for whom. */
static int wait_for_writers(struct tree *tree, const struct tree_row *row, const char *target) {
    int r = tree_attempt_awaited(tree, target, row->node.ino);
    return r > 0 ? TREE_STALE : r;
}

/* A moved folder's marker is on its way here. */
static int wait_for_marker(struct tree *tree, const struct tree_row *row, struct tree_work *work) {
    int64_t ino;
    if (work->blocked_by || row->node.type != TREE_FOLDER)
        return 0;
    int r = tree_sql_integer(&tree->sql, &ino, 0,
                             "SELECT ino FROM node INDEXED BY node_shadow WHERE holder=? AND holder<>0 AND tail=''",
                             WITH(INT(row->node.ino)));
    work->blocked_by = (uint64_t)ino;
    return r;
}

static int load_attempt(struct tree *tree, uint64_t ino, struct tree_work *work) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    int r = tree_sql_row(&tree->sql, &row, "SELECT key,write_id,upload,generation,part_size FROM attempt WHERE ino=?",
                         WITH(INT(ino)));
    if (r <= 0)
        return r;
    work->upload_generation = (uint64_t)tree_sql_number(row, 3);
    work->part_size = (uint64_t)tree_sql_number(row, 4);
    if (tree_sql_copy(row, 0, &work->write_key) || tree_sql_copy(row, 1, &work->write_id))
        return -ENOMEM;
    return tree_sql_copy(row, 2, &work->upload);
}

/* What an attempt of before a restart left elsewhere is being deleted: it must not be adopted at the same time. */
static int wait_for_deletion(struct tree *tree, const struct tree_work *work) {
    return work->write_key && tree_gone_claimed(tree, work->write_key) ? TREE_STALE : 0;
}

static int find_obstacles(struct tree *tree, const struct tree_row *row, struct tree_work *work) {
    int r = find_base(tree, row, work);
    if (!r)
        r = wait_for_writers(tree, row, work->target_key);
    return r ? r : wait_for_marker(tree, row, work);
}

/* Somebody else has made the key that a held one was to follow its folder to: it stays behind, and is theirs now. */
static int is_stranded(struct tree *tree, const struct tree_row *row, const char *target) {
    if (!row->holder)
        return 0;
    return tree_sql_any(&tree->sql,
                        "SELECT 1 FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? AND ino<>? AND holder<>0 AND"
                        " work=0",
                        WITH(TEXT(target), INT(row->node.ino)));
}

/* *found: there is work. */
static int describe(struct tree *tree, uint64_t ino, struct tree_work *work, bool *found) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, ino, &row);
    if (r || !row.node.work || !tree_row_named(&row))
        return r == -ENOENT ? 0 : r;
    if (row.node.work & TREE_WORK_NAME)
        r = give_up_tail(tree, &row);
    if (!r)
        r = settle(tree, &row);
    if (r || !row.node.work)
        return r;
    r = find_target(tree, &row, &work->target_key);
    int stranded = r ? r : is_stranded(tree, &row, work->target_key);
    if (stranded)
        return stranded < 0 ? stranded : tree_row_delete(tree, ino);
    *found = true;
    if (!r)
        r = load_attempt(tree, ino, work);
    if (!r)
        r = wait_for_deletion(tree, work);
    bool in_pieces = row.node.type == TREE_FOLDER && (row.node.work & TREE_WORK_NAME);
    if (!r && !in_pieces) /* what lies in a moved folder waits, not the folder */
        r = find_obstacles(tree, &row, work);
    work->overtaken = row.node.remote.key && !row.owns;
    work->due_ms = row.due_ms;
    work->attempts = row.attempts;
    if (!r)
        tree_row_take(&row, &work->node);
    return r;
}

int tree_work_get(struct tree *tree, uint64_t ino, struct tree_work *out) {
    bool found = false;
    *out = (struct tree_work){0};
    int r = tree_begin(tree);
    if (r)
        return r;
    r = tree_end(tree, describe(tree, ino, out, &found));
    if (!r && found)
        return 0;
    tree_work_finish(out);
    return r ? r : -ENOENT;
}

/* ---- Later ---- */

static int put_off(struct tree *tree, struct tree_row *row, int64_t delay_ms, const char *problem) {
    row->due_ms = tree_now_ms() + delay_ms;
    row->attempts++;
    row->changed |= ROW_WORK | ROW_BODY;
    int r = tree_row_set(&row->node.problem, problem);
    return r ? r : tree_row_store(tree, row);
}

static int release(struct tree *tree, uint64_t ino, int64_t delay_ms, const char *problem) {
    AUTO_ROWS struct tree_row row = {0};
    bool forgotten = map_remove(&tree->forgotten, ino);
    int r = tree_row_load(tree, ino, &row);
    if (r)
        return r == -ENOENT ? tree_attempt_clear(tree, ino) : r;
    if (!tree_row_named(&row))
        return forgotten ? tree_row_delete(tree, ino) : tree_attempt_clear(tree, ino);
    return row.node.work && delay_ms >= 0 ? put_off(tree, &row, delay_ms, problem) : 0;
}

int tree_work_release(struct tree *tree, uint64_t ino, int64_t delay_ms, const char *problem) {
    int r = tree_begin(tree);
    if (r)
        return r;
    map_remove(&tree->claims, ino);
    return tree_end(tree, release(tree, ino, delay_ms, problem));
}

/* ---- Success ---- */

struct done {
    uint64_t seen, generation;
    unsigned bits;
    const struct tree_remote *remote;
    bool *clean;
};

static void settle_head(struct tree_row *row, const struct tree_remote *remote) {
    if (remote->head_known)
        row->head = remote->modified_s ? HEAD_KNOWN : HEAD_OURS;
    else if (row->head != HEAD_NEVER)
        row->head = HEAD_OUTDATED;
}

static int settle_content(struct tree_row *row, const struct done *done) {
    if (!(done->bits & TREE_WORK_CONTENT) || done->generation != row->node.generation)
        return 0;
    tree_row_drop_work(row, TREE_WORK_CONTENT);
    *done->clean = row->node.type == TREE_FILE;
    row->node.spool = 0;
    return tree_row_set(&row->node.content, done->remote->content);
}

static void settle_attributes(struct tree *tree, struct tree_row *row, const struct done *done) {
    bool newer = row->attributes_change > done->seen;
    bool left = newer || (!(done->bits & TREE_WORK_META) && row->dirty);
    if (left && (done->bits & TREE_WORK_CONTENT) && !(row->node.work & TREE_WORK_META))
        tree_row_add_work(tree, row, TREE_WORK_META, newer);
    if (newer || !(done->bits & TREE_WORK_META))
        return;
    tree_row_drop_work(row, TREE_WORK_META);
    row->dirty = 0;
}

/* moved: the bytes are at another key now than before. */
static int settle_name(struct tree *tree, struct tree_row *row, bool moved) {
    AUTO_FREE char *target = NULL;
    if (row->node.type == TREE_FOLDER)
        return 0;
    int r = tree_path_target(tree, row, &target);
    if (r)
        return r;
    if (strcmp(target, row->node.remote.key) == 0)
        tree_row_drop_work(row, TREE_WORK_NAME);
    else if (moved && !(row->node.work & TREE_WORK_NAME))
        tree_row_add_work(tree, row, TREE_WORK_NAME, true);
    return 0;
}

/* The object of a node that lost its name, or of a folder that moved meanwhile: nobody wants it. */
static int discard(struct tree *tree, struct tree_row *row, const struct tree_remote *remote) {
    int r = tree_attempt_clear(tree, row->node.ino);
    if (!r)
        r = tree_row_overtake(tree, row->node.ino, remote->key);
    return r ? r : tree_gone_add(tree, remote, row->node.ino);
}

int tree_journal_merge_marker(struct tree *tree, uint64_t folder) {
    AUTO_ROWS struct tree_row shadow = {0};
    int64_t ino;
    int r = tree_sql_integer(&tree->sql, &ino, 0,
                             "SELECT ino FROM node INDEXED BY node_shadow WHERE holder=? AND holder<>0 AND tail=''"
                             " AND work=0",
                             WITH(INT(folder)));
    if (r || !ino)
        return r;
    r = tree_row_load(tree, (uint64_t)ino, &shadow);
    return r ? r : merge_marker(tree, &shadow);
}

static int take_success(struct tree *tree, struct tree_row *row, const struct done *done) {
    int r = tree_row_set_remote(row, done->remote);
    row->owns = true;
    row->node.archived = false;
    settle_head(row, done->remote);
    settle_attributes(tree, row, done); /* first: a node without work forgets what is to be stored */
    if (!r)
        r = settle_content(row, done);
    return r ? r : tree_next_change(tree, &row->node.change);
}

static int arrived(struct tree *tree, struct tree_row *row, const struct done *done) {
    const struct tree_remote *remote = done->remote;
    bool had = row->owns && row->node.remote.key;
    AUTO_ROWS struct tree_row old = {0};
    int r = tree_row_load(tree, row->node.ino, &old);
    bool moved = !row->node.remote.key || strcmp(row->node.remote.key, remote->key) != 0;
    if (!r)
        r = take_success(tree, row, done);
    if (!r)
        r = settle_name(tree, row, moved);
    if (!r)
        r = tree_row_overtake(tree, row->node.ino, remote->key);
    if (!r)
        r = tree_gone_forget(tree, remote->key);
    if (!r)
        r = tree_unseen_settle(tree, remote->key);
    if (!r)
        r = tree_row_store(tree, row);
    if (!r)
        r = tree_attempt_clear(tree, row->node.ino);
    if (!r && had && moved && old.node.remote.etag)
        r = tree_gone_add(tree, &old.node.remote, row->node.ino);
    if (!r && moved)
        r = tree_path_note_arrival(tree, row->node.parent + row->holder, remote->key);
    return r || row->node.work || !is_carried_marker(row) ? r : merge_marker(tree, row);
}

static int done_with(struct tree *tree, uint64_t ino, const struct done *done) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, ino, &row);
    if (r == -ENOENT)
        return tree_gone_add(tree, done->remote, 0);
    if (r)
        return r;
    bool elsewhere = row.node.type == TREE_FOLDER && !text_equal(row.node.remote.key, done->remote->key);
    if (!tree_row_named(&row) || elsewhere)
        return discard(tree, &row, done->remote);
    return arrived(tree, &row, done);
}

int tree_work_done(struct tree *tree, uint64_t ino, uint64_t seen, uint64_t generation, unsigned bits,
                   const struct tree_remote *remote, bool *clean) {
    const struct done done = {seen, generation, bits, remote, clean};
    *clean = false;
    int r = tree_begin(tree);
    if (r)
        return r;
    r = tree_end(tree, done_with(tree, ino, &done));
    if (r)
        *clean = false;
    return r;
}

/* ---- Nodes without a name ---- */

static int forget(struct tree *tree, uint64_t ino, uint64_t *spool) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, ino, &row);
    if (r || tree_row_named(&row))
        return r == -ENOENT ? 0 : r;
    *spool = row.node.spool;
    map_remove(&tree->held, ino);
    if (map_get(&tree->claims, ino)) /* what is under way ends first */
        return map_put(&tree->forgotten, ino, tree);
    return tree_row_delete(tree, ino);
}

int tree_forget(struct tree *tree, uint64_t ino, uint64_t *spool) {
    *spool = 0;
    int r = tree_begin(tree);
    if (r)
        return r;
    r = tree_end(tree, forget(tree, ino, spool));
    if (r)
        *spool = 0;
    return r;
}

int tree_hold(struct tree *tree, uint64_t ino, bool held) {
    int r = tree_begin(tree);
    if (r)
        return r;
    if (held) {
        r = map_put(&tree->held, ino, tree);
    } else {
        map_remove(&tree->held, ino);
        tree_tell_work(tree); /* its key may be deleted now */
    }
    return tree_end(tree, r);
}
