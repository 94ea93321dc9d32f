/* The cryptography of SigV4: SHA-256, HMAC, and the key that is derived for a day. In sign.c; also used by
 * sign_check.c. */
#pragma once

#include "s3/sign.h"

#include <stddef.h>

#define SIGN_ALGORITHM "AWS4-HMAC-SHA256"

int sign_key_hash(struct sign_cache *cache, const void *data, size_t size, char hex[65]);
/* day: YYYYMMDD. */
int sign_key_derive(struct sign_cache *cache, const struct sign_credentials *credentials, const char day[9],
                    unsigned char key[32]);
/* The signature of a text that is ready to be signed. */
int sign_key_sign(struct sign_cache *cache, const unsigned char key[32], const void *text, size_t size, char hex[65]);
/* That of a canonical request. date: YYYYMMDDTHHMMSSZ. */
int sign_key_sign_request(struct sign_cache *cache, const unsigned char key[32], const char *date, const char *scope,
                          const void *canonical, size_t size, char hex[65]);
