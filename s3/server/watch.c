/* What operators and their machines ask: is it up, can it work, what has it done. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "s3/server/config.h"
#include "s3/server/inside.h"
#include "s3/server/reply.h"
#include "s3/server/server.h"

#include <string.h>

static void reply_state(struct http_request *request, int status, const char *state) {
    AUTO_BUFFER struct buffer body = {0};
    buffer_append_format(&body, "{\"status\":\"%s\"}\n", state);
    reply_buffer(request, status, &body);
}

void health_handle(struct server *server, struct http_request *request) {
    (void)server;
    reply_state(request, 200, "ok");
}

void ready_handle(struct server *server, struct http_request *request) {
    struct fault fault = {0};
    if (server_is_ready(server, &fault))
        reply_error(request, &reply_unavailable, fault.text);
    else if (metrics_store_lately(server->metrics).down_s >= 0) /* it can still verify, map and sign */
        reply_state(request, 200, "ready, but the store does not answer");
    else
        reply_state(request, 200, "ready");
}

/* Who asks directly, and from an address in the settings. A proxy in front speaks for anybody. */
static bool may_watch(const struct server *server, const struct http_request *request) {
    static const char *const by_proxy[] = {"x-forwarded-for", "forwarded", "x-real-ip", "via"};
    const struct config_list *from = &server->config->metrics_from;
    for (size_t i = 0; i < sizeof by_proxy / sizeof *by_proxy; i++)
        if (http_header(request, by_proxy[i]))
            return false;
    for (size_t i = 0; i < from->count; i++)
        if (!strcmp(from->items[i], request->peer))
            return true;
    return false;
}

static int count_one(void *context, const struct user *user) {
    (void)user;
    ++*(size_t *)context;
    return 0;
}

static struct metrics_now look_now(struct server *server, const struct http_request *request) {
    struct proof proof;
    struct metrics_now now = {.ready = !server_is_ready(server, NULL), .proof_age_s = -1};
    now.keys_age_s = verify_keys_age_s(server->verify);
    if (!server_proof(server, server->config->keep_versions_d != 0, &proof))
        now.proof_age_s = clock_realtime_s() - proof.proven_s;
    struct http_counts counts;
    http_count(request, &counts);
    now.connections = counts.connections;
    now.refused_connections = counts.refused;
    now.cut_connections = counts.cut;
    users_each_unfinished(server->users, count_one, &now.unfinished, NULL);
    users_count_missing(server->users, &now.missing, NULL);
    return now;
}

void metrics_handle(struct server *server, struct http_request *request) {
    static const struct http_header headers[] = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"},
                                                 {"Cache-Control", "no-store"}};
    AUTO_BUFFER struct buffer body = {0};
    if (!may_watch(server, request)) {
        reply_error(request, &reply_not_found, "there is nothing here for this address");
        return;
    }
    struct metrics_now now = look_now(server, request);
    if (metrics_write(server->metrics, &now, &body)) {
        reply_error(request, &reply_internal, "out of memory");
        return;
    }
    size_t size = body.size;
    http_answer(request, &(struct http_answer){.status = 200,
                                               .headers = headers,
                                               .header_count = sizeof headers / sizeof *headers,
                                               .bytes = buffer_take(&body),
                                               .size = size});
}
