/* Runs the suite on one store and cleans up behind it. */
#include "conformance.h"

#include "base/text.h"
#include "support.h"

#include <stdio.h>

#define MOST_TESTS 100

/* Everything below the run's folder goes, page by page. */
static int remove_all(const struct conformance *run) {
    struct store_list request = {.prefix = run->folder};
    struct store_page page;
    int error = store_list(run->store, &request, &page, NULL);
    while (!error && page.count) {
        struct store_delete *items = calloc(page.count, sizeof *items);
        for (size_t i = 0; items && i < page.count; i++)
            items[i].key = page.objects[i].key;
        error = items ? store_remove_many(run->store, items, page.count, NULL) : -ENOMEM;
        free(items);
        store_page_finish(&page);
        if (!error)
            error = store_list(run->store, &request, &page, NULL);
    }
    store_page_finish(&page);
    return error;
}

static size_t gather(struct CMUnitTest *tests, struct conformance *run) {
    const struct CMUnitTest *(*const parts[])(size_t *) = {conformance_objects, conformance_conditions,
                                                           conformance_listings, conformance_uploads};
    size_t total = 0, count;
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++) {
        const struct CMUnitTest *some = parts[part](&count);
        for (size_t i = 0; i < count && total < MOST_TESTS; i++) {
            tests[total] = some[i];
            tests[total++].initial_state = run;
        }
    }
    return total;
}

int conformance_run(struct store *store, const char *name) {
    struct CMUnitTest tests[MOST_TESTS];
    struct conformance run = {.store = store};
    char hex[17];
    random_hex(hex, 8);
    store_features(store, &run.features);
    snprintf(run.folder, sizeof run.folder, "conformance-%s/", hex);
    snprintf(run.name, sizeof run.name, "%s", name);
    size_t count = gather(tests, &run);
    int failed = _cmocka_run_group_tests(run.name, tests, count, NULL, NULL);
    int error = remove_all(&run);
    if (error)
        print_error("cleaning up: %s\n", error_text(error));
    return failed + (error != 0);
}
