/* Replies, and the one table from our errors to errno. */
#include "fs/fuse/adapter_private.h"

static const int errnos[PAIL_ERROR_END] = {
    [PAIL_OFFLINE] = EHOSTUNREACH, [PAIL_LOGIN_REQUIRED] = EACCES,
    [PAIL_DENIED] = EACCES,        [PAIL_GONE] = ESTALE,
    [PAIL_CONFLICT] = EBUSY,       [PAIL_QUOTA] = ENOSPC,
    [PAIL_DISK_FULL] = ENOSPC,     [PAIL_DAMAGED] = EIO,
    [PAIL_TOO_LARGE] = EFBIG,      [PAIL_ARCHIVED] = EREMOTEIO,
    [PAIL_BUSY] = EBUSY,           [PAIL_UNSUPPORTED] = EOPNOTSUPP,
    [PAIL_CANCELLED] = EINTR,      [PAIL_NO_BUCKET] = EIO,
};

int reply_errno(int result) {
    if (result <= 0)
        return -result;
    return result < PAIL_ERROR_END && errnos[result] ? errnos[result] : EIO;
}

void reply_error(fuse_req_t request, int result) {
    fuse_reply_err(request, reply_errno(result));
}

void reply_fill_entry(const struct adapter *adapter, const struct core_entry *entry, struct fuse_entry_param *out) {
    *out = (struct fuse_entry_param){
        .ino = entry->attributes ? entry->st.st_ino : 0,
        .generation = 1,
        .attr = entry->st,
        .attr_timeout = adapter->timeout_s,
        .entry_timeout = adapter->timeout_s,
    };
}

void reply_entry(struct parked *parked, const struct core_entry *entry) {
    struct fuse_entry_param out;
    reply_fill_entry(parked->adapter, entry, &out);
    if (fuse_reply_entry(parked->request, &out))
        core_forget(parked->adapter->core, entry->st.st_ino, 1); /* the kernel never learned of it */
}
