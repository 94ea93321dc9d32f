/* The database: its lock, its tables and their versions; making and ending a tree.
 *
 * Durability. The write-ahead log (WAL) gets each transaction at commit by write(2), so killing the process loses
 * nothing. synchronous=NORMAL: SQLite syncs the WAL before a checkpoint copies from it, and the database before the WAL
 * is used from its start again (https://www.sqlite.org/wal.html, "Performance Considerations"; pragma.html,
 * synchronous). So what tree_flush has synced in the WAL survives a power cut, either there or in the database.
 * locking_mode=EXCLUSIVE, set before the WAL is first used: one process only, the WAL's index is in this process's
 * memory, and no file locks are taken for each transaction. */
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/tree/inside.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define VERSION 1
#define APPLICATION 0x5061696c /* "Pail" */
#define SET_ASIDE 4096

/* Keys and names are compared byte by byte: TEXT with SQLite's BINARY collation is that. rkey, retag and so on are
 * struct tree_remote; `gone` has the keys that were removed here; a done one waits for listings only. `attempt` is a
 * node's write whose answer is awaited; `unseen` are those of nodes that went on meanwhile. */
static const char tables[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE node(ino INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT NOT NULL, holder INTEGER NOT NULL,"
    " tail TEXT, type INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,"
    " folders INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,"
    " target TEXT, content TEXT, spool INTEGER NOT NULL, generation INTEGER NOT NULL, change INTEGER NOT NULL,"
    " attributes_change INTEGER NOT NULL, dirty INTEGER NOT NULL, work INTEGER NOT NULL, due_ms INTEGER NOT NULL,"
    " since_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, problem TEXT, archived INTEGER NOT NULL,"
    " head INTEGER NOT NULL, complete INTEGER NOT NULL, expanding INTEGER NOT NULL, rkey TEXT, owns INTEGER NOT NULL,"
    " retag TEXT, rversion TEXT, rcontent TEXT, rsize INTEGER NOT NULL, rmodified_s INTEGER NOT NULL, xattrs BLOB);"
    "CREATE UNIQUE INDEX node_name ON node(parent, name) WHERE parent<>0;"
    "CREATE INDEX node_child ON node(parent) WHERE parent<>0;" /* each index ends in the ino: so children by ino */
    "CREATE INDEX node_key ON node(rkey) WHERE owns=1;"
    "CREATE INDEX node_due ON node(due_ms, size) WHERE work<>0;"
    "CREATE INDEX node_shadow ON node(holder) WHERE holder<>0;"
    "CREATE INDEX node_nameless ON node(ino) WHERE parent=0;"
    "CREATE INDEX node_archived ON node(archived) WHERE archived<>0;"
    "CREATE TABLE gone(key TEXT PRIMARY KEY, ino INTEGER NOT NULL, etag TEXT, version TEXT, content TEXT,"
    " size INTEGER NOT NULL, looked INTEGER NOT NULL, done INTEGER NOT NULL,"
    " due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX gone_due ON gone(due_ms) WHERE done=0;"
    "CREATE INDEX gone_done ON gone(done) WHERE done<>0;"
    "CREATE TABLE attempt(ino INTEGER PRIMARY KEY, key TEXT NOT NULL, write_id TEXT NOT NULL, content TEXT,"
    " size INTEGER NOT NULL, upload TEXT, generation INTEGER NOT NULL, part_size INTEGER NOT NULL);"
    "CREATE INDEX attempt_key ON attempt(key);"
    "CREATE TABLE part(ino INTEGER NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,"
    " generation INTEGER NOT NULL, PRIMARY KEY(ino, number)) WITHOUT ROWID;"
    "CREATE TABLE unseen(key TEXT NOT NULL, write_id TEXT NOT NULL, since_s INTEGER NOT NULL,"
    " PRIMARY KEY(key, write_id)) WITHOUT ROWID;"
    "CREATE TABLE dropped(upload TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE conflict(id INTEGER PRIMARY KEY, time_s INTEGER NOT NULL, key TEXT NOT NULL, copy TEXT);";

static const char *const migrations[VERSION] = {tables};

int64_t tree_now_ms(void) {
    return clock_realtime_ns() / 1000000;
}

/* ---- Versions ---- */

static int refuse_newer(const char *path, struct fault *fault) {
    return fault_set(fault, TREE_NEWER,
                     "%s was written by a newer Pail. It was not touched: please use that version, or a newer one.",
                     path);
}

/* user_version stands at offset 60, big-endian (https://www.sqlite.org/fileformat.html). Read without SQLite, which may
 * write when it opens. */
static int look_at_header(const char *path, struct fault *fault) {
    unsigned char header[64];
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : fault_set(fault, -errno, "cannot read %s: %s", path, error_text(-errno));
    if (file_pread_all(fd, header, sizeof header, 0) != sizeof header)
        return 0;
    uint32_t version = (uint32_t)header[60] << 24 | (uint32_t)header[61] << 16 | (uint32_t)header[62] << 8 | header[63];
    return version > VERSION ? refuse_newer(path, fault) : 0;
}

static int migrate(struct tree *tree, const char *path, struct fault *fault) {
    int64_t version;
    int r = tree_sql_integer(&tree->sql, &version, 0, "PRAGMA user_version", WITHOUT);
    if (r)
        return fault_set(fault, r, "%s cannot be read: %s", path, sqlite3_errmsg(tree->sql.db));
    if (version > VERSION)
        return refuse_newer(path, fault);
    for (int64_t v = version; !r && v < VERSION; v++) {
        AUTO_FREE char *step =
            text_format("BEGIN IMMEDIATE; %s PRAGMA user_version=%d; PRAGMA application_id=%d; COMMIT;", migrations[v],
                        (int)v + 1, APPLICATION);
        r = step ? tree_sql_script(&tree->sql, step) : -ENOMEM;
    }
    if (!r && version < VERSION)
        r = tree_sql_script(&tree->sql, "PRAGMA wal_checkpoint(TRUNCATE)");
    return r ? fault_set(fault, r, "%s cannot be set up: %s", path, error_text(r)) : 0;
}

/* Until the version is known, closing must not write either. */
static int set_closing_writes(struct tree *tree, bool writes) {
    return tree_sql_error(&tree->sql, sqlite3_db_config(tree->sql.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !writes, NULL));
}

static int configure(struct tree *tree, const char *path, struct fault *fault) {
    int r = tree_sql_script(&tree->sql, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                                        "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;"
                                        "PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;"
                                        "PRAGMA journal_size_limit=67108864");
    return r ? fault_set(fault, r,
                         "%s cannot be used as a database (%s). If it is damaged: `pail status` needs it; move "
                         "it away and what was not sent yet is lost.",
                         path, sqlite3_errmsg(tree->sql.db))
             : 0;
}

/* ---- Counters ---- */

static int set_aside(struct tree *tree, const char *name, uint64_t limit) {
    return tree_sql_run(&tree->sql, "INSERT INTO meta VALUES(?,?) ON CONFLICT(name) DO UPDATE SET value=excluded.value",
                        WITH(TEXT(name), INT(limit)));
}

static int load_counter(struct tree *tree, const char *name, uint64_t least, uint64_t *out) {
    int64_t value;
    int r =
        tree_sql_integer(&tree->sql, &value, (int64_t)least, "SELECT value FROM meta WHERE name=?", WITH(TEXT(name)));
    *out = (uint64_t)value;
    return r;
}

int tree_next_change(struct tree *tree, uint64_t *out) {
    if (tree->change >= tree->change_limit) {
        int r = set_aside(tree, "change", tree->change + SET_ASIDE);
        if (r)
            return r;
        tree->change_limit = tree->change + SET_ASIDE;
    }
    *out = ++tree->change;
    return 0;
}

int tree_next_ino(struct tree *tree, uint64_t *out) {
    if (tree->next_ino >= tree->ino_limit) {
        int r = set_aside(tree, "ino", tree->next_ino + SET_ASIDE);
        if (r)
            return r;
        tree->ino_limit = tree->next_ino + SET_ASIDE;
    }
    *out = tree->next_ino++;
    return 0;
}

/* ---- Opening ---- */

static int load_counters(struct tree *tree) {
    int r = load_counter(tree, "change", 1, &tree->change);
    if (!r)
        r = load_counter(tree, "ino", TREE_ROOT + 1, &tree->next_ino);
    tree->change_limit = tree->change;
    tree->ino_limit = tree->next_ino;
    return r;
}

static int make_root(struct tree *tree) {
    int64_t now = clock_realtime_ns();
    return tree_sql_run(&tree->sql,
                        "INSERT OR IGNORE INTO node(ino,parent,name,holder,type,mode,uid,gid,folders,size,mtime_ns,"
                        "ctime_ns,spool,generation,change,attributes_change,dirty,work,due_ms,since_ms,attempts,"
                        "archived,head,complete,expanding,rkey,owns,rsize,rmodified_s)"
                        "VALUES(1,0,'',0,?,?,-1,-1,0,0,?,?,0,0,0,0,0,0,0,0,0,0,1,0,0,'',1,0,0)",
                        WITH(INT(TREE_FOLDER), INT(tree->options.folder_mode), INT(now), INT(now)));
}

#define OF_NOBODY(table)                                                                                               \
    " NOT EXISTS (SELECT 1 FROM node WHERE node.ino=" table ".ino AND (parent<>0 OR holder<>0 OR node.ino=1))"

/* Nobody knows nodes without a name after a restart, and no listing is under way. */
static int clean_up(struct tree *tree) {
    static const char *const steps[] = {
        "INSERT OR IGNORE INTO unseen SELECT key,write_id,unixepoch() FROM attempt WHERE" OF_NOBODY("attempt"),
        "DELETE FROM unseen WHERE since_s<unixepoch()-2592000", /* what is on its way for a month does not come */
        ("INSERT OR IGNORE INTO dropped(upload,key) SELECT upload,key FROM attempt WHERE upload IS NOT NULL"
         " AND" OF_NOBODY("attempt")),
        "DELETE FROM attempt WHERE" OF_NOBODY("attempt"),
        "DELETE FROM part WHERE" OF_NOBODY("part"),
        "DELETE FROM node WHERE parent=0 AND holder=0 AND ino<>1",
        "DELETE FROM gone WHERE done<>0",
    };
    int r = 0;
    for (size_t i = 0; !r && i < sizeof steps / sizeof *steps; i++)
        r = tree_sql_run(&tree->sql, steps[i], WITHOUT);
    return r;
}

/* Everything of a former life is put in order. The first write makes the WAL, which tree_flush needs. */
static int begin_life(struct tree *tree) {
    int r = tree_begin(tree);
    if (r)
        return r;
    r = load_counters(tree);
    if (!r)
        r = make_root(tree);
    if (!r)
        r = clean_up(tree);
    uint64_t number;
    if (!r)
        r = tree_next_change(tree, &number);
    return tree_end(tree, r);
}

static int open_wal(struct tree *tree, const char *path) {
    AUTO_FREE char *wal = text_format("%s-wal", path);
    if (!wal)
        return -ENOMEM;
    tree->wal_fd = open(wal, O_RDONLY | O_CLOEXEC);
    if (tree->wal_fd < 0)
        return -errno;
    return file_sync_folder(tree->options.folder);
}

int tree_schema_open(struct tree *tree, const char *path, struct fault *fault) {
    int r = look_at_header(path, fault);
    if (r)
        return r;
    r = tree_sql_open(&tree->sql, path, fault);
    if (!r)
        r = set_closing_writes(tree, false);
    if (!r)
        r = configure(tree, path, fault);
    if (!r)
        r = migrate(tree, path, fault);
    if (r)
        return r;
    r = set_closing_writes(tree, true);
    if (!r)
        r = begin_life(tree);
    if (!r)
        r = open_wal(tree, path);
    return r ? fault_set(fault, r, "%s cannot be opened: %s", path, error_text(r)) : 0;
}

static int take_lock(struct tree *tree, struct fault *fault) {
    AUTO_FREE char *path = text_format("%s/lock", tree->options.folder);
    if (!path)
        return -ENOMEM;
    tree->lock_fd = file_lock(path, 0);
    if (tree->lock_fd >= 0)
        return 0;
    int r = tree->lock_fd;
    if (r == -EWOULDBLOCK)
        return fault_set(fault, r, "another process uses %s: this account is mounted already", tree->options.folder);
    return fault_set(fault, r, "cannot lock %s: %s", path, error_text(r));
}

int tree_create(struct tree **out, const struct tree_options *options, struct fault *fault) {
    CLEANUP(tree_destroy_p) struct tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return -ENOMEM;
    tree->lock_fd = tree->wal_fd = -1;
    tree->structure = 1;
    pthread_mutex_init(&tree->lock, NULL);
    tree->options = *options;
    tree->max_key = TREE_MAX_KEY;
    tree->options.folder = strdup(options->folder);
    AUTO_FREE char *path = text_format("%s/tree.db", options->folder);
    if (!tree->options.folder || !path)
        return -ENOMEM;
    int r = take_lock(tree, fault);
    if (!r)
        r = tree_schema_open(tree, path, fault);
    if (!r)
        *out = TAKE(tree);
    return r;
}

void tree_limit_keys(struct tree *tree, size_t bytes) {
    tree->max_key = bytes;
}

static void free_values(struct map *map) {
    size_t position = 0;
    void *value;
    while ((value = map_next(map, &position, NULL)))
        free(value);
    map_finish(map);
}

void tree_destroy(struct tree *tree) {
    struct tree_walk *walk;
    if (!tree)
        return;
    tree_sql_close(&tree->sql);
    if (tree->wal_fd >= 0)
        close(tree->wal_fd);
    if (tree->lock_fd >= 0)
        close(tree->lock_fd);
    map_finish(&tree->claims);
    map_finish(&tree->held);
    map_finish(&tree->forgotten);
    map_finish(&tree->gone_claims);
    free_values(&tree->listed);
    for (size_t position = 0; (walk = map_next(&tree->walks, &position, NULL));)
        free(walk->steps);
    free_values(&tree->walks);
    tree_events_finish(&tree->events);
    pthread_mutex_destroy(&tree->lock);
    free((char *)tree->options.folder);
    free(tree);
}

int tree_flush(struct tree *tree) {
    return fdatasync(tree->wal_fd) ? -errno : 0;
}

uint64_t tree_change_number(struct tree *tree) {
    tree_lock(tree);
    uint64_t number = tree->change;
    tree_unlock(tree);
    return number;
}
