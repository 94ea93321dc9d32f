/* A body on its way in: the framing taken off, hashed once, written to a blob, and in the end compared with everything
 * that its headers said of it. Used by one thread at a time. */
#pragma once

#include "s3/checksum.h"
#include "s3/embedded/blobs.h"
#include "s3/server/http.h"
#include "s3/sign.h"

struct intake;

/* Reads what the headers say: lengths, Content-MD5, x-amz-content-sha256, x-amz-checksum-*, x-amz-trailer. checked is
 * borrowed; its payload_sha256 says how the body is framed. blobs NULL: the bytes are only checked (they were collected
 * in memory). 0, -errno or enum problem. */
int intake_create(struct intake **out, const struct http_request *request, struct sign_checked *checked,
                  struct blobs *blobs);
void intake_destroy(struct intake *intake); /* NULL is fine */
int intake_add(struct intake *intake, const void *data, size_t size);
/* 0, -errno or enum problem: whatever does not agree. */
int intake_finish(struct intake *intake);

struct blob_writer *intake_blob(struct intake *intake); /* borrowed */
const char *intake_md5(const struct intake *intake);    /* lower-case hex; once finished */
/* "crc32c=BASE64", or NULL when no checksum was sent; once finished. Borrowed. */
const char *intake_checksum(const struct intake *intake);
