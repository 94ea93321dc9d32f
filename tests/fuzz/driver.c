/* Where libFuzzer is not linked in: `TARGET CORPUS SECONDS` runs every file of the corpus, then changes them at random
 * for so long. An input that ends the process is printed. SEED in the environment repeats a run. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_INPUTS = 1000, MOST_SIZE = 64 << 10, CHANGES = 8 };

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[MOST_INPUTS];
static size_t input_count;
static uint8_t current[MOST_SIZE];
static size_t current_size;
static unsigned long long seed;

/* The sanitizers call this before they end the process, where they are linked in. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static void print_input(void) {
    fprintf(stderr, "SEED=%llu; the input, in hex: ", seed);
    for (size_t i = 0; i < current_size; i++)
        fprintf(stderr, "%02x", current[i]);
    fputc('\n', stderr);
}

static uint64_t next_random(void) { /* xorshift64 */
    static uint64_t state;
    if (!state)
        state = seed ? seed : 1;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void read_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    struct input *input = &inputs[input_count];
    input->data = malloc(MOST_SIZE);
    if (!file || !input->data || input_count == MOST_INPUTS - 1)
        abort();
    input->size = fread(input->data, 1, MOST_SIZE, file);
    fclose(file);
    input_count++;
}

static void read_corpus(const char *folder) {
    DIR *listing = opendir(folder);
    if (!listing) {
        perror(folder);
        exit(1);
    }
    for (struct dirent *entry; (entry = readdir(listing));)
        if (entry->d_name[0] != '.')
            read_file(folder, entry->d_name);
    closedir(listing);
}

static void run_input(void) {
    uint8_t *exact = malloc(current_size ? current_size : 1); /* so that reading beyond it is seen */
    if (!exact)
        abort();
    memcpy(exact, current, current_size);
    LLVMFuzzerTestOneInput(exact, current_size);
    free(exact);
}

static void take(const struct input *input) {
    memcpy(current, input->data, input->size);
    current_size = input->size;
}

static void insert(size_t at, const uint8_t *data, size_t size) {
    if (current_size + size > MOST_SIZE)
        return;
    memmove(current + at + size, current + at, current_size - at);
    memcpy(current + at, data, size);
    current_size += size;
}

static void erase(size_t at, size_t size) {
    if (size > current_size - at)
        size = current_size - at;
    memmove(current + at, current + at + size, current_size - at - size);
    current_size -= size;
}

static void change_once(void) {
    static const char *const words[] = {"\"",       "{",        "[",    "\\u0000", "%00",
                                        "&",        "=",        "..",   "/",       "<",
                                        "]]>",      "&#0;",     "-1",   "1e400",   "18446744073709551616",
                                        "\xff\xfe", "\xc0\xaf", "\r\n", ";",       "null"};
    size_t at = current_size ? next_random() % current_size : 0;
    const struct input *other = &inputs[next_random() % input_count];
    size_t from = other->size ? next_random() % other->size : 0;
    const char *word = words[next_random() % (sizeof words / sizeof *words)];
    switch (next_random() % 6) {
    case 0:
        if (current_size)
            current[at] = (uint8_t)next_random();
        break;
    case 1:
        if (current_size)
            current[at] ^= (uint8_t)(1u << next_random() % 8);
        break;
    case 2:
        erase(at, next_random() % 16);
        break;
    case 3:
        insert(at, (const uint8_t *)word, strlen(word));
        break;
    case 4:
        if (other->size)
            insert(at, other->data + from, next_random() % (other->size - from) % 256);
        break;
    default:
        erase(at, current_size); /* cut off */
    }
}

static void run_changed(void) {
    take(&inputs[next_random() % input_count]);
    for (uint64_t i = next_random() % CHANGES + 1; i; i--)
        change_once();
    run_input();
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s CORPUS SECONDS\n", argv[0]);
        return 2;
    }
    const char *wanted = getenv("SEED");
    seed = wanted ? strtoull(wanted, NULL, 10) : (unsigned long long)time(NULL);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(print_input);
    read_corpus(argv[1]);
    for (size_t i = 0; i < input_count; i++) {
        take(&inputs[i]);
        run_input();
    }
    unsigned long long runs = 0;
    for (time_t end = time(NULL) + atoi(argv[2]); input_count && time(NULL) < end; runs++)
        run_changed();
    printf("%zu of the corpus, %llu changed; SEED=%llu\n", input_count, runs, seed);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].data);
    return input_count ? 0 : 1;
}
