/* Asking a running mount. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fs/control/control.h"
#include "fs/control/line.h"
#include "fs/control/socket_path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int connect_to(const char *path) {
    struct sockaddr_un address;
    AUTO_CLOSE int folder = -1;
    int r = socket_path_address(path, &address, &folder);
    if (r)
        return r == -ENOENT ? -ENOTCONN : r;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address))
        return errno == ENOENT || errno == ECONNREFUSED ? -ENOTCONN : -errno;
    int connected = fd;
    fd = -1;
    return connected;
}

/* One line's meaning: 1 to go on, else the end with *result. */
static bool take_line(const char *text, size_t size, int (*each)(void *, const struct json *), void *context,
                      struct fault *fault, int *result) {
    AUTO_JSON struct json *line = NULL;
    *result = json_parse(&line, text, size);
    if (*result)
        return false;
    *result = each ? each(context, line) : 0;
    if (*result)
        return false;
    if (!json_get_boolean(line, "done", false))
        return true;
    *result = (int)json_get_integer(line, "error", 0);
    const char *message = json_get_text(line, "message");
    if (*result && message)
        fault_set(fault, *result, "%s", message);
    return false;
}

int control_ask(const char *path, struct json *request, int (*each)(void *context, const struct json *line),
                void *context, struct fault *fault) {
    AUTO_CLOSE int fd = connect_to(path);
    if (fd < 0) {
        json_destroy(request);
        return fault_set(fault, fd, "no mount answers: %s", error_text(fd));
    }
    int r = control_line_send(fd, request);
    AUTO_CLOSE int reading = r ? -1 : dup(fd);
    FILE *answers = reading < 0 ? NULL : fdopen(reading, "r");
    if (!answers) {
        r = r == -EPIPE ? -ECONNRESET : r ? r : -errno;
        return fault_set(fault, r, "the mount's process was not asked: %s", error_text(r));
    }
    reading = -1;
    AUTO_FREE char *line = NULL;
    size_t room = 0;
    ssize_t size;
    r = -ECONNRESET; /* it ended without a last word */
    while ((size = getline(&line, &room, answers)) > 0)
        if (!take_line(line, (size_t)(line[size - 1] == '\n' ? size - 1 : size), each, context, fault, &r))
            break;
        else
            r = -ECONNRESET;
    fclose(answers);
    return r == -ECONNRESET ? fault_set(fault, r, "the mount's process ended before it answered") : r;
}

bool control_is_gone(int error) {
    return error == -ENOTCONN || error == -ECONNRESET;
}
