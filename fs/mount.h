/* One mount, built out of all parts and taken down again: the only place that knows them all. */
#pragma once

#include "auth/account.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct mount;

struct mount_options {
    const struct account *account; /* borrowed */
    const char *folder;            /* absolute; exists and is empty */
    bool allow_other, read_only;
    bool owner_keep;            /* owner=keep */
    bool attrs_listing;         /* attrs=listing */
    bool durable_bucket;        /* durable=bucket */
    bool credentials;           /* mode=credentials */
    int64_t fresh_ms;           /* fresh=; INT64_MAX: inf */
    int64_t stall_ms;           /* timeout= */
    uint64_t cache_bytes;       /* cache=; 0: the default */
    uint64_t memory_bytes;      /* memory=: what the whole mount may hold; 0: 256 MiB */
    const char *kernel_options; /* nosuid, noexec and the like, separated by commas; NULL: none */
};

/* Where a mount of this account is asked (fs/control). The caller frees; NULL without memory. */
char *mount_control_path(const struct account *account);

/* Mounted when it returns 0. -EWOULDBLOCK: another process has this account's state (it is mounted, or still sending).
 * PAIL_LOGIN_REQUIRED, PAIL_OFFLINE (only if this account never had its bucket), PAIL_UNSUPPORTED (the server does not
 * offer credentials mode), ... with a fault for the person. */
int mount_create(struct mount **out, const struct mount_options *options, struct fault *fault);
/* Serves until it is unmounted; then goes on, without the folder, until the bucket has everything. SIGTERM ends it at
 * the next safe point (what is unsent is sent after the next start); with foreground, SIGINT unmounts, and a second one
 * ends it. 0: all is in the bucket; PAIL_CANCELLED: something is left to be sent. */
int mount_run(struct mount *mount, bool foreground);
void mount_destroy(struct mount *mount); /* NULL is fine */
