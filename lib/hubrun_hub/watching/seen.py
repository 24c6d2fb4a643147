"""Looks at everything that `judge` judges, in about a second. Changes nothing; run by root.

Each part is looked at by itself, and all at once: one that hangs or fails is named in `unread`, and keeps nothing back from
the others.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hubrun_hub import student_volume
from hubrun_hub.docker_command import environment
from hubrun_hub.docker_filter import settings
from hubrun_hub.docker_filter.create import LABEL
from hubrun_hub.nodes import drained, links, nodes_file
from hubrun_hub.nodes.nodes_file import MANAGER, BadNodes
from hubrun_hub.watching import former_secrets, kept, load, starts, updates, usage

UNITS = (
    "jupyterhub.service",
    "jupyterhub-proxy.service",
    "nginx.service",
    "docker.service",
    "hubrun-docker-filter.service",
)
DATABASE = Path("/var/lib/jupyterhub/jupyterhub.sqlite")
_FOLDERS = ("/", "/var/lib/docker", "/var/lib/jupyterhub", "/srv", "/srv/jupyterhub/homes")
_HEALTH = "http://127.0.0.1:8000/hub/health"
# A hub or a Docker that is busy answers later than one that is well; who asks has not much longer.
_ANSWER_S = 8
_STARTS = 60


def look(domain: str) -> dict[str, Any]:
    """What there is to see of the site `domain`, as plain data; the module's functions say what each part is.

    A part is missing where `unread` names it, with the reason.
    """
    parts: dict[str, Callable[[], Any]] = {
        "units": units, "hub": hub, "certificate": lambda: certificate(domain), "disks": disks, "memory": memory,
        "docker": docker, "nodes": nodes, "starts": last_starts, "updates": updates.state, "backup": lambda: kept.read("backup"),
        "alarms": lambda: kept.read("alarms"), "usage": lambda: kept.read("usage"), "load": load.state,
        "former_secrets": lambda: former_secrets.state(time.time(), _ANSWER_S),
    }  # fmt: skip
    found: dict[str, Any] = {"at": time.time(), "domain": domain, "host": socket.gethostname(), "unread": {}}
    with ThreadPoolExecutor(len(parts)) as pool:
        for name, part in {name: pool.submit(part) for name, part in parts.items()}.items():
            try:
                found[name] = part.result()
            except (
                OSError,
                ValueError,
                LookupError,
                TypeError,
                subprocess.SubprocessError,
                settings.Refused,
                BadNodes,
            ) as error:
                found["unread"][name] = _why(error)
    # Whoever works on a node counts as everybody else does; what each takes there is not known here.
    on_nodes = [server for node in found.get("nodes", []) for server in node["servers"]]
    try:
        courses = usage.members(DATABASE)
    except (sqlite3.Error, ValueError, OSError) as error:
        courses = {}
        found["unread"]["courses"] = str(error)
    found["shares"] = usage.shares(
        found.get("usage") or {}, courses, [*found.get("docker", {}).get("servers", []), *on_nodes]
    )
    found["measured"] = (found.pop("usage", None) or {}).get("at")
    return found


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return (error.stderr or "").strip()[-300:] or f"{error.cmd[0]} ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{error.cmd[0]} did not answer within {_ANSWER_S} s"
    return str(error)[:300] or type(error).__name__


def _run(*command: str, data: bytes = b"", fails: str = "", node: str = MANAGER) -> str:
    """What the command prints. fails: what it says, in lower case, when it fails for a reason that is none to us. node: whose
    Docker it asks."""
    done = subprocess.run(
        command, input=data, capture_output=True, check=False, timeout=_ANSWER_S, env=environment(node)
    )
    said, wrong = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode and not (fails and fails in wrong.lower()):
        raise subprocess.CalledProcessError(done.returncode, command, said, wrong)
    return said


def units() -> dict[str, str]:
    """Unit → its state, as systemd says it: active, failed, …; "missing" for one that is not there."""
    found = {}
    for block in _run("systemctl", "show", *UNITS, "-p", "Id,LoadState,ActiveState").split("\n\n"):
        says = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        found[says["Id"]] = "missing" if says["LoadState"] == "not-found" else says["ActiveState"]
    return found


def hub() -> dict[str, Any]:
    """answers: whether it does, through its proxy; problem: what it says that is wrong (lti/health.py)."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(_HEALTH, timeout=_ANSWER_S).close()
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode(errors="replace").strip()
        # The proxy's own 503, for when the hub is away, is a page.
        plain = error.code == 503 and error.headers.get_content_type() == "text/plain"
        return {"answers": plain, "problem": said if plain else f"its address answers with {error.code}"}
    except (OSError, http.client.HTTPException) as error:
        return {"answers": False, "problem": str(getattr(error, "reason", None) or error or type(error).__name__)}
    return {"answers": True, "problem": ""}


def certificate(domain: str) -> dict[str, Any]:
    """until: when the certificate ends that nginx shows for `domain`, in seconds since 1970; problem: why there is none."""
    # Whose it is and who signed it, browsers judge, and 06_verify.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", 443), _ANSWER_S) as plain,
            context.wrap_socket(plain, server_hostname=domain) as tls,
        ):
            shown = tls.getpeercert(binary_form=True) or b""
    except OSError as error:
        return {"until": None, "problem": f"nginx shows none: {error}"}
    says = _run("openssl", "x509", "-inform", "DER", "-noout", "-enddate", data=shown)
    return {"until": ssl.cert_time_to_seconds(says.strip().partition("=")[2]), "problem": ""}


def disks() -> list[dict[str, Any]]:
    """The file systems that the site is on: size_mb, left_mb (to all but root), and what is used of space and of files in %."""
    found: dict[int, dict[str, Any]] = {}
    for folder in _FOLDERS:
        if not os.path.isdir(folder) or (device := os.stat(folder).st_dev) in found:
            continue
        room = os.statvfs(folder)
        used, files = room.f_blocks - room.f_bfree, room.f_files - room.f_ffree
        found[device] = {
            "path": folder, "size_mb": room.f_blocks * room.f_frsize >> 20, "left_mb": room.f_bavail * room.f_frsize >> 20,
            # As df(1) counts it: without root's reserve.
            "used": round(100 * used / max(used + room.f_bavail, 1)),
            # btrfs has no number of files, and says 0 of 0.
            "files_used": round(100 * files / room.f_files) if room.f_files else 0,
        }  # fmt: skip
    return list(found.values())


def memory() -> dict[str, int]:
    """total_mb and available_mb of the machine, and of its swap swap_mb and swap_left_mb (proc(5), meminfo)."""
    says = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    names = {"total_mb": "MemTotal", "available_mb": "MemAvailable", "swap_mb": "SwapTotal", "swap_left_mb": "SwapFree"}
    return {name: int(says[key].split()[0]) >> 10 for name, key in names.items()}


def docker() -> dict[str, Any]:
    """live_restore, swarm: as Docker says them; image: the students', with its id ("" where it is missing); servers: theirs.

    A server has `id`, `user`, `image` (its id), `image_name`, `memory_mb` and `cpu_s` (seconds of a processor since its start; each
    None where it is not known), `limit_mb` and `since` (RFC 3339).
    """
    # Where the engine does not answer, this says so; `docker info` does not.
    told = _containers(MANAGER)
    live, swarm = _run("docker", "info", "-f", "{{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}}").split()
    name = settings.load().images[0]
    image = _run("docker", "image", "inspect", "-f", "{{.Id}}", name, fails="no such image").strip()
    return {
        "live_restore": live == "true", "swarm": swarm == "active", "image": name, "image_id": image,
        "servers": [server for each in told if (server := _server(each, MANAGER))],
    }  # fmt: skip


def nodes() -> list[dict[str, Any]]:
    """Each node: name, alive (whether its connection is), drained, what it says of itself (`links.Link`; None where it never did),
    and its servers, as in `docker`, without what they take; docker: why its Docker does not tell of them."""
    off, known = drained.read(), nodes_file.read().nodes
    with ThreadPoolExecutor(max(len(known), 1)) as pool:
        return list(pool.map(lambda node: _node(node.name, node.name in off), known))


def _node(name: str, is_drained: bool) -> dict[str, Any]:
    said = links.read(name)
    found: dict[str, Any] = {
        "name": name, "alive": links.is_alive(said, time.time()), "drained": is_drained, "docker": "", "servers": [],
        "said": said._asdict() if said else None,
    }  # fmt: skip
    if found["alive"]:
        try:
            found["servers"] = [server for each in _containers(name) if (server := _server(each, name))]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, subprocess.SubprocessError) as error:
            # Also where it says what makes no sense: of the other nodes all is told.
            found["docker"] = _why(error)
    return found


def _containers(node: str) -> list[dict[str, Any]]:
    """What `docker inspect` says of those that run there."""
    ids = _run("docker", "ps", "-q", "--no-trunc", "--filter", "name=^/?jupyter-", node=node).split()
    # One of them may end meanwhile: the others are told all the same.
    return list(json.loads(_run("docker", "inspect", *ids, fails="no such object", node=node))) if ids else []


def _server(container: dict[str, Any], node: str) -> dict[str, Any] | None:
    # A container of before there was a label, and one on a node, whose volume has no name.
    names = (student_volume.user_of(mount.get("Name", "")) for mount in container["Mounts"])
    user = next(filter(None, [*names, (container["Config"].get("Labels") or {}).get(LABEL, "")]), "")
    if not user:
        return None
    groups = _groups(int(container["State"]["Pid"])) if node == MANAGER else {}
    return {
        "id": container["Id"][:12], "user": user, "image": container["Image"], "image_name": container["Config"]["Image"],
        "memory_mb": _memory_mb(groups), "cpu_s": _cpu_s(groups),
        "limit_mb": int(container["HostConfig"]["Memory"]) >> 20, "since": container["State"]["StartedAt"],
    }  # fmt: skip


def _groups(pid: int) -> dict[str, Path]:
    """Kind of control group → folder of the one that the process is in; "" is the one for all kinds: cgroups(7)."""
    try:
        lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    except OSError:  # it ended meanwhile
        return {}
    return {kind: Path(f"/sys/fs/cgroup/{names}{path}") for _, names, path in lines for kind in names.split(",")}


def _memory_mb(groups: dict[str, Path]) -> int | None:
    """What the group takes, without files that the kernel can drop: as `docker stats` counts it."""
    places = (("", "memory.current", "inactive_file"), ("memory", "memory.usage_in_bytes", "total_inactive_file"))
    for kind, file, dropped in places:
        try:
            folder = groups[kind]
            rows = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return (int((folder / file).read_text()) - int(rows.get(dropped, 0))) >> 20
        except (KeyError, OSError, ValueError):  # of the other kind, or it ended meanwhile
            continue
    return None


def _cpu_s(groups: dict[str, Path]) -> float | None:
    """Seconds of a processor that the group has used."""
    try:
        if "cpuacct" in groups:
            return int((groups["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
        rows = dict(line.split() for line in (groups[""] / "cpu.stat").read_text().splitlines())
        return int(rows["usage_usec"]) / 1e6
    except (KeyError, OSError, ValueError):  # it ended meanwhile
        return None


def last_starts() -> list[dict[str, Any]]:
    """The last starts of the last day (`starts.Start`), the newest last."""
    command = (
        "journalctl",
        "-u",
        "jupyterhub",
        "--since",
        "-24h",
        "-r",
        "-n",
        str(_STARTS),
        "-o",
        "short-unix",
        "--no-pager",
        "-q",
    )
    done = subprocess.run((*command, "-g", starts.GREP), capture_output=True, timeout=_ANSWER_S)
    # It ends with 1 where nothing was found, and says nothing.
    if done.returncode and done.stderr.strip():
        raise OSError(done.stderr.decode(errors="replace").strip())
    lines = reversed(done.stdout.decode(errors="replace").splitlines())
    return [each._asdict() for each in starts.starts(lines)]
