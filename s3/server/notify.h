/* Telling systemd (sd_notify(3)'s protocol) over $NOTIFY_SOCKET. */
#pragma once

/* "READY=1", "STOPPING=1", "STATUS=...". Does nothing without the variable. */
void notify_send(const char *state);
