"""The hub's configuration on the server: where things are, and the text of its files."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files as resource_files
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.params.courses import CourseParams
from hubrun.params.nodes import servers_of
from hubrun.resources.conditional import Repaired
from hubrun.resources.files import Directory, File
from hubrun.resources.hub_database import HubDatabase
from hubrun.resources.secret_file import CookieSecret, SecretFile
from hubrun.resources.services import Service
from hubrun.resources.source_tree import SourceTree, Superseded, sources
from hubrun.server_paths import (
    ALERTS,
    AWAY,
    CONF_D,
    CONFIG,
    COOKIE_SECRET,
    COURSES,
    DATABASE,
    FILES_ACCOUNT,
    FILES_KEY,
    FILES_KNOWN_HOSTS,
    FILTER,
    FILTER_LOCAL,
    FILTER_SETTINGS,
    FILTER_SOCKET,
    FILTER_SOCKET_UNIT,
    FILTER_UNIT,
    GRADEBOOKS_SOCKET,
    HOMES,
    HUB_CODE,
    INTERFACE,
    KEPT,
    LIB,
    METRICS_ENV,
    NETWORK,
    NFS_PORT,
    NODE_LINK,
    PROXY_ENV,
    PROXY_USER,
    REGISTERED,
    REGISTRATION,
    STATE,
    VENV,
    VERIFY_ENV,
    WIREGUARD_KEY,
    program,
)
from hubrun.shell import one_line, quote
from hubrun_hub.config_parts import OURS
from hubrun_hub.nodes.nodes_file import filter_socket

# What people notice of a restart.
PROXY_NOTICE = "students' open pages connect again within seconds, and notebooks go on"
HUB_NOTICE = "students' servers and notebooks go on; a person who logs in at that moment waits some seconds"


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("hubrun.sections.hub"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
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
    """The text of a file from sections/hub/templates for this site. more: further names that the template knows."""
    names = {
        "site": site, "alerts": ALERTS, "away": AWAY, "conf_d": CONF_D, "config": CONFIG, "courses": COURSES, "kept": KEPT,
        "network": NETWORK, "state": STATE,
        "filter_settings": FILTER_SETTINGS, "filter_socket": FILTER_SOCKET, "gradebooks_socket": GRADEBOOKS_SOCKET, "homes": HOMES, "hub_program": program,
        "lib": LIB, "proxy_user": PROXY_USER,
        "idle_courses": any(each.idle_minutes for each in site.courses),
        "registered": REGISTERED, "registration": REGISTRATION, "outbound": outbound(site),
        "node": None, "subnet": site.docker_subnet, "exams": site.exams, "interface": INTERFACE,
        "servers": servers_of(site.nodes_network), "files_port": NFS_PORT, "node_filter_socket": filter_socket,
        "wireguard_key": WIREGUARD_KEY, "files_key": FILES_KEY, "files_known_hosts": FILES_KNOWN_HOSTS, "files_account": FILES_ACCOUNT, **more,
    }  # fmt: skip
    return _templates().get_template(f"{template}.j2").render(names)


def outbound(site: Site) -> dict[str, str]:
    """The variables by which the hub's own requests to LMSs know the site's proxy (hubrun_hub/lti/outbound.py)."""
    found = site.proxy_environment
    return {"HUBRUN_HTTP_PROXY": found["http_proxy"], "HUBRUN_NO_PROXY": found["no_proxy"]} if found else {}


def pinned(name: str) -> str:
    """The text of a file of pins, such as "hub.txt" or "proxy/package.json"."""
    return resource_files("hubrun.sections.hub").joinpath("requirements", *name.split("/")).read_text()


def check_command(site: Site, *replaced: str) -> str:
    """Shell that loads the configuration in the hub's own Python as its own user, and fails for any unknown key.

    replaced: parts of ours that are written yet, and so are not judged.
    """
    check = program("check_config", f"{VENV}/bin/python")
    return quote(f"cd / && runuser -u {{}} -- {check} {{}} {{}}", site.hub_user, CONFIG, replaced)


def loads(site: Site) -> str:
    """Shell of a test that the configuration loads; on a fresh server, which has none, it passes and says so.

    The same text wherever it is asked, so that one answer serves until something is changed.
    """
    return f"if [ -e {CONFIG} ]; then ({check_command(site)}) && echo 'it loads'; else echo 'there is none yet'; fi"


# What is ours is written and installed again, and so it is not judged. A check of a version before names it all the same,
# or ends with a traceback where it or the hub's Python is broken; ours then ends with 3, and a
# runuser that cannot start Python with 127, or with 1 as Debian 12's does.
_PRESENT = """
[ -e {config} ] || { echo 'there is none yet'; exit 0; }
said=$( ( {check} ) 2>&1 ) && { echo 'it loads'; exit 0; }
code=$?
theirs=$(printf '%s\\n' "$said" | grep -vE '^{ours}[,:]')
case "$code $said" in 3\\ *|12[67]\\ *|1\\ runuser:*|*Traceback*|*"/bin/python: can't "*) theirs= ;; esac
[ -n "$theirs" ] || { echo "what is ours does not work, and is made again:"; printf '%s\\n' "$said"; exit 0; }
printf '%s\\n' "$theirs"
exit 1
"""


def present_test(site: Site) -> Test:
    """A test of the operator's own part of the configuration that is on the server, before anything is changed.

    What is ours may be of another version, damaged or gone: it is replaced, and so it is not judged.
    """
    names = "|".join(re.escape(f"{CONF_D}/{name}") for name in OURS)
    check = check_command(site, *OURS, PurePosixPath(CONFIG).name)
    return Test(
        "your part of the present configuration loads",
        _PRESENT.replace("{config}", CONFIG)
        .replace("{check}", check)
        .replace("{ours}", f"({names}|{re.escape(CONFIG)})"),
        remedy="Correct the file that is named, and run this again. Nothing was changed",
    )


def no_renaming_test() -> Test:
    """A test that no renaming of people by a version before is half done: only that version can put files back."""
    return Test(
        "no renaming of people is half done", f"test ! -e {STATE}/renaming.json",
        remedy="Run ./hubrun install --only 02 of the version that you had before, with the same new_names, to its end: it "
        "puts the files back, or finishes. Then run this again. Nothing was changed",
    )  # fmt: skip


def no_restore_test() -> Test:
    """A test that no restore of a whole site is half done: people would come in, and work in files that will be replaced."""
    return Test(
        "no restore of the whole site is half done", f"""! grep -qs '"state": "begun"' {KEPT}/restored.json""",
        remedy="Run it once more, to its end: ./hubrun run restore with restore_site=latest; it carries on with the same backup. "
        f"If that backup is lost for good, and what is here shall do: sudo rm {KEPT}/restored.json. Nothing was changed",
    )  # fmt: skip


def settings_test(site: Site) -> Test:
    """A test that the configuration is there, and that each of its settings exists in the class that it is for."""
    return Test("the configuration loads, and each setting is known to its class", loads(site), prints="^it loads$")


def health_test() -> Test:
    """A test that the hub answers through its proxy and is well."""
    return Test(
        "the hub answers through its proxy", health(waits=8),
        remedy="See journalctl -u jupyterhub -u jupyterhub-proxy -n 50",
    )  # fmt: skip


def tests(site: Site) -> list[Test]:
    """Tests of the hub as 02_hub_lti leaves it: it answers, refuses a launch without a signature, and is not root."""
    return [
        health_test(),
        Test(
            "a launch without a signature is refused",
            "curl -sS -o /dev/null -w '%{http_code}\n' -X POST http://127.0.0.1:8000/hub/lti/launch",
            prints="^(400|401|403)$", remedy="See journalctl -u jupyterhub -n 50",
        ),
        Test(
            f"the hub runs as {site.hub_user}",
            'ps -o user:64= -p "$(systemctl show jupyterhub -p MainPID --value)"',
            prints=rf"^{re.escape(site.hub_user)}\s*$", remedy="See User= in: systemctl cat jupyterhub",
        ),
        *(_metrics_tests() if site.metrics else []),
    ]  # fmt: skip


def _metrics_tests() -> list[Test]:
    """Tests that Prometheus's token reads the figures and nothing else, and that nobody reads them without it."""
    # The token comes by standard input: nothing of it is among the processes (curl(1), -H @-).
    ask = f"""
. {METRICS_ENV}
printf 'Authorization: token %s\\n' "$HUBRUN_METRICS_TOKEN" | curl -sS -o /dev/null -w '%{{http_code}}' -H @- """
    hub, remedy = "http://127.0.0.1:8000/hub", "See journalctl -u jupyterhub -n 50"
    return [
        Test("Prometheus's token reads the hub's figures", f"{ask}{hub}/metrics", "^200$", remedy=remedy),
        Test("Prometheus's token reads nothing else", f"{ask}{hub}/api/users", "^403$", remedy=remedy),
        Test(
            "nobody reads the figures without it", f"curl -sS -o /dev/null -w '%{{http_code}}' {hub}/metrics",
            "^(302|401|403)$", remedy=remedy,
        ),
    ]  # fmt: skip


def boot_tests() -> list[Test]:
    """Tests that what the site consists of starts at boot. Each by itself: asked of several, systemctl says yes when one does."""
    return [
        Test(
            f"{unit} starts at boot", quote("systemctl is-enabled {}", unit), prints="^enabled$",
            remedy=f"systemctl enable {unit}",
        )
        for unit in ("jupyterhub", "jupyterhub-proxy", "nginx", "docker")
    ]  # fmt: skip


def health(waits: int = 0) -> str:
    """Shell that asks the hub, through its proxy, whether it is well, and prints what is wrong (hubrun_hub/lti/health.py); again
    for so many seconds while it is not."""
    return (
        f"curl --fail-with-body -sS --retry {waits} --retry-delay 1 --retry-all-errors http://127.0.0.1:8000/hub/health"
    )


def answers() -> str:
    """Shell that succeeds once the hub answers through its proxy, well or not: a class that waits for memory, or a disk
    that is full, is no fault of a restart. `health_test` names it.
    """
    return "curl -fsS http://127.0.0.1:8000/hub/api"


def hub_code(create_only: bool = False) -> list[Resource]:
    """Code of ours that the hub imports, that stands between it and Docker, and that runbooks run on the server.

    create_only: only where there is none, so that a hub that runs keeps the code that it was started with.
    """
    return [Directory(LIB), SourceTree(HUB_CODE, sources(resource_files("hubrun_hub")), create_only)]


def node_link() -> Resource:
    """What a node answers to the connection of the site's server (hubrun_hub/nodes/node-link)."""
    text = resource_files("hubrun_hub").joinpath("nodes", "node-link").read_text()
    return File(NODE_LINK, text, mode=0o755, check="sh -n {}")


def no_former_code() -> Resource:
    """What versions before put there is gone, once the hub and its units were started without it."""
    former = ("check_config.py", "hubrun_lti", "hubrun_courses", "hubrun_docker")
    return Superseded(tuple(f"{LIB}/{name}" for name in former), (f"{CONF_D}/*.py", FILTER_UNIT))


def part(site: Site, name: str) -> File:
    """One file of conf.d ("20-hub.py"). It stays only when the whole configuration loads with it.

    Other parts of ours that do not load are no reason against it: each is put right in its turn.
    """
    check = check_command(site, *(each for each in OURS if each != name))
    return File(f"{CONF_D}/{name}", render(name, site), owner=f"root:{site.hub_user}", mode=0o640, check=check)


def repaired(site: Site) -> list[Resource]:
    """The parts of later runbooks, where they are there and do not load: without them the hub could not start."""
    return [Repaired(part(site, name), loads(site)) for name in OURS[2:]]


def folder(site: Site) -> Resource:
    """/etc/jupyterhub, which the hub may read and others may not enter."""
    return Directory("/etc/jupyterhub", owner=f"root:{site.hub_user}", mode=0o750)


def tokens(site: Site) -> list[Resource]:
    """The token between hub and proxy, the one with which 06_verify removes its test users, and Prometheus's."""
    return [
        SecretFile(PROXY_ENV, ("CONFIGPROXY_AUTH_TOKEN",), owner(site)),
        SecretFile(VERIFY_ENV, ("HUBRUN_VERIFY_TOKEN",), owner(site)),
        *([SecretFile(METRICS_ENV, ("HUBRUN_METRICS_TOKEN",), owner(site))] if site.metrics else []),
    ]


def state(site: Site) -> list[Resource]:
    """What the hub keeps and cannot do without: where it was lost it is restored, or made again."""
    return [
        CookieSecret(COOKIE_SECRET, owner(site)),
        HubDatabase(DATABASE, f"{STATE}/lti_people.sqlite", owner(site)),
    ]


def files(site: Site) -> list[Resource]:
    """The hub's configuration: the folder of its parts, the operator's part, the file that reads them, and ours."""
    return [
        Directory(CONF_D, owner=f"root:{site.hub_user}", mode=0o750),
        local_file(site),
        *hub_code(),  # which the next import
        main_file(site),
        *(part(site, name) for name in OURS[:2]),
    ]


def courses(site: Site) -> list[Resource]:
    """The place for the folders of courses; nothing, when the site has none."""
    # Root's, and closed to all others, the hub's account too: see hubrun_hub/courses/__init__.py. What nodes may more, an
    # access list says (sections/docker_spawner/node_files.py), which counts as the rights of the group.
    return [Directory(COURSES, 0o710 if site.nodes else 0o700)] if site.course_folders else []


# What a server writes at its start is in memory: somebody whose home is full gets in, and can delete.
_LIMITED = {"JUPYTER_RUNTIME_DIR": "/tmp/.jupyter-runtime", "HUBRUN_USER_DISK": "limited"}


def _student_environment(site: Site) -> dict[str, str]:
    zone = {"TZ": site.timezone} if site.timezone else {}
    return {**site.proxy_environment, **zone, **(_LIMITED if site.homes else {})}


def filter_settings(site: Site) -> str:
    """What it lets the hub ask for on this site, and the hub asks for at each start: the text of FILTER_SETTINGS."""
    allowed: dict[str, Any] = {
        "images": [site.image_name, site.image_candidate],
        "candidate": site.image_candidate,
        "network": NETWORK,
        "memory_mb": site.user_memory_mb,
        "cpus": site.user_cpus,
        "processes": site.user_processes,
        "courses": COURSES if site.course_folders else "",
        "hub_user": site.hub_user,
        "subnet": site.docker_subnet,
        "gateway": site.gateway,
        "git_hosts": site.pulled_from,
        "environment": _student_environment(site),
    }
    if site.homes:
        allowed["homes"] = HOMES
    if site.gpus:
        allowed["gpus"] = site.gpus
    if site.lms_dates:
        allowed["lms_dates"] = True
    if site.courses:
        allowed["idle_minutes"] = site.idle_minutes
        allowed["images"] += [site.image_repository + each.image_suffix for each in site.courses if each.image_suffix]
        allowed["course_settings"] = [_course_settings(site, each) for each in site.courses]
    return json.dumps(allowed, indent=2) + "\n"


def _course_settings(site: Site, course: CourseParams) -> dict[str, Any]:
    """What the hub reads of a course (hubrun_hub/courses/course_settings.py); image_name: of its own one."""
    says = course.on_server()
    own = course.image_suffix
    return {**says, "image_name": site.image_repository + own} if own else says


def docker_filter(site: Site) -> list[Resource]:
    """What stands between the hub and Docker: its program, its settings, the operator's own, and two units; and between
    the hub and gradebooks."""
    return [
        *hub_code(),
        File(FILTER_SETTINGS, filter_settings(site)),
        File(FILTER_LOCAL, "{}\n", create_only=True),
        unit(site, FILTER_UNIT),
        unit(site, FILTER_SOCKET_UNIT),
        # A socket cannot be restarted under its service; what comes in meanwhile waits in the socket.
        Service(f"{FILTER}.socket", check=f"systemctl stop {FILTER}.service"),
        Service(
            f"{FILTER}.service",
            watches=(
                f"{HUB_CODE}/docker_filter",
                f"{HUB_CODE}/courses",
                f"{HUB_CODE}/homes",
                f"{HUB_CODE}/nodes",
                f"{HUB_CODE}/test_student.py",
                FILTER_UNIT,
            ),
            ready=filter_answers(),
        ),
        *gradebooks(site),
    ]


def gradebooks(site: Site) -> list[Resource]:
    """What reads courses' gradebooks for the hub; nothing where no grades go to the LMS."""
    if not (site.lti_services and site.nbgrader):
        return []
    names = ("hubrun-gradebooks@.service", "hubrun-gradebooks.socket")
    return [*(unit(site, f"/etc/systemd/system/{name}") for name in names), Service("hubrun-gradebooks.socket")]


def filter_answers() -> str:
    """Shell that asks the filter, as root, for Docker's version."""
    return f"curl -fsS --unix-socket {FILTER_SOCKET} http://docker/version"


def main_file(site: Site) -> Resource:
    """jupyterhub_config.py, which reads the files of conf.d."""
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
