/* A node's attributes as an object's metadata, in the form of s3fs: x-amz-meta-mode (decimal, with the file type),
 * -uid, -gid, -mtime and -ctime ("seconds.nanoseconds"), -xattr (URL-encoded JSON, values in base64); and our own
 * pail-content. https://github.com/s3fs-fuse/s3fs-fuse/wiki and its src/metaheader.cpp */
#include "base/buffer.h"
#include "base/json.h"
#include "fs/sync/private.h"

#include <stdio.h>
#include <sys/stat.h>

#define LARGEST_METADATA 2048u /* Amazon S3 User Guide, "Working with object metadata" */
#define NS_PER_S 1000000000ll

/* ---- Reading ---- */

static bool read_number(const struct store_headers *headers, const char *name, uint32_t *out) {
    uint64_t number;
    const char *text = store_headers_get(headers, name);
    if (!text || text_parse_u64(text, &number) || number > UINT32_MAX)
        return false;
    *out = (uint32_t)number;
    return true;
}

/* "-12.5" is 12 seconds before 1970 and half a second after that: as tv_sec and tv_nsec are. */
static bool read_time(const char *text, int64_t *out) {
    bool negative = text && *text == '-';
    AUTO_FREE char *whole = text ? strdup(text + negative) : NULL;
    uint64_t seconds;
    if (!whole)
        return false;
    char *point = strchr(whole, '.');
    if (point)
        *point++ = 0;
    if (text_parse_u64(whole, &seconds) || seconds > INT64_MAX / NS_PER_S - 1)
        return false;
    int64_t nanoseconds = 0, unit = NS_PER_S / 10;
    for (; point && *point && unit; point++, unit /= 10) {
        if (*point < '0' || *point > '9')
            return false;
        nanoseconds += (*point - '0') * unit;
    }
    *out = (negative ? -(int64_t)seconds : (int64_t)seconds) * NS_PER_S + nanoseconds;
    return true;
}

static struct json *parse_xattrs(const char *header) {
    size_t size;
    struct json *json = NULL;
    AUTO_FREE char *text = header ? text_percent_decode(header, strlen(header), false, &size) : NULL;
    if (text && json_parse(&json, text, size))
        return NULL;
    if (json && !json_is_object(json)) {
        json_destroy(json);
        return NULL;
    }
    return json;
}

static int keep_xattr(struct metadata *out, const char *name, const char *value) {
    size_t at = out->count, size;
    unsigned char *bytes = NULL;
    if (!text_starts(name, "user.") || !value || text_base64_decode(value, strlen(value), &bytes, &size))
        return 0; /* somebody else's, or damaged */
    out->names[at] = strdup(name + strlen("user."));
    out->values[at] = (char *)bytes;
    out->sizes[at] = size;
    out->count++;
    return out->names[at] ? 0 : -ENOMEM;
}

static int read_xattrs(const struct store_headers *headers, struct metadata *out) {
    AUTO_JSON struct json *json = parse_xattrs(store_headers_get(headers, META "xattr"));
    size_t most = json_size(json);
    if (!most)
        return 0;
    out->names = calloc(most, sizeof *out->names);
    out->values = calloc(most, sizeof *out->values);
    out->sizes = calloc(most, sizeof *out->sizes);
    int error = out->names && out->values && out->sizes ? 0 : -ENOMEM;
    for (const struct json *one = json_first(json); one && !error; one = json_next(one))
        error = keep_xattr(out, json_name(one), json_text(one));
    return error;
}

bool head_settled(const struct store_object *object) {
    return !object->date_s || !object->modified_s || object->date_s - object->modified_s >= 2;
}

int metadata_read(const struct store_object *object, const char *key, struct metadata *out) {
    const struct store_headers *headers = &object->headers;
    *out = (struct metadata){0};
    struct tree_head *head = &out->head;
    *head = (struct tree_head){.key = key,
                               .etag = object->etag,
                               .version = object->version,
                               .size = object->size,
                               .modified_s = object->modified_s,
                               .settled = head_settled(object),
                               .archived = object->archived,
                               .content = store_headers_get(headers, META_CONTENT)};
    head->has_mode = read_number(headers, META "mode", &head->mode);
    head->has_uid = read_number(headers, META "uid", &head->uid);
    head->has_gid = read_number(headers, META "gid", &head->gid);
    head->has_mtime = read_time(store_headers_get(headers, META "mtime"), &head->mtime_ns);
    int error = read_xattrs(headers, out);
    head->xattr_names = (const char *const *)out->names;
    head->xattr_values = (const char *const *)out->values;
    head->xattr_sizes = out->sizes;
    head->xattr_count = out->count;
    return error;
}

void metadata_finish(struct metadata *metadata) {
    for (size_t i = 0; i < metadata->count; i++) {
        free(metadata->names[i]);
        free(metadata->values[i]);
    }
    free(metadata->names);
    free(metadata->values);
    free(metadata->sizes);
    free(metadata->target);
    *metadata = (struct metadata){0};
}

/* ---- Writing ---- */

static int set_number(struct store_headers *headers, const char *name, uint32_t number) {
    char text[16];
    snprintf(text, sizeof text, "%u", number);
    return store_headers_set(headers, name, text);
}

static int set_time(struct store_headers *headers, const char *name, int64_t ns) {
    char text[48];
    long long seconds = ns / NS_PER_S - (ns % NS_PER_S < 0);
    snprintf(text, sizeof text, "%lld.%09lld", seconds, ns - seconds * NS_PER_S);
    return store_headers_set(headers, name, text);
}

/* What is shown may be the person who mounted; what is stored stays. */
static uint32_t kept(int64_t stored, uint32_t shown) {
    return stored < 0 ? shown : (uint32_t)stored;
}

static uint32_t full_mode(const struct tree_node *node) {
    uint32_t type = node->type == TREE_FOLDER ? S_IFDIR : node->type == TREE_LINK ? S_IFLNK : S_IFREG;
    return type | (node->mode & 07777);
}

/* What stands there of other namespaces than user. stays. */
static int keep_foreign(const struct store_headers *headers, struct json *into) {
    AUTO_JSON struct json *old = parse_xattrs(store_headers_get(headers, META "xattr"));
    int error = 0;
    for (const struct json *one = json_first(old); one && !error; one = json_next(one))
        if (!text_starts(json_name(one), "user.") && json_text(one))
            error = json_add_text(into, json_name(one), json_text(one));
    return error;
}

static int add_xattr(struct sync *sync, uint64_t ino, const char *name, struct json *into) {
    AUTO_FREE char *value = NULL;
    size_t size;
    int r = tree_xattr_get(sync->tree, ino, name, &value, &size);
    if (r == -ENODATA)
        return 0; /* gone meanwhile: that change is work of its own */
    AUTO_FREE char *text = r ? NULL : text_base64(value ? value : "", size);
    if (r || !text)
        return r ? r : -ENOMEM;
    return json_add_text(into, name, text);
}

static int set_xattrs(struct sync *sync, uint64_t ino, struct store_headers *headers) {
    AUTO_FREE char *names = NULL;
    AUTO_JSON struct json *json = json_object();
    size_t size = 0;
    int r = json ? keep_foreign(headers, json) : -ENOMEM;
    if (!r)
        r = tree_xattr_list(sync->tree, ino, &names, &size);
    for (const char *name = names; !r && name && name < names + size; name += strlen(name) + 1)
        if (text_is_utf8(name, strlen(name)))
            r = add_xattr(sync, ino, name, json);
    if (r || !json_size(json))
        return r ? r : store_headers_set(headers, META "xattr", NULL);
    AUTO_FREE char *text = json_print(json);
    AUTO_FREE char *encoded = text ? text_percent_encode(text, strlen(text), false) : NULL;
    return encoded ? store_headers_set(headers, META "xattr", encoded) : -ENOMEM;
}

int metadata_check_size(const struct store_headers *headers) {
    size_t size = 0;
    for (size_t i = 0; i < headers->count; i++)
        if (text_starts(headers->items[i].name, META))
            size += strlen(headers->items[i].name) - strlen(META) + strlen(headers->items[i].value);
    return size > LARGEST_METADATA ? PAIL_TOO_LARGE : 0;
}

/* Values come from others too: a header holds printable ASCII only. */
static int make_printable(struct store_headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        char *value = headers->items[i].value;
        bool fine = true;
        for (const char *c = value; *c; c++)
            fine = fine && *c >= ' ' && *c <= '~';
        if (fine)
            continue;
        char *encoded = text_percent_encode(value, strlen(value), true);
        if (!encoded)
            return -ENOMEM;
        free(value);
        headers->items[i].value = encoded;
    }
    return 0;
}

int metadata_write(struct sync *sync, const struct tree_node *node, const char *content_type,
                   struct store_headers *headers) {
    int r = content_type ? store_headers_set(headers, "content-type", content_type) : 0;
    if (!r)
        r = set_number(headers, META "mode", full_mode(node));
    if (!r)
        r = set_number(headers, META "uid", kept(node->kept_uid, node->uid));
    if (!r)
        r = set_number(headers, META "gid", kept(node->kept_gid, node->gid));
    if (!r)
        r = set_time(headers, META "mtime", node->mtime_ns);
    if (!r)
        r = set_time(headers, META "ctime", node->ctime_ns);
    if (!r)
        r = set_xattrs(sync, node->ino, headers);
    if (!r && node->content)
        r = store_headers_set(headers, META_CONTENT, node->content);
    return r ? r : make_printable(headers);
}

static bool same_header(const struct store_headers *a, const struct store_headers *b, const char *name) {
    return text_equal(store_headers_get(a, name), store_headers_get(b, name));
}

bool metadata_equal(const struct store_headers *a, const struct store_headers *b) {
    return same_header(a, b, META "mode") && same_header(a, b, META "uid") && same_header(a, b, META "gid") &&
           same_header(a, b, META "mtime") && same_header(a, b, META "xattr");
}
