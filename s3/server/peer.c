/* Addresses of clients. */
#include "s3/server/peer.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define LONGEST 64

static const unsigned char v4_in_v6[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const struct peer *peer) {
    return !memcmp(peer->bytes, v4_in_v6, sizeof v4_in_v6);
}

static int parse_bare(const char *text, struct peer *out) {
    if (inet_pton(AF_INET6, text, out->bytes) == 1)
        return 0;
    memcpy(out->bytes, v4_in_v6, sizeof v4_in_v6);
    return inet_pton(AF_INET, text, out->bytes + 12) == 1 ? 0 : -EINVAL;
}

static bool is_port(const char *text) {
    return *text && strlen(text) <= 5 && text[strspn(text, "0123456789")] == '\0';
}

int peer_parse(const char *text, size_t size, struct peer *out) {
    char copy[LONGEST];
    for (; size && (*text == ' ' || *text == '\t'); size--)
        text++;
    while (size && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        size--;
    if (size >= sizeof copy || memchr(text, '\0', size))
        return -EINVAL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (*copy == '[') {
        char *end = strchr(copy, ']');
        if (!end || (end[1] && (end[1] != ':' || !is_port(end + 2))))
            return -EINVAL;
        *end = '\0';
        return parse_bare(copy + 1, out);
    }
    char *colon = strchr(copy, ':');
    if (colon && !strchr(colon + 1, ':') && is_port(colon + 1))
        *colon = '\0';
    return parse_bare(copy, out);
}

int peer_of_socket(const struct sockaddr *address, struct peer *out) {
    if (address && address->sa_family == AF_INET6) {
        memcpy(out->bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
        return 0;
    }
    if (!address || address->sa_family != AF_INET)
        return -EINVAL;
    memcpy(out->bytes, v4_in_v6, sizeof v4_in_v6);
    memcpy(out->bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    return 0;
}

void peer_print(const struct peer *peer, char out[64]) {
    if (is_v4(peer))
        inet_ntop(AF_INET, peer->bytes + 12, out, 64);
    else
        inet_ntop(AF_INET6, peer->bytes, out, 64);
}

struct peer peer_group(const struct peer *peer) {
    struct peer group = *peer;
    if (!is_v4(peer))
        memset(group.bytes + 8, 0, 8);
    return group;
}

/* Networks. */

static bool same_bits(const struct peer *a, const struct peer *b, unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    return !rest || !((a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest));
}

static bool nothing_behind(const struct peer_network *network) {
    for (unsigned bit = network->bits; bit < 128; bit++)
        if (network->first.bytes[bit / 8] >> (7 - bit % 8) & 1)
            return false;
    return true;
}

int peer_parse_network(const char *text, struct peer_network *out) {
    char copy[LONGEST];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    uint64_t bits = 128;
    if (size >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (parse_bare(copy, &out->first))
        return -EINVAL;
    bool short_form = !strchr(copy, ':');
    if (slash && (text_parse_u64(slash + 1, &bits) || bits > (short_form ? 32 : 128)))
        return -EINVAL;
    out->bits = (unsigned)bits + (slash && short_form ? 96 : 0);
    return nothing_behind(out) ? 0 : -EINVAL;
}

bool peer_is_in(const struct peer *peer, const struct peer_network *networks, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (same_bits(peer, &networks[i].first, networks[i].bits))
            return true;
    return false;
}

/* Behind proxies. */

/* The element that ends at *end, which becomes the end of the one before it; false: there is none. */
static bool previous(const char *value, size_t *end, const char **element, size_t *size) {
    if (*end == (size_t)-1)
        return false;
    size_t from = *end;
    while (from && value[from - 1] != ',')
        from--;
    *element = value + from;
    *size = *end - from;
    *end = from ? from - 1 : (size_t)-1;
    return true;
}

bool peer_behind(const struct peer *direct, const char *const *values, size_t count, const struct peer_network *trusted,
                 size_t trusted_count, struct peer *out) {
    bool told = false;
    *out = *direct;
    if (!peer_is_in(direct, trusted, trusted_count))
        return true;
    while (count--) {
        const char *element;
        size_t end = strlen(values[count]), size;
        while (previous(values[count], &end, &element, &size)) {
            if (peer_parse(element, size, out)) {
                *out = *direct;
                return false;
            }
            told = true;
            if (!peer_is_in(out, trusted, trusted_count))
                return true;
        }
    }
    return told; /* all of them are trusted: the first one asks for itself */
}
