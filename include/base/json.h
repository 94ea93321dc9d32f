/* JSON with strict reading. json_parse refuses \u0000, invalid UTF-8, duplicate members, trailing bytes and nesting
 * deeper than 32 before cJSON sees the text. Look-ups are case-sensitive. A struct json is not thread-safe; reading one
 * from several threads is. cJSON is used in json.c only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json; /* any JSON value */

/* 0, -ENOMEM, or -EBADMSG when the text is not JSON as above. *out is owned by the caller. */
int json_parse(struct json **out, const char *text, size_t size);
void json_destroy(struct json *json);
void json_wipe(struct json *json); /* overwrites every text in it, then destroys it: for secrets */

/* Borrowed from the object or array; NULL if absent or not that kind of value. NULL may be passed in. */
const struct json *json_get(const struct json *object, const char *name);
const struct json *json_at(const struct json *array,
                           size_t index);  /* for objects: the index-th member's value. Linear */
size_t json_size(const struct json *json); /* of an array or object, else 0 */
/* For walking arrays and objects in linear time: first child, then the next of each. */
const struct json *json_first(const struct json *json);
const struct json *json_next(const struct json *child);
const char *json_name(const struct json *member); /* of an object's member */

bool json_is_object(const struct json *json);
bool json_is_array(const struct json *json);
bool json_is_null(const struct json *json);              /* JSON's null, not a missing value */
const char *json_text(const struct json *json);          /* NULL if it is not a string */
int json_integer(const struct json *json, int64_t *out); /* -EINVAL unless an integer within +-2^53 */
int json_boolean(const struct json *json, bool *out);    /* -EINVAL */
int json_number(const struct json *json, double *out);   /* -EINVAL */
/* Shorthands for members: NULL, or fallback, when absent or of another type. */
const char *json_get_text(const struct json *object, const char *name);
int64_t json_get_integer(const struct json *object, const char *name, int64_t fallback);
bool json_get_boolean(const struct json *object, const char *name, bool fallback);

/* Building. Every function returns NULL or -ENOMEM without memory; adding to a NULL object is -ENOMEM, so that a chain
 * can be checked once at its end by json_print. text must be UTF-8. json_add and json_push take ownership of value,
 * also on failure. */
struct json *json_object(void);
struct json *json_array(void);
struct json *json_from_text(const char *text);
int json_add(struct json *object, const char *name, struct json *value);
int json_add_text(struct json *object, const char *name, const char *text); /* NULL text adds null */
int json_add_integer(struct json *object, const char *name, int64_t value);
int json_add_boolean(struct json *object, const char *name, bool value);
int json_push(struct json *array, struct json *value);
int json_push_text(struct json *array, const char *text);
int json_push_integer(struct json *array, int64_t value);
/* Compact text, or indented for people. The caller frees; NULL without memory. */
char *json_print(const struct json *json);
char *json_print_pretty(const struct json *json);

static inline void json_destroy_p(struct json **json) {
    json_destroy(*json);
}
#define AUTO_JSON __attribute__((cleanup(json_destroy_p)))

static inline void json_wipe_p(struct json **json) {
    json_wipe(*json);
}
#define AUTO_WIPE_JSON __attribute__((cleanup(json_wipe_p)))
