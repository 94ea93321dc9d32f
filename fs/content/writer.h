/* The thread that writes fetched spans to the cache, off every reader's path, and lets go of what memory does not need
 * to hold any more. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct budget;
struct span;
struct writer;

int writer_create(struct writer **out, struct budget *budget);
void writer_stop(struct writer *writer); /* what is queued is written for at most a second, then dropped */
void writer_destroy(struct writer *writer);
void writer_add(struct writer *writer, struct span *span); /* holds it. May be called under a source's lock */
/* Memory is wanted back: true if it was still queued; the caller then has the hold. */
bool writer_remove(struct writer *writer, struct span *span);
