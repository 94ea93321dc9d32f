/* What commands write: messages, tables, a progress line, sizes, JSON. Colour and progress stand on terminals only;
 * names from outside are made harmless before they reach one. Not thread-safe. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "fs/cli/command.h"

#include <stddef.h>
#include <stdint.h>

enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_GOOD, CLI_WARN, CLI_BAD };

/* Escape sequences for a style and back to plain; "" without colour. */
const char *cli_style_start(const struct cli *cli, enum cli_style style);
const char *cli_style_end(const struct cli *cli, enum cli_style style);

/* "pail: text" on err. */
void cli_warn(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says what failed: the fault's text, or error_text() when it has none. Returns the exit code for error. */
int cli_fail(struct cli *cli, int error, const struct fault *fault);

/* A copy in which control bytes and invalid UTF-8 are shown as \xNN, so that a name cannot drive the terminal. The
 * caller frees. */
char *cli_printable(const char *name);

/* "3 s", "2 min 5 s", "1 h 4 min". Returns out. */
const char *cli_duration(int64_t seconds, char out[32]);

/* Prints indented JSON and a newline; takes ownership. The exit code. */
int cli_print_json(struct cli *cli, struct json *json);

/* A table with aligned columns and no frame. Cells are copied. */
struct cli_table {
    char **cells; /* owned, as each cell */
    size_t columns, count;
    unsigned right; /* bit i: column i is set to the right */
};
int cli_table_add(struct cli_table *table, const char *const *cells);
void cli_table_print(struct cli *cli, const struct cli_table *table, bool first_is_heading);
void cli_table_finish(struct cli_table *table);

/* One line that is written over and over: a bar, what it is about, and the rate. Nothing at all off a terminal. */
struct cli_progress {
    struct cli *cli;
    int64_t started_ms, shown_ms;
    uint64_t first_done;
    bool visible, started;
};
void cli_progress_show(struct cli_progress *progress, uint64_t done, uint64_t total, const char *text);
void cli_progress_end(struct cli_progress *progress); /* wipes the line */
