# What try and check need of the system, and installing what of it is missing. Sourced by both.

BUILD_PACKAGES="gcc meson ninja-build pkg-config libc6-dev libcjson-dev libssl-dev libcurl4-openssl-dev libexpat1-dev
    libsqlite3-dev libfuse3-dev fuse3 libsecret-1-dev libqrencode-dev libmicrohttpd-dev libgnutls28-dev libinih-dev"

CHECK_PACKAGES="clang clang-format libcmocka-dev
    python3 python3-venv python3-pytest
    ceph-mon ceph-mgr ceph-osd ceph-common radosgw uuid-runtime curl
    chromium chromium-driver gnome-keyring dbus libsecret-tools
    s3fs rclone awscli nginx-light
    git rsync vim sqlite3 attr make tar procps util-linux gdb systemd"

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# as_root COMMAND...: by sudo when we are somebody else.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n true 2>/dev/null || say "sudo will ask for your password."; sudo "$@"; fi
}

# install_packages PACKAGE...: says what is missing and installs it. What this system does not have is named and left out.
install_packages() {
    local package missing=() here=() absent=()
    [ -x /usr/bin/apt-get ] || fail "this needs a system with apt: Debian 12 or newer, Ubuntu 24.04 or newer. Elsewhere: install what README.md lists, then meson."
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} = 0 ] && { say "Every package that is needed is installed."; return; }
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "these packages are missing, and there is no sudo to install them: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || say "apt-get update failed; going on with the lists that are here"
    for package in "${missing[@]}"; do
        if apt-cache show "$package" >/dev/null 2>&1; then here+=("$package"); else absent+=("$package"); fi
    done
    [ ${#absent[@]} = 0 ] || say "This system has no package: ${absent[*]} (what needs it is skipped)"
    [ ${#here[@]} = 0 ] && return
    say "Installing: ${here[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${here[@]}" >"${INSTALL_LOG:-/dev/null}" ||
        fail "apt-get could not install them${INSTALL_LOG:+: see $INSTALL_LOG}"
}

# Debian's own tools, whatever else stands in PATH.
use_system_tools() { PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH; export PATH; }
