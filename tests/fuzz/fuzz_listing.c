/* A store's answers, from the network. The first byte says which kind is expected. */
#include "fuzz.h"
#include "s3/listing.h"

#include <stdlib.h>

static int failed(void *context, const char *key, const char *code, const char *message) {
    (void)context;
    return !key && !code && !message;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct store_page page = {0};
    struct store_parts parts = {0};
    struct listing_error error = {0};
    char *text = NULL, *xml;
    if (!size)
        return 0;
    xml = fuzz_text(data + 1, --size);
    switch (data[0] % 8) {
    case 0:
        listing_parse_page(xml, size, &page);
        break;
    case 1:
        listing_parse_versions(xml, size, &page);
        store_page_finish(&page);
        listing_parse_uploads(xml, size, &page);
        break;
    case 2:
        listing_parse_parts(xml, size, &parts, &text);
        break;
    case 3:
        listing_parse_upload_id(xml, size, &text);
        break;
    case 4:
        listing_parse_error(xml, size, &error);
        break;
    case 5:
        listing_parse_result(xml, size, &text, &error);
        break;
    case 6:
        listing_parse_deleted(xml, size, failed, NULL);
        break;
    default:
        listing_parse_text(xml, size, "AssumeRoleResponse/AssumeRoleResult/Credentials/AccessKeyId", &text);
    }
    store_page_finish(&page);
    store_parts_finish(&parts);
    listing_error_finish(&error);
    free(text);
    free(xml);
    return 0;
}
