/* A bearer token that is always fresh.
 *
 * At most one thread renews, without holding the mutex; whoever comes meanwhile uses the old token while it lives, or
 * waits for the outcome. The thread that renews takes the lock file, reads the vault again (another process may have
 * renewed already), asks the issuer, stores, lets the lock go, and only then hands the token out. When the vault does
 * not take the new tokens, the old refresh token is spent: the new set and the lock stay here until it does. */
#include "auth/session.h"

#include "auth/discovery.h"
#include "auth/session_parts.h"
#include "auth/tokens.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <pthread.h>

enum { LOCK_WAIT_MS = 45000, MAX_ANSWER = 256 << 10 };
enum { RETRY_MS = 1000, LONGEST_RETRY_S = 60 };
enum { REFUSED_YOUNG_S = 10 }; /* a token that is refused at this age is not made better by a newer one */

struct session {
    struct account account; /* immutable */
    struct fetch *fetch;    /* owned; without tokens */

    struct vault *vault;      /* owned; this and the next three belong to the thread that renews */
    char *spent;              /* owned secret: the refresh token that was refused for good, never sent again */
    struct token_set unsaved; /* .refresh NULL: none */
    int unsaved_lock;         /* held while there is an unsaved set; -1 */

    pthread_mutex_t lock;
    pthread_cond_t renewed;
    /* protected by lock */
    struct token_set now; /* .access NULL: none yet */
    bool renewing;
    uint64_t rounds;
    int result; /* of the last round */
    struct fault fault;
    enum session_state state;
    int64_t quiet_until_ms; /* after a failure: nobody is asked before, everybody gets its result */
};

/* Renewing: by one thread at a time. */

static int save(struct session *session, struct token_set *fresh, int *lock_fd, struct fault *fault) {
    int r = tokens_store(session->vault, &session->account, fresh, fault);
    if (!r)
        return 0;
    session->unsaved = *fresh;
    *fresh = (struct token_set){0};
    session->unsaved_lock = *lock_fd;
    *lock_fd = -1;
    return fault_prefix(fault, r, "the renewed login cannot be kept");
}

static int save_again(struct session *session, struct token_set *out, struct fault *fault) {
    int r = tokens_store(session->vault, &session->account, &session->unsaved, fault);
    if (r)
        return fault_prefix(fault, r, "the renewed login cannot be kept");
    *out = session->unsaved;
    session->unsaved = (struct token_set){0};
    close(session->unsaved_lock);
    session->unsaved_lock = -1;
    return 0;
}

static int ask_issuer(struct session *session, const struct token_set *old, struct token_set *out,
                      int64_t *retry_after_s, struct fault *fault) {
    CLEANUP(discovery_finish) struct discovery discovery = {0};
    int r = discovery_fetch(&discovery, session->fetch, session->account.issuer, NULL, fault);
    if (r == PAIL_DAMAGED || r == PAIL_DENIED)
        return PAIL_OFFLINE; /* a portal, or an issuer that is being repaired: no reason to log in again */
    if (r)
        return r;
    return token_refresh(out, session->fetch, discovery.token_url, session->account.client_id, old->refresh,
                         retry_after_s, fault);
}

/* With what the vault holds. */
static int renew_kept(struct session *session, const struct token_set *kept, struct token_set *out, int *lock_fd,
                      int64_t *retry_after_s, struct fault *fault) {
    if (session->spent && text_equal(session->spent, kept->refresh))
        return fault_set(fault, PAIL_LOGIN_REQUIRED, "the login to %s has ended: run 'pail login %s'",
                         session->account.server, session->account.server);
    CLEANUP(token_set_finish) struct token_set fresh = {0};
    int r = ask_issuer(session, kept, &fresh, retry_after_s, fault);
    if (r == PAIL_LOGIN_REQUIRED) {
        secret_free(session->spent);
        session->spent = strdup(kept->refresh);
    }
    if (!r)
        r = save(session, &fresh, lock_fd, fault);
    if (!r) {
        *out = fresh;
        fresh = (struct token_set){0};
    }
    return r;
}

static bool serves(const struct token_set *set, const char *refused) {
    return set->access && token_set_is_young(set) && !text_equal(set->access, refused);
}

/* refused: an access token that must not be the answer, or NULL. */
static int renew(struct session *session, const char *refused, struct token_set *out, int64_t *retry_after_s,
                 struct fault *fault) {
    if (session->unsaved.refresh)
        return save_again(session, out, fault);
    AUTO_CLOSE int lock_fd = -1;
    int r = tokens_lock(&session->account, LOCK_WAIT_MS, &lock_fd, fault);
    if (r)
        return r;
    CLEANUP(token_set_finish) struct token_set kept = {0};
    r = tokens_load(session->vault, &session->account, &kept, fault);
    if (r == -ENOENT)
        return fault_set(fault, PAIL_LOGIN_REQUIRED, "nobody is logged in to %s: run 'pail login %s'",
                         session->account.server, session->account.server);
    if (r)
        return r;
    if (!serves(&kept, refused))
        return renew_kept(session, &kept, out, &lock_fd, retry_after_s, fault);
    *out = kept;
    kept = (struct token_set){0};
    return 0;
}

/* What everybody sees: under the lock. */

static enum session_state state_after(int result) {
    switch (result) {
    case 0:
        return SESSION_FRESH;
    case PAIL_LOGIN_REQUIRED:
        return SESSION_LOGIN_REQUIRED;
    case PAIL_OFFLINE:
    case PAIL_BUSY:
        return SESSION_OFFLINE;
    default:
        return SESSION_VAULT_CLOSED; /* VAULT_CLOSED, or a vault or folder that cannot be used */
    }
}

static void tell_change(enum session_state before, enum session_state after, const struct fault *fault) {
    if (after == SESSION_FRESH && before != SESSION_FRESH)
        log_info("The login is good again");
    else if (after != before)
        log_warning("%s", fault->text);
}

static void record(struct session *session, int result, struct token_set *fresh, int64_t retry_after_s,
                   const struct fault *fault) {
    if (!result) {
        token_set_finish(&session->now);
        session->now = *fresh;
        *fresh = (struct token_set){0};
    }
    int64_t quiet_s = retry_after_s < LONGEST_RETRY_S ? retry_after_s : LONGEST_RETRY_S;
    session->quiet_until_ms = result ? clock_monotonic_ms() + (quiet_s > 0 ? quiet_s * 1000 : RETRY_MS) : 0;
    session->fault = *fault;
    if (result && !session->fault.text[0])
        fault_set(&session->fault, result, "the login cannot be renewed: %s", error_text(result));
    session->result = result == VAULT_CLOSED ? PAIL_OFFLINE : result;
    enum session_state state = state_after(result);
    tell_change(session->state, state, &session->fault);
    session->state = state;
    session->rounds++;
}

static void renew_for_all(struct session *session, const char *refused) {
    struct token_set fresh = {0};
    struct fault fault = {{0}};
    int64_t retry_after_s = -1;
    session->renewing = true;
    pthread_mutex_unlock(&session->lock);
    int r = renew(session, refused, &fresh, &retry_after_s, &fault);
    pthread_mutex_lock(&session->lock);
    record(session, r, &fresh, retry_after_s, &fault);
    token_set_finish(&fresh);
    session->renewing = false;
    pthread_cond_broadcast(&session->renewed);
}

/* Good enough while a newer one cannot be had, or is being fetched. */
static bool still_alive(const struct session *session, const char *refused) {
    return session->now.access && token_set_left_s(&session->now) > 0 && !text_equal(session->now.access, refused);
}

/* A server that refuses even a new token would otherwise make us renew with every request. */
static bool refused_in_vain(const struct session *session, const char *refused) {
    int64_t age_s = session->now.life_s - token_set_left_s(&session->now);
    int64_t young_s = session->now.life_s / 5 < REFUSED_YOUNG_S ? session->now.life_s / 5 : REFUSED_YOUNG_S;
    return text_equal(session->now.access, refused) && age_s < young_s;
}

static int give(const struct session *session, char **token) {
    *token = strdup(session->now.access);
    return *token ? 0 : -ENOMEM;
}

static int give_or_fail(const struct session *session, const char *refused, char **token, struct fault *fault) {
    /* A token with a life so short that it is over by now is given nevertheless: the server is to judge. */
    bool renewed = !session->result && !text_equal(session->now.access, refused);
    if (renewed || serves(&session->now, refused) || still_alive(session, refused))
        return give(session, token);
    if (!session->result)
        return fault_set(fault, PAIL_OFFLINE, "the server refused a token that was just renewed");
    return fault_set(fault, session->result, "%s", session->fault.text);
}

static int get_locked(struct session *session, const char *refused, char **token, struct fault *fault) {
    if (serves(&session->now, refused))
        return give(session, token);
    if (refused && refused_in_vain(session, refused))
        return give(session, token);
    if (session->renewing) {
        if (still_alive(session, refused))
            return give(session, token);
        uint64_t round = session->rounds;
        while (session->renewing && session->rounds == round)
            pthread_cond_wait(&session->renewed, &session->lock);
    } else if (clock_monotonic_ms() >= session->quiet_until_ms) {
        renew_for_all(session, refused);
    }
    return give_or_fail(session, refused, token, fault);
}

static int session_get(void *context, const char *refused, char **token, struct fault *fault) {
    struct session *session = context;
    *token = NULL;
    pthread_mutex_lock(&session->lock);
    int r = get_locked(session, refused, token, fault);
    pthread_mutex_unlock(&session->lock);
    return r;
}

struct fetch_tokens session_tokens(struct session *session) {
    return (struct fetch_tokens){.context = session, .get = session_get};
}

enum session_state session_state(struct session *session, struct fault *fault) {
    pthread_mutex_lock(&session->lock);
    enum session_state state = session->state;
    if (fault)
        *fault = session->fault;
    pthread_mutex_unlock(&session->lock);
    return state;
}

/* Life. */

static int copy_account(struct account *out, const struct account *account) {
    *out = (struct account){.vault = account->vault};
    const char *from[] = {account->server, account->issuer, account->client_id, account->subject};
    char **to[] = {&out->server, &out->issuer, &out->client_id, &out->subject};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        if (!(*to[i] = strdup(from[i])))
            return -ENOMEM;
    return account_derive(out);
}

static void look_into_vault(struct session *session) {
    struct fault fault = {{0}};
    int r = tokens_load(session->vault, &session->account, &session->now, &fault);
    if (r == -ENOENT)
        r = fault_set(&fault, PAIL_LOGIN_REQUIRED, "nobody is logged in to %s: run 'pail login %s'",
                      session->account.server, session->account.server);
    session->fault = fault;
    session->state = state_after(r);
}

int session_create_with(struct session **out, const struct account *account, struct vault *vault, struct fault *fault) {
    struct session *session = calloc(1, sizeof *session);
    if (!session) {
        vault_destroy(vault);
        return -ENOMEM;
    }
    pthread_mutex_init(&session->lock, NULL);
    pthread_cond_init(&session->renewed, NULL);
    session->vault = vault;
    session->unsaved_lock = -1;
    struct fetch_options options = {.ca_file = account->ca_file, .max_answer = MAX_ANSWER};
    int r = copy_account(&session->account, account);
    if (!r)
        r = fetch_create(&session->fetch, &options);
    if (r) {
        session_destroy(session);
        return fault_set(fault, r, "the login cannot be used: %s", error_text(r));
    }
    look_into_vault(session);
    *out = session;
    return 0;
}

int session_create(struct session **out, const struct account *account, struct fault *fault) {
    struct vault *vault;
    int r = vault_open(&vault, account->vault, fault);
    return r ? r : session_create_with(out, account, vault, fault);
}

void session_destroy(struct session *session) {
    if (!session)
        return;
    token_set_finish(&session->now);
    token_set_finish(&session->unsaved);
    secret_free(session->spent);
    if (session->unsaved_lock >= 0)
        close(session->unsaved_lock);
    vault_destroy(session->vault);
    fetch_destroy(session->fetch);
    account_finish(&session->account);
    pthread_cond_destroy(&session->renewed);
    pthread_mutex_destroy(&session->lock);
    free(session);
}
