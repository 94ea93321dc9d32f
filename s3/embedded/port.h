/* TCP ports of loopback. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One that nobody listens on right now, and that no outgoing connection will be given (below Linux's ephemeral range).
 * 0 or -errno. */
int port_find(uint16_t *port);
bool port_is_free(uint16_t port);
