/* The pages of a login (OpenID Connect Core 3.1.2): the request, who it is, and back to the program with a code. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/issuer_pages.h"
#include "s3/embedded/issuer_parts.h"

#include <errno.h>
#include <stdio.h>

#define MOST_EMAIL 254

/* "http://127.0.0.1:PORT/callback" with one of the ports, exactly. */
static bool is_callback(const struct issuer *issuer, const char *uri) {
    for (size_t i = 0; uri && i < issuer->callback_port_count; i++) {
        char known[48];
        snprintf(known, sizeof known, "http://127.0.0.1:%u/callback", issuer->callback_ports[i]);
        if (strcmp(known, uri) == 0)
            return true;
    }
    return false;
}

/* What is wrong with a request whose answer may go to its callback; NULL: nothing. */
static const char *find_error(const struct issuer *issuer, const struct form *form, const char **text) {
    const char *challenge = form_get(form, "code_challenge"), *scope = form_get(form, "scope");
    if (!text_equal(form_get(form, "response_type"), "code")) {
        *text = "only response_type=code";
        return "unsupported_response_type";
    }
    if (!challenge || strlen(challenge) != 43 || !text_equal(form_get(form, "code_challenge_method"), "S256")) {
        *text = "PKCE with S256 is needed";
        return "invalid_request";
    }
    if (!scope || !strstr(scope, "openid")) {
        *text = "the scope openid is needed";
        return "invalid_scope";
    }
    if (!text_equal(form_get(form, "audience"), issuer->audience)) {
        *text = "Service not found: this issuer knows one audience only";
        return "access_denied";
    }
    return NULL;
}

static int append_parameter(struct buffer *url, const char *name, const char *value) {
    if (!value)
        return 0;
    AUTO_FREE char *encoded = text_percent_encode(value, strlen(value), false);
    return encoded ? buffer_append_format(url, "%c%s=%s", strchr(url->data, '?') ? '&' : '?', name, encoded) : -ENOMEM;
}

static void send_error(struct issuer *issuer, struct http_request *request, const struct form *form, const char *error,
                       const char *text) {
    AUTO_BUFFER struct buffer url = {0};
    int r = buffer_append_text(&url, form_get(form, "redirect_uri"));
    if (!r)
        r = append_parameter(&url, "error", error);
    if (!r)
        r = append_parameter(&url, "error_description", text);
    if (!r)
        r = append_parameter(&url, "state", form_get(form, "state"));
    if (!r)
        r = append_parameter(&url, "iss", issuer->url);
    if (r)
        issuer_answer_text(request, 500, "no memory\n");
    else
        issuer_answer_redirect(request, url.data);
}

/* Any page and any user of this machine can send a request: only who has the secret, or a ticket, gets a page. */
static bool is_allowed(struct issuer *issuer, const struct form *form) {
    const char *secret = form_get(form, "secret"), *ticket = form_get(form, "ticket");
    return (secret && text_equal_secret(secret, issuer->secret)) ||
           (ticket && issuer_sessions_take_ticket(issuer->sessions, ticket));
}

static int copy(char **to, const char *from) {
    *to = from ? strdup(from) : NULL;
    return from && !*to ? -ENOMEM : 0;
}

static int fill_login(struct issuer_login *login, const struct form *form) {
    int r = copy(&login->redirect_uri, form_get(form, "redirect_uri"));
    if (!r)
        r = copy(&login->state, form_get(form, "state"));
    if (!r)
        r = copy(&login->nonce, form_get(form, "nonce"));
    if (!r)
        r = copy(&login->challenge, form_get(form, "code_challenge"));
    return r ? r : copy(&login->scope, form_get(form, "scope"));
}

static void show_login(struct issuer *issuer, struct http_request *request, const struct form *form) {
    CLEANUP(issuer_login_finish) struct issuer_login login = {0};
    AUTO_SECRET char *handle = NULL;
    AUTO_FREE char *email = issuer_sessions_last_email(issuer->sessions);
    int r = fill_login(&login, form);
    if (!r)
        r = issuer_sessions_begin(issuer->sessions, &login, &handle);
    const char *hint = form_get(form, "login_hint");
    issuer_answer_page(request, 200, r ? NULL : issuer_pages_login(handle, hint ? hint : email, NULL));
}

static void authorize(struct issuer *issuer, struct http_request *request, const struct form *form) {
    const char *text = NULL;
    if (!is_allowed(issuer, form)) {
        issuer_answer_page(request, 403,
                           issuer_pages_refusal("This page was opened without its ticket",
                                                "Run 'pail demo' again and use the page that it opens, or the address "
                                                "that it prints. Each address is good once, for five minutes."));
        return;
    }
    if (!text_equal(form_get(form, "client_id"), issuer->client_id) ||
        !is_callback(issuer, form_get(form, "redirect_uri"))) {
        issuer_answer_page(request, 400,
                           issuer_pages_refusal("This is not a login of Pail",
                                                "The program that sent you here is not known, or wants the answer "
                                                "somewhere else than on this machine."));
        return;
    }
    const char *error = find_error(issuer, form, &text);
    if (error)
        send_error(issuer, request, form, error, text);
    else
        show_login(issuer, request, form);
}

void issuer_serve_authorize(struct issuer *issuer, struct http_request *request) {
    CLEANUP(form_finish) struct form form = {0};
    bool post = strcmp(request->method, "POST") == 0;
    int r = form_parse(&form, post ? (request->body ? request->body : "") : request->raw_query);
    if (r)
        issuer_answer_text(request, 400, "the request cannot be read\n");
    else
        authorize(issuer, request, &form);
}

void issuer_serve_ticket(struct issuer *issuer, struct http_request *request) {
    CLEANUP(form_finish) struct form form = {0};
    AUTO_SECRET char *ticket = NULL;
    int r = form_parse(&form, request->body ? request->body : "");
    const char *secret = r ? NULL : form_get(&form, "secret");
    if (!secret || !text_equal_secret(secret, issuer->secret)) {
        issuer_answer_error(request, 403, "access_denied", "the login secret is needed");
        return;
    }
    struct json *json = json_object();
    if (!issuer_sessions_give_ticket(issuer->sessions, &ticket))
        json_add_text(json, "ticket", ticket);
    issuer_answer_json(request, 200, json);
}

/* Simple on purpose: one @ with something on both sides, printable ASCII. In lower case. */
static char *clean_email(const char *text) {
    const char *at = strchr(text, '@');
    size_t size = strlen(text);
    if (!at || at == text || !at[1] || strchr(at + 1, '@') || size > MOST_EMAIL)
        return NULL;
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("\"<>,;:\\()", *c))
            return NULL;
    char *email = strdup(text);
    if (email)
        text_lower_ascii(email);
    return email;
}

static void go_back(struct issuer *issuer, struct http_request *request, const struct issuer_login *login,
                    const char *code) {
    AUTO_WIPE_BUFFER struct buffer url = {0};
    int r = buffer_append_text(&url, login->redirect_uri);
    if (!r)
        r = append_parameter(&url, "code", code);
    if (!r)
        r = append_parameter(&url, "state", login->state);
    if (!r)
        r = append_parameter(&url, "iss", issuer->url);
    if (r)
        issuer_answer_text(request, 500, "no memory\n");
    else
        issuer_answer_redirect(request, url.data);
}

void issuer_serve_login(struct issuer *issuer, struct http_request *request) {
    CLEANUP(form_finish) struct form form = {0};
    CLEANUP(issuer_login_finish) struct issuer_login login = {0};
    AUTO_SECRET char *code = NULL;
    int r = form_parse(&form, request->body ? request->body : "");
    const char *handle = r ? NULL : form_get(&form, "attempt"), *given = r ? NULL : form_get(&form, "email");
    if (!handle || !issuer_sessions_knows(issuer->sessions, handle)) {
        issuer_answer_page(request, 400,
                           issuer_pages_refusal("This login has ended",
                                                "It was used already, or ten minutes are over. Start it again from "
                                                "the terminal."));
        return;
    }
    AUTO_FREE char *email = clean_email(given ? given : "");
    if (!email) {
        issuer_answer_page(request, 422, issuer_pages_login(handle, given, "That is not an email address."));
        return;
    }
    if (issuer_sessions_grant(issuer->sessions, handle, email, &code, &login))
        issuer_answer_text(request, 400, "this login has ended\n");
    else
        go_back(issuer, request, &login, code);
}
