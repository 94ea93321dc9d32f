/* JSON: a strict scan first, then cJSON. */
#include "base/json.h"

#include "base/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32, FEW_MEMBERS = 8 };

/* struct json is cJSON under another name. */
static cJSON *inner(const struct json *json) {
    return (cJSON *)(uintptr_t)json;
}

static struct json *outer(cJSON *json) {
    return (struct json *)json;
}

struct scan {
    const char *at, *end;
};

static void skip_space(struct scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char c) {
    if (s->at >= s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool scan_escape(struct scan *s) {
    if (s->at >= s->end)
        return false;
    char c = *s->at++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    if (s->end - s->at < 4)
        return false;
    bool zero = true;
    for (int i = 0; i < 4; i++, s->at++) {
        if (!*s->at || !strchr("0123456789abcdefABCDEF", *s->at))
            return false;
        zero = zero && *s->at == '0';
    }
    return !zero;
}

static bool scan_string(struct scan *s) {
    if (!take(s, '"'))
        return false;
    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !scan_escape(s)))
            return false;
    }
    return false;
}

static bool scan_digits(struct scan *s) {
    const char *start = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > start;
}

static bool scan_number(struct scan *s) {
    take(s, '-');
    if (!take(s, '0') && !scan_digits(s))
        return false;
    if (take(s, '.') && !scan_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0)
        return false;
    s->at += size;
    return true;
}

static bool scan_value(struct scan *s, int depth);

/* Elements up to `close`; with members each one has a name and a colon before it. */
static bool scan_list(struct scan *s, char close, bool members, int depth) {
    skip_space(s);
    if (take(s, close))
        return true;
    for (;;) {
        skip_space(s);
        if (members) {
            if (!scan_string(s))
                return false;
            skip_space(s);
            if (!take(s, ':'))
                return false;
        }
        if (!scan_value(s, depth))
            return false;
        skip_space(s);
        if (take(s, close))
            return true;
        if (!take(s, ','))
            return false;
    }
}

static bool scan_value(struct scan *s, int depth) {
    skip_space(s);
    if (s->at >= s->end || (depth >= MAX_DEPTH && (*s->at == '{' || *s->at == '[')))
        return false;
    switch (*s->at) {
    case '{':
        s->at++;
        return scan_list(s, '}', true, depth + 1);
    case '[':
        s->at++;
        return scan_list(s, ']', false, depth + 1);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_twin(const cJSON *first, const cJSON *child) {
    while (first != child && strcmp(first->string, child->string) != 0)
        first = first->next;
    return first != child;
}

static int check_few(const cJSON *object) {
    for (const cJSON *child = object->child; child; child = child->next)
        if (is_twin(object->child, child))
            return -EBADMSG;
    return 0;
}

/* Names are compared after unescaping, so that "a" and "\u0061" are one. Sorting keeps 10,000 members cheap; a few, as
 * nearly every object has, are cheaper without. */
static int check_duplicates(const cJSON *json) {
    size_t count = 0;
    for (const cJSON *child = json->child; child; child = child->next) {
        int r = check_duplicates(child);
        if (r)
            return r;
        count++;
    }
    if (!cJSON_IsObject(json) || count < 2)
        return 0;
    if (count <= FEW_MEMBERS)
        return check_few(json);
    const char **names = malloc(count * sizeof *names);
    if (!names)
        return -ENOMEM;
    size_t i = 0;
    for (const cJSON *child = json->child; child; child = child->next)
        names[i++] = child->string;
    qsort(names, count, sizeof *names, compare_names);
    int r = 0;
    for (i = 1; i < count && !r; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            r = -EBADMSG;
    free(names);
    return r;
}

int json_parse(struct json **out, const char *text, size_t size) {
    struct scan s = {text, text + size};
    if (!text_is_utf8(text, size) || memchr(text, 0, size) || !scan_value(&s, 0))
        return -EBADMSG;
    skip_space(&s);
    if (s.at != s.end)
        return -EBADMSG;
    cJSON *json = cJSON_ParseWithLength(text, size);
    if (!json)
        return -EBADMSG;
    int r = check_duplicates(json);
    if (r) {
        cJSON_Delete(json);
        return r;
    }
    *out = outer(json);
    return 0;
}

void json_destroy(struct json *json) {
    cJSON_Delete(inner(json));
}

static void overwrite_texts(cJSON *json) {
    for (; json; json = json->next) {
        if (json->valuestring && !(json->type & cJSON_IsReference))
            explicit_bzero(json->valuestring, strlen(json->valuestring));
        overwrite_texts(json->child);
    }
}

void json_wipe(struct json *json) {
    if (json)
        overwrite_texts(inner(json));
    json_destroy(json);
}

const struct json *json_get(const struct json *object, const char *name) {
    return json_is_object(object) ? outer(cJSON_GetObjectItemCaseSensitive(inner(object), name)) : NULL;
}

const struct json *json_at(const struct json *array, size_t index) {
    const struct json *child = json_first(array);
    while (child && index--)
        child = json_next(child);
    return child;
}

size_t json_size(const struct json *json) {
    size_t count = 0;
    for (const struct json *child = json_first(json); child; child = json_next(child))
        count++;
    return count;
}

const struct json *json_first(const struct json *json) {
    return json_is_object(json) || json_is_array(json) ? outer(inner(json)->child) : NULL;
}

const struct json *json_next(const struct json *child) {
    return outer(inner(child)->next);
}

const char *json_name(const struct json *member) {
    return inner(member)->string;
}

bool json_is_object(const struct json *json) {
    return cJSON_IsObject(inner(json));
}

bool json_is_array(const struct json *json) {
    return cJSON_IsArray(inner(json));
}

bool json_is_null(const struct json *json) {
    return cJSON_IsNull(inner(json));
}

const char *json_text(const struct json *json) {
    return cJSON_GetStringValue(inner(json));
}

int json_number(const struct json *json, double *out) {
    if (cJSON_IsRaw(inner(json))) { /* made by from_integer */
        *out = strtod(inner(json)->valuestring, NULL);
        return 0;
    }
    if (!cJSON_IsNumber(inner(json)) || !isfinite(inner(json)->valuedouble))
        return -EINVAL;
    *out = inner(json)->valuedouble;
    return 0;
}

int json_integer(const struct json *json, int64_t *out) {
    double value;
    if (json_number(json, &value) || fabs(value) > 9007199254740992.0 || value != trunc(value))
        return -EINVAL;
    *out = (int64_t)value;
    return 0;
}

int json_boolean(const struct json *json, bool *out) {
    if (!cJSON_IsBool(inner(json)))
        return -EINVAL;
    *out = cJSON_IsTrue(inner(json));
    return 0;
}

const char *json_get_text(const struct json *object, const char *name) {
    return json_text(json_get(object, name));
}

int64_t json_get_integer(const struct json *object, const char *name, int64_t fallback) {
    int64_t value;
    return json_integer(json_get(object, name), &value) ? fallback : value;
}

bool json_get_boolean(const struct json *object, const char *name, bool fallback) {
    bool value;
    return json_boolean(json_get(object, name), &value) ? fallback : value;
}

struct json *json_object(void) {
    return outer(cJSON_CreateObject());
}

struct json *json_array(void) {
    return outer(cJSON_CreateArray());
}

struct json *json_from_text(const char *text) {
    return outer(text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

/* cJSON prints a number's first 15 digits; longer ones must go in as they are to be written. */
static struct json *from_integer(int64_t value) {
    if (value > -1000000000000000 && value < 1000000000000000)
        return outer(cJSON_CreateNumber((double)value));
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    return outer(cJSON_CreateRaw(digits));
}

int json_add(struct json *object, const char *name, struct json *value) {
    if (object && value && cJSON_AddItemToObject(inner(object), name, inner(value)))
        return 0;
    json_destroy(value);
    return -ENOMEM;
}

int json_add_text(struct json *object, const char *name, const char *text) {
    return json_add(object, name, json_from_text(text));
}

int json_add_integer(struct json *object, const char *name, int64_t value) {
    return json_add(object, name, from_integer(value));
}

int json_add_boolean(struct json *object, const char *name, bool value) {
    return json_add(object, name, outer(cJSON_CreateBool(value)));
}

int json_push(struct json *array, struct json *value) {
    if (array && value && cJSON_AddItemToArray(inner(array), inner(value)))
        return 0;
    json_destroy(value);
    return -ENOMEM;
}

int json_push_text(struct json *array, const char *text) {
    return json_push(array, json_from_text(text));
}

int json_push_integer(struct json *array, int64_t value) {
    return json_push(array, from_integer(value));
}

char *json_print(const struct json *json) {
    return json ? cJSON_PrintUnformatted(inner(json)) : NULL;
}

char *json_print_pretty(const struct json *json) {
    return json ? cJSON_Print(inner(json)) : NULL;
}
