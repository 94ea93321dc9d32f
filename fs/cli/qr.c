/* Addresses as QR codes in a terminal: two rows of modules in each line. */
#include "fs/cli/qr.h"

#include "base/buffer.h"
#include "base/cleanup.h"

#include <qrencode.h>
#include <stdbool.h>
#include <stddef.h>

enum { QUIET = 2 };            /* modules of margin; 4 by the standard, but a terminal has little room */
#define COLOURS "\x1b[30;107m" /* black on bright white */
#define PLAIN "\x1b[0m"

static bool is_dark(const QRcode *code, int x, int y) {
    return x >= 0 && y >= 0 && x < code->width && y < code->width && (code->data[y * code->width + x] & 1);
}

static const char *half_blocks(bool upper, bool lower) {
    if (upper)
        return lower ? "\u2588" : "\u2580";
    return lower ? "\u2584" : " ";
}

static int draw(const QRcode *code, struct buffer *out) {
    int r = 0;
    for (int y = -QUIET; !r && y < code->width + QUIET; y += 2) {
        r = buffer_append_text(out, "    " COLOURS);
        for (int x = -QUIET; !r && x < code->width + QUIET; x++)
            r = buffer_append_text(out, half_blocks(is_dark(code, x, y), is_dark(code, x, y + 1)));
        if (!r)
            r = buffer_append_text(out, PLAIN "\n");
    }
    return r;
}

char *qr_picture(const char *text) {
    AUTO_BUFFER struct buffer out = {0};
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
    if (!code)
        return NULL;
    int r = draw(code, &out);
    QRcode_free(code);
    return r ? NULL : buffer_take(&out);
}
