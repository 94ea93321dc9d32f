/* Opens the vault that an account names. */
#include "auth/vault.h"

int vault_open(struct vault **out, enum account_vault kind, struct fault *fault) {
    *out = NULL;
    switch (kind) {
    case ACCOUNT_VAULT_SECRET_SERVICE:
        return vault_secret_open(out);
    case ACCOUNT_VAULT_FILE:
        return vault_file_open(out);
    case ACCOUNT_VAULT_MEMORY:
        return vault_memory_open(out);
    }
    return fault_set(fault, -EINVAL, "there is no vault of kind %d", (int)kind);
}

void vault_destroy(struct vault *vault) {
    if (vault)
        vault->operations->destroy(vault);
}

int vault_probe(struct vault *vault, const _Atomic bool *cancelled, struct fault *fault) {
    return vault->operations->probe(vault, cancelled, fault);
}

int vault_store(struct vault *vault, const char *id, const char *secret, struct fault *fault) {
    return vault->operations->store(vault, id, secret, fault);
}

int vault_load(struct vault *vault, const char *id, char **secret, struct fault *fault) {
    *secret = NULL;
    return vault->operations->load(vault, id, secret, fault);
}

int vault_erase(struct vault *vault, const char *id, struct fault *fault) {
    return vault->operations->erase(vault, id, fault);
}
