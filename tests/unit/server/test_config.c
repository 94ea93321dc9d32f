/* Tests of s3/server/config: every source, and a line for every wrong setting. */
#include "s3/server/config.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct scene {
    struct config config;
    struct config_problems problems;
    char folder[40], path[80];
};

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    assert_int_equal(config_init(&scene->config), 0);
    strcpy(scene->folder, "/tmp/pail-config-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    snprintf(scene->path, sizeof scene->path, "%s/server.ini", scene->folder);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    config_finish(&scene->config);
    config_problems_finish(&scene->problems);
    file_remove_tree(scene->folder);
    free(scene);
    return 0;
}

static const char *lines(const struct scene *scene) {
    return scene->problems.lines.data ? scene->problems.lines.data : "";
}

static void read_file(struct scene *scene, const char *text) {
    assert_int_equal(file_replace(scene->path, 0600, text, strlen(text)), 0);
    assert_int_equal(config_read_file(&scene->config, scene->path, &scene->problems), 0);
}

static const char good[] = "; a comment\n[server]\nlisten = [::1]:8443\npublic_url = https://drive.example.com/\n"
                           "[login]\nissuer = https://t.auth0.com/\naudience = https://drive.example.com/api\n"
                           "client_id = abc\nemail_claims = https://ns/email, email\nidentity = email\n"
                           "[store]\nendpoint = https://s3.eu-central-1.amazonaws.com\nregion = eu-central-1\n"
                           "style = virtual\nkeep_versions_d = 0\n";

static void a_file_with_everything_that_is_needed(void **state) {
    struct scene *scene = *state;
    read_file(scene, good);
    assert_int_equal(config_check(&scene->config, &scene->problems), 0);
    assert_string_equal(lines(scene), "");
    const struct config *config = &scene->config;
    assert_string_equal(config->listen_address, "::1");
    assert_int_equal(config->listen_port, 8443);
    assert_string_equal(config->public_url, "https://drive.example.com");
    assert_string_equal(config->issuer, "https://t.auth0.com/");
    assert_int_equal(config->email_claims.count, 2);
    assert_string_equal(config->email_claims.items[0], "https://ns/email");
    assert_int_equal(config->identity, CONFIG_EMAIL);
    assert_int_equal(config->style, CONFIG_VIRTUAL);
    assert_int_equal(config->keep_versions_d, 0);
    assert_int_equal(config->grant_life_s, 900);
    assert_int_equal(config->loopback_ports.count, 3);
    assert_string_equal(config->bucket_prefix, "pail");
}

static void flags_win_over_variables_and_variables_over_the_file(void **state) {
    struct scene *scene = *state;
    read_file(scene, good);
    char *environment[] = {(char *)(uintptr_t) "PAIL_REGION=from-variable",
                           (char *)(uintptr_t) "PAIL_CLIENT_ID=variable", (char *)(uintptr_t) "HOME=/x", NULL};
    assert_int_equal(config_read_environment(&scene->config, environment, &scene->problems), 0);
    char *flags[] = {(char *)(uintptr_t) "--client-id", (char *)(uintptr_t) "flag", (char *)(uintptr_t) "--check",
                     (char *)(uintptr_t) "--style=path", (char *)(uintptr_t) "users"};
    int left = 0;
    assert_int_equal(config_read_flags(&scene->config, 5, flags, &left, &scene->problems), 0);
    assert_string_equal(scene->config.region, "from-variable");
    assert_string_equal(scene->config.client_id, "flag");
    assert_int_equal(scene->config.style, CONFIG_PATH);
    assert_int_equal(left, 2);
    assert_string_equal(flags[0], "--check");
    assert_string_equal(flags[1], "users");
    assert_string_equal(lines(scene), "");
}

/* Each wrong value gives one line with the setting, the value, and what would be right. */
static void wrong_values_row_by_row(void **state) {
    struct scene *scene = *state;
    static const struct {
        const char *name, *value, *right;
    } rows[] = {
        {"listen", "8080", "ADDRESS:PORT"},
        {"listen", "localhost:8080", "ADDRESS:PORT"},
        {"listen", "127.0.0.1:70000", "ADDRESS:PORT"},
        {"listen", "127.0.0.1:", "ADDRESS:PORT"},
        {"listen", "[::1:80", "ADDRESS:PORT"},
        {"listen", "::1:80", "ADDRESS:PORT"},
        {"public_url", "drive.example.com", "https://HOST"},
        {"public_url", "http://drive.example.com", "https://HOST"},
        {"public_url", "https://drive.example.com/?a", "https://HOST"},
        {"tls_key", "/no/such/file", "PEM"},
        {"connections", "5", "10 to 100000"},
        {"connections", "many", "10 to 100000"},
        {"connections_per_address", "-1", "0 for no limit"},
        {"requests_per_account", "1000001", "up to 1000000"},
        {"request_s", "0", "from 1 to 3600"},
        {"trusted_proxies", "proxy.example", "10.0.0.0/8"},
        {"trusted_proxies", "10.0.0.1/8", "10.0.0.0/8"},
        {"trusted_proxies", "10.0.0.0/33", "10.0.0.0/8"},
        {"log", "loud", "debug"},
        {"log_format", "xml", "json"},
        {"issuer", "http://login.example.com/", "issuer"},
        {"client_id", "", "client id"},
        {"loopback_ports", "80", "1024"},
        {"loopback_ports", "47831 x", "1024"},
        {"loopback_ports", "", "1024"},
        {"identity", "phone", "subject or email"},
        {"endpoint", "s3.example.com", "https://HOST"},
        {"endpoint", "https://s3.example.com/path", "https://HOST"},
        {"endpoint", "ftp://s3.example.com", "https://HOST"},
        {"endpoint", "https://", "https://HOST"},
        {"endpoint", "https://key@s3.example.com", "https://HOST"},
        {"region", "EU Central", "eu-central-1"},
        {"style", "dns", "path or virtual"},
        {"credentials", "guess", "environment"},
        {"role_arn", "pail", "arn:"},
        {"offer_credentials", "true", "yes or no"},
        {"bucket_prefix", "Pail", "a-z"},
        {"bucket_prefix", "ab", "3 to 36"},
        {"bucket_prefix", "-abc", "letter or digit"},
        {"bucket_prefix", "abcdefghijabcdefghijabcdefghijabcdefg", "3 to 36"},
        {"layout", "shared", "bucket or prefix"},
        {"shared_bucket", "Files", "a-z"},
        {"shared_bucket", "ab", "3 to 63"},
        {"shared_bucket", "a..b", "bucket's name"},
        {"shared_bucket", "files-", "bucket's name"},
        {"keep_versions_d", "-1", "0 to 36500"},
        {"grant_life_s", "59", "60 to 43200"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        config_problems_finish(&scene->problems);
        assert_int_equal(config_set(&scene->config, rows[i].name, rows[i].value, "here", &scene->problems), 0);
        const char *line = lines(scene);
        if (scene->problems.errors != 1 || !strstr(line, rows[i].name) || !strstr(line, rows[i].value) ||
            !strstr(line, rows[i].right) || strchr(line, '\n') != line + strlen(line) - 1)
            fail_msg("%s = \"%s\" gave: %s", rows[i].name, rows[i].value, line);
    }
}

static void unknown_and_misplaced_settings(void **state) {
    struct scene *scene = *state;
    read_file(scene, "[store]\nendpont = https://s3.example.com\n");
    assert_non_null(strstr(lines(scene), "did you mean endpoint?"));
    config_problems_finish(&scene->problems);
    read_file(scene, "[server]\nissuer = https://a.example/\n");
    assert_non_null(strstr(lines(scene), "below [login]"));
    config_problems_finish(&scene->problems);
    read_file(scene, "[store]\nregion = a\nregion = b\n");
    assert_non_null(strstr(lines(scene), "twice"));
    config_problems_finish(&scene->problems);
    read_file(scene, "[store]\nthis is no setting\n");
    assert_non_null(strstr(lines(scene), "server.ini:2"));
    config_problems_finish(&scene->problems);
    char *environment[] = {(char *)(uintptr_t) "PAIL_ENDPONT=x", (char *)(uintptr_t) "PAIL_SOMETHING_ELSE=x", NULL};
    assert_int_equal(config_read_environment(&scene->config, environment, &scene->problems), 0);
    assert_int_equal(scene->problems.errors, 0);
    assert_int_equal(scene->problems.warnings, 1);
    assert_non_null(strstr(lines(scene), "endpoint"));
}

static void lines_that_the_reader_would_cut(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *text = text_format("[login]\naudience = https://%0200d.example.com\n", 0);
    read_file(scene, text);
    assert_non_null(strstr(lines(scene), "server.ini:2"));
}

static void secrets_stay_out_of_lines_flags_and_open_files(void **state) {
    struct scene *scene = *state;
    char *flags[] = {(char *)(uintptr_t) "--secret-access-key", (char *)(uintptr_t) "s3cr3t"};
    int left = 0;
    assert_int_equal(config_read_flags(&scene->config, 2, flags, &left, &scene->problems), 0);
    assert_int_equal(scene->problems.errors, 1);
    assert_null(scene->config.secret_access_key);
    config_problems_finish(&scene->problems);
    read_file(scene, "[server]\nsecret_access_key = s3cr3t\n");
    assert_int_equal(scene->problems.errors, 1);
    assert_null(strstr(lines(scene), "s3cr3t"));
    config_problems_finish(&scene->problems);
    const char *text = "[store]\naccess_key_id = AK\nsecret_access_key = s3cr3t\n";
    assert_int_equal(file_replace(scene->path, 0644, text, strlen(text)), 0);
    chmod(scene->path, 0644);
    assert_int_equal(config_read_file(&scene->config, scene->path, &scene->problems), 0);
    assert_non_null(strstr(lines(scene), "chmod o="));
    assert_null(strstr(lines(scene), "s3cr3t"));
}

static void check_lines(struct scene *scene, const char *text, const char *expected) {
    config_problems_finish(&scene->problems);
    config_finish(&scene->config);
    assert_int_equal(config_init(&scene->config), 0);
    read_file(scene, text);
    assert_int_equal(config_check(&scene->config, &scene->problems), 0);
    if (!strstr(lines(scene), expected))
        fail_msg("\"%s\" is not in: %s", expected, lines(scene));
}

static void what_does_not_go_together(void **state) {
    struct scene *scene = *state;
    check_lines(scene, "", "[server] public_url = \"\" is missing");
    check_lines(scene, "", "[login] issuer = \"\" is missing");
    check_lines(scene, "", "[store] endpoint = \"\" is missing");
    check_lines(scene, "[store]\nendpoint = ftp://x\n", "endpoint = \"ftp://x\" is wrong");
    assert_null(strstr(lines(scene), "endpoint = \"\" is missing")); /* one line for each */
    check_lines(scene, "[server]\nlisten = 0.0.0.0:8443\n", "without TLS");
    check_lines(scene, "[server]\nlisten = [::]:8443\n", "without TLS");
    check_lines(scene, "[server]\ntls_certificate = /dev/null\n", "tls_key");
    check_lines(scene, "[store]\naccess_key_id = AK\n", "secret_access_key");
    check_lines(scene, "[store]\ncredentials = settings\n", "access_key_id");
    check_lines(scene, "[store]\noffer_credentials = yes\n", "needs role_arn");
    check_lines(scene, "[server]\npublic_url = https://a.example\n[login]\naudience = https://b.example\n",
                "warning: [login] audience");
    check_lines(scene, "[server]\npublic_url = https://a.example\n[login]\naudience = https://a.example.evil\n",
                "warning: [login] audience");
}

static void a_file_that_is_not_there(void **state) {
    struct scene *scene = *state;
    assert_int_equal(config_read_file(&scene->config, "/no/such.ini", &scene->problems), 0);
    assert_non_null(strstr(lines(scene), "/no/such.ini"));
}

/* Each line of the help that begins with two blanks and a name is a setting. */
static void the_man_page_names_every_setting(void **state) {
    (void)state;
    AUTO_FREE char *help = config_help(), *man = NULL;
    size_t size = 0, settings = 0;
    const char *path = getenv("PAIL_MAN");
    assert_non_null(path); /* meson test sets it */
    assert_int_equal(file_read(path, 1 << 20, &man, &size), 0);
    for (char *line = strtok(help, "\n"); line; line = strtok(NULL, "\n")) {
        char name[40];
        if (line[2] == '[' || sscanf(line, "  %39[a-z_0-9]", name) != 1)
            continue;
        settings++;
        if (!strstr(man, name))
            fail_msg("pail-server(1) does not name %s", name);
    }
    assert_true(settings > 30);
}

static void help_names_every_setting(void **state) {
    (void)state;
    AUTO_FREE char *help = config_help();
    static const char *const names[] = {"listen", "public_url", "issuer", "endpoint", "role_arn", "grant_life_s"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(strstr(help, names[i]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_with_everything_that_is_needed),
        TEST(flags_win_over_variables_and_variables_over_the_file),
        TEST(wrong_values_row_by_row),
        TEST(unknown_and_misplaced_settings),
        TEST(lines_that_the_reader_would_cut),
        TEST(secrets_stay_out_of_lines_flags_and_open_files),
        TEST(what_does_not_go_together),
        TEST(a_file_that_is_not_there),
        TEST(help_names_every_setting),
        TEST(the_man_page_names_every_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
