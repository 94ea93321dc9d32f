/* Queries and forms. */
#include "s3/embedded/form.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int decode(const char *text, size_t size, char **out) {
    size_t length;
    *out = text_percent_decode(text, size, true, &length);
    if (!*out)
        return errno == EINVAL ? -EINVAL : -ENOMEM;
    return strlen(*out) == length ? 0 : -EINVAL;
}

static int read_item(struct form_item *item, const char *text, size_t size) {
    const char *equals = memchr(text, '=', size);
    size_t name = equals ? (size_t)(equals - text) : size, skip = name + !!equals;
    int r = decode(text, name, &item->name);
    return r ? r : decode(text + skip, size - skip, &item->value);
}

int form_parse(struct form *form, const char *text) {
    size_t most = 1;
    for (const char *c = text; *c; c++)
        most += *c == '&';
    *form = (struct form){.items = calloc(most, sizeof *form->items)};
    if (!form->items)
        return -ENOMEM;
    while (*text) {
        size_t size = strcspn(text, "&");
        int r = size ? read_item(&form->items[form->count++], text, size) : 0;
        if (r) {
            form_finish(form);
            return r;
        }
        text += size + (text[size] == '&');
    }
    return 0;
}

void form_finish(struct form *form) {
    for (size_t i = 0; i < form->count; i++) {
        free(form->items[i].name);
        free(form->items[i].value);
    }
    free(form->items);
    *form = (struct form){0};
}

const char *form_get(const struct form *form, const char *name) {
    for (size_t i = 0; i < form->count; i++)
        if (strcmp(form->items[i].name, name) == 0)
            return form->items[i].value;
    return NULL;
}
