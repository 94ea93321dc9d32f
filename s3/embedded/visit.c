/* One request to the embedded store: its path and query. */
#include "s3/embedded/visit.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>

/* Decoded, and without NUL. */
static int decode(const char *text, size_t size, char **out) {
    size_t length;
    *out = text_percent_decode(text, size, false, &length);
    if (!*out)
        return errno == EINVAL ? PROBLEM_INVALID_ARGUMENT : -ENOMEM;
    return strlen(*out) == length ? 0 : PROBLEM_INVALID_ARGUMENT;
}

static int read_path(struct visit *visit, const char *path) {
    if (*path != '/')
        return PROBLEM_INVALID_REQUEST;
    size_t size = strcspn(++path, "/");
    if (!size)
        return path[0] ? PROBLEM_INVALID_BUCKET_NAME : 0;
    int r = decode(path, size, &visit->bucket);
    if (r || !path[size] || !path[size + 1])
        return r;
    r = decode(path + size + 1, strlen(path + size + 1), &visit->key);
    if (r)
        return r;
    if (strlen(visit->key) > 1024)
        return PROBLEM_KEY_TOO_LONG;
    return text_is_utf8(visit->key, strlen(visit->key)) ? 0 : PROBLEM_INVALID_ARGUMENT;
}

int visit_init(struct visit *visit, struct http_request *request) {
    visit->request = request;
    visit->head = strcmp(request->method, "HEAD") == 0;
    random_hex(visit->id, 8);
    int r = read_path(visit, request->raw_path);
    if (!r)
        r = form_parse(&visit->query, request->raw_query);
    return r == -EINVAL ? PROBLEM_INVALID_ARGUMENT : r;
}

void visit_finish(struct visit *visit) {
    intake_destroy(visit->intake);
    sign_checked_finish(&visit->checked);
    form_finish(&visit->query);
    free(visit->bucket);
    free(visit->key);
}

const char *visit_header(const struct visit *visit, const char *name) {
    return http_header(visit->request, name);
}

const char *visit_parameter(const struct visit *visit, const char *name) {
    return form_get(&visit->query, name);
}

int visit_number(const struct visit *visit, const char *name, uint64_t fallback, uint64_t most, uint64_t *value) {
    const char *text = visit_parameter(visit, name);
    *value = fallback;
    if (!text || !*text)
        return 0;
    if (text_parse_u64(text, value))
        return PROBLEM_INVALID_ARGUMENT;
    if (*value > most)
        *value = most;
    return 0;
}
