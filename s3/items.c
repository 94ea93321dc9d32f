/* Items of a grants request, one function for each operation. */
#include "s3/items.h"

#include "base/text.h"
#include "s3/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void items_finish(struct grants_item *item) {
    free((char *)(uintptr_t)item->text);
    *item = (struct grants_item){0};
}

static struct json *begin(const char *op, const char *key) {
    struct json *json = json_object();
    json_add_text(json, "op", op);
    if (key)
        json_add_text(json, "key", key);
    return json;
}

/* Takes json over. A part that could not be added shows here: error is the sum of what the adding said. */
static int end(struct grants_item *out, struct json *json, int error, unsigned urls, bool keep) {
    *out = (struct grants_item){.text = json && !error ? json_print(json) : NULL, .urls = urls, .keep = keep};
    json_destroy(json);
    return out->text ? 0 : -ENOMEM;
}

static int add_given(struct json *json, const char *name, const char *value) {
    return value ? json_add_text(json, name, value) : 0;
}

bool items_header_allowed(const char *name, bool with_class) {
    static const char *const kin[] = {"content-type",     "cache-control",    "content-disposition",
                                      "content-encoding", "content-language", "expires"};
    for (size_t i = 0; i < sizeof kin / sizeof *kin; i++)
        if (strcmp(name, kin[i]) == 0)
            return true;
    return text_starts(name, "x-amz-meta-") || (with_class && strcmp(name, "x-amz-storage-class") == 0);
}

static int add_headers(struct json *json, const struct store_headers *headers, bool with_class) {
    if (!headers || !headers->count)
        return 0;
    struct json *object = json_object();
    int error = 0;
    for (size_t i = 0; i < headers->count; i++)
        if (items_header_allowed(headers->items[i].name, with_class))
            error |= json_add_text(object, headers->items[i].name, headers->items[i].value);
    return json_add(json, "headers", object) | error;
}

static int one_object(struct grants_item *out, const char *op, const char *key, const char *version) {
    struct json *json = begin(op, key);
    return end(out, json, add_given(json, "version", version), 1, true);
}

int items_get(struct grants_item *out, const char *key, const char *version) {
    return one_object(out, WIRE_OP_GET, key, version);
}

int items_head(struct grants_item *out, const char *key, const char *version) {
    return one_object(out, WIRE_OP_HEAD, key, version);
}

int items_put(struct grants_item *out, const char *key, uint64_t size, const struct store_headers *headers) {
    struct json *json = begin(WIRE_OP_PUT, key);
    int error = json_add_integer(json, "size", (int64_t)size);
    return end(out, json, error | add_headers(json, headers, false), 1, false);
}

static int add_source(struct json *json, const char *source, const struct store_copy *copy, bool with_if_match) {
    int error = json_add_text(json, "source", source);
    error |= add_given(json, "source_version", copy->source_version);
    return error | add_given(json, "source_if_match", with_if_match ? copy->source_if_match : NULL);
}

int items_copy(struct grants_item *out, const char *source, const char *key, const struct store_copy *copy,
               bool with_if_match) {
    struct json *json = begin(WIRE_OP_COPY, key);
    int error = add_source(json, source, copy, with_if_match);
    error |= json_add_text(json, "directive", copy->headers ? "REPLACE" : "COPY");
    return end(out, json, error | add_headers(json, copy->headers, true), 1, false);
}

int items_remove(struct grants_item *out, const char *key) {
    struct json *json = begin(WIRE_OP_DELETE, key);
    return end(out, json, 0, 1, true);
}

int items_remove_many(struct grants_item *out, char *const *keys, const struct store_delete *const *items, size_t count,
                      bool with_etags) {
    struct json *json = begin(WIRE_OP_DELETE_MANY, NULL), *array = json_array();
    int error = 0;
    for (size_t i = 0; i < count; i++) {
        struct json *one = json_object();
        error |= json_add_text(one, "key", keys[i]);
        error |= add_given(one, "etag", with_etags ? items[i]->etag : NULL);
        error |= json_push(array, one);
    }
    return end(out, json, json_add(json, "keys", array) | error, 1, false);
}

int items_list(struct grants_item *out, const char *prefix, const char *start_after, const struct store_list *list) {
    struct json *json = begin(WIRE_OP_LIST, NULL);
    int error = json_add_text(json, "prefix", prefix);
    error |= add_given(json, "delimiter", list->delimiter);
    error |= add_given(json, "start_after", start_after);
    error |= add_given(json, "token", list->token);
    if (list->max_keys)
        error |= json_add_integer(json, "max_keys", list->max_keys);
    return end(out, json, error, 1, true);
}

int items_list_versions(struct grants_item *out, const char *prefix, const char *key_marker,
                        const struct store_list_versions *list) {
    struct json *json = begin(WIRE_OP_LIST_VERSIONS, NULL);
    int error = json_add_text(json, "prefix", prefix);
    error |= add_given(json, "key_marker", key_marker);
    error |= add_given(json, "version_marker", list->version_marker);
    if (list->max_keys)
        error |= json_add_integer(json, "max_keys", list->max_keys);
    return end(out, json, error, 1, true);
}

int items_create(struct grants_item *out, const char *key, const struct store_headers *headers) {
    struct json *json = begin(WIRE_OP_CREATE, key);
    return end(out, json, add_headers(json, headers, true), 1, false);
}

int items_part(struct grants_item *out, const char *key, const char *upload, unsigned first, unsigned count,
               uint64_t size) {
    struct json *json = begin(WIRE_OP_PART, key);
    int error = json_add_text(json, "upload", upload);
    error |= json_add_integer(json, "first", first);
    error |= json_add_integer(json, "count", count);
    return end(out, json, json_add_integer(json, "size", (int64_t)size) | error, count, true);
}

int items_part_copy(struct grants_item *out, const char *key, const char *upload, unsigned number, const char *source,
                    const struct store_copy *copy, uint64_t offset, uint64_t length, bool with_if_match) {
    struct json *json = begin(WIRE_OP_PART_COPY, key);
    char range[64];
    snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, offset, offset + length - 1);
    int error = json_add_text(json, "upload", upload);
    error |= json_add_integer(json, "number", number);
    error |= add_source(json, source, copy, with_if_match);
    return end(out, json, json_add_text(json, "range", range) | error, 1, false);
}

int items_complete(struct grants_item *out, const char *key, const char *upload, uint64_t total) {
    struct json *json = begin(WIRE_OP_COMPLETE, key);
    int error = json_add_text(json, "upload", upload);
    return end(out, json, json_add_integer(json, "total", (int64_t)total) | error, 1, false);
}

int items_abort(struct grants_item *out, const char *key, const char *upload) {
    struct json *json = begin(WIRE_OP_ABORT, key);
    return end(out, json, json_add_text(json, "upload", upload), 1, false);
}

int items_list_parts(struct grants_item *out, const char *key, const char *upload, const char *marker) {
    struct json *json = begin(WIRE_OP_LIST_PARTS, key);
    int error = json_add_text(json, "upload", upload);
    return end(out, json, error | add_given(json, "marker", marker), 1, false);
}
