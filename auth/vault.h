/* Where secrets rest: one text for each account. A vault is not thread-safe. */
#pragma once

#include "auth/account.h"
#include "base/error.h"

#include <stdatomic.h>

/* Apart from enum pail_error, since session.c and login.c meet both. */
enum vault_result { VAULT_CLOSED = PAIL_ERROR_END /* the keyring is locked, gone, or does not answer; later it may */ };

struct vault;
struct vault_operations {
    void (*destroy)(struct vault *vault);
    /* Can it be written and read right now? May ask the person to unlock it; gives up when *cancelled (NULL: never) and
     * after a while. A cancelled probe is VAULT_CLOSED. */
    int (*probe)(struct vault *vault, const _Atomic bool *cancelled, struct fault *fault);
    int (*store)(struct vault *vault, const char *id, const char *secret, struct fault *fault);
    /* -ENOENT: nothing there. *secret is owned by the caller, who wipes it. Never asks the person. */
    int (*load)(struct vault *vault, const char *id, char **secret, struct fault *fault);
    int (*erase)(struct vault *vault, const char *id, struct fault *fault); /* 0 also when nothing is there */
};

/* The first member of each kind. */
struct vault {
    const struct vault_operations *operations;
};

/* All return 0, VAULT_CLOSED or -errno. */
int vault_open(struct vault **out, enum account_vault kind, struct fault *fault);
void vault_destroy(struct vault *vault);
int vault_probe(struct vault *vault, const _Atomic bool *cancelled, struct fault *fault);
int vault_store(struct vault *vault, const char *id, const char *secret, struct fault *fault);
int vault_load(struct vault *vault, const char *id, char **secret, struct fault *fault);
int vault_erase(struct vault *vault, const char *id, struct fault *fault);

int vault_secret_open(struct vault **out);
int vault_file_open(struct vault **out);   /* $XDG_STATE_HOME/pail/vault, made when needed */
int vault_memory_open(struct vault **out); /* empty, and gone with it: for tests */

static inline void vault_destroy_p(struct vault **vault) {
    vault_destroy(*vault);
}
