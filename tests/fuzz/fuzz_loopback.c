/* A request to the port that the browser comes back to: from any page on the web, and any program here. */
#include "auth/loopback.h"
#include "base/text.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define STATE "the-state-of-this-login"
enum { MOST = 8192 }; /* what loopback.c reads at most */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct loopback_answer answer = {0};
    const char *why = NULL;
    if (size > MOST || memchr(data, 0, size))
        return 0; /* turned away before */
    char *request = fuzz_text(data, size);
    bool named = strstr(request, STATE) || strchr(request, '%');
    int status = loopback_read_request(request, "127.0.0.1:47831", STATE, &answer, &why);
    if (status ? status < 400 || status > 499 || !why || answer.code || answer.error
               : !named || !answer.code == !answer.error || (answer.code && !*answer.code))
        abort();
    loopback_answer_finish(&answer);
    free(request);
    return 0;
}
