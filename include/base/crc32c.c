/* CRC-32C by SSE4.2 or ARMv8 instructions, with a table for the rest. */
#include "base/crc32c.h"

#include <string.h>

/* One row suffices: a CPU without the instruction is rare, and its speed is not what we tune for. */
static uint32_t step(uint32_t crc) {
    for (int i = 0; i < 8; i++)
        crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    return crc;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size) {
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++)
        table[i] = step(i);
    const unsigned char *p = data;
    crc = ~crc;
    while (size--)
        crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *data, size_t size) {
    const unsigned char *p = data;
    uint64_t value = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        value = __builtin_ia32_crc32di(value, word);
    }
    uint32_t rest = (uint32_t)value;
    while (size--)
        rest = __builtin_ia32_crc32qi(rest, *p++);
    return ~rest;
}

/* The instruction takes three cycles but a new one can start each cycle: three blocks side by side. size: a multiple of
 * 8. */
__attribute__((target("sse4.2"))) static void three_by_instruction(const unsigned char *p, size_t size, uint32_t *out) {
    uint64_t a = ~0u, b = ~0u, c = ~0u;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t words[3];
        memcpy(&words[0], p + i, 8);
        memcpy(&words[1], p + size + i, 8);
        memcpy(&words[2], p + 2 * size + i, 8);
        a = __builtin_ia32_crc32di(a, words[0]);
        b = __builtin_ia32_crc32di(b, words[1]);
        c = __builtin_ia32_crc32di(c, words[2]);
    }
    out[0] = ~(uint32_t)a;
    out[1] = ~(uint32_t)b;
    out[2] = ~(uint32_t)c;
}

void crc32c_blocks(const void *data, size_t size, size_t count, uint32_t *out) {
    const unsigned char *p = data;
    size_t i = 0;
    if (size % 8 == 0 && __builtin_cpu_supports("sse4.2"))
        for (; count - i >= 3; i += 3)
            three_by_instruction(p + i * size, size, out + i);
    for (; i < count; i++)
        out[i] = crc32c(0, p + i * size, size);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, data, size) : crc32c_portable(crc, data, size);
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    const unsigned char *p = data;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    while (size--)
        crc = __crc32cb(crc, *p++);
    return ~crc;
}
#else
uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    return crc32c_portable(crc, data, size);
}
#endif

#if !defined(__x86_64__)
void crc32c_blocks(const void *data, size_t size, size_t count, uint32_t *out) {
    for (size_t i = 0; i < count; i++)
        out[i] = crc32c(0, (const unsigned char *)data + i * size, size);
}
#endif
