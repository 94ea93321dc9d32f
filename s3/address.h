/* Where a bucket and a key are reached: the two styles of S3 addresses. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct address {
    char *scheme_host; /* owned; no slash at the end */
    char *path;        /* owned; raw bytes: "/bucket/key" or "/key" */
};
/* origin: "https://s3.eu-central-1.amazonaws.com"; key NULL: the bucket itself; bucket NULL: the service. 0, -ENOMEM.
 */
int address_make(const char *origin, bool virtual_style, const char *bucket, const char *key, struct address *out);
void address_finish(struct address *address);
