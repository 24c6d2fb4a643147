"""What must be true of each node: 06_verify."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.params import Site
from hubrun.params.nodes import Node
from hubrun.sections.docker_spawner import docker_setup, node_files, node_login, student_network
from hubrun.shell import quote
from hubrun_hub.nodes.nodes_file import docker_socket

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


def of_node(site: Site) -> Callable[[Node], Sequence[Test]]:
    """Tests on a node, by node."""
    return lambda node: [
        *docker_setup.node_tests(site)(node),
        *student_network.tests(),
        *node_files.tests(site)(node),
        Test(
            "a container reaches the hub",
            quote(_REACHES, server_paths.NETWORK, site.image_name, f"http://{site.nodes_gateway}:8081/hub/health"), "^hub 200$", traces=True,
            remedy=f"On the node: wg show; {student_network.PROGRAM} state",
        ),
    ]  # fmt: skip
