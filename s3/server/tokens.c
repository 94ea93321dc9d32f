/* The memory of good tokens: a hash table of short rows; the oldest in a row makes room. */
#include "s3/server/tokens.h"

#include "base/clock.h"
#include "s3/checksum.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 8192u
#define WIDTH 8u
#define READ_AGAIN_S 30

struct tokens {
    pthread_mutex_t lock;
    struct known *rows[ROWS][WIDTH]; /* newest first; under lock, each held once by the table */
};

void known_release(struct known *known) {
    if (!known || atomic_fetch_sub(&known->holders, 1) > 1)
        return;
    user_finish(&known->user);
    free(known);
}

int tokens_create(struct tokens **out) {
    *out = calloc(1, sizeof **out);
    if (!*out)
        return -ENOMEM;
    pthread_mutex_init(&(*out)->lock, NULL);
    return 0;
}

void tokens_destroy(struct tokens *tokens) {
    if (!tokens)
        return;
    for (unsigned i = 0; i < ROWS; i++)
        for (unsigned j = 0; j < WIDTH; j++)
            known_release(tokens->rows[i][j]);
    pthread_mutex_destroy(&tokens->lock);
    free(tokens);
}

int tokens_hash(const char *token, size_t size, unsigned char out[32]) {
    struct checksum *sum = NULL;
    int error = checksum_create(&sum, CHECKSUM_SHA256);
    if (!error)
        error = checksum_add(sum, token, size);
    if (!error)
        error = checksum_end(sum, out);
    checksum_destroy(sum);
    return error < 0 ? error : 0;
}

static struct known **row_of(struct tokens *tokens, const unsigned char hash[32]) {
    return tokens->rows[((unsigned)hash[0] << 8 | hash[1]) % ROWS];
}

static void remove_at(struct known **row, unsigned place) {
    known_release(row[place]);
    memmove(row + place, row + place + 1, (WIDTH - 1 - place) * sizeof(struct known *));
    row[WIDTH - 1] = NULL;
}

/* Held, or NULL. What is expired goes. */
static struct known *look_up(struct tokens *tokens, const unsigned char hash[32]) {
    struct known *found = NULL;
    pthread_mutex_lock(&tokens->lock);
    struct known **row = row_of(tokens, hash);
    for (unsigned i = 0; i < WIDTH && row[i] && !found; i++) {
        if (memcmp(row[i]->hash, hash, 32) != 0)
            continue;
        if (row[i]->expires_s <= clock_realtime_s()) {
            remove_at(row, i);
            break;
        }
        found = row[i];
        atomic_fetch_add(&found->holders, 1);
    }
    pthread_mutex_unlock(&tokens->lock);
    return found;
}

struct known *tokens_seen(struct tokens *tokens, const unsigned char hash[32]) {
    return look_up(tokens, hash);
}

struct known *tokens_find(struct tokens *tokens, const unsigned char hash[32], uint64_t generation) {
    struct known *found = look_up(tokens, hash);
    if (!found)
        return NULL;
    if (found->generation != generation)
        atomic_store(&found->outdated, true);
    if (!atomic_load(&found->outdated) && clock_boottime_s() - found->read_s < READ_AGAIN_S)
        return found;
    known_release(found); /* it stays until it is added anew */
    return NULL;
}

int tokens_add(struct tokens *tokens, const unsigned char hash[32], int64_t expires_s, uint64_t generation,
               struct user *user, struct known **out) {
    struct known *known = malloc(sizeof *known);
    if (!known)
        return -ENOMEM;
    *known =
        (struct known){.expires_s = expires_s, .generation = generation, .read_s = clock_boottime_s(), .user = *user};
    *user = (struct user){0};
    atomic_init(&known->holders, 2);
    memcpy(known->hash, hash, 32);
    pthread_mutex_lock(&tokens->lock);
    struct known **row = row_of(tokens, hash);
    for (unsigned i = 0; i < WIDTH && row[i]; i++)
        if (!memcmp(row[i]->hash, hash, 32)) {
            remove_at(row, i);
            break;
        }
    known_release(row[WIDTH - 1]);
    memmove(row + 1, row, (WIDTH - 1) * sizeof(struct known *));
    row[0] = known;
    pthread_mutex_unlock(&tokens->lock);
    *out = known;
    return 0;
}
