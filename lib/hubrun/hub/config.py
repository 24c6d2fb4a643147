"""The hub's configuration on the server: where things are, and the text of its files."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files as resource_files
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hubrun.params import Site
from hubrun.plan import Resource, one_line, quote
from hubrun.resources.files import Directory, File
from hubrun.resources.services import Service
from hubrun.resources.tree import Tree, sources

VENV = "/opt/jupyterhub"
CONFIG = "/etc/jupyterhub/jupyterhub_config.py"
CONF_D = "/etc/jupyterhub/conf.d"
LTI_ENV = "/etc/jupyterhub/lti.env"
PROXY_ENV = "/etc/jupyterhub/proxy.env"
VERIFY_ENV = "/etc/jupyterhub/verify.env"
STATE = "/var/lib/jupyterhub"
NETWORK = "jupyterhub"
DOCKER_PART = f"{CONF_D}/40-docker.py"
HUB_UNIT = "/etc/systemd/system/jupyterhub.service"
PROXY_UNIT = "/etc/systemd/system/jupyterhub-proxy.service"
CHECKER = "/usr/local/lib/hubrun/check_config.py"
FRONT_LIB = "/usr/local/lib/hubrun/hubrun_lti"
COURSES_LIB = "/usr/local/lib/hubrun/hubrun_courses"
COURSES = "/srv/nbgrader"
FILTER_LIB = "/usr/local/lib/hubrun/hubrun_docker"
FILTER_SETTINGS = "/etc/jupyterhub/docker-filter.json"
FILTER_LOCAL = "/etc/jupyterhub/docker-filter-local.json"
FILTER = "hubrun-docker-filter"
FILTER_UNIT = f"/etc/systemd/system/{FILTER}.service"
FILTER_SOCKET_UNIT = f"/etc/systemd/system/{FILTER}.socket"
FILTER_SOCKET = f"/run/{FILTER}.sock"
PROXY_USER = "jupyterhub-proxy"
# What people notice of a restart.
PROXY_NOTICE = "students' open pages connect again within seconds, and notebooks go on"
HUB_NOTICE = "students' servers and notebooks go on; who logs in just then waits some seconds"


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("hubrun.hub"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,  # Python and unit files, no HTML
        finalize=_on_one_line,
    )  # fmt: skip
    # As JSON it would be two halves where Unicode has one character, which Python reads as two.
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return made


def _on_one_line(value: Any) -> Any:
    """The second line of defence, behind the schema: nothing that is put into a template adds a line to the file."""
    return one_line(value) if isinstance(value, str) else value


def render(template: str, site: Site, **more: object) -> str:
    """The text of a file from hub/templates for this site. more: further names that the template knows."""
    names = {
        "site": site, "conf_d": CONF_D, "config": CONFIG, "network": NETWORK, "state": STATE, "scratch": scratch(site),
        "filter_socket": FILTER_SOCKET, "filter_lib": FILTER_LIB, "proxy_user": PROXY_USER, **more,
    }  # fmt: skip
    return _templates().get_template(f"{template}.j2").render(names)


def scratch(site: Site) -> dict[str, int]:
    """Folders in memory that a student's container may write to, and their sizes in MB: half of its memory for /tmp."""
    return {"/tmp": site.user_memory_mb // 2, "/var/tmp": 64, "/run": 16}  # nosec B108 - mounts of a container


def pinned(name: str) -> str:
    """The text of a file of pins, such as "hub.txt" or "proxy/package.json"."""
    return resource_files("hubrun.hub").joinpath("requirements", *name.split("/")).read_text()


def check_command(site: Site) -> str:
    """Shell that loads the configuration in the hub's own Python as its own user, and fails for any unknown key."""
    return quote("cd / && runuser -u {} -- {}/bin/python {} {}", site.hub_user, VENV, CHECKER, CONFIG)


def loads(site: Site) -> str:
    """Shell of a test that the configuration loads; on a fresh server, which has none, it passes.

    The same text wherever it is asked, so that one answer serves until something is changed.
    """
    return f"test ! -e {CONFIG} || ({check_command(site)})"


def health(waits: int = 0) -> str:
    """Shell that asks the hub, through its proxy, whether it is well, and prints what is wrong (front/health.py); again
    for so many seconds while it is not."""
    return (
        f"curl --fail-with-body -sS --retry {waits} --retry-delay 1 --retry-all-errors http://127.0.0.1:8000/hub/health"
    )


def checker() -> list[Resource]:
    """The program that `check_command` runs, on the server."""
    text = resource_files("hubrun.hub").joinpath("check_config.py").read_text()
    return [Directory("/usr/local/lib/hubrun"), File(CHECKER, text)]


def part(site: Site, name: str) -> Resource:
    """One file of conf.d ("20-hub.py"). It stays only when the whole configuration loads with it."""
    return File(
        f"{CONF_D}/{name}", render(name, site), owner=f"root:{site.hub_user}", mode=0o640, check=check_command(site)
    )


def front() -> Resource:
    """What 25-lti.py imports: the hub's front door for launches."""
    return Tree(FRONT_LIB, sources(resource_files("hubrun.hub").joinpath("front")))


def courses(site: Site) -> list[Resource]:
    """What 40-docker.py imports, and the place for the folders of courses; nothing, when the site has no nbgrader."""
    if not site.nbgrader:
        return []
    return [
        Tree(COURSES_LIB, sources(resource_files("hubrun.hub").joinpath("courses"))),
        # Root's, and closed to all others, the hub's account too: see hub/courses/__init__.py.
        Directory(COURSES, 0o700),
    ]


def filter_files() -> dict[str, str]:
    """The program that stands between the hub and Docker, by its paths below FILTER_LIB."""
    return {
        f"{package}/{name}": text
        for package in ("courses", "docker_filter")
        for name, text in sources(resource_files("hubrun.hub").joinpath(package)).items()
    }


def filter_settings(site: Site) -> str:
    """What it lets the hub ask for on this site: the text of FILTER_SETTINGS."""
    allowed = {
        "images": [site.image_name],
        "network": NETWORK,
        "memory_mb": site.user_memory_mb,
        "cpus": site.user_cpus,
        "processes": site.user_processes,
        "courses": COURSES if site.nbgrader else "",
        "hub_user": site.hub_user,
    }
    return json.dumps(allowed, indent=2) + "\n"


def docker_filter(site: Site) -> list[Resource]:
    """What stands between the hub and Docker: its program, its settings, the operator's own, and two units."""
    return [
        Tree(FILTER_LIB, filter_files()),
        File(FILTER_SETTINGS, filter_settings(site)),
        File(FILTER_LOCAL, "{}\n", create_only=True),
        unit(site, FILTER_UNIT),
        unit(site, FILTER_SOCKET_UNIT),
        # A socket cannot be restarted under its service; what comes in meanwhile waits in the socket.
        Service(f"{FILTER}.socket", check=f"systemctl stop {FILTER}.service"),
        Service(f"{FILTER}.service", watches=(FILTER_LIB, FILTER_UNIT), ready=filter_answers()),
    ]


def filter_answers() -> str:
    """Shell that asks the filter, as root, for Docker's version."""
    return f"curl -fsS --unix-socket {FILTER_SOCKET} http://docker/version"


def main_file(site: Site) -> Resource:
    return File(CONFIG, render("jupyterhub_config.py", site), owner=f"root:{site.hub_user}", mode=0o640)


def local_file(site: Site) -> Resource:
    """conf.d/90-local.py: the operator's own; made once, and left alone from then on."""
    text = "# Yours: settings here win over hubrun's, and hubrun never changes this file.\nc = get_config()  # noqa: F821\n"
    return File(f"{CONF_D}/90-local.py", text, owner=f"root:{site.hub_user}", mode=0o640, create_only=True)


def owner(site: Site) -> str:
    """Owner and group of what the hub alone may read."""
    return f"{site.hub_user}:{site.hub_user}"


def unit(site: Site, path: str) -> Resource:
    """The file of a unit of ours; systemd must understand it before it stays."""
    return File(path, render(PurePosixPath(path).name, site), check=f"systemd-analyze verify {path}")
