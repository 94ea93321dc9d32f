/* Files: create, open, read, write, flush, fsync, release, fallocate. */
#include "base/cleanup.h"
#include "fs/fuse/adapter_private.h"

#include <fcntl.h>

static struct core_handle *handle_of(const struct fuse_file_info *file) {
    return (struct core_handle *)(uintptr_t)file->fh;
}

/* An inode's bytes change only through this mount (new content from outside is a new inode), so the kernel's pages of
 * it are always right. */
static void give_handle(struct parked *parked, struct core_handle *handle) {
    parked->file.fh = (uint64_t)(uintptr_t)handle;
    parked->file.keep_cache = 1;
}

static int step_create(struct parked *parked, struct core_wait *wait) {
    const struct fuse_ctx *caller = fuse_req_ctx(parked->request);
    struct tree_owner owner = {caller->uid, caller->gid};
    struct core *core = parked->adapter->core;
    struct core_entry entry;
    struct core_handle *handle;
    int r = core_file_create(core, parked->ino, parked->name, parked->mode, &owner, &entry, &handle, wait);
    if (r)
        return r;
    struct fuse_entry_param out;
    reply_fill_entry(parked->adapter, &entry, &out);
    give_handle(parked, handle);
    if (fuse_reply_create(parked->request, &out, &parked->file)) { /* ^C came first: nobody will close it */
        core_file_close(core, handle);
        core_forget(core, entry.st.st_ino, 1);
    }
    return 0;
}

static void ops_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                       struct fuse_file_info *file) {
    struct parked *parked = parked_create(request, step_create, parent, name);
    if (!parked)
        return;
    parked->mode = mode;
    parked->file = *file;
    parked_run(parked);
}

static int step_open(struct parked *parked, struct core_wait *wait) {
    struct core *core = parked->adapter->core;
    struct core_handle *handle;
    int r = core_file_open(core, parked->round, parked->ino, parked->file.flags, &handle, wait);
    if (r)
        return r;
    give_handle(parked, handle);
    if (fuse_reply_open(parked->request, &parked->file))
        core_file_close(core, handle);
    return 0;
}

static void ops_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    struct parked *parked = parked_create(request, step_open, ino, NULL);
    if (!parked)
        return;
    parked->file = *file;
    parked_run(parked);
}

static void read_done(void *context, const struct content_answer *answer) {
    struct parked *parked = context;
    if (parked_end(parked)) {
        if (answer->result) {
            reply_error(parked->request, answer->result);
        } else if (answer->data || !answer->size) {
            fuse_reply_buf(parked->request, answer->data, answer->size);
        } else {
            struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(answer->size);
            bytes.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
            bytes.buf[0].fd = answer->fd;
            bytes.buf[0].pos = answer->fd_offset;
            fuse_reply_data(parked->request, &bytes, 0);
        }
    }
    parked_destroy(parked);
}

static void ops_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file) {
    struct parked *parked = parked_create(request, NULL, ino, NULL);
    if (!parked)
        return;
    parked_begin(parked);
    core_file_read(handle_of(file), (uint64_t)offset, size, read_done, parked);
}

static void ops_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *file) {
    (void)ino;
    int r = core_file_write(handle_of(file), data, size, (uint64_t)offset);
    if (r)
        reply_error(request, r);
    else
        fuse_reply_write(request, size);
}

static int replied(struct parked *parked, int r) {
    if (r == 0)
        fuse_reply_err(parked->request, 0);
    return r;
}

static int step_flush(struct parked *parked, struct core_wait *wait) {
    return replied(parked, core_file_flush(parked->adapter->core, parked->round, handle_of(&parked->file), wait));
}

static void ops_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    struct parked *parked = parked_create(request, step_flush, ino, NULL);
    if (!parked)
        return;
    parked->file = *file;
    parked_run(parked);
}

static int step_fsync(struct parked *parked, struct core_wait *wait) {
    return replied(parked, core_file_sync(parked->adapter->core, parked->round, handle_of(&parked->file), wait));
}

static void ops_fsync(fuse_req_t request, fuse_ino_t ino, int data_only, struct fuse_file_info *file) {
    (void)data_only;
    struct parked *parked = parked_create(request, step_fsync, ino, NULL);
    if (!parked)
        return;
    parked->file = *file;
    parked_run_local(parked);
}

static void ops_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)ino;
    struct adapter *adapter = fuse_req_userdata(request);
    core_file_close(adapter->core, handle_of(file));
    fuse_reply_err(request, 0);
}

static void ops_fallocate(fuse_req_t request, fuse_ino_t ino, int mode, off_t offset, off_t length,
                          struct fuse_file_info *file) {
    (void)ino;
    reply_error(request, core_file_allocate(handle_of(file), mode, (uint64_t)offset, (uint64_t)length));
}

void ops_file_fill(struct fuse_lowlevel_ops *ops) {
    ops->create = ops_create;
    ops->open = ops_open;
    ops->read = ops_read;
    ops->write = ops_write;
    ops->flush = ops_flush;
    ops->fsync = ops_fsync;
    ops->release = ops_release;
    ops->fallocate = ops_fallocate;
}
