/* The HTTP server: libmicrohttpd's event threads, our worker threads, and the request's way between them. */
#include "s3/server/http.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "base/workers.h"
#include "s3/server/certificate.h"
#include "s3/server/peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DISCARD_MAX (1u << 20)   /* of a body nobody wants, so that the connection can be used again */
#define SLOWEST_BYTES_PER_S 8192 /* slower ones are cut off */
#define CROWDED 8                /* an eighth of the places is left */
#define CROWDED_IDLE_MS 1000

/* A connection, for closing those that dribble. Linked in server->connections. */
struct connection {
    struct connection *previous, *next; /* under server->lock, as deadline_ms */
    int fd;
    int64_t deadline_ms;             /* monotonic; 0: none */
    int64_t idle_ms;                 /* since when it is between two requests; 0: it is not. Under lock */
    bool is_cut;                     /* under lock */
    uint64_t address;                /* counted under this; 0: not counted */
    struct certificate *certificate; /* held; NULL without TLS */
};

struct http_server {
    struct http_handler handler;
    struct MHD_Daemon *daemon;
    struct workers *workers;
    uint16_t port;
    int64_t idle_ms, request_ms;
    unsigned most, most_of_address;
    const struct peer_network *unlimited; /* borrowed */
    size_t unlimited_count;
    uint64_t secret;                 /* of the hash of addresses */
    uint64_t first_id;               /* where request ids begin; another, since ids are shown */
    _Atomic uint64_t requests;       /* their number so far */
    _Atomic uint64_t refused, cut;   /* connections */
    struct certificate *certificate; /* held; under lock */
    atomic_bool closing;             /* each answer ends its connection */
    atomic_bool stopping;            /* new requests are refused */
    pthread_mutex_t lock;
    pthread_cond_t quiet;           /* active or handed became 0, or the reaper shall end */
    struct connection *connections; /* under lock, as all below */
    size_t connection_count;
    struct map addresses; /* from address to how many of its connections there are */
    size_t active;        /* requests between begin and end */
    size_t handed;        /* requests in complete, not yet answered */
    bool ending;
    pthread_t reaper;
};

/* NEW -> BODY -> HANDED -> ANSWERED -> SENT; BODY may be skipped, ANSWERED may come at any time before SENT. */
enum state { NEW, BODY, HANDED, ANSWERED, SENT };

struct request {
    struct http_request shown; /* first: handlers have a pointer to it */
    struct http_server *server;
    struct MHD_Connection *connection;
    struct connection *socket;
    char *uri;   /* owned; raw_path and raw_query point into it */
    char *names; /* owned; lower-case header names */
    struct http_header *headers;
    struct buffer collected;
    size_t collect_max;
    int (*write)(void *context, struct http_request *request, const void *data, size_t size);
    bool collect, here, expects, counted, begun, suspended;
    enum state state;
    struct MHD_Response *response; /* owned */
    int status;
    int64_t answer_size; /* bytes to send */
};

static struct request *request_of(struct http_request *shown) {
    return (struct request *)shown;
}

/* Deadlines. */

/* Time for the request's next bytes; below 0: no limit but that of idleness. */
static void set_deadline(struct request *request, int64_t bytes) {
    struct http_server *server = request->server;
    if (bytes > (int64_t)1 << 50)
        bytes = -1;
    int64_t deadline = bytes < 0 ? 0 : clock_monotonic_ms() + server->request_ms + bytes * 1000 / SLOWEST_BYTES_PER_S;
    if (!request->socket)
        return;
    pthread_mutex_lock(&server->lock);
    request->socket->deadline_ms = deadline;
    request->socket->idle_ms = 0;
    pthread_mutex_unlock(&server->lock);
}

static void set_idle(struct http_server *server, struct connection *socket) {
    pthread_mutex_lock(&server->lock);
    socket->idle_ms = clock_monotonic_ms();
    socket->deadline_ms = socket->idle_ms + server->idle_ms + server->request_ms;
    pthread_mutex_unlock(&server->lock);
}

/* Who waits is worth more than who may come back: when few places are left, a second of idleness is enough. */
static bool is_over(const struct http_server *server, const struct connection *socket, int64_t now) {
    bool crowded = server->connection_count > server->most - server->most / CROWDED;
    return (socket->deadline_ms && socket->deadline_ms < now) ||
           (crowded && socket->idle_ms && now - socket->idle_ms > CROWDED_IDLE_MS);
}

static void reap(struct http_server *server) {
    int64_t now = clock_monotonic_ms();
    for (struct connection *each = server->connections; each; each = each->next) {
        if (each->is_cut || !is_over(server, each, now))
            continue;
        each->is_cut = true;
        atomic_fetch_add(&server->cut, 1);
        shutdown(each->fd, SHUT_RDWR); /* the event thread sees the end and closes it */
    }
}

static void *reap_forever(void *context) {
    struct http_server *server = context;
    pthread_mutex_lock(&server->lock);
    while (!server->ending) {
        clock_cond_wait_ms(&server->quiet, &server->lock, 1000);
        reap(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

/* Connections: how many of an address. */

/* 0: it is not counted. */
static uint64_t address_of(const struct http_server *server, const struct sockaddr *socket) {
    struct peer peer;
    if (!server->most_of_address || peer_of_socket(socket, &peer) ||
        peer_is_in(&peer, server->unlimited, server->unlimited_count))
        return 0;
    struct peer group = peer_group(&peer);
    uint64_t hash = server->secret;
    for (size_t i = 0; i < sizeof group.bytes; i++)
        hash = (hash ^ group.bytes[i]) * 1099511628211u; /* FNV-1a */
    return hash ? hash : 1;
}

/* Two that come at once may both be let in: there is one more then for each event thread at most. */
static enum MHD_Result on_accept(void *context, const struct sockaddr *socket, socklen_t size) {
    struct http_server *server = context;
    uint64_t address = address_of(server, socket);
    (void)size;
    pthread_mutex_lock(&server->lock);
    bool many = address && (uintptr_t)map_get(&server->addresses, address) >= server->most_of_address;
    pthread_mutex_unlock(&server->lock);
    if (many)
        atomic_fetch_add(&server->refused, 1);
    return many ? MHD_NO : MHD_YES;
}

/* Under lock. Without memory it is not counted. */
static void count_in(struct http_server *server, struct connection *socket) {
    server->connection_count++;
    uintptr_t count = socket->address ? (uintptr_t)map_get(&server->addresses, socket->address) : 0;
    if (socket->address && map_put(&server->addresses, socket->address, (void *)(count + 1)))
        socket->address = 0;
}

static void count_out(struct http_server *server, const struct connection *socket) {
    server->connection_count--;
    uintptr_t count = socket->address ? (uintptr_t)map_get(&server->addresses, socket->address) : 0;
    if (count > 1)
        map_put(&server->addresses, socket->address, (void *)(count - 1)); /* replaces: needs no memory */
    else if (count)
        map_remove(&server->addresses, socket->address);
}

static void link_in(struct http_server *server, struct connection *socket) {
    pthread_mutex_lock(&server->lock);
    socket->next = server->connections;
    if (socket->next)
        socket->next->previous = socket;
    server->connections = socket;
    count_in(server, socket);
    if (server->certificate)
        socket->certificate = certificate_hold(server->certificate);
    pthread_mutex_unlock(&server->lock);
}

static void link_out(struct http_server *server, struct connection *socket) {
    pthread_mutex_lock(&server->lock);
    if (socket->next)
        socket->next->previous = socket->previous;
    if (socket->previous)
        socket->previous->next = socket->next;
    else
        server->connections = socket->next;
    count_out(server, socket);
    pthread_mutex_unlock(&server->lock);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
    struct http_server *server = context;
    struct connection *socket = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = socket = calloc(1, sizeof *socket);
        if (!socket)
            return;
        socket->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        socket->address =
            address_of(server, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
        socket->idle_ms = clock_monotonic_ms();
        socket->deadline_ms = socket->idle_ms + server->request_ms; /* who connects wants to ask */
        link_in(server, socket);
        if (socket->certificate) /* the handshake comes later */
            certificate_use(socket->certificate,
                            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
    } else if (socket) {
        link_out(server, socket);
        certificate_release(socket->certificate);
        free(socket);
    }
}

/* The request's beginning and end. */

static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection) {
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->server = context;
    request->connection = connection;
    request->socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    request->uri = strdup(uri);
    set_deadline(request, 0);
    return request;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **own,
                         enum MHD_RequestTerminationCode code) {
    (void)connection;
    (void)code;
    struct http_server *server = context;
    struct request *request = *own;
    *own = NULL;
    if (!request)
        return;
    if (request->begun && server->handler.end)
        server->handler.end(server->handler.context, &request->shown);
    if (request->socket)
        set_idle(server, request->socket);
    if (request->response)
        MHD_destroy_response(request->response);
    if (request->counted) {
        pthread_mutex_lock(&server->lock);
        server->active--;
        pthread_cond_broadcast(&server->quiet);
        pthread_mutex_unlock(&server->lock);
    }
    buffer_finish(&request->collected);
    free(request->headers);
    free(request->names);
    free(request->uri);
    free(request);
}

/* Headers, with their names in lower case, in one array. */

struct gathering {
    struct request *request;
    size_t count, bytes;
    char *name;
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    (void)value;
    struct gathering *gathering = context;
    gathering->count++;
    gathering->bytes += strlen(name) + 1;
    return MHD_YES;
}

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    struct gathering *gathering = context;
    struct request *request = gathering->request;
    size_t size = strlen(name) + 1;
    memcpy(gathering->name, name, size);
    text_lower_ascii(gathering->name);
    request->headers[request->shown.header_count++] =
        (struct http_header){.name = gathering->name, .value = value ? value : ""};
    gathering->name += size;
    return MHD_YES;
}

static int gather_headers(struct request *request) {
    struct gathering gathering = {.request = request};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &gathering);
    request->headers = calloc(gathering.count + 1, sizeof *request->headers);
    request->names = malloc(gathering.bytes + 1);
    if (!request->headers || !request->names)
        return -ENOMEM;
    gathering.name = request->names;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, take_header, &gathering);
    request->shown.headers = request->headers;
    return 0;
}

const char *http_header(const struct http_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (!strcmp(request->headers[i].name, name))
            return request->headers[i].value;
    return NULL;
}

static void name_peer(struct request *request) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    char *out = request->shown.peer;
    if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, out, sizeof request->shown.peer);
    else if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, out, sizeof request->shown.peer);
}

/* Unlike those of others, and not to be guessed from them (splitmix64). */
static void name_request(struct request *request) {
    struct http_server *server = request->server;
    uint64_t id = server->first_id + (atomic_fetch_add(&server->requests, 1) + 1) * 0x9e3779b97f4a7c15u;
    id = (id ^ id >> 30) * 0xbf58476d1ce4e5b9u;
    id = (id ^ id >> 27) * 0x94d049bb133111ebu;
    snprintf(request->shown.id, sizeof request->shown.id, "%016llx", (unsigned long long)(id ^ id >> 31));
}

static int fill_request(struct request *request, const char *method) {
    struct http_request *shown = &request->shown;
    if (!request->uri || gather_headers(request) < 0)
        return -ENOMEM;
    char *question = strchr(request->uri, '?');
    if (question)
        *question = '\0';
    shown->method = method;
    shown->raw_path = request->uri;
    shown->raw_query = question ? question + 1 : "";
    shown->content_length = -1;
    const char *length = http_header(shown, "content-length"), *encoding = http_header(shown, "transfer-encoding");
    uint64_t value = 0;
    if (length && !encoding && !text_parse_u64(length, &value) && value <= INT64_MAX)
        shown->content_length = (int64_t)value;
    shown->has_body = encoding || value > 0;
    const char *expect = http_header(shown, "expect");
    request->expects = expect && !strcasecmp(expect, "100-continue");
    name_peer(request);
    name_request(request);
    return 0;
}

/* Answers. */

static ssize_t read_nothing(void *context, uint64_t position, char *out, size_t max) {
    (void)context;
    (void)position;
    (void)out;
    (void)max;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

struct reader {
    ssize_t (*read)(void *context, uint64_t offset, char *out, size_t max);
    void (*release)(void *context);
    void *context;
};

static ssize_t reader_read(void *context, uint64_t position, char *out, size_t max) {
    struct reader *reader = context;
    ssize_t got = reader->read(reader->context, position, out, max);
    if (got < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return got ? got : MHD_CONTENT_READER_END_OF_STREAM;
}

static void reader_release(void *context) {
    struct reader *reader = context;
    if (reader->release)
        reader->release(reader->context);
    free(reader);
}

static struct MHD_Response *reader_response(const struct http_answer *answer) {
    struct reader *reader = malloc(sizeof *reader);
    if (!reader) {
        if (answer->release)
            answer->release(answer->context);
        return NULL;
    }
    *reader = (struct reader){.read = answer->read, .release = answer->release, .context = answer->context};
    struct MHD_Response *response =
        MHD_create_response_from_callback(answer->size, 256 << 10, reader_read, reader, reader_release);
    if (!response)
        reader_release(reader);
    return response;
}

static struct MHD_Response *empty_response(void) {
    return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *file_response(const struct http_answer *answer) {
    struct MHD_Response *response =
        answer->size ? MHD_create_response_from_fd_at_offset64(answer->size, answer->fd, answer->offset) : NULL;
    if (!response)
        close(answer->fd);
    return answer->size ? response : empty_response();
}

static struct MHD_Response *bytes_response(const struct http_answer *answer, bool head) {
    struct MHD_Response *response;
    if (!answer->bytes && answer->size && head)
        return MHD_create_response_from_callback(answer->size, 1024, read_nothing, NULL, NULL);
    if (!answer->bytes || !answer->size)
        response = empty_response();
    else
        response = MHD_create_response_from_buffer(answer->size, answer->bytes, MHD_RESPMEM_MUST_FREE);
    if (!response || !answer->size)
        free(answer->bytes);
    return response;
}

static struct MHD_Response *make_response(const struct http_answer *answer, bool head) {
    switch (answer->kind) {
    case HTTP_FILE:
        return file_response(answer);
    case HTTP_READER:
        return reader_response(answer);
    case HTTP_BYTES:
        break;
    }
    return bytes_response(answer, head);
}

static bool add_headers(struct MHD_Response *response, const struct http_answer *answer, bool closing) {
    bool fine = true;
    for (size_t i = 0; i < answer->header_count; i++)
        fine &= MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value) == MHD_YES;
    if (answer->close || closing)
        fine &= MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    return fine;
}

static enum MHD_Result send_response(struct request *request) {
    request->state = SENT;
    set_deadline(request, request->response ? request->answer_size : -1);
    enum MHD_Result result = request->response
                                 ? MHD_queue_response(request->connection, (unsigned)request->status, request->response)
                                 : MHD_NO;
    return result;
}

/* A sleeping connection is woken; from then on the request is the event thread's. */
static void wake(struct request *request) {
    struct http_server *server = request->server;
    bool suspended = request->suspended;
    request->state = ANSWERED;
    if (!suspended)
        return;
    request->suspended = false;
    MHD_resume_connection(request->connection);
    pthread_mutex_lock(&server->lock);
    server->handed--;
    pthread_cond_broadcast(&server->quiet);
    pthread_mutex_unlock(&server->lock);
}

void http_answer(struct http_request *shown, const struct http_answer *answer) {
    struct request *request = request_of(shown);
    bool head = !strcmp(shown->method, "HEAD");
    request->response = make_response(answer, head);
    request->status = shown->status = answer->status;
    request->answer_size = head || answer->size > INT64_MAX / 1000 ? 0 : (int64_t)answer->size;
    if (request->response && !add_headers(request->response, answer, atomic_load(&request->server->closing))) {
        log_error("An answer to %s had a header that cannot be sent", shown->method);
        MHD_destroy_response(request->response);
        request->response = empty_response();
        request->status = 500;
    }
    wake(request);
}

int http_again(struct http_request *shown, void (*job)(void *context), void *context) {
    return workers_submit_always(request_of(shown)->server->workers, WORKERS_SOON, job, context);
}

/* The body. */

void http_collect(struct http_request *shown, size_t max) {
    struct request *request = request_of(shown);
    request->collect = true;
    request->collect_max = max;
    if (shown->content_length > 0 && (uint64_t)shown->content_length > max)
        shown->body_error = -EFBIG;
}

void http_stream(struct http_request *shown,
                 int (*write)(void *context, struct http_request *request, const void *data, size_t size)) {
    request_of(shown)->write = write;
}

void http_here(struct http_request *shown) {
    request_of(shown)->here = true;
}

static void take_body(struct request *request, const char *data, size_t size) {
    struct http_request *shown = &request->shown;
    shown->body_seen += size;
    if (shown->body_error || request->state != BODY)
        return;
    if (request->write) {
        shown->body_error = request->write(request->server->handler.context, shown, data, size);
    } else if (request->collect) {
        if (request->collected.size + size > request->collect_max)
            shown->body_error = -EFBIG;
        else
            shown->body_error = buffer_append(&request->collected, data, size);
    }
    if (shown->body_error)
        buffer_finish(&request->collected);
}

static void refuse(struct request *request, int status) {
    struct http_header retry = {"Retry-After", "1"};
    http_answer(&request->shown,
                &(struct http_answer){.status = status, .headers = &retry, .header_count = 1, .close = true});
}

static void run_complete(void *context) {
    struct request *request = context;
    request->server->handler.complete(request->server->handler.context, &request->shown);
}

bool http_elsewhere(struct http_request *shown) {
    struct request *request = request_of(shown);
    bool here = request->here;
    request->here = false;
    return here;
}

/* Over to a worker, with the connection asleep meanwhile. */
static void run_elsewhere(struct request *request) {
    struct http_server *server = request->server;
    request->here = false;
    pthread_mutex_lock(&server->lock);
    server->handed++;
    pthread_mutex_unlock(&server->lock);
    request->suspended = true;
    MHD_suspend_connection(request->connection);
    if (workers_submit(server->workers, WORKERS_NOW, run_complete, request) < 0)
        refuse(request, 503);
}

/* The body is there. */
static enum MHD_Result hand_over(struct request *request) {
    if (request->collect && !request->shown.body_error) {
        request->shown.body = request->collected.data ? request->collected.data : "";
        request->shown.body_size = request->collected.size;
    }
    set_deadline(request, -1);
    request->state = HANDED;
    if (request->here)
        run_complete(request);
    if (request->state == ANSWERED)
        return send_response(request);
    run_elsewhere(request);
    return MHD_YES;
}

/* An answer before the body came: microhttpd reads none of it and closes behind the answer. */
static enum MHD_Result refuse_body(struct request *request) {
    if (request->state != ANSWERED)
        run_complete(request);
    return request->state == ANSWERED ? send_response(request) : MHD_NO;
}

static enum MHD_Result begin(struct request *request, const char *method) {
    struct http_server *server = request->server;
    struct http_request *shown = &request->shown;
    if (fill_request(request, method) < 0)
        return MHD_NO;
    request->counted = true;
    shown->began_ms = clock_monotonic_ms();
    pthread_mutex_lock(&server->lock);
    server->active++;
    pthread_mutex_unlock(&server->lock);
    request->begun = !atomic_load(&server->stopping);
    if (request->begun)
        server->handler.begin(server->handler.context, shown);
    else
        refuse(request, 503);
    bool unwanted = request->state == ANSWERED || shown->body_error;
    bool large = shown->content_length < 0 || (uint64_t)shown->content_length > request->collect_max + DISCARD_MAX;
    if (unwanted && shown->has_body && (large || request->expects))
        return refuse_body(request);
    if (request->state == NEW)
        request->state = BODY;
    set_deadline(request, shown->content_length > 0 ? shown->content_length : request->write ? -1 : 0);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **own) {
    (void)connection;
    (void)url;
    (void)version;
    (void)context;
    struct request *request = *own;
    if (!request)
        return MHD_NO;
    if (!request->counted)
        return begin(request, method);
    if (*size) {
        take_body(request, data, *size);
        *size = 0;
        bool wanted = request->state == BODY && !request->shown.body_error && (request->write || request->collect);
        return wanted || request->write || request->shown.body_seen <= DISCARD_MAX + (request->collect_max) ? MHD_YES
                                                                                                            : MHD_NO;
    }
    if (request->state == BODY)
        return hand_over(request);
    if (request->state == ANSWERED)
        return send_response(request);
    return MHD_YES;
}

/* Listening. */

static int resolve(const char *address, uint16_t port, struct addrinfo **out, struct fault *fault) {
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    if (getaddrinfo(address, service, &hints, out))
        return fault_set(fault, -EINVAL, "%s is not a numeric address to listen on", address);
    return 0;
}

static int listen_on(const char *address, uint16_t port, uint16_t *bound, struct fault *fault) {
    struct addrinfo *info = NULL;
    int error = resolve(address, port, &info, fault);
    if (error)
        return error;
    AUTO_CLOSE int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, 1024) < 0)
        error = -errno;
    freeaddrinfo(info);
    if (error)
        return fault_set(fault, error, "cannot listen on %s port %u: %s", address, port, strerror(-error));
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &size);
    *bound = ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                              : ((struct sockaddr_in *)&name)->sin_port);
    int listening = fd;
    fd = -1;
    return listening;
}

static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}

static void log_daemon(void *context, const char *format, va_list arguments) {
    (void)context;
    char line[300];
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http: %s", line);
}

static unsigned or_default(unsigned value, unsigned fallback) {
    return value ? value : fallback;
}

static int start_daemon(struct http_server *server, const struct http_options *options, int fd, struct fault *fault) {
    unsigned threads = or_default(options->event_threads, 4);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)options->tls_certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)options->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     (options->tls_certificate ? MHD_USE_TLS : 0u);
    server->daemon =
        MHD_start_daemon(flags, 0, on_accept, server, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, log_daemon, NULL,
                         MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, threads < 2 ? 0u : threads,
                         MHD_OPTION_CONNECTION_LIMIT, server->most, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         options->memory ? options->memory : (size_t)32 << 10, MHD_OPTION_CONNECTION_TIMEOUT,
                         or_default(options->idle_s, 75), MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
                         MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                         MHD_OPTION_ARRAY, options->tls_certificate ? tls : none, MHD_OPTION_END);
    if (server->daemon)
        return 0;
    return fault_set(fault, -EINVAL, "the HTTP server does not start");
}

int http_server_renew(struct http_server *server, const char *tls_certificate, const char *tls_key,
                      struct fault *fault) {
    struct certificate *newer = NULL;
    int error = certificate_create(&newer, tls_certificate, tls_key, fault);
    if (error)
        return fault_prefix(fault, error, "TLS");
    pthread_mutex_lock(&server->lock);
    struct certificate *older = server->certificate;
    server->certificate = newer;
    pthread_mutex_unlock(&server->lock);
    certificate_release(older);
    return 0;
}

void http_count(const struct http_request *request, struct http_counts *out) {
    struct http_server *server = ((const struct request *)request)->server;
    pthread_mutex_lock(&server->lock);
    out->connections = server->connection_count;
    pthread_mutex_unlock(&server->lock);
    out->refused = atomic_load(&server->refused);
    out->cut = atomic_load(&server->cut);
}

static int start_threads(struct http_server *server, const struct http_options *options) {
    pthread_mutex_init(&server->lock, NULL);
    clock_cond_init(&server->quiet);
    int error = workers_create(&server->workers, "http-work", or_default(options->worker_threads, 16),
                               or_default(options->connections, 1000));
    if (error)
        return error;
    error = -pthread_create(&server->reaper, NULL, reap_forever, server);
    if (error)
        workers_destroy(server->workers);
    return error;
}

static void stop_threads(struct http_server *server) {
    pthread_mutex_lock(&server->lock);
    server->ending = true;
    pthread_cond_broadcast(&server->quiet);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->reaper, NULL);
    workers_destroy(server->workers);
    pthread_cond_destroy(&server->quiet);
    pthread_mutex_destroy(&server->lock);
}

int http_server_create(struct http_server **out, const struct http_options *options, struct fault *fault) {
    AUTO_FREE struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        return -ENOMEM;
    server->handler = options->handler;
    server->most = or_default(options->connections, 1000);
    server->most_of_address = options->connections_per_address;
    server->unlimited = options->unlimited;
    server->unlimited_count = options->unlimited_count;
    random_bytes(&server->secret, sizeof server->secret);
    random_bytes(&server->first_id, sizeof server->first_id);
    server->idle_ms = (int64_t)or_default(options->idle_s, 75) * 1000;
    server->request_ms = (int64_t)or_default(options->request_s, 30) * 1000;
    AUTO_CLOSE int fd =
        listen_on(options->address ? options->address : "127.0.0.1", options->port, &server->port, fault);
    if (fd < 0)
        return fd;
    int error = start_threads(server, options);
    if (error)
        return fault_set(fault, error, "cannot start threads: %s", strerror(-error));
    if (options->tls_certificate)
        error = http_server_renew(server, options->tls_certificate, options->tls_key, fault);
    if (!error)
        error = start_daemon(server, options, fd, fault);
    if (error) {
        certificate_release(server->certificate);
        stop_threads(server);
        return error;
    }
    fd = -1; /* the daemon's */
    *out = TAKE(server);
    return 0;
}

uint16_t http_server_port(const struct http_server *server) {
    return server->port;
}

void http_server_drain(struct http_server *server, int64_t grace_ms) {
    atomic_store(&server->stopping, true);
    if (!atomic_exchange(&server->closing, true)) {
        int fd = MHD_quiesce_daemon(server->daemon);
        if (fd >= 0)
            close(fd);
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += grace_ms / 1000;
    until.tv_nsec += grace_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int late = 0;
    pthread_mutex_lock(&server->lock);
    while (server->active && !late)
        late = pthread_cond_timedwait(&server->quiet, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
}

void http_server_destroy(struct http_server *server) {
    if (!server)
        return;
    http_server_drain(server, 0);
    pthread_mutex_lock(&server->lock);
    while (server->handed)
        pthread_cond_wait(&server->quiet, &server->lock);
    pthread_mutex_unlock(&server->lock);
    MHD_stop_daemon(server->daemon);
    stop_threads(server);
    certificate_release(server->certificate);
    map_finish(&server->addresses);
    free(server);
}
