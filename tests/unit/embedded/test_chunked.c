/* s3/embedded/chunked: framing taken off, however it is cut; and what is no framing. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "s3/embedded/chunked.h"
#include "s3/embedded/problem.h"

#include <string.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static int keep(void *context, const void *data, size_t size) {
    return buffer_append(context, data, size);
}

/* Feeds text in pieces; the result of the first call that fails, or of finish. */
static int feed(const char *text, size_t piece, bool trailers, struct buffer *out, char **trailer) {
    struct chunked *chunked = NULL;
    struct chunked_options options = {.trailers = trailers, .write = keep, .context = out};
    assert_int_equal(chunked_create(&chunked, &options), 0);
    int r = 0;
    for (size_t at = 0, size = strlen(text); at < size && !r; at += piece)
        r = chunked_add(chunked, text + at, size - at < piece ? size - at : piece);
    if (!r)
        r = chunked_finish(chunked);
    if (!r && trailer)
        *trailer = chunked_trailer(chunked, "x-amz-checksum-crc32");
    chunked_destroy(chunked);
    return r;
}

static void takes_framing_off(void **state) {
    (void)state;
    for (size_t piece = 1; piece < 60; piece++) {
        AUTO_BUFFER struct buffer out = {0};
        AUTO_FREE char *trailer = NULL;
        assert_int_equal(feed("5\r\nhello\r\nA;ignored=1\r\n, chunked!\r\n0\r\nX-Amz-Checksum-CRC32: AAAA==\r\n\r\n",
                              piece, true, &out, &trailer),
                         0);
        assert_string_equal(out.data, "hello, chunked!");
        assert_string_equal(trailer, "AAAA==");
    }
}

static void without_trailers_a_line_end_is_the_end(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer out = {0};
    assert_int_equal(feed("3\r\nabc\r\n0\r\n\r\n", 100, false, &out, NULL), 0);
    assert_string_equal(out.data, "abc");
    assert_int_equal(feed("0\r\n\r\n", 1, false, &out, NULL), 0);
}

static void refuses_what_is_cut_or_wrong(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "5",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "x\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\nmore",
        "0\r\nno colon\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t piece = 1; piece < 30; piece += 7) {
            AUTO_BUFFER struct buffer out = {0};
            assert_int_equal(feed(bad[i], piece, true, &out, NULL), PROBLEM_INCOMPLETE_BODY);
        }
}

static void a_line_without_end_is_bounded(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer out = {0}, line = {0};
    for (int i = 0; i < 10000; i++)
        buffer_append_text(&line, "5");
    assert_int_equal(feed(line.data, 100, true, &out, NULL), PROBLEM_INCOMPLETE_BODY);
}

/* AWS's example: 65 KiB of "a" in two chunks, signed. (s3/sign's test has the same numbers.) */
static void checks_signatures_of_chunks(void **state) {
    (void)state;
    static const char *const signatures[] = {
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    };
    for (int wrong = -1; wrong < 3; wrong++) {
        AUTO_BUFFER struct buffer body = {0}, out = {0};
        for (int i = 0; i < 3; i++) {
            size_t size = i == 0 ? 65536 : i == 1 ? 1024 : 0;
            buffer_append_format(&body, "%zx;chunk-signature=%s\r\n", size, signatures[(i == wrong) ? (i + 1) % 3 : i]);
            for (size_t j = 0; j < size; j++)
                buffer_append(&body, "a", 1);
            buffer_append_text(&body, "\r\n");
        }
        struct sign_checked checked = {
            .date = "20130524T000000Z",
            .scope = "20130524/us-east-1/s3/aws4_request",
            .previous = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            .key = {0xdb, 0xb8, 0x93, 0xac, 0xc0, 0x10, 0x96, 0x49, 0x18, 0xf1, 0xfd, 0x43, 0x3a, 0xdd, 0x87, 0xc7,
                    0x0e, 0x8b, 0x0d, 0xb6, 0xbe, 0x30, 0xc1, 0xfb, 0xea, 0xfe, 0xfa, 0x5e, 0xc6, 0xba, 0x83, 0x78},
        };
        struct chunked *chunked = NULL;
        struct chunked_options options = {.signing = &checked, .write = keep, .context = &out};
        assert_int_equal(chunked_create(&chunked, &options), 0);
        int r = chunked_add(chunked, body.data, body.size);
        if (!r)
            r = chunked_finish(chunked);
        chunked_destroy(chunked);
        assert_int_equal(r, wrong < 0 ? 0 : PROBLEM_SIGNATURE);
        if (wrong < 0)
            assert_int_equal(out.size, 66560);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_framing_off),
        cmocka_unit_test(without_trailers_a_line_end_is_the_end),
        cmocka_unit_test(refuses_what_is_cut_or_wrong),
        cmocka_unit_test(a_line_without_end_is_bounded),
        cmocka_unit_test(checks_signatures_of_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
