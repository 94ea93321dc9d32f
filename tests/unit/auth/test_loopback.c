/* Tests of auth/loopback.c: the one right answer, and everything that any page or program may send to the port. */
#include "auth/loopback.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "http_stub.h"
#include "patience.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define STATE "the-right-state-of-43-characters-0123456789"

struct fixture {
    struct loopback *loopback;
    struct loopback_answer answer;
    struct fault fault;
    _Atomic bool cancelled;
    int timeout_s, result;
    pthread_t thread;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    unsigned short port = http_stub_free_port();
    f->timeout_s = 20;
    *state = f;
    return loopback_open(&f->loopback, &port, 1, &f->fault);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    loopback_answer_finish(&f->answer);
    loopback_destroy(f->loopback);
    free(f);
    return 0;
}

static void *wait_thread(void *context) {
    struct fixture *f = context;
    f->result = loopback_wait(f->loopback, STATE, f->timeout_s, &f->cancelled, &f->answer, &f->fault);
    if (!f->result)
        loopback_reply(f->loopback, "<p>the page</p>");
    return NULL;
}

static void begin(struct fixture *f) {
    assert_int_equal(pthread_create(&f->thread, NULL, wait_thread, f), 0);
}

static int end(struct fixture *f) {
    pthread_join(f->thread, NULL);
    return f->result;
}

static int dial(const struct fixture *f) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)loopback_port(f->loopback))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void put(int fd, const char *text) {
    send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* All that comes, until the other side closes. The caller frees. */
static char *hear(int fd) {
    char *all = calloc(1, 32768);
    size_t size = 0;
    ssize_t n;
    while ((n = recv(fd, all + size, 32767 - size, 0)) > 0)
        size += (size_t)n;
    close(fd);
    return all;
}

/* Sends raw bytes and returns the status of the answer; 0 without one. */
static int ask_raw(const struct fixture *f, const char *raw) {
    int fd = dial(f);
    put(fd, raw);
    AUTO_FREE char *text = hear(fd);
    int status = 0;
    sscanf(text, "HTTP/1.1 %d", &status);
    return status;
}

static char *ask(const struct fixture *f, const char *target) {
    AUTO_FREE char *raw =
        text_format("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", target, loopback_port(f->loopback));
    int fd = dial(f);
    put(fd, raw);
    return hear(fd);
}

static int status_of(const struct fixture *f, const char *target) {
    AUTO_FREE char *text = ask(f, target);
    int status = 0;
    sscanf(text, "HTTP/1.1 %d", &status);
    return status;
}

static void finish_well(struct fixture *f) {
    AUTO_FREE char *text = ask(f, "/callback?code=right&state=" STATE);
    assert_int_equal(end(f), 0);
    assert_true(text_starts(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "<p>the page</p>"));
    assert_string_equal(f->answer.code, "right");
}

static void the_right_answer_ends_it_and_gets_the_page(void **state) {
    struct fixture *f = *state;
    begin(f);
    AUTO_FREE char *text = ask(f, "/callback?iss=https%3A%2F%2Ft.example%2F&code=a%2Bb+c&state=" STATE);
    assert_int_equal(end(f), 0);
    assert_string_equal(f->answer.code, "a+b c");
    assert_string_equal(f->answer.issuer, "https://t.example/");
    assert_null(f->answer.error);
    static const char *const headers[] = {
        "Cache-Control: no-store\r\n", "Referrer-Policy: no-referrer\r\n", "X-Content-Type-Options: nosniff\r\n",
        "default-src 'none'",          "frame-ancestors 'none'",           "Connection: close\r\n"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        assert_non_null(strstr(text, headers[i]));
    assert_null(strcasestr(text, "Access-Control-Allow"));
    assert_true(text_ends(text, "<p>the page</p>"));
}

static void an_error_is_an_answer_too(void **state) {
    struct fixture *f = *state;
    begin(f);
    free(ask(f, "/callback?error=access_denied&error_description=not+today&state=" STATE));
    assert_int_equal(end(f), 0);
    assert_null(f->answer.code);
    assert_string_equal(f->answer.error, "access_denied");
    assert_string_equal(f->answer.error_more, "not today");
}

static void what_is_not_the_answer_changes_nothing(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *target;
        int status;
    } table[] = {
        {"/", 404},
        {"/favicon.ico", 404},
        {"/callback/", 404},
        {"/callbackx?code=c&state=" STATE, 404},
        {"//callback?code=c&state=" STATE, 404},
        {"/callback", 400},
        {"/callback?", 400},
        {"/callback?code=c", 400},
        {"/callback?code=c&state=", 400},
        {"/callback?code=c&state=wrong", 400},
        {"/callback?code=c&state=the-wrong-state-of-43-characters-0123456789", 400}, /* as long as the right one */
        {"/callback?code=c&state=" STATE "x", 400},
        {"/callback?error=access_denied", 400},
        {"/callback?error=access_denied&state=wrong", 400},
        {"/callback?code=c&state=" STATE "&state=" STATE, 400}, /* twice */
        {"/callback?code=c&code=d&state=" STATE, 400},
        {"/callback?code=c&error=e&state=" STATE, 400},
        {"/callback?code=&state=" STATE, 400},
        {"/callback?code=%zz&state=" STATE, 400},
        {"/callback?code=a%00b&state=" STATE, 400},
        {"/callback?code=%ff&state=" STATE, 400},
        {"/callback?state=" STATE, 400},
        {"/callback?xcode=c&state=" STATE, 400},
        {"http://127.0.0.1/callback?code=c&state=" STATE, 404},
    };
    begin(f);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int status = status_of(f, table[i].target);
        if (status != table[i].status)
            fail_msg("%s: %d", table[i].target, status);
    }
    finish_well(f);
}

static void only_get_with_our_host_is_heard(void **state) {
    struct fixture *f = *state;
    unsigned port = loopback_port(f->loopback);
    static const struct {
        const char *method, *host; /* %u is the port */
        int status;
    } table[] = {
        {"POST", "Host: 127.0.0.1:%u\r\n", 405},
        {"HEAD", "Host: 127.0.0.1:%u\r\n", 405},
        {"OPTIONS", "Host: 127.0.0.1:%u\r\n", 405},
        {"get", "Host: 127.0.0.1:%u\r\n", 405},
        {"GET", "Host: localhost:%u\r\n", 400},
        {"GET", "Host: evil.test:%u\r\n", 400}, /* DNS rebinding */
        {"GET", "Host: 127.0.0.1\r\n", 400},
        {"GET", "Host: 127.0.0.1:%u0\r\n", 400},
        {"GET", "Host: 127.0.0.1:%u, evil.test\r\n", 400},
        {"GET", "Host: 127.0.0.1:%u\r\nHost: 127.0.0.1:1\r\n", 400},
        {"GET", "Host: evil.test\r\nHost: 127.0.0.1:%u\r\n", 400},
        {"GET", "", 400},
        {"GET", "X-Host: 127.0.0.1:%u\r\n", 400},
    };
    begin(f);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char host[128], raw[512];
        snprintf(host, sizeof host, table[i].host, port);
        snprintf(raw, sizeof raw, "%s /callback?code=c&state=" STATE " HTTP/1.1\r\n%s\r\n", table[i].method, host);
        int status = ask_raw(f, raw);
        if (status != table[i].status)
            fail_msg("%s %s: %d", table[i].method, host, status);
    }
    char raw[256];
    snprintf(raw, sizeof raw, "GET /callback?code=c&state=" STATE " HTTP/3\r\nHost: 127.0.0.1:%u\r\n\r\n", port);
    assert_int_equal(ask_raw(f, raw), 400);
    assert_int_equal(ask_raw(f, "\r\n\r\n"), 400);
    assert_int_equal(ask_raw(f, "GET\r\n\r\n"), 400);
    finish_well(f);
}

static void a_request_that_is_too_long_is_turned_away(void **state) {
    struct fixture *f = *state;
    begin(f);
    AUTO_FREE char *raw = malloc(20001);
    memset(raw, 'a', 20000);
    memcpy(raw, "GET /callback?code=", 19);
    raw[20000] = 0;
    assert_int_equal(ask_raw(f, raw), 431);
    finish_well(f);
}

static void a_nul_byte_is_turned_away(void **state) {
    struct fixture *f = *state;
    begin(f);
    int fd = dial(f);
    static const char raw[] = "GET /callback?code=c&state=" STATE "\0 HTTP/1.1\r\n\r\n";
    send(fd, raw, sizeof raw - 1, MSG_NOSIGNAL);
    AUTO_FREE char *text = hear(fd);
    assert_true(text_starts(text, "HTTP/1.1 400"));
    finish_well(f);
}

static void silent_and_slow_clients_do_not_stand_in_the_way(void **state) {
    struct fixture *f = *state;
    begin(f);
    int silent[60]; /* more than there are places */
    for (size_t i = 0; i < 60; i++) {
        silent[i] = dial(f);
        if (i % 2)
            put(silent[i], "GET /callback?co");
    }
    int64_t before = clock_monotonic_ms();
    finish_well(f);
    assert_true(clock_monotonic_ms() - before < 4900); /* a client has five seconds */
    for (size_t i = 0; i < 60; i++)
        close(silent[i]);
}

static void a_client_has_five_seconds(void **state) {
    struct fixture *f = *state;
    begin(f);
    int64_t before = clock_monotonic_ms();
    int fd = dial(f);
    put(fd, "GET /callback");
    AUTO_FREE char *text = hear(fd);
    assert_string_equal(text, "");
    assert_in_range(clock_monotonic_ms() - before, 4500, SOON_MS);
    finish_well(f);
}

static void a_request_may_come_in_pieces(void **state) {
    struct fixture *f = *state;
    begin(f);
    char host[64];
    snprintf(host, sizeof host, "Host: 127.0.0.1:%u\r\n", loopback_port(f->loopback));
    const char *pieces[] = {"GET /callback?code=ri", "ght&state=", STATE, " HTTP/1.1\r\n", host, "\r", "\n"};
    int fd = dial(f);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        put(fd, pieces[i]);
        clock_sleep_ms(15);
    }
    AUTO_FREE char *text = hear(fd);
    assert_int_equal(end(f), 0);
    assert_string_equal(f->answer.code, "right");
    assert_true(text_starts(text, "HTTP/1.1 200"));
}

static void a_browser_that_leaves_early_has_still_answered(void **state) {
    struct fixture *f = *state;
    begin(f);
    AUTO_FREE char *raw = text_format("GET /callback?code=right&state=" STATE " HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                                      loopback_port(f->loopback));
    int fd = dial(f);
    put(fd, raw);
    close(fd);
    assert_int_equal(end(f), 0);
    assert_string_equal(f->answer.code, "right");
}

static void only_the_first_answer_counts(void **state) {
    struct fixture *f = *state;
    begin(f);
    AUTO_FREE char *text = ask(f, "/callback?code=right&state=" STATE);
    assert_int_equal(end(f), 0);
    int fd = dial(f); /* the listener is still there, and nobody reads it any more */
    put(fd, "GET /callback?code=second&state=" STATE " HTTP/1.1\r\n\r\n");
    loopback_reply(f->loopback, "again");
    close(fd);
    assert_string_equal(f->answer.code, "right");
    assert_non_null(strstr(text, "the page"));
}

static void it_ends_when_told_to(void **state) {
    struct fixture *f = *state;
    f->timeout_s = 2 * PATIENCE_MS / 1000;
    begin(f);
    clock_sleep_ms(50);
    int64_t before = clock_monotonic_ms();
    atomic_store(&f->cancelled, true);
    assert_int_equal(end(f), PAIL_CANCELLED);
    assert_true(clock_monotonic_ms() - before < SOON_MS);
}

static void it_ends_when_nobody_comes(void **state) {
    struct fixture *f = *state;
    f->timeout_s = 1;
    begin(f);
    int64_t before = clock_monotonic_ms();
    assert_int_equal(status_of(f, "/callback?code=c&state=wrong"), 400); /* does not prolong it */
    assert_int_equal(end(f), -ETIMEDOUT);
    assert_in_range(clock_monotonic_ms() - before, 800, SOON_MS);
    assert_non_null(strstr(f->fault.text, "1 seconds"));
}

static void the_first_free_port_is_taken(void **state) {
    (void)state;
    struct fault fault = {{0}};
    CLEANUP(loopback_destroy_p) struct loopback *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    unsigned short ports[] = {http_stub_free_port(), http_stub_free_port(), http_stub_free_port()};
    assert_int_equal(loopback_open(&a, ports, 3, &fault), 0);
    assert_int_equal(loopback_open(&b, ports, 3, &fault), 0);
    assert_int_equal(loopback_open(&c, ports, 3, &fault), 0);
    assert_int_equal(loopback_port(a), ports[0]);
    assert_int_equal(loopback_port(c), ports[2]);
    assert_int_equal(loopback_open(&d, ports, 3, &fault), -EADDRINUSE);
    AUTO_FREE char *shown = text_format("%u, %u, %u", ports[0], ports[1], ports[2]);
    assert_non_null(strstr(fault.text, shown));
    AUTO_FREE char *uri = text_format("http://127.0.0.1:%u/callback", ports[0]);
    assert_string_equal(loopback_redirect_uri(a), uri);
}

static void a_port_can_be_taken_again_at_once(void **state) {
    (void)state;
    unsigned short port = http_stub_free_port();
    for (int i = 0; i < 3; i++) {
        struct fixture f = {.timeout_s = 20};
        assert_int_equal(loopback_open(&f.loopback, &port, 1, &f.fault), 0);
        begin(&f);
        finish_well(&f);
        loopback_answer_finish(&f.answer);
        loopback_destroy(f.loopback);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_right_answer_ends_it_and_gets_the_page),
        TEST(an_error_is_an_answer_too),
        TEST(what_is_not_the_answer_changes_nothing),
        TEST(only_get_with_our_host_is_heard),
        TEST(a_request_that_is_too_long_is_turned_away),
        TEST(a_nul_byte_is_turned_away),
        TEST(silent_and_slow_clients_do_not_stand_in_the_way),
        TEST(a_client_has_five_seconds),
        TEST(a_request_may_come_in_pieces),
        TEST(a_browser_that_leaves_early_has_still_answered),
        TEST(only_the_first_answer_counts),
        TEST(it_ends_when_told_to),
        TEST(it_ends_when_nobody_comes),
        cmocka_unit_test(the_first_free_port_is_taken),
        cmocka_unit_test(a_port_can_be_taken_again_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
