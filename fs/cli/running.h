/* Finding the running mount that a command is about. */
#pragma once

#include "auth/account.h"
#include "base/error.h"
#include "fs/cli/command.h"

struct running {
    struct account account;
    char *control; /* path of its socket; owned */
    char *folder;  /* mount point, NULL if it is not mounted any more (only sending); owned */
    char *below;   /* the path inside of the mount that was named; "" for the mount itself; owned */
    bool stale;    /* mounted, but its process is gone */
};
void running_finish(struct running *running);

/* path NULL: the one mount there is (mounted or sending), or, of several, that of the current account. Else the mount
 * that holds the path. -ENOTCONN with a fault when there is none. */
int running_find(const char *path, struct running *out, struct fault *fault);
/* Whether a path inside of the mount (NULL: none is known) is `below`, or lies there. */
bool running_is_below(const char *path, const char *below);
