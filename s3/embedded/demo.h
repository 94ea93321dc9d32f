/* `pail-server --demo`: store, login issuer and mapping server in one process, for one person on one machine. */
#pragma once

/* Everything that pail-server does with --demo; returns its exit code. */
int demo_main(int count, char **arguments);
