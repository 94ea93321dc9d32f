/* The store's calls, each watched by online.c. */
#include "fs/sync/private.h"

int call_get(struct sync *sync, const struct store_get *request, const struct store_sink *sink,
             struct store_object *object, struct fault *fault) {
    struct net net;
    *object = (struct store_object){0};
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_get(sync->store, request, sink, object, &net.call));
}

int call_head(struct sync *sync, const char *key, const char *version, struct store_object *object,
              struct fault *fault) {
    struct net net;
    *object = (struct store_object){0};
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_head(sync->store, key, version, object, &net.call));
}

int call_head_known(struct sync *sync, const char *key, const char *version, struct store_object *object,
                    struct fault *fault) {
    struct store_list request = {.prefix = key, .max_keys = 1};
    struct store_page page = {0};
    int r = call_head(sync, key, version, object, fault);
    if (r != PAIL_GONE)
        return r;
    r = call_list(sync, &request, &page, fault);
    store_page_finish(&page);
    return r ? r : PAIL_GONE;
}

int call_put(struct sync *sync, const struct store_put *request, struct store_written *written, struct fault *fault) {
    struct net net;
    *written = (struct store_written){0};
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_put(sync->store, request, written, &net.call));
}

int call_copy(struct sync *sync, const struct store_copy *request, struct store_written *written, struct fault *fault) {
    struct net net;
    *written = (struct store_written){0};
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_copy(sync->store, request, written, &net.call));
}

int call_remove(struct sync *sync, const char *key, const char *etag, struct fault *fault) {
    struct net net;
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_remove(sync->store, key, etag, &net.call));
}

int call_remove_many(struct sync *sync, struct store_delete *items, size_t count, struct fault *fault) {
    struct net net;
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_remove_many(sync->store, items, count, &net.call));
}

int call_list(struct sync *sync, const struct store_list *request, struct store_page *page, struct fault *fault) {
    struct net net;
    *page = (struct store_page){0};
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_list(sync->store, request, page, &net.call));
}

int call_list_versions(struct sync *sync, const struct store_list_versions *request, struct store_page *page,
                       struct fault *fault) {
    struct net net;
    *page = (struct store_page){0};
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_list_versions(sync->store, request, page, &net.call));
}

int call_create_upload(struct sync *sync, const char *key, const struct store_headers *headers, char **upload,
                       struct fault *fault) {
    struct net net;
    *upload = NULL;
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_create_upload(sync->store, key, headers, upload, &net.call));
}

int call_put_part(struct sync *sync, const char *key, const char *upload, unsigned number,
                  const struct store_source *source, char **etag, struct fault *fault) {
    struct net net;
    *etag = NULL;
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_put_part(sync->store, key, upload, number, source, etag, &net.call));
}

int call_copy_part(struct sync *sync, const char *key, const char *upload, unsigned number,
                   const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                   struct fault *fault) {
    struct net net;
    *etag = NULL;
    int r = online_enter(sync, &net, fault);
    return r ? r
             : online_leave(&net,
                            store_copy_part(sync->store, key, upload, number, source, offset, length, etag, &net.call));
}

int call_complete_upload(struct sync *sync, const char *key, const char *upload, const struct store_parts *parts,
                         uint64_t total, const struct store_when *when, struct store_written *written,
                         struct fault *fault) {
    struct net net;
    *written = (struct store_written){0};
    int r = online_enter(sync, &net, fault);
    return r ? r
             : online_leave(&net,
                            store_complete_upload(sync->store, key, upload, parts, total, when, written, &net.call));
}

int call_abort_upload(struct sync *sync, const char *key, const char *upload, struct fault *fault) {
    struct net net;
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_abort_upload(sync->store, key, upload, &net.call));
}

int call_list_parts(struct sync *sync, const char *key, const char *upload, struct store_parts *parts,
                    struct fault *fault) {
    struct net net;
    *parts = (struct store_parts){0};
    int r = online_enter(sync, &net, fault);
    return r ? r : online_leave(&net, store_list_parts(sync->store, key, upload, parts, &net.call));
}
