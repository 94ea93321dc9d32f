/* The server's own storage keys: chosen once, renewed when they have an end. */
#include "s3/server/credentials.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/config.h"
#include "s3/server/credentials_sources.h"

#include <pthread.h>
#include <string.h>

#define RENEW_BEFORE_S 1500 /* so that a grant's usual life fits */
#define RETRY_S 30
#define WATCH_MS 100 /* a file of keys is looked at this often */

static const struct source {
    const char *name;
    credentials_source *load;
    bool fixed; /* a running server never sees others */
} sources[] = {
    {"settings", credentials_from_settings, true},  {"environment", credentials_from_environment, true},
    {"profile", credentials_from_profile, false},   {"container", credentials_from_container, false},
    {"instance", credentials_from_instance, false},
};

struct credentials {
    const struct config *config; /* borrowed */
    struct transfer *transfer;   /* borrowed */
    const struct source *source;
    pthread_mutex_t lock;
    pthread_cond_t renewed;
    struct lease lease; /* under lock, as all below */
    bool renewing;
    int64_t tried_s;    /* boot time */
    int64_t watched_ms; /* monotonic */
    struct credentials_stamp stamp;
};

void lease_finish(struct lease *lease) {
    free(lease->access_key);
    secret_free(lease->secret_key);
    secret_free(lease->session_token);
    *lease = (struct lease){0};
}

int lease_copy(struct lease *to, const struct lease *from) {
    *to = (struct lease){
        .access_key = strdup(from->access_key),
        .secret_key = strdup(from->secret_key),
        .session_token = from->session_token ? strdup(from->session_token) : NULL,
        .expires_s = from->expires_s,
        .generation = from->generation,
    };
    if (to->access_key && to->secret_key && (to->session_token || !from->session_token))
        return 0;
    lease_finish(to);
    return -ENOMEM;
}

struct sign_credentials lease_to_sign(const struct lease *lease, const char *region) {
    return (struct sign_credentials){
        .access_key = lease->access_key,
        .secret_key = lease->secret_key,
        .session_token = lease->session_token,
        .region = region,
        .service = "s3",
    };
}

/* The first source that has keys, or the one that the settings name. */
static int choose(struct credentials *credentials, struct fault *fault) {
    const char *wanted = credentials->config->credentials;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (!text_equal(wanted, "auto") && !text_equal(wanted, sources[i].name))
            continue;
        int error = sources[i].load(credentials->config, credentials->transfer, &credentials->lease, fault);
        if (error == -ENOENT)
            continue;
        credentials->source = &sources[i];
        return error;
    }
    return fault_set(fault, -ENOENT,
                     "[store] credentials = \"%s\": there are no storage keys: set AWS_ACCESS_KEY_ID and "
                     "AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials, or access_key_id and secret_access_key",
                     wanted);
}

int credentials_create(struct credentials **out, const struct config *config, struct transfer *transfer,
                       struct fault *fault) {
    struct credentials *credentials = calloc(1, sizeof *credentials);
    if (!credentials)
        return -ENOMEM;
    credentials->config = config;
    credentials->transfer = transfer;
    pthread_mutex_init(&credentials->lock, NULL);
    pthread_cond_init(&credentials->renewed, NULL);
    credentials_profile_stamp(&credentials->stamp);
    int error = choose(credentials, fault);
    if (error) {
        credentials_destroy(credentials);
        return error;
    }
    log_debug("Storage keys come from: %s", credentials->source->name);
    *out = credentials;
    return 0;
}

void credentials_destroy(struct credentials *credentials) {
    if (!credentials)
        return;
    lease_finish(&credentials->lease);
    pthread_cond_destroy(&credentials->renewed);
    pthread_mutex_destroy(&credentials->lock);
    free(credentials);
}

enum age { FRESH, AGING, OVER };

static enum age age_of(const struct credentials *credentials) {
    int64_t left = credentials->lease.expires_s - clock_realtime_s();
    if (!credentials->lease.expires_s || left > RENEW_BEFORE_S)
        return FRESH;
    return left > 0 ? AGING : OVER;
}

static bool same_keys(const struct lease *a, const struct lease *b) {
    return text_equal(a->access_key, b->access_key) && text_equal(a->secret_key, b->secret_key) &&
           text_equal(a->session_token, b->session_token);
}

/* Under lock, which is let go while the source is asked. */
static int renew(struct credentials *credentials, struct fault *fault) {
    struct lease fresh = {0};
    credentials->renewing = true;
    credentials->tried_s = clock_boottime_s();
    pthread_mutex_unlock(&credentials->lock);
    int error = credentials->source->load(credentials->config, credentials->transfer, &fresh, fault);
    if (error)
        log_warning("The storage keys could not be renewed: %s", fault->text[0] ? fault->text : "there are none");
    pthread_mutex_lock(&credentials->lock);
    credentials->renewing = false;
    pthread_cond_broadcast(&credentials->renewed);
    if (error)
        return error == -ENOENT ? PAIL_DENIED : error;
    fresh.generation = credentials->lease.generation + !same_keys(&fresh, &credentials->lease);
    lease_finish(&credentials->lease);
    credentials->lease = fresh;
    return 0;
}

/* Not under lock, which disks do not wait for: whether the file of keys is another than it was. */
static bool file_changed(struct credentials *credentials) {
    struct credentials_stamp stamp;
    if (credentials->source->load != credentials_from_profile)
        return false;
    credentials_profile_stamp(&stamp);
    pthread_mutex_lock(&credentials->lock);
    bool changed = memcmp(&stamp, &credentials->stamp, sizeof stamp) != 0;
    credentials->stamp = stamp;
    pthread_mutex_unlock(&credentials->lock);
    return changed;
}

static bool is_time_to_look(struct credentials *credentials) {
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&credentials->lock);
    bool due = now - credentials->watched_ms >= WATCH_MS;
    if (due)
        credentials->watched_ms = now;
    pthread_mutex_unlock(&credentials->lock);
    return due;
}

int credentials_get(struct credentials *credentials, struct lease *out, struct fault *fault) {
    struct fault ignored = {0};
    struct fault *why = fault ? fault : &ignored;
    int error = 0;
    bool changed = is_time_to_look(credentials) && file_changed(credentials);
    pthread_mutex_lock(&credentials->lock);
    while (credentials->renewing && age_of(credentials) == OVER)
        pthread_cond_wait(&credentials->renewed, &credentials->lock);
    enum age age = age_of(credentials);
    bool may = !credentials->renewing && (age == OVER || clock_boottime_s() - credentials->tried_s >= RETRY_S);
    if ((age != FRESH && may) || (changed && !credentials->renewing))
        error = renew(credentials, why);
    if (error && age_of(credentials) != OVER)
        error = 0; /* what is left of the old ones still serves */
    if (!error)
        error = lease_copy(out, &credentials->lease);
    pthread_mutex_unlock(&credentials->lock);
    return error;
}

bool credentials_at_hand(struct credentials *credentials) {
    pthread_mutex_lock(&credentials->lock);
    bool fresh = age_of(credentials) == FRESH;
    pthread_mutex_unlock(&credentials->lock);
    return fresh;
}

bool credentials_replaced(struct credentials *credentials, unsigned generation) {
    struct fault fault = {0};
    bool changed = file_changed(credentials);
    pthread_mutex_lock(&credentials->lock);
    if (changed && !credentials->renewing)
        renew(credentials, &fault);
    bool replaced = credentials->lease.generation != generation;
    pthread_mutex_unlock(&credentials->lock);
    return replaced;
}

bool credentials_refused(struct credentials *credentials, unsigned generation) {
    struct fault fault = {0};
    pthread_mutex_lock(&credentials->lock);
    bool known = credentials->lease.generation != generation; /* others are there already */
    bool may = !known && !credentials->renewing && clock_boottime_s() - credentials->tried_s >= RETRY_S;
    if (may)
        renew(credentials, &fault);
    bool renewed = credentials->lease.generation != generation;
    pthread_mutex_unlock(&credentials->lock);
    if (may && !renewed)
        log_error("The store refuses the storage keys, which come from the %s: %s", credentials->source->name,
                  credentials->source->fixed ? "give the server the new ones and restart it" : "it has no others yet");
    else if (may)
        log_info("The store refused the storage keys; the %s has others", credentials->source->name);
    return renewed;
}
