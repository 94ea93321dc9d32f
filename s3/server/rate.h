/* How often somebody may do something: token buckets, by the millions of names that may come, in memory that is
 * bounded. A bucket that is full is not kept. When a place is needed and none is free, the bucket that is nearest to
 * full makes room: whoever is being held back is forgotten last. Thread-safe; the locks are many, so that threads
 * rarely meet. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Names are hashed with a secret of the process, so that nobody can choose names that meet. */
struct rate_name {
    unsigned char bytes[16];
};

/* A bucket holds `most` and gains `gain` in `over_ms`; gain 0: no limit. most is at least 1. */
struct rate_limit {
    int64_t gain, over_ms, most;
};

#define RATE_KINDS 2 /* limits that one name has at once */

struct rates;
int rates_create(struct rates **out, size_t names); /* about this many are remembered: 32 bytes each. 0, -ENOMEM */
void rates_destroy(struct rates *rates);            /* NULL is fine */
/* Takes amount out of the name's bucket of this kind, if it holds that much. 0, or the ms after which it will (amounts
 * beyond `most`: never; they are treated as most). */
int64_t rates_take(struct rates *rates, const struct rate_name *name, unsigned kind, const struct rate_limit *limit,
                   int64_t amount);
/* As rates_take of 1, without taking it. */
int64_t rates_look(struct rates *rates, const struct rate_name *name, unsigned kind, const struct rate_limit *limit);
