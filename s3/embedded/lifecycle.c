/* What a bucket's lifecycle configuration asks to be removed. */
#include "s3/embedded/lifecycle.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/uploads.h"
#include "s3/listing_walk.h"

#include <errno.h>

#define AT_ONCE 200 /* rows in one transaction, so that requests pass between */
#define DAY_MS 86400000

struct rule {
    char *prefix;             /* owned; NULL: all */
    int64_t uploads_d, old_d; /* days; 0: never */
    bool enabled, markers;
};

struct rules {
    int64_t bucket;
    struct rule *items; /* owned */
    size_t count;
};

static void rules_finish(struct rules *rules) {
    for (size_t i = 0; i < rules->count; i++)
        free(rules->items[i].prefix);
    free(rules->items);
    *rules = (struct rules){0};
}

static int rule_start(void *context, const char *path) {
    struct rules *rules = context;
    if (strcmp(path, "LifecycleConfiguration/Rule") != 0)
        return 0;
    struct rule *items = reallocarray(rules->items, rules->count + 1, sizeof *items);
    if (!items)
        return -ENOMEM;
    rules->items = items;
    items[rules->count++] = (struct rule){0};
    return 0;
}

static int64_t days_of(const char *text) {
    uint64_t days;
    return !text_parse_u64(text, &days) && days < 1000000 ? (int64_t)days : 0;
}

static int rule_end(void *context, const char *path, const char *text, size_t size) {
    struct rules *rules = context;
    static const char parent[] = "LifecycleConfiguration/Rule/";
    if (!text_starts(path, parent))
        return 0;
    struct rule *rule = &rules->items[rules->count - 1];
    const char *name = path + strlen(parent);
    if (strcmp(name, "Status") == 0)
        rule->enabled = strcmp(text, "Enabled") == 0;
    else if (strcmp(name, "AbortIncompleteMultipartUpload/DaysAfterInitiation") == 0)
        rule->uploads_d = days_of(text);
    else if (strcmp(name, "NoncurrentVersionExpiration/NoncurrentDays") == 0)
        rule->old_d = days_of(text);
    else if (strcmp(name, "Expiration/ExpiredObjectDeleteMarker") == 0)
        rule->markers = strcmp(text, "true") == 0;
    else if (size && (strcmp(name, "Prefix") == 0 || strcmp(name, "Filter/Prefix") == 0)) {
        free(rule->prefix);
        rule->prefix = strdup(text);
        return rule->prefix ? 0 : -ENOMEM;
    }
    return 0;
}

/* The rules of the first bucket behind rules->bucket that has any. 0, 1: there is none, -errno. */
static int next_rules(struct catalog_session *session, void *context) {
    struct rules *rules = context;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query,
                  "SELECT bucket, body FROM setting WHERE name = 'lifecycle' AND bucket > ? ORDER BY bucket LIMIT 1");
    catalog_bind(&query, 1, rules->bucket);
    int r = catalog_step(&query);
    if (r < 1)
        return r ? r : 1;
    size_t size;
    const char *body = catalog_bytes(&query, 1, &size);
    rules->bucket = catalog_integer(&query, 0);
    struct listing_walker walker = {rule_start, rule_end, rules};
    r = listing_walk(body, size, &walker);
    return r < 0 ? r : 0; /* a damaged one has no rules */
}

/* One rule at work. */
struct pass {
    int64_t bucket, before_ms;
    const char *prefix;
    int found; /* in this transaction */
    struct objects_dead dead;
};

static void bind_pass(struct catalog_query *query, const struct pass *pass) {
    catalog_bind(query, 1, pass->bucket);
    catalog_bind(query, 2, (int64_t)strlen(pass->prefix));
    catalog_bind_bytes(query, 3, pass->prefix, strlen(pass->prefix));
}

static int expire_uploads(struct catalog_session *session, void *context) {
    struct pass *pass = context;
    int r = 0;
    for (pass->found = 0; !r && pass->found < AT_ONCE; pass->found++) {
        CLEANUP(catalog_end) struct catalog_query query = {0};
        catalog_start(session, &query,
                      "SELECT id FROM upload WHERE bucket = ?1 AND substr(key, 1, ?2) = ?3 AND begun_ms < ?4 LIMIT 1");
        bind_pass(&query, pass);
        catalog_bind(&query, 4, pass->before_ms);
        r = catalog_step(&query);
        if (r < 1)
            return r;
        AUTO_FREE char *id = strdup(catalog_text(&query, 0));
        catalog_end(&query);
        r = id ? uploads_remove(session, id, &pass->dead) : -ENOMEM;
    }
    return r;
}

/* Destroys the version that the query finds, if any: 1, or 0. */
static int destroy_found(struct catalog_session *session, struct catalog_query *query, struct pass *pass) {
    int r = catalog_step(query);
    if (r < 1)
        return r;
    CLEANUP(objects_row_finish) struct objects_row row = {0};
    size_t size;
    const char *bytes = catalog_bytes(query, 10, &size);
    AUTO_FREE char *key = strndup(bytes, size);
    r = key ? objects_row_read(query, &row) : -ENOMEM;
    catalog_end(query);
    if (!r)
        r = objects_destroy(session, pass->bucket, key, &row, &pass->dead);
    return r ? r : 1;
}

/* A version is old since its successor came. */
static int expire_versions(struct catalog_session *session, void *context) {
    struct pass *pass = context;
    int r = 1;
    for (pass->found = 0; r == 1 && pass->found < AT_ONCE; pass->found++) {
        CLEANUP(catalog_end) struct catalog_query query = {0};
        catalog_start(session, &query,
                      "SELECT " OBJECTS_COLUMNS ", key FROM object AS old"
                      " WHERE bucket = ?1 AND substr(key, 1, ?2) = ?3 AND latest = 0 AND ?4 >"
                      " (SELECT next.modified_ms FROM object AS next WHERE next.bucket = old.bucket AND"
                      " next.key = old.key AND next.id > old.id ORDER BY next.id LIMIT 1) LIMIT 1");
        bind_pass(&query, pass);
        catalog_bind(&query, 4, pass->before_ms);
        r = destroy_found(session, &query, pass);
    }
    return r < 0 ? r : 0;
}

static int expire_markers(struct catalog_session *session, void *context) {
    struct pass *pass = context;
    int r = 1;
    for (pass->found = 0; r == 1 && pass->found < AT_ONCE; pass->found++) {
        CLEANUP(catalog_end) struct catalog_query query = {0};
        catalog_start(session, &query,
                      "SELECT " OBJECTS_COLUMNS ", key FROM object AS mark"
                      " WHERE bucket = ?1 AND substr(key, 1, ?2) = ?3 AND latest = 1 AND marker = 1 AND NOT EXISTS"
                      " (SELECT 1 FROM object AS below WHERE below.bucket = mark.bucket AND below.key = mark.key AND"
                      " below.id < mark.id) LIMIT 1");
        bind_pass(&query, pass);
        r = destroy_found(session, &query, pass);
    }
    return r < 0 ? r : 0;
}

static int run_pass(struct catalog *catalog, struct blobs *blobs, struct pass *pass,
                    int (*job)(struct catalog_session *session, void *context)) {
    int r;
    do {
        r = catalog_write(catalog, job, pass);
        if (!r)
            objects_dead_remove(&pass->dead, blobs);
        objects_dead_finish(&pass->dead);
    } while (!r && pass->found == AT_ONCE);
    return r;
}

static int run_rule(struct catalog *catalog, struct blobs *blobs, int64_t bucket, const struct rule *rule,
                    int64_t now_ms) {
    struct pass pass = {.bucket = bucket, .prefix = rule->prefix ? rule->prefix : ""};
    int r = 0;
    if (!rule->enabled)
        return 0;
    if (rule->uploads_d) {
        pass.before_ms = now_ms - rule->uploads_d * DAY_MS;
        r = run_pass(catalog, blobs, &pass, expire_uploads);
    }
    if (!r && rule->old_d) {
        pass.before_ms = now_ms - rule->old_d * DAY_MS;
        r = run_pass(catalog, blobs, &pass, expire_versions);
    }
    return !r && rule->markers ? run_pass(catalog, blobs, &pass, expire_markers) : r;
}

int lifecycle_run(struct catalog *catalog, struct blobs *blobs, int64_t now_ms) {
    int64_t bucket = 0;
    for (;;) {
        CLEANUP(rules_finish) struct rules rules = {.bucket = bucket};
        int r = catalog_read(catalog, next_rules, &rules);
        if (r)
            return r < 0 ? r : 0;
        bucket = rules.bucket;
        for (size_t i = 0; i < rules.count && !r; i++)
            r = run_rule(catalog, blobs, bucket, &rules.items[i], now_ms);
        if (r)
            return r;
    }
}
