/* One account's use of its quota: what was counted, and what was granted since and may still come. No I/O, no clock of
 * its own. Not thread-safe.
 *
 * A grant is a claim on its key. What a key can take up at most is the larger of what the last count saw there and what
 * was claimed, so a file that is saved again and again counts once, and a count takes nothing away that may still come.
 * A claim ends with the next count that sees what became of it: its object, the end of its upload, or that its key was
 * given up; else with the first one after its grant has run out. */
#pragma once

#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_entry;

struct ledger {
    uint64_t current;   /* bytes of current objects, as counted */
    uint64_t older;     /* bytes of older versions and of open uploads, as counted */
    uint64_t coming;    /* bytes claimed beyond current */
    uint64_t parts;     /* bytes of parts claimed beyond older */
    struct map entries; /* by key: the first of a chain */
    size_t entry_count;
    struct {
        int64_t began_ms; /* 0: none is under way */
        uint64_t current, older;
    } count;
};
void ledger_finish(struct ledger *ledger);

struct ledger_moment {
    int64_t ms; /* boot time */
    int64_t s;  /* Unix */
};

struct ledger_claim {
    uint64_t key;       /* a hash that nobody outside can guess; never 0 */
    uint64_t upload;    /* likewise; 0: a whole object */
    unsigned first;     /* parts: the first one's number */
    unsigned count;     /* parts: how many; 0: size is that of the whole object, or of all the upload's parts */
    uint64_t size;      /* of each part */
    uint64_t last_size; /* of the last part; 0: as the others */
    bool looked;        /* the key was looked at, and has this much now: */
    uint64_t replaces;
    int64_t until_ms; /* when what is granted can no longer begin */
};

enum ledger_result {
    LEDGER_LOOK = 1, /* too much, unless it replaces something: look, and claim again */
    LEDGER_FULL,     /* more than the limit of current objects */
    LEDGER_FULL_OLD, /* more than the limit of older versions and open uploads */
    LEDGER_CROWDED,  /* too many claims are open: count first */
};
/* 0: it is claimed. -ENOMEM. Nothing that takes up no more than before is LEDGER_FULL. */
int ledger_claim(struct ledger *ledger, uint64_t limit, const struct ledger_claim *claim,
                 const struct ledger_moment *now);
/* A delete was granted: what was claimed for this key before is not waited for. */
void ledger_give_up(struct ledger *ledger, uint64_t key);
/* Bytes, of what can be there at most. */
uint64_t ledger_used(const struct ledger *ledger);
uint64_t ledger_used_old(const struct ledger *ledger);

/* Counting: begin, all uploads, all versions, end; or break off, and everything is as before. Claims go on meanwhile.
 */
void ledger_count_begin(struct ledger *ledger, int64_t now_ms);
void ledger_count_upload(struct ledger *ledger, uint64_t key, uint64_t upload, uint64_t size);
void ledger_count_version(struct ledger *ledger, uint64_t key, uint64_t size, bool is_current, int64_t modified_s);
void ledger_count_end(struct ledger *ledger);
void ledger_count_break_off(struct ledger *ledger);
