"""The command line: one subcommand for each method of Lab."""

import argparse
import json
import os
import shlex
import sys
import time

from .client import default_address
from .host import LabError, tail
from .image import DEFAULT_SUITE, SUITES
from .lab import DESKTOPS, PASSWORD, Lab, all_labs

DESCRIPTION = """\
A real terminal server to test on: a throwaway Debian in a container, with its own systemd, logind and xrdp,
and RDP clients that log in to it from addresses of their own.
"""
EPILOGUE = """\
A day in the lab:
  lab boot; lab users 2; lab login user1
  lab run user1 xterm; lab type user1 'echo hello'; lab key user1 Return; lab screenshot user1 screen.png
  lab disconnect user1; lab reconnect user1 --from 198.51.100.77; lab logout user1; lab stop

Exit codes: 0 done, 1 not done (the reason is on standard error), 2 wrong usage; 'enter' and 'run --wait' pass on
the command's own. --name, before the subcommand or in TERMSPAN_LAB_NAME, chooses among several labs.
Images are kept in /var/cache/termspan-lab (or TERMSPAN_LAB_CACHE), the state of running labs in /run/termspan-lab.
"""


def parser():
    main = argparse.ArgumentParser(prog="lab", description=DESCRIPTION, epilog=EPILOGUE, formatter_class=argparse.RawDescriptionHelpFormatter)
    main.add_argument("--name", default=os.environ.get("TERMSPAN_LAB_NAME") or "default", help="which lab (default: %(default)s)")
    commands = main.add_subparsers(dest="command", metavar="SUBCOMMAND", required=True)

    def add(name, action, help, description=None, aliases=()):
        sub = commands.add_parser(name, aliases=aliases, help=help, description=description or help[0].upper() + help[1:] + ".")
        sub.set_defaults(action=action)
        # The same option after the subcommand, where one looks for it; without a default of its own.
        sub.add_argument("--name", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return sub

    def add_user(sub):
        sub.add_argument("user", metavar="USER")
        return sub

    sub = add("boot", boot, "build the image if need be and boot the lab",
              "Installs by apt what this machine lacks, builds the image unless it is cached (some minutes, once), "
              "and boots a fresh overlay of it. Harmless when the lab already runs.")
    sub.add_argument("--suite", choices=SUITES, default=os.environ.get("TERMSPAN_LAB_SUITE") or None,
                     help=f"the Debian to boot (default: {DEFAULT_SUITE}, or TERMSPAN_LAB_SUITE)")
    sub.add_argument("--old-kernel", action="store_true", help="answer system calls newer than Linux 6.1 with ENOSYS")
    sub.add_argument("--tmpfs", action="store_true", help="keep what the lab writes in memory")
    add("reboot", reboot, "cut the power and boot the same disk again")
    add("stop", stop, "end the lab with all its clients and remove what it wrote")
    add("status", status, "show the labs, their sessions and clients").add_argument("--format", choices=["table", "json"], default="table")

    sub = add("enter", enter, "run a command inside, by default a root shell",
              "Runs a command inside with a clean environment; standard input and output and the exit code are the command's. "
              "It starts in the container's control group /lab, outside of all sessions and services.")
    sub.add_argument("--user", help="run as this user")
    sub.add_argument("--pty", action="store_true", help="give it a terminal made inside, as a shell on a terminal gets anyway")
    sub.add_argument("--columns", type=int, help="with --pty: how wide the terminal is")
    sub.add_argument("arguments", metavar="COMMAND", nargs=argparse.REMAINDER)
    add("install", install, "install package files with what they depend on").add_argument("packages", metavar="FILE.deb", nargs="+")

    sub = add("users", users, f"make user1 to userN (password: {PASSWORD}) and set their desktop")
    sub.add_argument("count", metavar="N", type=int)
    sub.add_argument("--desktop", choices=DESKTOPS, default="openbox", help="what their sessions run (default: %(default)s)")

    for name, action, help in (("login", login, "log a user in over RDP, or connect to the session that is there"),
                               ("reconnect", reconnect, "connect again to the session that is there")):
        sub = add_user(add(name, action, help, aliases=["connect"] if name == "login" else []))
        sub.add_argument("--from", dest="address", metavar="ADDRESS",
                         help=f"the client's IPv4 address (default: the last one, or {default_address('user1', 0)} for user1 and so on)")
        sub.add_argument("--client", help="a name for the client, for a second one of the same user (default: the user's name)")
        sub.add_argument("--computer", help="the computer name that the client tells (default: pc-CLIENT)")
        sub.add_argument("--size", default="800x600", help="of the client's screen (default: %(default)s)")
    sub = add_user(add("disconnect", disconnect, "end a user's client; the session stays, disconnected"))
    sub.add_argument("--client")
    add_user(add("logout", logout, "end a user's session from its desktop"))
    add_user(add("end", end, "end a user's clients and sessions by force"))
    sub = add_user(add("cable", cable, "pull a client's network cable (out) or put it back (in)"))
    sub.add_argument("state", choices=["in", "out"])

    sub = add_user(add("run", run, "start a program in a user's session and print its pid inside",
                       "Starts a program with the session's environment and in its scope, as the desktop would."))
    sub.add_argument("--wait", action="store_true", help="run it to its end, with its output and exit code")
    sub.add_argument("--service", action="store_true", help="start it through the user's manager (systemd-run --user)")
    sub.add_argument("arguments", metavar="COMMAND", nargs=argparse.REMAINDER)
    sub = add_user(add("focus", focus, "activate a window in a user's session"))
    sub.add_argument("window_class", metavar="CLASS")

    sub = add("sessions", sessions, "make it exactly N cheap sessions without clients",
              "Starts or ends sessions of user1 to userN: real logind sessions with an Xvfb each, on displays from :1001 up, for tests of scale.")
    sub.add_argument("count", metavar="N", type=int)
    sub.add_argument("--openbox", action="store_true", help="with a window manager in each new one")

    # What follows acts on a client, which is named as its user unless login --client named it otherwise.
    sub = add_user(add("type", type_text, "type text on a client's keyboard"))
    sub.add_argument("text", metavar="TEXT")
    sub.add_argument("--delay", type=int, default=12, help="milliseconds between keys (default: %(default)s)")
    add_user(add("key", key, "press keys, named as in xdotool: Return, ctrl+c")).add_argument("keys", metavar="KEY", nargs="+")
    sub = add_user(add("move", move, "move a client's mouse"))
    sub.add_argument("x", metavar="X", type=int)
    sub.add_argument("y", metavar="Y", type=int)
    add_user(add("click", click, "press a button of a client's mouse")).add_argument("button", metavar="BUTTON", nargs="?", type=int, default=1)
    add_user(add("screenshot", screenshot, "write what a client's screen shows")).add_argument("path", metavar="FILE.png")
    return main


def boot(lab, options):
    begin = time.monotonic()
    if not lab.boot(options.suite, old_kernel=options.old_kernel, in_memory=options.tmpfs):
        print(f"The lab '{lab.name}' ({lab.container.state['suite']}) runs already.")
        return
    name = "" if lab.name == "default" else f" --name {lab.name}"
    print(f"The lab '{lab.name}' ({lab.container.state['suite']}) runs after {time.monotonic() - begin:.1f} s. Enter it: lab{name} enter. Stop it: lab{name} stop.")


def reboot(lab, options):
    print(f"The lab '{lab.name}' was booted again: {lab.reboot()}.")


def stop(lab, options):
    print(f"The lab '{lab.name}' is stopped." if lab.stop() else f"The lab '{lab.name}' did not run.")


def status(lab, options):
    labs = [describe(each) for each in all_labs()]
    if options.format == "json":
        print(json.dumps(labs, indent=2))
        return
    if not labs:
        print("No lab runs.")
    for each in labs:
        print(f"{each['name']}: " + (f"{each['suite']}, process 1 is {each['pid']} here" if each["running"] else "does not run; 'lab stop' clears it away"))
        for session in each["sessions"]:
            print("  session {id}  {user}  {service}  {display}  {state}{connected}".format(**session))
        for client in each["clients"]:
            print("  client {name}  {user}  from {address}  screen {display}  {connection}".format(**client))


def describe(lab):
    running = lab.running
    sessions = []
    for record in lab.logins() if running else []:
        display = record.get("display") if record.get("service") == "xrdp-sesman" else None
        sessions.append({"id": record["id"], "user": record.get("user"), "service": record.get("service", "-"), "display": record.get("display", "-"),
                         "state": record.get("state"), "connected": (", connected" if lab.has_peer(display) else ", disconnected") if display else ""})
    names = ("user", "address", "display", "computer", "size")
    clients = [{"name": client.name} | {name: client.state.get(name, "-") for name in names} | {"connection": "connected" if client.process else "ended"}
               for client in lab.clients()]
    return {"name": lab.name, "running": running, "suite": lab.container.state.get("suite"), "old_kernel": lab.container.state.get("old_kernel"),
            "pid": lab.container.init.pid if running else None, "sessions": sessions, "clients": clients}


def enter(lab, options):
    arguments = without_separator(options.arguments)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    pty = options.pty or options.columns or (not arguments and on_terminal)
    arguments = arguments or ["bash", "-l"]
    if pty:
        line = shlex.join(arguments)
        if options.columns:
            line = f"stty cols {options.columns} rows 50; exec {line}"
        arguments = ["script", "--quiet", "--return", "--command", line, "/dev/null"]
    variables = {"TERM": os.environ.get("TERM", "xterm")} if pty or on_terminal else {}
    replace(lab.container.command(arguments, user=options.user, environment=variables))


def install(lab, options):
    print(lab.install(*options.packages), end="")


def users(lab, options):
    lab.users(options.count, options.desktop)


def login(lab, options):
    report_login(lab.login(options.user, address=options.address, client=options.client, computer=options.computer, size=options.size))


def reconnect(lab, options):
    report_login(lab.reconnect(options.user, address=options.address, client=options.client, computer=options.computer, size=options.size))


def report_login(record):
    print(f"{record['user']}: logind session {record['id']}, display {record['display']}")


def disconnect(lab, options):
    lab.disconnect(options.user, client=options.client)


def logout(lab, options):
    lab.logout(options.user)


def end(lab, options):
    lab.end(options.user)


def cable(lab, options):
    lab.cable(options.user, options.state == "in")


def run(lab, options):
    arguments = without_separator(options.arguments)
    if not arguments or arguments[0].startswith("-"):
        raise LabError("run what? Options of the lab's come before USER")
    done = lab.run(options.user, arguments, wait=options.wait, service=options.service)
    if options.wait:
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.returncode
    if done is not None:
        print(done)


def sessions(lab, options):
    lab.sessions(options.count, openbox=options.openbox)


def focus(lab, options):
    lab.focus(options.user, options.window_class)


def type_text(lab, options):
    lab.type(options.user, options.text, delay=options.delay)


def key(lab, options):
    lab.key(options.user, *options.keys)


def move(lab, options):
    lab.move(options.user, options.x, options.y)


def click(lab, options):
    lab.click(options.user, options.button)


def screenshot(lab, options):
    lab.screenshot(options.user, options.path)


def without_separator(arguments):
    return arguments[1:] if arguments[:1] == ["--"] else arguments


def replace(arguments):
    """Becomes another command, so that its input, output and exit code are ours."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(arguments[0], arguments)


def main():
    options = parser().parse_args()
    try:
        sys.exit(options.action(Lab(options.name), options) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
