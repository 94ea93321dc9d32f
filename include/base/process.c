/* What a process that holds secrets does first. */
#include "base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void process_protect_secrets(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0);
#endif
}
