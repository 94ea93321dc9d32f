/* Locals that clean themselves up. Success ends in handing the value over: `*out = TAKE(thing)`. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines `type *`'s cleanup function <destroy>_p, for CLEANUP(<destroy>_p). destroy must accept NULL. */
#define DEFINE_CLEANUP(type, destroy)                                                                                  \
    static inline void destroy##_p(type *pointer) {                                                                    \
        destroy(*pointer);                                                                                             \
    }

/* Hands a pointer over and leaves NULL behind. */
#define TAKE(pointer)                                                                                                  \
    __extension__({                                                                                                    \
        __typeof__(pointer) taken_ = (pointer);                                                                        \
        (pointer) = NULL;                                                                                              \
        taken_;                                                                                                        \
    })

static inline void cleanup_free(void *pointer) {
    free(*(void **)pointer);
}

static inline void cleanup_close(int *fd) {
    if (*fd >= 0)
        close(*fd);
}

/* Overwrites a secret string before freeing it. NULL is fine. */
static inline void secret_free(char *secret) {
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static inline void cleanup_secret(char **secret) {
    secret_free(*secret);
}

#define AUTO_FREE CLEANUP(cleanup_free)
#define AUTO_CLOSE CLEANUP(cleanup_close)
#define AUTO_SECRET CLEANUP(cleanup_secret)
