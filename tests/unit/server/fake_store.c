/* An S3 server of buckets only. */
#include "fake_store.h"

#include "base/text.h"
#include "s3/server/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_bucket *fake_store_find(struct fake_store *store, const char *name) {
    for (struct fake_bucket *each = store->buckets; each; each = each->next)
        if (!strcmp(each->name, name))
            return each;
    return NULL;
}

struct fake_bucket *fake_store_add(struct fake_store *store, const char *name) {
    struct fake_bucket *bucket = calloc(1, sizeof *bucket);
    if (!bucket)
        abort();
    snprintf(bucket->name, sizeof bucket->name, "%s", name);
    bucket->next = store->buckets;
    store->buckets = bucket;
    return bucket;
}

size_t fake_store_count(struct fake_store *store) {
    size_t count = 0;
    for (struct fake_bucket *each = store->buckets; each; each = each->next)
        count += !each->foreign;
    return count;
}

struct reply {
    int status;
    char body[800];
};

static void refuse(struct reply *reply, int status, const char *code) {
    reply->status = status;
    snprintf(reply->body, sizeof reply->body,
             "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>m</Message></Error>", code);
}

static void create(struct fake_store *store, const char *name, struct reply *reply) {
    struct fake_bucket *bucket = fake_store_find(store, name);
    if (bucket && bucket->foreign) {
        refuse(reply, 409, "BucketAlreadyExists");
        return;
    }
    if (bucket && !store->answers_200_for_own)
        refuse(reply, 409, "BucketAlreadyOwnedByYou");
    if (!bucket)
        bucket = fake_store_add(store, name);
    bucket->puts++;
}

static void copy_value(const char *body, char out[80]) {
    const char *value = strstr(body, "<Value>");
    snprintf(out, 80, "%.*s", value ? (int)strcspn(value + 7, "<") : 0, value ? value + 7 : "");
}

static void read_setting(struct fake_bucket *bucket, const char *what, bool is_stranger, struct reply *reply) {
    if (!strcmp(what, "tagging") && *bucket->tag)
        snprintf(reply->body, sizeof reply->body,
                 "<Tagging><TagSet><Tag><Key>pail-account</Key><Value>%s</Value></Tag></TagSet></Tagging>",
                 bucket->tag);
    else if (!strcmp(what, "tagging"))
        refuse(reply, 404, "NoSuchTagSet");
    else if (text_starts(what, "encoding-type") || text_starts(what, "max-keys") || text_starts(what, "versions"))
        snprintf(reply->body, sizeof reply->body,
                 "<ListVersionsResult><IsTruncated>false</IsTruncated>%s</ListVersionsResult>",
                 bucket->holds_key ? "<Version><Key>k</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>"
                                     "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>e</ETag><Size>1</Size>"
                                     "</Version>"
                                   : "");
    else if (!strcmp(what, "acl"))
        snprintf(reply->body, sizeof reply->body, "<AccessControlPolicy></AccessControlPolicy>");
    else if (!strcmp(what, "policyStatus"))
        refuse(reply, 404, "NoSuchBucketPolicy");
    else if (!*what && is_stranger && !bucket->is_public)
        refuse(reply, 403, "AccessDenied");
}

static void write_setting(struct fake_store *store, struct fake_bucket *bucket, const char *what, const char *body,
                          struct reply *reply) {
    static const struct {
        const char *name;
        size_t place;
        unsigned unknown;
    } settings[] = {
        {"publicAccessBlock", offsetof(struct fake_bucket, blocked), 1},
        {"ownershipControls", offsetof(struct fake_bucket, owned), 2},
        {"encryption", offsetof(struct fake_bucket, encrypted), 4},
        {"lifecycle", offsetof(struct fake_bucket, lifecycled), 8},
        {"versioning", offsetof(struct fake_bucket, versioned), 32},
    };
    if (!strcmp(what, "tagging")) {
        if (store->unknown & 16)
            refuse(reply, 501, "NotImplemented");
        else
            copy_value(body, bucket->tag);
        return;
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!strcmp(settings[i].name, what)) {
            if (store->unknown & settings[i].unknown)
                refuse(reply, 501, "NotImplemented");
            else
                *(bool *)((char *)bucket + settings[i].place) = true;
            return;
        }
    refuse(reply, 400, "InvalidArgument");
}

static void act(struct fake_store *store, const struct http_request *request, struct reply *reply) {
    const char *name = request->raw_path + 1;
    char what[200];
    snprintf(what, sizeof what, "%s", request->raw_query);
    if (text_ends(what, "="))
        what[strlen(what) - 1] = '\0';
    bool put = !strcmp(request->method, "PUT");
    if (put && !*what) {
        create(store, name, reply);
        return;
    }
    struct fake_bucket *bucket = fake_store_find(store, name);
    if (!bucket)
        refuse(reply, 404, "NoSuchBucket");
    else if (put)
        write_setting(store, bucket, what, request->body ? request->body : "", reply);
    else
        read_setting(bucket, what, !http_header(request, "authorization"), reply);
}

static void begin(void *context, struct http_request *request) {
    (void)context;
    http_collect(request, 1 << 20);
}

static void complete(void *context, struct http_request *request) {
    struct fake_store *store = context;
    struct reply reply = {.status = 200};
    pthread_mutex_lock(&store->lock);
    bool fails = ++store->requests == store->fail_at;
    if (!fails || store->way != FAKE_BEFORE)
        act(store, request, &reply);
    if (fails)
        refuse(&reply, 403, "AccessDenied");
    pthread_mutex_unlock(&store->lock);
    http_answer(request,
                &(struct http_answer){.status = reply.status, .bytes = strdup(reply.body), .size = strlen(reply.body)});
}

void fake_store_start(struct fake_store *store) {
    *store = (struct fake_store){.answers_200_for_own = true};
    pthread_mutex_init(&store->lock, NULL);
    struct http_options options = {.handler = {begin, complete, NULL, store}};
    if (http_server_create(&store->server, &options, NULL))
        abort();
    snprintf(store->endpoint, sizeof store->endpoint, "http://127.0.0.1:%u", http_server_port(store->server));
}

void fake_store_stop(struct fake_store *store) {
    http_server_destroy(store->server);
    while (store->buckets) {
        struct fake_bucket *next = store->buckets->next;
        free(store->buckets);
        store->buckets = next;
    }
    pthread_mutex_destroy(&store->lock);
}
