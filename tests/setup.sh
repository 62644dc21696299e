#!/bin/sh
# Gives the GPU tests a device on a machine without one: installs a software Vulkan driver (lavapipe).
# Does nothing where a Vulkan driver is present. Never fails silently.
set -eu

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# A Vulkan driver announces itself by a manifest in one of these folders.
has_icd() {
    for list in "${VK_DRIVER_FILES:-}" "${VK_ICD_FILENAMES:-}"; do
        if [ -n "$list" ] && [ -f "${list%%:*}" ]; then return 0; fi
    done
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d \
        "${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/vulkan/icd.d" /run/opengl-driver/share/vulkan/icd.d; do
        for manifest in "$folder"/*.json; do
            if [ -f "$manifest" ]; then return 0; fi
        done
    done
    return 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "this needs root and there is no sudo; run as root: $*"
    fi
}

case "$(uname -s)" in
    Linux) ;;
    Darwin) say "macOS: Metal is part of the system, nothing is needed"; exit 0 ;;
    MINGW* | MSYS* | CYGWIN*) say "Windows: DX12 and its software adapter WARP are part of the system, nothing is needed"; exit 0 ;;
    *) fail "$(uname -s) is not known here: install a Vulkan driver (Mesa's lavapipe is one in software), then run again" ;;
esac

if has_icd; then
    say "a Vulkan driver is present, nothing is needed"
    exit 0
fi

if command -v apt-get >/dev/null 2>&1; then
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends libvulkan1 mesa-vulkan-drivers libegl1 libgl1-mesa-dri
elif command -v dnf >/dev/null 2>&1; then
    as_root dnf install -y vulkan-loader mesa-vulkan-drivers
elif command -v pacman >/dev/null 2>&1; then
    as_root pacman -Sy --noconfirm --needed vulkan-icd-loader vulkan-swrast
else
    fail "neither apt-get, dnf nor pacman is here: install the Vulkan loader and Mesa's lavapipe by hand"
fi

has_icd || fail "the packages are installed, but no Vulkan driver appeared; look for lvp_icd*.json"
say "installed; WIZEN_REQUIRE_GPU=1 cargo test now fails where it would have skipped"
