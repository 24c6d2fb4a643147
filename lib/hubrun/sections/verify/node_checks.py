"""What must be true of each node: 06_verify."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubrun import server_paths
from hubrun.desired.checks import Check, Test
from hubrun.desired.server import Server
from hubrun.params import Site
from hubrun.params.nodes import Node
from hubrun.sections.docker_spawner import docker_setup, node_files, node_login, student_network
from hubrun.shell import quote
from hubrun_hub.nodes.nodes_file import docker_socket

# The program waits for a place in the line, and for the start.
_START_S = 700
_IS = "docker image inspect -f '{{json .RootFS.Layers}}' "
_SAME = f"""
here=$({_IS}{{}}) && there=$(DOCKER_HOST=unix://{{}} {_IS}{{}}) || exit 1
[ "$here" = "$there" ] && echo "the same" && exit 0
echo "another one"
exit 1
"""
# With the students' own limits of the network: it has no name of the hub's, and asks for it by its address.
_REACHES = "docker run --rm --network {} {} python -m hubrun_student.programs.container_facts {}"


def of_server(site: Site) -> list[Test]:
    """Tests, on the site's server, of what it knows of each node."""
    same = [
        Test(
            f"{node.name} has the image of the server", quote(_SAME, site.image_name, docker_socket(node.name), site.image_name),
            prints="^the same$", remedy="./hubrun install --only 04 sends it",
        )
        for node in site.nodes
    ]  # fmt: skip
    return [*node_login.tests(site), *same]


def try_starts(server: Server) -> None:
    """Require that a server starts on each node in the way of a launch, and runs a line; on one that is drained none does.

    Nothing without nodes. Raises CheckFailed.
    """
    if server.site.nodes:
        server.require(*([] if server.check_mode else [_starts(server, node) for node in server.site.nodes]))


def _starts(server: Server, node: Node) -> Check:
    command = server_paths.program("try_start", f"{server_paths.VENV}/bin/python")
    words = (server_paths.VERIFY_ENV, server.site.image_name, node.name)
    came = server.run(f"{command} {{}} http://127.0.0.1:8081 {{}} {{}}", *words, seconds=_START_S, check=False)
    why = (
        f"./hubrun node list says how {node.name} is; journalctl -u jupyterhub -u hubrun-docker-filter -n 50 says more"
    )
    said = (came.stdout + came.stderr).strip()[-300:]
    return Check(f"a student's server starts on {node.name}", came.exit_code == 0, "it runs a line", said, why)


def of_node(site: Site) -> Callable[[Node], Sequence[Test]]:
    """Tests on a node, by node."""
    return lambda node: [
        *docker_setup.node_tests(site)(node),
        *student_network.tests(),
        *node_files.tests(),
        Test(
            "a container reaches the hub",
            quote(_REACHES, server_paths.NETWORK, site.image_name, f"http://{site.nodes_gateway}:8081/hub/health"), "^hub 200$", traces=True,
            remedy=f"On the node: wg show; {student_network.PROGRAM} state",
        ),
    ]  # fmt: skip
