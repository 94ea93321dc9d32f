#!/bin/sh
# Runs a program in a D-Bus session of its own with an unlocked, empty gnome-keyring whose password is "keyring".
# Exits with 77, which meson counts as skipped, when one of them is not installed.
for tool in dbus-run-session gnome-keyring-daemon; do
    command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
home=$(mktemp -d) || exit 1
# The daemon may write once more while it ends.
clean() { for _ in 1 2 3 4 5; do rm -rf "$home" 2>/dev/null && return; sleep 0.2; done; rm -rf "$home"; }
trap clean EXIT
mkdir -m 700 "$home/run" "$home/data" "$home/state"
LSAN_OPTIONS="${LSAN_OPTIONS:+$LSAN_OPTIONS:}print_suppressions=0:suppressions=$(dirname "$0")/../../sanitizers/libsecret.supp"
export LSAN_OPTIONS
unset DISPLAY WAYLAND_DISPLAY GNOME_KEYRING_CONTROL SSH_AUTH_SOCK
export HOME="$home" XDG_RUNTIME_DIR="$home/run" XDG_DATA_HOME="$home/data" XDG_STATE_HOME="$home/state"
dbus-run-session -- sh -c '
    printf keyring | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1 || exit 1
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner \
            string:org.freedesktop.secrets 2>/dev/null | grep -q "boolean true" && break
        sleep 0.1
    done
    "$@"' keyring "$@"
