/* The suite against a running mapping server, whatever S3 stands behind it:
 *   conformance --server URL --token-file FILE [--ca-file FILE] [--mode presigned|credentials]
 * The file holds an access token of the account whose bucket is used. What the run makes, it removes (older versions
 * stay, if the bucket keeps them). Exit: 0, 1 a test failed, 2 it could not begin. */
#include "base/cleanup.h"
#include "base/file.h"
#include "conformance.h"
#include "s3/http_store.h"
#include "s3/wire.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *server, *token_file, *ca_file;
    enum http_store_mode mode;
};

static int read_token(void *context, const char *refused, char **token, struct fault *fault) {
    const struct options *options = context;
    size_t size;
    if (refused)
        return fault_set(fault, PAIL_LOGIN_REQUIRED, "the server does not take the token");
    int error = file_read(options->token_file, 65536, token, &size);
    if (error)
        return fault_set(fault, error, "%s: %s", options->token_file, error_text(error));
    (*token)[strcspn(*token, "\r\n")] = 0;
    return 0;
}

static int parse(int count, char **arguments, struct options *options) {
    static const struct option known[] = {{"server", required_argument, NULL, 's'},
                                          {"token-file", required_argument, NULL, 't'},
                                          {"ca-file", required_argument, NULL, 'c'},
                                          {"mode", required_argument, NULL, 'm'},
                                          {0}};
    for (int one; (one = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        if (one == '?')
            return -EINVAL;
        if (one == 'm' && strcmp(optarg, WIRE_MODE_CREDENTIALS) != 0 && strcmp(optarg, WIRE_MODE_PRESIGNED) != 0)
            return -EINVAL;
        if (one == 'm')
            options->mode = strcmp(optarg, WIRE_MODE_CREDENTIALS) ? HTTP_STORE_PRESIGNED : HTTP_STORE_CREDENTIALS;
        else
            *(one == 's' ? &options->server : one == 't' ? &options->token_file : &options->ca_file) = optarg;
    }
    return options->server && options->token_file && optind == count ? 0 : -EINVAL;
}

static void show_features(const struct mapping_session *session) {
    AUTO_FREE char *text = mapping_session_print(session);
    printf("session: %s\n", text ? text : "");
}

static int run(struct options *options, struct fault *fault) {
    struct fetch *fetch = NULL;
    struct mapping *mapping = NULL;
    struct mapping_session session = {0};
    struct store *store = NULL;
    struct fetch_options fetching = {.ca_file = options->ca_file, .tokens = {options, read_token}};
    int error = fetch_create(&fetch, &fetching), failed = 0;
    if (!error)
        error = mapping_create(&mapping, fetch, options->server);
    if (!error)
        error = mapping_refresh(mapping, &session, fault);
    if (!error) {
        show_features(&session);
        struct http_store_options storing = {.mapping = mapping, .ca_file = options->ca_file, .mode = options->mode};
        error = http_store_create(&store, &storing, fault);
    }
    if (!error)
        failed = conformance_run(store, options->server);
    store_destroy(store);
    mapping_session_finish(&session);
    mapping_destroy(mapping);
    fetch_destroy(fetch);
    return error ? error : failed ? -ECANCELED : 0;
}

int main(int count, char **arguments) {
    struct options options = {0};
    struct fault fault = {""};
    if (parse(count, arguments, &options)) {
        fprintf(stderr, "usage: conformance --server URL --token-file FILE [--ca-file FILE] [--mode MODE]\n");
        return 2;
    }
    int error = run(&options, &fault);
    if (error == -ECANCELED)
        return 1;
    if (error)
        fprintf(stderr, "conformance: %s\n", fault.text[0] ? fault.text : error_text(error));
    return error ? 2 : 0;
}
