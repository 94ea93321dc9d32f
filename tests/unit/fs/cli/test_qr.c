/* Tests of fs/cli/qr: a picture that a camera can read. */
#include "base/cleanup.h"
#include "base/text.h"
#include "fs/cli/qr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 120 };

struct modules {
    bool dark[MOST][MOST];
    int width, height;
};

/* What the half blocks show; colours and indentation left out. */
static void read_line(struct modules *modules, const char *line) {
    int x = 0;
    for (const char *at = strstr(line, "107m") + 4; *at && *at != 0x1b; x++) {
        bool upper = text_starts(at, "\u2588") || text_starts(at, "\u2580");
        bool lower = text_starts(at, "\u2588") || text_starts(at, "\u2584");
        modules->dark[modules->height][x] = upper;
        modules->dark[modules->height + 1][x] = lower;
        at += *at == ' ' ? 1 : 3;
    }
    modules->width = x;
    modules->height += 2;
}

/* ISO/IEC 18004 6.3.3: the square that a camera looks for, at three of the corners. */
static void assert_finder(const struct modules *modules, int left, int top) {
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 7; x++) {
            bool ring = x == 0 || x == 6 || y == 0 || y == 6, core = x > 1 && x < 5 && y > 1 && y < 5;
            assert_int_equal(modules->dark[top + y][left + x], ring || core);
        }
}

static void it_has_the_squares_that_a_camera_looks_for(void **state) {
    (void)state;
    AUTO_FREE char *picture = qr_picture("https://tenant.eu.auth0.example/activate?user_code=WDJB-MJHT");
    assert_non_null(picture);
    struct modules *modules = calloc(1, sizeof *modules);
    for (char *rest = picture, *line; (line = strsep(&rest, "\n")) && *line;)
        read_line(modules, line);
    int size = modules->width - 4; /* without the margin */
    assert_int_equal((size - 17) % 4, 0);
    assert_in_range(modules->height, modules->width, modules->width + 1);
    assert_finder(modules, 2, 2);
    assert_finder(modules, 2 + size - 7, 2);
    assert_finder(modules, 2, 2 + size - 7);
    for (int i = 0; i < modules->width; i++)
        assert_false(modules->dark[0][i] || modules->dark[1][i] || modules->dark[i][0] || modules->dark[i][1]);
    free(modules);
}

static void what_is_too_long_has_no_picture(void **state) {
    (void)state;
    AUTO_FREE char *text = calloc(1, 4001);
    memset(text, 'x', 4000);
    assert_null(qr_picture(text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_the_squares_that_a_camera_looks_for),
        cmocka_unit_test(what_is_too_long_has_no_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
