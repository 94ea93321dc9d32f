/* Finding the running mount that a command is about. */
#include "fs/cli/running.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/cli/mounted.h"
#include "fs/control/control.h"
#include "fs/mount.h"

#include <errno.h>
#include <string.h>

void running_finish(struct running *running) {
    account_finish(&running->account);
    free(running->control);
    free(running->folder);
    free(running->below);
}

static int take_account(const char *id, struct running *out, struct fault *fault) {
    int r = account_load(&out->account, id, fault);
    if (!r && !(out->control = mount_control_path(&out->account)))
        r = -ENOMEM;
    return r;
}

/* `pail logout --force` leaves a mount without an account: it is still there, at its place. */
static int take_mounted(const char *id, struct running *out, struct fault *fault) {
    int r = take_account(id, out, fault);
    if (r != -ENOENT || strchr(id, '/'))
        return r;
    r = file_xdg("state", id, &out->account.state_folder);
    if (!r && !(out->control = mount_control_path(&out->account)))
        r = -ENOMEM;
    return r;
}

/* The longest part of the path that is a mount of ours. */
static int find_above(char *path, struct running *out, struct fault *fault) {
    AUTO_FREE char *whole = strdup(path);
    if (!whole)
        return -ENOMEM;
    for (;;) {
        struct mounted mounted;
        int r = mounted_find(path, &mounted);
        if (r == 0 && mounted.account) {
            r = take_mounted(mounted.account, out, fault);
            const char *below = whole + strlen(path);
            out->folder = TAKE(mounted.folder);
            out->below = strdup(*below == '/' ? below + 1 : below);
            out->stale = mounted.stale;
            mounted_finish(&mounted);
            return r ? r : out->below ? 0 : -ENOMEM;
        }
        if (r == 0)
            mounted_finish(&mounted);
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            return fault_set(fault, -ENOTCONN, "%s is not in a folder mounted by pail", whole);
        *slash = 0;
    }
}

struct answer {
    char *folder;
    bool mounted;
};

static int take_folder(void *context, const struct json *line) {
    struct answer *answer = context;
    const char *folder = json_get_text(line, "folder");
    answer->mounted = text_equal(json_get_text(line, "state"), "mounted");
    free(answer->folder);
    answer->folder = folder ? strdup(folder) : NULL;
    return 0;
}

static bool answers(const char *control, struct running *out) {
    struct answer answer = {0};
    struct json *request = json_object();
    json_add_text(request, "command", "status");
    json_add_integer(request, "limit", 0);
    if (control_ask(control, request, take_folder, &answer, NULL) == 0 && answer.folder) {
        out->folder = answer.mounted ? TAKE(answer.folder) : NULL;
        out->below = strdup("");
        free(answer.folder);
        return out->below;
    }
    free(answer.folder);
    return false;
}

static int find_any(struct running *out, struct fault *fault) {
    struct fault none = {0};
    if (take_account(NULL, out, &none) == 0 && answers(out->control, out))
        return 0;
    running_finish(out);
    *out = (struct running){0};
    struct account *accounts = NULL;
    size_t count = 0;
    int r = account_list(&accounts, &count);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (!r && !found && take_account(accounts[i].id, out, &none) == 0 && answers(out->control, out))
            found = true;
        else if (!found) {
            running_finish(out);
            *out = (struct running){0};
        }
        account_finish(&accounts[i]);
    }
    free(accounts);
    if (r || found)
        return r;
    return fault_set(fault, -ENOTCONN, "nothing is mounted; `pail mount` mounts your bucket");
}

int running_find(const char *path, struct running *out, struct fault *fault) {
    *out = (struct running){0};
    if (!path)
        return find_any(out, fault);
    AUTO_FREE char *whole = mounted_resolve(path);
    if (!whole)
        return fault_set(fault, -errno, "%s: %s", path, error_text(-errno));
    return find_above(whole, out, fault);
}

bool running_is_below(const char *path, const char *below) {
    size_t size = strlen(below);
    return !size || (path && strncmp(path, below, size) == 0 && (path[size] == '/' || !path[size]));
}
