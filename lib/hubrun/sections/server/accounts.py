"""The account of the person who administers the server."""

from __future__ import annotations

from hubrun.desired.resource import Resource
from hubrun.errors import BadInput
from hubrun.params import Site, read_local
from hubrun.resources.files import File
from hubrun.resources.packages import Packages
from hubrun.resources.users import AuthorizedKey, User

SUDOERS = "/etc/sudoers.d/hubrun-admin"


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
                "is no public key (one line, from a .pub file)",
                f"parameter admin_ssh_key_file, {site.admin_ssh_key_file}",
            )
        resources.append(AuthorizedKey(site.admin_user, key))
    return resources
