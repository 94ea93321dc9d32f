/* A note on the person's desktop (org.freedesktop.Notifications, version 1.2). Where there is no desktop nothing
 * happens.
 */
#pragma once

struct notification;

/* NULL: no memory. */
struct notification *notification_create(void);
/* Takes a few seconds at most, and ends at once after notification_cancel. Takes the place of the last note, so that
 * there is one at a time. title and text are plain. By one thread at a time. */
void notification_show(struct notification *notification, const char *title, const char *text);
void notification_cancel(struct notification *notification); /* from any thread; NULL is fine */
void notification_destroy(struct notification *notification);
