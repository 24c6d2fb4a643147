"""Which call of Docker's interface a request is; every other is refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

from .. import student_volume, test_student
from .create import LABEL, check_name
from .settings import LOCAL, Refused, Settings

Kind = Literal["about", "image", "create", "container", "containers", "volume"]

# From this version on a container's IPC and cgroup namespaces are its own unless something else is asked for
# (https://docs.docker.com/reference/api/engine/version-history/, v1.40 and v1.41). Debian 12's Docker speaks it.
_LEAST_VERSION = 41
_PATH = re.compile(r"(/v1\.(\d{2,3}))?(/.*)")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_NO = ("False", "false", "0")
_FLAG = ("True", "true", "1", *_NO)
# Method and last part of the path → what may be in the query.
_CONTAINER_CALLS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("GET", "json"): {},
    # The last words of a server that ended at its start.
    ("GET", "logs"): {
        "stdout": _FLAG,
        "stderr": _FLAG,
        "timestamps": _NO,
        "follow": _NO,
        "tail": ("20",),
    },
    ("POST", "start"): {},
    ("POST", "stop"): {"t": ()},
    ("DELETE", ""): {"v": _FLAG, "force": _FLAG, "link": _NO},
}
# The list of students' containers, as docker-py asks for it (APIClient.containers).
STUDENTS = f'{{"label": ["{LABEL}"]}}'
_LIST = {"all": ("1",), "filters": (STUDENTS,), "limit": ("-1",), "size": ("0",), "trunc_cmd": ("0",)}


class DockerCall(NamedTuple):
    """method, path: what Docker is asked, with {name} for a container's. name: of an image or container, or the user
    whose volume goes. starts: it makes a container run, so that one has to be made here."""

    kind: Kind
    method: str
    path: str
    name: str = ""
    starts: bool = False


def parse_call(method: str, target: str, settings: Settings) -> DockerCall:
    """Return what a request is for. Raises Refused."""
    path, _, query = target.partition("?")
    found = _PATH.fullmatch(path)
    if not found or not target.isascii() or len(target) > 2000:
        raise Refused("not a path of Docker's interface")
    version, minor, path = found.groups()
    if method == "GET" and path in ("/_ping", "/version") and not query:
        return DockerCall("about", method, (version or "") + path)
    if not minor or int(minor) < _LEAST_VERSION:
        raise Refused(f"only version 1.{_LEAST_VERSION} of Docker's interface and later ones are understood")
    parts = path.split("/")[1:]
    if parts[0] == "images" and parts[-1] == "json" and method == "GET" and not query:
        name = unquote("/".join(parts[1:-1]))
        if name not in settings.images:
            raise Refused(f'the image {name!r} is not one of {settings.images}: add it to "images" in {LOCAL}')
        return DockerCall("image", method, path=f"{version}/images/{name}/json", name=name)
    if parts == ["containers", "json"] and method == "GET":
        if _query(query, _LIST) == {name: value for name, (value,) in _LIST.items()}:
            return DockerCall(
                "containers", method, f"{version}/containers/json?{urlencode({'all': '1', 'filters': STUDENTS})}"
            )
        raise Refused("the hub does not need this call")
    if parts == ["containers", "create"] and method == "POST":
        name = _query(query, {"name": (), "platform": ("",)}).get("name", "")
        check_name(name)
        return DockerCall("create", method, f"{version}/containers/create?{urlencode({'name': name})}", name)
    if parts[0] == "containers" and len(parts) in (2, 3) and _NAME.fullmatch(parts[1]):
        last = parts[2] if len(parts) == 3 else ""
        if (method, last) in _CONTAINER_CALLS:
            kept = urlencode(_query(query, _CONTAINER_CALLS[method, last]))
            path = f"{version}/containers/{{name}}" + (f"/{last}" if last else "") + (f"?{kept}" if kept else "")
            return DockerCall("container", method, path, parts[1], last == "start")
    if parts[0] == "volumes" and len(parts) == 2 and method == "DELETE" and not query:
        user = student_volume.user_of(parts[1])
        # A student's files are removed by an administrator alone.
        if not test_student.is_one(user) or student_volume.volume(user) != parts[1]:
            raise Refused(f"the volume {parts[1]!r} is not a Test Student's")
        return DockerCall("volume", method, f"{version}/volumes/{parts[1]}", user)
    raise Refused("the hub does not need this call")


def _query(text: str, allowed: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=10):
        if name not in allowed or name in found or (allowed[name] and value not in allowed[name]):
            raise Refused(f"{name}={value[:40]} is not allowed")
        if name == "t" and not re.fullmatch(r"\d{1,3}", value):
            raise Refused("t must be a number of seconds")
        found[name] = value
    return found


def check_container(seen: Any, call: DockerCall, settings: Settings) -> str:
    """Return the id of the container that Docker told of (the answer of /containers/NAME/json), if it is a student's.

    One that ran before this service was there has no label, and may be looked at, stopped and removed. Raises Refused.
    """
    try:
        name, number = seen["Name"].lstrip("/"), seen["Id"]
        network, labels = seen["HostConfig"]["NetworkMode"], seen["Config"]["Labels"] or {}
    except (KeyError, TypeError, AttributeError) as error:
        raise Refused(f"Docker's answer is not understood: {error!r}") from error
    check_name(name)
    if network != settings.network or not re.fullmatch("[0-9a-f]{64}", number):
        raise Refused(f"{name} is not a student's container: it is in the network {network!r}")
    if call.starts and LABEL not in labels:
        raise Refused(f"{name} was not made through this service")
    return str(number)
