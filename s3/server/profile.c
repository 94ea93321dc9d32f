/* ~/.aws/credentials: sections in brackets, name = value. */
#include "s3/server/profile.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void profile_finish(struct profile *profile) {
    free(profile->access_key);
    secret_free(profile->secret_key);
    secret_free(profile->session_token);
    profile->access_key = profile->secret_key = profile->session_token = NULL;
}

/* The piece without blanks around it. */
static char *trimmed(const char *text, size_t size) {
    while (size && strchr(" \t\r", *text))
        text++, size--;
    while (size && strchr(" \t\r", text[size - 1]))
        size--;
    return strndup(text, size);
}

static char **field_of(struct profile *profile, const char *name) {
    if (text_equal(name, "aws_access_key_id"))
        return &profile->access_key;
    if (text_equal(name, "aws_secret_access_key"))
        return &profile->secret_key;
    return text_equal(name, "aws_session_token") ? &profile->session_token : NULL;
}

static int take_line(const char *line, size_t size, struct profile *profile) {
    const char *equals = memchr(line, '=', size);
    if (!equals || *line == '#' || *line == ';')
        return 0;
    AUTO_FREE char *name = trimmed(line, (size_t)(equals - line));
    if (!name)
        return -ENOMEM;
    char **field = field_of(profile, name);
    if (!field)
        return 0;
    secret_free(*field);
    *field = trimmed(equals + 1, size - (size_t)(equals + 1 - line));
    return *field ? 0 : -ENOMEM;
}

static bool is_section(const char *line, size_t size, const char *name) {
    AUTO_FREE char *text = trimmed(line, size);
    size_t length = strlen(name);
    return text && text[0] == '[' && !strncmp(text + 1, name, length) && text[1 + length] == ']';
}

int profile_parse(const char *text, struct profile *profile) {
    bool inside = false;
    int error = 0;
    while (*text && !error) {
        size_t size = strcspn(text, "\n");
        if (*text == '[')
            inside = is_section(text, size, profile->name);
        else if (inside)
            error = take_line(text, size, profile);
        text += size + (text[size] == '\n');
    }
    return error;
}
