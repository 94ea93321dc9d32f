/* One operation on the object store over all its attempts. */
#include "s3/exchange.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/listing.h"

#include <stdlib.h>
#include <string.h>

#define MOST_HEADERS 64

static struct fault *fault_of(const struct exchange *exchange) {
    return exchange->call ? exchange->call->fault : NULL;
}

static const _Atomic bool *cancelled_of(const struct exchange *exchange) {
    return exchange->call ? exchange->call->cancelled : NULL;
}

/* Seconds of a Retry-After header; -1 without. Its other form, a date, is not used by stores. */
static int64_t retry_after_s(const struct transfer_answer *answer) {
    const char *text = transfer_answer_header(answer, "retry-after");
    uint64_t seconds;
    return text && text_parse_u64(text, &seconds) == 0 && seconds < 3600 ? (int64_t)seconds : -1;
}

struct status exchange_blame(struct exchange *exchange, int http, const char *code, const char *message) {
    const char *marker = transfer_answer_header(&exchange->answer, "x-amz-delete-marker");
    const char *id = transfer_answer_header(&exchange->answer, "x-amz-request-id");
    struct status status = status_of(exchange->operation, http, code, message, text_equal(marker, "true"));
    if (status.error)
        fault_set(fault_of(exchange), status.error, "the store answered %d%s%s%s%s%s%s%s", http, code ? " " : "",
                  code ? code : "", message && message[0] ? ": " : "", message ? message : "", id ? " (request " : "",
                  id ? id : "", id ? ")" : "");
    if (status.error == PAIL_NO_BUCKET)
        fault_prefix(fault_of(exchange), status.error, "%s", error_text(status.error));
    else if (code && strcmp(code, "RequestTimeTooSkewed") == 0) /* signed with the server's time, in every mode */
        fault_prefix(fault_of(exchange), status.error,
                     "the mapping server's clock is not that of the store, whoever runs the server must set it");
    return status;
}

static struct status verdict(struct exchange *exchange) {
    const struct transfer_answer *answer = &exchange->answer;
    if (answer->status >= 200 && answer->status < 300)
        return exchange->judge ? exchange->judge(exchange) : (struct status){0, STATUS_FINAL};
    struct listing_error said = {0};
    if (answer->body_size && listing_parse_error(answer->body, answer->body_size, &said))
        said = (struct listing_error){0};
    struct status status = exchange_blame(exchange, answer->status, said.code, said.message);
    listing_error_finish(&said);
    return status;
}

/* The grant's headers for this URL, then the extras. */
static size_t join_headers(const struct exchange *exchange, const struct grant *grant, struct transfer_header *out) {
    bool last = grant->last_headers && exchange->url_index + 1 == grant->url_count;
    const struct transfer_header *headers = last ? grant->last_headers : grant->headers;
    size_t count = last ? grant->last_header_count : grant->header_count;
    if (count > MOST_HEADERS)
        count = MOST_HEADERS;
    memcpy(out, headers, count * sizeof *out);
    memcpy(out + count, exchange->extras, exchange->extra_count * sizeof *out);
    return count + exchange->extra_count;
}

static int read_grant_body(void *context, uint64_t offset, void *data, size_t size) {
    const struct grant *grant = context;
    memcpy(data, (const char *)grant->body + offset, size);
    return 0;
}

static int send_request(struct exchange *exchange, const struct grant *grant) {
    struct transfer_header headers[MOST_HEADERS + EXCHANGE_EXTRAS];
    struct store_source given = {read_grant_body, (void *)(uintptr_t)grant, grant->body_size};
    struct transfer_request request = {
        .method = grant->method,
        .url = grant->urls[exchange->url_index < grant->url_count ? exchange->url_index : 0],
        .headers = headers,
        .header_count = join_headers(exchange, grant, headers),
        .body = grant->body ? &given : exchange->body,
        .begin = exchange->begin,
        .begin_context = exchange,
        .sink = exchange->sink,
        .expect = exchange->expect,
        .stall_ms = retry_left_ms(&exchange->retry),
        .cancelled = cancelled_of(exchange),
    };
    return transfer_perform(exchange->transfer, &request, &exchange->answer, fault_of(exchange));
}

/* What one attempt has come to. */
struct outcome {
    int error;
    enum status_retry retry;
    int64_t after_s;
};

static struct outcome without_answer(struct exchange *exchange, int error) {
    retry_idle(&exchange->retry, exchange->answer.still_ms);
    bool again = error == PAIL_OFFLINE;
    return (struct outcome){error, again ? STATUS_RETRY : STATUS_FINAL, -1};
}

static struct outcome with_grant(struct exchange *exchange, const struct grant *grant) {
    transfer_answer_finish(&exchange->answer);
    int error = send_request(exchange, grant);
    if (exchange->answer.sunk) {
        exchange->sunk += exchange->answer.sunk;
        retry_progress(&exchange->retry);
    }
    if (error)
        return without_answer(exchange, error);
    struct status status = verdict(exchange);
    return (struct outcome){status.error, status.retry, retry_after_s(&exchange->answer)};
}

static struct outcome without_grant(struct exchange *exchange, int error, int64_t began_ms) {
    retry_idle(&exchange->retry, clock_monotonic_ms() - began_ms);
    bool again = error == PAIL_OFFLINE || error == PAIL_BUSY;
    return (struct outcome){error, again ? STATUS_RETRY : STATUS_FINAL, -1};
}

static struct outcome attempt(struct exchange *exchange) {
    const struct grant *grant = NULL;
    int64_t began_ms = clock_monotonic_ms();
    int error = exchange->prepare ? exchange->prepare(exchange) : 0;
    if (error)
        return (struct outcome){error == EXCHANGE_DONE ? 0 : error, STATUS_FINAL, -1};
    error = grants_get(exchange->grants, &exchange->item, retry_left_ms(&exchange->retry), cancelled_of(exchange),
                       &grant, fault_of(exchange));
    if (error)
        return without_grant(exchange, error, began_ms);
    struct outcome outcome = with_grant(exchange, grant);
    if (outcome.error && outcome.retry == STATUS_NEW_GRANT)
        grants_refused(exchange->grants, &exchange->item, grant);
    grants_release(exchange->grants, grant);
    return outcome;
}

/* 0: another attempt is to be made. */
static int consider(struct exchange *exchange, const struct outcome *outcome) {
    int error = outcome->error;
    if (outcome->retry == STATUS_NEW_GRANT)
        return retry_renew(&exchange->retry) ? 0 : error;
    if (outcome->retry != STATUS_RETRY)
        return error;
    int pause = retry_pause(&exchange->retry, outcome->after_s);
    if (!pause)
        log_debug("%s %s: again after: %s", exchange->verb, exchange->key, error_text(error));
    return pause == PAIL_OFFLINE ? error : pause;
}

int exchange_run(struct exchange *exchange) {
    struct fault *fault = fault_of(exchange);
    if (fault)
        fault->text[0] = 0;
    retry_init(&exchange->retry, exchange->call);
    for (;;) {
        struct outcome outcome = attempt(exchange);
        if (!outcome.error)
            return 0;
        int error = consider(exchange, &outcome);
        if (error)
            return fault_prefix(fault, error, "could not %s %s", exchange->verb, exchange->key);
    }
}

void exchange_finish(struct exchange *exchange) {
    transfer_answer_finish(&exchange->answer);
}
