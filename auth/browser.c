/* Opening an address in the person's browser. */
#include "auth/browser.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_set(const char *name) {
    const char *value = getenv(name);
    return value && *value;
}

bool browser_is_likely(void) {
    if (is_set("BROWSER"))
        return true;
    bool far = is_set("SSH_CONNECTION") || is_set("SSH_TTY");
    return !far && (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"));
}

/* In the new process, between fork and exec: only what is safe there. list: $BROWSER, split at ':' in place. */
static void become_browser(char *list, const char *url) {
    for (char *program = list, *end; program; program = end) {
        end = strchr(program, ':');
        if (end)
            *end++ = 0;
        if (*program)
            execlp(program, program, url, (char *)NULL);
    }
}

static void detach(void) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
}

/* Twice away, so that nobody waits for the browser; an exec that fails is told through the pipe. */
static void child(char *list, const char *url, int tell) {
    pid_t again = fork();
    if (again > 0)
        _exit(0);
    int error = errno;
    if (again == 0) {
        detach();
        become_browser(list, url);
        error = errno;
    }
    if (write(tell, &error, sizeof error) < 0)
        _exit(2);
    _exit(1);
}

static int start(char *list, const char *url) {
    int ends[2], error = 0;
    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    AUTO_CLOSE int hear = ends[0], tell = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        child(list, url, tell);
    close(tell);
    tell = -1;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    ssize_t n;
    while ((n = read(hear, &error, sizeof error)) < 0 && errno == EINTR)
        ;
    return n == (ssize_t)sizeof error ? -error : 0;
}

int browser_open(const char *url, struct fault *fault) {
    const char *wanted = getenv("BROWSER");
    AUTO_FREE char *list = strdup(wanted && *wanted ? wanted : "xdg-open:x-www-browser");
    if (!list)
        return -ENOMEM;
    int r = start(list, url);
    return r ? fault_set(fault, r, "no browser could be started (%s)", error_text(r)) : 0;
}
