/* The mapping server as a whole: pail-server's main and `pail demo` start it. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct config;
struct server;

/* Opens the accounts, finds the storage keys, proves the store unless that was done within a day, and listens. config
 * is borrowed until server_destroy. 0, or an error with a fault for the operator: one line that says what to change. A
 * store that does not answer is an error only if it was never proven. */
int server_create(struct server **out, const struct config *config, struct fault *fault);
/* Where it listens: the port that was found when the settings say 0. */
uint16_t server_port(const struct server *server);
/* Whether grants can be given: the store is proven, and the issuer's keys are known. The fault says what is missing. */
int server_is_ready(struct server *server, struct fault *fault);
/* Reads the TLS certificate and its key again: new connections begin with them. 0, or an error with a fault, and the
 * old ones stay. */
int server_reload(struct server *server, struct fault *fault);
/* Takes nothing new; returns when all that is under way is answered, or after grace_ms. */
void server_drain(struct server *server, int64_t grace_ms);
void server_destroy(struct server *server); /* NULL is fine */

/* For --check: tries the accounts, the storage keys, the store (proving it anew) and the issuer, one after the other,
 * and says one line for each. 0, or the first error. */
int server_check(const struct config *config, void (*say)(void *context, const char *line), void *context);
