/* Answers of the embedded store. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/embedded/visit.h"
#include "s3/embedded/xml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int grow(struct answer *answer) {
    if (answer->count < answer->capacity)
        return 0;
    size_t capacity = answer->capacity ? answer->capacity * 2 : 24;
    struct http_header *items = reallocarray(answer->items, capacity, sizeof *items);
    if (!items)
        return -ENOMEM;
    answer->items = items;
    char **names = reallocarray(answer->names, capacity, sizeof *names);
    if (!names)
        return -ENOMEM;
    answer->names = names;
    answer->capacity = capacity;
    return 0;
}

/* Takes name and value. */
static void add(struct answer *answer, char *name, const char *fixed, char *value) {
    if (!value || (!name && !fixed) || grow(answer)) {
        answer->error = -ENOMEM;
        free(name);
        free(value);
        return;
    }
    answer->items[answer->count] = (struct http_header){name ? name : fixed, value};
    answer->names[answer->count++] = name;
}

void answer_set(struct answer *answer, const char *name, const char *format, ...) {
    char *value = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&value, format, arguments);
    va_end(arguments);
    add(answer, NULL, name, size < 0 ? NULL : value);
}

void answer_set_copied(struct answer *answer, const char *name, const char *value) {
    add(answer, strdup(name), NULL, strdup(value));
}

void answer_drop(struct answer *answer, size_t index) {
    free((char *)answer->items[index].value);
    free(answer->names[index]);
    answer->count--;
    answer->items[index] = answer->items[answer->count];
    answer->names[index] = answer->names[answer->count];
}

static void finish(struct answer *answer) {
    for (size_t i = 0; i < answer->count; i++) {
        free((char *)answer->items[i].value);
        free(answer->names[i]);
    }
    free(answer->items);
    free(answer->names);
    *answer = (struct answer){0};
}

static void send_rest(struct visit *visit, struct answer *answer, struct http_answer *rest) {
    answer_set(answer, "x-amz-request-id", "%s", visit->id);
    answer_set(answer, "server", "Pail embedded store");
    rest->headers = answer->items;
    rest->header_count = answer->count;
    if (!rest->status)
        rest->status = answer->status ? answer->status : 200;
    http_answer(visit->request, rest);
    finish(answer);
}

void answer_send_body(struct visit *visit, struct answer *answer, struct http_answer *rest) {
    send_rest(visit, answer, rest);
}

void answer_send_empty(struct visit *visit, struct answer *answer) {
    if (answer->error) {
        answer_send_problem(visit, answer, answer->error);
        return;
    }
    struct http_answer rest = {.kind = HTTP_BYTES};
    send_rest(visit, answer, &rest);
}

void answer_send_xml(struct visit *visit, struct answer *answer, struct buffer *xml) {
    if (answer->error) {
        buffer_finish(xml);
        answer_send_problem(visit, answer, answer->error);
        return;
    }
    answer_set(answer, "content-type", "application/xml");
    struct http_answer rest = {.kind = HTTP_BYTES, .size = xml->size};
    rest.bytes = buffer_take(xml);
    send_rest(visit, answer, &rest);
}

static int write_problem(struct buffer *xml, const struct visit *visit, const struct problem_text *text) {
    int r = buffer_append_text(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    if (!r)
        r = xml_text(xml, "Code", text->code);
    if (!r)
        r = xml_text(xml, "Message", text->message);
    if (!r)
        r = xml_text(xml, "Resource", visit->request->raw_path);
    if (!r)
        r = xml_text(xml, "RequestId", visit->id);
    return r ? r : xml_close(xml, "Error");
}

void answer_send_problem(struct visit *visit, struct answer *answer, int problem) {
    const struct problem_text *text = problem_text(problem);
    AUTO_BUFFER struct buffer xml = {0};
    if (text->status >= 500 && problem != PROBLEM_NOT_IMPLEMENTED)
        log_error("store: request %s failed: %s", visit->id, problem < 0 ? error_text(problem) : text->message);
    struct http_answer rest = {.status = text->status, .kind = HTTP_BYTES};
    if (!visit->head && text->status != 304 && !write_problem(&xml, visit, text)) {
        rest.size = xml.size;
        rest.bytes = buffer_take(&xml);
        answer_set(answer, "content-type", "application/xml");
    }
    send_rest(visit, answer, &rest);
}

void answer_problem(struct visit *visit, int problem) {
    struct answer answer = {0};
    answer_send_problem(visit, &answer, problem);
}
