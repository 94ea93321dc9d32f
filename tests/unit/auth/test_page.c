/* Tests of auth/page.c. */
#include "auth/page.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_text_is_escaped(void **state) {
    (void)state;
    static const char bad[] = "<script>alert(1)</script>\"'&<img src=x onerror=y>";
    AUTO_FREE char *page = page_render(false, bad, bad, bad);
    assert_non_null(page);
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<img"));
    const char *at = page;
    for (int i = 0; i < 4; i++) { /* the title twice, text, detail */
        at = strstr(at, "&lt;script&gt;alert(1)&lt;/script&gt;");
        assert_non_null(at);
        at++;
    }
}

static void it_stands_alone_in_light_and_dark(void **state) {
    (void)state;
    AUTO_FREE char *page = page_render(true, "Title", "Text", NULL);
    assert_non_null(strstr(page, "prefers-color-scheme:dark"));
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "url("));
    assert_non_null(strstr(page, "id=\"success\""));
    AUTO_FREE char *failure = page_render(false, "Title", "Text", "More");
    assert_non_null(strstr(failure, "id=\"failure\""));
    assert_non_null(strstr(failure, "More"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_is_escaped),
        cmocka_unit_test(it_stands_alone_in_light_and_dark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
