/* x-amz-copy-source and its conditions: which object a copy is made of. */
#pragma once

#include "s3/embedded/objects.h"
#include "s3/embedded/visit.h"

struct copy_source {
    char *bucket, *key, *version; /* owned; version NULL: the current one */
};
void copy_source_finish(struct copy_source *source);
/* 0, -ENOMEM or PROBLEM_INVALID_ARGUMENT. */
int copy_source_read(const struct visit *visit, struct copy_source *source);
/* Inside a job: finds it and checks x-amz-copy-source-if-*. */
int copy_source_find(struct catalog_session *session, const struct visit *visit, const struct copy_source *source,
                     struct objects_row *row);
/* Makes key from all bytes of that object, also when it is the same key and replaces it. */
int copy_source_add(struct catalog_session *session, const struct objects_bucket *bucket, const char *key,
                    const struct objects_new *object, int64_t from, char version[33], struct objects_dead *dead);
