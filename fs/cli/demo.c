/* `pail demo`: a bucket, a login and a mapping server of one's own on this machine, and the folder on top of it. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "fs/cli/child.h"
#include "fs/cli/command.h"
#include "fs/cli/demo_login.h"
#include "fs/cli/interrupt.h"
#include "fs/cli/mounted.h"
#include "fs/cli/output.h"
#include "fs/cli/server_program.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum { EMAIL = CLI_LONG_ONLY, PORT, KEEP, NO_BROWSER };
enum { READY_MS = 60000, LOG_TAIL = 4096 };

struct demo {
    struct cli *cli;
    const char *folder_given, *email, *port; /* borrowed from argv */
    bool no_browser;
    char *keep, *folder, *log; /* owned: absolute */
    char *url, *issuer;        /* owned; of the server that was started */
    struct account account;
    struct child server, mount;
};

static void demo_finish(struct demo *demo) {
    child_finish(&demo->mount);
    child_finish(&demo->server);
    account_finish(&demo->account);
    free(demo->keep);
    free(demo->folder);
    free(demo->log);
    free(demo->url);
    free(demo->issuer);
}

static char *absolute(const char *path) {
    if (*path == '/')
        return strdup(path);
    char here[PATH_MAX];
    return getcwd(here, sizeof here) ? text_format("%s/%s", here, path) : NULL;
}

static int read_arguments(struct demo *demo, int argc, char **argv) {
    struct cli_reader reader = cli_reader(demo->cli, &cli_command_demo, argc, argv);
    const char *value, *keep = NULL;
    int id;
    while ((id = cli_read(&reader, &value)) > 0) {
        if (id == EMAIL)
            demo->email = value;
        else if (id == PORT)
            demo->port = value;
        else if (id == KEEP)
            keep = value;
        else if (id == NO_BROWSER)
            demo->no_browser = true;
        else if (demo->folder_given)
            return cli_usage_error(demo->cli, &cli_command_demo, "more than one folder");
        else
            demo->folder_given = value;
    }
    if (id < 0)
        return CLI_EXIT_USAGE;
    demo->keep = keep ? absolute(keep) : NULL;
    int r = demo->keep ? 0 : file_xdg("data", "demo", &demo->keep);
    return r ? cli_fail(demo->cli, r, NULL) : 0;
}

static int find_folder(struct demo *demo, struct fault *fault) {
    const char *home = getenv("HOME");
    if (demo->folder_given)
        demo->folder = absolute(demo->folder_given);
    else if (home)
        demo->folder = text_format("%s/Pail", home);
    else
        return fault_set(fault, -EINVAL, "HOME is not set: name the folder to mount on");
    int r = demo->folder ? file_make_folders(demo->keep, 0700) : -ENOMEM;
    if (r)
        return fault_set(fault, r, "%s cannot be made: %s", demo->keep, error_text(r));
    demo->log = text_format("%s/server.log", demo->keep);
    return demo->log ? 0 : -ENOMEM;
}

/* A folder that is there may be a mount that answers nothing, so it is made only when there is none. */
static int make_folder(const struct demo *demo, struct fault *fault) {
    int r = access(demo->folder, F_OK) && errno == ENOENT ? file_make_folders(demo->folder, 0700) : 0;
    return r ? fault_set(fault, r, "%s cannot be made: %s", demo->folder, error_text(r)) : 0;
}

/* What the server said last, for people: without the program's name before it. */
static int tell_log(const struct demo *demo, struct fault *fault) {
    AUTO_FREE char *text = NULL;
    size_t size;
    if (file_read(demo->log, 1 << 24, &text, &size) || !size)
        return fault_set(fault, PAIL_OFFLINE, "the demo's server did not start");
    while (size && text[size - 1] == '\n')
        text[--size] = 0;
    char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    if (text_starts(line, "pail-server: "))
        line += strlen("pail-server: ");
    return fault_set(fault, PAIL_OFFLINE, "%s", line);
}

static int read_ready(struct demo *demo, const char *line) {
    AUTO_JSON struct json *json = NULL;
    int r = json_parse(&json, line, strlen(line));
    const char *url = json_get_text(json, "url"), *issuer = json_get_text(json, "issuer");
    if (r || !url || !issuer)
        return r ? r : -EBADMSG;
    demo->url = strdup(url);
    demo->issuer = strdup(issuer);
    return demo->url && demo->issuer ? 0 : -ENOMEM;
}

static int start_server(struct demo *demo, const _Atomic bool *cancelled, struct fault *fault) {
    AUTO_FREE char *beside = cli_server_beside(), *line = NULL;
    char *arguments[] = {(char *)"pail-server",
                         (char *)"--demo",
                         (char *)"--keep",
                         demo->keep,
                         demo->port ? (char *)"--port" : NULL,
                         (char *)demo->port,
                         NULL};
    struct child_options options = {
        .program = beside ? beside : "pail-server", .arguments = arguments, .log = demo->log, .keep_output = true};
    int r = child_start(&demo->server, &options);
    if (r == -ENOENT)
        return fault_set(fault, r, "pail-server is not installed: it belongs beside pail or in PATH");
    if (r)
        return fault_set(fault, r, "pail-server cannot be started: %s", error_text(r));
    r = child_read_line(&demo->server, READY_MS, cancelled, &line);
    if (r == -EPIPE) {
        child_wait(&demo->server);
        return tell_log(demo, fault);
    }
    if (!r)
        r = read_ready(demo, line);
    return r > 0 ? r : r ? fault_set(fault, r, "the demo's server does not get ready: %s", error_text(r)) : 0;
}

static int log_in(struct demo *demo, _Atomic bool *cancelled, struct fault *fault) {
    struct demo_login login = {.cli = demo->cli,
                               .server = demo->url,
                               .issuer = demo->issuer,
                               .folder = demo->keep,
                               .email = demo->email,
                               .no_browser = demo->no_browser,
                               .cancelled = cancelled};
    return demo_login_run(&login, &demo->account, fault);
}

static int prepare(struct demo *demo, struct fault *fault) {
    struct interrupt interrupt;
    interrupt_begin(&interrupt);
    int r = find_folder(demo, fault);
    if (!r)
        r = start_server(demo, &interrupt.cancelled, fault);
    if (!r)
        r = log_in(demo, &interrupt.cancelled, fault);
    if (!r)
        r = make_folder(demo, fault);
    interrupt_end(&interrupt);
    return r;
}

static int start_mount(struct demo *demo, struct fault *fault) {
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size <= 0)
        return -errno;
    self[size] = 0;
    char *arguments[] = {(char *)"pail",   (char *)"mount", (char *)"-f", (char *)"--account",
                         demo->account.id, demo->folder,    NULL};
    struct child_options options = {.program = self, .arguments = arguments};
    int r = child_start(&demo->mount, &options);
    return r ? fault_set(fault, r, "the mount cannot be started: %s", error_text(r)) : 0;
}

static bool is_mounted(const struct demo *demo) {
    AUTO_FREE char *path = mounted_resolve(demo->folder);
    struct mounted mounted;
    if (!path || mounted_find(path, &mounted))
        return false;
    bool ours = text_equal(mounted.account, demo->account.id) && !mounted.stale;
    mounted_finish(&mounted);
    return ours;
}

static void say_mounted(const struct demo *demo) {
    struct cli *cli = demo->cli;
    fprintf(cli->out,
            "%s%s%s is the bucket of %s.\n"
            "Server %s, kept in %s; all of it on this machine.\n"
            "^C, or `pail umount %s` elsewhere, ends it; what is in the bucket is there again the next time.\n",
            cli_style_start(cli, CLI_BOLD), demo->folder, cli_style_end(cli, CLI_BOLD), demo->account.email, demo->url,
            demo->keep, demo->folder);
    fflush(cli->out);
}

/* Until the mount has ended, with all that it had to send. ^C asks it to; a second one insists, as with `pail mount
 * -f`.
 */
static int supervise(struct demo *demo, const sigset_t *signals) {
    const struct timespec tick = {.tv_nsec = 100 * 1000000L};
    bool said = false, ended = false;
    for (;;) {
        int number = sigtimedwait(signals, NULL, &tick);
        if (number > 0)
            child_signal(&demo->mount, SIGINT);
        int code = child_poll(&demo->mount);
        if (code >= 0)
            return code;
        if (!said && is_mounted(demo)) {
            say_mounted(demo);
            said = true;
        }
        if (!ended && child_poll(&demo->server) >= 0) {
            ended = true;
            cli_warn(demo->cli, "the demo's server has ended; %s has its last lines. Unmounting", demo->log);
            child_signal(&demo->mount, SIGINT);
        }
    }
}

static int mount(struct demo *demo, struct fault *fault) {
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    int r = start_mount(demo, fault);
    int code = r ? cli_fail(demo->cli, r, fault) : supervise(demo, &signals);
    child_finish(&demo->server); /* answers what is under way first */
    sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}

static int run(struct cli *cli, int argc, char **argv) {
    CLEANUP(demo_finish) struct demo demo = {.cli = cli, .server.output = -1, .mount.output = -1};
    struct fault fault = {{0}};
    int r = read_arguments(&demo, argc, argv);
    if (r)
        return r;
    r = prepare(&demo, &fault);
    return r ? cli_fail(cli, r, &fault) : mount(&demo, &fault);
}

static const struct cli_option options[] = {
    {EMAIL, "email", "ME", "log in as this person, without a browser"},
    {NO_BROWSER, "no-browser", NULL, "only print the address of the login page, open nothing"},
    {PORT, "port", "N", "the mapping server's port (default: one that is free at the first start, then the same)"},
    {KEEP, "keep", "DIR", "keep the demo's bucket, accounts and keys here ($XDG_DATA_HOME/pail/demo)"},
    {0},
};

const struct cli_command cli_command_demo = {
    .name = "demo",
    .summary = "Try Pail with a bucket on this machine, no account anywhere",
    .usage = "[FOLDER] [--email ME] [--port N] [--keep DIR] [--no-browser]",
    .about = "Starts a store, a login and a mapping server on loopback, logs in for real, and mounts the bucket on "
             "FOLDER\n(default ~/Pail) until ^C or `pail umount`. What was put there is there again the next time.\n"
             "Other users of this machine cannot use it. The login rests in a file that only you can read.",
    .options = options,
    .examples = "  pail demo                                  log in in the browser, work in ~/Pail\n"
                "  pail demo ~/try --email me@example.com     without a browser\n",
    .run = run,
};
