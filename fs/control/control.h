/* The running mount's Unix socket, asked by the command line and by the desktop. One JSON object a line each way.
 *
 *   {"command":"status","limit":N?}    one answer: see control_status() below
 *   {"command":"sync","path":P?}       what is below P (relative to the mount; "" all) is sent: progress lines
 *                                      {"unsent":N,"bytes":N,"sent":N}, then {"done":true,"error":N,"message":S}
 *   {"command":"wait"}                 progress lines until the process has sent everything and ends: the connection
 * closes after
 *                                      {"done":true,...}; for the time after unmounting
 *   {"command":"release"}              a draining process stops where it is, so that another mount can take over; a
 * mounted one answers with error -EBUSY
 *   {"command":"retry"}                asks the network again at once
 * Anything else: {"done":true,"error":-EINVAL,"message":S}. error is 0, -errno or enum pail_error. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "fs/content/content.h"
#include "fs/sync/sync.h"
#include "fs/tree/tree.h"

#include <stdbool.h>

struct control;

struct control_options {
    const char *path;  /* of the socket; in a folder that only the user can enter */
    struct tree *tree; /* borrowed, as the two below */
    struct content *content;
    struct sync *sync;
    void *context;
    /* Adds what only the mount knows: account, folder, state, server, quota. */
    void (*describe)(void *context, struct json *status);
    /* Records what open files have written, before a sync. */
    int (*commit)(void *context);
    /* Ends the draining. -EBUSY while mounted. */
    int (*release)(void *context);
};

/* Replaces a socket that nobody answers on. The caller holds the state folder's lock, so nobody does. */
int control_create(struct control **out, const struct control_options *options, struct fault *fault);
/* Cuts every connection; waits for their threads. Before: the done line of "wait" is sent with this result. */
void control_destroy(struct control *control, int result);

/* ---- the asking side ---- */

/* Connects, sends the request (taken over) and hands each answer to each() until the last ("done" or the connection's
 * end) or each() gives non-zero. -ENOTCONN if nobody answers there, -ECONNRESET if it ended first. Returns what each
 * gave, else the answer's error, with its message. */
int control_ask(const char *path, struct json *request, int (*each)(void *context, const struct json *line),
                void *context, struct fault *fault);
/* Whether the process that was asked (control_ask's error) was not there, or ended before its last word. */
bool control_is_gone(int error);
