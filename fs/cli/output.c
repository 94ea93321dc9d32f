/* Messages, tables, the progress line, sizes and JSON, as commands write them. */
#include "fs/cli/output.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>

static const char *const styles[] = {
    [CLI_BOLD] = "\033[1m",  [CLI_DIM] = "\033[2m",  [CLI_GOOD] = "\033[32m",
    [CLI_WARN] = "\033[33m", [CLI_BAD] = "\033[31m",
};

const char *cli_style_start(const struct cli *cli, enum cli_style style) {
    return cli->colour && styles[style] ? styles[style] : "";
}

const char *cli_style_end(const struct cli *cli, enum cli_style style) {
    return cli->colour && styles[style] ? "\033[0m" : "";
}

void cli_warn(struct cli *cli, const char *format, ...) {
    va_list arguments;
    fputs("pail: ", cli->err);
    va_start(arguments, format);
    vfprintf(cli->err, format, arguments);
    va_end(arguments);
    fputc('\n', cli->err);
}

int cli_fail(struct cli *cli, int error, const struct fault *fault) {
    const char *text = fault && fault->text[0] ? fault->text : error_text(error);
    AUTO_FREE char *safe = cli_printable(text);
    fprintf(cli->err, "pail: %s%s%s\n", cli_style_start(cli, CLI_BAD), safe ? safe : text, cli_style_end(cli, CLI_BAD));
    return cli_exit_code(error);
}

/* The bytes of the valid character at text, 0 for one that must be escaped. */
static size_t printable_length(const char *text) {
    unsigned char c = (unsigned char)*text;
    if (c < 0x20 || c == 0x7f)
        return 0;
    size_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (strnlen(text, length) < length || !text_is_utf8(text, length))
        return 0;
    return c == 0xc2 && (unsigned char)text[1] < 0xa0 ? 0 : length; /* C1 control characters */
}

char *cli_printable(const char *name) {
    AUTO_BUFFER struct buffer out = {0};
    while (*name) {
        size_t length = printable_length(name);
        int r = length ? buffer_append(&out, name, length)
                       : buffer_append_format(&out, "\\x%02x", (unsigned)(unsigned char)*name);
        if (r)
            return NULL;
        name += length ? length : 1;
    }
    return buffer_take(&out);
}

const char *cli_duration(int64_t seconds, char out[32]) {
    if (seconds < 60)
        snprintf(out, 32, "%d s", (int)seconds);
    else if (seconds < 3600)
        snprintf(out, 32, "%d min %d s", (int)(seconds / 60), (int)(seconds % 60));
    else
        snprintf(out, 32, "%lld h %d min", (long long)(seconds / 3600), (int)(seconds % 3600 / 60));
    return out;
}

int cli_print_json(struct cli *cli, struct json *json) {
    AUTO_FREE char *text = json_print_pretty(json);
    json_destroy(json);
    if (!text)
        return cli_fail(cli, -ENOMEM, NULL);
    fprintf(cli->out, "%s\n", text);
    return CLI_EXIT_FINE;
}

int cli_table_add(struct cli_table *table, const char *const *cells) {
    char **grown = reallocarray(table->cells, table->count + table->columns, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    table->cells = grown;
    for (size_t i = 0; i < table->columns; i++)
        if (!(grown[table->count + i] = cli_printable(cells[i]))) {
            while (i--)
                free(grown[table->count + i]);
            return -ENOMEM;
        }
    table->count += table->columns;
    return 0;
}

/* Columns on the terminal; a locale that cannot tell counts characters. */
static int width_of(const char *text) {
    int width = 0;
    mbstate_t state = {0};
    for (size_t left = strlen(text); left;) {
        wchar_t c;
        size_t length = mbrtowc(&c, text, left, &state);
        if (length == 0 || length > left) {
            width += ((unsigned char)*text & 0xc0) != 0x80;
            length = 1;
            state = (mbstate_t){0};
        } else {
            int one = wcwidth(c);
            width += one < 0 ? 1 : one;
        }
        text += length;
        left -= length;
    }
    return width;
}

static int column_width(const struct cli_table *table, size_t column) {
    int widest = 0;
    for (size_t i = column; i < table->count; i += table->columns) {
        int width = width_of(table->cells[i]);
        widest = width > widest ? width : widest;
    }
    return widest;
}

void cli_table_print(struct cli *cli, const struct cli_table *table, bool first_is_heading) {
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        bool last = column + 1 == table->columns, right = table->right >> column & 1;
        enum cli_style style = first_is_heading && i < table->columns ? CLI_BOLD : CLI_PLAIN;
        int pad = column_width(table, column) - width_of(table->cells[i]);
        fprintf(cli->out, "%*s%s%s%s", right ? pad : 0, "", cli_style_start(cli, style), table->cells[i],
                cli_style_end(cli, style));
        fprintf(cli->out, "%*s%s", right || last ? 0 : pad, "", last ? "\n" : "  ");
    }
}

void cli_table_finish(struct cli_table *table) {
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->count = 0;
}

static int terminal_columns(FILE *stream) {
    struct winsize size;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

static void draw_bar(FILE *to, uint64_t done, uint64_t total, int cells) {
    int full = total ? (int)((double)done / (double)total * cells) : 0;
    full = full > cells ? cells : full;
    fputc('[', to);
    for (int i = 0; i < cells; i++)
        fputc(i < full ? '#' : '-', to);
    fputc(']', to);
}

void cli_progress_show(struct cli_progress *progress, uint64_t done, uint64_t total, const char *text) {
    struct cli *cli = progress->cli;
    int64_t now = clock_monotonic_ms();
    if (!cli->err_is_terminal || (progress->visible && now - progress->shown_ms < 100))
        return;
    if (!progress->started)
        *progress = (struct cli_progress){.cli = cli, .started = true, .started_ms = now, .first_done = done};
    progress->shown_ms = now;
    progress->visible = true;
    int64_t elapsed = now - progress->started_ms;
    double rate =
        elapsed > 0 && done > progress->first_done ? (double)(done - progress->first_done) * 1000 / (double)elapsed : 0;
    char sizes[3][16];
    AUTO_FREE char *tail = text_format(" %s of %s  %s/s  ", size_format(done, sizes[0]), size_format(total, sizes[1]),
                                       size_format((uint64_t)rate, sizes[2]));
    AUTO_FREE char *safe = cli_printable(text);
    if (!tail || !safe)
        return;
    int room = terminal_columns(cli->err) - 1 - 22 - (int)strlen(tail);
    fputc('\r', cli->err);
    draw_bar(cli->err, done, total, 20);
    fprintf(cli->err, "%s%.*s\033[K", tail, (int)text_cut_utf8(safe, strlen(safe), room > 0 ? (size_t)room : 0), safe);
    fflush(cli->err);
}

void cli_progress_end(struct cli_progress *progress) {
    if (progress->visible)
        fputs("\r\033[K", progress->cli->err);
    progress->visible = false;
    fflush(progress->cli->err);
}
