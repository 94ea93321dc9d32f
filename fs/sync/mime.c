/* Content types by a name's extension: a table of what people have most, then the system's /etc/mime.types. */
#include "base/file.h"
#include "fs/sync/private.h"

#include <strings.h>

#define LARGEST_FILE (1u << 20)

struct type {
    const char *extension, *type;
};

static const struct type common[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"c", "text/x-csrc"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h", "text/x-chdr"},
    {"heic", "image/heic"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"ics", "text/calendar"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript"},
    {"json", "application/json"},
    {"log", "text/plain"},
    {"m4a", "audio/mp4"},
    {"md", "text/markdown"},
    {"mjs", "text/javascript"},
    {"mkv", "video/x-matroska"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"odp", "application/vnd.oasis.opendocument.presentation"},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"ogg", "audio/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"ps", "application/postscript"},
    {"py", "text/x-python"},
    {"rtf", "application/rtf"},
    {"sh", "application/x-sh"},
    {"sqlite", "application/vnd.sqlite3"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tgz", "application/gzip"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"toml", "application/toml"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain"},
    {"vcf", "text/vcard"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

struct mime {
    char *text;         /* owned: the system's file, cut into strings; or NULL */
    struct type *types; /* owned, sorted; strings lie in text */
    size_t count, capacity;
};

static int compare(const void *a, const void *b) {
    return strcasecmp(((const struct type *)a)->extension, ((const struct type *)b)->extension);
}

static int add(struct mime *mime, const char *extension, const char *type) {
    if (mime->count == mime->capacity) {
        size_t capacity = mime->capacity ? mime->capacity * 2 : 512;
        struct type *longer = realloc(mime->types, capacity * sizeof *longer);
        if (!longer)
            return -ENOMEM;
        mime->types = longer;
        mime->capacity = capacity;
    }
    mime->types[mime->count++] = (struct type){extension, type};
    return 0;
}

/* "type extension extension ...", as mime.types(5) has it. */
static int add_line(struct mime *mime, char *line) {
    char *rest = NULL;
    line[strcspn(line, "#")] = 0;
    const char *type = strtok_r(line, " \t\r", &rest), *extension;
    int error = 0;
    while (!error && type && (extension = strtok_r(NULL, " \t\r", &rest)))
        error = add(mime, extension, type);
    return error;
}

static int load(struct mime *mime, const char *path) {
    size_t size;
    int error = file_read(path, LARGEST_FILE, &mime->text, &size);
    if (error)
        return error == -ENOMEM ? error : 0;
    char *rest = NULL;
    for (char *line = strtok_r(mime->text, "\n", &rest); line && !error; line = strtok_r(NULL, "\n", &rest))
        error = add_line(mime, line);
    if (mime->count)
        qsort(mime->types, mime->count, sizeof *mime->types, compare);
    return error;
}

int mime_create(struct mime **out, const char *types) {
    struct mime *mime = calloc(1, sizeof *mime);
    int error = !mime ? -ENOMEM : types ? load(mime, types) : 0;
    if (error) {
        mime_destroy(mime);
        return error;
    }
    *out = mime;
    return 0;
}

void mime_destroy(struct mime *mime) {
    if (!mime)
        return;
    free(mime->types);
    free(mime->text);
    free(mime);
}

const char *mime_type(const struct mime *mime, const char *name) {
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name || strchr(dot, '/'))
        return "application/octet-stream";
    struct type wanted = {dot + 1, NULL};
    const struct type *found = bsearch(&wanted, common, sizeof common / sizeof *common, sizeof *common, compare);
    if (!found && mime->count)
        found = bsearch(&wanted, mime->types, mime->count, sizeof *mime->types, compare);
    return found ? found->type : "application/octet-stream";
}
