/* Following a sync or the end of a mount. */
#include "fs/cli/follow.h"

#include "base/cleanup.h"
#include "fs/cli/output.h"
#include "fs/control/control.h"

#include <stdio.h>

struct follow {
    struct cli *cli;
    struct cli_progress progress;
    int64_t sent_before; /* what was sent before we looked */
    int64_t most;        /* bytes to be sent at the most seen */
    bool started, told;
};

static int show(void *context, const struct json *line) {
    struct follow *follow = context;
    if (json_get_boolean(line, "done", false))
        return 0;
    int64_t unsent = json_get_integer(line, "unsent", 0), bytes = json_get_integer(line, "bytes", 0);
    int64_t sent = json_get_integer(line, "sent", 0);
    if (!follow->started)
        follow->sent_before = sent;
    follow->started = true;
    sent -= follow->sent_before;
    if (sent + bytes > follow->most)
        follow->most = sent + bytes;
    const char *why = json_get_text(line, "why");
    char text[300];
    snprintf(text, sizeof text, "%lld to go%s%s", (long long)unsent, why ? ", " : "", why ? why : "");
    cli_progress_show(&follow->progress, (uint64_t)(follow->most - bytes), (uint64_t)follow->most, text);
    if (why && !follow->told && !follow->cli->err_is_terminal)
        cli_warn(follow->cli, "%s", why);
    follow->told = follow->told || why;
    return 0;
}

int follow_command(struct cli *cli, const char *control, const char *command, const char *path, struct fault *fault) {
    struct follow follow = {.cli = cli, .progress = {.cli = cli}};
    struct json *request = json_object();
    json_add_text(request, "command", command);
    if (path)
        json_add_text(request, "path", path);
    int r = control_ask(control, request, show, &follow, fault);
    cli_progress_end(&follow.progress);
    return r;
}
