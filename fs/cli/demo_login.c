/* Logging in at the demo's own issuer.
 *
 * The issuer lets in who has the secret of this installation. A browser gets it from a page that only this user can
 * read, which posts it (what stands on a command line, everybody can read); the printed address has a ticket in its
 * place that is good once. */
#include "fs/cli/demo_login.h"

#include "auth/browser.h"
#include "auth/fetch.h"
#include "auth/login.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/cli/output.h"
#include "fs/cli/who.h"

#include <pthread.h>
#include <string.h>

/* One attempt. */
struct attempt {
    struct demo_login *login;
    struct fetch *fetch;
    char *secret, *url; /* owned; url: where login_run sends the browser */
    char *page;         /* owned: the file; NULL: none was written */
    pthread_t thread;
    bool walking;
    int result;         /* of the walk */
    struct fault fault; /* of the walk */
};

static void attempt_finish(struct attempt *attempt) {
    if (attempt->walking)
        pthread_join(attempt->thread, NULL);
    if (attempt->page)
        unlink(attempt->page);
    fetch_destroy(attempt->fetch);
    secret_free(attempt->secret);
    secret_free(attempt->url);
    free(attempt->page);
}

static int read_secret(struct attempt *attempt, struct fault *fault) {
    AUTO_FREE char *path = text_format("%s/login-secret", attempt->login->folder);
    size_t size;
    int r = path ? file_read(path, 256, &attempt->secret, &size) : -ENOMEM;
    return r ? fault_set(fault, r, "the demo's login-secret cannot be read: %s", error_text(r)) : 0;
}

/* Asks; any status but the wanted one is trouble. */
static int post(struct attempt *attempt, const char *url, const char *form, int wanted, struct fetch_answer *answer,
                struct fault *fault) {
    struct fetch_request request = {.method = form ? "POST" : "GET",
                                    .url = url,
                                    .content_type = form ? "application/x-www-form-urlencoded" : NULL,
                                    .body = form,
                                    .body_size = form ? strlen(form) : 0,
                                    .secret_answer = true};
    int r = fetch_perform(attempt->fetch, &request, answer, fault);
    if (!r && answer->status != wanted)
        r = fault_set(fault, PAIL_DENIED, "the demo's login page answers %d", answer->status);
    return r;
}

/* The walk. */

/* The value of the page's hidden field, which names this login. */
static char *find_handle(const char *html) {
    static const char mark[] = "name=\"attempt\" value=\"";
    const char *found = html ? strstr(html, mark) : NULL;
    return found ? strndup(found + strlen(mark), strcspn(found + strlen(mark), "\"")) : NULL;
}

static int open_page(struct attempt *attempt, char **handle, struct fault *fault) {
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    const char *query = strchr(attempt->url, '?');
    AUTO_SECRET char *form = query ? text_format("%s&secret=%s", query + 1, attempt->secret) : NULL;
    AUTO_FREE char *url = text_format("%sauthorize", attempt->login->issuer);
    int r = form && url ? post(attempt, url, form, 200, &answer, fault) : -ENOMEM;
    if (!r && !(*handle = find_handle(answer.body)))
        r = fault_set(fault, PAIL_DAMAGED, "the demo's login page has no form");
    return r;
}

static int answer_page(struct attempt *attempt, const char *handle, char **next, struct fault *fault) {
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    const char *email = attempt->login->email;
    AUTO_FREE char *encoded = text_percent_encode(email, strlen(email), false);
    AUTO_FREE char *url = text_format("%slogin", attempt->login->issuer);
    AUTO_SECRET char *form = encoded ? text_format("attempt=%s&email=%s", handle, encoded) : NULL;
    int r = form && url ? post(attempt, url, form, 303, &answer, fault) : -ENOMEM;
    if (r && answer.status == 422)
        return fault_set(fault, -EINVAL, "'%s' is not an email address", email);
    if (!r && !answer.location)
        r = fault_set(fault, PAIL_DAMAGED, "the demo's login leads nowhere");
    if (!r)
        *next = TAKE(answer.location);
    return r;
}

static int walk(struct attempt *attempt, struct fault *fault) {
    AUTO_SECRET char *handle = NULL, *next = NULL;
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int r = open_page(attempt, &handle, fault);
    if (!r)
        r = answer_page(attempt, handle, &next, fault);
    return r ? r : post(attempt, next, NULL, 200, &answer, fault);
}

static void *walk_main(void *context) {
    struct attempt *attempt = context;
    attempt->result = walk(attempt, &attempt->fault);
    if (attempt->result) /* nobody will come to the port where login_run waits */
        atomic_store(attempt->login->cancelled, true);
    return NULL;
}

/* The browser. */

static int append_field(struct buffer *html, const char *name, const char *value) {
    AUTO_SECRET char *escaped = text_html_escape(value);
    return escaped ? buffer_append_format(html, "<input type=\"hidden\" name=\"%s\" value=\"%s\">", name, escaped)
                   : -ENOMEM;
}

/* Each parameter of the address as a hidden field. */
static int append_query(struct buffer *html, const char *query) {
    int r = 0;
    while (*query && !r) {
        size_t size = strcspn(query, "&"), name = strcspn(query, "="), length;
        AUTO_FREE char *key = strndup(query, name);
        AUTO_FREE char *value =
            name < size ? text_percent_decode(query + name + 1, size - name - 1, true, &length) : NULL;
        r = key && value ? append_field(html, key, value) : -EINVAL;
        query += size + (query[size] == '&');
    }
    return r;
}

static int write_page(struct attempt *attempt) {
    AUTO_WIPE_BUFFER struct buffer html = {0};
    const char *query = strchr(attempt->url, '?');
    int r = buffer_append_format(&html,
                                 "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Pail</title>"
                                 "<meta name=\"referrer\" content=\"no-referrer\">"
                                 "<form method=\"post\" action=\"%sauthorize\">",
                                 attempt->login->issuer);
    if (!r)
        r = query ? append_query(&html, query + 1) : -EINVAL;
    if (!r)
        r = append_field(&html, "secret", attempt->secret);
    if (!r)
        r = buffer_append_text(&html, "<button>Sign in to Pail</button></form>"
                                      "<script>document.forms[0].submit()</script></html>\n");
    AUTO_FREE char *path = text_format("%s/login.html", attempt->login->folder);
    if (!r)
        r = path ? file_replace(path, 0600, html.data, html.size) : -ENOMEM;
    if (!r)
        attempt->page = TAKE(path);
    return r;
}

static int print_address(struct attempt *attempt, struct fault *fault) {
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    AUTO_FREE char *url = text_format("%sticket", attempt->login->issuer);
    AUTO_SECRET char *form = text_format("secret=%s", attempt->secret);
    int r = url && form ? post(attempt, url, form, 200, &answer, fault) : -ENOMEM;
    const char *ticket = r ? NULL : json_get_text(answer.json, "ticket");
    if (!r && !ticket)
        r = fault_set(fault, PAIL_DAMAGED, "the demo's login gives no ticket");
    if (r)
        return r;
    fprintf(attempt->login->cli->out, "Log in at this address (good once, for five minutes):\n\n    %s&ticket=%s\n\n",
            attempt->url, ticket);
    fflush(attempt->login->cli->out);
    return 0;
}

static int open_browser(struct attempt *attempt, struct fault *fault) {
    int r = print_address(attempt, fault);
    if (r || attempt->login->no_browser || !browser_is_likely())
        return r;
    r = write_page(attempt);
    AUTO_FREE char *encoded = r ? NULL : text_percent_encode(attempt->page, strlen(attempt->page), true);
    AUTO_FREE char *url = encoded ? text_format("file://%s", encoded) : NULL;
    if (url && browser_open(url, fault))
        cli_warn(attempt->login->cli, "%s. Open the address yourself.", fault->text);
    return 0;
}

static int send_to_login(void *context, const char *url, struct fault *fault) {
    struct attempt *attempt = context;
    attempt->url = strdup(url);
    if (!attempt->url)
        return -ENOMEM;
    if (!attempt->login->email)
        return open_browser(attempt, fault);
    attempt->walking = pthread_create(&attempt->thread, NULL, walk_main, attempt) == 0;
    return attempt->walking ? 0 : -EAGAIN;
}

/* The demo's issuer may have had to move to another port. */
static bool agree(void *context, const char *question) {
    (void)context, (void)question;
    return true;
}

static int log_in(struct demo_login *login, struct account *out, struct fault *fault) {
    CLEANUP(attempt_finish) struct attempt attempt = {.login = login};
    struct fetch_options fetch = {.timeout_ms = 60000};
    int r = fetch_create(&attempt.fetch, &fetch);
    if (!r)
        r = read_secret(&attempt, fault);
    if (r)
        return r;
    struct login_options options = {
        .server = login->server,
        .vault = ACCOUNT_VAULT_FILE, /* as the demo's own keys are; and no D-Bus is needed */
        .open = send_to_login,
        .confirm = agree,
        .context = &attempt,
        .cancelled = login->cancelled,
    };
    r = login_run(&options, out, fault);
    if (attempt.walking) {
        pthread_join(attempt.thread, NULL);
        attempt.walking = false;
    }
    if (r && attempt.result) { /* the walk's trouble is the cause */
        *fault = attempt.fault;
        return attempt.result;
    }
    return r;
}

/* Who is logged in already: this person, or with a browser whoever it was last. */
static int find_account(const struct demo_login *login, struct account *out) {
    struct account *all = NULL;
    size_t count = 0;
    int found = -ENOENT, r = account_list(&all, &count);
    for (size_t i = 0; i < count; i++) {
        bool same = text_equal(all[i].server, login->server) && text_equal(all[i].issuer, login->issuer) &&
                    (!login->email || (all[i].email && strcasecmp(all[i].email, login->email) == 0));
        if (same && found) {
            *out = all[i];
            all[i] = (struct account){0};
            found = 0;
        }
        account_finish(&all[i]);
    }
    free(all);
    return r ? r : found;
}

int demo_login_run(struct demo_login *login, struct account *out, struct fault *fault) {
    CLEANUP(mapping_session_finish) struct mapping_session session = {0};
    struct fault unused;
    int r = find_account(login, out);
    if (!r && !who_ask(out, &session, NULL, &unused))
        return 0;
    if (!r)
        account_finish(out);
    *out = (struct account){0};
    return log_in(login, out, fault);
}
