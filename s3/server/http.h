/* An HTTP/1.1 server over libmicrohttpd, which only http.c includes: event threads (epoll) that parse, receive and
 * send, and worker threads for what may block. Used by the mapping server and by the embedded store and issuer.
 *
 * The life of a request: begin (headers are there) -> body collected or streamed -> complete -> http_answer, once, from
 * any thread, now or later -> end. A request that is cut off goes to end from wherever it was; but one that was handed
 * to complete stays valid until it is answered. Thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_server;
struct peer_network;

struct http_header {
    const char *name; /* of requests: lower case */
    const char *value;
};

struct http_request {
    const char *method;
    const char *raw_path;  /* as it stands in the request line, still encoded, up to '?' */
    const char *raw_query; /* behind '?', still encoded; "" for none */
    const struct http_header *headers;
    size_t header_count;
    int64_t content_length; /* -1: none told (no body, or chunked) */
    bool has_body;          /* a body of at least a byte may come */
    char peer[64];          /* the client's address without port */
    const char *body;       /* collected; NUL-terminated behind body_size; NULL unless http_collect was called */
    size_t body_size;
    uint64_t body_seen; /* bytes of body received so far */
    int body_error;     /* what the stream's write returned first, when not 0; the rest is then thrown away */
    void *own;          /* for the handler; freed in end */
    const char *note;   /* likewise; static */
    const char *label;  /* likewise: what the log calls it, since a path may hold anything; NULL: nothing */
    char id[17];        /* of this request: in the log, and in answers to it */
    int64_t began_ms;   /* clock_monotonic_ms() when the headers were there */
    int status;         /* of the answer, from http_answer on; 0: there was none */
};

struct http_handler {
    /* On an event thread, must not block. Says how the body is taken (http_collect, http_stream; neither: it is thrown
     * away), or answers at once: what is still coming is then read and thrown away up to 1 MiB (beyond what would have
     * been collected), so that the connection can go on; more, or one with Expect: 100-continue, is refused and the
     * connection closed. */
    void (*begin)(void *context, struct http_request *request);
    /* The body is there: on a worker thread, or first on the event thread after http_here. Not called if begin
     * answered. */
    void (*complete)(void *context, struct http_request *request);
    /* The last call: frees request->own. May be NULL. */
    void (*end)(void *context, struct http_request *request);
    void *context; /* borrowed */
};

struct http_options {
    const char *address;                   /* numeric: "127.0.0.1", "::1", "0.0.0.0", "::"; NULL: "127.0.0.1" */
    uint16_t port;                         /* 0: a free one */
    const char *tls_certificate, *tls_key; /* PEM texts, not paths; NULL: plain HTTP */
    unsigned event_threads;                /* 0: 4 */
    unsigned worker_threads;               /* 0: 16 */
    unsigned connections;                  /* most at once; 0: 1,000 */
    unsigned connections_per_address;      /* of an IPv4 address or an IPv6 /64; 0: no limit */
    const struct peer_network *unlimited;  /* addresses that this does not hold for: proxies. Borrowed */
    size_t unlimited_count;
    size_t memory;      /* of each connection: bounds the headers, and is the receive buffer; 0: 32 KiB */
    unsigned idle_s;    /* a connection without traffic is closed; 0: 75 */
    unsigned request_s; /* from the first byte of a request to the end of its headers, and of a collected body; 0: 30 */
    struct http_handler handler;
};

/* Listens and serves. 0; -EADDRINUSE, -EINVAL (address, certificate), -errno, with a fault that names the address. */
int http_server_create(struct http_server **out, const struct http_options *options, struct fault *fault);
uint16_t http_server_port(const struct http_server *server);
/* New connections begin with this certificate; those that are there keep theirs. For a server that has TLS. 0, or
 * -EINVAL with a fault, and the old one stays. */
int http_server_renew(struct http_server *server, const char *tls_certificate, const char *tls_key,
                      struct fault *fault);

struct http_counts {      /* of a server's connections */
    uint64_t connections; /* now */
    uint64_t refused;     /* since the start: there were too many of that address */
    uint64_t cut;         /* likewise: too slow, or idle while others wait */
};
/* Takes no new connection, refuses new requests (503) and closes each connection after its answer; returns when nothing
 * is under way, or after grace_ms. */
void http_server_drain(struct http_server *server, int64_t grace_ms);
/* Cuts what is left; waits for handlers that are still in complete. NULL is fine. */
void http_server_destroy(struct http_server *server);

/* For begin only. The whole body in memory. More than max: complete is called all the same, with body_error -EFBIG and
 * no body, for the handler to answer 413. */
void http_collect(struct http_request *request, size_t max);
/* For begin only. write is called on an event thread with each piece as it comes; non-zero is kept in body_error. */
void http_stream(struct http_request *request,
                 int (*write)(void *context, struct http_request *request, const void *data, size_t size));
/* For begin only: complete is tried on the event thread first, where it must not block: it answers before it returns,
 * or calls http_elsewhere and returns, and is called again on a worker thread. */
void http_here(struct http_request *request);
/* True if complete runs on the event thread now: then it is moved, and the caller returns at once. */
bool http_elsewhere(struct http_request *request);

void http_count(const struct http_request *request, struct http_counts *out); /* of the request's server */
const char *http_header(const struct http_request *request,
                        const char *name); /* the first, or NULL. name: lower case */

enum http_body {
    HTTP_BYTES,  /* bytes, handed over (malloc); NULL with a size: only for HEAD */
    HTTP_FILE,   /* fd, handed over: size bytes from offset, by sendfile */
    HTTP_READER, /* read, called on event threads with offsets in order; release at the end. size must be known */
};

struct http_answer {
    int status;
    const struct http_header *headers; /* borrowed for the call. Content-Length, Date, Connection are made */
    size_t header_count;
    enum http_body kind;
    void *bytes;
    int fd;
    uint64_t offset;
    uint64_t size; /* of the body; for HEAD, of what GET would send */
    ssize_t (*read)(void *context, uint64_t offset, char *out, size_t max); /* bytes, or -errno: cuts the connection */
    void (*release)(void *context);                                         /* may be NULL */
    void *context;
    bool close; /* end the connection behind it */
};

/* Once for each request; takes over what the answer owns, also when the client is gone. After it, the request may not
 * be touched. */
void http_answer(struct http_request *request, const struct http_answer *answer);
/* From a worker thread: runs job(context) there, behind what is queued: for work in slices. The request must stay
 * unanswered while its job is queued. 0 or -ENOMEM. */
int http_again(struct http_request *request, void (*job)(void *context), void *context);
