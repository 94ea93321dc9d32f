/* pail: finds the command and runs it. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "fs/cli/command.h"
#include "fs/cli/output.h"

#include <locale.h>
#include <string.h>
#include <unistd.h>

static bool wants_colour(void) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || (i == 1 && strcmp(argv[i], "-h") == 0))
            return true;
    return false;
}

static int run_command(struct cli *cli, const struct cli_command *command, int argc, char **argv) {
    if (asks_for_help(argc, argv)) {
        cli_print_help(cli->out, command);
        return CLI_EXIT_FINE;
    }
    return command->run(cli, argc, argv);
}

/* What mount(8) starts for the type fuse.pail: `pail SOURCE FOLDER -o OPTIONS`. */
static bool is_mount_helper(int argc, char **argv) {
    return argc >= 3 && argv[2][0] == '/' && (argc == 3 || (argc == 5 && strcmp(argv[3], "-o") == 0));
}

static int run_mount_helper(struct cli *cli, int argc, char **argv) {
    const struct cli_command *mount = cli_find_command("mount");
    if (!mount)
        return CLI_EXIT_USAGE;
    char *arguments[] = {(char[]){"mount"},          (char[]){"--source"},       argv[1], argv[2],
                         argc == 5 ? argv[3] : NULL, argc == 5 ? argv[4] : NULL, NULL};
    return mount->run(cli, argc == 5 ? 6 : 4, arguments);
}

static int unknown(struct cli *cli, const char *word) {
    const struct cli_command *meant = cli_suggest_command(word);
    AUTO_FREE char *safe = cli_printable(word);
    if (meant)
        cli_warn(cli, "there is no command '%s'. Did you mean `pail %s`?", safe ? safe : "?", meant->name);
    else
        cli_warn(cli, "there is no command '%s'. `pail --help` lists them.", safe ? safe : "?");
    return CLI_EXIT_USAGE;
}

static int dispatch(struct cli *cli, int argc, char **argv) {
    if (argc < 2) {
        cli_print_overview(cli->err);
        return CLI_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        fputs("pail " PAIL_VERSION "\n", cli->out);
        return CLI_EXIT_FINE;
    }
    bool help = strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    const struct cli_command *command = cli_find_command(help && argc > 2 ? argv[2] : word);
    if (help && argc == 2) {
        cli_print_overview(cli->out);
        return CLI_EXIT_FINE;
    }
    if (command && help) {
        cli_print_help(cli->out, command);
        return CLI_EXIT_FINE;
    }
    if (command)
        return run_command(cli, command, argc - 1, argv + 1);
    return is_mount_helper(argc, argv) ? run_mount_helper(cli, argc, argv) : unknown(cli, help ? argv[2] : word);
}

/* Everything that the commands and the mount have to say, for who looks into a problem. */
static void choose_log_level(struct cli *cli) {
    const char *wanted = getenv("PAIL_LOG");
    int level = wanted && *wanted ? log_level_parse(wanted) : LOG_INFO;
    if (level >= 0)
        log_setup((enum log_level)level, false, STDERR_FILENO);
    else
        cli_warn(cli, "PAIL_LOG is debug, info, warning or error");
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, "");
    process_protect_secrets();
    struct cli cli = {
        .program = argc ? argv[0] : "pail",
        .out = stdout,
        .err = stderr,
        .out_is_terminal = isatty(STDOUT_FILENO),
        .err_is_terminal = isatty(STDERR_FILENO),
    };
    cli.colour = cli.out_is_terminal && cli.err_is_terminal && wants_colour();
    choose_log_level(&cli);
    int code = dispatch(&cli, argc, argv);
    if (fflush(stdout) && code == CLI_EXIT_FINE) {
        cli_warn(&cli, "the output could not be written: %s", error_text(-errno));
        return CLI_EXIT_FAILED;
    }
    return code;
}
