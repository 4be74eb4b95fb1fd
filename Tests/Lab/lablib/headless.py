"""Many cheap sessions for tests of scale: real logind sessions with real X servers (Xvfb), without clients."""

import re

from .host import LabError, wait_until

FIRST_DISPLAY = 1001

# What a session runs, as its user: it makes a cookie and becomes the X server, or stays as the parent of one with a window manager.
PROGRAM = "/usr/local/lib/lab-session"
PROGRAM_TEXT = r"""#!/bin/sh
# lab-session DISPLAY [WINDOW-MANAGER]
set -eu
window_manager=${2:-}
export DISPLAY="$1" XAUTHORITY="$HOME/.Xauthority"
xauth -q add "$DISPLAY" . "$(mcookie)"
set -- Xvfb "$DISPLAY" -auth "$XAUTHORITY" -screen 0 640x480x24 -nolisten tcp -noreset
[ "$window_manager" ] || exec "$@"
"$@" &
server=$!
until xset q >/dev/null 2>&1; do sleep 0.05; done
"$window_manager" &
wait $server
"""

# As root: starts what is missing of units 1 to N and waits for the window managers of those. What a program maps
# while a window manager starts may never be managed, so nobody may start programs before.
START = r"""
set -eu
count=$1 first=$2 program=$3 window_manager=$4 number=1 started=
while [ $number -le "$count" ]; do
    if ! systemctl --quiet is-active lab-session-$number.service; then
        systemd-run --quiet --collect --unit=lab-session-$number --property=PAMName=xrdp-sesman --property=User=user$number \
            --setenv=XDG_SESSION_TYPE=x11 --setenv=XDG_SESSION_CLASS=user "$program" :$((first + number - 1)) $window_manager
        started="$started $number"
    fi
    number=$((number + 1))
done
[ "$window_manager" ] || exit 0
for number in $started; do
    until XAUTHORITY=/home/user$number/.Xauthority xprop -display :$((first + number - 1)) -root _NET_SUPPORTING_WM_CHECK 2>&1 |
            grep --quiet 'window id'; do
        sleep 0.05
    done
done
"""


def adjust(lab, count, openbox=False):
    """Makes it exactly `count` sessions, of user1 to userN on displays from :1001 up, and waits till they are there or gone."""
    if count < 0:
        raise LabError("how many sessions?")
    wanted = lab.users(count, only_missing=True) if count else []
    timeout = 60 + count
    if beyond := [record["id"] for record in sessions(lab) if record["user"] not in wanted]:
        lab.enter(["loginctl", "terminate-session", *beyond], timeout=timeout)
    program = lab.root / PROGRAM.lstrip("/")
    program.write_text(PROGRAM_TEXT)
    program.chmod(0o755)
    lab.enter(["sh", "-c", START, "sh", count, FIRST_DISPLAY, PROGRAM, "openbox" if openbox else ""], timeout=timeout)
    def progress():
        said = lab.enter(["journalctl", "--no-pager", "--lines=10", "--unit=lab-session-*"], check=False).stdout
        return f"there are {len(sessions(lab))} of {count}\n{said}"

    def settled():
        found = sessions(lab)
        # One that is closing has yet to go.
        if len(found) != count or any(record["state"] == "closing" for record in found):
            return False
        # A socket's file appears before the server listens.
        listening = set(re.findall(r" 00010000 0001 01 +\d+ /tmp/\.X11-unix/X(\d+)$", lab.unix_sockets(), re.MULTILINE))
        return all(str(FIRST_DISPLAY + number) in listening for number in range(count))

    wait_until(f"{count} headless sessions", settled, timeout, progress=progress)


def sessions(lab):
    """logind's records of the headless sessions: like xrdp's, but without a display."""
    return [record for record in lab.logins() if is_headless(record)]


def is_headless(record):
    return record.get("service") == "xrdp-sesman" and record.get("class") == "user" and not record.get("display")
