/* `pail login`: logs in at a mapping server, in the browser or by a code. */
#include "auth/login.h"

#include "auth/session.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/interrupt.h"
#include "fs/cli/output.h"
#include "fs/cli/qr.h"
#include "fs/cli/who.h"

#include <string.h>
#include <unistd.h>

enum { NO_BROWSER = CLI_LONG_ONLY, DEVICE, SIGNUP, ANOTHER, VAULT, AUDIENCE, CA_FILE, ACCEPT_ISSUER };

static const struct cli_option options[] = {
    {DEVICE, "device", NULL, "by a short code that is typed in a browser on any device"},
    {SIGNUP, "signup", NULL, "begin at the page where a new person registers"},
    {ANOTHER, "another", NULL, "as another person, beside who is logged in at that server already"},
    {NO_BROWSER, "no-browser", NULL, "only print the address, open nothing"},
    {VAULT, "vault", "KIND", "secret-service (the desktop's keyring; default) or file (0600, in the state folder)"},
    {AUDIENCE, "audience", "URL", "let a server have tokens that are meant for another address, this one"},
    {CA_FILE, "ca-file", "FILE", "trust the authorities in this file in place of the system's"},
    {ACCEPT_ISSUER, "accept-issuer", NULL, "agree that the server has changed where people log in"},
    {0},
};

struct wish {
    const char *server, *audience, *ca_file;
    bool device, signup, another, no_browser, accept_issuer, vault_chosen;
    enum account_vault vault;
};

struct talk {
    struct cli *cli;
    bool accept_issuer;
    struct interrupt interrupt;
    /* What the server said once the login was kept. */
    int result;
    struct mapping_session session; /* owned; of result 0 */
    struct fault fault;
};

/* Line by line: what comes from a server must not drive the terminal. */
static void say(void *context, const char *text) {
    struct talk *talk = context;
    for (const char *line = text, *end; line; line = *end ? end + 1 : NULL) {
        end = line + strcspn(line, "\n");
        AUTO_FREE char *raw = strndup(line, (size_t)(end - line));
        AUTO_FREE char *safe = raw ? cli_printable(raw) : NULL;
        fprintf(talk->cli->out, "%s\n", safe ? safe : "");
    }
    fflush(talk->cli->out);
}

/* A picture of the address, for a phone's camera. */
static void show_link(void *context, const char *url, bool whole) {
    struct talk *talk = context;
    AUTO_FREE char *picture = talk->cli->out_is_terminal ? qr_picture(url) : NULL;
    if (!picture)
        return;
    fprintf(talk->cli->out, "%s\n%s\n", whole ? "Or, with the code in it:" : "The address again:", picture);
    fflush(talk->cli->out);
}

static bool confirm(void *context, const char *question) {
    struct talk *talk = context;
    if (talk->accept_issuer)
        return true;
    if (!talk->cli->out_is_terminal || !isatty(STDIN_FILENO))
        return false;
    say(context, question);
    fputs("Type yes to go on: ", talk->cli->out);
    fflush(talk->cli->out);
    char answer[8];
    return fgets(answer, sizeof answer, stdin) && !strcmp(answer, "yes\n");
}

static int read_vault(struct cli *cli, const char *value, struct wish *wish) {
    wish->vault_chosen = true;
    wish->vault = ACCOUNT_VAULT_FILE;
    if (!strcmp(value, "file"))
        return 0;
    wish->vault = ACCOUNT_VAULT_SECRET_SERVICE;
    if (!strcmp(value, "secret-service"))
        return 0;
    return cli_usage_error(cli, &cli_command_login, "--vault is secret-service or file, not '%s'", value);
}

static int read_wish(struct cli *cli, int argc, char **argv, struct wish *wish) {
    struct cli_reader reader = cli_reader(cli, &cli_command_login, argc, argv);
    const char *value;
    int id, r = 0;
    while (!r && (id = cli_read(&reader, &value)) != 0) {
        if (id < 0)
            return CLI_EXIT_USAGE;
        if (id == DEVICE)
            wish->device = true;
        else if (id == SIGNUP)
            wish->signup = true;
        else if (id == ANOTHER)
            wish->another = true;
        else if (id == NO_BROWSER)
            wish->no_browser = true;
        else if (id == ACCEPT_ISSUER)
            wish->accept_issuer = true;
        else if (id == AUDIENCE)
            wish->audience = value;
        else if (id == CA_FILE)
            wish->ca_file = value;
        else if (id == VAULT)
            r = read_vault(cli, value, wish);
        else if (wish->server)
            return cli_usage_error(cli, &cli_command_login, "one server at a time");
        else
            wish->server = value;
    }
    if (!r && wish->device && (wish->signup || wish->no_browser))
        return cli_usage_error(cli, &cli_command_login, "--device goes with neither --signup nor --no-browser");
    return r;
}

/* What was said at the last login holds until something else is said. */
static void remember(struct wish *wish, const struct account *last) {
    wish->server = last->server; /* what was said may be the account's email or id */
    if (!wish->vault_chosen)
        wish->vault = last->vault;
    if (!wish->ca_file)
        wish->ca_file = last->ca_file;
}

/* Whether that account's login is still good, or cannot be tried right now: then it is not thrown away. Prints. */
static bool is_logged_in(struct cli *cli, const struct account *account) {
    CLEANUP(mapping_session_finish) struct mapping_session session = {0};
    struct fault fault = {{0}};
    int r = who_ask(account, &session, NULL, &fault);
    if (r == PAIL_LOGIN_REQUIRED || (r && r != PAIL_OFFLINE))
        return false;
    bool current = account_is_current(account);
    if (!current && account_make_current(account, &fault))
        cli_warn(cli, "%s", fault.text);
    fputs(current ? "Already logged in.\n" : "Already logged in; from now on this is the current account.\n", cli->out);
    who_print(cli, account, r ? NULL : &session);
    if (r)
        cli_warn(cli, "right now nothing can be asked: %s", fault.text);
    fputs("`pail login --another` logs a second person in beside this one, `pail logout` ends this login.\n", cli->out);
    return true;
}

/* The browser waits for this as well. ^C needs nothing but the end from here on: the login is kept. */
static int arrived(void *context, const struct account *account, struct fault *fault) {
    struct talk *talk = context;
    interrupt_end(&talk->interrupt);
    talk->result = who_ask(account, &talk->session, NULL, &talk->fault);
    *fault = talk->fault;
    return talk->result;
}

static int after_login(struct cli *cli, struct talk *talk, const struct account *account) {
    if (talk->result) {
        fault_prefix(&talk->fault, talk->result, "you are logged in, but the server gave no bucket");
        return cli_fail(cli, talk->result, &talk->fault);
    }
    fputs("Logged in.\n", cli->out);
    who_print(cli, account, &talk->session);
    if (account->vault == ACCOUNT_VAULT_FILE)
        fputs("The login is kept in a file that only you can read (--vault=file).\n", cli->out);
    fputs("`pail mount` makes the bucket a folder.\n", cli->out);
    return CLI_EXIT_FINE;
}

static int log_in(struct cli *cli, const struct wish *wish) {
    struct talk talk = {.cli = cli, .accept_issuer = wish->accept_issuer};
    interrupt_begin(&talk.interrupt);
    struct login_options login = {
        .server = wish->server,
        .ca_file = wish->ca_file,
        .audience = wish->audience,
        .vault = wish->vault,
        .method = wish->device ? LOGIN_BY_CODE : LOGIN_AS_FITS,
        .no_browser = wish->no_browser,
        .signup = wish->signup,
        .another = wish->another,
        .show_link = show_link,
        .say = say,
        .confirm = confirm,
        .arrived = arrived,
        .context = &talk,
        .cancelled = &talk.interrupt.cancelled,
    };
    CLEANUP(account_finish) struct account account = {0};
    struct fault fault = {{0}};
    int r = login_run(&login, &account, &fault);
    interrupt_end(&talk.interrupt);
    r = r ? cli_fail(cli, r, &fault) : after_login(cli, &talk, &account);
    mapping_session_finish(&talk.session);
    return r;
}

/* The account that the person means: named, or of the server that is named, or the current one. -ENOENT: a new one. */
static int find_account(const struct wish *wish, struct account *out, struct fault *fault) {
    int r = account_load(out, wish->server, fault);
    if (r == -ENOENT && wish->server) {
        AUTO_FREE char *url = login_server_url(wish->server, fault);
        r = url ? account_load(out, url, fault) : -EINVAL;
    }
    return r == -ENOTUNIQ && wish->another ? -ENOENT : r;
}

static int run(struct cli *cli, int argc, char **argv) {
    struct wish wish = {.vault = ACCOUNT_VAULT_SECRET_SERVICE};
    struct fault fault = {{0}};
    int r = read_wish(cli, argc, argv, &wish);
    if (r)
        return r;
    CLEANUP(account_finish) struct account last = {0};
    r = find_account(&wish, &last, &fault);
    if (r && r != -ENOENT)
        return cli_fail(cli, r, &fault);
    if (r && !wish.server)
        return cli_usage_error(cli, &cli_command_login,
                               "which server? Its address looks like https://drive.example.com");
    if (!r) {
        bool same_vault = !wish.vault_chosen || wish.vault == last.vault;
        if (same_vault && !wish.another && is_logged_in(cli, &last))
            return CLI_EXIT_FINE;
        remember(&wish, &last);
    }
    return log_in(cli, &wish);
}

const struct cli_command cli_command_login = {
    .name = "login",
    .summary = "Log in at a mapping server, in the browser",
    .usage = "[SERVER | ACCOUNT] [--another] [--device] [--signup] [--no-browser] [--vault=KIND]",
    .about =
        "Prints the address of the login page and opens it in the browser, then waits (five minutes; ^C ends it).\n"
        "Without a display, or over SSH, it prints a short code instead, to be typed in a browser on any device.\n"
        "Without SERVER: the one of the current account. Who is logged in already stays so, and becomes the current\n"
        "account: the one that other commands mean when none is named. ACCOUNT is an email or an account's id.\n"
        "The login rests in the desktop's keyring, or with --vault=file in a file that only you can read.",
    .options = options,
    .examples = "  pail login https://drive.example.com\n"
                "  pail login drive.example.com --vault=file     on a machine without a keyring\n"
                "  pail login --device                           type the code on your phone\n"
                "  pail login --another                          a second account at the same server\n"
                "  pail login bob@example.com                    bob's is the current account from now on\n",
    .run = run,
};
