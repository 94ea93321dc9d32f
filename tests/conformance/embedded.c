/* The suite on the client's store and the embedded store: real requests over loopback, grants signed here. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "conformance.h"
#include "own_keys.h"
#include "s3/embedded/local_store.h"

#include <stdio.h>
#include <stdlib.h>

static const char versioning[] = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

static int run_on(const struct local_store *local, const char *bucket, bool versions) {
    AUTO_FREE char *address = text_format("http://127.0.0.1:%u", local_store_port(local));
    struct own_keys own = {
        .credentials = {"KEY", "secret", NULL, "us-east-1", "s3"},
        .endpoint = address,
        .bucket = bucket,
        .prefix = versions ? "" : "accounts/ann/",
        .life_s = 900,
        .features = {.put_if_absent = true,
                     .put_if_match = true,
                     .complete_if_absent = true,
                     .complete_if_match = true,
                     .complete_size = true,
                     .copy_if_absent = true,
                     .copy_if_match = true,
                     .copy_source_if_match = true,
                     .part_copy_source_if_match = true,
                     .delete_if_match = true,
                     .delete_many_if_match = true,
                     .content_md5 = true,
                     .quoted_etag = true,
                     .versions = versions},
    };
    struct http_origin origin = own_keys_origin(&own);
    struct store *store = NULL;
    int made = own_keys_send(&own, "PUT", NULL, NULL);
    if (made == 200 && versions)
        made = own_keys_send(&own, "PUT", "versioning", versioning);
    if (made != 200 || http_store_create_from(&store, &origin, &(struct http_store_options){0})) {
        fprintf(stderr, "the bucket cannot be made: %d\n", made);
        return 1;
    }
    int failed = conformance_run(store, versions ? "embedded" : "embedded without versions");
    store_destroy(store);
    return failed;
}

int main(void) {
    char folder[] = "/tmp/pail-conformance-XXXXXX";
    struct local_store *local = NULL;
    struct fault fault = {""};
    if (!mkdtemp(folder))
        return 2;
    struct local_store_options options = {folder, 0, "KEY", "secret", "us-east-1"};
    int failed = local_store_create(&local, &options, &fault);
    if (failed)
        fprintf(stderr, "%s\n", fault.text);
    else
        failed = run_on(local, "kept", true) + run_on(local, "plain", false);
    local_store_destroy(local);
    file_remove_tree(folder);
    return failed != 0;
}
