/* A request to the embedded store behind its signature: "METHOD /path?query", headers, an empty line, the body. It runs
 * on an index that is the same each time, and must be answered once and leave the index sound. In the place of
 * s3/server/http.c there is what stands here. */
#include "base/text.h"
#include "fuzz.h"
#include "s3/embedded/lifecycle.h"
#include "s3/embedded/serve.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_HEADERS = 24 };

static struct catalog *catalog;
static struct blobs *blobs;
static char folder[200];
static unsigned answers;

const char *http_header(const struct http_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

void http_answer(struct http_request *request, const struct http_answer *answer) {
    char piece[512];
    answers++;
    request->status = answer->status;
    for (size_t i = 0; i < answer->header_count; i++)
        if (strpbrk(answer->headers[i].name, "\r\n") || strpbrk(answer->headers[i].value, "\r\n"))
            abort(); /* would be another header */
    if (answer->kind == HTTP_FILE)
        close(answer->fd);
    if (answer->kind == HTTP_READER) {
        for (uint64_t at = 0; at < answer->size;) {
            ssize_t n = answer->read(answer->context, at, piece, sizeof piece);
            if (n <= 0)
                abort();
            at += (uint64_t)n;
        }
        if (answer->release)
            answer->release(answer->context);
    }
    free(answer->kind == HTTP_BYTES ? answer->bytes : NULL);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where) {
    (void)about, (void)kind, (void)where;
    return remove(path);
}

static void close_store(void) {
    catalog_close(catalog);
    blobs_close(blobs);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void open_store(void) {
    struct fault fault = {{0}};
    char index[220];
    const char *place = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/pail-fuzz-XXXXXX", place ? place : "/tmp");
    if (!mkdtemp(folder))
        abort();
    snprintf(index, sizeof index, "%s/index.db", folder);
    if (catalog_open(&catalog, index, &fault) || blobs_open(&blobs, folder, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        abort();
    }
    atexit(close_store);
}

/* A bucket with an object of three bytes, and an upload with one part. */
static int set_stage(struct catalog_session *session, void *context) {
    static const char *const steps[] = {
        "DELETE FROM piece",
        "DELETE FROM part",
        "DELETE FROM upload",
        "DELETE FROM object",
        "DELETE FROM blob",
        "DELETE FROM setting",
        "DELETE FROM bucket",
        "DELETE FROM sqlite_sequence",
        "INSERT INTO bucket (id, name, created_ms, versioning) VALUES (1, 'bucket', 0, 1)",
        "INSERT INTO blob (id, refs, size, bytes) VALUES (1, 2, 3, CAST('abc' AS BLOB))",
        ("INSERT INTO object (id, bucket, key, version, latest, marker, etag, size, modified_ms, headers)"
         " VALUES (1, 1, CAST('key' AS BLOB), 'v1', 1, 0, '900150983cd24fb0d6963f7d28e17f72', 3, 0,"
         " 'content-type:text/plain' || char(10))"),
        "INSERT INTO upload (id, bucket, key, begun_ms) VALUES ('upload', 1, CAST('key' AS BLOB), 0)",
        ("INSERT INTO part (id, upload, number, etag, size, modified_ms)"
         " VALUES (1, 'upload', 1, '900150983cd24fb0d6963f7d28e17f72', 3, 0)"),
        "INSERT INTO piece (owner, number, blob, skip, size) VALUES (1, 0, 1, 0, 3), (-1, 0, 1, 0, 3)",
    };
    (void)context;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct catalog_query query = {0};
        catalog_start(session, &query, steps[i]);
        if (catalog_run(&query))
            abort();
    }
    return 0;
}

/* Bytes are shared: a blob lives as long as somebody is made of it, and what is made of them has all of its own. */
static int check_index(struct catalog_session *session, void *context) {
    static const char *const wrong[] = {
        "SELECT 1 FROM blob WHERE refs != (SELECT count(*) FROM piece WHERE blob = blob.id)",
        "SELECT 1 FROM piece LEFT JOIN blob ON blob.id = piece.blob WHERE ifnull(skip + piece.size > blob.size, 1)",
        "SELECT 1 FROM object WHERE size != (SELECT ifnull(sum(size), 0) FROM piece WHERE owner = object.id)",
        "SELECT 1 FROM part WHERE size != (SELECT ifnull(sum(size), 0) FROM piece WHERE owner = -part.id)",
        "SELECT 1 FROM object AS old JOIN object AS new USING (bucket, key) WHERE old.latest = 1 AND new.id > old.id",
    };
    (void)context;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct catalog_query query = {0};
        catalog_start(session, &query, wrong[i]);
        int found = catalog_step(&query);
        catalog_end(&query);
        if (found) {
            fprintf(stderr, "%d for %s\n", found, wrong[i]);
            abort();
        }
    }
    return 0;
}

/* Splits the text in place, as http.c hands it over: names of headers in lower case. */
static bool read_request(char *text, struct http_request *request, struct http_header *headers) {
    char *line = strsep(&text, "\n"), *method = strsep(&line, " ");
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i]) == 0)
            request->method = methods[i];
    if (!request->method || !line)
        return false;
    request->raw_path = strsep(&line, "?");
    request->raw_query = line ? line : "";
    request->headers = headers;
    while (text && (line = strsep(&text, "\n")) && *line && request->header_count < MOST_HEADERS) {
        char *name = strsep(&line, ":");
        text_lower_ascii(name);
        if (line && !strchr(line, '\r')) /* libmicrohttpd lets none through */
            headers[request->header_count++] = (struct http_header){name, line + strspn(line, " ")};
    }
    request->body = text ? text : "";
    request->body_size = strlen(request->body);
    request->content_length = request->body_size ? (int64_t)request->body_size : -1;
    request->has_body = request->body_size;
    return true;
}

/* As local_store.c has it. */
static int take_body(struct visit *visit) {
    const struct http_request *request = visit->request;
    if (visit->route->body == VISIT_NONE)
        return 0;
    bool object = visit->route->body == VISIT_OBJECT;
    int r = intake_create(&visit->intake, request, &visit->checked, object ? visit->blobs : NULL);
    if (!r)
        r = intake_add(visit->intake, request->body, request->body_size);
    return r || object ? r : intake_finish(visit->intake);
}

static void serve(struct http_request *request) {
    struct visit visit = {.catalog = catalog, .blobs = blobs, .region = "us-east-1"};
    const char *sent = http_header(request, "x-amz-content-sha256");
    visit.checked.payload_sha256 = strdup(sent ? sent : "UNSIGNED-PAYLOAD");
    answers = 0;
    int r = visit_init(&visit, request);
    if (!r)
        r = serve_find_route(&visit);
    if (!r)
        r = take_body(&visit);
    if (r)
        answer_problem(&visit, r);
    else
        visit.route->run(&visit);
    if (answers != 1 || request->status < 200 || request->status == 500)
        abort();
    visit_finish(&visit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct http_request request = {0};
    struct http_header headers[MOST_HEADERS];
    static bool changed = true;
    if (!catalog)
        open_store();
    if (changed && catalog_write(catalog, set_stage, NULL))
        abort();
    char *text = fuzz_text(data, size);
    bool whole = read_request(text, &request, headers);
    changed = whole && strcmp(request.method, "GET") != 0 && strcmp(request.method, "HEAD") != 0;
    if (whole) {
        serve(&request);
        if (changed && (lifecycle_run(catalog, blobs, INT64_C(1) << 41) || catalog_read(catalog, check_index, NULL)))
            abort();
    }
    free(text);
    return 0;
}
