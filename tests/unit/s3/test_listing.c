/* s3/listing: S3's documents as AWS and Ceph write them, and what is none. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/listing.h"
#include "s3/listing_walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static int page(const char *xml, struct store_page *out) {
    return listing_parse_page(xml, strlen(xml), out);
}

static void reads_a_page(void **state) {
    (void)state;
    struct store_page out;
    assert_int_equal(page(HEAD
                          "<ListBucketResult" NS "><Name>b</Name><Prefix></Prefix><KeyCount>3</KeyCount>"
                          "<IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken>"
                          "<Contents><Key>a%2Bb+c%0A%C3%A9</Key><LastModified>2026-11-23T14:05:12.345Z</LastModified>"
                          "<ETag>&quot;abc&quot;</ETag><Size>12345678901</Size><StorageClass>STANDARD</StorageClass>"
                          "<Owner><ID>x</ID></Owner></Contents>"
                          "<Contents><Key>z</Key><Size>0</Size><StorageClass>DEEP_ARCHIVE</StorageClass></Contents>"
                          "<CommonPrefixes><Prefix>d%2F</Prefix></CommonPrefixes>"
                          "<CommonPrefixes><Prefix>e/</Prefix></CommonPrefixes>"
                          "<EncodingType>url</EncodingType></ListBucketResult>",
                          &out),
                     0);
    assert_int_equal(out.count, 2);
    assert_string_equal(out.objects[0].key, "a+b c\n\xc3\xa9");
    assert_string_equal(out.objects[0].etag, "abc");
    assert_true(out.objects[0].size == 12345678901u);
    assert_int_equal(out.objects[0].modified_s, 1795442712);
    assert_false(out.objects[0].archived);
    assert_string_equal(out.objects[1].etag, "");
    assert_true(out.objects[1].archived);
    assert_int_equal(out.prefix_count, 2);
    assert_string_equal(out.prefixes[0], "d/");
    assert_string_equal(out.prefixes[1], "e/");
    assert_string_equal(out.next_token, "t+/=");
    store_page_finish(&out);
}

static void keys_stay_raw_without_encoding(void **state) {
    (void)state;
    struct store_page out;
    assert_int_equal(page("<ListBucketResult><Contents><Key>100%25+1 &amp; &#10;</Key></Contents>"
                          "<IsTruncated>false</IsTruncated><NextMarker>x</NextMarker></ListBucketResult>",
                          &out),
                     0);
    assert_string_equal(out.objects[0].key, "100%25+1 & \n");
    assert_null(out.next_token);
    store_page_finish(&out);
}

static void an_old_listing_goes_on_behind_its_last_key(void **state) {
    (void)state;
    struct store_page out;
    assert_int_equal(page("<ListBucketResult><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>"
                          "<Contents><Key>a%2Fb</Key></Contents></ListBucketResult>",
                          &out),
                     0);
    assert_string_equal(out.next_token, "a/b");
    store_page_finish(&out);
}

static void a_key_with_nul_is_left_out(void **state) {
    (void)state;
    struct store_page out;
    assert_int_equal(page("<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%00b</Key></Contents>"
                          "<Contents><Key>c</Key></Contents></ListBucketResult>",
                          &out),
                     0);
    assert_int_equal(out.count, 1);
    assert_string_equal(out.objects[0].key, "c");
    store_page_finish(&out);
}

static void refuses_what_is_no_page(void **state) {
    (void)state;
    static const char deep[] =
        "<ListBucketResult><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></a></a>"
        "</a></ListBucketResult>";
    const char *const bad[] = {
        "",
        "<ListBucketResult>",
        "<Other/>",
        "<ListBucketResultX/>",
        "<html><body>hello</body></html>",
        "not xml",
        "<ListBucketResult/><ListBucketResult/>",
        "<ListBucketResult><Contents></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><LastModified>soon</LastModified></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>",
        "<!DOCTYPE x><ListBucketResult/>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><ListBucketResult><Name>&a;</Name></ListBucketResult>",
        "<ListBucketResult>&undefined;</ListBucketResult>",
        deep,
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct store_page out;
        assert_int_equal(page(bad[i], &out), PAIL_DAMAGED);
        assert_null(out.objects);
    }
}

static void refuses_a_long_text(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer xml = {0};
    buffer_append_text(&xml, "<ListBucketResult><Name>");
    for (int i = 0; i < 70000; i++)
        buffer_append(&xml, "x", 1);
    buffer_append_text(&xml, "</Name></ListBucketResult>");
    struct store_page out;
    assert_int_equal(listing_parse_page(xml.data, xml.size, &out), PAIL_DAMAGED);
}

static void refuses_too_many_elements(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer xml = {0};
    buffer_append_text(&xml, "<ListBucketResult>");
    for (int i = 0; i < 200001; i++)
        buffer_append_text(&xml, "<a/>");
    buffer_append_text(&xml, "</ListBucketResult>");
    struct store_page out;
    assert_int_equal(listing_parse_page(xml.data, xml.size, &out), PAIL_DAMAGED);
}

static void every_cut_of_a_page_is_refused(void **state) {
    (void)state;
    const char *xml = HEAD "<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>";
    for (size_t size = 0; size < strlen(xml); size++) {
        AUTO_FREE char *cut = strndup(xml, size);
        struct store_page out;
        assert_int_equal(listing_parse_page(cut, size, &out), PAIL_DAMAGED);
    }
}

static void reads_versions_in_their_order(void **state) {
    (void)state;
    const char *xml =
        "<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>b%2B</NextKeyMarker>"
        "<NextVersionIdMarker>v0</NextVersionIdMarker><EncodingType>url</EncodingType>"
        "<DeleteMarker><Key>a</Key><VersionId>m</VersionId><IsLatest>true</IsLatest>"
        "<LastModified>2026-11-23T14:05:12.000Z</LastModified></DeleteMarker>"
        "<Version><Key>a</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest><ETag>\"e\"</ETag><Size>5</Size>"
        "<LastModified>2026-11-23T14:05:12.000Z</LastModified></Version></ListVersionsResult>";
    struct store_page out;
    assert_int_equal(listing_parse_versions(xml, strlen(xml), &out), 0);
    assert_int_equal(out.count, 2);
    assert_true(out.objects[0].delete_marker && out.objects[0].is_latest);
    assert_string_equal(out.objects[0].version, "m");
    assert_false(out.objects[1].delete_marker || out.objects[1].is_latest);
    assert_string_equal(out.objects[1].etag, "e");
    assert_string_equal(out.next_key_marker, "b+");
    assert_string_equal(out.next_version_marker, "v0");
    store_page_finish(&out);
}

static void merges_markers_that_stand_apart(void **state) {
    (void)state;
    const char *xml =
        "<ListVersionsResult>"
        "<Version><Key>a</Key><VersionId>1</VersionId><LastModified>2026-11-23T14:05:10Z</LastModified></Version>"
        "<Version><Key>b</Key><VersionId>2</VersionId><LastModified>2026-11-23T14:05:11Z</LastModified>"
        "<IsLatest>true</IsLatest></Version>"
        "<DeleteMarker><Key>a</Key><VersionId>3</VersionId><LastModified>2026-11-23T14:05:12Z</LastModified>"
        "<IsLatest>true</IsLatest></DeleteMarker>"
        "<DeleteMarker><Key>a</Key><VersionId>0</VersionId><LastModified>2026-11-23T14:05:09Z</LastModified>"
        "</DeleteMarker></ListVersionsResult>";
    struct store_page out;
    assert_int_equal(listing_parse_versions(xml, strlen(xml), &out), 0);
    static const char *const order[] = {"3", "1", "0", "2"};
    assert_int_equal(out.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(out.objects[i].version, order[i]);
    store_page_finish(&out);
}

static void reads_parts(void **state) {
    (void)state;
    const char *xml = "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>"
                      "<Part><PartNumber>3</PartNumber><ETag>\"e3\"</ETag><Size>9</Size></Part>"
                      "<Part><PartNumber>7</PartNumber><ETag>\"e7\"</ETag><Size>8</Size></Part></ListPartsResult>";
    struct store_parts parts;
    AUTO_FREE char *marker = NULL;
    assert_int_equal(listing_parse_parts(xml, strlen(xml), &parts, &marker), 0);
    assert_string_equal(marker, "7");
    assert_int_equal(parts.count, 2);
    assert_int_equal(parts.items[1].number, 7);
    assert_string_equal(parts.items[1].etag, "e7");
    assert_true(parts.items[1].size == 8);
    store_parts_finish(&parts);

    static const char *const bad[] = {
        "<ListPartsResult><Part><PartNumber>0</PartNumber><ETag>e</ETag></Part></ListPartsResult>",
        "<ListPartsResult><Part><PartNumber>10001</PartNumber><ETag>e</ETag></Part></ListPartsResult>",
        "<ListPartsResult><Part><ETag>e</ETag></Part></ListPartsResult>",
        "<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>",
        "<Error><Code>NoSuchUpload</Code></Error>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *next = NULL;
        assert_int_equal(listing_parse_parts(bad[i], strlen(bad[i]), &parts, &next), PAIL_DAMAGED);
        assert_null(next);
    }
}

static void reads_uploads(void **state) {
    (void)state;
    const char *xml = HEAD "<ListMultipartUploadsResult" NS "><Bucket>b</Bucket><KeyMarker></KeyMarker>"
                           "<NextKeyMarker>a%20b</NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker>"
                           "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                           "<Upload><Key>a%20b</Key><UploadId>u1</UploadId><Initiator><ID>i</ID></Initiator></Upload>"
                           "<Upload><Key>a%20b</Key><UploadId>u2</UploadId></Upload></ListMultipartUploadsResult>";
    struct store_page page;
    assert_int_equal(listing_parse_uploads(xml, strlen(xml), &page), 0);
    assert_int_equal(page.count, 2);
    assert_string_equal(page.objects[1].key, "a b");
    assert_string_equal(page.objects[1].version, "u2");
    assert_string_equal(page.next_key_marker, "a b");
    assert_string_equal(page.next_version_marker, "u2");
    store_page_finish(&page);
    static const char *const bad[] = {
        "<ListMultipartUploadsResult><Upload><Key>k</Key></Upload></ListMultipartUploadsResult>",
        "<ListMultipartUploadsResult><Upload><UploadId>u</UploadId></Upload></ListMultipartUploadsResult>",
        "<ListVersionsResult></ListVersionsResult>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(listing_parse_uploads(bad[i], strlen(bad[i]), &page), PAIL_DAMAGED);
}

static void writes_what_is_to_be_destroyed(void **state) {
    (void)state;
    char first[] = "a & b", second[] = "c", version[] = "v<1>", impossible[] = "\x01";
    struct store_object versions[] = {{.key = first, .version = version}, {.key = second}};
    AUTO_FREE char *body = NULL, *none = NULL;
    size_t size;
    assert_int_equal(listing_write_destroy(versions, 2, &body, &size), 0);
    assert_non_null(strstr(body, "<Object><Key>a &amp; b</Key><VersionId>v&lt;1&gt;</VersionId></Object>"
                                 "<Object><Key>c</Key><VersionId>null</VersionId></Object>"));
    versions[1].key = impossible;
    assert_int_equal(listing_write_destroy(versions, 2, &none, &size), -EILSEQ);
}

static void reads_results_and_the_errors_in_them(void **state) {
    (void)state;
    const char *good = "   \n" HEAD "<CompleteMultipartUploadResult" NS "><Location>l</Location><ETag>\"a-2\"</ETag>"
                       "</CompleteMultipartUploadResult>";
    const char *empty = "<CopyObjectResult><ETag></ETag></CopyObjectResult>";
    const char *error = HEAD "<Error><Code>SlowDown</Code><Message>a &lt; b</Message></Error>";
    struct listing_error fault;
    char *etag = NULL;
    assert_int_equal(listing_parse_result(good, strlen(good), &etag, &fault), 0);
    assert_string_equal(etag, "a-2");
    assert_null(fault.code);
    free(etag);
    assert_int_equal(listing_parse_result(empty, strlen(empty), &etag, &fault), 0);
    assert_string_equal(etag, "");
    free(etag);
    assert_int_equal(listing_parse_result(error, strlen(error), &etag, &fault), 0);
    assert_null(etag);
    assert_string_equal(fault.code, "SlowDown");
    assert_string_equal(fault.message, "a < b");
    listing_error_finish(&fault);
    assert_int_equal(listing_parse_result("", 0, &etag, &fault), PAIL_DAMAGED);
    assert_int_equal(listing_parse_result("<Other/>", 8, &etag, &fault), PAIL_DAMAGED);
    assert_int_equal(listing_parse_error(good, strlen(good), &fault), PAIL_DAMAGED);
    assert_int_equal(listing_parse_error(error, strlen(error), &fault), 0);
    listing_error_finish(&fault);
}

static int note_failure(void *context, const char *key, const char *code, const char *message) {
    return buffer_append_format(context, "%s:%s:%s;", key, code, message);
}

static void reads_failed_deletes(void **state) {
    (void)state;
    const char *xml = "<DeleteResult" NS "><Deleted><Key>fine</Key></Deleted><Error><Key>a b</Key>"
                      "<Code>PreconditionFailed</Code><Message>no</Message></Error>"
                      "<Error><Code>AccessDenied</Code><Key>c</Key></Error></DeleteResult>";
    AUTO_BUFFER struct buffer seen = {0};
    assert_int_equal(listing_parse_deleted(xml, strlen(xml), note_failure, &seen), 0);
    assert_string_equal(seen.data, "a b:PreconditionFailed:no;c:AccessDenied:;");
    const char *bad = "<DeleteResult><Error><Code>x</Code></Error></DeleteResult>";
    assert_int_equal(listing_parse_deleted(bad, strlen(bad), note_failure, &seen), PAIL_DAMAGED);
}

static void reads_a_text_by_its_path(void **state) {
    (void)state;
    const char *xml = "<s:Answer xmlns:s='x'><s:In><s:Key>k1</s:Key></s:In><Key>k2</Key></s:Answer>";
    char *text = NULL;
    assert_int_equal(listing_parse_text(xml, strlen(xml), "Answer/In/Key", &text), 0);
    assert_string_equal(text, "k1");
    free(text);
    assert_int_equal(listing_parse_text(xml, strlen(xml), "Answer/Other", &text), 0);
    assert_null(text);
    const char *upload = "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>";
    assert_int_equal(listing_parse_upload_id(upload, strlen(upload), &text), 0);
    assert_string_equal(text, "u/1");
    free(text);
    assert_int_equal(listing_parse_upload_id(xml, strlen(xml), &text), PAIL_DAMAGED);
}

static void writes_bodies(void **state) {
    (void)state;
    struct store_part items[] = {{1, (char *)"a<", 5}, {2, (char *)"b", 5}};
    struct store_parts parts = {items, 2};
    AUTO_FREE char *xml = NULL, *key = NULL;
    size_t size;
    assert_int_equal(listing_write_complete(&parts, &xml, &size), 0);
    assert_non_null(strstr(xml, "<Part><PartNumber>1</PartNumber><ETag>&quot;a&lt;&quot;</ETag></Part>"));
    assert_int_equal(size, strlen(xml));

    struct store_delete deletes[] = {{"a & \n\r\t\xc3\xa9 ]]>", "e", 0}, {"b", NULL, 0}};
    AUTO_FREE char *body = NULL;
    assert_int_equal(listing_write_delete(deletes, 2, &body, &size), 0);
    assert_int_equal(listing_parse_text(body, size, "Delete/Object/Key", &key), 0);
    assert_string_equal(key, deletes[0].key);

    static const char *const impossible[] = {"a\x01", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xff", "\x1b[0m"};
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        char *none = NULL;
        deletes[1].key = impossible[i];
        assert_int_equal(listing_write_delete(deletes, 2, &none, &size), -EILSEQ);
        assert_null(none);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_page),
        cmocka_unit_test(keys_stay_raw_without_encoding),
        cmocka_unit_test(an_old_listing_goes_on_behind_its_last_key),
        cmocka_unit_test(a_key_with_nul_is_left_out),
        cmocka_unit_test(refuses_what_is_no_page),
        cmocka_unit_test(refuses_a_long_text),
        cmocka_unit_test(refuses_too_many_elements),
        cmocka_unit_test(every_cut_of_a_page_is_refused),
        cmocka_unit_test(reads_versions_in_their_order),
        cmocka_unit_test(merges_markers_that_stand_apart),
        cmocka_unit_test(reads_parts),
        cmocka_unit_test(reads_uploads),
        cmocka_unit_test(reads_results_and_the_errors_in_them),
        cmocka_unit_test(reads_failed_deletes),
        cmocka_unit_test(reads_a_text_by_its_path),
        cmocka_unit_test(writes_bodies),
        cmocka_unit_test(writes_what_is_to_be_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
