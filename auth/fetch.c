/* Small requests over HTTPS with curl: a pool of warm handles, bounded answers, secrets wiped. */
#include "auth/fetch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

enum { IDLE_HANDLES = 8, DEFAULT_TIMEOUT_MS = 30000, CONNECT_TIMEOUT_MS = 10000, MAX_REQUEST_ID = 128 };
enum { MAX_AGE_S = 7 * 86400 };
enum { DEFAULT_MAX_ANSWER = 4 << 20, FIRST_ROOM = 4096 };

struct fetch {
    char *ca_file, *user_agent;
    struct fetch_tokens tokens;
    int timeout_ms;
    size_t max_answer;
    pthread_mutex_t lock;
    CURL *idle[IDLE_HANDLES]; /* protected by lock; the last is the warmest */
    size_t idle_count;
};

int fetch_create(struct fetch **out, const struct fetch_options *options) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return -ENOMEM;
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return -ENOMEM;
    pthread_mutex_init(&fetch->lock, NULL);
    fetch->tokens = options->tokens;
    fetch->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    fetch->max_answer = options->max_answer ? options->max_answer : DEFAULT_MAX_ANSWER;
    fetch->user_agent = strdup(options->user_agent ? options->user_agent : "pail");
    if (options->ca_file)
        fetch->ca_file = strdup(options->ca_file);
    if (!fetch->user_agent || (options->ca_file && !fetch->ca_file)) {
        fetch_destroy(fetch);
        return -ENOMEM;
    }
    *out = fetch;
    return 0;
}

void fetch_destroy(struct fetch *fetch) {
    if (!fetch)
        return;
    for (size_t i = 0; i < fetch->idle_count; i++)
        curl_easy_cleanup(fetch->idle[i]);
    pthread_mutex_destroy(&fetch->lock);
    free(fetch->ca_file);
    free(fetch->user_agent);
    free(fetch);
    curl_global_cleanup();
}

/* Addresses. Parsed by curl, so that what is checked is what will be connected to. */

struct address {
    char *scheme, *host, *port; /* curl's */
};

static void address_finish(struct address *address) {
    curl_free(address->scheme);
    curl_free(address->host);
    curl_free(address->port);
}

static int address_parse(struct address *out, const char *url) {
    CURLU *parsed = curl_url();
    if (!parsed)
        return -ENOMEM;
    int r = 0;
    if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) ||
        curl_url_get(parsed, CURLUPART_SCHEME, &out->scheme, 0) ||
        curl_url_get(parsed, CURLUPART_HOST, &out->host, 0) ||
        curl_url_get(parsed, CURLUPART_PORT, &out->port, CURLU_DEFAULT_PORT))
        r = -EINVAL;
    curl_url_cleanup(parsed);
    return r;
}

static bool host_is_loopback(const char *host) {
    struct in_addr v4;
    if (!strcasecmp(host, "localhost") || !strcmp(host, "[::1]"))
        return true;
    return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

bool fetch_url_is_loopback(const char *url) {
    CLEANUP(address_finish) struct address address = {0};
    return !address_parse(&address, url) && host_is_loopback(address.host);
}

bool fetch_url_allowed(const char *url) {
    CLEANUP(address_finish) struct address address = {0};
    if (address_parse(&address, url))
        return false;
    if (!strcasecmp(address.scheme, "https"))
        return true;
    return !strcasecmp(address.scheme, "http") && host_is_loopback(address.host);
}

char *fetch_url_origin(const char *url) {
    CLEANUP(address_finish) struct address address = {0};
    if (address_parse(&address, url))
        return NULL;
    bool https = !strcasecmp(address.scheme, "https");
    if (!https && strcasecmp(address.scheme, "http") != 0)
        return NULL;
    bool standard = !strcmp(address.port, https ? "443" : "80");
    char *origin =
        text_format("%s://%s%s%s", address.scheme, address.host, standard ? "" : ":", standard ? "" : address.port);
    if (origin)
        text_lower_ascii(origin);
    return origin;
}

/* One exchange. */

struct exchange {
    const struct fetch_request *request;
    struct fetch_answer *answer;
    size_t room, max;
    uint64_t age_s; /* of Age: for how long a cache has had the answer */
    bool too_large, no_memory;
    char curl_says[CURL_ERROR_SIZE];
};

static void wipe_and_free(char *data, size_t size) {
    if (data)
        explicit_bzero(data, size);
    free(data);
}

/* Not realloc, which may leave a copy of a secret behind. */
static bool make_room(struct exchange *exchange, size_t wanted) {
    struct fetch_answer *answer = exchange->answer;
    if (wanted < exchange->room)
        return true;
    size_t room = exchange->room ? exchange->room : FIRST_ROOM;
    while (room <= wanted)
        room *= 2;
    char *grown = malloc(room);
    if (!grown)
        return false;
    if (answer->size)
        memcpy(grown, answer->body, answer->size);
    wipe_and_free(answer->body, exchange->request->secret_answer ? answer->size : 0);
    answer->body = grown;
    exchange->room = room;
    return true;
}

static size_t on_body(char *data, size_t unit, size_t count, void *context) {
    struct exchange *exchange = context;
    struct fetch_answer *answer = exchange->answer;
    size_t size = unit * count;
    exchange->too_large = size > exchange->max - answer->size;
    if (exchange->too_large)
        return 0;
    exchange->no_memory = !make_room(exchange, answer->size + size);
    if (exchange->no_memory)
        return 0;
    memcpy(answer->body + answer->size, data, size);
    answer->size += size;
    return size;
}

/* The value of a header line when it is that header, trimmed; NULL else. */
static char *header_value(const char *line, size_t size, const char *name) {
    size_t length = strlen(name);
    if (size <= length || line[length] != ':' || strncasecmp(line, name, length) != 0)
        return NULL;
    const char *from = line + length + 1, *to = line + size;
    while (from < to && strchr(" \t", *from))
        from++;
    while (to > from && strchr(" \t\r\n", to[-1]))
        to--;
    return strndup(from, (size_t)(to - from));
}

static void read_retry_after(struct fetch_answer *answer, const char *value) {
    uint64_t seconds;
    int64_t when;
    if (!text_parse_u64(value, &seconds) && seconds < INT32_MAX)
        answer->retry_after_s = (int64_t)seconds;
    else if (!clock_parse_http(value, &when))
        answer->retry_after_s = when > clock_realtime_s() ? when - clock_realtime_s() : 0;
}

static void read_cache_control(struct fetch_answer *answer, const char *value) {
    const char *found = strcasestr(value, "max-age=");
    long long seconds;
    if (found && sscanf(found + 8, "%11lld", &seconds) == 1 && seconds >= 0)
        answer->max_age_s = seconds;
}

static void answer_begin(struct exchange *exchange) {
    struct fetch_answer *answer = exchange->answer;
    exchange->age_s = 0;
    answer->size = 0;
    answer->retry_after_s = answer->max_age_s = -1;
    answer->date_s = 0;
    free(TAKE(answer->request_id));
    secret_free(TAKE(answer->location));
}

static size_t on_header(char *line, size_t unit, size_t count, void *context) {
    struct exchange *exchange = context;
    struct fetch_answer *answer = exchange->answer;
    size_t size = unit * count;
    if (size > 5 && !memcmp(line, "HTTP/", 5))
        answer_begin(exchange); /* a 1xx answer may have come before */
    AUTO_FREE char *retry_after = header_value(line, size, "Retry-After");
    AUTO_FREE char *date = header_value(line, size, "Date");
    AUTO_FREE char *age = header_value(line, size, "Age");
    AUTO_FREE char *cache = header_value(line, size, "Cache-Control");
    AUTO_FREE char *request_id = header_value(line, size, "X-Request-Id");
    AUTO_SECRET char *location = header_value(line, size, "Location");
    if (retry_after)
        read_retry_after(answer, retry_after);
    if (date && clock_parse_http(date, &answer->date_s))
        answer->date_s = 0;
    if (age && text_parse_u64(age, &exchange->age_s))
        exchange->age_s = 0;
    if (cache)
        read_cache_control(answer, cache);
    if (request_id && strlen(request_id) <= MAX_REQUEST_ID) {
        free(answer->request_id);
        answer->request_id = TAKE(request_id);
    }
    if (location) {
        secret_free(answer->location);
        answer->location = TAKE(location);
    }
    return size;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    const struct exchange *exchange = context;
    const _Atomic bool *cancelled = exchange->request->cancelled;
    return cancelled && atomic_load(cancelled);
}

static CURL *handle_take(struct fetch *fetch) {
    CURL *curl = NULL;
    pthread_mutex_lock(&fetch->lock);
    if (fetch->idle_count)
        curl = fetch->idle[--fetch->idle_count];
    pthread_mutex_unlock(&fetch->lock);
    return curl ? curl : curl_easy_init();
}

static void handle_give_back(struct fetch *fetch, CURL *curl) {
    curl_easy_reset(curl); /* keeps connections and TLS sessions, drops every pointer of ours */
    pthread_mutex_lock(&fetch->lock);
    bool kept = fetch->idle_count < IDLE_HANDLES;
    if (kept)
        fetch->idle[fetch->idle_count++] = curl;
    pthread_mutex_unlock(&fetch->lock);
    if (!kept)
        curl_easy_cleanup(curl);
}

static int header_add(struct curl_slist **headers, const char *line) {
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (!longer)
        return -ENOMEM;
    *headers = longer;
    return 0;
}

static int headers_build(struct curl_slist **headers, const struct fetch_request *request, const char *token) {
    int r = header_add(headers, "Accept: application/json");
    if (!r)
        r = header_add(headers, "Expect:");
    if (!r && request->content_type) {
        AUTO_FREE char *line = text_format("Content-Type: %s", request->content_type);
        r = line ? header_add(headers, line) : -ENOMEM;
    }
    if (!r && token) {
        AUTO_SECRET char *line = text_format("Authorization: Bearer %s", token);
        r = line ? header_add(headers, line) : -ENOMEM;
    }
    return r;
}

static void headers_wipe(struct curl_slist **headers) {
    for (struct curl_slist *item = *headers; item; item = item->next)
        explicit_bzero(item->data, strlen(item->data));
    curl_slist_free_all(*headers);
}

static void handle_secure(const struct fetch *fetch, CURL *curl, const char *url) {
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (fetch->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, fetch->ca_file);
    if (fetch_url_is_loopback(url))
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*"); /* a proxy's loopback is not ours */
}

static void handle_set_up(const struct fetch *fetch, CURL *curl, struct exchange *exchange,
                          const struct curl_slist *headers) {
    const struct fetch_request *request = exchange->request;
    handle_secure(fetch, curl, request->url);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, fetch->user_agent);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)fetch->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->curl_says);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
    if (request->body || !strcmp(request->method, "POST")) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

/* A certificate is out of its time more often by our clock than by its owner's neglect. */
static int untrusted(const char *where, const char *why, struct fault *fault) {
    if (!strcasestr(why, "not yet valid") && !strcasestr(why, "expired"))
        return fault_set(fault, PAIL_OFFLINE, "the certificate of %s is not trusted: %s", where, why);
    char now[30];
    clock_format_http(clock_realtime_s(), now);
    return fault_set(fault, PAIL_OFFLINE,
                     "the certificate of %s is not trusted: %s. Is this machine's clock right? It says %s", where, why,
                     now);
}

static int no_answer(const struct exchange *exchange, CURLcode code, struct fault *fault) {
    AUTO_FREE char *origin = fetch_url_origin(exchange->request->url);
    const char *where = origin ? origin : "the server";
    if (exchange->no_memory || code == CURLE_OUT_OF_MEMORY)
        return -ENOMEM;
    if (exchange->too_large)
        return fault_set(fault, PAIL_DAMAGED, "%s sent an answer larger than %zu bytes", where, exchange->max);
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return fault_set(fault, PAIL_CANCELLED, "cancelled");
    case CURLE_COULDNT_RESOLVE_HOST:
        return fault_set(fault, PAIL_OFFLINE, "%s is not reachable: its name cannot be looked up", where);
    case CURLE_OPERATION_TIMEDOUT:
        return fault_set(fault, PAIL_OFFLINE, "%s did not answer in time", where);
    case CURLE_PEER_FAILED_VERIFICATION:
        return untrusted(where, exchange->curl_says, fault);
    case CURLE_SSL_CACERT_BADFILE:
        return fault_set(fault, PAIL_OFFLINE, "the file of authorities cannot be used: %s", exchange->curl_says);
    default:
        return fault_set(fault, PAIL_OFFLINE, "%s is not reachable: %s", where,
                         exchange->curl_says[0] ? exchange->curl_says : curl_easy_strerror(code));
    }
}

static int answer_complete(struct exchange *exchange) {
    struct fetch_answer *answer = exchange->answer;
    if (!make_room(exchange, answer->size))
        return -ENOMEM;
    answer->body[answer->size] = 0;
    if (answer->date_s && exchange->age_s < MAX_AGE_S)
        answer->date_s += (int64_t)exchange->age_s;
    int r = json_parse(&answer->json, answer->body, answer->size);
    return r == -EBADMSG ? 0 : r;
}

static int exchange_once(struct fetch *fetch, const struct fetch_request *request, const char *token,
                         struct fetch_answer *answer, struct fault *fault) {
    struct exchange exchange = {.request = request, .answer = answer, .max = fetch->max_answer};
    CLEANUP(headers_wipe) struct curl_slist *headers = NULL;
    int r = headers_build(&headers, request, token);
    if (r)
        return r;
    CURL *curl = handle_take(fetch);
    if (!curl)
        return -ENOMEM;
    answer_begin(&exchange);
    handle_set_up(fetch, curl, &exchange, headers);
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    handle_give_back(fetch, curl);
    if (code)
        r = no_answer(&exchange, code, fault);
    answer->status = (int)status;
    return r ? r : answer_complete(&exchange);
}

static int exchange_authorized(struct fetch *fetch, const struct fetch_request *request, struct fetch_answer *answer,
                               struct fault *fault) {
    if (!fetch->tokens.get)
        return fault_set(fault, PAIL_LOGIN_REQUIRED, "%s", error_text(PAIL_LOGIN_REQUIRED));
    AUTO_SECRET char *token = NULL, *newer = NULL;
    int r = fetch->tokens.get(fetch->tokens.context, NULL, &token, fault);
    if (!r)
        r = exchange_once(fetch, request, token, answer, fault);
    if (r || answer->status != 401)
        return r;
    r = fetch->tokens.get(fetch->tokens.context, token, &newer, fault);
    if (r)
        return r;
    fetch_answer_finish(answer);
    return exchange_once(fetch, request, newer, answer, fault);
}

int fetch_perform(struct fetch *fetch, const struct fetch_request *request, struct fetch_answer *answer,
                  struct fault *fault) {
    *answer = (struct fetch_answer){0};
    if (!fetch_url_allowed(request->url)) {
        char shown[200];
        return fault_set(fault, PAIL_DENIED, "%s is refused: it must be an https address (plain http: loopback only)",
                         log_redact_url(request->url, shown, sizeof shown));
    }
    int r = request->authorized ? exchange_authorized(fetch, request, answer, fault)
                                : exchange_once(fetch, request, request->bearer, answer, fault);
    if (r)
        fetch_answer_finish(answer);
    return r;
}

int64_t fetch_clock_ahead_s(const struct fetch_answer *answer) {
    return answer->date_s ? answer->date_s - clock_realtime_s() : 0;
}

void fetch_answer_finish(struct fetch_answer *answer) {
    wipe_and_free(answer->body, answer->size);
    json_wipe(answer->json);
    free(answer->request_id);
    secret_free(answer->location);
    *answer = (struct fetch_answer){0};
}
