/* Bytes as people write and read them. */
#include "base/size.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char units[] = "KMGTPE";

/* How often, and by what, the number is multiplied. */
static int parse_unit(const char *text, int *times, unsigned *factor) {
    const char *unit = *text ? strchr(units, *text & ~0x20) : NULL;
    *times = unit ? (int)(unit - units) + 1 : 0;
    *factor = 1024;
    if (!*text)
        return 0;
    if (!unit)
        return strcasecmp(text, "B") ? -EINVAL : 0;
    if (!strcasecmp(text + 1, "B"))
        *factor = 1000;
    return !text[1] || *factor == 1000 || !strcasecmp(text + 1, "iB") ? 0 : -EINVAL;
}

int size_parse(const char *text, uint64_t *bytes) {
    char digits[24] = "";
    size_t length = strspn(text, "0123456789");
    int times;
    unsigned factor;
    if (length >= sizeof digits)
        return -ERANGE;
    memcpy(digits, text, length);
    const char *rest = text + length;
    int error = parse_unit(rest + (*rest == ' '), &times, &factor);
    uint64_t value = 0;
    if (!error && !(*rest == ' ' && !rest[1]))
        error = text_parse_u64(digits, &value);
    else if (!error)
        error = -EINVAL;
    for (; !error && times; times--)
        if (__builtin_mul_overflow(value, factor, &value))
            return -ERANGE;
    if (error || value > INT64_MAX)
        return error ? error : -ERANGE;
    *bytes = value;
    return 0;
}

const char *size_format(uint64_t bytes, char out[16]) {
    if (bytes < 1024) {
        snprintf(out, 16, "%u B", (unsigned)bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    int unit = 0;
    for (; value >= 1023.95 && unit < 5; unit++)
        value /= 1024;
    snprintf(out, 16, "%.1f %ciB", value, units[unit]);
    return out;
}
