/* Walking keys in byte order. */
#include "s3/embedded/list_walk.h"

#include <string.h>

void list_place_at(struct list_place *place, const char *key, size_t size) {
    place->size = size < sizeof place->key - 1 ? size : sizeof place->key - 1;
    memcpy(place->key, key, place->size);
    place->end = false;
}

void list_place_behind(struct list_place *place, const char *key, size_t size) {
    list_place_at(place, key, size);
    if (place->size == size)
        place->key[place->size++] = 0;
}

void list_place_past(struct list_place *place, const char *folder, size_t size) {
    list_place_at(place, folder, size);
    while (place->size && (unsigned char)place->key[place->size - 1] == 0xff)
        place->size--;
    place->end = !place->size;
    if (place->size)
        place->key[place->size - 1] = (char)(place->key[place->size - 1] + 1);
}

size_t list_folder_size(const char *key, const char *prefix, const char *delimiter) {
    const char *found = *delimiter ? strstr(key + strlen(prefix), delimiter) : NULL;
    return found ? (size_t)(found - key) + strlen(delimiter) : 0;
}
