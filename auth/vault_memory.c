/* A vault that forgets everything at its end: for tests. */
#include "auth/vault.h"

#include "base/cleanup.h"

#include <string.h>

enum { SLOTS = 8 };

struct memory {
    struct vault vault;
    struct {
        char *id, *secret; /* owned; NULL: free */
    } slots[SLOTS];
};

static size_t find(const struct memory *memory, const char *id) {
    size_t i = 0;
    while (i < SLOTS && (!memory->slots[i].id || strcmp(memory->slots[i].id, id) != 0))
        i++;
    return i;
}

static int memory_erase(struct vault *vault, const char *id, struct fault *fault) {
    (void)fault;
    struct memory *memory = (struct memory *)vault;
    size_t i = find(memory, id);
    if (i < SLOTS) {
        free(TAKE(memory->slots[i].id));
        secret_free(TAKE(memory->slots[i].secret));
    }
    return 0;
}

static void memory_destroy(struct vault *vault) {
    struct memory *memory = (struct memory *)vault;
    for (size_t i = 0; i < SLOTS; i++) {
        free(memory->slots[i].id);
        secret_free(memory->slots[i].secret);
    }
    free(memory);
}

static int memory_probe(struct vault *vault, const _Atomic bool *cancelled, struct fault *fault) {
    (void)vault, (void)cancelled, (void)fault;
    return 0;
}

static int memory_store(struct vault *vault, const char *id, const char *secret, struct fault *fault) {
    struct memory *memory = (struct memory *)vault;
    AUTO_FREE char *key = strdup(id);
    AUTO_SECRET char *value = strdup(secret);
    if (!key || !value)
        return -ENOMEM;
    memory_erase(vault, id, fault);
    for (size_t i = 0; i < SLOTS; i++) {
        if (memory->slots[i].id)
            continue;
        memory->slots[i].id = TAKE(key);
        memory->slots[i].secret = TAKE(value);
        return 0;
    }
    return fault_set(fault, -ENOSPC, "the vault in memory is full");
}

static int memory_load(struct vault *vault, const char *id, char **secret, struct fault *fault) {
    const struct memory *memory = (const struct memory *)vault;
    size_t i = find(memory, id);
    if (i == SLOTS)
        return fault_set(fault, -ENOENT, "nothing is kept for %s", id);
    *secret = strdup(memory->slots[i].secret);
    return *secret ? 0 : -ENOMEM;
}

static const struct vault_operations memory_operations = {
    .destroy = memory_destroy,
    .probe = memory_probe,
    .store = memory_store,
    .load = memory_load,
    .erase = memory_erase,
};

int vault_memory_open(struct vault **out) {
    struct memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        return -ENOMEM;
    memory->vault.operations = &memory_operations;
    *out = &memory->vault;
    return 0;
}
