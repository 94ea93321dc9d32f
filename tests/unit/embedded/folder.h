/* A temporary folder for a test, and what stands in it. */
#pragma once

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>

/* The caller frees it with folder_remove. */
static inline char *folder_make(void) {
    const char *base = getenv("TMPDIR");
    char *path = text_format("%s/pail-embedded-XXXXXX", base ? base : "/tmp");
    assert(path);
    if (!mkdtemp(path))
        abort();
    return path;
}

static inline void folder_remove(char *path) {
    file_remove_tree(path);
    free(path);
}
DEFINE_CLEANUP(char *, folder_remove)
#define AUTO_FOLDER CLEANUP(folder_remove_p)

/* "folder/name"; the caller frees. */
static inline char *folder_path(const char *folder, const char *name) {
    return text_format("%s/%s", folder, name);
}
