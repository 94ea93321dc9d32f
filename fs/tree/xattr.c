/* User xattrs. In the row: one after the other, each the size of its name and of its value (32 bits, this machine's
 * order), then both. Names are kept without "user.". */
#include "base/buffer.h"
#include "base/text.h"
#include "fs/tree/inside.h"

#include <string.h>
#include <sys/xattr.h>

#define PREFIX "user."
/* S3 keeps 2 KiB of names and values; what Pail itself stores there (mode, owner, times, pail-content, pail-write)
 * takes up to this much. */
#define LARGEST 2048u
#define OURS 300u

struct xattr {
    const char *name; /* borrowed; not terminated */
    size_t name_size;
    const char *value;
    size_t size;
};

/* *at moves on; false at the end. */
static bool next(const char *bytes, size_t size, size_t *at, struct xattr *out) {
    uint32_t sizes[2];
    if (size - *at < sizeof sizes)
        return false;
    memcpy(sizes, bytes + *at, sizeof sizes);
    if (size - *at - sizeof sizes < (size_t)sizes[0] + sizes[1])
        return false;
    const char *name = bytes + *at + sizeof sizes;
    *out = (struct xattr){name, sizes[0], name + sizes[0], sizes[1]};
    *at += sizeof sizes + sizes[0] + sizes[1];
    return true;
}

static int append(struct buffer *to, const struct xattr *xattr) {
    uint32_t sizes[2] = {(uint32_t)xattr->name_size, (uint32_t)xattr->size};
    int r = buffer_append(to, sizes, sizeof sizes);
    if (!r)
        r = buffer_append(to, xattr->name, xattr->name_size);
    return r ? r : buffer_append(to, xattr->value, xattr->size);
}

static bool is_called(const struct xattr *xattr, const char *name) {
    return xattr->name_size == strlen(name) && memcmp(xattr->name, name, xattr->name_size) == 0;
}

static int load(struct tree *tree, uint64_t ino, struct buffer *out) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    int r = tree_sql_row(&tree->sql, &row, "SELECT xattrs FROM node WHERE ino=?", WITH(INT(ino)));
    if (r <= 0)
        return r ? r : -ENOENT;
    const void *bytes = sqlite3_column_blob(row, 0);
    return buffer_append(out, bytes, (size_t)sqlite3_column_bytes(row, 0));
}

static int store(struct tree *tree, uint64_t ino, const struct buffer *bytes) {
    return tree_sql_run(&tree->sql, "UPDATE node SET xattrs=? WHERE ino=?",
                        WITH(bytes->size ? BYTES(bytes->data, bytes->size) : TEXT(NULL), INT(ino)));
}

/* In s3fs's form: JSON with the value in base64, percent-encoded. */
static size_t stored_size(const struct buffer *bytes) {
    struct xattr xattr;
    size_t total = OURS + strlen("xattr%7B%7D");
    for (size_t at = 0; next(bytes->data, bytes->size, &at, &xattr);) {
        AUTO_FREE char *base64 = text_base64(xattr.value, xattr.size);
        AUTO_FREE char *value = base64 ? text_percent_encode(base64, strlen(base64), false) : NULL;
        AUTO_FREE char *name = text_percent_encode(xattr.name, xattr.name_size, false);
        if (!value || !name)
            return SIZE_MAX;
        total += strlen("%22user.%22%3A%22%22%2C") + strlen(name) + strlen(value);
    }
    return total;
}

static const char *without_prefix(const char *name) {
    return text_starts(name, PREFIX) && name[strlen(PREFIX)] ? name + strlen(PREFIX) : NULL;
}

/* ---- Reading ---- */

static int get(struct tree *tree, uint64_t ino, const char *name, char **value, size_t *size) {
    AUTO_BUFFER struct buffer bytes = {0};
    struct xattr xattr;
    int r = load(tree, ino, &bytes);
    for (size_t at = 0; !r && next(bytes.data, bytes.size, &at, &xattr);) {
        if (!is_called(&xattr, name))
            continue;
        *value = malloc(xattr.size + 1);
        if (!*value)
            return -ENOMEM;
        memcpy(*value, xattr.value, xattr.size);
        (*value)[xattr.size] = 0;
        *size = xattr.size;
        return 0;
    }
    return r ? r : -ENODATA;
}

int tree_xattr_get(struct tree *tree, uint64_t ino, const char *name, char **value, size_t *size) {
    const char *rest = without_prefix(name);
    if (!rest)
        return -EOPNOTSUPP;
    tree_lock(tree);
    int r = get(tree, ino, rest, value, size);
    tree_unlock(tree);
    return r;
}

int tree_xattr_list(struct tree *tree, uint64_t ino, char **names, size_t *size) {
    AUTO_BUFFER struct buffer bytes = {0}, out = {0};
    struct xattr xattr;
    tree_lock(tree);
    int r = load(tree, ino, &bytes);
    tree_unlock(tree);
    for (size_t at = 0; !r && next(bytes.data, bytes.size, &at, &xattr);) {
        r = buffer_append_text(&out, PREFIX);
        if (!r)
            r = buffer_append(&out, xattr.name, xattr.name_size);
        if (!r)
            r = buffer_append(&out, "", 1);
    }
    if (r)
        return r;
    *size = out.size;
    *names = buffer_take(&out);
    return *names ? 0 : -ENOMEM;
}

/* ---- Changing ---- */

/* All but `name`; *found: it was there. */
static int copy_others(const struct buffer *from, const char *name, struct buffer *to, bool *found) {
    struct xattr xattr;
    int r = 0;
    *found = false;
    for (size_t at = 0; !r && next(from->data, from->size, &at, &xattr);) {
        if (is_called(&xattr, name))
            *found = true;
        else
            r = append(to, &xattr);
    }
    return r;
}

/* value NULL: removes. */
static int change(struct tree *tree, uint64_t ino, const char *name, const void *value, size_t size, int flags) {
    AUTO_BUFFER struct buffer before = {0}, after = {0};
    AUTO_ROWS struct tree_row row = {0};
    const struct xattr xattr = {name, strlen(name), value, size};
    bool found;
    int r = load(tree, ino, &before);
    if (!r)
        r = copy_others(&before, name, &after, &found);
    if (r)
        return r;
    if (found ? flags & XATTR_CREATE : (!value || (flags & XATTR_REPLACE)))
        return found ? -EEXIST : -ENODATA;
    r = value ? append(&after, &xattr) : 0;
    if (!r && value && stored_size(&after) > LARGEST)
        return -ENOSPC;
    if (!r && before.size == after.size && before.size && memcmp(before.data, after.data, after.size) == 0)
        return 0;
    if (!r)
        r = store(tree, ino, &after);
    if (!r)
        r = tree_row_load(tree, ino, &row);
    return r ? r : tree_attributes_changed(tree, &row, TREE_XATTRS);
}

int tree_xattr_set(struct tree *tree, uint64_t ino, const char *name, const void *value, size_t size, int flags) {
    const char *rest = without_prefix(name);
    if (!rest)
        return -EOPNOTSUPP;
    if (size > LARGEST)
        return -ENOSPC;
    if (!text_is_utf8(rest, strlen(rest)))
        return -EILSEQ;
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, change(tree, ino, rest, value ? value : "", size, flags));
}

int tree_xattr_remove(struct tree *tree, uint64_t ino, const char *name) {
    const char *rest = without_prefix(name);
    if (!rest)
        return -ENODATA;
    int r = tree_begin(tree);
    return r ? r : tree_end(tree, change(tree, ino, rest, NULL, 0, 0));
}

int tree_xattr_replace_all(struct tree *tree, uint64_t ino, const struct tree_head *head, bool *changed) {
    AUTO_BUFFER struct buffer before = {0}, after = {0};
    int r = load(tree, ino, &before);
    for (size_t i = 0; !r && i < head->xattr_count; i++) {
        const char *name = head->xattr_names[i];
        const struct xattr xattr = {name, strlen(name), head->xattr_values[i], head->xattr_sizes[i]};
        r = append(&after, &xattr);
    }
    if (r || (before.size == after.size && (!after.size || memcmp(before.data, after.data, after.size) == 0)))
        return r;
    *changed = true;
    return store(tree, ino, &after);
}
