/* Following a sync or the end of a mount, with a progress line on a terminal. */
#pragma once

#include "fs/cli/command.h"

/* command: "sync" (with path, NULL: all) or "wait". 0 when the bucket has everything. While it is offline it goes on
 * waiting for "wait", and says so once. */
int follow_command(struct cli *cli, const char *control, const char *command, const char *path, struct fault *fault);
