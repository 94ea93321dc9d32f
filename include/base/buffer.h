/* A growing array of bytes. Always NUL-terminated behind `size` once anything was appended, so text can be read from
 * data. Not thread-safe. */
#pragma once

#include <stddef.h>

struct buffer {
    char *data;      /* owned; NULL while empty */
    size_t size;     /* bytes used */
    size_t capacity; /* bytes allocated */
};

/* Each append returns 0 or -ENOMEM and then leaves the content as it was. */
int buffer_reserve(struct buffer *buffer, size_t extra);
int buffer_append(struct buffer *buffer, const void *data, size_t size);
int buffer_append_text(struct buffer *buffer, const char *text);
int buffer_append_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_clear(struct buffer *buffer);  /* keeps the memory */
void buffer_finish(struct buffer *buffer); /* frees it; the struct can be used again */
void buffer_wipe(struct buffer *buffer);   /* overwrites, then frees: for secrets */
/* Hands the bytes over (never NULL, "" when empty; NULL only without memory). The caller frees. */
char *buffer_take(struct buffer *buffer);

#define AUTO_BUFFER __attribute__((cleanup(buffer_finish)))
#define AUTO_WIPE_BUFFER __attribute__((cleanup(buffer_wipe)))
