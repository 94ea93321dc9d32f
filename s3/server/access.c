/* Who is asking. */
#include "s3/server/access.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/config.h"
#include "s3/server/reply.h"
#include "s3/wire.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TELL_EVERY_MS 10000

static const char *bearer_of(const struct http_request *request) {
    const char *header = http_header(request, "authorization");
    return header && !strncasecmp(header, "Bearer ", 7) ? header + 7 + strspn(header + 7, " ") : NULL;
}

/* Asking too often. */

/* One line in ten seconds says that somebody is held back; the metrics count all. */
static void tell(struct server *server, const struct asked *asked, const char *reason) {
    char address[64] = "unknown";
    int64_t now = clock_monotonic_ms(), told = atomic_load(&server->told_limit_ms);
    if ((told && now - told < TELL_EVERY_MS) || !atomic_compare_exchange_strong(&server->told_limit_ms, &told, now))
        return;
    if (!asked->origin.unknown)
        peer_print(&asked->origin.peer, address);
    struct log_field fields[] = {{.name = "reason", .value = reason},
                                 {.name = "address", .value = address},
                                 {.name = "account", .value = asked->account}};
    log_event(LOG_WARNING, fields, *asked->account ? 3 : 2, "Somebody asks too often and is held back");
}

static bool refuse(struct server *server, struct http_request *request, unsigned after_s, const char *reason,
                   const char *message) {
    struct reply_kind kind = reply_limited(after_s, reason);
    if (after_s) {
        tell(server, request->own, reason);
        reply_error(request, &kind, message);
    }
    return !after_s;
}

/* A token that was good is its account's, whether or not the account has to be read again by now. */
static bool admit_known(struct server *server, struct http_request *request, struct asked *asked,
                        const struct known *known) {
    snprintf(asked->account, sizeof asked->account, "%s", known->user.name);
    return refuse(server, request, limits_account(server->limits, known->user.id), METRICS_LIMITED_ACCOUNT,
                  "this account asks too often");
}

static bool admit_stranger(struct server *server, struct http_request *request, struct asked *asked) {
    unsigned after_s = limits_address(server->limits, &asked->origin);
    if (after_s)
        return refuse(server, request, after_s, METRICS_LIMITED_ADDRESS, "this address asks too often");
    after_s = asked->access.token ? limits_failures(server->limits, &asked->origin) : 0;
    return refuse(server, request, after_s, METRICS_LIMITED_FAILURES,
                  "too many bad logins came from this address: try again later");
}

bool access_admit(struct server *server, struct http_request *request, struct asked *asked) {
    struct access *access = &asked->access;
    access->token = bearer_of(request);
    access->size = access->token ? strlen(access->token) : 0;
    if (access->token && tokens_hash(access->token, access->size, access->hash)) {
        reply_error(request, &reply_internal, "out of memory");
        return false;
    }
    struct known *known = access->token ? tokens_seen(server->tokens, access->hash) : NULL;
    bool admitted = known ? admit_known(server, request, asked, known) : admit_stranger(server, request, asked);
    known_release(known);
    return admitted;
}

bool access_admit_urls(struct server *server, struct http_request *request, int64_t account, size_t urls) {
    return refuse(server, request, limits_account_urls(server->limits, account, urls), METRICS_LIMITED_GRANTS,
                  "this account asks for too many grants");
}

/* Who it is. */

bool access_read(struct http_request *request, struct access *access) {
    const struct asked *asked = request->own;
    *access = asked->access;
    if (!access->token)
        reply_error(request, &reply_token, "there is no bearer token: log in");
    return access->token != NULL;
}

/* Never waits. */
static struct known *remembered(struct server *server, const struct access *access) {
    return tokens_find(server->tokens, access->hash, verify_generation(server->verify));
}

bool access_verify(struct server *server, struct http_request *request, const struct access *access,
                   struct verify_claims *claims) {
    struct fault fault = {0};
    int result = verify_token(server->verify, access->token, access->size, claims, &fault);
    if (!result)
        return true;
    if (result == VERIFY_UNPROVEN)
        reply_error(request, &reply_unavailable, fault.text);
    else if (result == VERIFY_UNVERIFIED)
        reply_error(request, &reply_denied, fault.text);
    else if (result == VERIFY_REFUSED)
        reply_error(request, &reply_token, fault.text);
    else
        reply_error(request, &reply_internal, error_text(result));
    return false;
}

bool access_check_user(struct http_request *request, const struct user *user) {
    struct asked *asked = request->own;
    snprintf(asked->account, sizeof asked->account, "%s", user->name);
    if (!user->suspended && !user->missing_s)
        return true;
    reply_error(request, &reply_denied,
                user->removing_s  ? "this account is being removed: ask your administrator"
                : user->suspended ? "this account is suspended: ask your administrator"
                                  : "your bucket is gone from the store, with the files in it: ask your administrator");
    return false;
}

static bool find_user(struct server *server, struct http_request *request, const struct verify_claims *claims,
                      struct user *user) {
    struct fault fault = {0};
    int error = users_find(server->users, server->config->issuer, claims->subject, user, &fault);
    if (error == -ENOENT) {
        reply_error(request, &reply_not_found, "there is no account yet: ask " WIRE_PATH_SESSION " first");
        return false;
    }
    if (error) {
        log_error("%s", fault.text);
        metrics_count(server->metrics, METRICS_DATABASE_FAILED);
        reply_error(request, &reply_unavailable, "the accounts cannot be read right now");
        return false;
    }
    if (user->state == USERS_READY)
        return access_check_user(request, user);
    reply_error(request, &reply_busy, "the account's bucket is not ready yet: ask " WIRE_PATH_SESSION);
    return false;
}

/* Verifies, finds the account and remembers both. NULL: answered. */
static struct known *verified_account(struct server *server, struct http_request *request,
                                      const struct access *access) {
    CLEANUP(verify_claims_finish) struct verify_claims claims = {0};
    CLEANUP(user_finish) struct user user = {0};
    struct known *known = NULL;
    if (!access_verify(server, request, access, &claims) || !find_user(server, request, &claims, &user))
        return NULL;
    if (tokens_add(server->tokens, access->hash, claims.expires_s, claims.generation, &user, &known))
        reply_error(request, &reply_internal, "out of memory");
    return known;
}

struct known *access_find(struct server *server, struct http_request *request, bool *moved) {
    struct access access;
    if (!access_read(request, &access))
        return NULL;
    struct known *known = remembered(server, &access);
    if (known) {
        if (access_check_user(request, &known->user))
            return known;
        known_release(known);
        return NULL;
    }
    *moved = http_elsewhere(request);
    return *moved ? NULL : verified_account(server, request, &access);
}
