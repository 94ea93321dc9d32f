/* Objects, versions and what they are made of, in the index. */
#include "s3/embedded/objects.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/problem.h"

#include <errno.h>
#include <stdio.h>

int objects_find_bucket(struct catalog_session *session, const char *name, struct objects_bucket *bucket) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT id, versioning, created_ms FROM bucket WHERE name = ?");
    catalog_bind_text(&query, 1, name);
    int r = catalog_step(&query);
    if (r < 1)
        return r ? r : PROBLEM_NO_SUCH_BUCKET;
    *bucket = (struct objects_bucket){.id = catalog_integer(&query, 0),
                                      .created_ms = catalog_integer(&query, 2),
                                      .versioning = (enum objects_versioning)catalog_integer(&query, 1)};
    return 0;
}

void objects_row_finish(struct objects_row *row) {
    free(row->version);
    free(row->etag);
    free(row->headers);
    free(row->parts);
    free(row->checksum);
    *row = (struct objects_row){0};
}

static int copy_text(const struct catalog_query *query, int column, char **out) {
    const char *text = catalog_text(query, column);
    *out = text ? strdup(text) : NULL;
    return text && !*out ? -ENOMEM : 0;
}

int objects_row_read(const struct catalog_query *query, struct objects_row *row) {
    *row = (struct objects_row){.id = catalog_integer(query, 0),
                                .latest = catalog_integer(query, 2),
                                .marker = catalog_integer(query, 3),
                                .size = (uint64_t)catalog_integer(query, 5),
                                .modified_ms = catalog_integer(query, 6)};
    int r = copy_text(query, 1, &row->version);
    if (!r)
        r = copy_text(query, 4, &row->etag);
    if (!r)
        r = copy_text(query, 7, &row->headers);
    if (!r)
        r = copy_text(query, 8, &row->parts);
    if (!r)
        r = copy_text(query, 9, &row->checksum);
    if (r)
        objects_row_finish(row);
    return r;
}

int objects_find(struct catalog_session *session, int64_t bucket, const char *key, const char *version,
                 struct objects_row *row) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    if (version)
        catalog_start(session, &query,
                      "SELECT " OBJECTS_COLUMNS " FROM object WHERE bucket = ? AND key = ? AND version = ?");
    else
        catalog_start(session, &query,
                      "SELECT " OBJECTS_COLUMNS " FROM object WHERE bucket = ? AND key = ? AND latest = 1");
    catalog_bind(&query, 1, bucket);
    catalog_bind_bytes(&query, 2, key, strlen(key));
    if (version)
        catalog_bind_text(&query, 3, version);
    int r = catalog_step(&query);
    if (r < 0)
        return r;
    if (!r)
        return version ? PROBLEM_NO_SUCH_VERSION : PROBLEM_NO_SUCH_KEY;
    return objects_row_read(&query, row);
}

bool objects_etag_matches(const char *list, const char *etag) {
    size_t size = strlen(etag);
    while (*list) {
        list += strspn(list, " ,");
        size_t length = strcspn(list, ",");
        const char *item = list;
        list += length;
        while (length && item[length - 1] == ' ')
            length--;
        if (length == 1 && *item == '*')
            return true;
        if (length > 2 && strncmp(item, "W/", 2) == 0)
            item += 2, length -= 2;
        if (length >= 2 && item[0] == '"' && item[length - 1] == '"')
            item++, length -= 2;
        if (length == size && memcmp(item, etag, size) == 0)
            return true;
    }
    return false;
}

int objects_check(struct catalog_session *session, int64_t bucket, const char *key,
                  const struct objects_condition *condition) {
    if (!condition->if_match && !condition->if_none_match)
        return 0;
    CLEANUP(objects_row_finish) struct objects_row row = {0};
    int r = objects_find(session, bucket, key, NULL, &row);
    if (r < 0)
        return r;
    bool there = !r && !row.marker;
    if (condition->if_match && !there)
        return PROBLEM_NO_SUCH_KEY;
    if (condition->if_match && !objects_etag_matches(condition->if_match, row.etag))
        return PROBLEM_PRECONDITION_FAILED;
    if (condition->if_none_match && there && objects_etag_matches(condition->if_none_match, row.etag))
        return PROBLEM_PRECONDITION_FAILED;
    return 0;
}

void objects_dead_finish(struct objects_dead *dead) {
    for (size_t i = 0; i < dead->count; i++)
        free(dead->names[i]);
    free(dead->names);
    *dead = (struct objects_dead){0};
}

void objects_dead_remove(struct objects_dead *dead, struct blobs *blobs) {
    for (size_t i = 0; i < dead->count; i++)
        blobs_remove(blobs, dead->names[i]);
}

static int add_dead(struct objects_dead *dead, const char *name) {
    char **names = reallocarray(dead->names, dead->count + 1, sizeof *names);
    if (!names)
        return -ENOMEM;
    dead->names = names;
    names[dead->count] = strdup(name);
    return names[dead->count++] ? 0 : -ENOMEM;
}

/* One reference less; the last one takes the blob with it. */
static int release_blob(struct catalog_session *session, int64_t blob, struct objects_dead *dead) {
    struct catalog_query update = {0};
    catalog_start(session, &update, "UPDATE blob SET refs = refs - 1 WHERE id = ?");
    catalog_bind(&update, 1, blob);
    int r = catalog_run(&update);
    if (r)
        return r;
    CLEANUP(catalog_end) struct catalog_query find = {0};
    catalog_start(session, &find, "SELECT name FROM blob WHERE id = ? AND refs <= 0");
    catalog_bind(&find, 1, blob);
    r = catalog_step(&find);
    if (r < 1)
        return r;
    const char *name = catalog_text(&find, 0);
    r = name ? add_dead(dead, name) : 0;
    catalog_end(&find);
    if (r)
        return r;
    struct catalog_query delete = {0};
    catalog_start(session, &delete, "DELETE FROM blob WHERE id = ?");
    catalog_bind(&delete, 1, blob);
    return catalog_run(&delete);
}

int objects_drop_pieces(struct catalog_session *session, int64_t owner, struct objects_dead *dead) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    struct catalog_query delete = {0};
    for (;;) { /* one at a time: what is walked through must not change under the walk */
        catalog_start(session, &query, "SELECT number, blob FROM piece WHERE owner = ? LIMIT 1");
        catalog_bind(&query, 1, owner);
        int r = catalog_step(&query);
        if (r < 1)
            return r;
        int64_t number = catalog_integer(&query, 0), blob = catalog_integer(&query, 1);
        catalog_end(&query);
        catalog_start(session, &delete, "DELETE FROM piece WHERE owner = ? AND number = ?");
        catalog_bind(&delete, 1, owner);
        catalog_bind(&delete, 2, number);
        r = catalog_run(&delete);
        if (!r)
            r = release_blob(session, blob, dead);
        if (r)
            return r;
    }
}

static int delete_row(struct catalog_session *session, int64_t id, struct objects_dead *dead) {
    struct catalog_query query = {0};
    int r = objects_drop_pieces(session, id, dead);
    if (r)
        return r;
    catalog_start(session, &query, "DELETE FROM object WHERE id = ?");
    catalog_bind(&query, 1, id);
    return catalog_run(&query);
}

/* The version "null" of the key, if there is one: it is what an unversioned write replaces. */
static int drop_null_version(struct catalog_session *session, int64_t bucket, const char *key,
                             struct objects_dead *dead) {
    CLEANUP(objects_row_finish) struct objects_row row = {0};
    int r = objects_find(session, bucket, key, "null", &row);
    if (r)
        return r == PROBLEM_NO_SUCH_VERSION ? 0 : r;
    return delete_row(session, row.id, dead);
}

static int clear_latest(struct catalog_session *session, int64_t bucket, const char *key) {
    struct catalog_query query = {0};
    catalog_start(session, &query, "UPDATE object SET latest = 0 WHERE bucket = ? AND key = ? AND latest = 1");
    catalog_bind(&query, 1, bucket);
    catalog_bind_bytes(&query, 2, key, strlen(key));
    return catalog_run(&query);
}

static int insert_row(struct catalog_session *session, int64_t bucket, const char *key, const char *version,
                      const struct objects_new *object) {
    struct catalog_query query = {0};
    catalog_start(session, &query,
                  "INSERT INTO object (bucket, key, version, latest, marker, etag, size, modified_ms, headers, parts,"
                  " checksum) VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)");
    catalog_bind(&query, 1, bucket);
    catalog_bind_bytes(&query, 2, key, strlen(key));
    catalog_bind_text(&query, 3, version);
    catalog_bind(&query, 4, !object->etag);
    catalog_bind_text(&query, 5, object->etag);
    catalog_bind(&query, 6, (int64_t)object->size);
    catalog_bind(&query, 7, object->modified_ms);
    catalog_bind_text(&query, 8, object->headers);
    catalog_bind_text(&query, 9, object->parts);
    catalog_bind_text(&query, 10, object->checksum);
    return catalog_run(&query);
}

int objects_add(struct catalog_session *session, const struct objects_bucket *bucket, const char *key,
                const struct objects_new *object, int64_t *id, char version[33], struct objects_dead *dead) {
    int r = 0;
    if (bucket->versioning == VERSIONING_ON) {
        random_hex(version, 16);
    } else {
        strcpy(version, "null");
        r = drop_null_version(session, bucket->id, key, dead);
    }
    if (!r)
        r = clear_latest(session, bucket->id, key);
    if (!r)
        r = insert_row(session, bucket->id, key, version, object);
    if (!r)
        *id = catalog_last_id(session);
    return r;
}

int objects_destroy(struct catalog_session *session, int64_t bucket, const char *key, const struct objects_row *row,
                    struct objects_dead *dead) {
    int r = delete_row(session, row->id, dead);
    if (r || !row->latest)
        return r;
    struct catalog_query query = {0};
    catalog_start(session, &query,
                  "UPDATE object SET latest = 1 WHERE id ="
                  " (SELECT max(id) FROM object WHERE bucket = ? AND key = ?)");
    catalog_bind(&query, 1, bucket);
    catalog_bind_bytes(&query, 2, key, strlen(key));
    return catalog_run(&query);
}

static int add_piece(struct catalog_session *session, int64_t owner, int64_t number, int64_t blob, uint64_t skip,
                     uint64_t size) {
    struct catalog_query query = {0};
    catalog_start(session, &query, "INSERT INTO piece (owner, number, blob, skip, size) VALUES (?, ?, ?, ?, ?)");
    catalog_bind(&query, 1, owner);
    catalog_bind(&query, 2, number);
    catalog_bind(&query, 3, blob);
    catalog_bind(&query, 4, (int64_t)skip);
    catalog_bind(&query, 5, (int64_t)size);
    return catalog_run(&query);
}

int objects_add_blob(struct catalog_session *session, int64_t owner, const struct blob_writer *blob) {
    uint64_t size = blobs_size(blob);
    if (!size)
        return 0;
    struct catalog_query query = {0};
    catalog_start(session, &query, "INSERT INTO blob (refs, size, name, bytes) VALUES (1, ?, ?, ?)");
    catalog_bind(&query, 1, (int64_t)size);
    catalog_bind_text(&query, 2, blobs_name(blob));
    if (!blobs_name(blob))
        catalog_bind_bytes(&query, 3, blobs_bytes(blob), size);
    int r = catalog_run(&query);
    return r ? r : add_piece(session, owner, 1, catalog_last_id(session), 0, size);
}

static int next_number(struct catalog_session *session, int64_t owner, int64_t *number) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT coalesce(max(number), 0) + 1 FROM piece WHERE owner = ?");
    catalog_bind(&query, 1, owner);
    int r = catalog_step(&query);
    *number = r == 1 ? catalog_integer(&query, 0) : 1;
    return r < 0 ? r : 0;
}

static int share_blob(struct catalog_session *session, int64_t owner, int64_t number, int64_t blob, uint64_t skip,
                      uint64_t size) {
    struct catalog_query query = {0};
    catalog_start(session, &query, "UPDATE blob SET refs = refs + 1 WHERE id = ?");
    catalog_bind(&query, 1, blob);
    int r = catalog_run(&query);
    return r ? r : add_piece(session, owner, number, blob, skip, size);
}

int objects_share(struct catalog_session *session, int64_t owner, int64_t other, uint64_t skip, uint64_t size) {
    int64_t number;
    int r = next_number(session, owner, &number);
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT blob, skip, size FROM piece WHERE owner = ? ORDER BY number");
    catalog_bind(&query, 1, other);
    while (!r && size && (r = catalog_step(&query)) == 1) {
        uint64_t have = (uint64_t)catalog_integer(&query, 2);
        r = 0;
        if (skip >= have) {
            skip -= have;
            continue;
        }
        uint64_t take = have - skip < size ? have - skip : size;
        r = share_blob(session, owner, number++, catalog_integer(&query, 0),
                       (uint64_t)catalog_integer(&query, 1) + skip, take);
        skip = 0;
        size -= take;
    }
    if (r)
        return r;
    return size ? -EIO : 0; /* the index promises more bytes than it has */
}

void objects_pieces_finish(struct objects_pieces *pieces) {
    for (size_t i = 0; i < pieces->count; i++) {
        free(pieces->items[i].name);
        free(pieces->items[i].bytes);
    }
    free(pieces->items);
    *pieces = (struct objects_pieces){0};
}

static int add_located(struct objects_pieces *pieces, const struct catalog_query *query, uint64_t skip, uint64_t size) {
    if (!(pieces->count & (pieces->count - 1))) { /* grows at each power of two */
        size_t capacity = pieces->count ? pieces->count * 2 : 1;
        struct objects_piece *items = reallocarray(pieces->items, capacity, sizeof *items);
        if (!items)
            return -ENOMEM;
        pieces->items = items;
    }
    struct objects_piece *piece = &pieces->items[pieces->count++];
    *piece = (struct objects_piece){.skip = skip, .size = size};
    const char *name = catalog_text(query, 2);
    if (name) {
        piece->name = strdup(name);
        return piece->name ? 0 : -ENOMEM;
    }
    size_t have;
    const char *bytes = catalog_bytes(query, 3, &have);
    if (skip > have || size > have - skip)
        return -EIO;
    piece->bytes = malloc(size + 1);
    if (!piece->bytes)
        return -ENOMEM;
    memcpy(piece->bytes, bytes + skip, size);
    piece->skip = 0;
    return 0;
}

int objects_locate(struct catalog_session *session, int64_t owner, uint64_t offset, uint64_t length,
                   struct objects_pieces *pieces) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query,
                  "SELECT piece.skip, piece.size, blob.name, blob.bytes FROM piece JOIN blob ON blob.id = piece.blob"
                  " WHERE owner = ? ORDER BY number");
    catalog_bind(&query, 1, owner);
    int r = 0;
    while (length && (r = catalog_step(&query)) == 1) {
        uint64_t have = (uint64_t)catalog_integer(&query, 1);
        if (offset >= have) {
            offset -= have;
            continue;
        }
        uint64_t take = have - offset < length ? have - offset : length;
        r = add_located(pieces, &query, (uint64_t)catalog_integer(&query, 0) + offset, take);
        if (r)
            return r;
        offset = 0;
        length -= take;
    }
    return r < 0 ? r : length ? -EIO : 0;
}
