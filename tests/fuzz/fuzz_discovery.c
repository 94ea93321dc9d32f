/* What an issuer, or a Pail server, says of itself, from the network. The first byte says which of them. */
#include "auth/discovery.h"
#include "base/text.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define ISSUER "https://issuer.example/"

/* What goes on into addresses, forms and messages. */
static void check_text(const char *text, bool blanks) {
    for (; text && *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f || (*text == ' ' && !blanks))
            abort();
}

static void check_url(const char *url) {
    if (url && !fetch_url_allowed(url))
        abort();
    check_text(url, false);
}

static void read_issuer(const struct json *json) {
    struct discovery discovery = {0};
    struct fault fault = {{0}};
    if (discovery_read(&discovery, json, ISSUER, &fault) == 0) {
        if (!text_equal(discovery.issuer, ISSUER) || !discovery.authorization_url || !discovery.token_url ||
            !discovery.keys_url)
            abort();
        check_url(discovery.authorization_url);
        check_url(discovery.token_url);
        check_url(discovery.keys_url);
        check_url(discovery.revocation_url);
        check_url(discovery.device_url);
    }
    discovery_finish(&discovery);
}

static void read_server(const struct json *json) {
    struct configuration configuration = {0};
    struct fault fault = {{0}};
    if (configuration_read(&configuration, json, &fault) == 0) {
        if (!configuration.port_count || configuration.port_count > 16 ||
            !text_starts(configuration.scopes, "openid offline_access"))
            abort();
        for (size_t i = 0; i < configuration.port_count; i++)
            if (configuration.ports[i] < 1024)
                abort();
        check_url(configuration.issuer);
        check_text(configuration.client_id, false);
        check_text(configuration.audience, false);
        check_text(configuration.scopes, true);
    }
    configuration_finish(&configuration);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json *json = NULL;
    if (!size)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    if (!json_parse(&json, text, size - 1)) {
        if (data[0] % 2)
            read_server(json);
        else
            read_issuer(json);
        json_destroy(json);
    }
    free(text);
    return 0;
}
