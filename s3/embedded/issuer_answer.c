/* The issuer's answers. */
#include "base/cleanup.h"
#include "s3/embedded/issuer_parts.h"

static void send_bytes(struct http_request *request, int status, const char *type, char *text, const char *location) {
    struct http_header headers[] = {
        {"cache-control", "no-store"},
        {"referrer-policy", "no-referrer"},
        {"x-content-type-options", "nosniff"},
        {"x-frame-options", "DENY"},
        {"content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                                    "frame-ancestors 'none'; form-action 'self' http://127.0.0.1:*"},
        {"content-type", type},
        {"location", location},
    };
    struct http_answer answer = {.status = text ? status : 500,
                                 .headers = headers,
                                 .header_count = location ? 7 : 6,
                                 .kind = HTTP_BYTES,
                                 .bytes = text,
                                 .size = text ? strlen(text) : 0};
    http_answer(request, &answer);
}

void issuer_answer_text(struct http_request *request, int status, const char *text) {
    send_bytes(request, status, "text/plain; charset=utf-8", strdup(text), NULL);
}

void issuer_answer_page(struct http_request *request, int status, char *html) {
    send_bytes(request, status, "text/html; charset=utf-8", html, NULL);
}

void issuer_answer_redirect(struct http_request *request, const char *url) {
    send_bytes(request, 303, "text/plain; charset=utf-8", strdup("Go on.\n"), url);
}

void issuer_answer_json(struct http_request *request, int status, struct json *json) {
    char *text = json ? json_print(json) : NULL;
    json_destroy(json);
    send_bytes(request, status, "application/json", text, NULL);
}

void issuer_answer_error(struct http_request *request, int status, const char *code, const char *text) {
    struct json *json = json_object();
    json_add_text(json, "error", code);
    json_add_text(json, "error_description", text);
    issuer_answer_json(request, status, json);
}
