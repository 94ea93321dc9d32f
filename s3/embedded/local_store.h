/* An S3-compatible store on a local folder, for one machine: on loopback, answering its own address only, to whoever
 * holds its key. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct local_store;

struct local_store_options {
    const char *folder; /* made if needed; one store at a time may use it */
    uint16_t port;      /* 0: a free one */
    const char *access_key, *secret_key, *region;
};

/* Listens on 127.0.0.1 and serves. 0 or -errno with a fault; -EADDRINUSE, -EWOULDBLOCK (the folder is in use). */
int local_store_create(struct local_store **out, const struct local_store_options *options, struct fault *fault);
uint16_t local_store_port(const struct local_store *store);
void local_store_destroy(struct local_store *store); /* finishes what is under way; NULL is fine */
