/* The database beneath users.c: opening it and bringing its schema up to date, connections, and the statements that a
 * connection keeps. Private to the accounts. */
#pragma once

#include "s3/server/users.h"

#include <sqlite3.h>

/* A connection in use, and the statement that runs on it. By one thread. */
struct work {
    struct users *users;
    struct connection *connection;
    sqlite3 *database; /* the connection's */
    sqlite3_stmt *statement;
    struct fault *fault;
    bool is_kept; /* the statement, by the connection */
    bool in_transaction;
};
int work_begin(struct work *work);
/* Rolls back what was not committed. */
void work_end(struct work *work);
/* Begins it as `work`, with its result in `error`; it ends with the scope. */
#define WORK(users_, fault_)                                                                                           \
    __attribute__((cleanup(work_end))) struct work work = {.users = (users_), .fault = (fault_)};                      \
    int error = work_begin(&work)

/* With arguments: 's' a text (may be NULL), 'n' an int64_t. */
int work_prepare(struct work *work, const char *sql, const char *kinds, ...);
/* 1: a row; 0: done; -EEXIST: a constraint; -errno. */
int work_step(struct work *work);
/* Done with the statement: before a commit. */
void work_reset(struct work *work);
/* BEGIN IMMEDIATE, COMMIT. */
int work_transaction(struct work *work, const char *sql);
/* The error of the last call to SQLite, told. */
int work_failed(struct work *work);
