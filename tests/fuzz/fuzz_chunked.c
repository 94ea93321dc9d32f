/* A body in chunks, as the embedded store reads it: in pieces, whose size the first byte says. */
#include "fuzz.h"
#include "s3/embedded/chunked.h"

#include <stdlib.h>

static int take(void *context, const void *data, size_t size) {
    size_t *total = context;
    *total += size + (size && ((const char *)data)[size - 1] == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t total = 0;
    struct chunked *chunked;
    if (!size)
        return 0;
    struct chunked_options options = {.trailers = data[0] & 1, .write = take, .context = &total};
    size_t piece = data[0] / 2u + 1u;
    if (chunked_create(&chunked, &options))
        abort();
    int r = 0;
    for (size_t at = 1; at < size && !r; at += piece)
        r = chunked_add(chunked, data + at, size - at < piece ? size - at : piece);
    if (!r && !chunked_finish(chunked))
        free(chunked_trailer(chunked, "x-amz-checksum-crc32c"));
    chunked_destroy(chunked);
    return 0;
}
