"""The hub's configuration on the server: where things are, and the text of its files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files as resource_files
from pathlib import PurePosixPath

from jinja2 import Environment, PackageLoader, StrictUndefined

from hubrun.params import Site
from hubrun.plan import Resource, quote
from hubrun.resources.files import Directory, File
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


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("hubrun.hub"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,  # Python and unit files, no HTML
    )  # fmt: skip


def render(template: str, site: Site, **more: object) -> str:
    """The text of a file from hub/templates for this site. more: further names that the template knows."""
    names = {
        "site": site,
        "conf_d": CONF_D,
        "config": CONFIG,
        "network": NETWORK,
        "state": STATE,
        "scratch": scratch(site),
        **more,
    }
    return _templates().get_template(f"{template}.j2").render(names)


def scratch(site: Site) -> dict[str, int]:
    """Folders in memory that a student's container may write to, and their sizes in MB: half of its memory for /tmp."""
    return {"/tmp": site.user_memory_mb // 2, "/var/tmp": 64, "/run": 16}


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
        # Of the hub's account, which makes the folders below it, and closed to all others: see hub/courses/__init__.py.
        Directory(COURSES, 0o700, owner(site)),
    ]


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
    """The unit file HUB_UNIT or PROXY_UNIT; systemd must understand it before it stays."""
    return File(path, render(PurePosixPath(path).name, site), check=f"systemd-analyze verify {path}")
