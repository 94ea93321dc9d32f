/* A body on its way in. */
#include "s3/embedded/intake.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/chunked.h"
#include "s3/embedded/problem.h"

#include <errno.h>

#define LARGEST ((uint64_t)5 << 30) /* S3: one PUT or one part */

static const enum checksum_kind kinds[] = {CHECKSUM_CRC32, CHECKSUM_CRC32C, CHECKSUM_CRC64NVME, CHECKSUM_SHA1,
                                           CHECKSUM_SHA256};
#define KINDS (sizeof kinds / sizeof *kinds)

struct intake {
    struct blob_writer *blob;                     /* owned; NULL: only checked */
    struct chunked *chunked;                      /* owned; NULL: the body is as it is */
    struct checksum *md5, *sha256, *checksum;     /* owned; the latter two only if something is to be compared */
    char *want_md5, *want_sha256, *want_checksum; /* owned; NULL: not told. want_checksum may come as a trailer */
    enum checksum_kind kind;                      /* of checksum */
    const char *trailer;                          /* static; the header that brings want_checksum at the end */
    uint64_t seen;
    int64_t length;                /* without framing; -1: not told */
    char *md5_hex, *checksum_text; /* owned */
};

static int write_plain(void *context, const void *data, size_t size) {
    struct intake *intake = context;
    intake->seen += size;
    if (intake->seen > LARGEST)
        return PROBLEM_ENTITY_TOO_LARGE;
    if (intake->length >= 0 && intake->seen > (uint64_t)intake->length)
        return PROBLEM_INCOMPLETE_BODY;
    int r = checksum_add(intake->md5, data, size);
    if (!r && intake->sha256)
        r = checksum_add(intake->sha256, data, size);
    if (!r && intake->checksum)
        r = checksum_add(intake->checksum, data, size);
    return r || !intake->blob ? r : blobs_write(intake->blob, data, size);
}

static int copy_header(const struct http_request *request, const char *name, char **out) {
    const char *value = http_header(request, name);
    *out = value ? strdup(value) : NULL;
    return value && !*out ? -ENOMEM : 0;
}

/* A checksum that cannot be one of its kind is refused before the body comes. */
static int check_base64(const char *text, size_t bytes) {
    AUTO_FREE unsigned char *raw = NULL;
    size_t size = 0;
    int r = text_base64_decode(text, strlen(text), &raw, &size);
    if (r == -ENOMEM)
        return r;
    return r || size != bytes ? PROBLEM_INVALID_DIGEST : 0;
}

static size_t size_of(enum checksum_kind kind) {
    switch (kind) {
    case CHECKSUM_MD5:
        return 16;
    case CHECKSUM_SHA1:
        return 20;
    case CHECKSUM_SHA256:
        return 32;
    case CHECKSUM_CRC64NVME:
        return 8;
    default:
        return 4;
    }
}

static int expect_checksum(struct intake *intake, const struct http_request *request) {
    const char *trailer = http_header(request, "x-amz-trailer");
    for (size_t i = 0; i < KINDS; i++) {
        const char *name = checksum_header(kinds[i]), *value = http_header(request, name);
        bool later = trailer && strcasecmp(trailer, name) == 0;
        if (!value && !later)
            continue;
        if (intake->checksum)
            return PROBLEM_INVALID_REQUEST;
        intake->kind = kinds[i];
        intake->trailer = later ? name : NULL;
        int r = checksum_create(&intake->checksum, kinds[i]);
        if (!r && value)
            r = check_base64(value, size_of(kinds[i]));
        if (!r && value && !(intake->want_checksum = strdup(value)))
            r = -ENOMEM;
        if (r)
            return r;
    }
    return 0;
}

static int expect_digests(struct intake *intake, const struct http_request *request,
                          const struct sign_checked *checked) {
    int r = checksum_create(&intake->md5, CHECKSUM_MD5);
    if (!r)
        r = copy_header(request, "content-md5", &intake->want_md5);
    if (!r && intake->want_md5)
        r = check_base64(intake->want_md5, 16);
    if (!r && strlen(checked->payload_sha256) == 64) {
        intake->want_sha256 = strdup(checked->payload_sha256);
        r = intake->want_sha256 ? checksum_create(&intake->sha256, CHECKSUM_SHA256) : -ENOMEM;
    }
    return r ? r : expect_checksum(intake, request);
}

static int expect_length(struct intake *intake, const struct http_request *request, bool framed) {
    const char *decoded = http_header(request, "x-amz-decoded-content-length");
    intake->length = request->content_length;
    if (framed) {
        uint64_t length;
        if (!decoded)
            return PROBLEM_MISSING_LENGTH;
        if (text_parse_u64(decoded, &length) || length > INT64_MAX)
            return PROBLEM_INVALID_ARGUMENT;
        intake->length = (int64_t)length;
    } else if (intake->length < 0 && request->has_body) {
        return PROBLEM_MISSING_LENGTH;
    }
    return intake->length > (int64_t)LARGEST ? PROBLEM_ENTITY_TOO_LARGE : 0;
}

/* How the body is framed, as the signed payload hash says. */
static int set_framing(struct intake *intake, const struct http_request *request, struct sign_checked *checked) {
    static const struct {
        const char *payload;
        bool is_signed, trailers;
    } framings[] = {
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true},
        {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true},
    };
    const char *payload = checked->payload_sha256;
    if (!text_starts(payload, "STREAMING-"))
        return expect_length(intake, request, false);
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(payload, framings[i].payload) != 0)
            continue;
        struct chunked_options options = {framings[i].is_signed ? checked : NULL, framings[i].trailers, write_plain,
                                          intake};
        int r = chunked_create(&intake->chunked, &options);
        return r ? r : expect_length(intake, request, true);
    }
    return PROBLEM_NOT_IMPLEMENTED;
}

DEFINE_CLEANUP(struct intake *, intake_destroy)

int intake_create(struct intake **out, const struct http_request *request, struct sign_checked *checked,
                  struct blobs *blobs) {
    CLEANUP(intake_destroy_p) struct intake *intake = calloc(1, sizeof *intake);
    if (!intake)
        return -ENOMEM;
    int r = set_framing(intake, request, checked);
    if (!r)
        r = expect_digests(intake, request, checked);
    if (!r && blobs)
        r = blobs_begin(blobs, &intake->blob);
    if (!r)
        *out = TAKE(intake);
    return r;
}

void intake_destroy(struct intake *intake) {
    if (!intake)
        return;
    blobs_end(intake->blob);
    chunked_destroy(intake->chunked);
    checksum_destroy(intake->md5);
    checksum_destroy(intake->sha256);
    checksum_destroy(intake->checksum);
    free(intake->want_md5);
    free(intake->want_sha256);
    free(intake->want_checksum);
    free(intake->md5_hex);
    free(intake->checksum_text);
    free(intake);
}

int intake_add(struct intake *intake, const void *data, size_t size) {
    return intake->chunked ? chunked_add(intake->chunked, data, size) : write_plain(intake, data, size);
}

static int finish_md5(struct intake *intake) {
    unsigned char raw[32];
    int size = checksum_end(intake->md5, raw);
    if (size < 0)
        return size;
    AUTO_FREE char *base64 = text_base64(raw, 16);
    intake->md5_hex = text_hex(raw, 16);
    if (!base64 || !intake->md5_hex)
        return -ENOMEM;
    return intake->want_md5 && strcmp(base64, intake->want_md5) != 0 ? PROBLEM_BAD_DIGEST : 0;
}

static int finish_sha256(struct intake *intake) {
    unsigned char raw[32];
    if (!intake->sha256)
        return 0;
    int size = checksum_end(intake->sha256, raw);
    AUTO_FREE char *hex = size < 0 ? NULL : text_hex(raw, 32);
    if (!hex)
        return -ENOMEM;
    return strcmp(hex, intake->want_sha256) == 0 ? 0 : PROBLEM_SHA256_MISMATCH;
}

static int finish_checksum(struct intake *intake) {
    unsigned char raw[32];
    if (!intake->checksum)
        return 0;
    if (intake->trailer && intake->chunked) {
        free(intake->want_checksum);
        intake->want_checksum = chunked_trailer(intake->chunked, intake->trailer);
    }
    if (!intake->want_checksum)
        return PROBLEM_INVALID_REQUEST;
    int size = checksum_end(intake->checksum, raw);
    AUTO_FREE char *base64 = size < 0 ? NULL : text_base64(raw, (size_t)size);
    if (!base64)
        return -ENOMEM;
    if (strcmp(base64, intake->want_checksum) != 0)
        return PROBLEM_BAD_DIGEST;
    intake->checksum_text = text_format("%s=%s", checksum_header(intake->kind) + strlen("x-amz-checksum-"), base64);
    return intake->checksum_text ? 0 : -ENOMEM;
}

int intake_finish(struct intake *intake) {
    int r = intake->chunked ? chunked_finish(intake->chunked) : 0;
    if (!r && intake->length >= 0 && intake->seen != (uint64_t)intake->length)
        r = PROBLEM_INCOMPLETE_BODY;
    if (!r)
        r = finish_sha256(intake);
    if (!r)
        r = finish_md5(intake);
    return r ? r : finish_checksum(intake);
}

struct blob_writer *intake_blob(struct intake *intake) {
    return intake->blob;
}

const char *intake_md5(const struct intake *intake) {
    return intake->md5_hex;
}

const char *intake_checksum(const struct intake *intake) {
    return intake->checksum_text;
}
