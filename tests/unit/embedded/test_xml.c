/* s3/embedded/xml: what it writes, s3/listing reads. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "s3/embedded/xml.h"
#include "s3/listing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void what_is_written_can_be_read(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer xml = {0};
    AUTO_FREE char *key = NULL, *etag = NULL, *size = NULL, *time = NULL, *flag = NULL;
    assert_int_equal(xml_start(&xml, "R"), 0);
    assert_int_equal(xml_text(&xml, "Key", "a<b>&\"\n\t\xc3\xa9"), 0);
    assert_int_equal(xml_etag(&xml, "e"), 0);
    assert_int_equal(xml_integer(&xml, "Size", 12345678901), 0);
    assert_int_equal(xml_time(&xml, "Time", 1795442712345), 0);
    assert_int_equal(xml_boolean(&xml, "Flag", true), 0);
    assert_int_equal(xml_close(&xml, "R"), 0);
    assert_int_equal(listing_parse_text(xml.data, xml.size, "R/Key", &key), 0);
    assert_string_equal(key, "a<b>&\"\n\t\xc3\xa9");
    assert_int_equal(listing_parse_text(xml.data, xml.size, "R/ETag", &etag), 0);
    assert_string_equal(etag, "\"e\"");
    assert_int_equal(listing_parse_text(xml.data, xml.size, "R/Size", &size), 0);
    assert_string_equal(size, "12345678901");
    assert_int_equal(listing_parse_text(xml.data, xml.size, "R/Time", &time), 0);
    assert_string_equal(time, "2026-11-23T14:05:12.000Z");
    assert_int_equal(listing_parse_text(xml.data, xml.size, "R/Flag", &flag), 0);
    assert_string_equal(flag, "true");
}

static void keys_are_encoded_when_asked(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer xml = {0};
    xml_key(&xml, "Key", "a b/\x01+", true);
    xml_key(&xml, "Key", "a b/\x01+", false);
    assert_string_equal(xml.data, "<Key>a%20b/%01%2B</Key><Key>a b/&#x1;+</Key>");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_can_be_read),
        cmocka_unit_test(keys_are_encoded_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
