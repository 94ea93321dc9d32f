/* rawhttp CONNECTIONS: the yardstick. Does the requests on stdin over that many connections with nothing around them,
 * and prints the seconds from the first to the last. One request a line, fields separated by tabs: METHOD URL HEADERS
 * BODY OUT HEADERS: separated by |, or -. BODY: FILE@OFFSET+SIZE, or -. OUT: FILE@OFFSET to write the answer's body
 * there, or -. */
#include <curl/curl.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct request {
    char *method, *url, *headers, *body, *out;
};

struct lane { /* one connection */
    CURL *easy;
    struct curl_slist *headers;
    int body_fd, out_fd;
    off_t body_at, body_left, out_at;
};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* "FILE@OFFSET+SIZE" to an open file; -1 for "-". */
static int open_at(char *where, int flags, off_t *offset, off_t *size) {
    char *at = strrchr(where, '@');
    if (!at)
        return -1;
    *at = 0;
    char *plus = strchr(at + 1, '+');
    *offset = atoll(at + 1);
    if (plus)
        *size = atoll(plus + 1);
    int fd = open(where, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        perror(where);
        exit(1);
    }
    return fd;
}

static size_t take_body(char *data, size_t size, size_t count, void *context) {
    struct lane *lane = context;
    size_t total = size * count;
    if (lane->out_fd >= 0) {
        if (pwrite(lane->out_fd, data, total, lane->out_at) != (ssize_t)total)
            return 0;
        lane->out_at += (off_t)total;
    }
    return total;
}

static size_t give_body(char *data, size_t size, size_t count, void *context) {
    struct lane *lane = context;
    size_t most = size * count;
    if ((off_t)most > lane->body_left)
        most = (size_t)lane->body_left;
    ssize_t n = most ? pread(lane->body_fd, data, most, lane->body_at) : 0;
    if (n < 0)
        return CURL_READFUNC_ABORT;
    lane->body_at += n;
    lane->body_left -= n;
    return (size_t)n;
}

static void set_method(struct lane *lane, const struct request *request) {
    CURL *easy = lane->easy;
    if (lane->body_fd >= 0) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)lane->body_left);
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void prepare(struct lane *lane, struct request *request) {
    CURL *easy = lane->easy;
    curl_easy_reset(easy);
    lane->body_left = 0;
    lane->body_fd = open_at(request->body, O_RDONLY, &lane->body_at, &lane->body_left);
    lane->out_fd = open_at(request->out, O_WRONLY | O_CREAT, &lane->out_at, &(off_t){0});
    lane->headers = curl_slist_append(NULL, "Expect:");
    for (char *rest = request->headers, *one; (one = strsep(&rest, "|"));)
        if (strcmp(one, "-") != 0)
            lane->headers = curl_slist_append(lane->headers, one);
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lane->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, lane);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, lane);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, lane);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
    set_method(lane, request);
}

static void finish(struct lane *lane, CURLcode result) {
    long status = 0;
    char *url = NULL;
    curl_easy_getinfo(lane->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(lane->easy, CURLINFO_EFFECTIVE_URL, &url);
    if (result != CURLE_OK || status < 200 || status > 299) {
        fprintf(stderr, "rawhttp: %s: HTTP %ld for %.*s\n", curl_easy_strerror(result), status,
                (int)strcspn(url ? url : "?", "?"), url ? url : "?");
        exit(1);
    }
    curl_slist_free_all(lane->headers);
    if (lane->body_fd >= 0)
        close(lane->body_fd);
    if (lane->out_fd >= 0)
        close(lane->out_fd);
}

static struct request *read_requests(size_t *count) {
    struct request *all = NULL;
    size_t room = 0, length = 0;
    char *line = NULL;
    for (*count = 0; getline(&line, &length, stdin) > 0;) {
        if (*count == room)
            all = realloc(all, (room = room ? room * 2 : 1024) * sizeof *all);
        char *rest = strdup(line);
        rest[strcspn(rest, "\n")] = 0;
        struct request *one = &all[(*count)++];
        one->method = strsep(&rest, "\t");
        one->url = strsep(&rest, "\t");
        one->headers = strsep(&rest, "\t");
        one->body = strsep(&rest, "\t");
        one->out = rest;
        if (!one->out) {
            fprintf(stderr, "rawhttp: a line has five fields: %s", line);
            exit(2);
        }
    }
    free(line);
    return all;
}

static void perform(CURLM *multi, struct lane *lanes, size_t connections, struct request *requests, size_t count) {
    size_t next = 0, running = 0;
    for (; next < count && next < connections; next++, running++) {
        prepare(&lanes[next], &requests[next]);
        curl_multi_add_handle(multi, lanes[next].easy);
    }
    while (running) {
        int busy, left;
        curl_multi_perform(multi, &busy);
        for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
            struct lane *lane;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&lane);
            CURLcode result = message->data.result;
            curl_multi_remove_handle(multi, lane->easy);
            finish(lane, result);
            running--;
            if (next < count) {
                prepare(lane, &requests[next++]);
                curl_multi_add_handle(multi, lane->easy);
                running++;
            }
        }
        if (running)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
}

int main(int argc, char **argv) {
    size_t connections = argc == 2 ? (size_t)atoi(argv[1]) : 0, count;
    if (!connections) {
        fprintf(stderr, "rawhttp CONNECTIONS < REQUESTS\n");
        return 2;
    }
    struct request *requests = read_requests(&count);
    struct lane *lanes = calloc(connections, sizeof *lanes);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)connections);
    for (size_t i = 0; i < connections; i++)
        lanes[i].easy = curl_easy_init();
    double start = now_s();
    perform(multi, lanes, connections, requests, count);
    printf("%.6f\n", now_s() - start);
    return 0;
}
