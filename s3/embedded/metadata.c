/* The headers that are kept with an object. */
#include "s3/embedded/metadata.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>

#define MOST 2048u /* S3: of all x-amz-meta- names, without that prefix, and values */

static const char *const kept[] = {
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
};

/* content-encoding without aws-chunked, which was only how the body came; NULL when nothing is left. */
static char *own_encoding(const char *value) {
    AUTO_BUFFER struct buffer out = {0};
    while (*value) {
        value += strspn(value, " ,");
        size_t size = strcspn(value, ",");
        bool chunked = size >= 11 && strncmp(value, "aws-chunked", 11) == 0;
        if (size && !chunked && (buffer_append_format(&out, "%s%.*s", out.size ? "," : "", (int)size, value)))
            return NULL;
        value += size;
    }
    return out.size ? buffer_take(&out) : NULL;
}

static int take_kept(const struct visit *visit, struct buffer *out) {
    int r = 0;
    bool typed = false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept && !r; i++) {
        const char *value = visit_header(visit, kept[i]);
        AUTO_FREE char *encoding = NULL;
        if (value && strcmp(kept[i], "content-encoding") == 0)
            value = encoding = own_encoding(value);
        if (!value || !*value)
            continue;
        typed = typed || strcmp(kept[i], "content-type") == 0;
        r = buffer_append_format(out, "%s:%s\n", kept[i], value);
    }
    return r || typed ? r : buffer_append_text(out, "content-type:binary/octet-stream\n");
}

static int take_user(const struct visit *visit, struct buffer *out) {
    const struct http_request *request = visit->request;
    size_t total = 0, prefix = strlen("x-amz-meta-");
    int r = 0;
    for (size_t i = 0; i < request->header_count && !r; i++) {
        const struct http_header *header = &request->headers[i];
        if (!text_starts(header->name, "x-amz-meta-"))
            continue;
        total += strlen(header->name) - prefix + strlen(header->value);
        if (total > MOST)
            return PROBLEM_METADATA_TOO_LARGE;
        r = buffer_append_format(out, "%s:%s\n", header->name, header->value);
    }
    return r;
}

static int check_acl(const struct visit *visit) {
    const char *acl = visit_header(visit, "x-amz-acl");
    bool owners = !acl || strcmp(acl, "private") == 0 || strcmp(acl, "bucket-owner-full-control") == 0;
    const struct http_request *request = visit->request;
    for (size_t i = 0; i < request->header_count; i++)
        owners = owners && !text_starts(request->headers[i].name, "x-amz-grant-");
    return owners ? 0 : PROBLEM_INVALID_ACL;
}

static int take_class(const struct visit *visit, struct buffer *out) {
    static const char *const at_once[] = {"STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
                                          "REDUCED_REDUNDANCY"};
    const char *value = visit_header(visit, "x-amz-storage-class");
    if (!value || strcmp(value, "STANDARD") == 0)
        return 0;
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++)
        if (strcmp(value, at_once[i]) == 0)
            return buffer_append_format(out, "x-amz-storage-class:%s\n", value);
    return PROBLEM_NOT_IMPLEMENTED; /* archives: there is nothing to restore from */
}

int metadata_take(const struct visit *visit, char **lines) {
    AUTO_BUFFER struct buffer out = {0};
    int r = check_acl(visit);
    if (!r)
        r = take_kept(visit, &out);
    if (!r)
        r = take_class(visit, &out);
    if (!r)
        r = take_user(visit, &out);
    if (!r && !(*lines = buffer_take(&out)))
        r = -ENOMEM;
    return r;
}

void metadata_give(struct answer *answer, const char *lines) {
    while (lines && *lines) {
        size_t size = strcspn(lines, "\n"), name = strcspn(lines, ":");
        AUTO_FREE char *key = strndup(lines, name), *value = strndup(lines + name + 1, size - name - 1);
        if (!key || !value) {
            answer->error = -ENOMEM;
            return;
        }
        answer_set_copied(answer, key, value);
        lines += size + (lines[size] == '\n');
    }
}

void metadata_give_checksum(struct answer *answer, const char *checksum) {
    const char *equals = checksum ? strchr(checksum, '=') : NULL;
    if (!equals)
        return;
    AUTO_FREE char *name = text_format("x-amz-checksum-%.*s", (int)(equals - checksum), checksum);
    if (!name) {
        answer->error = -ENOMEM;
        return;
    }
    answer_set_copied(answer, name, equals + 1);
    answer_set(answer, "x-amz-checksum-type", "%s", strchr(equals, '-') ? "COMPOSITE" : "FULL_OBJECT");
}
