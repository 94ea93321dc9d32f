/* The suite on the client's store against an S3 without a mapping server: grants are signed here. For trying a store by
 * hand:
 *   conformance_direct ENDPOINT ACCESS_KEY SECRET_KEY REGION BUCKET [FEATURE...]
 * The bucket is made, with versions. FEATUREs are names of conditions that the store honours. */
#include "conformance.h"
#include "own_keys.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t at;
} names[] = {
    {"put_if_absent", offsetof(struct store_features, put_if_absent)},
    {"put_if_match", offsetof(struct store_features, put_if_match)},
    {"complete_if_absent", offsetof(struct store_features, complete_if_absent)},
    {"complete_if_match", offsetof(struct store_features, complete_if_match)},
    {"complete_size", offsetof(struct store_features, complete_size)},
    {"copy_if_absent", offsetof(struct store_features, copy_if_absent)},
    {"copy_if_match", offsetof(struct store_features, copy_if_match)},
    {"copy_source_if_match", offsetof(struct store_features, copy_source_if_match)},
    {"part_copy_source_if_match", offsetof(struct store_features, part_copy_source_if_match)},
    {"delete_if_match", offsetof(struct store_features, delete_if_match)},
    {"delete_many_if_match", offsetof(struct store_features, delete_many_if_match)},
    {"content_md5", offsetof(struct store_features, content_md5)},
    {"quoted_etag", offsetof(struct store_features, quoted_etag)},
    {"versions", offsetof(struct store_features, versions)},
};

static int set_feature(struct store_features *features, const char *name) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) {
            *(bool *)((char *)features + names[i].at) = true;
            return 0;
        }
    fprintf(stderr, "%s is not a feature\n", name);
    return -EINVAL;
}

static const char versioning[] =
    "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status>"
    "</VersioningConfiguration>";

static int prepare(struct own_keys *own) {
    int made = own_keys_send(own, "PUT", NULL, NULL);
    if (made != 200 && made != 409) {
        fprintf(stderr, "cannot make the bucket: %d\n", made);
        return -EIO;
    }
    int status = own->features.versions ? own_keys_send(own, "PUT", "versioning", versioning) : 200;
    return status == 200 ? 0 : -EIO;
}

int main(int count, char **arguments) {
    if (count < 6) {
        fprintf(stderr, "usage: conformance_direct ENDPOINT ACCESS_KEY SECRET_KEY REGION BUCKET [FEATURE...]\n");
        return 2;
    }
    struct own_keys own = {
        .credentials = {arguments[2], arguments[3], NULL, arguments[4], "s3"},
        .endpoint = arguments[1],
        .bucket = arguments[5],
        .prefix = "accounts/ann/",
        .life_s = 900,
    };
    for (int i = 6; i < count; i++)
        if (set_feature(&own.features, arguments[i]))
            return 2;
    struct http_origin origin = own_keys_origin(&own);
    struct store *store = NULL;
    if (prepare(&own) || http_store_create_from(&store, &origin, &(struct http_store_options){0}))
        return 1;
    int failed = conformance_run(store, "direct");
    printf("%u grants in %u batches\n", own.items, own.batches);
    store_destroy(store);
    return failed != 0;
}
