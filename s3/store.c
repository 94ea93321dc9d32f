/* The store's interface: calls go to the implementation; and what belongs to its structs. */
#include "s3/store.h"

#include "base/cleanup.h"

void store_destroy(struct store *store) {
    if (store)
        store->operations->destroy(store);
}

void store_features(struct store *store, struct store_features *out) {
    store->operations->features(store, out);
}

int store_get(struct store *store, const struct store_get *request, const struct store_sink *sink,
              struct store_object *object, const struct store_call *call) {
    return store->operations->get(store, request, sink, object, call);
}

int store_head(struct store *store, const char *key, const char *version, struct store_object *object,
               const struct store_call *call) {
    return store->operations->head(store, key, version, object, call);
}

int store_put(struct store *store, const struct store_put *request, struct store_written *written,
              const struct store_call *call) {
    return store->operations->put(store, request, written, call);
}

int store_copy(struct store *store, const struct store_copy *request, struct store_written *written,
               const struct store_call *call) {
    return store->operations->copy(store, request, written, call);
}

int store_remove(struct store *store, const char *key, const char *etag, const struct store_call *call) {
    return store->operations->remove(store, key, etag, call);
}

int store_remove_many(struct store *store, struct store_delete *items, size_t count, const struct store_call *call) {
    return store->operations->remove_many(store, items, count, call);
}

int store_list(struct store *store, const struct store_list *request, struct store_page *page,
               const struct store_call *call) {
    return store->operations->list(store, request, page, call);
}

int store_list_versions(struct store *store, const struct store_list_versions *request, struct store_page *page,
                        const struct store_call *call) {
    return store->operations->list_versions(store, request, page, call);
}

int store_create_upload(struct store *store, const char *key, const struct store_headers *headers, char **upload,
                        const struct store_call *call) {
    return store->operations->create_upload(store, key, headers, upload, call);
}

int store_put_part(struct store *store, const char *key, const char *upload, unsigned number,
                   const struct store_source *source, char **etag, const struct store_call *call) {
    return store->operations->put_part(store, key, upload, number, source, etag, call);
}

int store_copy_part(struct store *store, const char *key, const char *upload, unsigned number,
                    const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                    const struct store_call *call) {
    return store->operations->copy_part(store, key, upload, number, source, offset, length, etag, call);
}

int store_complete_upload(struct store *store, const char *key, const char *upload, const struct store_parts *parts,
                          uint64_t total, const struct store_when *when, struct store_written *written,
                          const struct store_call *call) {
    return store->operations->complete_upload(store, key, upload, parts, total, when, written, call);
}

int store_abort_upload(struct store *store, const char *key, const char *upload, const struct store_call *call) {
    return store->operations->abort_upload(store, key, upload, call);
}

int store_list_parts(struct store *store, const char *key, const char *upload, struct store_parts *parts,
                     const struct store_call *call) {
    return store->operations->list_parts(store, key, upload, parts, call);
}

static struct store_header *find_header(const struct store_headers *headers, const char *name) {
    for (size_t i = 0; headers && i < headers->count; i++)
        if (strcmp(headers->items[i].name, name) == 0)
            return &headers->items[i];
    return NULL;
}

const char *store_headers_get(const struct store_headers *headers, const char *name) {
    const struct store_header *header = find_header(headers, name);
    return header ? header->value : NULL;
}

static void remove_header(struct store_headers *headers, struct store_header *header) {
    free(header->name);
    free(header->value);
    *header = headers->items[--headers->count];
}

static int add_header(struct store_headers *headers, char *name, char *value) {
    struct store_header *items = name && value ? reallocarray(headers->items, headers->count + 1, sizeof *items) : NULL;
    if (!items) {
        free(name);
        free(value);
        return -ENOMEM;
    }
    headers->items = items;
    items[headers->count++] = (struct store_header){name, value};
    return 0;
}

int store_headers_set(struct store_headers *headers, const char *name, const char *value) {
    struct store_header *header = find_header(headers, name);
    if (!value) {
        if (header)
            remove_header(headers, header);
        return 0;
    }
    if (!header)
        return add_header(headers, strdup(name), strdup(value));
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(header->value);
    header->value = copy;
    return 0;
}

int store_headers_copy(struct store_headers *to, const struct store_headers *from) {
    *to = (struct store_headers){0};
    for (size_t i = 0; from && i < from->count; i++) {
        int r = add_header(to, strdup(from->items[i].name), strdup(from->items[i].value));
        if (r) {
            store_headers_finish(to);
            return r;
        }
    }
    return 0;
}

void store_headers_finish(struct store_headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        free(headers->items[i].name);
        free(headers->items[i].value);
    }
    free(headers->items);
    *headers = (struct store_headers){0};
}

void store_object_finish(struct store_object *object) {
    free(object->key);
    free(object->etag);
    free(object->version);
    store_headers_finish(&object->headers);
    *object = (struct store_object){0};
}

void store_written_finish(struct store_written *written) {
    free(written->etag);
    free(written->version);
    *written = (struct store_written){0};
}

void store_page_finish(struct store_page *page) {
    for (size_t i = 0; i < page->count; i++)
        store_object_finish(&page->objects[i]);
    for (size_t i = 0; i < page->prefix_count; i++)
        free(page->prefixes[i]);
    free(page->objects);
    free(page->prefixes);
    free(page->next_token);
    free(page->next_key_marker);
    free(page->next_version_marker);
    *page = (struct store_page){0};
}

void store_parts_finish(struct store_parts *parts) {
    for (size_t i = 0; i < parts->count; i++)
        free(parts->items[i].etag);
    free(parts->items);
    *parts = (struct store_parts){0};
}

static bool is_printable(const char *text) {
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

int store_headers_check(const struct store_headers *headers, struct fault *fault) {
    static const char prefix[] = "x-amz-meta-";
    size_t bytes = 0;
    for (size_t i = 0; headers && i < headers->count; i++) {
        const struct store_header *header = &headers->items[i];
        if (!is_printable(header->value))
            return fault_set(fault, -EINVAL, "the value of %s is not printable ASCII", header->name);
        if (strncmp(header->name, prefix, sizeof prefix - 1) == 0)
            bytes += strlen(header->name) - (sizeof prefix - 1) + strlen(header->value);
    }
    if (bytes > STORE_MAX_METADATA)
        return fault_set(fault, PAIL_TOO_LARGE, "%zu bytes of metadata are more than the %u that S3 can hold", bytes,
                         STORE_MAX_METADATA);
    return 0;
}
