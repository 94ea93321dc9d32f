/* What the mapping server's figures are compared with.
 *   yardstick hmac SECONDS   HMAC-SHA256 by OpenSSL over 512 bytes, about what a URL's signature takes, in a second of
 * CPU yardstick constant PORT  libmicrohttpd that takes a body and answers a constant, until SIGTERM */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_hmac(double seconds) {
    unsigned char key[32] = {1}, text[512] = {2}, out[32];
    size_t size;
    EVP_MAC *kind = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(kind);
    char sha256[] = "SHA256";
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("digest", sha256, 0), OSSL_PARAM_construct_end()};
    if (!context || !EVP_MAC_init(context, key, sizeof key, parameters))
        return 1;
    unsigned long count = 0;
    double start = cpu_s(), took = 0;
    for (; took < seconds; took = cpu_s() - start)
        for (int i = 0; i < 1000; i++, count++) {
            memcpy(text, &count, sizeof count);
            if (!EVP_MAC_init(context, NULL, 0, NULL) || !EVP_MAC_update(context, text, sizeof text) ||
                !EVP_MAC_final(context, out, &size, sizeof out))
                return 1;
        }
    printf("%.0f\n", (double)count / took);
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(kind);
    return 0;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **own) {
    static int seen;
    (void)url;
    (void)method;
    (void)version;
    (void)upload;
    if (!*own) {
        *own = &seen;
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    return MHD_queue_response(connection, 200, context);
}

static int run_constant(uint16_t port) {
    static char text[] = "{\"grants\":[]}";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &end, NULL);
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, port, NULL, NULL, answer, response,
                                                 MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "yardstick: port %d cannot be had\n", port);
        return 1;
    }
    puts("listening");
    fflush(stdout);
    int number;
    sigwait(&end, &number);
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "hmac") == 0)
        return run_hmac(atof(argv[2]));
    if (argc == 3 && strcmp(argv[1], "constant") == 0)
        return run_constant((uint16_t)atoi(argv[2]));
    fprintf(stderr, "usage: yardstick hmac SECONDS | constant PORT\n");
    return 2;
}
