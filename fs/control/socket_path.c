/* Unix sockets in folders whose path may be longer than the 107 bytes that an address holds: through /proc/self/fd. */
#include "fs/control/socket_path.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

int socket_path_address(const char *path, struct sockaddr_un *address, int *folder_fd) {
    AUTO_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    char *slash = strrchr(copy, '/');
    if (!slash || slash == copy)
        return -EINVAL;
    *slash = 0;
    AUTO_CLOSE int fd = open(copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int size = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", fd, slash + 1);
    if (size < 0 || (size_t)size >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    *folder_fd = fd;
    fd = -1;
    return 0;
}
