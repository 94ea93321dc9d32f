/* emptyfuse FOLDER WIDE DEEP FOLDERS BIG: a FUSE server that does nothing, the yardstick for work that needs no wire.
 * It shows wide/ with WIDE files, deep/ with DEEP files in FOLDERS folders, a file big of BIG bytes of zeros, and
 * scratch/, where files can be created, written and removed and leave nothing. Ends when it is unmounted. */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Inode numbers say what a node is: its kind above, its number below. */
enum kind { TOP = 1, WIDE, DEEP, SCRATCH, BIG, WIDE_FILE, DEEP_FOLDER, DEEP_FILE, SCRATCH_FILE };
enum { KIND_SHIFT = 48 };

struct sizes {
    uint64_t wide, deep, folders, big;
};

static fuse_ino_t ino_of(enum kind kind, uint64_t number) {
    return kind == TOP ? FUSE_ROOT_ID : (fuse_ino_t)kind << KIND_SHIFT | number;
}

static enum kind kind_of(fuse_ino_t ino) {
    return ino == FUSE_ROOT_ID ? TOP : (enum kind)(ino >> KIND_SHIFT);
}

static uint64_t number_of(fuse_ino_t ino) {
    return ino & ((1ull << KIND_SHIFT) - 1);
}

static struct sizes *sizes_of(fuse_req_t request) {
    return fuse_req_userdata(request);
}

static struct stat describe(const struct sizes *sizes, fuse_ino_t ino) {
    enum kind kind = kind_of(ino);
    bool folder = kind <= SCRATCH || kind == DEEP_FOLDER;
    struct stat st = {.st_ino = ino, .st_mode = folder ? S_IFDIR | 0700 : S_IFREG | 0600, .st_nlink = 1};
    st.st_size = kind == BIG ? (off_t)sizes->big : folder ? 0 : 4096;
    st.st_mtime = 1700000000;
    return st;
}

static struct fuse_entry_param entry_for(const struct sizes *sizes, fuse_ino_t ino) {
    struct fuse_entry_param entry = {.ino = ino, .attr_timeout = 60, .entry_timeout = 60};
    entry.attr = describe(sizes, ino);
    return entry;
}

static fuse_ino_t find(const struct sizes *sizes, fuse_ino_t parent, const char *name) {
    uint64_t number = strtoull(name, NULL, 10);
    switch (kind_of(parent)) {
    case TOP:
        return strcmp(name, "wide") == 0      ? ino_of(WIDE, 0)
               : strcmp(name, "deep") == 0    ? ino_of(DEEP, 0)
               : strcmp(name, "scratch") == 0 ? ino_of(SCRATCH, 0)
               : strcmp(name, "big") == 0     ? ino_of(BIG, 0)
                                              : 0;
    case WIDE:
        return number < sizes->wide ? ino_of(WIDE_FILE, number) : 0;
    case DEEP:
        return number < sizes->folders ? ino_of(DEEP_FOLDER, number) : 0;
    case DEEP_FOLDER:
        return ino_of(DEEP_FILE, number_of(parent) * 1000000 + number);
    default:
        return 0;
    }
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
    fuse_ino_t ino = find(sizes_of(request), parent, name);
    struct fuse_entry_param entry = entry_for(sizes_of(request), ino);
    if (ino)
        fuse_reply_entry(request, &entry);
    else
        fuse_reply_err(request, ENOENT);
}

static void on_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)file;
    struct stat st = describe(sizes_of(request), ino);
    fuse_reply_attr(request, &st, 60);
}

static void on_setattr(fuse_req_t request, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *file) {
    (void)st, (void)what;
    on_getattr(request, ino, file);
}

/* The i-th entry of a folder: its name and inode, or 0 behind the last. */
static fuse_ino_t entry_at(const struct sizes *sizes, fuse_ino_t folder, uint64_t i, char name[32]) {
    static const char *const top[] = {"wide", "deep", "scratch", "big"};
    if (kind_of(folder) == TOP) {
        snprintf(name, 32, "%s", i < 4 ? top[i] : "");
        return i < 4 ? find(sizes, folder, top[i]) : 0;
    }
    uint64_t count = kind_of(folder) == WIDE          ? sizes->wide
                     : kind_of(folder) == DEEP        ? sizes->folders
                     : kind_of(folder) == DEEP_FOLDER ? sizes->deep / sizes->folders
                                                      : 0;
    snprintf(name, 32, "%06llu", (unsigned long long)i);
    return i < count ? find(sizes, folder, name) : 0;
}

static void list(fuse_req_t request, fuse_ino_t ino, size_t room, off_t offset, bool plus) {
    char *buffer = malloc(room), name[32];
    size_t used = 0;
    fuse_ino_t child;
    for (uint64_t i = (uint64_t)offset; (child = entry_at(sizes_of(request), ino, i, name)); i++) {
        struct fuse_entry_param entry = entry_for(sizes_of(request), child);
        size_t size = plus ? fuse_add_direntry_plus(request, buffer + used, room - used, name, &entry, (off_t)i + 1)
                           : fuse_add_direntry(request, buffer + used, room - used, name, &entry.attr, (off_t)i + 1);
        if (size > room - used)
            break;
        used += size;
    }
    fuse_reply_buf(request, buffer, used);
    free(buffer);
}

static void on_readdir(fuse_req_t request, fuse_ino_t ino, size_t room, off_t offset, struct fuse_file_info *file) {
    (void)file;
    list(request, ino, room, offset, false);
}

static void on_readdirplus(fuse_req_t request, fuse_ino_t ino, size_t room, off_t offset, struct fuse_file_info *file) {
    (void)file;
    list(request, ino, room, offset, true);
}

static void on_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)ino;
    fuse_reply_open(request, file);
}

static void on_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *file) {
    (void)parent, (void)mode;
    struct fuse_entry_param entry = entry_for(sizes_of(request), ino_of(SCRATCH_FILE, strtoull(name, NULL, 10)));
    fuse_reply_create(request, &entry, file);
}

static void on_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file) {
    static const char zeros[1 << 20];
    (void)file;
    struct stat st = describe(sizes_of(request), ino);
    size_t left = offset < st.st_size ? (size_t)(st.st_size - offset) : 0;
    size = size < left ? size : left;
    fuse_reply_buf(request, zeros, size < sizeof zeros ? size : sizeof zeros);
}

static void on_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *file) {
    (void)ino, (void)data, (void)offset, (void)file;
    fuse_reply_write(request, size);
}

static void on_unlink(fuse_req_t request, fuse_ino_t parent, const char *name) {
    (void)parent, (void)name;
    fuse_reply_err(request, 0);
}

static void on_end(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)ino, (void)file;
    fuse_reply_err(request, 0);
}

static void on_getxattr(fuse_req_t request, fuse_ino_t ino, const char *name, size_t size) {
    (void)ino, (void)name, (void)size;
    fuse_reply_err(request, ENOTSUP);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
    .open = on_open,
    .create = on_create,
    .read = on_read,
    .write = on_write,
    .unlink = on_unlink,
    .flush = on_end,
    .release = on_end,
    .getxattr = on_getxattr,
};

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "emptyfuse FOLDER WIDE DEEP FOLDERS BIG\n");
        return 2;
    }
    struct sizes sizes = {strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                          strtoull(argv[5], NULL, 10)};
    struct fuse_args arguments = FUSE_ARGS_INIT(1, argv);
    struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, &sizes);
    if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1]))
        return 1;
    struct fuse_loop_config loop = {.clone_fd = 0, .max_idle_threads = 10};
    int r = fuse_session_loop_mt(session, &loop);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    return r ? 1 : 0;
}
