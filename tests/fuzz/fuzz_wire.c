/* What a mapping server answers, as the client reads it. The first byte says which answer. */
#include "fuzz.h"
#include "s3/grant.h"
#include "s3/mapping.h"

#include <stdlib.h>

static void read_grant(const char *text, size_t size) {
    struct json *json = NULL;
    struct owned_grant *grant = NULL;
    if (json_parse(&json, text, size))
        return;
    if (grant_parse(json, 0, &grant) == 0)
        grant_drop(grant);
    json_destroy(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mapping_session session = {0};
    if (!size)
        return 0;
    char *text = fuzz_text(data + 1, --size);
    if (data[0] % 2)
        read_grant(text, size);
    else if (mapping_session_parse(text, size, &session) == 0)
        mapping_session_finish(&session);
    free(text);
    return 0;
}
