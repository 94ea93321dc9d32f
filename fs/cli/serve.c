/* `pail serve`: the mapping server, which is the executable pail-server. */
#include "fs/cli/command.h"
#include "fs/cli/server_program.h"

static int run(struct cli *cli, int argc, char **argv) {
    (void)argc;
    argv[0] = (char[]){"pail-server"};
    return cli_exec_server(cli, argv);
}

const struct cli_command cli_command_serve = {
    .name = "serve",
    .summary = "Run the mapping server",
    .usage = "[--config FILE] [--check] [SETTING...]",
    .about =
        "The server checks who a person is, finds the bucket that is theirs, makes it on the first login, and signs\n"
        "requests. It is the executable pail-server; every argument is passed on to it. Settings are in "
        "pail-server(1).",
    .examples = "  pail serve --config /etc/pail/server.ini --check   say what is wrong with the settings\n"
                "  pail serve --config /etc/pail/server.ini           serve until SIGTERM\n",
    .passes_options = true,
    .run = run,
};
