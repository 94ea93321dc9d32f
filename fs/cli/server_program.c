/* Running pail-server in place of pail. */
#include "fs/cli/server_program.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "fs/cli/output.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

char *cli_server_beside(void) {
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size <= 0)
        return NULL;
    self[size] = 0;
    char *slash = strrchr(self, '/');
    AUTO_FREE char *beside = text_format("%.*s/pail-server", (int)(slash - self), self);
    if (!beside || access(beside, X_OK) == 0)
        return TAKE(beside);
    /* In a build folder the two stand in the folders of their sources. */
    AUTO_FREE char *built = text_format("%.*s/../../s3/server/pail-server", (int)(slash - self), self);
    return built && access(built, X_OK) == 0 ? TAKE(built) : NULL;
}

int cli_exec_server(struct cli *cli, char **arguments) {
    AUTO_FREE char *beside = cli_server_beside();
    fflush(NULL);
    if (beside)
        execv(beside, arguments);
    else
        execvp("pail-server", arguments);
    int error = -errno;
    struct fault fault;
    if (error == -ENOENT)
        fault_set(&fault, error,
                  "pail-server is not installed: it belongs beside pail or in PATH (package pail-server)");
    else
        fault_set(&fault, error, "%s cannot be started: %s", beside ? beside : "pail-server", error_text(error));
    return cli_fail(cli, error, &fault);
}
