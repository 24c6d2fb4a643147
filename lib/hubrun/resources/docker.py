"""Docker: settings of the daemon, and networks."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts, unified
from hubrun.resources.files import File
from hubrun.shell import quote

DAEMON_JSON = "/etc/docker/daemon.json"
# --validate is there since Docker 23; the older engine says at its restart what is wrong.
VALID = f"! dockerd --help | grep -q -- --validate || dockerd --validate --config-file {DAEMON_JSON}"
# A restart ends all containers, unless live-restore is on already, which a reload does (docs.docker.com, "Live restore").
_RESTARTED = f"""
{{ {VALID}; }} || exit 1
! systemctl reload docker.service 2> /dev/null || sleep 1
systemctl reset-failed docker.service 2> /dev/null || true
systemctl restart docker.service && sleep 1 && docker version > /dev/null && exit 0
# Of a process that ends at once the journal may learn neither its unit nor _COMM (systemd#2913).
journalctl --sync 2> /dev/null || true
journalctl -t dockerd -n 3 --no-pager -o cat
exit 1
"""
# With the settings of before.
_RUNS_AGAIN = """systemctl is-active -q docker.service || {
    systemctl reset-failed docker.service || true
    systemctl restart docker.service || true
} > /dev/null 2>&1"""
# Of a member of a Swarm, also while it does not run (moby, daemon/cluster: docker-state.json).
_SWARM = """
case $(docker info --format '{{.Swarm.LocalNodeState}}' 2> /dev/null) in
    inactive) ;; ?*) echo swarm=yes;; *) [ ! -e /var/lib/docker/swarm/docker-state.json ] || echo swarm=yes;;
esac
"""


@dataclass(frozen=True)
class DaemonSettings(Resource):
    """Settings in /etc/docker/daemon.json, and Docker running with them; else both are as they were. Other settings stay.

    A member of a Swarm does without live-restore, with which Docker would not start there (moby, daemon/config:
    "incompatible with swarm mode").
    """

    settings: tuple[tuple[str, Any], ...]

    @property
    @override
    def label(self) -> str:
        return f"Docker settings {', '.join(name for name, _ in self.settings)}"

    @override
    def probe(self) -> str:
        return self._file("").probe() + _SWARM

    event = DAEMON_JSON

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        old = base64.b64decode(now.get("text", "")).decode() or "{}"
        try:
            present = json.loads(old)
        except ValueError:
            present = None
        if not isinstance(present, dict):
            # Not ours to throw away; dockerd would not start with it either.
            return [Action(f"read {DAEMON_JSON}", f"echo '{DAEMON_JSON} is not valid JSON of settings'; exit 1")]
        wanted = present | dict(self.settings)
        if swarm := now.get("swarm") == "yes":
            wanted.pop("live-restore", None)
        if wanted == present:
            return []
        return [
            replace(
                action, title=action.title + (" (without live-restore: this server is in a Swarm)" if swarm else ""),
                seconds=300, writes=("service:docker.service",),
            )
            for action in self._file(json.dumps(wanted, indent=2) + "\n").plan(found.replace("swarm=yes", ""))
        ]  # fmt: skip

    def _file(self, content: str) -> File:
        return File(DAEMON_JSON, content, check=_RESTARTED, undone=_RUNS_AGAIN)


@dataclass(frozen=True)
class DaemonSettingsBefore(Resource):
    """These keys of /etc/docker/daemon.json as the file `before` notes them (resources/before.py): other settings stay.

    Without a note, or any setting, there is no such file.
    """

    names: tuple[str, ...]
    before: str

    label_format = "Docker settings as they were before"

    @override
    def probe(self) -> str:
        return quote("base64 -w0 {} 2> /dev/null | sed 's/^/now=/;s/$/\\n/'\n", DAEMON_JSON) + quote(
            "sed -n 's/^daemon.json /was=/p' {} 2> /dev/null || true", self.before
        )

    @override
    def plan(self, found: str) -> list[Action]:
        texts = {name: base64.b64decode(text) for name, text in facts(found).items()}
        now, was = (json.loads(texts.get(name) or b"{}") for name in ("now", "was"))
        wanted = {name: value for name, value in now.items() if name not in self.names}
        wanted |= {name: was[name] for name in self.names if name in was}
        if wanted == now or not now:
            return []
        write = f"cat > {DAEMON_JSON}" if wanted else f"rm -f {DAEMON_JSON}"
        text = json.dumps(wanted, indent=2) + "\n"
        diff = unified(DAEMON_JSON, texts["now"].decode(), text if wanted else "")
        again = "\nsystemctl reload docker.service 2> /dev/null || true"
        return [
            Action(f"{'write' if wanted else 'remove'} {DAEMON_JSON}", write + again, data=text.encode(), diff=diff)
        ]


@dataclass(frozen=True)
class Network(Resource):
    """A bridge network whose containers reach the server and the outside, and not one another (enable_icc=false).

    routed_by: an interface of the server by which packets come to containers, and go from them, with the addresses that they
    have; then no address of this network is masqueraded, and what leaves for elsewhere is for somebody else to masquerade.
    """

    name: str
    subnet: str
    gateway: str
    routed_by: str = ""

    label_format = "Docker network {name}"
    event = "network:{name}"

    @override
    def probe(self) -> str:
        return quote(
            "docker network inspect {} --format '{{range .IPAM.Config}}subnet={{.Subnet}}\ngateway={{.Gateway}}\n{{end}}"
            'icc={{index .Options "com.docker.network.bridge.enable_icc"}}\nused={{len .Containers}}\n'
            'trusts={{index .Options "com.docker.network.bridge.trusted_host_interfaces"}}\' && exit 0\n'
            "command -v docker > /dev/null && ! docker version > /dev/null && echo engine=silent",
            self.name,
        )

    @property
    def _wanted(self) -> dict[str, str]:
        routed = {"trusts": self.routed_by} if self.routed_by else {}
        return {"subnet": self.subnet, "gateway": self.gateway, "icc": "false", **routed}

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        made = f"network:{self.name}" in written
        return "\n".join(f"{name}={value}" for name, value in self._wanted.items()) if made else found

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        # An engine that does not run keeps its networks: there is nothing to say of this one before it does.
        if {name: now.get(name) for name in self._wanted} == self._wanted or now.get("engine") == "silent":
            return []
        bridge = "com.docker.network.bridge"
        # Docker 28.2 and later let nobody else reach a container directly (its release notes); those before know no such word.
        routed = [f"{bridge}.enable_ip_masquerade=false", f"{bridge}.trusted_host_interfaces={self.routed_by}"]
        options = [f"{bridge}.enable_icc=false", *(routed if self.routed_by else [])]
        create = quote(
            "docker network create --driver bridge --subnet {} --gateway {} {} {}",
            self.subnet, self.gateway, [word for each in options for word in ("-o", each)], self.name,
        )  # fmt: skip
        if "subnet" not in now:
            return [Action(f"create the network {self.name} ({self.subnet})", create)]
        # A network cannot be changed, and not removed while containers are in it: then Docker says so, and nothing is lost.
        remove = quote("docker network rm {}", self.name)
        return [Action(f"make the network {self.name} again ({self.subnet})", f"{remove}\n{create}")]
