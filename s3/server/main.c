/* pail-server: the mapping server, its check, and the administrator's commands. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "s3/embedded/demo.h"
#include "s3/server/admin.h"
#include "s3/server/config.h"
#include "s3/server/notify.h"
#include "s3/server/server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define GRACE_MS 30000
#define OTHER_FILES 256

enum exit_code { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int print_help(void) {
    AUTO_FREE char *settings = config_help();
    printf(
        "pail-server %s: the mapping server of Pail. It finds out who is asking, makes their bucket at the first\n"
        "login, and signs requests to it.\n\n"
        "  pail-server [--config FILE] [--SETTING VALUE ...]          serve\n"
        "  pail-server --check [--config FILE] ...                    try every setting out, and say what is wrong\n"
        "  pail-server --demo [--keep DIR] [--port N]                 with a store and a login of its own, on "
        "loopback\n"
        "  pail-server users list [--json]                            the accounts\n"
        "  pail-server users show ACCOUNT [--json]                    one, by email or name\n"
        "  pail-server users suspend|resume ACCOUNT                   cut somebody off, or no longer\n"
        "  pail-server users quota ACCOUNT SIZE|none                  how much somebody may hold: 10GiB\n"
        "  pail-server users link EMAIL ISSUER SUBJECT                a second login for the account of EMAIL\n"
        "  pail-server users remove ACCOUNT                           forget somebody; the bucket stays\n"
        "  pail-server users remove ACCOUNT --delete-bucket           forget somebody and delete all their files\n"
        "  pail-server users new-bucket ACCOUNT                       an empty bucket for one that is gone\n"
        "  pail-server users backup FILE                              a copy of the accounts, while the server runs\n\n"
        "  pail-server --config /etc/pail/server.ini --check          for example\n\n"
        "A setting stands in the file below its section, or is a flag (--public-url URL), or a variable\n"
        "(PAIL_PUBLIC_URL); flags win over variables, and variables over the file. Settings:\n%s",
        PAIL_VERSION, settings ? settings : "");
    return EXIT_FINE;
}

/* What stands on the command line besides settings. */
struct invocation {
    bool check, help, version;
    int command_count;
    char **command; /* "users", ... */
};

static int take_arguments(int count, char **arguments, struct invocation *out) {
    for (int i = 0; i < count; i++) {
        if (!strcmp(arguments[i], "--check")) {
            out->check = true;
        } else if (!strcmp(arguments[i], "--help") || !strcmp(arguments[i], "-h")) {
            out->help = true;
        } else if (!strcmp(arguments[i], "--version")) {
            out->version = true;
        } else if (!strcmp(arguments[i], "users") && !out->command) {
            out->command = arguments + i + 1;
            out->command_count = count - i - 1;
            return 0;
        } else {
            fprintf(stderr, "pail-server: %s is neither a setting nor a command; pail-server --help\n", arguments[i]);
            return -EINVAL;
        }
    }
    return 0;
}

/* Takes --config FILE out, wherever it stands: it has to be known before the flags, which win over the file. */
static const char *take_file(int *count, char **arguments) {
    const char *file = NULL;
    int kept = 0;
    for (int i = 0; i < *count; i++) {
        if (!strcmp(arguments[i], "--config") && i + 1 < *count)
            file = arguments[++i];
        else if (text_starts(arguments[i], "--config="))
            file = arguments[i] + 9;
        else
            arguments[kept++] = arguments[i];
    }
    *count = kept;
    return file;
}

static int read_settings(struct config *config, int count, char **arguments, struct invocation *invocation,
                         struct config_problems *problems) {
    const char *file = take_file(&count, arguments);
    int left = 0, error = file ? config_read_file(config, file, problems) : 0;
    if (!error)
        error = config_read_environment(config, environ, problems);
    if (!error)
        error = config_read_flags(config, count, arguments, &left, problems);
    return error ? error : take_arguments(left, arguments, invocation);
}

static void say(void *context, const char *line) {
    (void)context;
    puts(line);
    fflush(stdout);
}

static int fail(const struct fault *fault, int error) {
    fprintf(stderr, "pail-server: %s\n", fault->text[0] ? fault->text : error_text(error));
    return error == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

static void block_signals(sigset_t *signals) {
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The command line as it was, for reading the settings again: reading changes the order. */
struct started {
    int count;
    char **arguments; /* owned; the texts are not */
};

static char **copy_arguments(int count, char *const *arguments) {
    char **copy = calloc((size_t)count + 1, sizeof *copy);
    if (copy)
        memcpy(copy, arguments, (size_t)count * sizeof *copy);
    return copy;
}

static void set_up_log(const struct config *config) {
    log_setup((enum log_level)log_level_parse(config->log), text_equal(config->log_format, "json"), 2);
}

/* Of the settings, only those of the log change while the server runs. */
static void reload_log(const struct started *started) {
    CLEANUP(config_finish) struct config config = {0};
    CLEANUP(config_problems_finish) struct config_problems problems = {0};
    AUTO_FREE char **arguments = copy_arguments(started->count, started->arguments);
    struct invocation ignored = {0};
    int error = arguments ? config_init(&config) : -ENOMEM;
    if (!error)
        error = read_settings(&config, started->count - 1, arguments + 1, &ignored, &problems);
    if (!error && !problems.errors)
        set_up_log(&config);
    else
        log_error("The settings are not read again, and the log stays as it is: %s",
                  problems.lines.data ? problems.lines.data : error_text(error));
}

/* systemd waits for READY, and wants to know when this began (sd_notify(3), RELOADING=1). */
static void reload(struct server *server, const struct started *started) {
    AUTO_FREE char *state = text_format("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_monotonic_ns() / 1000));
    struct fault fault = {0};
    notify_send(state ? state : "RELOADING=1");
    reload_log(started);
    int error = server_reload(server, &fault);
    if (error)
        log_error("The TLS certificate is not renewed, the one before stays in use: %s",
                  fault.text[0] ? fault.text : error_text(error));
    else
        log_info("Reloaded");
    notify_send("READY=1");
}

/* Each connection is a file; and there are the accounts, the store and the login provider. */
static void allow_connections(int64_t connections) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    rlim_t most = limit.rlim_max;
    limit.rlim_cur = most < wanted ? most : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) || most < wanted)
        log_warning("[server] connections = \"%lld\": the system allows %llu open files, too few for so many: raise "
                    "LimitNOFILE",
                    (long long)connections, (unsigned long long)limit.rlim_cur);
}

static int serve(const struct config *config, const struct started *started) {
    struct server *server = NULL;
    struct fault fault = {0};
    sigset_t signals;
    int which = 0;
    block_signals(&signals);
    allow_connections(config->connections);
    int error = server_create(&server, config, &fault);
    if (error)
        return fail(&fault, error);
    bool brackets = strchr(config->listen_address, ':');
    log_info("Listening on %s%s%s:%u for %s", brackets ? "[" : "", config->listen_address, brackets ? "]" : "",
             server_port(server), config->public_url);
    notify_send("READY=1");
    while (!sigwait(&signals, &which) && which == SIGHUP)
        reload(server, started);
    notify_send("STOPPING=1");
    log_info("Stopping: what is under way is finished first");
    server_drain(server, GRACE_MS);
    server_destroy(server);
    return EXIT_FINE;
}

static int run(const struct config *config, const struct invocation *invocation, struct config_problems *problems,
               const struct started *started) {
    struct fault fault = {0};
    if (invocation->command) {
        int error = admin_users(config, invocation->command_count, invocation->command, &fault);
        return error ? fail(&fault, error) : EXIT_FINE;
    }
    if (config_check(config, problems))
        return fail(&fault, -ENOMEM);
    fputs(problems->lines.data ? problems->lines.data : "", stderr);
    if (problems->errors)
        return EXIT_USAGE;
    set_up_log(config);
    if (!invocation->check)
        return serve(config, started);
    return server_check(config, say, NULL) ? EXIT_FAILED : EXIT_FINE;
}

static bool wants_demo(int count, char **arguments) {
    for (int i = 1; i < count; i++)
        if (!strcmp(arguments[i], "--demo"))
            return true;
    return false;
}

int main(int count, char **arguments) {
    CLEANUP(config_finish) struct config config = {0};
    CLEANUP(config_problems_finish) struct config_problems problems = {0};
    struct invocation invocation = {0};
    process_protect_secrets();
    if (wants_demo(count, arguments))
        return demo_main(count, arguments);
    AUTO_FREE char **as_given = copy_arguments(count, arguments);
    struct started started = {count, as_given};
    int error = as_given ? config_init(&config) : -ENOMEM;
    if (!error)
        error = read_settings(&config, count - 1, arguments + 1, &invocation, &problems);
    if (error)
        return error == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
    if (invocation.help)
        return print_help();
    if (invocation.version) {
        printf("pail-server %s\n", PAIL_VERSION);
        return EXIT_FINE;
    }
    return run(&config, &invocation, &problems, &started);
}
