/* GET and HEAD of an object: conditions, ranges, versions, single parts; bytes by sendfile where they are one stretch
 * of one file. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "s3/embedded/metadata.h"
#include "s3/embedded/objects.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/xml.h"

#include <errno.h>
#include <stdio.h>

struct read_work {
    struct visit *visit;
    struct objects_row row;
    struct objects_pieces pieces;
    uint64_t offset, length;
    uint64_t part, parts; /* ?partNumber=; 0: not asked */
    bool partial;
};

static void read_work_finish(struct read_work *work) {
    objects_row_finish(&work->row);
    objects_pieces_finish(&work->pieces);
}

/* RFC 9110, 13.2.2: the order in which they count. */
static int check_conditions(const struct visit *visit, const struct objects_row *row) {
    const char *match = visit_header(visit, "if-match"), *none = visit_header(visit, "if-none-match");
    const char *since = visit_header(visit, "if-modified-since");
    const char *unchanged = visit_header(visit, "if-unmodified-since");
    int64_t time_s, modified_s = row->modified_ms / 1000;
    if (match && !objects_etag_matches(match, row->etag))
        return PROBLEM_PRECONDITION_FAILED;
    if (!match && unchanged && !clock_parse_http(unchanged, &time_s) && modified_s > time_s)
        return PROBLEM_PRECONDITION_FAILED;
    if (none && objects_etag_matches(none, row->etag))
        return PROBLEM_NOT_MODIFIED;
    if (!none && since && !clock_parse_http(since, &time_s) && modified_s <= time_s)
        return PROBLEM_NOT_MODIFIED;
    return 0;
}

/* "bytes=a-b", "a-" or "-n"; anything else is passed over, and the whole object sent, as S3 does. 0 or
 * PROBLEM_INVALID_RANGE. */
static int read_range(const char *text, struct read_work *work) {
    uint64_t size = work->row.size, first, last;
    if (!text_starts(text, "bytes=") || strchr(text, ','))
        return 0;
    text += strlen("bytes=");
    const char *dash = strchr(text, '-');
    if (!dash)
        return 0;
    AUTO_FREE char *left = strndup(text, (size_t)(dash - text));
    if (!left)
        return -ENOMEM;
    if (!*left) {
        if (text_parse_u64(dash + 1, &last))
            return 0;
        if (!last || !size)
            return PROBLEM_INVALID_RANGE;
        first = last < size ? size - last : 0;
        last = size - 1;
    } else {
        if (text_parse_u64(left, &first) || (dash[1] && (text_parse_u64(dash + 1, &last) || last < first)))
            return 0;
        if (first >= size)
            return PROBLEM_INVALID_RANGE;
        if (!dash[1] || last >= size)
            last = size - 1;
    }
    work->offset = first;
    work->length = last - first + 1;
    work->partial = true;
    return 0;
}

/* Where part number begins and how long it is, from the list of sizes. */
static int read_part(struct read_work *work) {
    const char *sizes = work->row.parts;
    if (!sizes) {
        work->parts = 1;
        return work->part == 1 ? 0 : PROBLEM_INVALID_RANGE;
    }
    uint64_t offset = 0, number = 1;
    bool found = false;
    for (; *sizes; number++) {
        char *end;
        uint64_t size = strtoull(sizes, &end, 10);
        if (number == work->part) {
            work->offset = offset;
            work->length = size;
            work->partial = found = true;
        }
        offset += size;
        sizes = *end == ',' ? end + 1 : end;
    }
    work->parts = number - 1;
    return found ? 0 : PROBLEM_INVALID_RANGE;
}

static int choose_bytes(struct read_work *work) {
    const char *range = visit_header(work->visit, "range");
    const char *if_range = visit_header(work->visit, "if-range");
    int r = visit_number(work->visit, "partNumber", 0, 10001, &work->part);
    work->length = work->row.size;
    if (r)
        return r;
    if (work->part)
        return range ? PROBLEM_INVALID_REQUEST : read_part(work);
    if (!range || (if_range && !objects_etag_matches(if_range, work->row.etag)))
        return 0;
    return read_range(range, work);
}

static int find_object(struct catalog_session *session, void *context) {
    struct read_work *work = context;
    struct visit *visit = work->visit;
    struct objects_bucket bucket;
    const char *version = visit_parameter(visit, "versionId");
    int r = objects_find_bucket(session, visit->bucket, &bucket);
    if (!r)
        r = objects_find(session, bucket.id, visit->key, version, &work->row);
    if (!r && work->row.marker)
        return version ? PROBLEM_METHOD_NOT_ALLOWED : PROBLEM_NO_SUCH_KEY;
    return r;
}

static int look_up(struct catalog_session *session, void *context) {
    struct read_work *work = context;
    struct visit *visit = work->visit;
    int r = find_object(session, work);
    if (!r)
        r = check_conditions(visit, &work->row);
    if (!r)
        r = choose_bytes(work);
    if (!r && !visit->head)
        r = objects_locate(session, work->row.id, work->offset, work->length, &work->pieces);
    return r;
}

static void set_overrides(struct visit *visit, struct answer *answer) {
    static const char *const names[] = {"response-cache-control",    "response-content-disposition",
                                        "response-content-encoding", "response-content-language",
                                        "response-content-type",     "response-expires"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = visit_parameter(visit, names[i]), *name = names[i] + strlen("response-");
        if (!value || strpbrk(value, "\r\n"))
            continue;
        for (size_t j = 0; j < answer->count; j++)
            if (strcmp(answer->items[j].name, name) == 0)
                answer_drop(answer, j--);
        answer_set(answer, name, "%s", value);
    }
}

static void set_headers(struct read_work *work, struct answer *answer) {
    struct visit *visit = work->visit;
    const struct objects_row *row = &work->row;
    char modified[30];
    clock_format_http(row->modified_ms / 1000, modified);
    answer_set(answer, "last-modified", "%s", modified);
    answer_set(answer, "etag", "\"%s\"", row->etag);
    answer_set(answer, "accept-ranges", "bytes");
    if (strcmp(row->version, "null") != 0)
        answer_set(answer, "x-amz-version-id", "%s", row->version);
    metadata_give(answer, row->headers);
    set_overrides(visit, answer);
    const char *mode = visit_header(visit, "x-amz-checksum-mode");
    if (mode && strcasecmp(mode, "ENABLED") == 0 && !work->partial)
        metadata_give_checksum(answer, row->checksum);
    if (work->part)
        answer_set(answer, "x-amz-mp-parts-count", "%llu", (unsigned long long)work->parts);
    if (work->partial)
        answer_set(answer, "content-range", "bytes %llu-%llu/%llu", (unsigned long long)work->offset,
                   (unsigned long long)(work->offset + work->length - 1), (unsigned long long)row->size);
}

static void send_problem(struct read_work *work, int problem) {
    struct answer answer = {0};
    if (work->row.marker) {
        answer_set(&answer, "x-amz-delete-marker", "true");
        answer_set(&answer, "x-amz-version-id", "%s", work->row.version);
    } else if (problem == PROBLEM_NOT_MODIFIED) {
        answer_set(&answer, "etag", "\"%s\"", work->row.etag);
    } else if (problem == PROBLEM_INVALID_RANGE) {
        answer_set(&answer, "content-range", "bytes */%llu", (unsigned long long)work->row.size);
    }
    answer_send_problem(work->visit, &answer, problem);
}

/* Bytes that lie in several pieces, while they are sent. No file is removed before the end. */
struct reading {
    struct blobs *blobs;
    struct objects_pieces pieces; /* owned */
    size_t at;                    /* the piece that is read now */
    uint64_t begins;              /* its place in the answer */
    int fd;                       /* of that piece, or -1 */
};

static ssize_t read_piece(struct reading *reading, struct objects_piece *piece, uint64_t offset, char *out,
                          size_t max) {
    if (max > piece->size - offset)
        max = (size_t)(piece->size - offset);
    if (piece->bytes) {
        memcpy(out, piece->bytes + offset, max);
        return (ssize_t)max;
    }
    if (reading->fd < 0)
        reading->fd = blobs_read(reading->blobs, piece->name);
    if (reading->fd < 0)
        return reading->fd;
    ssize_t n = file_pread_all(reading->fd, out, max, (off_t)(piece->skip + offset));
    return n == 0 ? -EIO : n;
}

static ssize_t reading_read(void *context, uint64_t offset, char *out, size_t max) {
    struct reading *reading = context;
    while (reading->at < reading->pieces.count && offset >= reading->begins + reading->pieces.items[reading->at].size) {
        reading->begins += reading->pieces.items[reading->at++].size;
        cleanup_close(&reading->fd);
        reading->fd = -1;
    }
    if (reading->at == reading->pieces.count || offset < reading->begins)
        return -EIO;
    return read_piece(reading, &reading->pieces.items[reading->at], offset - reading->begins, out, max);
}

static void reading_release(void *context) {
    struct reading *reading = context;
    cleanup_close(&reading->fd);
    objects_pieces_finish(&reading->pieces);
    blobs_release(reading->blobs);
    free(reading);
}

/* Takes the hold over. */
static int body_of_many(struct read_work *work, struct http_answer *body) {
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading)
        return -ENOMEM;
    *reading = (struct reading){.blobs = work->visit->blobs, .pieces = work->pieces, .fd = -1};
    work->pieces = (struct objects_pieces){0};
    body->kind = HTTP_READER;
    body->read = reading_read;
    body->release = reading_release;
    body->context = reading;
    return 0;
}

/* 0, -errno, or 1: the hold went into the body. */
static int make_body(struct read_work *work, struct http_answer *body) {
    *body = (struct http_answer){.status = work->partial ? 206 : 200, .kind = HTTP_BYTES, .size = work->length};
    if (work->visit->head || !work->length)
        return 0;
    if (work->pieces.count > 1) {
        int r = body_of_many(work, body);
        return r ? r : 1;
    }
    struct objects_piece *piece = &work->pieces.items[0];
    if (piece->bytes) {
        body->bytes = TAKE(piece->bytes);
        return 0;
    }
    body->kind = HTTP_FILE;
    body->offset = piece->skip;
    body->fd = blobs_read(work->visit->blobs, piece->name);
    return body->fd < 0 ? body->fd : 0;
}

void serve_read(struct visit *visit) {
    CLEANUP(read_work_finish) struct read_work work = {.visit = visit};
    struct answer answer = {0};
    struct http_answer body;
    struct blobs *blobs = visit->blobs; /* the visit may be gone once it is answered */
    blobs_hold(blobs);
    int r = catalog_read(visit->catalog, look_up, &work);
    if (r) {
        send_problem(&work, r);
        blobs_release(blobs);
        return;
    }
    r = make_body(&work, &body);
    if (r < 0) {
        answer_problem(visit, r);
    } else {
        set_headers(&work, &answer);
        answer_send_body(visit, &answer, &body);
    }
    if (r <= 0)
        blobs_release(blobs);
}

void serve_read_tags(struct visit *visit) {
    CLEANUP(read_work_finish) struct read_work work = {.visit = visit};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = catalog_read(visit->catalog, find_object, &work);
    if (!r)
        r = xml_start(&xml, "Tagging");
    if (!r)
        r = buffer_append_text(&xml, "<TagSet></TagSet></Tagging>");
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}
