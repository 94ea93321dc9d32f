/* The accounts: who is known, and which bucket is whose. SQLite in WAL mode; kept narrow, so that another database can
 * stand behind it. Thread-safe; several processes may have it open. The table's constraints carry the rules: an
 * identity (issuer, subject) is one account's, an email is one account's, a bucket, or a prefix of one, is one
 * account's. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum users_state { USERS_RESERVED, USERS_CREATED, USERS_CONFIGURED, USERS_READY };

struct user {
    int64_t id;
    char *name;  /* "a" and 26 characters: what others may know of the id */
    char *email; /* verified, lower-case ASCII */
    char *bucket, *prefix, *region;
    char *mark;      /* what the bucket's tag says: of the identity that made the account */
    int64_t attempt; /* which suffix the bucket's name has */
    enum users_state state;
    bool suspended;
    int64_t removing_s;        /* Unix: since when all that it has is being destroyed; suspended then too. 0: no */
    int64_t missing_s;         /* Unix: since when its bucket is known to be gone. 0: it is there, or not made yet */
    bool was_away;             /* of an arrival: the first in ten minutes */
    int64_t quota, used;       /* bytes; quota 0: none */
    int64_t used_old;          /* bytes of older versions and open uploads, as last counted */
    int64_t counted_s;         /* Unix: when used was last counted; 0: never */
    int64_t created_s, seen_s; /* Unix */
    int64_t versioned_at_s;    /* 0: the bucket keeps no versions */
    char *issuer, *subject;    /* the identity that it was found by; in lists, the first one */
};
void user_finish(struct user *user);

struct users;
/* Opens or makes the file (0600) and brings its schema up to date. -errno with a fault that names the file. */
int users_open(struct users **out, const char *path, struct fault *fault);
void users_close(struct users *users);
/* Reads all of the file. -EIO with a fault when it is damaged. */
int users_check(struct users *users, struct fault *fault);

enum users_result {
    USERS_EMAIL_TAKEN = 1, /* another account has this email; the fault names the command that links the two */
};

/* 0 or -ENOENT. */
int users_find(struct users *users, const char *issuer, const char *subject, struct user *out, struct fault *fault);
int users_find_id(struct users *users, int64_t id, struct user *out, struct fault *fault);

struct users_arrival {
    const char *issuer, *subject;
    const char *email;                           /* verified; NULL: not known now, fine for accounts that are there */
    bool link_by_email;                          /* identity = email */
    const char *bucket, *prefix, *region, *mark; /* for a new account */
    enum users_state state;                      /* a new one begins so: ready if its bucket is there already */
    int64_t versioned_at_s;                      /* of that bucket */
    int64_t quota;                               /* likewise; bytes, 0: none */
};
/* Finds the account, or makes it in state reserved; a changed email is taken over if it is free. *created tells. 0,
 * -ENOENT (no account, and no email to make one), USERS_EMAIL_TAKEN. */
int users_arrive(struct users *users, const struct users_arrival *arrival, struct user *out, bool *created,
                 struct fault *fault);
/* Links another identity to the account that has this email. -ENOENT, -EEXIST when it is linked already. */
int users_link(struct users *users, const char *issuer, const char *subject, const char *email, struct fault *fault);
/* Everybody of one issuer is of another from now on: for one that has moved. */
int users_move_issuer(struct users *users, const char *from, const char *to, struct fault *fault);

/* Each is one durable step. record_bucket only while the account is reserved; -ESTALE if it is not any more, -EEXIST if
 * another account has that bucket. advance goes forward only. */
int users_record_bucket(struct users *users, int64_t id, const char *bucket, int64_t attempt, struct fault *fault);
int users_advance(struct users *users, int64_t id, enum users_state state, int64_t versioned_at_s, struct fault *fault);
/* Whether its bucket is gone. *changed: that was not known. */
int users_record_missing(struct users *users, int64_t id, bool missing, bool *changed, struct fault *fault);
/* Its bucket is to be made again, from the start; only for one that is recorded as missing, else -ESTALE. */
int users_begin_anew(struct users *users, int64_t id, struct fault *fault);
int users_count_missing(struct users *users, size_t *count, struct fault *fault);
/* counted_s 0: used is what was granted beyond the last count, which stays with its used_old. */
struct users_use {
    int64_t used, used_old; /* bytes */
    int64_t counted_s;      /* Unix */
};
/* name: an id may be given to another account when this one was removed. */
int users_record_use(struct users *users, const char *name, const struct users_use *use, struct fault *fault);

/* In order of email; account NULL: all, else by email or name. visit returning non-zero ends it. */
int users_each(struct users *users, const char *account, int (*visit)(void *context, const struct user *user),
               void *context, struct fault *fault);
int users_each_identity(struct users *users, int64_t id,
                        int (*visit)(void *context, const char *issuer, const char *subject), void *context,
                        struct fault *fault);
/* Those that are not ready, nor being removed. */
int users_each_unfinished(struct users *users, int (*visit)(void *context, const struct user *user), void *context,
                          struct fault *fault);

/* account: an email or a name; -ENOENT. A suspended one is refused everything: within seconds by the server, and by the
 * store when the URLs it has have ended. Resuming one that is being removed ends that. */
int users_suspend(struct users *users, const char *account, bool suspended, struct fault *fault);
/* From now on nobody can log in to it; when it is begun again, the first time counts. */
int users_begin_removal(struct users *users, const char *account, struct fault *fault);
/* bytes; 0: none. The server follows when it reads the account again: within half a minute. */
int users_set_quota(struct users *users, const char *account, int64_t quota, struct fault *fault);
/* The account and its identities, not the bucket: who logs in again gets the same bucket back, by its mark. */
int users_remove(struct users *users, const char *account, struct fault *fault);
/* A copy of the whole database as of one moment, while others use it. path must not be there; it is made 0600. -EEXIST.
 */
int users_backup(struct users *users, const char *path, struct fault *fault);

/* Small facts about the store ("features/..."): text by name. *value is owned by the caller; -ENOENT. */
int users_get_fact(struct users *users, const char *name, char **value, int64_t *recorded_s, struct fault *fault);
int users_put_fact(struct users *users, const char *name, const char *value, struct fault *fault);
/* The same, unless there is one already: *value is what holds. For what is random but must be one. */
int users_settle_fact(struct users *users, const char *name, const char *proposed, char **value, struct fault *fault);
