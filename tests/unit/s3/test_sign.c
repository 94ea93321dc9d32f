/* s3/sign: AWS's published examples (Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)"), and
 * checking what was signed here, whole and tampered with. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/sign.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TIME_S 1369353600 /* 2013-05-24T00:00:00Z, as in all of AWS's examples */

static const struct sign_credentials aws = {
    .access_key = "AKIAIOSFODNN7EXAMPLE",
    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
    .service = "s3",
};

static struct sign_request request_for(const char *method, const char *path) {
    return (struct sign_request){
        .method = method,
        .scheme_host = "https://examplebucket.s3.amazonaws.com",
        .path = path,
        .path_size = strlen(path),
        .time_s = TIME_S,
    };
}

static void assert_signature(const struct sign_request *request, const char *payload, const char *signature) {
    struct sign_cache *cache = NULL;
    assert_int_equal(sign_cache_create(&cache), 0);
    for (int round = 0; round < 3; round++) { /* without a cache, filling it, from it */
        AUTO_FREE char *url = NULL, *authorization = NULL;
        char date[17];
        assert_int_equal(sign_headers(&aws, round ? cache : NULL, request, payload, &url, &authorization, date), 0);
        assert_string_equal(date, "20130524T000000Z");
        assert_true(text_ends(authorization, signature));
    }
    sign_cache_destroy(cache);
}

static void signs_get_with_range(void **state) {
    (void)state;
    struct sign_request request = request_for("GET", "/test.txt");
    request.headers = (struct sign_pair[]){{"range", "bytes=0-9"}};
    request.header_count = 1;
    AUTO_FREE char *canonical = NULL;
    assert_int_equal(sign_canonical(&request, EMPTY, &canonical), 0);
    assert_string_equal(canonical, "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
                                   "x-amz-content-sha256:" EMPTY "\nx-amz-date:20130524T000000Z\n\n"
                                   "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY);
    assert_signature(&request, EMPTY, "=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void signs_put(void **state) {
    (void)state;
    struct sign_request request = request_for("PUT", "/test$file.text");
    request.headers =
        (struct sign_pair[]){{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    request.header_count = 2;
    assert_signature(&request, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                     "=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void signs_lifecycle(void **state) {
    (void)state;
    struct sign_request request = request_for("GET", "/");
    request.query = (struct sign_pair[]){{"lifecycle", NULL}};
    request.query_count = 1;
    assert_signature(&request, EMPTY, "=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void signs_list(void **state) {
    (void)state;
    struct sign_request request = request_for("GET", "/");
    request.query = (struct sign_pair[]){{"prefix", "J"}, {"max-keys", "2"}};
    request.query_count = 2;
    assert_signature(&request, EMPTY, "=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void signs_url(void **state) {
    (void)state;
    struct sign_request request = request_for("GET", "/test.txt");
    AUTO_FREE char *url = NULL;
    assert_int_equal(sign_url(&aws, NULL, &request, 86400, &url), 0);
    assert_string_equal(url, "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                             "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                             "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                             "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

static void dates_have_all_their_digits(void **state) {
    (void)state;
    static const struct {
        int64_t time_s;
        const char *date;
    } rows[] = {{0, "19700101T000000Z"}, {1925089445, "20310102T030405Z"}, {253402300799, "99991231T235959Z"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sign_request request = request_for("GET", "/k");
        AUTO_FREE char *url = NULL;
        char parameter[40];
        request.time_s = rows[i].time_s;
        snprintf(parameter, sizeof parameter, "&X-Amz-Date=%s&", rows[i].date);
        assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), 0);
        assert_non_null(strstr(url, parameter));
    }
}

static void a_url_is_appended_to_what_is_there(void **state) {
    (void)state;
    struct sign_request request = request_for("GET", "/k");
    AUTO_FREE char *url = NULL;
    AUTO_BUFFER struct buffer out = {0};
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), 0);
    assert_int_equal(buffer_append_text(&out, "before "), 0);
    assert_int_equal(sign_url_append(&aws, NULL, &request, 60, &out), 0);
    assert_memory_equal(out.data, "before ", 7);
    assert_string_equal(out.data + 7, url);
}

static void keeps_keys_as_they_are(void **state) {
    (void)state;
    struct sign_request request = request_for("PUT", "/b//a b/../+%2F\xc3\xa9~");
    request.scheme_host = "http://127.0.0.1:80";
    AUTO_FREE char *url = NULL, *canonical = NULL;
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), 0);
    assert_true(text_starts(url, "http://127.0.0.1:80/b//a%20b/../%2B%252F%C3%A9~?"));
    assert_int_equal(sign_canonical(&request, "UNSIGNED-PAYLOAD", &canonical), 0);
    assert_non_null(strstr(canonical, "\nhost:127.0.0.1\n")); /* as clients send it */
}

static void refuses_what_cannot_be_signed(void **state) {
    (void)state;
    char *url = NULL;
    struct sign_request request = request_for("GET", "/k");
    assert_int_equal(sign_url(&aws, NULL, &request, 0, &url), -EINVAL);
    assert_int_equal(sign_url(&aws, NULL, &request, 604801, &url), -EINVAL);
    request = request_for("GET", "k");
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), -EINVAL);
    request = request_for("GET", "/k");
    request.header_count = 1;
    request.headers = (struct sign_pair[]){{"x-amz-meta-a", "1\r\nx: y"}};
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), -EINVAL);
    request.headers = (struct sign_pair[]){{"X-Amz-Acl", "private"}};
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), -EINVAL);
    request.header_count = 0;
    request.scheme_host = "https://host/path";
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), -EINVAL);
    request = request_for("GET", "/k");
    struct sign_credentials far = aws;
    char region[160];
    memset(region, 'r', sizeof region - 1);
    region[sizeof region - 1] = 0;
    far.region = region;
    assert_int_equal(sign_url(&far, NULL, &request, 60, &url), -EINVAL);
    assert_null(url);
}

/* A request as a server sees it, from a signed URL. */
struct incoming {
    char *text, *path, *query; /* text is owned, the others point into it */
    struct sign_pair headers[4];
    struct sign_incoming request;
};

static void incoming_from(struct incoming *incoming, const char *method, const char *url) {
    *incoming = (struct incoming){.text = strdup(strchr(strstr(url, "://") + 3, '/'))};
    incoming->path = incoming->text;
    incoming->query = incoming->text + strcspn(incoming->text, "?");
    if (*incoming->query)
        *incoming->query++ = 0;
    incoming->headers[0] = (struct sign_pair){"host", "examplebucket.s3.amazonaws.com"};
    incoming->request = (struct sign_incoming){
        .method = method,
        .raw_path = incoming->path,
        .raw_query = incoming->query,
        .headers = incoming->headers,
        .header_count = 1,
        .now_s = TIME_S + 10,
    };
}

static int check(const struct incoming *incoming) {
    struct sign_checked checked;
    int r = sign_check(&aws, NULL, &incoming->request, &checked);
    if (!r)
        sign_checked_finish(&checked);
    return r;
}

static void checks_urls(void **state) {
    (void)state;
    struct sign_request request = request_for("PUT", "/a//b c/\xc3\xa9+..");
    request.query = (struct sign_pair[]){{"partNumber", "7"}, {"uploadId", "x/y+z= "}, {"bare", NULL}};
    request.query_count = 3;
    AUTO_FREE char *url = NULL;
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), 0);
    struct incoming incoming;
    incoming_from(&incoming, "PUT", url);
    assert_int_equal(check(&incoming), 0);

    incoming.request.method = "GET";
    assert_int_equal(check(&incoming), SIGN_MISMATCH);
    incoming.request.method = "PUT";
    incoming.request.now_s = TIME_S + 61;
    assert_int_equal(check(&incoming), SIGN_EXPIRED);
    incoming.request.now_s = TIME_S - 901;
    assert_int_equal(check(&incoming), SIGN_SKEWED);
    incoming.request.now_s = TIME_S;
    incoming.headers[1] = (struct sign_pair){"if-match", "\"x\""};
    incoming.request.header_count = 2;
    assert_int_equal(check(&incoming), 0); /* conditions may be added */
    incoming.headers[1] = (struct sign_pair){"x-amz-copy-source", "/other/key"};
    assert_int_equal(check(&incoming), SIGN_UNSIGNED_HEADER);
    incoming.request.header_count = 1;
    incoming.headers[0].value = "other.host";
    assert_int_equal(check(&incoming), SIGN_MISMATCH);
    incoming.headers[0].value = "examplebucket.s3.amazonaws.com";
    incoming.request.raw_path = "/a/b%20c/%C3%A9%2B..";
    assert_int_equal(check(&incoming), SIGN_MISMATCH);
    incoming.request.raw_path = "/a//b%20c/%C3%A9+..";
    assert_int_equal(check(&incoming), 0); /* the same key in another spelling */
    incoming.request.raw_path = "/a%";
    assert_int_equal(check(&incoming), SIGN_MALFORMED);
    free(incoming.text);
}

static void every_flipped_byte_of_a_url_is_refused(void **state) {
    (void)state;
    struct sign_request request = request_for("GET", "/key");
    request.query = (struct sign_pair[]){{"versionId", "v1"}};
    request.query_count = 1;
    AUTO_FREE char *url = NULL;
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), 0);
    for (size_t i = (size_t)(strstr(url, "/key") - url) + 1; url[i]; i++) {
        char before = url[i];
        url[i] = before == 'a' ? 'b' : 'a';
        struct incoming incoming;
        incoming_from(&incoming, "GET", url);
        assert_int_not_equal(check(&incoming), 0);
        free(incoming.text);
        url[i] = before;
    }
}

static void checks_headers(void **state) {
    (void)state;
    struct sign_request request = request_for("GET", "/key");
    request.headers = (struct sign_pair[]){{"x-amz-meta-a", "  two   words "}};
    request.header_count = 1;
    AUTO_FREE char *url = NULL, *authorization = NULL;
    char date[17];
    assert_int_equal(sign_headers(&aws, NULL, &request, EMPTY, &url, &authorization, date), 0);
    struct sign_pair headers[] = {
        {"host", "examplebucket.s3.amazonaws.com"},
        {"x-amz-meta-a", "two words"},
        {"x-amz-date", date},
        {"x-amz-content-sha256", EMPTY},
        {"accept", "*/*"},
        {"authorization", authorization},
    };
    struct sign_incoming incoming = {
        .method = "GET", .raw_path = "/key", .raw_query = "", .headers = headers, .header_count = 6, .now_s = TIME_S};
    struct sign_checked checked;
    assert_int_equal(sign_check(&aws, NULL, &incoming, &checked), 0);
    assert_string_equal(checked.payload_sha256, EMPTY);
    sign_checked_finish(&checked);
    headers[3].value = "UNSIGNED-PAYLOAD";
    assert_int_equal(sign_check(&aws, NULL, &incoming, &checked), SIGN_MISMATCH);
    headers[3].value = EMPTY;
    incoming.now_s = TIME_S + 901;
    assert_int_equal(sign_check(&aws, NULL, &incoming, &checked), SIGN_SKEWED);
    incoming.now_s = TIME_S;
    struct sign_credentials other = aws;
    other.access_key = "AKIAOTHER";
    assert_int_equal(sign_check(&other, NULL, &incoming, &checked), SIGN_UNKNOWN_KEY);
    other = aws;
    other.secret_key = "guessed";
    assert_int_equal(sign_check(&other, NULL, &incoming, &checked), SIGN_MISMATCH);
    other = aws;
    other.region = "eu-central-1";
    assert_int_equal(sign_check(&other, NULL, &incoming, &checked), SIGN_MALFORMED);
    incoming.header_count = 5;
    assert_int_equal(sign_check(&aws, NULL, &incoming, &checked), SIGN_MISSING);
}

static void an_unsigned_query_parameter_is_refused(void **state) {
    (void)state;
    struct sign_request request = request_for("DELETE", "/key");
    AUTO_FREE char *url = NULL;
    assert_int_equal(sign_url(&aws, NULL, &request, 60, &url), 0);
    AUTO_FREE char *added = text_format("%s&versionId=3", url);
    struct incoming incoming;
    incoming_from(&incoming, "DELETE", added);
    assert_int_equal(check(&incoming), SIGN_MISMATCH);
    free(incoming.text);
}

/* AWS's example of a body in chunks: 65 KiB of "a" in pieces of 64 KiB. */
static void checks_chunks(void **state) {
    (void)state;
    struct sign_request request = request_for("PUT", "/chunkObject.txt");
    request.scheme_host = "https://s3.amazonaws.com";
    request.path = "/examplebucket/chunkObject.txt";
    request.path_size = strlen(request.path);
    request.headers = (struct sign_pair[]){{"content-encoding", "aws-chunked"},
                                           {"content-length", "66824"},
                                           {"x-amz-decoded-content-length", "66560"},
                                           {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    request.header_count = 4;
    AUTO_FREE char *url = NULL, *authorization = NULL;
    char date[17];
    const char *payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    assert_int_equal(sign_headers(&aws, NULL, &request, payload, &url, &authorization, date), 0);
    assert_true(text_ends(authorization, "=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"));
    struct sign_pair headers[] = {
        {"host", "s3.amazonaws.com"},
        request.headers[0],
        request.headers[1],
        request.headers[2],
        request.headers[3],
        {"x-amz-date", date},
        {"x-amz-content-sha256", payload},
        {"authorization", authorization},
    };
    struct sign_incoming incoming = {.method = "PUT",
                                     .raw_path = "/examplebucket/chunkObject.txt",
                                     .raw_query = "",
                                     .headers = headers,
                                     .header_count = 8,
                                     .now_s = TIME_S};
    struct sign_checked checked;
    assert_int_equal(sign_check(&aws, NULL, &incoming, &checked), 0);
    const char *first = "bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a";  /* 65,536 "a" */
    const char *second = "2edc986847e209b4016e141a6dc8716d3207350f416969382d431539bf292e4a"; /* 1,024 "a" */
    assert_int_equal(
        sign_check_chunk(&checked, false, second, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        SIGN_MISMATCH);
    assert_int_equal(
        sign_check_chunk(&checked, false, first, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        0);
    assert_int_equal(
        sign_check_chunk(&checked, false, second, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        0);
    assert_int_equal(
        sign_check_chunk(&checked, false, EMPTY, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        0);
    sign_checked_finish(&checked);
}

static void the_cache_knows_its_owner(void **state) {
    (void)state;
    struct sign_cache *cache = NULL;
    assert_int_equal(sign_cache_create(&cache), 0);
    struct sign_request request = request_for("GET", "/k");
    struct sign_credentials other = aws;
    for (int i = 0; i < 200; i++) {
        AUTO_FREE char *secret = text_format("secret %d", i / 2), *cached = NULL, *fresh = NULL;
        other.secret_key = secret;
        other.region = i % 3 ? "us-east-1" : "eu-west-1";
        request.time_s = TIME_S + i / 50 * 86400;
        assert_int_equal(sign_url(&other, cache, &request, 60, &cached), 0);
        assert_int_equal(sign_url(&other, NULL, &request, 60, &fresh), 0);
        assert_string_equal(cached, fresh);
    }
    sign_cache_destroy(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_get_with_range),
        cmocka_unit_test(signs_put),
        cmocka_unit_test(signs_lifecycle),
        cmocka_unit_test(signs_list),
        cmocka_unit_test(signs_url),
        cmocka_unit_test(dates_have_all_their_digits),
        cmocka_unit_test(a_url_is_appended_to_what_is_there),
        cmocka_unit_test(keeps_keys_as_they_are),
        cmocka_unit_test(refuses_what_cannot_be_signed),
        cmocka_unit_test(checks_urls),
        cmocka_unit_test(every_flipped_byte_of_a_url_is_refused),
        cmocka_unit_test(checks_headers),
        cmocka_unit_test(an_unsigned_query_parameter_is_refused),
        cmocka_unit_test(checks_chunks),
        cmocka_unit_test(the_cache_knows_its_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
