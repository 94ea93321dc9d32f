/* Strings: comparing, encoding, checking. Functions that return char * give memory that the caller frees, or NULL
 * without memory. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool text_starts(const char *text, const char *prefix);
bool text_ends(const char *text, const char *suffix);
bool text_equal(const char *a, const char *b); /* NULL equals NULL only */
/* Compares secrets of equal length in constant time. */
bool text_equal_secret(const char *a, const char *b);
void text_lower_ascii(char *text); /* in place */
/* FNV-1a, never 0: for tables in memory. Texts that somebody else chooses can be made to collide. */
uint64_t text_hash(const char *text, size_t size);
/* Cuts to at most max bytes without splitting a UTF-8 character; returns the length that stays. */
size_t text_cut_utf8(const char *text, size_t size, size_t max);
bool text_is_utf8(const void *data, size_t size);    /* RFC 3629: no overlong forms, no surrogates */
int text_parse_u64(const char *text, uint64_t *out); /* the whole text is decimal digits; -EINVAL, -ERANGE */

/* RFC 3986: all but A-Z a-z 0-9 - . _ ~ becomes %XX in upper case; '/' stays when keep_slash. */
char *text_percent_encode(const void *data, size_t size, bool keep_slash);
/* NULL with errno EINVAL on a bad escape. size receives the decoded length; the result is NUL-terminated as well. */
char *text_percent_decode(const char *text, size_t length, bool plus_is_space, size_t *size);
char *text_html_escape(const char *text);

char *text_hex(const void *data, size_t size); /* lower case */
char *text_base64(const void *data, size_t size);
char *text_base64url(const void *data, size_t size); /* RFC 7515: without padding */
/* Strict: no white space, canonical last bits; base64 needs padding, base64url forbids it. -EINVAL. *out is owned by
 * the caller. */
int text_base64_decode(const char *text, size_t length, unsigned char **out, size_t *size);
int text_base64url_decode(const char *text, size_t length, unsigned char **out, size_t *size);

/* size random bytes from the kernel; aborts the process if it has none to give. */
void random_bytes(void *out, size_t size);
/* 2 * bytes lower-case hex digits and a NUL. */
void random_hex(char *out, size_t bytes);
