/* A hash table from 64-bit numbers (never 0) to pointers (never NULL). Not thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    void *value;
};

/* Zero is an empty map. */
struct map {
    struct map_slot *slots; /* owned */
    size_t capacity, count;
};

void *map_get(const struct map *map, uint64_t key);      /* NULL if absent */
int map_put(struct map *map, uint64_t key, void *value); /* replaces; 0 or -ENOMEM */
void *map_remove(struct map *map, uint64_t key);         /* the value that was there, or NULL */
/* Walks in no order: start with *position = 0; NULL at the end. Removing while walking is not allowed. */
void *map_next(const struct map *map, size_t *position, uint64_t *key);
void map_finish(struct map *map); /* frees the table, not the values */
