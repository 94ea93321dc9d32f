/* The places where AWS's own tools look for keys (AWS SDKs and Tools Reference Guide, "Standardized credential
 * providers"). */
#include "s3/server/credentials_sources.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/config.h"
#include "s3/server/profile.h"

#include <string.h>
#include <sys/stat.h>

#define INSTANCE "http://169.254.169.254"
#define INSTANCE_ROLES INSTANCE "/latest/meta-data/iam/security-credentials/"
#define CONTAINER "http://169.254.170.2"
#define METADATA_STALL_MS 2000

static int fill(struct lease *out, const char *access, const char *secret, const char *token, int64_t expires_s) {
    struct lease from = {.access_key = (char *)(uintptr_t)access,
                         .secret_key = (char *)(uintptr_t)secret,
                         .session_token = (char *)(uintptr_t)token,
                         .expires_s = expires_s};
    return lease_copy(out, &from);
}

int credentials_from_settings(const struct config *config, struct transfer *transfer, struct lease *out,
                              struct fault *fault) {
    (void)transfer;
    (void)fault;
    if (!config->access_key_id || !config->secret_access_key)
        return -ENOENT;
    return fill(out, config->access_key_id, config->secret_access_key, NULL, 0);
}

int credentials_from_environment(const struct config *config, struct transfer *transfer, struct lease *out,
                                 struct fault *fault) {
    (void)config;
    (void)transfer;
    const char *access = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
    const char *token = getenv("AWS_SESSION_TOKEN");
    if (!access && !secret)
        return -ENOENT;
    if (!access || !*access || !secret || !*secret)
        return fault_set(fault, -EINVAL,
                         "%s = \"\" is missing: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together",
                         access && *access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    return fill(out, access, secret, token && *token ? token : NULL, 0);
}

static char *profile_path(void) {
    const char *named = getenv("AWS_SHARED_CREDENTIALS_FILE"), *home = getenv("HOME");
    return named ? strdup(named) : text_format("%s/.aws/credentials", home ? home : "");
}

void credentials_profile_stamp(struct credentials_stamp *out) {
    AUTO_FREE char *path = profile_path();
    struct stat file;
    *out = (struct credentials_stamp){0};
    if (path && !stat(path, &file))
        *out =
            (struct credentials_stamp){(int64_t)file.st_ino, file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec};
}

int credentials_from_profile(const struct config *config, struct transfer *transfer, struct lease *out,
                             struct fault *fault) {
    (void)transfer;
    AUTO_FREE char *path = profile_path();
    AUTO_SECRET char *text = NULL;
    size_t size = 0;
    if (!path)
        return -ENOMEM;
    int error = file_read(path, 1 << 20, &text, &size);
    if (error == -ENOENT || error == -ENOTDIR)
        return -ENOENT;
    if (error)
        return fault_set(fault, error, "%s cannot be read: %s", path, error_text(error));
    struct profile profile = {.name = config->profile};
    error = profile_parse(text, &profile);
    if (!error && profile.access_key && profile.secret_key)
        error = fill(out, profile.access_key, profile.secret_key, profile.session_token, 0);
    else if (!error)
        error = -ENOENT;
    profile_finish(&profile);
    return error;
}

/* Metadata services: small texts over plain HTTP from an address of this machine's own network. */

static int ask(struct transfer *transfer, const char *method, const char *url, const struct transfer_header *header,
               struct transfer_answer *answer, struct fault *fault) {
    struct transfer_request request = {
        .method = method,
        .url = url,
        .headers = header,
        .header_count = header ? 1 : 0,
        .max_body = 64 << 10,
        .stall_ms = METADATA_STALL_MS,
    };
    int error = transfer_perform(transfer, &request, answer, fault);
    if (error == PAIL_OFFLINE)
        return -ENOENT;
    if (!error && answer->status != 200)
        return answer->status == 404 ? -ENOENT
                                     : fault_set(fault, PAIL_DENIED, "%s answered HTTP %d", url, answer->status);
    return error;
}

/* {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} */
static int read_document(const struct transfer_answer *answer, struct lease *out, struct fault *fault) {
    AUTO_JSON struct json *document = NULL;
    int64_t expires_s = 0;
    if (json_parse(&document, answer->body ? answer->body : "", answer->body_size))
        return fault_set(fault, PAIL_DAMAGED, "the machine's role credentials are not JSON");
    const char *access = json_get_text(document, "AccessKeyId"), *secret = json_get_text(document, "SecretAccessKey");
    const char *expires = json_get_text(document, "Expiration");
    if (!access || !secret || !expires || clock_parse_iso8601(expires, &expires_s) || expires_s <= 0)
        return fault_set(fault, PAIL_DAMAGED, "the machine's role credentials lack a field");
    return fill(out, access, secret, json_get_text(document, "Token"), expires_s);
}

/* A full URI may name only this machine, the container hosts' own addresses, or https. */
static bool container_uri_allowed(const char *uri) {
    return text_starts(uri, "https://") || text_starts(uri, "http://127.0.0.1") || text_starts(uri, "http://[::1]") ||
           text_starts(uri, "http://169.254.170.2/") || text_starts(uri, "http://169.254.170.23/");
}

int credentials_from_container(const struct config *config, struct transfer *transfer, struct lease *out,
                               struct fault *fault) {
    (void)config;
    const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
               *token = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (!relative && !full)
        return -ENOENT;
    AUTO_FREE char *url = relative ? text_format(CONTAINER "%s", relative) : strdup(full);
    if (!url)
        return -ENOMEM;
    if (!container_uri_allowed(url))
        return fault_set(fault, -EINVAL,
                         "AWS_CONTAINER_CREDENTIALS_FULL_URI = \"%.200s\" is not an address of this host", url);
    struct transfer_header header = {"Authorization", token};
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    int error = ask(transfer, "GET", url, token ? &header : NULL, &answer, fault);
    return error ? error : read_document(&answer, out, fault);
}

/* Instance metadata, version 2: a session token first. */
int credentials_from_instance(const struct config *config, struct transfer *transfer, struct lease *out,
                              struct fault *fault) {
    (void)config;
    CLEANUP(transfer_answer_finish) struct transfer_answer session = {0}, role = {0}, document = {0};
    struct transfer_header life = {"X-aws-ec2-metadata-token-ttl-seconds", "300"};
    int error = ask(transfer, "PUT", INSTANCE "/latest/api/token", &life, &session, fault);
    if (error || !session.body)
        return error ? error : -ENOENT;
    struct transfer_header token = {"X-aws-ec2-metadata-token", session.body};
    error = ask(transfer, "GET", INSTANCE_ROLES, &token, &role, fault);
    if (error || !role.body)
        return error ? error : -ENOENT;
    AUTO_FREE char *name = text_percent_encode(role.body, strcspn(role.body, "\r\n"), false);
    AUTO_FREE char *url = name ? text_format(INSTANCE_ROLES "%s", name) : NULL;
    if (!url)
        return -ENOMEM;
    error = ask(transfer, "GET", url, &token, &document, fault);
    return error ? error : read_document(&document, out, fault);
}
