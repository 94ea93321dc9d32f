/* The embedded store's index in SQLite, which only catalog.c includes: buckets, objects, versions, uploads, and which
 * blobs their bytes are in. One thread writes: what many ask for at once is committed, and synced, once. Readers see
 * whole commits. Thread-safe, but a session and its statements belong to the job that was given them. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;
struct catalog_session;

/* Makes or opens the database. 0 or -errno with a fault. */
int catalog_open(struct catalog **out, const char *path, struct fault *fault);
void catalog_close(struct catalog *catalog); /* NULL is fine; waits for what was asked for */

/* Runs job in the writing thread; 0 once it is on disk. What job returns instead of 0 is returned, and nothing of it
 * was done. job may run only once, must be quick, and must not call the catalog. */
int catalog_write(struct catalog *catalog, int (*job)(struct catalog_session *session, void *context), void *context);
/* Runs job in this thread on one snapshot, and returns what it returns. */
int catalog_read(struct catalog *catalog, int (*job)(struct catalog_session *session, void *context), void *context);

/* A statement, from CATALOG_QUERY to its end: `CLEANUP(catalog_end) struct catalog_query query = {0};` */
struct catalog_query {
    void *statement; /* borrowed from the session */
    int error;       /* the first; everything behind it does nothing */
};
/* sql: a literal: statements are kept by its address. The same one cannot be used twice at a time. */
void catalog_start(struct catalog_session *session, struct catalog_query *query, const char *sql);
/* Parameters count from 1, columns from 0. Texts and bytes are borrowed until the end. NULL binds null. */
void catalog_bind(struct catalog_query *query, int parameter, int64_t value);
void catalog_bind_text(struct catalog_query *query, int parameter, const char *text);
void catalog_bind_bytes(struct catalog_query *query, int parameter, const void *bytes, size_t size);
int catalog_step(struct catalog_query *query);   /* 1: a row, 0: no more, or -errno */
int catalog_run(struct catalog_query *query);    /* for statements without rows: 0 or -errno; ends it */
void catalog_again(struct catalog_query *query); /* from the start, with the same parameters until bound anew */
int64_t catalog_integer(const struct catalog_query *query, int column);
const char *catalog_text(const struct catalog_query *query, int column); /* NULL for null; until the next step */
const void *catalog_bytes(const struct catalog_query *query, int column, size_t *size);
void catalog_end(struct catalog_query *query);
int64_t catalog_last_id(struct catalog_session *session);
int64_t catalog_changed(struct catalog_session *session); /* rows, by the last statement */
