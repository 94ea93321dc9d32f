/* Tests of auth/vault_secret.c against the real gnome-keyring; started by with_keyring.sh. */
#include "auth/vault.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "patience.h"

#define SECRET_API_SUBJECT_TO_CHANGE
#include <libsecret/secret.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct vault *vault;
    struct fault fault;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    return vault_open(&f->vault, ACCOUNT_VAULT_SECRET_SERVICE, &f->fault);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    vault_destroy(f->vault);
    free(f);
    return 0;
}

static SecretCollection *default_keyring(SecretService **service) {
    secret_service_disconnect();
    *service = secret_service_get_sync(SECRET_SERVICE_OPEN_SESSION, NULL, NULL);
    assert_non_null(*service);
    SecretCollection *collection =
        secret_collection_for_alias_sync(*service, SECRET_COLLECTION_DEFAULT, SECRET_COLLECTION_NONE, NULL, NULL);
    assert_non_null(collection);
    return collection;
}

/* By gnome-keyring's own way round the dialog, for which there is no screen here. */
static void unlock(void) {
    SecretService *service;
    SecretCollection *collection = default_keyring(&service);
    SecretValue *password = secret_value_new("keyring", -1, "text/plain");
    GVariant *arguments = g_variant_new("(o@(oayays))", g_dbus_proxy_get_object_path(G_DBUS_PROXY(collection)),
                                        secret_service_encode_dbus_secret(service, password));
    GVariant *answer = g_dbus_connection_call_sync(
        g_dbus_proxy_get_connection(G_DBUS_PROXY(service)), "org.freedesktop.secrets", "/org/freedesktop/secrets",
        "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface", "UnlockWithMasterPassword", arguments, NULL,
        G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
    assert_non_null(answer);
    g_variant_unref(answer);
    secret_value_unref(password);
    g_object_unref(collection);
    g_object_unref(service);
}

static void lock(void) {
    SecretService *service;
    SecretCollection *collection = default_keyring(&service);
    GList one = {.data = collection};
    assert_int_equal(secret_service_lock_sync(service, &one, NULL, NULL, NULL), 1);
    g_object_unref(collection);
    g_object_unref(service);
}

/* The process that serves org.freedesktop.secrets. */
static pid_t keyring_pid(void) {
    GDBusConnection *bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, NULL);
    GVariant *answer = g_dbus_connection_call_sync(
        bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetConnectionUnixProcessID",
        g_variant_new("(s)", "org.freedesktop.secrets"), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
    assert_non_null(answer);
    guint32 pid;
    g_variant_get(answer, "(u)", &pid);
    g_variant_unref(answer);
    g_object_unref(bus);
    return (pid_t)pid;
}

static void assert_kept(struct fixture *f, const char *id, const char *expected) {
    AUTO_SECRET char *secret = NULL;
    int r = vault_load(f->vault, id, &secret, &f->fault);
    if (r)
        fail_msg("%d: %s", r, f->fault.text);
    assert_string_equal(secret, expected);
}

static void it_keeps_replaces_and_erases(void **state) {
    struct fixture *f = *state;
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_probe(f->vault, NULL, &f->fault), 0);
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -ENOENT);
    assert_int_equal(vault_store(f->vault, "a", "first", &f->fault), 0);
    assert_int_equal(vault_store(f->vault, "b", "other", &f->fault), 0);
    assert_int_equal(vault_store(f->vault, "a",
                                 "s\xc3\xa9"
                                 "cond \"{}\"",
                                 &f->fault),
                     0);
    assert_kept(f, "a",
                "s\xc3\xa9"
                "cond \"{}\"");
    assert_int_equal(vault_erase(f->vault, "a", &f->fault), 0);
    assert_int_equal(vault_erase(f->vault, "a", &f->fault), 0);
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), -ENOENT);
    assert_kept(f, "b", "other");
}

static void a_long_secret_fits(void **state) {
    struct fixture *f = *state;
    AUTO_SECRET char *secret = malloc(20001);
    memset(secret, 'x', 20000);
    secret[20000] = 0;
    assert_int_equal(vault_store(f->vault, "long", secret, &f->fault), 0);
    assert_kept(f, "long", secret);
}

static void *cancel_soon(void *context) {
    clock_sleep_ms(300);
    atomic_store((_Atomic bool *)context, true);
    return NULL;
}

static void a_locked_keyring_is_closed_and_opens_again(void **state) {
    struct fixture *f = *state;
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_store(f->vault, "a", "kept", &f->fault), 0);
    lock();
    int64_t before = clock_monotonic_ms();
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), VAULT_CLOSED);
    assert_null(secret);
    assert_true(clock_monotonic_ms() - before < SOON_MS); /* no dialog was waited for */
    assert_non_null(strstr(f->fault.text, "locked"));
    assert_int_equal(vault_load(f->vault, "never stored", &secret, &f->fault), VAULT_CLOSED);
    _Atomic bool cancelled = false;
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, &cancelled);
    before = clock_monotonic_ms();
    assert_int_equal(vault_probe(f->vault, &cancelled, &f->fault), VAULT_CLOSED);
    pthread_join(thread, NULL);
    assert_true(clock_monotonic_ms() - before < SOON_MS);
    unlock();
    assert_kept(f, "a", "kept");
    assert_int_equal(vault_probe(f->vault, NULL, &f->fault), 0);
}

/* libsecret 0.20 has been seen not to return from a call that was cancelled while its dialog ended. */
static _Atomic bool hangs;

SecretService *__real_secret_service_get_sync(SecretServiceFlags flags, GCancellable *cancellable, GError **error);
SecretService *__wrap_secret_service_get_sync(SecretServiceFlags flags, GCancellable *cancellable, GError **error);
SecretService *__wrap_secret_service_get_sync(SecretServiceFlags flags, GCancellable *cancellable, GError **error) {
    while (atomic_load(&hangs))
        clock_sleep_ms(10);
    return __real_secret_service_get_sync(flags, cancellable, error);
}

static void a_call_that_never_returns_is_left(void **state) {
    struct fixture *f = *state;
    _Atomic bool cancelled = true;
    assert_int_equal(vault_store(f->vault, "a", "kept", &f->fault), 0);
    atomic_store(&hangs, true);
    int64_t before = clock_monotonic_ms();
    assert_int_equal(vault_probe(f->vault, &cancelled, &f->fault), VAULT_CLOSED);
    assert_in_range(clock_monotonic_ms() - before, 2500, SOON_MS);
    assert_non_null(strstr(f->fault.text, "does not answer"));
    atomic_store(&hangs, false);
    assert_kept(f, "a", "kept");
}

/* In the place of gcr's dialog, which needs a screen: somebody who is asked for the keyring's password and dismisses
 * it. The interface is that of gcr 3 (gcr-dbus-constants.h). */
struct prompter {
    GDBusNodeInfo *interfaces;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    _Atomic bool ready;
    _Atomic int asked;
};

#define PROMPTER "org.gnome.keyring.internal.Prompter"

static void answer_prompt(GDBusConnection *bus, const char *sender, const char *callback, const char *method,
                          GVariant *arguments) {
    g_dbus_connection_call(bus, sender, callback, PROMPTER ".Callback", method, arguments, NULL, G_DBUS_CALL_FLAGS_NONE,
                           -1, NULL, NULL, NULL);
}

static void prompter_called(GDBusConnection *bus, const char *sender, const char *path, const char *interface,
                            const char *method, GVariant *arguments, GDBusMethodInvocation *call, void *context) {
    (void)path, (void)interface;
    struct prompter *prompter = context;
    g_autoptr(GVariant) first = g_variant_get_child_value(arguments, 0);
    const char *callback = g_variant_get_string(first, NULL);
    bool asks = !strcmp(method, "PerformPrompt");
    g_dbus_method_invocation_return_value(call, NULL);
    atomic_fetch_add(&prompter->asked, asks);
    if (!strcmp(method, "StopPrompting"))
        answer_prompt(bus, sender, callback, "PromptDone", NULL);
    else
        answer_prompt(bus, sender, callback, "PromptReady",
                      g_variant_new("(s@a{sv}s)", asks ? "no" : "", g_variant_new("a{sv}", NULL), ""));
}

static void *run_prompter(void *context) {
    struct prompter *prompter = context;
    const GDBusInterfaceVTable calls = {.method_call = prompter_called};
    g_main_context_push_thread_default(prompter->context);
    GDBusConnection *bus = g_dbus_connection_new_for_address_sync(getenv("DBUS_SESSION_BUS_ADDRESS"),
                                                                  G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                                      G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                                                  NULL, NULL, NULL);
    unsigned object = g_dbus_connection_register_object(
        bus, "/org/gnome/keyring/Prompter", prompter->interfaces->interfaces[0], &calls, prompter, NULL, NULL);
    GVariant *answer = g_dbus_connection_call_sync(
        bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName",
        g_variant_new("(su)", "org.gnome.keyring.SystemPrompter", 4u), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
    atomic_store(&prompter->ready, object && answer);
    g_main_loop_run(prompter->loop);
    g_variant_unref(answer);
    g_dbus_connection_unregister_object(bus, object);
    g_dbus_connection_close_sync(bus, NULL, NULL);
    g_object_unref(bus);
    g_main_context_pop_thread_default(prompter->context);
    return NULL;
}

static void prompter_start(struct prompter *prompter) {
    static const char described[] =
        "<node><interface name='" PROMPTER "'>"
        "<method name='BeginPrompting'><arg name='callback' type='o' direction='in'/></method>"
        "<method name='PerformPrompt'><arg name='callback' type='o' direction='in'/><arg name='type' type='s' "
        "direction='in'/><arg name='properties' type='a{sv}' direction='in'/><arg name='exchange' type='s' "
        "direction='in'/></method>"
        "<method name='StopPrompting'><arg name='callback' type='o' direction='in'/></method>"
        "</interface></node>";
    *prompter =
        (struct prompter){.interfaces = g_dbus_node_info_new_for_xml(described, NULL), .context = g_main_context_new()};
    prompter->loop = g_main_loop_new(prompter->context, FALSE);
    prompter->thread = g_thread_new("prompter", run_prompter, prompter);
    WAIT_UNTIL(atomic_load(&prompter->ready));
    assert_true(prompter->ready);
}

static void prompter_stop(struct prompter *prompter) {
    g_main_loop_quit(prompter->loop);
    g_thread_join(prompter->thread);
    g_main_loop_unref(prompter->loop);
    g_main_context_unref(prompter->context);
    g_dbus_node_info_unref(prompter->interfaces);
}

static void a_dialog_that_is_dismissed_is_no(void **state) {
    struct fixture *f = *state;
    struct prompter prompter;
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_store(f->vault, "a", "kept", &f->fault), 0);
    prompter_start(&prompter);
    lock();
    int64_t before = clock_monotonic_ms();
    int r = vault_probe(f->vault, NULL, &f->fault);
    bool soon = clock_monotonic_ms() - before < 20000;
    int asked = atomic_load(&prompter.asked);
    bool quiet = vault_load(f->vault, "a", &secret, NULL) == VAULT_CLOSED && atomic_load(&prompter.asked) == asked;
    prompter_stop(&prompter);
    unlock();
    assert_int_equal(r, VAULT_CLOSED);
    assert_non_null(strstr(f->fault.text, "stayed locked: unlock it, or use --vault=file"));
    assert_int_equal(asked, 1); /* once, and not at each step of the probe */
    assert_true(soon);
    assert_true(quiet); /* reading opens no dialog: a mount in the background does that */
    assert_int_equal(vault_probe(f->vault, NULL, &f->fault), 0);
}

/* The bus starts another one, which is locked. */
static void a_keyring_that_dies_is_closed_and_comes_back(void **state) {
    struct fixture *f = *state;
    AUTO_SECRET char *secret = NULL;
    assert_int_equal(vault_store(f->vault, "a", "kept", &f->fault), 0);
    assert_kept(f, "a", "kept");
    pid_t pid = keyring_pid();
    assert_int_equal(kill(pid, SIGKILL), 0);
    clock_sleep_ms(200);
    assert_int_equal(vault_load(f->vault, "a", &secret, &f->fault), VAULT_CLOSED);
    assert_null(secret);
    unlock();
    assert_kept(f, "a", "kept");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_keeps_replaces_and_erases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_secret_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_locked_keyring_is_closed_and_opens_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_call_that_never_returns_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dialog_that_is_dismissed_is_no, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_keyring_that_dies_is_closed_and_comes_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
