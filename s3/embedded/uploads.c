/* Multipart uploads under way, in the index. */
#include "s3/embedded/uploads.h"

#include "base/cleanup.h"
#include "s3/embedded/problem.h"

#include <errno.h>

void uploads_row_finish(struct uploads_row *row) {
    free(row->headers);
    free(row->checksum);
    *row = (struct uploads_row){0};
}

void uploads_part_finish(struct uploads_part *part) {
    free(part->etag);
    free(part->checksum);
    *part = (struct uploads_part){0};
}

static int copy_text(const struct catalog_query *query, int column, char **out) {
    const char *text = catalog_text(query, column);
    *out = text ? strdup(text) : NULL;
    return text && !*out ? -ENOMEM : 0;
}

int uploads_find(struct catalog_session *session, const char *bucket_name, const char *key, const char *id,
                 struct uploads_row *row) {
    struct objects_bucket bucket;
    int r = objects_find_bucket(session, bucket_name, &bucket);
    if (r)
        return r;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT headers, checksum FROM upload WHERE id = ? AND bucket = ? AND key = ?");
    catalog_bind_text(&query, 1, id);
    catalog_bind(&query, 2, bucket.id);
    catalog_bind_bytes(&query, 3, key, strlen(key));
    r = catalog_step(&query);
    if (r < 1)
        return r ? r : PROBLEM_NO_SUCH_UPLOAD;
    *row = (struct uploads_row){.bucket = bucket.id};
    r = copy_text(&query, 0, &row->headers);
    return r ? r : copy_text(&query, 1, &row->checksum);
}

int uploads_find_part(struct catalog_session *session, const char *upload, unsigned number, struct uploads_part *part) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query,
                  "SELECT id, etag, size, checksum, modified_ms FROM part WHERE upload = ? AND number = ?");
    catalog_bind_text(&query, 1, upload);
    catalog_bind(&query, 2, number);
    int r = catalog_step(&query);
    if (r < 1)
        return r ? r : PROBLEM_INVALID_PART;
    *part = (struct uploads_part){.id = catalog_integer(&query, 0),
                                  .number = number,
                                  .size = (uint64_t)catalog_integer(&query, 2),
                                  .modified_ms = catalog_integer(&query, 4)};
    r = copy_text(&query, 1, &part->etag);
    return r ? r : copy_text(&query, 3, &part->checksum);
}

static int remove_part(struct catalog_session *session, int64_t id, struct objects_dead *dead) {
    struct catalog_query query = {0};
    int r = objects_drop_pieces(session, -id, dead);
    if (r)
        return r;
    catalog_start(session, &query, "DELETE FROM part WHERE id = ?");
    catalog_bind(&query, 1, id);
    return catalog_run(&query);
}

int uploads_add_part(struct catalog_session *session, const char *upload, const struct uploads_part *part, int64_t *id,
                     struct objects_dead *dead) {
    CLEANUP(uploads_part_finish) struct uploads_part before = {0};
    int r = uploads_find_part(session, upload, part->number, &before);
    if (r < 0)
        return r;
    if (!r && (r = remove_part(session, before.id, dead)))
        return r;
    struct catalog_query query = {0};
    catalog_start(session, &query,
                  "INSERT INTO part (upload, number, etag, size, modified_ms, checksum) VALUES (?, ?, ?, ?, ?, ?)");
    catalog_bind_text(&query, 1, upload);
    catalog_bind(&query, 2, part->number);
    catalog_bind_text(&query, 3, part->etag);
    catalog_bind(&query, 4, (int64_t)part->size);
    catalog_bind(&query, 5, part->modified_ms);
    catalog_bind_text(&query, 6, part->checksum);
    r = catalog_run(&query);
    *id = catalog_last_id(session);
    return r;
}

/* Its lowest part's id; 0: it has none. */
static int first_part(struct catalog_session *session, const char *upload, int64_t *id) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT id FROM part WHERE upload = ? LIMIT 1");
    catalog_bind_text(&query, 1, upload);
    int r = catalog_step(&query);
    *id = r == 1 ? catalog_integer(&query, 0) : 0;
    return r < 0 ? r : 0;
}

int uploads_remove(struct catalog_session *session, const char *id, struct objects_dead *dead) {
    int64_t part;
    int r;
    while (!(r = first_part(session, id, &part)) && part)
        if ((r = remove_part(session, part, dead)))
            return r;
    if (r)
        return r;
    struct catalog_query query = {0};
    catalog_start(session, &query, "DELETE FROM upload WHERE id = ?");
    catalog_bind_text(&query, 1, id);
    return catalog_run(&query);
}
