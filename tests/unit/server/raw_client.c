/* An HTTP client of bytes and sockets. */
#include "raw_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int raw_connect(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        abort();
    return fd;
}

bool raw_send_bytes(int fd, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

void raw_send(int fd, const char *text) {
    raw_send_bytes(fd, text, strlen(text));
}

static bool receive_head(int fd, struct buffer *head) {
    char byte;
    while (recv(fd, &byte, 1, 0) == 1) {
        if (buffer_append(head, &byte, 1))
            abort();
        if (head->size >= 4 && !memcmp(head->data + head->size - 4, "\r\n\r\n", 4))
            return true;
    }
    return false;
}

static size_t length_of(const struct buffer *head) {
    const char *length = strcasestr(head->data, "\r\ncontent-length:");
    return length ? strtoull(length + 17, NULL, 10) : 0;
}

static bool receive_body(int fd, size_t size, struct buffer *body) {
    char piece[65536];
    while (size) {
        ssize_t got = recv(fd, piece, size < sizeof piece ? size : sizeof piece, 0);
        if (got <= 0)
            return false;
        if (body && buffer_append(body, piece, (size_t)got))
            abort();
        size -= (size_t)got;
    }
    return true;
}

int raw_receive(int fd, bool without_body, struct buffer *head, struct buffer *body) {
    AUTO_BUFFER struct buffer own = {0};
    int status = 0;
    do {
        buffer_clear(&own);
        if (!receive_head(fd, &own) || sscanf(own.data, "HTTP/1.1 %d", &status) != 1)
            return 0;
    } while (status == 100);
    if (head && buffer_append(head, own.data, own.size))
        abort();
    bool bodyless = without_body || status == 204 || status == 304;
    return bodyless || receive_body(fd, length_of(&own), body) ? status : 0;
}

bool raw_is_closed(int fd, int ms) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    char byte;
    return poll(&poll_fd, 1, ms) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

int raw_ask(uint16_t port, const char *text, struct buffer *head, struct buffer *body) {
    int fd = raw_connect(port);
    raw_send(fd, text);
    int status = raw_receive(fd, !strncmp(text, "HEAD", 4), head, body);
    close(fd);
    return status;
}
