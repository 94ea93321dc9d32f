/* Strings: comparing, encoding, checking. */
#include "base/text.h"

#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

char *text_format(const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    return size < 0 ? NULL : text;
}

bool text_starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *text, const char *suffix) {
    size_t a = strlen(text), b = strlen(suffix);
    return a >= b && memcmp(text + a - b, suffix, b) == 0;
}

bool text_equal(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_equal_secret(const char *a, const char *b) {
    size_t size = strlen(a);
    if (size != strlen(b))
        return false;
    unsigned difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned)(unsigned char)a[i] ^ (unsigned char)b[i];
    return difference == 0;
}

void text_lower_ascii(char *text) {
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text + 32);
}

uint64_t text_hash(const char *text, size_t size) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash ? hash : 1;
}

size_t text_cut_utf8(const char *text, size_t size, size_t max) {
    if (size <= max)
        return size;
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

/* The length of the character at p, or 0 when it is not one. */
static size_t utf8_length(const unsigned char *p, size_t left) {
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

bool text_is_utf8(const void *data, size_t size) {
    const unsigned char *p = data;
    for (size_t at = 0; at < size;) {
        size_t length = p[at] < 0x80 ? 1 : utf8_length(p + at, size - at);
        if (!length)
            return false;
        at += length;
    }
    return true;
}

int text_parse_u64(const char *text, uint64_t *out) {
    uint64_t value = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (unsigned)(*text - '0'), &value))
            return -ERANGE;
    }
    *out = value;
    return 0;
}

static bool is_unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

char *text_percent_encode(const void *data, size_t size, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *in = data;
    char *out = malloc(size * 3 + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        if (is_unreserved(in[i]) || (keep_slash && in[i] == '/')) {
            *to++ = (char)in[i];
        } else {
            *to++ = '%';
            *to++ = digits[in[i] >> 4];
            *to++ = digits[in[i] & 15];
        }
    }
    *to = 0;
    return out;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *text_percent_decode(const char *text, size_t length, bool plus_is_space, size_t *size) {
    char *out = malloc(length + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                free(out);
                errno = EINVAL;
                return NULL;
            }
            *to++ = (char)(high * 16 + low);
            i += 2;
        } else {
            *to++ = plus_is_space && text[i] == '+' ? ' ' : text[i];
        }
    }
    *to = 0;
    *size = (size_t)(to - out);
    return out;
}

char *text_html_escape(const char *text) {
    AUTO_BUFFER struct buffer out = {0};
    for (; *text; text++) {
        const char *entity = *text == '&'    ? "&amp;"
                             : *text == '<'  ? "&lt;"
                             : *text == '>'  ? "&gt;"
                             : *text == '"'  ? "&quot;"
                             : *text == '\'' ? "&#39;"
                                             : NULL;
        if (entity ? buffer_append_text(&out, entity) : buffer_append(&out, text, 1))
            return NULL;
    }
    return buffer_take(&out);
}

char *text_hex(const void *data, size_t size) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = data;
    char *out = malloc(size * 2 + 1);
    if (!out)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        out[i * 2] = digits[in[i] >> 4];
        out[i * 2 + 1] = digits[in[i] & 15];
    }
    out[size * 2] = 0;
    return out;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *encode64(const void *data, size_t size, const char *digits, bool padded) {
    const unsigned char *in = data;
    char *out = malloc((size + 2) / 3 * 4 + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned v = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0u);
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        if (left > 1)
            *to++ = digits[v >> 6 & 63];
        else if (padded)
            *to++ = '=';
        if (left > 2)
            *to++ = digits[v & 63];
        else if (padded)
            *to++ = '=';
    }
    *to = 0;
    return out;
}

char *text_base64(const void *data, size_t size) {
    return encode64(data, size, base64_digits, true);
}

char *text_base64url(const void *data, size_t size) {
    return encode64(data, size, base64url_digits, false);
}

static int decode64(const char *text, size_t length, const char *digits, unsigned char **out, size_t *size) {
    if (length % 4 == 1)
        return -EINVAL;
    unsigned char *bytes = malloc(length / 4 * 3 + 4);
    if (!bytes)
        return -ENOMEM;
    unsigned value = 0, bits = 0;
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit) {
            free(bytes);
            return -EINVAL;
        }
        value = value << 6 | (unsigned)(digit - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[used++] = (unsigned char)(value >> bits);
        }
    }
    if (value & ((1u << bits) - 1)) { /* left-over bits must be zero, or one value would have several spellings */
        free(bytes);
        return -EINVAL;
    }
    bytes[used] = 0;
    *out = bytes;
    *size = used;
    return 0;
}

int text_base64_decode(const char *text, size_t length, unsigned char **out, size_t *size) {
    if (length % 4)
        return -EINVAL;
    for (int i = 0; i < 2 && length && text[length - 1] == '='; i++)
        length--;
    return decode64(text, length, base64_digits, out, size);
}

int text_base64url_decode(const char *text, size_t length, unsigned char **out, size_t *size) {
    return decode64(text, length, base64url_digits, out, size);
}

void random_bytes(void *out, size_t size) {
    unsigned char *to = out;
    while (size) {
        ssize_t n = getrandom(to, size, 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        to += n;
        size -= (size_t)n;
    }
}

void random_hex(char *out, size_t bytes) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte;
        random_bytes(&byte, 1);
        out[i * 2] = digits[byte >> 4];
        out[i * 2 + 1] = digits[byte & 15];
    }
    out[bytes * 2] = 0;
}
