/* Walking S3's XML documents: the only use of expat. */
#include "s3/listing.h"

#include "base/cleanup.h"
#include "s3/listing_walk.h"

#include <expat.h>

#define MAX_DOCUMENT (16u << 20)
#define MAX_ELEMENTS 200000u
#define MAX_DEPTH 12u
#define MAX_TEXT (64u << 10)

struct walk {
    XML_Parser parser;
    const struct listing_walker *walker;
    struct buffer path, text;
    size_t starts[MAX_DEPTH]; /* where each level's name begins in path */
    unsigned depth, elements;
    int result; /* why it was stopped */
};

static void stop(struct walk *walk, int result) {
    if (!walk->result)
        walk->result = result;
    XML_StopParser(walk->parser, XML_FALSE);
}

static int enter(struct walk *walk, const char *name) {
    if (walk->depth == MAX_DEPTH || ++walk->elements > MAX_ELEMENTS)
        return PAIL_DAMAGED;
    const char *colon = strrchr(name, ':');
    walk->starts[walk->depth] = walk->path.size;
    if (walk->depth++ && buffer_append(&walk->path, "/", 1))
        return -ENOMEM;
    if (buffer_append_text(&walk->path, colon ? colon + 1 : name))
        return -ENOMEM;
    buffer_clear(&walk->text);
    return walk->walker->start ? walk->walker->start(walk->walker->context, walk->path.data) : 0;
}

static void XMLCALL on_start(void *context, const XML_Char *name, const XML_Char **attributes) {
    (void)attributes;
    struct walk *walk = context;
    int r = walk->result ? walk->result : enter(walk, name);
    if (r)
        stop(walk, r);
}

static void XMLCALL on_end(void *context, const XML_Char *name) {
    (void)name;
    struct walk *walk = context;
    if (walk->result)
        return;
    const char *text = walk->text.data ? walk->text.data : "";
    int r = walk->walker->end(walk->walker->context, walk->path.data, text, walk->text.size);
    buffer_clear(&walk->text);
    walk->path.size = walk->starts[--walk->depth];
    walk->path.data[walk->path.size] = 0;
    if (r)
        stop(walk, r);
}

static void XMLCALL on_text(void *context, const XML_Char *text, int size) {
    struct walk *walk = context;
    if (walk->result)
        return;
    if (walk->text.size + (size_t)size > MAX_TEXT)
        stop(walk, PAIL_DAMAGED);
    else if (buffer_append(&walk->text, text, (size_t)size))
        stop(walk, -ENOMEM);
}

static void XMLCALL on_doctype(void *context, const XML_Char *name, const XML_Char *system, const XML_Char *public,
                               int subset) {
    (void)name, (void)system, (void)public, (void)subset;
    stop(context, PAIL_DAMAGED);
}

/* Some servers send blanks to keep a connection alive before they know the answer. */
static void skip_blanks(const char **xml, size_t *size) {
    while (*size && strchr(" \t\r\n", **xml) && **xml)
        ++*xml, --*size;
}

int listing_walk(const char *xml, size_t size, const struct listing_walker *walker) {
    skip_blanks(&xml, &size);
    if (!size || size > MAX_DOCUMENT)
        return PAIL_DAMAGED;
    struct walk walk = {.parser = XML_ParserCreate(NULL), .walker = walker};
    if (!walk.parser)
        return -ENOMEM;
    XML_SetUserData(walk.parser, &walk);
    XML_SetElementHandler(walk.parser, on_start, on_end);
    XML_SetCharacterDataHandler(walk.parser, on_text);
    XML_SetStartDoctypeDeclHandler(walk.parser, on_doctype);
    enum XML_Status status = XML_Parse(walk.parser, xml, (int)size, 1);
    int r = walk.result;
    if (!r && status != XML_STATUS_OK)
        r = XML_GetErrorCode(walk.parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : PAIL_DAMAGED;
    XML_ParserFree(walk.parser);
    buffer_finish(&walk.path);
    buffer_finish(&walk.text);
    return r;
}
