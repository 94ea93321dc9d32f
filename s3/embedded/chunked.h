/* Takes the aws-chunked framing off a body (Amazon S3 API Reference, "Transferring payload in multiple chunks"), with
 * the signature of each chunk checked where there are any, and with trailing headers. */
#pragma once

#include "base/buffer.h"
#include "s3/sign.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunked;

struct chunked_options {
    struct sign_checked *signing; /* borrowed; NULL: chunks are not signed */
    bool trailers;                /* trailing headers follow the last chunk */
    int (*write)(void *context, const void *data, size_t size);
    void *context;
};

int chunked_create(struct chunked **out, const struct chunked_options *options);
void chunked_destroy(struct chunked *chunked); /* NULL is fine */
/* 0, -errno, enum problem, or what write returned. */
int chunked_add(struct chunked *chunked, const void *data, size_t size);
/* The body is over: PROBLEM_INCOMPLETE_BODY unless its last chunk and trailers were there. */
int chunked_finish(struct chunked *chunked);
/* A trailing header's value, which the caller frees; NULL if it was not there. name in lower case. */
char *chunked_trailer(const struct chunked *chunked, const char *name);
