/* A tiny HTTP server on loopback that answers as a test says. */
#include "http_stub.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_THREADS = 512, MAX_REQUEST = 64 << 10 };

struct http_stub {
    int fd;
    char url[40];
    http_stub_answer *answer;
    void *context;
    _Atomic bool stopping;
    pthread_t acceptor, threads[MAX_THREADS];
    size_t count; /* the acceptor's */
    bool running;
};

struct connection {
    struct http_stub *stub;
    int fd;
};

static int listen_somewhere(unsigned short *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        abort();
    *port = ntohs(address.sin_port);
    return fd;
}

struct http_stub *http_stub_bind(void) {
    struct http_stub *stub = calloc(1, sizeof *stub);
    if (!stub)
        abort();
    unsigned short port;
    stub->fd = listen_somewhere(&port);
    snprintf(stub->url, sizeof stub->url, "http://127.0.0.1:%u", port);
    return stub;
}

unsigned short http_stub_free_port(void) {
    unsigned short port;
    close(listen_somewhere(&port));
    return port;
}

const char *http_stub_url(const struct http_stub *stub) {
    return stub->url;
}

static size_t body_size(const char *head) {
    const char *found = strcasestr(head, "\r\ncontent-length:");
    return found ? (size_t)strtoul(found + 17, NULL, 10) : 0;
}

/* The whole request in buffer; the size of its head, or 0. */
static size_t read_request(int fd, char *buffer) {
    size_t size = 0, head = 0;
    while (size < MAX_REQUEST - 1) {
        ssize_t n = recv(fd, buffer + size, MAX_REQUEST - 1 - size, 0);
        if (n <= 0)
            return 0;
        size += (size_t)n;
        buffer[size] = 0;
        char *end = strstr(buffer, "\r\n\r\n");
        head = end ? (size_t)(end - buffer) + 4 : 0;
        if (head && size >= head + body_size(buffer))
            return head;
    }
    return 0;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        size -= (size_t)n;
    }
}

static void send_reply(int fd, const struct http_stub_reply *reply) {
    char head[2048];
    size_t size = strlen(reply->body);
    snprintf(head, sizeof head, "HTTP/1.1 %d Stub\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", reply->status,
             reply->promised ? reply->promised : size, reply->headers);
    send_all(fd, head, strlen(head));
    send_all(fd, reply->body, size);
}

static void *serve(void *context) {
    struct connection *connection = context;
    struct http_stub *stub = connection->stub;
    int fd = connection->fd;
    free(connection);
    struct http_stub_reply *reply = calloc(1, sizeof *reply);
    char *buffer = malloc(MAX_REQUEST), method[16], target[2048];
    if (!buffer || !reply)
        abort();
    size_t head = read_request(fd, buffer);
    if (head && sscanf(buffer, "%15s %2047s", method, target) == 2) {
        char *body = strdup(buffer + head);
        buffer[head] = 0;
        struct http_stub_request request = {.method = method, .target = target, .head = buffer, .body = body};
        reply->status = 200;
        stub->answer(stub->context, &request, reply);
        for (int waited = 0; waited < reply->delay_ms && !atomic_load(&stub->stopping); waited += 10)
            clock_sleep_ms(10);
        if (reply->status)
            send_reply(fd, reply);
        free(body);
    }
    close(fd);
    free(buffer);
    free(reply);
    return NULL;
}

static void *accept_all(void *context) {
    struct http_stub *stub = context;
    while (!atomic_load(&stub->stopping)) {
        struct pollfd polled = {.fd = stub->fd, .events = POLLIN};
        if (poll(&polled, 1, 20) <= 0)
            continue;
        struct connection *connection = malloc(sizeof *connection);
        if (!connection || stub->count == MAX_THREADS)
            abort();
        *connection = (struct connection){.stub = stub, .fd = accept4(stub->fd, NULL, NULL, SOCK_CLOEXEC)};
        if (pthread_create(&stub->threads[stub->count++], NULL, serve, connection))
            abort();
    }
    return NULL;
}

void http_stub_run(struct http_stub *stub, http_stub_answer *answer, void *context) {
    stub->answer = answer;
    stub->context = context;
    stub->running = true;
    if (pthread_create(&stub->acceptor, NULL, accept_all, stub))
        abort();
}

void http_stub_stop(struct http_stub *stub) {
    atomic_store(&stub->stopping, true);
    if (stub->running)
        pthread_join(stub->acceptor, NULL);
    for (size_t i = 0; i < stub->count; i++)
        pthread_join(stub->threads[i], NULL);
    close(stub->fd);
    free(stub);
}

bool http_stub_has(const struct http_stub_request *request, const char *name, const char *value) {
    size_t length = strlen(name), size = strlen(value);
    for (const char *line = strstr(request->head, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) != 0 || line[2 + length] != ':')
            continue;
        const char *found = line + 3 + length + strspn(line + 3 + length, " ");
        return !strncmp(found, value, size) && found[size] == '\r';
    }
    return false;
}
