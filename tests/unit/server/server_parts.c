/* Settings, requests and accounts for tests. */
#include "server_parts.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void server_parts_set(struct server_parts *parts, const char *name, const char *value) {
    struct config_problems problems = {0};
    assert_int_equal(config_set(&parts->config, name, value, "test", &problems), 0);
    assert_int_equal(problems.errors, 0);
}

void server_parts_begin(struct server_parts *parts) {
    strcpy(parts->folder, "/tmp/pail-server-XXXXXX");
    assert_non_null(mkdtemp(parts->folder));
    snprintf(parts->database, sizeof parts->database, "%s/accounts.db", parts->folder);
    assert_int_equal(config_init(&parts->config), 0);
    server_parts_set(parts, "access_key_id", "AK");
    server_parts_set(parts, "secret_access_key", "SK");
}

struct local_store *server_parts_store(struct server_parts *parts) {
    AUTO_FREE char *objects = text_format("%s/store", parts->folder);
    struct local_store_options options = {
        .folder = objects, .access_key = "AK", .secret_key = "SK", .region = "us-east-1"};
    struct local_store *store = NULL;
    struct fault fault = {0};
    if (local_store_create(&store, &options, &fault))
        fail_msg("%s", fault.text);
    AUTO_FREE char *endpoint = text_format("http://127.0.0.1:%u", local_store_port(store));
    server_parts_set(parts, "endpoint", endpoint);
    return store;
}

void server_parts_open(struct server_parts *parts) {
    assert_int_equal(transfer_create(&parts->transfer, &(struct transfer_options){.connections = 16}), 0);
    assert_int_equal(credentials_create(&parts->credentials, &parts->config, parts->transfer, NULL), 0);
    assert_int_equal(sign_cache_create(&parts->signing), 0);
    parts->remote = (struct remote){
        .config = &parts->config,
        .transfer = parts->transfer,
        .credentials = parts->credentials,
        .signing = parts->signing,
    };
    assert_int_equal(users_open(&parts->users, parts->database, NULL), 0);
}

void server_parts_end(struct server_parts *parts) {
    users_close(parts->users);
    sign_cache_destroy(parts->signing);
    credentials_destroy(parts->credentials);
    transfer_destroy(parts->transfer);
    config_finish(&parts->config);
    file_remove_tree(parts->folder);
}
