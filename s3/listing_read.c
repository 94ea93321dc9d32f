/* S3's answers, read from XML. */
#include "s3/listing.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/listing_walk.h"

static int set_text(char **field, const char *text) {
    free(*field);
    *field = strdup(text);
    return *field ? 0 : -ENOMEM;
}

/* Without the quotes around it. */
static int set_etag(char **field, const char *text, size_t size) {
    if (size >= 2 && text[0] == '"' && text[size - 1] == '"')
        text++, size -= 2;
    free(*field);
    *field = strndup(text, size);
    return *field ? 0 : -ENOMEM;
}

/* A page while it is read. Keys are decoded at the end: EncodingType may stand behind them. */
struct page_reading {
    struct store_page *page;
    size_t capacity, prefix_capacity;
    bool url_encoded, truncated;
    const char *root_name;
    char *next_marker; /* owned; of ListObjects */
};

static struct store_object *add_object(struct page_reading *reading) {
    struct store_page *page = reading->page;
    if (page->count == reading->capacity) {
        size_t capacity = reading->capacity ? reading->capacity * 2 : 64;
        struct store_object *objects = reallocarray(page->objects, capacity, sizeof *objects);
        if (!objects)
            return NULL;
        page->objects = objects;
        reading->capacity = capacity;
    }
    struct store_object *object = &page->objects[page->count++];
    *object = (struct store_object){0};
    return object;
}

static int add_prefix(struct page_reading *reading, const char *text) {
    struct store_page *page = reading->page;
    if (page->prefix_count == reading->prefix_capacity) {
        size_t capacity = reading->prefix_capacity ? reading->prefix_capacity * 2 : 16;
        char **prefixes = reallocarray(page->prefixes, capacity, sizeof *prefixes);
        if (!prefixes)
            return -ENOMEM;
        page->prefixes = prefixes;
        reading->prefix_capacity = capacity;
    }
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    page->prefixes[page->prefix_count++] = copy;
    return 0;
}

static int page_start(void *context, const char *path) {
    struct page_reading *reading = context;
    size_t root = strlen(reading->root_name);
    if (strncmp(path, reading->root_name, root) != 0 || (path[root] && path[root] != '/'))
        return PAIL_DAMAGED;
    const char *name = path[root] ? path + root + 1 : "";
    if (strcmp(name, "Contents") == 0 || strcmp(name, "Version") == 0 || strcmp(name, "DeleteMarker") == 0 ||
        strcmp(name, "Upload") == 0) {
        struct store_object *object = add_object(reading);
        if (!object)
            return -ENOMEM;
        object->delete_marker = *name == 'D';
    }
    return 0;
}

static int object_field(struct store_object *object, const char *name, const char *text, size_t size) {
    if (strcmp(name, "Key") == 0)
        return set_text(&object->key, text);
    if (strcmp(name, "ETag") == 0)
        return set_etag(&object->etag, text, size);
    if (strcmp(name, "VersionId") == 0 || strcmp(name, "UploadId") == 0)
        return set_text(&object->version, text);
    if (strcmp(name, "Size") == 0)
        return text_parse_u64(text, &object->size) ? PAIL_DAMAGED : 0;
    if (strcmp(name, "LastModified") == 0)
        return clock_parse_iso8601(text, &object->modified_s) ? PAIL_DAMAGED : 0;
    if (strcmp(name, "IsLatest") == 0)
        object->is_latest = strcmp(text, "true") == 0;
    else if (strcmp(name, "StorageClass") == 0)
        object->archived = strcmp(text, "GLACIER") == 0 || strcmp(text, "DEEP_ARCHIVE") == 0;
    else if (strcmp(name, "RestoreStatus/RestoreExpiryDate") == 0)
        object->archived = false;
    return 0;
}

static int page_field(struct page_reading *reading, const char *name, const char *text) {
    struct store_page *page = reading->page;
    if (strcmp(name, "EncodingType") == 0)
        reading->url_encoded = strcmp(text, "url") == 0;
    else if (strcmp(name, "IsTruncated") == 0)
        reading->truncated = strcmp(text, "true") == 0;
    else if (strcmp(name, "CommonPrefixes/Prefix") == 0)
        return add_prefix(reading, text);
    else if (strcmp(name, "NextContinuationToken") == 0)
        return set_text(&page->next_token, text);
    else if (strcmp(name, "NextMarker") == 0)
        return set_text(&reading->next_marker, text);
    else if (strcmp(name, "NextKeyMarker") == 0)
        return set_text(&page->next_key_marker, text);
    else if (strcmp(name, "NextVersionIdMarker") == 0 || strcmp(name, "NextUploadIdMarker") == 0)
        return set_text(&page->next_version_marker, text);
    return 0;
}

static int page_end(void *context, const char *path, const char *text, size_t size) {
    struct page_reading *reading = context;
    const char *name = path + strlen(reading->root_name);
    if (!*name++)
        return 0;
    static const char *const parents[] = {"Contents/", "Version/", "DeleteMarker/", "Upload/"};
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++)
        if (text_starts(name, parents[i]))
            return object_field(&reading->page->objects[reading->page->count - 1], name + strlen(parents[i]), text,
                                size);
    return page_field(reading, name, text);
}

/* In place: the decoded text is never longer. 1: it holds a NUL, which no name of ours can. */
static int decode(char *text) {
    if (!text)
        return 0;
    size_t size;
    AUTO_FREE char *plain = text_percent_decode(text, strlen(text), true, &size);
    if (!plain)
        return errno == EINVAL ? PAIL_DAMAGED : -ENOMEM;
    memcpy(text, plain, size + 1);
    return strlen(text) == size ? 0 : -EILSEQ;
}

static int decode_objects(struct store_page *page) {
    size_t kept = 0;
    int r = 0;
    for (size_t i = 0; i < page->count; i++) {
        int result = decode(page->objects[i].key);
        if (result && result != -EILSEQ && !r)
            r = result;
        if (result == -EILSEQ)
            store_object_finish(&page->objects[i]);
        else
            page->objects[kept++] = page->objects[i];
    }
    page->count = kept;
    return r;
}

static int decode_page(struct page_reading *reading) {
    struct store_page *page = reading->page;
    int r = decode_objects(page);
    for (size_t i = 0; i < page->prefix_count && !r; i++)
        r = decode(page->prefixes[i]);
    if (!r)
        r = decode(page->next_key_marker);
    if (!r)
        r = decode(reading->next_marker);
    return r == -EILSEQ ? PAIL_DAMAGED : r;
}

static int check_objects(struct store_page *page) {
    for (size_t i = 0; i < page->count; i++) {
        struct store_object *object = &page->objects[i];
        if (!object->key || !*object->key)
            return PAIL_DAMAGED;
        if (!object->etag && !(object->etag = strdup("")))
            return -ENOMEM;
    }
    return 0;
}

/* A page that goes on must say where; ListObjects without a delimiter goes on behind its last key. */
static int finish_marker(struct page_reading *reading) {
    struct store_page *page = reading->page;
    if (!reading->truncated) {
        free(TAKE(page->next_token));
        free(TAKE(page->next_key_marker));
        free(TAKE(page->next_version_marker));
        return 0;
    }
    if (page->next_token || page->next_key_marker)
        return 0;
    if (!reading->next_marker && page->count)
        return set_text(&page->next_token, page->objects[page->count - 1].key);
    page->next_token = TAKE(reading->next_marker);
    return page->next_token ? 0 : PAIL_DAMAGED;
}

static int parse_page(const char *xml, size_t size, const char *root, struct store_page *page) {
    *page = (struct store_page){0};
    struct page_reading reading = {.page = page, .root_name = root};
    int r = listing_walk(xml, size, &(struct listing_walker){page_start, page_end, &reading});
    if (!r && reading.url_encoded)
        r = decode_page(&reading);
    if (!r)
        r = check_objects(page);
    if (!r)
        r = finish_marker(&reading);
    free(reading.next_marker);
    if (r)
        store_page_finish(page);
    return r;
}

int listing_parse_page(const char *xml, size_t size, struct store_page *page) {
    return parse_page(xml, size, "ListBucketResult", page);
}

static bool in_key_order(const struct store_page *page) {
    for (size_t i = 1; i < page->count; i++)
        if (strcmp(page->objects[i - 1].key, page->objects[i].key) > 0)
            return false;
    return true;
}

static int compare_versions(const void *left, const void *right) {
    const struct store_object *a = left, *b = right;
    int order = strcmp(a->key, b->key);
    if (order)
        return order;
    if (a->is_latest != b->is_latest)
        return a->is_latest ? -1 : 1;
    return (b->modified_s > a->modified_s) - (b->modified_s < a->modified_s);
}

int listing_parse_versions(const char *xml, size_t size, struct store_page *page) {
    int r = parse_page(xml, size, "ListVersionsResult", page);
    /* Stores write versions and markers in one order, and know it better than times of a second can tell. Only where
     * markers stand apart are they merged here. */
    if (!r && !in_key_order(page))
        qsort(page->objects, page->count, sizeof *page->objects, compare_versions);
    return r;
}

int listing_parse_uploads(const char *xml, size_t size, struct store_page *page) {
    int r = parse_page(xml, size, "ListMultipartUploadsResult", page);
    for (size_t i = 0; !r && i < page->count; i++)
        if (!page->objects[i].version)
            r = PAIL_DAMAGED;
    if (r)
        store_page_finish(page);
    return r;
}

char *listing_decode_upload_key(const char *key) {
    size_t length;
    char *plain = strpbrk(key, "%+") ? text_percent_decode(key, strlen(key), true, &length) : NULL;
    if (plain && strlen(plain) == length)
        return plain;
    free(plain);
    return NULL;
}

struct parts_reading {
    struct store_parts *parts;
    size_t capacity;
    bool truncated;
    char *marker; /* owned */
};

static int parts_start(void *context, const char *path) {
    struct parts_reading *reading = context;
    if (!text_starts(path, "ListPartsResult"))
        return PAIL_DAMAGED;
    if (strcmp(path, "ListPartsResult/Part") != 0)
        return 0;
    struct store_parts *parts = reading->parts;
    if (parts->count == STORE_MAX_PARTS)
        return PAIL_DAMAGED;
    if (parts->count == reading->capacity) {
        size_t capacity = reading->capacity ? reading->capacity * 2 : 64;
        struct store_part *items = reallocarray(parts->items, capacity, sizeof *items);
        if (!items)
            return -ENOMEM;
        parts->items = items;
        reading->capacity = capacity;
    }
    parts->items[parts->count++] = (struct store_part){0};
    return 0;
}

static int part_number(struct store_part *part, const char *text) {
    uint64_t number;
    if (text_parse_u64(text, &number) || !number || number > STORE_MAX_PARTS)
        return PAIL_DAMAGED;
    part->number = (unsigned)number;
    return 0;
}

static int part_field(struct store_part *part, const char *name, const char *text, size_t size) {
    if (strcmp(name, "PartNumber") == 0)
        return part_number(part, text);
    if (strcmp(name, "ETag") == 0)
        return set_etag(&part->etag, text, size);
    if (strcmp(name, "Size") == 0)
        return text_parse_u64(text, &part->size) ? PAIL_DAMAGED : 0;
    return 0;
}

static int parts_end(void *context, const char *path, const char *text, size_t size) {
    struct parts_reading *reading = context;
    if (text_starts(path, "ListPartsResult/Part/"))
        return part_field(&reading->parts->items[reading->parts->count - 1], strrchr(path, '/') + 1, text, size);
    if (strcmp(path, "ListPartsResult/NextPartNumberMarker") == 0)
        return set_text(&reading->marker, text);
    if (strcmp(path, "ListPartsResult/IsTruncated") == 0)
        reading->truncated = strcmp(text, "true") == 0;
    return 0;
}

static int check_parts(const struct parts_reading *reading) {
    for (size_t i = 0; i < reading->parts->count; i++)
        if (!reading->parts->items[i].number || !reading->parts->items[i].etag)
            return PAIL_DAMAGED;
    return reading->truncated && !reading->marker ? PAIL_DAMAGED : 0;
}

int listing_parse_parts(const char *xml, size_t size, struct store_parts *parts, char **next_marker) {
    *parts = (struct store_parts){0};
    *next_marker = NULL;
    struct parts_reading reading = {.parts = parts};
    int r = listing_walk(xml, size, &(struct listing_walker){parts_start, parts_end, &reading});
    if (!r)
        r = check_parts(&reading);
    if (!r && reading.truncated)
        *next_marker = TAKE(reading.marker);
    free(reading.marker);
    if (r)
        store_parts_finish(parts);
    return r;
}

struct text_reading {
    const char *path;
    char *text; /* owned */
};

static int text_end(void *context, const char *path, const char *text, size_t size) {
    (void)size;
    struct text_reading *reading = context;
    return !reading->text && strcmp(path, reading->path) == 0 ? set_text(&reading->text, text) : 0;
}

int listing_parse_text(const char *xml, size_t size, const char *path, char **text) {
    struct text_reading reading = {.path = path};
    int r = listing_walk(xml, size, &(struct listing_walker){.end = text_end, .context = &reading});
    if (r)
        free(TAKE(reading.text));
    *text = reading.text;
    return r;
}

int listing_parse_upload_id(const char *xml, size_t size, char **upload) {
    int r = listing_parse_text(xml, size, "InitiateMultipartUploadResult/UploadId", upload);
    if (!r && (!*upload || !**upload)) {
        free(TAKE(*upload));
        r = PAIL_DAMAGED;
    }
    return r;
}

void listing_error_finish(struct listing_error *error) {
    free(error->code);
    free(error->message);
    *error = (struct listing_error){0};
}

struct result_reading {
    char *etag; /* owned */
    struct listing_error error;
    bool known;
};

static int result_start(void *context, const char *path) {
    struct result_reading *reading = context;
    static const char *const roots[] = {"CopyObjectResult", "CopyPartResult", "CompleteMultipartUploadResult", "Error"};
    for (size_t i = 0; i < 4 && !reading->known; i++)
        reading->known = strcmp(path, roots[i]) == 0;
    return reading->known ? 0 : PAIL_DAMAGED;
}

static int result_end(void *context, const char *path, const char *text, size_t size) {
    struct result_reading *reading = context;
    if (strcmp(path, "Error/Code") == 0)
        return set_text(&reading->error.code, text);
    if (strcmp(path, "Error/Message") == 0)
        return set_text(&reading->error.message, text);
    const char *slash = strchr(path, '/');
    return slash && strcmp(slash, "/ETag") == 0 ? set_etag(&reading->etag, text, size) : 0;
}

int listing_parse_result(const char *xml, size_t size, char **etag, struct listing_error *error) {
    struct result_reading reading = {0};
    *etag = NULL;
    *error = (struct listing_error){0};
    int r = listing_walk(xml, size, &(struct listing_walker){result_start, result_end, &reading});
    if (!r && !reading.error.code && !reading.etag && !(reading.etag = strdup("")))
        r = -ENOMEM;
    if (!r && reading.error.code)
        *error = reading.error;
    else
        listing_error_finish(&reading.error);
    if (!r && !error->code)
        *etag = TAKE(reading.etag);
    free(reading.etag);
    return r;
}

int listing_parse_error(const char *xml, size_t size, struct listing_error *error) {
    AUTO_FREE char *etag = NULL;
    int r = listing_parse_result(xml, size, &etag, error);
    return r ? r : error->code ? 0 : PAIL_DAMAGED;
}

struct deleted_reading {
    int (*failed)(void *context, const char *key, const char *code, const char *message);
    void *context;
    char *key, *code, *message; /* owned; of the Error under way */
};

static int deleted_start(void *context, const char *path) {
    (void)context;
    return text_starts(path, "DeleteResult") ? 0 : PAIL_DAMAGED;
}

static int deleted_end(void *context, const char *path, const char *text, size_t size) {
    (void)size;
    struct deleted_reading *reading = context;
    if (strcmp(path, "DeleteResult/Error/Key") == 0)
        return set_text(&reading->key, text);
    if (strcmp(path, "DeleteResult/Error/Code") == 0)
        return set_text(&reading->code, text);
    if (strcmp(path, "DeleteResult/Error/Message") == 0)
        return set_text(&reading->message, text);
    if (strcmp(path, "DeleteResult/Error") != 0)
        return 0;
    AUTO_FREE char *key = TAKE(reading->key), *code = TAKE(reading->code), *message = TAKE(reading->message);
    if (!key || !code)
        return PAIL_DAMAGED;
    return reading->failed(reading->context, key, code, message ? message : "");
}

int listing_parse_deleted(const char *xml, size_t size,
                          int (*failed)(void *context, const char *key, const char *code, const char *message),
                          void *context) {
    struct deleted_reading reading = {.failed = failed, .context = context};
    int r = listing_walk(xml, size, &(struct listing_walker){deleted_start, deleted_end, &reading});
    free(reading.key);
    free(reading.code);
    free(reading.message);
    return r;
}
