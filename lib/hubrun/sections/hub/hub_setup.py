"""What the hub consists of besides its configuration: its packages, and its two services."""

from __future__ import annotations

from hubrun import server_paths
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.node_packages import NodePackages
from hubrun.resources.services import Service
from hubrun.resources.users import User
from hubrun.resources.venv import Venv
from hubrun.sections.hub import config


def environment() -> Venv:
    """The hub's virtual environment, from pins that were tested together."""
    return Venv(server_paths.VENV, requirements=config.pinned("hub.txt"), uv=config.pinned("uv.txt"))


def proxy() -> NodePackages:
    """The proxy, below the virtual environment, whose Node it needs."""
    return NodePackages(
        server_paths.PROXY_FOLDER,
        venv=server_paths.VENV,
        package=config.pinned("proxy/package.json"),
        lock=config.pinned("proxy/package-lock.json"),
    )


def services(site: Site) -> list[Resource]:
    """What the hub keeps, and hub and proxy running as services (`running`)."""
    return [
        *config.state(site),
        User(server_paths.PROXY_USER, system=True, home="/nonexistent"),
        config.unit(site, server_paths.PROXY_UNIT),
        config.unit(site, server_paths.HUB_UNIT),
        *running(),
    ]


def running() -> list[Service]:
    """Proxy and hub running; each restarts when what it reads at its start is newer."""
    return [
        Service(
            "jupyterhub-proxy.service",
            watches=(server_paths.PROXY_UNIT, server_paths.PROXY_ENV, *proxy().writes),
            notice=config.PROXY_NOTICE,
        ),
        Service(
            "jupyterhub.service",
            # The proxy's unit too: after a restart the proxy knows no routes until the hub sends them.
            watches=(
                server_paths.HUB_UNIT,
                server_paths.PROXY_UNIT,
                server_paths.CONFIG,
                server_paths.CONF_D,
                *server_paths.HUB_IMPORTS,
                server_paths.PROXY_ENV,
                server_paths.VERIFY_ENV,
                server_paths.COOKIE_SECRET,
                *environment().writes,
            ),
            ready=config.answers(),
            notice=config.HUB_NOTICE,
        ),
    ]
