/* From an error to the exit code of pail: the only such table. */
#include "fs/cli/exit_code.h"

#include "base/error.h"

int cli_exit_code(int error) {
    switch (error) {
    case 0:
        return CLI_EXIT_FINE;
    case PAIL_LOGIN_REQUIRED:
        return CLI_EXIT_LOGIN;
    case PAIL_OFFLINE:
    case -EHOSTUNREACH:
    case -ETIMEDOUT:
        return CLI_EXIT_OFFLINE;
    case PAIL_DENIED:
        return CLI_EXIT_DENIED;
    case PAIL_CANCELLED:
    case -EINTR:
        return CLI_EXIT_CANCELLED;
    case -ENOTCONN:
        return CLI_EXIT_NOT_MOUNTED;
    default:
        return CLI_EXIT_FAILED;
    }
}
