/* A bucket for the model test: objects with every version that ever was, conditions, and listings as they were at a
 * moment. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object {
    char key[1100];
    char etag[24], version[24], content[40], write_id[40];
    uint64_t size;
    int64_t modified_s;
    unsigned mode;
    bool has_mode, link;
};

struct bucket {
    struct object *now; /* owned; by key */
    size_t count, capacity;
    struct object *versions; /* owned; all there ever were */
    size_t version_count, version_capacity;
    uint64_t number;
    int64_t clock_s;
};

void bucket_finish(struct bucket *bucket);
const struct object *bucket_get(const struct bucket *bucket, const char *key);
const struct object *bucket_version(const struct bucket *bucket, const char *key, const char *version);
/* base_etag NULL: nothing may be there. False: the condition does not hold. new_etag: else the one in object stays. */
bool bucket_put(struct bucket *bucket, const struct object *object, const char *base_etag, bool new_etag);
void bucket_force(struct bucket *bucket, const struct object *object); /* somebody else's, without a condition */
enum bucket_deleted { BUCKET_DELETED, BUCKET_ABSENT, BUCKET_OTHER };
enum bucket_deleted bucket_delete(struct bucket *bucket, const char *key, const char *etag);
/* Index of the first key that is > after (or >= with !strictly). */
size_t bucket_find(const struct bucket *bucket, const char *key, bool strictly);
