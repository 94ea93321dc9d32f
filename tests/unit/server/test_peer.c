/* Tests of s3/server/peer: addresses, networks, and who is behind a proxy. */
#include "s3/server/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void assert_peer(const char *text, const char *expected) {
    struct peer peer;
    char out[64];
    if (peer_parse(text, strlen(text), &peer)) {
        assert_null(expected);
        return;
    }
    peer_print(&peer, out);
    if (!expected || strcmp(out, expected) != 0)
        fail_msg("%s became %s", text, out);
}

static void addresses_in_the_forms_that_proxies_write(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {" 192.0.2.1\t", "192.0.2.1"},
        {"192.0.2.1:8080", "192.0.2.1"},
        {"2001:DB8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"", NULL},
        {"unknown", NULL},
        {"192.0.2", NULL},
        {"192.0.2.1:", NULL},
        {"192.0.2.1:x", NULL},
        {"192.0.2.1 192.0.2.2", NULL},
        {"[2001:db8::1", NULL},
        {"[2001:db8::1]x", NULL},
        {"[2001:db8::1]:123456", NULL},
        {"2001:db8::1%eth0", NULL},
        {"_hidden", NULL},
        {"\"[2001:db8::1]\"", NULL},
        {"111111111111111111111111111111111111111111111111111111111111111111111111", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_peer(rows[i][0], rows[i][1]);
}

static struct peer peer_of(const char *text) {
    struct peer peer;
    assert_int_equal(peer_parse(text, strlen(text), &peer), 0);
    return peer;
}

static bool same_group(const char *a, const char *b) {
    struct peer one = peer_of(a), two = peer_of(b), first = peer_group(&one), second = peer_group(&two);
    return !memcmp(&first, &second, sizeof first);
}

static void one_customer_is_one(void **state) {
    (void)state;
    assert_true(same_group("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_false(same_group("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert_false(same_group("192.0.2.1", "192.0.2.2"));
    assert_true(same_group("192.0.2.1", "::ffff:192.0.2.1"));
}

static bool holds(const char *network, const char *address) {
    struct peer_network parsed;
    struct peer peer = peer_of(address);
    assert_int_equal(peer_parse_network(network, &parsed), 0);
    return peer_is_in(&peer, &parsed, 1);
}

static void networks(void **state) {
    (void)state;
    struct peer_network out;
    assert_true(holds("10.0.0.0/8", "10.255.1.2"));
    assert_false(holds("10.0.0.0/8", "11.0.0.0"));
    assert_true(holds("192.0.2.128/25", "192.0.2.200"));
    assert_false(holds("192.0.2.128/25", "192.0.2.127"));
    assert_true(holds("192.0.2.1", "192.0.2.1"));
    assert_false(holds("192.0.2.1", "192.0.2.0"));
    assert_true(holds("0.0.0.0/0", "203.0.113.9"));
    assert_false(holds("0.0.0.0/0", "2001:db8::1"));
    assert_true(holds("2001:db8::/32", "2001:db8:ffff::1"));
    assert_false(holds("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(holds("::/0", "2001:db8::1"));
    static const char *const wrong[] = {
        "10.0.0.1/8", "10.0.0.0/33", "2001:db8::/129", "10.0.0.0/", "10.0.0.0/-1", "proxy", "", "/8", "::1:80/64"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(peer_parse_network(wrong[i], &out), -EINVAL);
}

struct row {
    const char *direct, *values[3], *expected; /* expected NULL: nobody knows */
};

static void the_rightmost_address_that_no_proxy_has_counts(void **state) {
    (void)state;
    static const char *const trusted_texts[] = {"127.0.0.1", "10.0.0.0/8"};
    struct peer_network trusted[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(peer_parse_network(trusted_texts[i], &trusted[i]), 0);
    static const struct row rows[] = {
        {"203.0.113.5", {NULL}, "203.0.113.5"},
        {"203.0.113.5", {"198.51.100.1"}, "203.0.113.5"}, /* whoever asks directly may write what he likes */
        {"203.0.113.5", {"127.0.0.1"}, "203.0.113.5"},
        {"127.0.0.1", {"198.51.100.1"}, "198.51.100.1"},
        {"127.0.0.1", {"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
        {"127.0.0.1", {"garbage, 198.51.100.1"}, "198.51.100.1"},
        {"127.0.0.1", {"1.1.1.1, 198.51.100.1, 10.1.2.3"}, "198.51.100.1"},
        {"127.0.0.1", {"1.1.1.1", "198.51.100.1", "10.1.2.3, 10.9.9.9"}, "198.51.100.1"},
        {"127.0.0.1", {"1.1.1.1,10.0.0.1"}, "1.1.1.1"},
        {"127.0.0.1", {"10.0.0.2, 10.0.0.1"}, "10.0.0.2"}, /* who asks is in the proxies' own network */
        {"127.0.0.1", {"2001:db8::7"}, "2001:db8::7"},
        {"127.0.0.1", {NULL}, NULL},
        {"127.0.0.1", {""}, NULL},
        {"127.0.0.1", {"198.51.100.1, "}, NULL},
        {"127.0.0.1", {"198.51.100.1, unknown"}, NULL},
        {"127.0.0.1", {"198.51.100.1, unknown, 10.0.0.1"}, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer direct = peer_of(rows[i].direct), out;
        size_t count = 0;
        char text[64] = "";
        while (count < 3 && rows[i].values[count])
            count++;
        bool known = peer_behind(&direct, rows[i].values, count, trusted, 2, &out);
        peer_print(&out, text);
        if (known != (rows[i].expected != NULL) || (known && strcmp(text, rows[i].expected) != 0))
            fail_msg("row %zu gave %s", i, known ? text : "nobody");
        if (!known)
            assert_string_equal(text, rows[i].direct);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_in_the_forms_that_proxies_write),
        cmocka_unit_test(one_customer_is_one),
        cmocka_unit_test(networks),
        cmocka_unit_test(the_rightmost_address_that_no_proxy_has_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
