/* Files and folders of our own on this machine. Thread-safe. Paths are absolute or relative to the working folder. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Creates every missing folder with this mode. 0 or -errno. */
int file_make_folders(const char *path, mode_t mode);
/* The whole file, at most max bytes; *data is owned by the caller and NUL-terminated. -EFBIG when larger, -errno. */
int file_read(const char *path, size_t max, char **data, size_t *size);
/* Written beside, fsynced, renamed over, folder fsynced: after a power cut it is the old or the new one, whole. -errno.
 */
int file_replace(const char *path, mode_t mode, const void *data, size_t size);
/* Until all is written or read; short reads end at the end of file (the count is returned). -errno. */
int file_write_all(int fd, const void *data, size_t size);
int file_pwrite_all(int fd, const void *data, size_t size, off_t offset);
ssize_t file_pread_all(int fd, void *data, size_t size, off_t offset);
int file_sync_folder(const char *path);
/* Takes an exclusive lock (flock) on the file, made with mode 0600 if needed. wait: block until free, else
 * -EWOULDBLOCK. Returns the fd that holds the lock (closing frees it) or -errno. */
int file_lock(const char *path, int wait);
/* rm -r without following links. 0 also if it is not there. */
int file_remove_tree(const char *path);

/* $XDG_STATE_HOME/pail and so on, after the XDG base directory specification; -EINVAL without HOME. The caller frees.
 * kind is "state", "cache", "config", "data" or "runtime" (which falls back to the state folder). Not created. */
int file_xdg(const char *kind, const char *below, char **path);
