/* Parts of one large object, several at once: on the parts pool and on the thread that waits for them. How many: two at
 * first, twice as many while that is faster, and no more. A far wire needs many connections; a near store that one core
 * serves is slower with many. */
#include "fs/sync/private.h"

#include "base/clock.h"
#include "s3/store.h"

#define MIB (1ull << 20)
#define FIRST_WIDTH 2u
#define FASTER 1.15 /* so much the rate must grow for more at once */

struct run {
    struct sync *sync;
    const unsigned *numbers;
    size_t count;
    part_work *part;
    void *context;
    pthread_mutex_t lock;
    pthread_cond_t over;
    size_t next, ended; /* under lock, as all below */
    unsigned workers;   /* threads at work, the waiting one included */
    unsigned width;     /* so many there should be */
    int result;
    struct fault fault;
    /* the width is tried out for as many parts */
    bool settled;
    unsigned best_width;
    double best_rate; /* parts a millisecond */
    size_t tried_from;
    int64_t tried_since_ms;
};

/* Under lock. */
static void try_width(struct run *run, unsigned width) {
    unsigned most = run->sync->options.work_threads;
    run->width = width < most ? width : most;
    run->tried_from = run->ended;
    run->tried_since_ms = clock_monotonic_ms();
}

/* Under lock: a part has ended. */
static void adapt(struct run *run) {
    run->ended++;
    if (run->settled || run->ended - run->tried_from < run->width)
        return;
    int64_t took_ms = clock_monotonic_ms() - run->tried_since_ms;
    double rate = (double)(run->ended - run->tried_from) / (double)(took_ms > 0 ? took_ms : 1);
    if (rate > run->best_rate * FASTER) {
        run->settled = run->width == run->sync->options.work_threads;
        run->best_rate = rate;
        run->best_width = run->width;
        try_width(run, run->width * 2);
    } else {
        run->settled = true;
        run->width = run->best_width;
    }
}

/* The next part for this worker; false: it ends. */
static bool take(struct run *run, unsigned *number) {
    pthread_mutex_lock(&run->lock);
    bool some = !run->result && run->next < run->count && run->workers <= run->width;
    if (some)
        *number = run->numbers[run->next++];
    else if (--run->workers == 0)
        pthread_cond_signal(&run->over);
    pthread_mutex_unlock(&run->lock);
    return some;
}

static void help(void *context);

/* Brings as many workers as the width wants and the parts need. */
static void widen(struct run *run) {
    pthread_mutex_lock(&run->lock);
    while (!run->result && run->next < run->count && run->workers < run->width && run->workers < run->count) {
        run->workers++;
        if (sync_submit(run->sync, run->sync->parts, WORKERS_NOW, help, run)) {
            run->workers--;
            break;
        }
    }
    pthread_mutex_unlock(&run->lock);
}

static void work(struct run *run) {
    unsigned number;
    while (take(run, &number)) {
        struct fault fault = {0};
        int r = run->part(run->context, number, &fault);
        pthread_mutex_lock(&run->lock);
        if (r && !run->result) {
            run->result = r;
            run->fault = fault;
        }
        adapt(run);
        pthread_mutex_unlock(&run->lock);
        widen(run);
    }
}

static void help(void *context) {
    work(context);
}

int parts_run(struct sync *sync, const unsigned *numbers, size_t count, part_work *part, void *context,
              struct fault *fault) {
    struct run run = {.sync = sync,
                      .numbers = numbers,
                      .count = count,
                      .part = part,
                      .context = context,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .over = PTHREAD_COND_INITIALIZER,
                      .workers = 1};
    try_width(&run, FIRST_WIDTH);
    widen(&run);
    work(&run);
    pthread_mutex_lock(&run.lock);
    while (run.workers)
        pthread_cond_wait(&run.over, &run.lock);
    pthread_mutex_unlock(&run.lock);
    if (run.result && fault)
        *fault = run.fault;
    pthread_cond_destroy(&run.over);
    pthread_mutex_destroy(&run.lock);
    return run.result;
}

uint64_t parts_size(uint64_t total, uint64_t least) {
    uint64_t size = (total + STORE_MAX_PARTS - 1) / STORE_MAX_PARTS;
    if (size <= least)
        return least;
    size = (size + MIB - 1) / MIB * MIB;
    return size <= STORE_MAX_PART ? size : 0;
}
