/* What each kind of setting may hold. */
#include "s3/server/config_values.h"

#include "auth/fetch.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/size.h"
#include "base/text.h"
#include "s3/server/config.h"
#include "s3/server/peer.h"

#include <arpa/inet.h>
#include <string.h>

static int take(void *field, char *value) {
    if (!value)
        return -ENOMEM;
    char **text = field;
    free(*text);
    *text = value;
    return 0;
}

static bool printable(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

int config_values_text(void *field, struct config *config, const char *value) {
    (void)config;
    return *value && printable(value) ? take(field, strdup(value)) : -EINVAL;
}

int config_values_path(void *field, struct config *config, const char *value) {
    return config_values_text(field, config, value);
}

int config_values_readable(void *field, struct config *config, const char *value) {
    return access(value, R_OK) ? -EINVAL : config_values_text(field, config, value);
}

static void free_list(struct config_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){0};
}

static int push(struct config_list *list, const char *text, size_t size) {
    char **grown = realloc(list->items, (list->count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    list->items = grown;
    grown[list->count] = strndup(text, size);
    return grown[list->count++] ? 0 : -ENOMEM;
}

int config_values_list(void *field, struct config *config, const char *value) {
    (void)config;
    struct config_list list = {0};
    for (const char *word = value + strspn(value, " \t,\n"); *word; word += strspn(word, " \t,\n")) {
        size_t size = strcspn(word, " \t,\n");
        int error = push(&list, word, size);
        if (error) {
            free_list(&list);
            return error;
        }
        word += size;
    }
    free_list(field);
    *(struct config_list *)field = list;
    return 0;
}

/* A list of which each word passes the check; else the setting stays as it was. */
static int take_checked_list(void *field, struct config *config, const char *value, int (*check)(const char *word)) {
    struct config_list list = {0};
    int error = config_values_list(&list, config, value);
    for (size_t i = 0; i < list.count && !error; i++)
        error = check(list.items[i]);
    if (error) {
        free_list(&list);
        return error;
    }
    free_list(field);
    *(struct config_list *)field = list;
    return 0;
}

static int check_address(const char *word) {
    struct in6_addr address;
    return inet_pton(AF_INET, word, &address) == 1 || inet_pton(AF_INET6, word, &address) == 1 ? 0 : -EINVAL;
}

int config_values_addresses(void *field, struct config *config, const char *value) {
    return take_checked_list(field, config, value, check_address);
}

int config_values_networks(void *field, struct config *config, const char *value) {
    struct config_networks *networks = field;
    struct config_list words = {0};
    int error = config_values_list(&words, config, value);
    AUTO_FREE struct peer_network *items = calloc(words.count + 1, sizeof *items);
    if (!error && !items)
        error = -ENOMEM;
    for (size_t i = 0; i < words.count && !error; i++)
        error = peer_parse_network(words.items[i], &items[i]);
    if (!error) {
        free(networks->items);
        *networks = (struct config_networks){TAKE(items), words.count};
    }
    free_list(&words);
    return error;
}

/* URLs. */

int config_values_url(void *field, struct config *config, const char *value) {
    (void)config;
    if (!fetch_url_allowed(value) || strpbrk(value, "?# ") || !printable(value))
        return -EINVAL;
    size_t size = strlen(value);
    while (size && value[size - 1] == '/')
        size--;
    return take(field, strndup(value, size));
}

int config_values_issuer(void *field, struct config *config, const char *value) {
    (void)config;
    if (!fetch_url_allowed(value) || strpbrk(value, "?# ") || !printable(value))
        return -EINVAL;
    return take(field, strdup(value)); /* the slash at the end counts */
}

/* The store may be reached over plain http inside a network of its own: its requests are signed, and bear no token. */
int config_values_origin(void *field, struct config *config, const char *value) {
    (void)config;
    const char *host = text_starts(value, "https://") ? value + 8 : text_starts(value, "http://") ? value + 7 : NULL;
    if (!host || !*host || strpbrk(host, "?#@ ") || !printable(host))
        return -EINVAL;
    const char *slash = strchr(host, '/');
    if (slash && slash[1])
        return -EINVAL;
    return take(field, strndup(value, slash ? (size_t)(slash - value) : strlen(value)));
}

/* Numbers. */

static int take_number(int64_t *field, const char *value, uint64_t least, uint64_t most) {
    uint64_t number;
    if (text_parse_u64(value, &number) || number < least || number > most)
        return -EINVAL;
    *field = (int64_t)number;
    return 0;
}

int config_values_connections(void *field, struct config *config, const char *value) {
    (void)config;
    return take_number(field, value, 10, 100000);
}

int config_values_limit(void *field, struct config *config, const char *value) {
    (void)config;
    return take_number(field, value, 0, 1000000);
}

int config_values_patience(void *field, struct config *config, const char *value) {
    (void)config;
    return take_number(field, value, 1, 3600);
}

int config_values_days(void *field, struct config *config, const char *value) {
    (void)config;
    return take_number(field, value, 0, 36500);
}

/* At most twelve hours: a leaked grant is to be worth little. */
int config_values_grant_life(void *field, struct config *config, const char *value) {
    (void)config;
    return take_number(field, value, 60, 43200);
}

int config_values_size(void *field, struct config *config, const char *value) {
    (void)config;
    uint64_t bytes;
    int error = size_parse(value, &bytes);
    if (!error)
        *(int64_t *)field = (int64_t)bytes;
    return error ? -EINVAL : 0;
}

static int check_port(const char *word) {
    int64_t port;
    return take_number(&port, word, 1024, 65535);
}

int config_values_ports(void *field, struct config *config, const char *value) {
    bool empty = !value[strspn(value, " \t,\n")];
    return empty ? -EINVAL : take_checked_list(field, config, value, check_port);
}

bool config_address_is_loopback(const char *address) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int config_values_listen(void *field, struct config *config, const char *value) {
    const char *colon = strrchr(value, ':');
    bool brackets = *value == '[';
    if (!colon || (brackets && colon[-1] != ']') || colon == value)
        return -EINVAL;
    AUTO_FREE char *address = strndup(value + brackets, (size_t)(colon - value) - 2 * brackets);
    uint64_t port;
    unsigned char raw[16];
    if (!address)
        return -ENOMEM;
    if (text_parse_u64(colon + 1, &port) || port > 65535 || inet_pton(brackets ? AF_INET6 : AF_INET, address, raw) != 1)
        return -EINVAL;
    config->listen_port = (uint16_t)port;
    return take(field, TAKE(address));
}

/* Choices. */

static int take_choice(int64_t *field, const char *value, const char *const *choices) {
    for (int64_t i = 0; choices[i]; i++)
        if (!strcmp(value, choices[i])) {
            *field = i;
            return 0;
        }
    return -EINVAL;
}

int config_values_identity(void *field, struct config *config, const char *value) {
    (void)config;
    static const char *const choices[] = {"subject", "email", NULL};
    return take_choice(field, value, choices);
}

int config_values_style(void *field, struct config *config, const char *value) {
    (void)config;
    static const char *const choices[] = {"path", "virtual", NULL};
    return take_choice(field, value, choices);
}

int config_values_layout(void *field, struct config *config, const char *value) {
    (void)config;
    static const char *const choices[] = {"bucket", "prefix", NULL};
    return take_choice(field, value, choices);
}

int config_values_yes(void *field, struct config *config, const char *value) {
    (void)config;
    static const char *const choices[] = {"no", "yes", NULL};
    return take_choice(field, value, choices);
}

int config_values_log(void *field, struct config *config, const char *value) {
    return log_level_parse(value) < 0 ? -EINVAL : config_values_text(field, config, value);
}

int config_values_log_format(void *field, struct config *config, const char *value) {
    static const char *const choices[] = {"text", "json", NULL};
    int64_t ignored;
    int error = take_choice(&ignored, value, choices);
    return error ? error : config_values_text(field, config, value);
}

int config_values_credentials(void *field, struct config *config, const char *value) {
    static const char *const choices[] = {"auto", "settings", "environment", "profile", "container", "instance", NULL};
    int64_t ignored;
    int error = take_choice(&ignored, value, choices);
    return error ? error : config_values_text(field, config, value);
}

/* Names. */

static bool all_of(const char *text, const char *allowed) {
    return *text && text[strspn(text, allowed)] == '\0';
}

int config_values_region(void *field, struct config *config, const char *value) {
    bool fine = all_of(value, "abcdefghijklmnopqrstuvwxyz0123456789-_") && strlen(value) <= 64;
    return fine ? config_values_text(field, config, value) : -EINVAL;
}

int config_values_role(void *field, struct config *config, const char *value) {
    bool fine = text_starts(value, "arn:") && strstr(value, ":role/") && strlen(value) <= 2048;
    return fine ? config_values_text(field, config, value) : -EINVAL;
}

/* S3 User Guide, "Bucket naming rules". */
int config_values_bucket(void *field, struct config *config, const char *value) {
    size_t size = strlen(value);
    bool fine = all_of(value, "abcdefghijklmnopqrstuvwxyz0123456789-.") && size >= 3 && size <= 63 &&
                !strchr("-.", value[0]) && !strchr("-.", value[size - 1]) && !strstr(value, "..");
    return fine ? config_values_text(field, config, value) : -EINVAL;
}

/* A bucket's name is at most 63 characters (S3 User Guide, "Bucket naming rules"): "-probe-" or "-" and 20 of a hash
 * follow, and "-" with up to three digits. */
int config_values_bucket_prefix(void *field, struct config *config, const char *value) {
    size_t size = strlen(value);
    bool fine = all_of(value, "abcdefghijklmnopqrstuvwxyz0123456789-") && size >= 3 && size <= 36 && value[0] != '-' &&
                value[size - 1] != '-' && !text_starts(value, "xn--");
    return fine ? config_values_text(field, config, value) : -EINVAL;
}
