/* Which request to the embedded store is what. */
#include "base/text.h"
#include "s3/embedded/serve.h"

#include <string.h>

/* The first that fits counts. */
static const struct visit_route routes[] = {
    {"GET", 's', NULL, NULL, NULL, VISIT_NONE, serve_bucket_all},

    {"GET", 'b', "location", NULL, NULL, VISIT_NONE, serve_bucket_location},
    {"GET", 'b', "versioning", NULL, NULL, VISIT_NONE, serve_bucket_versioning},
    {"PUT", 'b', "versioning", NULL, NULL, VISIT_XML, serve_bucket_set_versioning},
    {"GET", 'b', "acl", NULL, NULL, VISIT_NONE, serve_setting_acl},
#define SETTING(name)                                                                                                  \
    {"GET", 'b', name, NULL, NULL, VISIT_NONE, serve_setting_get},                                                     \
        {"PUT", 'b', name, NULL, NULL, VISIT_XML, serve_setting_put}, {                                                \
        "DELETE", 'b', name, NULL, NULL, VISIT_NONE, serve_setting_delete                                              \
    }
    SETTING("lifecycle"),
    SETTING("publicAccessBlock"),
    SETTING("ownershipControls"),
    SETTING("encryption"),
    SETTING("tagging"),
    SETTING("cors"),
    SETTING("policy"),
#undef SETTING
    {"GET", 'b', "policyStatus", NULL, NULL, VISIT_NONE, serve_setting_get},
    {"GET", 'b', "versions", NULL, NULL, VISIT_NONE, serve_list_versions},
    {"GET", 'b', "uploads", NULL, NULL, VISIT_NONE, serve_upload_all},
    {"POST", 'b', "delete", NULL, NULL, VISIT_XML, serve_delete_many},
    {"GET", 'b', NULL, NULL, NULL, VISIT_NONE, serve_list_objects},
    {"PUT", 'b', NULL, NULL, NULL, VISIT_XML, serve_bucket_create},
    {"HEAD", 'b', NULL, NULL, NULL, VISIT_NONE, serve_bucket_head},
    {"DELETE", 'b', NULL, NULL, NULL, VISIT_NONE, serve_bucket_delete},

    {"GET", 'k', "acl", NULL, NULL, VISIT_NONE, serve_setting_acl},
    {"GET", 'k', "tagging", NULL, NULL, VISIT_NONE, serve_read_tags},
    {"GET", 'k', "uploadId", NULL, NULL, VISIT_NONE, serve_upload_parts},
    {"POST", 'k', "uploads", NULL, NULL, VISIT_NONE, serve_upload_create},
    {"POST", 'k', "uploadId", NULL, NULL, VISIT_XML, serve_upload_complete},
    {"DELETE", 'k', "uploadId", NULL, NULL, VISIT_NONE, serve_upload_abort},
    {"PUT", 'k', "partNumber", "uploadId", "x-amz-copy-source", VISIT_NONE, serve_upload_part_copy},
    {"PUT", 'k', "partNumber", "uploadId", NULL, VISIT_OBJECT, serve_upload_part},
    {"GET", 'k', NULL, NULL, NULL, VISIT_NONE, serve_read},
    {"HEAD", 'k', NULL, NULL, NULL, VISIT_NONE, serve_read},
    {"PUT", 'k', NULL, NULL, "x-amz-copy-source", VISIT_NONE, serve_write_copy},
    {"PUT", 'k', NULL, NULL, NULL, VISIT_OBJECT, serve_write_put},
    {"DELETE", 'k', NULL, NULL, NULL, VISIT_NONE, serve_delete_one},
};

/* Parameters that ask for something else than the plain object or bucket: one that no route names must not be passed
 * over, or ?acl would write the object. */
static const char *const subresources[] = {
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
};

static bool fits(const struct visit_route *route, const struct visit *visit, char level) {
    return route->level == level && strcmp(route->method, visit->request->method) == 0 &&
           (!route->name || visit_parameter(visit, route->name)) &&
           (!route->also || visit_parameter(visit, route->also)) &&
           (!route->header || visit_header(visit, route->header));
}

/* A parameter that the route does not know of; partNumber also belongs to reading. */
static bool is_left_over(const struct visit *visit, const struct visit_route *route, const char *name) {
    if (!visit_parameter(visit, name) || text_equal(name, route->name) || text_equal(name, route->also))
        return false;
    return !(strcmp(name, "partNumber") == 0 && route->run == serve_read);
}

int serve_find_route(struct visit *visit) {
    char level = visit->key ? 'k' : visit->bucket ? 'b' : 's';
    for (size_t i = 0; i < sizeof routes / sizeof *routes && !visit->route; i++)
        if (fits(&routes[i], visit, level))
            visit->route = &routes[i];
    if (!visit->route)
        return PROBLEM_METHOD_NOT_ALLOWED;
    for (size_t i = 0; i < sizeof subresources / sizeof *subresources; i++)
        if (is_left_over(visit, visit->route, subresources[i]))
            return PROBLEM_NOT_IMPLEMENTED;
    return 0;
}
