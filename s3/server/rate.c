/* Token buckets. One number says all of a bucket: the time at which it will be full again; it holds `most` less what
 * will come until then (the "virtual scheduling" form of a leaky bucket, ITU-T I.371). */
#include "s3/server/rate.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROW 8u    /* places in which one name may be */
#define LOCKS 64u /* each for every 64th row */
#define NS_PER_MS INT64_C(1000000)

struct place {
    struct rate_name name;
    int64_t full_ns[RATE_KINDS]; /* monotonic */
};

struct lock {
    pthread_mutex_t mutex;
} __attribute__((aligned(64))); /* a cache line: neighbours do not disturb each other */

struct rates {
    struct lock locks[LOCKS];
    uint64_t secret[2];
    size_t rows; /* a power of two */
    struct place *places;
};

int rates_create(struct rates **out, size_t names) {
    struct rates *rates = aligned_alloc(64, sizeof *rates);
    if (!rates)
        return -ENOMEM;
    rates->rows = LOCKS;
    while (rates->rows * ROW < names)
        rates->rows *= 2;
    rates->places = calloc(rates->rows * ROW, sizeof *rates->places);
    if (!rates->places) {
        free(rates);
        return -ENOMEM;
    }
    random_bytes(rates->secret, sizeof rates->secret);
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&rates->locks[i].mutex, NULL);
    *out = rates;
    return 0;
}

void rates_destroy(struct rates *rates) {
    if (!rates)
        return;
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&rates->locks[i].mutex);
    free(rates->places);
    free(rates);
}

/* Multiplying and folding two secret-shifted words (as wyhash does): good enough that nobody outside can aim. */
static size_t row_of(const struct rates *rates, const struct rate_name *name) {
    uint64_t words[2];
    memcpy(words, name->bytes, sizeof words);
    __extension__ unsigned __int128 product =
        (unsigned __int128)(words[0] ^ rates->secret[0]) * (words[1] ^ rates->secret[1] ^ 0x9e3779b97f4a7c15u);
    uint64_t hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    hash = (hash ^ rates->secret[0]) * 0xbf58476d1ce4e5b9u;
    return (size_t)(hash >> 20) & (rates->rows - 1);
}

static int64_t latest(const struct place *place) {
    int64_t latest = place->full_ns[0];
    for (unsigned i = 1; i < RATE_KINDS; i++)
        latest = place->full_ns[i] > latest ? place->full_ns[i] : latest;
    return latest;
}

/* The name's place, or the one that may best be forgotten. Under the row's lock. */
static struct place *find(struct place *row, const struct rate_name *name) {
    struct place *best = row;
    for (unsigned i = 0; i < ROW; i++) {
        if (!memcmp(&row[i].name, name, sizeof *name))
            return &row[i];
        if (latest(&row[i]) < latest(best))
            best = &row[i];
    }
    return best;
}

static int64_t ns_for(const struct rate_limit *limit, int64_t amount) {
    return amount * limit->over_ms * NS_PER_MS / limit->gain;
}

static int64_t attempt(struct rates *rates, const struct rate_name *name, unsigned kind, const struct rate_limit *limit,
                       int64_t amount, bool take) {
    if (!limit->gain || amount <= 0)
        return 0;
    size_t row = row_of(rates, name);
    int64_t now = clock_monotonic_ns();
    int64_t cost = ns_for(limit, amount < limit->most ? amount : limit->most);
    pthread_mutex_lock(&rates->locks[row % LOCKS].mutex);
    struct place *place = find(&rates->places[row * ROW], name);
    bool known = !memcmp(&place->name, name, sizeof *name);
    int64_t full = known && place->full_ns[kind] > now ? place->full_ns[kind] : now;
    int64_t early = full + cost - (now + ns_for(limit, limit->most));
    if (early <= 0 && take) {
        if (!known)
            *place = (struct place){.name = *name};
        place->full_ns[kind] = full + cost;
    }
    pthread_mutex_unlock(&rates->locks[row % LOCKS].mutex);
    return early <= 0 ? 0 : (early + NS_PER_MS - 1) / NS_PER_MS;
}

int64_t rates_take(struct rates *rates, const struct rate_name *name, unsigned kind, const struct rate_limit *limit,
                   int64_t amount) {
    return attempt(rates, name, kind, limit, amount, true);
}

int64_t rates_look(struct rates *rates, const struct rate_name *name, unsigned kind, const struct rate_limit *limit) {
    return attempt(rates, name, kind, limit, 1, false);
}
