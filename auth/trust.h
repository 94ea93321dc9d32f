/* Whether a server may have the token that it asks for. Thread-safe. */
#pragma once

#include "base/error.h"

/* A strange server could name another company's issuer, client and audience, and be handed that company's token. So the
 * audience must be an https address of the server's own origin, unless it is the one that the person allowed by hand
 * (NULL: none), or server and issuer are both on loopback. 0 or PAIL_DENIED with a fault. */
int trust_audience(const char *server, const char *issuer, const char *audience, const char *allowed,
                   struct fault *fault);
/* known: the issuer that this server had before; NULL: never seen. 0 when it may be used without asking: the first one,
 * the same one, or all of it on loopback. PAIL_DENIED with a fault when it is another one. */
int trust_issuer(const char *server, const char *known, const char *issuer, struct fault *fault);
