/* Tests of s3/policy: what each operation becomes, and each thing that a grant can never do. */
#include "s3/policy.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "s3/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const struct policy whole = {.bucket = "pail-b", .prefix = "", .quoted_etag = true, .complete_size = true};
static const struct policy ann = {.bucket = "shared", .prefix = "ann/"};

static void write_pairs(struct buffer *out, const struct sign_pair *pairs, size_t count) {
    for (size_t i = 0; i < count; i++)
        buffer_append_format(out, "%s%s%s%s", i ? "&" : "", pairs[i].name, pairs[i].value ? "=" : "",
                             pairs[i].value ? pairs[i].value : "");
}

/* "METHOD key ? query | signed | free", or "422 why". */
static char *plan_as(const struct policy *policy, const char *text) {
    AUTO_JSON struct json *item = NULL;
    AUTO_BUFFER struct buffer out = {0};
    struct policy_plan plan;
    struct fault fault = {0};
    assert_int_equal(json_parse(&item, text, strlen(text)), 0);
    int result = policy_plan(policy, item, &plan, &fault);
    if (result) {
        assert_int_equal(result, POLICY_REFUSED);
        assert_true(*fault.text);
        return text_format("422 %s", fault.text);
    }
    buffer_append_format(&out, "%s %s ? ", plan.method, plan.key ? plan.key : "-");
    write_pairs(&out, plan.query, plan.query_count);
    buffer_append_text(&out, " | ");
    write_pairs(&out, plan.signed_headers, plan.signed_count);
    buffer_append_text(&out, " | ");
    write_pairs(&out, plan.free_headers, plan.free_count);
    if (plan.body)
        buffer_append_format(&out, " | %s", plan.body);
    if (plan.is_run)
        buffer_append_format(&out, " | %u+%u %s", plan.first, plan.count, plan.last_size ? plan.last_size : "-");
    policy_plan_finish(&plan);
    return buffer_take(&out);
}

struct row {
    const char *item, *plan;
};

static void check_rows(const struct policy *policy, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *got = plan_as(policy, rows[i].item);
        if (!text_equal(got, rows[i].plan))
            fail_msg("%s\n  gave     %s\n  not      %s", rows[i].item, got, rows[i].plan);
    }
}
#define CHECK(policy, rows) check_rows(policy, rows, sizeof rows / sizeof *rows)

static void each_operation(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"op\":\"get\",\"key\":\"a//b/../c\"}", "GET a//b/../c ?  |  | "},
        {"{\"op\":\"get\",\"key\":\"/k\",\"version\":\"v+1\",\"checksum_mode\":true}",
         "GET /k ? versionId=v+1 | x-amz-checksum-mode=ENABLED | "},
        {"{\"op\":\"head\",\"key\":\"k\",\"checksum_mode\":false}", "HEAD k ?  |  | "},
        {"{\"op\":\"put\",\"key\":\"k\",\"size\":0}", "PUT k ?  | content-length=0 | "},
        {"{\"op\":\"put\",\"key\":\"k\",\"size\":7,\"headers\":{\"x-amz-meta-mode\":\"33188\",\"content-type\":\"text/"
         "plain\","
         "\"x-amz-checksum-crc32c\":\"AAAAAA==\"}}",
         "PUT k ?  | content-length=7&x-amz-meta-mode=33188&x-amz-checksum-crc32c=AAAAAA== | content-type=text/plain"},
        {"{\"op\":\"copy\",\"key\":\"k\",\"source\":\"a b?versionId=x\",\"directive\":\"COPY\"}",
         "PUT k ?  | x-amz-copy-source=/pail-b/a%20b%3FversionId%3Dx&x-amz-metadata-directive=COPY | "},
        {"{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"source_version\":\"v/1\",\"source_if_match\":\"e\","
         "\"directive\":\"REPLACE\",\"headers\":{\"x-amz-meta-a\":\"\",\"x-amz-storage-class\":\"STANDARD_IA\"}}",
         "PUT k ?  | "
         "x-amz-copy-source=/pail-b/s?versionId=v%2F1&x-amz-copy-source-if-match=\"e\"&x-amz-metadata-directive="
         "REPLACE&x-amz-meta-a=&x-amz-storage-class=STANDARD_IA | "},
        {"{\"op\":\"create\",\"key\":\"k\",\"headers\":{\"x-amz-storage-class\":\"GLACIER_IR\"}}",
         "POST k ? uploads | x-amz-storage-class=GLACIER_IR | "},
        {"{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":3,\"count\":5,\"size\":100,\"last_size\":9}",
         "PUT k ? uploadId=u&partNumber=3 | content-length=100 |  | 3+5 9"},
        {"{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":10000,\"count\":1,\"size\":1,\"last_size\":1}",
         "PUT k ? uploadId=u&partNumber=10000 | content-length=1 |  | 10000+1 -"},
        {"{\"op\":\"part_copy\",\"key\":\"k\",\"upload\":\"u\",\"number\":2,\"source\":\"s\",\"range\":\"bytes=0-9\"}",
         "PUT k ? uploadId=u&partNumber=2 | x-amz-copy-source=/pail-b/s&x-amz-copy-source-range=bytes=0-9 | "},
        {"{\"op\":\"complete\",\"key\":\"k\",\"upload\":\"u\",\"total\":12}",
         "POST k ? uploadId=u | x-amz-mp-object-size=12 | "},
        {"{\"op\":\"abort\",\"key\":\"k\",\"upload\":\"u\"}", "DELETE k ? uploadId=u |  | "},
        {"{\"op\":\"list_parts\",\"key\":\"k\",\"upload\":\"u\",\"marker\":\"7\"}",
         "GET k ? uploadId=u&part-number-marker=7 |  | "},
        {"{\"op\":\"list\",\"prefix\":\"\"}", "GET - ? list-type=2&prefix=&encoding-type=url&max-keys=1000 |  | "},
        {"{\"op\":\"list\",\"prefix\":\"d/\",\"delimiter\":\"/\",\"start_after\":\"d/"
         "x\",\"token\":\"t\",\"max_keys\":5}",
         "GET - ? list-type=2&prefix=d/&delimiter=/&encoding-type=url&max-keys=5&start-after=d/x&continuation-token=t "
         "|  | "},
        {"{\"op\":\"list_versions\",\"prefix\":\"d/\",\"key_marker\":\"k\",\"version_marker\":\"v\"}",
         "GET - ? versions&prefix=d/&encoding-type=url&max-keys=1000&key-marker=k&version-id-marker=v |  | "},
        {"{\"op\":\"delete\",\"key\":\"k\"}", "DELETE k ?  |  | "},
        {"{\"op\":\"delete_many\",\"keys\":[{\"key\":\"a<\"},{\"key\":\"b\",\"etag\":\"e\"}]}",
         "POST - ? delete |  |  | <Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object>"
         "<Key>a&lt;</Key></Object><Object><Key>b</Key><ETag>&quot;e&quot;</ETag></Object></Delete>"},
    };
    CHECK(&whole, rows);
}

static void a_store_that_wants_no_quotes_and_knows_no_size(void **state) {
    (void)state;
    static const struct policy bare = {.bucket = "b", .prefix = ""};
    static const struct row rows[] = {
        {"{\"op\":\"complete\",\"key\":\"k\",\"upload\":\"u\",\"total\":12}", "POST k ? uploadId=u |  | "},
        {"{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"source_if_match\":\"e\",\"directive\":\"COPY\"}",
         "PUT k ?  | x-amz-copy-source=/b/s&x-amz-copy-source-if-match=e&x-amz-metadata-directive=COPY | "},
    };
    CHECK(&bare, rows);
}

/* Everything below is refused with 422. */

static void check_refused(const struct policy *policy, const char *const *items, size_t count) {
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *got = plan_as(policy, items[i]);
        if (!text_starts(got, "422 "))
            fail_msg("%s\n  was not refused: %s", items[i], got);
    }
}
#define REFUSED(policy, items) check_refused(policy, items, sizeof items / sizeof *items)

/* The key in every operation that has one. */
static void check_key_everywhere(const struct policy *policy, const char *key, bool refused) {
    static const char *const forms[] = {
        "{\"op\":\"get\",\"key\":\"%s\"}",
        "{\"op\":\"head\",\"key\":\"%s\"}",
        "{\"op\":\"put\",\"key\":\"%s\",\"size\":1}",
        "{\"op\":\"copy\",\"key\":\"%s\",\"source\":\"ann/s\",\"directive\":\"COPY\"}",
        "{\"op\":\"copy\",\"key\":\"ann/k\",\"source\":\"%s\",\"directive\":\"COPY\"}",
        "{\"op\":\"create\",\"key\":\"%s\"}",
        "{\"op\":\"part\",\"key\":\"%s\",\"upload\":\"u\",\"first\":1,\"count\":1,\"size\":1}",
        "{\"op\":\"part_copy\",\"key\":\"%s\",\"upload\":\"u\",\"number\":1,\"source\":\"ann/"
        "s\",\"range\":\"bytes=0-1\"}",
        "{\"op\":\"part_copy\",\"key\":\"ann/"
        "k\",\"upload\":\"u\",\"number\":1,\"source\":\"%s\",\"range\":\"bytes=0-1\"}",
        "{\"op\":\"complete\",\"key\":\"%s\",\"upload\":\"u\",\"total\":1}",
        "{\"op\":\"abort\",\"key\":\"%s\",\"upload\":\"u\"}",
        "{\"op\":\"list_parts\",\"key\":\"%s\",\"upload\":\"u\"}",
        "{\"op\":\"delete\",\"key\":\"%s\"}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"ann/a\"},{\"key\":\"%s\"}]}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        AUTO_FREE char *item = text_format(forms[i], key);
        AUTO_FREE char *got = plan_as(policy, item);
        if (text_starts(got, "422 ") != refused)
            fail_msg("%s\n  gave %s", item, got);
    }
}

static void an_empty_key_would_sign_the_bucket(void **state) {
    (void)state;
    check_key_everywhere(&whole, "", true);
}

static void keys_end_at_1024_bytes(void **state) {
    (void)state;
    char key[1026];
    memset(key, 'k', sizeof key);
    key[1024] = '\0';
    check_key_everywhere(&whole, key, false);
    key[1024] = 'k';
    key[1025] = '\0';
    check_key_everywhere(&whole, key, true);
}

static void keys_stay_below_the_accounts_prefix(void **state) {
    (void)state;
    static const char *const others[] = {"anna/k",
                                         "ann",
                                         "ann/",
                                         "/ann/k",
                                         "//ann/k",
                                         "bob/k",
                                         "Ann/k",
                                         "%61nn/k",
                                         "../ann/k",
                                         "k",
                                         " ann/k",
                                         "ann\\\\/k",
                                         "./ann/k",
                                         "ann%2fk",
                                         "ann%2Fk",
                                         "%2e%2e/bob/k",
                                         "/shared/ann/k",
                                         "shared/ann/k",
                                         "/shared/bob/k",
                                         "an",
                                         "a",
                                         "ann.k",
                                         "ann\\u2215k",
                                         "\\ufeffann/k",
                                         "ann\\u00e4/k",
                                         "http://x/shared/ann/k",
                                         "arn:aws:s3:::shared/ann/k"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_key_everywhere(&ann, others[i], true);
    /* names inside stay as they are: S3 normalises nothing */
    check_key_everywhere(&ann, "ann/../bob/k", false);
    check_key_everywhere(&ann, "ann//k", false);
    check_key_everywhere(&ann, "ann/%2e%2e%2fbob/k", false);
    AUTO_FREE char *source = plan_as(
        &ann, "{\"op\":\"copy\",\"key\":\"ann/k\",\"source\":\"ann/../bob/k?versionId=v%2F\",\"directive\":\"COPY\"}");
    assert_non_null(strstr(source, "x-amz-copy-source=/shared/ann/../bob/k%3FversionId%3Dv%252F&"));
}

/* NUL and invalid UTF-8 do not even pass the JSON reader: the whole request is refused. */
static void nul_and_invalid_utf8_are_no_json(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"op\":\"get\",\"key\":\"a\\u0000b\"}", "{\"op\":\"get\",\"key\":\"a\377b\"}",
                                        "{\"op\":\"get\",\"key\":\"\300\257\"}",
                                        "{\"op\":\"get\",\"key\":\"a\",\"key\":\"b\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        AUTO_JSON struct json *item = NULL;
        assert_int_equal(json_parse(&item, texts[i], strlen(texts[i])), -EBADMSG);
    }
}

static void lists_stay_below_the_accounts_prefix(void **state) {
    (void)state;
    static const char *const refused[] = {
        "{\"op\":\"list\"}",
        "{\"op\":\"list\",\"prefix\":\"\"}",
        "{\"op\":\"list\",\"prefix\":\"ann\"}",
        "{\"op\":\"list\",\"prefix\":\"anna/\"}",
        "{\"op\":\"list\",\"prefix\":\"bob/\"}",
        "{\"op\":\"list\",\"prefix\":\"/\"}",
        "{\"op\":\"list\",\"prefix\":\"/ann/\"}",
        "{\"op\":\"list\",\"prefix\":\"Ann/\"}",
        "{\"op\":\"list\",\"prefix\":\"ann%2f\"}",
        "{\"op\":\"list\",\"prefix\":\"../ann/\"}",
        "{\"op\":\"list\",\"prefix\":\"\",\"delimiter\":\"/\"}",
        "{\"op\":\"list\",\"prefix\":\"ann\",\"delimiter\":\"/\"}",
        "{\"op\":\"list\",\"prefix\":\"ann/\",\"delimiter\":\"//\"}",
        "{\"op\":\"list\",\"prefix\":null}",
        "{\"op\":\"list\",\"prefix\":7}",
        "{\"op\":\"list_versions\",\"prefix\":\"\"}",
        "{\"op\":\"list_versions\",\"prefix\":\"anna/x\"}",
        "{\"op\":\"list_versions\"}",
        "{\"op\":\"list_versions\",\"prefix\":\"ann\"}",
        "{\"op\":\"list_versions\",\"key_marker\":\"ann/\"}",
    };
    REFUSED(&ann, refused);
    AUTO_FREE char *own = plan_as(&ann, "{\"op\":\"list\",\"prefix\":\"ann/\"}");
    assert_true(text_starts(own, "GET"));
}

static void other_query_parameters_have_no_field(void **state) {
    (void)state;
    static const char *const refused[] = {
        "{\"op\":\"get\",\"key\":\"k\",\"response-content-type\":\"text/html\"}",
        "{\"op\":\"get\",\"key\":\"k\",\"query\":{\"acl\":\"\"}}",
        "{\"op\":\"get\",\"key\":\"k\",\"acl\":true}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"tagging\":\"a=b\"}",
        "{\"op\":\"list\",\"prefix\":\"\",\"fetch-owner\":true}",
        "{\"op\":\"list\",\"prefix\":\"\",\"bucket\":\"other\"}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"version\":\"v\"}",
        "{\"op\":\"get\",\"key\":\"k\",\"partNumber\":1}",
    };
    REFUSED(&whole, refused);
}

static void history_is_never_destroyed(void **state) {
    (void)state;
    static const char *const refused[] = {
        "{\"op\":\"delete\",\"key\":\"k\",\"version\":\"v\"}",
        "{\"op\":\"delete\",\"key\":\"k\",\"versionId\":\"v\"}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"k\",\"version\":\"v\"}]}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"k\",\"version_id\":\"v\",\"etag\":\"e\"}]}",
        "{\"op\":\"delete_version\",\"key\":\"k\",\"version\":\"v\"}",
    };
    REFUSED(&whole, refused);
}

/* Each header outside the list, in each operation that takes headers. */
static void headers_outside_the_list(void **state) {
    (void)state;
    static const char *const names[] = {
        "x-amz-acl",
        "x-amz-grant-read",
        "x-amz-grant-write",
        "x-amz-grant-full-control",
        "x-amz-tagging",
        "x-amz-tagging-directive",
        "x-amz-website-redirect-location",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-copy-source",
        "x-amz-copy-source-range",
        "x-amz-copy-source-if-match",
        "x-amz-metadata-directive",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-legal-hold",
        "x-amz-bypass-governance-retention",
        "x-amz-request-payer",
        "x-amz-security-token",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-expected-bucket-owner",
        "x-amz-meta-",
        "x-amz-meta-UPPER",
        "X-Amz-Meta-a",
        "x-amz-meta-a_b",
        "x-amz-meta-a b",
        "x-amz-meta-\\u00e4",
        "host",
        "authorization",
        "content-length",
        "content-md5",
        "transfer-encoding",
        "if-match",
        "range",
        "expect",
        "cookie",
        "",
        " content-type",
        "Content-Type",
        "x-amz-write-offset-bytes",
        "x-amz-sdk-checksum-algorithm",
    };
    static const char *const forms[] = {
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"%s\":\"v\"}}",
        "{\"op\":\"create\",\"key\":\"k\",\"headers\":{\"%s\":\"v\"}}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"REPLACE\",\"headers\":{\"%s\":\"v\"}}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"COPY\",\"headers\":{\"%s\":\"v\"}}",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t j = 0; j < sizeof forms / sizeof *forms; j++) {
            AUTO_FREE char *item = text_format(forms[j], names[i]);
            check_refused(&whole, (const char *const[]){item}, 1);
        }
}

static void headers_in_the_wrong_place(void **state) {
    (void)state;
    static const char *const refused[] = {
        "{\"op\":\"get\",\"key\":\"k\",\"headers\":{\"content-type\":\"a\"}}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"x-amz-storage-class\":\"STANDARD_IA\"}}",
        "{\"op\":\"create\",\"key\":\"k\",\"headers\":{\"x-amz-storage-class\":\"GLACIER\"}}",
        "{\"op\":\"create\",\"key\":\"k\",\"headers\":{\"x-amz-storage-class\":\"DEEP_ARCHIVE\"}}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"COPY\",\"headers\":{\"x-amz-meta-a\":\"b\"}}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"COPY\",\"headers\":{\"content-type\":\"b\"}}",
        "{\"op\":\"create\",\"key\":\"k\",\"headers\":{\"x-amz-copy-source-if-none-match\":\"b\"}}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":[\"content-type\"]}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":1,\"count\":1,\"size\":1,\"headers\":{}}",
    };
    REFUSED(&whole, refused);
}

static void header_values_are_printable_ascii(void **state) {
    (void)state;
    static const char *const values[] = {
        "\\u00e4", "a\\nb", "a\\r\\nx-amz-acl: public-read", "a\\tb", "\\u007f", " a", "a ", "a  b", "\\u0001"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        AUTO_FREE char *meta =
            text_format("{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"x-amz-meta-a\":\"%s\"}}", values[i]);
        AUTO_FREE char *type =
            text_format("{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"content-type\":\"%s\"}}", values[i]);
        check_refused(&whole, (const char *const[]){meta, type}, 2);
    }
    static const char *const refused[] = {
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"content-type\":\"\"}}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"content-type\":7}}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"x-amz-meta-a\":null}}",
    };
    REFUSED(&whole, refused);
}

static void metadata_ends_at_2_kib(void **state) {
    (void)state;
    char value[2049];
    for (size_t size = 2047; size <= 2048; size++) {
        memset(value, 'v', sizeof value);
        value[size] = '\0';
        AUTO_FREE char *item =
            text_format("{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"x-amz-meta-a\":\"%s\"}}", value);
        AUTO_FREE char *got = plan_as(&whole, item);
        assert_int_equal(text_starts(got, "422"), size == 2048);
    }
    value[1024] = '\0';
    AUTO_FREE char *two = text_format(
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"x-amz-meta-a\":\"%s\",\"x-amz-meta-b\":\"%s\"}}",
        value, value);
    check_refused(&whole, (const char *const[]){two}, 1);
}

static void more_headers_than_there_is_room_for(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer item = {0};
    buffer_append_text(&item, "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"x-amz-meta-a\":\"\"");
    for (unsigned i = 0; i < POLICY_MAX_HEADERS; i++)
        buffer_append_format(&item, ",\"x-amz-meta-a%u\":\"\"", i);
    buffer_append_text(&item, "}}");
    check_refused(&whole, (const char *const[]){item.data}, 1);
}

static void numbers_out_of_range(void **state) {
    (void)state;
    static const char *const refused[] = {
        "{\"op\":\"put\",\"key\":\"k\"}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":-1}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":5368709121}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":1.5}",
        "{\"op\":\"put\",\"key\":\"k\",\"size\":\"1\"}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":0,\"count\":1,\"size\":1}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":10000,\"count\":2,\"size\":1}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":1,\"count\":0,\"size\":1}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":1,\"count\":1001,\"size\":1}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":1,\"count\":1,\"size\":0}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":1,\"count\":1,\"size\":1,\"last_size\":0}",
        "{\"op\":\"part\",\"key\":\"k\",\"first\":1,\"count\":1,\"size\":1}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"\",\"first\":1,\"count\":1,\"size\":1}",
        "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\\n\",\"first\":1,\"count\":1,\"size\":1}",
        "{\"op\":\"complete\",\"key\":\"k\",\"upload\":\"u\"}",
        "{\"op\":\"list\",\"prefix\":\"\",\"max_keys\":0}",
        "{\"op\":\"list\",\"prefix\":\"\",\"max_keys\":1001}",
        "{\"op\":\"list\",\"prefix\":\"\",\"delimiter\":\"a\"}",
    };
    REFUSED(&whole, refused);
}

static void ranges_and_directives(void **state) {
    (void)state;
    static const char *const ranges[] = {"",
                                         "bytes=",
                                         "bytes=0-",
                                         "bytes=-5",
                                         "bytes=5-4",
                                         "bytes=a-b",
                                         "bytes=0-1,3-4",
                                         "Bytes=0-1",
                                         "0-1",
                                         "bytes=0-5368709120",
                                         "bytes= 0-1",
                                         "bytes=0-99999999999999999999999999"};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        AUTO_FREE char *item = text_format(
            "{\"op\":\"part_copy\",\"key\":\"k\",\"upload\":\"u\",\"number\":1,\"source\":\"s\",\"range\":\"%s\"}",
            ranges[i]);
        check_refused(&whole, (const char *const[]){item}, 1);
    }
    static const char *const refused[] = {
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\"}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"copy\"}",
        "{\"op\":\"copy\",\"key\":\"k\",\"directive\":\"COPY\"}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"COPY\",\"source_if_match\":\"\\\"e\\\"\"}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"COPY\",\"source_version\":\"\"}",
        "{\"op\":\"copy\",\"key\":\"k\",\"source\":\"s\",\"directive\":\"COPY\",\"source_bucket\":\"other\"}",
    };
    REFUSED(&whole, refused);
}

static void delete_many_is_written_by_the_server(void **state) {
    (void)state;
    static const char *const refused[] = {
        "{\"op\":\"delete_many\"}",
        "{\"op\":\"delete_many\",\"keys\":[]}",
        "{\"op\":\"delete_many\",\"keys\":{}}",
        "{\"op\":\"delete_many\",\"keys\":[\"k\"]}",
        "{\"op\":\"delete_many\",\"keys\":[{}]}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"k\",\"etag\":\"\"}]}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"k\",\"etag\":\"a\\\"b\"}]}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"k\",\"etag\":null}]}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"k\"}],\"body\":\"<Delete/>\"}",
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"a\\u0001b\"}]}", /* XML 1.0 cannot hold it */
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"a\\uffffb\"}]}",
    };
    REFUSED(&whole, refused);
    /* no key can break out of its element */
    AUTO_FREE char *got = plan_as(
        &whole,
        "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"</Key></Object><Object><Key>x\",\"etag\":\"</ETag>&\"}]}");
    assert_non_null(strstr(got, "&lt;/Key&gt;&lt;/Object&gt;&lt;Object&gt;&lt;Key&gt;x"));
    assert_non_null(strstr(got, "&lt;/ETag&gt;&amp;"));
    assert_null(strstr(strstr(got, "<Object>") + 1, "<Object>"));
}

static void items_that_are_none(void **state) {
    (void)state;
    static const char *const refused[] = {"{}",
                                          "[]",
                                          "7",
                                          "null",
                                          "\"get\"",
                                          "{\"op\":\"GET\",\"key\":\"k\"}",
                                          "{\"op\":\"\",\"key\":\"k\"}",
                                          "{\"op\":7}",
                                          "{\"key\":\"k\"}",
                                          "{\"op\":\"put_acl\"}",
                                          "{\"op\":\"get\"}",
                                          "{\"op\":\"get\",\"key\":7}",
                                          "{\"op\":\"get\",\"key\":null}",
                                          "{\"op\":\"get\",\"key\":\"k\",\"checksum_mode\":\"yes\"}",
                                          "{\"op\":\"get\",\"key\":\"k\",\"version\":7}",
                                          "{\"op\":\"get\",\"key\":\"k\",\"version\":\"\"}",
                                          "{\"op\":\"get\",\"key\":\"k\",\"version\":\"\\u00e4\"}"};
    REFUSED(&whole, refused);
}

static void urls_are_counted_before_anything_else(void **state) {
    (void)state;
    static const struct {
        const char *item;
        size_t count;
    } rows[] = {
        {"{\"op\":\"get\",\"key\":\"k\"}", 1},
        {"{\"op\":\"part\",\"count\":1000}", 1000},
        {"{\"op\":\"part\",\"count\":1001}", 1}, /* refused later */
        {"{\"op\":\"part\",\"count\":-5}", 1},
        {"{\"op\":\"part\"}", 1},
        {"7", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_JSON struct json *item = NULL;
        assert_int_equal(json_parse(&item, rows[i].item, strlen(rows[i].item)), 0);
        assert_int_equal(policy_count(item), rows[i].count);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation),
        cmocka_unit_test(a_store_that_wants_no_quotes_and_knows_no_size),
        cmocka_unit_test(an_empty_key_would_sign_the_bucket),
        cmocka_unit_test(keys_end_at_1024_bytes),
        cmocka_unit_test(keys_stay_below_the_accounts_prefix),
        cmocka_unit_test(nul_and_invalid_utf8_are_no_json),
        cmocka_unit_test(lists_stay_below_the_accounts_prefix),
        cmocka_unit_test(other_query_parameters_have_no_field),
        cmocka_unit_test(history_is_never_destroyed),
        cmocka_unit_test(headers_outside_the_list),
        cmocka_unit_test(headers_in_the_wrong_place),
        cmocka_unit_test(header_values_are_printable_ascii),
        cmocka_unit_test(metadata_ends_at_2_kib),
        cmocka_unit_test(more_headers_than_there_is_room_for),
        cmocka_unit_test(numbers_out_of_range),
        cmocka_unit_test(ranges_and_directives),
        cmocka_unit_test(delete_many_is_written_by_the_server),
        cmocka_unit_test(items_that_are_none),
        cmocka_unit_test(urls_are_counted_before_anything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
