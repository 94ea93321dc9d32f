/* One line for each event, on stderr: text for people, JSON for machines. Thread-safe. A failed request is logged once,
 * where its cause is known, with what the user can do. Never pass a token, code, verifier or signed URL:
 * log_redact_url() cuts one. The sink is the one process-wide state in Pail: set once by main before threads start. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* Only lines at `least` and above are written. fd is borrowed (2 for stderr). */
void log_setup(enum log_level least, bool json, int fd);
bool log_wants(enum log_level level); /* whether such a line would be written */
/* "debug", "info", "warning", "error"; -EINVAL. */
int log_level_parse(const char *name);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/* What an event is about, for machines to find: members in JSON, name=value behind the text for people. */
struct log_field {
    const char *name;  /* [a-z_]+ */
    const char *value; /* NULL: number counts */
    int64_t number;
};
void log_event(enum log_level level, const struct log_field *fields, size_t count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Copies the URL without its query and user part into out (cut to size). Returns out. */
const char *log_redact_url(const char *url, char *out, size_t size);
