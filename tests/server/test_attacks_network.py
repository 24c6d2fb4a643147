"""What a student's container reaches. Each test tries it, from a student's own notebook, on a server that is set up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from canvas import key_and_secret
from machines import Machine, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.params import Site
from hubrun.sections.docker_spawner import student_network
from hubrun.sections.hub import config
from hubrun.sections.verify import network_reach
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

STUDENTS = ("eve", "kim")
STATE = "/usr/local/lib/hubrun/student-network state"
# An address that is private and answers, as a campus's would: in a container without Docker's networks.
PRIVATE = "192.168.77.2"


@pytest.fixture(scope="module")
def site(machine: Machine) -> Site:
    return params.load(machine.site)


@pytest.fixture(scope="module")
def browsers(machine: Machine, site: Site) -> Iterator[dict[str, Browser]]:
    """Two students at work, in browsers of their own."""
    route = Route.to(site)
    found = {name: Browser(route) for name in STUDENTS}
    for name, browser in found.items():
        form = signed_form(site.launch_url, *key_and_secret(machine), name, user_id=f"opaque-{name}")
        assert browser.launch(site.launch_url, form).user == name
        browser.start(120)
    yield found
    for name, browser in found.items():
        browser.stop()
        machine.run("docker volume rm -f $1", f"jupyterhub-user-{name}")


@pytest.fixture(scope="module")
def eve(browsers: dict[str, Browser]) -> Browser:
    return browsers["eve"]


@pytest.fixture
def campus(machine: Machine, site: Site) -> Iterator[None]:
    """A web server at PRIVATE, beside the practice server."""
    start = """
        docker run -d --rm --name hubrun-test-campus --network none $1 python -m http.server 8080
        pid=$(docker inspect -f '{{.State.Pid}}' hubrun-test-campus)
        ip link add hubrun-campus type veth peer name campus netns "$pid"
        ip addr add 192.168.77.1/30 dev hubrun-campus
        ip link set hubrun-campus up
        nsenter -t "$pid" -n sh -c "ip addr add $2/30 dev campus; ip link set campus up"
    """
    machine.run(start, site.image_name, PRIVATE)
    machine.run(
        f"timeout 20 sh -c 'until curl -fsS -o /dev/null http://{PRIVATE}:8080/; do sleep 0.3; done' 2>/dev/null"
    )
    yield
    machine.run("docker rm -f hubrun-test-campus")


def tried(browser: Browser, *targets: tuple[str, int]) -> list[str]:
    """What comes of a connection to each, from the student's kernel."""
    found = network_reach.Survey((), (), (), (), (), ())
    answer: dict[str, Any] = json.loads(
        browser.run_cell(network_reach.cell(found, [network_reach.Group("", targets)], [], []))
    )
    return list(answer["probes"])


@contextmanager
def put_back(machine: Machine) -> Iterator[None]:
    try:
        yield
    finally:
        machine.run("systemctl start jupyterhub-network.service")


REFUSED = {"No route to host", "no answer", "Network is unreachable"}


def address(machine: Machine, user: str) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return machine.run('docker inspect -f "$1" $2', form, machine.container_of(user)).strip()


def test_a_student_reaches_the_hub_and_the_outside(machine: Machine, eve: Browser, site: Site) -> None:
    archive = machine.run("apt-get indextargets --format '$(SITE)' | sed -nE 's#^http://([^/]+).*#\\1#p'").split()[0]
    assert tried(eve, (site.gateway, 8081), (archive, 80)) == ["open", "open"]
    assert eve.run_cell(f"import urllib.request as u; print(u.urlopen('http://{site.gateway}:8081/hub/health').status)") == "200"  # fmt: skip


def test_a_student_cannot_take_all_connections_of_the_hub_nor_of_the_server(
    machine: Machine, eve: Browser, site: Site
) -> None:
    cell = f"""
import socket
hub = []
for _ in range(400):
    try:
        hub.append(socket.create_connection(({site.gateway!r}, 8081), 2))
    except OSError:
        break
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(5000):
    try:
        flood.sendto(b"x", (f"192.0.2.{{1 + number % 200}}", 10000 + number // 200))
    except OSError:
        pass
print(len(hub))
"""
    before = int(machine.run("cat /proc/sys/net/netfilter/nf_conntrack_count"))
    opened = int(eve.run_cell(cell))
    grown = int(machine.run("cat /proc/sys/net/netfilter/nf_conntrack_count")) - before
    assert 50 < opened <= 100 and grown < 1500, (opened, grown)
    assert eve.run_cell("for each in hub: each.close()\nprint('closed')") == "closed"


def test_a_student_reaches_no_port_of_the_server_by_any_of_its_addresses(
    machine: Machine, eve: Browser, site: Site
) -> None:
    own = machine.run('ip -4 -o addr show | awk \'$2 != "lo" {sub("/.*", "", $4); print $4}\'').split()
    assert site.gateway in own and "172.17.0.1" in own and len(own) >= 3, own
    targets = [(each, port) for each in own for port in network_reach.PORTS if (each, port) != (site.gateway, 8081)]
    assert set(tried(eve, *targets)) <= REFUSED


def test_a_student_reaches_no_other_student(machine: Machine, eve: Browser, browsers: dict[str, Browser]) -> None:
    kim = address(machine, "kim")
    assert set(tried(eve, (kim, 8888), (kim, 22))) <= REFUSED
    # And what keeps the second from the first is not Docker's own option alone.
    assert "icc=false" in machine.run("docker network inspect jupyterhub -f 'icc={{index .Options \"com.docker.network.bridge.enable_icc\"}}'")  # fmt: skip


def test_a_student_reaches_neither_metadata_nor_a_private_network(eve: Browser, campus: None) -> None:
    router = "10.213.255.1"  # nobody's: it is refused here, and not by a router that says so
    targets = [*network_reach.METADATA, (PRIVATE, 8080), ("192.168.77.1", 22), (router, 80), ("100.64.0.1", 80)]
    assert set(tried(eve, *targets)) <= REFUSED


def test_the_operator_may_allow_a_private_network_and_the_server_stays_closed(
    machine: Machine, eve: Browser, site: Site, campus: None
) -> None:
    rules = config.render("student-network.nft", site.model_copy(update={"student_networks": ["192.168.77.0/30"]}))
    kept = machine.run(f"cat {student_network.RULES}")
    load = f"cat > {student_network.RULES} && {student_network.PROGRAM} load"
    with put_back(machine):
        try:
            machine.run(load, data=rules.encode())
            assert tried(eve, (PRIVATE, 8080)) == ["open"]
            # 192.168.77.1 is the server's own address there.
            assert set(tried(eve, ("192.168.77.1", 22), (site.gateway, 22), ("169.254.169.254", 80))) <= REFUSED
        finally:
            machine.run(load, data=kept.encode())
    assert set(tried(eve, (PRIVATE, 8080))) <= REFUSED


def test_dns_does_not_tell_who_else_is_there(machine: Machine, eve: Browser, browsers: dict[str, Browser]) -> None:
    kim = address(machine, "kim")
    cell = f"""
import socket
def ask(question, *given):
    try:
        print(question(*given))
    except OSError as error:
        print("nothing")
ask(socket.gethostbyaddr, {kim!r})
for name in ("kim", "jupyter-kim", "jupyter-kim.jupyterhub"):
    ask(socket.gethostbyname, name)
"""
    backwards, *forwards = eve.run_cell(cell).splitlines()
    assert "kim" not in backwards
    assert forwards == ["nothing"] * 3


def test_a_container_has_neither_ipv6_nor_dockers_socket(eve: Browser) -> None:
    cell = """
import os
print(sorted({line.split()[5] for line in open("/proc/net/if_inet6")} if os.path.exists("/proc/net/if_inet6") else set()))
print([path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)])
"""
    interfaces, sockets = eve.run_cell(cell).splitlines()
    assert interfaces in ("[]", "['lo']") and sockets == "[]"


def test_rules_that_were_taken_away_come_back_by_themselves(machine: Machine, eve: Browser, site: Site) -> None:
    with put_back(machine):
        machine.run("nft delete table inet hubrun")
        assert machine.run(STATE).strip() == "not in force"
        assert tried(eve, (site.gateway, 22)) == ["open"], "so it was before there were rules"
        # What the timer starts each minute.
        assert (
            machine.run("systemctl show jupyterhub-network.timer -p Unit --value").strip()
            == "jupyterhub-network.service"
        )
        machine.run("systemctl is-active jupyterhub-network.timer; systemctl start jupyterhub-network.service")
    assert set(tried(eve, (site.gateway, 22))) <= REFUSED


def test_a_rule_that_was_changed_by_hand_is_drift_and_install_puts_it_back(machine: Machine, site: Site) -> None:
    machine.run("systemctl stop jupyterhub-network.timer; nft insert rule inet hubrun to_server accept")
    try:
        plan = hubrun("plan", machine.site, "--only", "04")
        assert plan.code == 2, plan.tail
        assert "changed by hand" in plan.output and "jupyterhub-network.timer" in plan.output, plan.tail
        ended = hubrun("install", machine.site, "--only", "04")
        assert ended.code == 0, ended.tail
    finally:
        machine.run("systemctl start jupyterhub-network.timer")
    assert machine.run(STATE).strip() == "in force"
    assert "accept" not in machine.run("nft list chain inet hubrun to_server").split("ct state")[0].partition("{")[2]
    with machine.undisturbed():
        again = hubrun("plan", machine.site, "--only", "04")
    assert again.code == 0, again.tail


def test_rules_are_loaded_before_any_container_runs(machine: Machine) -> None:
    assert (
        machine.run("systemctl is-enabled jupyterhub-network.service jupyterhub-network.timer").split()
        == ["enabled"] * 2
    )
    order = machine.run("systemctl show jupyterhub-network.service -p Before -p After")
    before, after = sorted(order.splitlines(), reverse=True)
    assert "docker.service" in before and "nftables.service" in after


def test_a_name_server_that_the_server_gets_is_allowed_within_a_minute(machine: Machine) -> None:
    old = machine.run("cat /etc/resolv.conf")
    with put_back(machine):
        try:
            machine.run("echo 'nameserver 10.99.0.53' >> /etc/resolv.conf; systemctl start jupyterhub-network.service")
            assert "10.99.0.53" in machine.run("nft list set inet hubrun resolvers")
        finally:
            machine.run("cat > /etc/resolv.conf", data=old.encode())
    assert "10.99.0.53" not in machine.run("nft list set inet hubrun resolvers")


def test_the_timers_of_a_server_run(machine: Machine) -> None:
    timers = machine.run("systemctl list-timers --no-legend")
    for name in ("logrotate.timer", "apt-daily.timer", "apt-daily-upgrade.timer", "jupyterhub-network.timer"):
        assert name in timers
    # Rotated by the service that the timer starts: nginx goes on in a new file.
    machine.run("logrotate --force /etc/logrotate.conf; test -e /var/log/nginx/access.log.1")
    assert "bookworm-security" in machine.run("unattended-upgrade --dry-run --verbose 2>&1 | grep '^Allowed origins'")
