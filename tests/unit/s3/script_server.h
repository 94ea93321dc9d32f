/* A small HTTP server on loopback for tests: each request is answered by a function of the test, byte by byte if it
 * likes. One thread for each connection. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script_request {
    char method[16];
    char target[4096];  /* path and query as they came */
    char headers[8192]; /* as they came */
    char *body;         /* NULL without; read before the answer unless the server was made lazy */
    size_t body_size;
    int fd;              /* of the connection */
    unsigned number;     /* of the request, from 1, over all connections */
    unsigned connection; /* from 1 */
};

struct script_server;
/* answer writes the whole answer to request->fd and returns whether the connection stays. Called by many threads. */
typedef bool script_answer(void *context, const struct script_request *request);

struct script_server *script_server_start(script_answer *answer, void *context);
void script_server_stop(struct script_server *server);
/* "http://127.0.0.1:PORT"; borrowed. */
const char *script_server_url(const struct script_server *server);
unsigned script_server_requests(const struct script_server *server);
unsigned script_server_connections(const struct script_server *server);
unsigned script_server_closed(const struct script_server *server); /* of these, those that have ended */

/* For answers. */
bool script_send(int fd, const void *data, size_t size);
bool script_printf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Status line, Date, the given headers (each ending in CRLF, "" for none), Content-Length and the body. */
bool script_reply(int fd, int status, const char *headers, const char *body);
/* The value of a header in the request, copied into out; false without. name in any case. */
bool script_header(const struct script_request *request, const char *name, char *out, size_t size);
