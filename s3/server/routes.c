/* Which request goes where. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/access.h"
#include "s3/server/config.h"
#include "s3/server/inside.h"
#include "s3/server/reply.h"
#include "s3/server/server.h"
#include "s3/wire.h"

#include <string.h>

#define SMALL_REQUEST 8192 /* bytes: worked off on the event thread where nothing has to be waited for */
#define SESSION_REQUEST 65536u

static void configuration_handle(struct server *server, struct http_request *request) {
    AUTO_BUFFER struct buffer body = {0};
    buffer_append_text(&body, server->configuration[server_lends(server)]);
    reply_buffer(request, 200, &body);
}

enum place { HERE, HERE_IF_SMALL, WORKER };

static const struct route {
    const char *path, *method;
    void (*handle)(struct server *server, struct http_request *request);
    size_t max_body;
    enum place place;
    enum metrics_path counted;
} routes[] = {
    {WIRE_PATH_CONFIGURATION, "GET", configuration_handle, 0, HERE, METRICS_OTHER},
    {WIRE_PATH_SESSION, "POST", session_handle, SESSION_REQUEST, WORKER, METRICS_SESSION},
    {WIRE_PATH_GRANTS, "POST", batch_handle, WIRE_MAX_REQUEST, HERE_IF_SMALL, METRICS_GRANTS},
    {WIRE_PATH_CREDENTIALS, "GET", lending_handle, 0, WORKER, METRICS_OTHER},
    {"/healthz", "GET", health_handle, 0, HERE, METRICS_OTHER},
    {"/readyz", "GET", ready_handle, 0, HERE, METRICS_OTHER},
    {"/metrics", "GET", metrics_handle, 0, WORKER, METRICS_OTHER},
};

static const struct route *find_route(const char *path) {
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (!strcmp(routes[i].path, path))
            return &routes[i];
    return NULL;
}

static bool method_fits(const struct route *route, const char *method) {
    return !strcmp(route->method, method) || (!strcmp(method, "HEAD") && !strcmp(route->method, "GET"));
}

static void begin(void *context, struct http_request *request) {
    struct server *server = context;
    const struct route *route = find_route(request->raw_path);
    struct asked *asked = calloc(1, sizeof *asked);
    request->own = asked;
    request->label = route ? route->path : NULL;
    if (!asked) {
        reply_error(request, &reply_internal, "out of memory");
        return;
    }
    asked->route = route;
    limits_find_origin(server->limits, request, &asked->origin);
    if (!access_admit(server, request, asked))
        return;
    if (!route) {
        reply_error(request, &reply_not_found, "there is nothing here: this is a Pail server");
        return;
    }
    if (!method_fits(route, request->method)) {
        reply_error(request, &reply_method, route->method);
        return;
    }
    http_collect(request, route->max_body);
    bool small = request->content_length >= 0 && request->content_length <= SMALL_REQUEST;
    if (route->place == HERE || (route->place == HERE_IF_SMALL && small))
        http_here(request);
}

static void complete(void *context, struct http_request *request) {
    const struct route *route = ((const struct asked *)request->own)->route;
    if (request->body_error == -EFBIG)
        reply_error(request, &reply_too_large, "the request is too large: split it");
    else if (request->body_error)
        reply_error(request, &reply_internal, "out of memory");
    else
        route->handle(context, request);
}

/* Never a token, a key or a query; whose it is by the account's name, not the email. */
static void log_request(const struct http_request *request, const struct asked *asked, int64_t took_ms) {
    char address[64] = "unknown";
    if (!asked->origin.unknown)
        peer_print(&asked->origin.peer, address);
    struct log_field fields[] = {
        {.name = "method", .value = request->method},
        {.name = "path", .value = request->label ? request->label : "(elsewhere)"},
        {.name = "status", .number = request->status},
        {.name = "ms", .number = took_ms},
        {.name = "address", .value = address},
        {.name = "request", .value = request->id},
        {.name = "account", .value = asked->account},
    };
    size_t count = sizeof fields / sizeof *fields;
    log_event(LOG_DEBUG, fields, *asked->account ? count : count - 1, "Request");
}

static void end(void *context, struct http_request *request) {
    struct server *server = context;
    struct asked *asked = request->own;
    int64_t took_ms = clock_monotonic_ms() - request->began_ms;
    metrics_count_request(server->metrics, asked && asked->route ? asked->route->counted : METRICS_OTHER,
                          request->status, took_ms);
    if (request->note)
        metrics_count_refusal(server->metrics, request->note);
    if (!asked)
        return;
    if (request->status == 401)
        limits_count_failure(server->limits, &asked->origin);
    if (log_wants(LOG_DEBUG))
        log_request(request, asked, took_ms);
    free(asked);
}

const struct http_handler routes_handler = {.begin = begin, .complete = complete, .end = end};

int routes_make_configuration(const struct config *config, bool lends, char **out) {
    AUTO_JSON struct json *object = json_object();
    struct json *scopes = json_array(), *ports = json_array(), *modes = json_array();
    for (size_t i = 0; i < config->scopes.count; i++)
        json_push_text(scopes, config->scopes.items[i]);
    for (size_t i = 0; i < config->loopback_ports.count; i++) {
        uint64_t port = 0;
        text_parse_u64(config->loopback_ports.items[i], &port);
        json_push_integer(ports, (int64_t)port);
    }
    json_push_text(modes, WIRE_MODE_PRESIGNED);
    if (lends)
        json_push_text(modes, WIRE_MODE_CREDENTIALS);
    json_add_integer(object, "version", WIRE_VERSION);
    json_add_text(object, "issuer", config->issuer);
    json_add_text(object, "client_id", config->client_id);
    json_add_text(object, "audience", config->audience);
    json_add(object, "scopes", scopes);
    json_add(object, "loopback_ports", ports);
    json_add(object, "modes", modes);
    *out = json_print(object);
    return *out ? 0 : -ENOMEM;
}
