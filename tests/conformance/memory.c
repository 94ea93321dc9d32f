/* The suite on the store in memory: with every condition, as Ceph 16 is, and without versions. */
#include "conformance.h"
#include "s3/memory_store.h"

#include <stdio.h>

static const struct store_features all = {
    .put_if_absent = true,
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
};

static int run_on(const struct memory_store_options *options, const char *name) {
    struct store *store = NULL;
    if (memory_store_create(&store, options)) {
        fprintf(stderr, "no memory\n");
        return 1;
    }
    int failed = conformance_run(store, name);
    store_destroy(store);
    return failed;
}

int main(void) {
    int failed = run_on(&(struct memory_store_options){.versions = true, .features = all}, "memory");
    failed += run_on(&(struct memory_store_options){.versions = true, .features = {.put_if_match = true}}, "as Ceph");
    failed += run_on(&(struct memory_store_options){.features = all}, "memory without versions");
    return failed != 0;
}
