/* A small HTTP server on loopback for tests. */
#include "script_server.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 512

struct script_server {
    script_answer *answer;
    void *context;
    int listener;
    char url[64];
    _Atomic unsigned requests, connections, closed;
    pthread_t acceptor;
    pthread_mutex_t lock;
    _Atomic bool ending;
    int fds[MOST_CONNECTIONS]; /* under lock; -1 when closed */
    pthread_t threads[MOST_CONNECTIONS];
};

struct connection {
    struct script_server *server;
    unsigned number;
    int fd;
};

bool script_send(int fd, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool script_printf(int fd, const char *format, ...) {
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return size >= 0 && (size_t)size < sizeof text && script_send(fd, text, (size_t)size);
}

bool script_reply(int fd, int status, const char *headers, const char *body) {
    char date[30];
    clock_format_http(clock_realtime_s(), date);
    return script_printf(fd, "HTTP/1.1 %d Scripted\r\nDate: %s\r\n%sContent-Length: %zu\r\n\r\n", status, date, headers,
                         strlen(body)) &&
           script_send(fd, body, strlen(body));
}

bool script_header(const struct script_request *request, const char *name, char *out, size_t size) {
    size_t length = strlen(name);
    for (const char *line = request->headers; line && *line; line = strstr(line, "\r\n")) {
        if (line[0] == '\r')
            line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *value = line + length + 1;
            value += strspn(value, " ");
            snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
            return true;
        }
    }
    return false;
}

/* Until the blank line; the bytes behind it stay in buffer. -1 at the end of the connection. */
static ssize_t read_head(int fd, char *buffer, size_t size, size_t *used) {
    for (;;) {
        buffer[*used] = 0;
        char *end = strstr(buffer, "\r\n\r\n");
        if (end)
            return end + 4 - buffer;
        if (*used + 1 >= size)
            return -1;
        ssize_t got = recv(fd, buffer + *used, size - 1 - *used, 0);
        if (got <= 0)
            return -1;
        *used += (size_t)got;
    }
}

static bool read_body(struct script_request *request, char *buffer, size_t head, size_t *used) {
    char text[32];
    request->body = NULL;
    request->body_size = script_header(request, "content-length", text, sizeof text) ? strtoull(text, NULL, 10) : 0;
    if (!request->body_size)
        return true;
    if (script_header(request, "expect", text, sizeof text) &&
        !script_printf(request->fd, "HTTP/1.1 100 Continue\r\n\r\n"))
        return false;
    request->body = malloc(request->body_size);
    size_t have = *used - head < request->body_size ? *used - head : request->body_size;
    memcpy(request->body, buffer + head, have);
    memmove(buffer + head, buffer + head + have, *used - head - have);
    *used -= have;
    while (have < request->body_size) {
        ssize_t got = recv(request->fd, request->body + have, request->body_size - have, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

static bool serve_one(struct connection *connection, char *buffer, size_t size, size_t *used) {
    static _Thread_local struct script_request request;
    ssize_t head = read_head(connection->fd, buffer, size, used);
    if (head < 0)
        return false;
    request.fd = connection->fd;
    request.connection = connection->number;
    if (sscanf(buffer, "%15s %4095s", request.method, request.target) != 2)
        return false;
    const char *headers = strstr(buffer, "\r\n") + 2;
    snprintf(request.headers, sizeof request.headers, "%.*s", (int)(buffer + head - headers), headers);
    bool stays = read_body(&request, buffer, (size_t)head, used);
    memmove(buffer, buffer + head, *used - (size_t)head);
    *used -= (size_t)head;
    request.number = ++connection->server->requests;
    if (stays)
        stays = connection->server->answer(connection->server->context, &request);
    free(request.body);
    return stays;
}

static void *serve(void *context) {
    struct connection *connection = context;
    struct script_server *server = connection->server;
    char buffer[16384];
    size_t used = 0;
    while (!server->ending && serve_one(connection, buffer, sizeof buffer, &used))
        ;
    pthread_mutex_lock(&server->lock);
    close(connection->fd);
    server->fds[connection->number - 1] = -1;
    server->closed++;
    pthread_mutex_unlock(&server->lock);
    free(connection);
    return NULL;
}

static void *accept_all(void *context) {
    struct script_server *server = context;
    for (;;) {
        int fd = accept(server->listener, NULL, NULL);
        pthread_mutex_lock(&server->lock);
        unsigned number = server->connections;
        if (fd < 0 || server->ending || number == MOST_CONNECTIONS) {
            pthread_mutex_unlock(&server->lock);
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct connection *connection = malloc(sizeof *connection);
        *connection = (struct connection){server, number + 1, fd};
        server->fds[number] = fd;
        if (pthread_create(&server->threads[number], NULL, serve, connection))
            abort();
        server->connections++;
        pthread_mutex_unlock(&server->lock);
    }
}

struct script_server *script_server_start(script_answer *answer, void *context) {
    struct script_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    server->answer = answer;
    server->context = context;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_mutex_init(&server->lock, NULL);
    if (bind(server->listener, (struct sockaddr *)&address, size) || listen(server->listener, 256) ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) ||
        pthread_create(&server->acceptor, NULL, accept_all, server))
        abort();
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    return server;
}

void script_server_stop(struct script_server *server) {
    server->ending = true;
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    close(server->listener);
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->connections; i++)
        if (server->fds[i] >= 0)
            shutdown(server->fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < server->connections; i++)
        pthread_join(server->threads[i], NULL);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *script_server_url(const struct script_server *server) {
    return server->url;
}

unsigned script_server_requests(const struct script_server *server) {
    return server->requests;
}

unsigned script_server_connections(const struct script_server *server) {
    return server->connections;
}

unsigned script_server_closed(const struct script_server *server) {
    return server->closed;
}
