"""The students' image: built on the server beside those that are there, and then made the one that counts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.server_paths import BUILDS, IMAGE_FOLDER
from hubrun.shell import quote
from hubrun.tarball import packed

# The label that says from which inputs an image was built.
CONTEXT_LABEL = "hubrun.context"
# So many of its digits are the id by which people name an image, and its tag.
ID_LENGTH = 12
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
# One at a time: they share a folder, and what one begins the other would tidy up.
_ALONE = """install -d -m 0700 {}
exec 9> {}/lock
flock -n 9 || { echo "another image is being built: it goes first"; flock 9; }
"""
# Its log becomes ours, to its end: `tail` ends with the process (coreutils manual, --pid). An image is the proof that it ended
# well: it may have failed, or have been killed.
_FOLLOW = """unit={} began={}
process=$(systemctl show "$unit" -p MainPID --value)
if [ "${process:-0}" = 0 ]; then cat "$began/log"; else tail -n +1 -s 0.2 -f --pid="$process" "$began/log"; fi || true
rm -rf "$began"
[ "$(docker image inspect --format '{{index .Config.Labels "LABEL"}}' {} 2> /dev/null)" != {} ] || exit 0
echo "It came to no image in the background, and is built now."
""".replace("LABEL", CONTEXT_LABEL)
# All builds in the background, with the time for which they wait for each other.
BUILDS_SECONDS = 4 * 3600
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
# It does nothing: Docker removes no image that a container runs on, also not with `docker system prune -a`.
KEEPER = "hubrun-image"
# So many images are kept, besides those that servers run on.
KEPT = 3

_PROBE = """
id() { docker image inspect -f '{{.Id}}' "$1" 2> /dev/null || true; }
echo "current=$(id {})"
echo "wanted=$(id {})"
echo "held=$(docker container inspect -f '{{.State.Running}} {{.Image}}' {} 2> /dev/null)"
"""
# The images of courses, each with a keeper of its own.
_KEEPERS = f"""
echo "keepers=$(docker ps -a --filter 'name=^/{KEEPER}-' --format '{{{{.Names}}}}' 2> /dev/null | xargs)"
"""
_FORMER = f"""
for keeper in {{}}; do
    image=$(docker container inspect -f '{{{{.Config.Image}}}}' "$keeper")
    docker rm -f "$keeper" > /dev/null
    docker image ls --format '{{{{.Repository}}}}:{{{{.Tag}}}}' "${{image%:*}}" | xargs -r docker image rm > /dev/null 2>&1 || true
    for file in {{}}; do rm -f "$file${{keeper#{KEEPER}}}"; done
done
"""
# The history is written first: a run that is killed behind it does the rest when it is made again. What counted before is
# kept, also where a version before gave it no tag of its own.
_SWITCH = f"""
name={{}} wanted={{}} repository={{}} history={{}}
touch "$history"
noted() {{
    {{ grep -v "^$1 " "$history" || true; echo "$1 $2"; }} | tail -n {KEPT} > "$history.new"
    mv -T "$history.new" "$history"
}}
former=$(docker image inspect -f '{{{{index .Config.Labels "{CONTEXT_LABEL}"}}}}' "$name" 2> /dev/null | cut -c 1-{ID_LENGTH})
if [ -n "$former" ]; then
    # What somebody built on an image by hand has its label too, and takes nothing's place.
    docker image inspect "$repository:$former" > /dev/null 2>&1 || docker tag "$name" "$repository:$former"
    grep -q "^$former " "$history" || noted "$former" -
fi
noted "${{wanted##*:}}" "$(date -u +%Y-%m-%dT%H:%MZ)"
docker tag "$wanted" "$name"
"""
_HOLD = """
docker rm -f {} > /dev/null 2>&1 || true
docker run -d --name {} --restart unless-stopped --network none --read-only --memory 16m --stop-signal KILL \\
    --log-driver none --entrypoint sleep {} infinity > /dev/null
"""
# Those that never counted, or no longer do. One on which a server runs is in use, and Docker keeps it (docker-image-rm(1)).
_TIDY = f"""
repository={{}} history={{}}
docker image ls --format '{{{{.Tag}}}}' "$repository" | grep -xE '[0-9a-f]{{{ID_LENGTH}}}' | while read -r each; do
    grep -qs "^$each " "$history" || docker image rm "$repository:$each" > /dev/null 2>&1 || true
done
"""


@dataclass(frozen=True)
class Image(Resource):
    """An image built on the server from `context` (path → content), under a tag that its inputs make: once for each.

    name: of the image that counts now, which stays as it is (CurrentImage). repository: where the tag is. base: what it
    is built on; kept, with its digest, as a label of the image. folder: where the context is kept on the server.
    environment: what its commands have in their environment of the proxy; no input, and not kept in the image
    (docs.docker.com, "Predefined ARGs"). history: as in CurrentImage; an image that is not in it, and no longer wanted, goes.
    note: what its plan says besides. builds: as in server_paths; there BegunBuild leaves what Image takes over.
    """

    name: str
    repository: str
    context: Mapping[str, bytes]
    build_args: Mapping[str, str]
    base: str
    history: str
    folder: str = IMAGE_FOLDER
    note: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    builds: str = BUILDS

    label_format = "image {repository}"
    event = "image:{repository}"

    @property
    def digest(self) -> str:
        """The SHA-256 of all inputs, which is kept as another label. The base image counts by its name."""
        digest = hashlib.sha256()
        inputs = {**self.context, **{f"--{name}": value.encode() for name, value in self.build_args.items()}}
        for name, content in sorted(inputs.items()):
            # Lengths, so that no two different sets of inputs read the same.
            digest.update(f"{len(name)} {name} {len(content)} ".encode() + content)
        return digest.hexdigest()

    @property
    def tag(self) -> str:
        """repository:ID, where the first 12 digits of `digest` are its id."""
        return f"{self.repository}:{self.digest[:ID_LENGTH]}"

    @property
    def unit(self) -> str:
        """The unit that builds it in the background."""
        return f"hubrun-build-{re.sub('[^a-z0-9]+', '-', self.tag)}.service"

    @property
    def begun(self) -> str:
        """The folder on the server with what this unit runs, reads and says."""
        return f"{self.builds}/{self.unit}"

    @override
    def probe(self) -> str:
        label = f"""--format '{{{{index .Config.Labels "{CONTEXT_LABEL}"}}}}'"""
        return quote(
            f'tag=$(docker image inspect {{}} {label}) && echo "tag=$tag"\n'
            f'name=$(docker image inspect {{}} {label}) && echo "name=$name"\n'
            "began={}\n[ ! -e \"$began\" ] || echo \"begun=$([ ! -e \"$began/failed\" ] || echo failed)\"",
            self.tag, self.name, self.begun,
        )  # fmt: skip

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return "begun=" if f"begun:{self.tag}" in written else found

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        begun = "begun" in now
        if now.get("tag") == self.digest and not begun:
            return []
        if now.get("name") == self.digest and not begun:
            return [Action(f"name it {self.tag}", quote("docker tag {} {}", self.name, self.tag))]
        script, build = self.script()
        if begun:
            script = quote(_FOLLOW, self.unit, self.begun, self.tag, self.digest) + script
        why = (
            "it failed in the background"
            if now.get("begun") == "failed"
            else "its inputs changed"
            if now.get("name")
            else "another image has its name"
            if "name" in now
            else "it is not there"
        )
        note = f". Note: {self.note}" if self.note else ""
        title = f"build {self.tag} ({why}){note}"
        if begun and not now["begun"]:
            title = f"wait for {self.tag}, which began to build in the background"
        # Several that began at once take turns.
        return [Action(title, script, build, packed(self.context), seconds=BUILDS_SECONDS if begun else 3600)]

    def script(self) -> tuple[str, str]:
        """Shell that builds it from a tar of the context on standard input; and what a person would have typed."""
        arguments = [
            word
            for name, value in {**self.build_args, **self.environment}.items()
            for word in ("--build-arg", f"{name}={value}")
        ]
        build = quote(
            "docker build --label {} {} -t {} .", f"{CONTEXT_LABEL}={self.digest}", arguments, self.tag,
        )  # fmt: skip
        options = f'docker build --label "{BASE_LABEL}=$base $digest" --force-rm '
        labelled = build.replace("docker build ", options, 1)
        script = (
            quote(_ALONE, self.builds, self.builds)
            + quote(_TIDY, self.repository, self.history)
            + quote(_UNPACK, self.folder)
            + quote(_BASE, self.base, self.name)
        )
        return script + _BUILD.replace("{build}", labelled).replace("{label}", CONTEXT_LABEL), build


@dataclass(frozen=True)
class CurrentImage(Resource):
    """The name `name` means the image `wanted` (REPOSITORY:ID) from now on, without anything being restarted.

    history: the file on the server that says which images counted, and since when; the last line is the present one. An
    image that counted before stays as long as it is one of the last KEPT, or a server runs on it. keeper: the container that
    uses it. courses: of the site's own image, the keepers of those of courses; images of other courses go, with their
    history and what else has a file for each of them (beside).
    """

    name: str
    wanted: str
    history: str
    keeper: str = KEEPER
    courses: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    label_format = "servers start with {wanted}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.name, self.wanted, self.keeper) + (_KEEPERS if self.keeper == KEEPER else "")

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return "" if f"image:{self.repository}" in written else found

    @property
    def repository(self) -> str:
        """The part of `wanted` before its id."""
        return self.wanted.rpartition(":")[0]

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        wanted = now.get("wanted", "")
        actions = []
        if not wanted or now.get("current") != wanted:
            switch = quote(_SWITCH, self.name, self.wanted, self.repository, self.history)
            by_hand = quote("docker tag {} {}", self.wanted, self.name)
            title = f"let servers start with {self.wanted}, from their next start on"
            script = switch + quote(_TIDY, self.repository, self.history)
            actions.append(Action(title, script, by_hand, seconds=300))
        if actions or now.get("held") != f"true {wanted}":
            hold = quote(_HOLD, self.keeper, self.keeper, self.wanted)
            actions.append(Action("keep docker system prune -a from removing it", hold))
        if former := [each for each in now.get("keepers", "").split() if each not in self.courses]:
            title = f"remove the images of courses that have none of their own any more ({', '.join(former)})"
            actions.append(Action(title, quote(_FORMER, former, [self.history, *self.beside]), seconds=300))
        return actions
