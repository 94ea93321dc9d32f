/* CompleteMultipartUpload: the parts become an object, in one transaction, without their bytes being touched. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/crc.h"
#include "s3/embedded/metadata.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/uploads.h"
#include "s3/embedded/xml.h"
#include "s3/listing_walk.h"

#include <errno.h>

#define MOST 10000u
#define SMALLEST ((uint64_t)5 << 20)

/* A part as the client names it, and as it is. */
struct named_part {
    uint64_t number;
    char *etag, *checksum; /* owned; without quotes; "crc32c=BASE64" or NULL */
    struct uploads_part part;
};

struct complete_work {
    struct visit *visit;
    struct named_part *items; /* owned */
    size_t count, capacity;
    struct uploads_row upload;
    char *etag, *sizes, *checksum; /* owned; of the object */
    char version[33];
    struct objects_dead dead;
};

static void complete_work_finish(struct complete_work *work) {
    for (size_t i = 0; i < work->count; i++) {
        free(work->items[i].etag);
        free(work->items[i].checksum);
        uploads_part_finish(&work->items[i].part);
    }
    free(work->items);
    uploads_row_finish(&work->upload);
    free(work->etag);
    free(work->sizes);
    free(work->checksum);
    objects_dead_finish(&work->dead);
}

static int body_start(void *context, const char *path) {
    struct complete_work *work = context;
    if (strcmp(path, "CompleteMultipartUpload/Part") != 0)
        return text_starts(path, "CompleteMultipartUpload") ? 0 : PROBLEM_MALFORMED_XML;
    if (work->count == MOST)
        return PROBLEM_MALFORMED_XML;
    if (work->count == work->capacity) {
        size_t capacity = work->capacity ? work->capacity * 2 : 64;
        struct named_part *items = reallocarray(work->items, capacity, sizeof *items);
        if (!items)
            return -ENOMEM;
        work->items = items;
        work->capacity = capacity;
    }
    work->items[work->count++] = (struct named_part){0};
    return 0;
}

static int set_etag(struct named_part *item, const char *text, size_t size) {
    bool quoted = size >= 2 && text[0] == '"' && text[size - 1] == '"';
    free(item->etag);
    item->etag = strndup(text + quoted, size - 2 * quoted);
    return item->etag ? 0 : -ENOMEM;
}

static int set_checksum(struct named_part *item, const char *kind, const char *text) {
    AUTO_FREE char *lower = strdup(kind);
    if (!lower)
        return -ENOMEM;
    text_lower_ascii(lower);
    free(item->checksum);
    item->checksum = text_format("%s=%s", lower, text);
    return item->checksum ? 0 : -ENOMEM;
}

static int body_end(void *context, const char *path, const char *text, size_t size) {
    struct complete_work *work = context;
    static const char part[] = "CompleteMultipartUpload/Part/";
    if (!text_starts(path, part))
        return 0;
    struct named_part *item = &work->items[work->count - 1];
    const char *name = path + strlen(part);
    if (strcmp(name, "PartNumber") == 0)
        return text_parse_u64(text, &item->number) ? PROBLEM_MALFORMED_XML : 0;
    if (strcmp(name, "ETag") == 0)
        return set_etag(item, text, size);
    return text_starts(name, "Checksum") && size ? set_checksum(item, name + strlen("Checksum"), text) : 0;
}

static int read_body(struct complete_work *work) {
    const struct http_request *request = work->visit->request;
    if (!request->body_size)
        return PROBLEM_MALFORMED_XML;
    struct listing_walker walker = {body_start, body_end, work};
    int r = listing_walk(request->body, request->body_size, &walker);
    if (r)
        return r < 0 ? r : PROBLEM_MALFORMED_XML;
    for (size_t i = 0; i < work->count; i++) {
        if (!work->items[i].number || !work->items[i].etag)
            return PROBLEM_MALFORMED_XML;
        if (i && work->items[i].number <= work->items[i - 1].number)
            return PROBLEM_INVALID_PART_ORDER;
    }
    return work->count ? 0 : PROBLEM_MALFORMED_XML;
}

static int check_part(struct catalog_session *session, const char *upload, struct named_part *item, bool last) {
    if (item->number > MOST)
        return PROBLEM_INVALID_PART;
    int r = uploads_find_part(session, upload, (unsigned)item->number, &item->part);
    if (r)
        return r;
    if (strcmp(item->etag, item->part.etag) != 0)
        return PROBLEM_INVALID_PART;
    if (item->checksum && item->part.checksum && strcmp(item->checksum, item->part.checksum) != 0)
        return PROBLEM_INVALID_PART;
    return !last && item->part.size < SMALLEST ? PROBLEM_ENTITY_TOO_SMALL : 0;
}

static uint64_t total_of(const struct complete_work *work) {
    uint64_t total = 0;
    for (size_t i = 0; i < work->count; i++)
        total += work->items[i].part.size;
    return total;
}

/* x-amz-mp-object-size: what the client believes the whole to be. */
static int check_total(const struct complete_work *work) {
    const char *text = visit_header(work->visit, "x-amz-mp-object-size");
    uint64_t size;
    if (!text)
        return 0;
    if (text_parse_u64(text, &size))
        return PROBLEM_INVALID_ARGUMENT;
    return size == total_of(work) ? 0 : PROBLEM_INVALID_REQUEST;
}

static unsigned nibble(char c) {
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* S3's way: the MD5 of the parts' MD5s, and how many. */
static int make_etag(struct complete_work *work) {
    AUTO_BUFFER struct buffer raw = {0}, sizes = {0};
    AUTO_FREE char *md5 = NULL;
    int r = 0;
    for (size_t i = 0; i < work->count && !r; i++) {
        const char *etag = work->items[i].part.etag;
        for (size_t at = 0; etag[at] && etag[at + 1] && !r; at += 2) {
            char byte = (char)(nibble(etag[at]) << 4 | nibble(etag[at + 1]));
            r = buffer_append(&raw, &byte, 1);
        }
        if (!r)
            r = buffer_append_format(&sizes, "%s%llu", i ? "," : "", (unsigned long long)work->items[i].part.size);
    }
    if (!r)
        r = checksum_hex(CHECKSUM_MD5, raw.data, raw.size, &md5);
    if (r)
        return r;
    work->etag = text_format("%s-%zu", md5, work->count);
    work->sizes = buffer_take(&sizes);
    return work->etag && work->sizes ? 0 : -ENOMEM;
}

static const struct kind {
    const char *name;
    enum checksum_kind kind;
    uint64_t polynomial; /* 0: not a CRC */
    unsigned bits;
} kinds[] = {
    {"crc32", CHECKSUM_CRC32, CRC_POLYNOMIAL_32, 32},
    {"crc32c", CHECKSUM_CRC32C, CRC_POLYNOMIAL_32C, 32},
    {"crc64nvme", CHECKSUM_CRC64NVME, CRC_POLYNOMIAL_64NVME, 64},
    {"sha1", CHECKSUM_SHA1, 0, 0},
    {"sha256", CHECKSUM_SHA256, 0, 0},
};

/* That of all parts, or NULL when they have not all the same kind. */
static const struct kind *common_kind(const struct complete_work *work) {
    const char *first = work->items[0].part.checksum;
    size_t size = first ? strcspn(first, "=") : 0;
    for (size_t i = 1; i < work->count && first; i++) {
        const char *other = work->items[i].part.checksum;
        if (!other || strncmp(first, other, size + 1) != 0)
            first = NULL;
    }
    for (size_t i = 0; first && i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == size && strncmp(kinds[i].name, first, size) == 0)
            return &kinds[i];
    return NULL;
}

static int raw_checksum(const struct uploads_part *part, unsigned char **raw, size_t *size) {
    const char *base64 = strchr(part->checksum, '=') + 1;
    return text_base64_decode(base64, strlen(base64), raw, size);
}

/* The checksum of the parts' checksums, and how many. */
static int make_composite(struct complete_work *work, const struct kind *kind) {
    AUTO_BUFFER struct buffer all = {0};
    AUTO_FREE char *base64 = NULL;
    int r = 0;
    for (size_t i = 0; i < work->count && !r; i++) {
        AUTO_FREE unsigned char *raw = NULL;
        size_t size = 0;
        r = raw_checksum(&work->items[i].part, &raw, &size);
        if (!r)
            r = buffer_append(&all, raw, size);
    }
    if (!r)
        r = checksum_base64(kind->kind, all.data, all.size, &base64);
    if (!r && !(work->checksum = text_format("%s=%s-%zu", kind->name, base64, work->count)))
        r = -ENOMEM;
    return r;
}

/* The CRC of all bytes, out of those of the parts. */
static int make_full(struct complete_work *work, const struct kind *kind) {
    uint64_t whole = 0;
    for (size_t i = 0; i < work->count; i++) {
        AUTO_FREE unsigned char *raw = NULL;
        size_t size = 0;
        int r = raw_checksum(&work->items[i].part, &raw, &size);
        if (r)
            return r;
        uint64_t crc = 0;
        for (size_t at = 0; at < size; at++)
            crc = crc << 8 | raw[at];
        whole = crc_join(kind->polynomial, kind->bits, whole, crc, work->items[i].part.size);
    }
    unsigned char bytes[8];
    for (unsigned i = 0; i < kind->bits / 8; i++)
        bytes[i] = (unsigned char)(whole >> (kind->bits - 8 - 8 * i));
    AUTO_FREE char *base64 = text_base64(bytes, kind->bits / 8);
    work->checksum = base64 ? text_format("%s=%s", kind->name, base64) : NULL;
    return work->checksum ? 0 : -ENOMEM;
}

static int make_checksum(struct complete_work *work) {
    const struct kind *kind = common_kind(work);
    const char *type = visit_header(work->visit, "x-amz-checksum-type");
    if (!kind)
        return 0;
    bool full = (type && strcmp(type, "FULL_OBJECT") == 0) ||
                (work->upload.checksum && strstr(work->upload.checksum, "FULL_OBJECT"));
    int r = full && kind->bits ? make_full(work, kind) : make_composite(work, kind);
    AUTO_FREE char *header = text_format("x-amz-checksum-%s", kind->name);
    const char *want = header ? visit_header(work->visit, header) : NULL;
    if (r || !want)
        return r;
    return strcmp(want, strchr(work->checksum, '=') + 1) == 0 ? 0 : PROBLEM_BAD_DIGEST;
}

/* The part's pieces become the object's, behind those it has. */
static int move_pieces(struct catalog_session *session, int64_t object, int64_t part, int64_t *base) {
    struct catalog_query query = {0};
    catalog_start(session, &query, "UPDATE piece SET owner = ?, number = number + ? WHERE owner = ?");
    catalog_bind(&query, 1, object);
    catalog_bind(&query, 2, *base);
    catalog_bind(&query, 3, -part);
    int r = catalog_run(&query);
    *base += catalog_changed(session);
    return r;
}

static int check_parts(struct catalog_session *session, struct complete_work *work, const char *id) {
    int r = 0;
    for (size_t i = 0; i < work->count && !r; i++) {
        uploads_part_finish(&work->items[i].part);
        r = check_part(session, id, &work->items[i], i + 1 == work->count);
    }
    if (!r)
        r = check_total(work);
    if (!r)
        r = make_etag(work);
    return r ? r : make_checksum(work);
}

static int add_object(struct catalog_session *session, struct complete_work *work,
                      const struct objects_bucket *bucket) {
    struct objects_new object = {.etag = work->etag,
                                 .headers = work->upload.headers,
                                 .parts = work->sizes,
                                 .checksum = work->checksum,
                                 .size = total_of(work),
                                 .modified_ms = clock_realtime_ns() / 1000000};
    int64_t id, base = 0;
    int r = objects_add(session, bucket, work->visit->key, &object, &id, work->version, &work->dead);
    for (size_t i = 0; i < work->count && !r; i++)
        r = move_pieces(session, id, work->items[i].part.id, &base);
    return r;
}

static int complete(struct catalog_session *session, void *context) {
    struct complete_work *work = context;
    struct visit *visit = work->visit;
    const char *id = visit_parameter(visit, "uploadId");
    struct objects_condition condition = {visit_header(visit, "if-match"), visit_header(visit, "if-none-match")};
    struct objects_bucket bucket;
    int r = uploads_find(session, visit->bucket, visit->key, id, &work->upload);
    if (!r)
        r = objects_find_bucket(session, visit->bucket, &bucket);
    if (!r)
        r = check_parts(session, work, id);
    if (!r)
        r = objects_check(session, bucket.id, visit->key, &condition);
    if (!r)
        r = add_object(session, work, &bucket);
    return r ? r : uploads_remove(session, id, &work->dead);
}

static int write_result(struct buffer *xml, const struct complete_work *work) {
    const struct visit *visit = work->visit;
    int r = xml_start(xml, "CompleteMultipartUploadResult");
    if (!r)
        r = xml_text(xml, "Location", visit->request->raw_path);
    if (!r)
        r = xml_text(xml, "Bucket", visit->bucket);
    if (!r)
        r = xml_text(xml, "Key", visit->key);
    if (!r)
        r = xml_etag(xml, work->etag);
    return r ? r : xml_close(xml, "CompleteMultipartUploadResult");
}

void serve_upload_complete(struct visit *visit) {
    CLEANUP(complete_work_finish) struct complete_work work = {.visit = visit};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = read_body(&work);
    if (!r)
        r = catalog_write(visit->catalog, complete, &work);
    if (!r)
        objects_dead_remove(&work.dead, visit->blobs);
    if (!r)
        r = write_result(&xml, &work);
    if (r) {
        answer_problem(visit, r);
        return;
    }
    if (strcmp(work.version, "null") != 0)
        answer_set(&answer, "x-amz-version-id", "%s", work.version);
    answer_send_xml(visit, &answer, &xml);
}
