/* Opening an address in the person's browser. Thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* Whether there is a screen of this person's to open it on: not over SSH, not without a display, unless $BROWSER. */
bool browser_is_likely(void);
/* Starts $BROWSER's first program that there is, or xdg-open, and does not wait for it. 0, or -errno when nothing could
 * be started. The address stands on that program's command line: no secret may be in it. */
int browser_open(const char *url, struct fault *fault);
