/* fs/tree under random operations of programs, with a bucket to which its work is applied in small steps (as sync
 * does), listings and heads that are old when they arrive, and restarts in between. At each look the tree shows what a
 * plain model says; at the end the bucket has exactly that. PAIL_MODEL_SEED, PAIL_MODEL_RUNS and PAIL_MODEL_STEPS
 * choose other runs. */
#include "bucket.h"
#include "fixture.h"

#include <stdlib.h>

enum { MOST_NODES = 60, MOST_JOBS = 4, MOST_LISTINGS = 3, MOST_HEADS = 3, NAMES = 5 };

/* ---- The plain model ---- */

struct plain {
    uint64_t ino, parent; /* ino 0: a free place */
    char name[300];
    enum tree_type type;
    char content[40];
    unsigned mode;
};

enum step { JOB_FREE, JOB_LOOK, JOB_BEGIN, JOB_SEND, JOB_ANSWER, JOB_EXPAND };

struct job {
    enum step step;
    uint64_t ino;
    struct tree_work work;
    struct object object; /* what is sent */
    char write_id[40];
    bool copy, sent, breaking;
    char base[24];
    bool has_base, rebased;
    char settled[40];
};

struct deletion {
    struct tree_gone *gone;
    size_t count_all, count, at;
    bool sent;
    enum bucket_deleted result;
};

struct query {
    struct tree_listing *listing; /* NULL: free */
    char *prefix;
    bool flat, asked, last;
    char after[1100]; /* key the next page begins behind */
    struct tree_entry *entries;
    struct object *objects;
    char (*prefixes)[1100];
    size_t count;
};

struct question {
    uint64_t ino, asked; /* ino 0: free */
    char *key;
    bool absent;
    struct object object;
};

struct model {
    struct fixture *fixture;
    struct bucket bucket;
    unsigned seed;
    struct plain plain[MOST_NODES];
    struct job jobs[MOST_JOBS];
    struct deletion deletion;
    struct query queries[MOST_LISTINGS];
    struct question questions[MOST_HEADS];
    char (*writes)[40]; /* ids of our writes in this life */
    size_t write_count;
    uint64_t nameless[64];
    bool foreign; /* somebody else writes, too */
    unsigned foreign_count, conflicts;
};

static unsigned pick(struct model *model, unsigned below) {
    model->seed = model->seed * 1103515245u + 12345u;
    return (model->seed >> 12) % below;
}

/* With PAIL_MODEL_TRACE, what happens is told. */
__attribute__((format(printf, 1, 2))) static void trace(const char *format, ...) {
    va_list arguments;
    if (!getenv("PAIL_MODEL_TRACE"))
        return;
    va_start(arguments, format);
    vprint_message(format, arguments);
    va_end(arguments);
}

static struct plain *plain_of(struct model *model, uint64_t ino) {
    for (int i = 0; i < MOST_NODES; i++)
        if (model->plain[i].ino == ino && ino)
            return &model->plain[i];
    return NULL;
}

static struct plain *plain_named(struct model *model, uint64_t parent, const char *name) {
    for (int i = 0; i < MOST_NODES; i++)
        if (model->plain[i].ino && model->plain[i].parent == parent && strcmp(model->plain[i].name, name) == 0)
            return &model->plain[i];
    return NULL;
}

static bool plain_has_children(struct model *model, uint64_t ino) {
    for (int i = 0; i < MOST_NODES; i++)
        if (model->plain[i].ino && model->plain[i].parent == ino)
            return true;
    return false;
}

static bool plain_below(struct model *model, uint64_t ino, uint64_t folder) {
    while (ino != TREE_ROOT) {
        if (ino == folder)
            return true;
        struct plain *plain = plain_of(model, ino);
        assert_non_null(plain);
        ino = plain->parent;
    }
    return folder == TREE_ROOT;
}

static uint64_t random_folder(struct model *model) {
    uint64_t folders[MOST_NODES + 1] = {TREE_ROOT};
    unsigned count = 1;
    for (int i = 0; i < MOST_NODES; i++)
        if (model->plain[i].ino && model->plain[i].type == TREE_FOLDER)
            folders[count++] = model->plain[i].ino;
    return folders[pick(model, count)];
}

static struct plain *random_node(struct model *model) {
    for (int tries = 0; tries < 20; tries++) {
        struct plain *plain = &model->plain[pick(model, MOST_NODES)];
        if (plain->ino)
            return plain;
    }
    return NULL;
}

static const char *random_name(struct model *model) {
    static const char *const names[NAMES] = {"a", "b", "c", "d.txt", "e"};
    return names[pick(model, NAMES)];
}

static void remember_nameless(struct model *model, uint64_t ino) {
    uint64_t *place = &model->nameless[pick(model, 64)], spool;
    if (*place)
        assert_int_equal(tree_forget(model->fixture->tree, *place, &spool), 0);
    *place = ino;
}

/* What the operation should give. With somebody else about, the model only follows the tree. */
static bool came(struct model *model, int result, int expected) {
    if (!model->foreign)
        assert_int_equal(result, expected);
    else if (result < 0 && result != -EEXIST && result != -ENOTEMPTY && result != -ENOENT && result != -EINVAL &&
             result != -EISDIR && result != -ENOTDIR)
        fail_msg("an operation gives %d", result);
    return result == 0;
}

/* ---- Programs ---- */

static void read_content(struct model *model, struct plain *plain) {
    AUTO_NODE struct tree_node node = {0};
    assert_int_equal(tree_get(model->fixture->tree, plain->ino, &node), 0);
    snprintf(plain->content, sizeof plain->content, "%s", node.content ? node.content : "");
}

static void do_create(struct model *model) {
    struct plain *place = NULL;
    AUTO_NODE struct tree_node node = {0};
    struct tree_owner owner = {1000, 1001};
    uint64_t parent = random_folder(model);
    const char *name = random_name(model);
    enum tree_type type = pick(model, 4) ? TREE_FILE : pick(model, 3) ? TREE_FOLDER : TREE_LINK;
    for (int i = 0; i < MOST_NODES && !place; i++)
        place = model->plain[i].ino ? NULL : &model->plain[i];
    if (!place)
        return;
    int r = tree_create_node(model->fixture->tree, parent, name, type, 0640, &owner, type == TREE_LINK ? "t" : NULL,
                             type == TREE_FILE ? model->fixture->next_spool++ : 0, &node);
    if (!came(model, r, plain_named(model, parent, name) ? -EEXIST : 0))
        return;
    trace("create %lu in %lu as %s (%d)\n", node.ino, parent, name, type);
    *place = (struct plain){.ino = node.ino, .parent = parent, .type = type, .mode = 0640};
    snprintf(place->name, sizeof place->name, "%s", name);
    read_content(model, place);
}

static void do_remove(struct model *model) {
    struct plain *plain = random_node(model);
    uint64_t ino;
    if (!plain)
        return;
    bool folder = plain->type == TREE_FOLDER;
    int r = folder ? tree_rmdir(model->fixture->tree, plain->parent, plain->name, &ino)
                   : tree_unlink(model->fixture->tree, plain->parent, plain->name, &ino);
    if (!came(model, r, folder && plain_has_children(model, plain->ino) ? -ENOTEMPTY : 0))
        return;
    assert_int_equal(ino, plain->ino);
    trace("remove %lu from %lu as %s\n", ino, plain->parent, plain->name);
    remember_nameless(model, ino);
    plain->ino = 0;
}

static int expected_rename(struct model *model, const struct plain *plain, const struct plain *target, uint64_t parent,
                           unsigned flags) {
    if (flags == RENAME_NOREPLACE && target)
        return -EEXIST;
    if (plain == target)
        return 0;
    if (flags == RENAME_EXCHANGE && !target)
        return -ENOENT;
    if (plain->type == TREE_FOLDER && plain_below(model, parent, plain->ino))
        return -EINVAL;
    if (flags == RENAME_EXCHANGE)
        return target->type == TREE_FOLDER && plain_below(model, plain->parent, target->ino) ? -EINVAL : 0;
    if (!target)
        return 0;
    if ((target->type == TREE_FOLDER) != (plain->type == TREE_FOLDER))
        return target->type == TREE_FOLDER ? -EISDIR : -ENOTDIR;
    return target->type == TREE_FOLDER && plain_has_children(model, target->ino) ? -ENOTEMPTY : 0;
}

static void do_rename(struct model *model) {
    static const unsigned all_flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    struct plain *plain = random_node(model);
    uint64_t parent = random_folder(model), replaced;
    const char *name = random_name(model);
    unsigned flags = all_flags[pick(model, 5)];
    if (!plain)
        return;
    struct plain *target = plain_named(model, parent, name);
    int expected = expected_rename(model, plain, target, parent, flags);
    int r = tree_rename(model->fixture->tree, plain->parent, plain->name, parent, name, flags, &replaced);
    if (!came(model, r, expected) || plain == target)
        return;
    trace("rename %lu to %lu as %s (%u), over %lu\n", plain->ino, parent, name, flags, target ? target->ino : 0);
    if (flags == RENAME_EXCHANGE) {
        struct plain old = *plain;
        plain->parent = target->parent;
        target->parent = old.parent;
        snprintf(plain->name, sizeof plain->name, "%s", target->name);
        snprintf(target->name, sizeof target->name, "%s", old.name);
        return;
    }
    if (!model->foreign)
        assert_int_equal(replaced, target ? target->ino : 0);
    if (target) {
        remember_nameless(model, target->ino);
        target->ino = 0;
    }
    plain->parent = parent;
    snprintf(plain->name, sizeof plain->name, "%s", name);
}

static void do_write(struct model *model) {
    struct plain *plain = random_node(model);
    if (!plain || plain->type != TREE_FILE)
        return;
    assert_int_equal(tree_wrote(model->fixture->tree, plain->ino, model->fixture->next_spool++, pick(model, 100),
                                1000000000ll * pick(model, 1000), pick(model, 2)),
                     0);
    read_content(model, plain);
    trace("write %lu: %s\n", plain->ino, plain->content);
}

static void do_chmod(struct model *model) {
    struct plain *plain = random_node(model);
    if (!plain)
        return;
    struct tree_node values = {.mode = 0600 + pick(model, 8)};
    assert_int_equal(tree_set_attributes(model->fixture->tree, plain->ino, TREE_MODE, &values), 0);
    plain->mode = values.mode;
    trace("chmod %lu %o\n", plain->ino, plain->mode);
}

static void do_program(struct model *model) {
    switch (pick(model, 10)) {
    case 0:
    case 1:
    case 2:
        do_create(model);
        break;
    case 3:
    case 4:
        do_remove(model);
        break;
    case 5:
    case 6:
    case 7:
        do_rename(model);
        break;
    case 8:
        do_write(model);
        break;
    default:
        do_chmod(model);
    }
}

/* ---- Listings: asked for at one time, merged at another ---- */

static void query_free(struct query *query) {
    tree_listing_end(query->listing);
    free(query->prefix);
    free(query->entries);
    free(query->objects);
    free(query->prefixes);
    *query = (struct query){0};
}

static bool query_begin(struct model *model, struct query *query, uint64_t folder, bool flat) {
    *query = (struct query){.flat = flat};
    int r = tree_listing_begin(model->fixture->tree, folder, flat, &query->listing, &query->prefix);
    assert_true(r == 0 || r == -ENOENT);
    return r == 0;
}

/* The bucket answers: as it is at this moment. */
static void query_ask(struct model *model, struct query *query, size_t page_size) {
    const struct bucket *bucket = &model->bucket;
    size_t size = strlen(query->prefix);
    free(query->entries);
    free(query->objects);
    free(query->prefixes);
    query->entries = calloc(page_size, sizeof *query->entries);
    query->objects = calloc(page_size, sizeof *query->objects);
    query->prefixes = calloc(page_size, sizeof *query->prefixes);
    query->count = 0;
    query->asked = query->last = true;
    size_t at = *query->after ? bucket_find(bucket, query->after, true) : bucket_find(bucket, query->prefix, false);
    for (; at < bucket->count && strncmp(bucket->now[at].key, query->prefix, size) == 0; at++) {
        const struct object *object = &bucket->now[at];
        const char *slash = query->flat ? NULL : strchr(object->key + size, '/');
        if (query->count && query->entries[query->count - 1].prefix &&
            strncmp(object->key, query->prefixes[query->count - 1], strlen(query->prefixes[query->count - 1])) == 0)
            continue;
        size_t length = strlen(query->after);
        if (slash && length && query->after[length - 1] == '/' && strncmp(object->key, query->after, length) == 0 &&
            length > size)
            continue; /* S3 goes on behind the prefix */
        if (query->count == page_size) {
            query->last = false;
            break;
        }
        struct tree_entry *entry = &query->entries[query->count];
        if (slash) {
            snprintf(query->prefixes[query->count], sizeof *query->prefixes, "%.*s", (int)(slash - object->key) + 1,
                     object->key);
            *entry = (struct tree_entry){.key = query->prefixes[query->count], .prefix = true};
        } else {
            query->objects[query->count] = *object;
            const struct object *kept = &query->objects[query->count];
            *entry = (struct tree_entry){
                .key = kept->key, .etag = kept->etag, .size = kept->size, .modified_s = kept->modified_s};
        }
        query->count++;
    }
    if (query->count)
        snprintf(query->after, sizeof query->after, "%s", query->entries[query->count - 1].key);
}

/* Merges what was answered; true at the end. */
static bool query_merge(struct query *query) {
    AUTO_FREE uint64_t *heads = NULL;
    size_t count;
    for (size_t i = 0; i < query->count; i++)
        trace("  listed %s %s\n", query->entries[i].key, query->entries[i].prefix ? "" : query->entries[i].etag);
    trace("page of %s%s\n", query->prefix, query->last ? ", the last" : "");
    int r = tree_listing_page(query->listing, query->entries, query->count, query->last, &heads, &count);
    assert_true(r == 0 || r == TREE_STALE);
    query->asked = false;
    return r || query->last;
}

static int list_whole(struct model *model, uint64_t folder, bool flat) {
    struct query query;
    if (!query_begin(model, &query, folder, flat))
        return -ENOENT;
    do
        query_ask(model, &query, 1 + pick(model, 6));
    while (!query_merge(&query));
    query_free(&query);
    return 0;
}

static void do_listing(struct model *model) {
    struct query *query = &model->queries[pick(model, MOST_LISTINGS)];
    if (!query->listing) {
        if (!query_begin(model, query, random_folder(model), pick(model, 3) == 0))
            *query = (struct query){0};
        return;
    }
    if (!query->asked)
        query_ask(model, query, 1 + pick(model, 6));
    else if (query_merge(query))
        query_free(query);
}

/* ---- Heads ---- */

static struct tree_head head_of(const struct model *model, const struct object *object) {
    return (struct tree_head){.key = object->key,
                              .etag = object->etag,
                              .version = object->version,
                              .size = object->size,
                              .modified_s = object->modified_s,
                              .settled = model->bucket.clock_s - object->modified_s >= 2,
                              .content = *object->content ? object->content : NULL,
                              .has_mode = object->has_mode,
                              .mode = object->mode | (object->link ? 0120000u : 0100000u)};
}

static void do_head(struct model *model) {
    struct question *question = &model->questions[pick(model, MOST_HEADS)];
    struct tree *tree = model->fixture->tree;
    if (!question->ino) {
        AUTO_NODE struct tree_node node = {0};
        struct plain *plain = random_node(model);
        uint64_t asked = tree_change_number(tree);
        if (!plain || tree_get(tree, plain->ino, &node) || !node.remote.key || !node.remote.etag)
            return;
        const struct object *object = bucket_get(&model->bucket, node.remote.key);
        *question = (struct question){.ino = plain->ino, .asked = asked, .key = strdup(node.remote.key)};
        question->absent = !object;
        if (object)
            question->object = *object;
        AUTO_WORK struct tree_work work = {0};
        if (!tree_work_get(tree, plain->ino, &work) && work.overtaken) { /* then sync asks for its version */
            free(question->key);
            *question = (struct question){0};
        }
        return;
    }
    uint64_t now;
    struct tree_head head =
        question->absent ? (struct tree_head){.key = question->key, .absent = true} : head_of(model, &question->object);
    trace("head %lu %s: %s %s, asked at %lu\n", question->ino, question->key, question->absent ? "absent" : "",
          question->object.etag, question->asked);
    int r = tree_apply_head(tree, question->ino, question->asked, &head, &now);
    assert_true(r == 0 || r == TREE_STALE || r == -ENOENT);
    if (!r && !model->foreign)
        assert_int_equal(now, question->ino); /* one machine: there is no news */
    free(question->key);
    *question = (struct question){0};
}

/* ---- Sync ---- */

static void note_write(struct model *model, const char *id) {
    model->writes = realloc(model->writes, (model->write_count + 1) * sizeof *model->writes);
    assert_non_null(model->writes);
    snprintf(model->writes[model->write_count++], sizeof *model->writes, "%s", id);
}

static bool is_our_write(const struct model *model, const char *id) {
    for (size_t i = 0; *id && i < model->write_count; i++)
        if (strcmp(model->writes[i], id) == 0)
            return true;
    return false;
}

static void job_free(struct model *model, struct job *job) {
    tree_work_finish(&job->work);
    tree_work_release(model->fixture->tree, job->ino, -1, NULL);
    *job = (struct job){0};
}

static struct tree_remote remote_of(const struct object *object) {
    return (struct tree_remote){.key = (char *)(uintptr_t)object->key,
                                .etag = (char *)(uintptr_t)object->etag,
                                .version = (char *)(uintptr_t)object->version,
                                .content = *object->content ? (char *)(uintptr_t)object->content : NULL,
                                .size = object->size,
                                .head_known = true};
}

static bool same_content(const char *content, uint64_t size, const struct object *object) {
    return content && *object->content && strcmp(content, object->content) == 0 && size == object->size;
}

/* Notes that the object is there with these bits. */
static void job_done(struct model *model, struct job *job, const struct object *object, unsigned bits) {
    struct tree_remote remote = remote_of(object);
    bool clean;
    trace("done %lu: %s %s %s mode %o bits %u change %lu\n", job->ino, object->key, object->etag, object->content,
          object->mode, bits, job->work.node.change);
    assert_int_equal(tree_work_done(model->fixture->tree, job->ino, job->work.node.change, job->work.node.generation,
                                    bits, &remote, &clean),
                     0);
}

static void job_set_base(struct job *job, const struct object *there) {
    job->has_base = there;
    job->rebased = true;
    snprintf(job->base, sizeof job->base, "%s", there ? there->etag : "");
}

/* An attempt from before a restart. */
static void job_resolve(struct model *model, struct job *job, const struct object *there) {
    const struct tree_node *node = &job->work.node;
    bool copied = node->type != TREE_FOLDER && !(node->work & TREE_WORK_CONTENT);
    bool known = node->remote.etag && (strcmp(node->remote.etag, there->etag) == 0 ||
                                       same_content(node->remote.content, node->remote.size, there));
    unsigned bits = 0;
    trace("resolve %lu: %s %s\n", job->ino, job->work.write_key, job->work.write_id);
    if (copied && !known && !text_equal(job->work.write_key, node->remote.key)) { /* of what its source was before */
        snprintf(job->settled, sizeof job->settled, "%s", job->work.write_id);
        job_set_base(job, there);
        return;
    }
    if (node->type == TREE_FOLDER || same_content(node->content, node->size, there))
        bits |= TREE_WORK_CONTENT;
    if (strcmp(job->work.write_key, job->work.target_key) == 0)
        bits |= TREE_WORK_NAME;
    if (there->mode == node->mode)
        bits |= TREE_WORK_META;
    job_done(model, job, there, bits);
}

static bool is_mine_to_break(struct model *model, struct job *job) {
    uint64_t at = job->work.blocked_by, lowest = job->ino;
    for (int steps = 0; at && at != job->ino; steps++) {
        AUTO_WORK struct tree_work work = {0};
        if (steps == 64 || tree_work_get(model->fixture->tree, at, &work))
            return false;
        lowest = at < lowest ? at : lowest;
        at = work.blocked_by;
    }
    return at == job->ino && lowest == job->ino;
}

/* The other's bytes can be read by version when its key is overwritten. */
static bool keep_by_version(struct model *model, uint64_t ino) {
    AUTO_NODE struct tree_node other = {0};
    if (tree_get(model->fixture->tree, ino, &other) || !other.remote.key)
        return false;
    if (other.remote.version || other.type != TREE_FILE)
        return true;
    const struct object *object = bucket_get(&model->bucket, other.remote.key);
    if (!object)
        return false;
    if (strcmp(object->etag, other.remote.etag) != 0 &&
        !same_content(other.remote.content, other.remote.size, object)) { /* somebody else's by now */
        struct tree_head head = head_of(model, object);
        uint64_t now;
        tree_apply_head(model->fixture->tree, ino, tree_change_number(model->fixture->tree), &head, &now);
        return false;
    }
    struct tree_remote remote = remote_of(object);
    assert_int_equal(tree_rebase(model->fixture->tree, ino, &remote), 0);
    return true;
}

/* Takes up work; leaves the job in JOB_BEGIN, JOB_EXPAND, JOB_LOOK (again) or free. */
static void job_look(struct model *model, struct job *job) {
    struct tree *tree = model->fixture->tree;
    struct tree_work *work = &job->work;
    tree_work_finish(work);
    if (tree_work_get(tree, job->ino, work)) {
        job_free(model, job);
        return;
    }
    const struct object *attempt = work->write_id ? bucket_get(&model->bucket, work->write_key) : NULL;
    if (attempt && strcmp(attempt->write_id, work->write_id) == 0 && strcmp(job->settled, work->write_id) != 0) {
        job_resolve(model, job, attempt);
        return;
    }
    if (work->blocked_by && !job->breaking) {
        if (!is_mine_to_break(model, job) || !keep_by_version(model, work->blocked_by))
            job_free(model, job);
        else
            job->breaking = true;
        return;
    }
    const struct tree_node *node = &work->node;
    if (node->type == TREE_FOLDER && (node->work & TREE_WORK_NAME)) {
        list_whole(model, job->ino, true);
        job->step = JOB_EXPAND;
        return;
    }
    job->copy = !(node->work & TREE_WORK_CONTENT);
    job->object =
        (struct object){.size = node->size, .mode = node->mode, .has_mode = true, .link = node->type == TREE_LINK};
    snprintf(job->object.key, sizeof job->object.key, "%s", work->target_key);
    snprintf(job->object.content, sizeof job->object.content, "%s", node->content ? node->content : "");
    if (!job->rebased || (job->has_base && !*job->base)) {
        job->has_base = work->base_etag;
        snprintf(job->base, sizeof job->base, "%s", work->base_etag ? work->base_etag : "");
    }
    if (job->has_base && !*job->base) { /* unknown: looked at first */
        const struct object *there = bucket_get(&model->bucket, work->target_key);
        job_set_base(job, there);
    }
    job->step = JOB_BEGIN;
}

/* Programs did something since the work was described. */
static void job_begin(struct model *model, struct job *job) {
    const struct tree_work *work = &job->work;
    snprintf(job->write_id, sizeof job->write_id, "w%06llu", (unsigned long long)++model->bucket.number);
    int r = tree_write_begin(model->fixture->tree, job->ino, work->target_key, job->write_id);
    if (r) {
        trace("begin %lu: %s is stale\n", job->ino, work->target_key);
        assert_true(r == TREE_STALE || r == -ENOENT);
        job->step = JOB_LOOK;
        return;
    }
    note_write(model, job->write_id);
    snprintf(job->object.write_id, sizeof job->object.write_id, "%s", job->write_id);
    job->step = JOB_SEND;
    trace("begin %lu: %s to %s, base %s, work %u, %s\n", job->ino, job->copy ? "copy" : "put", work->target_key,
          job->has_base ? job->base : "none", work->node.work, job->write_id);
}

/* The source of a copy, as the bucket has it. False: it is not there, or is something else. */
static bool copy_source(struct model *model, struct job *job) {
    const struct tree_remote *remote = &job->work.node.remote;
    const struct object *source = job->work.overtaken && remote->version
                                      ? bucket_version(&model->bucket, remote->key, remote->version)
                                      : bucket_get(&model->bucket, remote->key);
    if (!source && remote->version && (job->work.node.work & TREE_WORK_NAME))
        source = bucket_version(&model->bucket, remote->key, remote->version);
    if (!source)
        return false;
    bool same = strcmp(source->etag, remote->etag) == 0 || same_content(remote->content, remote->size, source);
    bool foreign = !remote->content && !*source->content && remote->size == source->size;
    if (!same && !is_our_write(model, source->write_id))
        return false;
    if (!same && !foreign && remote->version) /* another of our nodes was written over it meanwhile */
        source = bucket_version(&model->bucket, remote->key, remote->version);
    if (!source)
        return false;
    snprintf(job->object.content, sizeof job->object.content, "%s", source->content);
    snprintf(job->object.etag, sizeof job->object.etag, "%s", source->etag);
    job->object.size = source->size;
    job->object.link = source->link;
    if (!(job->work.node.work & TREE_WORK_META)) {
        job->object.mode = source->mode;
        job->object.has_mode = source->has_mode;
    }
    if (strcmp(job->object.key, remote->key) == 0)
        job_set_base(job, source);
    return true;
}

static void take_theirs(struct model *model, struct job *job) {
    const struct object *source = bucket_get(&model->bucket, job->work.node.remote.key);
    struct tree_head head = {.key = job->work.node.remote.key, .absent = true};
    uint64_t now;
    if (!model->foreign)
        fail_msg("the source '%s' of a copy is not there, or another", job->work.node.remote.key);
    if (source)
        head = head_of(model, source);
    tree_apply_head(model->fixture->tree, job->ino, tree_change_number(model->fixture->tree), &head, &now);
}

static void job_send(struct model *model, struct job *job) {
    if (job->copy && !copy_source(model, job)) {
        take_theirs(model, job);
        job_free(model, job);
        return;
    }
    job->sent =
        bucket_put(&model->bucket, &job->object, job->has_base ? job->base : NULL, !job->copy || pick(model, 2));
    job->step = JOB_ANSWER;
    trace("send %lu %s: %s\n", job->ino, job->write_id, job->sent ? "arrived" : "refused");
}

static void job_refused(struct model *model, struct job *job) {
    const struct tree_node *node = &job->work.node;
    const struct object *there = bucket_get(&model->bucket, job->work.target_key);
    job->step = JOB_LOOK;
    snprintf(job->settled, sizeof job->settled, "%s", job->write_id);
    if (!there || is_our_write(model, there->write_id) ||
        (job->work.base_etag && same_content(job->work.base_content, job->work.base_size, there))) {
        job_set_base(job, there);
        return;
    }
    if (!model->foreign)
        fail_msg("'%s' is somebody else's with one machine", there->key);
    if (node->type == TREE_FOLDER) {
        job_done(model, job, there, TREE_WORK_CONTENT);
    } else if (job->copy && strcmp(job->work.target_key, node->remote.key) == 0) {
        return;
    } else if (same_content(node->content, node->size, there)) {
        job_done(model, job, there, TREE_WORK_CONTENT | TREE_WORK_NAME);
    } else {
        AUTO_FREE char *copy = NULL;
        struct tree_head head = head_of(model, there);
        int r = tree_conflict(model->fixture->tree, job->ino, "host", &head, &copy);
        assert_true(r == 0 || r == -ENOENT || r == TREE_STALE);
        trace("conflict %lu: %d %s\n", job->ino, r, copy ? copy : "");
        model->conflicts++;
    }
    job->rebased = false;
}

static void job_answer(struct model *model, struct job *job) {
    const struct object *there = bucket_get(&model->bucket, job->work.target_key);
    if (!job->sent) {
        job_refused(model, job);
        return;
    }
    struct object made = job->object;
    if (there && strcmp(there->write_id, job->write_id) == 0)
        made = *there;
    else
        for (size_t i = 0; i < model->bucket.version_count; i++)
            if (strcmp(model->bucket.versions[i].write_id, job->write_id) == 0)
                made = model->bucket.versions[i];
    job_done(model, job, &made,
             job->copy ? job->work.node.work & 6u : TREE_WORK_CONTENT | TREE_WORK_META | TREE_WORK_NAME);
    job->rebased = false;
    job->breaking = false;
    job->step = JOB_LOOK;
}

static void job_step(struct model *model, struct job *job) {
    bool left = false;
    switch (job->step) {
    case JOB_LOOK:
        job_look(model, job);
        break;
    case JOB_BEGIN:
        job_begin(model, job);
        break;
    case JOB_SEND:
        job_send(model, job);
        break;
    case JOB_ANSWER:
        job_answer(model, job);
        break;
    case JOB_EXPAND: {
        int r = tree_move_expand(model->fixture->tree, job->ino, 1 + pick(model, 4), &left);
        trace("expand %lu: %d %d\n", job->ino, r, left);
        assert_true(r == 0 || r == TREE_UNKNOWN || r == -ENOENT);
        if (r || !left)
            job->step = JOB_LOOK;
        if (r)
            job_free(model, job);
        break;
    }
    default:
        break;
    }
}

static int by_ino(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Any of what is due: the order of due times would make runs with one seed differ. */
static bool claim_one(struct model *model, struct job *job) {
    AUTO_FREE uint64_t *inos = NULL;
    size_t count;
    int64_t next;
    assert_int_equal(tree_work_claim(model->fixture->tree, INT64_MAX, 1000, &inos, &count, &next), 0);
    qsort(inos, count, sizeof *inos, by_ino);
    size_t chosen = count ? pick(model, (unsigned)count) : 0;
    for (size_t i = 0; i < count; i++)
        if (i != chosen)
            tree_work_release(model->fixture->tree, inos[i], -1, NULL);
    if (count)
        *job = (struct job){.step = JOB_LOOK, .ino = inos[chosen]};
    return count;
}

static void deletion_end(struct model *model) {
    struct deletion *deletion = &model->deletion;
    tree_gone_free(deletion->gone, deletion->count_all);
    *deletion = (struct deletion){0};
}

static enum tree_gone_end removed_other(struct model *model, const struct tree_gone *gone) {
    const struct object *there = bucket_get(&model->bucket, gone->key);
    if (!there)
        return TREE_GONE_DONE;
    bool ours = !gone->etag || same_content(gone->content, gone->size, there) ||
                (gone->write_id && *there->write_id && strstr(gone->write_id, there->write_id));
    if (ours) {
        bucket_delete(&model->bucket, gone->key, NULL);
        return TREE_GONE_DONE;
    }
    if (!model->foreign)
        fail_msg("'%s' was changed by somebody else with one machine", gone->key);
    return TREE_GONE_THEIRS;
}

static bool claim_gone(struct model *model) {
    struct deletion *deletion = &model->deletion;
    int64_t next;
    assert_int_equal(tree_gone_claim(model->fixture->tree, INT64_MAX, 1000, &deletion->gone, &deletion->count, &next),
                     0);
    qsort(deletion->gone, deletion->count, sizeof *deletion->gone, by_key);
    deletion->count_all = deletion->count;
    size_t some = 1 + pick(model, 3);
    for (size_t i = some; i < deletion->count_all; i++)
        tree_gone_end(model->fixture->tree, deletion->gone[i].key, TREE_GONE_LATER, 0);
    if (deletion->count > some)
        deletion->count = some;
    if (!deletion->count)
        deletion_end(model);
    return deletion->gone;
}

static bool do_delete(struct model *model) {
    struct deletion *deletion = &model->deletion;
    if (!deletion->gone)
        return claim_gone(model);
    const struct tree_gone *gone = &deletion->gone[deletion->at];
    if (!deletion->sent) {
        deletion->result = bucket_delete(&model->bucket, gone->key, gone->etag ? gone->etag : "?");
        deletion->sent = true;
        trace("delete %s %s: %d\n", gone->key, gone->etag, deletion->result);
        return true;
    }
    enum tree_gone_end end = deletion->result == BUCKET_OTHER ? removed_other(model, gone) : TREE_GONE_DONE;
    assert_int_equal(tree_gone_end(model->fixture->tree, gone->key, end, 0), 0);
    deletion->sent = false;
    if (++deletion->at == deletion->count)
        deletion_end(model);
    return true;
}

static void do_sync(struct model *model) {
    struct job *job = &model->jobs[pick(model, MOST_JOBS)];
    if (pick(model, 4) == 0)
        do_delete(model);
    else if (job->step != JOB_FREE)
        job_step(model, job);
    else
        claim_one(model, job);
}

/* ---- Somebody else ---- */

__attribute__((unused)) static void do_foreign(struct model *model) {
    struct object object = {.size = 1000 + pick(model, 1000)};
    unsigned kind = pick(model, 5);
    snprintf(object.etag, sizeof object.etag, "f%u", ++model->foreign_count);
    if (kind < 2 && model->bucket.count) { /* writes over something, or deletes it */
        const struct object *victim = &model->bucket.now[pick(model, (unsigned)model->bucket.count)];
        snprintf(object.key, sizeof object.key, "%s", victim->key);
        if (object.key[strlen(object.key) - 1] == '/')
            return;
        trace("somebody %s %s %s\n", kind ? "deletes" : "overwrites", object.key, object.etag);
        if (kind == 0)
            bucket_force(&model->bucket, &object);
        else
            bucket_delete(&model->bucket, object.key, NULL);
        return;
    }
    static const char *const folders[] = {"", "a/", "b/", "a/b/", "e/c/", "a//", "z/./"};
    snprintf(object.key, sizeof object.key, "%s%s", folders[pick(model, 7)], random_name(model));
    trace("somebody makes %s %s\n", object.key, object.etag);
    bucket_force(&model->bucket, &object);
}

/* ---- Restart ---- */

static void drop_all(struct model *model) {
    for (int i = 0; i < MOST_LISTINGS; i++)
        if (model->queries[i].listing)
            query_free(&model->queries[i]);
    for (int i = 0; i < MOST_HEADS; i++) {
        free(model->questions[i].key);
        model->questions[i] = (struct question){0};
    }
    if (model->deletion.gone)
        deletion_end(model);
    for (int i = 0; i < MOST_JOBS; i++) {
        tree_work_finish(&model->jobs[i].work);
        model->jobs[i] = (struct job){0};
    }
}

static void do_restart(struct model *model) {
    trace("restart\n");
    drop_all(model);
    free(model->writes);
    model->writes = NULL;
    model->write_count = 0;
    memset(model->nameless, 0, sizeof model->nameless);
    fixture_reopen(model->fixture);
    char **keys, **ids;
    size_t count;
    assert_int_equal(tree_writes_unseen(model->fixture->tree, &keys, &ids, &count), 0);
    for (size_t i = 0; i < count; i++) {
        note_write(model, ids[i]);
        free(keys[i]);
        free(ids[i]);
    }
    free(keys);
    free(ids);
}

/* ---- Comparing ---- */

struct compare {
    struct model *model;
    uint64_t folder;
    unsigned count;
};

static int compare_child(void *context, const struct tree_node *node) {
    struct compare *compare = context;
    struct plain *plain = plain_of(compare->model, node->ino);
    if (!plain)
        fail_msg("'%s' is in the tree only", node->name);
    assert_int_equal(plain->parent, compare->folder);
    assert_string_equal(plain->name, node->name);
    assert_int_equal(plain->type, node->type);
    assert_int_equal(plain->mode, node->mode);
    if (node->type != TREE_FOLDER)
        assert_string_equal(plain->content, node->content ? node->content : "");
    compare->count++;
    return 0;
}

static void compare_tree(struct model *model) {
    struct compare compare = {.model = model, .folder = TREE_ROOT};
    unsigned all = 0;
    assert_int_equal(tree_children(model->fixture->tree, TREE_ROOT, 0, compare_child, &compare), 0);
    for (int i = 0; i < MOST_NODES; i++) {
        all += model->plain[i].ino != 0;
        compare.folder = model->plain[i].ino;
        if (compare.folder && model->plain[i].type == TREE_FOLDER)
            assert_int_equal(tree_children(model->fixture->tree, compare.folder, 0, compare_child, &compare), 0);
    }
    assert_int_equal(compare.count, all);
    assert_int_equal(tree_check(model->fixture->tree), 0);
}

static int still_there(void *context, const char *path, const struct tree_node *node) {
    (void)context;
    print_message("work %u: %lu '%s' at '%s'\n", node->work, node->ino, path, node->remote.key ? node->remote.key : "");
    return 0;
}

static void drain(struct model *model) {
    for (int i = 0; i < 20000; i++) {
        bool busy = do_delete(model);
        for (int j = 0; j < MOST_JOBS; j++) {
            struct job *job = &model->jobs[j];
            if (job->step == JOB_FREE)
                busy = claim_one(model, job) || busy;
            else
                busy = true;
            if (job->step != JOB_FREE)
                job_step(model, job);
        }
        struct tree_totals totals;
        if (!busy && !tree_totals(model->fixture->tree, &totals) && totals.unsent + totals.deletes == 0)
            return;
    }
    tree_unsent(model->fixture->tree, TREE_ROOT, 10, still_there, NULL);
    fail_msg("the journal does not become empty");
}

static void compare_bucket(struct model *model) {
    struct tree *tree = model->fixture->tree;
    size_t expected = 0;
    for (int i = 0; i < MOST_NODES; i++) {
        const struct plain *plain = &model->plain[i];
        AUTO_FREE char *path = NULL;
        if (!plain->ino)
            continue;
        assert_int_equal(tree_path(tree, plain->ino, &path), 0);
        const struct object *object = bucket_get(&model->bucket, path);
        if (!object && plain->type == TREE_FOLDER && plain_has_children(model, plain->ino))
            continue;
        if (!object)
            fail_msg("'%s' is not in the bucket", path);
        expected++;
        if (object->mode != plain->mode)
            fail_msg("'%s' (%lu) has mode %o, not %o", path, plain->ino, object->mode, plain->mode);
        if (plain->type != TREE_FOLDER)
            assert_string_equal(object->content, plain->content);
    }
    if (model->bucket.count != expected)
        for (size_t i = 0; i < model->bucket.count; i++) {
            AUTO_NODE struct tree_node node = {0};
            if (tree_find(tree, model->bucket.now[i].key, &node))
                fail_msg("'%s' is in the bucket only", model->bucket.now[i].key);
        }
    assert_int_equal(model->bucket.count, expected);
}

static unsigned setting(const char *name, unsigned otherwise) {
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void finish(struct model *model) {
    drop_all(model);
    bucket_finish(&model->bucket);
    free(model->writes);
}

/* ---- One machine ---- */

static void one_step(struct model *model) {
    unsigned kind = pick(model, 100);
    if (pick(model, 5) == 0)
        model->bucket.clock_s++;
    if (kind < 35)
        do_program(model);
    else if (kind < 80)
        do_sync(model);
    else if (kind < 93)
        do_listing(model);
    else if (kind < 99)
        do_head(model);
    else if (pick(model, 4) == 0)
        do_restart(model);
}

static void run_one(struct fixture *fixture, unsigned seed) {
    struct model model = {.fixture = fixture, .seed = seed, .bucket.clock_s = 1000};
    list_whole(&model, TREE_ROOT, false);
    unsigned steps = setting("PAIL_MODEL_STEPS", 1500);
    for (unsigned i = 0; i < steps; i++) {
        one_step(&model);
        if (i % setting("PAIL_MODEL_COMPARE", 50) == 0)
            compare_tree(&model);
    }
    for (int i = 0; i < MOST_LISTINGS; i++)
        if (model.queries[i].listing)
            query_free(&model.queries[i]);
    drain(&model);
    compare_tree(&model);
    compare_bucket(&model);
    struct seen before = fixture->seen;
    struct tree_totals totals;
    assert_int_equal(list_whole(&model, TREE_ROOT, true), 0); /* is no news */
    assert_int_equal(before.changed + before.gone, fixture->seen.changed + fixture->seen.gone);
    compare_tree(&model);
    assert_int_equal(tree_totals(fixture->tree, &totals), 0);
    assert_int_equal(totals.conflicts, 0);
    finish(&model);
}

/* ---- Two writers ---- */

static int gather(void *context, const struct tree_node *node) {
    struct compare *compare = context;
    for (int i = 0; i < MOST_NODES; i++) {
        struct plain *place = &compare->model->plain[i];
        if (place->ino)
            continue;
        *place = (struct plain){.ino = node->ino, .parent = compare->folder, .type = node->type, .mode = node->mode};
        snprintf(place->name, sizeof place->name, "%s", node->name);
        snprintf(place->content, sizeof place->content, "%s", node->content ? node->content : "");
        return 0;
    }
    return 1;
}

/* The model becomes what the tree shows, as far as there is room. */
static void follow(struct model *model) {
    struct compare compare = {.model = model, .folder = TREE_ROOT};
    memset(model->plain, 0, sizeof model->plain);
    tree_children(model->fixture->tree, TREE_ROOT, 0, gather, &compare);
    for (int i = 0; i < MOST_NODES && model->plain[i].ino; i++) {
        compare.folder = model->plain[i].ino;
        if (model->plain[i].type == TREE_FOLDER)
            tree_children(model->fixture->tree, compare.folder, 0, gather, &compare);
    }
}

static bool can_be_a_path(const char *key) {
    return !strstr(key, "//") && !strstr(key, "/./");
}

/* Where the tree shows a key: 1 if it is there with this ETag. */
struct search {
    const struct object *object;
    const char *name;
    unsigned found;
};

static int search_child(void *context, const struct tree_node *node) {
    struct search *search = context;
    bool same = node->remote.key && strcmp(node->remote.key, search->object->key) == 0 && node->remote.etag &&
                strcmp(node->remote.etag, search->object->etag) == 0 && node->size == search->object->size;
    search->found += same;
    return 0;
}

static bool tree_shows(struct model *model, const struct object *object) {
    AUTO_NODE struct tree_node folder = {0};
    AUTO_FREE char *path = strdup(object->key);
    struct search search = {.object = object};
    char *last = strrchr(path, '/');
    *(last ? last : path) = 0;
    if (tree_find(model->fixture->tree, path, &folder) || folder.type != TREE_FOLDER)
        return false;
    if (last && !last[1]) /* a marker */
        return text_equal(folder.remote.etag, object->etag);
    tree_children(model->fixture->tree, folder.ino, 0, search_child, &search);
    return search.found == 1;
}

static int count_child(void *context, const struct tree_node *node) {
    struct compare *compare = context;
    compare->count += node->type != TREE_FOLDER;
    return 0;
}

static unsigned count_files(struct model *model, uint64_t folder) {
    struct compare compare = {.model = model, .folder = folder};
    tree_children(model->fixture->tree, folder, 0, count_child, &compare);
    return compare.count;
}

/* Everything in the bucket is shown as it is there, and nothing else. */
static void compare_with_bucket(struct model *model) {
    struct tree_totals totals;
    unsigned shown = 0, files = 0, hidden = 0;
    for (size_t i = 0; i < model->bucket.count; i++) {
        const struct object *object = &model->bucket.now[i];
        if (!can_be_a_path(object->key)) {
            hidden++;
            continue;
        }
        if (!tree_shows(model, object))
            fail_msg("'%s' %s is not shown as it is in the bucket", object->key, object->etag);
        shown += object->key[strlen(object->key) - 1] != '/';
    }
    follow(model);
    files = count_files(model, TREE_ROOT);
    for (int i = 0; i < MOST_NODES; i++)
        if (model->plain[i].ino && model->plain[i].type == TREE_FOLDER)
            files += count_files(model, model->plain[i].ino);
    if (!model->plain[MOST_NODES - 1].ino) /* all had room */
        assert_int_equal(files, shown);
    assert_int_equal(tree_totals(model->fixture->tree, &totals), 0);
    assert_int_equal(totals.hidden, hidden);
    assert_int_equal(tree_check(model->fixture->tree), 0);
}

static void run_two(struct fixture *fixture, unsigned seed) {
    struct model model = {.fixture = fixture, .seed = seed, .bucket.clock_s = 1000, .foreign = true};
    list_whole(&model, TREE_ROOT, false);
    unsigned steps = setting("PAIL_MODEL_STEPS", 1500);
    for (unsigned i = 0; i < steps; i++) {
        follow(&model);
        if (pick(&model, 12) == 0)
            do_foreign(&model);
        one_step(&model);
        if (i % setting("PAIL_MODEL_COMPARE", 50) == 0)
            assert_int_equal(tree_check(fixture->tree), 0);
    }
    for (int i = 0; i < MOST_LISTINGS; i++)
        if (model.queries[i].listing)
            query_free(&model.queries[i]);
    for (int round = 0; round < 3; round++) { /* each listing may make work, and each work news */
        drain(&model);
        assert_int_equal(list_whole(&model, TREE_ROOT, true), 0);
    }
    drain(&model);
    compare_with_bucket(&model);
    finish(&model);
}

static void run_many(unsigned first, void (*run)(struct fixture *fixture, unsigned seed)) {
    unsigned runs = setting("PAIL_MODEL_RUNS", 20), seed = setting("PAIL_MODEL_SEED", first);
    for (unsigned i = 0; i < runs; i++) {
        void *state;
        fixture_setup(&state);
        print_message("seed %u\n", seed + i);
        run(state, seed + i);
        assert_int_equal(fixture_teardown(&state), 0);
    }
}

static void test_one_machine(void **state) {
    (void)state;
    run_many(1, run_one);
}

static void test_somebody_else(void **state) {
    (void)state;
    run_many(1, run_two);
}

int main(void) {
    const char *only = getenv("PAIL_MODEL_ONLY");
    if (only)
        cmocka_set_test_filter(only);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_machine),
        cmocka_unit_test(test_somebody_else),
    };
    return cmocka_run_group_tests_name("fs/tree model", tests, NULL, NULL);
}
