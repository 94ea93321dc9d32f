/* The product's store: pre-signed requests (grants) over pooled connections. */
#pragma once

#include "s3/mapping.h"
#include "s3/store.h"

/* Who signs the requests: the mapping server, or this machine with keys that the server lends it. */
enum http_store_mode { HTTP_STORE_PRESIGNED, HTTP_STORE_CREDENTIALS };

struct http_store_options {
    struct mapping *mapping; /* borrowed: says bucket and prefix, and mints grants */
    const char *ca_file;     /* NULL: the system's */
    unsigned connections;    /* most at once; 0: 64 */
    enum http_store_mode mode;
};

/* PAIL_UNSUPPORTED with a fault: credentials mode is wanted, and this server does not offer it. A server that is away
 * is asked later; an account with a quota gets grants. */
int http_store_create(struct store **out, const struct http_store_options *options, struct fault *fault);
/* How requests are signed now. why: empty, or what stands against keys of our own although they are wanted: the server
 * signs in their place, or (HTTP_STORE_CREDENTIALS) there are none at the moment. */
enum http_store_mode http_store_mode(struct store *store, struct fault *why);

/* Hints that cost nothing when wrong: grants for these GETs and HEADs are minted in one batch, in the background. */
void http_store_will_read(struct store *store, const char *const *keys, const char *const *versions, size_t count);
