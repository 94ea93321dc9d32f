/* What a server asks its store and its accounts with, for tests of what stands on that: settings, requests, and the
 * accounts' database, in a folder of its own. By one thread at a time. */
#pragma once

#include "s3/embedded/local_store.h"
#include "s3/server/config.h"
#include "s3/server/credentials.h"
#include "s3/server/remote.h"
#include "s3/server/users.h"
#include "s3/sign.h"

struct server_parts {
    char folder[40], database[80];
    struct config config;
    struct transfer *transfer;
    struct credentials *credentials;
    struct sign_cache *signing;
    struct remote remote;
    struct users *users;
};
/* The folder, and the storage keys AK and SK. Then set the rest, the endpoint at least, and open. */
void server_parts_begin(struct server_parts *parts);
void server_parts_set(struct server_parts *parts, const char *name, const char *value);
/* The embedded store in the folder, as the endpoint. To be destroyed before the end. */
struct local_store *server_parts_store(struct server_parts *parts);
void server_parts_open(struct server_parts *parts);
void server_parts_end(struct server_parts *parts);
