"""The students' images on the server: which are there, which of them is to count, and which servers run on which."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hubrun.desired.cards import Card, ProgressLine, Row
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.begun_build import BegunBuild, OnlyTheseBuilds
from hubrun.resources.files import Directory
from hubrun.resources.idle_servers import IdleServers, RunningServer, running
from hubrun.resources.image import KEPT, Image
from hubrun.resources.images_on_nodes import ImagesOnNodes
from hubrun.sections.docker_spawner import nvidia, student_image
from hubrun.sections.docker_spawner.course_images import StudentImage, images
from hubrun.server_paths import IMAGES, program
from hubrun.shell import quote
from hubrun_hub.nodes.nodes_file import docker_socket

_PROBE = f"""
sed 's/^/was /' {{}} 2> /dev/null
docker image ls --no-trunc --format 'built {{{{.Tag}}}} {{{{.ID}}}} {{{{.Size}}}}' {{}} 2> /dev/null | grep -E '^built [0-9a-f]{{12}} '
docker image inspect -f 'current {{{{.Id}}}}' {{}} 2> /dev/null
{program("running_servers")} 2> /dev/null || true
"""


@dataclass(frozen=True)
class Versions:
    """since: id → since when it counts or counted, the present one last. built: id → Docker's id and the size of those that
    are there. current: Docker's id of the one with which servers start. servers: those that run."""

    since: dict[str, str] = field(default_factory=dict)
    built: dict[str, tuple[str, str]] = field(default_factory=dict)
    current: str = ""
    servers: tuple[RunningServer, ...] = ()


def parse(found: str) -> Versions:
    """What the probe printed."""
    lines = [line.split() for line in found.splitlines()]
    return Versions(
        {words[1]: words[2] for words in lines if len(words) == 3 and words[0] == "was"},
        {words[1]: (words[2], words[3]) for words in lines if len(words) == 4 and words[0] == "built"},
        next((words[1] for words in lines if len(words) == 2 and words[0] == "current"), ""),
        running(found),
    )


def look(server: Server) -> list[Versions]:
    """What there is on this server of each of the site's images, its own first, and what runs."""
    every = images(server.site)
    probes = [quote(_PROBE, IMAGES + each.suffix, each.site.image_repository, each.site.image_name) for each in every]
    found = [parse(output.stdout) for output in server.probe(*probes)]
    return [
        replace(each, servers=tuple(one for one in each.servers if one.name not in others))
        for each, others in zip(found, _others(every), strict=True)
    ]


def _others(every: list[StudentImage]) -> list[tuple[str, ...]]:
    """For each of the images the names of all others."""
    names = [each.site.image_name for each in every]
    return [tuple(name for name in names if name != own) for own in names]


def described(site: Site, suffix: str = "") -> Image:
    """The image that the site's parameters describe, from `Dockerfile.singleuser`. Raises BadInput for a bad choice.

    suffix: of a course's image.
    """
    context, arguments = student_image.build_context(site), student_image.build_args(site)
    return Image(
        site.image_name, site.image_repository, context, arguments, site.base_image, IMAGES + suffix,
        environment=site.proxy_environment, note=nvidia.without(site),
    )  # fmt: skip


def begun(site: Site) -> list[Resource]:
    """The builds of those of which the server has none yet, begun in the background; and the folder for what they are built from."""
    wanted = _wanted_builds(site)
    return [Directory("/srv/jupyterhub"), _only(wanted), *map(BegunBuild, wanted)]


def built(site: Site) -> list[Resource]:
    """What has to be built; not what `image` names, which is there."""
    wanted = _wanted_builds(site)
    return [_only(wanted), *wanted]


def _wanted_builds(site: Site) -> list[Image]:
    return [described(*each) for each in images(site) if not each.site.image]


def _only(wanted: list[Image]) -> OnlyTheseBuilds:
    return OnlyTheseBuilds(tuple(each.unit for each in wanted))


def on_nodes(site: Site, current: list[str]) -> list[Resource]:
    """The images `current`, REPOSITORY:ID of each of the site's, on all nodes; nothing without nodes."""
    if not site.nodes:
        return []
    wanted = {each.site.image_name: image for each, image in zip(images(site), current, strict=True)}
    return [ImagesOnNodes(wanted, {node.name: str(docker_socket(node.name)) for node in site.nodes})]


def current(server: Server) -> list[str]:
    """The images that are to count, REPOSITORY:ID, in the order of `images`. Raises BadInput as `wanted` does."""
    return [wanted(each.site, found) for each, found in zip(images(server.site), look(server), strict=True)]


def wanted(site: Site, versions: Versions) -> str:
    """The image that is to count, REPOSITORY:ID. Raises BadInput where `image` names one that is not there."""
    own = described(site)
    if not site.image:
        return own.tag
    there = [each for each in versions.since if each in versions.built]
    if site.image != "previous":
        found = site.image if site.image in versions.built else ""
    else:
        found = next((each for each in reversed(there) if f"{site.image_repository}:{each}" != own.tag), "")
    if not found:
        names = f"This server has {', '.join(there)}" if there else "This server has none"
        raise BadInput(f"no such image of {site.image_repository} is there: {site.image}", "parameter image", names)
    return f"{site.image_repository}:{found}"


def restarted(site: Site) -> list[Resource]:
    """Servers on an older image end, where nobody was at work for the time that the site gives; nothing, where it gives none."""
    if not site.restart_idle_minutes:
        return []
    every = images(site)
    return [
        IdleServers(each.site.image_name, site.restart_idle_minutes, others)
        for each, others in zip(every, _others(every), strict=True)
    ]


def show(server: Server) -> None:
    """Show which images are there, since when, and who runs on which: a card for each of the site's images."""
    for each, found in zip(images(server.site), look(server), strict=True):
        ProgressLine().finish(card(found, each.site.image_name if each.suffix else ""))


def card(versions: Versions, course: str = "") -> Card:
    """The card of the images; the latest comes first, and one that never counted at last. course: the name of a course's."""
    ids = [*reversed(versions.since), *(each for each in versions.built if each not in versions.since)]
    rows, known = [], {docker_id: each for each, (docker_id, _) in versions.built.items()}
    for each in ids:
        if each not in versions.built:
            continue
        docker_id, size = versions.built[each]
        state = "current" if docker_id == versions.current else "kept" if each in versions.since else "not current"
        rows.append(
            _row(
                state, each, [s for s in versions.servers if s.image == docker_id], size, versions.since.get(each, "-")
            )
        )
    if others := [server for server in versions.servers if server.image not in known]:
        rows.append(_row("removed", "other images", others, "", "-"))
    title = f"{len(rows)} images; the last {KEPT} are kept" if rows else "no image of students' servers is here"
    return Card(
        f"{course}: {title}" if course else title,
        rows,
        {"images": [{"image": row.what.split(":")[0], "status": row.status} for row in rows]},
    )


def _row(state: str, name: str, servers: list[RunningServer], size: str, since: str) -> Row:
    seen = ", ".join(part for part in (size, f"since {since}" if since != "-" else "") if part)
    who = "\n".join(f"{server.user}, {server.idle_words}" for server in servers)
    return Row(state, f"{name}: {len(servers)} server{'s' if len(servers) != 1 else ''}", seen, who)
