/* A hash table from 64-bit numbers to pointers: open addressing, linear probing, deletion by shifting back. */
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>

static size_t home(const struct map *map, uint64_t key) {
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdull;
    key ^= key >> 33;
    return (size_t)key & (map->capacity - 1);
}

static size_t find(const struct map *map, uint64_t key) {
    size_t at = home(map, key);
    while (map->slots[at].key && map->slots[at].key != key)
        at = (at + 1) & (map->capacity - 1);
    return at;
}

void *map_get(const struct map *map, uint64_t key) {
    return map->capacity ? map->slots[find(map, key)].value : NULL;
}

static int grow(struct map *map) {
    struct map bigger = {.capacity = map->capacity ? map->capacity * 2 : 16};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].key)
            bigger.slots[find(&bigger, map->slots[i].key)] = map->slots[i];
    bigger.count = map->count;
    free(map->slots);
    *map = bigger;
    return 0;
}

int map_put(struct map *map, uint64_t key, void *value) {
    if ((map->count + 1) * 4 > map->capacity * 3) {
        int r = grow(map);
        if (r)
            return r;
    }
    struct map_slot *slot = &map->slots[find(map, key)];
    if (!slot->key)
        map->count++;
    *slot = (struct map_slot){key, value};
    return 0;
}

void *map_remove(struct map *map, uint64_t key) {
    if (!map->capacity)
        return NULL;
    size_t hole = find(map, key), mask = map->capacity - 1;
    void *value = map->slots[hole].value;
    if (!map->slots[hole].key)
        return NULL;
    for (size_t at = (hole + 1) & mask; map->slots[at].key; at = (at + 1) & mask) {
        size_t ideal = home(map, map->slots[at].key);
        if (((at - ideal) & mask) >= ((at - hole) & mask)) { /* it may move back into the hole */
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct map_slot){0};
    map->count--;
    return value;
}

void *map_next(const struct map *map, size_t *position, uint64_t *key) {
    while (*position < map->capacity) {
        const struct map_slot *slot = &map->slots[(*position)++];
        if (!slot->key)
            continue;
        if (key)
            *key = slot->key;
        return slot->value;
    }
    return NULL;
}

void map_finish(struct map *map) {
    free(map->slots);
    *map = (struct map){0};
}
