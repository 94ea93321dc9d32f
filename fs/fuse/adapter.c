/* One FUSE session: mounting, serving, ending. */
#include "base/cleanup.h"
#include "base/text.h"
#include "fs/fuse/adapter_private.h"

#include <signal.h>
#include <string.h>
#include <time.h>

enum { REQUEST_SIZE = 1 << 20, LOCAL_THREADS = 8, FUSE_THREADS = 16 };

static void ops_init(void *context, struct fuse_conn_info *connection) {
    (void)context;
    connection->max_write = REQUEST_SIZE;
    connection->max_background = 128;
    connection->congestion_threshold = 96;
    /* An inode never changes its bytes from outside, so a new mtime must not drop the kernel's pages. */
    connection->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
    /* It hides outside changes of size and makes small files slower (filesystem.md, Freshness). */
    connection->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
    unsigned wanted = FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                      FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ASYNC_READ |
                      FUSE_CAP_ASYNC_DIO;
    connection->want |= connection->capable & wanted;
}

static struct fuse_lowlevel_ops operations(void) {
    struct fuse_lowlevel_ops ops = {.init = ops_init};
    ops_names_fill(&ops);
    ops_attributes_fill(&ops);
    ops_file_fill(&ops);
    ops_folder_fill(&ops);
    ops_xattr_fill(&ops);
    return ops;
}

/* A comma would end the option: it may stand in a folder's name but not in ours. */
static char *mount_options(const struct adapter_options *options) {
    return text_format("fsname=%s,subtype=pail,default_permissions%s%s%s%s", options->name,
                       options->allow_other ? ",allow_other" : "", options->read_only ? ",ro" : "",
                       options->kernel_options ? "," : "", options->kernel_options ? options->kernel_options : "");
}

static int open_session(struct adapter *adapter, const struct adapter_options *options) {
    AUTO_FREE char *text = mount_options(options);
    if (!text)
        return -ENOMEM;
    char *arguments[] = {(char[]){"pail"}, (char[]){"-o"}, text, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, arguments);
    struct fuse_lowlevel_ops ops = operations();
    adapter->session = fuse_session_new(&args, &ops, sizeof ops, adapter);
    fuse_opt_free_args(&args);
    return adapter->session ? 0 : -EINVAL;
}

static int mount_session(struct adapter *adapter, const struct adapter_options *options, struct fault *fault) {
    if (access("/dev/fuse", R_OK | W_OK))
        return fault_set(fault, -errno, "/dev/fuse cannot be used (%s): load the fuse module, or ask the administrator",
                         error_text(-errno));
    errno = 0;
    if (fuse_session_mount(adapter->session, options->folder))
        return fault_set(fault, errno ? -errno : -EPERM, "cannot mount on %s: %s", options->folder,
                         errno ? error_text(-errno) : "see the message of fusermount3 above");
    adapter->mounted = true;
    return 0;
}

int adapter_create(struct adapter **out, const struct adapter_options *options, struct fault *fault) {
    struct adapter *adapter = calloc(1, sizeof *adapter);
    if (!adapter)
        return -ENOMEM;
    pthread_mutex_init(&adapter->lock, NULL);
    pthread_cond_init(&adapter->idle, NULL);
    adapter->core = options->core;
    adapter->timeout_s = options->fresh_ms == INT64_MAX ? 86400.0 : (double)options->fresh_ms / 1000;
    int r = workers_create(&adapter->local, "pail-local", LOCAL_THREADS, SIZE_MAX);
    if (!r)
        r = open_session(adapter, options);
    if (!r)
        r = notifier_create(&adapter->notifier, adapter->session);
    if (r)
        fault_set(fault, r, "cannot start a FUSE session: %s", error_text(r));
    else
        r = mount_session(adapter, options, fault);
    if (r)
        adapter_destroy(adapter);
    else
        *out = adapter;
    return r;
}

struct tree_watch adapter_watch(struct adapter *adapter) {
    return notifier_watch(adapter->notifier);
}

/* Only there to end the wait of fuse_session_loop_mt in adapter_run's thread. */
static void on_wake(int signal) {
    (void)signal;
}

static void begin_run(struct adapter *adapter) {
    struct sigaction action = {.sa_handler = on_wake};
    sigaction(SIGUSR1, &action, NULL);
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
    pthread_mutex_lock(&adapter->lock);
    adapter->runner = pthread_self();
    adapter->running = true;
    pthread_mutex_unlock(&adapter->lock);
}

static void end_run(struct adapter *adapter) {
    pthread_mutex_lock(&adapter->lock);
    adapter->running = false;
    pthread_cond_broadcast(&adapter->idle);
    pthread_mutex_unlock(&adapter->lock);
}

int adapter_run(struct adapter *adapter) {
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!config)
        return -ENOMEM;
    fuse_loop_cfg_set_max_threads(config, FUSE_THREADS);
    fuse_loop_cfg_set_clone_fd(config, 0);
    begin_run(adapter);
    int r = fuse_session_loop_mt(adapter->session, config);
    end_run(adapter);
    fuse_loop_cfg_destroy(config);
    fuse_session_unmount(adapter->session);
    adapter->mounted = false;
    return r > 0 ? 0 : r; /* above 0: a signal number, which is no error */
}

void adapter_stop(struct adapter *adapter) {
    fuse_session_exit(adapter->session);
    pthread_mutex_lock(&adapter->lock);
    while (adapter->running) { /* a signal just before the loop waits would be lost: it is sent again */
        pthread_kill(adapter->runner, SIGUSR1);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&adapter->idle, &adapter->lock, &until);
    }
    pthread_mutex_unlock(&adapter->lock);
}

static void wait_answered(struct adapter *adapter) {
    pthread_mutex_lock(&adapter->lock);
    while (adapter->parked)
        pthread_cond_wait(&adapter->idle, &adapter->lock);
    pthread_mutex_unlock(&adapter->lock);
}

void adapter_destroy(struct adapter *adapter) {
    if (!adapter)
        return;
    workers_destroy(adapter->local);
    wait_answered(adapter);
    notifier_destroy(adapter->notifier);
    if (adapter->mounted)
        fuse_session_unmount(adapter->session);
    if (adapter->session)
        fuse_session_destroy(adapter->session);
    pthread_cond_destroy(&adapter->idle);
    pthread_mutex_destroy(&adapter->lock);
    free(adapter);
}
