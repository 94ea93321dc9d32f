/* Extended attributes. */
#include "base/cleanup.h"
#include "fs/fuse/adapter_private.h"

#include <string.h>

/* size 0 asks how much room is needed. */
static void reply_bytes(fuse_req_t request, int r, const char *bytes, size_t have, size_t room) {
    if (r)
        reply_error(request, r);
    else if (room == 0)
        fuse_reply_xattr(request, have);
    else if (have > room)
        fuse_reply_err(request, ERANGE);
    else
        fuse_reply_buf(request, bytes, have);
}

static void ops_getxattr(fuse_req_t request, fuse_ino_t ino, const char *name, size_t room) {
    struct adapter *adapter = fuse_req_userdata(request);
    AUTO_FREE char *value = NULL;
    size_t size = 0;
    int r = core_xattr_get(adapter->core, ino, name, &value, &size);
    reply_bytes(request, r, value, size, room);
}

static void ops_listxattr(fuse_req_t request, fuse_ino_t ino, size_t room) {
    struct adapter *adapter = fuse_req_userdata(request);
    AUTO_FREE char *names = NULL;
    size_t size = 0;
    int r = core_xattr_list(adapter->core, ino, &names, &size);
    reply_bytes(request, r, names, size, room);
}

static int step_setxattr(struct parked *parked, struct core_wait *wait) {
    int r = core_xattr_set(parked->adapter->core, parked->round, parked->ino, parked->name, parked->data, parked->size,
                           (int)parked->flags, wait);
    if (r == 0)
        fuse_reply_err(parked->request, 0);
    return r;
}

static void ops_setxattr(fuse_req_t request, fuse_ino_t ino, const char *name, const char *value, size_t size,
                         int flags) {
    struct parked *parked = parked_create(request, step_setxattr, ino, name);
    if (!parked)
        return;
    parked->flags = (uint32_t)flags;
    parked->size = size;
    parked->data = malloc(size + 1);
    if (!parked->data) {
        reply_error(request, -ENOMEM);
        parked_destroy(parked);
        return;
    }
    memcpy(parked->data, value, size);
    parked_run(parked);
}

static void ops_removexattr(fuse_req_t request, fuse_ino_t ino, const char *name) {
    struct adapter *adapter = fuse_req_userdata(request);
    reply_error(request, core_xattr_remove(adapter->core, ino, name));
}

void ops_xattr_fill(struct fuse_lowlevel_ops *ops) {
    ops->getxattr = ops_getxattr;
    ops->listxattr = ops_listxattr;
    ops->setxattr = ops_setxattr;
    ops->removexattr = ops_removexattr;
}
