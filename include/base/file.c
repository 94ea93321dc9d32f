/* Files and folders of our own on this machine. */
#include "base/file.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

int file_make_folders(const char *path, mode_t mode) {
    AUTO_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    for (char *slash = copy + 1; *slash; slash++) {
        if (*slash != '/')
            continue;
        *slash = 0;
        if (mkdir(copy, mode) && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    if (mkdir(copy, mode) && errno != EEXIST)
        return -errno;
    struct stat st;
    if (stat(copy, &st))
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

ssize_t file_pread_all(int fd, void *data, size_t size, off_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (char *)data + done, size - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int file_pwrite_all(int fd, const void *data, size_t size, off_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(fd, (const char *)data + done, size - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

int file_write_all(int fd, const void *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

int file_read(const char *path, size_t max, char **data, size_t *size) {
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max)
        return -EFBIG;
    size_t room = S_ISREG(st.st_mode) && st.st_size ? (size_t)st.st_size : max; /* files of /proc say 0 */
    AUTO_FREE char *bytes = malloc(room + 2);
    if (!bytes)
        return -ENOMEM;
    size_t done = 0;
    while (done < room + 1) {
        ssize_t n = read(fd, bytes + done, room + 1 - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    if (done > room)
        return -EFBIG;
    bytes[done] = 0;
    *data = TAKE(bytes);
    *size = done;
    return 0;
}

int file_sync_folder(const char *path) {
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) ? -errno : 0;
}

static int write_and_sync(int fd, mode_t mode, const void *data, size_t size) {
    int r = file_write_all(fd, data, size);
    if (r)
        return r;
    return fchmod(fd, mode) || fsync(fd) ? -errno : 0;
}

int file_replace(const char *path, mode_t mode, const void *data, size_t size) {
    AUTO_FREE char *beside = text_format("%s.XXXXXX", path);
    if (!beside)
        return -ENOMEM;
    AUTO_CLOSE int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write_and_sync(fd, mode, data, size);
    if (!r && rename(beside, path))
        r = -errno;
    if (r) {
        unlink(beside);
        return r;
    }
    char *slash = strrchr(beside, '/');
    if (!slash)
        return file_sync_folder(".");
    *(slash == beside ? slash + 1 : slash) = 0;
    return file_sync_folder(beside);
}

int file_lock(const char *path, int wait) {
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)))
        if (errno != EINTR)
            return -errno;
    int locked = fd;
    fd = -1;
    return locked;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path) && errno != ENOENT ? -1 : 0;
}

int file_remove_tree(const char *path) {
    if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) && errno != ENOENT)
        return -errno;
    return 0;
}

static const struct {
    const char *kind, *variable, *fallback;
} xdg[] = {
    {"state", "XDG_STATE_HOME", ".local/state"}, {"cache", "XDG_CACHE_HOME", ".cache"},
    {"config", "XDG_CONFIG_HOME", ".config"},    {"data", "XDG_DATA_HOME", ".local/share"},
    {"runtime", "XDG_RUNTIME_DIR", NULL},
};

int file_xdg(const char *kind, const char *below, char **path) {
    for (size_t i = 0; i < sizeof xdg / sizeof *xdg; i++) {
        if (strcmp(xdg[i].kind, kind) != 0)
            continue;
        const char *base = getenv(xdg[i].variable), *home = getenv("HOME");
        const char *slash = below && *below ? "/" : "";
        if (base && base[0] == '/')
            *path = text_format("%s/pail%s%s", base, slash, below ? below : "");
        else if (!xdg[i].fallback)
            return file_xdg("state", below, path);
        else if (home && home[0] == '/')
            *path = text_format("%s/%s/pail%s%s", home, xdg[i].fallback, slash, below ? below : "");
        else
            return -EINVAL;
        return *path ? 0 : -ENOMEM;
    }
    return -EINVAL;
}
