"""Accounts on the server: the person's who administers it, and what the hub's own may not do."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.errors import BadInput
from hubrun.params import Site, read_local
from hubrun.resources.before import NotedBefore
from hubrun.resources.files import Directory, File
from hubrun.resources.packages import Packages
from hubrun.resources.users import AuthorizedKey, NotInGroups, User
from hubrun.server_paths import BEFORE, LIB, PROXY_USER, VENV
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


# Accounts of people have numbers from UID_MIN on (login.defs(5)); those below 100, and 65534, are Debian's own (Debian
# Policy 9.2.2). 1000 is what people in students' containers are, in the server's eyes too.
_WHOSE = """
name={} entry=$(getent passwd {}) || {
    ! getent group "$name" > /dev/null || { echo "there is a group $name, and no account"; exit 1; }
    echo "free"; exit 0
}
uid=$(echo "$entry" | cut -d: -f3)
least=$(awk '$1 == "UID_MIN" {print $2}' /etc/login.defs 2> /dev/null)
[ "$uid" -ge 100 ] && [ "$uid" -ne 65534 ] || { echo "$name is the system's own (number $uid)"; exit 1; }
"""
_SERVICE = (
    _WHOSE
    + """
getent group "$name" > /dev/null || { echo "$name has no group of its own"; exit 1; }
[ "$uid" -ne 1000 ] || { echo "$name has the number 1000, which is that of all students in their containers"; exit 1; }
case $entry in */nologin|*/false) ;; *)
    [ "$uid" -lt "${least:-1000}" ] || { echo "$name is a person's login (number $uid, ${entry##*:})"; exit 1; };;
esac
echo "a service's account (number $uid)"
"""
)
_PERSON = (
    _WHOSE
    + """
[ "$uid" -ge "${least:-1000}" ] || { echo "$name is a service's account (number $uid)"; exit 1; }
echo "a person's login (number $uid)"
"""
)


def free_names(site: Site) -> list[Test]:
    """Tests that the names of accounts are free, or belong to accounts of the kind that they must be."""
    number = "systemctl stop jupyterhub; usermod --uid NUMBER {0}; chown -R {0}: /var/lib/jupyterhub; then 02 again"
    service = (
        "Choose another hub_user; hubrun makes the account. One that is the hub's already can get another number: "
    )
    names = [("hub_user", site.hub_user, service + number.format(site.hub_user))]
    names += [("the proxy's account", PROXY_USER, f"Rename what has this name: usermod --login OTHER {PROXY_USER}")]
    tests = [
        Test(f"{what}, {name}, is not a person's account", quote(_SERVICE, name, name), remedy=remedy)
        for what, name, remedy in names
    ]
    if site.admin_user:
        title, remedy = f"admin_user, {site.admin_user}, is not a service's account", "Choose another admin_user"
        tests.append(Test(title, quote(_PERSON, site.admin_user, site.admin_user), remedy=remedy))
    return tests


def noted_before(site: Site) -> Resource:
    """A note of what the server was, made before anything is changed: what 16_uninstall makes of it again."""
    return NotedBefore(BEFORE, (LIB, VENV, "/etc/jupyterhub", site.hub_user))


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
