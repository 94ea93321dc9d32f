/* A program that is started beside this one and ends no later than it. Not thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t pid;  /* 0: not running */
    int output; /* what it writes to stdout, or -1 */
};

struct child_options {
    const char *program;    /* a path, or a name to look for in PATH */
    char *const *arguments; /* [0] is its name; ends with NULL */
    const char *log;        /* stderr is appended to this file (0600); NULL: ours */
    bool keep_output;       /* its stdout is for us to read; otherwise it is ours */
};

/* It has a process group of its own, so that ^C reaches it only through us, and gets SIGTERM when we die. 0 or -errno
 * when it could not be started. */
int child_start(struct child *child, const struct child_options *options);
/* One line of its output without the end, which the caller frees. 0, -ETIMEDOUT, -EPIPE: it ended, or closed it;
 * PAIL_CANCELLED. */
int child_read_line(struct child *child, int timeout_ms, const _Atomic bool *cancelled, char **line);
void child_signal(struct child *child, int number);
/* The exit code, or 128 and the signal's number; waits. */
int child_wait(struct child *child);
/* -1 while it runs. */
int child_poll(struct child *child);
void child_finish(struct child *child); /* SIGTERM and wait, if it runs */
