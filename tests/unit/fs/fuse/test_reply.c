/* The table from our errors to errno: each row. */
#define FUSE_USE_VERSION 312
#include "fs/fuse/adapter_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_rows(void **state) {
    (void)state;
    static const struct {
        int result, expected;
    } rows[] = {
        {0, 0},
        {-ENOENT, ENOENT},
        {-ENOTEMPTY, ENOTEMPTY},
        {PAIL_OFFLINE, EHOSTUNREACH},
        {PAIL_LOGIN_REQUIRED, EACCES},
        {PAIL_DENIED, EACCES},
        {PAIL_GONE, ESTALE},
        {PAIL_NO_BUCKET, EIO},
        {PAIL_CONFLICT, EBUSY},
        {PAIL_QUOTA, ENOSPC},
        {PAIL_DISK_FULL, ENOSPC},
        {PAIL_DAMAGED, EIO},
        {PAIL_TOO_LARGE, EFBIG},
        {PAIL_ARCHIVED, EREMOTEIO},
        {PAIL_BUSY, EBUSY},
        {PAIL_UNSUPPORTED, EOPNOTSUPP},
        {PAIL_CANCELLED, EINTR},
        {PAIL_ERROR_END, EIO},
        {4711, EIO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(reply_errno(rows[i].result), rows[i].expected);
}

/* A pail_error added later must not become EIO by being forgotten. */
static void test_every_error_has_a_row(void **state) {
    (void)state;
    for (int error = 1; error < PAIL_ERROR_END; error++)
        if (error != PAIL_DAMAGED && error != PAIL_NO_BUCKET)
            assert_int_not_equal(reply_errno(error), EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_every_error_has_a_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
