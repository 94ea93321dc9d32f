/* A map from ranges of bytes to numbers: which parts of a file are here, or when they were last changed. A balanced
 * tree (treap), so that a million scattered writes cost what they should. Ranges that touch and have the same value are
 * one. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ranges_node;
/* Zero is an empty map. */
struct ranges {
    struct ranges_node *root; /* owned */
    size_t count;
    uint64_t bytes; /* sum of all lengths */
    uint64_t seed;
};
struct range {
    uint64_t start, end; /* [start, end) */
    uint64_t value;
};

/* [start, end) has this value now, whatever was there. 0, or -ENOMEM and nothing changed. */
int ranges_set(struct ranges *ranges, uint64_t start, uint64_t end, uint64_t value);
/* Forgets everything from `start` on. */
void ranges_cut(struct ranges *ranges, uint64_t start);
/* The first range that ends after `at`; false if there is none. */
bool ranges_next(const struct ranges *ranges, uint64_t at, struct range *out);
/* The first position >= at that no range holds; *end: where the hole ends (UINT64_MAX: never). */
uint64_t ranges_hole(const struct ranges *ranges, uint64_t at, uint64_t *end);
/* Whether all of [start, end) is there. */
bool ranges_cover(const struct ranges *ranges, uint64_t start, uint64_t end);
void ranges_finish(struct ranges *ranges); /* empty again */
