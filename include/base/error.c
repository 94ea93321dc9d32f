/* Texts of errors. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[PAIL_ERROR_END] = {
    [0] = "fine",
    [PAIL_OFFLINE] = "not reachable",
    [PAIL_LOGIN_REQUIRED] = "login required, run 'pail login'",
    [PAIL_DENIED] = "not allowed",
    [PAIL_GONE] = "not there any more",
    [PAIL_NO_BUCKET] = "the bucket is not there any more, ask whoever runs the server",
    [PAIL_CONFLICT] = "changed by somebody else",
    [PAIL_QUOTA] = "quota used up",
    [PAIL_DISK_FULL] = "this machine's disk is full",
    [PAIL_DAMAGED] = "damaged",
    [PAIL_TOO_LARGE] = "too large",
    [PAIL_ARCHIVED] = "archived, restore it first",
    [PAIL_BUSY] = "busy, try again",
    [PAIL_UNSUPPORTED] = "not supported by the store",
    [PAIL_CANCELLED] = "cancelled",
};

const char *error_text(int error) {
    if (error < 0) {
        const char *text = strerrordesc_np(-error);
        return text ? text : "unknown error";
    }
    return error < PAIL_ERROR_END ? texts[error] : "unknown error";
}

int fault_set(struct fault *fault, int error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (fault)
        vsnprintf(fault->text, sizeof fault->text, format, arguments);
    va_end(arguments);
    return error;
}

int fault_prefix(struct fault *fault, int error, const char *format, ...) {
    if (!fault)
        return error;
    char head[sizeof fault->text], tail[sizeof fault->text];
    memcpy(tail, fault->text, sizeof tail);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(head, sizeof head, format, arguments);
    va_end(arguments);
    size_t used = strlen(head);
    memcpy(fault->text, head, used + 1);
    if (!tail[0])
        return error;
    for (const char *from = ": "; *from && used + 1 < sizeof fault->text; from++)
        fault->text[used++] = *from;
    for (const char *from = tail; *from && used + 1 < sizeof fault->text; from++)
        fault->text[used++] = *from;
    fault->text[used] = 0;
    return error;
}
