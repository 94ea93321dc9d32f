/* The kernel's side of a mount: unpacks requests, calls the core, replies. The only part that knows FUSE (libfuse's
 * low-level API). Requests that miss something are parked and answered from another thread; ^C (FUSE_INTERRUPT) answers
 * them with EINTR. News from outside leaves from one thread with its own queue that holds no lock of ours. */
#pragma once

#include "fs/core/core.h"

#include <stdbool.h>

struct adapter;

struct adapter_options {
    struct core *core;  /* borrowed */
    const char *folder; /* mount point: an existing folder */
    const char *name;   /* shown as the source in /proc/mounts: "pail#ACCOUNT" */
    bool allow_other, read_only;
    const char *kernel_options; /* further ones for mount(2), separated by commas; NULL: none */
    int64_t fresh_ms;           /* how long the kernel may keep names and attributes */
};

/* Mounts. 0, -errno with a fault that says what to do. */
int adapter_create(struct adapter **out, const struct adapter_options *options, struct fault *fault);
/* To be given to tree_observe before the first operation. */
struct tree_watch adapter_watch(struct adapter *adapter);
/* Serves until it is unmounted or adapter_stop was called; then the folder is unmounted. 0 or -errno. */
int adapter_run(struct adapter *adapter);
/* Ends adapter_run. Thread-safe. */
void adapter_stop(struct adapter *adapter);
/* After sync_stop: every parked request was answered. NULL is fine. */
void adapter_destroy(struct adapter *adapter);
