/* Bytes as people write and read them. Thread-safe. */
#pragma once

#include <stdint.h>

/* A whole number, alone or with K, M, G, T, P, KiB, MiB, ... (powers of 1,024) or KB, MB, ... (of 1,000), with or
 * without a blank between, in any case. -EINVAL, -ERANGE beyond INT64_MAX. */
int size_parse(const char *text, uint64_t *bytes);
const char *size_format(uint64_t bytes, char out[16]); /* "1.5 GiB"; returns out */
