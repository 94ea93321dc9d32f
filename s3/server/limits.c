/* Limits of accounts and addresses, out of the settings. */
#include "s3/server/limits.h"

#include "s3/server/config.h"
#include "s3/server/rate.h"
#include "s3/wire.h"

#include <stdlib.h>
#include <string.h>

#define NAMES 131072 /* remembered of each: 4 MiB */
#define BURST_S 10   /* a bucket holds what comes in this time */
#define MOST_HOPS 16 /* X-Forwarded-For headers that are looked at: the last ones */

enum account_kind { ACCOUNT_REQUESTS, ACCOUNT_URLS };
enum address_kind { ADDRESS_REQUESTS, ADDRESS_FAILURES };

struct limits {
    const struct config *config; /* borrowed */
    struct rates *accounts, *addresses;
    struct rate_limit account[RATE_KINDS], address[RATE_KINDS];
};

static struct rate_limit each_second(int64_t gain, int64_t least) {
    int64_t most = gain * BURST_S;
    return (struct rate_limit){.gain = gain, .over_ms = 1000, .most = most > least ? most : least};
}

static struct rate_limit each_minute(int64_t gain) {
    return (struct rate_limit){.gain = gain, .over_ms = 60000, .most = gain};
}

int limits_create(struct limits **out, const struct config *config) {
    struct limits *limits = calloc(1, sizeof *limits);
    if (!limits)
        return -ENOMEM;
    limits->config = config;
    limits->account[ACCOUNT_REQUESTS] = each_second(config->requests_per_account, 1);
    limits->account[ACCOUNT_URLS] = each_second(config->grants_per_account, WIRE_MAX_URLS); /* any one batch passes */
    limits->address[ADDRESS_REQUESTS] = each_second(config->requests_per_address, 1);
    limits->address[ADDRESS_FAILURES] = each_minute(config->failures_per_address);
    int error = rates_create(&limits->accounts, NAMES);
    if (!error)
        error = rates_create(&limits->addresses, NAMES);
    if (error)
        limits_destroy(limits);
    else
        *out = limits;
    return error;
}

void limits_destroy(struct limits *limits) {
    if (!limits)
        return;
    rates_destroy(limits->accounts);
    rates_destroy(limits->addresses);
    free(limits);
}

void limits_find_origin(const struct limits *limits, const struct http_request *request, struct limits_origin *out) {
    const struct config_networks *trusted = &limits->config->trusted_proxies;
    const char *hops[MOST_HOPS];
    size_t count = 0;
    struct peer direct;
    *out = (struct limits_origin){.unknown = true};
    if (peer_parse(request->peer, strlen(request->peer), &direct))
        return;
    for (size_t i = request->header_count; i-- && count < MOST_HOPS;)
        if (!strcmp(request->headers[i].name, "x-forwarded-for"))
            hops[MOST_HOPS - ++count] = request->headers[i].value;
    out->unknown = !peer_behind(&direct, hops + MOST_HOPS - count, count, trusted->items, trusted->count, &out->peer);
}

static unsigned in_seconds(int64_t ms) {
    return (unsigned)((ms + 999) / 1000);
}

static struct rate_name name_account(int64_t account) {
    struct rate_name name = {{0}};
    memcpy(name.bytes, &account, sizeof account);
    return name;
}

static struct rate_name name_address(const struct limits_origin *origin) {
    struct peer group = peer_group(&origin->peer);
    struct rate_name name;
    memcpy(name.bytes, group.bytes, sizeof name.bytes);
    return name;
}

unsigned limits_account(struct limits *limits, int64_t account) {
    struct rate_name name = name_account(account);
    return in_seconds(rates_take(limits->accounts, &name, ACCOUNT_REQUESTS, &limits->account[ACCOUNT_REQUESTS], 1));
}

unsigned limits_account_urls(struct limits *limits, int64_t account, size_t urls) {
    struct rate_name name = name_account(account);
    return in_seconds(rates_take(limits->accounts, &name, ACCOUNT_URLS, &limits->account[ACCOUNT_URLS], (int64_t)urls));
}

unsigned limits_address(struct limits *limits, const struct limits_origin *origin) {
    struct rate_name name = name_address(origin);
    const struct rate_limit *limit = &limits->address[ADDRESS_REQUESTS];
    return origin->unknown ? 0 : in_seconds(rates_take(limits->addresses, &name, ADDRESS_REQUESTS, limit, 1));
}

unsigned limits_failures(struct limits *limits, const struct limits_origin *origin) {
    struct rate_name name = name_address(origin);
    const struct rate_limit *limit = &limits->address[ADDRESS_FAILURES];
    return origin->unknown ? 0 : in_seconds(rates_look(limits->addresses, &name, ADDRESS_FAILURES, limit));
}

void limits_count_failure(struct limits *limits, const struct limits_origin *origin) {
    struct rate_name name = name_address(origin);
    if (!origin->unknown)
        rates_take(limits->addresses, &name, ADDRESS_FAILURES, &limits->address[ADDRESS_FAILURES], 1);
}
