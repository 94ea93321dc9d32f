/* One line for each event, on stderr. */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Atomic int least_level = LOG_INFO;
static _Atomic bool as_json;
static _Atomic int sink_fd = 2;

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void log_setup(enum log_level least, bool json, int fd) {
    least_level = least;
    as_json = json;
    sink_fd = fd;
}

int log_level_parse(const char *name) {
    for (int i = 0; i < 4; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -EINVAL;
}

/* Control bytes would let a file name forge a line. */
static size_t escape(char *out, size_t size, const char *text, bool json) {
    size_t used = 0;
    for (; *text && used + 8 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            used += (size_t)snprintf(out + used, size - used, json ? "\\u%04x" : "\\x%02x", c);
        else if (json && (c == '"' || c == '\\'))
            used += (size_t)snprintf(out + used, size - used, "\\%c", c);
        else
            out[used++] = (char)c;
    }
    out[used] = 0;
    return used;
}

bool log_wants(enum log_level level) {
    return (int)level >= least_level;
}

/* Values for people are one word: what holds a blank or nothing is quoted. */
static size_t write_field(char *out, size_t size, const struct log_field *field, bool json) {
    char safe[600];
    if (!field->value)
        return (size_t)snprintf(out, size, json ? ",\"%s\":%lld" : " %s=%lld", field->name, (long long)field->number);
    escape(safe, sizeof safe, field->value, json);
    bool quoted = json || !*safe || strchr(safe, ' ');
    return (size_t)snprintf(out, size, json ? ",\"%s\":\"%s\"" : quoted ? " %s=\"%s\"" : " %s=%s", field->name, safe);
}

static void write_line(enum log_level level, const char *text, const struct log_field *fields, size_t count) {
    char safe[4000], more[2000] = "", line[6200], stamp[25];
    size_t used = 0;
    escape(safe, sizeof safe, text, as_json);
    for (size_t i = 0; i < count; i++) {
        size_t size = write_field(more + used, sizeof more - used, &fields[i], as_json);
        if (size >= sizeof more - used) {
            more[used] = 0; /* cut between fields */
            break;
        }
        used += size;
    }
    clock_format_iso8601(clock_realtime_s(), stamp);
    int size = as_json ? snprintf(line, sizeof line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"%s}\n", stamp,
                                  level_names[level], safe, more)
                       : snprintf(line, sizeof line, "pail: %s: %s%s\n", level_names[level], safe, more);
    if (size > 0 && write(sink_fd, line, (size_t)size) < 0)
        return; /* nowhere left to say it */
}

void log_write(enum log_level level, const char *format, ...) {
    char text[2000];
    va_list arguments;
    if (!log_wants(level))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_line(level, text, NULL, 0);
}

void log_event(enum log_level level, const struct log_field *fields, size_t count, const char *format, ...) {
    char text[2000];
    va_list arguments;
    if (!log_wants(level))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_line(level, text, fields, count);
}

const char *log_redact_url(const char *url, char *out, size_t size) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t authority = strcspn(host, "/?#");
    const char *at = memchr(host, '@', authority);
    const char *rest = at ? at + 1 : host;
    size_t length = strcspn(rest, "?#");
    snprintf(out, size, "%.*s%.*s%s", (int)(host - url), url, (int)length, rest, rest[length] ? "?..." : "");
    return out;
}
