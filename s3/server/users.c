/* Accounts in SQLite: finding, making and changing them. */
#include "s3/server/users.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/users_database.h"

#include <fcntl.h>
#include <string.h>

#define SEEN_EVERY_S 600 /* last seen is not worth a write for each session */

void user_finish(struct user *user) {
    free(user->name);
    free(user->email);
    free(user->bucket);
    free(user->prefix);
    free(user->region);
    free(user->mark);
    free(user->issuer);
    free(user->subject);
    *user = (struct user){0};
}

/* Reading accounts. */

#define ACCOUNT                                                                                                        \
    "SELECT a.id, a.name, a.email, a.bucket, a.prefix, a.region, a.attempt, a.state, a.suspended, a.quota, a.used,"    \
    " a.created, a.seen, a.versioned_at, a.mark, i.issuer, i.subject, a.missing, a.used_old, a.counted FROM account a"

static char *column_text(struct work *work, int column) {
    const unsigned char *text = sqlite3_column_text(work->statement, column);
    return strdup(text ? (const char *)text : "");
}

static int read_user(struct work *work, struct user *out) {
    sqlite3_stmt *row = work->statement;
    *out = (struct user){
        .id = sqlite3_column_int64(row, 0),
        .name = column_text(work, 1),
        .email = column_text(work, 2),
        .bucket = column_text(work, 3),
        .prefix = column_text(work, 4),
        .region = column_text(work, 5),
        .attempt = sqlite3_column_int64(row, 6),
        .state = (enum users_state)sqlite3_column_int(row, 7),
        .suspended = sqlite3_column_int64(row, 8) != 0,
        .removing_s = sqlite3_column_int64(row, 8) > 1 ? sqlite3_column_int64(row, 8) : 0,
        .quota = sqlite3_column_int64(row, 9),
        .used = sqlite3_column_int64(row, 10),
        .created_s = sqlite3_column_int64(row, 11),
        .seen_s = sqlite3_column_int64(row, 12),
        .versioned_at_s = sqlite3_column_int64(row, 13),
        .mark = column_text(work, 14),
        .issuer = column_text(work, 15),
        .subject = column_text(work, 16),
        .missing_s = sqlite3_column_int64(row, 17),
        .used_old = sqlite3_column_int64(row, 18),
        .counted_s = sqlite3_column_int64(row, 19),
    };
    if (out->name && out->email && out->bucket && out->prefix && out->region && out->mark && out->issuer &&
        out->subject)
        return 0;
    user_finish(out);
    return -ENOMEM;
}

static int find(struct work *work, const char *issuer, const char *subject, struct user *out) {
    int error = work_prepare(work, ACCOUNT " JOIN identity i ON i.account=a.id WHERE i.issuer=? AND i.subject=?", "ss",
                             issuer, subject);
    if (!error)
        error = work_step(work);
    if (error == 1)
        return read_user(work, out);
    return error ? error : -ENOENT;
}

int users_find(struct users *users, const char *issuer, const char *subject, struct user *out, struct fault *fault) {
    WORK(users, fault);
    return error ? error : find(&work, issuer, subject, out);
}

#define FIRST_IDENTITY                                                                                                 \
    " LEFT JOIN identity i ON i.account=a.id AND i.subject="                                                           \
    "(SELECT min(subject) FROM identity WHERE account=a.id)"

int users_find_id(struct users *users, int64_t id, struct user *out, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, ACCOUNT FIRST_IDENTITY " WHERE a.id=?", "n", id);
    if (!error)
        error = work_step(&work);
    if (error == 1)
        return read_user(&work, out);
    return error ? error : -ENOENT;
}

static int each_row(struct work *work, int (*visit)(void *context, const struct user *user), void *context) {
    int got;
    while ((got = work_step(work)) == 1) {
        CLEANUP(user_finish) struct user user = {0};
        int error = read_user(work, &user);
        if (!error)
            error = visit(context, &user);
        if (error)
            return error;
    }
    return got;
}

int users_each(struct users *users, const char *account, int (*visit)(void *context, const struct user *user),
               void *context, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work,
                             ACCOUNT FIRST_IDENTITY
                             " WHERE ?1 IS NULL OR a.name=?1 OR a.email=lower(?1) GROUP BY a.id ORDER BY a.email",
                             "s", account);
    return error ? error : each_row(&work, visit, context);
}

int users_each_identity(struct users *users, int64_t id,
                        int (*visit)(void *context, const char *issuer, const char *subject), void *context,
                        struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "SELECT issuer, subject FROM identity WHERE account=? ORDER BY issuer, subject",
                             "n", id);
    while (!error && (error = work_step(&work)) == 1) {
        AUTO_FREE char *issuer = column_text(&work, 0), *subject = column_text(&work, 1);
        error = issuer && subject ? visit(context, issuer, subject) : -ENOMEM;
    }
    return error;
}

int users_each_unfinished(struct users *users, int (*visit)(void *context, const struct user *user), void *context,
                          struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, ACCOUNT FIRST_IDENTITY " WHERE a.state < 3 AND a.suspended < 2 GROUP BY a.id", "");
    return error ? error : each_row(&work, visit, context);
}

/* Arriving. */

static int add_identity(struct work *work, const char *issuer, const char *subject, int64_t account) {
    int error = work_prepare(work, "INSERT INTO identity(issuer, subject, account) VALUES(?, ?, ?)", "ssn", issuer,
                             subject, account);
    return error ? error : work_step(work);
}

static int add_account(struct work *work, const struct users_arrival *arrival, const char *email) {
    char random[27];
    random_hex(random, 13);
    AUTO_FREE char *name = text_format("a%s", random);
    if (!name)
        return -ENOMEM;
    int64_t now = clock_realtime_s();
    int error =
        work_prepare(work,
                     "INSERT INTO account(name, email, bucket, prefix, region, mark, state, versioned_at, created, "
                     "seen, quota) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "ssssssnnnnn", name, email, arrival->bucket, arrival->prefix, arrival->region, arrival->mark,
                     (int64_t)arrival->state, arrival->versioned_at_s, now, now, arrival->quota);
    if (!error)
        error = work_step(work);
    if (!error)
        error = add_identity(work, arrival->issuer, arrival->subject, sqlite3_last_insert_rowid(work->database));
    return error;
}

static int find_email(struct work *work, const char *email, int64_t *account, bool *same_issuer, const char *issuer) {
    int error = work_prepare(work,
                             "SELECT a.id, EXISTS(SELECT 1 FROM identity WHERE account=a.id AND issuer=?)"
                             " FROM account a WHERE a.email=?",
                             "ss", issuer, email);
    if (!error)
        error = work_step(work);
    if (error != 1)
        return error ? error : -ENOENT;
    *account = sqlite3_column_int64(work->statement, 0);
    *same_issuer = sqlite3_column_int(work->statement, 1) != 0;
    return 0;
}

static int refuse_email(struct work *work, const struct users_arrival *arrival, const char *email) {
    return fault_set(work->fault, USERS_EMAIL_TAKEN,
                     "%s belongs to an account that is logged in to in another way; an administrator can link the two: "
                     "pail users link '%s' '%s' '%s'",
                     email, email, arrival->issuer, arrival->subject);
}

/* A stranger: a new account, or, if the email is known, linked or refused. */
static int enrol(struct work *work, const struct users_arrival *arrival, const char *email, bool *created) {
    int64_t account = 0;
    bool same_issuer = false;
    int error = find_email(work, email, &account, &same_issuer, arrival->issuer);
    *created = error == -ENOENT;
    if (*created)
        return add_account(work, arrival, email);
    if (error)
        return error;
    if (!arrival->link_by_email || !same_issuer)
        return refuse_email(work, arrival, email);
    log_warning("A second login (subject %s) of %s was linked to the account of that email", arrival->subject, email);
    return add_identity(work, arrival->issuer, arrival->subject, account);
}

static int note_seen(struct work *work, struct user *user, const char *email) {
    int64_t now = clock_realtime_s();
    if (now - user->seen_s >= SEEN_EVERY_S) {
        int error = work_prepare(work, "UPDATE account SET seen=? WHERE id=?", "nn", now, user->id);
        if (!error)
            error = work_step(work);
        if (error)
            return error;
        user->seen_s = now;
        user->was_away = true;
    }
    if (!email || text_equal(email, user->email))
        return 0;
    int error = work_prepare(work, "UPDATE OR IGNORE account SET email=? WHERE id=?", "sn", email, user->id);
    if (!error)
        error = work_step(work);
    if (error || !sqlite3_changes(work->database))
        return error;
    log_info("The email of account %s changed", user->name);
    free(user->email);
    user->email = strdup(email);
    return user->email ? 0 : -ENOMEM;
}

static bool nothing_to_write(const struct user *user, const char *email) {
    return clock_realtime_s() - user->seen_s < SEEN_EVERY_S && (!email || text_equal(email, user->email));
}

static int arrive(struct work *work, const struct users_arrival *arrival, const char *email, struct user *out,
                  bool *created) {
    int error = work_transaction(work, "BEGIN IMMEDIATE");
    if (!error)
        error = find(work, arrival->issuer, arrival->subject, out);
    if (error == -ENOENT && email) {
        error = enrol(work, arrival, email, created);
        if (!error)
            error = find(work, arrival->issuer, arrival->subject, out);
    } else if (!error) {
        error = note_seen(work, out, email);
    }
    work_reset(work);
    if (!error)
        error = work_transaction(work, "COMMIT");
    if (error)
        user_finish(out);
    return error;
}

/* When a person was last seen may be lost in a power cut: their login does not wait for the disk. */
static int arrive_again(struct work *work, const struct users_arrival *arrival, const char *email, struct user *out,
                        bool *created) {
    sqlite3_exec(work->database, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    int error = arrive(work, arrival, email, out, created);
    work_reset(work);
    if (work->in_transaction)
        work_transaction(work, "ROLLBACK");
    sqlite3_exec(work->database, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    return error;
}

int users_arrive(struct users *users, const struct users_arrival *arrival, struct user *out, bool *created,
                 struct fault *fault) {
    *created = false;
    AUTO_FREE char *email = arrival->email ? strdup(arrival->email) : NULL;
    if (arrival->email && !email)
        return -ENOMEM;
    if (email)
        text_lower_ascii(email);
    CLEANUP(user_finish) struct user known = {0};
    WORK(users, fault);
    if (!error)
        error = find(&work, arrival->issuer, arrival->subject, &known);
    if (error && error != -ENOENT)
        return error;
    bool is_known = !error;
    work_reset(&work);
    if (!is_known)
        error = arrive(&work, arrival, email, out, created);
    else if (!nothing_to_write(&known, email))
        error = arrive_again(&work, arrival, email, out, created);
    if (!is_known || (!error && out->name))
        return error;
    if (error) /* a full disk is no reason to keep somebody out whom we know */
        log_error("The last login of account %s could not be noted: %s", known.name,
                  fault && fault->text[0] ? fault->text : error_text(error));
    *out = known;
    known = (struct user){0};
    return 0;
}

int users_link(struct users *users, const char *issuer, const char *subject, const char *email, struct fault *fault) {
    AUTO_FREE char *lower = strdup(email);
    if (!lower)
        return -ENOMEM;
    text_lower_ascii(lower);
    WORK(users, fault);
    int64_t account = 0;
    bool same_issuer = false;
    if (!error)
        error = find_email(&work, lower, &account, &same_issuer, issuer);
    if (error == -ENOENT)
        return fault_set(fault, error, "no account has the email %s", lower);
    if (!error)
        error = add_identity(&work, issuer, subject, account);
    return error == -EEXIST ? fault_set(fault, error, "this subject is linked to an account already") : error;
}

/* What an administrator does to one account. */

#define CALLED " WHERE name=? OR email=?"

static int change_account(struct work *work, const char *sql, const char *account) {
    AUTO_FREE char *lower = strdup(account);
    if (!lower)
        return -ENOMEM;
    text_lower_ascii(lower);
    int error = work_prepare(work, sql, "ss", account, lower);
    if (!error)
        error = work_step(work);
    if (error)
        return error;
    if (sqlite3_changes(work->database))
        return 0;
    return fault_set(work->fault, -ENOENT, "there is no account \"%s\": pail users list shows them", account);
}

int users_suspend(struct users *users, const char *account, bool suspended, struct fault *fault) {
    WORK(users, fault);
    if (error)
        return error;
    return change_account(&work,
                          suspended ? "UPDATE account SET suspended=max(suspended, 1)" CALLED
                                    : "UPDATE account SET suspended=0" CALLED,
                          account);
}

int users_begin_removal(struct users *users, const char *account, struct fault *fault) {
    WORK(users, fault);
    return error ? error
                 : change_account(&work,
                                  "UPDATE account SET suspended=CASE WHEN suspended<2 THEN unixepoch() ELSE suspended "
                                  "END" CALLED,
                                  account);
}

int users_set_quota(struct users *users, const char *account, int64_t quota, struct fault *fault) {
    WORK(users, fault);
    if (error)
        return error;
    char sql[100];
    sqlite3_snprintf(sizeof sql, sql, "UPDATE account SET quota=%lld" CALLED, (long long)quota);
    return change_account(&work, sql, account);
}

int users_remove(struct users *users, const char *account, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_transaction(&work, "BEGIN IMMEDIATE");
    if (!error)
        error = change_account(&work, "DELETE FROM identity WHERE account=(SELECT id FROM account" CALLED ")", account);
    if (!error)
        error = change_account(&work, "DELETE FROM account" CALLED, account);
    work_reset(&work);
    return error ? error : work_transaction(&work, "COMMIT");
}

int users_backup(struct users *users, const char *path, struct fault *fault) {
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        int failure = -errno;
        return fault_set(fault, failure, "%s cannot be made: %s", path, strerror(-failure));
    }
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "VACUUM INTO ?", "s", path); /* SQLite takes an empty file for none */
    if (!error)
        error = work_step(&work);
    if (!error && fsync(fd)) {
        error = -errno;
        fault_set(fault, error, "%s cannot be brought to the disk: %s", path, strerror(-error));
    }
    if (error)
        unlink(path);
    return error;
}

/* Steps. */

int users_record_bucket(struct users *users, int64_t id, const char *bucket, int64_t attempt, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "UPDATE account SET bucket=?, attempt=? WHERE id=? AND state=0", "snn", bucket,
                             attempt, id);
    if (!error)
        error = work_step(&work);
    if (error)
        return error;
    return sqlite3_changes(work.database) ? 0 : -ESTALE;
}

int users_advance(struct users *users, int64_t id, enum users_state state, int64_t versioned_at_s,
                  struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(
            &work,
            "UPDATE account SET state=?1, versioned_at=CASE WHEN versioned_at=0 THEN ?2 ELSE versioned_at END"
            " WHERE id=?3 AND state<=?1",
            "nnn", (int64_t)state, versioned_at_s, id);
    return error ? error : work_step(&work);
}

int users_record_missing(struct users *users, int64_t id, bool missing, bool *changed, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "UPDATE account SET missing=?1 WHERE id=?2 AND (missing=0)<>(?1=0)", "nn",
                             missing ? clock_realtime_s() : 0, id);
    if (!error)
        error = work_step(&work);
    *changed = !error && sqlite3_changes(work.database);
    return error;
}

int users_begin_anew(struct users *users, int64_t id, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work,
                             "UPDATE account SET state=0, missing=0, versioned_at=0, used=0, used_old=0, "
                             "counted=0 WHERE id=? AND missing>0",
                             "n", id);
    if (!error)
        error = work_step(&work);
    return error ? error : sqlite3_changes(work.database) ? 0 : -ESTALE;
}

int users_count_missing(struct users *users, size_t *count, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "SELECT count(*) FROM account WHERE missing > 0", "");
    if (!error)
        error = work_step(&work);
    if (error == 1)
        *count = (size_t)sqlite3_column_int64(work.statement, 0);
    return error < 0 ? error : 0;
}

int users_move_issuer(struct users *users, const char *from, const char *to, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "UPDATE identity SET issuer=? WHERE issuer=?", "ss", to, from);
    return error ? error : work_step(&work);
}

int users_record_use(struct users *users, const char *name, const struct users_use *use, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = use->counted_s ? work_prepare(&work, "UPDATE account SET used=?, used_old=?, counted=? WHERE name=?",
                                              "nnns", use->used, use->used_old, use->counted_s, name)
                               : work_prepare(&work, "UPDATE account SET used=? WHERE name=?", "ns", use->used, name);
    return error ? error : work_step(&work);
}

/* Facts. */

static int get_fact(struct work *work, const char *name, char **value, int64_t *recorded_s) {
    int error = work_prepare(work, "SELECT value, recorded FROM fact WHERE name=?", "s", name);
    if (!error)
        error = work_step(work);
    if (error != 1)
        return error ? error : -ENOENT;
    *value = column_text(work, 0);
    if (recorded_s)
        *recorded_s = sqlite3_column_int64(work->statement, 1);
    return *value ? 0 : -ENOMEM;
}

int users_get_fact(struct users *users, const char *name, char **value, int64_t *recorded_s, struct fault *fault) {
    WORK(users, fault);
    return error ? error : get_fact(&work, name, value, recorded_s);
}

int users_put_fact(struct users *users, const char *name, const char *value, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "INSERT OR REPLACE INTO fact(name, value, recorded) VALUES(?, ?, ?)", "ssn", name,
                             value, clock_realtime_s());
    return error ? error : work_step(&work);
}

int users_settle_fact(struct users *users, const char *name, const char *proposed, char **value, struct fault *fault) {
    WORK(users, fault);
    if (!error)
        error = work_prepare(&work, "INSERT OR IGNORE INTO fact(name, value, recorded) VALUES(?, ?, ?)", "ssn", name,
                             proposed, clock_realtime_s());
    if (!error)
        error = work_step(&work);
    return error ? error : get_fact(&work, name, value, NULL);
}
