/* What a demo keeps of itself: its ports and its keys, random for each installation, 0600. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct demo_settings {
    uint16_t server_port, issuer_port, store_port; /* 0: not chosen yet */
    char *access_key, *secret_key;                 /* owned; the store's */
    char *login_secret;                            /* owned; also in FOLDER/login-secret, for `pail demo` */
};
void demo_settings_finish(struct demo_settings *settings); /* wipes */

/* Reads FOLDER/demo.json and FOLDER/login-secret, or makes them. */
int demo_settings_open(struct demo_settings *settings, const char *folder, struct fault *fault);
int demo_settings_save(const struct demo_settings *settings, const char *folder, struct fault *fault);
