/* Every exit code of pail, and what each tells a script or systemd. pail(1) has the same list. */
#pragma once

enum cli_exit {
    CLI_EXIT_FINE = 0,        /* done */
    CLI_EXIT_FAILED = 1,      /* it could not be done; the message says why and what to do */
    CLI_EXIT_USAGE = 2,       /* the command line is wrong; nothing was done */
    CLI_EXIT_LOGIN = 3,       /* `pail login` is needed first; a service manager must not start again by itself */
    CLI_EXIT_OFFLINE = 4,     /* server, issuer or store did not answer; the same again later may work */
    CLI_EXIT_DENIED = 5,      /* the account may not do this */
    CLI_EXIT_NOT_MOUNTED = 6, /* no mount there to talk to */
    CLI_EXIT_UNSENT = 7,      /* something is not in the bucket yet; nothing is lost, `pail status` lists it */
    CLI_EXIT_CANCELLED = 130, /* ended by ^C */
};

/* The exit code for any return value of ours: 0, -errno or enum pail_error. */
int cli_exit_code(int error);
