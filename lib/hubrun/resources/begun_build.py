"""The build of an image that begins in the background, so that what needs no image goes on beside it."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.image import BUILDS_SECONDS, Image
from hubrun.server_paths import BUILDS
from hubrun.shell import exports, quote
from hubrun.tarball import packed

# A unit, because it outlives the login; systemd forgets it when it ends, however it ends (systemd-run(1), --collect).
# What it runs stands in files that only root reads. It has the home and the path of a login: `docker login` counts.
_BEGIN = """folder={}
install -d -m 0700 {} "$folder"
cat > "$folder/context"
printf %s {} > "$folder/build"
printf %s {} > "$folder/ended"
printf %s {} > "$folder/tag"
: > "$folder/log"
systemd-run -q --collect --unit={} --description={} --setenv=HOME="${HOME:-/root}" --setenv=PATH="$PATH" -p RuntimeMaxSec={} \\
    -p "ExecStopPost=/bin/sh $folder/ended" /bin/sh -eu "$folder/build"
"""
_BUILD = """exec < {}/context > {}/log 2>&1
cd /
echo "It began in the background, at $(date -u +%H:%M:%S) UTC."
"""
_BUILT = """
echo "It ended well in the background, at $(date -u +%H:%M:%S) UTC."
"""
# systemd.exec(5), "$SERVICE_RESULT": also of one that was killed.
_ENDED = """[ "$SERVICE_RESULT" = success ] || touch {}/failed
"""
_END = """for unit in {}; do
    folder={}/$unit
    systemctl stop "$unit" 2> /dev/null || true
    [ ! -s "$folder/tag" ] || docker image rm "$(cat "$folder/tag")" > /dev/null 2>&1 || true
    rm -rf "$folder"
done
"""


@dataclass(frozen=True)
class BegunBuild(Resource):
    """The build of `image`, which has no predecessor, has begun; Image waits for it, and takes over what became of it.

    An image that takes another's place is built where people look at it, by Image. What has begun is not begun again.
    """

    image: Image

    label_format = "image {image.repository}, in the background"
    event = "begun:{image.tag}"

    @override
    def probe(self) -> str:
        return self.image.probe()

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found):
            return []
        folder, (script, build) = self.image.begun, self.image.script()
        whole = quote(_BUILD, folder, folder) + exports(self.image.environment) + script + _BUILT
        begin = quote(
            _BEGIN, folder, self.image.builds, whole, quote(_ENDED, folder), self.image.tag, self.image.unit,
            f"Build of {self.image.tag}", BUILDS_SECONDS,
        )  # fmt: skip
        title = f"begin to build {self.image.tag}: the next steps go on, and 04_docker_spawner waits for it"
        return [Action(title, begin, f"{build} &", packed(self.image.context))]


@dataclass(frozen=True)
class OnlyTheseBuilds(Resource):
    """No build in the background but those of the images that are wanted now: parameters may have changed since one began.

    units: those of the wanted ones, which go on. What another one came to, its image too, goes.
    """

    units: tuple[str, ...]
    builds: str = BUILDS

    label_format = "builds in the background"

    @override
    def probe(self) -> str:
        return quote('for each in {}/*.service; do [ ! -d "$each" ] || echo "${each##*/}=begun"; done', self.builds)

    @override
    def plan(self, found: str) -> list[Action]:
        others = [unit for unit in facts(found) if unit not in self.units]
        if not others:
            return []
        title = f"end the build of what is not wanted now ({', '.join(others)})"
        return [Action(title, quote(_END, others, self.builds), quote("systemctl stop {}", others), seconds=300)]
