/* `pail users`: the accounts of a mapping server, which the executable pail-server keeps. */
#include "fs/cli/command.h"
#include "fs/cli/output.h"
#include "fs/cli/server_program.h"

#include "base/cleanup.h"

#include <string.h>

static int run(struct cli *cli, int argc, char **argv) {
    AUTO_FREE char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
    if (!arguments)
        return cli_fail(cli, -ENOMEM, NULL);
    arguments[0] = (char[]){"pail-server"};
    arguments[1] = (char[]){"users"};
    memcpy(arguments + 2, argv + 1, (size_t)(argc - 1) * sizeof *arguments);
    return cli_exec_server(cli, arguments);
}

const struct cli_command cli_command_users = {
    .name = "users",
    .summary = "Look at and change the accounts of a mapping server",
    .usage = "list|show|suspend|resume|quota|link|remove|new-bucket|backup ... [--config FILE] [--json]",
    .about = "Works on the server's database, also while the server runs. Every argument is passed on to pail-server.",
    .examples = "  pail users list --config /etc/pail/server.ini\n"
                "  pail users show ann@example.com --config /etc/pail/server.ini --json\n"
                "  pail users suspend ann@example.com --config /etc/pail/server.ini\n"
                "  pail users remove ann@example.com --delete-bucket --config /etc/pail/server.ini\n"
                "  pail users quota ann@example.com 10GiB --config /etc/pail/server.ini\n"
                "  pail users backup accounts-monday.db --config /etc/pail/server.ini\n",
    .passes_options = true,
    .run = run,
};
