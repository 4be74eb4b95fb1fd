"""A directory in the lab: a domain controller for EXAMPLE, by example.com in DNS, whose users the machine has by winbind or SSSD, each with a SID."""

import re

from .host import wait_until
from .lab import PASSWORD

DOMAIN, REALM = "EXAMPLE", "EXAMPLE.COM"
UNIT = "samba-ad-dc.service"

# As root, once. There is no DNS, by which Kerberos would find the controller.
PROVISION = r"""
set -eu
samba-tool domain provision --realm="$2" --domain="$1" --server-role=dc --dns-backend=NONE --use-rfc2307
samba-tool domain passwordsettings set --complexity=off
sed -i 's/server services = .*/server services = s3fs, rpc, ldap, cldap, kdc, drepl, winbindd/
    s|^\[global\]|&\n\ttemplate shell = /bin/bash\n\ttemplate homedir = /home/%D/%U\n\tldap server require strong auth = no|' /etc/samba/smb.conf
pam-auth-update --package --enable winbind
sed -i '/pam_winbind/s/ krb5_auth krb5_ccache_type=FILE cached_login//' /etc/pam.d/common-auth
mkdir -p "/home/$1"
systemctl unmask samba-ad-dc.service
"""

# The controller's users by LDAP, with UIDs of its own making: as users of example.com, `ben@EXAMPLE` here.
SSSD = f"""\
[sssd]
services = nss
domains = {DOMAIN}
[domain/{DOMAIN}]
id_provider = ldap
auth_provider = none
access_provider = permit
ldap_uri = ldap://127.0.0.1
ldap_schema = ad
ldap_id_mapping = true
ldap_referrals = false
ldap_tls_reqcert = never
ldap_search_base = dc=example,dc=com
ldap_default_bind_dn = reader@example.com
ldap_default_authtok = {PASSWORD}
use_fully_qualified_names = true
fallback_homedir = /home/{DOMAIN}/%u
default_shell = /bin/bash
"""

# ldbmodify(1) without its package.
MODIFY = r"""
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
parameters = LoadParm()
parameters.load_default()
database = SamDB(session_info=system_session(), lp=parameters)
name, attribute, value = sys.argv[1:]
entry = database.search(expression=f"(sAMAccountName={name})", attrs=[])[0].dn
database.modify_ldif(f"dn: {entry}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n")
"""


# A session's own X server, as its user.
SESSION = r"""
export XAUTHORITY="$HOME/.Xauthority"
xauth -q add "$1" . "$(mcookie)"
exec Xvfb "$1" -auth "$XAUTHORITY" -screen 0 640x480x24 -nolisten tcp -noreset
"""


class Directory:
    """One that runs until `remove`, which leaves its files for the next."""

    # What the machine's users are asked of, and how nsswitch.conf(5) calls it.
    daemon, source = UNIT, "winbind"

    def __init__(self, lab):
        self.lab = lab
        if not (lab.root / "var/lib/samba/private/sam.ldb").exists():
            lab.enter(["sh", "-c", PROVISION, "sh", DOMAIN, REALM], environment={"DEBIAN_FRONTEND": "noninteractive"})
        lab.enter(["sed", "-i", rf"/^\(passwd\|group\):/s/$/ {self.source}/", "/etc/nsswitch.conf"])
        self._start_controller()

    def _start_controller(self):
        self.lab.enter(["systemctl", "start", UNIT])
        wait_until("winbind to answer", lambda: self.lab.enter(["wbinfo", "--ping-dc"], check=False).returncode == 0, 60)
        # SSSD would leave a server for a minute that is not there yet.
        wait_until("LDAP to answer", lambda: self.lab.enter(["ss", "-Hltn", "sport = :389"]).stdout, 60)

    def start(self):
        self._start_controller()

    def stop(self):
        self.lab.enter(["systemctl", "stop", self.daemon])

    def signal(self, name):
        """Sends all of the daemon a signal: with STOP it is silent, with CONT it goes on."""
        self.lab.enter(["systemctl", "kill", f"--signal={name}", self.daemon])

    def remove(self):
        """Has the machine take users from its own files alone again."""
        self.lab.enter(["sed", "-i", rf"/^\(passwd\|group\):/s/ {self.source}//", "/etc/nsswitch.conf"])
        self.lab.enter(["systemctl", "stop", UNIT, "sssd.service"], check=False)
        # One that took too long to stop is no fault of the lab's.
        self.lab.enter(["systemctl", "reset-failed"], check=False)
        self.lab.enter(["sh", "-c", "rm -rf /run/samba/winbindd /var/lib/sss/pipes/nss"])

    def make_user(self, name, uid):
        """Makes a user with this UID; returns the login."""
        self.lab.enter(["samba-tool", "user", "create", name, PASSWORD])
        return self._settle(name, uid)

    def rename(self, name, new, uid):
        """Gives a user another login, and another UID; returns the login."""
        self.lab.enter(["samba-tool", "user", "rename", name, f"--samaccountname={new}"])
        return self._settle(new, uid)

    def delete_user(self, name):
        self.lab.enter(["samba-tool", "user", "delete", name], check=False)
        self.lab.enter(["rm", "-rf", f"/home/{DOMAIN}/{name}"])

    def _settle(self, name, uid):
        login = f"{DOMAIN}\\{name}"
        self.lab.enter(["python3", "-c", MODIFY, name, "uidNumber", uid])
        self.lab.enter(["net", "cache", "flush"])
        wait_until(f"{login} to be {uid}", lambda: self.lab.enter(["id", "-u", login], check=False).stdout.strip() == str(uid), 30)
        script = 'mkdir -p "$1" && printf "exec openbox\\n" >"$1/.xsession" && chown -R "$2" "$1"'
        self.lab.enter(["sh", "-c", script, "sh", self.lab.container.account(login)["home"], uid])
        return login

    def sid(self, login):
        """As the directory's own tool has it, by the login."""
        return re.match(r"S-[0-9-]+", self.lab.enter(["wbinfo", "--name-to-sid", login]).stdout)[0]


class SSSDDirectory(Directory):
    """Likewise, by SSSD; nobody logs on by a password, and winbind is not asked."""

    daemon, source = "sssd.service", "sss"

    def __init__(self, lab):
        super().__init__(lab)
        lab.enter(["samba-tool", "user", "create", "reader", PASSWORD], check=False)
        file = lab.root / "etc/sssd/sssd.conf"
        file.write_text(SSSD)
        file.chmod(0o600)
        self.start()

    def start(self):
        self.lab.enter(["systemctl", "restart", self.daemon])
        # Only who is asked may say what users' SIDs are.
        self.lab.enter(["sh", "-c", "rm -rf /run/samba/winbindd"])

    def make_user(self, name):
        """Makes a user; returns the login here, and the SID."""
        sid = self.lab.enter(["samba-tool", "user", "create", name, PASSWORD]) and self._sid(name)
        login = f"{name}@{DOMAIN}"
        wait_until(f"{login} to be there", lambda: self.lab.enter(["id", "-u", login], check=False).returncode == 0, 30)
        self.lab.enter(["sh", "-c", 'mkdir -p "$1" && chown "$2" "$1"', "sh", f"/home/{DOMAIN}/{name}", login])
        return login, sid

    def _sid(self, name):
        shown = self.lab.enter(["samba-tool", "user", "show", name, "--attributes=objectSid"]).stdout
        return re.search(r"^objectSid: (\S+)$", shown, re.MULTILINE)[1]

    def log_on(self, login, display):
        """Logs a user on to an X server without a client; returns the unit of the session."""
        unit = f"lab-directory-{display}.service"
        self.lab.enter(["systemd-run", "--quiet", "--collect", f"--unit={unit}", "--property=PAMName=xrdp-sesman", f"--property=User={login}",
                        "--setenv=XDG_SESSION_TYPE=x11", "--setenv=XDG_SESSION_CLASS=user", "sh", "-c", SESSION, "sh", f":{display}"])
        wait_until(f"the X server of {login}", lambda: f"/tmp/.X11-unix/X{display}\n" in self.lab.unix_sockets(), 30,
                   progress=lambda: self.lab.enter(["journalctl", "--no-pager", "--lines=20", f"--unit={unit}"], check=False).stdout)
        return unit
