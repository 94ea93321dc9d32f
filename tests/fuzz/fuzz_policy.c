/* An item of POST /v1/grants, from whoever has a login: whatever it is, what comes out stays with the account. */
#include "base/text.h"
#include "fuzz.h"
#include "s3/policy.h"

#include <stdlib.h>
#include <string.h>

static const struct policy policy = {.bucket = "pail-ann", .prefix = "ann/", .complete_size = true};

/* Headers that name another object must name one of this account. */
static void check_source(const struct policy_plan *plan) {
    for (size_t i = 0; i < plan->signed_count; i++) {
        const struct sign_pair *header = &plan->signed_headers[i];
        bool source = strcmp(header->name, "x-amz-copy-source") == 0;
        if (source && !text_starts(header->value, "/pail-ann/ann/") && !text_starts(header->value, "pail-ann/ann/"))
            abort();
        if (text_starts(header->name, "x-amz-acl") || text_starts(header->name, "x-amz-grant") ||
            text_starts(header->name, "x-amz-tagging") || text_starts(header->name, "x-amz-website") ||
            text_starts(header->name, "x-amz-server-side") || strpbrk(header->value, "\r\n"))
            abort();
    }
}

static void check_plan(const struct policy_plan *plan) {
    bool listing = false;
    for (size_t i = 0; i < plan->query_count; i++) {
        const struct sign_pair *pair = &plan->query[i];
        if (strcmp(pair->name, "prefix") == 0) {
            listing = true;
            if (!text_starts(pair->value, "ann/"))
                abort();
        }
        if (strcmp(pair->name, "acl") == 0 || strcmp(pair->name, "policy") == 0)
            abort();
    }
    if (plan->key ? !text_starts(plan->key, "ann/") : !listing && !plan->body)
        abort();
    check_source(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json *item = NULL;
    struct fault fault = {{0}};
    char *text = fuzz_text(data, size);
    if (!json_parse(&item, text, size)) {
        struct policy_plan plan;
        policy_count(item);
        if (policy_plan(&policy, item, &plan, &fault) == 0) {
            check_plan(&plan);
            policy_plan_finish(&plan);
        }
        json_destroy(item);
    }
    free(text);
    return 0;
}
