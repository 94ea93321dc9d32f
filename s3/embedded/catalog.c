/* The embedded store's index in SQLite. */
#include "s3/embedded/catalog.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/embedded/schema.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>

#define STATEMENTS 128
#define READERS 16

struct catalog_session {
    sqlite3 *db; /* owned */
    struct kept {
        const char *sql; /* borrowed: a literal */
        sqlite3_stmt *statement;
    } kept[STATEMENTS];           /* a hash table by address */
    struct catalog_session *next; /* in the list of idle readers */
};

/* One job that waits for the writer. Lives on its caller's stack. */
struct write {
    int (*job)(struct catalog_session *session, void *context);
    void *context;
    int result;
    bool done;
    struct write *next;
};

struct catalog {
    char *path;
    struct catalog_session *writer; /* of the writing thread */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t asked, answered, idle;
    struct write *first, **last;     /* by lock: jobs in order */
    bool closing;                    /* by lock */
    struct catalog_session *readers; /* by lock: those nobody uses */
    unsigned reader_count;           /* by lock: opened */
};

static int error_of(int code) {
    switch (code & 0xff) {
    case SQLITE_OK:
        return 0;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    default:
        return -EIO;
    }
}

void catalog_start(struct catalog_session *session, struct catalog_query *query, const char *sql) {
    *query = (struct catalog_query){0};
    size_t at = (size_t)((uintptr_t)sql >> 3) * 31 % STATEMENTS;
    for (size_t tries = 0; session->kept[at].sql && session->kept[at].sql != sql; tries++) {
        at = (at + 1) % STATEMENTS;
        if (tries == STATEMENTS) {
            query->error = -ENOBUFS;
            return;
        }
    }
    struct kept *kept = &session->kept[at];
    if (!kept->statement) {
        int code = sqlite3_prepare_v3(session->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &kept->statement, NULL);
        if (code != SQLITE_OK) {
            log_error("store index: %s in: %s", sqlite3_errmsg(session->db), sql);
            query->error = error_of(code);
            return;
        }
        kept->sql = sql;
    }
    query->statement = kept->statement;
}

static void note(struct catalog_query *query, int code) {
    if (!query->error)
        query->error = error_of(code);
}

void catalog_bind(struct catalog_query *query, int parameter, int64_t value) {
    if (!query->error)
        note(query, sqlite3_bind_int64(query->statement, parameter, value));
}

void catalog_bind_text(struct catalog_query *query, int parameter, const char *text) {
    if (!query->error)
        note(query, sqlite3_bind_text(query->statement, parameter, text, -1, SQLITE_STATIC));
}

void catalog_bind_bytes(struct catalog_query *query, int parameter, const void *bytes, size_t size) {
    if (!query->error)
        note(query, sqlite3_bind_blob64(query->statement, parameter, bytes, size, SQLITE_STATIC));
}

int catalog_step(struct catalog_query *query) {
    if (query->error)
        return query->error;
    int code = sqlite3_step(query->statement);
    if (code == SQLITE_ROW)
        return 1;
    if (code == SQLITE_DONE)
        return 0;
    if ((code & 0xff) != SQLITE_CONSTRAINT)
        log_error("store index: %s", sqlite3_errmsg(sqlite3_db_handle(query->statement)));
    query->error = error_of(code);
    return query->error;
}

int catalog_run(struct catalog_query *query) {
    int r = catalog_step(query);
    catalog_end(query);
    return r < 0 ? r : 0;
}

void catalog_again(struct catalog_query *query) {
    if (!query->error)
        sqlite3_reset(query->statement);
}

int64_t catalog_integer(const struct catalog_query *query, int column) {
    return sqlite3_column_int64(query->statement, column);
}

const char *catalog_text(const struct catalog_query *query, int column) {
    return (const char *)sqlite3_column_text(query->statement, column);
}

const void *catalog_bytes(const struct catalog_query *query, int column, size_t *size) {
    const void *bytes = sqlite3_column_blob(query->statement, column);
    *size = (size_t)sqlite3_column_bytes(query->statement, column);
    return bytes;
}

void catalog_end(struct catalog_query *query) {
    if (query->statement) {
        sqlite3_reset(query->statement);
        sqlite3_clear_bindings(query->statement);
    }
    query->statement = NULL;
}

int64_t catalog_last_id(struct catalog_session *session) {
    return sqlite3_last_insert_rowid(session->db);
}

int64_t catalog_changed(struct catalog_session *session) {
    return sqlite3_changes(session->db);
}

static void session_close(struct catalog_session *session) {
    if (!session)
        return;
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(session->kept[i].statement);
    sqlite3_close(session->db);
    free(session);
}
DEFINE_CLEANUP(struct catalog_session *, session_close)

static int execute(struct catalog_session *session, const char *sql) {
    int code = sqlite3_exec(session->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        log_error("store index: %s in: %s", sqlite3_errmsg(session->db), sql);
    return error_of(code);
}

static int session_open(struct catalog_session **out, const char *path, int flags) {
    CLEANUP(session_close_p) struct catalog_session *session = calloc(1, sizeof *session);
    if (!session)
        return -ENOMEM;
    int code = sqlite3_open_v2(path, &session->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return error_of(code);
    sqlite3_busy_timeout(session->db, 10000);
    int r = execute(session, "PRAGMA foreign_keys = ON; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;");
    if (!r)
        *out = TAKE(session);
    return r;
}

static int schema_version(struct catalog_session *session, int64_t *version) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "PRAGMA user_version");
    int r = catalog_step(&query);
    if (r == 1)
        *version = catalog_integer(&query, 0);
    return r < 0 ? r : 0;
}

static int prepare_schema(struct catalog_session *session, struct fault *fault) {
    int64_t version = 0;
    int r = execute(session, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;");
    if (!r)
        r = schema_version(session, &version);
    if (!r && version > SCHEMA_VERSION)
        return fault_set(fault, -EINVAL, "the store was written by a newer version of Pail");
    if (!r && version == 0) {
        AUTO_FREE char *sql = text_format("BEGIN; %s PRAGMA user_version = %d; COMMIT;", SCHEMA_SQL, SCHEMA_VERSION);
        r = sql ? execute(session, sql) : -ENOMEM;
    }
    return r ? fault_set(fault, r, "the store's index cannot be used: %s", error_text(r)) : 0;
}

/* Each job stands or falls by itself inside the shared transaction. */
static void run_one(struct catalog_session *session, struct write *write) {
    write->result = execute(session, "SAVEPOINT job");
    if (write->result)
        return;
    write->result = write->job(session, write->context);
    if (write->result)
        execute(session, "ROLLBACK TO job");
    int r = execute(session, "RELEASE job");
    if (!write->result)
        write->result = r;
}

static void run_all(struct catalog_session *session, struct write *first) {
    int r = execute(session, "BEGIN IMMEDIATE");
    for (struct write *write = first; write; write = write->next) {
        if (r)
            write->result = r;
        else
            run_one(session, write);
    }
    if (r)
        return;
    r = execute(session, "COMMIT");
    if (!r)
        return;
    if (!sqlite3_get_autocommit(session->db))
        execute(session, "ROLLBACK");
    for (struct write *write = first; write; write = write->next)
        if (!write->result)
            write->result = r;
}

static void *writer_main(void *context) {
    struct catalog *catalog = context;
    pthread_mutex_lock(&catalog->lock);
    for (;;) {
        while (!catalog->first && !catalog->closing)
            pthread_cond_wait(&catalog->asked, &catalog->lock);
        struct write *first = TAKE(catalog->first);
        catalog->last = &catalog->first;
        if (!first)
            break;
        pthread_mutex_unlock(&catalog->lock);
        run_all(catalog->writer, first);
        pthread_mutex_lock(&catalog->lock);
        for (struct write *write = first, *next; write; write = next) {
            next = write->next; /* its owner may be gone as soon as it is done */
            write->done = true;
        }
        pthread_cond_broadcast(&catalog->answered);
    }
    pthread_mutex_unlock(&catalog->lock);
    return NULL;
}

int catalog_write(struct catalog *catalog, int (*job)(struct catalog_session *session, void *context), void *context) {
    struct write write = {.job = job, .context = context};
    pthread_mutex_lock(&catalog->lock);
    *catalog->last = &write;
    catalog->last = &write.next;
    pthread_cond_signal(&catalog->asked);
    while (!write.done)
        pthread_cond_wait(&catalog->answered, &catalog->lock);
    pthread_mutex_unlock(&catalog->lock);
    return write.result;
}

static int take_reader(struct catalog *catalog, struct catalog_session **out) {
    pthread_mutex_lock(&catalog->lock);
    while (!catalog->readers && catalog->reader_count == READERS)
        pthread_cond_wait(&catalog->idle, &catalog->lock);
    struct catalog_session *session = catalog->readers;
    if (session)
        catalog->readers = session->next;
    else
        catalog->reader_count++;
    pthread_mutex_unlock(&catalog->lock);
    if (session) {
        *out = session;
        return 0;
    }
    int r = session_open(out, catalog->path, SQLITE_OPEN_READWRITE);
    if (r) {
        pthread_mutex_lock(&catalog->lock);
        catalog->reader_count--;
        pthread_cond_signal(&catalog->idle);
        pthread_mutex_unlock(&catalog->lock);
    }
    return r;
}

static void give_reader(struct catalog *catalog, struct catalog_session *session) {
    pthread_mutex_lock(&catalog->lock);
    session->next = catalog->readers;
    catalog->readers = session;
    pthread_cond_signal(&catalog->idle);
    pthread_mutex_unlock(&catalog->lock);
}

int catalog_read(struct catalog *catalog, int (*job)(struct catalog_session *session, void *context), void *context) {
    struct catalog_session *session = NULL;
    int r = take_reader(catalog, &session);
    if (r)
        return r;
    r = execute(session, "BEGIN");
    if (!r) {
        r = job(session, context);
        execute(session, "COMMIT");
    }
    give_reader(catalog, session);
    return r;
}

void catalog_close(struct catalog *catalog) {
    if (!catalog)
        return;
    if (catalog->started) {
        pthread_mutex_lock(&catalog->lock);
        catalog->closing = true;
        pthread_cond_signal(&catalog->asked);
        pthread_mutex_unlock(&catalog->lock);
        pthread_join(catalog->thread, NULL);
    }
    while (catalog->readers) {
        struct catalog_session *session = catalog->readers;
        catalog->readers = session->next;
        session_close(session);
    }
    session_close(catalog->writer);
    pthread_cond_destroy(&catalog->asked);
    pthread_cond_destroy(&catalog->answered);
    pthread_cond_destroy(&catalog->idle);
    pthread_mutex_destroy(&catalog->lock);
    free(catalog->path);
    free(catalog);
}
DEFINE_CLEANUP(struct catalog *, catalog_close)

int catalog_open(struct catalog **out, const char *path, struct fault *fault) {
    CLEANUP(catalog_close_p) struct catalog *catalog = calloc(1, sizeof *catalog);
    if (!catalog || !(catalog->path = strdup(path))) {
        free(TAKE(catalog));
        return fault_set(fault, -ENOMEM, "no memory");
    }
    pthread_mutex_init(&catalog->lock, NULL);
    pthread_cond_init(&catalog->asked, NULL);
    pthread_cond_init(&catalog->answered, NULL);
    pthread_cond_init(&catalog->idle, NULL);
    catalog->last = &catalog->first;
    AUTO_CLOSE int made = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* SQLite would make it readable */
    int r = made < 0 ? -errno : session_open(&catalog->writer, path, SQLITE_OPEN_READWRITE);
    if (r)
        return fault_set(fault, r, "%s cannot be opened: %s", path, error_text(r));
    r = prepare_schema(catalog->writer, fault);
    if (r)
        return r;
    r = -pthread_create(&catalog->thread, NULL, writer_main, catalog);
    if (r)
        return fault_set(fault, r, "no thread for the store's index: %s", error_text(r));
    catalog->started = true;
    *out = TAKE(catalog);
    return 0;
}
