/* A settings file. */
#include "fuzz.h"
#include "s3/server/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config config;
    struct config_problems problems = {0};
    char path[40];
    int fd = memfd_create("settings", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || config_init(&config))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    config_read_file(&config, path, &problems);
    config_check(&config, &problems);
    config_finish(&config);
    config_problems_finish(&problems);
    close(fd);
    return 0;
}
