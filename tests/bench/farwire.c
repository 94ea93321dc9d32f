/* farwire LISTEN_PORT TARGET_PORT RTT_MS MB_PER_S: a TCP relay on loopback that makes a wire of it, far away. Each
 * direction is delayed by half the round trip, each connection bounded to the rate (0: no bound), and connecting costs
 * a round trip. For the bench and for tests. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, MAX_QUEUED = 4096 };

struct wire {
    int64_t delay_ns; /* one way */
    double bytes_per_ns;
    uint16_t target;
};

struct chunk {
    struct chunk *next;
    int64_t due_ns;
    ssize_t size; /* 0: the end */
    char data[CHUNK];
};

/* One direction of one connection: a reader fills the queue, a writer empties it when chunks are due. */
struct direction {
    const struct wire *wire;
    int from, to;
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct chunk *first, **last;
    size_t queued;
    bool broken;
};

struct connection {
    const struct wire *wire;
    int client, target;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_until(int64_t due_ns) {
    struct timespec t = {due_ns / 1000000000, due_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static bool push(struct direction *d, struct chunk *chunk) {
    pthread_mutex_lock(&d->lock);
    while (d->queued >= MAX_QUEUED && !d->broken)
        pthread_cond_wait(&d->change, &d->lock);
    bool broken = d->broken;
    *d->last = chunk;
    d->last = &chunk->next;
    d->queued++;
    pthread_cond_signal(&d->change);
    pthread_mutex_unlock(&d->lock);
    return !broken;
}

static struct chunk *pop(struct direction *d) {
    pthread_mutex_lock(&d->lock);
    while (!d->first)
        pthread_cond_wait(&d->change, &d->lock);
    struct chunk *chunk = d->first;
    d->first = chunk->next;
    if (!d->first)
        d->last = &d->first;
    d->queued--;
    pthread_cond_signal(&d->change);
    pthread_mutex_unlock(&d->lock);
    return chunk;
}

static void *read_side(void *context) {
    struct direction *d = context;
    for (;;) {
        struct chunk *chunk = malloc(sizeof *chunk);
        if (!chunk)
            abort();
        ssize_t n = recv(d->from, chunk->data, CHUNK, 0);
        bool end = n <= 0;
        chunk->next = NULL;
        chunk->due_ns = now_ns() + d->wire->delay_ns;
        chunk->size = end ? 0 : n;
        if (!push(d, chunk) || end)
            return NULL;
    }
}

static bool send_all(int fd, const char *data, ssize_t size) {
    while (size > 0) {
        ssize_t n = send(fd, data, (size_t)size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        size -= n;
    }
    return true;
}

/* Sleeps of under 2 ms are put off and added up: the clock is coarser than the rate. */
static void *write_side(void *context) {
    struct direction *d = context;
    int64_t next = now_ns();
    for (;;) {
        struct chunk *chunk = pop(d);
        sleep_until(chunk->due_ns);
        if (d->wire->bytes_per_ns > 0) {
            int64_t earliest = now_ns() - 5000000;
            next = next < earliest ? earliest : next;
            next += (int64_t)((double)chunk->size / d->wire->bytes_per_ns);
            if (next - now_ns() > 2000000)
                sleep_until(next);
        }
        bool end = chunk->size == 0 || !send_all(d->to, chunk->data, chunk->size);
        free(chunk);
        if (!end)
            continue;
        shutdown(d->to, SHUT_WR);
        shutdown(d->from, SHUT_RD);
        pthread_mutex_lock(&d->lock);
        d->broken = true;
        pthread_cond_signal(&d->change);
        pthread_mutex_unlock(&d->lock);
        return NULL;
    }
}

static int connect_to(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void start_direction(struct direction *d, pthread_t threads[2]) {
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->change, NULL);
    d->last = &d->first;
    if (pthread_create(&threads[0], NULL, read_side, d) || pthread_create(&threads[1], NULL, write_side, d))
        abort();
}

static void drop_queue(struct direction *d) {
    while (d->first) {
        struct chunk *chunk = d->first;
        d->first = chunk->next;
        free(chunk);
    }
}

static void *serve(void *context) {
    struct connection *c = context;
    sleep_until(now_ns() + 2 * c->wire->delay_ns);
    c->target = connect_to(c->wire->target);
    if (c->target >= 0) {
        struct direction up = {.wire = c->wire, .from = c->client, .to = c->target};
        struct direction down = {.wire = c->wire, .from = c->target, .to = c->client};
        pthread_t threads[4];
        start_direction(&up, threads);
        start_direction(&down, threads + 2);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        drop_queue(&up);
        drop_queue(&down);
        close(c->target);
    }
    close(c->client);
    free(c);
    return NULL;
}

static int listen_on(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) {
        perror("farwire");
        exit(1);
    }
    return fd;
}

static void accept_forever(int listener, const struct wire *wire) {
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 256 << 10);
    for (;;) {
        struct connection *c = calloc(1, sizeof *c);
        int one = 1;
        pthread_t thread;
        if (!c)
            abort();
        *c = (struct connection){.wire = wire, .client = accept(listener, NULL, NULL)};
        if (c->client < 0 || pthread_create(&thread, &detached, serve, c)) {
            free(c);
            continue;
        }
        setsockopt(c->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "farwire LISTEN_PORT TARGET_PORT RTT_MS MB_PER_S\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct wire wire = {
        .delay_ns = (int64_t)(atof(argv[3]) * 1e6 / 2),
        .bytes_per_ns = atof(argv[4]) * 1e6 / 1e9,
        .target = (uint16_t)atoi(argv[2]),
    };
    int listener = listen_on((uint16_t)atoi(argv[1]));
    printf("farwire on %s\n", argv[1]);
    fflush(stdout);
    accept_forever(listener, &wire);
}
