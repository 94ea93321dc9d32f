/* What is mounted where: /proc/self/mountinfo (proc_pid_mountinfo(5)). */
#include "fs/cli/mounted.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

void mounted_finish(struct mounted *mounted) {
    free(mounted->folder);
    free(mounted->account);
}

/* ECONNABORTED has who asked while it ended: even a killed process takes its time. */
bool mounted_is_dead(int error) {
    return error == -ENOTCONN || error == -ECONNABORTED;
}

/* Space, tab, newline and backslash stand as \ooo. In place. */
static void unescape(char *text) {
    char *to = text;
    for (; *text; text++) {
        unsigned code;
        if (text[0] == '\\' && sscanf(text + 1, "%3o", &code) == 1) {
            *to++ = (char)code;
            text += 3;
        } else {
            *to++ = *text;
        }
    }
    *to = 0;
}

/* The fields of one line that matter; all point into it. */
static bool split(char *line, char **folder, char **type, char **source) {
    char *rest = line;
    *folder = NULL;
    for (int field = 1; field <= 5 && rest; field++)
        *folder = strsep(&rest, " ");
    char *dash = rest ? strstr(rest, " - ") : NULL;
    if (!*folder || !dash)
        return false;
    rest = dash + 3;
    *type = strsep(&rest, " ");
    *source = rest ? strsep(&rest, " \n") : NULL;
    if (!*source)
        return false;
    unescape(*folder);
    unescape(*source);
    return true;
}

static int take(struct mounted *out, const char *folder, const char *type, const char *source) {
    mounted_finish(out);
    *out = (struct mounted){.folder = strdup(folder)};
    if (!out->folder)
        return -ENOMEM;
    if (strcmp(type, "fuse.pail") != 0 || !text_starts(source, "pail#"))
        return 0;
    out->account = strdup(source + 5);
    return out->account ? 0 : -ENOMEM;
}

int mounted_find(const char *folder, struct mounted *out) {
    FILE *table = fopen("/proc/self/mountinfo", "re");
    if (!table)
        return -errno;
    *out = (struct mounted){0};
    AUTO_FREE char *line = NULL;
    size_t room = 0;
    int r = 0;
    char *at, *type, *source;
    while (!r && getline(&line, &room, table) > 0)
        if (split(line, &at, &type, &source) && strcmp(at, folder) == 0)
            r = take(out, at, type, source);
    fclose(table);
    if (!r && !out->folder)
        r = -ENOENT;
    struct statvfs fs; /* stat may still be answered from the kernel's cache */
    if (!r && out->account)
        out->stale = statvfs(folder, &fs) && mounted_is_dead(-errno);
    if (r)
        mounted_finish(out);
    return r;
}

char *mounted_resolve(const char *folder) {
    char *whole = realpath(folder, NULL);
    if (whole || !mounted_is_dead(-errno))
        return whole;
    AUTO_FREE char *copy = strdup(folder);
    if (!copy)
        return NULL;
    size_t size = strlen(copy);
    while (size > 1 && copy[size - 1] == '/')
        copy[--size] = 0;
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    AUTO_FREE char *parent = slash ? strndup(copy, slash == copy ? 1 : (size_t)(slash - copy)) : strdup(".");
    AUTO_FREE char *above = parent ? realpath(parent, NULL) : NULL;
    return above ? text_format("%s/%s", strcmp(above, "/") == 0 ? "" : above, name) : NULL;
}

/* Its own message goes to /dev/null: ours says what to do. */
static int run_fusermount(const char *folder, bool lazy) {
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("fusermount3", "fusermount3", "-u", lazy ? "-z" : "--", lazy ? "--" : folder, lazy ? folder : NULL,
               (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return -ENOSYS;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mounted_remove(const char *folder, bool lazy) {
    if (geteuid() == 0)
        return umount2(folder, (lazy ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW) ? -errno : 0;
    return run_fusermount(folder, lazy);
}
