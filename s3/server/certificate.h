/* A TLS certificate with its key, as GnuTLS (which libmicrohttpd speaks TLS with) wants them: read once, checked, and
 * shared by every connection that began with it, so that a newer one can take its place at any time. Thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct certificate;
/* PEM texts: the chain, its own certificate first, and the key. 0, -ENOMEM, or -EINVAL with a fault: what is wrong with
 * them. Held once, for the caller. */
int certificate_create(struct certificate **out, const char *chain, const char *key, struct fault *fault);
struct certificate *certificate_hold(struct certificate *certificate);
void certificate_release(struct certificate *certificate); /* NULL is fine */
/* session: a gnutls_session_t before its handshake. The certificate must be held until the session's end. */
void certificate_use(struct certificate *certificate, void *session);

void certificate_life(const struct certificate *certificate, int64_t *begins_s, int64_t *ends_s); /* Unix seconds */
/* host: a name, or an address without brackets (RFC 6125, 2818). */
bool certificate_is_for(const struct certificate *certificate, const char *host);
