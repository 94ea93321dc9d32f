/* Connections are taken from a small pool, so that no lock of ours is held while the disk works. */
#include "s3/server/users_database.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#define IDLE_MOST 16
#define KEPT_MOST 16 /* statements of a connection: preparing one takes longer than running it */
#define BUSY_MS 10000

struct connection {
    sqlite3 *database; /* owned, as all */
    sqlite3_stmt *kept[KEPT_MOST];
    size_t kept_count;
};

struct users {
    char *path; /* owned */
    pthread_mutex_t lock;
    struct connection *idle[IDLE_MOST]; /* owned, under lock */
    size_t idle_count;                  /* under lock */
};

/* Schema: each entry brings the version before it to its own. Never changed, only appended to. */
static const char *const migrations[] = {
    "CREATE TABLE account("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE,"
    " bucket TEXT NOT NULL, prefix TEXT NOT NULL, region TEXT NOT NULL, mark TEXT NOT NULL, attempt INTEGER NOT NULL "
    "DEFAULT 0,"
    " state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 3), suspended INTEGER NOT NULL DEFAULT 0,"
    " quota INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL,"
    " seen INTEGER NOT NULL, versioned_at INTEGER NOT NULL DEFAULT 0, UNIQUE(bucket, prefix)) STRICT;"
    "CREATE INDEX account_unfinished ON account(state) WHERE state < 3;"
    "CREATE TABLE identity("
    " issuer TEXT NOT NULL, subject TEXT NOT NULL, account INTEGER NOT NULL REFERENCES account(id),"
    " PRIMARY KEY(issuer, subject)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX identity_account ON identity(account);"
    "CREATE TABLE fact(name TEXT PRIMARY KEY, value TEXT NOT NULL, recorded INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    /* suspended: 1, or since when it is being removed */
    "ALTER TABLE account ADD COLUMN missing INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX account_missing ON account(missing) WHERE missing > 0;",
    "ALTER TABLE account ADD COLUMN used_old INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE account ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;",
};
#define SCHEMA ((int)(sizeof migrations / sizeof *migrations))

/* Connections. */

/* What the operator can do about it. */
static const char *advice(int code, int error) {
    if (error == -ENOSPC)
        return ": the disk is full; make room, nothing that was recorded is lost";
    if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || code == SQLITE_PERM)
        return ": the file and its folder must be writable for the server's user";
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return ": the file is damaged; stop the server and put a copy in its place that pail users backup made";
    return "";
}

static int database_error(struct users *users, sqlite3 *database, struct fault *fault) {
    int code = sqlite3_errcode(database) & 0xff, error = -EIO;
    if (code == SQLITE_NOMEM)
        error = -ENOMEM;
    else if (code == SQLITE_FULL || (code == SQLITE_IOERR && sqlite3_system_errno(database) == ENOSPC))
        error = -ENOSPC;
    else if (code == SQLITE_BUSY)
        error = -EBUSY;
    else if (code == SQLITE_READONLY)
        error = -EROFS;
    return fault_set(fault, error, "the accounts in %s: %s%s", users->path, sqlite3_errmsg(database),
                     advice(code, error));
}

static void close_connection(struct connection *connection) {
    if (!connection)
        return;
    for (size_t i = 0; i < connection->kept_count; i++)
        sqlite3_finalize(connection->kept[i]);
    sqlite3_close(connection->database);
    free(connection);
}

static int open_connection(struct users *users, struct connection **out, struct fault *fault) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(users->path, &connection->database, flags, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(connection->database, BUSY_MS) == SQLITE_OK &&
        sqlite3_exec(connection->database,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                     "PRAGMA trusted_schema=OFF;",
                     NULL, NULL, NULL) == SQLITE_OK) {
        *out = connection;
        return 0;
    }
    int error = connection->database ? database_error(users, connection->database, fault) : -ENOMEM;
    close_connection(connection);
    return error;
}

int work_begin(struct work *work) {
    struct users *users = work->users;
    pthread_mutex_lock(&users->lock);
    work->connection = users->idle_count ? users->idle[--users->idle_count] : NULL;
    pthread_mutex_unlock(&users->lock);
    int error = work->connection ? 0 : open_connection(users, &work->connection, work->fault);
    work->database = error ? NULL : work->connection->database;
    return error;
}

void work_end(struct work *work) {
    struct users *users = work->users;
    if (!work->connection)
        return;
    work_reset(work);
    if (work->in_transaction)
        sqlite3_exec(work->database, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_lock(&users->lock);
    bool kept = users->idle_count < IDLE_MOST;
    if (kept)
        users->idle[users->idle_count++] = work->connection;
    pthread_mutex_unlock(&users->lock);
    if (!kept)
        close_connection(work->connection);
}

int work_failed(struct work *work) {
    return database_error(work->users, work->database, work->fault);
}

/* Statements. */

static sqlite3_stmt *find_kept(const struct connection *connection, const char *sql) {
    for (size_t i = 0; i < connection->kept_count; i++)
        if (!strcmp(sqlite3_sql(connection->kept[i]), sql))
            return connection->kept[i];
    return NULL;
}

static int take_statement(struct work *work, const char *sql) {
    struct connection *connection = work->connection;
    work->statement = find_kept(connection, sql);
    work->is_kept = work->statement != NULL;
    if (work->is_kept)
        return 0;
    if (sqlite3_prepare_v3(work->database, sql, -1, SQLITE_PREPARE_PERSISTENT, &work->statement, NULL) != SQLITE_OK)
        return work_failed(work);
    work->is_kept = connection->kept_count < KEPT_MOST;
    if (work->is_kept)
        connection->kept[connection->kept_count++] = work->statement;
    return 0;
}

void work_reset(struct work *work) {
    if (work->is_kept) {
        sqlite3_reset(work->statement);
        sqlite3_clear_bindings(work->statement);
    } else {
        sqlite3_finalize(work->statement);
    }
    work->statement = NULL;
    work->is_kept = false;
}

int work_prepare(struct work *work, const char *sql, const char *kinds, ...) {
    work_reset(work);
    int error = take_statement(work, sql);
    if (error)
        return error;
    va_list arguments;
    va_start(arguments, kinds);
    int code = SQLITE_OK;
    for (int i = 0; kinds[i] && code == SQLITE_OK; i++) {
        if (kinds[i] == 's')
            code = sqlite3_bind_text(work->statement, i + 1, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
        else
            code = sqlite3_bind_int64(work->statement, i + 1, va_arg(arguments, int64_t));
    }
    va_end(arguments);
    return code == SQLITE_OK ? 0 : work_failed(work);
}

int work_step(struct work *work) {
    int code = sqlite3_step(work->statement);
    if (code == SQLITE_ROW)
        return 1;
    if (code == SQLITE_DONE)
        return 0;
    return code == SQLITE_CONSTRAINT ? -EEXIST : work_failed(work);
}

int work_transaction(struct work *work, const char *sql) {
    if (sqlite3_exec(work->database, sql, NULL, NULL, NULL) != SQLITE_OK)
        return work_failed(work);
    work->in_transaction = !strncmp(sql, "BEGIN", 5);
    return 0;
}

/* Opening. */

static int migrate(struct work *work) {
    int error = work_transaction(work, "BEGIN IMMEDIATE");
    if (!error)
        error = work_prepare(work, "PRAGMA user_version", "");
    if (!error)
        error = work_step(work);
    if (error < 0)
        return error;
    int version = sqlite3_column_int(work->statement, 0);
    work_reset(work);
    if (version > SCHEMA)
        return fault_set(work->fault, -EPROTO, "the accounts in %s were written by a newer version of Pail",
                         work->users->path);
    for (int i = version; i < SCHEMA; i++)
        if (sqlite3_exec(work->database, migrations[i], NULL, NULL, NULL) != SQLITE_OK)
            return work_failed(work);
    char pragma[40];
    sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version=%d", SCHEMA);
    if (version < SCHEMA && sqlite3_exec(work->database, pragma, NULL, NULL, NULL) != SQLITE_OK)
        return work_failed(work);
    return work_transaction(work, "COMMIT");
}

/* Made by us first, so that it is for nobody else; SQLite gives its other files the same mode. */
static int make_file(const char *path, struct fault *fault) {
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        return 0;
    int error = -errno;
    return fault_set(fault, error, "the accounts' file %s cannot be opened: %s", path, strerror(-error));
}

int users_open(struct users **out, const char *path, struct fault *fault) {
    int made = make_file(path, fault);
    if (made)
        return made;
    struct users *users = calloc(1, sizeof *users);
    if (!users)
        return -ENOMEM;
    pthread_mutex_init(&users->lock, NULL);
    users->path = strdup(path);
    int result = users->path ? 0 : -ENOMEM;
    if (!result) {
        WORK(users, fault);
        result = error ? error : migrate(&work);
    }
    if (result)
        users_close(users);
    else
        *out = users;
    return result;
}

int users_check(struct users *users, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "PRAGMA quick_check(1)", "");
    if (!error)
        error = work_step(&work);
    if (error != 1)
        return error;
    const char *found = (const char *)sqlite3_column_text(work.statement, 0);
    if (text_equal(found, "ok"))
        return 0;
    return fault_set(fault, -EIO, "the accounts in %s: %.200s%s", users->path, found ? found : "",
                     advice(SQLITE_CORRUPT, -EIO));
}

void users_close(struct users *users) {
    if (!users)
        return;
    for (size_t i = 0; i < users->idle_count; i++)
        close_connection(users->idle[i]);
    pthread_mutex_destroy(&users->lock);
    free(users->path);
    free(users);
}
