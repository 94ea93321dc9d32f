/* Secrets in the desktop's keyring, through the Secret Service. */
#include "auth/vault.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <libsecret/secret.h>
#include <pthread.h>
#include <string.h>

enum { ANSWER_MS = 15000, PROMPT_MS = 120000, TICK_MS = 50, LEAVE_MS = 3000 };

static const SecretSchema schema = {
    .name = "org.pail.Account",
    .flags = SECRET_SCHEMA_NONE,
    .attributes = {{"account", SECRET_SCHEMA_ATTRIBUTE_STRING}, {NULL, 0}},
};

/* libsecret keeps one connection for the process; after a failure the next call makes a new one. */
static int closed(struct fault *fault, GError **error, const char *what) {
    const char *says = *error ? (*error)->message : "no answer";
    int r = fault_set(fault, VAULT_CLOSED,
                      "the keyring (Secret Service) %s: %s. Unlock or start it, or use --vault=file", what, says);
    g_clear_error(error);
    secret_service_disconnect();
    return r;
}

static int connect_service(SecretService **service, GCancellable *cancellable, struct fault *fault) {
    GError *error = NULL;
    *service = secret_service_get_sync(SECRET_SERVICE_OPEN_SESSION, cancellable, &error);
    return *service ? 0 : closed(fault, &error, "cannot be reached");
}

static int store_item(const char *id, const char *secret, GCancellable *cancellable, struct fault *fault) {
    GError *error = NULL;
    g_autofree char *label = g_strdup_printf("Pail login %s", id);
    if (secret_password_store_sync(&schema, SECRET_COLLECTION_DEFAULT, label, secret, cancellable, &error, "account",
                                   id, NULL))
        return 0;
    return closed(fault, &error, "did not take the secret");
}

static GList *search(SecretService *service, const char *id, GCancellable *cancellable, GError **error) {
    g_autoptr(GHashTable) attributes = secret_attributes_build(&schema, "account", id, NULL);
    return secret_service_search_sync(service, &schema, attributes, SECRET_SEARCH_LOAD_SECRETS, cancellable, error);
}

static int copy_value(SecretItem *item, char **secret, struct fault *fault) {
    if (secret_item_get_locked(item))
        return fault_set(fault, VAULT_CLOSED, "the keyring is locked: unlock it to go on");
    g_autoptr(SecretValue) value = secret_item_get_secret(item);
    const char *text = value ? secret_value_get_text(value) : NULL;
    if (!text)
        return fault_set(fault, VAULT_CLOSED, "the keyring did not give the secret");
    *secret = strdup(text);
    return *secret ? 0 : -ENOMEM;
}

/* A keyring that is locked or not there may find nothing at all: that is no reason to log in again. */
static int nothing_found(SecretService *service, const char *id, GCancellable *cancellable, struct fault *fault) {
    GError *error = NULL;
    g_autoptr(SecretCollection) collection = secret_collection_for_alias_sync(
        service, SECRET_COLLECTION_DEFAULT, SECRET_COLLECTION_NONE, cancellable, &error);
    if (error)
        return closed(fault, &error, "cannot be searched");
    if (!collection || secret_collection_get_locked(collection))
        return fault_set(fault, VAULT_CLOSED, "the keyring is locked: unlock it to go on");
    return fault_set(fault, -ENOENT, "nothing is kept for %s", id);
}

/* Searching, not looking up: a lookup would open a dialog to unlock the keyring, from a mount in the background. */
static int load_item(const char *id, char **secret, GCancellable *cancellable, struct fault *fault) {
    g_autoptr(SecretService) service = NULL;
    int r = connect_service(&service, cancellable, fault);
    if (r)
        return r;
    GError *error = NULL;
    GList *items = search(service, id, cancellable, &error);
    if (error)
        r = closed(fault, &error, "cannot be searched");
    else if (!items)
        r = nothing_found(service, id, cancellable, fault);
    else
        r = copy_value(items->data, secret, fault);
    g_list_free_full(items, g_object_unref);
    return r;
}

static int erase_item(const char *id, GCancellable *cancellable, struct fault *fault) {
    GError *error = NULL;
    secret_password_clear_sync(&schema, cancellable, &error, "account", id, NULL);
    return error ? closed(fault, &error, "did not erase the secret") : 0;
}

/* Asks the person to unlock the default keyring where it is locked. One that does not exist is made by storing. */
static int unlock(GCancellable *cancellable, struct fault *fault) {
    g_autoptr(SecretService) service = NULL;
    int r = connect_service(&service, cancellable, fault);
    if (r)
        return r;
    GError *error = NULL;
    g_autoptr(SecretCollection) collection = secret_collection_for_alias_sync(
        service, SECRET_COLLECTION_DEFAULT, SECRET_COLLECTION_NONE, cancellable, &error);
    if (error)
        return closed(fault, &error, "has no default keyring");
    if (!collection || !secret_collection_get_locked(collection))
        return 0;
    GList one = {.data = collection};
    if (secret_service_unlock_sync(service, &one, cancellable, NULL, &error) > 0)
        return 0;
    if (error)
        return closed(fault, &error, "was not unlocked");
    return fault_set(fault, VAULT_CLOSED, "the keyring stayed locked: unlock it, or use --vault=file");
}

static int probe_item(GCancellable *cancellable, struct fault *fault) {
    char id[] = "probe-XXXXXXXX";
    random_hex(id + 6, 4);
    AUTO_SECRET char *back = NULL;
    int r = unlock(cancellable, fault);
    if (!r)
        r = store_item(id, "probe", cancellable, fault);
    if (r)
        return r;
    r = load_item(id, &back, cancellable, fault);
    int erased = erase_item(id, cancellable, r ? NULL : fault);
    if (r == -ENOENT || (!r && strcmp(back, "probe") != 0))
        return fault_set(fault, VAULT_CLOSED, "the keyring did not keep a secret; use --vault=file");
    return r ? r : erased;
}

/* One call. libsecret makes it on a thread of its own, and the caller waits: for a keyring that never answers, or a
 * dialog that nobody sees, the call is cancelled; one that does not return even then is left to itself. */
struct call {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool finished, left;       /* under lock: who is last frees it */
    GCancellable *cancellable; /* owned, as the next three */
    char *id, *secret;         /* NULL: not of this call; secret is what is stored, or was loaded */
    int (*make)(struct call *call);
    int result;
    struct fault fault;
};

static int make_probe(struct call *call) {
    return probe_item(call->cancellable, &call->fault);
}

static int make_store(struct call *call) {
    return store_item(call->id, call->secret, call->cancellable, &call->fault);
}

static int make_load(struct call *call) {
    return load_item(call->id, &call->secret, call->cancellable, &call->fault);
}

static int make_erase(struct call *call) {
    return erase_item(call->id, call->cancellable, &call->fault);
}

static void call_free(struct call *call) {
    pthread_cond_destroy(&call->ended);
    pthread_mutex_destroy(&call->lock);
    g_object_unref(call->cancellable);
    secret_free(call->secret);
    free(call->id);
    free(call);
}

static struct call *call_create(int (*make)(struct call *call), const char *id, const char *secret) {
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    pthread_mutex_init(&call->lock, NULL);
    clock_cond_init(&call->ended);
    call->cancellable = g_cancellable_new();
    call->make = make;
    call->id = id ? strdup(id) : NULL;
    call->secret = secret ? strdup(secret) : NULL;
    if ((!id || call->id) && (!secret || call->secret))
        return call;
    call_free(call);
    return NULL;
}

static void *call_thread(void *context) {
    struct call *call = context;
    int result = call->make(call);
    pthread_mutex_lock(&call->lock);
    call->result = result;
    call->finished = true;
    bool left = call->left;
    pthread_cond_signal(&call->ended);
    pthread_mutex_unlock(&call->lock);
    if (left)
        call_free(call);
    return NULL;
}

/* Under lock, a moment at most. */
static void wait_a_moment(struct call *call) {
    clock_cond_wait_ms(&call->ended, &call->lock, TICK_MS);
}

/* Whether it ended; else it is the thread's own from now on. */
static bool wait_for_end(struct call *call, int limit_ms, const _Atomic bool *cancelled) {
    int64_t until_ms = clock_monotonic_ms() + limit_ms;
    pthread_mutex_lock(&call->lock);
    while (!call->finished && !(cancelled && atomic_load(cancelled)) && clock_monotonic_ms() < until_ms)
        wait_a_moment(call);
    if (!call->finished) {
        pthread_mutex_unlock(&call->lock); /* what waits for the cancelling runs in this thread */
        g_cancellable_cancel(call->cancellable);
        pthread_mutex_lock(&call->lock);
    }
    until_ms = clock_monotonic_ms() + LEAVE_MS;
    while (!call->finished && clock_monotonic_ms() < until_ms)
        wait_a_moment(call);
    call->left = !call->finished;
    bool finished = call->finished;
    pthread_mutex_unlock(&call->lock);
    return finished;
}

/* Takes the call. *secret (NULL: not wanted) is the caller's. */
static int perform(struct call *call, int limit_ms, const _Atomic bool *cancelled, char **secret, struct fault *fault) {
    pthread_t thread;
    if (!call)
        return -ENOMEM;
    int r = -pthread_create(&thread, NULL, call_thread, call);
    if (r) {
        call_free(call);
        return r;
    }
    pthread_detach(thread);
    if (!wait_for_end(call, limit_ms, cancelled))
        return fault_set(fault, VAULT_CLOSED,
                         "the keyring (Secret Service) does not answer. Restart it, or use --vault=file");
    r = call->result;
    if (r && fault)
        *fault = call->fault;
    if (!r && secret)
        *secret = TAKE(call->secret);
    call_free(call);
    return r;
}

static int secret_probe(struct vault *vault, const _Atomic bool *cancelled, struct fault *fault) {
    (void)vault;
    return perform(call_create(make_probe, NULL, NULL), PROMPT_MS, cancelled, NULL, fault);
}

static int secret_store(struct vault *vault, const char *id, const char *secret, struct fault *fault) {
    (void)vault;
    return perform(call_create(make_store, id, secret), ANSWER_MS, NULL, NULL, fault);
}

static int secret_load(struct vault *vault, const char *id, char **secret, struct fault *fault) {
    (void)vault;
    return perform(call_create(make_load, id, NULL), ANSWER_MS, NULL, secret, fault);
}

static int secret_erase(struct vault *vault, const char *id, struct fault *fault) {
    (void)vault;
    return perform(call_create(make_erase, id, NULL), ANSWER_MS, NULL, NULL, fault);
}

static void secret_destroy(struct vault *vault) {
    secret_service_disconnect();
    free(vault);
}

static const struct vault_operations secret_operations = {
    .destroy = secret_destroy,
    .probe = secret_probe,
    .store = secret_store,
    .load = secret_load,
    .erase = secret_erase,
};

int vault_secret_open(struct vault **out) {
    struct vault *vault = calloc(1, sizeof *vault);
    if (!vault)
        return -ENOMEM;
    vault->operations = &secret_operations;
    *out = vault;
    return 0;
}
