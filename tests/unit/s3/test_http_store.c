/* The client's store against a server that breaks in every way that the issue names. Each test says what the store
 * answers to the first, second, ... request. What a right S3 does is the conformance suite's. */
#include "s3/http_parts.h"

#include "base/clock.h"
#include "base/text.h"
#include "patience.h"
#include "s3/checksum.h"
#include "script_server.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE 200000u

struct rig;
typedef bool reply(struct rig *rig, const struct script_request *request);

struct rig {
    struct script_server *script;
    struct store *store;
    struct store_features features;
    reply *replies[20]; /* to the first request, the second, ...; the last one stays */
    _Atomic unsigned minted, batches, life_s;
    _Atomic bool mint_fails;
    char seen[20][1500]; /* method, target and headers of the first requests */
    pthread_mutex_t lock;
    char items[64][300]; /* what was asked for */
    unsigned item_count;
    unsigned char data[SIZE];
    char etag[33];
    struct fault fault;
    struct store_call call;
    struct store_object object;
    unsigned char got[SIZE];
    size_t got_size;
};

/* --- grants: every operation has the URL /OP/KEY?signature=N --- */

static const char *method_of(const char *op) {
    static const char *const methods[][2] = {{"get", "GET"},           {"head", "HEAD"},     {"list", "GET"},
                                             {"list_versions", "GET"}, {"delete", "DELETE"}, {"abort", "DELETE"},
                                             {"list_parts", "GET"},    {"put", "PUT"},       {"copy", "PUT"},
                                             {"part", "PUT"},          {"part_copy", "PUT"}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i][0], op) == 0)
            return methods[i][1];
    return "POST";
}

static char *url_of(struct rig *rig, const struct json *item, int64_t part) {
    const char *key = json_get_text(item, "key");
    char *encoded = text_percent_encode(key ? key : "", key ? strlen(key) : 0, true);
    char *url = text_format("%s/%s/%s?part=%lld&X-Amz-Signature=s3cr3t%u", script_server_url(rig->script),
                            json_get_text(item, "op"), encoded, (long long)part, rig->minted);
    free(encoded);
    return url;
}

static struct json *grant_for(struct rig *rig, const struct json *item) {
    struct json *grant = json_object(), *urls = json_array();
    int64_t count = json_get_integer(item, "count", 0), first = json_get_integer(item, "first", 0);
    rig->minted++;
    for (int64_t i = 0; i < (count ? count : 1); i++) {
        char *url = url_of(rig, item, first + i);
        json_push_text(urls, url);
        if (!count)
            json_add_text(grant, "url", url);
        free(url);
    }
    if (count)
        json_add(grant, "urls", urls);
    else
        json_destroy(urls);
    json_add_text(grant, "method", method_of(json_get_text(item, "op")));
    json_add(grant, "headers", json_object());
    json_add_integer(grant, "expires_in", rig->life_s);
    if (strcmp(json_get_text(item, "op"), "delete_many") == 0)
        json_add_text(grant, "body", "<Delete/>");
    return grant;
}

static int mint(void *context, const char *body, size_t size, const _Atomic bool *cancelled, struct json **answer,
                struct fault *fault) {
    struct rig *rig = context;
    struct json *request, *grants = json_array(), *out = json_object();
    (void)cancelled;
    json_add(out, "grants", grants);
    *answer = out;
    if (rig->mint_fails)
        return fault_set(fault, PAIL_OFFLINE, "the mapping server is away");
    int error = json_parse(&request, body, size);
    pthread_mutex_lock(&rig->lock);
    rig->batches++; /* before `minted`, which the tests wait for */
    for (const struct json *item = json_first(json_get(request, "items")); item; item = json_next(item)) {
        char *text = json_print(item);
        snprintf(rig->items[rig->item_count++ % 64], sizeof rig->items[0], "%.299s", text);
        free(text);
        json_push(grants, grant_for(rig, item));
    }
    pthread_mutex_unlock(&rig->lock);
    json_destroy(request);
    return error;
}

static void features(void *context, struct store_features *out) {
    *out = ((struct rig *)context)->features;
}

static bool answer(void *context, const struct script_request *request) {
    struct rig *rig = context;
    unsigned last = 0, number = request->number - 1;
    while (last + 1 < 20 && rig->replies[last + 1])
        last++;
    if (number < 20)
        snprintf(rig->seen[number], sizeof rig->seen[0], "%.10s %.400s\r\n%.1000s", request->method, request->target,
                 request->headers);
    return rig->replies[number < last ? number : last](rig, request);
}

static struct rig *start(reply *first, reply *second, reply *third) {
    struct rig *rig = calloc(1, sizeof *rig);
    char *etag = NULL;
    rig->replies[0] = first;
    rig->replies[1] = second;
    rig->replies[2] = third;
    rig->life_s = 900;
    rig->call = (struct store_call){.stall_ms = 5000, .fault = &rig->fault};
    rig->features = (struct store_features){.put_if_match = true,
                                            .put_if_absent = true,
                                            .quoted_etag = true,
                                            .content_md5 = true,
                                            .complete_if_absent = true};
    pthread_mutex_init(&rig->lock, NULL);
    for (size_t i = 0; i < SIZE; i++)
        rig->data[i] = (unsigned char)(i * 31 >> 3);
    assert_int_equal(checksum_hex(CHECKSUM_MD5, rig->data, SIZE, &etag), 0);
    strcpy(rig->etag, etag);
    free(etag);
    rig->script = script_server_start(answer, rig);
    struct http_origin origin = {{.mint = mint, .context = rig}, features, rig, "acc/"};
    assert_int_equal(http_store_create_from(&rig->store, &origin, &(struct http_store_options){0}), 0);
    return rig;
}

static void stop(struct rig *rig) {
    assert_null(strstr(rig->fault.text, "s3cr3t")); /* no signature in any message */
    store_destroy(rig->store);
    script_server_stop(rig->script);
    store_object_finish(&rig->object);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
}

/* --- what the store answers --- */

/* The range that was asked for, of which only some bytes come. */
static bool send_range(struct rig *rig, const struct script_request *request, const char *etag, size_t most) {
    char range[100], if_match[100];
    unsigned long from = 0, last = SIZE - 1;
    bool ranged = script_header(request, "range", range, sizeof range);
    if (ranged)
        sscanf(range, "bytes=%lu-%lu", &from, &last);
    if (last >= SIZE)
        last = SIZE - 1;
    if (script_header(request, "if-match", if_match, sizeof if_match) && strstr(if_match, etag) == NULL)
        return script_reply(request->fd, 412, "", "<Error><Code>PreconditionFailed</Code></Error>");
    script_printf(request->fd, "HTTP/1.1 %s\r\nETag: \"%s\"\r\nLast-Modified: Mon, 23 Nov 2026 10:00:00 GMT\r\n",
                  ranged ? "206 Partial" : "200 OK", etag);
    if (ranged)
        script_printf(request->fd, "Content-Range: bytes %lu-%lu/%u\r\n", from, last, SIZE);
    size_t size = last - from + 1;
    script_printf(request->fd, "Content-Length: %zu\r\n\r\n", size);
    script_send(request->fd, rig->data + from, size < most ? size : most);
    return size <= most;
}

static bool whole(struct rig *rig, const struct script_request *request) {
    return send_range(rig, request, rig->etag, SIZE);
}

static bool cut(struct rig *rig, const struct script_request *request) {
    return send_range(rig, request, rig->etag, 50000);
}

static bool cut_short(struct rig *rig, const struct script_request *request) {
    return send_range(rig, request, rig->etag, 20000);
}

static bool other_version(struct rig *rig, const struct script_request *request) {
    return send_range(rig, request, "0123456789abcdef0123456789abcdef", SIZE);
}

/* Ignores the condition, and has another version. */
static bool other_version_unasked(struct rig *rig, const struct script_request *request) {
    struct script_request without = *request;
    char *match = strcasestr(without.headers, "if-match");
    if (match)
        match[0] = 'x';
    return send_range(rig, &without, "0123456789abcdef0123456789abcdef", SIZE);
}

static bool damaged(struct rig *rig, const struct script_request *request) {
    rig->data[SIZE - 1] ^= 1;
    return whole(rig, request);
}

static bool whole_instead_of_range(struct rig *rig, const struct script_request *request) {
    struct script_request without = *request;
    char *range = strcasestr(without.headers, "range:");
    if (range)
        range[0] = 'x';
    return send_range(rig, &without, rig->etag, SIZE);
}

static bool reset(struct rig *rig, const struct script_request *request) {
    (void)rig, (void)request;
    return false;
}

static bool hang(struct rig *rig, const struct script_request *request) {
    (void)rig, (void)request;
    usleep(1500000);
    return false;
}

#define FAILS(name, status, headers, body)                                                                             \
    static bool name(struct rig *rig, const struct script_request *request) {                                          \
        (void)rig;                                                                                                     \
        return script_reply(request->fd, status, headers, strcmp(request->method, "HEAD") ? body : "");                \
    }
#define ERROR(code, message) "<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>" message "</Message></Error>"

FAILS(fails_500, 500, "", ERROR("InternalError", "oops"))
FAILS(fails_502, 502, "Content-Type: text/html\r\n", "<html><body>Bad gateway</body></html>")
FAILS(fails_503, 503, "Retry-After: 1\r\n", ERROR("SlowDown", "Please reduce your request rate."))
FAILS(fails_429, 429, "", "")
FAILS(times_out, 400, "", ERROR("RequestTimeout", "idle"))
FAILS(bad_digest, 400, "", ERROR("BadDigest", "The Content-MD5 you specified did not match"))
FAILS(expired, 403, "", ERROR("AccessDenied", "Request has expired"))
FAILS(token_expired, 400, "", ERROR("ExpiredToken", "The provided token has expired."))
FAILS(denied, 403, "", ERROR("AccessDenied", "Access Denied"))
FAILS(forbidden, 403, "", "")
FAILS(not_found, 404, "", ERROR("NoSuchKey", ""))
FAILS(no_bucket, 404, "", ERROR("NoSuchBucket", ""))
FAILS(skewed, 403, "", ERROR("RequestTimeTooSkewed", "The difference is too large."))
FAILS(no_upload, 404, "", ERROR("NoSuchUpload", ""))
FAILS(precondition, 412, "", ERROR("PreconditionFailed", ""))
FAILS(conflict, 409, "", ERROR("ConditionalRequestConflict", ""))
FAILS(quota, 507, "", ERROR("XMinioStorageFull", ""))
FAILS(archived, 403, "", ERROR("InvalidObjectState", ""))
FAILS(error_in_200, 200, "", ERROR("InternalError", "We encountered an internal error."))
FAILS(slow_in_200, 200, "", ERROR("SlowDown", "x"))
FAILS(empty_200, 200, "", "")
FAILS(copied, 200, "", "<CopyObjectResult><ETag>\"abc\"</ETag></CopyObjectResult>")
FAILS(completed, 200, "x-amz-version-id: v9\r\n",
      "<CompleteMultipartUploadResult><ETag>\"abc-2\"</ETag></CompleteMultipartUploadResult>")
FAILS(empty_list, 200, "", "<ListBucketResult></ListBucketResult>")
FAILS(half_list, 200, "", "<ListBucketResult><Contents><Key>acc/a</Key>")
FAILS(foreign_list, 200, "",
      "<ListBucketResult><Contents><Key>other/a</Key><Size>1</Size></Contents></ListBucketResult>")
FAILS(one_key, 200, "",
      "<ListBucketResult><Contents><Key>acc/k</Key><Size>1</Size><ETag>\"e\"</ETag></Contents></ListBucketResult>")
FAILS(two_keys_and_more, 200, "",
      "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t0k</NextContinuationToken>"
      "<Contents><Key>acc/a</Key><Size>1</Size></Contents><Contents><Key>acc/b</Key><Size>1</Size></Contents>"
      "</ListBucketResult>")
FAILS(deleted_but_one, 200, "", "<DeleteResult><Error><Key>acc/b</Key><Code>AccessDenied</Code></Error></DeleteResult>")
/* Every key k0 to k39 by name. */
static bool deleted_none(struct rig *rig, const struct script_request *request) {
    char body[8000] = "<DeleteResult>";
    (void)rig;
    for (int i = 0; i < 40; i++)
        snprintf(body + strlen(body), sizeof body - strlen(body),
                 "<Error><Key>acc/k%d</Key><Code>AccessDenied</Code></Error>", i);
    strcat(body, "</DeleteResult>");
    return script_reply(request->fd, 200, "", body);
}

FAILS(parts_there, 200, "", "<ListPartsResult><UploadId>u</UploadId></ListPartsResult>")

/* Takes the body and answers with its real MD5. */
static bool stored(struct rig *rig, const struct script_request *request) {
    char *etag = NULL, line[80];
    (void)rig;
    if (checksum_hex(CHECKSUM_MD5, request->body ? request->body : "", request->body_size, &etag))
        return false;
    snprintf(line, sizeof line, "ETag: \"%s\"\r\nx-amz-version-id: v1\r\n", etag);
    free(etag);
    return script_reply(request->fd, 200, line, "");
}

static bool stored_otherwise(struct rig *rig, const struct script_request *request) {
    (void)rig;
    return script_reply(request->fd, 200, "ETag: \"00000000000000000000000000000000\"\r\n", "");
}

/* --- calls --- */

static int take(void *context, const void *data, size_t size) {
    struct rig *rig = context;
    if (rig->got_size + size > SIZE)
        return -EFBIG;
    memcpy(rig->got + rig->got_size, data, size);
    rig->got_size += size;
    return 0;
}

static int get(struct rig *rig, uint64_t offset, uint64_t length) {
    struct store_get request = {.key = "k", .offset = offset, .length = length};
    struct store_sink sink = {take, rig};
    rig->got_size = 0;
    store_object_finish(&rig->object);
    return store_get(rig->store, &request, &sink, &rig->object, &rig->call);
}

static void assert_got(const struct rig *rig, size_t offset, size_t size) {
    assert_int_equal(rig->got_size, size);
    assert_memory_equal(rig->got, rig->data + offset, size);
}

static int read_data(void *context, uint64_t offset, void *data, size_t size) {
    memcpy(data, ((struct rig *)context)->data + offset, size);
    return 0;
}

static int put(struct rig *rig, enum store_condition condition, const char *etag) {
    struct store_put request = {.key = "k", .source = {read_data, rig, SIZE}, .when = {condition, etag}};
    struct store_written written;
    int error = store_put(rig->store, &request, &written, &rig->call);
    if (!error)
        assert_non_null(written.etag);
    store_written_finish(&written);
    return error;
}

static int copy(struct rig *rig) {
    struct store_copy request = {.source = "k", .key = "to", .size = 1};
    struct store_written written;
    int error = store_copy(rig->store, &request, &written, &rig->call);
    if (!error)
        assert_string_equal(written.etag, "abc");
    store_written_finish(&written);
    return error;
}

static int complete(struct rig *rig) {
    struct store_part part = {.number = 1, .etag = (char[]){"e"}, .size = 1};
    struct store_parts parts = {&part, 1};
    struct store_when when = {STORE_IF_ABSENT, NULL};
    struct store_written written;
    int error = store_complete_upload(rig->store, "k", "u", &parts, 1, &when, &written, &rig->call);
    store_written_finish(&written);
    return error;
}

static int head(struct rig *rig) {
    store_object_finish(&rig->object);
    return store_head(rig->store, "k", NULL, &rig->object, &rig->call);
}

/* --- what passes is tried again --- */

static void test_get_retries(void **state) {
    reply *const trouble[] = {fails_500, fails_502, fails_503, fails_429, times_out, reset, expired, token_expired};
    (void)state;
    for (size_t i = 0; i < sizeof trouble / sizeof *trouble; i++) {
        struct rig *rig = start(trouble[i], whole, NULL);
        assert_int_equal(get(rig, 0, 0), 0);
        assert_got(rig, 0, SIZE);
        assert_int_equal(script_server_requests(rig->script), 2);
        stop(rig);
    }
}

static void test_put_retries(void **state) {
    reply *const trouble[] = {fails_500, fails_503, times_out, bad_digest, conflict, reset, expired};
    (void)state;
    for (size_t i = 0; i < sizeof trouble / sizeof *trouble; i++) {
        struct rig *rig = start(trouble[i], trouble[i] == expired ? stored : trouble[i], stored);
        assert_int_equal(put(rig, STORE_IF_MATCH, "base"), 0);
        unsigned requests = script_server_requests(rig->script);
        assert_int_equal(requests, trouble[i] == expired ? 2 : 3);
        for (unsigned n = 0; n < requests; n++) { /* the same conditional request each time */
            assert_non_null(strstr(rig->seen[n], "If-Match: \"base\"\r\n"));
            assert_non_null(strstr(rig->seen[n], "Content-MD5: "));
        }
        stop(rig);
    }
}

static void test_error_in_200(void **state) {
    reply *const trouble[] = {error_in_200, slow_in_200, empty_200};
    (void)state;
    for (size_t i = 0; i < sizeof trouble / sizeof *trouble; i++) {
        struct rig *rig = start(trouble[i], copied, NULL);
        assert_int_equal(copy(rig), 0);
        assert_int_equal(script_server_requests(rig->script), 2);
        stop(rig);
    }
    struct rig *rig = start(error_in_200, parts_there, completed); /* asks whether the upload is there still */
    assert_int_equal(complete(rig), 0);
    stop(rig);
}

static void test_lists_retry(void **state) {
    struct store_page page;
    struct rig *rig = start(half_list, fails_503, empty_list);
    (void)state;
    assert_int_equal(store_list(rig->store, &(struct store_list){.prefix = ""}, &page, &rig->call), 0);
    assert_int_equal(page.count, 0);
    store_page_finish(&page);
    stop(rig);
}

/* --- what stands is told at once --- */

static void test_final(void **state) {
    static const struct {
        reply *reply;
        int error;
        const char *said;
    } cases[] = {{denied, PAIL_DENIED, "Access Denied"},
                 {not_found, PAIL_GONE, "NoSuchKey"},
                 {no_bucket, PAIL_NO_BUCKET, "the bucket is not there any more"},
                 {precondition, PAIL_CONFLICT, "PreconditionFailed"},
                 {archived, PAIL_ARCHIVED, "InvalidObjectState"},
                 {quota, PAIL_QUOTA, "XMinioStorageFull"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig *rig = start(cases[i].reply, NULL, NULL);
        assert_int_equal(get(rig, 0, 0), cases[i].error);
        assert_int_equal(put(rig, STORE_ANY, NULL), cases[i].error);
        assert_int_equal(script_server_requests(rig->script), 2); /* not again */
        assert_non_null(strstr(rig->fault.text, "could not write k"));
        assert_non_null(strstr(rig->fault.text, cases[i].said));
        stop(rig);
    }
}

/* A new grant is tried, and has the same time. */
static void test_skewed(void **state) {
    struct rig *rig = start(skewed, skewed, NULL);
    (void)state;
    assert_int_equal(get(rig, 0, 0), PAIL_DENIED);
    assert_int_equal(script_server_requests(rig->script), 2);
    assert_non_null(strstr(rig->fault.text, "the mapping server's clock"));
    stop(rig);
}

static void test_complete_conflict(void **state) {
    struct rig *rig = start(conflict, NULL, NULL);
    (void)state;
    assert_int_equal(complete(rig), PAIL_CONFLICT); /* AWS: head, then a new upload */
    assert_int_equal(script_server_requests(rig->script), 1);
    assert_non_null(strstr(rig->seen[0], "If-None-Match: *\r\n"));
    stop(rig);
}

/* Ceph says 500 when the upload is gone. */
static void test_complete_of_what_is_gone(void **state) {
    struct rig *rig = start(fails_500, no_upload, NULL);
    (void)state;
    assert_int_equal(complete(rig), PAIL_GONE);
    assert_int_equal(script_server_requests(rig->script), 2);
    assert_non_null(strstr(rig->seen[1], "GET /list_parts/"));
    stop(rig);
}

static void test_new_grants_once(void **state) {
    struct rig *rig = start(expired, NULL, NULL);
    (void)state;
    assert_int_equal(get(rig, 0, 0), PAIL_DENIED);
    assert_int_equal(script_server_requests(rig->script), 2);
    assert_int_equal(rig->minted, 2);
    assert_null(strstr(rig->seen[0], "s3cr3t2"));
    assert_non_null(strstr(rig->seen[1], "s3cr3t2"));
    stop(rig);
}

static void test_deadline(void **state) {
    reply *const trouble[] = {fails_500, reset, hang, bad_digest};
    (void)state;
    for (size_t i = 0; i < sizeof trouble / sizeof *trouble; i++) {
        struct rig *rig = start(trouble[i], NULL, NULL);
        rig->call.stall_ms = trouble[i] == bad_digest ? 4000 : 1000; /* its last attempt has the time for an answer */
        int64_t began = clock_monotonic_ms();
        int expected = trouble[i] == bad_digest ? PAIL_DAMAGED : PAIL_OFFLINE;
        assert_int_equal(put(rig, STORE_ANY, NULL), expected);
        int64_t took = clock_monotonic_ms() - began;
        assert_in_range(took, 300, SOON_MS);
        assert_true(rig->fault.text[0]);
        stop(rig);
    }
}

/* --- a transfer that breaks goes on where it was --- */

static void test_resumes(void **state) {
    struct rig *rig = start(cut, cut, whole);
    (void)state;
    assert_int_equal(get(rig, 0, 0), 0);
    assert_got(rig, 0, SIZE);
    assert_int_equal(rig->object.size, SIZE);
    assert_null(strcasestr(rig->seen[0], "range:"));
    assert_null(strcasestr(rig->seen[0], "if-match:"));
    assert_non_null(strstr(rig->seen[1], "Range: bytes=50000-\r\n"));
    assert_non_null(strstr(rig->seen[2], "Range: bytes=100000-\r\n"));
    for (int i = 1; i < 3; i++) {
        assert_non_null(strstr(rig->seen[i], "If-Match: \""));
        assert_non_null(strstr(rig->seen[i], rig->etag));
    }
    stop(rig);
}

static void test_resumes_a_range(void **state) {
    struct rig *rig = start(cut, expired, whole); /* the grant ends in the middle */
    (void)state;
    assert_int_equal(get(rig, 1000, 120000), 0);
    assert_got(rig, 1000, 120000);
    assert_non_null(strstr(rig->seen[0], "Range: bytes=1000-120999\r\n"));
    assert_non_null(strstr(rig->seen[2], "Range: bytes=51000-120999\r\n"));
    assert_int_equal(rig->minted, 2);
    stop(rig);
}

/* Only bytes of one version, whatever the store does with the condition. */
static void test_other_version_in_the_middle(void **state) {
    struct rig *rig = start(cut, other_version, NULL);
    (void)state;
    assert_int_equal(get(rig, 0, 0), PAIL_CONFLICT);
    assert_got(rig, 0, 50000);
    stop(rig);
    rig = start(cut, other_version_unasked, NULL);
    assert_int_equal(get(rig, 0, 0), PAIL_CONFLICT);
    assert_got(rig, 0, 50000);
    stop(rig);
}

/* As long as bytes come, the time starts anew. */
static void test_many_cuts(void **state) {
    struct rig *rig = start(cut_short, NULL, NULL);
    (void)state;
    rig->call.stall_ms = 3000; /* less than the pauses of that many failures */
    assert_int_equal(get(rig, 0, 0), 0);
    assert_got(rig, 0, SIZE);
    assert_int_equal(script_server_requests(rig->script), 10);
    stop(rig);
}

/* --- checks --- */

static void test_damaged(void **state) {
    struct rig *rig = start(damaged, NULL, NULL);
    (void)state;
    assert_int_equal(get(rig, 0, 0), PAIL_DAMAGED);
    assert_non_null(strstr(rig->fault.text, "ETag"));
    stop(rig);
    rig = start(damaged, NULL, NULL); /* no ETag covers a range */
    assert_int_equal(get(rig, 0, 1000), 0);
    stop(rig);
}

static void test_range_ignored(void **state) {
    struct rig *rig = start(whole_instead_of_range, NULL, NULL);
    (void)state;
    assert_int_equal(get(rig, 10, 100), PAIL_DAMAGED);
    assert_int_equal(rig->got_size, 0);
    assert_int_equal(get(rig, 0, 100), PAIL_DAMAGED);
    stop(rig);
}

static void test_put_arrives_otherwise(void **state) {
    struct rig *rig = start(stored_otherwise, NULL, NULL);
    (void)state;
    rig->features.content_md5 = false; /* the store checks nothing: its ETag must */
    assert_int_equal(put(rig, STORE_ANY, NULL), PAIL_DAMAGED);
    stop(rig);
    rig = start(stored_otherwise, damaged, NULL);
    assert_int_equal(put(rig, STORE_ANY, NULL), 0); /* it has checked: its ETags are something else */
    assert_int_equal(get(rig, 0, 0), 0);            /* and say nothing of what comes back either */
    stop(rig);
}

static void test_unproven_conditions_are_not_sent(void **state) {
    struct rig *rig = start(stored, NULL, NULL);
    (void)state;
    rig->features = (struct store_features){.put_if_match = true};
    assert_int_equal(put(rig, STORE_IF_ABSENT, NULL), 0);
    assert_null(strcasestr(rig->seen[0], "if-none-match"));
    assert_int_equal(put(rig, STORE_IF_MATCH, "abc"), 0);
    assert_non_null(strstr(rig->seen[1], "If-Match: abc\r\n")); /* without quotes, as it was proven */
    stop(rig);
}

/* --- names --- */

static void test_prefix(void **state) {
    struct store_page page;
    struct rig *rig = start(one_key, foreign_list, NULL);
    (void)state;
    assert_int_equal(store_list(rig->store, &(struct store_list){.prefix = "p", .start_after = "q"}, &page, &rig->call),
                     0);
    assert_string_equal(page.objects[0].key, "k");
    store_page_finish(&page);
    assert_string_equal(rig->items[0], "{\"op\":\"list\",\"prefix\":\"acc/p\",\"start_after\":\"acc/q\"}");
    assert_int_equal(store_list(rig->store, &(struct store_list){.prefix = ""}, &page, &rig->call), PAIL_DAMAGED);
    assert_int_equal(page.count, 0);
    stop(rig);
}

static void test_head_forbidden(void **state) {
    struct rig *rig = start(forbidden, forbidden, empty_list);
    (void)state;
    assert_int_equal(head(rig), PAIL_GONE); /* AWS, of an absent key below a prefix condition */
    stop(rig);
    rig = start(forbidden, forbidden, one_key);
    assert_int_equal(head(rig), PAIL_DENIED);
    stop(rig);
}

static void test_bad_keys(void **state) {
    struct rig *rig = start(whole, NULL, NULL);
    struct store_object object;
    (void)state;
    assert_int_equal(store_head(rig->store, "", NULL, &object, &rig->call), -EINVAL);
    assert_int_equal(store_head(rig->store, "\xff", NULL, &object, &rig->call), -EINVAL);
    assert_int_equal(script_server_requests(rig->script), 0);
    stop(rig);
}

/* Just after versioning was turned on, a 404 of a key that we wrote is no delete. */
static void test_young_versioning(void **state) {
    struct rig *rig = start(not_found, stored, not_found);
    (void)state;
    rig->features.versioned_at_s = clock_realtime_s() - 60;
    assert_int_equal(head(rig), PAIL_GONE);
    assert_int_equal(put(rig, STORE_ANY, NULL), 0);
    assert_int_equal(head(rig), PAIL_OFFLINE);
    assert_int_equal(get(rig, 0, 0), PAIL_OFFLINE);
    rig->features.versioned_at_s = clock_realtime_s() - 3600;
    assert_int_equal(head(rig), PAIL_GONE);
    stop(rig);
}

/* --- deleting many --- */

static void test_remove_many(void **state) {
    struct store_delete items[] = {{.key = "a"}, {.key = "b"}, {.key = "control\x01"}};
    struct rig *rig = start(fails_500, stored, deleted_but_one); /* the control character goes alone, and first */
    (void)state;
    rig->replies[3] = denied; /* what was denied in the batch is tried by itself */
    assert_int_equal(store_remove_many(rig->store, items, 3, &rig->call), 0);
    assert_int_equal(items[0].result, 0);
    assert_int_equal(items[1].result, PAIL_DENIED);
    assert_int_equal(items[2].result, 0);
    assert_non_null(strstr(rig->seen[0], "DELETE /delete/acc/control%01"));
    assert_non_null(strstr(rig->seen[2], "POST /delete_many/"));
    assert_non_null(strstr(rig->seen[3], "DELETE /delete/acc/b"));
    assert_false(http_of(rig->store)->many_is_denied);
    stop(rig);
}

/* Ceph 16 denies each key of a batch to a role, and lets each go by itself. */
static void test_remove_many_denied(void **state) {
    enum { COUNT = 40 };
    struct store_delete items[COUNT];
    char keys[COUNT][16];
    struct rig *rig = start(deleted_none, stored, NULL);
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            snprintf(keys[i], sizeof keys[i], "k%d", i);
            items[i] = (struct store_delete){.key = keys[i], .result = 99};
        }
        assert_int_equal(store_remove_many(rig->store, items, COUNT, &rig->call), 0);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(items[i].result, 0);
    }
    assert_int_equal(script_server_requests(rig->script), 1 + 2 * COUNT); /* the batch is not tried again */
    stop(rig);
}

/* --- grants --- */

static void test_grant_serves_every_range(void **state) {
    struct rig *rig = start(whole, NULL, NULL);
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(get(rig, i * 1000, 1000), 0);
    assert_int_equal(rig->minted, 1);
    rig->mint_fails = true; /* the mapping server goes away: reading goes on */
    assert_int_equal(get(rig, 7000, 1000), 0);
    rig->call.stall_ms = 2000;
    assert_int_equal(head(rig), PAIL_OFFLINE);
    assert_non_null(strstr(rig->fault.text, "the mapping server is away"));
    stop(rig);
}

static void wait_for_mints(struct rig *rig, unsigned count) {
    WAIT_UNTIL(rig->minted >= count);
    assert_int_equal(rig->minted, count);
}

static void test_listing_leads(void **state) {
    struct store_page page;
    struct rig *rig = start(two_keys_and_more, whole, NULL);
    (void)state;
    assert_int_equal(store_list(rig->store, &(struct store_list){.prefix = ""}, &page, &rig->call), 0);
    assert_string_equal(page.next_token, "t0k");
    store_page_finish(&page);
    wait_for_mints(rig, 4);
    assert_int_equal(rig->batches, 2); /* the page; then the next page and both heads together */
    struct store_object object;
    assert_int_equal(store_head(rig->store, "a", NULL, &object, &rig->call), 0);
    store_object_finish(&object);
    assert_int_equal(rig->minted, 4);
    stop(rig);
}

static void test_will_read(void **state) {
    static const char *const keys[] = {"k", "l"}, *const versions[] = {NULL, "v"};
    struct rig *rig = start(whole, NULL, NULL);
    (void)state;
    http_store_will_read(rig->store, keys, versions, 2);
    wait_for_mints(rig, 4);
    assert_int_equal(get(rig, 0, 0), 0);
    assert_int_equal(head(rig), 0);
    assert_int_equal(rig->minted, 4);
    assert_true(rig->batches <= 2);
    stop(rig);
}

static void test_part_runs(void **state) {
    struct rig *rig = start(stored, NULL, NULL);
    struct store_source source = {read_data, rig, 1000};
    (void)state;
    for (unsigned number = 1; number <= 9; number++) {
        char *etag, part[32];
        assert_int_equal(store_put_part(rig->store, "k", "u", number, &source, &etag, &rig->call), 0);
        snprintf(part, sizeof part, "part=%u&", number);
        assert_non_null(strstr(rig->seen[number - 1], part));
        free(etag);
    }
    assert_int_equal(rig->minted, 3); /* 1 to 4, 5 to 8, 9 to 16 */
    stop(rig);
}

/* --- many at once --- */

struct worker {
    struct rig *rig;
    unsigned number; /* 1 and up */
    int error;
};

enum { WORKERS_MOST = 64 };

static void all_at_once(struct rig *rig, unsigned count, void *(*work)(void *)) {
    pthread_t threads[WORKERS_MOST];
    struct worker workers[WORKERS_MOST];
    for (unsigned i = 0; i < count; i++) {
        workers[i] = (struct worker){rig, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].error, 0);
    }
}

static int drop(void *context, const void *data, size_t size) {
    (void)data;
    *(size_t *)context += size;
    return 0;
}

static void *read_many(void *context) {
    struct worker *worker = context;
    for (unsigned i = 0; i < 5 && !worker->error; i++) {
        size_t size = 0;
        struct store_sink sink = {drop, &size};
        struct store_get request = {.key = "k", .offset = i * 100, .length = 1000};
        struct store_object object;
        worker->error = store_get(worker->rig->store, &request, &sink, &object, NULL);
        if (!worker->error && size != 1000)
            worker->error = -EIO;
        store_object_finish(&object);
    }
    return NULL;
}

static void test_parallel(void **state) {
    struct rig *rig = start(whole, NULL, NULL);
    (void)state;
    all_at_once(rig, 64, read_many);
    assert_int_equal(rig->minted, 1);
    stop(rig);
}

static _Thread_local size_t to_digest; /* the body is read for its digest first, then to be sent */
static atomic_int digesting, most_digesting;

static int read_slowly(void *context, uint64_t offset, void *data, size_t size) {
    (void)context;
    (void)offset;
    memset(data, 'x', size);
    if (to_digest >= size) {
        to_digest -= size;
        int now = atomic_fetch_add(&digesting, 1) + 1, most = atomic_load(&most_digesting);
        while (now > most && !atomic_compare_exchange_weak(&most_digesting, &most, now))
            ;
        clock_sleep_ms(2);
        atomic_fetch_sub(&digesting, 1);
    }
    return 0;
}

static void *send_large(void *context) {
    struct worker *worker = context;
    struct store_source source = {read_slowly, NULL, 1 << 20};
    char *etag = NULL;
    to_digest = source.size;
    worker->error = store_put_part(worker->rig->store, "k", "u", worker->number, &source, &etag, NULL);
    free(etag);
    return NULL;
}

static void test_large_bodies_take_turns(void **state) {
    struct rig *rig = start(stored, NULL, NULL);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    (void)state;
    all_at_once(rig, 16, send_large);
    assert_in_range(atomic_load(&most_digesting), 1, cores > 2 ? cores / 2 : 1);
    stop(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_retries),
        cmocka_unit_test(test_put_retries),
        cmocka_unit_test(test_error_in_200),
        cmocka_unit_test(test_lists_retry),
        cmocka_unit_test(test_final),
        cmocka_unit_test(test_skewed),
        cmocka_unit_test(test_complete_conflict),
        cmocka_unit_test(test_complete_of_what_is_gone),
        cmocka_unit_test(test_new_grants_once),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_resumes_a_range),
        cmocka_unit_test(test_other_version_in_the_middle),
        cmocka_unit_test(test_many_cuts),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_range_ignored),
        cmocka_unit_test(test_put_arrives_otherwise),
        cmocka_unit_test(test_unproven_conditions_are_not_sent),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_head_forbidden),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_young_versioning),
        cmocka_unit_test(test_remove_many),
        cmocka_unit_test(test_remove_many_denied),
        cmocka_unit_test(test_grant_serves_every_range),
        cmocka_unit_test(test_listing_leads),
        cmocka_unit_test(test_will_read),
        cmocka_unit_test(test_part_runs),
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_large_bodies_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
