/* What was counted and what was claimed since. */
#include "s3/server/ledger.h"

#include <errno.h>
#include <stdlib.h>

#define ENTRIES_MOST 200000u /* about 20 MiB for one account that writes faster than it is counted */
#define RUNS_MOST 4096u

struct run {
    unsigned first, count;
    uint64_t size, last_size;
};

struct ledger_entry {
    struct ledger_entry *next;               /* of the same key */
    uint64_t upload;                         /* 0: a whole object */
    uint64_t claimed;                        /* bytes; 0: over */
    uint64_t listed;                         /* of them in ledger->current: what the key has there */
    uint64_t open;                           /* of them in ledger->older: the upload's parts */
    int64_t granted_ms, granted_s, until_ms; /* of the last grant */
    struct run *runs;                        /* owned: which parts were claimed */
    unsigned run_count;
    bool given_up;
    struct {
        bool whole;            /* it was there when the count began */
        bool anew;             /* it was granted again since */
        bool found;            /* the upload is open, or the object was written after it was granted */
        uint64_t listed, open; /* bytes */
    } count;
};

static void destroy_entry(struct ledger_entry *entry) {
    free(entry->runs);
    free(entry);
}

void ledger_finish(struct ledger *ledger) {
    size_t position = 0;
    struct ledger_entry *entry;
    while ((entry = map_next(&ledger->entries, &position, NULL)))
        while (entry) {
            struct ledger_entry *next = entry->next;
            destroy_entry(entry);
            entry = next;
        }
    map_finish(&ledger->entries);
    *ledger = (struct ledger){0};
}

uint64_t ledger_used(const struct ledger *ledger) {
    return ledger->current + ledger->coming;
}

uint64_t ledger_used_old(const struct ledger *ledger) {
    return ledger->older + ledger->parts;
}

/* Claiming. */

static uint64_t beyond(uint64_t claimed, uint64_t counted) {
    return claimed > counted ? claimed - counted : 0;
}

static uint64_t coming_of(const struct ledger_entry *entry) {
    return beyond(entry->claimed, entry->listed);
}

static uint64_t parts_of(const struct ledger_entry *entry) {
    return entry->upload ? beyond(entry->claimed, entry->open) : 0;
}

static void charge(struct ledger *ledger, const struct ledger_entry *entry) {
    ledger->coming += coming_of(entry);
    ledger->parts += parts_of(entry);
}

static void discharge(struct ledger *ledger, const struct ledger_entry *entry) {
    ledger->coming -= coming_of(entry);
    ledger->parts -= parts_of(entry);
}

static struct ledger_entry *find(const struct ledger *ledger, uint64_t key, uint64_t upload) {
    struct ledger_entry *entry = map_get(&ledger->entries, key);
    while (entry && entry->upload != upload)
        entry = entry->next;
    return entry;
}

static struct run run_of(const struct ledger_claim *claim) {
    return (struct run){claim->first, claim->count, claim->size, claim->last_size ? claim->last_size : claim->size};
}

/* A run that is asked for anew, since its grant grew old, is the same parts. */
static bool has_run(const struct ledger_entry *entry, const struct ledger_claim *claim) {
    struct run run = run_of(claim);
    for (unsigned i = 0; i < entry->run_count; i++) {
        const struct run *each = &entry->runs[i];
        if (each->first == run.first && each->count == run.count && each->size == run.size &&
            each->last_size == run.last_size)
            return true;
    }
    return false;
}

/* What the entry has claimed after this claim. */
static uint64_t claimed_after(const struct ledger_entry *entry, const struct ledger_claim *claim) {
    if (!claim->count)
        return claim->size > entry->claimed ? claim->size : entry->claimed;
    if (has_run(entry, claim))
        return entry->claimed;
    struct run run = run_of(claim);
    return entry->claimed + run.size * (run.count - 1) + run.last_size;
}

static int check(const struct ledger *ledger, uint64_t limit, const struct ledger_claim *claim,
                 const struct ledger_entry *before, const struct ledger_entry *after, bool unknown) {
    uint64_t more = coming_of(after) - coming_of(before), more_parts = parts_of(after) - parts_of(before);
    if (more && ledger_used(ledger) + more > limit)
        return unknown && !claim->looked ? LEDGER_LOOK : LEDGER_FULL;
    bool completes = claim->upload && !claim->count; /* its parts are there already */
    return !completes && ledger_used_old(ledger) + more_parts > limit ? LEDGER_FULL_OLD : 0;
}

static int note_run(struct ledger_entry *entry, const struct ledger_claim *claim) {
    if (!claim->count || has_run(entry, claim) || entry->run_count == RUNS_MOST)
        return 0;
    struct run *grown = reallocarray(entry->runs, entry->run_count + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    entry->runs = grown;
    grown[entry->run_count++] = run_of(claim);
    return 0;
}

static int add_entry(struct ledger *ledger, uint64_t key, const struct ledger_entry *made, struct ledger_entry **out) {
    struct ledger_entry *entry = malloc(sizeof *entry);
    if (!entry)
        return -ENOMEM;
    *entry = *made;
    entry->next = map_get(&ledger->entries, key);
    if (map_put(&ledger->entries, key, entry)) {
        free(entry);
        return -ENOMEM;
    }
    ledger->entry_count++;
    *out = entry;
    return 0;
}

static int grant(struct ledger *ledger, const struct ledger_claim *claim, struct ledger_entry *entry, uint64_t claimed,
                 const struct ledger_moment *now) {
    int error = note_run(entry, claim);
    if (error)
        return error;
    discharge(ledger, entry);
    entry->claimed = claimed;
    charge(ledger, entry);
    entry->granted_ms = now->ms;
    entry->granted_s = now->s;
    if (claim->until_ms > entry->until_ms)
        entry->until_ms = claim->until_ms;
    entry->given_up = false;
    entry->count.anew = true;
    return 0;
}

int ledger_claim(struct ledger *ledger, uint64_t limit, const struct ledger_claim *claim,
                 const struct ledger_moment *now) {
    struct ledger_entry *entry = find(ledger, claim->key, claim->upload);
    const struct ledger_entry *other = map_get(&ledger->entries, claim->key);
    struct ledger_entry made = {.upload = claim->upload};
    if (!entry)
        made.listed = other ? other->listed : claim->looked ? claim->replaces : 0;
    struct ledger_entry after = entry ? *entry : made;
    after.claimed = claimed_after(&after, claim);
    int result = check(ledger, limit, claim, entry ? entry : &made, &after, !other);
    if (result || !after.claimed)
        return result;
    if (!entry && ledger->entry_count >= ENTRIES_MOST)
        return LEDGER_CROWDED;
    if (!entry && (result = add_entry(ledger, claim->key, &made, &entry)))
        return result;
    return grant(ledger, claim, entry, after.claimed, now);
}

void ledger_give_up(struct ledger *ledger, uint64_t key) {
    for (struct ledger_entry *entry = map_get(&ledger->entries, key); entry; entry = entry->next)
        entry->given_up = !entry->upload;
}

/* Counting. */

static struct ledger_entry *next_entry(const struct ledger *ledger, size_t *position, struct ledger_entry *entry) {
    return entry && entry->next ? entry->next : map_next(&ledger->entries, position, NULL);
}

#define EACH_ENTRY(ledger_, entry_)                                                                                    \
    size_t position = 0;                                                                                               \
    for (struct ledger_entry *entry_ = NULL; (entry_ = next_entry(ledger_, &position, entry_));)

void ledger_count_begin(struct ledger *ledger, int64_t now_ms) {
    ledger->count.began_ms = now_ms;
    ledger->count.current = ledger->count.older = 0;
    EACH_ENTRY(ledger, entry) {
        entry->count.whole = true;
        entry->count.anew = entry->count.found = false;
        entry->count.listed = entry->count.open = 0;
    }
}

void ledger_count_upload(struct ledger *ledger, uint64_t key, uint64_t upload, uint64_t size) {
    ledger->count.older += size;
    struct ledger_entry *entry = find(ledger, key, upload);
    if (!entry)
        return;
    entry->count.found = true;
    entry->count.open = size;
}

void ledger_count_version(struct ledger *ledger, uint64_t key, uint64_t size, bool is_current, int64_t modified_s) {
    if (is_current)
        ledger->count.current += size;
    else
        ledger->count.older += size;
    for (struct ledger_entry *entry = map_get(&ledger->entries, key); entry; entry = entry->next) {
        if (is_current)
            entry->count.listed = size;
        if (!entry->upload && modified_s >= entry->granted_s)
            entry->count.found = true;
    }
}

/* Whether nothing can come of it any more that the count has not seen. */
static bool is_over(const struct ledger *ledger, const struct ledger_entry *entry) {
    if (!entry->count.whole || entry->count.anew)
        return false;
    if (entry->until_ms < ledger->count.began_ms)
        return true;
    return entry->upload ? !entry->count.found : entry->count.found || entry->given_up;
}

/* Takes out what is over; without memory it stays, and claims nothing. */
static void sweep(struct ledger *ledger) {
    struct map kept = {0};
    struct ledger_entry *first;
    uint64_t key;
    size_t position = 0;
    while ((first = map_next(&ledger->entries, &position, &key))) {
        while (first && !first->claimed)
            first = first->next;
        if (first && map_put(&kept, key, first)) {
            map_finish(&kept);
            return;
        }
    }
    position = 0;
    while ((first = map_next(&ledger->entries, &position, NULL)))
        for (struct ledger_entry **link = &first, *entry; (entry = *link);) {
            if (entry->claimed) {
                link = &entry->next;
                continue;
            }
            *link = entry->next;
            destroy_entry(entry);
            ledger->entry_count--;
        }
    map_finish(&ledger->entries);
    ledger->entries = kept;
}

void ledger_count_end(struct ledger *ledger) {
    ledger->current = ledger->count.current;
    ledger->older = ledger->count.older;
    ledger->coming = ledger->parts = 0;
    EACH_ENTRY(ledger, entry) {
        if (is_over(ledger, entry))
            entry->claimed = 0;
        if (entry->count.whole || entry->count.listed)
            entry->listed = entry->count.listed;
        if (entry->count.whole || entry->count.open)
            entry->open = entry->count.open;
        charge(ledger, entry);
    }
    ledger->count.began_ms = 0;
    sweep(ledger);
}

void ledger_count_break_off(struct ledger *ledger) {
    ledger->count.began_ms = 0;
}
