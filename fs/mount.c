/* One mount, built out of all parts and taken down again. Built from below upwards, and taken down in the other order:
 * first nobody asks (FUSE, control), then nothing is under way (sync), then the memory goes. */
#include "fs/mount.h"

#include "auth/session.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/workers.h"
#include "fs/control/control.h"
#include "fs/core/core.h"
#include "fs/fuse/adapter.h"
#include "fs/notification.h"
#include "s3/http_store.h"
#include "s3/store.h"
#include "s3/wire.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { SESSION_SIZE = 64 << 10 };

struct mount {
    const struct account *account; /* borrowed */
    char *folder;                  /* owned, as all below */
    struct session *session;
    struct fetch *fetch;
    struct mapping *mapping;
    struct store *store;
    struct tree *tree;
    struct sync *sync;
    struct content *content;
    struct core *core;
    struct adapter *adapter;
    struct control *control;
    struct notification *notification;
    struct workers *background;
    pthread_t signals;
    bool listening;                 /* the signal thread runs */
    _Atomic int64_t quota_tried_ms; /* when the server was last asked for it; monotonic */
    _Atomic int64_t quota_asked_ms; /* and answered: when that was asked */
    _Atomic bool quota_asking;
    _Atomic bool foreground;
    _Atomic bool mounted;
    _Atomic bool serving;   /* mount_run was called */
    _Atomic bool cancelled; /* do not wait for the bucket any more */
    _Atomic bool ended;
};

char *mount_control_path(const struct account *account) {
    return text_format("%s/control", account->state_folder);
}

/* ---- the bucket ---- */

static char *session_path(const struct mount *mount) {
    return text_format("%s/session.json", mount->account->state_folder);
}

static int keep_session(const struct mount *mount, const struct mapping_session *session) {
    AUTO_FREE char *path = session_path(mount);
    AUTO_FREE char *text = mapping_session_print(session);
    return path && text ? file_replace(path, 0600, text, strlen(text)) : -ENOMEM;
}

static int restore_session(struct mount *mount) {
    AUTO_FREE char *path = session_path(mount);
    AUTO_FREE char *text = NULL;
    size_t size;
    if (!path)
        return -ENOMEM;
    int r = file_read(path, SESSION_SIZE, &text, &size);
    if (r)
        return r;
    struct mapping_session session = {0};
    r = mapping_session_parse(text, size, &session);
    if (!r)
        r = mapping_restore(mount->mapping, &session);
    mapping_session_finish(&session);
    return r;
}

static bool same_bucket(const struct mapping_bucket *a, const struct mapping_bucket *b) {
    return text_equal(a->name, b->name) && text_equal(a->prefix, b->prefix) && text_equal(a->endpoint, b->endpoint);
}

/* Names and unsent changes belong to one bucket: another one under them would mix two people's or two years' files. */
static int check_bucket(const struct mapping_session *before, const struct mapping_session *now, struct fault *fault) {
    if (same_bucket(&before->bucket, &now->bucket))
        return 0;
    return fault_set(
        fault, PAIL_DENIED,
        "the server now names the bucket %s/%s at %s for this account, it was %s/%s at %s; if that is meant, run "
        "'pail logout' and 'pail login'",
        now->bucket.name, now->bucket.prefix, now->bucket.endpoint, before->bucket.name, before->bucket.prefix,
        before->bucket.endpoint);
}

static int ask_session(struct mount *mount, struct fault *fault) {
    struct mapping_session before = {0}, now = {0};
    bool known = mapping_known(mount->mapping, &before) == 0;
    int64_t asked_ms = clock_monotonic_ms();
    int r = mapping_refresh(mount->mapping, &now, fault);
    if (!r && known) {
        r = check_bucket(&before, &now, fault);
        if (r)
            mapping_restore(mount->mapping, &before);
    }
    if (!r)
        r = keep_session(mount, &now);
    if (!r)
        atomic_store(&mount->quota_asked_ms, asked_ms);
    atomic_store(&mount->quota_tried_ms, clock_monotonic_ms());
    if (known)
        mapping_session_finish(&before);
    mapping_session_finish(&now);
    return r;
}

static void ask_later(void *context) {
    struct mount *mount = context;
    struct fault fault = {0};
    int r = ask_session(mount, &fault);
    if (r)
        log_warning("the mapping server %s was not asked: %s", mount->account->server,
                    fault.text[0] ? fault.text : error_text(r));
}

/* A mount that had its bucket once starts without the server, and asks it in the background. */
static int open_bucket(struct mount *mount, bool credentials, struct fault *fault) {
    const struct account *account = mount->account;
    int r = session_create(&mount->session, account, fault);
    if (r)
        return r;
    struct fetch_options options = {.ca_file = account->ca_file, .tokens = session_tokens(mount->session)};
    r = fetch_create(&mount->fetch, &options);
    if (!r)
        r = mapping_create(&mount->mapping, mount->fetch, account->server);
    if (r)
        return r;
    r = restore_session(mount) == 0 ? workers_submit(mount->background, WORKERS_NOW, ask_later, mount)
                                    : ask_session(mount, fault);
    if (r)
        return r;
    struct http_store_options store = {.mapping = mount->mapping,
                                       .ca_file = account->ca_file,
                                       .mode = credentials ? HTTP_STORE_CREDENTIALS : HTTP_STORE_PRESIGNED};
    return http_store_create(&mount->store, &store, fault);
}

/* ---- the quota ---- */

enum {
    QUOTA_FRESH_MS = 10000,       /* what is known of a quota that somebody asks for */
    QUOTA_FULL_FRESH_MS = 1000,   /* while something waits for room */
    QUOTA_NONE_FRESH_MS = 300000, /* of an account that has none: it may be given one */
};

static void ask_quota(void *context) {
    struct mount *mount = context;
    struct mapping_session before = {0}, now = {0};
    bool known = mapping_known(mount->mapping, &before) == 0;
    ask_later(mount);
    bool more = known && !mapping_known(mount->mapping, &now) &&
                (!now.quota_limit || now.quota_limit - now.quota_used > before.quota_limit - before.quota_used);
    mapping_session_finish(&before);
    mapping_session_finish(&now);
    atomic_store(&mount->quota_asking, false);
    if (more)
        sync_room_made(mount->sync);
}

/* In the background, so that the next answer is fresh. */
static void refresh_quota(struct mount *mount, int64_t fresh_ms) {
    if (clock_monotonic_ms() - atomic_load(&mount->quota_tried_ms) < fresh_ms ||
        atomic_exchange(&mount->quota_asking, true))
        return;
    if (workers_submit(mount->background, WORKERS_SOON, ask_quota, mount))
        atomic_store(&mount->quota_asking, false);
}

static void over_quota(void *context) {
    refresh_quota(context, QUOTA_FULL_FRESH_MS);
}

static void quota(void *context, struct core_quota *out) {
    struct mount *mount = context;
    struct mapping_session session = {0};
    out->asked_ms = atomic_load(&mount->quota_asked_ms); /* first: what is known may be newer, not older */
    if (mapping_known(mount->mapping, &session))
        return;
    out->limit = session.quota_limit > 0 ? (uint64_t)session.quota_limit : 0;
    out->used = session.quota_used > 0 ? (uint64_t)session.quota_used : 0;
    mapping_session_finish(&session);
    bool full = sync_over_quota(mount->sync);
    refresh_quota(mount, full ? QUOTA_FULL_FRESH_MS : out->limit ? QUOTA_FRESH_MS : QUOTA_NONE_FRESH_MS);
}

/* ---- the folder ---- */

static void will_read(void *context, const char *const *keys, const char *const *versions, size_t count) {
    struct mount *mount = context;
    http_store_will_read(mount->store, keys, versions, count);
}

struct note {
    struct mount *mount;
    char text[];
};

static void show_note(void *context) {
    struct note *note = context;
    notification_show(note->mount->notification, "Pail", note->text);
    free(note);
}

/* More than can be shown is in the log only. */
static void news(void *context, const char *text) {
    struct mount *mount = context;
    log_warning("%s", text);
    struct note *note = malloc(sizeof *note + strlen(text) + 1);
    if (!note)
        return;
    note->mount = mount;
    strcpy(note->text, text);
    if (workers_submit(mount->background, WORKERS_SOON, show_note, note))
        free(note);
}

static int open_tree(struct mount *mount, const struct mount_options *options, struct fault *fault) {
    struct tree_options tree = {
        .folder = mount->account->state_folder,
        .uid = getuid(),
        .gid = getgid(),
        .file_mode = 0644,
        .folder_mode = 0755,
        .owner_keep = options->owner_keep,
        .attrs_listing = options->attrs_listing,
        .rest_ms = 1000,
    };
    int r = tree_create(&mount->tree, &tree, fault);
    return r == TREE_NEWER ? fault_prefix(fault, -EPROTO, "%s", tree.folder) : r;
}

/* What the account's prefix leaves of a key. */
static int limit_keys(struct mount *mount) {
    struct mapping_session session = {0};
    int r = mapping_known(mount->mapping, &session);
    if (r)
        return r;
    size_t prefix = strlen(session.bucket.prefix);
    mapping_session_finish(&session);
    tree_limit_keys(mount->tree, prefix < STORE_MAX_KEY ? STORE_MAX_KEY - prefix : 0);
    return 0;
}

/* A third of the memory for what is read, a quarter for what is sent; the rest is code, SQLite, threads and
 * connections. */
static int open_sync(struct mount *mount, const struct mount_options *options, struct fault *fault) {
    uint64_t memory = options->memory_bytes ? options->memory_bytes : 256ull << 20;
    struct sync_options sync = {
        .store = mount->store,
        .tree = mount->tree,
        .stall_ms = options->stall_ms,
        .fresh_ms = options->fresh_ms,
        .send_memory = memory / 4,
        .will_read = will_read,
        .will_read_context = mount,
        .news = news,
        .news_context = mount,
        .over_quota = over_quota,
        .over_quota_context = mount,
    };
    int r = sync_create(&mount->sync, &sync, fault);
    if (r)
        return r;
    AUTO_FREE char *spool = text_format("%s/spool", mount->account->state_folder);
    struct content_options content = {
        .cache_folder = mount->account->cache_folder,
        .spool_folder = spool,
        .cache_limit = options->cache_bytes,
        .memory_budget = memory / 3,
        .origin = sync_origin(mount->sync),
    };
    r = spool ? content_create(&mount->content, &content, fault) : -ENOMEM;
    if (!r)
        r = core_recover(mount->tree, mount->content);
    return r;
}

static int open_core(struct mount *mount, const struct mount_options *options, struct fault *fault) {
    struct core_options core = {
        .tree = mount->tree,
        .content = mount->content,
        .sync = mount->sync,
        .uid = getuid(),
        .gid = getgid(),
        .durable_bucket = options->durable_bucket,
        .attrs_listing = options->attrs_listing,
        .fresh_ms = options->fresh_ms,
        .quota = quota,
        .quota_context = mount,
    };
    int r = core_create(&mount->core, &core, fault);
    if (r)
        return r;
    AUTO_FREE char *name = text_format("pail#%s", mount->account->id);
    struct adapter_options adapter = {
        .core = mount->core,
        .folder = mount->folder,
        .name = name,
        .allow_other = options->allow_other,
        .read_only = options->read_only,
        .kernel_options = options->kernel_options,
        .fresh_ms = options->fresh_ms,
    };
    r = name ? adapter_create(&mount->adapter, &adapter, fault) : -ENOMEM;
    if (r)
        return r;
    mount->mounted = true;
    struct tree_watch watch = adapter_watch(mount->adapter);
    r = tree_observe(mount->tree, &watch);
    return r ? r : sync_start(mount->sync, mount->content);
}

/* ---- control ---- */

static void describe_mode(struct mount *mount, struct json *status) {
    struct fault why = {0};
    bool own = http_store_mode(mount->store, &why) == HTTP_STORE_CREDENTIALS;
    json_add_text(status, "mode", own ? WIRE_MODE_CREDENTIALS : WIRE_MODE_PRESIGNED);
    if (why.text[0])
        json_add_text(status, "mode_why", why.text);
}

static void describe(void *context, struct json *status) {
    struct mount *mount = context;
    json_add_text(status, "account", mount->account->id);
    json_add_text(status, "email", mount->account->email);
    json_add_text(status, "server", mount->account->server);
    json_add_text(status, "folder", mount->folder);
    json_add_text(status, "state", mount->mounted ? "mounted" : "sending");
    json_add_integer(status, "pid", getpid());
    json_add_text(status, "version", PAIL_VERSION);
    describe_mode(mount, status);
    struct mapping_session session = {0};
    if (mapping_known(mount->mapping, &session))
        return;
    refresh_quota(mount, session.quota_limit ? QUOTA_FRESH_MS : QUOTA_NONE_FRESH_MS);
    json_add_text(status, "bucket", session.bucket.name);
    json_add_text(status, "prefix", session.bucket.prefix);
    struct json *limits = json_object();
    json_add_integer(limits, "limit", session.quota_limit);
    json_add_integer(limits, "used", session.quota_used);
    json_add_boolean(limits, "full", core_is_full(mount->core));
    json_add(status, "quota", limits);
    mapping_session_finish(&session);
}

static int commit(void *context) {
    struct mount *mount = context;
    return core_commit_all(mount->core);
}

static int release(void *context) {
    struct mount *mount = context;
    if (mount->mounted)
        return -EBUSY;
    mount->cancelled = true;
    return 0;
}

static int open_control(struct mount *mount, struct fault *fault) {
    AUTO_FREE char *path = mount_control_path(mount->account);
    struct control_options options = {
        .path = path,
        .tree = mount->tree,
        .content = mount->content,
        .sync = mount->sync,
        .context = mount,
        .describe = describe,
        .commit = commit,
        .release = release,
    };
    return path ? control_create(&mount->control, &options, fault) : -ENOMEM;
}

/* ---- signals ---- */

/* SIGINT in the foreground asks politely: unmount and send what is left; again, or SIGTERM: now. */
static void take_signal(struct mount *mount, int signal) {
    if (!mount->mounted && !mount->serving)
        _exit(128 + signal); /* while it starts: nothing is there yet that a crash would not survive as well */
    if (signal != SIGINT || !mount->foreground || !mount->mounted)
        mount->cancelled = true;
    if (mount->mounted)
        adapter_stop(mount->adapter);
}

static void watched_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

static void *listen_signals(void *context) {
    struct mount *mount = context;
    sigset_t set;
    watched_signals(&set);
    while (!mount->ended) {
        struct timespec patience = {.tv_nsec = 200000000};
        int signal = sigtimedwait(&set, NULL, &patience);
        if (signal > 0)
            take_signal(mount, signal);
    }
    return NULL;
}

/* Before any other thread is started: one that does not block these signals would end the process. */
static int start_listening(struct mount *mount) {
    sigset_t set;
    watched_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int r = pthread_create(&mount->signals, NULL, listen_signals, mount);
    mount->listening = r == 0;
    return -r;
}

/* ---- life ---- */

static int build(struct mount *mount, const struct mount_options *options, struct fault *fault) {
    int r = start_listening(mount);
    if (!r && !(mount->notification = notification_create()))
        r = -ENOMEM;
    if (!r)
        r = workers_create(&mount->background, "pail-ask", 1, 16);
    if (!r)
        r = file_make_folders(mount->account->state_folder, 0700);
    if (!r)
        r = file_make_folders(mount->account->cache_folder, 0700);
    if (!r)
        r = open_tree(mount, options, fault);
    if (!r)
        r = open_bucket(mount, options->credentials, fault);
    if (!r)
        r = limit_keys(mount);
    if (!r)
        r = open_sync(mount, options, fault);
    if (!r)
        r = open_core(mount, options, fault);
    if (!r)
        r = open_control(mount, fault);
    return r;
}

int mount_create(struct mount **out, const struct mount_options *options, struct fault *fault) {
    struct mount *mount = calloc(1, sizeof *mount);
    if (!mount)
        return -ENOMEM;
    mount->account = options->account;
    mount->folder = strdup(options->folder);
    int r = mount->folder ? build(mount, options, fault) : -ENOMEM;
    if (r)
        mount_destroy(mount);
    else
        *out = mount;
    return r;
}

int mount_run(struct mount *mount, bool foreground) {
    mount->foreground = foreground;
    mount->serving = true;
    int r = adapter_run(mount->adapter);
    mount->mounted = false;
    if (r)
        log_error("serving %s ended: %s", mount->folder, error_text(r));
    r = core_commit_all(mount->core);
    if (r)
        log_error("what open files had written could not be recorded: %s", error_text(r));
    r = sync_drain(mount->sync, &mount->cancelled);
    sync_stop(mount->sync);
    control_destroy(TAKE(mount->control), r);
    return r;
}

static void stop_listening(struct mount *mount) {
    mount->ended = true;
    if (mount->listening)
        pthread_join(mount->signals, NULL);
}

void mount_destroy(struct mount *mount) {
    if (!mount)
        return;
    stop_listening(mount);
    if (mount->sync)
        sync_stop(mount->sync); /* there is no news any more */
    notification_cancel(mount->notification);
    workers_destroy(mount->background);
    notification_destroy(mount->notification);
    control_destroy(mount->control, PAIL_CANCELLED);
    adapter_destroy(mount->adapter); /* nothing is parked any more */
    core_destroy(mount->core);
    content_destroy(mount->content);
    sync_destroy(mount->sync);
    tree_destroy(mount->tree);
    store_destroy(mount->store);
    mapping_destroy(mount->mapping);
    fetch_destroy(mount->fetch);
    session_destroy(mount->session);
    free(mount->folder);
    free(mount);
}
