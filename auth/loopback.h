/* Hearing the browser's answer on a port of this machine (RFC 8252 7.3). Everything that is not this login's answer is
 * turned away and changes nothing: any web page and any user of this machine can call the port. Not thread-safe. */
#pragma once

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct loopback;

/* Binds 127.0.0.1 and the first of the ports that is free. -EADDRINUSE when none is. */
int loopback_open(struct loopback **out, const unsigned short *ports, size_t count, struct fault *fault);
void loopback_destroy(struct loopback *loopback); /* NULL is fine */
unsigned loopback_port(const struct loopback *loopback);
/* "http://127.0.0.1:PORT/callback", borrowed. */
const char *loopback_redirect_uri(const struct loopback *loopback);

struct loopback_answer {
    char *code;               /* owned secret; NULL when error is there */
    char *error, *error_more; /* owned; as the issuer says */
    char *issuer;             /* owned; RFC 9207; NULL without */
};
void loopback_answer_finish(struct loopback_answer *answer);

/* Until a request with this state comes; its browser then waits for loopback_reply. 0, -ETIMEDOUT, PAIL_CANCELLED,
 * -errno. */
int loopback_wait(struct loopback *loopback, const char *state, int timeout_s, const _Atomic bool *cancelled,
                  struct loopback_answer *answer, struct fault *fault);
/* A whole request, which it spoils: 0 when it is the answer of the login with this state, else the HTTP status to turn
 * it away with, and why. host: "127.0.0.1:PORT". */
int loopback_read_request(char *request, const char *host, const char *state, struct loopback_answer *answer,
                          const char **why);
/* Shows the browser that waits this page (HTML), and sees it delivered, for two seconds at most. */
void loopback_reply(struct loopback *loopback, const char *html);

static inline void loopback_destroy_p(struct loopback **loopback) {
    loopback_destroy(*loopback);
}
