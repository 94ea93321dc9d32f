/* Names: lookup, forget, mkdir, symlink, unlink, rmdir, rename, and what S3 cannot hold. */
#include "base/cleanup.h"
#include "base/log.h"
#include "fs/fuse/adapter_private.h"

#include <string.h>

static struct tree_owner owner_of(fuse_req_t request) {
    const struct fuse_ctx *caller = fuse_req_ctx(request);
    return (struct tree_owner){caller->uid, caller->gid};
}

static int step_lookup(struct parked *parked, struct core_wait *wait) {
    struct core_entry entry;
    int r = core_lookup(parked->adapter->core, parked->round, parked->ino, parked->name, &entry, wait);
    if (r == 0)
        reply_entry(parked, &entry);
    if (r != -ENOENT)
        return r;
    struct fuse_entry_param none = {.entry_timeout = parked->adapter->timeout_s}; /* the kernel may keep that too */
    fuse_reply_entry(parked->request, &none);
    return 0;
}

static void ops_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
    struct parked *parked = parked_create(request, step_lookup, parent, name);
    if (parked)
        parked_run(parked);
}

static void ops_forget(fuse_req_t request, fuse_ino_t ino, uint64_t count) {
    struct adapter *adapter = fuse_req_userdata(request);
    core_forget(adapter->core, ino, count);
    fuse_reply_none(request);
}

static void ops_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets) {
    struct adapter *adapter = fuse_req_userdata(request);
    for (size_t i = 0; i < count; i++)
        core_forget(adapter->core, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(request);
}

static int step_mkdir(struct parked *parked, struct core_wait *wait) {
    struct core_entry entry;
    struct tree_owner owner = owner_of(parked->request);
    int r = core_mkdir(parked->adapter->core, parked->ino, parked->name, parked->mode, &owner, &entry, wait);
    if (r == 0)
        reply_entry(parked, &entry);
    return r;
}

static void ops_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode) {
    struct parked *parked = parked_create(request, step_mkdir, parent, name);
    if (!parked)
        return;
    parked->mode = mode;
    parked_run(parked);
}

static int step_symlink(struct parked *parked, struct core_wait *wait) {
    struct core_entry entry;
    struct tree_owner owner = owner_of(parked->request);
    int r = core_symlink(parked->adapter->core, parked->ino, parked->name, parked->other_name, &owner, &entry, wait);
    if (r == 0)
        reply_entry(parked, &entry);
    return r;
}

/* Runs it with a second name. */
static void run_with(struct parked *parked, const char *other_name) {
    if (!parked)
        return;
    parked->other_name = strdup(other_name);
    if (parked->other_name) {
        parked_run(parked);
        return;
    }
    reply_error(parked->request, -ENOMEM);
    parked_destroy(parked);
}

static void ops_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name) {
    run_with(parked_create(request, step_symlink, parent, name), target);
}

static int replied(struct parked *parked, int r) {
    if (r == 0)
        fuse_reply_err(parked->request, 0);
    return r;
}

static int step_unlink(struct parked *parked, struct core_wait *wait) {
    return replied(parked, core_unlink(parked->adapter->core, parked->ino, parked->name, wait));
}

static void ops_unlink(fuse_req_t request, fuse_ino_t parent, const char *name) {
    struct parked *parked = parked_create(request, step_unlink, parent, name);
    if (parked)
        parked_run(parked);
}

static int step_rmdir(struct parked *parked, struct core_wait *wait) {
    return replied(parked, core_rmdir(parked->adapter->core, parked->round, parked->ino, parked->name, wait));
}

static void ops_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name) {
    struct parked *parked = parked_create(request, step_rmdir, parent, name);
    if (parked)
        parked_run(parked);
}

static int step_rename(struct parked *parked, struct core_wait *wait) {
    return replied(parked, core_rename(parked->adapter->core, parked->ino, parked->name, parked->other,
                                       parked->other_name, parked->flags, wait));
}

static void ops_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                       const char *new_name, unsigned flags) {
    struct parked *parked = parked_create(request, step_rename, parent, name);
    if (!parked)
        return;
    parked->other = new_parent;
    parked->flags = flags;
    run_with(parked, new_name);
}

static void ops_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name) {
    (void)ino, (void)parent;
    struct adapter *adapter = fuse_req_userdata(request);
    bool again = atomic_exchange(&adapter->told_link, true); /* git tries one for each object */
    log_write(again ? LOG_DEBUG : LOG_INFO,
              "hard link '%s' refused: an object in S3 has one name; use a symbolic link or a copy", name);
    fuse_reply_err(request, EPERM);
}

static int step_mknod(struct parked *parked, struct core_wait *wait) {
    struct core_entry entry;
    struct core_handle *handle;
    struct tree_owner owner = owner_of(parked->request);
    int r =
        core_file_create(parked->adapter->core, parked->ino, parked->name, parked->mode, &owner, &entry, &handle, wait);
    if (r)
        return r;
    core_file_close(parked->adapter->core, handle);
    reply_entry(parked, &entry);
    return 0;
}

static void ops_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device) {
    (void)device;
    if (!S_ISREG(mode)) {
        log_info("'%s' refused: S3 has no devices, pipes or sockets", name);
        fuse_reply_err(request, EPERM);
        return;
    }
    struct parked *parked = parked_create(request, step_mknod, parent, name);
    if (!parked)
        return;
    parked->mode = mode;
    parked_run(parked);
}

void ops_names_fill(struct fuse_lowlevel_ops *ops) {
    ops->lookup = ops_lookup;
    ops->forget = ops_forget;
    ops->forget_multi = ops_forget_multi;
    ops->mkdir = ops_mkdir;
    ops->symlink = ops_symlink;
    ops->unlink = ops_unlink;
    ops->rmdir = ops_rmdir;
    ops->rename = ops_rename;
    ops->link = ops_link;
    ops->mknod = ops_mknod;
}
