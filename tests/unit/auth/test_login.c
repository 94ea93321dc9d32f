/* Tests of auth/login.c: whole logins against an issuer in this process, with a thread in the browser's place. */
#include "auth/login.h"

#include "auth/session.h"
#include "auth/tokens.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fake_issuer.h"
#include "patience.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char root[40];
    struct fake_issuer *fake;
    struct login_options options;
    struct account account;
    struct fault fault;
    char said[8192];
    _Atomic bool cancelled;
    int confirmations;
    char link[128];
    bool agrees;
    int arrival, arrivals; /* what comes after the login; how often it came */
    /* the browser */
    bool opened, running;
    pthread_t thread;
    char *url;          /* the authorization address */
    const char *answer; /* the callback's query; STATE and ISSUER are filled in; NULL: it never comes */
    char *page;         /* what it was shown */
};

static void say(void *context, const char *text) {
    struct fixture *f = context;
    size_t size = strlen(f->said);
    snprintf(f->said + size, sizeof f->said - size, "%s\n", text);
}

static bool confirm(void *context, const char *question) {
    struct fixture *f = context;
    f->confirmations++;
    say(context, question);
    return f->agrees;
}

static void show_link(void *context, const char *url, bool whole) {
    struct fixture *f = context;
    snprintf(f->link, sizeof f->link, "%s%s", whole ? "" : "(no code) ", url);
}

static int arrived(void *context, const struct account *account, struct fault *fault) {
    struct fixture *f = context;
    struct account kept;
    f->arrivals++;
    assert_null(f->page); /* the browser still waits */
    assert_int_equal(account_load(&kept, NULL, NULL), 0);
    assert_string_equal(kept.id, account->id);
    account_finish(&kept);
    return f->arrival ? fault_set(fault, f->arrival, "the server says <no>") : 0;
}

/* The decoded value of a parameter of the authorization address. */
static char *parameter(const struct fixture *f, const char *name) {
    AUTO_FREE char *mark = text_format("%s=", name);
    for (const char *at = strchr(f->url, '?'); at; at = strchr(at + 1, '&'))
        if (text_starts(at + 1, mark)) {
            size_t size;
            const char *value = at + 1 + strlen(mark);
            return text_percent_decode(value, strcspn(value, "&"), false, &size);
        }
    return NULL;
}

static char *call(unsigned port, const char *target) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return strdup("");
    }
    AUTO_FREE char *raw = text_format("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", target, port);
    send(fd, raw, strlen(raw), MSG_NOSIGNAL);
    char *all = calloc(1, 32768);
    size_t size = 0;
    ssize_t n;
    while ((n = recv(fd, all + size, 32767 - size, 0)) > 0)
        size += (size_t)n;
    close(fd);
    return all;
}

static char *filled(const char *text, const char *name, const char *value) {
    const char *at = strstr(text, name);
    return at ? text_format("%.*s%s%s", (int)(at - text), text, value, at + strlen(name)) : strdup(text);
}

static void *browse(void *context) {
    struct fixture *f = context;
    AUTO_FREE char *redirect = parameter(f, "redirect_uri"), *sent = parameter(f, "state");
    unsigned port = 0;
    sscanf(redirect, "http://127.0.0.1:%u/callback", &port);
    free(call(port, "/favicon.ico"));
    free(call(port, "/callback?code=injected&state=guessed"));
    AUTO_FREE char *issuer = text_percent_encode(f->fake->issuer, strlen(f->fake->issuer), false);
    AUTO_FREE char *with_state = filled(f->answer, "STATE", sent), *query = filled(with_state, "ISSUER", issuer);
    AUTO_FREE char *target = text_format("/callback?%s", query);
    f->page = call(port, target);
    return NULL;
}

static int open_browser(void *context, const char *url, struct fault *fault) {
    (void)fault;
    struct fixture *f = context;
    f->opened = true;
    f->url = strdup(url);
    AUTO_FREE char *nonce = parameter(f, "nonce");
    pthread_mutex_lock(&f->fake->lock);
    if (!f->fake->nonce[0])
        snprintf(f->fake->nonce, sizeof f->fake->nonce, "%s", nonce);
    pthread_mutex_unlock(&f->fake->lock);
    f->running = f->answer && !pthread_create(&f->thread, NULL, browse, f);
    return 0;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    strcpy(f->root, "/tmp/pail-test-login-XXXXXX");
    if (!mkdtemp(f->root) || setenv("XDG_STATE_HOME", f->root, 1) || setenv("XDG_CACHE_HOME", f->root, 1))
        return -1;
    f->fake = fake_issuer_bind();
    f->fake->signer = signer_create();
    fake_issuer_run(f->fake);
    f->answer = "code=good-code&state=STATE&iss=ISSUER";
    f->options = (struct login_options){
        .server = fake_issuer_server(f->fake),
        .vault = ACCOUNT_VAULT_FILE,
        .open = open_browser,
        .say = say,
        .confirm = confirm,
        .show_link = show_link,
        .arrived = arrived,
        .context = f,
        .cancelled = &f->cancelled,
        .timeout_s = 20,
    };
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    free(f->url);
    free(f->page);
    account_finish(&f->account);
    fake_issuer_stop(f->fake);
    file_remove_tree(f->root);
    free(f);
    return 0;
}

static int log_in(struct fixture *f) {
    account_finish(&f->account);
    free(TAKE(f->url));
    free(TAKE(f->page));
    int r = login_run(&f->options, &f->account, &f->fault);
    if (f->running)
        pthread_join(f->thread, NULL);
    f->running = false;
    return r;
}

static void assert_nothing_kept(const struct fixture *f) {
    struct account none;
    assert_int_equal(account_load(&none, NULL, NULL), -ENOENT);
    AUTO_FREE char *vault = text_format("%s/pail/vault", f->root);
    if (access(vault, F_OK) == 0)
        assert_int_equal(rmdir(vault), 0); /* empty */
    assert_null(f->account.id);
}

/* The login fails with this result, the person is told `says`, and the browser, if it was opened, shows it. */
static void assert_fails(struct fixture *f, int expected, const char *says) {
    int r = log_in(f);
    if (r != expected || !strstr(f->fault.text, says))
        fail_msg("%d: %s", r, f->fault.text);
    if (f->page) {
        AUTO_FREE char *escaped = text_html_escape(says + 1); /* there it begins with a capital */
        assert_non_null(strstr(f->page, "id=\"failure\""));
        assert_non_null(strstr(f->page, escaped));
    }
    assert_nothing_kept(f);
}

static void a_login_keeps_account_and_tokens(void **state) {
    struct fixture *f = *state;
    if (log_in(f))
        fail_msg("%s", f->fault.text);
    assert_string_equal(f->account.subject, "auth0|7");
    assert_string_equal(f->account.email, "ann@example.com");
    assert_string_equal(f->account.issuer, f->fake->issuer);
    assert_string_equal(f->account.scopes, "openid offline_access email");
    assert_non_null(strstr(f->said, f->fake->issuer));
    assert_non_null(strstr(f->page, "id=\"success\""));
    assert_non_null(strstr(f->page, "ann@example.com"));
    CLEANUP(account_finish) struct account again = {0};
    assert_int_equal(account_load(&again, NULL, &f->fault), 0);
    assert_string_equal(again.id, f->account.id);
    struct session *session;
    char *token;
    assert_int_equal(session_create(&session, &again, &f->fault), 0);
    struct fetch_tokens tokens = session_tokens(session);
    assert_int_equal(tokens.get(tokens.context, NULL, &token, &f->fault), 0);
    assert_string_equal(token, "access-1-0");
    secret_free(token);
    session_destroy(session);
}

static void a_server_that_refuses_is_on_the_page(void **state) {
    struct fixture *f = *state;
    assert_int_equal(log_in(f), 0);
    assert_int_equal(f->arrivals, 1);
    assert_non_null(strstr(f->page, "id=\"success\""));
    f->arrival = PAIL_DENIED;
    f->fake->nonce[0] = 0;
    assert_int_equal(log_in(f), 0); /* the login itself is fine, and kept */
    assert_int_equal(f->arrivals, 2);
    assert_non_null(strstr(f->page, "id=\"failure\""));
    assert_non_null(strstr(f->page, "The server says &lt;no&gt;."));
    assert_null(strstr(f->page, "Nothing was kept"));
    f->options.method = LOGIN_BY_CODE;
    f->fake->gives_codes = true;
    assert_int_equal(log_in(f), 0);
    assert_int_equal(f->arrivals, 3);
}

static void a_clock_that_is_an_hour_wrong_is_named(void **state) {
    struct fixture *f = *state;
    f->fake->clock_ahead_s = 3600;
    assert_fails(f, PAIL_DENIED, "this machine's clock is about 60 minutes behind");
    f->fake->nonce[0] = 0;
    f->fake->clock_ahead_s = -3600;
    assert_fails(f, PAIL_DENIED, "this machine's clock is about 60 minutes ahead of");
    assert_int_equal(f->arrivals, 0);
}

/* Without a scheme it is https, which a server on this machine may not have. */
static void a_server_here_without_tls_is_hinted_at(void **state) {
    struct fixture *f = *state;
    f->options.server = strstr(fake_issuer_server(f->fake), "://") + 3;
    AUTO_FREE char *hint = text_format("pail login %s", fake_issuer_server(f->fake));
    assert_fails(f, PAIL_OFFLINE, hint);
    f->options.server = "no-such-host.invalid";
    assert_int_equal(log_in(f), PAIL_OFFLINE);
    assert_null(strstr(f->fault.text, "http://"));
    assert_false(f->opened);
}

static void the_request_is_what_the_rules_say(void **state) {
    struct fixture *f = *state;
    assert_int_equal(log_in(f), 0);
    AUTO_FREE char *type = parameter(f, "response_type"), *client = parameter(f, "client_id");
    AUTO_FREE char *method = parameter(f, "code_challenge_method"), *scope = parameter(f, "scope");
    AUTO_FREE char *audience = parameter(f, "audience"), *redirect = parameter(f, "redirect_uri");
    AUTO_FREE char *first_state = parameter(f, "state"), *first_nonce = parameter(f, "nonce");
    AUTO_FREE char *challenge = parameter(f, "code_challenge");
    AUTO_FREE char *expected_redirect = text_format("http://127.0.0.1:%u/callback", f->fake->ports[0]);
    assert_string_equal(type, "code");
    assert_string_equal(client, "pail");
    assert_string_equal(method, "S256");
    assert_string_equal(scope, "openid offline_access email");
    assert_string_equal(audience, f->fake->audience);
    assert_string_equal(redirect, expected_redirect);
    assert_int_equal(strlen(challenge), 43);
    assert_null(strstr(f->url, "verifier"));
    AUTO_FREE char *encoded = text_percent_encode(redirect, strlen(redirect), false);
    assert_non_null(strstr(f->fake->exchange_body, encoded));
    assert_non_null(strstr(f->fake->exchange_body, "&code_verifier="));
    assert_int_equal(f->fake->exchanges, 1);
    f->fake->nonce[0] = 0;
    assert_int_equal(log_in(f), 0);
    AUTO_FREE char *second_state = parameter(f, "state"), *second_nonce = parameter(f, "nonce");
    AUTO_FREE char *second_challenge = parameter(f, "code_challenge");
    assert_string_not_equal(first_state, second_state);
    assert_string_not_equal(first_nonce, second_nonce);
    assert_string_not_equal(challenge, second_challenge);
}

static void a_token_for_somebody_else_is_not_asked_for(void **state) {
    struct fixture *f = *state;
    strcpy(f->fake->configured_issuer, "https://login.bank.example/");
    strcpy(f->fake->audience, "https://api.bank.example");
    assert_fails(f, PAIL_DENIED, "token meant for https://api.bank.example");
    assert_false(f->opened);
    f->options.audience =
        "https://api.bank.example"; /* allowed by hand: then it goes on, to an issuer that is not there */
    strcpy(f->fake->configured_issuer, "https://no-such-issuer.invalid/");
    assert_fails(f, PAIL_OFFLINE, "no-such-issuer.invalid");
    assert_false(f->opened);
}

static void another_issuer_is_asked_about(void **state) {
    struct fixture *f = *state;
    AUTO_FREE char *path = text_format("%s/pail/issuers.json", f->root), *folder = text_format("%s/pail", f->root);
    AUTO_FREE char *known = text_format("{\"%s\":\"https://before.example/\"}", fake_issuer_server(f->fake));
    assert_int_equal(file_make_folders(folder, 0700), 0);
    assert_int_equal(file_replace(path, 0600, known, strlen(known)), 0);
    strcpy(f->fake->configured_issuer, "https://now.invalid/");
    f->options.audience = f->fake->audience;
    assert_fails(f, PAIL_DENIED, "used to send you to https://before.example/");
    assert_int_equal(f->confirmations, 1);
    f->agrees = true;
    assert_fails(f, PAIL_OFFLINE, "now.invalid");
    f->options.confirm = NULL;
    assert_fails(f, PAIL_DENIED, "used to send you to");
    assert_false(f->opened);
}

static void a_vault_that_cannot_be_used_is_found_before_the_browser(void **state) {
    struct fixture *f = *state;
    AUTO_FREE char *folder = text_format("%s/pail/vault", f->root);
    assert_int_equal(file_make_folders(folder, 0700), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(log_in(f), -EACCES);
    assert_non_null(strstr(f->fault.text, "open to other users"));
    assert_false(f->opened);
    setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
    f->options.vault = ACCOUNT_VAULT_SECRET_SERVICE;
    assert_int_equal(log_in(f), -ENOKEY);
    assert_non_null(strstr(f->fault.text, "--vault=file"));
    assert_false(f->opened);
}

static void ports_that_are_all_taken_are_named(void **state) {
    struct fixture *f = *state;
    struct http_stub *taken[3];
    for (size_t i = 0; i < 3; i++) {
        taken[i] = http_stub_bind();
        unsigned port = 0;
        sscanf(http_stub_url(taken[i]), "http://127.0.0.1:%u", &port);
        f->fake->ports[i] = (unsigned short)port;
    }
    assert_fails(f, -EADDRINUSE, "in use by another program");
    assert_false(f->opened);
    http_stub_stop(taken[1]); /* the second one is free now */
    unsigned port = f->fake->ports[1];
    assert_int_equal(log_in(f), 0);
    AUTO_FREE char *redirect = parameter(f, "redirect_uri"),
                   *expected = text_format("http://127.0.0.1:%u/callback", port);
    assert_string_equal(redirect, expected);
    http_stub_stop(taken[0]);
    http_stub_stop(taken[2]);
}

static void an_answer_of_another_issuer_is_given_up(void **state) {
    struct fixture *f = *state;
    f->answer = "code=good-code&state=STATE&iss=https%3A%2F%2Fevil.test%2F";
    assert_fails(f, PAIL_DENIED, "is not from");
    f->fake->names_itself = true; /* RFC 9207 2.4: then it must be there */
    f->answer = "code=good-code&state=STATE";
    assert_fails(f, PAIL_DENIED, "is not from");
    assert_int_equal(f->fake->exchanges, 0);
    f->fake->names_itself = false;
    f->fake->nonce[0] = 0;
    assert_int_equal(log_in(f), 0);
}

static void what_the_issuer_says_is_shown_escaped(void **state) {
    struct fixture *f = *state;
    f->answer = "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E%1b%5B31m&state=STATE";
    assert_fails(f, PAIL_DENIED, "declined (access_denied: <script>alert(1)</script> [31m)");
    assert_null(strstr(f->page, "<script"));
    f->answer = "error=server_error&state=STATE";
    assert_fails(f, PAIL_DENIED, "the issuer ended the login (server_error)");
    f->answer = "code=used-code&state=STATE";
    assert_fails(f, PAIL_DENIED, "the issuer refused the login (invalid_grant: bad <code>)");
    assert_null(strstr(f->page, "<code>"));
}

static void by_a_code_that_is_typed_elsewhere(void **state) {
    struct fixture *f = *state;
    f->options.method = LOGIN_BY_CODE;
    assert_fails(f, PAIL_UNSUPPORTED, "has no login by a code");
    f->fake->gives_codes = true;
    f->fake->pending = 1;
    assert_int_equal(log_in(f), 0);
    assert_false(f->opened);
    assert_string_equal(f->account.email, "ann@example.com");
    assert_non_null(strstr(f->said, "/activate\n"));
    assert_non_null(strstr(f->said, "WDJB-MJHT"));
    assert_non_null(strstr(f->link, "/activate?user_code=WDJB-MJHT"));
    assert_null(strstr(f->said, "device-1"));
    assert_int_equal(f->fake->polls, 2);
    AUTO_FREE char *page = call(f->fake->ports[0], "/"); /* nobody listens: nothing would come */
    assert_string_equal(page, "");
    CLEANUP(account_finish) struct account again = {0};
    assert_int_equal(account_load(&again, NULL, &f->fault), 0);
}

static void a_code_of_a_stranger_is_refused(void **state) {
    struct fixture *f = *state;
    f->options.method = LOGIN_BY_CODE;
    f->fake->gives_codes = f->fake->strangers_key = true;
    assert_fails(f, PAIL_DENIED, "signature");
    f->fake->device_status = 400;
    assert_fails(f, PAIL_DENIED, "unauthorized_client");
}

/* Without a screen a code is what fits; where the issuer gives none, the address that is printed must do. */
static void without_a_screen(void **state) {
    struct fixture *f = *state;
    static const char *const screens[] = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"};
    for (size_t i = 0; i < 3; i++)
        unsetenv(screens[i]);
    f->options.open = NULL;
    f->fake->gives_codes = true;
    assert_int_equal(log_in(f), 0);
    assert_non_null(strstr(f->said, "WDJB-MJHT"));
    assert_int_equal(login_end(&f->account, &f->fault), 0);
    f->said[0] = 0;
    f->fake->device_status = 403;
    f->options.timeout_s = 1;
    assert_int_equal(log_in(f), -ETIMEDOUT);
    assert_non_null(strstr(f->said, "unauthorized_client"));
    assert_non_null(strstr(f->said, "Open this address in your browser"));
    f->said[0] = 0;
    f->fake->device_status = 0;
    f->options.no_browser = true; /* the address is what the person wants */
    assert_int_equal(log_in(f), -ETIMEDOUT);
    assert_null(strstr(f->said, "WDJB-MJHT"));
}

static void signing_up_and_another_person_are_asked_for(void **state) {
    struct fixture *f = *state;
    assert_int_equal(log_in(f), 0);
    AUTO_FREE char *without = parameter(f, "screen_hint"), *no_prompt = parameter(f, "prompt");
    assert_null(without);
    assert_null(no_prompt);
    f->fake->nonce[0] = 0;
    f->options.signup = f->options.another = true;
    assert_int_equal(log_in(f), 0);
    AUTO_FREE char *hint = parameter(f, "screen_hint"), *prompt = parameter(f, "prompt");
    assert_string_equal(hint, "signup");
    assert_string_equal(prompt, "login");
}

static void an_id_token_that_is_wrong_ends_it(void **state) {
    struct fixture *f = *state;
    strcpy(f->fake->nonce, "of-another-attempt");
    assert_fails(f, PAIL_DENIED, "another login");
    f->fake->nonce[0] = 0;
    strcpy(f->fake->id_issuer, "https://evil.test/");
    assert_fails(f, PAIL_DENIED, "another issuer");
    f->fake->id_issuer[0] = f->fake->nonce[0] = 0;
    f->fake->strangers_key = true;
    assert_fails(f, PAIL_DENIED, "signature");
    f->fake->strangers_key = false;
    f->fake->nonce[0] = 0;
    f->fake->no_id = true;
    assert_fails(f, PAIL_DENIED, "no ID token");
    f->fake->no_id = false;
    f->fake->nonce[0] = 0;
    f->fake->no_refresh = true;
    assert_fails(f, PAIL_DAMAGED, "offline access");
}

static void it_ends_on_time_and_when_cancelled(void **state) {
    struct fixture *f = *state;
    f->answer = NULL;
    f->options.timeout_s = 1;
    assert_fails(f, -ETIMEDOUT, "nobody logged in");
    f->cancelled = true;
    f->options.timeout_s = 2 * PATIENCE_MS / 1000;
    int64_t before = clock_monotonic_ms();
    assert_fails(f, PAIL_CANCELLED, "cancelled");
    assert_true(clock_monotonic_ms() - before < SOON_MS);
    AUTO_FREE char *page = call(f->fake->ports[0], "/"); /* nobody listens any more */
    assert_string_equal(page, "");
}

static void a_server_that_is_none_is_told(void **state) {
    struct fixture *f = *state;
    f->options.server = "http://127.0.0.1:1";
    assert_fails(f, PAIL_OFFLINE, "127.0.0.1:1");
    f->options.server = "http://drive.example.com";
    assert_fails(f, -EINVAL, "https://drive.example.com");
    f->fake->discovery_status = 404;
    f->options.server = fake_issuer_server(f->fake);
    assert_fails(f, PAIL_DAMAGED, "404");
    assert_false(f->opened);
}

static void addresses_are_brought_into_one_form(void **state) {
    (void)state;
    static const struct {
        const char *text, *url;
    } table[] = {
        {"drive.example.com", "https://drive.example.com"},
        {"drive.example.com:8443/", "https://drive.example.com:8443"},
        {"HTTPS://Drive.Example.com:443//", "https://drive.example.com"},
        {"https://example.com/Pail/", "https://example.com/Pail"},
        {"http://127.0.0.1:4000/", "http://127.0.0.1:4000"},
        {"http://example.com", NULL},
        {"https://a@example.com", NULL},
        {"https://example.com/?x", NULL},
        {"https://example.com/#x", NULL},
        {"ftp://example.com", NULL},
        {"", NULL},
        {"a b", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fault fault;
        AUTO_FREE char *url = login_server_url(table[i].text, &fault);
        if (!text_equal(url, table[i].url))
            fail_msg("%s: %s", table[i].text, url ? url : "(none)");
    }
}

static void logging_out_revokes_and_wipes(void **state) {
    struct fixture *f = *state;
    assert_int_equal(log_in(f), 0);
    assert_int_equal(login_end(&f->account, &f->fault), 0);
    assert_string_equal(f->fault.text, "");
    assert_int_equal(f->fake->revoked, 1);
    CLEANUP(vault_destroy_p) struct vault *vault = NULL;
    struct token_set none;
    assert_int_equal(vault_open(&vault, ACCOUNT_VAULT_FILE, NULL), 0);
    assert_int_equal(tokens_load(vault, &f->account, &none, NULL), -ENOENT);
    assert_int_equal(login_end(&f->account, &f->fault), 0); /* again: nothing to do */
    assert_int_equal(f->fake->revoked, 1);
}

static void logging_out_works_without_the_issuer_and_says_so(void **state) {
    struct fixture *f = *state;
    assert_int_equal(log_in(f), 0);
    f->fake->discovery_status = 503;
    assert_int_equal(login_end(&f->account, &f->fault), 0);
    assert_non_null(strstr(f->fault.text, "logged out here"));
    CLEANUP(vault_destroy_p) struct vault *vault = NULL;
    struct token_set none;
    assert_int_equal(vault_open(&vault, ACCOUNT_VAULT_FILE, NULL), 0);
    assert_int_equal(tokens_load(vault, &f->account, &none, NULL), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_login_keeps_account_and_tokens),
        TEST(a_server_that_refuses_is_on_the_page),
        TEST(a_clock_that_is_an_hour_wrong_is_named),
        TEST(a_server_here_without_tls_is_hinted_at),
        TEST(the_request_is_what_the_rules_say),
        TEST(a_token_for_somebody_else_is_not_asked_for),
        TEST(another_issuer_is_asked_about),
        TEST(a_vault_that_cannot_be_used_is_found_before_the_browser),
        TEST(ports_that_are_all_taken_are_named),
        TEST(an_answer_of_another_issuer_is_given_up),
        TEST(what_the_issuer_says_is_shown_escaped),
        TEST(by_a_code_that_is_typed_elsewhere),
        TEST(a_code_of_a_stranger_is_refused),
        TEST(without_a_screen),
        TEST(signing_up_and_another_person_are_asked_for),
        TEST(an_id_token_that_is_wrong_ends_it),
        TEST(it_ends_on_time_and_when_cancelled),
        TEST(a_server_that_is_none_is_told),
        TEST(logging_out_revokes_and_wipes),
        TEST(logging_out_works_without_the_issuer_and_says_so),
        cmocka_unit_test(addresses_are_brought_into_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
