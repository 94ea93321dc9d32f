/* One HTTP request to a store: both ways, cut, stalled, cancelled, in parallel. */
#include "s3/transfer.h"

#include "base/clock.h"
#include "patience.h"
#include "script_server.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
    struct script_server *server;
    struct transfer *transfer;
    char url[4500];
};

static void start(struct rig *rig, script_answer *answer, void *context, const char *path) {
    rig->server = script_server_start(answer, context);
    assert_int_equal(transfer_create(&rig->transfer, &(struct transfer_options){.connections = 8}), 0);
    snprintf(rig->url, sizeof rig->url, "%s%s", script_server_url(rig->server), path);
}

static void stop(struct rig *rig) {
    transfer_destroy(rig->transfer);
    script_server_stop(rig->server);
}

static int counting_write(void *context, const void *data, size_t size) {
    (void)data;
    *(uint64_t *)context += size;
    return 0;
}

static int read_pattern(void *context, uint64_t offset, void *data, size_t size) {
    (void)context;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)data)[i] = (unsigned char)((offset + i) * 7);
    return 0;
}

/* Answers with the request itself, so that what went out can be looked at. */
static bool echo(void *context, const struct script_request *request) {
    char body[16384];
    (void)context;
    snprintf(body, sizeof body, "%s %s\n%sbody %zu\n", request->method, request->target, request->headers,
             request->body_size);
    return script_reply(request->fd, 200, "ETag: \"abc\"\r\nX-Amz-Version-Id: v1\r\nx-OTHER:  two words \r\n", body);
}

static void test_get(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    struct transfer_header header = {"X-Amz-Test", "a b"}, position = {0};
    size_t at = 0, headers = 0;
    (void)state;
    start(&rig, echo, NULL, "/b//a/../c%2F%20d?x=1&X-Amz-Signature=s");
    struct transfer_request request = {.method = "GET", .url = rig.url, .headers = &header, .header_count = 1};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), 0);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "GET /b//a/../c%2F%20d?x=1&X-Amz-Signature=s\n"));
    assert_non_null(strstr(answer.body, "X-Amz-Test: a b\r\n"));
    assert_null(strcasestr(answer.body, "expect:"));
    assert_null(strcasestr(answer.body, "accept:"));
    assert_null(strcasestr(answer.body, "content-length:"));
    assert_non_null(strstr(answer.body, "User-Agent: pail/"));
    assert_string_equal(answer.etag, "abc");
    assert_string_equal(answer.version, "v1");
    assert_true(llabs(answer.date_s - clock_realtime_s()) < 5);
    assert_int_equal(answer.length, answer.body_size);
    assert_string_equal(transfer_answer_header(&answer, "x-other"), "two words");
    assert_null(transfer_answer_header(&answer, "x-none"));
    while (transfer_answer_next(&answer, &at, &position))
        headers++;
    assert_int_equal(headers, 5);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static void put(struct rig *rig, const char *method, uint64_t size, struct transfer_answer *answer) {
    struct store_source source = {read_pattern, NULL, size};
    struct transfer_header length = {"Content-Length", "12345"}; /* skipped: it is made from the body */
    struct transfer_request request = {
        .method = method, .url = rig->url, .headers = &length, .header_count = 1, .body = &source};
    assert_int_equal(transfer_perform(rig->transfer, &request, answer, NULL), 0);
    assert_int_equal(answer->status, 200);
}

static void test_put(void **state) {
    static const uint64_t sizes[] = {0, 1, 100000, (1 << 20) + 1};
    struct rig rig;
    struct transfer_answer answer;
    char line[64];
    (void)state;
    start(&rig, echo, NULL, "/k");
    for (size_t i = 0; i < 4; i++) {
        put(&rig, i % 2 ? "POST" : "PUT", sizes[i], &answer);
        snprintf(line, sizeof line, "\nbody %zu\n", (size_t)sizes[i]);
        assert_non_null(strstr(answer.body, line));
        snprintf(line, sizeof line, "Content-Length: %zu\r\n", (size_t)sizes[i]);
        assert_non_null(strstr(answer.body, line));
        assert_null(strcasestr(answer.body, "transfer-encoding"));
        assert_null(strcasestr(answer.body, "content-type"));
        assert_int_equal(strcasestr(answer.body, "expect: 100-continue") != NULL, sizes[i] > 1 << 20);
        transfer_answer_finish(&answer);
    }
    stop(&rig);
}

static void test_without_body(void **state) {
    static const char *const methods[] = {"DELETE", "POST", "PUT", "HEAD"};
    struct rig rig;
    (void)state;
    start(&rig, echo, NULL, "/k");
    for (size_t i = 0; i < 4; i++) {
        struct transfer_answer answer;
        struct transfer_request request = {.method = methods[i], .url = rig.url};
        assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), 0);
        assert_int_equal(answer.status, 200);
        if (i < 3)
            assert_int_equal(strncmp(answer.body, methods[i], strlen(methods[i])), 0);
        else
            assert_true(!answer.body_size && answer.length > 0);
        transfer_answer_finish(&answer);
    }
    assert_int_equal(script_server_connections(rig.server), 1); /* kept warm */
    stop(&rig);
}

static bool refuse(void *context, const struct script_request *request) {
    (void)context;
    char body[100001];
    memset(body, 'e', sizeof body - 1);
    body[sizeof body - 1] = 0;
    return script_reply(request->fd, 503, "Retry-After: 7\r\n", body);
}

static void test_error_body_is_bounded(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    uint64_t sunk = 0;
    struct store_sink sink = {counting_write, &sunk};
    (void)state;
    start(&rig, refuse, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url, .sink = &sink};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), 0);
    assert_int_equal(answer.status, 503);
    assert_int_equal(sunk, 0);
    assert_int_equal(answer.body_size, 65536);
    assert_string_equal(transfer_answer_header(&answer, "retry-after"), "7");
    transfer_answer_finish(&answer);
    stop(&rig);
}

static void test_max_body(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    (void)state;
    start(&rig, echo, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url, .max_body = 10};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), PAIL_DAMAGED);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static bool cut(void *context, const struct script_request *request) {
    (void)context;
    script_printf(request->fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
    return false;
}

static void test_cut(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    struct fault fault = {""};
    uint64_t sunk = 0;
    struct store_sink sink = {counting_write, &sunk};
    (void)state;
    start(&rig, cut, NULL, "/secret?X-Amz-Signature=s3cr3t");
    struct transfer_request request = {.method = "GET", .url = rig.url, .sink = &sink};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, &fault), PAIL_OFFLINE);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.sunk, 9);
    assert_int_equal(sunk, 9);
    assert_non_null(strstr(fault.text, "cut short"));
    assert_null(strstr(fault.text, "s3cr3t"));
    transfer_answer_finish(&answer);
    stop(&rig);
}

static bool babble(void *context, const struct script_request *request) {
    (void)context;
    return script_send(request->fd, "not HTTP at all\r\n\r\n", 19);
}

static void test_not_http(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    (void)state;
    start(&rig, babble, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url, .stall_ms = 500};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), PAIL_OFFLINE);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static bool redirect(void *context, const struct script_request *request) {
    (void)context;
    return script_reply(request->fd, 307, "Location: /elsewhere\r\nSet-Cookie: a=b\r\n", "");
}

static void test_no_redirect(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    (void)state;
    start(&rig, redirect, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), 0);
    assert_int_equal(answer.status, 307);
    assert_int_equal(script_server_requests(rig.server), 1);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static bool hang(void *context, const struct script_request *request) {
    struct pollfd left = {.fd = request->fd, .events = POLLRDHUP};
    (void)context;
    script_printf(request->fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome");
    poll(&left, 1, 2 * PATIENCE_MS);
    return false;
}

static void test_stall(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    (void)state;
    start(&rig, hang, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url, .stall_ms = 300};
    int64_t began = clock_monotonic_ms();
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), PAIL_OFFLINE);
    int64_t took = clock_monotonic_ms() - began;
    assert_true(took >= 300 && took < SOON_MS);
    assert_true(answer.still_ms >= 300);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static bool trickle(void *context, const struct script_request *request) {
    (void)context;
    script_printf(request->fd, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
    for (int i = 0; i < 8; i++) {
        clock_sleep_ms(400);
        script_send(request->fd, "x", 1);
    }
    return true;
}

/* Slow is not stalled. */
static void test_trickle(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    (void)state;
    start(&rig, trickle, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url, .stall_ms = 2500};
    int64_t began = clock_monotonic_ms();
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), 0);
    assert_true(clock_monotonic_ms() - began > 2500);
    assert_int_equal(answer.body_size, 8);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static void *set_later(void *context) {
    usleep(200000);
    *(_Atomic bool *)context = true;
    return NULL;
}

static void test_cancel(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    _Atomic bool cancelled = false;
    pthread_t thread;
    (void)state;
    start(&rig, hang, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url, .cancelled = &cancelled};
    pthread_create(&thread, NULL, set_later, &cancelled);
    int64_t began = clock_monotonic_ms();
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), PAIL_CANCELLED);
    assert_true(clock_monotonic_ms() - began < SOON_MS);
    pthread_join(thread, NULL);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static void test_refused_connection(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    struct fault fault = {""};
    (void)state;
    start(&rig, echo, NULL, "/k");
    script_server_stop(rig.server);
    struct transfer_request request = {.method = "GET", .url = rig.url};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, &fault), PAIL_OFFLINE);
    assert_int_equal(answer.status, 0);
    assert_non_null(strstr(fault.text, "127.0.0.1"));
    transfer_answer_finish(&answer);
    transfer_destroy(rig.transfer);
}

static void test_bad_requests(void **state) {
    static const char *const urls[] = {"ftp://127.0.0.1/x", "file:///etc/passwd", "http://", ""};
    struct transfer *transfer;
    struct transfer_answer answer;
    (void)state;
    assert_int_equal(transfer_create(&transfer, &(struct transfer_options){.connections = 1}), 0);
    for (size_t i = 0; i < 4; i++) {
        struct transfer_request request = {.method = "GET", .url = urls[i]};
        assert_int_equal(transfer_perform(transfer, &request, &answer, NULL), -EINVAL);
        transfer_answer_finish(&answer);
    }
    struct transfer_header split = {"x-a", "1\r\nx-amz-acl: public-read"};
    struct transfer_request request = {
        .method = "GET", .url = "http://127.0.0.1:1/", .headers = &split, .header_count = 1};
    assert_int_equal(transfer_perform(transfer, &request, &answer, NULL), -EINVAL);
    transfer_answer_finish(&answer);
    transfer_destroy(transfer);
}

static int fail_read(void *context, uint64_t offset, void *data, size_t size) {
    (void)context;
    memset(data, 0, size);
    return offset ? -EIO : 0;
}

static void test_source_fails(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    struct store_source source = {fail_read, NULL, 8 << 20};
    (void)state;
    start(&rig, echo, NULL, "/k");
    struct transfer_request request = {.method = "PUT", .url = rig.url, .body = &source};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), -EIO);
    transfer_answer_finish(&answer);
    stop(&rig);
}

static int begin_with(void *context, const struct transfer_answer *answer) {
    assert_int_equal(answer->status, 200);
    assert_string_equal(answer->etag, "abc");
    return *(int *)context;
}

static void test_begin(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    int result = 0;
    (void)state;
    start(&rig, echo, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url, .begin = begin_with, .begin_context = &result};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), 0);
    transfer_answer_finish(&answer);
    result = PAIL_CONFLICT;
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), PAIL_CONFLICT);
    transfer_answer_finish(&answer);
    stop(&rig);
}

/* A warm connection that the server has closed meanwhile is no error. */
static bool close_after(void *context, const struct script_request *request) {
    (void)context;
    script_reply(request->fd, 200, "", "x");
    return false;
}

static void test_closed_connection(void **state) {
    struct rig rig;
    (void)state;
    start(&rig, close_after, NULL, "/k");
    for (unsigned i = 0; i < 5; i++) {
        struct transfer_answer answer;
        WAIT_UNTIL(script_server_closed(rig.server) >= i);
        put(&rig, "PUT", 1000, &answer);
        transfer_answer_finish(&answer);
    }
    assert_int_equal(script_server_connections(rig.server), 5);
    stop(&rig);
}

struct job {
    struct rig *rig;
    int result;
    _Atomic unsigned *most, *now;
    const _Atomic bool *cancelled;
};

static bool slow_echo(void *context, const struct script_request *request) {
    _Atomic unsigned *counters = context; /* at once now, the most so far */
    unsigned now = ++counters[0], most = counters[1];
    while (now > most && !atomic_compare_exchange_weak(&counters[1], &most, now))
        ;
    usleep(20000);
    counters[0]--;
    return script_reply(request->fd, 200, "", "x");
}

static void *perform_some(void *context) {
    struct job *job = context;
    for (int i = 0; i < 4 && !job->result; i++) {
        struct transfer_answer answer;
        struct transfer_request request = {.method = "GET", .url = job->rig->url, .cancelled = job->cancelled};
        job->result = transfer_perform(job->rig->transfer, &request, &answer, NULL);
        transfer_answer_finish(&answer);
    }
    return NULL;
}

/* More threads than connections: all get their turn, and no more connections are made than allowed. */
static void test_parallel(void **state) {
    enum { THREADS = 32 };
    struct rig rig;
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    _Atomic unsigned counters[2] = {0};
    (void)state;
    start(&rig, slow_echo, counters, "/k");
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.rig = &rig};
        assert_int_equal(pthread_create(&threads[i], NULL, perform_some, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].result, 0);
    }
    assert_true(counters[1] >= 4 && counters[1] <= 8);
    assert_true(script_server_connections(rig.server) <= 8);
    assert_int_equal(script_server_requests(rig.server), 4 * THREADS);
    stop(&rig);
}

/* Waiting for a connection can be cancelled, and ends when nothing moves. */
static void test_no_room(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    _Atomic bool over = false;
    pthread_t threads[8];
    struct job jobs[8];
    (void)state;
    start(&rig, hang, NULL, "/k");
    for (int i = 0; i < 8; i++) {
        jobs[i] = (struct job){.rig = &rig, .cancelled = &over};
        pthread_create(&threads[i], NULL, perform_some, &jobs[i]);
    }
    WAIT_UNTIL(script_server_requests(rig.server) == 8);
    struct transfer_request request = {.method = "GET", .url = rig.url, .stall_ms = 400};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), PAIL_OFFLINE);
    assert_true(answer.still_ms >= 400);
    over = true;
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].result, PAIL_CANCELLED);
    }
    stop(&rig);
}

/* The environment's proxy is not asked for loopback. */
static void test_no_proxy_for_loopback(void **state) {
    struct rig rig;
    struct transfer_answer answer;
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    start(&rig, echo, NULL, "/k");
    struct transfer_request request = {.method = "GET", .url = rig.url};
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), 0);
    transfer_answer_finish(&answer);
    request.url = "http://store.invalid/k";
    assert_int_equal(transfer_perform(rig.transfer, &request, &answer, NULL), PAIL_OFFLINE);
    transfer_answer_finish(&answer);
    unsetenv("http_proxy");
    stop(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_without_body),
        cmocka_unit_test(test_error_body_is_bounded),
        cmocka_unit_test(test_max_body),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_not_http),
        cmocka_unit_test(test_no_redirect),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_trickle),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_refused_connection),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_source_fails),
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_closed_connection),
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_no_proxy_for_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
