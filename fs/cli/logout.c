/* `pail logout`: gives the login back to the issuer and wipes it here. */
#include "auth/account.h"
#include "auth/login.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/output.h"
#include "fs/control/control.h"
#include "fs/mount.h"

#include <dirent.h>

enum { FORCE = CLI_LONG_ONLY };

static int see_folder(void *context, const struct json *line) {
    char **folder = context;
    const char *text = json_get_text(line, "folder");
    if (text && !*folder)
        *folder = strdup(text);
    return 0;
}

/* A mount that is up, or still sends in the background, needs the login. */
static int check_running(const struct account *account, struct fault *fault) {
    AUTO_FREE char *path = mount_control_path(account), *folder = NULL;
    struct json *request = json_object();
    if (!path || json_add_text(request, "command", "status")) {
        json_destroy(request);
        return -ENOMEM;
    }
    int r = control_ask(path, request, see_folder, &folder, NULL);
    if (r == -ENOTCONN)
        return 0;
    return fault_set(
        fault, -EBUSY,
        "%s is mounted, or still being sent; `pail umount` first, or `pail logout --force`: what is not sent "
        "then stays on this machine until the same person logs in again",
        folder ? folder : "the bucket");
}

static bool is_empty(const char *folder) {
    DIR *listing = opendir(folder);
    if (!listing)
        return true;
    const struct dirent *entry;
    while ((entry = readdir(listing)) && entry->d_name[0] == '.')
        ;
    closedir(listing);
    return !entry;
}

/* Written files that an ended mount had not sent. */
static int check_unsent(const struct account *account, struct fault *fault) {
    AUTO_FREE char *spool = text_format("%s/spool", account->state_folder);
    if (!spool)
        return -ENOMEM;
    if (is_empty(spool))
        return 0;
    return fault_set(
        fault, -ENOTEMPTY,
        "there are changes that the bucket does not have yet: `pail mount` sends them. `pail logout --force` "
        "leaves them on this machine (%s) until the same person logs in again",
        spool);
}

static int log_out(struct cli *cli, const struct account *account) {
    struct fault fault = {{0}};
    int r = login_end(account, &fault);
    if (!r)
        r = account_forget(account);
    if (r)
        return cli_fail(cli, r, &fault);
    if (fault.text[0])
        cli_warn(cli, "%s", fault.text);
    AUTO_FREE char *who = cli_printable(account->email ? account->email : account->id);
    fprintf(cli->out, "Logged out: %s\n", who ? who : "");
    return CLI_EXIT_FINE;
}

static int run(struct cli *cli, int argc, char **argv) {
    struct cli_reader reader = cli_reader(cli, &cli_command_logout, argc, argv);
    const char *value, *name = NULL;
    bool force = false;
    int id;
    while ((id = cli_read(&reader, &value)) > 0)
        if (id == FORCE)
            force = true;
        else if (name)
            return cli_usage_error(cli, &cli_command_logout, "one account at a time");
        else
            name = value;
    if (id < 0)
        return CLI_EXIT_USAGE;
    CLEANUP(account_finish) struct account account = {0};
    struct fault fault = {{0}};
    int r = account_load(&account, name, &fault);
    if (r)
        return cli_fail(cli, r, &fault);
    r = force ? 0 : check_running(&account, &fault);
    if (!r && !force)
        r = check_unsent(&account, &fault);
    if (r == -EBUSY || r == -ENOTEMPTY) {
        cli_fail(cli, r, &fault);
        return CLI_EXIT_UNSENT;
    }
    return r ? cli_fail(cli, r, &fault) : log_out(cli, &account);
}

static const struct cli_option options[] = {
    {FORCE, "force", NULL, "also while mounted or with unsent changes, which stay on this machine"},
    {0},
};

const struct cli_command cli_command_logout = {
    .name = "logout",
    .summary = "End the login: at the issuer and here",
    .usage = "[ACCOUNT] [--force]",
    .about = "Revokes the login at the issuer and wipes it from the keyring. Refused while changes are not sent.\n"
             "ACCOUNT is an email, a server or an account's id. Without it: the current one.",
    .options = options,
    .examples = "  pail logout\n",
    .run = run,
};
