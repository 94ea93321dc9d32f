/* The canonical request of SigV4 in S3's variant. */
#include "s3/sign_canonical.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void sign_list_finish(struct sign_list *list) {
    buffer_wipe(&list->text); /* it may hold a session token */
    free(list->items);
    *list = (struct sign_list){0};
}

const char *sign_list_name(const struct sign_list *list, const struct sign_item *item) {
    return list->text.data + item->name;
}

const char *sign_list_value(const struct sign_list *list, const struct sign_item *item) {
    return list->text.data + item->value;
}

static const bool unreserved[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true,
    ['.'] = true,         ['_'] = true,         ['~'] = true,
};

int sign_canonical_encode(struct buffer *out, const void *data, size_t size, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    if (size > (size_t)-1 / 4 || buffer_reserve(out, size * 3))
        return -ENOMEM;
    const unsigned char *in = data;
    char *to = out->data + out->size;
    for (size_t i = 0; i < size; i++) {
        if (unreserved[in[i]] || (keep_slash && in[i] == '/')) {
            *to++ = (char)in[i];
        } else {
            *to++ = '%';
            *to++ = digits[in[i] >> 4];
            *to++ = digits[in[i] & 15];
        }
    }
    *to = 0;
    out->size = (size_t)(to - out->data);
    return 0;
}

static struct sign_item *grow(struct sign_list *list) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct sign_item *items = reallocarray(list->items, capacity, sizeof *items);
        if (!items)
            return NULL;
        list->items = items;
        list->capacity = capacity;
    }
    return &list->items[list->count++];
}

int sign_list_add_query(struct sign_list *list, const char *name, size_t name_size, const char *value,
                        size_t value_size) {
    struct sign_item *item = grow(list);
    if (!item)
        return -ENOMEM;
    *item = (struct sign_item){.name = list->text.size, .bare = !value};
    int r = sign_canonical_encode(&list->text, name, name_size, false);
    item->name_size = list->text.size - item->name;
    item->value = list->text.size;
    if (!r && value)
        r = sign_canonical_encode(&list->text, value, value_size, false);
    item->value_size = list->text.size - item->value;
    return r;
}

static bool is_header_name(const char *name) {
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c == ':' || *c == 127 || (*c >= 'A' && *c <= 'Z'))
            return false;
    return *name;
}

/* Without white space at the ends, and with one blank for each run of it inside. */
static int add_trimmed(struct buffer *out, const char *value) {
    int r = buffer_reserve(out, strlen(value));
    if (r)
        return r;
    size_t start = out->size;
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < ' ' && *c != '\t')
            return -EINVAL;
        bool blank = *c == ' ' || *c == '\t';
        if (blank && (out->size == start || out->data[out->size - 1] == ' '))
            continue;
        out->data[out->size++] = blank ? ' ' : *c;
    }
    if (out->size > start && out->data[out->size - 1] == ' ')
        out->size--;
    out->data[out->size] = 0;
    return 0;
}

int sign_list_add_header(struct sign_list *list, const char *name, const char *value) {
    if (!value || !is_header_name(name))
        return -EINVAL;
    struct sign_item *item = grow(list);
    if (!item)
        return -ENOMEM;
    *item = (struct sign_item){.name = list->text.size, .name_size = strlen(name)};
    int r = buffer_append(&list->text, name, item->name_size);
    item->value = list->text.size;
    if (!r)
        r = add_trimmed(&list->text, value);
    item->value_size = list->text.size - item->value;
    return r;
}

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_names(const struct sign_item *a, const struct sign_item *b, const char *text) {
    return compare_bytes(text + a->name, a->name_size, text + b->name, b->name_size);
}

static int compare_query(const void *left, const void *right, void *context) {
    const struct sign_item *a = left, *b = right;
    const char *text = context;
    int order = compare_names(a, b, text);
    return order ? order : compare_bytes(text + a->value, a->value_size, text + b->value, b->value_size);
}

static int compare_headers(const void *left, const void *right, void *context) {
    const struct sign_item *a = left, *b = right;
    int order = compare_names(a, b, context);
    return order ? order : (a->name > b->name) - (a->name < b->name);
}

void sign_list_sort_query(struct sign_list *list) {
    if (list->count > 1)
        qsort_r(list->items, list->count, sizeof *list->items, compare_query, list->text.data);
}

void sign_list_sort_headers(struct sign_list *list) {
    if (list->count > 1)
        qsort_r(list->items, list->count, sizeof *list->items, compare_headers, list->text.data);
}

int sign_canonical_query(struct buffer *out, const struct sign_list *query, bool bare) {
    int r = 0;
    for (size_t i = 0; i < query->count && !r; i++) {
        const struct sign_item *item = &query->items[i];
        if (i)
            r = buffer_append(out, "&", 1);
        if (!r)
            r = buffer_append(out, sign_list_name(query, item), item->name_size);
        if (!r && !(bare && item->bare))
            r = buffer_append(out, "=", 1);
        if (!r)
            r = buffer_append(out, sign_list_value(query, item), item->value_size);
    }
    return r;
}

static bool same_name(const struct sign_list *list, size_t i, size_t j) {
    const struct sign_item *a = &list->items[i], *b = &list->items[j];
    return a->name_size == b->name_size && memcmp(sign_list_name(list, a), sign_list_name(list, b), a->name_size) == 0;
}

int sign_canonical_signed_names(struct buffer *out, const struct sign_list *headers) {
    int r = 0;
    for (size_t i = 0; i < headers->count && !r; i++) {
        if (i && same_name(headers, i, i - 1))
            continue;
        if (i)
            r = buffer_append(out, ";", 1);
        if (!r)
            r = buffer_append(out, sign_list_name(headers, &headers->items[i]), headers->items[i].name_size);
    }
    return r;
}

/* One line for each name; the values of a name that stands several times are joined by commas. */
static int write_headers(struct buffer *out, const struct sign_list *headers) {
    int r = 0;
    for (size_t i = 0; i < headers->count && !r; i++) {
        const struct sign_item *item = &headers->items[i];
        if (i && same_name(headers, i, i - 1)) {
            r = buffer_append(out, ",", 1);
        } else {
            r = i ? buffer_append(out, "\n", 1) : 0;
            if (!r)
                r = buffer_append(out, sign_list_name(headers, item), item->name_size);
            if (!r)
                r = buffer_append(out, ":", 1);
        }
        if (!r)
            r = buffer_append(out, sign_list_value(headers, item), item->value_size);
    }
    return r ? r : buffer_append(out, "\n\n", 2);
}

int sign_canonical_write(struct buffer *out, const char *method, const char *path, size_t path_size,
                         const struct sign_list *query, const struct sign_list *headers, const char *payload) {
    int r = buffer_reserve(out, path_size + query->text.size + 2 * headers->text.size + 128); /* nearly always enough */
    if (!r)
        r = buffer_append_text(out, method);
    if (!r)
        r = buffer_append(out, "\n", 1);
    if (!r)
        r = sign_canonical_encode(out, path, path_size, true);
    if (!r)
        r = buffer_append(out, "\n", 1);
    if (!r)
        r = sign_canonical_query(out, query, false);
    if (!r)
        r = buffer_append(out, "\n", 1);
    if (!r)
        r = write_headers(out, headers);
    if (!r)
        r = sign_canonical_signed_names(out, headers);
    if (!r)
        r = buffer_append(out, "\n", 1);
    return r ? r : buffer_append_text(out, payload);
}
