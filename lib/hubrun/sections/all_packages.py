"""The packages of all sections at once: one transaction of apt instead of many. Each section asks for its own all the same."""

from __future__ import annotations

from hubrun.desired.resource import Resource
from hubrun.desired.supported_systems import System
from hubrun.params import Site
from hubrun.resources.packages import NoPackages, Packages
from hubrun.sections.docker_spawner import docker_setup, homes, student_network
from hubrun.sections.https import site_certificate


def packages(site: Site, system: System, base: tuple[str, ...]) -> list[Resource]:
    """`base`, and what 03 and 04 need on the site's own server; before them, where Docker comes from.

    nginx would show its own page to whoever comes by: it starts when it has the hub's sites. Raises BadInput as
    site_certificate.acme does.
    """
    *source, engine = docker_setup.engine(site, system)
    later = [engine, *student_network.rules(site), *homes.disk(site), *site_certificate.acme(site)]
    names = [name for each in later if isinstance(each, Packages) for name in each.names]
    # `extra_packages` may name another engine, which the one of `docker_channel` takes the place of.
    gone = {name for each in source if isinstance(each, NoPackages) for name in each.names}
    kept = [name for name in base if name not in gone]
    return [*source, Packages(*kept, "nginx", *names, stopped=("nginx",))]
