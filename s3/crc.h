/* Reflected CRCs of up to 64 bits by tables, eight bytes a step: CRC-32 (ISO 3309, as in zlib) and CRC-64/NVME, which
 * newer AWS SDKs send. (CRC-32C has its own, faster home in base/crc32c.h.) Thread-safe once made. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CRC_POLYNOMIAL_32 0xEDB88320u
#define CRC_POLYNOMIAL_32C 0x82F63B78u
#define CRC_POLYNOMIAL_64NVME 0x9A6C9329AC4BC9B5u

struct crc_table {
    uint64_t row[8][256];
};

void crc_table_fill(struct crc_table *table, uint64_t polynomial);
/* state: all ones of the width at the start; the CRC is its complement at the end. */
uint64_t crc_add(const struct crc_table *table, uint64_t state, const void *data, size_t size);
/* The CRC (complemented, as S3 sends it) of two pieces from theirs; second_size: bytes of the second. bits: 32 or 64.
 */
uint64_t crc_join(uint64_t polynomial, unsigned bits, uint64_t first, uint64_t second, uint64_t second_size);
