/* What is mounted where, as the kernel says. */
#pragma once

#include <stdbool.h>

struct mounted {
    char *folder;  /* owned, as the next */
    char *account; /* the account's id, of the source "pail#ID"; NULL if it is not a mount of ours */
    bool stale;    /* its process is gone */
};
void mounted_finish(struct mounted *mounted);
/* Whether an access that failed with this (-errno) says that the process which served is gone. */
bool mounted_is_dead(int error);

/* What is mounted exactly on this folder (topmost). 0; -ENOENT if nothing is; -errno. folder: absolute, without links.
 */
int mounted_find(const char *folder, struct mounted *out);
/* The absolute path without links, "." and "..", of a folder that may be a stale mount (which realpath(3) cannot pass).
 * The caller frees; NULL with errno. */
char *mounted_resolve(const char *folder);
/* Takes the mount off: umount2(2) as root, else fusermount3. lazy: at once, also while it is used. 0 or -errno
 * (-EBUSY). */
int mounted_remove(const char *folder, bool lazy);
