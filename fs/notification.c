/* A note on the desktop, over a connection of its own. */
#include "fs/notification.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"

#include <gio/gio.h>
#include <stdint.h>
#include <stdlib.h>

enum { ANSWER_MS = 5000 };

struct notification {
    GCancellable *cancellable; /* owned */
    uint32_t last;             /* the service's number of the last note; 0: none */
};

struct notification *notification_create(void) {
    struct notification *notification = calloc(1, sizeof *notification);
    if (notification)
        notification->cancellable = g_cancellable_new();
    return notification;
}

/* One of our own: the shared one that GLib offers ends the process when the bus goes away. */
static GDBusConnection *connect_bus(GCancellable *cancellable, GError **error) {
    g_autofree char *address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SESSION, cancellable, error);
    if (!address)
        return NULL;
    return g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
        cancellable, error);
}

static GVariant *arguments(uint32_t last, const char *title, const char *markup) {
    GVariantBuilder actions, hints;
    g_variant_builder_init(&actions, G_VARIANT_TYPE("as"));
    g_variant_builder_init(&hints, G_VARIANT_TYPE("a{sv}"));
    return g_variant_new("(susssasa{sv}i)", "Pail", last, "folder-remote", title, markup, &actions, &hints, -1);
}

void notification_show(struct notification *notification, const char *title, const char *text) {
    GError *error = NULL;
    AUTO_FREE char *markup = text_html_escape(text);
    g_autoptr(GDBusConnection) bus = markup ? connect_bus(notification->cancellable, &error) : NULL;
    g_autoptr(GVariant) answer = NULL;
    if (bus)
        answer = g_dbus_connection_call_sync(bus, "org.freedesktop.Notifications", "/org/freedesktop/Notifications",
                                             "org.freedesktop.Notifications", "Notify",
                                             arguments(notification->last, title, markup), G_VARIANT_TYPE("(u)"),
                                             G_DBUS_CALL_FLAGS_NONE, ANSWER_MS, notification->cancellable, &error);
    if (answer)
        g_variant_get(answer, "(u)", &notification->last);
    else
        log_debug("The desktop was not told: %s", error ? error->message : "no memory");
    g_clear_error(&error);
}

void notification_cancel(struct notification *notification) {
    if (notification)
        g_cancellable_cancel(notification->cancellable);
}

void notification_destroy(struct notification *notification) {
    if (!notification)
        return;
    g_object_unref(notification->cancellable);
    free(notification);
}
