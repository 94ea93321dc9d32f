/* Writing S3's answers. Keys may hold what XML cannot: without encoding-type=url such bytes go out as character
 * references, as S3 does. Functions return 0 or -ENOMEM. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

int xml_start(struct buffer *out, const char *root); /* with S3's namespace */
int xml_open(struct buffer *out, const char *name);
int xml_close(struct buffer *out, const char *name);
int xml_text(struct buffer *out, const char *name, const char *text);
int xml_key(struct buffer *out, const char *name, const char *key, bool url_encoded);
int xml_etag(struct buffer *out, const char *etag); /* in its quotes */
int xml_integer(struct buffer *out, const char *name, int64_t value);
int xml_boolean(struct buffer *out, const char *name, bool value);
int xml_time(struct buffer *out, const char *name, int64_t milliseconds);
