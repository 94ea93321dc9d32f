/* Folders: opendir, readdir, readdirplus, fsyncdir. */
#include "base/cleanup.h"
#include "fs/fuse/adapter_private.h"

static int step_opendir(struct parked *parked, struct core_wait *wait) {
    int r = core_folder_open(parked->adapter->core, parked->round, parked->ino, wait);
    if (r == 0)
        fuse_reply_open(parked->request, &parked->file);
    return r;
}

static void ops_opendir(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    struct parked *parked = parked_create(request, step_opendir, ino, NULL);
    if (!parked)
        return;
    parked->file = *file;
    parked_run(parked);
}

struct page {
    const struct adapter *adapter;
    fuse_req_t request;
    char *data; /* owned */
    size_t size, used;
};

/* Takes the entry if it fits in what is left of the page. */
static int took(struct page *page, size_t size) {
    if (size > page->size - page->used)
        return 1;
    page->used += size;
    return 0;
}

static int add_plain(void *context, const char *name, const struct core_entry *entry, int64_t offset) {
    struct page *page = context;
    return took(page, fuse_add_direntry(page->request, page->data + page->used, page->size - page->used, name,
                                        &entry->st, offset));
}

static int add_plus(void *context, const char *name, const struct core_entry *entry, int64_t offset) {
    struct page *page = context;
    struct fuse_entry_param out;
    reply_fill_entry(page->adapter, entry, &out);
    return took(page, fuse_add_direntry_plus(page->request, page->data + page->used, page->size - page->used, name,
                                             &out, offset));
}

static void read_folder(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, bool plus) {
    struct adapter *adapter = fuse_req_userdata(request);
    AUTO_FREE char *data = malloc(size);
    struct page page = {.adapter = adapter, .request = request, .data = data, .size = size};
    int r = data ? core_folder_read(adapter->core, ino, offset, plus, plus ? add_plus : add_plain, &page) : -ENOMEM;
    if (r)
        reply_error(request, r);
    else
        fuse_reply_buf(request, page.data, page.used);
}

static void ops_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)file;
    read_folder(request, ino, size, offset, false);
}

static void ops_readdirplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                            struct fuse_file_info *file) {
    (void)file;
    read_folder(request, ino, size, offset, true);
}

static int step_fsyncdir(struct parked *parked, struct core_wait *wait) {
    int r = core_folder_sync(parked->adapter->core, parked->round, parked->ino, wait);
    if (r == 0)
        fuse_reply_err(parked->request, 0);
    return r;
}

static void ops_fsyncdir(fuse_req_t request, fuse_ino_t ino, int data_only, struct fuse_file_info *file) {
    (void)data_only, (void)file;
    struct parked *parked = parked_create(request, step_fsyncdir, ino, NULL);
    if (parked)
        parked_run_local(parked);
}

void ops_folder_fill(struct fuse_lowlevel_ops *ops) {
    ops->opendir = ops_opendir;
    ops->readdir = ops_readdir;
    ops->readdirplus = ops_readdirplus;
    ops->fsyncdir = ops_fsyncdir;
}
