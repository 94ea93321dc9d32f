/* Bodies on disk. A small one stays in memory until the index takes it; a larger one streams into new/, is synced and
 * renamed to its place: objects/xx/<hash of bucket and key>-<random>. Names never come from outside. Thread-safe; one
 * writer is used by one thread at a time. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOBS_SMALL (64u << 10) /* at most this many bytes rest in the index */

struct blobs;

/* folder is there. What an earlier run left half done in new/ is removed. */
int blobs_open(struct blobs **out, const char *folder, struct fault *fault);
void blobs_close(struct blobs *blobs); /* NULL is fine */

struct blob_writer;
int blobs_begin(struct blobs *blobs, struct blob_writer **out);
int blobs_write(struct blob_writer *writer, const void *data, size_t size);
/* All bytes are there: makes them durable, except small ones. 0 or -errno. */
int blobs_settle(struct blob_writer *writer, const char *bucket, const char *key);
uint64_t blobs_size(const struct blob_writer *writer);
const char *blobs_name(const struct blob_writer *writer); /* of a settled one; NULL: small, see blobs_bytes */
const void *blobs_bytes(const struct blob_writer *writer);
/* The index has it: blobs_end leaves it alone. */
void blobs_keep(struct blob_writer *writer);
void blobs_end(struct blob_writer *writer); /* removes what nobody kept; NULL is fine */

/* Between hold and release no file is removed: taken before the index is asked which files an object is in. */
void blobs_hold(struct blobs *blobs);
void blobs_release(struct blobs *blobs);
int blobs_read(struct blobs *blobs, const char *name); /* an fd, or -errno */
/* The index does not know it any more (committed). */
void blobs_remove(struct blobs *blobs, const char *name);
/* Removes files of earlier processes that known says no (0) to; yes: 1. Errors end it. */
int blobs_sweep(struct blobs *blobs, int (*known)(void *context, const char *name), void *context);
