/* Logging in and out: the order of things. Whatever can be found wrong is found before the browser opens. */
#include "auth/login.h"

#include "auth/browser.h"
#include "auth/device.h"
#include "auth/discovery.h"
#include "auth/id_token.h"
#include "auth/jwks.h"
#include "auth/loopback.h"
#include "auth/page.h"
#include "auth/pkce.h"
#include "auth/tokens.h"
#include "auth/trust.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 300, FETCH_MS = 20000, MAX_ANSWER = 256 << 10, LOCK_WAIT_MS = 10000 };

/* One attempt. */
struct login {
    const struct login_options *options; /* borrowed */
    char *server;                        /* owned, as all that follows */
    struct fetch *fetch;
    struct configuration configuration;
    struct discovery discovery;
    struct jwks *keys;
    struct pkce pkce;
    struct loopback *loopback; /* NULL: by a code */
    struct device device;
    struct token_set tokens;
    struct id_token person;
};

static void login_finish(struct login *login) {
    free(login->server);
    configuration_finish(&login->configuration);
    discovery_finish(&login->discovery);
    jwks_destroy(login->keys);
    pkce_wipe(&login->pkce);
    loopback_destroy(login->loopback);
    device_finish(&login->device);
    token_set_finish(&login->tokens);
    id_token_finish(&login->person);
    fetch_destroy(login->fetch);
}

static void say(const struct login *login, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct login *login, const char *format, ...) {
    if (!login->options->say)
        return;
    AUTO_FREE char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    if (text)
        login->options->say(login->options->context, text);
}

/* Before the browser. */

char *login_server_url(const char *text, struct fault *fault) {
    AUTO_FREE char *whole = text_format("%s%s", strstr(text, "://") ? "" : "https://", text);
    AUTO_FREE char *origin = whole ? fetch_url_origin(whole) : NULL;
    if (!origin || strpbrk(whole, "?# ") || !fetch_url_allowed(whole)) {
        fault_set(fault, -EINVAL, "'%s' is not the address of a Pail server: it looks like https://drive.example.com",
                  text);
        return NULL;
    }
    const char *path = strchr(strstr(whole, "://") + 3, '/');
    char *url = text_format("%s%s", origin, path ? path : "");
    for (size_t size = url ? strlen(url) : 0; size && url[size - 1] == '/'; size--)
        url[size - 1] = 0;
    return url;
}

/* A damaged memory of issuers is told as what it is, and not taken for "no issuer known". */
static int check_issuer(const struct login *login, struct fault *fault) {
    AUTO_FREE char *known = NULL;
    int r = account_known_issuer(login->server, &known);
    if (r && r != -ENOENT)
        return fault_set(fault, r, "the list of known issuers cannot be read: %s", error_text(r));
    r = trust_issuer(login->server, known, login->configuration.issuer, fault);
    if (!r || !login->options->confirm)
        return r;
    AUTO_FREE char *question = text_format("%s used to send you to %s to log in, and now to %s. Is that right?",
                                           login->server, known, login->configuration.issuer);
    return question && login->options->confirm(login->options->context, question) ? 0 : r;
}

/* A host without a scheme is asked over https. On this machine there may be a server that has no TLS. */
static int hint_at_http(const struct login *login, int r, struct fault *fault) {
    const char *host = strstr(login->server, "://") + 3;
    if (r != PAIL_OFFLINE || strstr(login->options->server, "://") || !fetch_url_is_loopback(login->server))
        return r;
    struct fault why = *fault;
    return fault_set(fault, r, "%s. If it is a server without TLS: pail login http://%s", why.text, host);
}

static int learn_server(struct login *login, struct fault *fault) {
    struct fetch_options options = {
        .ca_file = login->options->ca_file, .timeout_ms = FETCH_MS, .max_answer = MAX_ANSWER};
    int r = fetch_create(&login->fetch, &options);
    if (r)
        return r;
    login->server = login_server_url(login->options->server, fault);
    if (!login->server)
        return -EINVAL;
    r = configuration_fetch(&login->configuration, login->fetch, login->server, login->options->cancelled, fault);
    if (r)
        return hint_at_http(login, r, fault);
    r = trust_audience(login->server, login->configuration.issuer, login->configuration.audience,
                       login->options->audience, fault);
    if (!r)
        r = check_issuer(login, fault);
    return r;
}

/* VAULT_CLOSED ends here: to the caller it is a key that cannot be had. */
static int vault_result(const struct login *login, int r) {
    const _Atomic bool *cancelled = login->options->cancelled;
    if (r != VAULT_CLOSED)
        return r;
    return cancelled && atomic_load(cancelled) ? PAIL_CANCELLED : -ENOKEY;
}

static int probe_vault(const struct login *login, struct fault *fault) {
    CLEANUP(vault_destroy_p) struct vault *vault = NULL;
    int r = vault_open(&vault, login->options->vault, fault);
    if (!r)
        r = vault_probe(vault, login->options->cancelled, fault);
    return vault_result(login, r);
}

/* A code to type on another device, where that is wanted, or the only way that is easy here. *begun: it is there. */
static int begin_code(struct login *login, bool *begun, struct fault *fault) {
    const struct login_options *options = login->options;
    bool forced = options->method == LOGIN_BY_CODE;
    *begun = false;
    if (!forced && (options->open || options->no_browser || options->signup || browser_is_likely()))
        return 0;
    if (!login->discovery.device_url)
        return forced ? fault_set(fault, PAIL_UNSUPPORTED,
                                  "%s has no login by a code (RFC 8628); run 'pail login --no-browser'",
                                  login->discovery.issuer)
                      : 0;
    const struct device_request request = {.client_id = login->configuration.client_id,
                                           .scopes = login->configuration.scopes,
                                           .audience = login->configuration.audience};
    int r =
        device_begin(&login->device, login->fetch, login->discovery.device_url, &request, options->cancelled, fault);
    *begun = !r;
    if (forced || (r != PAIL_DENIED && r != PAIL_DAMAGED))
        return r;
    say(login, "%s.", fault->text);
    fault->text[0] = 0;
    return 0;
}

static int begin_browser(struct login *login, struct fault *fault) {
    int r = pkce_make(&login->pkce);
    return r ? r : loopback_open(&login->loopback, login->configuration.ports, login->configuration.port_count, fault);
}

static int prepare(struct login *login, struct fault *fault) {
    bool code = false;
    int r = learn_server(login, fault);
    if (!r)
        r = probe_vault(login, fault);
    if (!r)
        r = discovery_fetch(&login->discovery, login->fetch, login->configuration.issuer, login->options->cancelled,
                            fault);
    if (!r)
        r = begin_code(login, &code, fault);
    return r || code ? r : begin_browser(login, fault);
}

/* The browser. */

/* OpenID Connect Core 3.1.2.1, RFC 7636 4.3; audience is Auth0's. */
static char *authorization_url(const struct login *login) {
    const struct {
        const char *name, *value;
    } parameters[] = {
        {"response_type", "code"},
        {"client_id", login->configuration.client_id},
        {"redirect_uri", loopback_redirect_uri(login->loopback)},
        {"scope", login->configuration.scopes},
        {"audience", login->configuration.audience},
        {"state", login->pkce.state},
        {"nonce", login->pkce.nonce},
        {"code_challenge", login->pkce.challenge},
        {"code_challenge_method", "S256"},
        {"prompt", login->options->another ? "login" : NULL},      /* OpenID Connect Core 3.1.2.1 */
        {"screen_hint", login->options->signup ? "signup" : NULL}, /* Auth0's */
    };
    AUTO_BUFFER struct buffer url = {0};
    int r = buffer_append_text(&url, login->discovery.authorization_url);
    char mark = strchr(login->discovery.authorization_url, '?') ? '&' : '?';
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters && !r; i++, mark = '&') {
        if (!parameters[i].value)
            continue;
        AUTO_FREE char *value = text_percent_encode(parameters[i].value, strlen(parameters[i].value), false);
        r = value ? buffer_append_format(&url, "%c%s=%s", mark, parameters[i].name, value) : -ENOMEM;
    }
    return r ? NULL : buffer_take(&url);
}

static int open_system_browser(const struct login *login, const char *url) {
    struct fault fault = {{0}};
    if (!login->options->no_browser && browser_is_likely()) {
        if (!browser_open(url, &fault))
            return 0;
        say(login, "%s. Open the address yourself.", fault.text);
    }
    if (getenv("SSH_CONNECTION"))
        say(login,
            "The browser must run on this machine, or reach it: `ssh -L %u:127.0.0.1:%u ...` from where your browser "
            "is.",
            loopback_port(login->loopback), loopback_port(login->loopback));
    return 0;
}

static int send_to_browser(const struct login *login, struct fault *fault) {
    AUTO_FREE char *url = authorization_url(login);
    if (!url)
        return -ENOMEM;
    if (login->options->open)
        return login->options->open(login->options->context, url, fault);
    say(login, "Open this address in your browser:\n\n    %s\n", url);
    return open_system_browser(login, url);
}

/* The answer. */

/* RFC 9207 2.4: an answer that another issuer sent must not reach this one's token endpoint. */
static int check_sender(const struct login *login, const struct loopback_answer *answer, struct fault *fault) {
    if (answer->issuer ? text_equal(answer->issuer, login->discovery.issuer) : !login->discovery.names_itself)
        return 0;
    return fault_set(fault, PAIL_DENIED,
                     "the answer that came to the browser is not from %.200s; the login was given up for safety",
                     login->discovery.issuer);
}

static int tell_refusal(const struct loopback_answer *answer, struct fault *fault) {
    AUTO_FREE char *words = text_format("%.60s%s%.300s", answer->error, answer->error_more ? ": " : "",
                                        answer->error_more ? answer->error_more : "");
    for (char *at = words; at && *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    if (!strcmp(answer->error, "access_denied"))
        return fault_set(fault, PAIL_DENIED, "the login was declined (%s)", words ? words : "");
    return fault_set(fault, PAIL_DENIED, "the issuer ended the login (%s)", words ? words : "");
}

static int fetch_keys(struct login *login, struct fault *fault) {
    struct fetch_request request = {
        .method = "GET", .url = login->discovery.keys_url, .cancelled = login->options->cancelled};
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int r = fetch_perform(login->fetch, &request, &answer, fault);
    if (r)
        return r;
    if (answer.status != 200)
        return fault_set(fault, PAIL_OFFLINE, "the issuer's keys cannot be had (HTTP %d); try again", answer.status);
    return jwks_parse(&login->keys, answer.json, fault);
}

static int identify(struct login *login, struct fault *fault) {
    if (!login->tokens.id)
        return fault_set(fault, PAIL_DENIED, "the issuer did not say who logged in (no ID token)");
    int r = fetch_keys(login, fault);
    if (r)
        return r;
    struct id_token_expected expected = {
        .issuer = login->discovery.issuer,
        .client_id = login->configuration.client_id,
        .nonce = login->loopback ? login->pkce.nonce : NULL,
        .now_s = clock_realtime_s(),
    };
    return id_token_check(&login->person, login->tokens.id, login->keys, &expected, fault);
}

static int redeem(struct login *login, const struct loopback_answer *answer, struct fault *fault) {
    int r = check_sender(login, answer, fault);
    if (!r && answer->error)
        r = tell_refusal(answer, fault);
    if (r)
        return r;
    struct token_code code = {
        .code = answer->code,
        .verifier = login->pkce.verifier,
        .redirect_uri = loopback_redirect_uri(login->loopback),
        .client_id = login->configuration.client_id,
    };
    r = token_exchange(&login->tokens, login->fetch, login->discovery.token_url, &code, login->options->cancelled,
                       fault);
    return r ? r : identify(login, fault);
}

/* Keeping it. */

static int copy(char **to, const char *from) {
    if (!from)
        return 0;
    *to = strdup(from);
    return *to ? 0 : -ENOMEM;
}

static int fill_account(const struct login *login, struct account *out) {
    AUTO_FREE char *ca_file = login->options->ca_file ? realpath(login->options->ca_file, NULL) : NULL;
    out->vault = login->options->vault;
    int r = copy(&out->server, login->server);
    if (!r)
        r = copy(&out->issuer, login->discovery.issuer);
    if (!r)
        r = copy(&out->client_id, login->configuration.client_id);
    if (!r)
        r = copy(&out->audience, login->configuration.audience);
    if (!r)
        r = copy(&out->scopes, login->configuration.scopes);
    if (!r)
        r = copy(&out->subject, login->person.subject);
    if (!r)
        r = copy(&out->email, login->person.email);
    if (!r)
        r = copy(&out->ca_file, ca_file);
    return r ? r : account_derive(out);
}

/* Under the lock: a mount of this account may be renewing its old tokens right now. */
static int keep(const struct login *login, struct account *out, struct fault *fault) {
    CLEANUP(vault_destroy_p) struct vault *vault = NULL;
    AUTO_CLOSE int lock_fd = -1;
    int r = fill_account(login, out);
    if (!r)
        r = vault_open(&vault, out->vault, fault);
    if (!r)
        r = tokens_lock(out, LOCK_WAIT_MS, &lock_fd, fault);
    if (!r)
        r = tokens_store(vault, out, &login->tokens, fault);
    if (r)
        return vault_result(login, r);
    r = account_save(out, fault);
    if (r)
        vault_erase(vault, out->id, NULL);
    return r;
}

static void show_page(const struct login *login, bool good, const char *title, const char *text, const char *detail) {
    AUTO_FREE char *html = text ? page_render(good, title, text, detail) : NULL;
    if (html)
        loopback_reply(login->loopback, html);
}

/* The terminal's words as a sentence: "The login was declined (...)." */
static char *sentence_of(int result, const struct fault *fault) {
    const char *words = fault->text[0] ? fault->text : error_text(result);
    char *sentence = text_format("%s%s", words, text_ends(words, ".") ? "" : ".");
    if (sentence && sentence[0] >= 'a' && sentence[0] <= 'z')
        sentence[0] = (char)(sentence[0] - 'a' + 'A');
    return sentence;
}

static int arrive(const struct login *login, const struct account *account, struct fault *fault) {
    return login->options->arrived ? login->options->arrived(login->options->context, account, fault) : 0;
}

static void arrive_and_show(const struct login *login, const struct account *account) {
    struct fault fault = {{0}};
    int r = arrive(login, account, &fault);
    AUTO_FREE char *why = r ? sentence_of(r, &fault) : NULL;
    if (r)
        show_page(login, false, "You are logged in, but have no bucket", why,
                  "The login is kept. The terminal says the same.");
    else
        show_page(login, true, "You are logged in", account->email ? account->email : account->subject,
                  "Pail goes on in the terminal.");
}

static void show_code(const struct login *login) {
    const struct device *device = &login->device;
    say(login, "Open this address in a browser, on any device:\n\n    %s\n\nand type this code there:\n\n    %s\n",
        device->url, device->user_code);
    if (login->options->show_link)
        login->options->show_link(login->options->context, device->url_whole ? device->url_whole : device->url,
                                  device->url_whole);
}

static int run_by_code(struct login *login, struct account *out, struct fault *fault) {
    show_code(login);
    int64_t limit_s = login->options->timeout_s > 0 ? login->options->timeout_s : login->device.life_s;
    say(login, "Waiting for the code to be typed, for %lld seconds at most; ^C ends it.", (long long)limit_s);
    int r = device_wait(&login->device, &login->tokens, login->fetch, login->discovery.token_url,
                        login->configuration.client_id, login->options->timeout_s, login->options->cancelled, fault);
    if (!r)
        r = identify(login, fault);
    if (!r)
        r = keep(login, out, fault);
    if (!r)
        arrive(login, out, &(struct fault){{0}});
    return r;
}

static int run_by_browser(struct login *login, struct account *out, struct fault *fault) {
    int r = send_to_browser(login, fault);
    if (r)
        return r;
    int timeout_s = login->options->timeout_s > 0 ? login->options->timeout_s : TIMEOUT_S;
    say(login, "Waiting for the browser, for %d seconds at most; ^C ends it.", timeout_s);
    CLEANUP(loopback_answer_finish) struct loopback_answer answer = {0};
    r = loopback_wait(login->loopback, login->pkce.state, timeout_s, login->options->cancelled, &answer, fault);
    if (r)
        return r;
    r = redeem(login, &answer, fault);
    if (!r)
        r = keep(login, out, fault);
    AUTO_FREE char *why = r ? sentence_of(r, fault) : NULL;
    if (r)
        show_page(login, false, "You are not logged in", why,
                  "Nothing was kept. The terminal says the same; 'pail login' starts again.");
    else
        arrive_and_show(login, out);
    return r;
}

static int run(struct login *login, struct account *out, struct fault *fault) {
    int r = prepare(login, fault);
    if (r)
        return r;
    say(login, "Logging in to %s; its issuer is %s", login->server, login->discovery.issuer);
    return login->loopback ? run_by_browser(login, out, fault) : run_by_code(login, out, fault);
}

int login_run(const struct login_options *options, struct account *out, struct fault *fault) {
    CLEANUP(login_finish) struct login login = {.options = options};
    struct fault scratch = {{0}};
    *out = (struct account){0};
    fault = fault ? fault : &scratch;
    fault->text[0] = 0;
    int r = run(&login, out, fault);
    if (r)
        account_finish(out);
    return r;
}

/* Out. */

static int revoke_token(const struct account *account, const char *refresh, struct fault *fault) {
    struct fetch *fetch = NULL;
    struct fetch_options options = {.ca_file = account->ca_file, .timeout_ms = FETCH_MS, .max_answer = MAX_ANSWER};
    int r = fetch_create(&fetch, &options);
    if (r)
        return r;
    CLEANUP(discovery_finish) struct discovery discovery = {0};
    r = discovery_fetch(&discovery, fetch, account->issuer, NULL, fault);
    if (!r && discovery.revocation_url)
        r = token_revoke(fetch, discovery.revocation_url, account->client_id, refresh, fault);
    fetch_destroy(fetch);
    return r;
}

int login_end(const struct account *account, struct fault *fault) {
    CLEANUP(vault_destroy_p) struct vault *vault = NULL;
    CLEANUP(token_set_finish) struct token_set tokens = {0};
    AUTO_CLOSE int lock_fd = -1;
    int r = vault_open(&vault, account->vault, fault);
    if (!r)
        r = tokens_lock(account, LOCK_WAIT_MS, &lock_fd, fault);
    if (r)
        return r == VAULT_CLOSED ? -ENOKEY : r;
    int found = tokens_load(vault, account, &tokens, fault);
    struct fault erasing = {{0}}, revoking = {{0}};
    r = vault_erase(vault, account->id, &erasing);
    if (r) {
        *fault = erasing;
        return r == VAULT_CLOSED ? -ENOKEY : r;
    }
    if (found == 0 && revoke_token(account, tokens.refresh, &revoking))
        fault_prefix(&revoking, 0, "logged out here, but the issuer may still honour the old login until it ends");
    *fault = revoking;
    return 0;
}
