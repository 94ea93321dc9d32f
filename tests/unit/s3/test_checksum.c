/* s3/checksum: known answers of every kind, in one piece and in odd pieces. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/crc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    enum checksum_kind kind;
    const char *hex; /* of "123456789": the usual check values */
} known[] = {
    {CHECKSUM_MD5, "25f9e794323b453885f5181f1b624d0b"},
    {CHECKSUM_SHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
    {CHECKSUM_SHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
    {CHECKSUM_CRC32, "cbf43926"},
    {CHECKSUM_CRC32C, "e3069283"},
    {CHECKSUM_CRC64NVME, "ae8b14860a799888"},
};

static void knows_check_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        AUTO_FREE char *hex = NULL;
        assert_int_equal(checksum_hex(known[i].kind, "123456789", 9, &hex), 0);
        assert_string_equal(hex, known[i].hex);
    }
}

static void pieces_give_the_same(void **state) {
    (void)state;
    unsigned char data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + i / 256);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct checksum *checksum = NULL;
        assert_int_equal(checksum_create(&checksum, known[i].kind), 0);
        size_t at = 0;
        for (size_t step = 1; at < sizeof data; step = step * 3 % 97 + 1) {
            size_t piece = step < sizeof data - at ? step : sizeof data - at;
            assert_int_equal(checksum_add(checksum, data + at, piece), 0);
            at += piece;
        }
        unsigned char raw[32];
        int size = checksum_end(checksum, raw);
        checksum_destroy(checksum);
        AUTO_FREE char *whole = NULL, *pieces = text_hex(raw, (size_t)size);
        assert_int_equal(checksum_hex(known[i].kind, data, sizeof data, &whole), 0);
        assert_string_equal(pieces, whole);
    }
}

static void writes_base64(void **state) {
    (void)state;
    AUTO_FREE char *md5 = NULL, *crc = NULL;
    assert_int_equal(checksum_base64(CHECKSUM_MD5, "", 0, &md5), 0);
    assert_string_equal(md5, "1B2M2Y8AsgTpgAmY7PhCfg==");
    assert_int_equal(checksum_base64(CHECKSUM_CRC32C, "123456789", 9, &crc), 0);
    assert_string_equal(crc, "4waSgw==");
}

static void names_headers(void **state) {
    (void)state;
    assert_string_equal(checksum_header(CHECKSUM_CRC32C), "x-amz-checksum-crc32c");
    assert_string_equal(checksum_header(CHECKSUM_CRC64NVME), "x-amz-checksum-crc64nvme");
    assert_null(checksum_header(CHECKSUM_MD5));
}

/* The CRC of the whole out of those of two pieces, wherever it is cut. */
static void joins_crcs(void **state) {
    (void)state;
    static const struct {
        enum checksum_kind kind;
        uint64_t polynomial;
        unsigned bits;
    } crcs[] = {
        {CHECKSUM_CRC32, CRC_POLYNOMIAL_32, 32},
        {CHECKSUM_CRC32C, CRC_POLYNOMIAL_32C, 32},
        {CHECKSUM_CRC64NVME, CRC_POLYNOMIAL_64NVME, 64},
    };
    unsigned char data[1000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 31 + 5);
    for (size_t i = 0; i < 3; i++)
        for (size_t cut = 0; cut <= sizeof data; cut += 125) {
            AUTO_FREE char *first = NULL, *second = NULL, *whole = NULL;
            assert_int_equal(checksum_hex(crcs[i].kind, data, cut, &first), 0);
            assert_int_equal(checksum_hex(crcs[i].kind, data + cut, sizeof data - cut, &second), 0);
            assert_int_equal(checksum_hex(crcs[i].kind, data, sizeof data, &whole), 0);
            uint64_t joined = crc_join(crcs[i].polynomial, crcs[i].bits, strtoull(first, NULL, 16),
                                       strtoull(second, NULL, 16), sizeof data - cut);
            assert_true(joined == strtoull(whole, NULL, 16));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_check_values), cmocka_unit_test(pieces_give_the_same), cmocka_unit_test(writes_base64),
        cmocka_unit_test(names_headers),      cmocka_unit_test(joins_crcs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
