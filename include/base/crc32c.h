/* CRC-32C (Castagnoli, RFC 3720 B.4), by the CPU's instruction where there is one. crc starts at 0; a result can be
 * passed in again to go on. Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* The checksum of each of `count` blocks of `size` bytes that stand one behind the other; several times as fast as one
 * after the other. */
void crc32c_blocks(const void *data, size_t size, size_t count, uint32_t *out);
/* The portable one, for tests against the other. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);
