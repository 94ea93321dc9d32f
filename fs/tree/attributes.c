/* Attributes and written content, as programs change them. */
#include "base/text.h"
#include "fs/tree/inside.h"

/* What of mask really changes. */
static unsigned differing(const struct tree_row *row, unsigned mask, const struct tree_node *values) {
    const struct tree_node *node = &row->node;
    unsigned out = 0;
    if ((mask & TREE_MODE) && node->mode != (values->mode & 07777))
        out |= TREE_MODE;
    if ((mask & TREE_UID) && node->kept_uid != (int64_t)values->uid)
        out |= TREE_UID;
    if ((mask & TREE_GID) && node->kept_gid != (int64_t)values->gid)
        out |= TREE_GID;
    if ((mask & TREE_MTIME) && node->mtime_ns != values->mtime_ns)
        out |= TREE_MTIME;
    return out;
}

static void take(struct tree_node *node, unsigned mask, const struct tree_node *values) {
    if (mask & TREE_MODE)
        node->mode = values->mode & 07777;
    if (mask & TREE_UID)
        node->kept_uid = values->uid;
    if (mask & TREE_GID)
        node->kept_gid = values->gid;
    if (mask & TREE_MTIME)
        node->mtime_ns = values->mtime_ns;
}

int tree_attributes_changed(struct tree *tree, struct tree_row *row, unsigned dirty) {
    int r = tree_row_changed(tree, row);
    if (r)
        return r;
    row->attributes_change = row->node.change;
    bool object = row->node.remote.key && row->node.remote.etag;
    unsigned bit = object && row->node.type != TREE_FOLDER   ? TREE_WORK_META
                   : object && row->node.remote.etag[0] != 0 ? TREE_WORK_META
                                                             : TREE_WORK_CONTENT;
    if (row->node.parent || row->holder) {
        tree_row_add_work(tree, row, bit, true);
        row->dirty |= dirty;
    }
    return tree_row_store(tree, row);
}

/* A head not yet known may still say that nothing differs from what others stored: then it is stored once more. */
static int set(struct tree *tree, uint64_t ino, unsigned mask, const struct tree_node *values) {
    AUTO_ROWS struct tree_row row = {0};
    int r = tree_row_load(tree, ino, &row);
    if (r)
        return r;
    unsigned change = row.head == HEAD_NEVER ? mask : differing(&row, mask, values);
    if (!change)
        return 0;
    take(&row.node, mask, values);
    return tree_attributes_changed(tree, &row, mask);
}

int tree_set_attributes(struct tree *tree, uint64_t ino, unsigned mask, const struct tree_node *values) {
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, set(tree, ino, mask, values));
}

/* ---- Content ---- */

struct written {
    uint64_t spool, size;
    int64_t mtime_ns;
    bool rest;
};

static int wrote(struct tree *tree, uint64_t ino, const struct written *written) {
    AUTO_ROWS struct tree_row row = {0};
    char content[33];
    int r = tree_row_load(tree, ino, &row);
    if (r)
        return r;
    struct tree_node *node = &row.node;
    if (node->type != TREE_FILE)
        return node->type == TREE_FOLDER ? -EISDIR : -EINVAL;
    random_hex(content, 16);
    r = tree_row_set(&node->content, content);
    if (!r)
        r = tree_row_changed(tree, &row);
    if (r)
        return r;
    node->generation++;
    node->spool = written->spool;
    node->size = written->size;
    node->mtime_ns = written->mtime_ns;
    node->archived = false;
    row.dirty |= TREE_MTIME;
    if (node->parent)
        tree_row_add_work(tree, &row, TREE_WORK_CONTENT, written->rest);
    return tree_row_store(tree, &row);
}

int tree_wrote(struct tree *tree, uint64_t ino, uint64_t spool, uint64_t size, int64_t mtime_ns, bool rest) {
    const struct written written = {spool, size, mtime_ns, rest};
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, wrote(tree, ino, &written));
}
