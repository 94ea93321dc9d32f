/* Hearing the browser's answer on a port of this machine.
 *
 * One thread, a few clients at once, each with 8 KiB and 5 seconds:
 *
 *   FREE -> READING -> WRITING -> LEAVING -> FREE      whatever it asked, but
 *           READING -> CHOSEN -> WRITING               the one with the right state; it waits for loopback_reply
 *
 * LEAVING: all is sent, and we read until the other side closes, so that the answer is not lost to a reset. */
#include "auth/loopback.h"

#include "auth/page.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { MAX_REQUEST = 8192, MAX_CLIENTS = 32, CLIENT_MS = 5000, LEAVE_MS = 1000, REPLY_MS = 2000, TICK_MS = 100 };
enum { MAX_VALUE = 4096 };

enum stage { FREE, READING, CHOSEN, WRITING, LEAVING };

struct client {
    enum stage stage;
    int fd;
    int64_t until_ms;
    char request[MAX_REQUEST + 1]; /* holds the code: wiped when the client goes */
    size_t size;
    struct buffer out; /* owned */
    size_t sent;
};

struct loopback {
    int fd;
    unsigned port;
    char redirect_uri[48], host[24];
    struct client clients[MAX_CLIENTS];
};

void loopback_answer_finish(struct loopback_answer *answer) {
    secret_free(answer->code);
    free(answer->error);
    free(answer->error_more);
    free(answer->issuer);
    *answer = (struct loopback_answer){0};
}

/* SO_REUSEADDR only takes a port whose last connection lingers in TIME_WAIT; Linux lets no two sockets listen with it.
 * SO_REUSEPORT would, and is not used. */
static int bind_port(unsigned short port, int *out) {
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, MAX_CLIENTS))
        return -errno;
    *out = fd;
    fd = -1;
    return 0;
}

static int bind_first(const unsigned short *ports, size_t count, int *fd, unsigned *port, struct fault *fault) {
    AUTO_BUFFER struct buffer tried = {0};
    int r = -EADDRINUSE;
    for (size_t i = 0; i < count; i++) {
        r = bind_port(ports[i], fd);
        if (!r) {
            *port = ports[i];
            return 0;
        }
        if (r != -EADDRINUSE && r != -EACCES)
            return fault_set(fault, r, "no port of this machine can be listened on: %s", error_text(r));
        if (buffer_append_format(&tried, "%s%u", i ? ", " : "", (unsigned)ports[i]))
            return -ENOMEM;
    }
    return fault_set(fault, -EADDRINUSE,
                     "every port that the browser may come back to is in use by another program (%s); is another login "
                     "under way? ('pail login --device' needs none)",
                     tried.data ? tried.data : "none");
}

int loopback_open(struct loopback **out, const unsigned short *ports, size_t count, struct fault *fault) {
    int fd = -1;
    unsigned port = 0;
    int r = bind_first(ports, count, &fd, &port, fault);
    if (r)
        return r;
    struct loopback *loopback = calloc(1, sizeof *loopback);
    if (!loopback) {
        close(fd);
        return -ENOMEM;
    }
    loopback->fd = fd;
    loopback->port = port;
    snprintf(loopback->host, sizeof loopback->host, "127.0.0.1:%u", port);
    snprintf(loopback->redirect_uri, sizeof loopback->redirect_uri, "http://%s/callback", loopback->host);
    *out = loopback;
    return 0;
}

static void client_drop(struct client *client) {
    if (client->stage == FREE)
        return;
    close(client->fd);
    buffer_finish(&client->out);
    explicit_bzero(client, sizeof *client);
}

void loopback_destroy(struct loopback *loopback) {
    if (!loopback)
        return;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        client_drop(&loopback->clients[i]);
    close(loopback->fd);
    free(loopback);
}

unsigned loopback_port(const struct loopback *loopback) {
    return loopback->port;
}

const char *loopback_redirect_uri(const struct loopback *loopback) {
    return loopback->redirect_uri;
}

/* Answering. */

static const char *reason(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Bad Request";
    }
}

static void answer_client(struct client *client, int status, const char *html) {
    client->stage = WRITING;
    client->until_ms = clock_monotonic_ms() + CLIENT_MS;
    int r = buffer_append_format(
        &client->out,
        "HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\n%s"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
        status, reason(status), strlen(html), status == 405 ? "Allow: GET\r\n" : "", html);
    if (r)
        client_drop(client);
}

static void turn_away(struct client *client, int status, const char *why) {
    log_debug("Login: a request to the loopback port was turned away with %d: %s", status, why);
    AUTO_FREE char *html = page_render(false, status == 404 ? "Nothing here" : "Not an answer to this login", why,
                                       "The login that waits for an answer goes on waiting.");
    if (html)
        answer_client(client, status, html);
    else
        client_drop(client);
}

/* Reading a request. */

/* The line at *text, terminated in place; *text moves behind it. Bare LF is taken as an end as well. */
static char *take_line(char **text) {
    char *line = *text, *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *text = end + 1;
    *end = 0;
    if (end > line && end[-1] == '\r')
        end[-1] = 0;
    return line;
}

static bool host_is_ours(const char *host, char *headers) {
    unsigned found = 0;
    bool right = false;
    for (char *line; (line = take_line(&headers)) && *line;) {
        if (strncasecmp(line, "Host:", 5) != 0)
            continue;
        found++;
        const char *value = line + 5 + strspn(line + 5, " \t");
        size_t size = strcspn(value, " \t");
        right = size == strlen(host) && !strncmp(value, host, size) && !value[size + strspn(value + size, " \t")];
    }
    return found == 1 && right;
}

/* 1 when the name stands there once, 0 when never, -EBADMSG when twice (RFC 6749 3.1) or not decodable. */
static int query_value(const char *query, const char *name, char **value) {
    size_t length = strlen(name);
    int found = 0;
    *value = NULL;
    for (const char *at = query, *end; *at; at = *end ? end + 1 : end) {
        end = at + strcspn(at, "&");
        if (strncmp(at, name, length) != 0 || at[length] != '=')
            continue;
        if (found++ || (size_t)(end - at) > MAX_VALUE)
            goto bad;
        size_t size;
        *value = text_percent_decode(at + length + 1, (size_t)(end - at) - length - 1, true, &size);
        if (!*value || strlen(*value) != size || !text_is_utf8(*value, size))
            goto bad;
    }
    return found;
bad:
    secret_free(TAKE(*value));
    return -EBADMSG;
}

static int read_answer(const char *query, struct loopback_answer *answer) {
    int code = query_value(query, "code", &answer->code);
    int error = query_value(query, "error", &answer->error);
    int more = query_value(query, "error_description", &answer->error_more);
    int issuer = query_value(query, "iss", &answer->issuer);
    bool good = code >= 0 && error >= 0 && more >= 0 && issuer >= 0 && code + error == 1;
    if (good && code)
        good = answer->code[0] != 0;
    if (!good)
        loopback_answer_finish(answer);
    return good ? 0 : -EBADMSG;
}

static bool state_is(const char *query, const char *state) {
    char *value;
    bool same =
        query_value(query, "state", &value) == 1 && strlen(value) == strlen(state) && text_equal_secret(value, state);
    secret_free(value);
    return same;
}

/* "GET /callback?... HTTP/1.1": splits it; the status to turn it away with, or 0. */
static int read_request_line(char *line, char **query) {
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || (strcmp(version, " HTTP/1.1") != 0 && strcmp(version, " HTTP/1.0") != 0))
        return 400;
    *target++ = 0;
    *version = 0;
    if (strcmp(line, "GET") != 0)
        return 405;
    char *mark = strchr(target, '?');
    *query = mark ? mark + 1 : version;
    if (mark)
        *mark = 0;
    return strcmp(target, "/callback") == 0 ? 0 : 404;
}

int loopback_read_request(char *request, const char *host, const char *state, struct loopback_answer *answer,
                          const char **why) {
    char *rest = request, *query = NULL, *line = take_line(&rest);
    int status = line ? read_request_line(line, &query) : 400;
    *why = "The request was not for this address.";
    if (!host_is_ours(host, rest))
        return 400;
    *why = "This address only hears the end of a login.";
    if (status)
        return status;
    *why = "This does not belong to the login that is under way: it is of an earlier attempt, or "
           "of somebody else. Use the newest address that the terminal shows.";
    if (!state_is(query, state))
        return 400;
    *why = "This is not an answer that can be understood.";
    return read_answer(query, answer) ? 400 : 0;
}

static void client_asked(struct loopback *loopback, struct client *client, const char *state,
                         struct loopback_answer *answer) {
    const char *why;
    int status = loopback_read_request(client->request, loopback->host, state, answer, &why);
    if (status) {
        turn_away(client, status, why);
    } else {
        client->stage = CHOSEN;
        client->until_ms = INT64_MAX;
    }
    explicit_bzero(client->request, sizeof client->request);
}

/* One step of one client. */

static void client_read(struct loopback *loopback, struct client *client, const char *state,
                        struct loopback_answer *answer) {
    ssize_t n = recv(client->fd, client->request + client->size, MAX_REQUEST - client->size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_drop(client);
        return;
    }
    client->size += (size_t)n;
    client->request[client->size] = 0;
    if (strlen(client->request) != client->size)
        turn_away(client, 400, "This is not an answer that can be understood.");
    else if (strstr(client->request, "\r\n\r\n") || strstr(client->request, "\n\n"))
        client_asked(loopback, client, state, answer);
    else if (client->size == MAX_REQUEST)
        turn_away(client, 431, "The request is too long.");
}

static void client_write(struct client *client) {
    ssize_t n = send(client->fd, client->out.data + client->sent, client->out.size - client->sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_drop(client);
        return;
    }
    client->sent += (size_t)n;
    if (client->sent < client->out.size)
        return;
    shutdown(client->fd, SHUT_WR);
    client->stage = LEAVING;
    client->until_ms = clock_monotonic_ms() + LEAVE_MS;
}

static void client_leave(struct client *client) {
    char rest[1024];
    ssize_t n = recv(client->fd, rest, sizeof rest, 0);
    explicit_bzero(rest, sizeof rest);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        client_drop(client);
}

static void client_step(struct loopback *loopback, struct client *client, const char *state,
                        struct loopback_answer *answer) {
    switch (client->stage) {
    case READING:
        client_read(loopback, client, state, answer);
        break;
    case WRITING:
        client_write(client);
        break;
    case LEAVING:
        client_leave(client);
        break;
    case CHOSEN: /* the browser went away: the login goes on without it */
    case FREE:
        break;
    }
}

/* A free place, or the one that is nearest its end: nobody can hold them all. */
static struct client *place(struct loopback *loopback) {
    struct client *best = &loopback->clients[0];
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &loopback->clients[i];
        if (client->stage == FREE)
            return client;
        if (client->until_ms < best->until_ms)
            best = client;
    }
    client_drop(best);
    return best;
}

static void accept_one(struct loopback *loopback) {
    int fd = accept4(loopback->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct client *client = place(loopback);
    client->stage = READING;
    client->fd = fd;
    client->until_ms = clock_monotonic_ms() + CLIENT_MS;
}

static short events_of(const struct client *client) {
    if (client->stage == WRITING)
        return POLLOUT;
    return client->stage == READING || client->stage == LEAVING ? POLLIN : 0;
}

/* One round of everybody, TICK_MS at most. state NULL: nobody is read any more, only answered. */
static int step(struct loopback *loopback, const char *state, struct loopback_answer *answer) {
    struct pollfd polled[MAX_CLIENTS + 1];
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        const struct client *client = &loopback->clients[i];
        short events = events_of(client);
        bool left_out = !events || (!state && client->stage == READING);
        polled[i] = (struct pollfd){.fd = left_out ? -1 : client->fd, .events = events};
    }
    polled[MAX_CLIENTS] = (struct pollfd){.fd = state ? loopback->fd : -1, .events = POLLIN};
    if (poll(polled, MAX_CLIENTS + 1, TICK_MS) < 0 && errno != EINTR)
        return -errno;
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &loopback->clients[i];
        if (polled[i].revents && !(answer && (answer->code || answer->error)))
            client_step(loopback, client, state, answer);
        if (client->stage != FREE && now >= client->until_ms)
            client_drop(client);
    }
    if (polled[MAX_CLIENTS].revents)
        accept_one(loopback);
    return 0;
}

int loopback_wait(struct loopback *loopback, const char *state, int timeout_s, const _Atomic bool *cancelled,
                  struct loopback_answer *answer, struct fault *fault) {
    *answer = (struct loopback_answer){0};
    int64_t until_ms = clock_monotonic_ms() + (int64_t)timeout_s * 1000;
    while (!answer->code && !answer->error) {
        if (cancelled && atomic_load(cancelled))
            return fault_set(fault, PAIL_CANCELLED, "the login was cancelled");
        if (clock_monotonic_ms() >= until_ms)
            return fault_set(fault, -ETIMEDOUT,
                             "nobody logged in within %d seconds; run 'pail login' again for a new address", timeout_s);
        int r = step(loopback, state, answer);
        if (r)
            return fault_set(fault, r, "the browser's answer cannot be heard: %s", error_text(r));
    }
    return 0;
}

static bool anybody_is_answered(const struct loopback *loopback) {
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (loopback->clients[i].stage == WRITING || loopback->clients[i].stage == LEAVING)
            return true;
    return false;
}

void loopback_reply(struct loopback *loopback, const char *html) {
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (loopback->clients[i].stage == CHOSEN)
            answer_client(&loopback->clients[i], 200, html);
    int64_t until_ms = clock_monotonic_ms() + REPLY_MS;
    while (anybody_is_answered(loopback) && clock_monotonic_ms() < until_ms)
        if (step(loopback, NULL, NULL))
            return;
}
