/* Test-only: grants signed with the store's own keys. */
#include "own_keys.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/mint.h"
#include "s3/policy.h"

static int write_grant(struct own_keys *own, const struct json *item, struct buffer *out) {
    struct policy policy = {.bucket = own->bucket,
                            .prefix = own->prefix,
                            .quoted_etag = own->features.quoted_etag,
                            .complete_size = own->features.complete_size};
    struct mint mint = {.endpoint = own->endpoint,
                        .bucket = own->bucket,
                        .keys = &own->credentials,
                        .life_s = own->life_s,
                        .now_s = clock_realtime_s()};
    struct policy_plan plan;
    struct fault fault = {0};
    own->items++;
    int error = policy_plan(&policy, item, &plan, &fault);
    if (error == POLICY_REFUSED)
        return mint_write_error(out, "bad_item", fault.text, NULL);
    if (!error) {
        error = mint_write(&mint, &plan, out);
        policy_plan_finish(&plan);
    }
    return error;
}

static int mint(void *context, const char *body, size_t size, const _Atomic bool *cancelled, struct json **answer,
                struct fault *fault) {
    struct own_keys *own = context;
    AUTO_JSON struct json *request = NULL;
    AUTO_BUFFER struct buffer out = {0};
    (void)cancelled;
    if (own->away)
        return fault_set(fault, PAIL_OFFLINE, "nobody signs");
    int error = json_parse(&request, body, size);
    own->batches++;
    for (const struct json *item = json_first(json_get(request, "items")); item && !error; item = json_next(item)) {
        error = buffer_append_text(&out, out.size ? "," : "{\"grants\":[");
        if (!error)
            error = write_grant(own, item, &out);
    }
    if (!error)
        error = buffer_append_text(&out, "]}");
    return error ? error : json_parse(answer, out.data, out.size);
}

static void features(void *context, struct store_features *out) {
    *out = ((const struct own_keys *)context)->features;
}

struct http_origin own_keys_origin(struct own_keys *own) {
    return (struct http_origin){{.mint = mint, .context = own}, features, own, own->prefix};
}

static int read_text(void *context, uint64_t offset, void *data, size_t size) {
    memcpy(data, (const char *)context + offset, size);
    return 0;
}

int own_keys_send(struct own_keys *own, const char *method, const char *query, const char *body) {
    AUTO_FREE char *path = text_format("/%s", own->bucket), *url = NULL;
    struct sign_pair parameter = {query, ""};
    struct sign_request request = {.method = method,
                                   .scheme_host = own->endpoint,
                                   .path = path,
                                   .path_size = strlen(path),
                                   .query = &parameter,
                                   .query_count = query ? 1 : 0,
                                   .time_s = clock_realtime_s()};
    struct transfer *transfer = NULL;
    struct transfer_answer answer = {0};
    int error = sign_url(&own->credentials, NULL, &request, 60, &url);
    if (!error)
        error = transfer_create(&transfer, &(struct transfer_options){.connections = 1});
    struct store_source source = {read_text, (void *)(uintptr_t)body, body ? strlen(body) : 0};
    struct transfer_request send = {.method = method, .url = url, .body = &source};
    if (!error)
        error = transfer_perform(transfer, &send, &answer, NULL);
    int status = answer.status;
    transfer_answer_finish(&answer);
    transfer_destroy(transfer);
    return error ? -EIO : status;
}
