"""Brings hub, proxy and students' image to this version, and puts the one before back when the new one does not work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from hubrun import server_paths
from hubrun.desired.checks import Check, Test
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.errors import ConnectionLost, HubrunError
from hubrun.params import Site
from hubrun.resources.hub_copy import HubCopy
from hubrun.sections.docker_spawner import docker_setup, image_versions
from hubrun.sections.https import nginx, other_sites
from hubrun.sections.hub import config, hub_setup
from hubrun.sections.verify.verification import Verification
from hubrun.shell import quote

_PATHS = (
    server_paths.VENV, server_paths.LIB, str(PurePosixPath(server_paths.CONFIG).parent), server_paths.HUB_UNIT,
    server_paths.PROXY_UNIT, server_paths.FILTER_UNIT, server_paths.FILTER_SOCKET_UNIT, other_sites.HTTPS_FILE,
)  # fmt: skip


def copy(site: Site) -> HubCopy:
    """The hub as it works, as long as the upgrade goes on."""
    kept = f"{site.image_repository}:before-upgrade"
    return HubCopy("/var/lib/hubrun/before-upgrade", server_paths.STATE, site.image_name, kept, _PATHS)


def software(server: Server) -> list[Resource]:
    """All of the hub that a new version may change, in the order of 02 and 04; nginx before the hub restarts, so that
    launches wait at its page. It asks the hub who may pass: where the hub of before does not answer, nginx is left to 03.
    """
    site = server.site
    (gate,) = server.probe(nginx.GATE)
    entry = nginx.port_443(server) if gate.stdout.strip() == "401" else []
    return [hub_setup.environment(), hub_setup.proxy(), *config.files(site), *entry, *hub_setup.services(site)]


def spawner(site: Site, images: list[str]) -> list[Resource]:
    """What stands between the hub and students' servers."""
    return [*config.docker_filter(site), *docker_setup.spawner(site, images)]


def disk_test() -> Test:
    """A test that the server has room for the copy: twice what it takes, and 200 MB."""
    size = quote("du -smc {} {}/*.sqlite 2> /dev/null | tail -n 1 | cut -f1", _PATHS, server_paths.STATE)
    script = f"""wanted=$(( $({size}) * 2 + 200 ))
    left=$(df -m --output=avail /var/lib | tail -n 1)
    echo "$left MB are free, $wanted MB are needed"
    [ "$left" -ge "$wanted" ]"""
    return Test("there is room for a copy of the hub", script, remedy="Make room on the server's disk first")


def upgrade(server: Server) -> None:
    """Keep the hub as it works, bring it to this version, and test it as 06_verify does: else put it back.

    Nothing is kept or tested where there is nothing to do. Raises what the upgrade or its tests raised, after the hub is back.
    """
    site = server.site
    hub, starts = software(server), spawner(site, image_versions.current(server))
    resources = [*hub, *starts]
    if not (_unfinished(server) or _differs(server, resources)):
        server.ensure(*resources)
        return
    server.check(disk_test())
    server.ensure(copy(site))
    try:
        server.ensure(*hub)
        server.ensure(*starts)
        _verify(server)
    except ConnectionLost:
        raise  # nothing can be put back now; the next run goes on, and still has the copy
    except HubrunError:
        put_back(server)
        raise
    if not (server.check_mode or server.pending):
        server.run(copy(site).forget())


def put_back(server: Server) -> None:
    """Put the hub back as it was before, with its image, and show that it answers. Raises CheckFailed when it does not."""
    site = server.site
    server.run(copy(site).put_back() + copy(site).forget(), seconds=600)
    server.require(Check("the hub of before is back", True, "put back", "put back"))
    server.check(config.health_test())


def _differs(server: Server, resources: Sequence[Resource]) -> bool:
    found = server.probe(*(resource.probe() for resource in resources))
    return any(resource.plan(output.stdout) for resource, output in zip(resources, found, strict=True))


def _unfinished(server: Server) -> bool:
    kept = copy(server.site)
    return not kept.plan(server.probe(kept.probe())[0].stdout)


def _verify(server: Server) -> None:
    server.check(*config.tests(server.site), config.settings_test(server.site), *docker_setup.access_tests(server.site))
    checks = Verification(server)
    for step in (checks.clean_up, checks.outside, checks.launches, checks.work, checks.clean_up):
        server.require(*step())
