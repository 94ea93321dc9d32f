/* A map from ranges of bytes to numbers, as a treap ordered by start. */
#include "fs/content/ranges.h"

#include <errno.h>
#include <stdlib.h>

struct ranges_node {
    struct range range;
    uint64_t priority; /* a parent's is never smaller than its children's */
    struct ranges_node *left, *right;
};

static uint64_t next_priority(struct ranges *ranges) {
    uint64_t x = ranges->seed ? ranges->seed : 0x9e3779b97f4a7c15u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return ranges->seed = x;
}

/* low: what starts before `at`; high: the rest. */
static void split(struct ranges_node *node, uint64_t at, struct ranges_node **low, struct ranges_node **high) {
    while (node) {
        if (node->range.start < at) {
            *low = node;
            low = &node->right;
            node = node->right;
        } else {
            *high = node;
            high = &node->left;
            node = node->left;
        }
    }
    *low = *high = NULL;
}

static struct ranges_node *merge(struct ranges_node *low, struct ranges_node *high) {
    struct ranges_node *root = NULL, **at = &root;
    while (low && high) {
        if (low->priority >= high->priority) {
            *at = low;
            at = &low->right;
            low = low->right;
        } else {
            *at = high;
            at = &high->left;
            high = high->left;
        }
    }
    *at = low ? low : high;
    return root;
}

static struct ranges_node *take_last(struct ranges_node **root) {
    if (!*root)
        return NULL;
    while ((*root)->right)
        root = &(*root)->right;
    struct ranges_node *node = *root;
    *root = node->left;
    node->left = NULL;
    return node;
}

static struct ranges_node *take_first(struct ranges_node **root) {
    if (!*root)
        return NULL;
    while ((*root)->left)
        root = &(*root)->left;
    struct ranges_node *node = *root;
    *root = node->right;
    node->right = NULL;
    return node;
}

static void forget(struct ranges *ranges, struct ranges_node *node) {
    ranges->count--;
    ranges->bytes -= node->range.end - node->range.start;
    free(node);
}

/* Without recursion: left children are turned up until there is none. */
static void forget_all(struct ranges *ranges, struct ranges_node *node) {
    while (node) {
        if (node->left) {
            struct ranges_node *left = node->left;
            node->left = left->right;
            left->right = node;
            node = left;
        } else {
            struct ranges_node *right = node->right;
            forget(ranges, node);
            node = right;
        }
    }
}

/* Cuts the last range of *low at `start`; what it has beyond `end` moves into *tail, taking the spare node, which may
 * be none if nothing can be beyond. */
static void trim_last(struct ranges *ranges, struct ranges_node **low, uint64_t start, uint64_t end,
                      struct ranges_node **spare, struct ranges_node **tail) {
    struct ranges_node *last = take_last(low);
    if (!last)
        return;
    if (*spare && last->range.end > end) {
        *tail = *spare;
        *spare = NULL;
        (*tail)->range = (struct range){end, last->range.end, last->range.value};
        ranges->count++;
        ranges->bytes += last->range.end - end;
    }
    if (last->range.end > start) {
        ranges->bytes -= last->range.end - start;
        last->range.end = start;
    }
    if (last->range.end > last->range.start)
        *low = merge(*low, last);
    else
        forget(ranges, last);
}

static void join_before(struct ranges *ranges, struct ranges_node **low, struct ranges_node *node) {
    struct ranges_node *last = take_last(low);
    if (!last)
        return;
    if (last->range.end == node->range.start && last->range.value == node->range.value) {
        node->range.start = last->range.start;
        ranges->bytes += last->range.end - last->range.start;
        forget(ranges, last);
    } else {
        *low = merge(*low, last);
    }
}

static void join_after(struct ranges *ranges, struct ranges_node **high, struct ranges_node *node) {
    struct ranges_node *first = take_first(high);
    if (!first)
        return;
    if (first->range.start == node->range.end && first->range.value == node->range.value) {
        node->range.end = first->range.end;
        ranges->bytes += first->range.end - first->range.start;
        forget(ranges, first);
    } else {
        *high = merge(first, *high);
    }
}

static struct ranges_node *make(struct ranges *ranges) {
    struct ranges_node *node = calloc(1, sizeof *node);
    if (node)
        node->priority = next_priority(ranges);
    return node;
}

int ranges_set(struct ranges *ranges, uint64_t start, uint64_t end, uint64_t value) {
    struct range there;
    if (start >= end)
        return 0;
    if (ranges_next(ranges, start, &there) && there.start <= start && there.end >= end && there.value == value)
        return 0;
    struct ranges_node *node = make(ranges), *spare = make(ranges), *tail = NULL;
    if (!node || !spare) {
        free(node);
        free(spare);
        return -ENOMEM;
    }
    struct ranges_node *low, *rest, *middle, *high;
    split(ranges->root, start, &low, &rest);
    split(rest, end, &middle, &high);
    trim_last(ranges, &low, start, end, &spare, &tail);
    if (middle) /* only one of the two can reach beyond the end */
        trim_last(ranges, &middle, end, end, &spare, &tail);
    forget_all(ranges, middle);
    high = merge(tail, high);
    node->range = (struct range){start, end, value};
    ranges->count++;
    ranges->bytes += end - start;
    join_before(ranges, &low, node);
    join_after(ranges, &high, node);
    ranges->root = merge(merge(low, node), high);
    free(spare);
    return 0;
}

void ranges_cut(struct ranges *ranges, uint64_t start) {
    struct ranges_node *low, *high, *none = NULL;
    split(ranges->root, start, &low, &high);
    forget_all(ranges, high);
    trim_last(ranges, &low, start, UINT64_MAX, &none, &none);
    ranges->root = low;
}

bool ranges_next(const struct ranges *ranges, uint64_t at, struct range *out) {
    const struct ranges_node *best = NULL;
    for (const struct ranges_node *node = ranges->root; node;) {
        if (node->range.end > at) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    if (best)
        *out = best->range;
    return best;
}

uint64_t ranges_hole(const struct ranges *ranges, uint64_t at, uint64_t *end) {
    struct range next;
    *end = UINT64_MAX;
    while (ranges_next(ranges, at, &next)) {
        if (next.start > at) {
            *end = next.start;
            return at;
        }
        at = next.end;
    }
    return at;
}

bool ranges_cover(const struct ranges *ranges, uint64_t start, uint64_t end) {
    uint64_t hole_end;
    return start >= end || ranges_hole(ranges, start, &hole_end) >= end;
}

void ranges_finish(struct ranges *ranges) {
    forget_all(ranges, ranges->root);
    *ranges = (struct ranges){0};
}
