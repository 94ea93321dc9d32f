/* The options after -o. */
#include "fs/cli/mount_options.h"

#include "base/cleanup.h"
#include "base/size.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>

void mount_words_init(struct mount_words *words) {
    *words = (struct mount_words){.options = {.fresh_ms = 5000, .stall_ms = 30000}};
}

void mount_words_finish(struct mount_words *words) {
    free(words->account);
    free(words->kernel);
}

/* Meaningless here, but people and tools write them: fstab(5), systemd.mount(5), udisks. */
static const char *const harmless[] = {"_netdev", "nofail", "auto",     "noauto",   "user",  "users", "nouser",
                                       "group",   "owner",  "defaults", "rw",       "async", "atime", "relatime",
                                       "suid",    "dev",    "exec",     "nonempty", "fuse"};
/* These the kernel does. */
static const char *const for_kernel[] = {"nosuid", "nodev", "noexec", "noatime", "nodiratime", "sync", "dirsync"};

static bool is_among(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static int add_kernel(struct mount_words *words, const char *word) {
    char *longer = words->kernel ? text_format("%s,%s", words->kernel, word) : strdup(word);
    if (!longer)
        return -ENOMEM;
    free(words->kernel);
    words->kernel = longer;
    words->options.kernel_options = longer;
    return 0;
}

static int take_word(struct mount_words *words, const char *word, struct fault *fault) {
    struct mount_options *options = &words->options;
    if (strcmp(word, "allow_other") == 0)
        options->allow_other = true;
    else if (strcmp(word, "ro") == 0)
        options->read_only = true;
    else if (is_among(word, for_kernel, sizeof for_kernel / sizeof *for_kernel))
        return add_kernel(words, word);
    else if (!is_among(word, harmless, sizeof harmless / sizeof *harmless) && !text_starts(word, "x-"))
        return fault_set(fault, -EINVAL, "unknown option '%s'; `pail mount --help` lists those that there are", word);
    return 0;
}

static int bad_value(const char *name, const char *value, const char *right, struct fault *fault) {
    return fault_set(fault, -EINVAL, "option %s=%s: %s", name, value, right);
}

/* Seconds, with "inf" where endless is allowed. */
static int take_seconds(const char *name, const char *value, bool endless, int64_t *ms, struct fault *fault) {
    uint64_t seconds;
    if (endless && strcmp(value, "inf") == 0) {
        *ms = INT64_MAX;
        return 0;
    }
    if (text_parse_u64(value, &seconds) || seconds > 86400 || (!endless && seconds == 0))
        return bad_value(name, value, endless ? "seconds from 0 to 86400, or inf" : "seconds from 1 to 86400", fault);
    *ms = (int64_t)seconds * 1000;
    return 0;
}

static int take_choice(const char *name, const char *value, const char *plain, const char *special, bool *out,
                       struct fault *fault) {
    AUTO_FREE char *right = text_format("%s or %s", plain, special);
    if (strcmp(value, plain) != 0 && strcmp(value, special) != 0)
        return bad_value(name, value, right ? right : "", fault);
    *out = strcmp(value, special) == 0;
    return 0;
}

static int take_size(const char *name, const char *value, uint64_t least, uint64_t *out, struct fault *fault) {
    if (size_parse(value, out) || *out < least)
        return bad_value(name, value, "a size such as 512M or 10G, at least 64M", fault);
    return 0;
}

static int take_value(struct mount_words *words, const char *name, const char *value, struct fault *fault) {
    struct mount_options *options = &words->options;
    if (text_starts(name, "x-") || strcmp(name, "comment") == 0 || strcmp(name, "subtype") == 0)
        return 0;
    if (strcmp(name, "fresh") == 0)
        return take_seconds(name, value, true, &options->fresh_ms, fault);
    if (strcmp(name, "timeout") == 0)
        return take_seconds(name, value, false, &options->stall_ms, fault);
    if (strcmp(name, "attrs") == 0)
        return take_choice(name, value, "full", "listing", &options->attrs_listing, fault);
    if (strcmp(name, "owner") == 0)
        return take_choice(name, value, "me", "keep", &options->owner_keep, fault);
    if (strcmp(name, "durable") == 0)
        return take_choice(name, value, "local", "bucket", &options->durable_bucket, fault);
    if (strcmp(name, "mode") == 0)
        return take_choice(name, value, "presigned", "credentials", &options->credentials, fault);
    if (strcmp(name, "cache") == 0)
        return take_size(name, value, 64u << 20, &options->cache_bytes, fault);
    if (strcmp(name, "memory") == 0)
        return take_size(name, value, 64u << 20, &options->memory_bytes, fault);
    if (strcmp(name, "account") == 0) {
        free(words->account);
        words->account = strdup(value);
        return words->account ? 0 : -ENOMEM;
    }
    return fault_set(fault, -EINVAL, "unknown option '%s=%s'; `pail mount --help` lists those that there are", name,
                     value);
}

int mount_words_parse(struct mount_words *words, const char *text, struct fault *fault) {
    AUTO_FREE char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    char *rest = copy, *word;
    int r = 0;
    while (!r && (word = strsep(&rest, ","))) {
        if (!*word)
            continue;
        char *equals = strchr(word, '=');
        if (equals)
            *equals = 0;
        r = equals ? take_value(words, word, equals + 1, fault) : take_word(words, word, fault);
    }
    return r;
}
