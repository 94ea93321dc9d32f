/* One suite for every implementation of include/s3/store.h. What a store was not proven to honour is not asked of it;
 * everything else is. */
#pragma once

#include "s3/store.h"

struct conformance {
    struct store *store;            /* borrowed */
    struct store_features features; /* the store's own */
    char folder[64];                /* all keys of this run lie below it; ends in '/' */
    char name[64];                  /* of the suite's run */
};

/* Runs everything against the store and removes what it made. The number of failed tests, or below 0. */
int conformance_run(struct store *store, const char *name);

/* The parts of the suite; each calls cmocka_unit_test on its tests and is an array of count tests. */
struct CMUnitTest;
const struct CMUnitTest *conformance_objects(size_t *count);
const struct CMUnitTest *conformance_conditions(size_t *count);
const struct CMUnitTest *conformance_listings(size_t *count);
const struct CMUnitTest *conformance_uploads(size_t *count);
