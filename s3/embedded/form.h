/* "a=1&b=2": queries and forms, percent-decoded, with '+' for a blank. */
#pragma once

#include <stddef.h>

struct form {
    struct form_item {
        char *name, *value; /* value "" without "=" */
    } * items;              /* owned, with their texts */
    size_t count;
};

/* 0, -ENOMEM, or -EINVAL: a bad escape, or a NUL; then it is empty. */
int form_parse(struct form *form, const char *text);
void form_finish(struct form *form);
/* The first of that name, borrowed; NULL if absent. */
const char *form_get(const struct form *form, const char *name);
