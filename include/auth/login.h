/* Logging in and out: what `pail login`, `pail logout` and `pail demo` do. Not thread-safe; one at a time. */
#pragma once

#include "auth/account.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>

enum login_method {
    LOGIN_AS_FITS, /* the browser; without a screen of the person's, or over SSH, a code if the issuer gives one */
    LOGIN_BY_CODE, /* RFC 8628: a short code, typed in a browser on any machine */
};

struct login_options {
    const char *server;   /* base URL */
    const char *ca_file;  /* NULL: the system's */
    const char *audience; /* allowed by hand (--audience); NULL: it must be of the server's origin */
    enum account_vault vault;
    enum login_method method;
    bool no_browser; /* only print the address: LOGIN_AS_FITS is the browser then */
    bool another;    /* the issuer is to ask who it is, whoever is logged in to it in the browser */
    bool signup;     /* begin at the page where a new person registers */
    /* An address that the person is to open on another device; whole: no code needs to be typed there. May be NULL. */
    void (*show_link)(void *context, const char *url, bool whole);
    /* Opens the address instead of the system's browser when not NULL (`pail demo`). 0 or an error as fault says. */
    int (*open)(void *context, const char *url, struct fault *fault);
    /* Tells the person something: the address, the issuer, that we are waiting. */
    void (*say)(void *context, const char *text);
    /* Whether the person agrees that this server's issuer is another one than before. NULL: no. */
    bool (*confirm)(void *context, const char *question);
    /* What the person came for, once the login is kept and before the browser is told how it ended. *fault says why
     * that failed; the login stays. NULL: nothing. */
    int (*arrived)(void *context, const struct account *account, struct fault *fault);
    void *context;
    const _Atomic bool *cancelled; /* set by ^C */
    int timeout_s;                 /* 0: 300; for a code, as long as it lives */
};

/* 0 and *out filled and saved, whatever `arrived` gave. PAIL_OFFLINE, PAIL_DENIED, PAIL_CANCELLED, -ETIMEDOUT, ... with
 * a fault for the person.
 */
int login_run(const struct login_options *options, struct account *out, struct fault *fault);
/* The base URL that a person meant: https:// before a bare host, lower-case origin, no slash at the end. The caller
 * frees; NULL with a fault when it is none, or plain http to anything but loopback. */
char *login_server_url(const char *text, struct fault *fault);
/* Revokes the refresh token at the issuer and wipes the vault. A revocation that fails is not fatal: 0, and
 * fault's text says it. */
int login_end(const struct account *account, struct fault *fault);
