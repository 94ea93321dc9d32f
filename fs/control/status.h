/* The status of a mount as JSON; its members are stable (pail(1), STATUS). Private to fs/control. */
#pragma once

#include "base/json.h"
#include "fs/content/content.h"
#include "fs/sync/sync.h"
#include "fs/tree/tree.h"

/* limit: most unsent files listed. Owned by the caller; NULL without memory. */
struct json *status_describe(struct tree *tree, struct content *content, struct sync *sync, size_t limit);
