"""The build of an image that begins in the background, so that what needs no image goes on beside it."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.image import FORGET, Image
from hubrun.shell import exports, quote
from hubrun.tarball import packed

# A unit, because it outlives the login; systemd forgets it when it ends, however it ends (systemd-run(1), --collect).
# What it runs stands in files that only root reads. It has the home and the path of a login: `docker login` counts.
_BEGIN = """folder={}
install -d -m 0700 {} "$folder"
cat > "$folder/context"
printf %s {} > "$folder/build"
printf %s {} > "$folder/ended"
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
# Of it all, with the time for which it waits for others.
_SECONDS = 4 * 3600


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
            _BEGIN, folder, self.image.builds, whole, quote(_ENDED, folder), self.image.unit, f"Build of {self.image.tag}",
            _SECONDS,
        )  # fmt: skip
        title = f"begin to build {self.image.tag}: the next steps go on, and 04_docker_spawner waits for it"
        return [Action(title, FORGET + begin, f"{build} &", packed(self.image.context))]
