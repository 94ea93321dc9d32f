/* `pail status`: account, bucket, network, unsent files, cache. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/output.h"
#include "fs/cli/running.h"
#include "fs/control/control.h"
#include "s3/wire.h"

#include <string.h>

enum { OPTION_JSON = CLI_LONG_ONLY, OPTION_WATCH, SHOWN = 20 };

struct shown {
    struct cli *cli;
    bool json;
    const char *below; /* only what is below it is listed */
};

static void print_field(struct cli *cli, const char *name, const char *text) {
    AUTO_FREE char *safe = cli_printable(text ? text : "-");
    fprintf(cli->out, "%s%-9s%s %s\n", cli_style_start(cli, CLI_DIM), name, cli_style_end(cli, CLI_DIM),
            safe ? safe : "");
}

static void print_network(struct cli *cli, const struct json *status) {
    const char *network = json_get_text(status, "network"), *why = json_get_text(status, "why");
    bool fine = text_equal(network, "online");
    char since[32] = "";
    int64_t offline = json_get_integer(status, "offline_since", 0);
    if (!fine && offline)
        cli_duration(clock_realtime_s() - offline, since);
    fprintf(cli->out, "%s%-9s%s %s%s%s", cli_style_start(cli, CLI_DIM), "network", cli_style_end(cli, CLI_DIM),
            cli_style_start(cli, fine ? CLI_GOOD : CLI_BAD), network ? network : "?",
            cli_style_end(cli, fine ? CLI_GOOD : CLI_BAD));
    AUTO_FREE char *safe = why ? cli_printable(why) : NULL;
    fprintf(cli->out, "%s%s%s%s\n", since[0] ? " for " : "", since, safe ? ": " : "", safe ? safe : "");
}

static void print_quota(struct cli *cli, const struct json *status) {
    char used[16], limit[16], line[160];
    const struct json *quota = json_get(status, "quota");
    int64_t most = json_get_integer(quota, "limit", 0);
    if (most <= 0)
        return;
    snprintf(line, sizeof line, "%s of %s%s", size_format((uint64_t)json_get_integer(quota, "used", 0), used),
             size_format((uint64_t)most, limit),
             json_get_boolean(quota, "full", false)
                 ? ": full. What is unsent is kept here; remove files, or ask your administrator for more"
                 : "");
    print_field(cli, "quota", line);
}

static void print_mode(struct cli *cli, const struct json *status) {
    const char *mode = json_get_text(status, "mode"), *why = json_get_text(status, "mode_why");
    bool own = text_equal(mode, WIRE_MODE_CREDENTIALS);
    AUTO_FREE char *line =
        text_format("%s%s%s", own ? "credentials: signed on this machine" : "presigned: by the server", why ? "; " : "",
                    why ? why : "");
    if (mode && (own || why))
        print_field(cli, "mode", line);
}

static void print_cache(struct cli *cli, const struct json *status) {
    char used[16], limit[16], line[64];
    const struct json *cache = json_get(status, "cache");
    snprintf(line, sizeof line, "%s of %s", size_format((uint64_t)json_get_integer(cache, "bytes", 0), used),
             size_format((uint64_t)json_get_integer(cache, "limit", 0), limit));
    print_field(cli, "cache", line);
}

static int add_file(struct cli_table *table, const struct json *file) {
    char size[16], sent[24] = "";
    int64_t total = json_get_integer(file, "size", 0), done = json_get_integer(file, "sent", 0);
    AUTO_FREE char *path = cli_printable(json_get_text(file, "path") ? json_get_text(file, "path") : "?");
    const char *error = json_get_text(file, "error"), *state = json_get_text(file, "state");
    AUTO_FREE char *safe = cli_printable(error ? error : state ? state : "");
    if (!error && total > 0 && done > 0)
        snprintf(sent, sizeof sent, "%d %%", (int)(done * 100 / total));
    const char *cells[] = {path, size_format((uint64_t)total, size), sent, safe};
    return cli_table_add(table, cells);
}

static void print_unsent(struct cli *cli, const struct json *status, const char *below) {
    const struct json *unsent = json_get(status, "unsent");
    int64_t files = json_get_integer(unsent, "files", 0), deletes = json_get_integer(unsent, "deletes", 0);
    char size[16], line[128];
    if (!files && !deletes) {
        print_field(cli, "unsent", "nothing: everything is in the bucket");
        return;
    }
    snprintf(line, sizeof line, "%lld changes, %s, %lld to delete", (long long)files,
             size_format((uint64_t)json_get_integer(unsent, "bytes", 0), size), (long long)deletes);
    print_field(cli, "unsent", line);
    struct cli_table table = {.columns = 4, .right = 2 | 4};
    int64_t shown = 0;
    for (const struct json *file = json_first(json_get(unsent, "list")); file && shown < SHOWN; file = json_next(file))
        if (running_is_below(json_get_text(file, "path"), below) && add_file(&table, file) == 0)
            shown++;
    cli_table_print(cli, &table, false);
    cli_table_finish(&table);
    if (files > shown)
        fprintf(cli->out, "  and %lld more\n", (long long)(files - shown));
}

static void print_notes(struct cli *cli, const struct json *status) {
    char line[128];
    int64_t hidden = json_get_integer(status, "hidden", 0), conflicts = json_get_integer(status, "conflicts", 0);
    if (hidden) {
        snprintf(line, sizeof line, "%lld keys in the bucket cannot be files (--json lists them)", (long long)hidden);
        print_field(cli, "hidden", line);
    }
    if (conflicts) {
        snprintf(line, sizeof line, "%lld so far: both versions were kept, look for \"(conflict\" in the names",
                 (long long)conflicts);
        print_field(cli, "conflicts", line);
    }
}

static int show(void *context, const struct json *status) {
    struct shown *shown = context;
    struct cli *cli = shown->cli;
    if (shown->json) {
        AUTO_FREE char *text = json_print_pretty(status);
        fprintf(cli->out, "%s\n", text ? text : "{}");
        return 0;
    }
    print_field(cli, "account", json_get_text(status, "email"));
    print_field(cli, "server", json_get_text(status, "server"));
    const char *bucket = json_get_text(status, "bucket"), *prefix = json_get_text(status, "prefix");
    AUTO_FREE char *place =
        text_format("%s%s%s", bucket ? bucket : "", prefix && *prefix ? "/" : "", prefix ? prefix : "");
    print_field(cli, "bucket", place);
    bool mounted = text_equal(json_get_text(status, "state"), "mounted");
    print_field(cli, "folder", mounted ? json_get_text(status, "folder") : "not mounted, sending what is left");
    print_network(cli, status);
    print_mode(cli, status);
    print_quota(cli, status);
    print_unsent(cli, status, shown->below);
    print_cache(cli, status);
    print_notes(cli, status);
    return 0;
}

static int ask(const struct running *running, struct shown *shown, struct fault *fault) {
    struct json *request = json_object();
    json_add_text(request, "command", "status");
    json_add_integer(request, "limit", shown->json ? 1000 : running->below[0] ? 1000 : SHOWN);
    return control_ask(running->control, request, show, shown, fault);
}

static int watch(const struct running *running, struct shown *shown, struct fault *fault) {
    for (;;) {
        if (shown->cli->out_is_terminal)
            fputs("\033[H\033[J", shown->cli->out);
        int r = ask(running, shown, fault);
        fflush(shown->cli->out);
        if (r)
            return r;
        clock_sleep_ms(1000);
    }
}

static int run(struct cli *cli, int argc, char **argv) {
    struct cli_reader reader = cli_reader(cli, &cli_command_status, argc, argv);
    const char *value, *path = NULL;
    struct shown shown = {.cli = cli};
    bool watching = false;
    int id;
    while ((id = cli_read(&reader, &value)) > 0) {
        if (id == OPTION_JSON)
            shown.json = true;
        else if (id == OPTION_WATCH)
            watching = true;
        else if (path)
            return cli_usage_error(cli, &cli_command_status, "more than one path");
        else
            path = value;
    }
    if (id < 0)
        return CLI_EXIT_USAGE;
    struct fault fault = {0};
    CLEANUP(running_finish) struct running running;
    int r = running_find(path, &running, &fault);
    if (!r && running.stale)
        r = fault_set(
            &fault, -ENOTCONN,
            "the process that served %s is gone; nothing is lost. `pail mount %s` mounts it again and goes on",
            running.folder, running.folder);
    if (!r) {
        shown.below = running.below;
        r = watching ? watch(&running, &shown, &fault) : ask(&running, &shown, &fault);
    }
    return r ? cli_fail(cli, r, &fault) : CLI_EXIT_FINE;
}

static const struct cli_option options[] = {
    {OPTION_JSON, "json", NULL, "for programs; the members are stable"},
    {OPTION_WATCH, "watch", NULL, "again each second, until ^C"},
    {0},
};

const struct cli_command cli_command_status = {
    .name = "status",
    .summary = "Show account, bucket, network, unsent files and cache",
    .usage = "[PATH] [--json] [--watch]",
    .about = "PATH: a folder or file in a mount; only unsent files below it are listed.",
    .options = options,
    .examples = "  pail status                   the mount there is\n"
                "  pail status --json | jq .unsent.files\n",
    .run = run,
};
