/* `pail-server --demo`: store, login issuer and mapping server in one process. */
#include "s3/embedded/demo.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/embedded/demo_settings.h"
#include "s3/embedded/issuer.h"
#include "s3/embedded/local_store.h"
#include "s3/embedded/port.h"
#include "s3/server/config.h"
#include "s3/server/server.h"
#include "s3/server/users.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#define CLIENT_ID "pail-demo"
#define REGION "us-east-1"
#define GRACE_MS 10000

static const uint16_t callback_ports[] = {47831, 47832, 47833};

struct demo {
    char *folder; /* owned */
    int lock;     /* fd, or -1 */
    struct demo_settings settings;
    uint64_t wanted_port, token_life_s; /* of flags; 0: none */
    char *url, *store_url;              /* owned */
    struct local_store *store;
    struct issuer *issuer;
    struct config config;
    struct server *server;
};

static void demo_finish(struct demo *demo) {
    if (demo->server)
        server_drain(demo->server, GRACE_MS);
    server_destroy(demo->server);
    config_finish(&demo->config);
    issuer_destroy(demo->issuer);
    local_store_destroy(demo->store);
    demo_settings_finish(&demo->settings);
    cleanup_close(&demo->lock);
    free(demo->url);
    free(demo->store_url);
    free(demo->folder);
}

static int read_number(const char *name, const char *value, uint64_t most, uint64_t *out, struct fault *fault) {
    if (text_parse_u64(value, out) || !*out || *out > most)
        return fault_set(fault, -EINVAL, "%s is a number from 1 to %llu, not '%s'", name, (unsigned long long)most,
                         value);
    return 0;
}

/* --demo --keep DIR --port N --token-life SECONDS. */
static int read_arguments(struct demo *demo, int count, char **arguments, struct fault *fault) {
    int r = 0;
    for (int i = 1; i < count && !r; i++) {
        const char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (strcmp(name, "--demo") == 0)
            continue;
        i++;
        if (!value)
            return fault_set(fault, -EINVAL, "%s is no flag of --demo, or its value is missing", name);
        if (strcmp(name, "--keep") == 0)
            r = (free(demo->folder), demo->folder = strdup(value)) ? 0 : -ENOMEM;
        else if (strcmp(name, "--port") == 0)
            r = read_number(name, value, 65535, &demo->wanted_port, fault);
        else if (strcmp(name, "--token-life") == 0)
            r = read_number(name, value, 86400, &demo->token_life_s, fault);
        else
            r = fault_set(fault, -EINVAL, "%s is no flag of --demo: --keep DIR, --port N, --token-life SECONDS", name);
    }
    if (!r && !demo->folder)
        r = file_xdg("data", "demo", &demo->folder);
    return r;
}

static int open_folder(struct demo *demo, struct fault *fault) {
    int r = file_make_folders(demo->folder, 0700);
    if (!r && chmod(demo->folder, 0700))
        r = -errno;
    if (r)
        return fault_set(fault, r, "%s cannot be used: %s", demo->folder, error_text(r));
    AUTO_FREE char *lock = text_format("%s/lock", demo->folder);
    demo->lock = lock ? file_lock(lock, 0) : -ENOMEM;
    if (demo->lock == -EWOULDBLOCK)
        return fault_set(fault, -EWOULDBLOCK, "a demo is running on %s already; end it, or use --keep DIR for another",
                         demo->folder);
    if (demo->lock < 0)
        return fault_set(fault, demo->lock, "%s cannot be used: %s", lock ? lock : "", error_text(demo->lock));
    return demo_settings_open(&demo->settings, demo->folder, fault);
}

/* The kept one while it is free; else another. */
static int choose_port(uint16_t *port, const char *whose, struct fault *fault) {
    uint16_t kept = *port;
    if (port_is_free(kept))
        return 0;
    int r = port_find(port);
    if (r)
        return fault_set(fault, r, "no port is free for the %s: %s", whose, error_text(r));
    if (kept)
        log_warning("port %u is in use by another program; the %s moves to %u", kept, whose, *port);
    return 0;
}

static int choose_server_port(struct demo *demo, struct fault *fault) {
    struct demo_settings *settings = &demo->settings;
    if (!demo->wanted_port)
        return choose_port(&settings->server_port, "server", fault);
    settings->server_port = (uint16_t)demo->wanted_port;
    if (!port_is_free(settings->server_port))
        return fault_set(fault, -EADDRINUSE, "port %u is in use by another program; choose another with --port",
                         settings->server_port);
    return 0;
}

/* Each person is known by their issuer: when that moves, so do they, before anybody can ask. */
static int move_people(struct demo *demo, const char *issuer_before, struct fault *fault) {
    AUTO_FREE char *now = text_format("http://127.0.0.1:%u/", demo->settings.issuer_port);
    AUTO_FREE char *path = text_format("%s/accounts.db", demo->folder);
    if (!now || !path)
        return -ENOMEM;
    if (!issuer_before || strcmp(issuer_before, now) == 0)
        return 0;
    struct users *users = NULL;
    int r = users_open(&users, path, fault);
    if (!r)
        r = users_move_issuer(users, issuer_before, now, fault);
    users_close(users);
    return r;
}

/* The settings are written last: killed in between, the next start moves people again from where they are. */
static int choose_ports(struct demo *demo, struct fault *fault) {
    struct demo_settings *settings = &demo->settings;
    AUTO_FREE char *before = settings->issuer_port ? text_format("http://127.0.0.1:%u/", settings->issuer_port) : NULL;
    int r = choose_server_port(demo, fault);
    if (!r)
        r = choose_port(&settings->issuer_port, "login", fault);
    if (!r)
        r = choose_port(&settings->store_port, "store", fault);
    if (!r)
        r = move_people(demo, before, fault);
    if (!r)
        r = demo_settings_save(settings, demo->folder, fault);
    demo->url = text_format("http://127.0.0.1:%u", settings->server_port);
    demo->store_url = text_format("http://127.0.0.1:%u", settings->store_port);
    return r ? r : demo->url && demo->store_url ? 0 : -ENOMEM;
}

static int start_store(struct demo *demo, struct fault *fault) {
    AUTO_FREE char *folder = text_format("%s/store", demo->folder);
    struct local_store_options options = {.folder = folder,
                                          .port = demo->settings.store_port,
                                          .access_key = demo->settings.access_key,
                                          .secret_key = demo->settings.secret_key,
                                          .region = REGION};
    return folder ? local_store_create(&demo->store, &options, fault) : -ENOMEM;
}

static int start_issuer(struct demo *demo, struct fault *fault) {
    AUTO_FREE char *folder = text_format("%s/login", demo->folder);
    struct issuer_options options = {.folder = folder,
                                     .port = demo->settings.issuer_port,
                                     .client_id = CLIENT_ID,
                                     .audience = demo->url,
                                     .callback_ports = callback_ports,
                                     .callback_port_count = sizeof callback_ports / sizeof *callback_ports,
                                     .secret = demo->settings.login_secret,
                                     .token_life_s = (unsigned)demo->token_life_s};
    return folder ? issuer_create(&demo->issuer, &options, fault) : -ENOMEM;
}

static int set(struct demo *demo, const char *name, const char *value, struct config_problems *problems) {
    return value ? config_set(&demo->config, name, value, "--demo", problems) : -ENOMEM;
}

static int fill_config(struct demo *demo, struct config_problems *problems) {
    AUTO_FREE char *listen = text_format("127.0.0.1:%u", demo->settings.server_port);
    AUTO_FREE char *database = text_format("%s/accounts.db", demo->folder);
    const struct {
        const char *name, *value;
    } settings[] = {
        {"listen", listen},
        {"public_url", demo->url},
        {"database", database},
        {"metrics_from", ""}, /* other users of the machine are on loopback too */
        {"issuer", issuer_url(demo->issuer)},
        {"audience", demo->url},
        {"client_id", CLIENT_ID},
        {"loopback_ports", "47831 47832 47833"},
        {"endpoint", demo->store_url},
        {"region", REGION},
        {"access_key_id", demo->settings.access_key},
        {"secret_access_key", demo->settings.secret_key},
        {"bucket_prefix", "pail"},
    };
    int r = config_init(&demo->config);
    for (size_t i = 0; i < sizeof settings / sizeof *settings && !r; i++)
        r = set(demo, settings[i].name, settings[i].value, problems);
    return r ? r : config_check(&demo->config, problems);
}

static int start_server(struct demo *demo, struct fault *fault) {
    CLEANUP(config_problems_finish) struct config_problems problems = {0};
    int r = fill_config(demo, &problems);
    if (!r && problems.errors)
        r = fault_set(fault, -EINVAL, "%s", problems.lines.data);
    return r ? r : server_create(&demo->server, &demo->config, fault);
}

/* For the program that started us: one line. */
static int tell(const struct demo *demo) {
    AUTO_JSON struct json *json = json_object();
    json_add_text(json, "url", demo->url);
    json_add_text(json, "issuer", issuer_url(demo->issuer));
    json_add_text(json, "store", demo->store_url);
    json_add_text(json, "folder", demo->folder);
    AUTO_FREE char *line = json_print(json);
    if (!line || printf("%s\n", line) < 0 || fflush(stdout))
        return -EIO;
    log_info("the demo serves this machine alone: server %s, login %s, store %s, kept in %s", demo->url,
             issuer_url(demo->issuer), demo->store_url, demo->folder);
    return 0;
}

static int run(struct demo *demo, int count, char **arguments, struct fault *fault) {
    int r = read_arguments(demo, count, arguments, fault);
    if (!r)
        r = open_folder(demo, fault);
    if (!r)
        r = choose_ports(demo, fault);
    if (!r)
        r = start_store(demo, fault);
    if (!r)
        r = start_issuer(demo, fault);
    if (!r)
        r = start_server(demo, fault);
    return r ? r : tell(demo);
}

static void block_signals(sigset_t *signals) {
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int demo_main(int count, char **arguments) {
    CLEANUP(demo_finish) struct demo demo = {.lock = -1};
    struct fault fault = {{0}};
    sigset_t signals;
    int which;
    block_signals(&signals);
    log_setup(LOG_INFO, false, STDERR_FILENO);
    int r = run(&demo, count, arguments, &fault);
    if (r) {
        fprintf(stderr, "pail-server: %s\n", fault.text[0] ? fault.text : error_text(r));
        return r == -EINVAL ? 2 : 1;
    }
    sigwait(&signals, &which);
    log_info("the demo ends: what is under way is finished first");
    return 0;
}
