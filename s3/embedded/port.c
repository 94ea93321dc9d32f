/* TCP ports of loopback. */
#include "s3/embedded/port.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define FIRST 20000u
#define COUNT 12000u

/* 0 or -errno. */
static int try_port(uint16_t port) {
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int yes = 1; /* connections of an earlier run that are being forgotten do not count */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1))
        return -errno;
    return 0;
}

int port_find(uint16_t *port) {
    int r = -EADDRINUSE;
    for (int tries = 0; r == -EADDRINUSE && tries < 200; tries++) {
        uint32_t random;
        random_bytes(&random, sizeof random);
        *port = (uint16_t)(FIRST + random % COUNT);
        r = try_port(*port);
    }
    return r;
}

bool port_is_free(uint16_t port) {
    return port && try_port(port) == 0;
}
