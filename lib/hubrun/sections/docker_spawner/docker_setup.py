"""Docker for the hub: where it comes from, and how the students' containers are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.desired.supported_systems import System
from hubrun.params import Site
from hubrun.params.nodes import Node
from hubrun.resources.apt_source import AptSource
from hubrun.resources.conditional import WhenFileHas
from hubrun.resources.docker import DAEMON_JSON, VALID, DaemonSettings, Network
from hubrun.resources.files import Directory
from hubrun.resources.image import KEEPER, CurrentImage
from hubrun.resources.packages import NoPackages, Packages
from hubrun.resources.services import Service
from hubrun.resources.started_once import StartedOnce
from hubrun.resources.unit_environment import UnitEnvironment
from hubrun.resources.users import OnlyMembers
from hubrun.resources.venv import pins
from hubrun.sections.docker_spawner import homes, nvidia
from hubrun.sections.docker_spawner.course_images import images
from hubrun.sections.hub import config
from hubrun.shell import quote
from hubrun_hub.student_container import TRIES

# https://docs.docker.com/engine/install/debian/: "Uninstall old versions" and "Install using the apt repository"
CONFLICTING = ("docker.io", "docker-doc", "docker-compose", "podman-docker", "containerd", "runc")
DOCKER_CE = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")

# Logs of a container are bounded, and containers run on while the daemon is restarted or updated.
DAEMON = DaemonSettings(
    (("log-driver", "local"), ("log-opts", {"max-size": "10m", "max-file": "3"}), ("live-restore", True)),
)


# In January and in July: a container that does not know the zone has UTC.
_DAYS = "printf '2026-01-15\\n2026-07-15\\n'"
_ZONE = f"""
zone={{}}
[ "$({_DAYS} | docker run -i --rm -e TZ="$zone" --entrypoint date {{}} -f - +%z)" = "$({_DAYS} | TZ="$zone" date -f - +%z)" ] && echo known
"""

# The groups of a process are those that it was started with, whatever /etc/group says by now: proc(5).
_GROUPS = """
group=$(getent group docker) || { echo "there is no group docker"; exit 1; }
group=$(echo "$group" | cut -d: -f3)
process=$(systemctl show jupyterhub -p MainPID --value)
groups=$(awk '/^(Gid|Groups):/ {$1 = ""; print}' "/proc/$process/status") || { echo "the hub does not run"; exit 1; }
case " $(echo $groups) " in *" $group "*) echo "it has the group docker ($group)"; exit 1;; esac
echo "its groups are $(echo $groups), docker is $group"
"""


def engine(site: Site, system: System) -> list[Resource]:
    """The Docker engine from the channel that the site names; what conflicts with it goes first."""
    if site.docker_channel == "distro":
        return [NoPackages(*DOCKER_CE), Packages(*system.docker)]
    url = f"{site.docker_apt_url.rstrip('/')}/{system.distribution}"
    return [
        NoPackages(*CONFLICTING),
        Packages("curl", "gpg"),
        AptSource("docker", url, system.codename, "stable", f"{url}/gpg", site.docker_apt_key),
        Packages(*DOCKER_CE),
    ]


def running(site: Site) -> list[Resource]:
    """Docker with our settings and the site's proxy; settings by hand that it could not start with do not reach it."""
    proxy = UnitEnvironment("proxy", ("docker.service",), site.proxy_environment)
    service = Service("docker.service", watches=(DAEMON_JSON, *proxy.paths), check=f"{{ {VALID}; }} || exit 1")
    return [Directory("/etc/docker"), proxy, DAEMON, service]


def on_node(site: Site) -> Callable[[Node], Sequence[Resource]]:
    """Docker with our settings on a node, by node: as on the site's server, but for GPUs."""
    return lambda node: [*running(site), *nvidia.toolkit(nvidia.on_node(site, node))]


def node_tests(site: Site) -> Callable[[Node], Sequence[Test]]:
    """Tests of Docker on a node, by node."""
    return lambda node: [answers(), *nvidia.driver_tests(nvidia.on_node(site, node))]


def answers() -> Test:
    """A test that the Docker engine answers."""
    return Test("Docker answers", "docker version --format 'engine {{.Server.Version}}'", prints=r"^engine \d")


def network(site: Site) -> Network:
    """The students' network."""
    return Network(server_paths.NETWORK, subnet=site.docker_subnet, gateway=site.gateway)


def hubs_network(site: Site) -> Resource:
    """The students' network, where the hub listens on it: without it the hub has no address."""
    return WhenFileHas(server_paths.DOCKER_PART, f"http://{site.gateway}:8081", network(site))


def _data(site: Site) -> list[str]:
    return sorted({each.data for each in site.courses if each.data})


def data_tests(site: Site) -> list[Test]:
    """Tests that the folders that courses read are there: where one is missing, Docker would make it, and it would be empty."""
    return [
        Test(
            f"{path} is there", quote("test -d {}", path),
            remedy="Put the data there, mount its disk, or take it out of `courses`",
        )
        for path in _data(site)
    ]  # fmt: skip


def container_tests(site: Site) -> list[Test]:
    """Tests of a container of the students' image, in their network: what it is, and that it reaches the hub.

    One container answers those that are of every site: they have the same script.
    """
    script = quote(
        "docker run --rm --network {} {} python -m hubrun_student.programs.container_facts {}",
        server_paths.NETWORK,
        site.image_name,
        f"http://{site.gateway}:8081/hub/health",
    )
    version = pins(config.pinned("hub.txt"), "3.11")["jupyterhub"]
    zone = Test(
        "a container knows the time zone", quote(_ZONE, site.timezone, site.image_name), "^known$", traces=True,
        remedy="base_image has no time zones: use one with the package tzdata, such as quay.io/jupyter/…",
    )  # fmt: skip
    data = [
        Test(
            f"students' servers may read {path}",
            quote("docker run --rm --network none -v {} --entrypoint ls {} -A {}", f"{path}:{path}:ro", site.image_name, path),
            traces=True, remedy=f"chmod o+rx {path}: everything in a container runs as uid 1000",
        )
        for path in _data(site)
    ]  # fmt: skip
    return [
        *data,
        *([zone] if site.timezone else []),
        Test(
            "the image has the hub's own version of JupyterHub", script, rf"^jupyterhub {re.escape(version)}$", traces=True,
            remedy="Does extra_pip_packages install another version? Then no student's server can talk to the hub",
        ),
        Test(
            "a student is not root in the container", script, "^uid [1-9][0-9]*$", traces=True,
            remedy="base_image must be one whose user is not root, such as quay.io/jupyter/…",
        ),
        Test(
            "a container reaches the hub", script, "^hub 200$", traces=True,
            remedy="A firewall on the server may block it: allow the containers' network to reach port 8081",
        ),
    ]  # fmt: skip


def users(site: Site) -> Resource:
    """Who may use Docker's own socket. The hub's account never, whoever names it."""
    return OnlyMembers("docker", tuple(name for name in site.docker_users if name != site.hub_user))


def access_tests(site: Site) -> list[Test]:
    """Tests that the hub's account, and its process, reach Docker by the filter alone."""
    ask = quote("runuser -u {} -- curl -sS --unix-socket", site.hub_user)
    create = (
        "-X POST -H 'Content-Type: application/json' 'http://docker/v1.41/containers/create?name=jupyter-hubruntest0'"
    )
    body = json.dumps({"Image": site.image_name, "HostConfig": {"Privileged": True}})
    return [
        Test(
            f"{site.hub_user} cannot use Docker's own socket",
            quote(
                f"runuser -u {{}} -- {server_paths.program('connect')} /run/docker.sock", site.hub_user,
            ), fails=True, prints="^PermissionError",
            remedy=f"Is {site.hub_user} in a group that may? (id {site.hub_user}; ls -l /run/docker.sock)",
        ),
        Test("the hub runs without Docker's group", _GROUPS, remedy="systemctl restart jupyterhub"),
        Test(
            "the hub gets Docker's answers from the service between them",
            f"{ask} {server_paths.FILTER_SOCKET} http://docker/version", prints='"ApiVersion"',
            remedy=f"journalctl -u {server_paths.FILTER} -n 20",
        ),
        Test(
            "the hub is refused a container with privileges",
            f"{ask} {server_paths.FILTER_SOCKET} {create} -d {quote('{}', body)}", prints="HostConfig.Privileged is not allowed",
        ),
    ]  # fmt: skip


def spawner(site: Site, current: list[str]) -> list[Resource]:
    """DockerSpawner's part of the hub's configuration, who may use Docker, the hub running with both, and then the images that
    count: `current`, REPOSITORY:ID of each of the site's."""
    return [
        config.part(site, "40-docker.py"),
        users(site),
        Service(
            "jupyterhub.service",
            watches=(server_paths.DOCKER_PART, *server_paths.HUB_IMPORTS),
            ready=config.answers(),
            notice=f"{config.HUB_NOTICE}; changes for servers take effect when they start the next time",
        ),
        config.no_former_code(),
        *proven_images(site, current),
    ]


def proven_images(site: Site, current: list[str]) -> list[Resource]:
    """The images `current`, REPOSITORY:ID, count from now on, once a server of each started the very way in which the hub
    starts it: some build, and end at once, or have no kernel."""
    command = server_paths.program("try_start", f"{server_paths.VENV}/bin/python")
    files = (
        server_paths.DOCKER_PART,
        f"{server_paths.CONF_D}/90-local.py",
        server_paths.FILTER_SETTINGS,
        server_paths.FILTER_LOCAL,
    )
    try_start = quote(
        f"{command} {{}} {{}} {{}}", server_paths.VERIFY_ENV, "http://127.0.0.1:8081", site.image_candidate
    )
    forget = homes.forget(site, TRIES)
    every = images(site)
    keepers = tuple(KEEPER + each.suffix for each in every if each.suffix)
    found: list[Resource] = []
    for (of, suffix), image in zip(every, current, strict=True):
        # The settings are those of all images, and tried with the site's own: a course that changes tries no other's again.
        proof = files[:1] if suffix else files
        stamp, history = server_paths.STARTED + suffix, server_paths.IMAGES + suffix
        found += [
            StartedOnce(image, site.image_candidate, proof, try_start, TRIES, forget, stamp),
            CurrentImage(
                of.image_name, image, history, KEEPER + suffix, *(() if suffix else (keepers, (server_paths.STARTED,)))
            ),
        ]
    return found
