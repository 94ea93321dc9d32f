/* An HTTP client of bytes and sockets, for tests of what a well-behaved client never sends. Everything aborts on
 * trouble of this machine. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int raw_connect(uint16_t port);
void raw_send(int fd, const char *text);
/* All of it; false when the peer has closed. */
bool raw_send_bytes(int fd, const void *data, size_t size);
/* One answer with Content-Length (or none for HEAD, 204, 304): its status, 0 when the connection ended first. head gets
 * the header lines, body the body; both may be NULL. */
int raw_receive(int fd, bool without_body, struct buffer *head, struct buffer *body);
/* Whether the peer has closed within ms. */
bool raw_is_closed(int fd, int ms);
/* One request on a connection of its own. */
int raw_ask(uint16_t port, const char *text, struct buffer *head, struct buffer *body);
