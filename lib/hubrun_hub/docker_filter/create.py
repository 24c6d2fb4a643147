"""The body of a create call, rebuilt from what is allowed. Pure.

Names of fields: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from .. import student_volume
from ..courses.course_folders import CourseFolders
from ..courses.exam_schedule import LABEL as EXAM
from ..courses.folder_names import is_folder_name
from ..courses.mounts import ROOT, Membership, is_name, places
from .settings import LOCAL, Refused, Settings

# On each container that was made here: its person.
LABEL = "hubrun.student"
# A student's server is called so by DockerSpawner, whatever follows. Whose it is says the volume with their files.
_CONTAINER = re.compile(r"jupyter-[a-z0-9-]{1,200}")
_HOME = "/home/jovyan"

_TMPFS = ("/tmp", "/var/tmp", "/run")  # nosec B108 - mounts of a container
_TMPFS_OPTION = re.compile(
    r"rw|exec|noexec|nosuid|nodev|size=\d{1,6}[kmg]|mode=[01]?[0-7]{3}|nr_inodes=\d{1,7}k?|uid=\d{1,5}|gid=\d{1,5}"
)
_ULIMITS = ("core", "data", "fsize", "memlock", "msgqueue", "nofile", "nproc", "sigpending", "stack")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_DNS = re.compile(r"[A-Za-z0-9:._-]{1,253}")
_EXPOSED = re.compile(r"\d{1,5}/tcp")
_MOST = 2**40


class CreateRequest(NamedTuple):
    """body: what Docker is sent. user, courses: whose courses' folders have to be there before. exam: which one it is in."""

    body: dict[str, Any]
    user: str
    courses: list[Membership]
    exam: str = ""


def check_name(container: str) -> None:
    """Raise Refused for a name that no student's container has."""
    if not _CONTAINER.fullmatch(container):
        raise Refused(f"the name {container!r} is not of a student's container (jupyter-NAME)")


def user_of(binds: Iterable[str]) -> tuple[str, str]:
    """The one user whose files are mounted, and the volume with these; "", "" for nobody's. Raises Refused for several."""
    volumes = sorted({source for bind in binds if student_volume.user_of(source := bind.split(":")[0])})
    if len(volumes) > 1:
        raise Refused(f"HostConfig.Binds: {volumes[1]!r} is not of the same user as {volumes[0]!r}")
    return (student_volume.user_of(volumes[0]), volumes[0]) if volumes else ("", "")


def create(asked: Any, name: str, settings: Settings) -> CreateRequest:
    """Return what is sent to Docker for this body and this name of a container. Raises Refused."""
    check_name(name)
    top = _Fields(asked, "", ("Image", "HostConfig", "Volumes", "Labels", *_TOP))
    host = _Fields(top.take("HostConfig", _object), "HostConfig.", (*_NEEDED, *_HOST_CONFIG))
    binds = host.take("Binds", _texts)
    user, courses = _check_binds(binds, settings)
    exam = _exam(top.take("Labels", _object), courses, settings)
    body: dict[str, Any] = {
        "Image": top.take("Image", _one_of(settings.images, f'add it to "images" in {LOCAL}')),
        "Labels": {LABEL: user, **({EXAM: exam} if exam else {})},
        "HostConfig": _host_config(host, settings) | {"Binds": binds},
    }
    for field, check in _TOP.items():
        top.keep(body, field, check)
    targets = {bind.split(":")[1] for bind in binds}
    # A path that nothing is mounted on would become a volume of its own, for good.
    if more := sorted(set(top.take("Volumes", _object)) - targets):
        raise Refused(f"Volumes: {more[0]!r} is not the target of one of HostConfig.Binds")
    return CreateRequest(body, user, courses, exam)


def _exam(labels: dict[str, Any], courses: list[Membership], settings: Settings) -> str:
    """The exam that the hub says this container is in, "" for none. Raises Refused for one that is none, and other labels."""
    exam = labels.get(EXAM, "")
    if labels.keys() - {EXAM} or not isinstance(exam, str) or (exam and exam not in settings.exams()):
        raise Refused("Labels is not allowed, but for an exam that the site has")
    if exam and len(courses) > 1:
        raise Refused("Labels: a container in an exam sees one course")
    return exam


def in_exam(body: dict[str, Any], address: str, hosts: dict[str, list[str]], settings: Settings) -> None:
    """Give a container the network of an exam: an address of its own, hosts by name, and a name server that is none."""
    host = body["HostConfig"]
    for field in ("DnsSearch", "DnsOptions"):
        host.pop(field, None)
    # Without one Docker would take the server's own, and might ask those from outside the container. At the gateway
    # nobody answers, and the rules refuse it.
    host["Dns"] = [settings.gateway]
    host["ExtraHosts"] = [f"{name}:{each}" for name, found in sorted(hosts.items()) for each in found]
    body["NetworkingConfig"] = {"EndpointsConfig": {settings.network: {"IPAMConfig": {"IPv4Address": address}}}}


def _host_config(host: _Fields, settings: Settings) -> dict[str, Any]:
    memory, raised = settings.memory_mb * 2**20, f'in {LOCAL}, "%s" raises it'
    more_memory = raised % "memory_mb"
    kept: dict[str, Any] = {
        "NetworkMode": host.take("NetworkMode", _one_of((settings.network,))),
        "CapDrop": host.take("CapDrop", _no_capabilities),
        "SecurityOpt": host.take("SecurityOpt", _no_new_privileges),
        "Memory": host.take("Memory", _number(1, memory, more_memory)),
        "MemorySwap": host.take("MemorySwap", _number(1, memory, more_memory)),
        "PidsLimit": host.take("PidsLimit", _number(1, settings.processes, raised % "processes")),
        "CpuPeriod": host.take("CpuPeriod", _number(1000, 1_000_000)),
    }
    most = int(settings.cpus * kept["CpuPeriod"])
    kept["CpuQuota"] = host.take("CpuQuota", _number(1000, most, raised % "cpus"))
    host.keep(kept, "ShmSize", _number(1, memory, more_memory))
    host.keep(kept, "DeviceRequests", _gpus(settings.gpus))
    for field, check in _HOST_CONFIG.items():
        host.keep(kept, field, check)
    return kept


def _check_binds(asked: list[str], settings: Settings) -> tuple[str, list[Membership]]:
    """Whose container it is, and the courses of which some folders are mounted. Raises Refused for any other mount."""
    user, volume = user_of(asked)
    allowed: dict[str, dict[str, set[str]]] = {volume: {_HOME: {"rw"}}} if volume else {}
    root = PurePosixPath(settings.courses or "/nowhere")
    found = {bind.split(":")[0] for bind in asked}
    named = {PurePosixPath(source).relative_to(root).parts for source in found if source.startswith(f"{root}/")}
    names = sorted({parts[0] for parts in named if parts and is_name(parts[0])}) if settings.courses else []
    called = [(each, folder) for each in names for folder in _folders(asked, f"{root}/{each}/")]
    more = CourseFolders(shared=True, groups=settings.groups_of(user), grouped=True)
    for data in settings.data() if user else ():
        allowed[data] = {data: {"ro"}}
    for teaches in (False, True):
        for each, folder in called:
            for source, place in places(user, [Membership(each, teaches, folder, more=more)], str(root)).binds.items():
                allowed.setdefault(source, {}).setdefault(place["bind"], set()).add(place["mode"])
    for bind in asked:
        source, target, mode = (bind.split(":") + ["", ""])[:3]
        if bind.count(":") != 2:
            raise Refused(f"HostConfig.Binds: {bind!r} must be SOURCE:TARGET:MODE")
        if source in settings.mounts:
            if mode not in ("ro", settings.mounts[source]):
                raise Refused(f"HostConfig.Binds: {bind!r}: {LOCAL} allows this one as {settings.mounts[source]!r}")
            _check_target(bind, target)
        elif source not in allowed:
            raise Refused(
                f'HostConfig.Binds: {bind!r} is not of {user or "the student"}: add the source to "mounts" in {LOCAL}'
            )
        elif mode not in allowed[source].get(target, ()):
            raise Refused(f"HostConfig.Binds: {bind!r} may only be one of {_shown(source, allowed[source])}")
    return user, [Membership(each, False, more=_asked_for(found, f"{root}/{each}")) for each in names]


def _asked_for(sources: set[str], course: str) -> CourseFolders:
    """Which of a course's folders besides nbgrader's are mounted, and so have to be there."""
    groups = {source.removeprefix(f"{course}/groups/") for source in sources if source.startswith(f"{course}/groups/")}
    grouped = f"{course}/groups" in sources
    return CourseFolders(f"{course}/shared" in sources, tuple(sorted(groups)), bool(groups) or grouped)


def _folders(asked: list[str], course: str) -> list[str]:
    """What this course is called in the container: "" for its id, and the names that its mounts ask for."""
    found = {bind.split(":")[1] for bind in asked if bind.startswith(course) and bind.count(":") == 2}
    parts = [PurePosixPath(target).relative_to(ROOT).parts for target in found if target.startswith(f"{ROOT}/")]
    return ["", *sorted({part[1] for part in parts if len(part) > 1 and is_folder_name(part[1])})]


def _shown(source: str, targets: dict[str, set[str]]) -> str:
    return ", ".join(f"{source}:{target}:{mode}" for target, modes in targets.items() for mode in sorted(modes))


def _check_target(bind: str, target: str) -> None:
    path = PurePosixPath(target)
    if str(path) != target or ".." in path.parts or path.parts[:1] != ("/",) or path.parts[1:2] in _KERNELS:
        raise Refused(f"HostConfig.Binds: {bind!r} cannot be mounted there")


_KERNELS: tuple[tuple[str, ...], ...] = ((), ("proc",), ("sys",), ("dev",))


# -- fields

Check = Callable[[str, Any], Any]


class _Fields:
    """The fields of an object, of which `known` may be there.

    Another that says nothing (null, false, 0, "", [], {}) is left out, and is Docker's default then.
    """

    def __init__(self, fields: Any, path: str, known: Iterable[str]) -> None:
        if not isinstance(fields, dict):
            raise Refused(f"{path.rstrip('.') or 'the body'} must be an object")
        self.fields, self.path, self.known = fields, path, set(known)
        for name, value in fields.items():
            if name not in self.known and not _is_empty(value):
                raise Refused(f"{path + name} is not allowed")

    def take(self, name: str, check: Check) -> Any:
        assert name in self.known, name
        return check(self.path + name, self.fields.get(name))

    def keep(self, into: dict[str, Any], name: str, check: Check) -> None:
        """Take a field that need not be there."""
        if not _is_empty(self.fields.get(name)):
            into[name] = self.take(name, check)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (bool, int, float, str, list, dict)) and not value)


def _object(path: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(f"{path} must be an object")
    return value


def _texts(path: str, value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
        raise Refused(f"{path} must be a list of texts")
    return value


def _environment(path: str, value: Any) -> list[str]:
    found = _texts(path, value)
    if wrong := [each for each in found if not re.match(r"[^=\s]+(=|$)", each)]:
        raise Refused(f"{path}: {wrong[0].partition('=')[0]!r} is not the name of a variable")
    return found


def _number(least: int, most: int, how: str = "") -> Check:
    def check(path: str, value: Any) -> int:
        # bool is an int in Python, and 1e3 a float in JSON; Docker wants neither.
        if type(value) is not int or not least <= value <= most:
            raise Refused(f"{path} must be from {least} to {most}, not {value!r}" + (f" ({how})" if how else ""))
        return value

    return check


def _one_of(known: tuple[str, ...], how: str = "") -> Check:
    def check(path: str, value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            wanted = " or ".join(map(repr, known))
            raise Refused(f"{path} must be {wanted}, not {value!r}" + (f": {how}" if how else ""))
        return value

    return check


def _no_capabilities(path: str, value: Any) -> list[str]:
    if value != ["ALL"]:
        raise Refused(f"{path} must be ['ALL'], not {value!r}")
    return ["ALL"]


def _no_new_privileges(path: str, value: Any) -> list[str]:
    found = _texts(path, value)
    if more := [each for each in found if each not in ("no-new-privileges", "no-new-privileges:true")]:
        raise Refused(f"{path}: {more[0]!r} is not allowed")
    if not found:
        raise Refused(f"{path} must have no-new-privileges")
    return ["no-new-privileges"]


def _flag(path: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused(f"{path} must be true or false")
    return value


def _pattern(pattern: re.Pattern[str]) -> Check:
    def check(path: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Refused(f"{path}: {value!r} is not allowed")
        return value

    return check


def _each(check: Check) -> Check:
    return lambda path, value: [check(path, each) for each in _texts(path, value)]


def _exposed(path: str, value: Any) -> dict[str, Any]:
    """Says which port the server listens on. Nothing is published by it."""
    for port in (found := _object(path, value)):
        if not _EXPOSED.fullmatch(port) or found[port]:
            raise Refused(f"{path}: {port!r} is not allowed")
    return found


def _tmpfs(path: str, value: Any) -> dict[str, str]:
    found = _object(path, value)
    for target, options in found.items():
        if target not in _TMPFS:
            raise Refused(f"{path}: {target!r} is not one of {', '.join(_TMPFS)}")
        words = options.split(",") if isinstance(options, str) else []
        if wrong := [word for word in words if not _TMPFS_OPTION.fullmatch(word)]:
            raise Refused(f"{path}: {wrong[0]!r} is not allowed")
        if not any(word.startswith("size=") for word in words):
            raise Refused(f"{path}: {target} must have a size=")
    return found


def _gpus(most: int) -> Check:
    """A number of the server's GPUs, and no device by its name (moby, daemon/nvidia_linux.go)."""

    def check(path: str, value: Any) -> list[dict[str, Any]]:
        if not most:
            raise Refused(f"{path} is not allowed: no course has `gpus`")
        if not isinstance(value, list) or len(value) != 1:
            raise Refused(f"{path} must be one request")
        request = _Fields(value[0], f"{path}.", ("Count", "Capabilities"))
        if request.fields.get("Capabilities") != [["gpu"]]:
            raise Refused(f"{path}.Capabilities must be [['gpu']]")
        return [{"Count": request.take("Count", _number(1, most)), "Capabilities": [["gpu"]]}]

    return check


def _ulimits(path: str, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise Refused(f"{path} must be a list")
    kept = []
    for each in value:
        limit = _Fields(each, f"{path}.", ("Name", "Soft", "Hard"))
        name, hard = limit.take("Name", _one_of(_ULIMITS)), limit.take("Hard", _number(0, _MOST))
        kept.append({"Name": name, "Soft": limit.take("Soft", _number(0, hard)), "Hard": hard})
    return kept


_NEEDED = (
    "Binds", "NetworkMode", "CapDrop", "SecurityOpt", "Memory", "MemorySwap", "PidsLimit", "CpuPeriod", "CpuQuota", "ShmSize",
    "DeviceRequests",
)  # fmt: skip
# Fields that need not be there. Whatever runs in a container may do as it likes there, so commands are free; `User` and
# `Entrypoint` are the image's.
_TOP: dict[str, Check] = {
    "Env": _environment, "Cmd": _texts, "Hostname": _pattern(_HOST), "ExposedPorts": _exposed,
    "AttachStdin": _flag, "AttachStdout": _flag, "AttachStderr": _flag, "Tty": _flag,
    "StopTimeout": _number(1, 600),
}  # fmt: skip
_HOST_CONFIG: dict[str, Check] = {
    "AutoRemove": _flag, "Init": _flag, "ReadonlyRootfs": _flag, "Tmpfs": _tmpfs, "Ulimits": _ulimits,
    "OomScoreAdj": _number(0, 1000), "CpuShares": _number(2, 1024), "MemoryReservation": _number(1, _MOST),
    "Dns": _each(_pattern(_DNS)), "DnsOptions": _each(_pattern(_DNS)), "DnsSearch": _each(_pattern(_DNS)),
}  # fmt: skip
