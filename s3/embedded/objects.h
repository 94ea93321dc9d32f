/* Objects, versions and what they are made of, in the index. Everything here runs inside a job of the catalog. Results:
 * 0, -errno or enum problem. */
#pragma once

#include "s3/embedded/blobs.h"
#include "s3/embedded/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum objects_versioning { VERSIONING_NEVER, VERSIONING_ON, VERSIONING_SUSPENDED };

struct objects_bucket {
    int64_t id, created_ms;
    enum objects_versioning versioning;
};
/* PROBLEM_NO_SUCH_BUCKET. */
int objects_find_bucket(struct catalog_session *session, const char *name, struct objects_bucket *bucket);

/* One version. Texts are owned. */
struct objects_row {
    int64_t id, modified_ms;
    uint64_t size;
    bool latest, marker;
    char *version; /* "null" where versioning was not on */
    char *etag;    /* without quotes; NULL for a marker */
    char *headers; /* lines "name:value\n" */
    char *parts;   /* sizes "5242880,17", or NULL */
    char *checksum;
};
void objects_row_finish(struct objects_row *row);
/* Columns for objects_row_read, in its order. */
#define OBJECTS_COLUMNS "id, version, latest, marker, etag, size, modified_ms, headers, parts, checksum"
int objects_row_read(const struct catalog_query *query, struct objects_row *row);
/* version NULL: the current one. PROBLEM_NO_SUCH_KEY or _VERSION; a delete marker is found (marker is set). */
int objects_find(struct catalog_session *session, int64_t bucket, const char *key, const char *version,
                 struct objects_row *row);

/* If-Match and If-None-Match of a write, as they came; NULL: not there. */
struct objects_condition {
    const char *if_match, *if_none_match;
};
/* Against what is at the key now. PROBLEM_PRECONDITION_FAILED; PROBLEM_NO_SUCH_KEY where If-Match meets nothing. */
int objects_check(struct catalog_session *session, int64_t bucket, const char *key,
                  const struct objects_condition *condition);
/* Whether the list of ETags ("a", W/"b", c or *) names this one. */
bool objects_etag_matches(const char *list, const char *etag);

/* Names of files whose last reference is gone: removed by the caller once that is committed. */
struct objects_dead {
    char **names; /* owned */
    size_t count;
};
void objects_dead_finish(struct objects_dead *dead);
void objects_dead_remove(struct objects_dead *dead, struct blobs *blobs);

struct objects_new {
    const char *etag, *headers, *parts, *checksum; /* etag NULL: a delete marker */
    uint64_t size;
    int64_t modified_ms;
};
/* Makes the newest version of a key, as the bucket's versioning wants it; what it replaces for good goes. *id receives
 * its number, which owns its pieces; version its id. */
int objects_add(struct catalog_session *session, const struct objects_bucket *bucket, const char *key,
                const struct objects_new *object, int64_t *id, char version[33], struct objects_dead *dead);
/* Removes one version for good; if it was the current one, the next becomes it. */
int objects_destroy(struct catalog_session *session, int64_t bucket, const char *key, const struct objects_row *row,
                    struct objects_dead *dead);

/* The bytes of owner (an object's id, or minus a part's). */
int objects_add_blob(struct catalog_session *session, int64_t owner, const struct blob_writer *blob);
/* Those of another, from skip on, size bytes; behind what owner has already. Shared, not copied. */
int objects_share(struct catalog_session *session, int64_t owner, int64_t other, uint64_t skip, uint64_t size);
int objects_drop_pieces(struct catalog_session *session, int64_t owner, struct objects_dead *dead);

struct objects_piece {
    char *name;  /* owned; of a file; NULL: bytes */
    char *bytes; /* owned */
    uint64_t skip, size;
};
struct objects_pieces {
    struct objects_piece *items; /* owned */
    size_t count;
};
void objects_pieces_finish(struct objects_pieces *pieces);
/* Where the bytes from offset on, length of them, are. */
int objects_locate(struct catalog_session *session, int64_t owner, uint64_t offset, uint64_t length,
                   struct objects_pieces *pieces);
