"""Runs every attempt of the attacker outside of any sandbox and in the place of a probe, and prints what became of each as JSON.

usage: attack_all.py ATTACKER GIVEN.json

GIVEN.json gives the arguments by their kind: {"PATH": [...], "NEW": [...], ...}. In the sandbox means: as the program of a transient
unit whose name begins as the probes' units do, so that the product's own drop-in makes the sandbox, with the attacker bound over the probe.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from errno import errorcode
from itertools import count

UNIT = "termspan-probe-attack-{}.service"
numbers = count()


def outside(attacker, *arguments):
    code = subprocess.run([attacker, *arguments], stdin=subprocess.DEVNULL).returncode
    return "" if code == 0 else errorcode.get(code, str(code))


def inside(attacker, *arguments):
    done = subprocess.run(["systemd-run", "--wait", "--collect", f"--unit={UNIT.format(next(numbers))}",
                           f"--property=BindReadOnlyPaths={attacker}:/probe", "/probe", *arguments], capture_output=True, text=True)
    if found := re.search(r"code=killed\W+status=(?:\d+/)?([A-Z]+)", done.stderr):
        return "SIG" + found[1]
    if found := re.search(r"code=exited\W+status=(\d+)", done.stderr):
        code = int(found[1])
        return "" if code == 0 else errorcode.get(code, str(code))
    # systemd-run says nothing of the reason where all went well.
    return "" if done.returncode == 0 else f"not run: {done.stderr.strip()}"


def with_victim(attacker, run):
    """For each attempt a victim of its own, since one that succeeds may leave little of it."""
    with subprocess.Popen([attacker, "wait"], stdin=subprocess.DEVNULL) as victim:
        try:
            return run(str(victim.pid))
        finally:
            victim.kill()


def main():
    attacker, given = sys.argv[1], json.load(open(sys.argv[2]))
    # systemd-run looks for the program among its own files too.
    os.path.lexists("/probe") or os.symlink("/bin/true", "/probe")
    other = UNIT.format("victim")
    subprocess.run(["systemd-run", "--quiet", f"--unit={other}", f"--property=BindReadOnlyPaths={attacker}:/probe", "/probe", "wait"], check=True)
    victim = subprocess.run(["systemctl", "show", "--property=MainPID", "--value", other], capture_output=True, text=True, check=True).stdout.strip()
    given["PID"] = [victim, *given.get("PID", [])]
    results = {}
    try:
        with ThreadPoolExecutor(4) as pool:
            for line in subprocess.run([attacker, "list"], capture_output=True, text=True, check=True).stdout.splitlines():
                name, kind = (line + " ").split(" ")[:2]
                for argument in given.get(kind, []) if kind else [""]:
                    arguments = [name, *([argument] if argument else [])]
                    free = with_victim(attacker, lambda pid: outside(attacker, name, pid)) if kind == "PID" else outside(attacker, *arguments)
                    results[" ".join(arguments)] = {"kind": kind, "free": free, "confined": pool.submit(inside, attacker, *arguments)}
            results = {key: row | {"confined": row["confined"].result()} for key, row in results.items()}
        alive = subprocess.run(["systemctl", "is-active", other], capture_output=True, text=True).stdout.strip()
        print(json.dumps({"attempts": results, "victim": alive}))
    finally:
        subprocess.run(["systemctl", "stop", other], check=False)
        for path in ["/probe", *given.get("NEW", [])]:
            if os.path.lexists(path):
                os.unlink(path)


main()
