/* What the suite's tests share: keys, bodies, and calls that must succeed. */
#pragma once

#include "conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A key of this run. Borrowed until the 64th call from here. */
const char *support_key(const struct conformance *run, const char *name);
/* size bytes that follow from the seed; the same at any offset. */
struct store_source support_source(uint64_t *seed, uint64_t size);
void support_fill(uint64_t seed, uint64_t offset, void *data, size_t size);

/* A sink that keeps everything. */
struct support_bytes {
    unsigned char *data; /* owned: free it */
    size_t size;
};
struct store_sink support_sink(struct support_bytes *bytes);
void support_free(struct support_bytes *bytes);
/* The bytes are those of this seed from offset on. */
void support_assert_bytes(const struct support_bytes *bytes, uint64_t seed, uint64_t offset, uint64_t size);

/* A call that shows its fault when it does not end as expected. */
#define assert_result(expression, expected)                                                                            \
    do {                                                                                                               \
        struct fault fault_ = {""};                                                                                    \
        struct store_call call = {.fault = &fault_};                                                                   \
        (void)call;                                                                                                    \
        int result_ = (expression);                                                                                    \
        if (result_ != (expected))                                                                                     \
            print_error("%s: %d (%s): %s\n", #expression, result_, error_text(result_), fault_.text);                  \
        assert_int_equal(result_, (expected));                                                                         \
    } while (0)
#define assert_ok(expression) assert_result(expression, 0)

/* Skips the test on a store without the feature, and says so. */
#define needs(feature)                                                                                                 \
    do {                                                                                                               \
        if (!run->features.feature) {                                                                                  \
            print_message("skipped: this store has not " #feature "\n");                                               \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* Puts size bytes of the seed; etag and version (may be NULL) are owned by the caller. */
void support_put(const struct conformance *run, const char *key, uint64_t seed, uint64_t size, char **etag,
                 char **version);
/* What is at the key now has these bytes. */
void support_assert_object(const struct conformance *run, const char *key, uint64_t seed, uint64_t size);
void support_assert_gone(const struct conformance *run, const char *key);
