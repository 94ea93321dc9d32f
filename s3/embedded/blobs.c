/* Bodies on disk. */
#include "s3/embedded/blobs.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/checksum.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>

#define WRITE_BEHIND                                                                                                   \
    (8u << 20) /* the disk begins to write after so many bytes, so that the sync at the end is short                   \
                */

struct blobs {
    char *folder; /* owned */
    char run[9];  /* in the name of every file of this process: the others are of earlier ones */
    pthread_mutex_t lock;
    unsigned holds;  /* by lock */
    char **deferred; /* by lock: names to remove when nobody holds; owned */
    size_t deferred_count, deferred_capacity;
};

struct blob_writer {
    struct blobs *blobs;
    struct buffer small;
    int fd;            /* -1 while small */
    char *path, *name; /* owned; where it is now; its name once settled */
    uint64_t size, started;
    bool kept;
};

static int empty_new(const char *folder) {
    AUTO_FREE char *path = text_format("%s/new", folder);
    int r = path ? file_remove_tree(path) : -ENOMEM;
    return r ? r : file_make_folders(path, 0700);
}

static int make_folders(const char *folder) {
    for (unsigned i = 0; i < 256; i++) {
        AUTO_FREE char *path = text_format("%s/objects/%02x", folder, i);
        int r = path ? file_make_folders(path, 0700) : -ENOMEM;
        if (r)
            return r;
    }
    AUTO_FREE char *objects = text_format("%s/objects", folder);
    int r = objects ? file_sync_folder(objects) : -ENOMEM;
    return r ? r : file_sync_folder(folder);
}

int blobs_open(struct blobs **out, const char *folder, struct fault *fault) {
    struct blobs *blobs = calloc(1, sizeof *blobs);
    if (!blobs || !(blobs->folder = strdup(folder))) {
        free(blobs);
        return fault_set(fault, -ENOMEM, "no memory");
    }
    pthread_mutex_init(&blobs->lock, NULL);
    random_hex(blobs->run, 4);
    int r = empty_new(folder);
    if (!r)
        r = make_folders(folder);
    if (r) {
        blobs_close(blobs);
        return fault_set(fault, r, "%s cannot be used: %s", folder, error_text(r));
    }
    *out = blobs;
    return 0;
}

void blobs_close(struct blobs *blobs) {
    if (!blobs)
        return;
    pthread_mutex_destroy(&blobs->lock);
    free(blobs->deferred);
    free(blobs->folder);
    free(blobs);
}

int blobs_begin(struct blobs *blobs, struct blob_writer **out) {
    struct blob_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return -ENOMEM;
    writer->blobs = blobs;
    writer->fd = -1;
    *out = writer;
    return 0;
}

static int spill(struct blob_writer *writer) {
    char random[33];
    random_hex(random, 16);
    writer->path = text_format("%s/new/%s", writer->blobs->folder, random);
    if (!writer->path)
        return -ENOMEM;
    writer->fd = open(writer->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        int r = -errno;
        free(TAKE(writer->path));
        return r;
    }
    int r = file_write_all(writer->fd, writer->small.data, writer->small.size);
    buffer_finish(&writer->small);
    return r;
}

int blobs_write(struct blob_writer *writer, const void *data, size_t size) {
    if (writer->fd < 0 && writer->size + size > BLOBS_SMALL) {
        int r = spill(writer);
        if (r)
            return r;
    }
    int r = writer->fd < 0 ? buffer_append(&writer->small, data, size) : file_write_all(writer->fd, data, size);
    if (r)
        return r;
    writer->size += size;
    if (writer->fd >= 0 && writer->size - writer->started >= WRITE_BEHIND) {
        sync_file_range(writer->fd, (off_t)writer->started, (off_t)(writer->size - writer->started),
                        SYNC_FILE_RANGE_WRITE);
        writer->started = writer->size;
    }
    return 0;
}

static char *make_name(const struct blobs *blobs, const char *bucket, const char *key) {
    AUTO_FREE char *text = text_format("%s/%s", bucket, key), *hash = NULL;
    char random[17];
    if (!text || checksum_hex(CHECKSUM_SHA256, text, strlen(text), &hash))
        return NULL;
    random_hex(random, 8);
    return text_format("%.32s-%s%s", hash, blobs->run, random);
}

int blobs_settle(struct blob_writer *writer, const char *bucket, const char *key) {
    if (writer->fd < 0)
        return 0;
    if (fdatasync(writer->fd))
        return -errno;
    AUTO_FREE char *name = make_name(writer->blobs, bucket, key);
    AUTO_FREE char *folder = name ? text_format("%s/objects/%.2s", writer->blobs->folder, name) : NULL;
    AUTO_FREE char *path = folder ? text_format("%s/%s", folder, name) : NULL;
    if (!path)
        return -ENOMEM;
    if (rename(writer->path, path))
        return -errno;
    free(writer->path);
    writer->path = TAKE(path);
    writer->name = TAKE(name);
    return file_sync_folder(folder);
}

uint64_t blobs_size(const struct blob_writer *writer) {
    return writer->size;
}

const char *blobs_name(const struct blob_writer *writer) {
    return writer->name;
}

const void *blobs_bytes(const struct blob_writer *writer) {
    return writer->small.data ? writer->small.data : "";
}

void blobs_keep(struct blob_writer *writer) {
    writer->kept = true;
}

void blobs_end(struct blob_writer *writer) {
    if (!writer)
        return;
    if (writer->path && !writer->kept && unlink(writer->path))
        log_warning("store: %s cannot be removed: %s", writer->path, error_text(-errno));
    cleanup_close(&writer->fd);
    buffer_finish(&writer->small);
    free(writer->path);
    free(writer->name);
    free(writer);
}

static char *path_of(const struct blobs *blobs, const char *name) {
    return text_format("%s/objects/%.2s/%s", blobs->folder, name, name);
}

int blobs_read(struct blobs *blobs, const char *name) {
    AUTO_FREE char *path = path_of(blobs, name);
    if (!path)
        return -ENOMEM;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static void remove_now(struct blobs *blobs, const char *name) {
    AUTO_FREE char *path = path_of(blobs, name);
    if (path && unlink(path) && errno != ENOENT)
        log_warning("store: %s cannot be removed: %s", path, error_text(-errno));
}

/* True when it waits until nobody holds. Without memory it stays until the sweep of the next start. */
static bool defer(struct blobs *blobs, const char *name) {
    if (!blobs->holds)
        return false;
    if (blobs->deferred_count == blobs->deferred_capacity) {
        size_t capacity = blobs->deferred_capacity ? blobs->deferred_capacity * 2 : 64;
        char **names = reallocarray(blobs->deferred, capacity, sizeof *names);
        if (!names)
            return true;
        blobs->deferred = names;
        blobs->deferred_capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy)
        blobs->deferred[blobs->deferred_count++] = copy;
    return true;
}

void blobs_remove(struct blobs *blobs, const char *name) {
    pthread_mutex_lock(&blobs->lock);
    bool later = defer(blobs, name);
    pthread_mutex_unlock(&blobs->lock);
    if (!later)
        remove_now(blobs, name);
}

void blobs_hold(struct blobs *blobs) {
    pthread_mutex_lock(&blobs->lock);
    blobs->holds++;
    pthread_mutex_unlock(&blobs->lock);
}

void blobs_release(struct blobs *blobs) {
    char **names = NULL;
    size_t count = 0;
    pthread_mutex_lock(&blobs->lock);
    if (!--blobs->holds && blobs->deferred_count) {
        names = TAKE(blobs->deferred);
        count = blobs->deferred_count;
        blobs->deferred_count = blobs->deferred_capacity = 0;
    }
    pthread_mutex_unlock(&blobs->lock);
    for (size_t i = 0; i < count; i++) {
        remove_now(blobs, names[i]);
        free(names[i]);
    }
    free(names);
}

static int sweep_folder(struct blobs *blobs, const char *path, int (*known)(void *context, const char *name),
                        void *context) {
    DIR *folder = opendir(path);
    if (!folder)
        return -errno;
    int r = 0;
    struct dirent *entry;
    while (!r && (entry = readdir(folder))) {
        const char *dash = strchr(entry->d_name, '-');
        if (entry->d_name[0] == '.' || (dash && text_starts(dash + 1, blobs->run)))
            continue;
        r = known(context, entry->d_name);
        if (!r)
            unlinkat(dirfd(folder), entry->d_name, 0);
        r = r < 0 ? r : 0;
    }
    closedir(folder);
    return r;
}

int blobs_sweep(struct blobs *blobs, int (*known)(void *context, const char *name), void *context) {
    int r = 0;
    for (unsigned i = 0; i < 256 && !r; i++) {
        AUTO_FREE char *path = text_format("%s/objects/%02x", blobs->folder, i);
        r = path ? sweep_folder(blobs, path, known, context) : -ENOMEM;
    }
    return r;
}
