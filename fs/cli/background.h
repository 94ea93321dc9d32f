/* A process that goes to the background once it is ready, so that the command returns when the mount can be used and
 * says what went wrong before. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct background;
/* The work. Calls background_ready when it can be used; what it returns before that is what background_run returns,
 * with the fault. */
typedef int background_work(void *context, struct background *background, struct fault *fault);

/* foreground: work runs in this process, and its result is returned. Else in a child with a session of its own; 0 when
 * that is ready. Before any thread was started. */
int background_run(bool foreground, background_work *work, void *context, struct fault *fault);
/* Also tells a service manager (sd_notify(3): READY=1 to $NOTIFY_SOCKET). */
void background_ready(struct background *background);
/* From here on stdout and stderr are this file (appended; the last one is kept as PATH.1 above 1 MiB). */
void background_log(const char *path);
