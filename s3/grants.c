/* Grants: batched, kept, each minted once for all who wait.
 *
 * A wish is an item that somebody asked for:
 *   IDLE      nothing is under way. Kept in the table only with a grant
 *   QUEUED    in a lane, waits for a batch
 *   MINTING   in a batch that is on its way
 * QUEUED and MINTING may have an older grant that is still good. One batch leaves at once when none is on its way; what
 * comes meanwhile travels together, at the latest after GATHER_MS. */
#include "s3/grants.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/grant.h"
#include "s3/wire.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define THREADS 4
#define GATHER_MS 5
#define BATCH_BYTES (WIRE_MAX_REQUEST - 4096u)
#define MOST_BYTES (16u << 20)
#define MOST_LATER 4000u /* wishes in the lane that nobody waits for */
#define MARGIN_MS 10000  /* a grant this near its end is renewed first */
#define HOLD_MS 5000     /* between attempts to renew in the background */
#define LOOK_MS 80

enum lane { LANE_NOW, LANE_LATER, LANES };
enum wish_state { WISH_IDLE, WISH_QUEUED, WISH_MINTING };

struct wish {
    TAILQ_ENTRY(wish) queue; /* in a lane, or in a batch */
    TAILQ_ENTRY(wish) age;   /* in kept */
    struct wish *next;       /* in the table */
    uint64_t hash;
    enum wish_state state;
    enum lane lane;
    bool keep, is_kept;
    unsigned urls, waiters;
    uint64_t round; /* grows when an answer has come */
    int error;      /* of the last answer */
    char *why;      /* owned: the text of that error; NULL without */
    int64_t queued_ms, hold_until_ms;
    struct owned_grant *grant; /* one use is ours; NULL without */
    size_t size;
    char text[];
};
TAILQ_HEAD(wishes, wish);

struct grants {
    struct grants_mint mint;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct wishes lanes[LANES]; /* under lock, as all below */
    size_t lane_count[LANES];
    unsigned queued_urls, in_flight;
    struct wishes kept; /* least recently used first */
    size_t kept_bytes, most_bytes;
    struct wish **table; /* owned; capacity is a power of two */
    size_t capacity, count;
    bool ending;
    _Atomic bool cancelled;
    unsigned threads_started, threads_waiting;
    pthread_t threads[THREADS];
};

/* --- the table; under lock --- */

static struct wish *find_wish(const struct grants *grants, const char *text, size_t size, uint64_t hash) {
    struct wish *wish = grants->capacity ? grants->table[hash & (grants->capacity - 1)] : NULL;
    while (wish && (wish->hash != hash || wish->size != size || memcmp(wish->text, text, size) != 0))
        wish = wish->next;
    return wish;
}

static int grow_table(struct grants *grants) {
    size_t capacity = grants->capacity ? grants->capacity * 2 : 256;
    struct wish **table = calloc(capacity, sizeof *table);
    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < grants->capacity; i++)
        for (struct wish *wish = grants->table[i]; wish;) {
            struct wish *next = wish->next, **slot = &table[wish->hash & (capacity - 1)];
            wish->next = *slot;
            *slot = wish;
            wish = next;
        }
    free(grants->table);
    grants->table = table;
    grants->capacity = capacity;
    return 0;
}

/* The wish for this item, a new one if there is none. NULL without memory. */
static struct wish *wish_for(struct grants *grants, const struct grants_item *item) {
    size_t size = strlen(item->text);
    uint64_t hash = text_hash(item->text, size);
    struct wish *wish = find_wish(grants, item->text, size, hash);
    if (wish)
        return wish;
    if (grants->count >= grants->capacity && grow_table(grants))
        return NULL;
    wish = calloc(1, sizeof *wish + size + 1);
    if (!wish)
        return NULL;
    wish->hash = hash;
    wish->size = size;
    wish->urls = item->urls ? item->urls : 1;
    wish->keep = item->keep;
    memcpy(wish->text, item->text, size + 1);
    struct wish **slot = &grants->table[hash & (grants->capacity - 1)];
    wish->next = *slot;
    *slot = wish;
    grants->count++;
    return wish;
}

static size_t kept_size(const struct wish *wish) {
    return sizeof *wish + wish->size + wish->grant->bytes;
}

static void forget_grant(struct grants *grants, struct wish *wish) {
    if (wish->is_kept) {
        TAILQ_REMOVE(&grants->kept, wish, age);
        grants->kept_bytes -= kept_size(wish);
        wish->is_kept = false;
    }
    grant_drop(TAKE(wish->grant));
}

static void destroy_wish(struct grants *grants, struct wish *wish) {
    struct wish **link = &grants->table[wish->hash & (grants->capacity - 1)];
    while (*link != wish)
        link = &(*link)->next;
    *link = wish->next;
    grants->count--;
    forget_grant(grants, wish);
    free(wish->why);
    free(wish);
}

/* Lets go of a wish that nothing needs any more. */
static void settle(struct grants *grants, struct wish *wish) {
    if (wish->state == WISH_IDLE && !wish->waiters && !wish->is_kept)
        destroy_wish(grants, wish);
}

static void evict(struct grants *grants) {
    struct wish *wish = TAILQ_FIRST(&grants->kept), *next;
    for (; wish && grants->kept_bytes > grants->most_bytes; wish = next) {
        next = TAILQ_NEXT(wish, age);
        if (wish->state == WISH_IDLE && !wish->waiters)
            destroy_wish(grants, wish);
    }
}

static void keep_grant(struct grants *grants, struct wish *wish, struct owned_grant *grant) {
    forget_grant(grants, wish);
    wish->grant = grant;
    if (!wish->keep)
        return;
    wish->is_kept = true;
    TAILQ_INSERT_TAIL(&grants->kept, wish, age);
    grants->kept_bytes += kept_size(wish);
}

static void touch(struct grants *grants, struct wish *wish) {
    if (!wish->is_kept)
        return;
    TAILQ_REMOVE(&grants->kept, wish, age);
    TAILQ_INSERT_TAIL(&grants->kept, wish, age);
}

static int64_t left_ms(const struct wish *wish) {
    return wish->grant ? wish->grant->grant.expires_ms - clock_boottime_ms() : 0;
}

/* Good to begin something with. */
static bool is_good(const struct wish *wish) {
    int64_t life = wish->grant ? wish->grant->grant.life_ms : 0;
    return left_ms(wish) > (life / 10 < MARGIN_MS ? life / 10 : MARGIN_MS);
}

/* --- the lanes; under lock --- */

static void *run(void *context);

static void ensure_thread(struct grants *grants) {
    if (grants->threads_waiting || grants->threads_started == THREADS)
        return;
    if (pthread_create(&grants->threads[grants->threads_started], NULL, run, grants) == 0)
        grants->threads_started++;
}

static void enqueue(struct grants *grants, struct wish *wish, enum lane lane) {
    wish->state = WISH_QUEUED;
    wish->lane = lane;
    wish->queued_ms = clock_monotonic_ms();
    TAILQ_INSERT_TAIL(&grants->lanes[lane], wish, queue);
    grants->lane_count[lane]++;
    grants->queued_urls += wish->urls;
    ensure_thread(grants);
    pthread_cond_signal(&grants->work);
}

static void dequeue(struct grants *grants, struct wish *wish) {
    TAILQ_REMOVE(&grants->lanes[wish->lane], wish, queue);
    grants->lane_count[wish->lane]--;
    grants->queued_urls -= wish->urls;
}

/* Somebody waits for it now. */
static void hurry(struct grants *grants, struct wish *wish) {
    if (wish->state == WISH_QUEUED && wish->lane == LANE_LATER) {
        dequeue(grants, wish);
        enqueue(grants, wish, LANE_NOW);
    } else if (wish->state == WISH_IDLE) {
        enqueue(grants, wish, LANE_NOW);
    }
}

static const struct wish *oldest(const struct grants *grants) {
    const struct wish *now = TAILQ_FIRST(&grants->lanes[LANE_NOW]);
    return now ? now : TAILQ_FIRST(&grants->lanes[LANE_LATER]);
}

/* How long a batch still waits for company; 0: it leaves now. */
static int64_t gather_ms(const struct grants *grants) {
    if (!grants->in_flight || grants->queued_urls >= WIRE_MAX_URLS)
        return 0;
    int64_t left = oldest(grants)->queued_ms + GATHER_MS - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

/* Moves wishes into the batch, those that somebody waits for first. */
static void fill_batch(struct grants *grants, struct wishes *batch) {
    size_t urls = 0, bytes = 0;
    for (int lane = 0; lane < LANES; lane++) {
        struct wish *wish;
        while ((wish = TAILQ_FIRST(&grants->lanes[lane]))) {
            bool fits = urls + wish->urls <= WIRE_MAX_URLS && bytes + wish->size + 1 <= BATCH_BYTES;
            if (!fits && urls)
                return;
            dequeue(grants, wish);
            wish->state = WISH_MINTING;
            TAILQ_INSERT_TAIL(batch, wish, queue);
            urls += wish->urls;
            bytes += wish->size + 1;
        }
    }
}

/* --- minting --- */

static int write_body(const struct wishes *batch, struct buffer *body) {
    const struct wish *wish;
    int error = buffer_append_text(body, "{\"items\":[");
    TAILQ_FOREACH(wish, batch, queue) {
        if (!error && wish != TAILQ_FIRST(batch))
            error = buffer_append_text(body, ",");
        if (!error)
            error = buffer_append(body, wish->text, wish->size);
    }
    return error ? error : buffer_append_text(body, "]}");
}

/* The codes of single items (wire.h). */
static int error_of(const char *code) {
    static const struct {
        const char *code;
        int error;
    } codes[] = {
        {WIRE_ERROR_TOKEN, PAIL_LOGIN_REQUIRED},
        {WIRE_ERROR_DENIED, PAIL_DENIED},
        {WIRE_ERROR_QUOTA, PAIL_QUOTA},
        {WIRE_ERROR_TOO_LARGE, PAIL_TOO_LARGE},
        {WIRE_ERROR_BUSY, PAIL_BUSY},
        {WIRE_ERROR_UNAVAILABLE, PAIL_OFFLINE},
        {WIRE_ERROR_NOT_FOUND, PAIL_GONE},
        {WIRE_ERROR_CONFLICT, PAIL_CONFLICT},
        {WIRE_ERROR_BAD_ITEM, PAIL_UNSUPPORTED},
    };
    for (size_t i = 0; code && i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].error;
    return PAIL_DAMAGED;
}

/* Under lock. The end of a wish's way, with a grant (taken over) or an error. */
static void answer_wish(struct grants *grants, struct wish *wish, struct owned_grant *grant, int error,
                        const char *why) {
    wish->state = WISH_IDLE;
    wish->round++;
    wish->error = error;
    if (grant)
        keep_grant(grants, wish, grant);
    if (error) {
        free(wish->why);
        wish->why = strdup(why);
        wish->hold_until_ms = clock_monotonic_ms() + HOLD_MS;
    }
    settle(grants, wish);
}

/* Why, for people; id: of the request, by which the server's log can be searched; may be NULL. */
static void explain(const char *message, const char *id, struct fault *out) {
    fault_set(out, 0, "%s%s%s%s", message ? message : "the mapping server's grants are not complete",
              id ? " (request " : "", id ? id : "", id ? ")" : "");
}

/* Under lock. One item of the answer. */
static void take_item(struct grants *grants, struct wish *wish, const struct json *item, int64_t asked_ms, bool alone,
                      const char *request_id) {
    const struct json *refusal = json_get(item, "error");
    const char *code = json_get_text(refusal, "code"), *message = json_get_text(refusal, "message");
    struct owned_grant *grant = NULL;
    if (text_equal(code, WIRE_ERROR_AGAIN) && !alone) {
        enqueue(grants, wish, wish->lane);
        return;
    }
    int error = refusal ? error_of(code) : item ? grant_parse(item, asked_ms, &grant) : PAIL_DAMAGED;
    if (!error && grant->grant.url_count != wish->urls) {
        grant_drop(TAKE(grant));
        error = PAIL_DAMAGED;
    }
    struct fault why = {0};
    if (error)
        explain(message, request_id, &why);
    answer_wish(grants, wish, grant, error, why.text);
}

/* Under lock. */
static void take_answer(struct grants *grants, struct wishes *batch, const struct json *answer, int64_t asked_ms,
                        int error, const struct fault *fault) {
    const struct json *item = json_first(json_get(answer, "grants"));
    bool alone = !TAILQ_NEXT(TAILQ_FIRST(batch), queue);
    struct wish *wish;
    while ((wish = TAILQ_FIRST(batch))) {
        TAILQ_REMOVE(batch, wish, queue);
        if (error)
            answer_wish(grants, wish, NULL, error, fault->text);
        else
            take_item(grants, wish, item, asked_ms, alone, json_get_text(answer, "request_id"));
        item = item ? json_next(item) : NULL;
    }
    evict(grants);
    pthread_cond_broadcast(&grants->done);
    pthread_cond_broadcast(&grants->work);
}

/* Called and left with the lock held. */
static void mint_batch(struct grants *grants) {
    struct wishes batch = TAILQ_HEAD_INITIALIZER(batch);
    AUTO_BUFFER struct buffer body = {0};
    AUTO_JSON struct json *answer = NULL;
    struct fault fault = {0};
    fill_batch(grants, &batch);
    grants->in_flight++;
    pthread_mutex_unlock(&grants->lock);
    int64_t asked_ms = clock_boottime_ms();
    int error = write_body(&batch, &body);
    if (!error)
        error = grants->mint.mint(grants->mint.context, body.data, body.size, &grants->cancelled, &answer, &fault);
    pthread_mutex_lock(&grants->lock);
    grants->in_flight--;
    take_answer(grants, &batch, answer, asked_ms, error, &fault);
}

static void *run(void *context) {
    struct grants *grants = context;
    pthread_setname_np(pthread_self(), "pail-grants");
    pthread_mutex_lock(&grants->lock);
    while (!grants->ending) {
        int64_t wait = oldest(grants) ? gather_ms(grants) : -1;
        if (!wait) {
            mint_batch(grants);
            continue;
        }
        grants->threads_waiting++;
        if (wait > 0)
            clock_cond_wait_ms(&grants->work, &grants->lock, wait);
        else
            pthread_cond_wait(&grants->work, &grants->lock);
        grants->threads_waiting--;
    }
    pthread_mutex_unlock(&grants->lock);
    return NULL;
}

/* --- asking --- */

static bool is_set(const _Atomic bool *flag) {
    return flag && atomic_load_explicit(flag, memory_order_relaxed);
}

/* Under lock: until the wish is answered. 0 or why not. */
static int wait_for(struct grants *grants, struct wish *wish, int64_t until, const _Atomic bool *cancelled) {
    uint64_t round = wish->round;
    while (wish->round == round) {
        int64_t left = until - clock_monotonic_ms();
        if (is_set(cancelled))
            return PAIL_CANCELLED;
        if (left <= 0)
            return PAIL_OFFLINE;
        clock_cond_wait_ms(&grants->done, &grants->lock, left < LOOK_MS ? left : LOOK_MS);
    }
    return wish->error;
}

static void renew_early(struct grants *grants, struct wish *wish) {
    bool near_end = left_ms(wish) * 4 <= wish->grant->grant.life_ms;
    if (near_end && wish->keep && wish->state == WISH_IDLE && clock_monotonic_ms() >= wish->hold_until_ms)
        enqueue(grants, wish, LANE_LATER);
}

/* Under lock: the wish has a grant then. */
static int get_locked(struct grants *grants, struct wish *wish, int64_t most_ms, const _Atomic bool *cancelled,
                      struct fault *fault) {
    int64_t until = clock_monotonic_ms() + most_ms;
    int error = 0;
    if (is_good(wish))
        renew_early(grants, wish);
    while (!error && !is_good(wish)) { /* again if what came was refused, or over, before we woke */
        hurry(grants, wish);
        wish->waiters++;
        error = wait_for(grants, wish, until, cancelled);
        wish->waiters--;
    }
    if (error && error != PAIL_CANCELLED && left_ms(wish) > 0)
        return 0; /* near its end, but better than none */
    if (error && error == wish->error && wish->why)
        return fault_set(fault, error, "%s", wish->why);
    return error == PAIL_OFFLINE ? fault_set(fault, error, "the mapping server has not answered in time") : error;
}

int grants_get(struct grants *grants, const struct grants_item *item, int64_t wait_ms, const _Atomic bool *cancelled,
               const struct grant **out, struct fault *fault) {
    *out = NULL;
    pthread_mutex_lock(&grants->lock);
    struct wish *wish = wish_for(grants, item);
    int error = wish ? get_locked(grants, wish, wait_ms, cancelled, fault) : -ENOMEM;
    if (!error) {
        wish->grant->uses++;
        *out = &wish->grant->grant;
        touch(grants, wish);
    }
    if (wish)
        settle(grants, wish);
    pthread_mutex_unlock(&grants->lock);
    return error;
}

void grants_release(struct grants *grants, const struct grant *grant) {
    (void)grants;
    grant_drop((struct owned_grant *)(uintptr_t)grant);
}

void grants_want(struct grants *grants, const struct grants_item *items, size_t count) {
    pthread_mutex_lock(&grants->lock);
    for (size_t i = 0; i < count && grants->lane_count[LANE_LATER] < MOST_LATER; i++) {
        struct wish *wish = wish_for(grants, &items[i]);
        if (!wish)
            break;
        if (wish->state == WISH_IDLE && !is_good(wish))
            enqueue(grants, wish, LANE_LATER);
    }
    pthread_mutex_unlock(&grants->lock);
}

void grants_refused(struct grants *grants, const struct grants_item *item, const struct grant *grant) {
    size_t size = strlen(item->text);
    if (grants->mint.refused)
        grants->mint.refused(grants->mint.context, grant->urls[0]);
    pthread_mutex_lock(&grants->lock);
    struct wish *wish = find_wish(grants, item->text, size, text_hash(item->text, size));
    if (wish && wish->grant && &wish->grant->grant == grant) {
        forget_grant(grants, wish);
        settle(grants, wish);
    }
    pthread_mutex_unlock(&grants->lock);
}

/* --- life --- */

int grants_create(struct grants **out, const struct grants_mint *mint, size_t most_bytes) {
    struct grants *grants = calloc(1, sizeof *grants);
    if (!grants)
        return -ENOMEM;
    grants->mint = *mint;
    grants->most_bytes = most_bytes ? most_bytes : MOST_BYTES;
    for (int lane = 0; lane < LANES; lane++)
        TAILQ_INIT(&grants->lanes[lane]);
    TAILQ_INIT(&grants->kept);
    pthread_mutex_init(&grants->lock, NULL);
    clock_cond_init(&grants->work);
    clock_cond_init(&grants->done);
    *out = grants;
    return 0;
}

void grants_destroy(struct grants *grants) {
    if (!grants)
        return;
    pthread_mutex_lock(&grants->lock);
    grants->ending = true;
    grants->cancelled = true;
    pthread_cond_broadcast(&grants->work);
    pthread_mutex_unlock(&grants->lock);
    for (unsigned i = 0; i < grants->threads_started; i++)
        pthread_join(grants->threads[i], NULL);
    for (size_t i = 0; i < grants->capacity; i++)
        while (grants->table[i])
            destroy_wish(grants, grants->table[i]);
    free(grants->table);
    pthread_cond_destroy(&grants->work);
    pthread_cond_destroy(&grants->done);
    pthread_mutex_destroy(&grants->lock);
    free(grants);
}
