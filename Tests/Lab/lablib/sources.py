"""Where the image's packages come from: the same mirrors as the machine's own, for any suite."""

import re
from dataclasses import dataclass
from pathlib import Path

from .host import run

DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"
APT = Path("/etc/apt")


@dataclass(frozen=True)
class Source:
    uri: str
    suite: str

    @property
    def line(self):
        return f"deb {self.uri} {self.suite} main"


def sources_for(suite, folder=APT, codename=None):
    """The Debian sources for `suite`, the base archive first.

    They are the machine's own with its code name replaced. Sources of anything but Debian's own
    suites are left out. On another system, or without sources, Debian's public mirror is taken.
    """
    codename = codename or _codename()
    found = []
    for source in _of_lists(folder) + _of_stanzas(folder):
        match = re.fullmatch(re.escape(codename) + r"(-updates|-security|/updates)?", source.suite) if codename else None
        if match and re.match(r"https?://", source.uri):
            translated = Source(source.uri, suite + (match[1] or ""))
            if translated not in found:
                found.append(translated)
    found.sort(key=lambda source: len(source.suite))
    if not found or found[0].suite != suite:
        found = [Source(DEFAULT_MIRROR, suite), Source(DEFAULT_MIRROR, f"{suite}-updates"),
                 Source(DEFAULT_SECURITY, f"{suite}-security")]
    return found


def transport_options():
    """The machine's apt settings about transport (proxies, date checks), for a file in apt.conf.d."""
    wanted = re.compile(r'Acquire::(https?|Check-|Retries|Max-ValidTime)[^ ]* "[^"]+";', re.IGNORECASE)
    lines = run(["apt-config", "dump"]).stdout.splitlines()
    return "".join(f"{line}\n" for line in lines if wanted.fullmatch(line))


def _codename():
    text = Path("/etc/os-release").read_text()
    if not re.search(r'^ID="?debian"?$', text, re.MULTILINE):
        return None
    match = re.search(r'^VERSION_CODENAME="?(\w+)', text, re.MULTILINE)
    return match and match[1]


def _of_lists(folder):
    """Sources in the one-line format."""
    found = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]:
        if path.exists():
            for match in re.finditer(r"^\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+\S", path.read_text(), re.MULTILINE):
                found.append(Source(match[1], match[2]))
    return found


def _of_stanzas(folder):
    """Sources in the deb822 format."""
    found = []
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
        for stanza in re.split(r"\n\s*\n", text):
            fields = {name.lower(): value.split()
                      for name, value in re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)}
            if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
                found += [Source(uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", [])]
    return found
