"""An exam on a server: what is reached from a terminal in it, and that it begins and ends on time whatever the hub does.

The tests are one after the other in the exam's time. ada, ben and cleo are students of bio, tea teaches it, kim is in no exam. cleo has
more time.
canvas.exam.test stands for a host of the list, another beside it for the rest of the internet and a foreign resolver.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from canvas import key_and_secret
from machines import Machine, hubrun

from hubrun import params
from hubrun.errors import CheckFailed
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(1500)]

LISTED, OTHER, HOST = "198.51.100.10", "198.51.100.9", "canvas.exam.test"
PEOPLE = {
    "ada": ("bio-e", "Learner"),
    "ben": ("bio-e", "Learner"),
    "cleo": ("bio-e", "Learner"),
    "tea": ("bio-e", "Instructor"),
    "kim": ("chem-e", "Learner"),
}
# Until an exam has begun or ended, at the most: the timer, and the time that a server takes to stop.
LATE_S = 30
EXTRA = timedelta(minutes=2)
_OUTSIDE = """
import socket, socketserver, threading
class Dns(socketserver.BaseRequestHandler):
    def handle(self):
        data, asked = self.request
        print("asked", data, flush=True)
        asked.sendto(data, self.client_address)
threading.Thread(target=socketserver.UDPServer(("0.0.0.0", 53), Dns).serve_forever, daemon=True).start()
import http.server
for port in (53, 80, 443, 8080):
    threading.Thread(target=http.server.HTTPServer(("0.0.0.0", port), http.server.SimpleHTTPRequestHandler).serve_forever).start()
"""
# What a terminal in the exam reaches, as one JSON.
_PROBE = """
import json, os, socket
def tcp(host, port):
    try:
        socket.create_connection((host, port), 3).close()
        return "open"
    except OSError as error:
        return "closed"
def udp(host, port, data):
    try:
        asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asked.settimeout(3)
        asked.sendto(data, (host, port))
        asked.recv(512)
        return "open"
    except OSError as error:
        return "closed"
def name(text):
    try:
        return socket.gethostbyname(text)
    except OSError:
        return "unknown"
# A question for a name that has a secret in it: RFC 1035, 4.1.
question = b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x06secret\\x06tunnel\\x04test\\x00\\x00\\x10\\x00\\x01"
six = [line.split()[5] for line in open("/proc/net/if_inet6")] if os.path.exists("/proc/net/if_inet6") else []
print(json.dumps({
    "listed": tcp(%(host)r, 443), "listed address": tcp(%(listed)r, 80), "listed other port": tcp(%(listed)r, 8080),
    "other": tcp(%(other)r, 443), "other dns tcp": tcp(%(other)r, 53), "other dns udp": udp(%(other)r, 53, question),
    "docker dns": udp("127.0.0.11", 53, question), "gateway dns": udp(%(gateway)r, 53, question),
    "gateway ssh": tcp(%(gateway)r, 22), "hub": tcp(%(gateway)r, 8081), "metadata": tcp("169.254.169.254", 80),
    "name listed": name(%(host)r), "name other": name(%(outside)r), "six": sorted(set(six) - {"lo"}),
}))
"""


def clock(machine: Machine) -> datetime:
    return datetime.fromtimestamp(float(machine.run("date +%s.%N")[:17]), UTC)


def wait_until(machine: Machine, moment: datetime) -> None:
    time.sleep(max(0.0, (moment - clock(machine)).total_seconds()))


def gone(machine: Machine, container: str, seconds: float) -> bool:
    """Whether a container has ended within so many seconds."""
    until = time.monotonic() + seconds
    while machine.run("docker ps -q --filter name=$1", container).strip():
        if time.monotonic() > until:
            return False
        time.sleep(1)
    return True


class Room:
    """The exam's server, times and people."""

    def __init__(self, machine: Machine, begins: datetime, ends: datetime, people: dict[str, Browser]) -> None:
        self.machine, self.begins, self.ends, self.people = machine, begins, ends, people
        self.gateway = params.load(machine.site).gateway
        self.before: dict[str, str] = {name: machine.container_of(name) for name in people}

    def reached(self, who: str) -> dict[str, object]:
        outside = self.machine.run(
            "apt-get indextargets --format '$(SITE)' | sed -nE 's#^http://([^/]+).*#\\1#p'"
        ).split()[0]
        names = {"host": HOST, "listed": LISTED, "other": OTHER, "gateway": self.gateway, "outside": outside}
        return dict(json.loads(self.people[who].run_cell(_PROBE % names, 120)))


@pytest.fixture(scope="module")
def room(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    start = """
        docker run -d --rm -u 0 --name hubrun-test-exam --network none $1 python -c "$2"
        pid=$(docker inspect -f '{{.State.Pid}}' hubrun-test-exam)
        ip link add hubrun-exam type veth peer name outside netns "$pid"
        ip addr add 198.51.100.11/29 dev hubrun-exam && ip link set hubrun-exam up
        nsenter -t "$pid" -n sh -c "ip addr add $3/29 dev outside; ip addr add $4/29 dev outside; ip link set outside up; ip route add default via 198.51.100.11"
        cp /etc/hosts /root/hosts-before; echo "$3 canvas.exam.test" >> /etc/hosts
    """
    site = params.load(machine.site)
    machine.run(start, site.image_name, _OUTSIDE, LISTED, OTHER)
    begins = (clock(machine) + timedelta(minutes=5)).replace(second=0, microsecond=0)
    ends = begins + timedelta(minutes=5)
    exam = {
        "from": f"{begins:%Y-%m-%d %H:%M} UTC",
        "until": f"{ends:%Y-%m-%d %H:%M} UTC",
        "hosts": [HOST],
        "assignment": "midterm",
        "extra_minutes": {"cleo": EXTRA // timedelta(minutes=1)},
    }
    file = tmp_path_factory.mktemp("exam") / "site.yaml"
    file.write_text(
        yaml.safe_dump(yaml.safe_load(machine.site.read_text()) | {"courses": [{"course": "BIO-E", "exam": exam}]})
    )
    ended = hubrun("install", file, "--only", "04")
    assert ended.code == 0, ended.tail
    people = {}
    for name, (course, role) in PEOPLE.items():
        people[name] = Browser(Route.to(site))
        for each in (course, "math-e"):  # everybody is in another course too
            form = signed_form(
                site.launch_url, *key_and_secret(machine), name, user_id=f"opaque-{name}", course=each, role=role,
                context_label=each.upper(),
            )  # fmt: skip
            assert people[name].launch(site.launch_url, form).user == name
        people[name].stop()  # one of an earlier test, which has other folders
        people[name].start(120)
        people[name].run_cell(
            "import os; os.makedirs('BIO-E/midterm', exist_ok=True); open('BIO-E/midterm/midterm.ipynb', 'w').write('first')"
        )
    assert clock(machine) < begins, "the server was too slow for this test"
    yield Room(machine, begins, ends, people)
    machine.run("systemctl start jupyterhub; cat /root/hosts-before > /etc/hosts; docker rm -f hubrun-test-exam")
    for name, browser in people.items():
        browser.stop()
        machine.run("docker volume rm -f $1", f"jupyterhub-user-{name}")
    machine.run(
        "rm -rf /srv/nbgrader/bio-e /srv/nbgrader/chem-e /srv/nbgrader/math-e; systemctl disable --now hubrun-exam.timer hubrun-due.timer"
    )
    assert hubrun("install", machine.site, "--only", "04").code == 0


def started_again(browser: Browser) -> None:
    """As whoever clicks, and sees a page that goes on by itself until the hub has noticed that the server ended."""
    browser.kernel_id = ""
    for _ in range(11):
        with suppress(CheckFailed):
            browser.start(180)
            return
        time.sleep(5)
    browser.start(180)


def test_before_it_begins_a_student_reaches_the_outside(room: Room) -> None:
    found = room.reached("ada")
    assert (found["other"], found["other dns udp"]) == ("open", "open")


def test_it_begins_on_time_for_its_students_and_nobody_else(room: Room) -> None:
    wait_until(room.machine, room.begins)
    for name in ("ada", "ben", "cleo"):
        assert gone(room.machine, room.before[name], LATE_S), f"{name} works on"
    for name in ("tea", "kim"):
        assert room.machine.container_of(name) == room.before[name]
    for name in ("ada", "ben", "cleo"):
        started_again(room.people[name])
    notice = "import os; print(os.environ.get('HUBRUN_NOTICE', ''))"
    assert f"until {room.ends:%H:%M}" in room.people["ada"].run_cell(notice)
    assert f"until {room.ends + EXTRA:%H:%M}" in room.people["cleo"].run_cell(notice)
    assert room.people["kim"].run_cell(notice) == ""


IN_EXAM = {
    "listed": "open", "listed address": "open", "listed other port": "closed", "other": "closed", "other dns tcp": "closed",
    "other dns udp": "closed", "gateway dns": "closed", "gateway ssh": "closed", "hub": "open", "metadata": "closed",
    "name listed": LISTED, "name other": "unknown", "six": [],
}  # fmt: skip


def in_exam(room: Room) -> None:
    time.sleep(12)  # a turn of the timer
    asked = "docker logs hubrun-test-exam 2>&1 | grep -c secret || true"
    before = room.machine.run(asked)
    found = room.reached("ada")
    del found["docker dns"]  # Docker's own answers within the container; whether it asked anybody, others say
    assert found == IN_EXAM
    assert room.machine.run(asked) == before, "a question reached a resolver outside"


def test_from_a_terminal_in_it_nothing_but_the_list_is_reached(room: Room) -> None:
    in_exam(room)
    assert room.reached("kim")["other"] == "open", "and others work as before"


def test_its_servers_see_its_course_alone(room: Room) -> None:
    mounts = "print(sorted(line.split()[1] for line in open('/proc/mounts') if '/srv/nbgrader' in line))"
    assert "MATH-E" not in room.people["ada"].run_cell(mounts) and "BIO-E" in room.people["ada"].run_cell(mounts)
    assert "MATH-E" in room.people["tea"].run_cell(mounts)


def test_it_goes_on_with_the_hub_restarted_and_the_rules_loaded_again(room: Room) -> None:
    room.machine.run(
        "nft delete table inet hubrun; systemctl restart jupyterhub-network jupyterhub hubrun-docker-filter"
    )
    in_exam(room)


def test_it_ends_on_time_with_the_hub_down_and_what_stood_there_is_taken(room: Room) -> None:
    container, longer = room.machine.container_of("ada"), room.machine.container_of("cleo")
    room.people["ada"].run_cell("open('BIO-E/midterm/midterm.ipynb', 'w').write('last')")
    room.people["ben"].run_cell(
        "import os; os.rename('BIO-E/midterm', 'BIO-E/aside'); os.symlink('/etc', 'BIO-E/midterm')"
    )
    room.machine.run("systemctl stop jupyterhub")
    wait_until(room.machine, room.ends)
    assert gone(room.machine, container, LATE_S)
    time.sleep(5)
    taken = "cat /srv/nbgrader/bio-e/inbound/$1/*+midterm+*/midterm.ipynb 2>/dev/null || echo none"
    assert room.machine.run(taken, "ada").strip() == "last"
    assert room.machine.run(taken, "ben").strip() == "none", "a link is not followed"
    assert set(room.machine.run("ls /srv/nbgrader/bio-e/due").split()) >= {"ada", "ben"}
    assert not {"tea", "cleo"} & set(room.machine.run("ls /srv/nbgrader/bio-e/due").split())
    assert room.machine.run("docker ps -q --filter name=$1", longer).strip(), "who has more time works on"
    wait_until(room.machine, room.ends + EXTRA)
    assert gone(room.machine, longer, LATE_S)
    time.sleep(5)
    assert room.machine.run(taken, "cleo").strip() == "first"
    room.machine.run("systemctl start jupyterhub")


def test_afterwards_everything_is_as_before_and_what_was_taken_stays(room: Room) -> None:
    wait_until(room.machine, room.ends + timedelta(seconds=65))
    started_again(room.people["ada"])
    assert room.reached("ada")["other"] == "open"
    removed = "import subprocess; print(subprocess.run('rm -rf /srv/nbgrader/exchange/BIO-E/inbound/* 2> /dev/null', shell=True).returncode)"
    assert room.people["ada"].run_cell(removed) == "1"
    assert room.machine.run("ls /srv/nbgrader/bio-e/inbound/ada | wc -l").strip() == "1"
