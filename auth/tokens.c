/* An account's tokens in its vault, under the lock that keeps processes apart. */
#include "auth/tokens.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

enum { FIRST_WAIT_MS = 2, LONGEST_WAIT_MS = 50 };

/* Asked again and again, not waited for in the kernel: a process that was stopped must not stop all others for good. */
int tokens_lock(const struct account *account, int wait_ms, int *fd, struct fault *fault) {
    *fd = -1;
    AUTO_FREE char *path = text_format("%s/token.lock", account->state_folder);
    if (!path)
        return -ENOMEM;
    int r = file_make_folders(account->state_folder, 0700);
    if (r)
        return fault_set(fault, r, "%s cannot be made: %s", account->state_folder, error_text(r));
    int64_t until_ms = clock_monotonic_ms() + wait_ms, pause_ms = FIRST_WAIT_MS;
    while ((r = file_lock(path, 0)) == -EWOULDBLOCK && clock_monotonic_ms() < until_ms) {
        clock_sleep_ms(pause_ms);
        pause_ms = pause_ms * 2 < LONGEST_WAIT_MS ? pause_ms * 2 : LONGEST_WAIT_MS;
    }
    if (r == -EWOULDBLOCK)
        return fault_set(fault, PAIL_BUSY, "another Pail process is renewing the login and does not end");
    if (r < 0)
        return fault_set(fault, r, "%s cannot be locked: %s", path, error_text(r));
    *fd = r;
    return 0;
}

int tokens_load(struct vault *vault, const struct account *account, struct token_set *out, struct fault *fault) {
    *out = (struct token_set){0};
    AUTO_SECRET char *text = NULL;
    int r = vault_load(vault, account->id, &text, fault);
    if (r)
        return r;
    r = token_set_parse(text, out);
    return r == -EBADMSG ? fault_set(fault, -ENOENT, "what is kept for %s cannot be understood", account->id) : r;
}

int tokens_store(struct vault *vault, const struct account *account, const struct token_set *set, struct fault *fault) {
    AUTO_SECRET char *text = token_set_print(set);
    return text ? vault_store(vault, account->id, text, fault) : -ENOMEM;
}
