/* What an issuer says of itself, and what a Pail server says of its issuer. */
#include "auth/discovery.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <stdint.h>

enum { MAX_PORTS = 16, MAX_SCOPES = 32, MAX_TEXT = 2048 };
static const unsigned short default_ports[] = {47831, 47832, 47833};

static int get_document(struct fetch *fetch, const char *url, const _Atomic bool *cancelled,
                        struct fetch_answer *answer, struct fault *fault) {
    struct fetch_request request = {.method = "GET", .url = url, .cancelled = cancelled};
    int r = fetch_perform(fetch, &request, answer, fault);
    if (r)
        return r;
    const char *id = answer->request_id;
    if (answer->status >= 500 || answer->status == 429)
        return fault_set(fault, PAIL_OFFLINE, "%s answers %d; try again later%s%s%s", url, answer->status,
                         id ? " (request " : "", id ? id : "", id ? ")" : "");
    if (answer->status != 200)
        return fault_set(fault, PAIL_DAMAGED, "%s answers %d; is the address right?%s%s%s", url, answer->status,
                         id ? " (request " : "", id ? id : "", id ? ")" : "");
    if (!json_is_object(answer->json))
        return fault_set(fault, PAIL_DAMAGED, "%s is not a JSON document; is the address right?", url);
    return 0;
}

/* Text of a document that goes into URLs, forms and messages: no control bytes, no spaces at all when it is one word.
 */
static int copy_text(const struct json *json, const char *name, char **out, struct fault *fault) {
    const char *text = json_get_text(json, name);
    bool good = text && *text && strlen(text) <= MAX_TEXT;
    for (const char *at = text; good && *at; at++)
        good = (unsigned char)*at > ' ' && *at != 0x7f;
    if (!good)
        return fault_set(fault, PAIL_DAMAGED, "\"%s\" is missing or is not good", name);
    *out = strdup(text);
    return *out ? 0 : -ENOMEM;
}

static int copy_url(const struct json *json, const char *name, char **out, struct fault *fault) {
    int r = copy_text(json, name, out, fault);
    if (!r && !fetch_url_allowed(*out))
        r = fault_set(fault, PAIL_DAMAGED, "\"%s\" must be an https address", name);
    return r;
}

void discovery_finish(struct discovery *discovery) {
    free(discovery->issuer);
    free(discovery->authorization_url);
    free(discovery->token_url);
    free(discovery->keys_url);
    free(discovery->revocation_url);
    free(discovery->device_url);
    *discovery = (struct discovery){0};
}

/* Absent means unknown: not every provider lists what it can do. */
static bool lacks(const struct json *list, const char *wanted) {
    if (!json_is_array(list))
        return false;
    for (const struct json *item = json_first(list); item; item = json_next(item))
        if (text_equal(json_text(item), wanted))
            return false;
    return true;
}

int discovery_read(struct discovery *out, const struct json *json, const char *issuer, struct fault *fault) {
    const char *names = json_get_text(json, "issuer");
    if (!text_equal(names, issuer))
        return fault_set(fault, PAIL_DAMAGED, "it calls itself \"%s\", not \"%s\"", names ? names : "", issuer);
    if (lacks(json_get(json, "code_challenge_methods_supported"), "S256"))
        return fault_set(fault, PAIL_DAMAGED, "it cannot do PKCE with S256, which Pail needs");
    int r = copy_text(json, "issuer", &out->issuer, fault);
    if (!r)
        r = copy_url(json, "authorization_endpoint", &out->authorization_url, fault);
    if (!r)
        r = copy_url(json, "token_endpoint", &out->token_url, fault);
    if (!r)
        r = copy_url(json, "jwks_uri", &out->keys_url, fault);
    if (!r && json_get_text(json, "revocation_endpoint"))
        r = copy_url(json, "revocation_endpoint", &out->revocation_url, fault);
    if (!r && json_get_text(json, "device_authorization_endpoint"))
        r = copy_url(json, "device_authorization_endpoint", &out->device_url, fault);
    out->names_itself = json_get_boolean(json, "authorization_response_iss_parameter_supported", false);
    return r;
}

int discovery_fetch(struct discovery *out, struct fetch *fetch, const char *issuer, const _Atomic bool *cancelled,
                    struct fault *fault) {
    *out = (struct discovery){0};
    const char *slash = text_ends(issuer, "/") ? "" : "/";
    AUTO_FREE char *url = text_format("%s%s.well-known/openid-configuration", issuer, slash);
    if (!url)
        return -ENOMEM;
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int r = get_document(fetch, url, cancelled, &answer, fault);
    if (!r && (r = discovery_read(out, answer.json, issuer, fault)))
        fault_prefix(fault, r, "the issuer %s cannot be used", issuer);
    if (r)
        discovery_finish(out);
    return r;
}

void configuration_finish(struct configuration *configuration) {
    free(configuration->issuer);
    free(configuration->client_id);
    free(configuration->audience);
    free(configuration->scopes);
    free(configuration->ports);
    *configuration = (struct configuration){0};
}

/* RFC 6749 3.3. */
static bool is_scope(const char *text) {
    if (!text || !*text || strlen(text) > 128)
        return false;
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    return true;
}

static int read_scopes(struct configuration *out, const struct json *list, struct fault *fault) {
    AUTO_BUFFER struct buffer scopes = {0};
    int r = buffer_append_text(&scopes, "openid offline_access");
    if (json_size(list) > MAX_SCOPES)
        return fault_set(fault, PAIL_DAMAGED, "\"scopes\" is too long");
    for (const struct json *item = json_first(list); item && !r; item = json_next(item)) {
        const char *scope = json_text(item);
        if (!is_scope(scope))
            return fault_set(fault, PAIL_DAMAGED, "\"scopes\" has an item that is not a scope");
        if (strcmp(scope, "openid") && strcmp(scope, "offline_access"))
            r = buffer_append_format(&scopes, " %s", scope);
    }
    out->scopes = r ? NULL : buffer_take(&scopes);
    return out->scopes ? 0 : -ENOMEM;
}

static int read_ports(struct configuration *out, const struct json *list, struct fault *fault) {
    size_t count = json_size(list);
    out->port_count = count ? count : sizeof default_ports / sizeof *default_ports;
    if (count > MAX_PORTS)
        return fault_set(fault, PAIL_DAMAGED, "\"loopback_ports\" is too long");
    out->ports = calloc(out->port_count, sizeof *out->ports);
    if (!out->ports)
        return -ENOMEM;
    if (!count)
        memcpy(out->ports, default_ports, sizeof default_ports);
    const struct json *item = json_first(list);
    for (size_t i = 0; i < count; i++, item = json_next(item)) {
        int64_t port;
        if (json_integer(item, &port) || port < 1024 || port > UINT16_MAX)
            return fault_set(fault, PAIL_DAMAGED, "\"loopback_ports\" has an item that is not a port from 1024 up");
        out->ports[i] = (unsigned short)port;
    }
    return 0;
}

int configuration_read(struct configuration *out, const struct json *json, struct fault *fault) {
    int64_t version = json_get_integer(json, "version", 0);
    if (version != 1)
        return fault_set(fault, PAIL_DAMAGED, "it speaks version %lld of Pail's contract, this program version 1",
                         (long long)version);
    int r = copy_url(json, "issuer", &out->issuer, fault);
    if (!r)
        r = copy_text(json, "client_id", &out->client_id, fault);
    if (!r)
        r = copy_text(json, "audience", &out->audience, fault);
    if (!r)
        r = read_scopes(out, json_get(json, "scopes"), fault);
    if (!r)
        r = read_ports(out, json_get(json, "loopback_ports"), fault);
    return r;
}

int configuration_fetch(struct configuration *out, struct fetch *fetch, const char *server,
                        const _Atomic bool *cancelled, struct fault *fault) {
    *out = (struct configuration){0};
    AUTO_FREE char *url = text_format("%s/.well-known/pail-configuration", server);
    if (!url)
        return -ENOMEM;
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int r = get_document(fetch, url, cancelled, &answer, fault);
    if (!r && (r = configuration_read(out, answer.json, fault)))
        fault_prefix(fault, r, "the server %s cannot be used", server);
    if (r)
        configuration_finish(out);
    return r;
}
