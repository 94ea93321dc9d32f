/* Grants: batched, kept, each minted once for all who wait. */
#include "s3/grants.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "patience.h"
#include "s3/wire.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A mapping server that is not there: answers each item by what its key says. */
struct server {
    const char *request_id; /* of the answers; NULL: they have none */
    pthread_mutex_t lock;
    unsigned delay_ms;
    _Atomic int error;
    _Atomic unsigned batches, items, largest, serial;
    _Atomic int64_t life_s;
    _Atomic unsigned again; /* items of a batch beyond these are put off */
    _Atomic size_t largest_body;
    char refused[64]; /* the last URL that the store refused */
};

static struct json *answer_part(struct server *server, int64_t count) {
    struct json *grant = json_object(), *urls = json_array(), *headers = json_object(), *last = json_object();
    for (int64_t i = 0; i < count; i++) {
        char url[64];
        snprintf(url, sizeof url, "https://store.example/part?n=%lld", (long long)i);
        json_push_text(urls, url);
    }
    json_add_text(headers, "content-length", "5");
    json_add_text(last, "content-length", "2");
    json_add_text(grant, "method", "PUT");
    json_add(grant, "urls", urls);
    json_add(grant, "headers", headers);
    json_add(grant, "last_headers", last);
    json_add_integer(grant, "expires_in", server->life_s);
    return grant;
}

static struct json *refusal(const char *code) {
    struct json *grant = json_object(), *error = json_object();
    json_add_text(error, "code", code);
    json_add_text(error, "message", "no, because");
    json_add(grant, "error", error);
    return grant;
}

static struct json *answer_item(struct server *server, const struct json *item) {
    const char *key = json_get_text(item, "key");
    int64_t count = json_get_integer(item, "count", 0);
    if (count)
        return answer_part(server, count);
    if (strncmp(key, "error ", 6) == 0)
        return refusal(key + 6);
    struct json *grant = json_object(), *headers = json_object();
    char url[64];
    snprintf(url, sizeof url, "https://store.example/%u", ++server->serial);
    json_add_text(headers, "x-amz-meta-a", "b");
    json_add_text(grant, "method", "GET");
    json_add_text(grant, "url", strcmp(key, "bad url") == 0 ? "file:///etc/passwd" : url);
    json_add(grant, "headers", headers);
    if (strcmp(key, "with body") == 0)
        json_add_text(grant, "body", "<Delete/>");
    json_add_integer(grant, "expires_in", server->life_s);
    return grant;
}

static void note_batch(struct server *server, unsigned count, size_t size) {
    pthread_mutex_lock(&server->lock);
    server->batches++;
    server->items += count;
    if (count > server->largest)
        server->largest = count;
    if (size > server->largest_body)
        server->largest_body = size;
    pthread_mutex_unlock(&server->lock);
}

static int mint(void *context, const char *body, size_t size, const _Atomic bool *cancelled, struct json **answer,
                struct fault *fault) {
    struct server *server = context;
    struct json *request = NULL;
    for (unsigned ms = 0; ms < server->delay_ms && !*cancelled; ms++)
        usleep(1000);
    if (server->error)
        return fault_set(fault, server->error, "planted");
    int error = json_parse(&request, body, size);
    if (error)
        return error;
    struct json *grants = json_array(), *out = json_object();
    unsigned count = 0;
    for (const struct json *item = json_first(json_get(request, "items")); item; item = json_next(item)) {
        bool later = server->again && count >= server->again;
        json_push(grants, later ? refusal(WIRE_ERROR_AGAIN) : answer_item(server, item));
        count++;
    }
    note_batch(server, count, size);
    json_add(out, "grants", grants);
    if (server->request_id)
        json_add_text(out, "request_id", server->request_id);
    json_destroy(request);
    *answer = out;
    return 0;
}

static void note_refused(void *context, const char *url) {
    struct server *server = context;
    pthread_mutex_lock(&server->lock);
    snprintf(server->refused, sizeof server->refused, "%s", url);
    pthread_mutex_unlock(&server->lock);
}

struct rig {
    struct server server;
    struct grants *grants;
};

static struct rig *start(size_t most_bytes) {
    struct rig *rig = calloc(1, sizeof *rig);
    rig->server.life_s = 900;
    pthread_mutex_init(&rig->server.lock, NULL);
    assert_int_equal(grants_create(&rig->grants, &(struct grants_mint){mint, &rig->server, note_refused}, most_bytes),
                     0);
    return rig;
}

static void stop(struct rig *rig) {
    grants_destroy(rig->grants);
    pthread_mutex_destroy(&rig->server.lock);
    free(rig);
}

static int get(struct rig *rig, const char *key, bool keep, char *url) {
    char text[200];
    const struct grant *grant;
    snprintf(text, sizeof text, "{\"op\":\"get\",\"key\":\"%s\"}", key);
    struct grants_item item = {text, 1, keep};
    int error = grants_get(rig->grants, &item, 5000, NULL, &grant, NULL);
    if (!error && url)
        strcpy(url, grant->urls[0]);
    grants_release(rig->grants, grant);
    return error;
}

static void test_kept(void **state) {
    struct rig *rig = start(0);
    char first[64], second[64];
    (void)state;
    assert_int_equal(get(rig, "a", true, first), 0);
    assert_int_equal(get(rig, "a", true, second), 0);
    assert_string_equal(first, second);
    assert_int_equal(rig->server.items, 1);
    assert_int_equal(get(rig, "b", true, second), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(get(rig, "c", false, first), 0);
    assert_int_equal(get(rig, "c", false, second), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(rig->server.items, 4);
    stop(rig);
}

static void test_content(void **state) {
    struct rig *rig = start(0);
    const struct grant *grant;
    struct grants_item item = {"{\"op\":\"x\",\"key\":\"with body\"}", 1, false};
    (void)state;
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &grant, NULL), 0);
    assert_string_equal(grant->method, "GET");
    assert_int_equal(grant->header_count, 1);
    assert_string_equal(grant->headers[0].name, "x-amz-meta-a");
    assert_string_equal(grant->headers[0].value, "b");
    assert_int_equal(grant->body_size, 9);
    assert_memory_equal(grant->body, "<Delete/>", 9);
    grants_release(rig->grants, grant);
    stop(rig);
}

static void test_part_run(void **state) {
    struct rig *rig = start(0);
    const struct grant *grant;
    struct grants_item item = {"{\"op\":\"part\",\"key\":\"k\",\"count\":3}", 3, true};
    (void)state;
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &grant, NULL), 0);
    assert_int_equal(grant->url_count, 3);
    assert_string_equal(grant->urls[2], "https://store.example/part?n=2");
    assert_string_equal(grant->headers[0].value, "5");
    assert_string_equal(grant->last_headers[0].value, "2");
    grants_release(rig->grants, grant);
    item.urls = 4; /* an answer with fewer URLs than were asked for is no answer */
    item.text = "{\"op\":\"part\",\"key\":\"l\",\"count\":3}";
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &grant, NULL), PAIL_DAMAGED);
    stop(rig);
}

static void test_refusals(void **state) {
    static const struct {
        const char *key;
        int error;
    } cases[] = {
        {"error token", PAIL_LOGIN_REQUIRED}, {"error denied", PAIL_DENIED},     {"error quota", PAIL_QUOTA},
        {"error too_large", PAIL_TOO_LARGE},  {"error busy", PAIL_BUSY},         {"error unavailable", PAIL_OFFLINE},
        {"error not_found", PAIL_GONE},       {"error conflict", PAIL_CONFLICT}, {"error bad_item", PAIL_UNSUPPORTED},
        {"error unheard of", PAIL_DAMAGED},   {"error again", PAIL_DAMAGED},     {"bad url", PAIL_DAMAGED},
    };
    struct rig *rig = start(0);
    struct fault fault = {""};
    const struct grant *grant;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(get(rig, cases[i].key, true, NULL), cases[i].error);
    struct grants_item item = {"{\"op\":\"get\",\"key\":\"error denied\"}", 1, true};
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &grant, &fault), PAIL_DENIED);
    assert_string_equal(fault.text, "no, because");
    rig->server.request_id = "4f3c";
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &grant, &fault), PAIL_DENIED);
    assert_string_equal(fault.text, "no, because (request 4f3c)");
    stop(rig);
}

struct asker {
    struct rig *rig;
    const char *key;
    char url[64];
    int error;
};

static void *ask(void *context) {
    struct asker *asker = context;
    asker->error = get(asker->rig, asker->key, true, asker->url);
    return NULL;
}

/* All who want the same wait for one minting. */
static void test_single_flight(void **state) {
    enum { THREADS = 40 };
    struct rig *rig = start(0);
    pthread_t threads[THREADS];
    struct asker askers[THREADS];
    (void)state;
    rig->server.delay_ms = 100;
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.rig = rig, .key = "same"};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].error, 0);
        assert_string_equal(askers[i].url, askers[0].url);
    }
    assert_int_equal(rig->server.items, 1);
    stop(rig);
}

/* What is wanted while a batch is under way travels together. */
static void test_batches(void **state) {
    enum { THREADS = 60 };
    struct rig *rig = start(0);
    pthread_t threads[THREADS];
    struct asker askers[THREADS];
    char keys[THREADS][16];
    (void)state;
    rig->server.delay_ms = 100;
    for (int i = 0; i < THREADS; i++) {
        snprintf(keys[i], sizeof keys[i], "key %d", i);
        askers[i] = (struct asker){.rig = rig, .key = keys[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].error, 0);
    }
    assert_int_equal(rig->server.items, THREADS);
    assert_true(rig->server.batches < THREADS / 2);
    assert_true(rig->server.largest > 4);
    stop(rig);
}

static void wait_for_items(struct rig *rig, unsigned items) {
    WAIT_UNTIL(rig->server.items >= items);
    assert_int_equal(rig->server.items, items);
}

/* Ahead of time; in batches that a server takes. */
static void test_want(void **state) {
    enum { COUNT = 2500 };
    struct rig *rig = start(0);
    struct grants_item items[COUNT];
    char(*texts)[700] = calloc(COUNT, sizeof *texts), padding[600];
    (void)state;
    memset(padding, 'p', sizeof padding - 1);
    padding[sizeof padding - 1] = 0;
    rig->server.delay_ms = 20;
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], "{\"op\":\"get\",\"key\":\"%d %s\"}", i, padding);
        items[i] = (struct grants_item){texts[i], 1, true};
    }
    grants_want(rig->grants, items, COUNT);
    wait_for_items(rig, COUNT);
    assert_true(rig->server.largest <= WIRE_MAX_URLS && rig->server.largest > 500);
    assert_true(rig->server.largest_body <= WIRE_MAX_REQUEST);
    const struct grant *grant;
    assert_int_equal(grants_get(rig->grants, &items[COUNT - 1], 5000, NULL, &grant, NULL), 0);
    grants_release(rig->grants, grant);
    assert_int_equal(rig->server.items, COUNT);
    free(texts);
    stop(rig);
}

/* What the server puts off is asked for again. */
static void test_again(void **state) {
    struct rig *rig = start(0);
    struct grants_item items[5] = {{"{\"key\":\"1\"}", 1, true},
                                   {"{\"key\":\"2\"}", 1, true},
                                   {"{\"key\":\"3\"}", 1, true},
                                   {"{\"key\":\"4\"}", 1, true},
                                   {"{\"key\":\"5\"}", 1, true}};
    (void)state;
    rig->server.again = 2;
    rig->server.delay_ms = 20;
    grants_want(rig->grants, items, 5);
    for (int i = 0; i < 5; i++) {
        const struct grant *grant;
        assert_int_equal(grants_get(rig->grants, &items[i], 5000, NULL, &grant, NULL), 0);
        grants_release(rig->grants, grant);
    }
    assert_true(rig->server.batches >= 3);
    stop(rig);
}

static void test_bounded(void **state) {
    struct rig *rig = start(20000);
    char key[16], url[64];
    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(get(rig, key, true, NULL), 0);
    }
    assert_int_equal(rig->server.items, 200);
    assert_int_equal(get(rig, "199", true, url), 0); /* the last used are there */
    assert_int_equal(rig->server.items, 200);
    assert_int_equal(get(rig, "0", true, url), 0); /* the first are not */
    assert_int_equal(rig->server.items, 201);
    stop(rig);
}

/* The mapping server is away: what is kept serves on, the rest fails, and all is well when it comes back. */
static void test_away(void **state) {
    struct rig *rig = start(0);
    (void)state;
    assert_int_equal(get(rig, "known", true, NULL), 0);
    rig->server.error = PAIL_OFFLINE;
    assert_int_equal(get(rig, "known", true, NULL), 0);
    assert_int_equal(get(rig, "unknown", true, NULL), PAIL_OFFLINE);
    rig->server.error = 0;
    assert_int_equal(get(rig, "unknown", true, NULL), 0);
    stop(rig);
}

static void test_expired(void **state) {
    struct rig *rig = start(0);
    char first[64], second[64];
    (void)state;
    rig->server.life_s = 1;
    assert_int_equal(get(rig, "short", true, first), 0);
    clock_sleep_ms(2100);
    rig->server.life_s = 900;
    assert_int_equal(get(rig, "short", true, second), 0);
    assert_string_not_equal(first, second);
    stop(rig);
}

/* In its last quarter a grant is renewed in the background, while it still serves; and still serves if that fails. */
static void test_renewed_early(void **state) {
    struct rig *away = start(0), *there = start(0);
    char first[2][64], later[64];
    (void)state;
    away->server.life_s = there->server.life_s = 12;
    assert_int_equal(get(away, "a", true, first[0]), 0);
    assert_int_equal(get(there, "b", true, first[1]), 0);
    clock_sleep_ms(9200);
    away->server.error = PAIL_OFFLINE;
    assert_int_equal(get(away, "a", true, later), 0);
    assert_string_equal(first[0], later);
    there->server.life_s = 900;
    assert_int_equal(get(there, "b", true, later), 0);
    WAIT_UNTIL(get(there, "b", true, later) == 0 && strcmp(first[1], later) != 0);
    assert_string_not_equal(first[1], later);
    assert_int_equal(there->server.items, 2);
    stop(away);
    stop(there);
}

static void test_refused_by_the_store(void **state) {
    struct rig *rig = start(0);
    struct grants_item item = {"{\"op\":\"get\",\"key\":\"a\"}", 1, true};
    const struct grant *old, *new;
    (void)state;
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &old, NULL), 0);
    grants_refused(rig->grants, &item, old);
    assert_string_equal(rig->server.refused, old->urls[0]);
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &new, NULL), 0);
    assert_ptr_not_equal(old, new);
    grants_refused(rig->grants, &item, old); /* again, by another thread: the new one stays */
    const struct grant *same;
    assert_int_equal(grants_get(rig->grants, &item, 5000, NULL, &same, NULL), 0);
    assert_ptr_equal(new, same);
    grants_release(rig->grants, old);
    grants_release(rig->grants, new);
    grants_release(rig->grants, same);
    assert_int_equal(rig->server.items, 2);
    stop(rig);
}

static void *set_later(void *context) {
    usleep(100000);
    *(_Atomic bool *)context = true;
    return NULL;
}

static void test_wait_ends(void **state) {
    struct rig *rig = start(0);
    struct grants_item item = {"{\"op\":\"get\",\"key\":\"a\"}", 1, true};
    const struct grant *grant;
    _Atomic bool cancelled = false;
    pthread_t thread;
    (void)state;
    rig->server.delay_ms = 1000000;
    int64_t began = clock_monotonic_ms();
    assert_int_equal(grants_get(rig->grants, &item, 200, NULL, &grant, NULL), PAIL_OFFLINE);
    assert_in_range(clock_monotonic_ms() - began, 200, SOON_MS);
    pthread_create(&thread, NULL, set_later, &cancelled);
    began = clock_monotonic_ms();
    assert_int_equal(grants_get(rig->grants, &item, 2 * PATIENCE_MS, &cancelled, &grant, NULL), PAIL_CANCELLED);
    assert_true(clock_monotonic_ms() - began < SOON_MS);
    pthread_join(thread, NULL);
    stop(rig); /* does not wait for the server */
}

struct stress {
    struct rig *rig;
    unsigned seed;
    int error;
};

static void stress_once(struct stress *stress, const struct grants_item *item) {
    const struct grant *grant = NULL;
    unsigned dice = (unsigned)rand_r(&stress->seed) % 10;
    if (dice == 0) {
        grants_want(stress->rig->grants, item, 1);
        return;
    }
    int error = grants_get(stress->rig->grants, item, 10000, NULL, &grant, NULL);
    if (error && error != PAIL_OFFLINE)
        stress->error = error;
    if (!error && strncmp(grant->urls[0], "https://", 8) != 0)
        stress->error = -EIO;
    if (!error && dice == 1)
        grants_refused(stress->rig->grants, item, grant);
    grants_release(stress->rig->grants, grant);
}

static void *stress_all(void *context) {
    struct stress *stress = context;
    for (int i = 0; i < 400 && !stress->error; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"op\":\"get\",\"key\":\"%d\"}", rand_r(&stress->seed) % 50);
        struct grants_item item = {text, 1, rand_r(&stress->seed) % 4 != 0};
        stress_once(stress, &item);
        if (i % 100 == 50)
            stress->rig->server.error = stress->rig->server.error ? 0 : PAIL_OFFLINE;
    }
    return NULL;
}

/* Everything at once: for the sanitizers. */
static void test_stress(void **state) {
    enum { THREADS = 16 };
    struct rig *rig = start(10000);
    pthread_t threads[THREADS];
    struct stress jobs[THREADS];
    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (struct stress){.rig = rig, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, stress_all, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].error, 0);
    }
    stop(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_part_run),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_single_flight),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_away),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_renewed_early),
        cmocka_unit_test(test_refused_by_the_store),
        cmocka_unit_test(test_wait_ends),
        cmocka_unit_test(test_stress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
