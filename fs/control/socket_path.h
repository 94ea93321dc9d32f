/* Addresses of Unix sockets in folders with long paths. */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

/* Good for bind and connect as long as *folder_fd (the caller closes it) is open. 0 or -errno. */
int socket_path_address(const char *path, struct sockaddr_un *address, int *folder_fd);
