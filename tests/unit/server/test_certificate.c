/* Tests of s3/server/certificate and tls: what fits, what is doubtful, and a server whose certificate changes while
 * connections are open. */
#include "s3/server/certificate.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "make_certificate.h"
#include "raw_client.h"
#include "s3/server/config.h"
#include "s3/server/http.h"
#include "s3/server/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

struct pair {
    char *chain, *key;
};

static struct pair make(const char *dns, int64_t from_d, int64_t to_d) {
    struct pair pair;
    int64_t now = clock_realtime_s();
    make_certificate(dns, now + from_d * DAY_S, now + to_d * DAY_S + 60, &pair.chain, &pair.key);
    return pair;
}

static void drop(struct pair *pair) {
    free(pair->chain);
    free(pair->key);
}

static void assert_refused(const char *chain, const char *key, const char *why) {
    struct certificate *certificate = NULL;
    struct fault fault = {0};
    assert_int_equal(certificate_create(&certificate, chain, key, &fault), -EINVAL);
    if (!strstr(fault.text, why))
        fail_msg("%s", fault.text);
}

static void certificate_and_key_must_fit(void **state) {
    (void)state;
    struct pair one = make("a.example", -1, 30), two = make("b.example", -1, 30);
    struct certificate *certificate = NULL;
    int64_t begins_s, ends_s;
    assert_int_equal(certificate_create(&certificate, one.chain, one.key, NULL), 0);
    assert_true(certificate_is_for(certificate, "a.example"));
    assert_false(certificate_is_for(certificate, "b.example"));
    certificate_life(certificate, &begins_s, &ends_s);
    assert_true(ends_s - begins_s == 31 * DAY_S + 60);
    certificate_release(certificate);
    assert_refused(one.chain, two.key, "do not fit together");
    assert_refused("", one.key, "no certificate in PEM form");
    assert_refused(one.key, one.key, "no certificate in PEM form");
    assert_refused(one.chain, "", "key cannot be used");
    assert_refused(one.chain, one.chain, "key cannot be used");
    AUTO_FREE char *half = strndup(one.chain, strlen(one.chain) / 2);
    assert_refused(half, one.key, "no certificate in PEM form"); /* as if it were being written right now */
    drop(&one);
    drop(&two);
}

/* The files of the settings. */

struct files {
    char folder[40], chain[80], key[80];
    struct config config;
    struct config_problems problems;
};

static void write_pair(const struct files *files, const struct pair *pair) {
    assert_int_equal(file_replace(files->chain, 0600, pair->chain, strlen(pair->chain)), 0);
    assert_int_equal(file_replace(files->key, 0600, pair->key, strlen(pair->key)), 0);
}

static void start_files(struct files *files, const struct pair *pair) {
    *files = (struct files){.folder = "/tmp/pail-tls-XXXXXX"};
    assert_non_null(mkdtemp(files->folder));
    snprintf(files->chain, sizeof files->chain, "%s/chain.pem", files->folder);
    snprintf(files->key, sizeof files->key, "%s/key.pem", files->folder);
    write_pair(files, pair);
    assert_int_equal(config_init(&files->config), 0);
    const char *const settings[][2] = {
        {"tls_certificate", files->chain}, {"tls_key", files->key}, {"public_url", "https://drive.example.com:8443/x"}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(config_set(&files->config, settings[i][0], settings[i][1], "test", &files->problems), 0);
    assert_int_equal(files->problems.errors, 0);
}

static void stop_files(struct files *files) {
    config_finish(&files->config);
    config_problems_finish(&files->problems);
    file_remove_tree(files->folder);
}

static void add_line(void *context, const char *line) {
    buffer_append_format(context, "%s\n", line);
}

static void assert_doubts(const char *dns, int64_t from_d, int64_t to_d, const char *expected) {
    struct pair pair = make(dns, from_d, to_d);
    struct files files;
    CLEANUP(tls_files_finish) struct tls_files read;
    AUTO_BUFFER struct buffer lines = {0};
    struct fault fault = {0};
    start_files(&files, &pair);
    assert_int_equal(tls_read(&files.config, &read, &fault), 0);
    tls_doubts(&files.config, &read, add_line, &lines);
    buffer_append(&lines, "", 1);
    if (*expected ? !strstr(lines.data, expected) : *lines.data)
        fail_msg("%s", lines.data);
    stop_files(&files);
    drop(&pair);
}

static void doubts_are_told(void **state) {
    (void)state;
    assert_doubts("drive.example.com", -1, 30, "");
    assert_doubts("*.example.com", -1, 15, "");
    assert_doubts("drive.example.com", -1, 13, "it ends in 13 days");
    assert_doubts("drive.example.com", -20, -2, "it has ended on");
    assert_doubts("drive.example.com", 2, 60, "it begins only on");
    assert_doubts("other.example.com", -1, 30, "it is not for drive.example.com");
}

static void files_that_do_not_fit_are_named(void **state) {
    (void)state;
    struct pair one = make("a", -1, 30), two = make("b", -1, 30);
    struct files files;
    struct tls_files read;
    struct fault fault = {0};
    start_files(&files, &one);
    assert_int_equal(file_replace(files.key, 0600, two.key, strlen(two.key)), 0);
    assert_int_equal(tls_read(&files.config, &read, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, files.chain));
    assert_non_null(strstr(fault.text, "do not fit together"));
    unlink(files.key);
    assert_int_equal(tls_read(&files.config, &read, &fault), -ENOENT);
    assert_non_null(strstr(fault.text, files.key));
    assert_null(read.chain);
    stop_files(&files);
    drop(&one);
    drop(&two);
}

/* A server. */

static void begin(void *context, struct http_request *request) {
    (void)context;
    http_here(request);
}

static void complete(void *context, struct http_request *request) {
    (void)context;
    http_answer(request, &(struct http_answer){.status = 204});
}

struct client {
    int fd;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

static void start_client(struct client *client, uint16_t port) {
    client->fd = raw_connect(port);
    assert_int_equal(gnutls_init(&client->session, GNUTLS_CLIENT), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&client->credentials), 0);
    gnutls_set_default_priority(client->session);
    gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials);
    gnutls_transport_set_int(client->session, client->fd);
    int error;
    while ((error = gnutls_handshake(client->session)) < 0)
        if (gnutls_error_is_fatal(error))
            fail_msg("%s", gnutls_strerror(error));
}

static void stop_client(struct client *client) {
    gnutls_deinit(client->session);
    gnutls_certificate_free_credentials(client->credentials);
    close(client->fd);
}

static void assert_answers(struct client *client) {
    static const char text[] = "GET / HTTP/1.1\r\nHost: H\r\n\r\n";
    char answer[1000];
    ssize_t got;
    assert_int_equal(gnutls_record_send(client->session, text, sizeof text - 1), sizeof text - 1);
    do
        got = gnutls_record_recv(client->session, answer, sizeof answer);
    while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
    assert_true(got > 12);
    assert_memory_equal(answer, "HTTP/1.1 204", 12);
}

static void assert_shows(struct client *client, const struct pair *pair) {
    unsigned count = 0;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(client->session, &count);
    gnutls_datum_t pem = {(unsigned char *)pair->chain, (unsigned)strlen(pair->chain)}, raw;
    assert_int_equal(gnutls_pem_base64_decode2("CERTIFICATE", &pem, &raw), 0);
    assert_true(count && shown->size == raw.size && !memcmp(shown->data, raw.data, raw.size));
    gnutls_free(raw.data);
}

static void a_new_certificate_is_for_new_connections(void **state) {
    (void)state;
    struct pair one = make("a", -1, 30), two = make("b", -1, 30), three = make("c", -1, 30);
    struct http_server *server = NULL;
    struct http_options options = {.tls_certificate = one.chain,
                                   .tls_key = one.key,
                                   .event_threads = 2,
                                   .worker_threads = 1,
                                   .handler = {.begin = begin, .complete = complete}};
    struct client first, second, third;
    struct fault fault = {0};
    if (http_server_create(&server, &options, &fault))
        fail_msg("%s", fault.text);
    start_client(&first, http_server_port(server));
    assert_shows(&first, &one);
    assert_answers(&first);
    assert_int_equal(http_server_renew(server, two.chain, two.key, &fault), 0);
    start_client(&second, http_server_port(server));
    assert_shows(&second, &two);
    assert_int_equal(http_server_renew(server, three.chain, one.key, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "fit together"));
    start_client(&third, http_server_port(server));
    assert_shows(&third, &two);
    assert_answers(&second);
    assert_answers(&first);
    assert_answers(&third);
    stop_client(&first);
    stop_client(&second);
    stop_client(&third);
    http_server_destroy(server);
    drop(&one);
    drop(&two);
    drop(&three);
}

struct renewing {
    struct http_server *server;
    const struct pair *pairs[2];
    atomic_bool ending;
};

static void *renew_often(void *context) {
    struct renewing *renewing = context;
    for (int i = 0; !atomic_load(&renewing->ending); i++)
        http_server_renew(renewing->server, renewing->pairs[i % 2]->chain, renewing->pairs[i % 2]->key, NULL);
    return NULL;
}

/* Handshakes are under way while it changes. */
static void it_may_change_at_any_time(void **state) {
    (void)state;
    struct pair one = make("a", -1, 30), two = make("b", -1, 30);
    struct renewing renewing = {.pairs = {&one, &two}};
    struct http_options options = {
        .tls_certificate = one.chain, .tls_key = one.key, .handler = {.begin = begin, .complete = complete}};
    pthread_t thread;
    assert_int_equal(http_server_create(&renewing.server, &options, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, renew_often, &renewing), 0);
    for (int i = 0; i < 50; i++) {
        struct client client;
        start_client(&client, http_server_port(renewing.server));
        assert_answers(&client);
        stop_client(&client);
    }
    atomic_store(&renewing.ending, true);
    pthread_join(thread, NULL);
    http_server_destroy(renewing.server);
    drop(&one);
    drop(&two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate_and_key_must_fit),    cmocka_unit_test(doubts_are_told),
        cmocka_unit_test(files_that_do_not_fit_are_named), cmocka_unit_test(a_new_certificate_is_for_new_connections),
        cmocka_unit_test(it_may_change_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
