/* ^C, SIGTERM and SIGHUP as a flag, for commands that wait. One at a time in a process; before other threads start. */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

struct interrupt {
    _Atomic bool cancelled; /* for options that take one */
    _Atomic bool finished;
    sigset_t before;
    pthread_t thread;
    bool running;
};

/* From here on the signals set cancelled; a second one ends the process as it would have without this. */
void interrupt_begin(struct interrupt *interrupt);
void interrupt_end(struct interrupt *interrupt);
