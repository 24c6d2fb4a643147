"""The people whom 06_verify launches: what the hub calls them, and how they are removed with all that is theirs."""

from __future__ import annotations

from hubrun import server_paths
from hubrun.desired.server import Server
from hubrun.lms import temporary_consumer
from hubrun.params import Site
from hubrun.resources.node_dockers import on_each
from hubrun.sections.docker_spawner import homes
from hubrun.shell import quote
from hubrun_hub.lti.user_names import hub_name
from hubrun_hub.student_volume import volume

# What the LMS calls them. Letters and digits alone, so that they are named so on the hub too, behind a prefix.
STUDENTS = ("hubruntest1", "hubruntest2")
STRANGER = "hubruntest3"
TEST_USERS = (*STUDENTS, STRANGER)

# Removes users through the hub, as the service that may remove these and no other, then what they left.
_REMOVE = """# remove the test users
set -eu
{stop}
{remove} {} {} {}
docker ps -aq {} | xargs -r docker rm -f -v >/dev/null 2>&1 || true
{remove_on_nodes}{forget}
docker ps -a {} --format 'container {{.Names}}'
{left_on_nodes}docker volume ls --format '{{.Name}}' | grep -xF {} || true
test ! -e {} || echo "consumer hubruntest"
"""
# On a node the volume with somebody's files has no name, and the container's label says whose it is.
_ON_NODE = """docker ps -a --filter label=hubrun.student --format '{{.ID}} {{.Label "hubrun.student"}}' |
    awk -v users={} 'index(" " users " ", " " $2 " ") {print $1}'"""


def container(user: str) -> list[str]:
    """The words with which `docker ps` finds a user's containers: by the volume, since their names say nothing."""
    return ["--filter", f"volume={volume(user)}"]


def address_script(site: Site, user: str) -> str:
    """Shell that prints the address of the user's server, wherever it runs."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    if not site.nodes:
        return quote("docker inspect -f {} $(docker ps -q {})", form, container(user))
    there = quote(_ON_NODE + " | xargs -r docker inspect -f {}", user, form)
    return there + "\n" + on_each([node.name for node in site.nodes], there)


def names(site: Site) -> list[str]:
    """The hub's names for the test users, of each consumer that the site has, and of the temporary one."""
    prefixes = dict.fromkeys([*(each.prefix for each in site.all_consumers), temporary_consumer.NAME])
    return [hub_name(user, prefix) for prefix in prefixes for user in TEST_USERS]


def remove_script(site: Site) -> str:
    """Shell that removes the test users with their containers and volumes, and the temporary consumer.

    It prints what is left, a line for each.
    """
    users, nodes = names(site), [node.name for node in site.nodes]
    there = quote(_ON_NODE, " ".join(users))
    containers, volumes = [word for user in users for word in container(user)], [volume(user) for user in users]
    remove = server_paths.program("remove_users", f"{server_paths.VENV}/bin/python")
    return quote(
        _REMOVE.replace("{stop}", temporary_consumer.stop_script()).replace("{remove}", remove).replace(
            "{forget}", homes.forget(site, *users)
        )
        .replace("{remove_on_nodes}", on_each(nodes, f"{there} | xargs -r docker rm -f -v > /dev/null 2>&1"))
        .replace("{left_on_nodes}", on_each(nodes, f"{there} | sed 's/^/container on {{node}} /'")),
        server_paths.VERIFY_ENV, f"{server_paths.STATE}/jupyterhub.sqlite", users, containers, containers,
        [word for name in volumes for word in ("-e", name)], temporary_consumer.FILE,
    )  # fmt: skip


def remove(server: Server) -> list[str]:
    """Remove them all; return what is left. Raises CommandFailed when the hub does not answer, or refuses."""
    return server.run(remove_script(server.site), seconds=180).stdout.splitlines()
