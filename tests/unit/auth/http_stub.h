/* A tiny HTTP server on loopback that answers as a test says. One thread for each connection, one request on each. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct http_stub;

struct http_stub_request {
    const char *method, *target; /* target with the query */
    const char *head;            /* all header lines */
    const char *body;
};

struct http_stub_reply {
    int status; /* 0: the connection is cut */
    char headers[1024];
    char body[8192]; /* of length, or up to its NUL when that is 0 */
    size_t promised; /* bytes that Content-Length says; 0: the truth */
    int delay_ms;
};

/* Called by several threads at once. The reply starts as 200 with an empty body. */
typedef void http_stub_answer(void *context, const struct http_stub_request *request, struct http_stub_reply *reply);

/* Binds a free port; nothing is answered before http_stub_run, so that a test can fork in between. */
struct http_stub *http_stub_bind(void);
void http_stub_run(struct http_stub *stub, http_stub_answer *answer, void *context);
void http_stub_stop(struct http_stub *stub);             /* waits for every thread */
const char *http_stub_url(const struct http_stub *stub); /* "http://127.0.0.1:PORT" */

/* Whether the head has this header with this value (names without regard to case). */
bool http_stub_has(const struct http_stub_request *request, const char *name, const char *value);

/* A port that nobody listens on right now. */
unsigned short http_stub_free_port(void);
