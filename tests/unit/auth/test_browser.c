/* Tests of auth/browser.c with a program in the browser's place. */
#include "auth/browser.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void only_url_bearing_environments_are_likely(void **state) {
    (void)state;
    static const struct {
        const char *browser, *ssh, *display, *wayland;
        bool likely;
    } table[] = {
        {NULL, NULL, NULL, NULL, false},   {NULL, NULL, ":0", NULL, true},   {NULL, NULL, NULL, "wayland-0", true},
        {NULL, "1 2", ":10", NULL, false}, {"w3m", "1 2", NULL, NULL, true}, {"", NULL, "", "", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *names[] = {"BROWSER", "SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"};
        const char *values[] = {table[i].browser, table[i].ssh, table[i].display, table[i].wayland};
        unsetenv("SSH_TTY");
        for (size_t k = 0; k < 4; k++)
            if (values[k])
                setenv(names[k], values[k], 1);
            else
                unsetenv(names[k]);
        assert_int_equal(browser_is_likely(), table[i].likely);
    }
}

static char *wait_for_file(const char *path) {
    char *text = NULL;
    size_t size;
    for (int i = 0; i < 500; i++) {
        if (!file_read(path, 4096, &text, &size) && size)
            return text;
        free(text);
        text = NULL;
        clock_sleep_ms(10);
    }
    return NULL;
}

static void write_program(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static void it_is_started_away_from_us_with_the_address(void **state) {
    (void)state;
    char folder[] = "/tmp/pail-test-browser-XXXXXX";
    assert_non_null(mkdtemp(folder));
    AUTO_FREE char *program = text_format("%s/browser", folder), *out = text_format("%s/out", folder);
    AUTO_FREE char *list = text_format("%s/absent::%s", folder, program);
    AUTO_FREE char *script = text_format("#!/bin/sh\n"
                                         "(echo \"$#\"; echo \"$1\"; readlink /proc/$$/fd/0 /proc/$$/fd/2; "
                                         "ps -o sid= -p $$; grep SigBlk /proc/$$/status) > '%s.new' 2>/dev/null\n"
                                         "mv '%s.new' '%s'\n",
                                         out, out, out);
    write_program(program, script);
    setenv("BROWSER", list, 1);
    struct fault fault = {{0}};
    assert_int_equal(browser_open("https://a.example/?x=1&y=$(id);'", &fault), 0);
    AUTO_FREE char *text = wait_for_file(out);
    assert_non_null(text);
    assert_true(text_starts(text, "1\nhttps://a.example/?x=1&y=$(id);'\n/dev/null\n/dev/null\n"));
    AUTO_FREE char *our_session = text_format("\n%d\n", (int)getsid(0));
    assert_null(strstr(text, our_session));
    assert_non_null(strstr(text, "SigBlk:\t0000000000000000"));
    file_remove_tree(folder);
}

static void a_browser_that_is_not_there_is_told(void **state) {
    (void)state;
    setenv("BROWSER", "/nonexistent/a:/nonexistent/b", 1);
    struct fault fault = {{0}};
    assert_int_equal(browser_open("https://a.example/", &fault), -ENOENT);
    assert_non_null(strstr(fault.text, "browser"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_url_bearing_environments_are_likely),
        cmocka_unit_test(it_is_started_away_from_us_with_the_address),
        cmocka_unit_test(a_browser_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
