/* Removing an account with its files, and making a bucket anew. */
#include "s3/server/admin_bucket.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/server/bucket.h"
#include "s3/server/config.h"
#include "s3/server/removal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The way to the store, as the settings have it. */
struct store_access {
    struct transfer *transfer; /* owned, as the next two */
    struct credentials *credentials;
    struct sign_cache *signing;
    struct remote remote;
};

static void store_access_finish(struct store_access *access) {
    sign_cache_destroy(access->signing);
    credentials_destroy(access->credentials);
    transfer_destroy(access->transfer);
}

static int store_access_init(struct store_access *access, const struct config *config, struct fault *fault) {
    if (!config->endpoint)
        return fault_set(fault, -EINVAL, "[store] endpoint is missing: name the server's own settings, --config FILE");
    struct transfer_options options = {
        .ca_file = config->store_ca_file, .user_agent = "pail-server/" PAIL_VERSION, .connections = 4};
    int error = transfer_create(&access->transfer, &options);
    if (!error)
        error = credentials_create(&access->credentials, config, access->transfer, fault);
    if (!error)
        error = sign_cache_create(&access->signing);
    access->remote = (struct remote){
        .config = config,
        .transfer = access->transfer,
        .credentials = access->credentials,
        .signing = access->signing,
    };
    return error;
}

struct finding {
    struct users *users; /* borrowed */
    struct user *out;
    bool found;
};

static int take_found(void *context, const struct user *user) {
    struct finding *finding = context;
    finding->found = true;
    return users_find_id(finding->users, user->id, finding->out, NULL);
}

static int find_account(struct users *users, const char *account, struct user *out, struct fault *fault) {
    struct finding finding = {users, out, false};
    int error = users_each(users, account, take_found, &finding, fault);
    if (error || finding.found)
        return error;
    return fault_set(fault, -ENOENT, "there is no account \"%s\": pail users list shows them", account);
}

/* Typing the name. */

static char *name_to_type(const struct user *user) {
    return *user->prefix ? text_format("%s/%s", user->bucket, user->prefix) : strdup(user->bucket);
}

static int ask_name(const struct user *user, const char *name, char **typed, struct fault *fault) {
    size_t size = 0;
    if (!isatty(STDIN_FILENO))
        return fault_set(fault, -EINVAL, "this deletes %s for good: say so with --confirm %s", name, name);
    fprintf(stderr,
            "This deletes the account %s and every file that it has, older versions too. Nothing brings them back.\n"
            "Type %s to go on: ",
            user->email, name);
    fflush(stderr);
    ssize_t got = getline(typed, &size, stdin);
    if (got < 0)
        return fault_set(fault, PAIL_CANCELLED, "nothing was typed: nothing was deleted");
    (*typed)[strcspn(*typed, "\n")] = '\0';
    return 0;
}

static int confirm_name(const struct user *user, const char *confirm, struct fault *fault) {
    AUTO_FREE char *name = name_to_type(user), *typed = NULL;
    int error = !name ? -ENOMEM : confirm ? 0 : ask_name(user, name, &typed, fault);
    if (error)
        return error;
    if (text_equal(confirm ? confirm : typed, name))
        return 0;
    return fault_set(fault, PAIL_CANCELLED, "\"%s\" is not %s: nothing was deleted", confirm ? confirm : typed, name);
}

static void tell_progress(void *context, uint64_t destroyed) {
    (void)context;
    fprintf(stderr, "%llu versions and uploads deleted\n", (unsigned long long)destroyed);
}

int admin_bucket_remove(const struct config *config, struct users *users, const char *account, const char *confirm,
                        struct fault *fault) {
    CLEANUP(user_finish) struct user user = {0};
    CLEANUP(store_access_finish) struct store_access access = {0};
    int error = find_account(users, account, &user, fault);
    if (!error)
        error = store_access_init(&access, config, fault);
    struct removal_options options = {.remote = &access.remote, .users = users, .tell = tell_progress};
    if (!error)
        error = removal_check(&options, &user, fault); /* before anybody types */
    if (!error)
        error = confirm_name(&user, confirm, fault);
    return error ? error : removal_run(&options, &user, fault);
}

int admin_bucket_renew(const struct config *config, struct users *users, const char *account, struct fault *fault) {
    CLEANUP(user_finish) struct user user = {0};
    CLEANUP(store_access_finish) struct store_access access = {0};
    enum bucket_found found = BUCKET_FOREIGN;
    bool changed;
    int error = find_account(users, account, &user, fault);
    if (!error && *user.prefix)
        return fault_set(fault, -EINVAL, "%s is shared by all accounts: the server makes it when it starts",
                         user.bucket);
    if (!error)
        error = store_access_init(&access, config, fault);
    if (!error)
        error = bucket_find(&access.remote, user.bucket, user.mark, &found, fault);
    if (error)
        return error;
    if (found != BUCKET_MISSING)
        return fault_set(fault, -EEXIST, "the bucket %s is there: nothing was changed", user.bucket);
    error = users_record_missing(users, user.id, true, &changed, fault);
    return error ? error : users_begin_anew(users, user.id, fault);
}
