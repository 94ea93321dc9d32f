/* One HTTP request to an object store, by curl, over a pool of warm connections. */
#include "s3/transfer.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <ctype.h>
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_CONNECTIONS 64u
#define DEFAULT_STALL_MS 30000
#define DEFAULT_MAX_BODY (16u << 20)
#define MAX_ERROR_BODY (64u << 10)
#define MAX_ERROR_READ (1u << 20) /* a longer one is not worth keeping the connection for */
#define MAX_HEADERS (64u << 10)
#define EXPECT_ABOVE (1u << 20)
#define BUFFER_LEAST (16u << 10)
#define BUFFER_MOST (256u << 10)
#define POLL_MS 80

/* A connection: an easy handle with a multi handle of its own, because curl_easy_perform looks at a cancellation only
 * once a second. */
struct slot {
    struct slot *next;
    CURL *easy;   /* owned */
    CURLM *multi; /* owned; holds the warm connection */
};

struct transfer {
    char *ca_file, *user_agent; /* owned */
    CURLSH *share;              /* owned: names and TLS sessions */
    pthread_mutex_t share_lock[CURL_LOCK_DATA_LAST];
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct slot *idle; /* under lock, as all below; last used first, so that the warmest is taken */
    unsigned busy, busy_uploads, most;
    _Atomic int64_t progress_ms; /* when any transfer last moved */
};

/* One transfer under way. */
struct flow {
    struct transfer *transfer;
    const struct transfer_request *request;
    struct transfer_answer *answer;
    CURL *easy;
    struct buffer headers, body; /* owned */
    uint64_t sent;               /* bytes of the body that curl has taken */
    uint64_t discarded;          /* bytes of an error body beyond what is kept */
    int64_t progress_ms;         /* when it last moved */
    curl_off_t moved;            /* curl's counters at that time */
    int result;                  /* of begin, sink or source, or our own: why a callback ended it */
    bool begun;
    char error[CURL_ERROR_SIZE];
};

/* --- the pool --- */

static void share_lock(CURL *easy, curl_lock_data data, curl_lock_access access, void *context) {
    (void)easy, (void)access;
    pthread_mutex_lock(&((struct transfer *)context)->share_lock[data]);
}

static void share_unlock(CURL *easy, curl_lock_data data, void *context) {
    (void)easy;
    pthread_mutex_unlock(&((struct transfer *)context)->share_lock[data]);
}

static int create_share(struct transfer *transfer) {
    transfer->share = curl_share_init();
    if (!transfer->share)
        return -ENOMEM;
    curl_share_setopt(transfer->share, CURLSHOPT_LOCKFUNC, share_lock);
    curl_share_setopt(transfer->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
    curl_share_setopt(transfer->share, CURLSHOPT_USERDATA, transfer);
    curl_share_setopt(transfer->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(transfer->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return 0;
}

static void slot_destroy(struct slot *slot) {
    if (!slot)
        return;
    curl_easy_cleanup(slot->easy);
    curl_multi_cleanup(slot->multi);
    free(slot);
}

static struct slot *slot_create(void) {
    struct slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    slot->easy = curl_easy_init();
    slot->multi = curl_multi_init();
    if (!slot->easy || !slot->multi) {
        slot_destroy(slot);
        return NULL;
    }
    curl_multi_setopt(slot->multi, CURLMOPT_MAXCONNECTS, 2L);
    return slot;
}

static void init_locks(struct transfer *transfer) {
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_init(&transfer->share_lock[i], NULL);
    pthread_mutex_init(&transfer->lock, NULL);
    clock_cond_init(&transfer->freed);
}

static void ignore_sigpipe(void) {
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

DEFINE_CLEANUP(struct transfer *, transfer_destroy)

int transfer_create(struct transfer **out, const struct transfer_options *options) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return -ENOMEM;
    CLEANUP(transfer_destroy_p) struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer) {
        curl_global_cleanup();
        return -ENOMEM;
    }
    init_locks(transfer);
    ignore_sigpipe();
    transfer->most = options->connections ? options->connections : DEFAULT_CONNECTIONS;
    transfer->user_agent = strdup(options->user_agent ? options->user_agent : "pail/" PAIL_VERSION);
    if (!transfer->user_agent)
        return -ENOMEM;
    if (options->ca_file && !(transfer->ca_file = strdup(options->ca_file)))
        return -ENOMEM;
    int error = create_share(transfer);
    if (!error)
        *out = TAKE(transfer);
    return error;
}

void transfer_destroy(struct transfer *transfer) {
    if (!transfer)
        return;
    while (transfer->idle) {
        struct slot *slot = transfer->idle;
        transfer->idle = slot->next;
        slot_destroy(slot);
    }
    if (transfer->share)
        curl_share_cleanup(transfer->share);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_destroy(&transfer->share_lock[i]);
    pthread_cond_destroy(&transfer->freed);
    pthread_mutex_destroy(&transfer->lock);
    free(transfer->ca_file);
    free(transfer->user_agent);
    free(transfer);
    curl_global_cleanup();
}

static int64_t stall_of(const struct transfer_request *request) {
    return request->stall_ms > 0 ? request->stall_ms : DEFAULT_STALL_MS;
}

static bool is_cancelled(const struct transfer_request *request) {
    return request->cancelled && atomic_load_explicit(request->cancelled, memory_order_relaxed);
}

/* Uploads leave a quarter to the small requests that somebody waits for. */
static bool has_room(const struct transfer *transfer, bool upload) {
    unsigned for_uploads = transfer->most - transfer->most / 4;
    return transfer->busy < transfer->most && (!upload || transfer->busy_uploads < for_uploads);
}

/* Waits as long as anything in the pool moves: a long queue is not a dead network. */
static int wait_for_room(struct transfer *transfer, const struct transfer_request *request, bool upload) {
    int64_t began = clock_monotonic_ms();
    while (!has_room(transfer, upload)) {
        if (is_cancelled(request))
            return PAIL_CANCELLED;
        int64_t now = clock_monotonic_ms(), moved = transfer->progress_ms;
        if (now - (moved > began ? moved : began) > stall_of(request))
            return PAIL_OFFLINE;
        clock_cond_wait_ms(&transfer->freed, &transfer->lock, POLL_MS);
    }
    return 0;
}

static int take_slot(struct transfer *transfer, const struct transfer_request *request, struct slot **out) {
    pthread_mutex_lock(&transfer->lock);
    int error = wait_for_room(transfer, request, request->body != NULL);
    struct slot *slot = NULL;
    if (!error) {
        transfer->busy++;
        transfer->busy_uploads += request->body != NULL;
        slot = transfer->idle;
        if (slot)
            transfer->idle = slot->next;
    }
    pthread_mutex_unlock(&transfer->lock);
    if (error)
        return error;
    *out = slot ? slot : slot_create();
    return *out ? 0 : -ENOMEM;
}

static void give_slot(struct transfer *transfer, const struct transfer_request *request, struct slot *slot) {
    pthread_mutex_lock(&transfer->lock);
    transfer->busy--;
    transfer->busy_uploads -= request->body != NULL;
    if (slot) {
        slot->next = transfer->idle;
        transfer->idle = slot;
    }
    pthread_cond_broadcast(&transfer->freed);
    pthread_mutex_unlock(&transfer->lock);
}

/* --- the answer --- */

void transfer_answer_finish(struct transfer_answer *answer) {
    free(answer->etag);
    free(answer->version);
    free(answer->body);
    free(answer->headers);
    *answer = (struct transfer_answer){0};
}

/* headers is "name NUL value NUL" again and again. */
bool transfer_answer_next(const struct transfer_answer *answer, size_t *position, struct transfer_header *header) {
    if (*position >= answer->headers_size)
        return false;
    header->name = answer->headers + *position;
    header->value = header->name + strlen(header->name) + 1;
    *position = (size_t)(header->value - answer->headers) + strlen(header->value) + 1;
    return true;
}

const char *transfer_answer_header(const struct transfer_answer *answer, const char *name) {
    struct transfer_header header;
    for (size_t position = 0; transfer_answer_next(answer, &position, &header);)
        if (strcmp(header.name, name) == 0)
            return header.value;
    return NULL;
}

static bool is_success(int status) {
    return status >= 200 && status < 300;
}

static void note_progress(struct flow *flow) {
    flow->progress_ms = clock_monotonic_ms();
    atomic_store_explicit(&flow->transfer->progress_ms, flow->progress_ms, memory_order_relaxed);
}

static int end_with(struct flow *flow, int result) {
    if (!flow->result)
        flow->result = result;
    return result;
}

static char *unquoted(const char *etag) {
    size_t size = strlen(etag);
    bool quoted = size >= 2 && etag[0] == '"' && etag[size - 1] == '"';
    return quoted ? strndup(etag + 1, size - 2) : strdup(etag);
}

static int take_known_headers(struct transfer_answer *answer) {
    const char *etag = transfer_answer_header(answer, "etag");
    const char *version = transfer_answer_header(answer, "x-amz-version-id");
    const char *date = transfer_answer_header(answer, "date");
    const char *length = transfer_answer_header(answer, "content-length");
    uint64_t size;
    if (etag && !(answer->etag = unquoted(etag)))
        return -ENOMEM;
    if (version && strcmp(version, "null") != 0 && !(answer->version = strdup(version)))
        return -ENOMEM;
    if (date && clock_parse_http(date, &answer->date_s))
        answer->date_s = 0;
    if (length && text_parse_u64(length, &size) == 0 && size <= INT64_MAX)
        answer->length = (int64_t)size;
    return 0;
}

/* The blank line after the last answer's headers; those of a 100 Continue came before and are dropped. */
static int finish_headers(struct flow *flow) {
    struct transfer_answer *answer = flow->answer;
    long status = 0;
    curl_easy_getinfo(flow->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) {
        buffer_clear(&flow->headers);
        return 0;
    }
    answer->status = (int)status;
    answer->headers_size = flow->headers.size;
    if (!(answer->headers = buffer_take(&flow->headers)) || take_known_headers(answer))
        return end_with(flow, -ENOMEM);
    flow->begun = true;
    if (is_success(answer->status) && flow->request->begin)
        return end_with(flow, flow->request->begin(flow->request->begin_context, answer));
    return 0;
}

static int add_header(struct flow *flow, const char *line, size_t size) {
    const char *colon = memchr(line, ':', size);
    if (!colon || memchr(line, 0, size))
        return 0;
    if (flow->headers.size + size > MAX_HEADERS)
        return end_with(flow, PAIL_DAMAGED);
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    size_t start = flow->headers.size;
    if (buffer_append(&flow->headers, line, (size_t)(colon - line)) || buffer_append(&flow->headers, "", 1) ||
        buffer_append(&flow->headers, value, (size_t)(end - value)) || buffer_append(&flow->headers, "", 1))
        return end_with(flow, -ENOMEM);
    text_lower_ascii(flow->headers.data + start);
    return 0;
}

static size_t on_header(char *line, size_t one, size_t size, void *context) {
    struct flow *flow = context;
    size_t bare = size;
    note_progress(flow);
    while (bare && isspace((unsigned char)line[bare - 1]))
        bare--;
    if (flow->begun) /* a trailer */
        return size;
    int error = bare ? add_header(flow, line, bare) : finish_headers(flow);
    return error ? one - 1 : size;
}

static int collect(struct flow *flow, const char *data, size_t size) {
    bool success = is_success(flow->answer->status);
    size_t most = flow->request->max_body ? flow->request->max_body : DEFAULT_MAX_BODY;
    if (success && size > most - flow->body.size)
        return PAIL_DAMAGED;
    size_t room = success ? size : MAX_ERROR_BODY - flow->body.size;
    size_t take = size < room ? size : room;
    flow->discarded += size - take;
    if (flow->discarded > MAX_ERROR_READ)
        return PAIL_DAMAGED;
    return buffer_append(&flow->body, data, take);
}

static size_t on_body(char *data, size_t one, size_t size, void *context) {
    struct flow *flow = context;
    (void)one;
    const struct store_sink *sink = is_success(flow->answer->status) ? flow->request->sink : NULL;
    int error = sink ? sink->write(sink->context, data, size) : collect(flow, data, size);
    if (sink && !error)
        flow->answer->sunk += size;
    note_progress(flow); /* after: the sink's own time is not the network's */
    return end_with(flow, error) ? CURL_WRITEFUNC_ERROR : size;
}

static size_t on_source(char *data, size_t one, size_t room, void *context) {
    struct flow *flow = context;
    const struct store_source *source = flow->request->body;
    uint64_t left = source->size - flow->sent, size = one * room < left ? one * room : left;
    if (!size)
        return 0;
    int error = source->read(source->context, flow->sent, data, size);
    note_progress(flow);
    if (end_with(flow, error))
        return CURL_READFUNC_ABORT;
    flow->sent += size;
    return size;
}

static int on_seek(void *context, curl_off_t offset, int origin) {
    struct flow *flow = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > flow->request->body->size)
        return CURL_SEEKFUNC_FAIL;
    flow->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* --- the request --- */

static bool host_is_loopback(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    return (size == 9 && strncasecmp(host, "localhost", 9) == 0) || (size == 5 && memcmp(host, "[::1]", 5) == 0) ||
           (size >= 7 && memcmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == size);
}

/* No line break may come in with a value: it would be another header. */
static bool is_header(const struct transfer_header *header) {
    return header->name[0] && !strpbrk(header->name, "\r\n: ") && !strpbrk(header->value, "\r\n");
}

static int append_header(struct curl_slist **list, const struct transfer_header *header) {
    /* curl's form for a header that has no value ends in a semicolon. */
    AUTO_FREE char *line =
        header->value[0] ? text_format("%s: %s", header->name, header->value) : text_format("%s;", header->name);
    struct curl_slist *longer = line ? curl_slist_append(*list, line) : NULL;
    if (!longer)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static int make_headers(const struct transfer_request *request, struct curl_slist **list) {
    bool wait = request->body && request->body->size > EXPECT_ABOVE;
    *list = curl_slist_append(NULL, wait ? "Expect: 100-continue" : "Expect:");
    struct curl_slist *longer = *list ? curl_slist_append(*list, "Accept:") : NULL;
    if (!longer)
        return -ENOMEM;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct transfer_header *header = &request->headers[i];
        if (!is_header(header))
            return -EINVAL;
        if (strcasecmp(header->name, "content-length") == 0 || strcasecmp(header->name, "expect") == 0)
            continue;
        int error = append_header(list, header);
        if (error)
            return error;
    }
    return 0;
}

static long buffer_size(uint64_t bytes) {
    if (!bytes || bytes > BUFFER_MOST)
        return BUFFER_MOST;
    return bytes < BUFFER_LEAST ? BUFFER_LEAST : (long)bytes;
}

static void set_connection(const struct transfer *transfer, CURL *easy, const char *url) {
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_SHARE, transfer->share);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, transfer->user_agent);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name server when cancelled */
#endif
    if (transfer->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, transfer->ca_file);
    if (host_is_loopback(url))
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static void set_body(struct flow *flow, CURL *easy) {
    const struct transfer_request *request = flow->request;
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->body) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body->size);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, buffer_size(request->body->size));
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_source);
        curl_easy_setopt(easy, CURLOPT_READDATA, flow);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, flow);
    } else if (strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
    }
    if (strcmp(request->method, "HEAD") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static bool is_http(const char *url) {
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static int set_request(struct flow *flow, CURL *easy, struct curl_slist *headers) {
    const struct transfer_request *request = flow->request;
    if (curl_easy_setopt(easy, CURLOPT_URL, request->url))
        return -ENOMEM;
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, flow->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, flow);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, flow);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, buffer_size(request->sink ? request->expect : BUFFER_LEAST));
    set_body(flow, easy);
    return 0;
}

/* --- performing --- */

/* Whether bytes went out or came in since the last look; callbacks alone do not see a body leave. */
static void watch_progress(struct flow *flow) {
    curl_off_t up = 0, down = 0;
    curl_easy_getinfo(flow->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(flow->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    if (up + down != flow->moved) {
        flow->moved = up + down;
        note_progress(flow);
    }
}

static int check_end(struct flow *flow) {
    if (is_cancelled(flow->request))
        return PAIL_CANCELLED;
    watch_progress(flow);
    return clock_monotonic_ms() - flow->progress_ms > stall_of(flow->request) ? PAIL_OFFLINE : 0;
}

/* Until it is done (then *code is curl's verdict), or 0 < result: ended by us. */
static int drive(struct flow *flow, CURLM *multi, CURLcode *code) {
    int running = 1, error = 0, left;
    note_progress(flow);
    for (;;) {
        if (curl_multi_perform(multi, &running))
            return -ENOMEM;
        if (!running)
            break;
        if ((error = check_end(flow)))
            return error;
        if (curl_multi_poll(multi, NULL, 0, POLL_MS, NULL))
            return -ENOMEM;
    }
    CURLMsg *message = curl_multi_info_read(multi, &left);
    *code = message && message->msg == CURLMSG_DONE ? message->data.result : CURLE_RECV_ERROR;
    return 0;
}

static const char *reason_of(const struct flow *flow, CURLcode code) {
    if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING)
        return "the answer was cut short";
    return flow->error[0] ? flow->error : curl_easy_strerror(code);
}

static int result_of(const struct flow *flow, CURLcode code, struct fault *fault) {
    char url[300];
    if (flow->result)
        return flow->result; /* who gave it knows why */
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_URL_MALFORMAT:
        return fault_set(fault, -EINVAL, "the mapping server gave an address that is not one of a store");
    default:
        return fault_set(fault, PAIL_OFFLINE, "no answer from %s: %s",
                         log_redact_url(flow->request->url, url, sizeof url), reason_of(flow, code));
    }
}

static int run_flow(struct flow *flow, CURLM *multi, struct fault *fault) {
    char url[300];
    CURLcode code = CURLE_OK;
    if (curl_multi_add_handle(multi, flow->easy))
        return -ENOMEM;
    int error = drive(flow, multi, &code);
    flow->answer->still_ms = clock_monotonic_ms() - flow->progress_ms;
    curl_multi_remove_handle(multi, flow->easy);
    if (error == PAIL_OFFLINE)
        return fault_set(fault, error, "%s has not moved a byte for %lld s",
                         log_redact_url(flow->request->url, url, sizeof url),
                         (long long)(stall_of(flow->request) + 999) / 1000);
    return error ? error : result_of(flow, code, fault);
}

static int perform_on(struct transfer *transfer, struct slot *slot, const struct transfer_request *request,
                      struct transfer_answer *answer, struct fault *fault) {
    struct flow flow = {.transfer = transfer, .request = request, .answer = answer, .easy = slot->easy};
    struct curl_slist *headers = NULL;
    int error = is_http(request->url) ? make_headers(request, &headers) : -EINVAL;
    if (!error) {
        curl_easy_reset(slot->easy);
        set_connection(transfer, slot->easy, request->url);
        error = set_request(&flow, slot->easy, headers);
    }
    if (!error)
        error = run_flow(&flow, slot->multi, fault);
    curl_slist_free_all(headers);
    answer->body_size = flow.body.size;
    answer->body = flow.body.data; /* handed over */
    buffer_finish(&flow.headers);
    return error;
}

int transfer_perform(struct transfer *transfer, const struct transfer_request *request, struct transfer_answer *answer,
                     struct fault *fault) {
    *answer = (struct transfer_answer){.length = -1};
    char url[300];
    struct slot *slot = NULL;
    int64_t began = clock_monotonic_ms();
    if (is_cancelled(request))
        return PAIL_CANCELLED;
    int error = take_slot(transfer, request, &slot);
    if (error > 0) {
        answer->still_ms = clock_monotonic_ms() - began;
        return fault_set(fault, error, "no connection became free for %s",
                         log_redact_url(request->url, url, sizeof url));
    }
    if (!error)
        error = perform_on(transfer, slot, request, answer, fault);
    give_slot(transfer, request, slot);
    log_debug("%s %s: %d (%s) in %lld ms", request->method, log_redact_url(request->url, url, sizeof url),
              answer->status, error_text(error), (long long)(clock_monotonic_ms() - began));
    return error;
}
