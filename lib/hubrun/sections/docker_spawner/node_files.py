"""Students' files on nodes: the manager's disk of homes, by NFS, or by sshfs where the kernel has no NFS.

What nodes see is in a folder of its own, which no account of the manager may enter. There a node acts as a student does
(uid 1000), and never as root.
"""

from __future__ import annotations

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.desired.nodes import Nodes
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.access_list import AccessList
from hubrun.resources.bound_folder import BoundFolder
from hubrun.resources.files import Directory, File
from hubrun.resources.gone import Gone
from hubrun.resources.packages import Packages
from hubrun.resources.services import Service
from hubrun.resources.ssh_identity import SshKey
from hubrun.resources.users import User
from hubrun.sections.docker_spawner.node_list import HEAD, Known
from hubrun.sections.hub import config
from hubrun.shell import quote

_BOOK = "04_docker_spawner"
_TREE = f"{server_paths.NODES_FILES}/tree"
# The user of the students' image, whose files they are (hubrun_hub/homes/serve.py).
_UID, _GID = 1000, 100
_EXPORTS = "/etc/exports.d/hubrun.exports"
_NFS_CONF = "/etc/nfs.conf.d/hubrun.conf"
_NFS_UNIT = "/etc/systemd/system/nfs-server.service.d/hubrun.conf"
# exports(5). fsid: a number of its own for each, as several are of one file system; 0 is what a node mounts as /.
# Without subtree_check the kernel takes any file handle of the same file system (Linux, fs/nfsd/nfsfh.c, nfsd_acceptable), also
# one that a node makes up. On the disk of homes alone that opens nothing more. The folder with the mounts is on the server's own
# disk, and that of courses can be: there is the home of whoever has the number 1000, mostly the administrator.
_OPTIONS = f"sync,all_squash,anonuid={_UID},anongid={_GID}"
_ON_HOMES_DISK = ("people", "snapshots")
_SSHD = "/etc/ssh/sshd_config.d/hubrun-files.conf"
_SSHD_TEXT = (
    HEAD
    + """\
Match User {account}
    ChrootDirectory {tree}
    ForceCommand internal-sftp
    AuthorizedKeysFile {keys}
    AuthenticationMethods publickey
    AllowTcpForwarding no
    AllowStreamLocalForwarding no
    X11Forwarding no
    PermitTTY no
    PermitTunnel no
"""
)
_AUTHORIZED = "/etc/ssh/hubrun-files.keys"
_UNIT = f"/etc/systemd/system/{server_paths.FILES_UNIT}"
# NFS before version 4 asks rpcbind, which is open to everybody; version 4 does without (nfs.conf(5), Debian wiki "NFSServerSetup").
_NO_RPCBIND = (
    "systemctl is-enabled rpcbind.socket 2> /dev/null | grep -qx enabled && echo 'there rpcbind, open at port 111'"
)
_MASK = "systemctl disable --now rpcbind.socket rpcbind.service 2> /dev/null || true\nsystemctl mask rpcbind.socket rpcbind.service"
# What 04 shares with nodes, but the files themselves; and how it goes.
LEFT = f"""
for each in people snapshots courses; do
    unit=$(systemd-escape --path --suffix=mount {_TREE}/$each)
    [ ! -e "/etc/systemd/system/$unit" ] || echo "there $unit"
done
paths {_EXPORTS} {_NFS_CONF} {_NFS_UNIT} {_SSHD} {_AUTHORIZED}
"""
TAKE = f"""
rm -f {_EXPORTS} {_NFS_CONF} {_NFS_UNIT} {_SSHD} {_AUTHORIZED}
! command -v exportfs > /dev/null || exportfs -ra || true
sshd -t && systemctl reload ssh.service 2> /dev/null || true
for each in people snapshots courses; do
    unit=$(systemd-escape --path --suffix=mount {_TREE}/$each)
    [ -e "/etc/systemd/system/$unit" ] || continue
    systemctl disable --now "$unit" 2> /dev/null || umount -l "{_TREE}/$each" 2> /dev/null || true
    rm -f "/etc/systemd/system/$unit"
done
systemctl daemon-reload
"""


def keys(site: Site) -> list[Resource]:
    """What a node brings before the manager can let it in: with sshfs a key of its own."""
    if site.node_files == "nfs":
        return []
    return [Directory("/etc/jupyterhub"), SshKey(server_paths.FILES_KEY, server_paths.FILES_ACCOUNT)]


def public_keys(nodes: Nodes) -> dict[str, str]:
    """The public half of each node's key, by name; "" where it is not made yet, or not needed."""
    return {
        name: out.stdout.strip()
        for name, out in nodes.probe(f"cat {server_paths.FILES_KEY}.pub 2> /dev/null || true").items()
    }


def shared(site: Site, every: Known, public: dict[str, str]) -> list[Resource]:
    """The manager's side; nothing is shared without nodes."""
    if not every.members:
        return [Gone("folder for nodes", LEFT, TAKE)] if every.leaving else []
    folders = {"people": f"{server_paths.HOMES}/people", "snapshots": f"{server_paths.HOMES}/snapshots"}
    folders |= {"courses": server_paths.COURSES} if site.course_folders else {}
    return [
        Directory(server_paths.NODES_FILES, 0o700),
        Directory(_TREE),
        *(BoundFolder(source, f"{_TREE}/{name}", _BOOK) for name, source in folders.items()),
        *_courses(site),
        *(_nfs(every, list(folders)) if site.node_files == "nfs" else _sftp(every, public)),
    ]


def _courses(site: Site) -> list[Resource]:
    """A node may go through the folder of all courses, which is root's alone otherwise."""
    if not site.course_folders:
        return []
    return [Packages("acl"), *config.courses(site), AccessList(server_paths.COURSES, f"user:{_UID}:--x")]


def _nfs(every: Known, folders: list[str]) -> list[Resource]:
    nodes = [each.address for each in every.members]
    lines = [
        _export(_TREE, nodes, "ro,subtree_check", 0),
        *(
            _export(f"{_TREE}/{name}", nodes, f"rw,{'no_' if name in _ON_HOMES_DISK else ''}subtree_check", number)
            for number, name in enumerate(folders, 1)
        ),
    ]
    conf = f"{HEAD}[nfsd]\nhost = {every.manager.address}\nvers3 = n\n"
    unit = f"{HEAD}[Unit]\nWants={server_paths.WIREGUARD_UNIT}\nAfter={server_paths.WIREGUARD_UNIT}\nRequiresMountsFor={_TREE}/people\n"
    return [
        # First, so that it never listens anywhere else.
        Directory("/etc/nfs.conf.d"), File(_NFS_CONF, conf),
        Directory("/etc/exports.d"), File(_EXPORTS, HEAD + "".join(lines)),
        Directory(_NFS_UNIT.rpartition("/")[0]), File(_NFS_UNIT, unit),
        Packages("nfs-kernel-server"),
        Gone("rpcbind at work", _NO_RPCBIND, _MASK),
        Service("nfs-server.service", watches=(_EXPORTS,), reloads=True),
    ]  # fmt: skip


def _export(path: str, nodes: list[str], access: str, number: int) -> str:
    return f"{path} " + " ".join(f"{node}({access},{_OPTIONS},fsid={number})" for node in nodes) + "\n"


def _sftp(every: Known, public: dict[str, str]) -> list[Resource]:
    lines = [f'restrict,from="{each.address}" {public[each.name]}\n' for each in every.members if public.get(each.name)]
    text = _SSHD_TEXT.format(account=server_paths.FILES_ACCOUNT, tree=_TREE, keys=_AUTHORIZED)
    return [
        User(server_paths.FILES_ACCOUNT, system=True, home=_TREE, login_shell="/bin/sh", uid=_UID, gid=_GID),
        # Not in /etc/jupyterhub: sshd reads it as this account.
        File(_AUTHORIZED, HEAD + "".join(lines)),
        File(_SSHD, text, check="sshd -t"),
        Service("ssh.service", watches=(_SSHD,), reloads=True),
    ]  # fmt: skip


def mounted(site: Site, every: Known) -> list[Resource]:
    """A node's side: the disk of homes, at the same place as on the manager, and the folders of courses."""
    nfs = site.node_files == "nfs"
    unit = config.render("hubrun-node-homes.service", site, files_port=every.manager.ssh_port)
    return [
        Packages("nfs-common") if nfs else Packages("sshfs"),
        *(
            [Gone("rpcbind at work", _NO_RPCBIND, _MASK)]
            if nfs
            else [File(server_paths.FILES_KNOWN_HOSTS, f"manager {every.manager.ssh_key}\n")]
        ),
        # Whoever is here is a student there, whatever account they have: those that may use Docker, which are root, get in, one
        # of them being `node-link`'s.
        Directory("/srv/jupyterhub", 0o710, "root:docker"),
        File(_UNIT, unit, check=f"systemd-analyze verify {_UNIT}"),
        Service(server_paths.FILES_UNIT),
    ]


def tests() -> list[Test]:
    """Tests that a node has the files, and may not do with them what only the manager may."""
    people = f"{server_paths.HOMES}/people"
    return [
        Test(
            "students' files are there", quote("timeout 20 ls -d {}", people), prints=f"^{people}$",
            remedy=f"systemctl status {server_paths.FILES_UNIT}",
        ),
        Test(
            "it is not root there", quote("timeout 20 touch {} 2>&1", f"{people}/.hubrun-test"), fails=True,
            prints="Permission denied|Read-only file system", remedy="Run 04 again: it writes the exports of the site's server",
        ),
    ]  # fmt: skip
