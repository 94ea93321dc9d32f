/* The login issuer: its life, and which request is what. */
#include "s3/embedded/issuer.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "s3/embedded/issuer_parts.h"
#include "s3/embedded/port.h"

#include <errno.h>
#include <stdio.h>

#define MOST_BODY (64u << 10)

static const struct issuer_route {
    const char *method, *path;
    void (*run)(struct issuer *issuer, struct http_request *request);
} routes[] = {
    {"GET", "/.well-known/openid-configuration", issuer_serve_discovery},
    {"GET", "/.well-known/jwks.json", issuer_serve_keys},
    {"GET", "/authorize", issuer_serve_authorize},
    {"POST", "/authorize", issuer_serve_authorize},
    {"POST", "/ticket", issuer_serve_ticket},
    {"POST", "/login", issuer_serve_login},
    {"POST", "/oauth/token", issuer_serve_token},
    {"POST", "/oauth/revoke", issuer_serve_revoke},
    {"GET", "/userinfo", issuer_serve_userinfo},
    {"POST", "/userinfo", issuer_serve_userinfo},
};

static bool is_own_host(const struct issuer *issuer, const struct http_request *request) {
    const char *host = http_header(request, "host");
    return host && strcmp(host, issuer->host) == 0;
}

static void begin(void *context, struct http_request *request) {
    struct issuer *issuer = context;
    if (!is_own_host(issuer, request))
        issuer_answer_text(request, 403, "Pail's login answers to its own address only\n");
    else
        http_collect(request, MOST_BODY);
}

static void complete(void *context, struct http_request *request) {
    struct issuer *issuer = context;
    bool path_known = false;
    if (request->body_error) {
        issuer_answer_text(request, 413, "too large\n");
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, request->raw_path) != 0)
            continue;
        path_known = true;
        if (strcmp(routes[i].method, request->method) == 0) {
            routes[i].run(issuer, request);
            return;
        }
    }
    issuer_answer_text(request, path_known ? 405 : 404, path_known ? "not with this method\n" : "not here\n");
}

static int open_state(struct issuer *issuer, const struct issuer_options *options, struct fault *fault) {
    int r = file_make_folders(options->folder, 0700);
    if (r)
        return fault_set(fault, r, "%s cannot be made: %s", options->folder, error_text(r));
    AUTO_FREE char *key = text_format("%s/signing-key.pem", options->folder);
    AUTO_FREE char *sessions = text_format("%s/sessions.json", options->folder);
    if (!key || !sessions)
        return -ENOMEM;
    r = issuer_key_open(&issuer->key, key, fault);
    return r ? r
             : issuer_sessions_open(&issuer->sessions, sessions, options->overlap_s ? options->overlap_s : 10, fault);
}

/* As of the store: the host is known before the first request comes. */
static int start(struct issuer *issuer, uint16_t port, struct fault *fault) {
    int r = -EADDRINUSE;
    for (int tries = 0; r == -EADDRINUSE && tries < (port ? 1 : 10); tries++) {
        issuer->port = port;
        r = port ? 0 : port_find(&issuer->port);
        if (r)
            return fault_set(fault, r, "no port is free: %s", error_text(r));
        snprintf(issuer->host, sizeof issuer->host, "127.0.0.1:%u", issuer->port);
        snprintf(issuer->url, sizeof issuer->url, "http://%s/", issuer->host);
        struct http_options options = {.port = issuer->port,
                                       .event_threads = 1,
                                       .worker_threads = 4,
                                       .handler = {.begin = begin, .complete = complete, .context = issuer}};
        r = http_server_create(&issuer->server, &options, fault);
    }
    return r;
}

static int copy_options(struct issuer *issuer, const struct issuer_options *options) {
    issuer->client_id = strdup(options->client_id);
    issuer->audience = strdup(options->audience);
    issuer->secret = strdup(options->secret);
    issuer->token_life_s = options->token_life_s ? options->token_life_s : 3600;
    issuer->callback_ports = calloc(options->callback_port_count + 1, sizeof *issuer->callback_ports);
    if (!issuer->client_id || !issuer->audience || !issuer->secret || !issuer->callback_ports)
        return -ENOMEM;
    for (size_t i = 0; i < options->callback_port_count; i++)
        issuer->callback_ports[issuer->callback_port_count++] = options->callback_ports[i];
    return strlen(options->secret) < 32 ? -EINVAL : 0;
}

DEFINE_CLEANUP(struct issuer *, issuer_destroy)

int issuer_create(struct issuer **out, const struct issuer_options *options, struct fault *fault) {
    CLEANUP(issuer_destroy_p) struct issuer *issuer = calloc(1, sizeof *issuer);
    int r = issuer ? copy_options(issuer, options) : -ENOMEM;
    if (r)
        return fault_set(fault, r, "the issuer cannot start: %s", error_text(r));
    r = open_state(issuer, options, fault);
    if (!r)
        r = start(issuer, options->port, fault);
    if (!r)
        *out = TAKE(issuer);
    return r;
}

const char *issuer_url(const struct issuer *issuer) {
    return issuer->url;
}

uint16_t issuer_port(const struct issuer *issuer) {
    return issuer->port;
}

void issuer_destroy(struct issuer *issuer) {
    if (!issuer)
        return;
    if (issuer->server)
        http_server_drain(issuer->server, 2000);
    http_server_destroy(issuer->server);
    issuer_sessions_close(issuer->sessions);
    issuer_key_close(issuer->key);
    secret_free(issuer->secret);
    free(issuer->client_id);
    free(issuer->audience);
    free(issuer->callback_ports);
    free(issuer);
}
