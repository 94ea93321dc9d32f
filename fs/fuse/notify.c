/* News from outside to the kernel: names and attributes that it must not keep. One thread with its own queue: sent from
 * a request handler, or under a lock that a handler may want, they deadlock against the kernel's folder lock. */
#include "base/cleanup.h"
#include "fs/fuse/adapter_private.h"

#include <signal.h>
#include <string.h>

enum kind { ENTRY_CHANGED, ENTRY_GONE, ATTRIBUTES_CHANGED };

struct news {
    struct news *next;
    enum kind kind;
    uint64_t parent, ino;
    char name[];
};

struct notifier {
    struct fuse_session *session; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct news *first, **last; /* under lock, as ending */
    bool ending;
};

static void tell(struct fuse_session *session, const struct news *news) {
    size_t size = strlen(news->name);
    switch (news->kind) {
    case ENTRY_CHANGED:
        fuse_lowlevel_notify_inval_entry(session, news->parent, news->name, size);
        fuse_lowlevel_notify_inval_inode(session, news->parent, -1, 0);
        break;
    case ENTRY_GONE:
        /* A folder that somebody stands in cannot be deleted for the kernel: its name is dropped all the same. */
        if (fuse_lowlevel_notify_delete(session, news->parent, news->ino, news->name, size))
            fuse_lowlevel_notify_inval_entry(session, news->parent, news->name, size);
        break;
    case ATTRIBUTES_CHANGED:
        fuse_lowlevel_notify_inval_inode(session, news->ino, -1, 0);
        break;
    }
}

static void *run(void *context) {
    struct notifier *notifier = context;
    pthread_setname_np(pthread_self(), "pail-news");
    pthread_mutex_lock(&notifier->lock);
    while (!notifier->ending || notifier->first) {
        struct news *news = notifier->first;
        if (!news) {
            pthread_cond_wait(&notifier->more, &notifier->lock);
            continue;
        }
        notifier->first = news->next;
        if (!notifier->first)
            notifier->last = &notifier->first;
        pthread_mutex_unlock(&notifier->lock);
        tell(notifier->session, news);
        free(news);
        pthread_mutex_lock(&notifier->lock);
    }
    pthread_mutex_unlock(&notifier->lock);
    return NULL;
}

static void queue(struct notifier *notifier, enum kind kind, uint64_t parent, uint64_t ino, const char *name) {
    struct news *news = malloc(sizeof *news + strlen(name) + 1);
    if (!news)
        return; /* the kernel then keeps it until its time is over */
    *news = (struct news){.kind = kind, .parent = parent, .ino = ino};
    strcpy(news->name, name);
    pthread_mutex_lock(&notifier->lock);
    *notifier->last = news;
    notifier->last = &news->next;
    pthread_cond_signal(&notifier->more);
    pthread_mutex_unlock(&notifier->lock);
}

static void entry_changed(void *context, uint64_t parent, const char *name) {
    queue(context, ENTRY_CHANGED, parent, 0, name);
}

static void entry_gone(void *context, uint64_t parent, const char *name, uint64_t ino) {
    queue(context, ENTRY_GONE, parent, ino, name);
}

static void attributes_changed(void *context, uint64_t ino) {
    queue(context, ATTRIBUTES_CHANGED, 0, ino, "");
}

struct tree_watch notifier_watch(struct notifier *notifier) {
    return (struct tree_watch){.context = notifier,
                               .entry_changed = entry_changed,
                               .entry_gone = entry_gone,
                               .attributes_changed = attributes_changed};
}

int notifier_create(struct notifier **out, struct fuse_session *session) {
    struct notifier *notifier = calloc(1, sizeof *notifier);
    if (!notifier)
        return -ENOMEM;
    notifier->session = session;
    notifier->last = &notifier->first;
    pthread_mutex_init(&notifier->lock, NULL);
    pthread_cond_init(&notifier->more, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&notifier->thread, NULL, run, notifier);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r) {
        free(notifier);
        return -r;
    }
    *out = notifier;
    return 0;
}

void notifier_destroy(struct notifier *notifier) {
    if (!notifier)
        return;
    pthread_mutex_lock(&notifier->lock);
    notifier->ending = true;
    pthread_cond_signal(&notifier->more);
    pthread_mutex_unlock(&notifier->lock);
    pthread_join(notifier->thread, NULL);
    pthread_cond_destroy(&notifier->more);
    pthread_mutex_destroy(&notifier->lock);
    free(notifier);
}
