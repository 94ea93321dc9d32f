/* Statements on the tree's one connection. */
#include "fs/tree/sql.h"

#include "base/log.h"

#include <assert.h>
#include <string.h>

struct tree_value tree_sql_text(const char *text) {
    if (!text)
        return (struct tree_value){.kind = TREE_VALUE_NULL};
    return (struct tree_value){.kind = TREE_VALUE_TEXT, .data = text, .size = strlen(text)};
}

int tree_sql_error(struct tree_sql *sql, int result) {
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_BUSY:
        return -EWOULDBLOCK;
    default:
        log_error("the tree's database: %s (%d)", sql->db ? sqlite3_errmsg(sql->db) : sqlite3_errstr(result), result);
        return -EIO;
    }
}

int tree_sql_open(struct tree_sql *sql, const char *path, struct fault *fault) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int result = sqlite3_open_v2(path, &sql->db, flags, NULL);
    if (result != SQLITE_OK)
        return fault_set(fault, tree_sql_error(sql, result), "cannot open %s: %s", path,
                         sql->db ? sqlite3_errmsg(sql->db) : sqlite3_errstr(result));
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return 0;
}

void tree_sql_close(struct tree_sql *sql) {
    size_t position = 0;
    sqlite3_stmt *statement;
    while ((statement = map_next(&sql->statements, &position, NULL)))
        sqlite3_finalize(statement);
    map_finish(&sql->statements);
    sqlite3_close(sql->db);
    sql->db = NULL;
}

int tree_sql_script(struct tree_sql *sql, const char *text) {
    return tree_sql_error(sql, sqlite3_exec(sql->db, text, NULL, NULL, NULL));
}

static int prepare(struct tree_sql *sql, const char *text, sqlite3_stmt **out) {
    uint64_t key = (uint64_t)(uintptr_t)text;
    *out = map_get(&sql->statements, key);
    if (*out)
        return 0;
    int result = sqlite3_prepare_v3(sql->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    if (result != SQLITE_OK)
        return tree_sql_error(sql, result);
    int r = map_put(&sql->statements, key, *out);
    if (r)
        sqlite3_finalize(*out);
    return r;
}

static int bind(sqlite3_stmt *statement, int at, const struct tree_value *value) {
    switch (value->kind) {
    case TREE_VALUE_INTEGER:
        return sqlite3_bind_int64(statement, at, value->integer);
    case TREE_VALUE_TEXT:
        return sqlite3_bind_text64(statement, at, value->data, value->size, SQLITE_STATIC, SQLITE_UTF8);
    case TREE_VALUE_BYTES:
        return sqlite3_bind_blob64(statement, at, value->data, value->size, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(statement, at);
    }
}

int tree_sql_next(struct tree_sql *sql, sqlite3_stmt *row) {
    int result = sqlite3_step(row);
    if (result == SQLITE_ROW)
        return 1;
    return result == SQLITE_DONE ? 0 : tree_sql_error(sql, result);
}

int tree_sql_row(struct tree_sql *sql, sqlite3_stmt **row, const char *text, const struct tree_value *values,
                 size_t count) {
    sqlite3_stmt *statement;
    *row = NULL;
    int r = prepare(sql, text, &statement);
    if (r)
        return r;
    assert(!sqlite3_stmt_busy(statement));
    assert(sqlite3_bind_parameter_count(statement) == (int)count);
    sqlite3_reset(statement);
    for (size_t i = 0; i < count; i++) {
        int result = bind(statement, (int)i + 1, &values[i]);
        if (result != SQLITE_OK)
            return tree_sql_error(sql, result);
    }
    *row = statement;
    return tree_sql_next(sql, statement);
}

void tree_sql_done(sqlite3_stmt **row) {
    if (*row)
        sqlite3_reset(*row);
    *row = NULL;
}

int tree_sql_any(struct tree_sql *sql, const char *text, const struct tree_value *values, size_t count) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    return tree_sql_row(sql, &row, text, values, count);
}

int tree_sql_run(struct tree_sql *sql, const char *text, const struct tree_value *values, size_t count) {
    int r = tree_sql_any(sql, text, values, count);
    return r > 0 ? 0 : r;
}

int tree_sql_integer(struct tree_sql *sql, int64_t *out, int64_t none, const char *text,
                     const struct tree_value *values, size_t count) {
    AUTO_ROW sqlite3_stmt *row = NULL;
    int r = tree_sql_row(sql, &row, text, values, count);
    *out = r > 0 && sqlite3_column_type(row, 0) != SQLITE_NULL ? tree_sql_number(row, 0) : none;
    return r < 0 ? r : 0;
}

const char *tree_sql_column(sqlite3_stmt *row, int column) {
    return (const char *)sqlite3_column_text(row, column);
}

int tree_sql_copy(sqlite3_stmt *row, int column, char **out) {
    const char *text = tree_sql_column(row, column);
    *out = text ? strdup(text) : NULL;
    return text && !*out ? -ENOMEM : 0;
}
