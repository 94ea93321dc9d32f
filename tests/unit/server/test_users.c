/* Tests of s3/server/users: who is known by what, and what the table's constraints refuse. */
#include "s3/server/users.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ISSUER "https://issuer.example/"

struct scene {
    char folder[40], path[80];
    struct users *users;
};

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    strcpy(scene->folder, "/tmp/pail-users-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    snprintf(scene->path, sizeof scene->path, "%s/accounts.db", scene->folder);
    assert_int_equal(users_open(&scene->users, scene->path, NULL), 0);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    users_close(scene->users);
    file_remove_tree(scene->folder);
    free(scene);
    return 0;
}

static int arrive_as(struct scene *scene, const char *issuer, const char *subject, const char *email, bool link,
                     struct user *out, bool *created, struct fault *fault) {
    AUTO_FREE char *bucket = text_format("b-%s-%zu", subject, strlen(issuer));
    struct users_arrival arrival = {.issuer = issuer,
                                    .subject = subject,
                                    .email = email,
                                    .link_by_email = link,
                                    .bucket = bucket,
                                    .prefix = "",
                                    .region = "r",
                                    .mark = "mark"};
    return users_arrive(scene->users, &arrival, out, created, fault);
}

/* The account's id, or an error below 0, or enum users_result negated and shifted. */
static int64_t arrive(struct scene *scene, const char *subject, const char *email) {
    CLEANUP(user_finish) struct user user = {0};
    bool created;
    int error = arrive_as(scene, ISSUER, subject, email, false, &user, &created, NULL);
    return error ? -1000 - error : user.id;
}

static void the_first_arrival_makes_an_account(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, again = {0}, found = {0};
    bool created = false;
    assert_int_equal(arrive_as(scene, ISSUER, "ann", "Ann@Example.COM", false, &user, &created, NULL), 0);
    assert_true(created);
    assert_string_equal(user.email, "ann@example.com");
    assert_string_equal(user.bucket, "b-ann-23");
    assert_string_equal(user.mark, "mark");
    assert_int_equal(user.state, USERS_RESERVED);
    assert_int_equal(strlen(user.name), 27);
    assert_string_equal(user.subject, "ann");
    assert_int_equal(arrive_as(scene, ISSUER, "ann", NULL, false, &again, &created, NULL), 0);
    assert_false(created);
    assert_int_equal(again.id, user.id);
    assert_int_equal(users_find(scene->users, ISSUER, "ann", &found, NULL), 0);
    assert_int_equal(found.id, user.id);
    assert_int_equal(users_find(scene->users, ISSUER, "Ann", &found, NULL), -ENOENT);
    assert_int_equal(users_find(scene->users, "https://issuer.example", "ann", &found, NULL), -ENOENT);
}

static void a_stranger_without_email_makes_none(void **state) {
    struct scene *scene = *state;
    assert_int_equal(arrive(scene, "ann", NULL), -1000 + ENOENT);
    assert_int_equal(users_each(scene->users, NULL, NULL, NULL, NULL), 0);
}

static void another_subject_with_a_known_email_is_refused(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    struct fault fault = {0};
    bool created = true;
    assert_true(arrive(scene, "google|1", "ann@example.com") > 0);
    assert_int_equal(arrive_as(scene, ISSUER, "github|2", "ANN@example.com", false, &user, &created, &fault),
                     USERS_EMAIL_TAKEN);
    assert_false(created);
    assert_non_null(strstr(fault.text, "pail users link 'ann@example.com' '" ISSUER "' 'github|2'"));
    assert_int_equal(users_find(scene->users, ISSUER, "github|2", &user, NULL), -ENOENT);
}

static void the_administrator_links_the_two(void **state) {
    struct scene *scene = *state;
    int64_t id = arrive(scene, "google|1", "ann@example.com");
    assert_int_equal(users_link(scene->users, ISSUER, "github|2", "Ann@example.com", NULL), 0);
    assert_int_equal(arrive(scene, "github|2", "ann@example.com"), id);
    assert_int_equal(users_link(scene->users, ISSUER, "github|2", "ann@example.com", NULL), -EEXIST);
    assert_int_equal(users_link(scene->users, ISSUER, "x", "nobody@example.com", NULL), -ENOENT);
}

static void with_identity_email_the_same_issuer_links_by_itself(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, other = {0};
    bool created = true;
    int64_t id = arrive(scene, "google|1", "ann@example.com");
    assert_int_equal(arrive_as(scene, ISSUER, "github|2", "ann@example.com", true, &user, &created, NULL), 0);
    assert_int_equal(user.id, id);
    assert_false(created);
    /* never across issuers */
    assert_int_equal(arrive_as(scene, "https://evil.example/", "x", "ann@example.com", true, &other, &created, NULL),
                     USERS_EMAIL_TAKEN);
}

static void a_changed_email_is_taken_over_if_it_is_free(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, same = {0};
    bool created;
    int64_t ann = arrive(scene, "ann", "ann@example.com");
    assert_true(arrive(scene, "bob", "bob@example.com") > 0);
    assert_int_equal(arrive_as(scene, ISSUER, "ann", "new@example.com", false, &user, &created, NULL), 0);
    assert_string_equal(user.email, "new@example.com");
    assert_int_equal(arrive_as(scene, ISSUER, "ann", "bob@example.com", false, &same, &created, NULL), 0);
    assert_string_equal(same.email, "new@example.com");
    assert_int_equal(same.id, ann);
    assert_true(arrive(scene, "carl", "ann@example.com") > 0); /* given up, so free */
}

static void steps_go_forward_only(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    int64_t id = arrive(scene, "ann", "ann@example.com");
    assert_int_equal(users_record_bucket(scene->users, id, "b-2", 1, NULL), 0);
    assert_int_equal(users_advance(scene->users, id, USERS_CREATED, 0, NULL), 0);
    assert_int_equal(users_record_bucket(scene->users, id, "b-3", 2, NULL), -ESTALE);
    assert_int_equal(users_advance(scene->users, id, USERS_CONFIGURED, 1234, NULL), 0);
    assert_int_equal(users_advance(scene->users, id, USERS_READY, 0, NULL), 0);
    assert_int_equal(users_advance(scene->users, id, USERS_CREATED, 9999, NULL), 0);
    assert_int_equal(users_find_id(scene->users, id, &user, NULL), 0);
    assert_int_equal(user.state, USERS_READY);
    assert_int_equal(user.versioned_at_s, 1234);
    assert_string_equal(user.bucket, "b-2");
    assert_int_equal(user.attempt, 1);
}

static void a_bucket_is_one_accounts(void **state) {
    struct scene *scene = *state;
    int64_t ann = arrive(scene, "ann", "ann@example.com"), bob = arrive(scene, "bob", "bob@example.com");
    assert_int_equal(users_record_bucket(scene->users, ann, "same", 1, NULL), 0);
    assert_int_equal(users_record_bucket(scene->users, bob, "same", 1, NULL), -EEXIST);
}

struct emails {
    char text[300];
    int stop_after;
};

static int collect(void *context, const struct user *user) {
    struct emails *emails = context;
    strcat(emails->text, user->email);
    strcat(emails->text, " ");
    return --emails->stop_after ? 0 : 7;
}

static void lists_are_in_order_and_can_be_one(void **state) {
    struct scene *scene = *state;
    struct emails all = {.stop_after = 100}, one = {.stop_after = 100}, two = {.stop_after = 2},
                  open = {.stop_after = 100};
    int64_t carl = arrive(scene, "1", "carl@x.y");
    arrive(scene, "2", "ann@x.y");
    arrive(scene, "3", "bob@x.y");
    assert_int_equal(users_link(scene->users, ISSUER, "0", "ann@x.y", NULL), 0);
    assert_int_equal(users_each(scene->users, NULL, collect, &all, NULL), 0);
    assert_string_equal(all.text, "ann@x.y bob@x.y carl@x.y ");
    assert_int_equal(users_each(scene->users, "BOB@x.y", collect, &one, NULL), 0);
    assert_string_equal(one.text, "bob@x.y ");
    assert_int_equal(users_each(scene->users, NULL, collect, &two, NULL), 7);
    assert_int_equal(users_advance(scene->users, carl, USERS_READY, 0, NULL), 0);
    assert_int_equal(users_each_unfinished(scene->users, collect, &open, NULL), 0);
    assert_null(strstr(open.text, "carl"));
    assert_non_null(strstr(open.text, "bob"));
}

static void suspended_and_back(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    struct fault fault = {0};
    int64_t ann = arrive(scene, "1", "ann@x.y"), bob = arrive(scene, "2", "bob@x.y");
    assert_int_equal(users_suspend(scene->users, "ANN@x.y", true, &fault), 0);
    assert_int_equal(users_find_id(scene->users, ann, &user, NULL), 0);
    assert_true(user.suspended);
    AUTO_FREE char *name = strdup(user.name);
    user_finish(&user);
    assert_int_equal(users_find_id(scene->users, bob, &user, NULL), 0);
    assert_false(user.suspended);
    user_finish(&user);
    assert_int_equal(users_suspend(scene->users, name, false, &fault), 0);
    assert_int_equal(users_find_id(scene->users, ann, &user, NULL), 0);
    assert_false(user.suspended);
    assert_int_equal(users_suspend(scene->users, "nobody@x.y", true, &fault), -ENOENT);
    assert_non_null(strstr(fault.text, "nobody@x.y"));
}

static void removed_and_nothing_else(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    struct fault fault = {0};
    int64_t ann = arrive(scene, "1", "ann@x.y");
    arrive(scene, "2", "bob@x.y");
    assert_int_equal(users_link(scene->users, ISSUER, "3", "ann@x.y", NULL), 0);
    assert_int_equal(users_remove(scene->users, "ann@x.y", &fault), 0);
    assert_int_equal(users_find_id(scene->users, ann, &user, NULL), -ENOENT);
    assert_int_equal(users_find(scene->users, ISSUER, "1", &user, NULL), -ENOENT);
    assert_int_equal(users_find(scene->users, ISSUER, "3", &user, NULL), -ENOENT);
    assert_int_equal(users_find(scene->users, ISSUER, "2", &user, NULL), 0);
    assert_int_equal(users_remove(scene->users, "ann@x.y", &fault), -ENOENT);
    arrive(scene, "1", "ann@x.y"); /* may come again */
}

static void a_copy_for_a_bad_day(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *path = text_format("%s/copy.db", scene->folder);
    CLEANUP(user_finish) struct user user = {0};
    struct fault fault = {0};
    struct stat st;
    arrive(scene, "1", "ann@x.y");
    mode_t before = umask(0);
    assert_int_equal(users_backup(scene->users, path, &fault), 0);
    umask(before);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    arrive(scene, "2", "bob@x.y");
    struct users *copy;
    assert_int_equal(users_open(&copy, path, &fault), 0);
    assert_int_equal(users_find(copy, ISSUER, "1", &user, NULL), 0);
    user_finish(&user);
    assert_int_equal(users_find(copy, ISSUER, "2", &user, NULL), -ENOENT);
    users_close(copy);
    assert_int_equal(users_backup(scene->users, path, &fault), -EEXIST); /* nothing is written over */
    assert_non_null(strstr(fault.text, path));
    assert_int_equal(users_backup(scene->users, "/nonexistent/copy.db", &fault), -ENOENT);
}

static void facts_are_kept(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *value = NULL, *settled = NULL, *again = NULL;
    int64_t recorded = 0;
    assert_int_equal(users_get_fact(scene->users, "f", &value, &recorded, NULL), -ENOENT);
    assert_int_equal(users_put_fact(scene->users, "f", "one", NULL), 0);
    assert_int_equal(users_put_fact(scene->users, "f", "two", NULL), 0);
    assert_int_equal(users_get_fact(scene->users, "f", &value, &recorded, NULL), 0);
    assert_string_equal(value, "two");
    assert_true(recorded > 0);
    assert_int_equal(users_settle_fact(scene->users, "s", "first", &settled, NULL), 0);
    assert_int_equal(users_settle_fact(scene->users, "s", "second", &again, NULL), 0);
    assert_string_equal(again, "first");
}

static void everything_is_there_after_reopening(void **state) {
    struct scene *scene = *state;
    int64_t id = arrive(scene, "ann", "ann@example.com");
    struct stat status;
    assert_int_equal(stat(scene->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    users_close(scene->users);
    scene->users = NULL;
    assert_int_equal(users_open(&scene->users, scene->path, NULL), 0);
    assert_int_equal(arrive(scene, "ann", NULL), id);
}

/* As version 1 wrote it. */
static const char version_1[] =
    "CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE,"
    " bucket TEXT NOT NULL, prefix TEXT NOT NULL, region TEXT NOT NULL, mark TEXT NOT NULL,"
    " attempt INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 3),"
    " suspended INTEGER NOT NULL DEFAULT 0, quota INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0,"
    " created INTEGER NOT NULL, seen INTEGER NOT NULL, versioned_at INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE(bucket, prefix)) STRICT;"
    "CREATE INDEX account_unfinished ON account(state) WHERE state < 3;"
    "CREATE TABLE identity(issuer TEXT NOT NULL, subject TEXT NOT NULL, account INTEGER NOT NULL REFERENCES "
    "account(id),"
    " PRIMARY KEY(issuer, subject)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX identity_account ON identity(account);"
    "CREATE TABLE fact(name TEXT PRIMARY KEY, value TEXT NOT NULL, recorded INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO account VALUES"
    "(1,'aone','ann@example.com','b-1','','r','m1',2,3,0,5000,1234,1700000000,1700000100,1700000050),"
    "(7,'atwo','bob@example.com','b-2','','r','m2',0,1,1,0,0,1700000000,1700000100,0);"
    "INSERT INTO identity VALUES('" ISSUER "','ann',1),('" ISSUER "','bob',7),('https://other.example/','ann',1);"
    "INSERT INTO fact VALUES('installation','abc',1700000000);"
    "PRAGMA user_version=1;";

static void make_database(const char *path, const char *sql) {
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static int64_t version_of(const char *path) {
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t version = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return version;
}

static void assert_version_1_is_whole(struct users *users) {
    CLEANUP(user_finish) struct user ann = {0}, bob = {0}, other = {0};
    AUTO_FREE char *installation = NULL;
    assert_int_equal(users_find(users, ISSUER, "ann", &ann, NULL), 0);
    assert_int_equal(ann.id, 1);
    assert_string_equal(ann.name, "aone");
    assert_string_equal(ann.bucket, "b-1");
    assert_string_equal(ann.mark, "m1");
    assert_int_equal(ann.attempt, 2);
    assert_int_equal(ann.state, USERS_READY);
    assert_false(ann.suspended);
    assert_int_equal(ann.quota, 5000);
    assert_int_equal(ann.created_s, 1700000000);
    assert_int_equal(ann.versioned_at_s, 1700000050);
    assert_int_equal(ann.missing_s, 0);
    assert_int_equal(users_find(users, ISSUER, "bob", &bob, NULL), 0);
    assert_true(bob.suspended);
    assert_int_equal(bob.removing_s, 0);
    assert_int_equal(bob.state, USERS_CREATED);
    assert_int_equal(users_find(users, "https://other.example/", "ann", &other, NULL), 0);
    assert_int_equal(other.id, 1);
    assert_int_equal(users_get_fact(users, "installation", &installation, NULL, NULL), 0);
    assert_string_equal(installation, "abc");
}

static void a_database_of_version_1_goes_on(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *path = text_format("%s/old.db", scene->folder);
    make_database(path, version_1);
    for (int i = 0; i < 2; i++) {
        struct users *users = NULL;
        assert_int_equal(users_open(&users, path, NULL), 0);
        assert_version_1_is_whole(users);
        assert_int_equal(users_check(users, NULL), 0);
        users_close(users);
    }
    assert_int_equal(version_of(path), version_of(scene->path));
    assert_true(version_of(path) > 1);
}

static void *open_it(void *path) {
    struct users *users = NULL;
    int error = users_open(&users, path, NULL);
    if (!error)
        assert_version_1_is_whole(users);
    users_close(users);
    return (void *)(intptr_t)error;
}

static void several_migrate_it_at_once(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *path = text_format("%s/old.db", scene->folder);
    pthread_t threads[4];
    make_database(path, version_1);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_it, path), 0);
    for (size_t i = 0; i < 4; i++) {
        void *error = NULL;
        pthread_join(threads[i], &error);
        assert_null(error);
    }
}

static void a_migration_that_fails_changes_nothing(void **state) {
    struct scene *scene = *state;
    struct users *users = NULL;
    struct fault fault = {0};
    AUTO_FREE char *path = text_format("%s/odd.db", scene->folder);
    make_database(path, "CREATE TABLE account(id INTEGER PRIMARY KEY, missing TEXT); PRAGMA user_version=1;");
    assert_true(users_open(&users, path, &fault) < 0);
    assert_non_null(strstr(fault.text, path));
    assert_int_equal(version_of(path), 1);
}

static void a_damaged_file_is_told(void **state) {
    struct scene *scene = *state;
    struct fault fault = {0};
    for (int i = 0; i < 200; i++) {
        AUTO_FREE char *subject = text_format("%d", i), *email = text_format("%d@example.com", i);
        arrive(scene, subject, email);
    }
    assert_int_equal(users_check(scene->users, &fault), 0);
    users_close(scene->users);
    scene->users = NULL;
    FILE *file = fopen(scene->path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 5 * 4096, SEEK_SET), 0);
    for (int i = 0; i < 3 * 4096; i++)
        fputc(0xa5, file);
    fclose(file);
    assert_int_equal(users_open(&scene->users, scene->path, &fault), 0);
    assert_int_equal(users_check(scene->users, &fault), -EIO);
    assert_non_null(strstr(fault.text, scene->path));
    assert_non_null(strstr(fault.text, "pail users backup"));
}

static void missing_buckets_are_counted_and_made_anew(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, anew = {0};
    int64_t id = arrive(scene, "ann", "ann@example.com");
    bool changed = false;
    size_t count = 9;
    assert_int_equal(users_advance(scene->users, id, USERS_READY, 5, NULL), 0);
    assert_int_equal(users_begin_anew(scene->users, id, NULL), -ESTALE);
    assert_int_equal(users_record_missing(scene->users, id, false, &changed, NULL), 0);
    assert_false(changed);
    assert_int_equal(users_record_missing(scene->users, id, true, &changed, NULL), 0);
    assert_true(changed);
    assert_int_equal(users_record_missing(scene->users, id, true, &changed, NULL), 0);
    assert_false(changed);
    assert_int_equal(users_count_missing(scene->users, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(users_find_id(scene->users, id, &user, NULL), 0);
    assert_true(user.missing_s > 0);
    assert_int_equal(users_begin_anew(scene->users, id, NULL), 0);
    assert_int_equal(users_find_id(scene->users, id, &anew, NULL), 0);
    assert_int_equal(anew.state, USERS_RESERVED);
    assert_int_equal(anew.missing_s, 0);
    assert_int_equal(anew.versioned_at_s, 0);
    assert_int_equal(users_count_missing(scene->users, &count, NULL), 0);
    assert_int_equal(count, 0);
}

static int count_one(void *context, const struct user *user) {
    (void)user;
    ++*(int *)context;
    return 0;
}

static void what_is_being_removed_is_not_taken_up_again(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0}, resumed = {0};
    struct fault fault = {0};
    int unfinished = 0;
    int64_t id = arrive(scene, "ann", "ann@example.com");
    assert_int_equal(users_each_unfinished(scene->users, count_one, &unfinished, NULL), 0);
    assert_int_equal(unfinished, 1);
    assert_int_equal(users_begin_removal(scene->users, "ANN@example.com", NULL), 0);
    assert_int_equal(users_suspend(scene->users, "ann@example.com", true, NULL), 0);
    assert_int_equal(users_find_id(scene->users, id, &user, NULL), 0);
    assert_true(user.suspended && user.removing_s > 1);
    assert_int_equal(users_each_unfinished(scene->users, count_one, &unfinished, NULL), 0);
    assert_int_equal(unfinished, 1);
    assert_int_equal(users_suspend(scene->users, "ann@example.com", false, NULL), 0);
    assert_int_equal(users_find_id(scene->users, id, &resumed, NULL), 0);
    assert_false(resumed.suspended || resumed.removing_s);
    assert_int_equal(users_begin_removal(scene->users, "nobody", &fault), -ENOENT);
}

static void a_quota_is_set_and_its_use_recorded(void **state) {
    struct scene *scene = *state;
    CLEANUP(user_finish) struct user user = {0};
    int64_t id = arrive(scene, "ann", "ann@example.com");
    arrive(scene, "bob", "bob@example.com");
    assert_int_equal(users_find_id(scene->users, id, &user, NULL), 0);
    AUTO_FREE char *name = strdup(user.name);
    user_finish(&user);
    struct fault fault = {0};
    assert_int_equal(users_set_quota(scene->users, "Ann@example.com", 1ll << 50, NULL), 0);
    assert_int_equal(users_set_quota(scene->users, "eve@example.com", 1, &fault), -ENOENT);
    assert_int_equal(users_record_use(scene->users, name, &(struct users_use){5, 7, 1700000000}, NULL), 0);
    assert_int_equal(users_record_use(scene->users, name, &(struct users_use){.used = 9}, NULL), 0);
    assert_int_equal(users_find_id(scene->users, id, &user, NULL), 0);
    assert_true(user.quota == 1ll << 50 && user.used == 9 && user.used_old == 7 && user.counted_s == 1700000000);
    user_finish(&user);
    assert_int_equal(users_find(scene->users, ISSUER, "bob", &user, NULL), 0);
    assert_true(!user.quota && !user.used && !user.counted_s);
}

static void files_that_are_not_ours(void **state) {
    struct scene *scene = *state;
    struct users *other = NULL;
    struct fault fault = {0};
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(scene->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "PRAGMA user_version=999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    assert_int_equal(users_open(&other, scene->path, &fault), -EPROTO);
    assert_non_null(strstr(fault.text, "newer"));
    AUTO_FREE char *text = text_format("%s/text", scene->folder);
    assert_int_equal(file_replace(text, 0600, "this is no database at all, but long enough to be read as one....", 66),
                     0);
    assert_int_equal(users_open(&other, text, &fault), -EIO);
    assert_non_null(strstr(fault.text, text));
    assert_int_equal(users_open(&other, "/no/such/folder/accounts.db", &fault), -ENOENT);
}

static void *arrive_often(void *context) {
    struct scene *scene = context;
    intptr_t made = 0;
    for (int i = 0; i < 30; i++) {
        CLEANUP(user_finish) struct user user = {0};
        bool created = false;
        if (arrive_as(scene, ISSUER, "ann", "ann@example.com", false, &user, &created, NULL))
            return (void *)1000;
        made += created;
    }
    return (void *)made;
}

static void many_at_once_make_one_account(void **state) {
    struct scene *scene = *state;
    pthread_t threads[8];
    intptr_t made = 0;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, arrive_often, scene), 0);
    for (size_t i = 0; i < 8; i++) {
        void *result;
        pthread_join(threads[i], &result);
        made += (intptr_t)result;
    }
    assert_int_equal(made, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_first_arrival_makes_an_account),
        TEST(a_stranger_without_email_makes_none),
        TEST(another_subject_with_a_known_email_is_refused),
        TEST(the_administrator_links_the_two),
        TEST(with_identity_email_the_same_issuer_links_by_itself),
        TEST(a_changed_email_is_taken_over_if_it_is_free),
        TEST(steps_go_forward_only),
        TEST(a_bucket_is_one_accounts),
        TEST(lists_are_in_order_and_can_be_one),
        TEST(suspended_and_back),
        TEST(a_quota_is_set_and_its_use_recorded),
        TEST(removed_and_nothing_else),
        TEST(a_copy_for_a_bad_day),
        TEST(facts_are_kept),
        TEST(everything_is_there_after_reopening),
        TEST(a_database_of_version_1_goes_on),
        TEST(several_migrate_it_at_once),
        TEST(a_migration_that_fails_changes_nothing),
        TEST(a_damaged_file_is_told),
        TEST(missing_buckets_are_counted_and_made_anew),
        TEST(what_is_being_removed_is_not_taken_up_again),
        TEST(files_that_are_not_ours),
        TEST(many_at_once_make_one_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
