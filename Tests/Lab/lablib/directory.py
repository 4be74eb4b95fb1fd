"""A directory in the lab: a domain controller for EXAMPLE, by example.com in DNS, whose users the machine has by winbind, each with a SID."""

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
    s|^\[global\]|&\n\ttemplate shell = /bin/bash\n\ttemplate homedir = /home/%D/%U|' /etc/samba/smb.conf
pam-auth-update --package --enable winbind
sed -i '/pam_winbind/s/ krb5_auth krb5_ccache_type=FILE cached_login//' /etc/pam.d/common-auth
mkdir -p "/home/$1"
systemctl unmask samba-ad-dc.service
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


class Directory:
    """One that runs until `remove`, which leaves its files for the next."""

    def __init__(self, lab):
        self.lab = lab
        if not (lab.root / "var/lib/samba/private/sam.ldb").exists():
            lab.enter(["sh", "-c", PROVISION, "sh", DOMAIN, REALM], environment={"DEBIAN_FRONTEND": "noninteractive"})
        lab.enter(["sed", "-i", r"/^\(passwd\|group\):/s/$/ winbind/", "/etc/nsswitch.conf"])
        self.start()

    def start(self):
        self.lab.enter(["systemctl", "start", UNIT])
        wait_until("winbind to answer", lambda: self.lab.enter(["wbinfo", "--ping-dc"], check=False).returncode == 0, 60)

    def stop(self):
        self.lab.enter(["systemctl", "stop", UNIT])

    def signal(self, name):
        """Sends all of it a signal: with STOP it is silent, with CONT it goes on."""
        self.lab.enter(["systemctl", "kill", f"--signal={name}", UNIT])

    def remove(self):
        """Has the machine take users from its own files alone again."""
        self.lab.enter(["sed", "-i", r"/^\(passwd\|group\):/s/ winbind//", "/etc/nsswitch.conf"])
        self.lab.enter(["systemctl", "stop", UNIT], check=False)
        self.lab.enter(["rm", "-rf", "/run/samba/winbindd"])

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
