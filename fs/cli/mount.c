/* `pail mount`: the bucket as a folder. */
#include "fs/mount.h"
#include "auth/account.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "fs/cli/background.h"
#include "fs/cli/command.h"
#include "fs/cli/mount_options.h"
#include "fs/cli/mounted.h"
#include "fs/cli/output.h"
#include "fs/control/control.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

enum { OPTION_ACCOUNT = CLI_LONG_ONLY, OPTION_SOURCE, OPTION_MODE };

struct request {
    struct cli *cli;
    struct mount_words words;
    const char *folder_given; /* borrowed from argv; NULL: ~/Pail */
    const char *source;
    bool foreground;
    struct account account;
    char *folder; /* owned: absolute */
};

static void finish_request(struct request *request) {
    mount_words_finish(&request->words);
    account_finish(&request->account);
    free(request->folder);
}

static int take_mode(struct request *request, const char *value, struct fault *fault) {
    AUTO_FREE char *word = text_format("mode=%s", value);
    return word ? mount_words_parse(&request->words, word, fault) : -ENOMEM;
}

static int read_arguments(struct request *request, int argc, char **argv, struct fault *fault) {
    struct cli_reader reader = cli_reader(request->cli, &cli_command_mount, argc, argv);
    const char *value;
    int id, r = 0;
    while (!r && (id = cli_read(&reader, &value)) != 0) {
        if (id < 0)
            return CLI_EXIT_USAGE;
        if (id == 'f')
            request->foreground = true;
        else if (id == 'o')
            r = mount_words_parse(&request->words, value, fault);
        else if (id == OPTION_MODE)
            r = take_mode(request, value, fault);
        else if (id == OPTION_SOURCE)
            request->source = value;
        else if (id == OPTION_ACCOUNT)
            r = (free(request->words.account), request->words.account = strdup(value)) ? 0 : -ENOMEM;
        else if (request->folder_given)
            return cli_usage_error(request->cli, &cli_command_mount, "more than one folder");
        else
            request->folder_given = value;
    }
    return r ? cli_usage_error(request->cli, &cli_command_mount, "%s", fault->text) : CLI_EXIT_FINE;
}

/* The source of an fstab line names the account, unless it is only a word such as "pail". */
static const char *wanted_account(const struct request *request) {
    if (request->words.account)
        return request->words.account;
    const char *source = request->source;
    if (!source || strcmp(source, "pail") == 0 || strcmp(source, "none") == 0)
        return NULL;
    return text_starts(source, "pail#") ? source + 5 : source;
}

static int make_folder(struct request *request, struct fault *fault) {
    const char *home = getenv("HOME");
    AUTO_FREE char *path = request->folder_given ? strdup(request->folder_given)
                           : home                ? text_format("%s/Pail", home)
                                                 : NULL;
    if (!path)
        return fault_set(fault, -EINVAL, "HOME is not set: name the folder to mount on");
    int r = request->folder_given ? 0 : file_make_folders(path, 0700);
    if (mounted_is_dead(r)) /* there, with a dead mount on it */
        r = 0;
    request->folder = r ? NULL : mounted_resolve(path);
    if (request->folder)
        return 0;
    r = r ? r : -errno;
    return fault_set(fault, r, "%s: %s%s", path, error_text(r),
                     r == -ENOENT ? "; make it with mkdir, or name another folder" : "");
}

static int check_empty(const char *folder, struct fault *fault) {
    DIR *open_folder = opendir(folder);
    if (!open_folder)
        return fault_set(fault, -errno, "%s: %s", folder, error_text(-errno));
    const struct dirent *entry;
    bool empty = true;
    while (empty && (entry = readdir(open_folder)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(open_folder);
    return empty ? 0
                 : fault_set(fault, -ENOTEMPTY,
                             "%s is not empty: what is in it would be hidden. Mount on an empty folder", folder);
}

/* 1: it is mounted there already, and serving. A dead mount of ours is cleaned up. */
static int clear_folder(struct request *request, struct fault *fault) {
    struct mounted mounted;
    int r = mounted_find(request->folder, &mounted);
    if (r == -ENOENT)
        return check_empty(request->folder, fault);
    if (r)
        return r;
    if (mounted.account && mounted.stale) {
        r = mounted_remove(request->folder, true);
        r = r ? fault_set(fault, r, "%s has a dead mount that cannot be taken off: %s", request->folder, error_text(r))
              : clear_folder(request, fault);
    } else if (text_equal(mounted.account, request->account.id)) {
        r = 1;
    } else {
        r = mounted.account
                ? fault_set(fault, -EBUSY, "another account (%s) is mounted on %s", mounted.account, request->folder)
                : check_empty(request->folder, fault);
    }
    mounted_finish(&mounted);
    return r;
}

/* ---- the process that serves ---- */

static void open_log(const struct request *request) {
    AUTO_FREE char *path = text_format("%s/log", request->account.state_folder);
    if (path && !request->foreground)
        background_log(path);
}

/* An open file holds up to two descriptors; a file-size limit of the caller's is to be an error, not our end. */
static void raise_limits(void) {
    struct rlimit files;
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int serve(void *context, struct background *background, struct fault *fault) {
    struct request *request = context;
    struct mount *mount;
    open_log(request);
    raise_limits();
    request->words.options.account = &request->account;
    request->words.options.folder = request->folder;
    int r = mount_create(&mount, &request->words.options, fault);
    if (r)
        return r;
    background_ready(background);
    log_info("%s is mounted on %s", request->account.email, request->folder);
    r = mount_run(mount, request->foreground);
    mount_destroy(mount);
    return r;
}

/* Asks the process that has this account's state to let go of it: it does, if it is only sending what is left. */
static int take_over(const struct request *request, struct fault *fault) {
    AUTO_FREE char *path = mount_control_path(&request->account);
    struct json *ask = json_object();
    json_add_text(ask, "command", "release");
    struct fault why = {0};
    int r = path ? control_ask(path, ask, NULL, NULL, &why) : -ENOMEM;
    if (r == -EBUSY)
        return fault_set(fault, r,
                         "%s is mounted already, on another folder; `pail status` says where, `pail umount` ends it",
                         request->account.email);
    return control_is_gone(r) ? 0 : r;
}

static int start(struct request *request, struct fault *fault) {
    int r = take_over(request, fault);
    for (int tries = 0; !r && tries < 100; tries++) {
        r = background_run(request->foreground, serve, request, fault);
        if (r != -EWOULDBLOCK)
            return r;
        r = 0; /* the one before is on its way out */
        usleep(100000);
    }
    return r ? r
             : fault_set(fault, -EWOULDBLOCK, "another pail process holds %s; `pail status` tells",
                         request->account.state_folder);
}

static int mount_it(struct request *request, struct fault *fault) {
    int r = account_load(&request->account, wanted_account(request), fault);
    if (!r)
        r = make_folder(request, fault);
    if (!r)
        r = clear_folder(request, fault);
    if (r == 1) {
        fprintf(request->cli->out, "%s is mounted on %s already.\n", request->account.email, request->folder);
        return 0;
    }
    if (r)
        return r;
    r = start(request, fault);
    if (!r && !request->foreground)
        fprintf(request->cli->out, "%s is mounted on %s\n", request->account.email, request->folder);
    return r;
}

static int run(struct cli *cli, int argc, char **argv) {
    CLEANUP(finish_request) struct request request = {.cli = cli};
    struct fault fault = {0};
    mount_words_init(&request.words);
    int r = read_arguments(&request, argc, argv, &fault);
    if (r != CLI_EXIT_FINE)
        return r;
    r = mount_it(&request, &fault);
    if (r == -ENOENT && !request.account.id)
        r = PAIL_LOGIN_REQUIRED;
    if (r == PAIL_CANCELLED && request.foreground) {
        cli_warn(cli, "ended before everything was sent; the next `pail mount` goes on");
        return CLI_EXIT_UNSENT;
    }
    if (r == PAIL_UNSUPPORTED && request.words.options.credentials) {
        cli_warn(cli, "%s", fault.text);
        return CLI_EXIT_USAGE;
    }
    return r ? cli_fail(cli, r, &fault) : CLI_EXIT_FINE;
}

static const struct cli_option options[] = {
    {'o', NULL, "OPTIONS", "mount options, separated by commas (see below)"},
    {'f', "foreground", NULL, "stay in the foreground; ^C unmounts, sends what is left and ends"},
    {OPTION_ACCOUNT, "account", "ACCOUNT", "which login: an email, a server or an id (default: the current one)"},
    {OPTION_MODE, "mode", "MODE", "who signs requests: the server (presigned), or this machine (credentials)"},
    {OPTION_SOURCE, "source", "SOURCE", "the first field of an fstab line: an account, or just pail"},
    {0},
};

const struct cli_command cli_command_mount = {
    .name = "mount",
    .summary = "Mount your bucket as a folder",
    .usage = "[FOLDER] [-o OPTIONS] [-f]",
    .about =
        "Mounts on FOLDER (default ~/Pail), which must be empty, and returns when it can be used.\n\n"
        "Mount options:\n"
        "  fresh=SECONDS|inf   trust a listing for so long before asking the bucket again (5)\n"
        "  durable=bucket      close and fsync wait until the bucket has the file\n"
        "  attrs=listing       do not ask for each file's mode, time and links: fastest listings\n"
        "  owner=keep          show the stored owner instead of you\n"
        "  timeout=SECONDS     give up a request that makes no progress for so long (30)\n"
        "  mode=credentials    sign requests here, with keys that the server lends for 15 minutes, if it offers that\n"
        "  cache=SIZE          most bytes kept on this disk (10G, or a tenth of what is free)\n"
        "  memory=SIZE         memory for the whole mount (256M)\n"
        "  account=ACCOUNT     which login\n"
        "  ro, allow_other, nosuid, nodev, noexec, noatime; what fstab adds (_netdev, nofail, x-...) is accepted",
    .options = options,
    .examples = "  pail mount                              your bucket on ~/Pail\n"
                "  pail mount ~/work -o fresh=60           another folder, listings trusted for a minute\n"
                "  mount -t fuse.pail me@example.com /mnt  as in fstab\n",
    .run = run,
};
