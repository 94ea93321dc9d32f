/* Going to the background when ready. */
#include "fs/cli/background.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { MAX_LOG = 1 << 20 };

struct background {
    int pipe; /* to the parent; -1 in the foreground, or when told */
};

/* What goes through the pipe: the result, and the text that belongs to it. */
struct message {
    int result;
    struct fault fault;
};

static void notify_manager(const char *text) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    strcpy(address.sun_path, path);
    if (path[0] == '@')
        address.sun_path[0] = 0;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd >= 0)
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
}

static void tell(struct background *background, int result, const struct fault *fault) {
    struct message message = {.result = result};
    if (fault)
        message.fault = *fault;
    if (background->pipe >= 0) {
        file_write_all(background->pipe, &message, sizeof message);
        close(background->pipe);
    }
    background->pipe = -1;
}

void background_ready(struct background *background) {
    notify_manager("READY=1\n");
    tell(background, 0, NULL);
}

void background_log(const char *path) {
    struct stat st;
    AUTO_FREE char *old = text_format("%s.1", path);
    if (old && stat(path, &st) == 0 && st.st_size > MAX_LOG)
        rename(path, old);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    dup2(fd, 1);
    dup2(fd, 2);
}

static void become_daemon(void) {
    setsid();
    AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    if (chdir("/"))
        return; /* a folder of ours stays in use, no more */
}

static _Noreturn void run_child(int pipe, background_work *work, void *context) {
    struct background background = {pipe};
    struct fault fault = {0};
    become_daemon();
    int r = work(context, &background, &fault);
    tell(&background, r ? r : -ECANCELED, &fault);
    _exit(r ? 1 : 0);
}

static int hear(int pipe, struct fault *fault) {
    struct message message;
    size_t have = 0;
    while (have < sizeof message) {
        ssize_t size = read(pipe, (char *)&message + have, sizeof message - have);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return fault_set(fault, -EPIPE,
                             "the background process died before it was ready; its log is in the state folder");
        have += (size_t)size;
    }
    if (fault && message.result)
        *fault = message.fault;
    return message.result;
}

int background_run(bool foreground, background_work *work, void *context, struct fault *fault) {
    if (foreground)
        return work(context, &(struct background){-1}, fault);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        run_child(ends[1], work, context);
    }
    close(ends[1]);
    int r = pid < 0 ? -errno : hear(ends[0], fault);
    close(ends[0]);
    return r;
}
