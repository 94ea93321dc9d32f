/* From items to claims. */
#include "s3/server/spending.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/server/usage.h"
#include "s3/wire.h"

#include <stdio.h>
#include <string.h>

void spending_source_finish(struct spending_source *source) {
    free(source->version);
    free(source->etag);
    *source = (struct spending_source){0};
}

static uint64_t number(const struct spending *spending, const char *name, int64_t fallback) {
    return (uint64_t)json_get_integer(spending->item, name, fallback);
}

/* A key that holds something already takes only what is more. */
static int claim_looking(const struct spending *spending, struct quota_claim *claim, struct fault *fault) {
    CLEANUP(usage_object_finish) struct usage_object object = {0};
    const struct user *user = spending->user;
    int result = quota_claim(spending->quota, user, claim, fault);
    if (result != QUOTA_LOOK)
        return result;
    result = usage_look(spending->remote, user->bucket, claim->key, NULL, &object, fault);
    if (result && result != PAIL_GONE)
        return result;
    claim->looked = true;
    claim->replaces = object.size;
    return quota_claim(spending->quota, user, claim, fault);
}

static int claim_put(const struct spending *spending, struct quota_claim *claim, struct spending_source *source,
                     struct fault *fault) {
    (void)source;
    claim->size = number(spending, "size", 0);
    return claim_looking(spending, claim, fault);
}

static int claim_parts(const struct spending *spending, struct quota_claim *claim, struct spending_source *source,
                       struct fault *fault) {
    (void)source;
    claim->first = (unsigned)number(spending, "first", 1);
    claim->count = (unsigned)number(spending, "count", 1);
    claim->size = number(spending, "size", 0);
    claim->last_size = number(spending, "last_size", 0);
    return claim_looking(spending, claim, fault);
}

static int claim_part_copy(const struct spending *spending, struct quota_claim *claim, struct spending_source *source,
                           struct fault *fault) {
    (void)source;
    unsigned long long from = 0, to = 0;
    const char *range = json_get_text(spending->item, "range"); /* "bytes=A-B", which policy_plan has read */
    if (!range || sscanf(range, "bytes=%llu-%llu", &from, &to) != 2)
        return -EINVAL;
    claim->first = (unsigned)number(spending, "number", 1);
    claim->count = 1;
    claim->size = to - from + 1;
    return claim_looking(spending, claim, fault);
}

/* The source may become larger between this look and the copy: so the copy is bound to what was seen. */
static int claim_copy(const struct spending *spending, struct quota_claim *claim, struct spending_source *source,
                      struct fault *fault) {
    CLEANUP(usage_object_finish) struct usage_object object = {0};
    const struct user *user = spending->user;
    int result = usage_look(spending->remote, user->bucket, json_get_text(spending->item, "source"),
                            json_get_text(spending->item, "source_version"), &object, fault);
    if (result)
        return result;
    if (user->versioned_at_s) {
        source->version = object.version ? TAKE(object.version) : strdup("null");
        if (!source->version)
            return -ENOMEM;
    } else {
        source->etag = TAKE(object.etag);
    }
    claim->size = object.size;
    return claim_looking(spending, claim, fault);
}

/* What the client says of the whole binds nothing on stores that do not check it. */
static int claim_complete(const struct spending *spending, struct quota_claim *claim, struct spending_source *source,
                          struct fault *fault) {
    (void)source;
    int result = usage_parts(spending->remote, spending->user->bucket, claim->key, claim->upload, &claim->size, fault);
    if (result == PAIL_GONE) /* it was completed or given up before: nothing comes of this one */
        return 0;
    return result ? result : claim_looking(spending, claim, fault);
}

static const struct writing {
    const char *op;
    int (*claim)(const struct spending *spending, struct quota_claim *claim, struct spending_source *source,
                 struct fault *fault);
} writings[] = {
    {WIRE_OP_PUT, claim_put},   {WIRE_OP_PART, claim_parts},        {WIRE_OP_PART_COPY, claim_part_copy},
    {WIRE_OP_COPY, claim_copy}, {WIRE_OP_COMPLETE, claim_complete},
};

static const struct writing *find_writing(const struct json *item) {
    const char *op = json_get_text(item, "op");
    for (size_t i = 0; op && i < sizeof writings / sizeof *writings; i++)
        if (!strcmp(writings[i].op, op))
            return &writings[i];
    return NULL;
}

bool spending_is_write(const struct json *item) {
    return find_writing(item) != NULL;
}

static void note_freed(const struct spending *spending) {
    const char *op = json_get_text(spending->item, "op");
    if (text_equal(op, WIRE_OP_DELETE))
        quota_give_up(spending->quota, spending->user, json_get_text(spending->item, "key"));
    else if (text_equal(op, WIRE_OP_ABORT))
        quota_give_up(spending->quota, spending->user, NULL);
    else if (text_equal(op, WIRE_OP_DELETE_MANY))
        for (const struct json *each = json_first(json_get(spending->item, "keys")); each; each = json_next(each))
            quota_give_up(spending->quota, spending->user, json_get_text(each, "key"));
}

int spending_claim(const struct spending *spending, struct spending_source *source, struct fault *fault) {
    const struct writing *writing = find_writing(spending->item);
    struct quota_claim claim = {
        .key = json_get_text(spending->item, "key"),
        .upload = json_get_text(spending->item, "upload"),
        .has_waited = spending->has_waited,
    };
    if (writing)
        return writing->claim(spending, &claim, source, fault);
    note_freed(spending);
    return 0;
}
