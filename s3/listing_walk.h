/* Walks an XML document, bounded: for s3/listing and for the request bodies that the embedded store reads. */
#pragma once

#include "base/buffer.h"

#include <stddef.h>

/* path: the names from the root to this element, without namespaces: "ListBucketResult/Contents/Key". Non-zero ends
 * the walk, which returns it. */
struct listing_walker {
    int (*start)(void *context, const char *path); /* may be NULL */
    int (*end)(void *context, const char *path, const char *text,
               size_t size); /* text: of an element without children */
    void *context;
};

/* 0, -ENOMEM, what a callback returned, or PAIL_DAMAGED: not well-formed, a document type or an entity declared, more
 * than 16 MiB, 200,000 elements, 12 levels, or 64 KiB in one text. */
int listing_walk(const char *xml, size_t size, const struct listing_walker *walker);
/* Appends text as XML content. -EILSEQ for what XML 1.0 cannot hold (control characters, U+FFFE, U+FFFF). */
int listing_escape(struct buffer *out, const char *text, size_t size);
