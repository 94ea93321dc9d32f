/* The tables of the embedded store's index. */
#pragma once

#define SCHEMA_VERSION 1

/* bucket.versioning: 0 never on, 1 on, 2 suspended.
 * object: one row for each version. id grows, so that the newest of a key is its highest; version is "null" where
 *   versioning is not on. headers: lines "name:value" of those kept with it. parts: sizes of its parts "5242880,17", or
 *   null. checksum: "crc32c=BASE64" or null.
 * upload, part: multipart uploads under way.
 * piece: what an object or a part is made of, in order: a stretch of a blob. Owners of parts are negative part ids.
 * blob: bytes, shared by copies: refs counts pieces. Small ones rest here, others in a file of that name.
 * setting: configurations of a bucket, as they were sent. */
#define SCHEMA_SQL                                                                                                     \
    "CREATE TABLE bucket (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL,"             \
    " versioning INTEGER NOT NULL DEFAULT 0);"                                                                         \
    "CREATE TABLE setting (bucket INTEGER NOT NULL REFERENCES bucket ON DELETE CASCADE, name TEXT NOT NULL,"           \
    " body BLOB NOT NULL, PRIMARY KEY (bucket, name)) WITHOUT ROWID;"                                                  \
    "CREATE TABLE object (id INTEGER PRIMARY KEY AUTOINCREMENT, bucket INTEGER NOT NULL REFERENCES bucket,"            \
    " key BLOB NOT NULL, version TEXT NOT NULL, latest INTEGER NOT NULL, marker INTEGER NOT NULL, etag TEXT,"          \
    " size INTEGER NOT NULL, modified_ms INTEGER NOT NULL, headers TEXT, parts TEXT, checksum TEXT);"                  \
    "CREATE UNIQUE INDEX object_current ON object (bucket, key) WHERE latest = 1;"                                     \
    "CREATE INDEX object_history ON object (bucket, key, id DESC);"                                                    \
    "CREATE TABLE upload (id TEXT PRIMARY KEY, bucket INTEGER NOT NULL REFERENCES bucket, key BLOB NOT NULL,"          \
    " headers TEXT, checksum TEXT, begun_ms INTEGER NOT NULL) WITHOUT ROWID;"                                          \
    "CREATE INDEX upload_by_key ON upload (bucket, key, id);"                                                          \
    "CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, upload TEXT NOT NULL REFERENCES upload,"                 \
    " number INTEGER NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, modified_ms INTEGER NOT NULL,"               \
    " checksum TEXT, UNIQUE (upload, number));"                                                                        \
    "CREATE TABLE piece (owner INTEGER NOT NULL, number INTEGER NOT NULL, blob INTEGER NOT NULL REFERENCES blob,"      \
    " skip INTEGER NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (owner, number)) WITHOUT ROWID;"                       \
    "CREATE TABLE blob (id INTEGER PRIMARY KEY AUTOINCREMENT, refs INTEGER NOT NULL, size INTEGER NOT NULL,"           \
    " name TEXT UNIQUE, bytes BLOB);"
