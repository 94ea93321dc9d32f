/* Tests of base/process: a process with secrets leaves no core. */
#include "base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_crash_leaves_no_core(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit;
        process_protect_secrets();
        if (getrlimit(RLIMIT_CORE, &limit) || limit.rlim_cur || limit.rlim_max)
            _exit(1);
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_false(WCOREDUMP(status));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_crash_leaves_no_core)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
