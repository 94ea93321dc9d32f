/* Writing S3's answers. */
#include "s3/embedded/xml.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <errno.h>

static int escape(struct buffer *out, const char *text) {
    int r = 0;
    for (; *text && !r; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            r = buffer_append(out, "&amp;", 5);
        else if (c == '<')
            r = buffer_append(out, "&lt;", 4);
        else if (c == '>')
            r = buffer_append(out, "&gt;", 4);
        else if (c == '"')
            r = buffer_append(out, "&quot;", 6);
        else if (c < ' ')
            r = buffer_append_format(out, "&#x%X;", c);
        else
            r = buffer_append(out, text, 1);
    }
    return r;
}

int xml_start(struct buffer *out, const char *root) {
    return buffer_append_format(out,
                                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                "<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
                                root);
}

int xml_open(struct buffer *out, const char *name) {
    return buffer_append_format(out, "<%s>", name);
}

int xml_close(struct buffer *out, const char *name) {
    return buffer_append_format(out, "</%s>", name);
}

int xml_text(struct buffer *out, const char *name, const char *text) {
    int r = xml_open(out, name);
    if (!r)
        r = escape(out, text);
    return r ? r : xml_close(out, name);
}

int xml_key(struct buffer *out, const char *name, const char *key, bool url_encoded) {
    if (!url_encoded)
        return xml_text(out, name, key);
    AUTO_FREE char *encoded = text_percent_encode(key, strlen(key), true);
    return encoded ? buffer_append_format(out, "<%s>%s</%s>", name, encoded, name) : -ENOMEM;
}

int xml_etag(struct buffer *out, const char *etag) {
    return buffer_append_format(out, "<ETag>&quot;%s&quot;</ETag>", etag);
}

int xml_integer(struct buffer *out, const char *name, int64_t value) {
    return buffer_append_format(out, "<%s>%lld</%s>", name, (long long)value, name);
}

int xml_boolean(struct buffer *out, const char *name, bool value) {
    return buffer_append_format(out, "<%s>%s</%s>", name, value ? "true" : "false", name);
}

int xml_time(struct buffer *out, const char *name, int64_t milliseconds) {
    char text[25];
    clock_format_iso8601(milliseconds / 1000, text);
    return xml_text(out, name, text);
}
