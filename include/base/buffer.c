/* A growing array of bytes. */
#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int buffer_reserve(struct buffer *buffer, size_t extra) {
    if (extra > SIZE_MAX / 2 - buffer->size - 1)
        return -ENOMEM;
    size_t need = buffer->size + extra + 1;
    if (need <= buffer->capacity)
        return 0;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (!data)
        return -ENOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t size) {
    int r = buffer_reserve(buffer, size);
    if (r)
        return r;
    if (size)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = 0;
    return 0;
}

int buffer_append_text(struct buffer *buffer, const char *text) {
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_format(struct buffer *buffer, const char *format, ...) {
    va_list arguments;
    size_t room = buffer->capacity - buffer->size;
    va_start(arguments, format);
    int size = vsnprintf(room ? buffer->data + buffer->size : NULL, room, format, arguments);
    va_end(arguments);
    int r = size < 0 ? -EINVAL : buffer_reserve(buffer, (size_t)size);
    if (r) {
        if (room)
            buffer->data[buffer->size] = 0;
        return r;
    }
    if ((size_t)size >= room) {
        va_start(arguments, format);
        vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, arguments);
        va_end(arguments);
    }
    buffer->size += (size_t)size;
    return 0;
}

void buffer_clear(struct buffer *buffer) {
    buffer->size = 0;
    if (buffer->data)
        buffer->data[0] = 0;
}

void buffer_finish(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_wipe(struct buffer *buffer) {
    if (buffer->data)
        explicit_bzero(buffer->data, buffer->capacity);
    buffer_finish(buffer);
}

char *buffer_take(struct buffer *buffer) {
    char *data = buffer->data ? buffer->data : calloc(1, 1);
    *buffer = (struct buffer){0};
    return data;
}
