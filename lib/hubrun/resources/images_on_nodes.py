"""Images of the site's server, on its nodes too: sent through the connections to their Docker engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.resources.image import ID_LENGTH, KEEPER
from hubrun.shell import quote

# What an image is made of: engines that keep images in another way have another id for the same one.
_IS = "docker image inspect -f '{{json .RootFS.Layers}} {{index .Config.Labels \"hubrun.context\"}}'"
_PROBE = f"""
for image in {{}}; do echo "here $image $({_IS} "$image" 2> /dev/null | sha256sum | cut -c 1-32)"; done
none=$(printf '' | sha256sum | cut -c 1-32)
for node in {{}}; do
    name=${{node%%=*}}
    ( export DOCKER_HOST=unix://${{node#*=}}
    docker version > /dev/null 2>&1 || {{ echo "away $name"; exit; }}
    echo "held $name $(docker container inspect -f '{{{{.State.Running}}}} {{{{.Config.Image}}}}' {{}} 2> /dev/null)"
    for image in {{}}; do
        is=$({_IS} "$image" 2> /dev/null | sha256sum | cut -c 1-32)
        [ "$is" = "$none" ] || echo "there $name $image $is"
    done ) &
done
wait
"""
# All nodes at once; each line of progress names its node. An engine answers `load` at the end.
_SEND = """
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
size=$(docker image inspect -f '{{.Size}}' {images} | awk '{sum += $1} END {print int(sum / 1048576)}')
for node in {nodes}; do
    name=${node%%=*} at=unix://${node#*=}
    (
        trap 'echo > "$folder/$name.done"' EXIT
        docker save {images} | DOCKER_HOST=$at docker load > "$folder/$name.said" 2>&1 || { echo 1 > "$folder/$name.failed"; exit; }
        export DOCKER_HOST=$at
        {each}
    ) 2>> "$folder/$name.said" &
done
began=$(date +%s) said=0
while [ "$(ls "$folder" | grep -c '[.]done$')" -lt {count} ]; do
    waited=$(($(date +%s) - began))
    [ $((waited / 5)) = "$said" ] || { said=$((waited / 5)); echo "about $size MB to each, $waited s"; }
    sleep 0.2
done
wait
failed=
for file in "$folder"/*.failed; do
    [ -e "$file" ] || continue
    name=$(basename "$file" .failed)
    echo "error: $name: $(tail -n 1 "$folder/$name.said")"
    failed=yes
done
[ -z "$failed" ]
"""
_NAME = """
docker tag {wanted} {name} || { echo 1 > "$folder/$name.failed"; exit; }
docker image ls --format '{{.Tag}}' {repository} | grep -xE '[0-9a-f]{ID}' | while read -r tag; do
    [ {repository}:"$tag" = {wanted} ] || docker image rm {repository}:"$tag" > /dev/null 2>&1 || true
done
""".replace("{ID}", f"{{{ID_LENGTH}}}")
# As the server itself holds it: `docker system prune -a` removes no image that a container runs on.
_HOLD = f"""
docker rm -f {KEEPER} > /dev/null 2>&1 || true
docker run -d --name {KEEPER} --restart unless-stopped --network none --read-only --memory 16m --stop-signal KILL \\
    --log-driver none --entrypoint sleep {{}} infinity > /dev/null || {{ echo 1 > "$folder/$name.failed"; exit; }}
"""


@dataclass(frozen=True)
class ImagesOnNodes(Resource):
    """On each node the images with which servers start: images (name → REPOSITORY:ID, the site's own first).

    sockets: node → the socket of its Docker on the server. The node gets what it lacks, and other images of these
    repositories go, but for those that servers run on.
    """

    images: Mapping[str, str]
    sockets: Mapping[str, str] = field(default_factory=dict)

    @property
    @override
    def label(self) -> str:
        return f"images on {', '.join(self.sockets)}"

    @override
    def probe(self) -> str:
        return quote(
            _PROBE,
            list(self.images.values()),
            self._nodes(list(self.sockets)),
            KEEPER,
            list(dict.fromkeys([*self.images.values(), *self.images])),
        )

    @override
    def plan(self, found: str) -> list[Action]:
        lines = [line.split() for line in found.splitlines()]
        here = {words[1]: words[2] for words in lines if len(words) == 3 and words[0] == "here"}
        there = {(words[1], words[2]): words[3] for words in lines if len(words) == 4 and words[0] == "there"}
        held = {words[1]: words[2:] for words in lines if len(words) >= 2 and words[0] == "held"}
        away = [words[1] for words in lines if len(words) == 2 and words[0] == "away"]
        first = next(iter(self.images.values()))
        behind = [
            name
            for name in self.sockets
            if name in away
            or held.get(name) != ["true", first]
            or any(
                there.get((name, image)) != here.get(wanted)
                for tag, wanted in self.images.items()
                for image in (tag, wanted)
            )
        ]
        if not behind:
            return []
        note = f" ({', '.join(away)} must answer first)" if away else ""
        shown = quote("docker save {} | DOCKER_HOST=unix://NODE docker load", list(self.images.values()))
        return [Action(f"send the images to {', '.join(behind)}{note}", self._send(behind), shown, seconds=7200)]

    def _nodes(self, names: list[str]) -> list[str]:
        return [f"{name}={self.sockets[name]}" for name in names]

    def _send(self, names: list[str]) -> str:
        each = "".join(
            _NAME.replace("{wanted}", quote("{}", wanted)).replace("{name}", quote("{}", name)).replace("{repository}", quote("{}", wanted.rpartition(":")[0]))
            for name, wanted in self.images.items()
        )  # fmt: skip
        each += quote(_HOLD, next(iter(self.images.values())))
        return (
            _SEND.replace("{images}", quote("{}", list(self.images.values())))
            .replace("{nodes}", quote("{}", self._nodes(names)))
            .replace("{count}", str(len(names)))
            .replace("{each}", each)
        )
