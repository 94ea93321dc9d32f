/* Signs what it is told on stdin, for tests against other signers: one JSON object a line,
 *   {"method","scheme_host","path","query":[[NAME,VALUE|null]],"headers":[[NAME,VALUE]],"time",
 *    "access_key","secret_key","session_token"?,"region","expires"?,"payload"?}
 * and answers each with {"url"} (expires: in the query) or {"url","authorization","date"} (payload: in the header). */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "s3/sign.h"

#include <stdio.h>

#define MOST 32

static size_t read_pairs(const struct json *list, struct sign_pair pairs[MOST]) {
    size_t count = 0;
    for (const struct json *item = json_first(list); item && count < MOST; item = json_next(item))
        pairs[count++] = (struct sign_pair){json_text(json_at(item, 0)), json_text(json_at(item, 1))};
    return count;
}

static int answer(struct sign_cache *cache, const struct json *told) {
    struct sign_pair query[MOST], headers[MOST];
    const char *path = json_get_text(told, "path"), *payload = json_get_text(told, "payload");
    struct sign_credentials credentials = {.access_key = json_get_text(told, "access_key"),
                                           .secret_key = json_get_text(told, "secret_key"),
                                           .session_token = json_get_text(told, "session_token"),
                                           .region = json_get_text(told, "region"),
                                           .service = "s3"};
    struct sign_request request = {.method = json_get_text(told, "method"),
                                   .scheme_host = json_get_text(told, "scheme_host"),
                                   .path = path,
                                   .path_size = strlen(path),
                                   .query = query,
                                   .query_count = read_pairs(json_get(told, "query"), query),
                                   .headers = headers,
                                   .header_count = read_pairs(json_get(told, "headers"), headers),
                                   .time_s = json_get_integer(told, "time", 0)};
    AUTO_FREE char *url = NULL, *authorization = NULL;
    char date[17] = "";
    int r = payload ? sign_headers(&credentials, cache, &request, payload, &url, &authorization, date)
                    : sign_url(&credentials, cache, &request, (unsigned)json_get_integer(told, "expires", 0), &url);
    AUTO_JSON struct json *out = json_object();
    json_add_text(out, "url", url);
    json_add_text(out, "authorization", authorization);
    json_add_text(out, "date", date);
    AUTO_FREE char *text = json_print(out);
    return r ? r : puts(text) < 0 || fflush(stdout) ? -1 : 0;
}

int main(void) {
    struct sign_cache *cache = NULL;
    AUTO_FREE char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int r = sign_cache_create(&cache);
    while (!r && (size = getline(&line, &room, stdin)) > 0) {
        AUTO_JSON struct json *told = NULL;
        r = json_parse(&told, line, (size_t)size);
        if (!r)
            r = answer(cache, told);
    }
    sign_cache_destroy(cache);
    if (r)
        fprintf(stderr, "sign_tool: %d\n", r);
    return r != 0;
}
