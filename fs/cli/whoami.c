/* `pail whoami`: who is logged in, where, and which bucket is theirs; with --all each account of this user. */
#include "auth/account.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "fs/cli/command.h"
#include "fs/cli/output.h"
#include "fs/cli/who.h"

enum { JSON = CLI_LONG_ONLY, ALL };

static const char *word(int r, enum session_state state) {
    if (!r)
        return "good";
    if (r == PAIL_LOGIN_REQUIRED)
        return "ended";
    if (state == SESSION_VAULT_CLOSED)
        return "vault closed";
    return r == PAIL_OFFLINE ? "offline" : "refused";
}

static struct json *bucket_json(const struct mapping_bucket *bucket) {
    struct json *json = json_object();
    json_add_text(json, "name", bucket->name);
    json_add_text(json, "prefix", bucket->prefix);
    json_add_text(json, "region", bucket->region);
    json_add_text(json, "endpoint", bucket->endpoint);
    return json;
}

static struct json *account_json(const struct account *account, const struct mapping_session *session,
                                 const char *login) {
    struct json *json = json_object();
    json_add_text(json, "id", account->id);
    json_add_text(json, "email", session ? session->email : account->email);
    json_add_text(json, "server", account->server);
    json_add_text(json, "issuer", account->issuer);
    json_add_text(json, "subject", account->subject);
    json_add_text(json, "login", login);
    json_add_boolean(json, "current", account_is_current(account));
    json_add(json, "bucket", session ? bucket_json(&session->bucket) : json_object());
    return json;
}

/* What one account's login is worth, asked of its server. The session is the caller's. */
static int ask(const struct account *account, struct mapping_session *session, const char **login,
               struct fault *fault) {
    enum session_state state = SESSION_FRESH;
    int r = who_ask(account, session, &state, fault);
    *login = word(r, state);
    return r;
}

static int add_line(struct cli_table *table, const struct account *account, const char *login) {
    AUTO_FREE char *who = cli_printable(account->email ? account->email : account->subject);
    AUTO_FREE char *server = cli_printable(account->server);
    const char *cells[] = {account_is_current(account) ? "*" : "", login, who, server, account->id};
    return who && server ? cli_table_add(table, cells) : -ENOMEM;
}

struct listing {
    struct json *json; /* NULL: a table is wanted */
    struct cli_table table;
};

static int list_one(struct listing *listing, const struct account *account) {
    CLEANUP(mapping_session_finish) struct mapping_session session = {0};
    struct fault fault = {{0}};
    const char *login;
    int r = ask(account, &session, &login, &fault);
    if (listing->json)
        return json_push(listing->json, account_json(account, r ? NULL : &session, login));
    return add_line(&listing->table, account, login);
}

/* Fails only when the list cannot be had: a login that has ended is told as that. */
static int run_all(struct cli *cli, bool as_json) {
    struct listing listing = {.json = as_json ? json_array() : NULL, .table = {.columns = 5}};
    struct account *all;
    size_t count;
    int r = account_list(&all, &count);
    for (size_t i = 0; i < count; i++) {
        if (!r)
            r = list_one(&listing, &all[i]);
        account_finish(&all[i]);
    }
    free(all);
    if (!r && as_json)
        return cli_print_json(cli, listing.json);
    if (!r && count)
        cli_table_print(cli, &listing.table, false);
    if (!r && !count)
        fputs("Nobody is logged in; `pail login SERVER` begins.\n", cli->out);
    cli_table_finish(&listing.table);
    json_destroy(listing.json);
    return r ? cli_fail(cli, r, NULL) : CLI_EXIT_FINE;
}

static int run(struct cli *cli, int argc, char **argv) {
    struct cli_reader reader = cli_reader(cli, &cli_command_whoami, argc, argv);
    const char *value, *name = NULL;
    bool as_json = false, all = false;
    int id;
    while ((id = cli_read(&reader, &value)) > 0)
        if (id == JSON)
            as_json = true;
        else if (id == ALL)
            all = true;
        else if (name)
            return cli_usage_error(cli, &cli_command_whoami, "one account at a time");
        else
            name = value;
    if (id < 0)
        return CLI_EXIT_USAGE;
    if (all && name)
        return cli_usage_error(cli, &cli_command_whoami, "one account, or --all");
    if (all)
        return run_all(cli, as_json);
    CLEANUP(account_finish) struct account account = {0};
    CLEANUP(mapping_session_finish) struct mapping_session session = {0};
    struct fault fault = {{0}};
    const char *login;
    int r = account_load(&account, name, &fault);
    if (r)
        return cli_fail(cli, r == -ENOENT ? PAIL_LOGIN_REQUIRED : r, &fault);
    r = ask(&account, &session, &login, &fault);
    if (as_json) {
        int printed = cli_print_json(cli, account_json(&account, r ? NULL : &session, login));
        return r ? cli_exit_code(r) : printed;
    }
    who_print(cli, &account, r ? NULL : &session);
    return r ? cli_fail(cli, r, &fault) : CLI_EXIT_FINE;
}

static const struct cli_option options[] = {
    {ALL, "all", NULL, "every account that is logged in here; * is the current one"},
    {JSON, "json", NULL, "as JSON; its members stay as they are"},
    {0},
};

const struct cli_command cli_command_whoami = {
    .name = "whoami",
    .summary = "Say who is logged in and which bucket is theirs",
    .usage = "[ACCOUNT | --all] [--json]",
    .about = "ACCOUNT is an email, a server or an account's id. Without it: the current one.",
    .options = options,
    .examples = "  pail whoami\n"
                "  pail whoami --all --json\n",
    .run = run,
};
