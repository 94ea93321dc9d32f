/* The canonical request of SigV4 in S3's variant: made alike for signing and for checking. No cryptography here. */
#pragma once

#include "base/buffer.h"
#include "s3/sign.h"

#include <stdbool.h>
#include <stddef.h>

/* Names and values, as they stand in the canonical request: query parameters percent-encoded, headers trimmed. */
struct sign_list {
    struct buffer text; /* holds all of them */
    struct sign_item {
        size_t name, name_size, value, value_size; /* offsets into text */
        bool bare;                                 /* a query parameter without "=" */
    } * items;                                     /* owned */
    size_t count, capacity;
};
void sign_list_finish(struct sign_list *list);
#define AUTO_SIGN_LIST __attribute__((cleanup(sign_list_finish)))

/* 0, -ENOMEM, or -EINVAL (a header that is not lower case, or holds a control character). */
int sign_list_add_query(struct sign_list *list, const char *name, size_t name_size, const char *value,
                        size_t value_size);
int sign_list_add_header(struct sign_list *list, const char *name, const char *value);
void sign_list_sort_query(struct sign_list *list);   /* by name, then value */
void sign_list_sort_headers(struct sign_list *list); /* by name; the same name stays in the order of adding */
const char *sign_list_name(const struct sign_list *list, const struct sign_item *item); /* not terminated */
const char *sign_list_value(const struct sign_list *list, const struct sign_item *item);

int sign_canonical_encode(struct buffer *out, const void *data, size_t size, bool keep_slash);
/* "a=1&b=": with bare, parameters without "=" stay so (for a URL). */
int sign_canonical_query(struct buffer *out, const struct sign_list *query, bool bare);
int sign_canonical_signed_names(struct buffer *out, const struct sign_list *headers);
/* Both lists sorted. path is raw. */
int sign_canonical_write(struct buffer *out, const char *method, const char *path, size_t path_size,
                         const struct sign_list *query, const struct sign_list *headers, const char *payload);
