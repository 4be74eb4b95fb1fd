# shellcheck shell=bash disable=SC2154
# What Units/up, Units/deb and Tests/run have in common; they source it with `top` set to the project's folder.

# The least Swift that builds the project.
SWIFT_NEEDED=6.3

step() { printf '\n==> %s\n' "$*" >&2; }
say() { printf '    %s\n' "$*" >&2; }

# die MESSAGE [REMEDY...]: one line that says what is wrong, and indented ones that say what to do.
die() {
    printf '\n%s: %s\n' "${0##*/}" "$1" >&2
    shift
    [ $# -eq 0 ] || printf '    %s\n' "$@" >&2
    exit 1
}

# The packages that building takes, from the one place that lists them.
build_packages() {
    sed -n '/^Build-Depends:/,/^[^ ]/s/^ \([^ ,(]*\).*/\1/p' "$top/Units/debian/control" | sed 's/^debhelper-compat$/debhelper/'
    printf '%s\n' dpkg-dev
    # What Swift's toolchain itself links with.
    printf '%s\n' libcurl4-openssl-dev libncurses-dev libxml2-dev tzdata
}

# install_packages WHAT-FOR PACKAGE...: by apt, and only if one is missing, so that a machine that has all needs no network.
install_packages() {
    local purpose=$1 package
    local -a missing=()
    shift
    for package in "$@"; do
        [ "$(dpkg-query --showformat='${db:Status-Status}' --show "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || die "packages are missing for $purpose: ${missing[*]}" "Install them: sudo apt-get install ${missing[*]}"
    say "installing for $purpose: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! apt_get install --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
        { apt_get update && apt_get install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
            tail -n 15 "$log" >&2
            rm -f "$log"
            die "apt could not install: ${missing[*]}" "Its last lines are above. Is the network there, and are the sources in /etc/apt right?"
        }
    fi
    rm -f "$log"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null; }

# Puts a Swift toolchain on PATH: the one that is there, else the one of the user who called sudo, else one in a usual place.
find_swift() {
    local candidate
    if [ -n "${TERMSPAN_SWIFT:-}" ]; then
        PATH=$(dirname "$TERMSPAN_SWIFT"):$PATH
    elif ! command -v swift >/dev/null 2>&1; then
        candidate=
        [ -z "${SUDO_USER:-}" ] || candidate=$(runuser --login "$SUDO_USER" --command 'command -v swift' 2>/dev/null </dev/null || true)
        if [ ! -x "$candidate" ]; then
            candidate=$(bash -lc 'command -v swift' 2>/dev/null </dev/null || true)
        fi
        if [ ! -x "$candidate" ]; then
            for candidate in ~/.local/share/swiftly/bin/swift /opt/*/usr/bin/swift /usr/local/*/usr/bin/swift; do
                [ ! -x "$candidate" ] || break
            done
        fi
        [ ! -x "$candidate" ] || PATH=$(dirname "$candidate"):$PATH
    fi
    command -v swift >/dev/null 2>&1 || die "no Swift toolchain found" \
        "Get Swift $SWIFT_NEEDED or later for Debian from https://www.swift.org/install/linux/ (swiftly or an archive)" \
        "and put its usr/bin on PATH, or say where it is: TERMSPAN_SWIFT=/path/to/usr/bin/swift" \
        "A prebuilt package needs no toolchain: sudo Units/up --deb FILE"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p')
    if [ "$(printf '%s\n%s\n' "$SWIFT_NEEDED" "${version:-0}" | sort -V | head -n 1)" != "$SWIFT_NEEDED" ]; then
        die "Swift $SWIFT_NEEDED or later is needed; $(command -v swift) is ${version:-of an unknown version}" \
            "Get one from https://www.swift.org/install/linux/, or use a prebuilt package: sudo Units/up --deb FILE"
    fi
    export PATH
}
