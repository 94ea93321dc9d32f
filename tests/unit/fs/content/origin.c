/* An origin for tests, and what goes with it. */
#include "origin.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static uint64_t seed_of(uint64_t ino, const char *identity) {
    uint64_t seed = ino * 0x9e3779b97f4a7c15u;
    for (; *identity; identity++)
        seed = (seed ^ (unsigned char)*identity) * 0x100000001b3u;
    return seed;
}

static unsigned char byte_at(uint64_t seed, uint64_t at) {
    uint64_t x = seed + at / 8 * 0xd1342543de82ef95u;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (unsigned char)(x >> (at % 8 * 8));
}

unsigned char origin_byte(uint64_t ino, const char *identity, uint64_t at) {
    return byte_at(seed_of(ino, identity), at);
}

void origin_fill(uint64_t ino, const char *identity, uint64_t at, void *data, size_t size) {
    uint64_t seed = seed_of(ino, identity);
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)data)[i] = byte_at(seed, at + i);
}

/* How many bytes from `at` may be sent now; waits while there are none. Under lock. */
static size_t wait_for_leave(struct origin *origin, uint64_t at, uint64_t end) {
    while (origin->stop_at && at >= origin->stop_at && !origin->ending)
        pthread_cond_wait(&origin->changed, &origin->lock);
    uint64_t n = end - at;
    if (origin->stop_at > at && n > origin->stop_at - at)
        n = origin->stop_at - at;
    return n < origin->piece ? (size_t)n : origin->piece;
}

static bool fill_stored(struct origin *origin, const char *identity, uint64_t at, char *data, size_t size) {
    bool found = false;
    pthread_mutex_lock(&origin->lock);
    for (size_t i = 0; !found && i < sizeof origin->stored / sizeof *origin->stored; i++) {
        const struct stored *stored = &origin->stored[i];
        found = stored->data && !strcmp(stored->identity, identity) && at + size <= stored->size;
        if (found)
            memcpy(data, stored->data + at, size);
    }
    pthread_mutex_unlock(&origin->lock);
    return found;
}

void origin_put(struct origin *origin, const char *identity, const void *data, size_t size) {
    pthread_mutex_lock(&origin->lock);
    struct stored *stored = &origin->stored[origin->stored_count++ % (sizeof origin->stored / sizeof *origin->stored)];
    free(stored->data);
    stored->data = malloc(size + 1);
    stored->size = size;
    memcpy(stored->data, data, size);
    snprintf(stored->identity, sizeof stored->identity, "%s", identity);
    pthread_mutex_unlock(&origin->lock);
}

static void count_sent(struct origin *origin, size_t n) {
    pthread_mutex_lock(&origin->lock);
    origin->bytes += n;
    pthread_mutex_unlock(&origin->lock);
}

static void count_cut(struct origin *origin, size_t n) {
    pthread_mutex_lock(&origin->lock);
    origin->bytes -= n;
    origin->cut++;
    pthread_mutex_unlock(&origin->lock);
}

static int send_all(struct origin *origin, const struct asked *asked, uint64_t end) {
    AUTO_FREE char *data = malloc(origin->piece);
    for (uint64_t at = asked->offset; at < end;) {
        pthread_mutex_lock(&origin->lock);
        size_t n = wait_for_leave(origin, at, end);
        pthread_mutex_unlock(&origin->lock);
        if (!fill_stored(origin, asked->identity, at, data, n))
            origin_fill(asked->ino, asked->identity, at, data, n);
        count_sent(origin, n); /* first: a reader looks at the count when it has the bytes */
        if (content_fetch_data(asked->fetch, data, n)) {
            count_cut(origin, n);
            return PAIL_CANCELLED;
        }
        at += n;
    }
    return 0;
}

static void answer(struct origin *origin, struct asked *asked) {
    pthread_mutex_lock(&origin->lock);
    int fail = origin->fail_count ? origin->fail : 0;
    if (origin->fail_count)
        origin->fail_count--;
    bool early = origin->early;
    unsigned delay_ms = origin->delay_ms;
    pthread_mutex_unlock(&origin->lock);
    if (delay_ms)
        clock_sleep_ms(delay_ms);
    uint64_t end = asked->offset + (early || fail ? asked->length / 2 : asked->length);
    int r = send_all(origin, asked, end);
    content_fetch_end(asked->fetch, r ? r : fail);
    free(asked);
}

/* Under lock. */
static struct asked *take_next(struct origin *origin) {
    for (struct asked **at = &origin->first; *at; at = &(*at)->next) {
        struct asked *asked = *at;
        if (!origin->ending && (origin->held || asked->ino == origin->held_ino))
            continue;
        *at = asked->next;
        if (!asked->next)
            origin->last = at;
        return asked;
    }
    return NULL;
}

static void *serve(void *context) {
    struct origin *origin = context;
    pthread_mutex_lock(&origin->lock);
    for (;;) {
        struct asked *asked = take_next(origin);
        if (asked) {
            origin->busy++;
            pthread_mutex_unlock(&origin->lock);
            answer(origin, asked);
            pthread_mutex_lock(&origin->lock);
            origin->busy--;
            pthread_cond_broadcast(&origin->changed);
        } else if (origin->ending) {
            break;
        } else {
            pthread_cond_wait(&origin->changed, &origin->lock);
        }
    }
    pthread_mutex_unlock(&origin->lock);
    return NULL;
}

static int fetch(void *context, uint64_t ino, const char *identity, uint64_t offset, uint64_t length, bool urgent,
                 struct content_fetch *content_fetch) {
    struct origin *origin = context;
    struct asked *asked = calloc(1, sizeof *asked);
    *asked = (struct asked){.ino = ino, .offset = offset, .length = length, .urgent = urgent, .fetch = content_fetch};
    snprintf(asked->identity, sizeof asked->identity, "%s", identity);
    pthread_mutex_lock(&origin->lock);
    if (origin->fetches < sizeof origin->log / sizeof *origin->log)
        origin->log[origin->fetches] = *asked;
    origin->fetches++;
    if (length > origin->largest)
        origin->largest = length;
    bool refuse = origin->refuse;
    if (!refuse) {
        *origin->last = asked;
        origin->last = &asked->next;
    }
    pthread_cond_broadcast(&origin->changed);
    pthread_mutex_unlock(&origin->lock);
    if (refuse)
        free(asked);
    return refuse ? PAIL_OFFLINE : 0;
}

void origin_init(struct origin *origin) {
    memset(origin, 0, sizeof *origin);
    pthread_mutex_init(&origin->lock, NULL);
    pthread_cond_init(&origin->changed, NULL);
    origin->last = &origin->first;
    origin->piece = 40000;
    for (int i = 0; i < ORIGIN_THREADS; i++)
        assert_int_equal(pthread_create(&origin->threads[i], NULL, serve, origin), 0);
}

void origin_finish(struct origin *origin) {
    pthread_mutex_lock(&origin->lock);
    origin->ending = true;
    pthread_cond_broadcast(&origin->changed);
    pthread_mutex_unlock(&origin->lock);
    for (int i = 0; i < ORIGIN_THREADS; i++)
        pthread_join(origin->threads[i], NULL);
    for (size_t i = 0; i < sizeof origin->stored / sizeof *origin->stored; i++)
        free(origin->stored[i].data);
    pthread_cond_destroy(&origin->changed);
    pthread_mutex_destroy(&origin->lock);
}

struct content_origin origin_of(struct origin *origin) {
    return (struct content_origin){origin, fetch};
}

void origin_hold(struct origin *origin, bool held) {
    pthread_mutex_lock(&origin->lock);
    origin->held = held;
    pthread_cond_broadcast(&origin->changed);
    pthread_mutex_unlock(&origin->lock);
}

void origin_set_stop(struct origin *origin, uint64_t at) {
    pthread_mutex_lock(&origin->lock);
    origin->stop_at = at;
    pthread_cond_broadcast(&origin->changed);
    pthread_mutex_unlock(&origin->lock);
}

unsigned origin_fetches(struct origin *origin) {
    pthread_mutex_lock(&origin->lock);
    unsigned n = origin->fetches;
    pthread_mutex_unlock(&origin->lock);
    return n;
}

uint64_t origin_bytes(struct origin *origin) {
    pthread_mutex_lock(&origin->lock);
    uint64_t n = origin->bytes;
    pthread_mutex_unlock(&origin->lock);
    return n;
}

void origin_wait_fetches(struct origin *origin, unsigned count) {
    pthread_mutex_lock(&origin->lock);
    while (origin->fetches < count)
        pthread_cond_wait(&origin->changed, &origin->lock);
    pthread_mutex_unlock(&origin->lock);
}

void origin_wait_idle(struct origin *origin) {
    pthread_mutex_lock(&origin->lock);
    while (origin->first || origin->busy)
        pthread_cond_wait(&origin->changed, &origin->lock);
    pthread_mutex_unlock(&origin->lock);
}

/* ---- Fixtures */

void fixture_init(struct fixture *fixture) {
    char folder[] = "/tmp/pail-content-XXXXXX";
    assert_non_null(mkdtemp(folder));
    fixture_init_at(fixture, folder);
}

void fixture_init_at(struct fixture *fixture, const char *folder) {
    memset(fixture, 0, sizeof *fixture);
    snprintf(fixture->folder, sizeof fixture->folder, "%s", folder);
    snprintf(fixture->cache, sizeof fixture->cache, "%s/cache", fixture->folder);
    snprintf(fixture->spool, sizeof fixture->spool, "%s/spool", fixture->folder);
    origin_init(&fixture->origin);
    fixture->options = (struct content_options){.cache_folder = fixture->cache,
                                                .spool_folder = fixture->spool,
                                                .disk_reserve = 1 << 20,
                                                .cache_limit = 1 << 30,
                                                .origin = origin_of(&fixture->origin)};
}

void fixture_start(struct fixture *fixture) {
    struct fault fault = {""};
    int r = content_create(&fixture->content, &fixture->options, &fault);
    if (r)
        fail_msg("content_create: %d %s", r, fault.text);
}

void fixture_stop(struct fixture *fixture) {
    origin_set_stop(&fixture->origin, 0); /* content waits for what is under way */
    origin_hold(&fixture->origin, false);
    content_destroy(fixture->content);
    fixture->content = NULL;
}

void fixture_finish(struct fixture *fixture) {
    fixture_stop(fixture);
    origin_finish(&fixture->origin);
    file_remove_tree(fixture->folder);
}

struct content_handle *fixture_open(struct fixture *fixture, uint64_t ino, const char *identity, uint64_t size,
                                    uint64_t spool) {
    struct content_handle *handle = NULL;
    int r = content_open(fixture->content, ino, &(struct content_version){identity, size}, spool,
                         content_moment(fixture->content, ino), &handle);
    if (r)
        fail_msg("content_open: %d", r);
    return handle;
}

/* ---- Reads */

static void done(void *context, const struct content_answer *answer) {
    struct pending *pending = context;
    char *data = NULL;
    size_t size = answer->size;
    if (!answer->result) {
        data = malloc(size + 1);
        if (answer->data)
            memcpy(data, answer->data, size);
        else
            size = (size_t)file_pread_all(answer->fd, data, size, answer->fd_offset);
    }
    pthread_mutex_lock(&pending->lock);
    pending->calls++;
    pending->result = answer->result;
    pending->size = size;
    pending->data = data;
    pending->spliced = !answer->result && !answer->data;
    pthread_cond_broadcast(&pending->told);
    pthread_mutex_unlock(&pending->lock);
}

void pending_read(struct pending *pending, struct content_handle *handle, uint64_t offset, size_t size) {
    *pending = (struct pending){0};
    pthread_mutex_init(&pending->lock, NULL);
    pthread_cond_init(&pending->told, NULL);
    content_read(handle, offset, size, done, pending);
}

bool pending_is_done(struct pending *pending) {
    pthread_mutex_lock(&pending->lock);
    bool is = pending->calls;
    pthread_mutex_unlock(&pending->lock);
    return is;
}

int pending_wait(struct pending *pending) {
    pthread_mutex_lock(&pending->lock);
    while (!pending->calls)
        pthread_cond_wait(&pending->told, &pending->lock);
    assert_int_equal(pending->calls, 1);
    int r = pending->result;
    pthread_mutex_unlock(&pending->lock);
    return r;
}

void pending_finish(struct pending *pending) {
    free(pending->data);
    pthread_cond_destroy(&pending->told);
    pthread_mutex_destroy(&pending->lock);
}

int read_now(struct content_handle *handle, uint64_t offset, size_t size, char **data, size_t *got) {
    struct pending pending;
    pending_read(&pending, handle, offset, size);
    int r = pending_wait(&pending);
    *data = TAKE(pending.data);
    *got = pending.size;
    pending_finish(&pending);
    return r;
}

void assert_origin(struct content_handle *handle, uint64_t ino, const char *identity, uint64_t offset, size_t size) {
    AUTO_FREE char *data = NULL;
    AUTO_FREE char *expected = malloc(size + 1);
    size_t got;
    assert_int_equal(read_now(handle, offset, size, &data, &got), 0);
    assert_int_equal(got, size);
    origin_fill(ino, identity, offset, expected, size);
    if (memcmp(data, expected, size) != 0) {
        size_t i = 0;
        while (data[i] == expected[i])
            i++;
        fail_msg("byte %zu of [%zu, +%zu) differs", i, (size_t)offset, size);
    }
}
