/* Takes the aws-chunked framing off a body.
 *
 *   state        what comes                              then
 *   SIZE         "hex[;chunk-signature=hex]\r\n"         DATA, or for size 0: TRAILER or LAST_END
 *   DATA         so many bytes                           DATA_END
 *   DATA_END     "\r\n"                                  SIZE
 *   TRAILER      "name:value\r\n", ended by "\r\n"       DONE
 *   LAST_END     "\r\n"                                  DONE
 *   DONE         nothing more                                                                                       */
#include "s3/embedded/chunked.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/embedded/problem.h"

#include <errno.h>

enum state { SIZE, DATA, DATA_END, TRAILER, LAST_END, DONE };

struct chunked {
    struct chunked_options options;
    enum state state;
    char line[4096]; /* the one that is being collected */
    size_t line_size;
    uint64_t left;          /* of DATA */
    char signature[65];     /* of the chunk */
    struct checksum *hash;  /* owned; of the chunk, when signed */
    struct buffer trailers; /* "name:value\n" each: also what their signature covers */
    char trailer_signature[65];
};

int chunked_create(struct chunked **out, const struct chunked_options *options) {
    struct chunked *chunked = calloc(1, sizeof *chunked);
    if (!chunked)
        return -ENOMEM;
    chunked->options = *options;
    *out = chunked;
    return 0;
}

void chunked_destroy(struct chunked *chunked) {
    if (!chunked)
        return;
    checksum_destroy(chunked->hash);
    buffer_finish(&chunked->trailers);
    free(chunked);
}

/* The whole line without its end, once it is there: 1; 0: more is needed. */
static int collect_line(struct chunked *chunked, const char **data, size_t *size) {
    while (*size) {
        char c = *(*data)++;
        --*size;
        if (c == '\n' && chunked->line_size && chunked->line[chunked->line_size - 1] == '\r') {
            chunked->line[--chunked->line_size] = 0;
            return 1;
        }
        if (!c || chunked->line_size + 1 == sizeof chunked->line)
            return -EBADMSG;
        chunked->line[chunked->line_size++] = c;
    }
    return 0;
}

static int parse_size(const char *text, uint64_t *size) {
    char *end;
    if (!*text || !strchr("0123456789abcdefABCDEF", *text) || strspn(text, "0123456789abcdefABCDEF") > 15)
        return PROBLEM_INCOMPLETE_BODY;
    *size = strtoull(text, &end, 16);
    return !*end || *end == ';' ? 0 : PROBLEM_INCOMPLETE_BODY;
}

static int start_chunk(struct chunked *chunked) {
    static const char name[] = ";chunk-signature=";
    int r = parse_size(chunked->line, &chunked->left);
    if (r)
        return r;
    if (chunked->options.signing) {
        const char *signature = strstr(chunked->line, name);
        if (!signature || strlen(signature) != strlen(name) + 64)
            return PROBLEM_SIGNATURE;
        memcpy(chunked->signature, signature + strlen(name), 65);
        r = checksum_create(&chunked->hash, CHECKSUM_SHA256);
    }
    chunked->state = DATA;
    return r;
}

static int end_chunk(struct chunked *chunked, bool last) {
    if (chunked->options.signing) {
        unsigned char raw[32];
        int size = checksum_end(chunked->hash, raw);
        checksum_destroy(TAKE(chunked->hash));
        AUTO_FREE char *hex = size < 0 ? NULL : text_hex(raw, (size_t)size);
        if (!hex)
            return -ENOMEM;
        int r = sign_check_chunk(chunked->options.signing, false, hex, chunked->signature);
        if (r)
            return r < 0 ? r : PROBLEM_SIGNATURE;
    }
    if (last)
        chunked->state = chunked->options.trailers ? TRAILER : LAST_END;
    else
        chunked->state = DATA_END;
    return 0;
}

static int take_data(struct chunked *chunked, const char **data, size_t *size) {
    size_t piece = chunked->left < *size ? (size_t)chunked->left : *size;
    int r = chunked->hash ? checksum_add(chunked->hash, *data, piece) : 0;
    if (!r)
        r = chunked->options.write(chunked->options.context, *data, piece);
    *data += piece;
    *size -= piece;
    chunked->left -= piece;
    return !r && !chunked->left ? end_chunk(chunked, false) : r;
}

static int check_trailers(struct chunked *chunked) {
    if (!chunked->options.signing)
        return 0;
    AUTO_FREE char *hex = NULL;
    int r = checksum_hex(CHECKSUM_SHA256, chunked->trailers.data ? chunked->trailers.data : "", chunked->trailers.size,
                         &hex);
    if (!r)
        r = sign_check_chunk(chunked->options.signing, true, hex, chunked->trailer_signature);
    return r <= 0 ? r : PROBLEM_SIGNATURE;
}

static int take_trailer(struct chunked *chunked) {
    static const char signature[] = "x-amz-trailer-signature:";
    if (!*chunked->line) {
        chunked->state = DONE;
        return check_trailers(chunked);
    }
    char *colon = strchr(chunked->line, ':');
    if (!colon)
        return PROBLEM_INCOMPLETE_BODY;
    *colon = 0;
    text_lower_ascii(chunked->line);
    *colon = ':';
    if (text_starts(chunked->line, signature)) {
        if (strlen(chunked->line) != strlen(signature) + 64)
            return PROBLEM_SIGNATURE;
        memcpy(chunked->trailer_signature, chunked->line + strlen(signature), 65);
        return 0;
    }
    if (chunked->trailers.size > sizeof chunked->line)
        return PROBLEM_INCOMPLETE_BODY;
    return buffer_append_format(&chunked->trailers, "%s\n", chunked->line);
}

static int take_line(struct chunked *chunked) {
    switch (chunked->state) {
    case SIZE: {
        int r = start_chunk(chunked);
        return !r && !chunked->left ? end_chunk(chunked, true) : r;
    }
    case TRAILER:
        return take_trailer(chunked);
    case DATA_END:
        chunked->state = SIZE;
        return *chunked->line ? PROBLEM_INCOMPLETE_BODY : 0;
    case LAST_END:
        chunked->state = DONE;
        return *chunked->line ? PROBLEM_INCOMPLETE_BODY : 0;
    default:
        return PROBLEM_INCOMPLETE_BODY;
    }
}

int chunked_add(struct chunked *chunked, const void *bytes, size_t size) {
    const char *data = bytes;
    int r = 0;
    while (size && !r) {
        if (chunked->state == DONE)
            return PROBLEM_INCOMPLETE_BODY;
        if (chunked->state == DATA) {
            r = take_data(chunked, &data, &size);
            continue;
        }
        r = collect_line(chunked, &data, &size);
        if (r != 1)
            return r ? PROBLEM_INCOMPLETE_BODY : 0;
        r = take_line(chunked);
        chunked->line_size = 0;
    }
    return r;
}

int chunked_finish(struct chunked *chunked) {
    /* Some clients leave the very last line end away. */
    bool whole = chunked->state == DONE || (chunked->state == LAST_END && !chunked->line_size) ||
                 (chunked->state == TRAILER && !chunked->line_size && !chunked->options.signing);
    return whole ? 0 : PROBLEM_INCOMPLETE_BODY;
}

char *chunked_trailer(const struct chunked *chunked, const char *name) {
    size_t size = strlen(name);
    for (const char *at = chunked->trailers.data; at && *at;) {
        size_t length = strcspn(at, "\n");
        if (length > size && strncmp(at, name, size) == 0 && at[size] == ':') {
            size_t skip = size + 1 + strspn(at + size + 1, " ");
            return strndup(at + skip, length - skip);
        }
        at += length + (at[length] == '\n');
    }
    return NULL;
}
