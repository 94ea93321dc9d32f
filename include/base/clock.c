/* Time. */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_monotonic_ms(void) {
    return now_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t clock_monotonic_ns(void) {
    return now_ns(CLOCK_MONOTONIC);
}

int64_t clock_boottime_s(void) {
    return now_ns(CLOCK_BOOTTIME) / 1000000000;
}

int64_t clock_boottime_ms(void) {
    return now_ns(CLOCK_BOOTTIME) / 1000000;
}

int64_t clock_realtime_s(void) {
    return now_ns(CLOCK_REALTIME) / 1000000000;
}

int64_t clock_realtime_ns(void) {
    return now_ns(CLOCK_REALTIME);
}

void clock_sleep_ms(int64_t ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
        ;
}

int64_t clock_minutes(int64_t seconds) {
    return (llabs(seconds) + 30) / 60;
}

void clock_cond_init(pthread_cond_t *condition) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool clock_cond_wait_ms(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms) {
    int64_t until = clock_monotonic_ns() + ms * 1000000;
    struct timespec at = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    return pthread_cond_timedwait(condition, lock, &at) == ETIMEDOUT;
}

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int to_seconds(struct tm *tm, int64_t *seconds) {
    if (tm->tm_mon < 0 || tm->tm_mon > 11 || tm->tm_mday < 1 || tm->tm_mday > 31 || tm->tm_hour > 23 ||
        tm->tm_min > 59 || tm->tm_sec > 60)
        return -EINVAL;
    *seconds = timegm(tm);
    return 0;
}

int clock_parse_http(const char *text, int64_t *seconds) {
    struct tm tm = {0};
    char month[4];
    int end = 0;
    if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &end) != 6 ||
        !end || text[end])
        return -EINVAL;
    const char *found = strstr(months, month);
    if (!found || strlen(month) != 3 || (found - months) % 3)
        return -EINVAL;
    tm.tm_mon = (int)(found - months) / 3;
    tm.tm_year -= 1900;
    return to_seconds(&tm, seconds);
}

int clock_parse_iso8601(const char *text, int64_t *seconds) {
    struct tm tm = {0};
    int end = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &end) != 6 ||
        !end)
        return -EINVAL;
    if (text[end] == '.')
        end += 1 + (int)strspn(text + end + 1, "0123456789");
    if (strcmp(text + end, "Z") != 0 && strcmp(text + end, "+00:00") != 0)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return to_seconds(&tm, seconds);
}

void clock_format_http(int64_t seconds, char out[30]) {
    static const char days[] = "SunMonTueWedThuFriSat";
    struct tm tm;
    time_t t = (time_t)seconds;
    gmtime_r(&t, &tm);
    snprintf(out, 30, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + tm.tm_wday * 3, (unsigned)tm.tm_mday % 100,
             months + tm.tm_mon * 3, (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

void clock_format_iso8601(int64_t seconds, char out[25]) {
    struct tm tm;
    time_t t = (time_t)seconds;
    gmtime_r(&t, &tm);
    snprintf(out, 25, "%04u-%02u-%02uT%02u:%02u:%02u.000Z", (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}
