/* Addresses as QR codes in a terminal. Thread-safe. */
#pragma once

/* Lines of UTF-8 half blocks, dark on light whatever the terminal's colours. The caller frees. NULL: too long, or no
 * memory. */
char *qr_picture(const char *text);
