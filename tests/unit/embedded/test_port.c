/* s3/embedded/port and problem: free ports, and a text for every problem. */
#include "s3/embedded/port.h"

#include "base/cleanup.h"
#include "s3/embedded/problem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void a_port_in_use_is_not_free(void **state) {
    (void)state;
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_false(port_is_free(ntohs(address.sin_port)));
    assert_false(port_is_free(0));
}

static void finds_one(void **state) {
    (void)state;
    uint16_t port = 0;
    assert_int_equal(port_find(&port), 0);
    assert_in_range(port, 20000, 31999);
}

static void every_problem_has_its_text(void **state) {
    (void)state;
    for (int problem = 1; problem < PROBLEM_END; problem++) {
        const struct problem_text *text = problem_text(problem);
        assert_in_range(text->status, 300, 599);
        assert_true(text->code && *text->code && text->message && *text->message);
    }
    assert_int_equal(problem_text(-EIO)->status, 500);
    assert_int_equal(problem_text(-ENOSPC)->status, 507);
    assert_int_equal(problem_text(PROBLEM_PRECONDITION_FAILED)->status, 412);
    assert_int_equal(problem_text(PROBLEM_END)->status, 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_in_use_is_not_free),
        cmocka_unit_test(finds_one),
        cmocka_unit_test(every_problem_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
