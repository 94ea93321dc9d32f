/* An issuer's keys, from the network. */
#include "auth/jwks.h"
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json *document = NULL;
    struct fault fault = {{0}};
    char *text = fuzz_text(data, size);
    if (!json_parse(&document, text, size)) {
        struct jwks *keys = NULL;
        int r = jwks_parse(&keys, document, &fault);
        if (!r && (!keys->count || keys->count > JWKS_MAX_KEYS))
            abort();
        jwks_destroy(keys);
        json_destroy(document);
    }
    free(text);
    return 0;
}
