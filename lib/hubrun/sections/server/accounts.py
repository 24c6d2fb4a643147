"""Accounts on the server: the person's who administers it, and what the hub's own may not do."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.errors import BadInput
from hubrun.params import Site, read_local
from hubrun.resources.files import Directory, File
from hubrun.resources.packages import Packages
from hubrun.resources.users import AuthorizedKey, NotInGroups, User
from hubrun.shell import quote

SUDOERS = "/etc/sudoers.d/hubrun-admin"
# sudo's own words, by version and by why it refuses: sudo(8), and plugins/sudoers of its source.
_REFUSED = "a password is required|is not in the sudoers file|is not allowed to|authentication is required"

# visudo shows the place of a mistake under the line that names the file: that line comes last here.
_VISUDO = """
said=$(visudo -c 2>&1) && { echo "$said"; exit 0; }
echo "$said"; echo "$said" | grep -v 'parsed OK' | grep '/.*: '
exit 1
"""


def admin(site: Site) -> list[Resource]:
    """What `admin_user` needs: account, sudo and, where it is named, a key. Without an admin_user: sudo alone."""
    if not site.admin_user:
        return [Packages("sudo")]
    # A file name with a dot would be passed over: sudoers(5), @includedir.
    sudoers = f"# Written by hubrun (runbook 01_server).\n{site.admin_user} ALL=(ALL:ALL) NOPASSWD: ALL\n"
    resources: list[Resource] = [
        User(site.admin_user),
        File(SUDOERS, sudoers, mode=0o440, check="visudo -cf {}"),
    ]
    if site.admin_ssh_key_file:
        key = read_local("admin_ssh_key_file", site.admin_ssh_key_file).strip()
        if "PRIVATE KEY" in key or len(key.splitlines()) != 1 or len(key.split()) < 2:
            raise BadInput(
                "is not a public key (one line, from a .pub file)",
                f"parameter admin_ssh_key_file, {site.admin_ssh_key_file}",
            )
        resources.append(AuthorizedKey(site.admin_user, key))
    return resources


def hub(site: Site) -> list[Resource]:
    """The account that the hub runs as: no login, no group that has root's rights, and a home that is closed to others."""
    home = "/var/lib/jupyterhub"
    return [
        User(site.hub_user, system=True, home=home),
        NotInGroups(site.hub_user, ("sudo", "adm", "root")),
        Directory(home, mode=0o700, owner=f"{site.hub_user}:{site.hub_user}"),
    ]


def tests(site: Site) -> list[Test]:
    """Tests that sudo's rules can be read, and that the hub's account gets neither root's rights nor a shell."""
    hub = site.hub_user
    return [
        Test("the rules of sudo have no mistake", _VISUDO, remedy="Correct the file that is named: visudo -f FILE"),
        Test(
            f"sudo refuses {hub}", quote("runuser -u {} -- sudo -n true", hub), fails=True, prints=_REFUSED,
            remedy=f"See which rule lets it: sudo -l -U {hub}",
        ),
        Test(
            f"{hub} cannot log in", quote("su {} -c true", hub),
            # nologin(8), of util-linux and of shadow
            fails=True, prints="This account is currently not available", remedy=f"usermod --shell /usr/sbin/nologin {hub}",
        ),
    ]  # fmt: skip
