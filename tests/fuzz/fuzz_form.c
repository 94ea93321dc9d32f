/* A query or a form, as the embedded store and issuer read it. */
#include "fuzz.h"
#include "s3/embedded/form.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct form form;
    char *text = fuzz_text(data, size);
    form_parse(&form, text);
    form_get(&form, "prefix");
    form_finish(&form);
    free(text);
    return 0;
}
