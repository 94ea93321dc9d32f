/* A program that is started beside this one. */
#include "fs/cli/child.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* In the new process: only what is safe between fork and exec. */
static void become(const struct child_options *options, int output, int log, int tell, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
        (output < 0 || dup2(output, STDOUT_FILENO) >= 0) && (log < 0 || dup2(log, STDERR_FILENO) >= 0))
        execvp(options->program, options->arguments);
    int error = errno;
    if (write(tell, &error, sizeof error) < 0)
        _exit(126);
    _exit(127);
}

/* An exec that failed is told through the pipe; one that worked closes it. */
static int hear(int told, struct child *child) {
    int error = 0;
    ssize_t n;
    do
        n = read(told, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    if (n != sizeof error)
        return 0;
    waitpid(child->pid, NULL, 0);
    child->pid = 0;
    return error ? -error : -ECHILD;
}

static int start(struct child *child, const struct child_options *options, int log) {
    int tell[2], output[2] = {-1, -1};
    if (pipe2(tell, O_CLOEXEC))
        return -errno;
    AUTO_CLOSE int told = tell[0], telling = tell[1];
    if (options->keep_output && pipe2(output, O_CLOEXEC))
        return -errno;
    AUTO_CLOSE int reading = output[0], writing = output[1];
    pid_t parent = getpid();
    child->pid = fork();
    if (child->pid == 0)
        become(options, writing, log, telling, parent);
    if (child->pid < 0) {
        child->pid = 0;
        return -errno;
    }
    close(telling);
    telling = -1;
    int r = hear(told, child);
    if (!r) {
        child->output = reading;
        reading = -1;
    }
    return r;
}

int child_start(struct child *child, const struct child_options *options) {
    *child = (struct child){.output = -1};
    AUTO_CLOSE int log = -1;
    if (options->log) {
        log = open(options->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log < 0)
            return -errno;
    }
    return start(child, options, log);
}

/* 0: something is there to read. */
static int wait_output(const struct child *child, int64_t until_ms, const _Atomic bool *cancelled) {
    while (!cancelled || !atomic_load(cancelled)) {
        struct pollfd wait = {.fd = child->output, .events = POLLIN};
        int64_t left = until_ms - clock_monotonic_ms();
        if (left <= 0)
            return -ETIMEDOUT;
        if (poll(&wait, 1, left < 50 ? (int)left : 50) > 0)
            return 0;
    }
    return PAIL_CANCELLED;
}

int child_read_line(struct child *child, int timeout_ms, const _Atomic bool *cancelled, char **line) {
    AUTO_BUFFER struct buffer text = {0};
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    for (;;) {
        char byte;
        int r = wait_output(child, until_ms, cancelled);
        if (r)
            return r;
        ssize_t n = read(child->output, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 1)
            return n ? -errno : -EPIPE;
        if (byte == '\n')
            break;
        r = text.size < 65536 ? buffer_append(&text, &byte, 1) : -EMSGSIZE;
        if (r)
            return r;
    }
    *line = buffer_take(&text);
    return *line ? 0 : -ENOMEM;
}

void child_signal(struct child *child, int number) {
    if (child->pid)
        kill(child->pid, number);
}

static int code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_wait(struct child *child) {
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0)
        if (errno != EINTR)
            return 128;
    child->pid = 0;
    return code_of(status);
}

int child_poll(struct child *child) {
    int status;
    pid_t done = waitpid(child->pid, &status, WNOHANG);
    if (done == 0 || (done < 0 && errno == EINTR))
        return -1;
    child->pid = 0;
    return done < 0 ? 128 : code_of(status);
}

void child_finish(struct child *child) {
    if (child->pid) {
        child_signal(child, SIGTERM);
        child_wait(child);
    }
    cleanup_close(&child->output);
    child->output = -1;
}
