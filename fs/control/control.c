/* Serving the socket: a thread accepts, one more for each connection. */
#include "fs/control/control.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/control/line.h"
#include "fs/control/socket_path.h"
#include "fs/control/status.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_CONNECTIONS = 32, MAX_LINE = 8192, PROGRESS_MS = 200 };

struct control {
    struct control_options options;
    char *path; /* owned */
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    unsigned connections; /* under lock */
    _Atomic bool ending;
    _Atomic int result; /* for those who wait for the end */
};

struct connection {
    struct control *control;
    int fd;
};

static int send_end(int fd, int error, const char *message) {
    struct json *line = json_object();
    json_add_boolean(line, "done", true);
    json_add_integer(line, "error", error);
    json_add_text(line, "message", message ? message : error_text(error));
    return control_line_send(fd, line);
}

static int send_progress(const struct connection *connection) {
    struct tree_totals totals;
    struct sync_status status;
    if (tree_totals(connection->control->options.tree, &totals))
        return 0;
    sync_status(connection->control->options.sync, &status);
    struct json *line = json_object();
    json_add_integer(line, "unsent", (int64_t)(totals.unsent + totals.deletes));
    json_add_integer(line, "bytes", (int64_t)totals.unsent_bytes);
    json_add_integer(line, "sent", (int64_t)status.sent_total);
    json_add_text(line, "why", status.online == SYNC_ONLINE ? NULL : status.why);
    return control_line_send(connection->fd, line);
}

/* ---- sync ---- */

struct flush {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned references; /* under lock: the asker may hang up before the flush is over */
    bool done;
    int result;
};

static void drop_flush(struct flush *flush) {
    pthread_mutex_lock(&flush->lock);
    bool last = --flush->references == 0;
    pthread_mutex_unlock(&flush->lock);
    if (!last)
        return;
    pthread_cond_destroy(&flush->ended);
    pthread_mutex_destroy(&flush->lock);
    free(flush);
}

static void flush_done(void *context, int result) {
    struct flush *flush = context;
    pthread_mutex_lock(&flush->lock);
    flush->done = true;
    flush->result = result;
    pthread_cond_broadcast(&flush->ended);
    pthread_mutex_unlock(&flush->lock);
    drop_flush(flush);
}

static bool wait_a_while(struct flush *flush) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PROGRESS_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&flush->lock);
    if (!flush->done)
        pthread_cond_timedwait(&flush->ended, &flush->lock, &until);
    bool done = flush->done;
    pthread_mutex_unlock(&flush->lock);
    return done;
}

static int follow_flush(const struct connection *connection, uint64_t ino) {
    struct flush *flush = calloc(1, sizeof *flush);
    if (!flush)
        return send_end(connection->fd, -ENOMEM, NULL);
    pthread_mutex_init(&flush->lock, NULL);
    pthread_cond_init(&flush->ended, NULL);
    flush->references = 2;
    sync_flush(connection->control->options.sync, ino, flush_done, flush);
    int r = 0;
    bool done = false;
    while (!r && !(done = wait_a_while(flush)))
        r = send_progress(connection);
    if (done)
        r = send_end(connection->fd, flush->result, NULL);
    drop_flush(flush);
    return r;
}

static int answer_sync(const struct connection *connection, const char *path) {
    const struct control_options *options = &connection->control->options;
    struct tree_node node;
    int r = options->commit(options->context);
    if (r)
        return send_end(connection->fd, r, NULL);
    r = tree_find(options->tree, path ? path : "", &node);
    if (r == TREE_UNKNOWN) /* nothing of it was changed here */
        return send_end(connection->fd, 0, NULL);
    if (r)
        return send_end(connection->fd, r, NULL);
    uint64_t ino = node.ino;
    tree_node_finish(&node);
    return follow_flush(connection, ino);
}

/* ---- the others ---- */

static bool hung_up(int fd) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, PROGRESS_MS) > 0;
}

static int answer_wait(const struct connection *connection) {
    int r = 0;
    while (!r && !connection->control->ending && !hung_up(connection->fd))
        r = send_progress(connection);
    return connection->control->ending ? send_end(connection->fd, connection->control->result, NULL) : r;
}

static int answer_status(const struct connection *connection, const struct json *request) {
    const struct control_options *options = &connection->control->options;
    struct json *status = status_describe(options->tree, options->content, options->sync,
                                          (size_t)json_get_integer(request, "limit", 100));
    if (status)
        options->describe(options->context, status);
    json_add_boolean(status, "done", true);
    return control_line_send(connection->fd, status);
}

static int answer(const struct connection *connection, const struct json *request) {
    const struct control_options *options = &connection->control->options;
    const char *command = json_get_text(request, "command");
    if (text_equal(command, "status"))
        return answer_status(connection, request);
    if (text_equal(command, "sync"))
        return answer_sync(connection, json_get_text(request, "path"));
    if (text_equal(command, "wait"))
        return answer_wait(connection);
    if (text_equal(command, "release"))
        return send_end(connection->fd, options->release(options->context), NULL);
    if (text_equal(command, "retry")) {
        sync_retry(options->sync);
        return send_end(connection->fd, 0, NULL);
    }
    return send_end(connection->fd, -EINVAL, "unknown command");
}

static void *serve(void *context) {
    struct connection *connection = context;
    struct control *control = connection->control;
    char line[MAX_LINE];
    size_t used = 0;
    while (used < sizeof line && !memchr(line, '\n', used)) {
        ssize_t size = recv(connection->fd, line + used, sizeof line - used, 0);
        if (size <= 0)
            break;
        used += (size_t)size;
    }
    char *end = memchr(line, '\n', used);
    AUTO_JSON struct json *request = NULL;
    if (end && json_parse(&request, line, (size_t)(end - line)) == 0)
        answer(connection, request);
    else
        send_end(connection->fd, -EINVAL, "not a request");
    close(connection->fd);
    free(connection);
    pthread_mutex_lock(&control->lock);
    control->connections--;
    pthread_cond_broadcast(&control->fewer);
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

static void start_thread(struct control *control, int fd) {
    struct connection *connection = calloc(1, sizeof *connection);
    pthread_t thread;
    pthread_mutex_lock(&control->lock);
    bool room = connection && control->connections < MAX_CONNECTIONS;
    if (room) {
        *connection = (struct connection){control, fd};
        struct timeval patience = {.tv_sec = 5};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        room = pthread_create(&thread, NULL, serve, connection) == 0;
    }
    control->connections += room;
    pthread_mutex_unlock(&control->lock);
    if (room) {
        pthread_detach(thread);
    } else {
        close(fd);
        free(connection);
    }
}

static void *accept_all(void *context) {
    struct control *control = context;
    pthread_setname_np(pthread_self(), "pail-control");
    while (!control->ending) {
        struct pollfd poll_fd = {.fd = control->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, PROGRESS_MS) <= 0)
            continue;
        int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            start_thread(control, fd);
    }
    return NULL;
}

static int listen_on(const char *path) {
    struct sockaddr_un address;
    AUTO_CLOSE int folder = -1;
    int r = socket_path_address(path, &address, &folder);
    if (r)
        return r;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    mode_t before = umask(0077);
    r = bind(fd, (const struct sockaddr *)&address, sizeof address) ? -errno : 0;
    umask(before);
    if (r || listen(fd, 16))
        return r ? r : -errno;
    int listening = fd;
    fd = -1;
    return listening;
}

static int start(struct control *control) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&control->thread, NULL, accept_all, control);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

int control_create(struct control **out, const struct control_options *options, struct fault *fault) {
    int fd = listen_on(options->path);
    if (fd < 0)
        return fault_set(fault, fd, "cannot listen on %s: %s", options->path, error_text(fd));
    struct control *control = calloc(1, sizeof *control);
    char *path = strdup(options->path);
    if (!control || !path) {
        free(control);
        free(path);
        close(fd);
        return -ENOMEM;
    }
    control->options = *options;
    control->path = path;
    control->fd = fd;
    pthread_mutex_init(&control->lock, NULL);
    pthread_cond_init(&control->fewer, NULL);
    int r = start(control);
    if (r) {
        close(fd);
        free(path);
        free(control);
        return r;
    }
    *out = control;
    return 0;
}

void control_destroy(struct control *control, int result) {
    if (!control)
        return;
    control->result = result;
    control->ending = true;
    pthread_join(control->thread, NULL);
    pthread_mutex_lock(&control->lock);
    while (control->connections)
        pthread_cond_wait(&control->fewer, &control->lock);
    pthread_mutex_unlock(&control->lock);
    unlink(control->path);
    close(control->fd);
    pthread_cond_destroy(&control->fewer);
    pthread_mutex_destroy(&control->lock);
    free(control->path);
    free(control);
}
