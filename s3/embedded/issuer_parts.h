/* What the issuer's files share. Handlers run on worker threads and answer once. */
#pragma once

#include "base/json.h"
#include "s3/embedded/form.h"
#include "s3/embedded/issuer.h"
#include "s3/embedded/issuer_key.h"
#include "s3/embedded/issuer_sessions.h"
#include "s3/server/http.h"

#include <stdbool.h>

struct issuer {
    char *client_id, *audience, *secret; /* owned */
    uint16_t *callback_ports;            /* owned */
    size_t callback_port_count;
    unsigned token_life_s;
    uint16_t port;
    char host[32], url[48];
    struct issuer_key *key;
    struct issuer_sessions *sessions;
    struct http_server *server;
};

/* issuer_answer.c: nothing is kept by anybody, nothing may frame it, no other origin may read it. */
void issuer_answer_text(struct http_request *request, int status, const char *text);
void issuer_answer_page(struct http_request *request, int status, char *html); /* takes html; NULL: no memory */
void issuer_answer_redirect(struct http_request *request, const char *url);
void issuer_answer_json(struct http_request *request, int status, struct json *json); /* takes json */
/* {"error":CODE,"error_description":TEXT} (RFC 6749, 5.2). */
void issuer_answer_error(struct http_request *request, int status, const char *code, const char *text);

/* issuer_login.c: pages. */
void issuer_serve_authorize(struct issuer *issuer, struct http_request *request);
void issuer_serve_ticket(struct issuer *issuer, struct http_request *request);
void issuer_serve_login(struct issuer *issuer, struct http_request *request);
/* issuer_token.c: programs. */
void issuer_serve_discovery(struct issuer *issuer, struct http_request *request);
void issuer_serve_keys(struct issuer *issuer, struct http_request *request);
void issuer_serve_token(struct issuer *issuer, struct http_request *request);
void issuer_serve_revoke(struct issuer *issuer, struct http_request *request);
void issuer_serve_userinfo(struct issuer *issuer, struct http_request *request);
