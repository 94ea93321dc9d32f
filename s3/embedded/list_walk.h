/* Walking keys in byte order, with folders (common prefixes) jumped over: for the listings. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Where a walk goes on: at this key. */
struct list_place {
    char key[1100]; /* keys have 1,024 bytes at most; what comes from outside and is longer is cut, which only begins
                       earlier */
    size_t size;
    bool end; /* there is nothing behind it */
};
void list_place_at(struct list_place *place, const char *key, size_t size);
void list_place_behind(struct list_place *place, const char *key, size_t size);  /* the next key in byte order */
void list_place_past(struct list_place *place, const char *folder, size_t size); /* behind all that begin so */

/* The size of the common prefix of this key (which begins with prefix), or 0. delimiter "": none. */
size_t list_folder_size(const char *key, const char *prefix, const char *delimiter);
