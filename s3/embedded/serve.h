/* What the embedded store can be asked: one handler for each route (serve_routes.c has the table). */
#pragma once

#include "s3/embedded/visit.h"

/* Sets visit->route. 0, or enum problem: there is none, or it would pass over a parameter. */
int serve_find_route(struct visit *visit);

void serve_bucket_all(struct visit *visit);
void serve_bucket_create(struct visit *visit);
void serve_bucket_head(struct visit *visit);
void serve_bucket_delete(struct visit *visit);
void serve_bucket_location(struct visit *visit);
void serve_bucket_versioning(struct visit *visit);
void serve_bucket_set_versioning(struct visit *visit);

void serve_setting_get(struct visit *visit);
void serve_setting_put(struct visit *visit);
void serve_setting_delete(struct visit *visit);
void serve_setting_acl(struct visit *visit);

void serve_read(struct visit *visit);      /* GET and HEAD */
void serve_read_tags(struct visit *visit); /* none: objects have no tags here */
void serve_write_put(struct visit *visit);
void serve_write_copy(struct visit *visit);
void serve_delete_one(struct visit *visit);
void serve_delete_many(struct visit *visit);

void serve_list_objects(struct visit *visit); /* both versions of it */
void serve_list_versions(struct visit *visit);

void serve_upload_create(struct visit *visit);
void serve_upload_part(struct visit *visit);
void serve_upload_part_copy(struct visit *visit);
void serve_upload_complete(struct visit *visit);
void serve_upload_abort(struct visit *visit);
void serve_upload_parts(struct visit *visit);
void serve_upload_all(struct visit *visit);
