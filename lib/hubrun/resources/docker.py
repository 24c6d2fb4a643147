"""Docker: settings of the daemon, networks, and images built on the server."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.files import File
from hubrun.shell import quote
from hubrun.tarball import packed

DAEMON_JSON = "/etc/docker/daemon.json"
# --validate is there since Docker 23; the older engine says at its restart what is wrong.
VALID = f"! dockerd --help | grep -q -- --validate || dockerd --validate --config-file {DAEMON_JSON}"
# A restart ends all containers, unless live-restore is on already, which a reload does (docs.docker.com, "Live restore").
_RESTARTED = f"""
{{ {VALID}; }} || exit 1
! systemctl reload docker.service 2> /dev/null || sleep 1
systemctl reset-failed docker.service 2> /dev/null || true
systemctl restart docker.service && sleep 1 && docker version > /dev/null && exit 0
journalctl -u docker.service _COMM=dockerd -n 3 --no-pager -o cat
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
# The label that says from which inputs an image was built.
CONTEXT_LABEL = "hubrun.context"
# The label that says on which image it was built: the name, and the digest that the registry had for it.
BASE_LABEL = "hubrun.base"
# A tag may come to mean another image. Who builds again then gets it only by asking for it.
_BASE = f"""base={{}}
docker image inspect "$base" > /dev/null 2>&1 || docker pull -q "$base" > /dev/null
digest=$(docker image inspect --format '{{{{if .RepoDigests}}}}{{{{index .RepoDigests 0}}}}{{{{end}}}}' "$base")
before=$(docker image inspect --format '{{{{index .Config.Labels "{BASE_LABEL}"}}}}' {{}} 2> /dev/null || true)
if test -n "$digest" && test "${{before%% *}}" = "$base" && test "$before" != "$base $digest"; then
    echo "$base is another image now: ${{before#* }} was built on, the registry has $digest."
    echo "To take the new one, set base_image: $base@${{digest##*@}}"
    exit 1
fi
"""
_UNPACK = """folder={}
rm -rf "$folder"
install -d -m 0755 "$folder"
tar -xf - -C "$folder"
cd "$folder"
export BUILDKIT_PROGRESS=plain
"""
# The builder before BuildKit leaves the container of a step that failed, and the layers before it without a name. And an
# image that another takes the place of stays, as long as nobody removes it or a container still uses it.
_BUILD = """
unnamed() { docker images -q --no-trunc -f dangling=true | sort -u; }
before=$(unnamed)
{build} || {
    code=$?
    unnamed | grep -vxF -e "$before" | xargs -r docker image rm > /dev/null 2>&1 || true
    exit "$code"
}
docker image prune -f --filter label={label} > /dev/null
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
class Network(Resource):
    """A bridge network whose containers reach the server and the outside, and not one another (enable_icc=false)."""

    name: str
    subnet: str
    gateway: str

    label_format = "Docker network {name}"
    event = "network:{name}"

    @override
    def probe(self) -> str:
        return quote(
            "docker network inspect {} --format '{{range .IPAM.Config}}subnet={{.Subnet}}\ngateway={{.Gateway}}\n{{end}}"
            'icc={{index .Options "com.docker.network.bridge.enable_icc"}}\nused={{len .Containers}}\' && exit 0\n'
            "command -v docker > /dev/null && ! docker version > /dev/null && echo engine=silent",
            self.name,
        )

    @property
    def _wanted(self) -> dict[str, str]:
        return {"subnet": self.subnet, "gateway": self.gateway, "icc": "false"}

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
        create = quote(
            "docker network create --driver bridge --subnet {} --gateway {} -o com.docker.network.bridge.enable_icc=false {}",
            self.subnet, self.gateway, self.name,
        )  # fmt: skip
        if "subnet" not in now:
            return [Action(f"create the network {self.name} ({self.subnet})", create)]
        # A network cannot be changed, and not removed while containers are in it: then Docker says so, and nothing is lost.
        remove = quote("docker network rm {}", self.name)
        return [Action(f"make the network {self.name} again ({self.subnet})", f"{remove}\n{create}")]


@dataclass(frozen=True)
class Image(Resource):
    """An image built on the server from `context` (path → content), rebuilt only when its inputs change.

    base: what it is built on; kept, with its digest, as a label of the image. folder: where the context is kept on the
    server. environment: what its commands have in their environment of the proxy; no input, and not kept in the image
    (docs.docker.com, "Predefined ARGs"). proof: the file on the server that says of the image before that it starts
    (started_once.py); it goes.
    """

    name: str
    context: Mapping[str, bytes]
    build_args: Mapping[str, str]
    base: str
    folder: str = "/srv/jupyterhub/image"
    environment: Mapping[str, str] = field(default_factory=dict)
    proof: str = ""

    label_format = "image {name}"
    event = "{proof}"

    @property
    def digest(self) -> str:
        """The SHA-256 of all inputs, which is kept as another label. The base image counts by its name."""
        digest = hashlib.sha256()
        inputs = {**self.context, **{f"--{name}": value.encode() for name, value in self.build_args.items()}}
        for name, content in sorted(inputs.items()):
            # Lengths, so that no two different sets of inputs read the same.
            digest.update(f"{len(name)} {name} {len(content)} ".encode() + content)
        return digest.hexdigest()

    @override
    def probe(self) -> str:
        return quote(
            f"""docker image inspect {{}} --format 'digest={{{{index .Config.Labels "{CONTEXT_LABEL}"}}}}'""", self.name
        )

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if now.get("digest") == self.digest:
            return []
        arguments = [
            word
            for name, value in {**self.build_args, **self.environment}.items()
            for word in ("--build-arg", f"{name}={value}")
        ]
        build = quote(
            "docker build --label {} {} -t {} .", f"{CONTEXT_LABEL}={self.digest}", arguments, self.name,
        )  # fmt: skip
        options = f'docker build --label "{BASE_LABEL}=$base $digest" --force-rm '
        labelled = build.replace("docker build ", options, 1)
        script = quote(_UNPACK, self.folder) + quote(_BASE, self.base, self.name)
        script += _BUILD.replace("{build}", labelled).replace("{label}", CONTEXT_LABEL)
        script += quote("rm -f {}\n", self.proof)
        why = (
            "its inputs changed; servers get it when they start the next time"
            if now.get("digest")
            else "another image has its name"
            if now
            else "it is not there"
        )
        return [Action(f"build {self.name} ({why})", script, build, packed(self.context), seconds=3600)]
