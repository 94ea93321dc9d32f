/* What lies in the vault. */
#include "auth/token.h"
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct token_set set;
    char *text = fuzz_text(data, size);
    if (token_set_parse(text, &set) == 0) {
        token_set_is_young(&set);
        char *again = token_set_print(&set);
        if (!again)
            abort();
        free(again);
        token_set_finish(&set);
    }
    free(text);
    return 0;
}
