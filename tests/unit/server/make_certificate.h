/* TLS certificates of a test's own, each signed by itself. Everything aborts on trouble of this machine. */
#pragma once

#include <stdint.h>

/* PEM texts, owned by the caller. dns: the name it is for, or an address in text form. */
void make_certificate(const char *dns, int64_t begins_s, int64_t ends_s, char **chain, char **key);
