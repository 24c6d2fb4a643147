"""`./hubrun node`: which of a site's nodes get new servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubrun import params
from hubrun.control_characters import in_one_line
from hubrun.errors import BadInput, CommandFailed
from hubrun.terminal import echo

if TYPE_CHECKING:
    from hubrun.desired.server import Server

_COMMANDS = ("list", "drain", "undrain")
_SECONDS = 900


@click.command()
@click.argument("command", metavar="list|drain|undrain", type=click.Choice(_COMMANDS))
@click.argument("site_file", metavar="params/SITE.yaml", type=click.Path(path_type=Path))
@click.argument("name", metavar="[NODE]", required=False)
@click.option("--stop", is_flag=True, help="With drain: end the servers that run there now.")
def node(command: str, site_file: Path, name: str | None, stop: bool) -> int:
    """Say how nodes are, or which of them gets no new servers.

    \b
    ./hubrun node list params/bio.yaml                  how each node is
    ./hubrun node drain params/bio.yaml node-1          no new servers there; those that run go on
    ./hubrun node drain params/bio.yaml node-1 --stop   and those that run end now: their people start them elsewhere
    ./hubrun node undrain params/bio.yaml node-1        new servers there again

    A server that runs on a drained node ends when its person, or idle_minutes, stops it. Files stay: they are on the site's
    own server. Nobody's launch is refused.
    """
    from hubrun.desired.server import Server  # slow to import: `hubrun --help` must not wait for it

    if (command == "list") != (name is None) or (stop and command != "drain"):
        raise BadInput("what is wanted is not clear", "./hubrun node", "See ./hubrun node --help")
    site = params.load(site_file)
    names = [each.name for each in site.nodes]
    if name is not None and name not in names:
        raise BadInput("is not a node of this site", name, f"There are: {', '.join(names) or 'none'}")
    with Server.connect(site) as server:
        found = ask(server, command, *([name] if name else []))
        if stop and name:
            running = next(len(each["servers"]) for each in found if each["name"] == name)
            echo(
                f"{running} servers on {name} end now. What is not saved in them is lost; their people start them again elsewhere."
            )
            found = ask(server, "stop", name)
    for line in lines(found):
        echo(line)
    return 0


def ask(server: Server, *words: str) -> list[dict[str, Any]]:
    """What the program on the server says of nodes. Raises CommandFailed."""
    from hubrun import server_paths
    from hubrun.shell import quote

    command = quote(f"{server_paths.program('node')} {{}}", list(words))
    if words[0] == "list":
        (answer,) = server.probe(command)
    else:
        answer = server.run(command, seconds=_SECONDS, check=False)
    try:
        return list(json.loads(answer.stdout))
    except ValueError:
        said = answer.stderr.strip() or "Run 04 first"
        raise CommandFailed(f"the server does not do that: {in_one_line(said)}", server.site.host) from None


def lines(found: list[dict[str, Any]]) -> list[str]:
    """A line for each node, for people."""
    return [in_one_line(_line(each)) for each in found] or ["this site has no nodes"]


def _line(node: dict[str, Any]) -> str:
    parts = ["answers" if node["alive"] else "does not answer"]
    if node["alive"] and (said := node["said"]):
        parts += [f"{len(node['servers'])} servers run", f"{said['memory_mb']} of {said['total_mb']} MB of memory left"]
        parts += [] if said["homes"] else ["the disk with everybody's files is not there"]
    parts += [f"its Docker does not answer: {node['docker']}"] if node["docker"] else []
    parts += ["drained: no new servers"] if node["drained"] else []
    return f"{node['name']}: {', '.join(parts)}"
