/* `pail sync`: returns when it is in the bucket. */
#include "base/cleanup.h"
#include "fs/cli/command.h"
#include "fs/cli/follow.h"
#include "fs/cli/output.h"
#include "fs/cli/running.h"
#include "fs/control/control.h"

/* Which files it is that cannot go up, and why. */

enum { LOOKED_AT = 1000, NAMED = 5 };

struct naming {
    struct cli *cli;
    const char *below;
    unsigned problems;
};

static int name_problems(void *context, const struct json *status) {
    struct naming *naming = context;
    const struct json *file = json_first(json_get(json_get(status, "unsent"), "list"));
    for (; file; file = json_next(file)) {
        const char *path = json_get_text(file, "path"), *error = json_get_text(file, "error");
        if (!error || !running_is_below(path, naming->below) || ++naming->problems > NAMED)
            continue;
        AUTO_FREE char *safe_path = cli_printable(path), *safe_error = cli_printable(error);
        cli_warn(naming->cli, "%s: %s", safe_path ? safe_path : "?", safe_error ? safe_error : "?");
    }
    return 0;
}

static void explain(struct cli *cli, const struct running *running) {
    struct naming naming = {.cli = cli, .below = running->below};
    struct json *request = json_object();
    json_add_text(request, "command", "status");
    json_add_integer(request, "limit", LOOKED_AT);
    control_ask(running->control, request, name_problems, &naming, NULL);
    if (naming.problems > NAMED)
        cli_warn(cli, "and %u more", naming.problems - NAMED);
}

static int run(struct cli *cli, int argc, char **argv) {
    struct cli_reader reader = cli_reader(cli, &cli_command_sync, argc, argv);
    const char *value, *path = NULL;
    int id;
    while ((id = cli_read(&reader, &value)) > 0) {
        if (path)
            return cli_usage_error(cli, &cli_command_sync, "more than one path");
        path = value;
    }
    if (id < 0)
        return CLI_EXIT_USAGE;
    struct fault fault = {0};
    CLEANUP(running_finish) struct running running;
    int r = running_find(path, &running, &fault);
    if (r)
        return cli_fail(cli, r, &fault);
    r = follow_command(cli, running.control, "sync", running.below, &fault);
    if (!r)
        return CLI_EXIT_FINE;
    int code = cli_fail(cli, r, &fault);
    if (running.below)
        explain(cli, &running);
    cli_warn(cli, "not everything is in the bucket; nothing is lost, `pail status` lists what is left");
    return code == CLI_EXIT_FAILED ? CLI_EXIT_UNSENT : code;
}

const struct cli_command cli_command_sync = {
    .name = "sync",
    .summary = "Return when it is in the bucket",
    .usage = "[PATH]",
    .about = "Sends at once what was changed below PATH (default: everything) and returns when the bucket has it.",
    .examples = "  pail sync                     everything\n"
                "  pail sync ~/Pail/photos       one folder\n",
    .run = run,
};
