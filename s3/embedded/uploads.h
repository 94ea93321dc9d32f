/* Multipart uploads under way, in the index. Inside jobs of the catalog, as objects.h. */
#pragma once

#include "s3/embedded/objects.h"

struct uploads_row {
    char *headers, *checksum; /* owned; checksum: what create asked for ("CRC32C", "CRC32 FULL_OBJECT"), or NULL */
    int64_t bucket;
};
void uploads_row_finish(struct uploads_row *row);
/* PROBLEM_NO_SUCH_BUCKET, PROBLEM_NO_SUCH_UPLOAD (also when it is of another key). */
int uploads_find(struct catalog_session *session, const char *bucket, const char *key, const char *id,
                 struct uploads_row *row);

struct uploads_part {
    int64_t id;
    unsigned number;
    char *etag, *checksum; /* owned */
    uint64_t size;
    int64_t modified_ms;
};
void uploads_part_finish(struct uploads_part *part);
/* 0 or PROBLEM_INVALID_PART. */
int uploads_find_part(struct catalog_session *session, const char *upload, unsigned number, struct uploads_part *part);
/* In place of the one with that number. *id receives its id: its pieces' owner is -id. */
int uploads_add_part(struct catalog_session *session, const char *upload, const struct uploads_part *part, int64_t *id,
                     struct objects_dead *dead);
/* Removes the upload with all parts that it still has. */
int uploads_remove(struct catalog_session *session, const char *id, struct objects_dead *dead);
