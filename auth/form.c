/* Requests to an issuer's endpoints that take a form. */
#include "auth/form.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static int add(struct buffer *form, const char *name, const char *value) {
    AUTO_SECRET char *encoded = text_percent_encode(value, strlen(value), false);
    if (!encoded)
        return -ENOMEM;
    return buffer_append_format(form, "%s%s=%s", form->size ? "&" : "", name, encoded);
}

int form_post(struct fetch *fetch, const char *url, const struct form_field *fields, size_t count,
              const _Atomic bool *cancelled, struct fetch_answer *answer, struct fault *fault) {
    AUTO_WIPE_BUFFER struct buffer form = {0};
    size_t room = 0;
    for (size_t i = 0; i < count; i++)
        room += fields[i].value ? strlen(fields[i].name) + 3 * strlen(fields[i].value) + 2 : 0;
    int r = buffer_reserve(&form, room + 1); /* at once: growing would leave copies of secrets behind */
    for (size_t i = 0; i < count && !r; i++)
        r = fields[i].value ? add(&form, fields[i].name, fields[i].value) : 0;
    if (r)
        return r;
    struct fetch_request request = {
        .method = "POST",
        .url = url,
        .content_type = "application/x-www-form-urlencoded",
        .body = form.data,
        .body_size = form.size,
        .secret_answer = true,
        .cancelled = cancelled,
    };
    return fetch_perform(fetch, &request, answer, fault);
}

/* What the issuer says went wrong, harmless to print. */
void form_error_words(const struct fetch_answer *answer, char *out, size_t size) {
    const char *code = json_get_text(answer->json, "error");
    const char *more = json_get_text(answer->json, "error_description");
    snprintf(out, size, "%s%s%.200s", code ? code : "", code && more ? ": " : "", more ? more : "");
    for (char *at = out; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    if (!*out)
        snprintf(out, size, "HTTP %d", answer->status);
}

bool form_is_for_later(const struct fetch_answer *answer) {
    return answer->status >= 500 || answer->status == 429 || answer->status == 408;
}
