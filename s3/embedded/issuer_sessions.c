/* What the issuer remembers.
 *
 * A refresh token is "<session>.<random>". Of each session the hash of the one good token is kept, and of those that
 * were replaced within the overlap: a client whose answer was lost may come again with the old one. Any other token
 * with that session's name is a copy that was stolen from somebody, so the session ends. */
#include "s3/embedded/issuer_sessions.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "s3/checksum.h"

#include <errno.h>
#include <pthread.h>

#define MOST 64 /* of each kind of thing that is under way */
#define TICKET_S 300
#define LOGIN_S 600
#define CODE_S 60
#define IDLE_S (30 * 86400) /* a session that nobody used for so long ends */
#define MOST_SESSIONS 1000
#define OLD 4

/* A secret that is good for a while: only its hash is here. */
struct once {
    char hash[65]; /* "" : the place is free */
    int64_t until_s;
    struct issuer_login login;
    char session[33]; /* of a used code: what came of it */
    bool used;
};

struct session {
    char id[33];
    char hash[65];     /* of the good token */
    char old[OLD][65]; /* replaced, newest first */
    int64_t old_s[OLD];
    int64_t used_s;
    char *email, *scope; /* owned */
    struct session *next;
};

struct issuer_sessions {
    char *path;
    unsigned overlap_s;
    pthread_mutex_t lock; /* all that follows */
    struct once tickets[MOST], logins[MOST], codes[MOST];
    struct session *sessions; /* owned; the last used first */
    pthread_mutex_t saving;   /* one writer of the file at a time; the newest state wins */
};

void issuer_login_finish(struct issuer_login *login) {
    free(login->redirect_uri);
    free(login->state);
    free(login->nonce);
    free(login->challenge);
    free(login->scope);
    free(login->email);
    *login = (struct issuer_login){0};
}

static int copy_text(char **to, const char *from) {
    *to = from ? strdup(from) : NULL;
    return from && !*to ? -ENOMEM : 0;
}

static int copy_login(struct issuer_login *to, const struct issuer_login *from) {
    *to = (struct issuer_login){0};
    int r = copy_text(&to->redirect_uri, from->redirect_uri);
    if (!r)
        r = copy_text(&to->state, from->state);
    if (!r)
        r = copy_text(&to->nonce, from->nonce);
    if (!r)
        r = copy_text(&to->challenge, from->challenge);
    if (!r)
        r = copy_text(&to->scope, from->scope);
    if (!r)
        r = copy_text(&to->email, from->email);
    if (r)
        issuer_login_finish(to);
    return r;
}

void issuer_session_finish(struct issuer_session *session) {
    free(session->email);
    free(session->scope);
    secret_free(session->refresh_token);
    *session = (struct issuer_session){0};
}

static int hash_of(const char *secret, char hash[65]) {
    AUTO_FREE char *hex = NULL;
    int r = checksum_hex(CHECKSUM_SHA256, secret, strlen(secret), &hex);
    if (!r)
        memcpy(hash, hex, 65);
    return r;
}

static void once_clear(struct once *once) {
    issuer_login_finish(&once->login);
    *once = (struct once){0};
}

/* A free place, or the one that ends soonest. */
static struct once *once_place(struct once *list, int64_t now_s) {
    struct once *best = list;
    for (size_t i = 0; i < MOST; i++) {
        if (!list[i].hash[0] || list[i].until_s < now_s) {
            once_clear(&list[i]);
            return &list[i];
        }
        if (list[i].until_s < best->until_s)
            best = &list[i];
    }
    once_clear(best);
    return best;
}

static struct once *once_find(struct once *list, const char *hash) {
    int64_t now_s = clock_boottime_s();
    for (size_t i = 0; i < MOST; i++)
        if (text_equal_secret(list[i].hash, hash) && list[i].until_s >= now_s)
            return &list[i];
    return NULL;
}

/* A new secret, whose hash takes a place. With the lock held. */
static struct once *once_make(struct once *list, int64_t life_s, char **secret) {
    char random[65], hash[65];
    random_hex(random, 32);
    *secret = strdup(random);
    if (!*secret || hash_of(random, hash)) {
        secret_free(TAKE(*secret));
        return NULL;
    }
    int64_t now_s = clock_boottime_s();
    struct once *once = once_place(list, now_s);
    memcpy(once->hash, hash, sizeof hash);
    once->until_s = now_s + life_s;
    explicit_bzero(random, sizeof random);
    return once;
}

int issuer_sessions_give_ticket(struct issuer_sessions *sessions, char **ticket) {
    pthread_mutex_lock(&sessions->lock);
    struct once *once = once_make(sessions->tickets, TICKET_S, ticket);
    pthread_mutex_unlock(&sessions->lock);
    return once ? 0 : -ENOMEM;
}

bool issuer_sessions_take_ticket(struct issuer_sessions *sessions, const char *ticket) {
    char hash[65];
    if (hash_of(ticket, hash))
        return false;
    pthread_mutex_lock(&sessions->lock);
    struct once *once = once_find(sessions->tickets, hash);
    bool good = once;
    if (once)
        once_clear(once);
    pthread_mutex_unlock(&sessions->lock);
    return good;
}

int issuer_sessions_begin(struct issuer_sessions *sessions, struct issuer_login *login, char **handle) {
    pthread_mutex_lock(&sessions->lock);
    struct once *once = once_make(sessions->logins, LOGIN_S, handle);
    if (once) {
        once->login = *login;
        *login = (struct issuer_login){0};
    }
    pthread_mutex_unlock(&sessions->lock);
    return once ? 0 : -ENOMEM;
}

bool issuer_sessions_knows(struct issuer_sessions *sessions, const char *handle) {
    char hash[65];
    if (hash_of(handle, hash))
        return false;
    pthread_mutex_lock(&sessions->lock);
    bool known = once_find(sessions->logins, hash);
    pthread_mutex_unlock(&sessions->lock);
    return known;
}

/* With the lock held. */
static int grant(struct issuer_sessions *sessions, const char *hash, const char *email, char **code,
                 struct issuer_login *login) {
    struct once *begun = once_find(sessions->logins, hash);
    if (!begun)
        return -ENOENT;
    free(begun->login.email);
    begun->login.email = strdup(email);
    int r = begun->login.email ? copy_login(login, &begun->login) : -ENOMEM;
    if (r)
        return r;
    struct once *once = once_make(sessions->codes, CODE_S, code);
    if (!once) {
        issuer_login_finish(login);
        return -ENOMEM;
    }
    once->login = begun->login;
    begun->login = (struct issuer_login){0};
    once_clear(begun);
    return 0;
}

int issuer_sessions_grant(struct issuer_sessions *sessions, const char *handle, const char *email, char **code,
                          struct issuer_login *login) {
    char hash[65];
    int r = hash_of(handle, hash);
    if (r)
        return r;
    pthread_mutex_lock(&sessions->lock);
    r = grant(sessions, hash, email, code, login);
    pthread_mutex_unlock(&sessions->lock);
    return r;
}

static void session_free(struct session *session) {
    free(session->email);
    free(session->scope);
    free(session);
}

static struct session **session_find(struct issuer_sessions *sessions, const char *id) {
    struct session **at = &sessions->sessions;
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

static bool session_end(struct issuer_sessions *sessions, const char *id) {
    struct session **at = session_find(sessions, id), *session = *at;
    if (!session)
        return false;
    *at = session->next;
    session_free(session);
    return true;
}

/* The file. */

static struct json *session_json(const struct session *session) {
    struct json *json = json_object(), *old = json_array();
    json_add_text(json, "id", session->id);
    json_add_text(json, "hash", session->hash);
    json_add_text(json, "email", session->email);
    json_add_text(json, "scope", session->scope);
    json_add_integer(json, "used", session->used_s);
    for (size_t i = 0; i < OLD && session->old[i][0]; i++) {
        struct json *item = json_object();
        json_add_text(item, "hash", session->old[i]);
        json_add_integer(item, "at", session->old_s[i]);
        json_push(old, item);
    }
    json_add(json, "old", old);
    return json;
}

static char *print_all(struct issuer_sessions *sessions) {
    AUTO_JSON struct json *all = json_object();
    struct json *list = json_array();
    pthread_mutex_lock(&sessions->lock);
    for (struct session *session = sessions->sessions; session; session = session->next)
        json_push(list, session_json(session));
    pthread_mutex_unlock(&sessions->lock);
    json_add(all, "sessions", list);
    return json_print_pretty(all);
}

static int save(struct issuer_sessions *sessions) {
    pthread_mutex_lock(&sessions->saving);
    AUTO_FREE char *text = print_all(sessions);
    int r = text ? file_replace(sessions->path, 0600, text, strlen(text)) : -ENOMEM;
    pthread_mutex_unlock(&sessions->saving);
    return r;
}

static bool copy_fixed(char *to, size_t room, const char *from) {
    if (!from || strlen(from) + 1 != room)
        return false;
    memcpy(to, from, room);
    return true;
}

static void read_old(struct session *session, const struct json *list) {
    size_t i = 0;
    for (const struct json *item = json_first(list); item && i < OLD; item = json_next(item))
        if (copy_fixed(session->old[i], 65, json_get_text(item, "hash")))
            session->old_s[i++] = json_get_integer(item, "at", 0);
}

/* Those that are not whole, or were not used for long, are left out. */
static int read_session(struct issuer_sessions *sessions, const struct json *json) {
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return -ENOMEM;
    const char *email = json_get_text(json, "email"), *scope = json_get_text(json, "scope");
    session->used_s = json_get_integer(json, "used", 0);
    session->email = email ? strdup(email) : NULL;
    session->scope = scope ? strdup(scope) : NULL;
    bool good = session->email && session->scope && copy_fixed(session->id, 33, json_get_text(json, "id")) &&
                copy_fixed(session->hash, 65, json_get_text(json, "hash")) &&
                session->used_s > clock_realtime_s() - IDLE_S;
    if (!good) {
        session_free(session);
        return 0;
    }
    read_old(session, json_get(json, "old"));
    struct session **last = session_find(sessions, "");
    *last = session;
    return 0;
}

static int load(struct issuer_sessions *sessions) {
    AUTO_FREE char *text = NULL;
    AUTO_JSON struct json *all = NULL;
    size_t size;
    int r = file_read(sessions->path, 4 << 20, &text, &size);
    if (r)
        return r == -ENOENT ? 0 : r;
    r = json_parse(&all, text, size);
    const struct json *list = json_get(all, "sessions");
    for (const struct json *item = json_first(list); item && !r; item = json_next(item))
        r = read_session(sessions, item);
    return r;
}

int issuer_sessions_open(struct issuer_sessions **out, const char *path, unsigned overlap_s, struct fault *fault) {
    struct issuer_sessions *sessions = calloc(1, sizeof *sessions);
    if (!sessions || !(sessions->path = strdup(path))) {
        free(sessions);
        return -ENOMEM;
    }
    sessions->overlap_s = overlap_s;
    pthread_mutex_init(&sessions->lock, NULL);
    pthread_mutex_init(&sessions->saving, NULL);
    int r = load(sessions);
    if (r) {
        issuer_sessions_close(sessions);
        return fault_set(fault, r, "%s cannot be read: %s", path, error_text(r));
    }
    *out = sessions;
    return 0;
}

void issuer_sessions_close(struct issuer_sessions *sessions) {
    if (!sessions)
        return;
    while (sessions->sessions)
        session_end(sessions, sessions->sessions->id);
    for (size_t i = 0; i < MOST; i++) {
        once_clear(&sessions->tickets[i]);
        once_clear(&sessions->logins[i]);
        once_clear(&sessions->codes[i]);
    }
    pthread_mutex_destroy(&sessions->lock);
    pthread_mutex_destroy(&sessions->saving);
    free(sessions->path);
    free(sessions);
}

int issuer_sessions_redeem(struct issuer_sessions *sessions, const char *code, struct issuer_login *login) {
    char hash[65];
    int r = hash_of(code, hash);
    if (r)
        return r;
    bool ended = false;
    pthread_mutex_lock(&sessions->lock);
    struct once *once = once_find(sessions->codes, hash);
    if (!once) {
        r = -ENOENT;
    } else if (once->used) {
        ended = session_end(sessions, once->session);
        r = -ENOENT;
    } else {
        once->used = true;
        *login = once->login;
        once->login = (struct issuer_login){0};
    }
    pthread_mutex_unlock(&sessions->lock);
    if (ended)
        save(sessions);
    return r;
}

/* A new token for the session: "<id>.<random>". With the lock held. */
static int renew(struct session *session, struct issuer_session *out) {
    char random[65];
    random_hex(random, 32);
    out->refresh_token = text_format("%s.%s", session->id, random);
    explicit_bzero(random, sizeof random);
    int r = copy_text(&out->email, session->email);
    if (!r)
        r = copy_text(&out->scope, session->scope);
    if (!r)
        r = out->refresh_token ? hash_of(out->refresh_token, session->hash) : -ENOMEM;
    session->used_s = clock_realtime_s();
    return r;
}

/* The least used of too many ends. */
static void trim(struct issuer_sessions *sessions) {
    size_t count = 0;
    struct session *last = NULL;
    for (struct session *session = sessions->sessions; session; session = session->next, count++)
        last = session;
    if (count > MOST_SESSIONS)
        session_end(sessions, last->id);
}

static int start(struct issuer_sessions *sessions, const struct issuer_login *login, const char *code_hash,
                 struct issuer_session *out) {
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return -ENOMEM;
    random_hex(session->id, 16);
    int r = copy_text(&session->email, login->email);
    if (!r)
        r = copy_text(&session->scope, login->scope);
    if (!r)
        r = renew(session, out);
    if (r) {
        session_free(session);
        return r;
    }
    struct once *once = once_find(sessions->codes, code_hash);
    if (once)
        memcpy(once->session, session->id, sizeof session->id);
    session->next = sessions->sessions;
    sessions->sessions = session;
    trim(sessions);
    return 0;
}

int issuer_sessions_start(struct issuer_sessions *sessions, const struct issuer_login *login, const char *code,
                          struct issuer_session *out) {
    char hash[65];
    int r = hash_of(code, hash);
    if (r)
        return r;
    pthread_mutex_lock(&sessions->lock);
    r = start(sessions, login, hash, out);
    pthread_mutex_unlock(&sessions->lock);
    if (!r)
        r = save(sessions);
    if (r)
        issuer_session_finish(out);
    return r;
}

static void keep_old(struct session *session) {
    memmove(session->old[1], session->old[0], sizeof session->old[0] * (OLD - 1));
    memmove(&session->old_s[1], &session->old_s[0], sizeof session->old_s[0] * (OLD - 1));
    memcpy(session->old[0], session->hash, 65);
    session->old_s[0] = clock_realtime_s();
}

static bool just_replaced(const struct issuer_sessions *sessions, const struct session *session, const char *hash) {
    int64_t since_s = clock_realtime_s() - (int64_t)sessions->overlap_s;
    for (size_t i = 0; i < OLD; i++)
        if (text_equal_secret(session->old[i], hash) && session->old_s[i] >= since_s)
            return true;
    return false;
}

/* The session that a token names; its hash. NULL: none. With the lock held. */
static struct session *named(struct issuer_sessions *sessions, const char *token, char hash[65]) {
    char id[33];
    if (strlen(token) != 97 || token[32] != '.' || hash_of(token, hash))
        return NULL;
    memcpy(id, token, 32);
    id[32] = 0;
    return *session_find(sessions, id);
}

/* With the lock held. */
static int refresh(struct issuer_sessions *sessions, const char *token, struct issuer_session *out, bool *changed) {
    char hash[65];
    struct session *session = named(sessions, token, hash);
    if (!session)
        return -ENOENT;
    *changed = true;
    bool good = text_equal_secret(session->hash, hash);
    if ((!good && !just_replaced(sessions, session, hash)) || session->used_s < clock_realtime_s() - IDLE_S) {
        session_end(sessions, session->id);
        return -ENOENT;
    }
    keep_old(session); /* also when an old one came: then the token that its answer lost is good for a while yet */
    return renew(session, out);
}

int issuer_sessions_refresh(struct issuer_sessions *sessions, const char *token, struct issuer_session *out) {
    bool changed = false;
    pthread_mutex_lock(&sessions->lock);
    int r = refresh(sessions, token, out, &changed);
    pthread_mutex_unlock(&sessions->lock);
    int saved = changed ? save(sessions) : 0;
    if (!r)
        r = saved;
    if (r)
        issuer_session_finish(out);
    return r;
}

int issuer_sessions_revoke(struct issuer_sessions *sessions, const char *token) {
    char hash[65];
    pthread_mutex_lock(&sessions->lock);
    struct session *session = named(sessions, token, hash);
    bool good = session && (text_equal_secret(session->hash, hash) || just_replaced(sessions, session, hash));
    if (good)
        session_end(sessions, session->id);
    pthread_mutex_unlock(&sessions->lock);
    return good ? save(sessions) : 0;
}

char *issuer_sessions_last_email(struct issuer_sessions *sessions) {
    pthread_mutex_lock(&sessions->lock);
    struct session *last = sessions->sessions;
    for (struct session *session = last; session; session = session->next)
        if (session->used_s > last->used_s)
            last = session;
    char *email = last ? strdup(last->email) : NULL;
    pthread_mutex_unlock(&sessions->lock);
    return email;
}
