/* Time. Every function is thread-safe and never fails. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_ns(void);
int64_t clock_boottime_s(void); /* counts time asleep: for the life of tokens and grants */
int64_t clock_boottime_ms(void);
int64_t clock_realtime_s(void);
int64_t clock_realtime_ns(void);
void clock_sleep_ms(int64_t ms);
/* Whole minutes, rounded and without a sign, to tell people. */
int64_t clock_minutes(int64_t seconds);

/* A condition whose waits are not bent when somebody sets the clock. */
void clock_cond_init(pthread_cond_t *condition);
/* Of such a condition, under lock. True: the time is over. May return early without a signal, as pthread_cond_wait. */
bool clock_cond_wait_ms(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms);

/* "Mon, 23 Nov 2026 14:05:12 GMT" (RFC 9110 5.6.7) or "2026-11-23T14:05:12.345Z" (RFC 3339) to Unix seconds; -EINVAL.
 */
int clock_parse_http(const char *text, int64_t *seconds);
int clock_parse_iso8601(const char *text, int64_t *seconds);
/* Both write a terminated string. Sizes include the NUL. */
void clock_format_http(int64_t seconds, char out[30]);
void clock_format_iso8601(int64_t seconds, char out[25]); /* with .000 */
