/* Logging in at the demo's own issuer: with the page that a browser opens, or by walking the same pages over HTTP. */
#pragma once

#include "auth/account.h"
#include "fs/cli/command.h"

#include <stdatomic.h>

struct demo_login {
    struct cli *cli;
    const char *server, *issuer; /* borrowed; the issuer ends with a slash */
    const char *folder;          /* of the demo: its login-secret is read, its login page written, there */
    const char *email;           /* NULL: a browser */
    bool no_browser;             /* only print the address */
    _Atomic bool *cancelled;     /* borrowed; also set when the walk fails */
};

/* 0 and *out filled: logged in now, or already. Else as login_run. */
int demo_login_run(struct demo_login *login, struct account *out, struct fault *fault);
