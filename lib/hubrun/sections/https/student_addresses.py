"""An address of its own for each person's server (`subdomains`): what hub and proxy are told, and how it is switched."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.desired.resource import Action, Resource, facts
from hubrun.params import Site
from hubrun.resources.conditional import WhenFileHas
from hubrun.resources.files import Absent, Directory, File
from hubrun.resources.node_dockers import docker_on, on_each
from hubrun.resources.services import Service
from hubrun.sections.hub import config
from hubrun.shell import quote
from hubrun_hub.lti.user_hosts import host

PART = f"{server_paths.CONF_D}/30-subdomains.py"
PROXY_DROP_IN = f"{server_paths.PROXY_UNIT}.d/subdomains.conf"
_OFF = "# Written by hubrun (runbook 03_https): subdomains are off.\n"

# The address at which a server's owner logs in to it stands in its environment, which holds secrets too: only the names
# of containers are printed. With one address for all it is a path.
_ELSEWHERE = """
command -v docker > /dev/null || exit 0
docker ps -q --filter network={} --filter name=^/jupyter- | xargs -r docker inspect -f '{{.Name}}{{range .Config.Env}} {{.}}{{end}}' |
    sed -n 's#^/\\([^ ]*\\) .*JUPYTERHUB_OAUTH_CALLBACK_URL=https://.*#\\1#p' | sort | tr '\\n' ' ' | sed 's/^./servers=&/'
"""


@dataclass(frozen=True)
class OneAddress(Resource):
    """No student's server runs that was started with an address of its own: nobody could log in to it any more.

    Those that do are stopped, and their files stay. The other way round nothing needs to be done: the hub leads whoever
    logs in to a server that knows the one address to where it is now. nodes: the names of the site's.
    """

    nodes: tuple[str, ...] = ()

    label_format = "students' servers with addresses that no longer exist"

    @override
    def probe(self) -> str:
        script = quote(_ELSEWHERE, server_paths.NETWORK)
        # Each behind the end of a line.
        return script + on_each(self.nodes, "echo" + script.replace("servers=&", "servers_{node}=&"))

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        servers = now.get("servers", "").split()
        there = {node: names for node in self.nodes if (names := now.get(f"servers_{node}", "").split())}
        if not (servers or there):
            return []
        number = len(servers) + sum(map(len, there.values()))
        title = f"stop {number} students' servers, which have addresses that no longer exist; their files stay"
        stop = [quote("docker stop --time 10 {}", servers)] if servers else []
        stop += [docker_on(node) + quote(" stop --time 10 {}", names) for node, names in there.items()]
        return [Action(title, "\n".join(stop), seconds=600)]


# A name below the domain that belongs to nobody: people's labels do not begin like this.
ANYBODY = "u-x--hubrun"


def root(site: Site, name: str) -> str:
    """Where the server of the hub's user `name` is, such as https://ada.hub.example.edu; "" where it is at the hub's own."""
    return site.url.replace(site.domain, host(name, site.domain), 1) if site.subdomains else ""


def on(site: Site) -> list[Resource]:
    """What gives each person an address; nothing where the site does without.

    It comes when nginx serves the wildcard certificate. The proxy begins with routes for host and path, and the hub, which
    starts after it, tells it all of them.
    """
    if not site.subdomains:
        return []
    return [
        *config.hub_code(),
        config.part(site, "30-subdomains.py"),
        Directory(PROXY_DROP_IN.rpartition("/")[0]),
        File(PROXY_DROP_IN, config.render("jupyterhub-proxy-subdomains.conf", site)),
        *_services(),
    ]


def off(site: Site) -> list[Resource]:
    """What takes the addresses back, before their certificate goes; nothing where the site has them."""
    if site.subdomains:
        return []
    part = File(PART, _OFF, owner=f"root:{site.hub_user}", mode=0o640, check=config.check_command(site))
    return [
        WhenFileHas(PART, "subdomain_host", part),
        Absent(PROXY_DROP_IN),
        OneAddress(tuple(node.name for node in site.nodes)),
        *_services(),
    ]


def _services() -> list[Resource]:
    return [
        Service("jupyterhub-proxy.service", watches=(PROXY_DROP_IN,), notice=config.PROXY_NOTICE),
        # A proxy that begins again knows no routes until the hub tells it.
        Service("jupyterhub.service", watches=(PART, PROXY_DROP_IN), ready=config.answers(), notice=config.HUB_NOTICE),
    ]


def tests(site: Site) -> list[Test]:
    """Tests of a name below the domain, made on the server itself; none where the site has no addresses for people."""
    if not site.subdomains:
        return []
    name = f"{ANYBODY}.{site.domain}"
    curl = quote("curl -sS -k -m 20 --noproxy '*' --resolve {} ", f"{name}:443:127.0.0.1")
    return [
        Test(
            "the hub's own pages are only at its own address",
            curl + quote("-o /dev/null -w '%{http_code} %{redirect_url}\n' {}", f"https://{name}/hub/home"),
            prints=f"^302 {site.url}/hub/home$", remedy="Another site in /etc/nginx may use the names below the domain",
        ),
        Test(
            "a person's address leads to the hub while their server does not run",
            curl + quote("-o /dev/null -w '%{http_code} %{redirect_url}\n' {}", f"https://{name}/user/x/"),
            prints=f"^302 {site.url}/hub/user/x/", remedy="See systemctl status jupyterhub-proxy: it must run with --host-routing",
        ),
    ]  # fmt: skip
