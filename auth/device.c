/* The device authorization grant. */
#include "auth/device.h"

#include "auth/form.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_INTERVAL_S = 5, SLOWER_S = 5, LONGEST_INTERVAL_S = 60 }; /* RFC 8628 3.2 and 3.5 */
enum { DEFAULT_LIFE_S = 600, LONGEST_LIFE_S = 1800, MARGIN_MS = 250, LOOK_MS = 100 };
enum { MAX_USER_CODE = 64, MAX_URL = 2048, MAX_CODE = 4096 };

void device_finish(struct device *device) {
    secret_free(device->code);
    free(device->user_code);
    free(device->url);
    free(device->url_whole);
    *device = (struct device){0};
}

static bool is_printable(const char *text, size_t most) {
    if (!text || !*text || strlen(text) > most)
        return false;
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

static bool is_address(const char *text) {
    return is_printable(text, MAX_URL) && !strchr(text, ' ') && fetch_url_allowed(text);
}

static int64_t in_bounds(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

static int copy_texts(struct device *out, const struct json *json) {
    const char *whole = json_get_text(json, "verification_uri_complete");
    out->code = strdup(json_get_text(json, "device_code"));
    out->user_code = strdup(json_get_text(json, "user_code"));
    out->url = strdup(json_get_text(json, "verification_uri"));
    if (is_address(whole) && !(out->url_whole = strdup(whole)))
        return -ENOMEM;
    return out->code && out->user_code && out->url ? 0 : -ENOMEM;
}

static int read_code(struct device *out, const struct json *json, struct fault *fault) {
    if (!is_printable(json_get_text(json, "device_code"), MAX_CODE) ||
        !is_printable(json_get_text(json, "user_code"), MAX_USER_CODE) ||
        !is_address(json_get_text(json, "verification_uri")))
        return fault_set(fault, PAIL_DAMAGED, "the issuer's answer has no code and address to show");
    int r = copy_texts(out, json);
    if (r)
        return r;
    int64_t now_ms = clock_monotonic_ms();
    out->life_s = in_bounds(json_get_integer(json, "expires_in", DEFAULT_LIFE_S), 1, LONGEST_LIFE_S);
    out->interval_ms = 1000 * in_bounds(json_get_integer(json, "interval", DEFAULT_INTERVAL_S), 1, LONGEST_INTERVAL_S);
    out->expires_ms = now_ms + out->life_s * 1000;
    out->due_ms = now_ms + out->interval_ms + MARGIN_MS;
    return 0;
}

int device_begin(struct device *out, struct fetch *fetch, const char *device_url, const struct device_request *request,
                 const _Atomic bool *cancelled, struct fault *fault) {
    *out = (struct device){0};
    const struct form_field fields[] = {
        {"client_id", request->client_id}, {"scope", request->scopes}, {"audience", request->audience}};
    CLEANUP(fetch_answer_finish) struct fetch_answer answer = {0};
    int r = form_post(fetch, device_url, fields, sizeof fields / sizeof *fields, cancelled, &answer, fault);
    if (r)
        return r;
    char words[300];
    form_error_words(&answer, words, sizeof words);
    if (form_is_for_later(&answer))
        return fault_set(fault, PAIL_OFFLINE, "the issuer gives no code right now (%s); try again", words);
    if (answer.status != 200)
        return fault_set(fault, PAIL_DENIED, "the issuer gives this application no code to type (%s)", words);
    r = read_code(out, answer.json, fault);
    if (r)
        device_finish(out);
    return r;
}

/* Whether it is time to ask again; else why not. */
static int wait_until_due(const struct device *device, int64_t end_ms, const _Atomic bool *cancelled,
                          struct fault *fault) {
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        if (cancelled && atomic_load(cancelled))
            return fault_set(fault, PAIL_CANCELLED, "the login was cancelled");
        if (now_ms >= end_ms)
            return fault_set(fault, -ETIMEDOUT, "nobody typed the code in time; run 'pail login' again");
        if (now_ms >= device->due_ms)
            return 0;
        clock_sleep_ms(LOOK_MS);
    }
}

/* Counted from the answer, not from the request: an issuer counts when it hears us. */
static void plan_next(struct device *device, int result, const struct token_poll *poll) {
    if (poll->slow_down)
        device->interval_ms += 1000 * SLOWER_S;
    else if (result == PAIL_OFFLINE)
        device->interval_ms *= 2;
    device->interval_ms = in_bounds(device->interval_ms, 1000, 1000 * LONGEST_INTERVAL_S);
    int64_t wished_ms = 1000 * in_bounds(poll->retry_after_s, 0, LONGEST_INTERVAL_S);
    int64_t pause_ms = wished_ms > device->interval_ms ? wished_ms : device->interval_ms;
    device->due_ms = clock_monotonic_ms() + pause_ms + MARGIN_MS;
}

int device_wait(struct device *device, struct token_set *out, struct fetch *fetch, const char *token_url,
                const char *client_id, int timeout_s, const _Atomic bool *cancelled, struct fault *fault) {
    int64_t end_ms = device->expires_ms, limit_ms = clock_monotonic_ms() + 1000ll * timeout_s;
    if (timeout_s > 0 && limit_ms < end_ms)
        end_ms = limit_ms;
    for (;;) {
        struct token_poll poll = {.retry_after_s = -1};
        int r = wait_until_due(device, end_ms, cancelled, fault);
        if (r)
            return r;
        r = token_poll(out, fetch, token_url, client_id, device->code, cancelled, &poll, fault);
        if (r != PAIL_BUSY && r != PAIL_OFFLINE)
            return r;
        if (fault)
            fault->text[0] = 0; /* it passes */
        plan_next(device, r, &poll);
    }
}
