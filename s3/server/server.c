/* Building the mapping server out of its parts, and taking it down again. */
#include "s3/server/server.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/config.h"
#include "s3/server/inside.h"
#include "s3/server/tls.h"

#include <stdio.h>
#include <string.h>

#define PROVE_EVERY_S (24 * 3600)
#define PROVE_RETRY_S 30
#define CONNECTION_MEMORY (9u << 10) /* headers up to 8 KiB, as proxies have it; every idle connection holds it */

DEFINE_CLEANUP(struct server *, server_destroy)

/* The store's proof. */

int server_proof(struct server *server, bool versioned, struct proof *out) {
    pthread_mutex_lock(&server->lock);
    bool known = server->is_proven[versioned];
    *out = server->proofs[versioned];
    pthread_mutex_unlock(&server->lock);
    return known ? 0 : -EAGAIN;
}

bool server_lends(struct server *server) {
    struct proof proof;
    return server->lending && !server_proof(server, server->config->keep_versions_d != 0, &proof) &&
           proof.lending == PROOF_LENDING_SAFE;
}

static void set_proof(struct server *server, bool versioned, const struct proof *proof) {
    pthread_mutex_lock(&server->lock);
    server->is_proven[versioned] = proof != NULL;
    if (proof)
        server->proofs[versioned] = *proof;
    pthread_mutex_unlock(&server->lock);
}

static int check_versions(const struct config *config, const struct proof *proof, struct fault *fault) {
    if (config->keep_versions_d || proof_has_all_conditions(&proof->features))
        return 0;
    return fault_set(fault, -EINVAL,
                     "[store] keep_versions_d = \"0\" is wrong: this store does not honour all conditions, so that two "
                     "writers could destroy each other's files: keep versions, 30 days for example");
}

static int prove(struct server *server, bool versioned, struct fault *fault) {
    struct proof proof;
    int error = proof_run(&server->remote, server->users, server->role, server->lending, versioned, &proof, fault);
    if (!error && versioned == (server->config->keep_versions_d != 0))
        error = check_versions(server->config, &proof, fault);
    if (!error)
        error = proof_save(server->users, server->config, versioned, &proof, fault);
    if (!error)
        set_proof(server, versioned, &proof);
    else if (error != PAIL_OFFLINE)
        set_proof(server, versioned, NULL); /* fails closed: what was proven holds no more */
    if (error)
        metrics_count(server->metrics, METRICS_PROOF_FAILED);
    else if (proof.lending == PROOF_LENDING_REFUSED)
        log_warning("Temporary keys are not offered: %s", proof.lending_why);
    return error;
}

static bool is_due(struct server *server, bool versioned) {
    struct proof proof;
    if (server_proof(server, versioned, &proof))
        return true;
    if (server->lending && proof.lending == PROOF_LENDING_UNTRIED)
        return true;
    int64_t age = clock_realtime_s() - proof.proven_s;
    return age < 0 || age >= PROVE_EVERY_S;
}

/* At start: what the database has is good for a day; after that, only while the store does not answer. */
static int prove_at_start(struct server *server, bool versioned, struct fault *fault) {
    struct proof kept;
    bool have = !proof_load(server->users, server->config, versioned, &kept) && (kept.refuses_added || server->role) &&
                !check_versions(server->config, &kept, NULL);
    if (have && kept.lending == PROOF_LENDING_REFUSED)
        kept.lending = PROOF_LENDING_UNTRIED; /* the operator may have mended it */
    if (have)
        set_proof(server, versioned, &kept);
    if (!is_due(server, versioned))
        return 0;
    int error = prove(server, versioned, fault);
    if (error != PAIL_OFFLINE || !have)
        return error;
    log_warning("The store does not answer (%s); what was proven before still holds", fault->text);
    return 0;
}

/* Whether accounts of this kind are there, or will be. */
struct kinds {
    bool wanted[2];
};

static int note_kind(void *context, const struct user *user) {
    struct kinds *kinds = context;
    if (user->state >= USERS_CONFIGURED)
        kinds->wanted[user->versioned_at_s != 0] = true;
    return kinds->wanted[0] && kinds->wanted[1];
}

/* The shared bucket stays as it was made, with versions or without. */
static int note_shared_kind(struct server *server, struct kinds *kinds, struct fault *fault) {
    CLEANUP(shared_finish) struct shared shared = {0};
    if (server->config->layout != CONFIG_SHARED)
        return 0;
    int error = shared_load(server->users, server->config, &shared, fault);
    if (!error && shared.state >= USERS_CONFIGURED)
        kinds->wanted[shared.versioned_at_s != 0] = true;
    return error == -ENOENT ? 0 : error;
}

static int prove_kinds(struct server *server, struct fault *fault) {
    bool usual = server->config->keep_versions_d != 0;
    struct kinds kinds = {{false, false}};
    kinds.wanted[usual] = true;
    int error = note_shared_kind(server, &kinds, fault);
    if (error)
        return error;
    error = users_each(server->users, NULL, note_kind, &kinds, fault);
    if (error < 0)
        return error;
    error = prove_at_start(server, usual, fault);
    return error || !kinds.wanted[!usual] ? error : prove_at_start(server, !usual, fault);
}

static bool block_public_acls(void *context) {
    struct server *server = context;
    struct proof proof;
    return !server_proof(server, server->config->keep_versions_d != 0, &proof) && proof.block_public_acls;
}

struct provision_options server_provision_tools(struct server *server) {
    return (struct provision_options){
        .remote = &server->remote,
        .users = server->users,
        .block_public_acls = block_public_acls,
        .context = server,
        .metrics = server->metrics,
    };
}

/* At start, when the store is proven: so a first login finds it ready. */
static int prepare_shared(struct server *server, struct fault *fault) {
    if (server->config->layout != CONFIG_SHARED)
        return 0;
    int error = shared_prepare(&server->remote, server->users, block_public_acls(server), &server->shared, fault);
    if (error != PAIL_OFFLINE || !server->shared.bucket)
        return error;
    log_warning("The store does not answer (%s); the shared bucket %s was ready before", fault->text,
                server->shared.bucket);
    return 0;
}

/* The keeper: proves again each day, and takes up unfinished accounts at start. */

static void keep_proven(struct server *server) {
    for (int versioned = 0; versioned < 2; versioned++) {
        pthread_mutex_lock(&server->lock);
        bool used = server->proofs[versioned].proven_s != 0 || server->is_proven[versioned];
        pthread_mutex_unlock(&server->lock);
        struct fault fault = {0};
        if (!used || !is_due(server, versioned))
            continue;
        int error = prove(server, versioned, &fault);
        if (error)
            log_error("The store could not be proven again: %s", fault.text[0] ? fault.text : error_text(error));
    }
}

static void *keep(void *context) {
    struct server *server = context;
    struct fault fault = {0};
    if (provision_resume(server->provision, &fault))
        log_error("Unfinished accounts could not be taken up: %s", fault.text);
    rounds_look(server);
    pthread_mutex_lock(&server->lock);
    while (!server->ending) {
        if (!clock_cond_wait_ms(&server->ending_soon, &server->lock, PROVE_RETRY_S * 1000) || server->ending)
            continue;
        pthread_mutex_unlock(&server->lock);
        keep_proven(server);
        rounds_ask(server);
        rounds_look(server);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static int start_keeper(struct server *server) {
    int error = -pthread_create(&server->keeper, NULL, keep, server);
    server->keeping = !error;
    return error;
}

static void stop_keeper(struct server *server) {
    if (!server->keeping)
        return;
    pthread_mutex_lock(&server->lock);
    server->ending = true;
    pthread_cond_broadcast(&server->ending_soon);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->keeper, NULL);
}

/* Building. */

static int make_verify(struct server *server, struct fault *fault) {
    const struct config *config = server->config;
    const char **clients = calloc(config->allowed_clients.count + 1, sizeof *clients);
    if (!clients)
        return -ENOMEM;
    clients[0] = config->client_id;
    for (size_t i = 0; i < config->allowed_clients.count; i++)
        clients[i + 1] = config->allowed_clients.items[i];
    struct verify_options options = {
        .issuer = config->issuer,
        .audience = config->audience,
        .clients = clients,
        .client_count = config->allowed_clients.count + 1,
        .email_claims = (const char *const *)config->email_claims.items,
        .email_claim_count = config->email_claims.count,
        .fetch = server->fetch,
    };
    int error = verify_create(&server->verify, &options, fault);
    free(clients);
    return error;
}

static int make_login(struct server *server, struct fault *fault) {
    struct fetch_options options = {
        .ca_file = server->config->login_ca_file, .user_agent = "pail-server/" PAIL_VERSION, .timeout_ms = 10000};
    int error = fetch_create(&server->fetch, &options);
    return error ? error : make_verify(server, fault);
}

static int make_store(struct server *server, struct fault *fault) {
    const struct config *config = server->config;
    struct transfer_options options = {
        .ca_file = config->store_ca_file, .user_agent = "pail-server/" PAIL_VERSION, .connections = 32};
    int error = transfer_create(&server->transfer, &options);
    if (!error)
        error = credentials_create(&server->credentials, config, server->transfer, fault);
    if (!error)
        error = sign_cache_create(&server->signing);
    server->remote = (struct remote){
        .config = config,
        .transfer = server->transfer,
        .credentials = server->credentials,
        .signing = server->signing,
        .cancelled = &server->ended,
        .metrics = server->metrics,
    };
    if (!error && config->role_arn)
        error = role_create(&server->role, &server->remote, &role_for_grants);
    if (!error && config->offer_credentials)
        error = role_create(&server->lending, &server->remote, &role_for_lending);
    return error;
}

static int make_accounts(struct server *server, struct fault *fault) {
    int error = users_open(&server->users, server->config->database, fault);
    if (!error)
        error = users_check(server->users, fault);
    if (error)
        return fault_prefix(fault, error, "[server] database = \"%s\"", server->config->database);
    struct quota_options limits = {
        .remote = &server->remote, .users = server->users, .grant_life_s = server->config->grant_life_s};
    error = quota_create(&server->quota, &limits);
    struct provision_options options = server_provision_tools(server);
    if (!error)
        error = limits_create(&server->limits, server->config);
    if (!error)
        error = provision_create(&server->provision, &options);
    return error ? error : tokens_create(&server->tokens);
}

static void log_doubt(void *context, const char *line) {
    (void)context;
    log_warning("%s", line + strlen("warning: "));
}

static int make_http(struct server *server, struct fault *fault) {
    const struct config *config = server->config;
    CLEANUP(tls_files_finish) struct tls_files tls;
    int error = tls_read(config, &tls, fault);
    if (error)
        return error;
    tls_doubts(config, &tls, log_doubt, NULL);
    struct http_options options = {
        .address = config->listen_address,
        .port = config->listen_port,
        .tls_certificate = tls.chain,
        .tls_key = tls.key,
        .connections = (unsigned)config->connections,
        .memory = CONNECTION_MEMORY,
        .connections_per_address = (unsigned)config->connections_per_address,
        .unlimited = config->trusted_proxies.items,
        .unlimited_count = config->trusted_proxies.count,
        .idle_s = (unsigned)config->idle_s,
        .request_s = (unsigned)config->request_s,
        .handler = routes_handler,
    };
    options.handler.context = server;
    error = http_server_create(&server->http, &options, fault);
    return error ? fault_prefix(fault, error, "[server] listen") : 0;
}

int server_reload(struct server *server, struct fault *fault) {
    CLEANUP(tls_files_finish) struct tls_files tls;
    int error = tls_read(server->config, &tls, fault);
    if (error || !tls.chain)
        return error;
    tls_doubts(server->config, &tls, log_doubt, NULL);
    return http_server_renew(server->http, tls.chain, tls.key, fault);
}

static int make_parts(struct server *server, const struct config *config, struct fault *fault) {
    pthread_mutex_init(&server->lock, NULL);
    clock_cond_init(&server->ending_soon);
    server->config = config;
    int error = metrics_create(&server->metrics);
    if (!error)
        error = make_login(server, fault);
    if (!error)
        error = make_store(server, fault);
    if (!error)
        error = make_accounts(server, fault);
    return error;
}

int server_create(struct server **out, const struct config *config, struct fault *fault) {
    struct fault ignored = {0};
    fault = fault ? fault : &ignored;
    CLEANUP(server_destroy_p) struct server *server = calloc(1, sizeof *server);
    if (!server)
        return -ENOMEM;
    int error = make_parts(server, config, fault);
    if (!error)
        error = routes_make_configuration(config, false, &server->configuration[false]);
    if (!error)
        error = routes_make_configuration(config, true, &server->configuration[true]);
    if (!error)
        error = prove_kinds(server, fault);
    if (!error)
        error = prepare_shared(server, fault);
    if (!error)
        error = start_keeper(server);
    if (!error)
        error = make_http(server, fault);
    if (error)
        return error;
    *out = TAKE(server);
    return 0;
}

uint16_t server_port(const struct server *server) {
    return http_server_port(server->http);
}

int server_is_ready(struct server *server, struct fault *fault) {
    struct proof proof;
    if (server_proof(server, server->config->keep_versions_d != 0, &proof))
        return fault_set(fault, PAIL_OFFLINE, "the store is not proven: see the log");
    if (verify_keys_age_s(server->verify) < 0)
        return fault_set(fault, PAIL_OFFLINE, "the login provider's keys are not known yet");
    if (metrics_store_lately(server->metrics).refused_s >= 0)
        return fault_set(fault, PAIL_OFFLINE, "the store refuses the storage keys: see the log");
    return 0;
}

void server_drain(struct server *server, int64_t grace_ms) {
    http_server_drain(server->http, grace_ms);
}

/* Requests first, which may still wait for a bucket that is being made; then those who work for them. */
void server_destroy(struct server *server) {
    if (!server)
        return;
    atomic_store(&server->ended, true);
    http_server_destroy(server->http);
    stop_keeper(server);
    provision_destroy(server->provision);
    quota_destroy(server->quota);
    tokens_destroy(server->tokens);
    limits_destroy(server->limits);
    role_destroy(server->role);
    role_destroy(server->lending);
    sign_cache_destroy(server->signing);
    credentials_destroy(server->credentials);
    transfer_destroy(server->transfer);
    metrics_destroy(server->metrics);
    shared_finish(&server->shared);
    users_close(server->users);
    verify_destroy(server->verify);
    fetch_destroy(server->fetch);
    free(server->configuration[false]);
    free(server->configuration[true]);
    pthread_cond_destroy(&server->ending_soon);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* Checking. */

struct check {
    void (*say)(void *context, const char *line);
    void *context;
    int error; /* the first */
};

static bool report(struct check *check, const char *what, int error, const struct fault *fault) {
    AUTO_FREE char *line = error ? text_format("%s: %s", what, fault->text[0] ? fault->text : error_text(error))
                                 : text_format("%s: fine", what);
    check->say(check->context, line ? line : what);
    if (error && !check->error)
        check->error = error;
    return !error;
}

static void say_features(struct check *check, const struct proof *proof) {
    AUTO_BUFFER struct buffer line = {0};
    buffer_append_text(&line, "the store honours:");
    for (size_t i = 0; i < proof_feature_count; i++)
        if (proof_holds(&proof->features, &proof_features[i]))
            buffer_append_format(&line, " %s", proof_features[i].name);
    buffer_append_text(&line, "; not:");
    for (size_t i = 0; i < proof_feature_count; i++)
        if (!proof_holds(&proof->features, &proof_features[i]))
            buffer_append_format(&line, " %s", proof_features[i].name);
    check->say(check->context, line.data ? line.data : "");
    check->say(check->context,
               proof->refuses_added
                   ? "headers added to a grant: refused by the store"
                   : "headers added to a grant: obeyed by the store; grants are signed with the role's keys");
}

struct layouts {
    size_t buckets, prefixes; /* accounts that have a bucket of their own, or a prefix */
};

static int note_layout(void *context, const struct user *user) {
    struct layouts *layouts = context;
    *(*user->prefix ? &layouts->prefixes : &layouts->buckets) += 1;
    return 0;
}

/* layout is for new accounts: those who came under another one keep what they have. */
static void say_layout(struct server *server, struct check *check) {
    struct layouts layouts = {0};
    if (users_each(server->users, NULL, note_layout, &layouts, NULL))
        return;
    AUTO_FREE char *line =
        server->config->layout == CONFIG_SHARED
            ? text_format("layout = prefix: new accounts get a prefix of the bucket %s; %zu keep a bucket of their own",
                          server->shared.bucket, layouts.buckets)
            : text_format("layout = bucket: new accounts get a bucket of their own; %zu keep their prefix of a shared "
                          "bucket",
                          layouts.prefixes);
    check->say(check->context, line ? line : "layout");
}

static void check_layout(struct server *server, struct check *check) {
    struct fault fault = {0};
    bool shared = server->config->layout == CONFIG_SHARED;
    if (!shared || report(check, "shared bucket", prepare_shared(server, &fault), &fault))
        say_layout(server, check);
}

static void check_lending(struct check *check, const struct proof *proof) {
    struct fault fault = {0};
    snprintf(fault.text, sizeof fault.text, "[store] offer_credentials = \"yes\": %s", proof->lending_why);
    report(check, "temporary keys for clients", proof->lending == PROOF_LENDING_SAFE ? 0 : PAIL_DENIED, &fault);
}

static void check_parts(struct server *server, struct check *check) {
    struct fault fault = {0};
    struct proof proof;
    bool versioned = server->config->keep_versions_d != 0;
    if (report(check, "login provider", verify_prepare(server->verify, &fault), &fault))
        fault = (struct fault){0};
    if (!report(check, "store", prove(server, versioned, &fault), &fault) || server_proof(server, versioned, &proof))
        return;
    say_features(check, &proof);
    if (server->lending)
        check_lending(check, &proof);
    check_layout(server, check);
}

int server_check(const struct config *config, void (*say)(void *context, const char *line), void *context) {
    struct check check = {say, context, 0};
    struct fault fault = {0};
    CLEANUP(server_destroy_p) struct server *server = calloc(1, sizeof *server);
    if (!server)
        return -ENOMEM;
    CLEANUP(tls_files_finish) struct tls_files tls = {0};
    if (config->tls_certificate && report(&check, "TLS certificate", tls_read(config, &tls, &fault), &fault))
        tls_doubts(config, &tls, say, context);
    fault = (struct fault){0};
    if (report(&check, "accounts and storage keys", make_parts(server, config, &fault), &fault))
        check_parts(server, &check);
    return check.error;
}
