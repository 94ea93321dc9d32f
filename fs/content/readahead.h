/* Guesses from one handle's reads what will be read next. Several requests of a sequential reader are under way at once
 * and arrive in any order; that still is sequential. Pure arithmetic; the caller locks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    READAHEAD_FIRST = 128 << 10, /* the first window */
    READAHEAD_PIECE = 8 << 20,   /* the largest range */
    READAHEAD_WHOLE = 1 << 20,   /* files up to this are read whole */
};

/* Zero is a handle that was not read from. */
struct readahead {
    uint64_t low, high; /* the run: what was read lately lies between */
    uint64_t bytes;     /* that were read of it */
    uint64_t window;    /* how far ahead; 0: not sequential */
    uint64_t reached;   /* asked for up to here */
    bool begun;
};
struct readahead_plan {
    uint64_t from, until; /* ask for this as well; nothing if equal. It overlaps the read or comes after it */
    uint64_t piece;       /* in ranges that end at its multiples */
    bool lost;            /* the run ended: what was asked for ahead will not be needed */
};

/* A program reads [offset, offset + size) of a file of this size, size > 0. most: the largest window. */
struct readahead_plan readahead_read(struct readahead *ahead, uint64_t offset, uint64_t size, uint64_t file_size,
                                     uint64_t most);
/* Not all could be asked for: only up to here. */
void readahead_stopped(struct readahead *ahead, uint64_t reached);
