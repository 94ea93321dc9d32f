/* Guesses from one handle's reads what will be read next. */
#include "fs/content/readahead.h"

enum {
    SLACK = 4 << 20,   /* the kernel's requests overtake each other by this much */
    SNIFF = 128 << 10, /* the first read of a program that looks at types, with what the kernel adds */
    TRUST = 16,        /* no more ahead than this many times what was read in sequence */
    BLOCK = 16 << 10,
};

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static bool belongs(const struct readahead *ahead, uint64_t offset, uint64_t end) {
    return ahead->begun && offset <= ahead->high + SLACK && end + SLACK >= ahead->high;
}

static void begin(struct readahead *ahead, uint64_t offset, uint64_t end) {
    *ahead = (struct readahead){.low = offset, .high = end, .bytes = end - offset, .reached = end, .begun = true};
}

static void grow(struct readahead *ahead, uint64_t most) {
    uint64_t window = ahead->window ? ahead->window * 2 : READAHEAD_FIRST;
    window = least(window, ahead->bytes * TRUST);
    window = least(window, most);
    if (window > ahead->window)
        ahead->window = window;
}

/* Takes the read into the run. A run of which less than half was read is not worth reading ahead of, unless it is so
 * short that the rest may just be late: false. */
static bool extend(struct readahead *ahead, uint64_t offset, uint64_t end, uint64_t most) {
    bool further = end > ahead->high || offset < ahead->low;
    ahead->bytes += end - offset;
    if (offset < ahead->low)
        ahead->low = offset;
    if (end > ahead->high)
        ahead->high = end;
    bool dense = ahead->bytes >= (ahead->high - ahead->low) / 2;
    if (dense && further)
        grow(ahead, most);
    return dense || ahead->high - ahead->low <= SLACK;
}

static uint64_t piece_for(uint64_t window) {
    uint64_t piece = READAHEAD_FIRST;
    while (piece < READAHEAD_PIECE && piece * 4 < window)
        piece *= 2;
    return piece;
}

/* Far enough to be worth a request; regular ranges, so that they end at multiples of their size. */
static uint64_t target(const struct readahead *ahead, uint64_t piece, uint64_t file_size) {
    uint64_t until = ahead->high + ahead->window;
    if (until >= file_size)
        return file_size;
    return until - until % (piece < READAHEAD_FIRST * 2 ? BLOCK : piece);
}

struct readahead_plan readahead_read(struct readahead *ahead, uint64_t offset, uint64_t size, uint64_t file_size,
                                     uint64_t most) {
    uint64_t end = offset + size;
    struct readahead_plan plan = {.from = end, .until = end, .piece = READAHEAD_PIECE};
    if (file_size <= READAHEAD_WHOLE) {
        plan.from = 0;
        plan.until = file_size;
        return plan;
    }
    bool sequential = belongs(ahead, offset, end) && extend(ahead, offset, end, most);
    if (!sequential) {
        plan.lost = ahead->window;
        begin(ahead, offset, end);
        if (offset || size <= SNIFF)
            return plan;
        grow(ahead, most); /* nobody reads so much at the start of a file to learn its type */
    }
    if (!ahead->window)
        return plan;
    plan.piece = piece_for(ahead->window);
    uint64_t until = target(ahead, plan.piece, file_size);
    bool worth = until == file_size || until >= ahead->reached + least(ahead->window / 4, plan.piece);
    if (until > ahead->reached && until > end && worth) {
        plan.from = ahead->reached > end ? ahead->reached : offset;
        plan.until = until;
        ahead->reached = until;
    }
    return plan;
}

void readahead_stopped(struct readahead *ahead, uint64_t reached) {
    if (reached < ahead->reached)
        ahead->reached = reached > ahead->high ? reached : ahead->high;
}
