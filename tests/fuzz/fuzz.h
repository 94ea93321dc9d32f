/* What every target has, with libFuzzer's name and meaning: 0, whatever the bytes are; a fault ends the process. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of the bytes with a NUL behind them, as the parsers' callers hand them over; the caller frees. */
char *fuzz_text(const uint8_t *data, size_t size);
