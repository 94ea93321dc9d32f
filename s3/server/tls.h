/* The TLS files of the settings: read, checked before they are used, and what is doubtful about them. Thread-safe. */
#pragma once

#include "base/error.h"

struct config;

struct tls_files {
    char *chain, *key; /* owned PEM texts; NULL without TLS */
};
/* Both files, which are a certificate and its key. 0, or an error with a fault that names setting and file. */
int tls_read(const struct config *config, struct tls_files *out, struct fault *fault);
void tls_files_finish(struct tls_files *files); /* wipes the key */
/* One line for each: it ends within 14 days, has ended or not begun, or is for another host than public_url's. */
void tls_doubts(const struct config *config, const struct tls_files *files,
                void (*say)(void *context, const char *line), void *context);
