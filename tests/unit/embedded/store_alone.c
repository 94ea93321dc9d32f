/* The embedded store by itself, for tests: store_alone FOLDER [PORT]. Says where it is in one line of JSON; ends on
 * SIGTERM, SIGINT, or when its standard input ends. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/local_store.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

static void wait_for_end(int signals) {
    struct pollfd waits[] = {{.fd = signals, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    for (;;) {
        char byte;
        if (poll(waits, 2, -1) < 0)
            continue;
        if (waits[0].revents || (waits[1].revents && read(STDIN_FILENO, &byte, 1) < 1))
            return;
    }
}

int main(int count, char **arguments) {
    uint64_t port = 0;
    sigset_t ends;
    if (count < 2 || (count > 2 && text_parse_u64(arguments[2], &port)) || port > 65535) {
        fprintf(stderr, "usage: store_alone FOLDER [PORT]\n");
        return 2;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    AUTO_CLOSE int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    struct local_store_options options = {.folder = arguments[1],
                                          .port = (uint16_t)port,
                                          .access_key = "PAILTESTKEY",
                                          .secret_key = "pail/test+secret",
                                          .region = "eu-test-1"};
    struct local_store *store = NULL;
    struct fault fault = {0};
    if (local_store_create(&store, &options, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    printf("{\"endpoint\":\"http://127.0.0.1:%u\",\"access_key\":\"%s\",\"secret_key\":\"%s\",\"region\":\"%s\"}\n",
           local_store_port(store), options.access_key, options.secret_key, options.region);
    fflush(stdout);
    wait_for_end(signals);
    local_store_destroy(store);
    return 0;
}
