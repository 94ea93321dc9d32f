/* An issuer and a mapping server's configuration in one place on loopback, for tests: rotates refresh tokens, notices
 * when an old one is used, and counts. */
#pragma once

#include "http_stub.h"
#include "signer.h"

#include <pthread.h>
#include <stdbool.h>

struct fake_issuer {
    struct http_stub *stub;
    struct signer *signer; /* NULL: no ID tokens */
    char issuer[64];       /* with a slash at the end */

    pthread_mutex_t lock;
    /* protected by lock; set by the test */
    int life_s;       /* of access tokens; 100 */
    int token_status; /* 0: as it should; else this status with token_body */
    char token_body[256], token_headers[128];
    int token_delay_ms;
    int discovery_status; /* 0: 200 */
    bool gives_codes;     /* RFC 8628, at /device */
    int device_status;    /* 0: 200; else this, as a refusal */
    int pending;          /* polls before the code counts as typed */
    bool overlaps;        /* the refresh token before the newest is good as well */
    int clock_ahead_s;    /* before the machine's; of ID tokens */
    bool names_itself, keeps_refresh, strangers_key, no_refresh, no_id;
    char audience[64], configured_issuer[64], nonce[64], id_issuer[64], redirect[64];
    unsigned short ports[3];
    /* counted */
    int polls, refreshes, exchanges, revoked, reused, discoveries;
    int generation; /* the refresh token that is good is "refresh-GENERATION"; likewise access tokens */
    bool ended;     /* an old token was used, or it was revoked */
    char exchange_body[1024];
};

/* Bound, but answering only after fake_issuer_run. */
struct fake_issuer *fake_issuer_bind(void);
void fake_issuer_run(struct fake_issuer *fake);
void fake_issuer_stop(struct fake_issuer *fake);
const char *fake_issuer_server(const struct fake_issuer *fake); /* its base URL as a mapping server */
