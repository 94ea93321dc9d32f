/* Reflected CRCs by tables. */
#include "s3/crc.h"

#include <endian.h>
#include <string.h>

void crc_table_fill(struct crc_table *table, uint64_t polynomial) {
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ polynomial : crc >> 1;
        table->row[0][byte] = crc;
    }
    for (unsigned byte = 0; byte < 256; byte++)
        for (int step = 1; step < 8; step++) {
            uint64_t before = table->row[step - 1][byte];
            table->row[step][byte] = before >> 8 ^ table->row[0][before & 255];
        }
}

uint64_t crc_add(const struct crc_table *table, uint64_t state, const void *data, size_t size) {
    const unsigned char *at = data;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        word = le64toh(word) ^ state;
        state = 0;
        for (int step = 0; step < 8; step++)
            state ^= table->row[7 - step][word >> (8 * step) & 255];
    }
    for (; size; size--, at++)
        state = state >> 8 ^ table->row[0][(state ^ *at) & 255];
    return state;
}

/* a * b modulo the polynomial; the highest bit is the coefficient of x^0. */
static uint64_t multiply(uint64_t polynomial, unsigned bits, uint64_t a, uint64_t b) {
    uint64_t product = 0;
    for (uint64_t bit = (uint64_t)1 << (bits - 1); bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ polynomial : b >> 1;
    }
    return product;
}

uint64_t crc_join(uint64_t polynomial, unsigned bits, uint64_t first, uint64_t second, uint64_t second_size) {
    uint64_t power = (uint64_t)1 << (bits - 9); /* x^8: one byte further; squared for each bit of the size */
    for (; second_size; second_size >>= 1) {
        if (second_size & 1)
            first = multiply(polynomial, bits, first, power);
        power = multiply(polynomial, bits, power, power);
    }
    return first ^ second;
}
