/* A signed request, as the embedded store checks it: path, query and headers, a line each. None of them can be right.
 */
#include "fuzz.h"
#include "s3/sign.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size), *rest = text;
    char *path = strsep(&rest, "\n"), *query = rest ? strsep(&rest, "\n") : (char *)"";
    struct sign_pair headers[MOST];
    size_t count = 0;
    for (char *line; count < MOST && rest && (line = strsep(&rest, "\n"));) {
        char *name = strsep(&line, ":");
        headers[count++] = (struct sign_pair){name, line ? line : ""};
    }
    const struct sign_credentials credentials = {"AKIDEXAMPLE", "not the key of these", NULL, "us-east-1", "s3"};
    const struct sign_incoming incoming = {"GET", path, query, headers, count, 1440938160};
    struct sign_checked checked = {0};
    if (sign_check(&credentials, NULL, &incoming, &checked) == 0)
        abort();
    sign_checked_finish(&checked);
    free(text);
    return 0;
}
