/* An origin for tests: every file's bytes follow from its inode, identity and position. Threads of its own answer in
 * pieces; ranges can be held back, fail, end early, or be damaged. And a folder, a content, and reads that wait. */
#pragma once

#include "fs/content/content.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct asked {
    uint64_t ino, offset, length;
    char identity[64];
    bool urgent;
    struct content_fetch *fetch;
    struct asked *next;
};

enum { ORIGIN_THREADS = 12 };

/* A version with bytes of its own, for tests that upload. */
struct stored {
    char identity[64];
    char *data; /* owned */
    size_t size;
};

struct origin {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t threads[ORIGIN_THREADS];
    struct asked *first, **last; /* not begun */
    bool held;                   /* answer nothing for now */
    uint64_t held_ino;           /* or nothing for this inode */
    bool ending;
    int fail; /* end the next fetches with this, `fail_count` of them */
    int fail_count;
    bool refuse;       /* fetch() itself fails */
    bool early;        /* end without an error before all was sent */
    uint64_t stop_at;  /* pause in the middle: no byte from this position on until released (0: no) */
    size_t piece;      /* bytes sent at once */
    unsigned delay_ms; /* before each answer */
    /* What happened. */
    unsigned fetches, cut;
    uint64_t bytes, largest;
    unsigned busy;
    struct asked log[512];   /* the first fetches */
    struct stored stored[8]; /* the last ones */
    unsigned stored_count;
};

/* The byte at this position of that version. */
unsigned char origin_byte(uint64_t ino, const char *identity, uint64_t at);
void origin_fill(uint64_t ino, const char *identity, uint64_t at, void *data, size_t size);

void origin_init(struct origin *origin);
void origin_finish(struct origin *origin);
/* From now on this identity has these bytes (copied). */
void origin_put(struct origin *origin, const char *identity, const void *data, size_t size);
struct content_origin origin_of(struct origin *origin);
void origin_hold(struct origin *origin, bool held);
void origin_set_stop(struct origin *origin, uint64_t at);
unsigned origin_fetches(struct origin *origin);
uint64_t origin_bytes(struct origin *origin);
void origin_wait_fetches(struct origin *origin, unsigned count); /* until so many were asked for */
void origin_wait_idle(struct origin *origin);

/* A folder, an origin, and a content that keeps its files there. */
struct fixture {
    char folder[64], cache[96], spool[96];
    struct origin origin;
    struct content *content;
    struct content_options options;
};
void fixture_init(struct fixture *fixture);
void fixture_init_at(struct fixture *fixture, const char *folder); /* one that is there */
void fixture_start(struct fixture *fixture);                       /* content_create with fixture->options */
void fixture_stop(struct fixture *fixture);
void fixture_finish(struct fixture *fixture);
struct content_handle *fixture_open(struct fixture *fixture, uint64_t ino, const char *identity, uint64_t size,
                                    uint64_t spool);

/* A read whose answer can be waited for. */
struct pending {
    pthread_mutex_t lock;
    pthread_cond_t told;
    int calls, result;
    size_t size;
    char *data; /* owned */
    bool spliced;
};
void pending_read(struct pending *pending, struct content_handle *handle, uint64_t offset, size_t size);
bool pending_is_done(struct pending *pending);
int pending_wait(struct pending *pending); /* its result */
void pending_finish(struct pending *pending);
/* Reads and waits; the caller frees *data. */
int read_now(struct content_handle *handle, uint64_t offset, size_t size, char **data, size_t *got);
/* Reads, and compares with the origin's version. */
void assert_origin(struct content_handle *handle, uint64_t ino, const char *identity, uint64_t offset, size_t size);
