/* Addresses of clients: read, compared with networks, and put together where one person may have many. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* IPv6; IPv4 as ::ffff:a.b.c.d. */
struct peer {
    unsigned char bytes[16];
};

/* "192.0.2.1", "2001:db8::1", and the forms that proxies write: "192.0.2.1:80", "[2001:db8::1]:80". Blanks around it
 * are passed over. -EINVAL. */
int peer_parse(const char *text, size_t size, struct peer *out);
int peer_of_socket(const struct sockaddr *address, struct peer *out); /* -EINVAL: neither IPv4 nor IPv6 */
void peer_print(const struct peer *peer, char out[64]);
/* What is counted as one: an IPv4 address, or the /64 of an IPv6 address, which one customer has to himself (RFC 6177).
 */
struct peer peer_group(const struct peer *peer);

struct peer_network {
    struct peer first;
    unsigned bits; /* of the 128 */
};
/* "192.0.2.1", "10.0.0.0/8", "2001:db8::/32". -EINVAL, also for bits behind the mask. */
int peer_parse_network(const char *text, struct peer_network *out);
bool peer_is_in(const struct peer *peer, const struct peer_network *networks, size_t count);

/* Who is behind the proxies: direct is whom the connection comes from. If that is a trusted one, the rightmost address
 * that is not counts, of what the proxies wrote into X-Forwarded-For, each to the right of the one before (values:
 * these headers, in order); what stands further left can be written by anybody. False: a trusted proxy does not say for
 * whom it asks; out is the proxy then. */
bool peer_behind(const struct peer *direct, const char *const *values, size_t count, const struct peer_network *trusted,
                 size_t trusted_count, struct peer *out);
