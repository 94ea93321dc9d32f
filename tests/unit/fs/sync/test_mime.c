/* Content types by name. */
#include "fixture.h"

#include "fs/sync/private.h"

#include <stdio.h>

static void common_names(void **state) {
    (void)state;
    struct mime *mime;
    assert_int_equal(mime_create(&mime, NULL), 0);
    assert_string_equal(mime_type(mime, "a.txt"), "text/plain");
    assert_string_equal(mime_type(mime, "a.tar.GZ"), "application/gzip");
    assert_string_equal(mime_type(mime, "PHOTO.JPG"), "image/jpeg");
    assert_string_equal(mime_type(mime, "7z.7z"), "application/x-7z-compressed");
    assert_string_equal(mime_type(mime, "a.zst"), "application/zstd");
    assert_string_equal(mime_type(mime, ".txt"), "application/octet-stream");
    assert_string_equal(mime_type(mime, "txt"), "application/octet-stream");
    assert_string_equal(mime_type(mime, "a."), "application/octet-stream");
    assert_string_equal(mime_type(mime, "a.unheard-of"), "application/octet-stream");
    mime_destroy(mime);
}

static void a_types_file(void **state) {
    (void)state;
    char path[] = "/tmp/pail-mime-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "# comment\nchemical/x-pdb pdb ent # more\n\napplication/x-nothing\ntext/other txt\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    struct mime *mime;
    assert_int_equal(mime_create(&mime, path), 0);
    assert_string_equal(mime_type(mime, "a.ent"), "chemical/x-pdb");
    assert_string_equal(mime_type(mime, "a.PDB"), "chemical/x-pdb");
    assert_string_equal(mime_type(mime, "a.txt"), "text/plain"); /* ours first */
    assert_string_equal(mime_type(mime, "a.more"), "application/octet-stream");
    mime_destroy(mime);
    unlink(path);
    assert_int_equal(mime_create(&mime, path), 0); /* it is fine if it is not there */
    mime_destroy(mime);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(common_names), cmocka_unit_test(a_types_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
