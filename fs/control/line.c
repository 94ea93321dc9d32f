/* One line of a conversation. */
#include "fs/control/line.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int control_line_send(int fd, struct json *json) {
    AUTO_JSON struct json *owned = json;
    AUTO_FREE char *text = json_print(owned);
    AUTO_FREE char *line = text ? text_format("%s\n", text) : NULL;
    if (!line)
        return -ENOMEM;
    return send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line) ? 0 : -EPIPE;
}
