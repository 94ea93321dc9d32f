/* Configurations of a bucket that are kept and given back: this store acts on the lifecycle (lifecycle.c) alone, and
 * has what the others ask for anyway: nothing is public, one owner, no ACLs. */
#include "base/cleanup.h"
#include "s3/embedded/objects.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/xml.h"
#include "s3/listing.h"
#include "s3/listing_walk.h"

#include <errno.h>
#include <string.h>

static const struct setting {
    const char *name; /* the query parameter */
    const char *root; /* of its document; NULL: JSON */
    int missing;      /* enum problem */
} settings[] = {
    {"lifecycle", "LifecycleConfiguration", PROBLEM_NO_LIFECYCLE},
    {"publicAccessBlock", "PublicAccessBlockConfiguration", PROBLEM_NO_PUBLIC_ACCESS_BLOCK},
    {"ownershipControls", "OwnershipControls", PROBLEM_NO_OWNERSHIP},
    {"encryption", "ServerSideEncryptionConfiguration", PROBLEM_NO_ENCRYPTION},
    {"tagging", "Tagging", PROBLEM_NO_TAGS},
    {"cors", "CORSConfiguration", PROBLEM_NO_CORS},
    {"policy", NULL, PROBLEM_NO_POLICY},
    {"policyStatus", NULL, PROBLEM_NO_POLICY},
};

static const struct setting *setting_of(const struct visit *visit) {
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (visit_parameter(visit, settings[i].name))
            return &settings[i];
    return NULL;
}

struct work {
    struct visit *visit;
    const struct setting *setting;
    struct buffer *body;
};

static int find(struct catalog_session *session, const struct work *work, struct objects_bucket *bucket) {
    return objects_find_bucket(session, work->visit->bucket, bucket);
}

static int get(struct catalog_session *session, void *context) {
    struct work *work = context;
    struct objects_bucket bucket;
    int r = find(session, work, &bucket);
    if (r)
        return r;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT body FROM setting WHERE bucket = ? AND name = ?");
    catalog_bind(&query, 1, bucket.id);
    catalog_bind_text(&query, 2, work->setting->name);
    r = catalog_step(&query);
    if (r < 1)
        return r ? r : work->setting->missing;
    size_t size;
    const void *bytes = catalog_bytes(&query, 0, &size);
    return buffer_append(work->body, bytes, size);
}

void serve_setting_get(struct visit *visit) {
    AUTO_BUFFER struct buffer body = {0};
    struct answer answer = {0};
    struct work work = {visit, setting_of(visit), &body};
    int r = catalog_read(visit->catalog, get, &work);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &body);
}

static int check_root(void *context, const char *path) {
    const char *root = context;
    size_t size = strlen(root);
    return strncmp(path, root, size) == 0 && (!path[size] || path[size] == '/') ? 0 : PROBLEM_MALFORMED_XML;
}

static int pass(void *context, const char *path, const char *text, size_t size) {
    (void)context, (void)path, (void)text, (void)size;
    return 0;
}

static int check_document(const struct work *work) {
    const struct http_request *request = work->visit->request;
    if (!request->body_size)
        return PROBLEM_MALFORMED_XML;
    if (!work->setting->root)
        return PROBLEM_NOT_IMPLEMENTED; /* a policy would have to be obeyed */
    struct listing_walker walker = {check_root, pass, (void *)work->setting->root};
    int r = listing_walk(request->body, request->body_size, &walker);
    return r <= 0 ? r : PROBLEM_MALFORMED_XML;
}

static int put(struct catalog_session *session, void *context) {
    struct work *work = context;
    struct objects_bucket bucket;
    int r = find(session, work, &bucket);
    if (r)
        return r;
    struct catalog_query query = {0};
    catalog_start(session, &query, "INSERT OR REPLACE INTO setting (bucket, name, body) VALUES (?, ?, ?)");
    catalog_bind(&query, 1, bucket.id);
    catalog_bind_text(&query, 2, work->setting->name);
    catalog_bind_bytes(&query, 3, work->visit->request->body, work->visit->request->body_size);
    return catalog_run(&query);
}

void serve_setting_put(struct visit *visit) {
    struct answer answer = {0};
    struct work work = {visit, setting_of(visit), NULL};
    int r = check_document(&work);
    if (!r)
        r = catalog_write(visit->catalog, put, &work);
    if (strcmp(work.setting->name, "tagging") == 0)
        answer.status = 204;
    if (r)
        answer_problem(visit, r);
    else
        answer_send_empty(visit, &answer);
}

static int delete (struct catalog_session *session, void *context) {
    struct work *work = context;
    struct objects_bucket bucket;
    int r = find(session, work, &bucket);
    if (r)
        return r;
    struct catalog_query query = {0};
    catalog_start(session, &query, "DELETE FROM setting WHERE bucket = ? AND name = ?");
    catalog_bind(&query, 1, bucket.id);
    catalog_bind_text(&query, 2, work->setting->name);
    return catalog_run(&query);
}

void serve_setting_delete(struct visit *visit) {
    struct answer answer = {.status = 204};
    struct work work = {visit, setting_of(visit), NULL};
    int r = catalog_write(visit->catalog, delete, &work);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_empty(visit, &answer);
}

/* There is one owner, who may do everything; nobody else may do anything. */
void serve_setting_acl(struct visit *visit) {
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = xml_start(&xml, "AccessControlPolicy");
    if (!r)
        r = buffer_append_text(
            &xml, "<Owner><ID>pail</ID></Owner><AccessControlList><Grant>"
                  "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">"
                  "<ID>pail</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
                  "</AccessControlPolicy>");
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}
