/* Destroying everything below a prefix of a bucket: every version of every key, delete markers, open uploads. What was
 * destroyed is gone for good. Killed half-way, another run goes on with what is left. Thread-safe. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"

#include <stdint.h>

struct purge_watch {
    /* After each thousand at most; destroyed: so far. Other than 0 ends the purge with that result. */
    int (*go_on)(void *context, uint64_t destroyed);
    void *context;
};

/* prefix "": the whole bucket. watch may be NULL. 0 also when the bucket is not there; PAIL_DENIED with a fault when
 * the store keeps something back; PAIL_OFFLINE; what go_on said. */
int purge_run(struct remote *remote, const char *bucket, const char *prefix, const struct purge_watch *watch,
              struct fault *fault);
