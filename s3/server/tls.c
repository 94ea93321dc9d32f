/* The TLS files of the settings. */
#include "s3/server/tls.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "s3/server/certificate.h"
#include "s3/server/config.h"

#include <string.h>

#define MAX_PEM (1u << 20)
#define DAY_S 86400
#define SOON_D 14

DEFINE_CLEANUP(struct certificate *, certificate_release)

void tls_files_finish(struct tls_files *files) {
    free(files->chain);
    secret_free(files->key);
    *files = (struct tls_files){0};
}

static int read_pem(const char *name, const char *path, char **text, struct fault *fault) {
    size_t size;
    int error = file_read(path, MAX_PEM, text, &size);
    return error ? fault_set(fault, error, "[server] %s = \"%s\" cannot be read: %s", name, path, error_text(error))
                 : 0;
}

static int read_files(const struct config *config, struct tls_files *out, struct fault *fault) {
    CLEANUP(certificate_release_p) struct certificate *tried = NULL;
    int error = read_pem("tls_certificate", config->tls_certificate, &out->chain, fault);
    if (!error)
        error = read_pem("tls_key", config->tls_key, &out->key, fault);
    if (error)
        return error;
    error = certificate_create(&tried, out->chain, out->key, fault);
    return error ? fault_prefix(fault, error, "[server] tls_certificate = \"%s\", tls_key = \"%s\"",
                                config->tls_certificate, config->tls_key)
                 : 0;
}

int tls_read(const struct config *config, struct tls_files *out, struct fault *fault) {
    *out = (struct tls_files){0};
    int error = config->tls_certificate && config->tls_key ? read_files(config, out, fault) : 0;
    if (error)
        tls_files_finish(out);
    return error;
}

/* "https://[::1]:8470/x" is for "::1". */
static char *host_of(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    if (*host == '[')
        return strndup(host + 1, strcspn(host + 1, "]"));
    return strndup(host, strcspn(host, ":/"));
}

static char *doubt_of_life(const struct certificate *certificate) {
    int64_t begins_s, ends_s, now_s = clock_realtime_s();
    char begins[25], ends[25];
    certificate_life(certificate, &begins_s, &ends_s);
    clock_format_iso8601(begins_s, begins);
    clock_format_iso8601(ends_s, ends);
    if (ends_s <= now_s)
        return text_format("it has ended on %.10s: clients refuse it: renew it", ends);
    if (begins_s > now_s)
        return text_format("it begins only on %.10s: clients refuse it until then", begins);
    if (ends_s - now_s < SOON_D * DAY_S)
        return text_format("it ends in %lld days, on %.10s: renew it", (long long)((ends_s - now_s) / DAY_S), ends);
    return NULL;
}

void tls_doubts(const struct config *config, const struct tls_files *files,
                void (*say)(void *context, const char *line), void *context) {
    CLEANUP(certificate_release_p) struct certificate *certificate = NULL;
    if (!files->chain || certificate_create(&certificate, files->chain, files->key, NULL))
        return;
    AUTO_FREE char *life = doubt_of_life(certificate);
    AUTO_FREE char *host = host_of(config->public_url);
    AUTO_FREE char *other = host && !certificate_is_for(certificate, host)
                                ? text_format("it is not for %s, the host of public_url: clients refuse it", host)
                                : NULL;
    char *const doubts[] = {life, other};
    for (size_t i = 0; i < sizeof doubts / sizeof *doubts; i++) {
        AUTO_FREE char *line = doubts[i] ? text_format("warning: [server] tls_certificate = \"%s\": %s",
                                                       config->tls_certificate, doubts[i])
                                         : NULL;
        if (line)
            say(context, line);
    }
}
