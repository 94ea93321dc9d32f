/* How long a test waits for what has to come, and how late the end of a wait may be. Machines that run tests are shared
 * and may stand still for seconds: what a test plants against a wait that does not end lasts longer than PATIENCE_MS.
 */
#pragma once

#include "base/clock.h"

#define PATIENCE_MS 120000
/* The bound for what is to end early: under every default of the product (a keyring's answer 15 s, an answer from the
 * network 30 s), so that what ends only by its default fails. */
#define SOON_MS 12000

/* Until the condition holds; whoever waits asserts it afterwards. */
#define WAIT_UNTIL(condition)                                                                                          \
    for (int64_t patience_end_ms = clock_monotonic_ms() + PATIENCE_MS;                                                 \
         !(condition) && clock_monotonic_ms() < patience_end_ms;)                                                      \
    clock_sleep_ms(2)
