"""A real JupyterHub with the real DockerSpawner on a site with two nodes, whose Dockers are played: where servers start, and what
becomes of them when a node is lost, and back, and when the hub restarts.

What stands between the hub and Docker is not here (test_docker_filter_nodes.py); nodes say how they are twice a second.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.nodes import links
from lti_hub import Browser as Visitor
from lti_hub import Hub, form, running_hub

pytestmark = [pytest.mark.hub, pytest.mark.slow]

# As much of Docker's interface as a DockerSpawner asks for; a container is a small server at an address of this machine.
DOCKER = """
import json, os, re, signal, socketserver, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit
socket, number = sys.argv[1:]
SERVER = '''
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
ThreadingHTTPServer((sys.argv[1], 8888), Answer).serve_forever()
'''
containers, lock = {}, threading.Lock()
class Docker(BaseHTTPRequestHandler):
    def say(self, status, found=None):
        body = b"" if found is None else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def find(self, name):
        return next((each for each in containers.values() if name in (each["Name"][1:], each["Id"])), None)
    def seen(self, each):
        runs = each["process"] is not None and each["process"].poll() is None
        state = {"Running": runs, "ExitCode": 0, "Error": "", "FinishedAt": "", "OOMKilled": False}
        return {**{key: each[key] for key in ("Id", "Name", "Config", "NetworkSettings")}, "Image": "sha256:1", "State": state}
    def handle_one(self):
        url = urlsplit(self.path)
        path = re.sub(r"^/v1[.]\\d+", "", url.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        parts = path.split("/")[1:]
        if path == "/version": return self.say(200, {"ApiVersion": "1.41", "MinAPIVersion": "1.24", "Version": "20.10"})
        if parts[0] == "images": return self.say(200, {"Id": "sha256:1", "Config": {"Cmd": ["x"]}})
        if path == "/containers/json":
            found = [{"Names": [each["Name"]], "State": "running" if self.seen(each)["State"]["Running"] else "exited"} for each in containers.values()]
            return self.say(200, found)
        if path == "/containers/create":
            name = parse_qs(url.query)["name"][0]
            if self.find(name): return self.say(409, {"message": "is already in use by container"})
            address = f"127.0.{number}.{len(containers) + 1}"
            networks = {"Networks": {"jupyterhub": {"IPAddress": address}}}
            containers[name] = {"Id": name * 2, "Name": "/" + name, "Config": {"Env": body["Env"]}, "NetworkSettings": networks, "process": None, "address": address}
            return self.say(201, {"Id": name * 2})
        each = self.find(parts[1])
        if each is None: return self.say(404, {"message": "No such container"})
        if self.command == "GET": return self.say(200, self.seen(each))
        if self.command == "DELETE":
            del containers[each["Name"][1:]]
            return self.say(204)
        if parts[2] == "start":
            each["process"] = subprocess.Popen([sys.executable, "-c", SERVER, each["address"]])
        else:
            each["process"].terminate(); each["process"].wait()
        self.say(204)
    def answer(self):
        with lock: self.handle_one()
    do_GET = do_POST = do_DELETE = answer
    def log_message(self, *_): pass
    def address_string(self): return ""
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
def end(*_):
    for each in containers.values():
        if each["process"]: each["process"].kill()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
Server(socket, Docker).serve_forever()
"""
SETTINGS = """
import json
from pathlib import Path
from dockerspawner import DockerSpawner
from hubrun_hub.nodes import links, nodes_file
from hubrun_hub.nodes.links import Links
from hubrun_hub.starting import engines, on_nodes
from hubrun_hub.starting.on_nodes import OnNodes
from hubrun_hub.starting.spawner import Starting

here = Path({folder!r})
links.ALIVE_S, links.LOST_S = 2.0, 5.0
nodes_file.FILTER_SOCKETS = here / "sockets"
on_nodes.ENGINES = engines.Engines(
    Links(here / "links"), lambda: nodes_file.read(here / "nodes.json"), lambda: json.loads((here / "drained").read_text()), lambda: 1000
)


class Small(OnNodes, Starting, DockerSpawner):
    _limits, only_node = None, ""


c.JupyterHub.spawner_class = Small
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.cleanup_servers = False
c.Spawner.hub_connect_url = "http://172.29.0.1:8081"
c.Spawner.cmd = "x"
c.Spawner.poll_interval = 600
c.DockerSpawner.client_kwargs = {{"base_url": f"unix://{{here}}/sockets/manager.sock"}}
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.image = "class"
c.DockerSpawner.network_name = "jupyterhub"
c.DockerSpawner.remove = True
c.DockerSpawner.use_internal_ip = True
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 30}}
"""
NAMES = ("manager", "a", "b")


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory = {"a": 6000, "b": 5000}
        for name in ("sockets", "links/a", "links/b"):
            (folder / name).mkdir(parents=True)
        nodes = [
            {"name": name, "number": number, "host": name, "ssh_port": 22, "address": f"172.28.0.{number + 1}", "subnet": "127.0.0.0/8", "gateway": "", "gpus": 0}
            for number, name in enumerate("ab", 1)
        ]  # fmt: skip
        (folder / "nodes.json").write_text(
            json.dumps({"manager": {"address": "172.28.0.1", "gpus": 0}, "nodes": nodes})
        )
        self.drained()
        self.over = threading.Event()
        threading.Thread(target=self._say, daemon=True).start()
        self.dockers = [
            subprocess.Popen([sys.executable, "-c", DOCKER, folder / f"sockets/{name}.sock", str(number)])
            for number, name in enumerate(NAMES, 1)
        ]

    def _say(self) -> None:
        while not self.over.wait(0.5):
            for name, left in list(self.memory.items()):
                said = {"memory_mb": left, "total_mb": 8000, "load": 0, "cpus": 2, "disk_free_mb": 9000, "homes": True}
                links.write(name, links.parsed(json.dumps(said), time.time()), self.folder / "links")

    def drained(self, *names: str) -> None:
        (self.folder / "drained").write_text(json.dumps(names))

    def containers(self, node: str) -> list[str]:
        words = ["curl", "-sS", "--unix-socket", self.folder / f"sockets/{node}.sock", "http://docker/containers/json"]
        found = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
        return [each["Names"][0] for each in found if each["State"] == "running"]

    def end(self) -> None:
        self.over.set()
        for docker in self.dockers:
            docker.terminate()
            docker.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("nodes"))
    yield site
    site.end()


@pytest.fixture(scope="module")
def hub(site: Site) -> Iterator[Hub]:
    (site.folder / "hub").mkdir()
    with running_hub(site.folder / "hub", SETTINGS.format(folder=str(site.folder))) as hub:
        yield hub
        for user in hub.users():
            hub.api("DELETE", f"/users/{user}/server")


def start(hub: Hub, user: str) -> None:
    """As a click does."""
    visitor = Visitor(hub)
    assert visitor.post("/hub/lti/launch", form(user)).response.status_code == 302
    visitor.get("/hub/spawn")
    wait(lambda: server(hub, user).get("ready"), f"{user} starts", hub)


def server(hub: Hub, user: str) -> dict[str, Any]:
    return dict(hub.api("GET", f"/users/{user}")["servers"].get("", {}))


def node_of(hub: Hub, user: str) -> str:
    """The service `test` is an administrator, and reads the state."""
    return str((server(hub, user).get("state") or {}).get("node", "manager"))


def wait(done: Callable[[], object], what: str, hub: Hub) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, f"{what}: {hub.log[-4000:]}"
        time.sleep(0.2)


def test_servers_on_nodes_from_the_first_click_to_a_lost_node_and_back(hub: Hub, site: Site) -> None:
    start(hub, "ada")
    assert node_of(hub, "ada") == "a" and len(site.containers("a")) == 1, hub.log[-3000:]
    site.drained("a")
    start(hub, "bob")
    assert node_of(hub, "bob") == "b" and server(hub, "ada")["ready"]
    site.drained()

    # The hub restarts, and both go on where they are.
    hub.stop()
    hub.start()
    wait(lambda: re.search("ada still running", hub.log) and re.search("bob still running", hub.log), "found", hub)
    assert (node_of(hub, "ada"), node_of(hub, "bob")) == ("a", "b")

    # Node a is lost: its Docker is not asked any more, and ada starts elsewhere.
    left = site.memory.pop("a")
    wait(lambda: not server(hub, "ada"), "ada's server is over", hub)
    assert "node a is lost: the servers of 1 people there are over" in hub.log
    assert server(hub, "bob")["ready"] and len(site.containers("a")) == 1
    start(hub, "ada")
    assert node_of(hub, "ada") == "b" and len(site.containers("b")) == 2

    # It is back: what runs there is nobody's, and goes before somebody starts there.
    site.memory["a"] = left
    wait(lambda: not site.containers("a"), "what was left is ended", hub)
    start(hub, "cy")
    assert node_of(hub, "cy") == "a"
    assert server(hub, "ada")["ready"] and len(site.containers("b")) == 2

    hub.api("DELETE", "/users/ada/server")
    wait(lambda: len(site.containers("b")) == 1, "it is stopped there", hub)
    assert "Traceback" not in hub.log, hub.log


def test_a_server_whose_node_dies_while_the_hub_is_down_is_over_after_its_time(hub: Hub, site: Site) -> None:
    start(hub, "dan")
    assert node_of(hub, "dan") == "a"
    hub.stop()
    site.memory.pop("a")
    time.sleep(3)
    hub.start()  # which waits for what it knows of
    wait(lambda: not server(hub, "dan"), "dan's server is over", hub)
    assert "dan is looked for until Docker answers (node a is away)" in hub.log, "it could have come back"
    assert "dan appears to have stopped while the Hub was down" in hub.log
    site.memory["a"] = 6000
    wait(lambda: not site.containers("a"), "what was left is ended", hub)
