/* What the suite's tests share. */
#include "support.h"

#include <stdio.h>

const char *support_key(const struct conformance *run, const char *name) {
    static _Thread_local char keys[64][STORE_MAX_KEY + 1];
    static _Thread_local unsigned next;
    char *key = keys[next++ % 64];
    snprintf(key, sizeof keys[0], "%s%s", run->folder, name);
    return key;
}

static unsigned char byte_at(uint64_t seed, uint64_t offset) {
    uint64_t mixed = (seed + 1) * 0x9e3779b97f4a7c15u ^ (offset / 8 + 1) * 0xbf58476d1ce4e5b9u;
    mixed ^= mixed >> 29;
    return (unsigned char)(mixed * 0x94d049bb133111ebu >> (offset % 8 * 7));
}

void support_fill(uint64_t seed, uint64_t offset, void *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)data)[i] = byte_at(seed, offset + i);
}

static int read_seed(void *context, uint64_t offset, void *data, size_t size) {
    support_fill(*(uint64_t *)context, offset, data, size);
    return 0;
}

struct store_source support_source(uint64_t *seed, uint64_t size) {
    return (struct store_source){read_seed, seed, size};
}

static int keep(void *context, const void *data, size_t size) {
    struct support_bytes *bytes = context;
    unsigned char *longer = realloc(bytes->data, bytes->size + size);
    if (!longer)
        return -ENOMEM;
    memcpy(longer + bytes->size, data, size);
    bytes->data = longer;
    bytes->size += size;
    return 0;
}

struct store_sink support_sink(struct support_bytes *bytes) {
    *bytes = (struct support_bytes){0};
    return (struct store_sink){keep, bytes};
}

void support_free(struct support_bytes *bytes) {
    free(bytes->data);
    *bytes = (struct support_bytes){0};
}

void support_assert_bytes(const struct support_bytes *bytes, uint64_t seed, uint64_t offset, uint64_t size) {
    assert_int_equal(bytes->size, size);
    for (size_t i = 0; i < size; i++)
        if (bytes->data[i] != byte_at(seed, offset + i))
            fail_msg("byte %zu of %zu differs", i, bytes->size);
}

void support_put(const struct conformance *run, const char *key, uint64_t seed, uint64_t size, char **etag,
                 char **version) {
    struct store_put request = {.key = key, .source = support_source(&seed, size)};
    struct store_written written;
    assert_ok(store_put(run->store, &request, &written, &call));
    assert_non_null(written.etag);
    if (etag)
        *etag = strdup(written.etag);
    if (version)
        *version = written.version ? strdup(written.version) : NULL;
    store_written_finish(&written);
}

void support_assert_object(const struct conformance *run, const char *key, uint64_t seed, uint64_t size) {
    struct store_get request = {.key = key};
    struct support_bytes bytes;
    struct store_sink sink = support_sink(&bytes);
    struct store_object object;
    assert_ok(store_get(run->store, &request, &sink, &object, &call));
    support_assert_bytes(&bytes, seed, 0, size);
    support_free(&bytes);
    store_object_finish(&object);
}

void support_assert_gone(const struct conformance *run, const char *key) {
    struct store_object object;
    assert_result(store_head(run->store, key, NULL, &object, &call), PAIL_GONE);
    store_object_finish(&object);
}
