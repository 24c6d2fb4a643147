"""Three practice servers that are one site: students on each, separation, a node that is lost, one that is drained.

What stands in for a real network and a kernel with NFS and WireGuard: one Docker network of this machine, sshfs, wireguard-go.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from canvas import key_and_secret
from conftest import server as practice_server
from machines import Machine, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.sections.verify import network_reach
from lti_platform import signed_form

# Three installs and a quarter of an hour: --long has it, CI has not.
pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(1500)]

NAME = "nodes"
NODES = ("node-1", "node-2")
# What nobody but the servers themselves reaches: SSH, the web server, Docker, a Swarm's, the hub's and its proxy's, NFS's.
CLOSED = (22, 80, 443, 111, 2049, 2375, 2376, 2377, 4789, 5000, 7946, 8000, 8001, 8081, 8888, 51820)
HUB = "172.28.0.1"
# From the moment at which a node is gone until its students have their files elsewhere, in seconds.
AWAY_S = 75


@pytest.fixture(scope="module")
def site() -> Iterator[Machine]:
    for machine in practice_server(NAME, "--nodes", "3"):
        ended = hubrun("practice", "--name", NAME, "--nodes", "3", seconds=900)
        assert ended.code == 0, ended.tail
        yield Machine(machine.name)


def on(machine: Machine, node: str, script: str, *args: str) -> str:
    """What a script prints that is run as root on a node, past SSH."""
    return machine.docker("exec", "-i", server_of(machine, node), "sh", "-c", script, "sh", *args)


def server_of(machine: Machine, node: str) -> str:
    """The container that is this server; "manager" is the site's own."""
    return str(machine.info["container"]) + ("" if node == "manager" else f"-{node}")


def browser_of(machine: Machine, user: str) -> Browser:
    known = params.load(machine.site)
    browser = Browser(Route.to(known))
    form = signed_form(known.launch_url, *key_and_secret(machine), user, user_id=f"opaque-{user}")
    launch = browser.launch(known.launch_url, form)
    assert launch.user == user, launch.came
    return browser


def launched(machine: Machine, user: str, seconds: float = 120) -> Browser:
    browser = browser_of(machine, user)
    browser.start(seconds)
    return browser


def where(machine: Machine, user: str) -> str:
    """The one server on which a container of `user` runs; "" for none."""
    found = [node for node in ("manager", *NODES) if is_up(machine, node) and container_of(machine, node, user)]
    assert len(found) < 2, found
    return "".join(found)


def container_of(machine: Machine, node: str, user: str) -> str:
    """The id of a student's container on a node, by what it was told; "" for none."""
    shows = "docker ps -q --filter label=hubrun.student | xargs -r docker inspect -f '{{.Id}} {{.Config.Env}}'"
    return on(machine, node, f'{shows} | grep -F " JUPYTERHUB_USER=$1 " | cut -d" " -f1', user).strip()


def is_up(machine: Machine, node: str) -> bool:
    return machine.docker("inspect", "-f", "{{.State.Running}}", server_of(machine, node)).strip() == "true"


def address_of(machine: Machine, user: str) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    node = where(machine, user)
    return on(machine, node, 'docker inspect -f "$1" "$2"', form, container_of(machine, node, user)).strip()


def drained(machine: Machine, *nodes: str) -> None:
    """Exactly these nodes get no new servers."""
    for node in NODES:
        ended = hubrun("node", "drain" if node in nodes else "undrain", machine.site, node)
        assert ended.code == 0, ended.tail


def wait(reached: Callable[[], bool], seconds: float) -> float:
    """Wait until something is so; how many seconds that took."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() < began + seconds, f"not within {seconds} s"
        time.sleep(0.5)
    return time.monotonic() - began


def tried(browser: Browser, *targets: tuple[str, int]) -> list[str]:
    """What comes of a connection to each, from the student's kernel."""
    nothing = network_reach.Survey((), (), (), (), (), ())
    cell = network_reach.cell(nothing, [network_reach.Group("", targets)], [], [])
    answer: dict[str, Any] = json.loads(browser.run_cell(cell, 300))
    return list(answer["probes"])


@pytest.fixture(scope="module")
def people(site: Machine) -> Iterator[dict[str, Browser]]:
    """One student on each server, at work; by the server's name."""
    found: dict[str, Browser] = {}
    for number in range(12):
        if len(found) == 3:
            break
        user = f"eve{number}"
        # Nodes that have somebody already get nobody else; the manager has the least room, as the hub runs there.
        drained(site, *(node for node in NODES if node in found))
        browser = launched(site, user)
        node = where(site, user)
        if node in found:
            browser.stop()
            browser.close()
        else:
            found[node] = browser
    drained(site)
    assert set(found) == {"manager", *NODES}
    for node, browser in found.items():
        browser.run_cell(f"import os; answer = {node!r}; open('note', 'w').write(answer)")
    yield found
    for browser in found.values():
        with suppress(Exception):
            browser.stop()
        browser.close()


def test_a_second_run_changes_nothing(site: Machine) -> None:
    ended = hubrun("install", site.site, seconds=300)
    assert ended.code == 0 and {status for _, status in ended.results} == {"ok"}, ended.tail
    print(f"a second run: {ended.seconds:.1f} s")
    plan = hubrun("plan", site.site)
    assert plan.code == 0, plan.tail


def test_what_is_lost_on_a_node_is_named_and_made_again(site: Machine) -> None:
    on(site, "node-2", "rm /usr/local/lib/hubrun/node-link; nft delete table inet hubrun")
    plan = hubrun("plan", site.site, "--only", "04")
    assert plan.code == 2 and "node-2" in plan.output and "node-1:" not in plan.output, plan.tail
    ended = hubrun("install", site.site, "--only", "04")
    assert ended.code == 0, ended.tail
    changed = [resource for resource, status in ended.results if status == "changed"]
    assert changed and all("node-2" in each for each in changed), changed


# What is so on node-1 → how it is made, and put back, and what is said of it.
BAD = {
    "another release": (
        "cp /usr/lib/os-release /root/; sed -i 's/^VERSION_ID=.*/VERSION_ID=\"11\"/' /usr/lib/os-release",
        "cp /root/os-release /usr/lib/",
        "it runs what the site's server runs",
    ),
    "a member of a Swarm": (
        "mkdir -p /var/lib/docker/swarm; touch /var/lib/docker/swarm/docker-state.json",
        "rm /var/lib/docker/swarm/docker-state.json",
        "it is in no Swarm",
    ),
    "a clock that differs": (
        "printf '#!/bin/sh\\nexec /bin/date -d \"now + 90 seconds\" \"$@\"\\n' > /usr/local/bin/date; chmod 755 /usr/local/bin/date",
        "rm /usr/local/bin/date",
        "its clock is that of the site's server",
    ),
    "a full disk": (
        "printf '#!/bin/sh\\n/bin/df \"$@\" | sed -E \"2s/[0-9]+/1000/g\"\\n' > /usr/local/bin/df; chmod 755 /usr/local/bin/df",
        "rm /usr/local/bin/df",
        "disk",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_node_that_cannot_be_one_is_named_and_nothing_is_changed_anywhere(site: Machine, what: str) -> None:
    made, back, said = BAD[what]
    others = "find /etc /usr/local /opt -xdev ! -type d -printf '%p %s %T@\\n' | sort | sha256sum"
    on(site, "node-1", made)
    try:
        before = [on(site, node, others) for node in ("manager", *NODES)]
        ended = hubrun("install", site.site, "--only", "01")
        assert ended.code == 1 and "node-1" in ended.error and said in ended.error, ended.tail
        assert "node-2" not in ended.error, ended.tail
        assert {status for _, status in ended.results} <= {"ok"}, ended.results
        assert [on(site, node, others) for node in ("manager", *NODES)] == before
    finally:
        on(site, "node-1", back)


def test_students_on_each_server_have_their_files_on_the_one_disk(site: Machine, people: dict[str, Browser]) -> None:
    for node, browser in people.items():
        assert on(site, "manager", f"cat /srv/jupyterhub/homes/people/{browser.user}/note") == node


def test_links_of_all_kinds_work_on_each_server(people: dict[str, Browser]) -> None:
    makes = "import os; os.makedirs('d', exist_ok=True); os.symlink('/etc/hostname', 'd/whole'); os.symlink('../note', 'd/up')"
    for node, browser in people.items():
        said = browser.run_cell(f"{makes}; print(os.path.exists('d/whole'), open('d/up').read())")
        assert said == f"True {node}"


def test_a_student_reaches_no_student_on_another_server_nor_any_server(
    site: Machine, people: dict[str, Browser]
) -> None:
    others = {node: address_of(site, browser.user) for node, browser in people.items()}
    shows = 'ip -4 -o addr show | awk \'$2 != "lo" {sub("/.*", "", $4); print $4}\''
    servers = sorted({each for node in others for each in on(site, node, shows).split()})
    assert len(servers) >= 9, servers
    for node, browser in people.items():
        targets = [(each, port) for other, each in others.items() if other != node for port in CLOSED]
        targets += [(each, port) for each in servers for port in CLOSED]
        said = dict(zip(targets, tried(browser, *targets), strict=True))
        gateways = {(HUB, 8081), *((each, 8081) for each in servers if node == "manager" and each.endswith("29.0.1"))}
        reached = {target for target, answer in said.items() if answer == "open"}
        assert reached <= gateways and (node == "manager" or (HUB, 8081) in reached), (node, reached)
        assert not [
            target for target, answer in said.items() if answer == "Connection refused" and target not in gateways
        ], node


def test_from_outside_no_port_of_theirs_answers(site: Machine) -> None:
    """From this machine, which is in their network and none of them."""
    shows = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    for node in ("manager", *NODES):
        address, opened = site.docker("inspect", "-f", shows, server_of(site, node)).strip(), set()
        for port in CLOSED:
            with socket.socket() as asked:
                asked.settimeout(1)
                if not asked.connect_ex((address, port)):
                    opened.add(port)
        assert opened == ({22, 80, 443} if node == "manager" else {22}), (node, opened)


@pytest.mark.parametrize("nodes", [True, False], ids=["three servers", "the manager alone"])
def test_a_class_of_sixty_is_served(site: Machine, nodes: bool) -> None:
    """All of these servers share this machine's processors and memory: what is compared is who is served, not how fast."""
    drained(site, *(() if nodes else NODES))
    browsers = [browser_of(site, f"class{number:02d}") for number in range(60)]
    free = _free_mb()
    began = time.monotonic()

    def work(number: int) -> tuple[float, str]:
        time.sleep(max(0.0, began + number / 3 - time.monotonic()))
        at = time.monotonic()
        browsers[number].start(600)
        assert browsers[number].run_cell("print(6 * 7)", 120) == "42"
        return time.monotonic() - at, browsers[number].user

    try:
        with ThreadPoolExecutor(60) as pool:
            took, users = zip(*pool.map(work, range(60)), strict=True)
        taken = free - _free_mb()
        shows = "docker ps -q --filter label=hubrun.student | wc -l"
        there = {node: int(on(site, node, shows)) for node in ("manager", *NODES)}
        print(
            f"60 of {len(users)}: slowest {max(took):.1f} s, half {sorted(took)[30]:.1f} s, {taken} MB more in use, {there}"
        )
        assert sum(there.values()) >= 60 and (min(there.values()) > 5 if nodes else there["manager"] >= 60)
    finally:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda browser: (browser.stop(), browser.close()), browsers))
        drained(site)


def _free_mb() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))


def test_a_drained_node_keeps_who_is_there_and_gets_nobody(site: Machine, people: dict[str, Browser]) -> None:
    statuses: list[str] = []

    def launch(number: int) -> None:
        with closing(launched(site, f"drain{number}", 240)) as browser:
            statuses.append(where(site, browser.user))
            browser.stop()

    with ThreadPoolExecutor(4) as pool:
        begun = [pool.submit(launch, number) for number in range(4)]
        drained(site, "node-1")
        begun += [pool.submit(launch, number) for number in range(4, 12)]
        for each in begun:
            each.result()
    assert len(statuses) == 12, "0 refused"
    assert "node-1" not in statuses[8:], statuses
    assert people["node-1"].run_cell("print(answer)") == "node-1"
    listed = hubrun("node", "list", site.site)
    assert listed.code == 0 and "drained" in listed.output, listed.tail
    drained(site)


def test_the_manager_restarts_and_kernels_on_nodes_keep_their_variables(
    site: Machine, people: dict[str, Browser]
) -> None:
    site.docker("restart", "-t", "20", site.info["container"], seconds=120)

    def works(node: str) -> bool:
        with suppress(Exception):
            return people[node].run_cell("print(answer, open('note').read())", 20) == f"{node} {node}"
        return False

    for node in NODES:
        print(f"{node}: its kernel answers {wait(partial(works, node), 180):.1f} s after the manager's restart")


def test_a_node_is_lost_and_its_students_go_on_elsewhere(site: Machine, people: dict[str, Browser]) -> None:
    lost, other = people["node-1"], people["node-2"]
    answers: list[str] = []
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(2):
            answers.append(other.run_cell("print(answer)", 20))

    thread = threading.Thread(target=go_on)
    thread.start()
    site.docker("stop", "-t", "0", site.info["container"] + "-node-1", seconds=60)
    try:

        def again() -> bool:
            with suppress(Exception):
                lost.kernel_id = ""
                lost.start(20)
                return lost.run_cell("print(open('note').read())", 20) == "node-1"
            return False

        took = wait(again, AWAY_S)
        print(f"a lost node's student has their files elsewhere after {took:.1f} s")
        assert where(site, lost.user) in ("manager", "node-2")
        status = hubrun("status", site.site)
        assert "node-1" in status.output, status.tail
        ended_here = hubrun("install", site.site, "--only", "04")
        assert ended_here.code != 0 and "node-1" in ended_here.output, ended_here.tail
    finally:
        ended.set()
        thread.join()
        site.docker("start", site.info["container"] + "-node-1", seconds=60)
    assert set(answers) == {"node-2"}, "the others notice nothing"
    shows = "docker ps -q --filter name=jupyter- | wc -l"
    wait(lambda: on(site, "node-1", shows).strip() == "0", 120)
    lost.stop()
    drained(site, "node-2")
    wait(lambda: "node-1" in _new(site), 240)
    drained(site)


def _new(machine: Machine) -> str:
    with closing(launched(machine, "new")) as browser:
        try:
            return where(machine, "new")
        finally:
            browser.stop()
