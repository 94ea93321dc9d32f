/* What STS answers to AssumeRole. */
#include "fuzz.h"
#include "s3/server/role.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct lease lease = {0};
    struct fault fault = {{0}};
    char *text = fuzz_text(data, size);
    bool good = role_read_answer(text, size, &lease, &fault) == 0;
    bool whole = lease.access_key && lease.secret_key && lease.session_token && lease.expires_s > 0;
    if (good ? !whole : lease.access_key || lease.secret_key || lease.session_token)
        abort();
    lease_finish(&lease);
    free(text);
    return 0;
}
