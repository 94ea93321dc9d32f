/* Which versions a key has: for bytes that were replaced while somebody reads them, and for what stood below ours. */
#include "fs/sync/private.h"

#define PAGE 100u
#define MOST_PAGES 20

/* Calls visit for each entry of this very key, newest first, until it returns non-zero. */
static int walk(struct sync *sync, const char *key, int (*visit)(void *context, struct store_object *object),
                void *context, struct fault *fault) {
    AUTO_FREE char *key_marker = NULL, *version_marker = NULL;
    for (int pages = 0; pages < MOST_PAGES; pages++) {
        AUTO_PAGE struct store_page page = {0};
        struct store_list_versions request = {key, key_marker, version_marker, PAGE};
        int r = call_list_versions(sync, &request, &page, fault);
        for (size_t i = 0; !r && i < page.count; i++) {
            if (strcmp(page.objects[i].key, key) != 0)
                return 0;
            r = visit(context, &page.objects[i]);
        }
        if (r || !page.next_key_marker)
            return r;
        free(key_marker);
        free(version_marker);
        key_marker = TAKE(page.next_key_marker);
        version_marker = TAKE(page.next_version_marker);
    }
    return 0;
}

struct wanted {
    const char *etag;
    uint64_t size;
    char *version; /* owned */
};

static int compare(void *context, struct store_object *object) {
    struct wanted *wanted = context;
    if (object->delete_marker || object->size != wanted->size || !text_equal(object->etag, wanted->etag))
        return 0;
    wanted->version = TAKE(object->version);
    return JOB_AGAIN; /* enough */
}

int versions_find(struct sync *sync, const char *key, const char *etag, uint64_t size, char **version,
                  struct fault *fault) {
    struct wanted wanted = {.etag = etag, .size = size};
    *version = NULL;
    int r = walk(sync, key, compare, &wanted, fault);
    if (r && r != JOB_AGAIN)
        return r;
    *version = wanted.version;
    return wanted.version ? 0 : PAIL_GONE;
}

struct below {
    const char *ours;
    struct store_object *newest, *below;
    bool first_seen, ours_seen;
};

static int look(void *context, struct store_object *object) {
    struct below *below = context;
    bool first = !below->first_seen;
    if (below->ours_seen) {
        *below->below = *object;
        *object = (struct store_object){0};
        return JOB_AGAIN; /* enough */
    }
    below->first_seen = true;
    below->ours_seen = below->ours ? text_equal(object->version, below->ours) : first;
    if (first) {
        *below->newest = *object;
        *object = (struct store_object){0};
    }
    return 0;
}

int versions_below(struct sync *sync, const char *key, const char *ours, struct store_object *below,
                   struct store_object *newest, struct fault *fault) {
    struct below context = {.ours = ours, .newest = newest, .below = below};
    *below = *newest = (struct store_object){0};
    int r = walk(sync, key, look, &context, fault);
    return r == JOB_AGAIN ? 0 : r;
}
