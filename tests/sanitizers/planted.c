/* One bug of each kind that a sanitizer must find: `planted address|leak|undefined|race`. */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_after_free(void) {
    volatile char *bytes = malloc(16);
    free((void *)bytes);
    return bytes[3];
}

static int forget_memory(void) {
    volatile char *bytes = malloc(1000);
    bytes[0] = 1;
    bytes = NULL;
    return 0;
}

static int overflow(void) {
    volatile int large = INT_MAX;
    large = large + 1;
    return large == 0;
}

static int shared;

static void *count(void *context) {
    for (int i = 0; i < 1000; i++)
        shared++;
    return context;
}

static int race(void) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, count, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

int main(int argc, char **argv) {
    const char *bug = argc > 1 ? argv[1] : "";
    int result = strcmp(bug, "address") == 0     ? read_after_free()
                 : strcmp(bug, "leak") == 0      ? forget_memory()
                 : strcmp(bug, "undefined") == 0 ? overflow()
                 : strcmp(bug, "race") == 0      ? race()
                                                 : 2;
    printf("ended %d\n", result);
    return result == 2 ? 2 : 0;
}
