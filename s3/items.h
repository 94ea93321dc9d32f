/* Items of a grants request (s3/wire.h), one function for each operation. Keys are whole S3 keys. Each fills *out,
 * whose text is then owned by the caller (items_finish); 0 or -ENOMEM. */
#pragma once

#include "s3/grants.h"
#include "s3/store.h"

void items_finish(struct grants_item *item);

int items_get(struct grants_item *out, const char *key, const char *version);
int items_head(struct grants_item *out, const char *key, const char *version);
int items_put(struct grants_item *out, const char *key, uint64_t size, const struct store_headers *headers);
/* copy->source and ->key are taken from the arguments, with their prefix; conditions only when with_if_match. */
int items_copy(struct grants_item *out, const char *source, const char *key, const struct store_copy *copy,
               bool with_if_match);
int items_remove(struct grants_item *out, const char *key);
/* keys[i] stands for items[i]; ETags only when with_etags. */
int items_remove_many(struct grants_item *out, char *const *keys, const struct store_delete *const *items, size_t count,
                      bool with_etags);
int items_list(struct grants_item *out, const char *prefix, const char *start_after, const struct store_list *list);
int items_list_versions(struct grants_item *out, const char *prefix, const char *key_marker,
                        const struct store_list_versions *list);
int items_create(struct grants_item *out, const char *key, const struct store_headers *headers);
int items_part(struct grants_item *out, const char *key, const char *upload, unsigned first, unsigned count,
               uint64_t size);
int items_part_copy(struct grants_item *out, const char *key, const char *upload, unsigned number, const char *source,
                    const struct store_copy *copy, uint64_t offset, uint64_t length, bool with_if_match);
int items_complete(struct grants_item *out, const char *key, const char *upload, uint64_t total);
int items_abort(struct grants_item *out, const char *key, const char *upload);
int items_list_parts(struct grants_item *out, const char *key, const char *upload, const char *marker);

/* Whether a header may go into an item: what describes the object, not what the store says about it. */
bool items_header_allowed(const char *name, bool with_class);
