/* ^C, SIGTERM and SIGHUP as a flag: one thread takes the signals, so that no handler and no global is needed. */
#include "fs/cli/interrupt.h"

#include <stddef.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 50 };

static void signals_of(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

static void *take_signals(void *context) {
    struct interrupt *interrupt = context;
    sigset_t set;
    signals_of(&set);
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    while (!atomic_load(&interrupt->finished)) {
        int number = sigtimedwait(&set, NULL, &tick);
        if (number <= 0)
            continue;
        if (atomic_exchange(&interrupt->cancelled, true))
            _exit(128 + number);
    }
    return NULL;
}

void interrupt_begin(struct interrupt *interrupt) {
    sigset_t set;
    signals_of(&set);
    atomic_init(&interrupt->cancelled, false);
    atomic_init(&interrupt->finished, false);
    pthread_sigmask(SIG_BLOCK, &set, &interrupt->before);
    interrupt->running = pthread_create(&interrupt->thread, NULL, take_signals, interrupt) == 0;
    if (!interrupt->running)
        pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
}

void interrupt_end(struct interrupt *interrupt) {
    if (!interrupt->running)
        return;
    atomic_store(&interrupt->finished, true);
    pthread_join(interrupt->thread, NULL);
    pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
    interrupt->running = false;
}
