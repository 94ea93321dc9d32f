/* The accounts this user has logged in to: where each keeps its state, and how to reach its server and issuer. Kept as
 * $XDG_STATE_HOME/pail/<account>/account.json (0600; nothing secret). Not thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum account_vault { ACCOUNT_VAULT_SECRET_SERVICE, ACCOUNT_VAULT_FILE, ACCOUNT_VAULT_MEMORY };

struct account {
    char *id;     /* the folder's name: the server's host and 12 hex digits of a hash of (server, issuer, subject) */
    char *server; /* base URL, no slash at the end */
    char *issuer; /* exactly as discovered */
    char *client_id, *audience, *scopes; /* scopes: separated by spaces */
    char *subject, *email;
    char *ca_file; /* NULL: the system's authorities */
    enum account_vault vault;
    char *state_folder, *cache_folder; /* absolute */
};
void account_finish(struct account *account);

/* Fills id, state_folder and cache_folder from server, issuer and subject; makes nothing. */
int account_derive(struct account *account);
/* Makes id and folders from server, issuer and subject, writes account.json, and makes it the current account. */
int account_save(struct account *account, struct fault *fault);
/* id NULL: the current one. By id, email or server. -ENOENT with a fault that names `pail login`; -ENOTUNIQ if several
 * match. */
int account_load(struct account *out, const char *id, struct fault *fault);
/* All of them, in order of id; the array and its items are the caller's. */
int account_list(struct account **out, size_t *count);
/* Removes account.json; state stays until the caller removes it. Of the current one, the only other one left is current
 * afterwards; of several others none is. */
int account_forget(const struct account *account);
/* What account_load(NULL) gives from now on. */
int account_make_current(const struct account *account, struct fault *fault);
bool account_is_current(const struct account *account);

/* The issuer that this server had when somebody last logged in to it: kept when accounts are forgotten, since a change
 * of issuer must be confirmed. *issuer is the caller's; -ENOENT. account_save records it. */
int account_known_issuer(const char *server, char **issuer);
