/* A bearer token, from anybody. */
#include "auth/jwt.h"
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fault fault = {{0}};
    struct jwt jwt = {0};
    char *token = fuzz_text(data, size);
    int r = jwt_parse(&jwt, token, size, &fault);
    if (!r && (!jwt.header || !jwt.claims || jwt.signed_size > size ||
               (jwt.algorithm != JWT_RS256 && jwt.algorithm != JWT_ES256)))
        abort();
    jwt_finish(&jwt);
    free(token);
    return 0;
}
