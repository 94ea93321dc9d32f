/* Attributes: getattr, setattr, readlink, statfs. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/fuse/adapter_private.h"

static struct core_handle *handle_of(const struct fuse_file_info *file) {
    return (struct core_handle *)(uintptr_t)file->fh;
}

static int step_getattr(struct parked *parked, struct core_wait *wait) {
    struct stat st;
    int r = core_get(parked->adapter->core, parked->round, parked->ino, &st, wait);
    if (r == 0)
        fuse_reply_attr(parked->request, &st, parked->adapter->timeout_s);
    return r;
}

static void ops_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)file;
    struct parked *parked = parked_create(request, step_getattr, ino, NULL);
    if (parked)
        parked_run(parked);
}

static int step_setattr(struct parked *parked, struct core_wait *wait) {
    struct stat st;
    int r = core_set(parked->adapter->core, parked->ino, handle_of(&parked->file), &parked->set, &st, wait);
    if (r == 0)
        fuse_reply_attr(parked->request, &st, parked->adapter->timeout_s);
    return r;
}

static int64_t to_ns(struct timespec t) {
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct core_set set_of(const struct stat *attributes, int mask) {
    struct core_set set = {.mode = attributes->st_mode,
                           .uid = attributes->st_uid,
                           .gid = attributes->st_gid,
                           .size = (uint64_t)attributes->st_size};
    if (mask & FUSE_SET_ATTR_MODE)
        set.mask |= CORE_SET_MODE;
    if (mask & FUSE_SET_ATTR_UID)
        set.mask |= CORE_SET_UID;
    if (mask & FUSE_SET_ATTR_GID)
        set.mask |= CORE_SET_GID;
    if (mask & FUSE_SET_ATTR_SIZE)
        set.mask |= CORE_SET_SIZE;
    if (mask & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
        set.mask |= CORE_SET_MTIME;
        set.mtime_ns = mask & FUSE_SET_ATTR_MTIME_NOW ? clock_realtime_ns() : to_ns(attributes->st_mtim);
    }
    return set;
}

static void ops_setattr(fuse_req_t request, fuse_ino_t ino, struct stat *attributes, int mask,
                        struct fuse_file_info *file) {
    struct parked *parked = parked_create(request, step_setattr, ino, NULL);
    if (!parked)
        return;
    parked->set = set_of(attributes, mask);
    if (file)
        parked->file = *file;
    parked_run(parked);
}

static int step_readlink(struct parked *parked, struct core_wait *wait) {
    AUTO_FREE char *target = NULL;
    int r = core_readlink(parked->adapter->core, parked->ino, &target, wait);
    if (r == 0)
        fuse_reply_readlink(parked->request, target);
    return r;
}

static void ops_readlink(fuse_req_t request, fuse_ino_t ino) {
    struct parked *parked = parked_create(request, step_readlink, ino, NULL);
    if (parked)
        parked_run(parked);
}

static void ops_statfs(fuse_req_t request, fuse_ino_t ino) {
    (void)ino;
    struct adapter *adapter = fuse_req_userdata(request);
    struct statvfs out;
    core_statfs(adapter->core, &out);
    fuse_reply_statfs(request, &out);
}

void ops_attributes_fill(struct fuse_lowlevel_ops *ops) {
    ops->getattr = ops_getattr;
    ops->setattr = ops_setattr;
    ops->readlink = ops_readlink;
    ops->statfs = ops_statfs;
}
