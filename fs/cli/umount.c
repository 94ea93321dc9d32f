/* `pail umount`: takes the folder off and waits until the bucket has everything. */
#include "base/cleanup.h"
#include "fs/cli/command.h"
#include "fs/cli/follow.h"
#include "fs/cli/mounted.h"
#include "fs/cli/output.h"
#include "fs/cli/running.h"
#include "fs/control/control.h"

#include <errno.h>

enum { OPTION_NOW = CLI_LONG_ONLY };

/* First everything is sent while the folder is still there, so that ^C leaves a working mount; what comes in the last
 * moment is waited for after unmounting. */
static int unmount(struct cli *cli, const struct running *running, bool now, struct fault *fault) {
    int r = 0;
    if (running->stale || !running->folder)
        now = now || running->stale;
    else if (!now)
        r = follow_command(cli, running->control, "sync", NULL, fault);
    if (r && r != -ENOTCONN)
        return r;
    if (running->folder) {
        r = mounted_remove(running->folder, running->stale);
        if (r == -EBUSY)
            return fault_set(fault, r,
                             "%s is in use: close the programs that have files or a shell in it (`fuser -vm %s` "
                             "lists them)",
                             running->folder, running->folder);
        if (r)
            return fault_set(fault, r, "%s cannot be unmounted: %s", running->folder, error_text(r));
    }
    if (now)
        return 0;
    r = follow_command(cli, running->control, "wait", NULL, fault);
    return control_is_gone(r) ? 0 : r; /* it was ended already */
}

static int run(struct cli *cli, int argc, char **argv) {
    struct cli_reader reader = cli_reader(cli, &cli_command_umount, argc, argv);
    const char *value, *folder = NULL;
    bool now = false;
    int id;
    while ((id = cli_read(&reader, &value)) > 0) {
        if (id == OPTION_NOW)
            now = true;
        else if (folder)
            return cli_usage_error(cli, &cli_command_umount, "more than one folder");
        else
            folder = value;
    }
    if (id < 0)
        return CLI_EXIT_USAGE;
    struct fault fault = {0};
    CLEANUP(running_finish) struct running running;
    int r = running_find(folder, &running, &fault);
    if (!r && running.below[0])
        r = fault_set(&fault, -EINVAL, "%s is inside of the mount; name the mounted folder: %s", folder,
                      running.folder);
    if (!r)
        r = unmount(cli, &running, now, &fault);
    if (r == PAIL_OFFLINE || r == PAIL_LOGIN_REQUIRED)
        cli_warn(cli,
                 "nothing is lost: what is not sent stays on this machine. `pail umount --now` unmounts all the same");
    return r ? cli_fail(cli, r, &fault) : CLI_EXIT_FINE;
}

static const struct cli_option options[] = {
    {OPTION_NOW, "now", NULL, "return at once; the rest is sent in the background"},
    {0},
};

const struct cli_command cli_command_umount = {
    .name = "umount",
    .summary = "Unmount, and wait until everything is in the bucket",
    .usage = "[FOLDER] [--now]",
    .about = "Sends what is left (with a progress bar), unmounts, and returns when the bucket has everything. Without\n"
             "FOLDER: the mount there is.",
    .options = options,
    .examples = "  pail umount            when it returns, everything is in the bucket\n"
                "  pail umount --now      at once; `pail status` shows what is still being sent\n",
    .run = run,
};
