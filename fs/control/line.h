/* What goes over a connection, both ways: one JSON object on each line. */
#pragma once

#include "base/json.h"

/* Takes json over. 0, -ENOMEM, or -EPIPE: the other side is gone, or takes nothing. */
int control_line_send(int fd, struct json *json);
