/* Statements on the tree's one connection: prepared once and kept, with typed values. Used under the tree's lock. The
 * only door to SQLite in fs/tree. Results: 0 or more as said, or -errno. */
#pragma once

#include "base/error.h"
#include "base/map.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree_sql {
    sqlite3 *db;           /* owned */
    struct map statements; /* by the address of their text; owned */
};

/* One value for a '?'. Texts and bytes are borrowed until the statement is done. */
struct tree_value {
    enum { TREE_VALUE_NULL, TREE_VALUE_INTEGER, TREE_VALUE_TEXT, TREE_VALUE_BYTES } kind;
    int64_t integer;
    const void *data;
    size_t size;
};
#define INT(value) ((struct tree_value){.kind = TREE_VALUE_INTEGER, .integer = (int64_t)(value)})
#define TEXT(value) tree_sql_text(value) /* NULL is SQL's NULL */
#define BYTES(bytes, count) ((struct tree_value){.kind = TREE_VALUE_BYTES, .data = (bytes), .size = (count)})
#define WITH(...)                                                                                                      \
    (const struct tree_value[]){__VA_ARGS__},                                                                          \
        sizeof((const struct tree_value[]){__VA_ARGS__}) / sizeof(struct tree_value)
#define WITHOUT NULL, 0

struct tree_value tree_sql_text(const char *text);

int tree_sql_open(struct tree_sql *sql, const char *path, struct fault *fault);
void tree_sql_close(struct tree_sql *sql);
/* SQLite's result as -errno; what is unexpected is logged. */
int tree_sql_error(struct tree_sql *sql, int result);
/* Several statements without values, not kept. */
int tree_sql_script(struct tree_sql *sql, const char *text);

/* text must be a literal: it is kept by its address, and must not be used anew while its row is still being read. 1: a
 * row, which is read from *row until AUTO_ROW or tree_sql_done ends it; 0: none. */
int tree_sql_row(struct tree_sql *sql, sqlite3_stmt **row, const char *text, const struct tree_value *values,
                 size_t count);
int tree_sql_next(struct tree_sql *sql, sqlite3_stmt *row); /* 1: another row; 0: no more */
void tree_sql_done(sqlite3_stmt **row);
#define AUTO_ROW __attribute__((cleanup(tree_sql_done)))
/* Without looking at rows. */
int tree_sql_run(struct tree_sql *sql, const char *text, const struct tree_value *values, size_t count);
/* 1 if there is a row. */
int tree_sql_any(struct tree_sql *sql, const char *text, const struct tree_value *values, size_t count);
/* The first column of the only row; `none` if there is no row or it is NULL. */
int tree_sql_integer(struct tree_sql *sql, int64_t *out, int64_t none, const char *text,
                     const struct tree_value *values, size_t count);

/* Borrowed until the row is done; NULL for NULL. */
const char *tree_sql_column(sqlite3_stmt *row, int column);
/* Owned copies. -ENOMEM. */
int tree_sql_copy(sqlite3_stmt *row, int column, char **out);
static inline int64_t tree_sql_number(sqlite3_stmt *row, int column) {
    return sqlite3_column_int64(row, column);
}
