/* Bodies of requests, written as XML. */
#include "base/text.h"
#include "s3/listing.h"
#include "s3/listing_walk.h"

#include <string.h>

/* What stands for this byte in XML, or NULL for itself. */
static const char *entity_of(char c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\t':
        return "&#9;";
    case '\n':
        return "&#10;";
    case '\r':
        return "&#13;";
    default:
        return NULL;
    }
}

/* U+FFFE and U+FFFF are no XML characters. */
static bool is_noncharacter(const char *at, size_t left) {
    return left >= 3 && memcmp(at, "\xef\xbf", 2) == 0 && (unsigned char)at[2] >= 0xbe;
}

int listing_escape(struct buffer *out, const char *text, size_t size) {
    if (!text_is_utf8(text, size))
        return -EILSEQ;
    for (size_t i = 0; i < size; i++) {
        const char *entity = entity_of(text[i]);
        if (!entity && ((unsigned char)text[i] < ' ' || is_noncharacter(text + i, size - i)))
            return -EILSEQ;
        int r = entity ? buffer_append_text(out, entity) : buffer_append(out, text + i, 1);
        if (r)
            return r;
    }
    return 0;
}

static int element(struct buffer *out, const char *name, const char *text) {
    int r = buffer_append_format(out, "<%s>", name);
    if (!r)
        r = listing_escape(out, text, strlen(text));
    return r ? r : buffer_append_format(out, "</%s>", name);
}

static int hand_over(struct buffer *out, char **xml, size_t *size) {
    *size = out->size;
    *xml = buffer_take(out);
    return *xml ? 0 : -ENOMEM;
}

int listing_write_complete(const struct store_parts *parts, char **xml, size_t *size) {
    AUTO_BUFFER struct buffer out = {0};
    int r = buffer_append_text(&out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < parts->count && !r; i++) {
        r = buffer_append_format(&out, "<Part><PartNumber>%u</PartNumber><ETag>&quot;", parts->items[i].number);
        if (!r)
            r = listing_escape(&out, parts->items[i].etag, strlen(parts->items[i].etag));
        if (!r)
            r = buffer_append_text(&out, "&quot;</ETag></Part>");
    }
    if (!r)
        r = buffer_append_text(&out, "</CompleteMultipartUpload>");
    return r ? r : hand_over(&out, xml, size);
}

int listing_write_delete(const struct store_delete *items, size_t count, char **xml, size_t *size) {
    AUTO_BUFFER struct buffer out = {0};
    int r = buffer_append_text(&out, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < count && !r; i++) {
        r = buffer_append_text(&out, "<Object>");
        if (!r)
            r = element(&out, "Key", items[i].key);
        if (!r && items[i].etag)
            r = element(&out, "ETag", items[i].etag);
        if (!r)
            r = buffer_append_text(&out, "</Object>");
    }
    if (!r)
        r = buffer_append_text(&out, "</Delete>");
    return r ? r : hand_over(&out, xml, size);
}

int listing_write_destroy(const struct store_object *versions, size_t count, char **xml, size_t *size) {
    AUTO_BUFFER struct buffer out = {0};
    int r = buffer_append_text(&out, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < count && !r; i++) {
        r = buffer_append_text(&out, "<Object>");
        if (!r)
            r = element(&out, "Key", versions[i].key);
        if (!r)
            r = element(&out, "VersionId", versions[i].version ? versions[i].version : "null");
        if (!r)
            r = buffer_append_text(&out, "</Object>");
    }
    if (!r)
        r = buffer_append_text(&out, "</Delete>");
    return r ? r : hand_over(&out, xml, size);
}
