/* Tests of s3/server/http: bodies in and out, refusals, limits, slices, an orderly end. */
#include "s3/server/http.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "patience.h"
#include "raw_client.h"
#include "s3/server/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define LIMIT 1000u
#define LARGE (32u << 20) /* more than the kernel takes for a client that does not read */

struct scene {
    struct http_server *server;
    uint16_t port;
    atomic_uint begun, ended, slices;
    atomic_ullong streamed;
    atomic_bool hold; /* requests to /slow wait while this is set */
};

static void answer_text(struct http_request *request, int status, const char *text) {
    http_answer(request, &(struct http_answer){.status = status, .bytes = strdup(text), .size = strlen(text)});
}

static int sink(void *context, struct http_request *request, const void *data, size_t size) {
    struct scene *scene = context;
    (void)data;
    atomic_fetch_add(&scene->streamed, size);
    return text_equal(request->raw_path, "/full") && request->body_seen > 100000 ? -ENOSPC : 0;
}

static void begin(void *context, struct http_request *request) {
    struct scene *scene = context;
    atomic_fetch_add(&scene->begun, 1);
    request->own = strdup(request->raw_path);
    if (text_starts(request->raw_path, "/early"))
        answer_text(request, 403, "early");
    else if (text_equal(request->raw_path, "/stream") || text_equal(request->raw_path, "/full"))
        http_stream(request, sink);
    else if (text_starts(request->raw_path, "/collect"))
        http_collect(request, LIMIT);
    if (text_starts(request->raw_path, "/here") || text_starts(request->raw_path, "/moved"))
        http_here(request);
}

static void answer_file(struct http_request *request) {
    char path[] = "/tmp/pail-http-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    AUTO_FREE char *bytes = malloc(1 << 20);
    memset(bytes, 'x', 1 << 20);
    memcpy(bytes + 1000, "here", 4);
    assert_int_equal(file_write_all(fd, bytes, 1 << 20), 0);
    struct http_header type = {"Content-Type", "application/octet-stream"};
    http_answer(request, &(struct http_answer){.status = 206,
                                               .headers = &type,
                                               .header_count = 1,
                                               .kind = HTTP_FILE,
                                               .fd = fd,
                                               .offset = 1000,
                                               .size = 500000});
}

static ssize_t read_counting(void *context, uint64_t offset, char *out, size_t max) {
    (void)context;
    size_t size = max < 7777 ? max : 7777;
    for (size_t i = 0; i < size; i++)
        out[i] = (char)('a' + (offset + i) % 26);
    return (ssize_t)size;
}

static void release_flag(void *context) {
    atomic_store((atomic_bool *)context, true);
}

static atomic_bool released;

struct slicing {
    struct scene *scene;
    struct http_request *request;
    int left;
};

static void slice(void *context) {
    struct slicing *slicing = context;
    atomic_fetch_add(&slicing->scene->slices, 1);
    if (--slicing->left && !http_again(slicing->request, slice, slicing))
        return;
    answer_text(slicing->request, 200, "sliced");
    free(slicing);
}

static void show_request(struct http_request *request) {
    AUTO_BUFFER struct buffer text = {0};
    buffer_append_format(&text, "%s %s ? %s from %s\n", request->method, request->raw_path, request->raw_query,
                         request->peer);
    for (size_t i = 0; i < request->header_count; i++)
        buffer_append_format(&text, "%s=%s\n", request->headers[i].name, request->headers[i].value);
    answer_text(request, 200, text.data);
}

static void complete(void *context, struct http_request *request) {
    struct scene *scene = context;
    const char *path = request->raw_path;
    char text[64];
    if (request->body_error) {
        answer_text(request, request->body_error == -EFBIG ? 413 : 507, "refused");
    } else if (text_equal(path, "/moved")) {
        if (!http_elsewhere(request))
            answer_text(request, 200, "moved");
    } else if (text_equal(path, "/stream")) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)request->body_seen);
        answer_text(request, 200, text);
    } else if (text_starts(path, "/collect")) {
        answer_text(request, 200, request->body);
    } else if (text_equal(path, "/file")) {
        answer_file(request);
    } else if (text_equal(path, "/reader")) {
        http_answer(request, &(struct http_answer){.status = 200,
                                                   .kind = HTTP_READER,
                                                   .size = 100000,
                                                   .read = read_counting,
                                                   .release = release_flag,
                                                   .context = &released});
    } else if (text_equal(path, "/large")) {
        http_answer(request,
                    &(struct http_answer){.status = 200, .kind = HTTP_READER, .size = LARGE, .read = read_counting});
    } else if (text_equal(path, "/sized")) {
        http_answer(request, &(struct http_answer){.status = 200, .size = 12345678});
    } else if (text_equal(path, "/none")) {
        http_answer(request, &(struct http_answer){.status = 204});
    } else if (text_equal(path, "/same")) {
        http_answer(request, &(struct http_answer){.status = 304});
    } else if (text_equal(path, "/sliced")) {
        struct slicing *slicing = malloc(sizeof *slicing);
        *slicing = (struct slicing){scene, request, 5};
        slice(slicing);
    } else if (text_equal(path, "/slow")) {
        while (atomic_load(&scene->hold))
            clock_sleep_ms(5);
        answer_text(request, 200, "slow");
    } else if (text_equal(path, "/id")) {
        answer_text(request, 200, request->id);
    } else if (text_equal(path, "/bad-header")) {
        struct http_header bad = {"X-A", "b\r\nX-C: d"};
        http_answer(request, &(struct http_answer){.status = 200, .headers = &bad, .header_count = 1});
    } else {
        show_request(request);
    }
}

static void end(void *context, struct http_request *request) {
    struct scene *scene = context;
    free(request->own);
    atomic_fetch_add(&scene->ended, 1);
}

static struct http_options options_of(struct scene *scene) {
    return (struct http_options){.worker_threads = 4, .handler = {begin, complete, end, scene}};
}

static void start(struct scene *scene, const struct http_options *options) {
    struct fault fault = {0};
    if (http_server_create(&scene->server, options, &fault))
        fail_msg("%s", fault.text);
    scene->port = http_server_port(scene->server);
}

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    struct http_options options = options_of(scene);
    start(scene, &options);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    http_server_destroy(scene->server);
    bool all_ended = atomic_load(&scene->begun) == atomic_load(&scene->ended);
    free(scene);
    return all_ended ? 0 : -1;
}

static void a_request_is_shown_as_it_came(void **state) {
    struct scene *scene = *state;
    AUTO_BUFFER struct buffer body = {0};
    int status =
        raw_ask(scene->port,
                "GET /a%2Fb//..%00+c?x=%20&y&X-Amz=+ HTTP/1.1\r\nHost: H\r\nX-Mixed-Case: One\r\nx-twice: 1\r\n"
                "X-Twice: 2\r\n\r\n",
                NULL, &body);
    assert_int_equal(status, 200);
    assert_non_null(strstr(body.data, "GET /a%2Fb//..%00+c ? x=%20&y&X-Amz=+ from 127.0.0.1\n"));
    assert_non_null(strstr(body.data, "host=H\nx-mixed-case=One\nx-twice=1\nx-twice=2\n"));
}

static void bodies_are_collected_up_to_the_limit(void **state) {
    struct scene *scene = *state;
    AUTO_BUFFER struct buffer body = {0};
    assert_int_equal(
        raw_ask(scene->port, "POST /collect HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\n\r\nhello", NULL, &body), 200);
    assert_string_equal(body.data, "hello");
    buffer_clear(&body);
    assert_int_equal(
        raw_ask(
            scene->port,
            "POST /collect HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            NULL, &body),
        200);
    assert_string_equal(body.data, "abcde");
    assert_int_equal(raw_ask(scene->port, "POST /collect HTTP/1.1\r\nHost: H\r\nContent-Length: 0\r\n\r\n", NULL, NULL),
                     200);
}

/* A little too much is read, so that the connection can go on; a lot is refused at once. */
static void larger_bodies_are_refused(void **state) {
    struct scene *scene = *state;
    char filler[2001];
    memset(filler, 'x', 2000);
    filler[2000] = '\0';
    int fd = raw_connect(scene->port);
    raw_send(fd, "POST /collect HTTP/1.1\r\nHost: H\r\nContent-Length: 2000\r\n\r\n");
    raw_send(fd, filler);
    assert_int_equal(raw_receive(fd, false, NULL, NULL), 413);
    raw_send(fd, "GET /none HTTP/1.1\r\nHost: H\r\n\r\n");
    assert_int_equal(raw_receive(fd, false, NULL, NULL), 204);
    raw_send(fd, "POST /collect HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n");
    raw_send(fd, filler);
    raw_send(fd, "\r\n0\r\n\r\n");
    assert_int_equal(raw_receive(fd, false, NULL, NULL), 413);
    close(fd);
    fd = raw_connect(scene->port);
    raw_send(fd, "POST /collect HTTP/1.1\r\nHost: H\r\nContent-Length: 99999999999\r\n\r\n");
    assert_int_equal(raw_receive(fd, false, NULL, NULL), 413);
    assert_true(raw_is_closed(fd, SOON_MS));
    close(fd);
}

static void an_endless_chunked_body_is_cut_off(void **state) {
    struct scene *scene = *state;
    int fd = raw_connect(scene->port);
    raw_send(fd, "POST /collect HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n");
    AUTO_FREE char *chunk = malloc(65536 + 9);
    memcpy(chunk, "10000\r\n", 7);
    memset(chunk + 7, 'x', 65536);
    memcpy(chunk + 7 + 65536, "\r\n", 2);
    bool open = true;
    for (int i = 0; i < 1000 && open; i++)
        open = raw_send_bytes(fd, chunk, 65536 + 9);
    assert_false(open);
    close(fd);
}

static void large_bodies_stream(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *piece = calloc(1, 1 << 20);
    AUTO_BUFFER struct buffer body = {0};
    int fd = raw_connect(scene->port);
    raw_send(fd, "PUT /stream HTTP/1.1\r\nHost: H\r\nContent-Length: 67108864\r\nExpect: 100-continue\r\n\r\n");
    for (int i = 0; i < 64; i++)
        assert_true(raw_send_bytes(fd, piece, 1 << 20));
    assert_int_equal(raw_receive(fd, false, NULL, &body), 200);
    assert_string_equal(body.data, "67108864");
    assert_true(atomic_load(&scene->streamed) == 67108864);
    close(fd);
}

static void a_failing_sink_is_told_at_the_end(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *piece = calloc(1, 1 << 20);
    int fd = raw_connect(scene->port);
    raw_send(fd, "PUT /full HTTP/1.1\r\nHost: H\r\nContent-Length: 8388608\r\n\r\n");
    for (int i = 0; i < 8; i++)
        assert_true(raw_send_bytes(fd, piece, 1 << 20));
    assert_int_equal(raw_receive(fd, false, NULL, NULL), 507);
    assert_true(atomic_load(&scene->streamed) < 1 << 20);
    close(fd);
}

static void early_answers(void **state) {
    struct scene *scene = *state;
    int fd = raw_connect(scene->port);
    raw_send(fd, "POST /early HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\n\r\nhello");
    assert_int_equal(raw_receive(fd, false, NULL, NULL), 403);
    raw_send(fd, "GET /early HTTP/1.1\r\nHost: H\r\n\r\n"); /* on the same connection */
    assert_int_equal(raw_receive(fd, false, NULL, NULL), 403);
    AUTO_BUFFER struct buffer head = {0};
    raw_send(fd, "POST /early HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(raw_receive(fd, false, &head, NULL),
                     403); /* and no 100 before it: raw_receive would wait for more */
    assert_true(raw_is_closed(fd, SOON_MS));
    close(fd);
}

static void files_readers_and_heads(void **state) {
    struct scene *scene = *state;
    AUTO_BUFFER struct buffer body = {0}, head = {0};
    assert_int_equal(raw_ask(scene->port, "GET /file HTTP/1.1\r\nHost: H\r\n\r\n", NULL, &body), 206);
    assert_int_equal(body.size, 500000);
    assert_memory_equal(body.data, "herex", 5);
    buffer_clear(&body);
    atomic_store(&released, false);
    assert_int_equal(raw_ask(scene->port, "GET /reader HTTP/1.1\r\nHost: H\r\n\r\n", NULL, &body), 200);
    assert_int_equal(body.size, 100000);
    for (size_t i = 0; i < body.size; i++)
        assert_int_equal(body.data[i], 'a' + i % 26);
    WAIT_UNTIL(atomic_load(&released));
    assert_true(atomic_load(&released));
    assert_int_equal(raw_ask(scene->port, "HEAD /sized HTTP/1.1\r\nHost: H\r\n\r\n", &head, NULL), 200);
    assert_non_null(strcasestr(head.data, "content-length: 12345678"));
    buffer_clear(&head);
    assert_int_equal(raw_ask(scene->port, "HEAD /file HTTP/1.1\r\nHost: H\r\n\r\n", &head, NULL), 206);
    assert_non_null(strcasestr(head.data, "content-length: 500000"));
    assert_non_null(strcasestr(head.data, "content-type: application/octet-stream"));
    assert_int_equal(raw_ask(scene->port, "GET /same HTTP/1.1\r\nHost: H\r\n\r\n", NULL, NULL), 304);
}

static void work_moves_and_comes_in_slices(void **state) {
    struct scene *scene = *state;
    AUTO_BUFFER struct buffer body = {0};
    assert_int_equal(raw_ask(scene->port, "GET /moved HTTP/1.1\r\nHost: H\r\n\r\n", NULL, &body), 200);
    assert_string_equal(body.data, "moved");
    buffer_clear(&body);
    assert_int_equal(raw_ask(scene->port, "GET /sliced HTTP/1.1\r\nHost: H\r\n\r\n", NULL, &body), 200);
    assert_string_equal(body.data, "sliced");
    assert_int_equal(atomic_load(&scene->slices), 5);
    assert_int_equal(raw_ask(scene->port, "GET /here HTTP/1.1\r\nHost: H\r\n\r\n", NULL, NULL), 200);
}

static void a_header_that_cannot_be_sent_is_an_error(void **state) {
    struct scene *scene = *state;
    AUTO_BUFFER struct buffer head = {0};
    assert_int_equal(raw_ask(scene->port, "GET /bad-header HTTP/1.1\r\nHost: H\r\n\r\n", &head, NULL), 500);
    assert_null(strcasestr(head.data, "x-c"));
}

static void malformed_requests_are_refused(void **state) {
    struct scene *scene = *state;
    assert_int_equal(raw_ask(scene->port, "GET / HTTP/1.1\r\n\r\n", NULL, NULL), 400); /* no Host */
    assert_int_equal(raw_ask(scene->port, "GET / HTTP/1.1\r\nHost: H\r\nContent-Length: -1\r\n\r\n", NULL, NULL), 400);
    AUTO_BUFFER struct buffer huge = {0};
    buffer_append_text(&huge, "GET / HTTP/1.1\r\nHost: H\r\nX: ");
    for (int i = 0; i < 70000; i++)
        buffer_append(&huge, "x", 1);
    buffer_append_text(&huge, "\r\n\r\n");
    int status = raw_ask(scene->port, huge.data, NULL, NULL);
    assert_true(status == 431 || status == 0); /* cut off while it was still sending */
}

static void *ask_slow(void *context) {
    struct scene *scene = context;
    AUTO_BUFFER struct buffer body = {0};
    int status = raw_ask(scene->port, "GET /slow HTTP/1.1\r\nHost: H\r\n\r\n", NULL, &body);
    return (void *)(intptr_t)(status == 200 && text_equal(body.data, "slow"));
}

static void *release_soon(void *context) {
    struct scene *scene = context;
    clock_sleep_ms(300);
    atomic_store(&scene->hold, false);
    return NULL;
}

static void more_requests_than_workers_all_get_answers(void **state) {
    struct scene *scene = *state;
    pthread_t threads[32], releaser;
    atomic_store(&scene->hold, true);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_slow, scene), 0);
    clock_sleep_ms(100);
    /* meanwhile the event threads are free */
    assert_int_equal(raw_ask(scene->port, "GET /here HTTP/1.1\r\nHost: H\r\n\r\n", NULL, NULL), 200);
    pthread_create(&releaser, NULL, release_soon, scene);
    for (size_t i = 0; i < 32; i++) {
        void *fine;
        pthread_join(threads[i], &fine);
        assert_non_null(fine);
    }
    pthread_join(releaser, NULL);
}

static void draining_finishes_what_is_under_way(void **state) {
    struct scene *scene = *state;
    pthread_t thread, releaser;
    void *fine;
    int idle = raw_connect(scene->port);
    raw_send(idle, "GET /none HTTP/1.1\r\nHost: H\r\n\r\n");
    assert_int_equal(raw_receive(idle, false, NULL, NULL), 204);
    atomic_store(&scene->hold, true);
    pthread_create(&thread, NULL, ask_slow, scene);
    while (atomic_load(&scene->begun) < 2)
        clock_sleep_ms(5);
    pthread_create(&releaser, NULL, release_soon, scene);
    int64_t began = clock_monotonic_ms();
    http_server_drain(scene->server, 2 * PATIENCE_MS);
    assert_in_range(clock_monotonic_ms() - began, 100, SOON_MS);
    pthread_join(thread, &fine);
    assert_non_null(fine);
    pthread_join(releaser, NULL);
    AUTO_BUFFER struct buffer head = {0};
    raw_send(idle, "GET /none HTTP/1.1\r\nHost: H\r\n\r\n"); /* a new request on an old connection */
    assert_int_equal(raw_receive(idle, false, &head, NULL), 503);
    assert_non_null(strcasestr(head.data, "connection: close"));
    close(idle);
}

static void destroying_waits_for_handlers(void **state) {
    struct scene *scene = *state;
    pthread_t thread, releaser;
    atomic_store(&scene->hold, true);
    pthread_create(&thread, NULL, ask_slow, scene);
    while (atomic_load(&scene->begun) < 1)
        clock_sleep_ms(5);
    pthread_create(&releaser, NULL, release_soon, scene);
    http_server_destroy(scene->server);
    scene->server = NULL;
    assert_false(atomic_load(&scene->hold));
    assert_int_equal(atomic_load(&scene->ended), 1);
    pthread_join(thread, NULL);
    pthread_join(releaser, NULL);
}

static void slow_clients_are_cut_off(void **state) {
    (void)state;
    struct scene scene = {0};
    struct http_options options = options_of(&scene);
    options.request_s = options.idle_s = 1;
    start(&scene, &options);
    int dribbling = raw_connect(scene.port), stuck = raw_connect(scene.port);
    raw_send(stuck, "POST /collect HTTP/1.1\r\nHost: H\r\nContent-Length: 50\r\n\r\n");
    int64_t began = clock_monotonic_ms();
    raw_send(dribbling, "GET /a HTTP/1.1\r\n");
    bool open = true;
    while (open && clock_monotonic_ms() - began < SOON_MS) {
        open = raw_send_bytes(dribbling, "X: y\r\n", 6);
        if (open)
            open = !raw_is_closed(dribbling, 300);
    }
    assert_false(open);
    assert_true(raw_is_closed(stuck, SOON_MS));
    close(dribbling);
    close(stuck);
    http_server_destroy(scene.server);
    assert_int_equal(atomic_load(&scene.begun), atomic_load(&scene.ended));
}

/* Connections of one address. */

static int connect_from(const char *address, uint16_t port) {
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool answers(int fd) {
    raw_send(fd, "GET /none HTTP/1.1\r\nHost: H\r\n\r\n");
    return raw_receive(fd, false, NULL, NULL) == 204;
}

static bool let_in(int *fd, uint16_t port) {
    *fd = connect_from("127.0.0.2", port);
    if (answers(*fd))
        return true;
    close(*fd);
    return false;
}

static void an_address_has_its_number_of_connections(void **state) {
    (void)state;
    struct scene scene = {0};
    struct http_options options = options_of(&scene);
    struct peer_network proxy;
    int fds[8];
    assert_int_equal(peer_parse_network("127.0.0.9", &proxy), 0);
    options.connections_per_address = 3;
    options.unlimited = &proxy;
    options.unlimited_count = 1;
    start(&scene, &options);
    for (int i = 0; i < 3; i++)
        assert_true(answers(fds[i] = connect_from("127.0.0.2", scene.port)));
    fds[3] = connect_from("127.0.0.2", scene.port);
    assert_true(raw_is_closed(fds[3], SOON_MS));
    fds[4] = connect_from("127.0.0.3", scene.port); /* others do not notice */
    assert_true(answers(fds[4]));
    for (int i = 0; i < 3; i++)
        assert_true(answers(fds[i])); /* nor those that are there */
    close(fds[0]);
    WAIT_UNTIL(let_in(&fds[0], scene.port)); /* the server sees only after a moment that one is gone */
    assert_true(answers(fds[0]));
    for (int i = 5; i < 8; i++)
        close(fds[i] = connect_from("127.0.0.2", scene.port));
    int proxied[6];
    for (int i = 0; i < 6; i++)
        assert_true(answers(proxied[i] = connect_from("127.0.0.9", scene.port)));
    for (int i = 0; i < 6; i++)
        close(proxied[i]);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    http_server_destroy(scene.server);
}

/* Eight places: with eight taken, those that do nothing make room for who waits. */
static void idle_connections_make_room_when_places_are_few(void **state) {
    (void)state;
    struct scene scene = {0};
    struct http_options options = options_of(&scene);
    int idle[8];
    options.connections = 8;
    options.event_threads = 1;
    start(&scene, &options);
    for (int i = 0; i < 8; i++)
        assert_true(answers(idle[i] = raw_connect(scene.port)));
    int waiting = raw_connect(scene.port); /* in the backlog */
    struct timeval most = {.tv_sec = 30};
    setsockopt(waiting, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    assert_true(answers(waiting));
    close(waiting);
    for (int i = 0; i < 8; i++)
        close(idle[i]);
    http_server_destroy(scene.server);
}

/* Time for an answer grows with it: a large one that is read steadily is not cut off. */
static void a_large_answer_has_its_time(void **state) {
    (void)state;
    struct scene scene = {0};
    struct http_options options = options_of(&scene);
    options.request_s = 1;
    start(&scene, &options);
    int fd = raw_connect(scene.port);
    raw_send(fd, "GET /large HTTP/1.1\r\nHost: H\r\n\r\n");
    clock_sleep_ms(3500); /* much more than request_s and a look of the reaper */
    AUTO_BUFFER struct buffer body = {0};
    assert_int_equal(raw_receive(fd, false, NULL, &body), 200);
    assert_int_equal(body.size, LARGE);
    close(fd);
    http_server_destroy(scene.server);
}

static void too_many_headers_are_refused(void **state) {
    struct scene *scene = *state;
    AUTO_BUFFER struct buffer text = {0};
    buffer_append_text(&text, "GET /none HTTP/1.1\r\nHost: H\r\n");
    for (int i = 0; i < 5000; i++)
        buffer_append_format(&text, "X-%d: y\r\n", i);
    buffer_append_text(&text, "\r\n");
    int fd = raw_connect(scene->port);
    raw_send_bytes(fd, text.data, text.size);
    int status = raw_receive(fd, false, NULL, NULL);
    assert_true(status == 431 || status == 0);
    close(fd);
    buffer_clear(&text);
    buffer_append_text(&text, "GET /none HTTP/1.1\r\nHost: H\r\nX: ");
    for (int i = 0; i < 5000; i++)
        buffer_append_text(&text, "0123456789");
    buffer_append_text(&text, "\r\n\r\n");
    fd = raw_connect(scene->port);
    raw_send_bytes(fd, text.data, text.size);
    status = raw_receive(fd, false, NULL, NULL);
    assert_true(status == 431 || status == 0);
    close(fd);
    fd = raw_connect(scene->port); /* the server is well */
    assert_true(answers(fd));
    close(fd);
    assert_int_equal(atomic_load(&scene->begun), 1);
}

static void each_request_has_an_id(void **state) {
    struct scene *scene = *state;
    AUTO_BUFFER struct buffer first = {0}, second = {0};
    assert_int_equal(raw_ask(scene->port, "GET /id HTTP/1.1\r\nHost: H\r\n\r\n", NULL, &first), 200);
    assert_int_equal(raw_ask(scene->port, "GET /id HTTP/1.1\r\nHost: H\r\n\r\n", NULL, &second), 200);
    assert_int_equal(strspn(first.data, "0123456789abcdef"), 16);
    assert_string_not_equal(first.data, second.data);
}

/* Some at once with their last bytes, which epoll tells only once: those end with the idle time. */
static void clients_that_vanish_leave_nothing(void **state) {
    (void)state;
    struct scene scene = {0};
    struct http_options options = options_of(&scene);
    options.request_s = options.idle_s = 1;
    start(&scene, &options);
    for (int i = 0; i < 20; i++) {
        int fd = raw_connect(scene.port);
        raw_send(fd, i % 2 ? "PUT /stream HTTP/1.1\r\nHost: H\r\nContent-Length: 1000000\r\n\r\nabc"
                           : "GET /reader HTTP/1.1\r\nHost: H\r\n\r\n");
        if (i % 4 < 2)
            clock_sleep_ms(20);
        close(fd);
    }
    WAIT_UNTIL(atomic_load(&scene.begun) && atomic_load(&scene.begun) == atomic_load(&scene.ended));
    assert_int_equal(atomic_load(&scene.begun), atomic_load(&scene.ended));
    http_server_destroy(scene.server);
}

static void addresses_that_cannot_be_had(void **state) {
    struct scene *scene = *state;
    struct http_server *second = NULL;
    struct http_options options = options_of(scene);
    struct fault fault = {0};
    options.port = scene->port;
    assert_int_equal(http_server_create(&second, &options, &fault), -EADDRINUSE);
    assert_non_null(strstr(fault.text, "127.0.0.1"));
    options.address = "no.such.name";
    assert_int_equal(http_server_create(&second, &options, &fault), -EINVAL);
    options = options_of(scene);
    options.tls_certificate = "no certificate";
    options.tls_key = "no key";
    assert_int_equal(http_server_create(&second, &options, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "TLS"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_shown_as_it_came),
        TEST(bodies_are_collected_up_to_the_limit),
        TEST(larger_bodies_are_refused),
        TEST(an_endless_chunked_body_is_cut_off),
        TEST(large_bodies_stream),
        TEST(a_failing_sink_is_told_at_the_end),
        TEST(early_answers),
        TEST(files_readers_and_heads),
        TEST(work_moves_and_comes_in_slices),
        TEST(a_header_that_cannot_be_sent_is_an_error),
        TEST(malformed_requests_are_refused),
        TEST(more_requests_than_workers_all_get_answers),
        TEST(draining_finishes_what_is_under_way),
        TEST(destroying_waits_for_handlers),
        TEST(too_many_headers_are_refused),
        TEST(each_request_has_an_id),
        cmocka_unit_test(an_address_has_its_number_of_connections),
        cmocka_unit_test(idle_connections_make_room_when_places_are_few),
        cmocka_unit_test(a_large_answer_has_its_time),
        cmocka_unit_test(slow_clients_are_cut_off),
        cmocka_unit_test(clients_that_vanish_leave_nothing),
        TEST(addresses_that_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
