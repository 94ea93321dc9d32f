/* What a demo keeps of itself. */
#include "s3/embedded/demo_settings.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>

void demo_settings_finish(struct demo_settings *settings) {
    free(settings->access_key);
    secret_free(settings->secret_key);
    secret_free(settings->login_secret);
    *settings = (struct demo_settings){0};
}

static uint16_t port_of(const struct json *json, const char *name) {
    int64_t port = json_get_integer(json, name, 0);
    return port > 0 && port < 65536 ? (uint16_t)port : 0;
}

static int read_settings(struct demo_settings *settings, const char *path) {
    AUTO_SECRET char *text = NULL;
    AUTO_JSON struct json *json = NULL;
    size_t size;
    int r = file_read(path, 64 << 10, &text, &size);
    if (!r)
        r = json_parse(&json, text, size);
    if (r)
        return r;
    const char *access = json_get_text(json, "access_key"), *secret = json_get_text(json, "secret_key");
    settings->server_port = port_of(json, "server_port");
    settings->issuer_port = port_of(json, "issuer_port");
    settings->store_port = port_of(json, "store_port");
    if (!access || !secret)
        return -EBADMSG;
    settings->access_key = strdup(access);
    settings->secret_key = strdup(secret);
    return settings->access_key && settings->secret_key ? 0 : -ENOMEM;
}

static int make_settings(struct demo_settings *settings) {
    char access[17], secret[41];
    random_hex(access, 8);
    random_hex(secret, 20);
    settings->access_key = text_format("PAIL%s", access);
    settings->secret_key = strdup(secret);
    explicit_bzero(secret, sizeof secret);
    return settings->access_key && settings->secret_key ? 0 : -ENOMEM;
}

/* Its own file, so that `pail demo` needs to know nothing else. */
static int open_secret(struct demo_settings *settings, const char *path) {
    size_t size;
    int r = file_read(path, 256, &settings->login_secret, &size);
    if (r != -ENOENT)
        return r ? r : size < 64 ? -EBADMSG : 0;
    settings->login_secret = malloc(65);
    if (!settings->login_secret)
        return -ENOMEM;
    random_hex(settings->login_secret, 32);
    return file_replace(path, 0600, settings->login_secret, 64);
}

int demo_settings_open(struct demo_settings *settings, const char *folder, struct fault *fault) {
    AUTO_FREE char *path = text_format("%s/demo.json", folder), *secret = text_format("%s/login-secret", folder);
    if (!path || !secret)
        return -ENOMEM;
    int r = read_settings(settings, path);
    if (r == -ENOENT)
        r = make_settings(settings);
    if (r)
        return fault_set(fault, r, "%s cannot be used: %s", path, error_text(r));
    r = open_secret(settings, secret);
    return r ? fault_set(fault, r, "%s cannot be used: %s", secret, error_text(r)) : 0;
}

int demo_settings_save(const struct demo_settings *settings, const char *folder, struct fault *fault) {
    AUTO_FREE char *path = text_format("%s/demo.json", folder);
    AUTO_JSON struct json *json = json_object();
    json_add_integer(json, "server_port", settings->server_port);
    json_add_integer(json, "issuer_port", settings->issuer_port);
    json_add_integer(json, "store_port", settings->store_port);
    json_add_text(json, "access_key", settings->access_key);
    json_add_text(json, "secret_key", settings->secret_key);
    AUTO_SECRET char *text = json_print_pretty(json);
    int r = path && text ? file_replace(path, 0600, text, strlen(text)) : -ENOMEM;
    return r ? fault_set(fault, r, "%s cannot be written: %s", path ? path : "", error_text(r)) : 0;
}
