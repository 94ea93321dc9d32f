/* Whether a server may have the token that it asks for. */
#include "auth/trust.h"

#include "auth/fetch.h"
#include "base/cleanup.h"
#include "base/text.h"

static bool all_on_loopback(const char *server, const char *issuer) {
    return fetch_url_is_loopback(server) && fetch_url_is_loopback(issuer);
}

int trust_audience(const char *server, const char *issuer, const char *audience, const char *allowed,
                   struct fault *fault) {
    if ((allowed && text_equal(allowed, audience)) || all_on_loopback(server, issuer))
        return 0;
    AUTO_FREE char *meant = fetch_url_origin(audience), *origin = fetch_url_origin(server);
    if (meant && text_starts(meant, "https://") && text_equal(meant, origin))
        return 0;
    return fault_set(fault, PAIL_DENIED,
                     "this server asks for a token meant for %.200s, not for itself. If you trust it with that, say "
                     "--audience %.200s",
                     audience, audience);
}

int trust_issuer(const char *server, const char *known, const char *issuer, struct fault *fault) {
    if (!known || text_equal(known, issuer) || all_on_loopback(server, issuer))
        return 0;
    return fault_set(fault, PAIL_DENIED,
                     "%.150s used to send you to %.150s to log in, and now to %.150s. Ask who runs it; "
                     "`pail login --accept-issuer` goes on",
                     server, known, issuer);
}
