/* AWS Signature Version 4: signing. */
#include "s3/sign.h"

#include "base/cleanup.h"
#include "s3/sign_canonical.h"
#include "s3/sign_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLOTS 64

/* One derived key: good for this day and these credentials. */
struct derived {
    char day[9];
    char *access_key, *secret_key, *region, *service; /* owned */
    unsigned char key[32];
};

struct sign_cache {
    EVP_MD *sha256; /* fetched once: looking it up costs more than a short hash */
    pthread_mutex_t lock;
    struct derived slots[SLOTS]; /* by lock; each place for those whose hash says so */
};

static void derived_finish(struct derived *derived) {
    secret_free(derived->secret_key);
    free(derived->access_key);
    free(derived->region);
    free(derived->service);
    explicit_bzero(derived, sizeof *derived);
}

int sign_cache_create(struct sign_cache **out) {
    struct sign_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return -ENOMEM;
    cache->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!cache->sha256) {
        free(cache);
        return -ENOTSUP;
    }
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return 0;
}

void sign_cache_destroy(struct sign_cache *cache) {
    if (!cache)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        derived_finish(&cache->slots[i]);
    pthread_mutex_destroy(&cache->lock);
    EVP_MD_free(cache->sha256);
    free(cache);
}

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)

static const EVP_MD *sha256_of(const struct sign_cache *cache) {
    return cache ? cache->sha256 : EVP_sha256();
}

/* out may be the same as second. */
static int hash_two(EVP_MD_CTX *context, const EVP_MD *sha256, const void *first, size_t first_size, const void *second,
                    size_t second_size, unsigned char out[32]) {
    bool fine = EVP_DigestInit_ex(context, sha256, NULL) == 1 && EVP_DigestUpdate(context, first, first_size) == 1 &&
                EVP_DigestUpdate(context, second, second_size) == 1 && EVP_DigestFinal_ex(context, out, NULL) == 1;
    return fine ? 0 : -EIO;
}

/* RFC 2104, for keys of at most 64 bytes. */
static int hmac(EVP_MD_CTX *context, const EVP_MD *sha256, const unsigned char *key, size_t key_size, const void *text,
                size_t size, unsigned char out[32]) {
    unsigned char inner[64], outer[64];
    for (size_t i = 0; i < 64; i++) {
        unsigned byte = i < key_size ? key[i] : 0;
        inner[i] = (unsigned char)(byte ^ 0x36);
        outer[i] = (unsigned char)(byte ^ 0x5c);
    }
    int r = hash_two(context, sha256, inner, 64, text, size, out);
    if (!r)
        r = hash_two(context, sha256, outer, 64, out, 32, out);
    explicit_bzero(inner, 64);
    explicit_bzero(outer, 64);
    return r;
}

static void to_hex(const unsigned char raw[32], char hex[65]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    hex[64] = 0;
}

/* Writes pieces with a separator between them; returns the end. A signature has several such texts, each of which would
 * take longer to print than to hash. */
static char *join(char *out, const char *const *pieces, size_t count, char separator) {
    for (size_t i = 0; i < count; i++) {
        if (i)
            *out++ = separator;
        out = stpcpy(out, pieces[i]);
    }
    return out;
}

int sign_key_hash(struct sign_cache *cache, const void *data, size_t size, char hex[65]) {
    CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char raw[32];
    int r = context ? hash_two(context, sha256_of(cache), data, size, "", 0, raw) : -ENOMEM;
    if (!r)
        to_hex(raw, hex);
    return r;
}

int sign_key_sign(struct sign_cache *cache, const unsigned char key[32], const void *text, size_t size, char hex[65]) {
    CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char raw[32];
    int r = context ? hmac(context, sha256_of(cache), key, 32, text, size, raw) : -ENOMEM;
    if (!r)
        to_hex(raw, hex);
    return r;
}

int sign_key_sign_request(struct sign_cache *cache, const unsigned char key[32], const char *date, const char *scope,
                          const void *canonical, size_t size, char hex[65]) {
    CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char raw[32];
    char text[320];
    if (strlen(date) + strlen(scope) + sizeof SIGN_ALGORITHM + 3 + 64 > sizeof text)
        return -EINVAL;
    char *hash = join(text, (const char *const[]){SIGN_ALGORITHM, date, scope, ""}, 4, '\n');
    int r = context ? hash_two(context, sha256_of(cache), canonical, size, "", 0, raw) : -ENOMEM;
    if (r)
        return r;
    to_hex(raw, hash);
    r = hmac(context, sha256_of(cache), key, 32, text, (size_t)(hash + 64 - text), raw);
    if (!r)
        to_hex(raw, hex);
    return r;
}

static int derive(const EVP_MD *sha256, const struct sign_credentials *credentials, const char day[9],
                  unsigned char key[32]) {
    CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
    AUTO_WIPE_BUFFER struct buffer start = {0};
    if (!context || buffer_append_format(&start, "AWS4%s", credentials->secret_key))
        return -ENOMEM;
    unsigned char folded[32];
    const unsigned char *from = (const unsigned char *)start.data;
    size_t from_size = start.size;
    if (from_size > 64) { /* RFC 2104: a long key is hashed first */
        int r = hash_two(context, sha256, from, from_size, "", 0, folded);
        if (r)
            return r;
        from = folded;
        from_size = 32;
    }
    int r = hmac(context, sha256, from, from_size, day, 8, key);
    const char *const rest[] = {credentials->region, credentials->service, "aws4_request"};
    for (size_t i = 0; i < 3 && !r; i++)
        r = hmac(context, sha256, key, 32, rest[i], strlen(rest[i]), key);
    explicit_bzero(folded, sizeof folded);
    return r;
}

static bool derived_is(const struct derived *derived, const struct sign_credentials *credentials, const char *day) {
    return derived->secret_key && strcmp(derived->day, day) == 0 &&
           strcmp(derived->access_key, credentials->access_key) == 0 &&
           strcmp(derived->secret_key, credentials->secret_key) == 0 &&
           strcmp(derived->region, credentials->region) == 0 && strcmp(derived->service, credentials->service) == 0;
}

/* Keeps it if there is memory; else it is derived again next time. */
static void derived_keep(struct derived *derived, const struct sign_credentials *credentials, const char *day,
                         const unsigned char key[32]) {
    derived_finish(derived);
    memcpy(derived->day, day, 9);
    memcpy(derived->key, key, 32);
    derived->access_key = strdup(credentials->access_key);
    derived->secret_key = strdup(credentials->secret_key);
    derived->region = strdup(credentials->region);
    derived->service = strdup(credentials->service);
    if (!derived->access_key || !derived->secret_key || !derived->region || !derived->service)
        derived_finish(derived);
}

static struct derived *slot_of(struct sign_cache *cache, const struct sign_credentials *credentials) {
    uint32_t hash = 2166136261u;
    for (const char *c = credentials->access_key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    for (const char *c = credentials->service; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return &cache->slots[hash % SLOTS];
}

int sign_key_derive(struct sign_cache *cache, const struct sign_credentials *credentials, const char day[9],
                    unsigned char key[32]) {
    if (!cache)
        return derive(EVP_sha256(), credentials, day, key);
    struct derived *slot = slot_of(cache, credentials);
    pthread_mutex_lock(&cache->lock);
    bool found = derived_is(slot, credentials, day);
    if (found)
        memcpy(key, slot->key, 32);
    pthread_mutex_unlock(&cache->lock);
    if (found)
        return 0;
    int r = derive(cache->sha256, credentials, day, key);
    if (r)
        return r;
    pthread_mutex_lock(&cache->lock);
    derived_keep(slot, credentials, day, key);
    pthread_mutex_unlock(&cache->lock);
    return 0;
}

/* Where and when: what the signature is bound to besides the request. */
struct stamp {
    char date[17], day[9];
    char scope[160]; /* day/region/service/aws4_request */
};

static void write_digits(char *out, int value, int count) {
    for (; count--; value /= 10)
        out[count] = (char)('0' + value % 10);
}

static int stamp_make(struct stamp *stamp, const struct sign_credentials *credentials, int64_t time_s) {
    struct tm tm;
    time_t seconds = (time_t)time_s;
    if (time_s < 0 || time_s > 253402300799 || !gmtime_r(&seconds, &tm)) /* four digits of year */
        return -EINVAL;
    memcpy(stamp->date, "YYYYMMDDThhmmssZ", sizeof stamp->date);
    write_digits(stamp->date, tm.tm_year + 1900, 4);
    write_digits(stamp->date + 4, tm.tm_mon + 1, 2);
    write_digits(stamp->date + 6, tm.tm_mday, 2);
    write_digits(stamp->date + 9, tm.tm_hour, 2);
    write_digits(stamp->date + 11, tm.tm_min, 2);
    write_digits(stamp->date + 13, tm.tm_sec, 2);
    memcpy(stamp->day, stamp->date, 8);
    stamp->day[8] = 0;
    if (strlen(credentials->region) + strlen(credentials->service) + 8 + sizeof "///aws4_request" > sizeof stamp->scope)
        return -EINVAL;
    join(stamp->scope, (const char *const[]){stamp->day, credentials->region, credentials->service, "aws4_request"}, 4,
         '/');
    return 0;
}

/* The host as clients send it: without the scheme's own port. */
static int add_host(struct sign_list *headers, const char *scheme_host) {
    const char *host = strstr(scheme_host, "://");
    if (!host || strchr(host + 3, '/'))
        return -EINVAL;
    bool tls = strncmp(scheme_host, "https:", 6) == 0;
    AUTO_FREE char *copy = strdup(host + 3);
    if (!copy)
        return -ENOMEM;
    size_t size = strlen(copy), port = tls ? 4 : 3;
    if (size > port && strcmp(copy + size - port, tls ? ":443" : ":80") == 0)
        copy[size - port] = 0;
    return *copy ? sign_list_add_header(headers, "host", copy) : -EINVAL;
}

/* Both lists with what the request says, unsorted. */
static int lists_fill(const struct sign_request *request, struct sign_list *query, struct sign_list *headers) {
    if (!request->path_size || request->path[0] != '/' || !*request->method)
        return -EINVAL;
    int r = buffer_reserve(&headers->text, 255); /* nearly always enough; so is that of the query */
    if (!r)
        r = buffer_reserve(&query->text, 511);
    if (!r)
        r = add_host(headers, request->scheme_host);
    for (size_t i = 0; i < request->header_count && !r; i++)
        r = sign_list_add_header(headers, request->headers[i].name, request->headers[i].value);
    for (size_t i = 0; i < request->query_count && !r; i++) {
        const struct sign_pair *pair = &request->query[i];
        r = sign_list_add_query(query, pair->name, strlen(pair->name), pair->value,
                                pair->value ? strlen(pair->value) : 0);
    }
    return r;
}

static int add_parameter(struct sign_list *query, const char *name, const char *value) {
    return sign_list_add_query(query, name, strlen(name), value, strlen(value));
}

static int append_pair(struct buffer *out, const char *first, const char *between, const char *second) {
    int r = buffer_append_text(out, first);
    if (!r)
        r = buffer_append_text(out, between);
    return r ? r : buffer_append_text(out, second);
}

/* The parameters that make a URL a signed one. Sorts both lists. */
static int add_signing_query(struct sign_list *query, struct sign_list *headers,
                             const struct sign_credentials *credentials, const struct stamp *stamp,
                             unsigned expires_s) {
    AUTO_BUFFER struct buffer names = {0}, credential = {0};
    char expires[12];
    snprintf(expires, sizeof expires, "%u", expires_s);
    sign_list_sort_headers(headers);
    int r = sign_canonical_signed_names(&names, headers);
    if (!r)
        r = append_pair(&credential, credentials->access_key, "/", stamp->scope);
    if (!r)
        r = add_parameter(query, "X-Amz-Algorithm", SIGN_ALGORITHM);
    if (!r)
        r = add_parameter(query, "X-Amz-Credential", credential.data);
    if (!r)
        r = add_parameter(query, "X-Amz-Date", stamp->date);
    if (!r)
        r = add_parameter(query, "X-Amz-Expires", expires);
    if (!r)
        r = add_parameter(query, "X-Amz-SignedHeaders", names.data);
    if (!r && credentials->session_token)
        r = add_parameter(query, "X-Amz-Security-Token", credentials->session_token);
    if (!r)
        sign_list_sort_query(query);
    return r;
}

static int write_url(struct buffer *url, const struct sign_request *request, const struct sign_list *query) {
    int r = buffer_append_text(url, request->scheme_host);
    if (!r)
        r = sign_canonical_encode(url, request->path, request->path_size, true);
    if (!r && query->count)
        r = buffer_append(url, "?", 1);
    return r ? r : sign_canonical_query(url, query, true);
}

/* The signature of a request whose lists are complete and sorted. */
static int sign_lists(const struct sign_credentials *credentials, struct sign_cache *cache,
                      const struct sign_request *request, const struct stamp *stamp, const struct sign_list *query,
                      const struct sign_list *headers, const char *payload, char signature[65]) {
    AUTO_WIPE_BUFFER struct buffer canonical = {0};
    unsigned char key[32];
    int r =
        sign_canonical_write(&canonical, request->method, request->path, request->path_size, query, headers, payload);
    if (!r)
        r = sign_key_derive(cache, credentials, stamp->day, key);
    if (!r)
        r = sign_key_sign_request(cache, key, stamp->date, stamp->scope, canonical.data, canonical.size, signature);
    explicit_bzero(key, sizeof key);
    return r;
}

int sign_url_append(const struct sign_credentials *credentials, struct sign_cache *cache,
                    const struct sign_request *request, unsigned expires_s, struct buffer *out) {
    AUTO_SIGN_LIST struct sign_list query = {0}, headers = {0};
    struct stamp stamp;
    char signature[65];
    if (!expires_s || expires_s > 604800)
        return -EINVAL;
    int r = stamp_make(&stamp, credentials, request->time_s);
    if (!r)
        r = lists_fill(request, &query, &headers);
    if (!r)
        r = add_signing_query(&query, &headers, credentials, &stamp, expires_s);
    if (!r)
        r = sign_lists(credentials, cache, request, &stamp, &query, &headers, "UNSIGNED-PAYLOAD", signature);
    if (!r)
        r = write_url(out, request, &query);
    return r ? r : append_pair(out, "&X-Amz-Signature", "=", signature);
}

int sign_url(const struct sign_credentials *credentials, struct sign_cache *cache, const struct sign_request *request,
             unsigned expires_s, char **url) {
    AUTO_WIPE_BUFFER struct buffer text = {0};
    int r = sign_url_append(credentials, cache, request, expires_s, &text);
    if (!r && !(*url = buffer_take(&text)))
        r = -ENOMEM;
    return r;
}

static int write_authorization(const struct sign_credentials *credentials, const struct stamp *stamp,
                               const struct sign_list *headers, const char *signature, char **authorization) {
    AUTO_BUFFER struct buffer text = {0};
    int r = buffer_append_format(&text, SIGN_ALGORITHM " Credential=%s/%s,SignedHeaders=", credentials->access_key,
                                 stamp->scope);
    if (!r)
        r = sign_canonical_signed_names(&text, headers);
    if (!r)
        r = buffer_append_format(&text, ",Signature=%s", signature);
    if (!r && !(*authorization = buffer_take(&text)))
        r = -ENOMEM;
    return r;
}

int sign_headers(const struct sign_credentials *credentials, struct sign_cache *cache,
                 const struct sign_request *request, const char *payload_sha256, char **url, char **authorization,
                 char date[17]) {
    AUTO_SIGN_LIST struct sign_list query = {0}, headers = {0};
    AUTO_BUFFER struct buffer text = {0};
    struct stamp stamp;
    char signature[65];
    int r = stamp_make(&stamp, credentials, request->time_s);
    if (!r)
        r = lists_fill(request, &query, &headers);
    if (!r)
        r = sign_list_add_header(&headers, "x-amz-content-sha256", payload_sha256);
    if (!r)
        r = sign_list_add_header(&headers, "x-amz-date", stamp.date);
    if (!r && credentials->session_token)
        r = sign_list_add_header(&headers, "x-amz-security-token", credentials->session_token);
    if (r)
        return r;
    sign_list_sort_headers(&headers);
    sign_list_sort_query(&query);
    r = sign_lists(credentials, cache, request, &stamp, &query, &headers, payload_sha256, signature);
    if (!r)
        r = write_url(&text, request, &query);
    if (!r)
        r = write_authorization(credentials, &stamp, &headers, signature, authorization);
    if (r)
        return r;
    memcpy(date, stamp.date, 17);
    *url = buffer_take(&text); /* not empty: it holds the host */
    return 0;
}

int sign_canonical(const struct sign_request *request, const char *payload_sha256, char **canonical) {
    AUTO_SIGN_LIST struct sign_list query = {0}, headers = {0};
    AUTO_BUFFER struct buffer text = {0};
    struct stamp stamp;
    static const struct sign_credentials nobody = {.region = "", .service = ""};
    int r = stamp_make(&stamp, &nobody, request->time_s);
    if (!r)
        r = lists_fill(request, &query, &headers);
    if (!r)
        r = sign_list_add_header(&headers, "x-amz-content-sha256", payload_sha256);
    if (!r)
        r = sign_list_add_header(&headers, "x-amz-date", stamp.date);
    if (r)
        return r;
    sign_list_sort_headers(&headers);
    sign_list_sort_query(&query);
    r = sign_canonical_write(&text, request->method, request->path, request->path_size, &query, &headers,
                             payload_sha256);
    if (!r && !(*canonical = buffer_take(&text)))
        r = -ENOMEM;
    return r;
}
