/* Who waits until what is in the journal now is in the bucket: fsync, `pail sync`, `pail umount`. */
#include "base/clock.h"
#include "fs/sync/private.h"

#define MOST_TRIES 3
#define MOST_IDLE 5
#define IDLE_MS 20

/* One node that is waited for, as it was then. */
struct wanted {
    uint64_t ino, change;
};

struct flush {
    struct flush *next;
    sync_done *done;
    void *context;
    uint64_t ino;
    struct wanted *wanted; /* owned */
    size_t count, capacity, left;
    bool folder, deletes; /* a folder's deletes are waited for as well, once its nodes are done */
    uint64_t turn;        /* a look for deletes begun after this one counts; 0: deletes are not waited for now */
    int error;            /* the first of those that cannot be done */
    unsigned idle;        /* looks for deletes that found none to be had now, */
    int64_t idle_ms;      /* and when the last of them was */
    unsigned tries;       /* deletes that failed in a way that may pass */
    bool held;            /* sync_flush still works on it: it stays in the list */
    bool ended;           /* by flush_end_all, while held */
};

static int want(struct flush *flush, struct wanted wanted) {
    if (flush->count == flush->capacity) {
        size_t capacity = flush->capacity ? flush->capacity * 2 : 64;
        struct wanted *longer = realloc(flush->wanted, capacity * sizeof *longer);
        if (!longer)
            return -ENOMEM;
        flush->wanted = longer;
        flush->capacity = capacity;
    }
    flush->wanted[flush->count++] = wanted;
    return 0;
}

static int visit(void *context, const char *path, const struct tree_node *node) {
    (void)path;
    return want(context, (struct wanted){node->ino, node->change});
}

static int by_ino(const void *a, const void *b) {
    uint64_t x = ((const struct wanted *)a)->ino, y = ((const struct wanted *)b)->ino;
    return x < y ? -1 : x > y;
}

/* All nodes with work below, or the file itself. */
static int collect(struct sync *sync, struct flush *flush) {
    AUTO_NODE struct tree_node node = {0};
    int r = tree_get(sync->tree, flush->ino, &node);
    if (r)
        return r == -ENOENT ? 0 : r > 0 ? PAIL_BUSY : r;
    if (node.type != TREE_FOLDER)
        return node.work ? visit(flush, NULL, &node) : 0;
    if (node.work && flush->ino != TREE_ROOT && (r = visit(flush, NULL, &node)))
        return r;
    r = tree_unsent(sync->tree, flush->ino, SIZE_MAX, visit, flush);
    if (flush->count)
        qsort(flush->wanted, flush->count, sizeof *flush->wanted, by_ino);
    return r > 0 ? PAIL_BUSY : r;
}

static void flush_destroy(struct flush *flush) {
    free(flush->wanted);
    free(flush);
}

/* A move gives work to what lies below; nothing else that comes later is waited for. Keeps only those, and says whether
 * there are any. */
static bool collect_moves(struct sync *sync, struct flush *flush) {
    AUTO_NODE struct tree_node root = {0};
    if (tree_get(sync->tree, flush->ino, &root) || root.type != TREE_FOLDER)
        return false;
    flush->count = flush->left = 0;
    if (collect(sync, flush))
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < flush->count; i++) {
        AUTO_NODE struct tree_node node = {0};
        if (!tree_get(sync->tree, flush->wanted[i].ino, &node) && (node.work & TREE_WORK_NAME))
            flush->wanted[kept++] = flush->wanted[i];
    }
    flush->count = flush->left = kept;
    return kept > 0;
}

/* Under lock: takes out those that are over. */
static struct flush *take_over(struct sync *sync) {
    struct flush *over = NULL, **link = &sync->flushes;
    while (*link) {
        struct flush *flush = *link;
        bool is_over = flush->ended || (!flush->left && (!flush->turn || flush->error));
        if (flush->held || !is_over) {
            link = &flush->next;
            continue;
        }
        *link = flush->next;
        flush->next = over;
        over = flush;
    }
    return over;
}

/* Under lock, so that flush_end_all either finds it in the list or has told online_error why before. */
static int join(struct sync *sync, struct flush *flush) {
    int r = !sync->started || sync->ending ? PAIL_CANCELLED : online_error(sync);
    if (r)
        return r;
    flush->held = true;
    flush->next = sync->flushes;
    sync->flushes = flush;
    return 0;
}

static void let_go(struct sync *sync, struct flush *flush);

/* Goes on waiting: for what moves below, then for the old keys and what was deleted. */
static bool go_on(struct sync *sync, struct flush *flush) {
    if (flush->error || flush->ended || !flush->folder)
        return false;
    bool moves = collect_moves(sync, flush);
    if (!moves && flush->deletes)
        return false;
    tree_work_hasten(sync->tree, flush->ino);
    pthread_mutex_lock(&sync->lock);
    if (!moves) {
        flush->deletes = true;
        flush->turn = ++sync->gone_turn;
    }
    int r = join(sync, flush);
    if (r)
        flush->error = r;
    pthread_mutex_unlock(&sync->lock);
    if (r)
        return false;
    let_go(sync, flush);
    schedule_wake(sync);
    return true;
}

static void tell(struct sync *sync, struct flush *over) {
    while (over) {
        struct flush *next = over->next;
        if (!go_on(sync, over)) {
            sync_answer(sync, over->done, over->context, over->error);
            flush_destroy(over);
        }
        over = next;
    }
}

static struct wanted *find_among(struct wanted *wanted, size_t count, uint64_t ino) {
    struct wanted key = {ino, 0};
    return count ? bsearch(&key, wanted, count, sizeof key, by_ino) : NULL;
}

static struct wanted *find(struct flush *flush, uint64_t ino) {
    return find_among(flush->wanted, flush->count, ino);
}

void flush_job_ended(struct sync *sync, uint64_t ino, uint64_t change, bool left, int error) {
    pthread_mutex_lock(&sync->lock);
    for (struct flush *flush = sync->flushes; flush; flush = flush->next) {
        struct wanted *wanted = find(flush, ino);
        bool here = wanted && wanted->change && change >= wanted->change;
        if (!wanted || wanted->change == UINT64_MAX || (left && !here && !error))
            continue;
        if (!here && left && !flush->error)
            flush->error = error;
        wanted->change = UINT64_MAX;
        flush->left--;
    }
    struct flush *over = take_over(sync);
    pthread_mutex_unlock(&sync->lock);
    tell(sync, over);
}

/* Under the tree's lock: a job of `from` that finds nothing left to do is not taken for the end of its work. */
void flush_follow(struct sync *sync, uint64_t from, uint64_t to) {
    pthread_mutex_lock(&sync->lock);
    for (struct flush *flush = sync->flushes; flush; flush = flush->next) {
        struct wanted *wanted = find(flush, from);
        if (!wanted || wanted->change == UINT64_MAX || find(flush, to))
            continue;
        *wanted = (struct wanted){to, 0};
        qsort(flush->wanted, flush->count, sizeof *flush->wanted, by_ino);
    }
    pthread_mutex_unlock(&sync->lock);
}

/* It may be done with what it took over already. */
void flush_look(struct sync *sync, uint64_t ino) {
    AUTO_NODE struct tree_node node = {0};
    if (tree_get(sync->tree, ino, &node) || !node.work)
        flush_job_ended(sync, ino, 0, false, 0);
}

/* Under lock. True: worth another try. */
static bool note_failure(struct sync *sync, struct flush *flush, int error) {
    bool passes = error < 0 || error == PAIL_BUSY || error == PAIL_DAMAGED;
    if (!flush->turn || flush->error)
        return false;
    if (passes && flush->tries++ < MOST_TRIES) {
        flush->turn = ++sync->gone_turn;
        return true;
    }
    flush->error = error;
    return false;
}

void flush_gone_ended(struct sync *sync, int error) {
    bool again = false;
    pthread_mutex_lock(&sync->lock);
    for (struct flush *flush = sync->flushes; error && flush; flush = flush->next)
        again = note_failure(sync, flush, error) || again;
    struct flush *over = take_over(sync);
    pthread_mutex_unlock(&sync->lock);
    if (again)
        tree_work_hasten(sync->tree, TREE_ROOT);
    tell(sync, over);
}

/* None was there to be claimed. One whose node is still held by a job's last moments shows only a little later. */
void flush_gone_idle(struct sync *sync, uint64_t turn) {
    struct tree_totals totals = {0};
    bool again = false;
    int64_t now = clock_monotonic_ms();
    if (!flush_wants(sync, 0) || tree_totals(sync->tree, &totals))
        return;
    pthread_mutex_lock(&sync->lock);
    for (struct flush *flush = sync->flushes; flush; flush = flush->next) {
        if (!flush->turn || flush->turn >= turn || flush->left)
            continue;
        bool late = now - flush->idle_ms >= IDLE_MS;
        bool over = !totals.deletes || (late && ++flush->idle > MOST_IDLE);
        if (over)
            flush->turn = 0;
        else if (late)
            flush->idle_ms = now;
        again = again || (late && !over);
    }
    struct flush *over = take_over(sync);
    pthread_mutex_unlock(&sync->lock);
    if (again)
        tree_work_hasten(sync->tree, TREE_ROOT);
    tell(sync, over);
}

void flush_end_all(struct sync *sync, int error) {
    pthread_mutex_lock(&sync->lock);
    for (struct flush *flush = sync->flushes; flush; flush = flush->next) {
        flush->ended = true;
        flush->error = error;
    }
    struct flush *over = take_over(sync);
    pthread_mutex_unlock(&sync->lock);
    tell(sync, over);
}

bool flush_wants(struct sync *sync, uint64_t ino) {
    bool wants = false;
    pthread_mutex_lock(&sync->lock);
    for (struct flush *flush = sync->flushes; flush && !wants; flush = flush->next)
        wants = !ino || find(flush, ino);
    pthread_mutex_unlock(&sync->lock);
    return wants;
}

static int prepare(struct sync *sync, struct flush *flush) {
    AUTO_NODE struct tree_node node = {0};
    int r = online_error(sync);
    if (r)
        return r;
    r = tree_work_hasten(sync->tree, flush->ino);
    if (!r)
        r = collect(sync, flush);
    flush->left = flush->count;
    flush->folder = !r && !tree_get(sync->tree, flush->ino, &node) && node.type == TREE_FOLDER;
    return r > 0 ? PAIL_BUSY : r;
}

/* Work may have gone over to another node between collecting and joining the list; from then on flush_follow sees it.
 * With it comes the little that was new in that time. */
static void catch_up(struct sync *sync, struct flush *flush) {
    struct flush now = {.ino = flush->ino};
    int r = collect(sync, &now);
    pthread_mutex_lock(&sync->lock);
    size_t before = flush->count;
    for (size_t i = 0; !r && i < now.count; i++)
        if (!find_among(flush->wanted, before, now.wanted[i].ino))
            r = want(flush, now.wanted[i]);
    if (flush->count > before)
        qsort(flush->wanted, flush->count, sizeof *flush->wanted, by_ino);
    flush->left += flush->count - before;
    if (r && !flush->error)
        flush->error = r;
    pthread_mutex_unlock(&sync->lock);
    free(now.wanted);
}

/* Work may have ended between collecting and joining the list: what is not outstanding any more is not waited for,
 * unless it was taken over just now. */
static void let_go(struct sync *sync, struct flush *flush) {
    struct flush now = {.ino = flush->ino};
    int r = collect(sync, &now);
    pthread_mutex_lock(&sync->lock);
    for (size_t i = 0; !r && i < flush->count; i++) {
        struct wanted *wanted = &flush->wanted[i];
        if (wanted->change == UINT64_MAX || !wanted->change || find(&now, wanted->ino))
            continue;
        wanted->change = UINT64_MAX;
        flush->left--;
    }
    if (r && !flush->error)
        flush->error = r;
    flush->held = false;
    struct flush *over = take_over(sync);
    pthread_mutex_unlock(&sync->lock);
    free(now.wanted);
    tell(sync, over);
}

static bool is_empty(struct sync *sync) {
    struct tree_totals totals;
    return !tree_totals(sync->tree, &totals) && !totals.unsent && !totals.deletes;
}

void sync_flush(struct sync *sync, uint64_t ino, sync_done *done, void *context) {
    struct flush *flush = calloc(1, sizeof *flush);
    if (!flush) {
        sync_answer(sync, done, context, -ENOMEM);
        return;
    }
    *flush = (struct flush){.done = done, .context = context, .ino = ino};
    int r = prepare(sync, flush);
    bool nothing = r > 0 && is_empty(sync); /* offline, and all of it is in the bucket */
    pthread_mutex_lock(&sync->lock);
    if (!r)
        r = join(sync, flush);
    pthread_mutex_unlock(&sync->lock);
    if (r) {
        flush_destroy(flush);
        if (r > 0 && !nothing)
            online_probe_soon(sync); /* somebody waits: the next try may find the network */
        sync_answer(sync, done, context, nothing ? 0 : r);
        return;
    }
    catch_up(sync, flush);
    let_go(sync, flush);
    schedule_wake(sync);
}

int sync_drain(struct sync *sync, const _Atomic bool *cancelled) {
    tree_work_hasten(sync->tree, TREE_ROOT);
    schedule_wake(sync);
    while (!is_empty(sync)) {
        if ((cancelled && atomic_load(cancelled)) || atomic_load(&sync->cut))
            return PAIL_CANCELLED;
        clock_sleep_ms(50);
    }
    return 0;
}
