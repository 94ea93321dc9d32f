/* An issuer and a mapping server's configuration in one place on loopback, for tests. */
#include "fake_issuer.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static void discovery(struct fake_issuer *fake, struct http_stub_reply *reply) {
    const char *url = http_stub_url(fake->stub);
    fake->discoveries++;
    reply->status = fake->discovery_status ? fake->discovery_status : 200;
    snprintf(reply->body, sizeof reply->body,
             "{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s/authorize\",\"token_endpoint\":\"%s/token\","
             "\"jwks_uri\":\"%s/keys\",\"revocation_endpoint\":\"%s/revoke\",\"%s\":\"%s/device\","
             "\"authorization_response_iss_parameter_supported\":%s}",
             fake->issuer, url, url, url, url, fake->gives_codes ? "device_authorization_endpoint" : "x", url,
             fake->names_itself ? "true" : "false");
}

static void configuration(struct fake_issuer *fake, struct http_stub_reply *reply) {
    snprintf(reply->body, sizeof reply->body,
             "{\"version\":1,\"issuer\":\"%s\",\"client_id\":\"pail\",\"audience\":\"%s\",\"scopes\":[\"email\"],"
             "\"loopback_ports\":[%u,%u,%u]}",
             fake->configured_issuer[0] ? fake->configured_issuer : fake->issuer, fake->audience, fake->ports[0],
             fake->ports[1], fake->ports[2]);
}

static char *id_token(const struct fake_issuer *fake) {
    int64_t now = clock_realtime_s() + fake->clock_ahead_s;
    AUTO_FREE char *claims = text_format(
        "{\"iss\":\"%s\",\"aud\":\"pail\",\"sub\":\"auth0|7\",\"nonce\":\"%s\",\"exp\":%lld,\"iat\":%lld,"
        "\"email\":\"ann@example.com\"}",
        fake->id_issuer[0] ? fake->id_issuer : fake->issuer, fake->nonce, (long long)now + 300, (long long)now);
    struct signer *stranger = fake->strangers_key ? signer_create() : NULL;
    char *token = signer_sign(stranger ? stranger : fake->signer, NULL, claims);
    if (stranger)
        signer_destroy(stranger);
    return token;
}

static void give_tokens(struct fake_issuer *fake, bool with_id, struct http_stub_reply *reply) {
    AUTO_FREE char *id = with_id && fake->signer && !fake->no_id ? id_token(fake) : NULL;
    char refresh[64] = "";
    if (!fake->keeps_refresh)
        fake->generation++;
    if (!fake->no_refresh)
        snprintf(refresh, sizeof refresh, ",\"refresh_token\":\"refresh-%d\"", fake->generation);
    snprintf(reply->body, sizeof reply->body,
             "{\"token_type\":\"Bearer\",\"expires_in\":%d,\"access_token\":\"access-%d-%d\"%s%s%s%s}", fake->life_s,
             fake->generation, fake->refreshes, refresh, id ? ",\"id_token\":\"" : "", id ? id : "", id ? "\"" : "");
}

static void refresh(struct fake_issuer *fake, const char *body, struct http_stub_reply *reply) {
    char good[64], before[64];
    snprintf(good, sizeof good, "&refresh_token=refresh-%d", fake->generation);
    snprintf(before, sizeof before, "&refresh_token=refresh-%d", fake->generation - 1);
    fake->refreshes++;
    reply->delay_ms = fake->token_delay_ms;
    if (fake->token_status) {
        reply->status = fake->token_status > 0 ? fake->token_status : 0;
        snprintf(reply->body, sizeof reply->body, "%s", fake->token_body);
        snprintf(reply->headers, sizeof reply->headers, "%s", fake->token_headers);
        return;
    }
    bool is_good = text_ends(body, good) || (fake->overlaps && text_ends(body, before));
    if (fake->ended || !is_good) {
        fake->reused += !fake->ended;
        fake->ended = true;
        reply->status = 403;
        strcpy(reply->body,
               "{\"error\":\"invalid_grant\",\"error_description\":\"Unknown or invalid refresh token.\"}");
        return;
    }
    give_tokens(fake, false, reply);
}

static void exchange(struct fake_issuer *fake, const char *body, struct http_stub_reply *reply) {
    fake->exchanges++;
    snprintf(fake->exchange_body, sizeof fake->exchange_body, "%s", body);
    if (!strstr(body, "&code=good-code&")) {
        reply->status = 400;
        strcpy(reply->body, "{\"error\":\"invalid_grant\",\"error_description\":\"bad <code>\"}");
        return;
    }
    fake->ended = false;
    give_tokens(fake, true, reply);
}

static void give_code(struct fake_issuer *fake, struct http_stub_reply *reply) {
    const char *url = http_stub_url(fake->stub);
    reply->status = fake->device_status ? fake->device_status : 200;
    if (fake->device_status)
        strcpy(reply->body, "{\"error\":\"unauthorized_client\"}");
    else
        snprintf(reply->body, sizeof reply->body,
                 "{\"device_code\":\"device-1\",\"user_code\":\"WDJB-MJHT\",\"verification_uri\":\"%s/activate\","
                 "\"verification_uri_complete\":\"%s/activate?user_code=WDJB-MJHT\",\"expires_in\":60,\"interval\":1}",
                 url, url);
}

static void poll_code(struct fake_issuer *fake, const char *body, struct http_stub_reply *reply) {
    fake->polls++;
    if (strstr(body, "&device_code=device-1") && fake->pending-- <= 0) {
        give_tokens(fake, true, reply);
        return;
    }
    reply->status = 400;
    strcpy(reply->body, "{\"error\":\"authorization_pending\"}");
}

static void answer(void *context, const struct http_stub_request *request, struct http_stub_reply *reply) {
    struct fake_issuer *fake = context;
    pthread_mutex_lock(&fake->lock);
    if (!strcmp(request->target, "/.well-known/openid-configuration"))
        discovery(fake, reply);
    else if (!strcmp(request->target, "/.well-known/pail-configuration"))
        configuration(fake, reply);
    else if (!strcmp(request->target, "/keys"))
        snprintf(reply->body, sizeof reply->body, "%s", fake->signer ? signer_keys(fake->signer) : "{}");
    else if (!strcmp(request->target, "/token") && text_starts(request->body, "grant_type=refresh_token&"))
        refresh(fake, request->body, reply);
    else if (!strcmp(request->target, "/device"))
        give_code(fake, reply);
    else if (!strcmp(request->target, "/token") && strstr(request->body, "device_code&"))
        poll_code(fake, request->body, reply);
    else if (!strcmp(request->target, "/token"))
        exchange(fake, request->body, reply);
    else if (!strcmp(request->target, "/revoke")) {
        fake->revoked++;
        fake->ended = true;
    } else
        reply->status = 404;
    pthread_mutex_unlock(&fake->lock);
}

struct fake_issuer *fake_issuer_bind(void) {
    struct fake_issuer *fake = calloc(1, sizeof *fake);
    if (!fake)
        abort();
    pthread_mutex_init(&fake->lock, NULL);
    fake->stub = http_stub_bind();
    fake->life_s = 100;
    snprintf(fake->issuer, sizeof fake->issuer, "%s/", http_stub_url(fake->stub));
    snprintf(fake->audience, sizeof fake->audience, "%s", http_stub_url(fake->stub));
    for (size_t i = 0; i < 3; i++)
        fake->ports[i] = http_stub_free_port();
    return fake;
}

void fake_issuer_run(struct fake_issuer *fake) {
    http_stub_run(fake->stub, answer, fake);
}

void fake_issuer_stop(struct fake_issuer *fake) {
    http_stub_stop(fake->stub);
    if (fake->signer)
        signer_destroy(fake->signer);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

const char *fake_issuer_server(const struct fake_issuer *fake) {
    return http_stub_url(fake->stub);
}
