"""Many cheap sessions for tests of scale: real logind sessions with real X servers (Xvfb), without clients."""

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
until [ -S "/tmp/.X11-unix/X${DISPLAY#:}" ]; do sleep 0.05; done
"$window_manager" &
wait $server
"""

# As root: starts what is missing of units 1 to N.
START = r"""
set -eu
count=$1 first=$2 program=$3 window_manager=$4 number=1
while [ $number -le "$count" ]; do
    systemctl --quiet is-active lab-session-$number.service ||
        systemd-run --quiet --collect --unit=lab-session-$number --property=PAMName=xrdp-sesman --property=User=user$number \
            --setenv=XDG_SESSION_TYPE=x11 --setenv=XDG_SESSION_CLASS=user "$program" :$((first + number - 1)) $window_manager
    number=$((number + 1))
done
"""


def adjust(lab, count, openbox=False):
    """Makes it exactly `count` sessions, of user1 to userN on displays from :1001 up, and waits till they are there or gone."""
    if count < 0:
        raise LabError("how many sessions?")
    wanted = lab.users(count, only_missing=True) if count else []
    timeout = 30 + count / 2
    if beyond := [record["id"] for record in sessions(lab) if record["user"] not in wanted]:
        lab.enter(["loginctl", "terminate-session", *beyond], timeout=timeout)
    program = lab.root / PROGRAM.lstrip("/")
    program.write_text(PROGRAM_TEXT)
    program.chmod(0o755)
    lab.enter(["sh", "-c", START, "sh", count, FIRST_DISPLAY, PROGRAM, "openbox" if openbox else ""], timeout=timeout)
    sockets = lab.root / "tmp/.X11-unix"

    def progress():
        said = lab.enter(["journalctl", "--no-pager", "--lines=10", "--unit=lab-session-*"], check=False).stdout
        return f"there are {len(sessions(lab))} of {count}\n{said}"

    def settled():
        found = sessions(lab)
        # One that is closing has yet to go.
        if len(found) != count or any(record["state"] == "closing" for record in found):
            return False
        return all((sockets / f"X{FIRST_DISPLAY + number}").exists() for number in range(count))

    wait_until(f"{count} headless sessions", settled, timeout, progress=progress)


def sessions(lab):
    """logind's records of the headless sessions: like xrdp's, but without a display."""
    return [record for record in lab.logins() if is_headless(record)]


def is_headless(record):
    return record.get("service") == "xrdp-sesman" and record.get("class") == "user" and not record.get("display")
