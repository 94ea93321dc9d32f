/* The options after -o of `pail mount`, `mount -t fuse.pail` and fstab. */
#pragma once

#include "fs/mount.h"

struct mount_words {
    struct mount_options options; /* account and folder are the caller's */
    char *account;                /* account=ID; owned */
    char *kernel;                 /* behind options.kernel_options; owned */
};

/* The defaults of a mount without options. */
void mount_words_init(struct mount_words *words);
void mount_words_finish(struct mount_words *words);
/* Several are separated by commas; -o may be given several times. -EINVAL with a fault that names the word and what
 * would be right. */
int mount_words_parse(struct mount_words *words, const char *text, struct fault *fault);
