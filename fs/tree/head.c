/* What a head or get said about a node's object. */
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>
#include <sys/stat.h>

#define NS_PER_S 1000000000ll

static bool plain_md5(const char *etag) {
    return strlen(etag) == 32 && strspn(etag, "0123456789abcdefABCDEF") == 32;
}

/* filesystem.md, "Two writers": equal pail-content and size, unless both ETags are plain MD5s and differ. */
bool tree_head_same(const struct tree_remote *known, const char *etag, const char *content, uint64_t size) {
    if (known->size != size)
        return false;
    bool etags = known->etag && etag && *known->etag && *etag;
    if (etags && strcmp(known->etag, etag) == 0)
        return true;
    if (!known->content || !content || strcmp(known->content, content) != 0)
        return false;
    return !etags || !plain_md5(known->etag) || !plain_md5(etag);
}

/* ---- New nodes for objects of others ---- */

int tree_head_new_node(struct tree *tree, uint64_t parent, const char *name, const struct tree_remote *remote,
                       struct tree_row *out) {
    bool folder = text_ends(remote->key, "/");
    int64_t now = tree_now_ms() * 1000000;
    struct tree_row row = {.owns = true, .head = folder && !remote->etag ? HEAD_KNOWN : HEAD_NEVER};
    row.node = (struct tree_node){.parent = parent,
                                  .name = (char *)(uintptr_t)name,
                                  .type = folder ? TREE_FOLDER : TREE_FILE,
                                  .mode = folder ? tree->options.folder_mode : tree->options.file_mode,
                                  .kept_uid = -1,
                                  .kept_gid = -1,
                                  .size = folder ? 0 : remote->size,
                                  .mtime_ns = remote->modified_s ? remote->modified_s * NS_PER_S : now,
                                  .content = remote->content,
                                  .remote = *remote};
    row.node.ctime_ns = row.node.mtime_ns;
    int r = tree_next_change(tree, &row.node.change);
    if (!r)
        r = tree_row_insert(tree, &row);
    if (!r && folder)
        r = tree_names_count_folder(tree, parent, 1);
    return r ? r : tree_row_load(tree, row.node.ino, out);
}

/* The old node stays for those who have it open, without a name. */
static int strip_old(struct tree *tree, struct tree_row *old) {
    old->node.parent = 0;
    old->owns = false;
    old->changed |= ROW_PLACE | ROW_KEY;
    tree_row_drop_work(old, ~0u);
    int r = tree_row_changed(tree, old);
    return r ? r : tree_row_store(tree, old);
}

/* What was changed here and is not in the bucket yet, but for the time, goes over to the new one. */
static int carry_over(struct tree *tree, const struct tree_row *old, struct tree_row *new) {
    const struct tree_node *from = &old->node;
    struct tree_node *to = &new->node;
    int r = tree_row_set(&new->tail, old->tail);
    new->changed |= ROW_PLACE;
    new->dirty = old->dirty & ~(unsigned)TREE_MTIME;
    new->attributes_change = old->attributes_change;
    if (new->dirty & TREE_MODE)
        to->mode = from->mode;
    if (new->dirty & TREE_UID)
        to->kept_uid = from->kept_uid;
    if (new->dirty & TREE_GID)
        to->kept_gid = from->kept_gid;
    unsigned bits = from->work & (TREE_WORK_NAME | (new->dirty ? TREE_WORK_META : 0u));
    if (bits)
        tree_row_add_work(tree, new, bits, false);
    if (!r)
        r = tree_row_store(tree, new);
    if (!r && (new->dirty &TREE_XATTRS))
        r = tree_sql_run(&tree->sql, "UPDATE node SET xattrs=(SELECT xattrs FROM node WHERE ino=?) WHERE ino=?",
                         WITH(INT(from->ino), INT(to->ino)));
    return r ? r
             : tree_sql_run(&tree->sql, "UPDATE OR REPLACE attempt SET ino=? WHERE ino=?",
                            WITH(INT(to->ino), INT(from->ino)));
}

/* A key that cannot be a file is known to nobody: no new node is needed. */
static int replace_shadow(struct tree *tree, struct tree_row *row, const struct tree_remote *remote) {
    row->node.size = remote->size;
    row->head = HEAD_NEVER;
    int r = tree_row_set_remote(row, remote);
    return r ? r : tree_row_store(tree, row);
}

int tree_head_replace(struct tree *tree, struct tree_row *row, const struct tree_remote *remote) {
    if (tree_row_is_shadow(row))
        return replace_shadow(tree, row, remote);
    AUTO_ROWS struct tree_row old = *row;
    *row = (struct tree_row){0};
    uint64_t parent = old.node.parent;
    unsigned work = old.node.work, dirty = old.dirty;
    int r = strip_old(tree, &old);
    if (!r)
        r = tree_head_new_node(tree, parent, old.node.name, remote, row);
    old.node.work = work;
    old.dirty = dirty;
    if (!r)
        r = carry_over(tree, &old, row);
    if (!r && work)
        r = tree_tell(tree, EVENT_TAKEN_OVER, old.node.ino, NULL, row->node.ino);
    return r ? r : tree_tell(tree, EVENT_ENTRY, parent, old.node.name, row->node.ino);
}

/* ---- Attributes ---- */

static bool take_number(int64_t *field, bool has, uint32_t value) {
    int64_t now = has ? (int64_t)value : -1;
    bool changed = *field != now;
    *field = now;
    return changed;
}

int tree_head_attributes(struct tree *tree, struct tree_row *row, const struct tree_head *head, bool *changed) {
    struct tree_node *node = &row->node;
    uint32_t fallback = node->type == TREE_FOLDER ? tree->options.folder_mode : tree->options.file_mode;
    uint32_t mode = head->has_mode ? head->mode & 07777 : fallback;
    int64_t mtime_ns = head->has_mtime ? head->mtime_ns : head->modified_s * NS_PER_S;
    int r = 0;
    if (!(row->dirty & TREE_MODE) && node->mode != mode) {
        node->mode = mode;
        *changed = true;
    }
    if (!(row->dirty & TREE_UID) && take_number(&node->kept_uid, head->has_uid, head->uid))
        *changed = true;
    if (!(row->dirty & TREE_GID) && take_number(&node->kept_gid, head->has_gid, head->gid))
        *changed = true;
    if (!(row->dirty & TREE_MTIME) && mtime_ns && node->mtime_ns != mtime_ns) {
        node->mtime_ns = mtime_ns;
        *changed = true;
    }
    if (!(row->dirty & TREE_XATTRS))
        r = tree_xattr_replace_all(tree, node->ino, head, changed);
    if (!r && head->target && !(node->work & TREE_WORK_CONTENT))
        r = tree_row_set(&node->target, head->target);
    row->changed |= ROW_BODY;
    return r;
}

/* ---- Applying ---- */

static struct tree_remote remote_of(const struct tree_head *head, char *key) {
    return (struct tree_remote){.key = key,
                                .etag = (char *)(uintptr_t)(head->etag ? head->etag : ""),
                                .version = (char *)(uintptr_t)head->version,
                                .content = (char *)(uintptr_t)head->content,
                                .size = head->size,
                                .modified_s = head->modified_s};
}

static enum tree_type type_of(const struct tree_row *row, const struct tree_head *head) {
    if (row->node.type == TREE_FOLDER)
        return TREE_FOLDER;
    return head->has_mode && S_ISLNK(head->mode) ? TREE_LINK : TREE_FILE;
}

static int name_goes(struct tree *tree, struct tree_row *row) {
    int r = tree_row_is_shadow(row) ? 0 : tree_tell(tree, EVENT_GONE, row->node.parent, row->node.name, row->node.ino);
    return r ? r : tree_names_detach(tree, row, REMOVED_THERE);
}

static int apply_absent(struct tree *tree, struct tree_row *row, uint64_t *now) {
    if (!tree_row_named(row) || (row->node.work & TREE_WORK_CONTENT))
        return 0;
    if (row->node.type != TREE_FOLDER) {
        *now = 0;
        return name_goes(tree, row);
    }
    free(TAKE(row->node.remote.etag));
    row->node.remote.size = 0;
    row->head = HEAD_KNOWN;
    row->changed |= ROW_BODY;
    if (row->node.work & TREE_WORK_META) { /* then the marker is to be made */
        tree_row_add_work(tree, row, TREE_WORK_CONTENT, false);
        tree_row_drop_work(row, TREE_WORK_META);
    }
    return tree_row_store(tree, row);
}

static int apply_same(struct tree *tree, struct tree_row *row, const struct tree_head *head) {
    struct tree_remote remote = remote_of(head, row->node.remote.key);
    bool first = row->head == HEAD_NEVER, changed = false;
    int r = tree_row_set_remote(row, &remote);
    if (r)
        return r;
    row->head = head->settled ? HEAD_KNOWN : HEAD_PASSING;
    row->node.type = type_of(row, head);
    if (!(row->node.work & TREE_WORK_CONTENT)) {
        row->node.archived = head->archived;
        if (row->node.type != TREE_FOLDER)
            row->node.size = head->size;
        r = tree_row_set(&row->node.content, head->content);
    }
    row->changed &= ~(unsigned)ROW_KEY;
    if (!r)
        r = tree_head_attributes(tree, row, head, &changed);
    if (!r)
        r = tree_row_store(tree, row);
    return r || !changed || first ? r : tree_tell(tree, EVENT_ATTRIBUTES, 0, NULL, row->node.ino);
}

static int is_owned(struct tree *tree, const char *key) {
    return tree_sql_any(&tree->sql, "SELECT 1 FROM node INDEXED BY node_key WHERE owns=1 AND rkey=? LIMIT 1",
                        WITH(TEXT(key)));
}

static int apply_other(struct tree *tree, struct tree_row *row, const struct tree_head *head, uint64_t *now) {
    AUTO_FREE char *key = strdup(row->node.remote.key);
    if (!key)
        return -ENOMEM;
    if (!tree_row_named(row) || (row->node.work & TREE_WORK_CONTENT))
        return 0;
    int taken = row->owns ? 0 : is_owned(tree, key);
    if (taken)
        return taken < 0 ? taken : apply_absent(tree, row, now); /* the object there is another node's */
    struct tree_remote remote = remote_of(head, key);
    int r = tree_head_replace(tree, row, &remote);
    if (!r)
        r = apply_same(tree, row, head);
    *now = row->node.ino;
    return r;
}

/* The first head may show that it is a link; later, an inode keeps its type. */
static bool is_same(const struct tree_row *row, const struct tree_head *head) {
    const struct tree_remote *known = &row->node.remote;
    if (row->node.type == TREE_FOLDER)
        return true;
    if (row->head != HEAD_NEVER && type_of(row, head) != row->node.type)
        return false;
    if (known->etag && !*known->etag && known->size == head->size)
        return true;
    return tree_head_same(known, head->etag, head->content, head->size);
}

static int apply(struct tree *tree, uint64_t ino, uint64_t asked, const struct tree_head *head, uint64_t *now) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, ino, &row);
    if (r)
        return r;
    if (row.node.change > asked || !row.node.remote.key || (head->key && strcmp(head->key, row.node.remote.key) != 0))
        return TREE_STALE;
    bool overtaken = tree_row_named(&row) && !row.owns && row.node.remote.version;
    if (overtaken && (head->absent || !text_equal(head->version, row.node.remote.version)))
        return TREE_STALE; /* it was asked for by its key, where another's object is now */
    if (head->absent)
        return apply_absent(tree, &row, now);
    return is_same(&row, head) ? apply_same(tree, &row, head) : apply_other(tree, &row, head, now);
}

int tree_apply_head(struct tree *tree, uint64_t ino, uint64_t asked, const struct tree_head *head, uint64_t *now) {
    *now = ino;
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, apply(tree, ino, asked, head, now));
}
