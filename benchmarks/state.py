"""The state that the runbooks brought a server to, as pyinfra and Ansible are to bring it about too.

The labels of the resources say what there is, so that what the runbooks come to hold is compared without a change here;
contents, modes and owners are read from the server once. Secrets stay there: their files are compared by mode and owner.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubrun.desired.server import Server

_DAEMON = "/etc/docker/daemon.json"
_SPLIT = re.compile(r", ")


@dataclass
class Wanted:
    """What is named by labels. left_out: labels that the other tools are spared, which is in their favour."""

    packages: list[str] = field(default_factory=list)
    no_packages: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)  # secrets: mode and owner only
    folders: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    venvs: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def wanted(labels: list[str]) -> Wanted:
    """Sort the labels of resources (`Result.label`). Pure."""
    result = Wanted()
    for label in labels:
        match label.split(" "):
            case ["packages", *_]:
                result.packages += _SPLIT.split(label.removeprefix("packages "))
            case ["no", "packages", *_]:
                result.no_packages += _SPLIT.split(label.removeprefix("no packages "))
            case ["user", name]:
                result.users.append(name)
            case ["file", path]:
                result.files.append(path)
            case ["Docker", "settings", *_]:
                result.files.append(_DAEMON)
            case ["node", "packages", path]:
                result.files.append(f"{path}/package-lock.json")
            case ["secrets", path]:
                result.closed.append(path)
            case ["directory", path]:
                result.folders.append(path)
            case ["no", path] if path.startswith("/"):
                result.absent.append(path)
            case ["service", name]:
                result.units.append(name if "." in name else f"{name}.service")
            case ["virtual", "environment", path]:
                result.venvs.append(path)
            case ["Docker", "network", name]:
                result.networks.append(name)
            case ["image", name]:
                result.images.append(name)
            case _:
                result.left_out.append(label)
    for name, values in vars(result).items():
        setattr(result, name, list(dict.fromkeys(values)))
    return result


def fetch(server: Server, labels: list[str], folder: Path) -> dict[str, Any]:
    """The state as plain data; contents of files go into `folder`, named by number. Raises CommandFailed."""
    named = wanted(labels)
    files = []
    absent = list(named.absent)
    for number, path in enumerate(named.files):
        if server.run("test -e {}", path, check=False).exit_code:  # WhenFileHas: changed only where it is there
            absent.append(path)
            continue
        text = server.run("base64 -w0 {}", path).stdout
        (folder / f"{number}.file").write_bytes(base64.b64decode(text))
        files.append({"src": str(folder / f"{number}.file"), **_place(server, path)})
    return {
        "packages": named.packages,
        "no_packages": named.no_packages,
        "users": [_user(server, name) for name in named.users],
        "files": files,
        "closed": [_place(server, path) for path in named.closed],
        "folders": [_place(server, path) for path in named.folders],
        "absent": absent,
        "units": [_unit(server, name) for name in named.units],
        "venvs": [
            {"path": path, "packages": server.run("{}/bin/python -m pip freeze", path).stdout.splitlines()}
            for path in named.venvs
        ],
        "networks": [_network(server, name) for name in named.networks],
        "images": [
            {"name": name, "id": _line(server, "docker image inspect --format {} {}", "{{.Id}}", name)}
            for name in named.images
        ],
        "left_out": named.left_out,
    }


def _line(server: Server, template: str, *args: object) -> str:
    return server.run(template, *args).stdout.strip()


def _place(server: Server, path: str) -> dict[str, str]:
    mode, owner, group = _line(server, "stat -Lc '%a %U %G' {}", path).split()
    return {"path": path, "mode": mode.zfill(4), "owner": owner, "group": group}


def _user(server: Server, name: str) -> dict[str, Any]:
    *_, home, shell = _line(server, "getent passwd {}", name).split(":")
    primary, *others = _line(server, "id -gn {} && id -Gn {}", name, name).split()
    return {"name": name, "home": home, "shell": shell, "groups": [group for group in others if group != primary]}


def _unit(server: Server, name: str) -> dict[str, Any]:
    seen = server.run("systemctl is-active {}; systemctl is-enabled {}", name, name, check=False)
    active, enabled = seen.stdout.split()[:2]
    # Others, such as "static", are neither (systemctl(1), is-enabled): None is left as it is.
    at_boot = {"enabled": True, "disabled": False}.get(enabled)
    return {"name": name, "running": active == "active", "enabled": at_boot}


def _network(server: Server, name: str) -> dict[str, str]:
    shown = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}"
    subnet, gateway = _line(server, "docker network inspect --format {} {}", shown, name).split()
    return {"name": name, "subnet": subnet, "gateway": gateway}


def keep(data: dict[str, Any], folder: Path) -> Path:
    """Write the state where pyinfra and Ansible read it."""
    path = folder / "state.json"
    path.write_text(json.dumps(data, indent=1))
    return path
