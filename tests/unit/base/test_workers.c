/* Tests of base/workers: every job once, priorities, the limit, and the end. Run under TSan too. */
#include "base/workers.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

static void count_up(void *context) {
    atomic_fetch_add((_Atomic int *)context, 1);
}

static void every_job_runs_once_before_destroy_returns(void **state) {
    (void)state;
    struct workers *workers = NULL;
    _Atomic int done = 0;
    assert_int_equal(workers_create(&workers, "test", 4, 10000), 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(workers_submit(workers, i % WORKERS_PRIORITIES, count_up, &done), 0);
    workers_destroy(workers);
    assert_int_equal(done, 5000);
    workers_destroy(NULL);
}

/* A job that waits until it is let go, so that the queue behind it can be looked at. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool entered, open;
};

static void wait_at_gate(void *context) {
    struct gate *gate = context;
    pthread_mutex_lock(&gate->lock);
    gate->entered = true;
    pthread_cond_broadcast(&gate->change);
    while (!gate->open)
        pthread_cond_wait(&gate->change, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void close_gate(struct workers *workers, struct gate *gate) {
    assert_int_equal(workers_submit(workers, WORKERS_NOW, wait_at_gate, gate), 0);
    pthread_mutex_lock(&gate->lock);
    while (!gate->entered)
        pthread_cond_wait(&gate->change, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void open_gate(struct gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->change);
    pthread_mutex_unlock(&gate->lock);
}

#define GATE                                                                                                           \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER }

struct order {
    char seen[8];
    _Atomic int used;
};

struct mark {
    struct order *order;
    char name;
};

static void write_mark(void *context) {
    struct mark *mark = context;
    mark->order->seen[mark->order->used++] = mark->name;
}

static void urgent_jobs_go_first(void **state) {
    (void)state;
    struct workers *workers = NULL;
    struct gate gate = GATE;
    struct order order = {{0}, 0};
    struct mark later = {&order, 'l'}, soon = {&order, 's'}, now = {&order, 'n'}, second = {&order, '2'};
    assert_int_equal(workers_create(&workers, "test", 1, 10), 0);
    close_gate(workers, &gate);
    assert_int_equal(workers_submit(workers, WORKERS_LATER, write_mark, &later), 0);
    assert_int_equal(workers_submit(workers, WORKERS_SOON, write_mark, &soon), 0);
    assert_int_equal(workers_submit(workers, WORKERS_NOW, write_mark, &now), 0);
    assert_int_equal(workers_submit(workers, WORKERS_NOW, write_mark, &second), 0);
    assert_int_equal(workers_pending(workers), 5);
    open_gate(&gate);
    workers_destroy(workers);
    assert_string_equal(order.seen, "n2sl");
}

static void a_full_queue_refuses_but_not_what_was_promised(void **state) {
    (void)state;
    struct workers *workers = NULL;
    struct gate gate = GATE;
    _Atomic int done = 0;
    assert_int_equal(workers_create(&workers, "test", 1, 2), 0);
    close_gate(workers, &gate);
    assert_int_equal(workers_submit(workers, WORKERS_SOON, count_up, &done), 0);
    assert_int_equal(workers_submit(workers, WORKERS_SOON, count_up, &done), 0);
    assert_int_equal(workers_submit(workers, WORKERS_NOW, count_up, &done), -EAGAIN);
    assert_int_equal(workers_submit_always(workers, WORKERS_LATER, count_up, &done), 0);
    open_gate(&gate);
    workers_destroy(workers);
    assert_int_equal(done, 3);
}

struct meeting {
    pthread_barrier_t barrier;
    _Atomic int met;
};

static void meet(void *context) {
    struct meeting *meeting = context;
    pthread_barrier_wait(&meeting->barrier);
    meeting->met++;
}

/* It would hang if fewer than all threads were started for jobs that are there at once. */
static void all_threads_work_at_the_same_time(void **state) {
    (void)state;
    struct workers *workers = NULL;
    struct meeting meeting = {.met = 0};
    pthread_barrier_init(&meeting.barrier, NULL, 6);
    assert_int_equal(workers_create(&workers, "test", 6, 100), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(workers_submit(workers, WORKERS_SOON, meet, &meeting), 0);
    workers_destroy(workers);
    assert_int_equal(meeting.met, 6);
    pthread_barrier_destroy(&meeting.barrier);
}

struct chain {
    struct workers *workers;
    _Atomic int left;
};

static void next_of_chain(void *context) {
    struct chain *chain = context;
    if (atomic_fetch_sub(&chain->left, 1) > 1)
        assert_int_equal(workers_submit_always(chain->workers, WORKERS_SOON, next_of_chain, chain), 0);
}

static void a_job_may_submit_the_next_even_at_the_end(void **state) {
    (void)state;
    struct chain chain = {.left = 1000};
    assert_int_equal(workers_create(&chain.workers, "test", 3, 1), 0);
    assert_int_equal(workers_submit(chain.workers, WORKERS_NOW, next_of_chain, &chain), 0);
    workers_destroy(chain.workers);
    assert_int_equal(chain.left, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_once_before_destroy_returns),
        cmocka_unit_test(urgent_jobs_go_first),
        cmocka_unit_test(a_full_queue_refuses_but_not_what_was_promised),
        cmocka_unit_test(all_threads_work_at_the_same_time),
        cmocka_unit_test(a_job_may_submit_the_next_even_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
