/* Secrets in a file of 0600 in a folder of 0700: where there is no keyring, and only when asked for. Refused when
 * somebody else could read or replace it. */
#include "auth/vault.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SECRET = 1 << 20 };

struct file_vault {
    struct vault vault;
    char *folder; /* owned */
};

static void file_vault_destroy(struct vault *vault) {
    struct file_vault *file = (struct file_vault *)vault;
    free(file->folder);
    free(file);
}

static int check_private(const struct stat *st, const char *path, struct fault *fault) {
    if (st->st_uid != geteuid())
        return fault_set(fault, -EACCES, "%s belongs to another user; secrets are not kept there", path);
    if (st->st_mode & 077)
        return fault_set(fault, -EACCES, "%s is open to other users (mode %03o); `chmod go= %s`, then log in again",
                         path, (unsigned)st->st_mode & 0777, path);
    return 0;
}

static int check_folder(const char *path, struct fault *fault) {
    struct stat st;
    if (lstat(path, &st))
        return fault_set(fault, -errno, "%s: %s", path, error_text(-errno));
    if (!S_ISDIR(st.st_mode))
        return fault_set(fault, -ENOTDIR, "%s is not a folder", path);
    return check_private(&st, path, fault);
}

static int open_folder(const struct file_vault *file, struct fault *fault) {
    int r = file_make_folders(file->folder, 0700);
    if (r)
        return fault_set(fault, r, "%s cannot be made: %s", file->folder, error_text(r));
    return check_folder(file->folder, fault);
}

static char *path_of(const struct file_vault *file, const char *id) {
    return text_format("%s/%s.secret", file->folder, id);
}

static int file_store(struct vault *vault, const char *id, const char *secret, struct fault *fault) {
    const struct file_vault *file = (const struct file_vault *)vault;
    AUTO_FREE char *path = path_of(file, id);
    if (!path)
        return -ENOMEM;
    int r = open_folder(file, fault);
    if (r)
        return r;
    r = file_replace(path, 0600, secret, strlen(secret));
    return r ? fault_set(fault, r, "%s cannot be written: %s", path, error_text(r)) : 0;
}

static int read_private(int fd, const char *path, char **secret, struct fault *fault) {
    struct stat st;
    if (fstat(fd, &st))
        return fault_set(fault, -errno, "%s: %s", path, error_text(-errno));
    int r = check_private(&st, path, fault);
    if (r)
        return r;
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_SECRET)
        return fault_set(fault, -EBADMSG, "%s is not a file of ours", path);
    AUTO_SECRET char *text = calloc(1, (size_t)st.st_size + 1);
    if (!text)
        return -ENOMEM;
    ssize_t size = file_pread_all(fd, text, (size_t)st.st_size, 0);
    if (size < 0)
        return fault_set(fault, (int)size, "%s cannot be read: %s", path, error_text((int)size));
    *secret = TAKE(text);
    return 0;
}

static int file_load(struct vault *vault, const char *id, char **secret, struct fault *fault) {
    const struct file_vault *file = (const struct file_vault *)vault;
    AUTO_FREE char *path = path_of(file, id);
    if (!path)
        return -ENOMEM;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return fault_set(fault, -errno, "%s cannot be opened: %s", path, error_text(-errno));
    int r = check_folder(file->folder, fault);
    return r ? r : read_private(fd, path, secret, fault);
}

/* Overwritten first, as far as the file system does that in place; then gone. */
static int file_erase(struct vault *vault, const char *id, struct fault *fault) {
    const struct file_vault *file = (const struct file_vault *)vault;
    AUTO_FREE char *path = path_of(file, id);
    if (!path)
        return -ENOMEM;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
        static const char zeroes[4096];
        for (off_t at = 0; at < st.st_size; at += (off_t)sizeof zeroes)
            if (file_pwrite_all(fd, zeroes, sizeof zeroes, at))
                break;
        fsync(fd);
    }
    if (unlink(path) && errno != ENOENT)
        return fault_set(fault, -errno, "%s cannot be removed: %s", path, error_text(-errno));
    return 0;
}

static int file_probe(struct vault *vault, const _Atomic bool *cancelled, struct fault *fault) {
    (void)cancelled;
    char id[] = "probe-XXXXXXXX";
    random_hex(id + 6, 4);
    AUTO_SECRET char *back = NULL;
    int r = file_store(vault, id, "probe", fault);
    if (!r)
        r = file_load(vault, id, &back, fault);
    int erased = file_erase(vault, id, r ? NULL : fault);
    rmdir(((struct file_vault *)vault)->folder); /* when this was all that ever stood there */
    return r ? r : erased;
}

static const struct vault_operations file_operations = {
    .destroy = file_vault_destroy,
    .probe = file_probe,
    .store = file_store,
    .load = file_load,
    .erase = file_erase,
};

int vault_file_open(struct vault **out) {
    struct file_vault *file = calloc(1, sizeof *file);
    if (!file)
        return -ENOMEM;
    file->vault.operations = &file_operations;
    int r = file_xdg("state", "vault", &file->folder);
    if (r) {
        free(file);
        return r;
    }
    *out = &file->vault;
    return 0;
}
