"""What 16_uninstall takes away, in its order: each step finds by itself what of it is there."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.params import Site
from hubrun.resources.certificate import WEBROOT
from hubrun.resources.docker import DaemonSettingsBefore
from hubrun.resources.gone import Gone
from hubrun.resources.packages import APT, REPAIR_PACKAGES
from hubrun.sections.docker_spawner.docker_setup import DAEMON, DOCKER_CE
from hubrun.sections.https.other_sites import HTTP_FILE, HTTPS_FILE
from hubrun.sections.server import proxy, upkeep
from hubrun.sections.uninstall import traces
from hubrun.sections.uninstall.yes import GIVEN, files_go
from hubrun.server_paths import (
    BACKUP,
    BEFORE,
    BUILDS,
    COURSES,
    FILES_ACCOUNT,
    HOMES,
    HOMES_FILE,
    IMAGE_FOLDER,
    KEPT,
    LIB,
    NETWORK,
    NODE_ACCOUNT,
    PROXY_USER,
    STATE,
    VENV,
)
from hubrun.shell import quote

# Whatever a Packages(…) of hubrun names, but for sudo, by which you may be root; a test holds it against the code.
ENGINE = ("docker.io", "docker-cli", "iptables", *DOCKER_CE)
PACKAGES = (
    "python3", "python3-venv", "curl", "gpg", "openssl", "iproute2", "ca-certificates", "logrotate", "unattended-upgrades",
    "systemd-timesyncd", "tzdata", "nginx", "certbot", "python3-certbot-dns-*", "nftables", "btrfs-progs", "rsync", "restic", "openssh-client",
    "nvidia-container-toolkit", "wireguard-tools", "nfs-kernel-server", "nfs-common", "sshfs", "acl",
)  # fmt: skip
_LONG = 7200
_THERE = " | sed 's/^/there /'"


def _found(what: str, functions: str, name: str, take: str, seconds: float = 600) -> Gone:
    """What the function `name` of the shell `functions` prints goes; `take` gets it as words, from xargs(1)."""
    return Gone(what, f"{functions}{name}{_THERE}", f"{functions}{name} | {take}", seconds=seconds)


def docker_test() -> Test:
    """A test that Docker can be asked what is in it, where it is there."""
    return Test(
        "Docker answers, or is not here", "command -v docker > /dev/null || { echo none; exit; }\ndocker version --format 'engine {{.Server.Version}}'",
        prints="^(none|engine )", remedy="What is in it cannot be known otherwise: systemctl start docker",
    )  # fmt: skip


def service(site: Site) -> list[Resource]:
    """The hub, its units, students' servers, and the site in nginx: from here on nobody gets in."""
    nginx = f"paths {HTTP_FILE} {HTTPS_FILE} /etc/systemd/system/nginx.service.d/hubrun.conf"
    return [
        Gone("units of hubrun", f"{traces.UNITS}units{_THERE}\npaths {BUILDS}", traces.UNITS + traces.STOP),
        _found("servers of students", traces.CONTAINERS, "ours", "xargs -r sh -c 'docker stop -t 10 \"$@\" && docker rm -f -v \"$@\"' sh > /dev/null"),
        Gone("site in nginx", nginx, traces.NGINX),
        Gone("certificate of the site", quote(traces.CERTIFICATE_LOOK, site.domain), quote(traces.CERTIFICATE, site.domain)),
    ]  # fmt: skip


def software(site: Site) -> list[Resource]:
    """The hub's software and our code, and what was set on the system."""
    reserve = quote(traces.RESERVE, site.hub_user)
    authorities = "/usr/local/share/ca-certificates/hubrun-*.crt"
    settings = (upkeep.UPGRADES, upkeep.JOURNAL, upkeep.ROTATION, proxy.APT_CONF)
    again = "\nsystemctl daemon-reload\nsystemctl try-restart apt-daily-upgrade.timer systemd-journald.service"
    return [
        Gone(
            "software of the hub",
            files=(VENV, LIB, BACKUP, IMAGE_FOLDER, "/var/cache/hubrun-backup", WEBROOT, f"{KEPT}/before-upgrade"),
        ),
        Gone("settings of hubrun", files=settings),
        Gone("additions to units of others", f"{traces.DROP_INS}dropins{_THERE}", f"{traces.DROP_INS}dropins | xargs -r rm -f{again}"),
        Gone("certificate authorities of the site", f"paths {authorities}", f"rm -f {authorities}\nupdate-ca-certificates --fresh > /dev/null"),
        Gone("line in /etc/hosts", traces.HOSTS_LOOK, traces.HOSTS),
        Gone("swap file", traces.SWAP_LOOK, traces.SWAP),
        Gone("other time zone", traces.ZONE_LOOK, traces.ZONE),
        Gone("network and files of nodes", traces.NODES_LOOK, traces.NODES),
        _found("rules in ufw", traces.UFW, "added", "while read -r rule; do ufw --force delete $rule; done"),
        Gone("reserve of a disk for the hub", f"{reserve}reserve{_THERE}", reserve + traces.UNRESERVE),
    ]  # fmt: skip


def files(server: Server) -> list[Resource]:
    """With the second yes: students' files, then what they lie in, courses, who is who, keys and accounts. Else nothing."""
    site = server.site
    if not files_go(server):
        return []
    given = quote("install -d {}\necho {} > {}\n", KEPT, site.uninstall_files, GIVEN)
    network = quote(traces.NETWORKS, NETWORK)
    return [
        Gone("files of students", f"{traces.VOLUMES}volumes{_THERE}", f"{given}{traces.VOLUMES}volumes | xargs -r docker volume rm > /dev/null", seconds=_LONG),
        Gone("disk of homes", "", traces.HOMES_DISK, (HOMES, HOMES_FILE), seconds=_LONG),
        Gone("courses, people and keys", files=(COURSES, f"{COURSES}-old", STATE, "/etc/jupyterhub"), seconds=_LONG),
        _found("images of students' servers", quote(traces.IMAGES, site.image_name, site.image_repository, f"{site.image_repository}-*"), "images", "xargs -r docker image rm -f > /dev/null"),
        _found("network of students' servers", network, "network", "xargs -r docker network rm > /dev/null"),
        DaemonSettingsBefore(tuple(name for name, _ in DAEMON.settings), BEFORE),
        _found("accounts of hubrun", quote(traces.ACCOUNTS, (site.hub_user, PROXY_USER, NODE_ACCOUNT, FILES_ACCOUNT)), "accounts", f"xargs -r -n 1 sh -c '[ \"$1\" != {NODE_ACCOUNT} ] || pkill -KILL -u \"$1\" || true; userdel \"$1\"' sh"),
    ]  # fmt: skip


def docker(server: Server) -> list[Resource]:
    """With the second yes: Docker, if hubrun brought it, and nothing of others is in it."""
    if not files_go(server):
        return []
    engine = quote("unneeded {}", ENGINE)
    look = f"{traces.UNNEEDED}alone && {engine}{_THERE}\n{traces.DOCKER_LOOK}"
    take = f"{traces.UNNEEDED}alone || exit 1\n{_purge(engine)}{traces.DOCKER_FOLDERS}"
    return [Gone("Docker of hubrun", look, take, seconds=1800)]


def packages(site: Site) -> list[Resource]:
    """Packages that hubrun installed and nobody else needs: without Docker, these are more."""
    rest = quote("unneeded {}", (*PACKAGES, *site.extra_packages))
    sources = ("docker", "nvidia-container-toolkit")
    source = " ".join(f"/etc/apt/sources.list.d/{name}.sources /etc/apt/keyrings/{name}.asc" for name in sources)
    return [
        Gone("apt source of Docker", f"command -v dockerd > /dev/null || paths {source}", f"rm -f {source}\n{APT} update > /dev/null || true"),
        Gone("packages of hubrun", f"{traces.UNNEEDED}{rest}{_THERE}", traces.UNNEEDED + _purge(rest), seconds=1800),
    ]  # fmt: skip


def leftovers(server: Server) -> list[Resource]:
    """Downloads, and folders that are empty now; with students' files what hubrun knew of the server, at the very end."""
    return [
        Gone("downloads for hubrun", traces.CACHES, traces.NO_CACHES),
        _found("empty folders of hubrun", traces.EMPTY, "empty", "xargs -r rm -rf --one-file-system"),
        *([Gone("notes of hubrun", files=(KEPT,))] if files_go(server) else []),
    ]


def _purge(which: str) -> str:
    return f'{REPAIR_PACKAGES}\nlist=$({which})\n[ -z "$list" ] || {APT} purge -y -- $list\n'
