"""What somebody who has taken over the hub's account may try with Docker, to become root or to reach another's container.

Each attack is carried out to its end, as that account: it counts as a success when the attacker has read what only the
server's own disk has, or Docker has done what was asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from machines import Machine

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

# Runs as the hub's account, in the system's Python. Prints for each attack whether it succeeded, and what was answered.
PROGRAM = r"""
import http.client, io, json, os, socket, sys, tarfile
IMAGE, DIRECT, FILTER = sys.argv[1], "/run/docker.sock", "/run/hubrun-docker-filter.sock"
way = FILTER if os.path.exists(FILTER) else DIRECT
secret = open("/etc/machine-id").read().strip()

def call(method, path, body=None, raw=None, way=way):
    connection = http.client.HTTPConnection("docker", timeout=90)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(90)
    connection.sock.connect(way)
    data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    connection.request(method, "/v1.41" + path, data, {"Content-Type": "application/x-tar" if raw else "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")

def host(**more):
    allowed = {
        "NetworkMode": "jupyterhub", "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "Memory": 2**27,
        "MemorySwap": 2**27, "PidsLimit": 64, "CpuPeriod": 100000, "CpuQuota": 50000,
    }
    return {**allowed, **more}

def made(top=None, **more):
    "Make a container; Docker has agreed to all of it then."
    body = {"Image": IMAGE, "HostConfig": host(**more), **(top or {})}
    status, text = call("POST", "/containers/create?name=jupyter-mal", body)
    if status == 201:
        call("DELETE", f"/containers/{json.loads(text)['Id']}?force=True")
    return status == 201, text

def runs(top=None, wanted=secret, name="jupyter-mal", **more):
    "Make a container, start it, and return what it printed."
    body = {"Image": IMAGE, "Cmd": ["cat", "/mnt/etc/machine-id"], "HostConfig": host(**more), **(top or {})}
    status, text = call("POST", "/containers/create?name=" + name, body)
    if status != 201:
        return False, text
    number = json.loads(text)["Id"]
    try:
        status, text = call("POST", f"/containers/{number}/start")
        if status != 204:
            return False, text
        status, text = call("POST", f"/containers/{number}/wait")
        status, text = call("GET", f"/containers/{number}/logs?stdout=1&stderr=1")
        return wanted in text, text
    finally:
        call("DELETE", f"/containers/{number}?force=True")

def by_a_volume():
    options = {"type": "none", "o": "bind", "device": "/"}
    status, text = call("POST", "/volumes/create", {"Name": "jupyterhub-user-mal", "DriverOpts": options})
    if status != 201:
        return False, text
    try:
        return runs(Binds=["jupyterhub-user-mal:/mnt:rw"])
    finally:
        call("DELETE", "/volumes/jupyterhub-user-mal")

def by_a_link():
    course = "/srv/nbgrader/attack"
    try:
        os.mkdir(course, 0o755)
        for name in ("inbound", "inbound/mal", "feedback", "feedback/mal", "course"):
            os.mkdir(f"{course}/{name}")
        os.symlink("/etc", f"{course}/outbound")
    except OSError as error:
        return False, type(error).__name__
    target = "/srv/nbgrader/exchange/attack/outbound"
    try:
        return runs({"Cmd": ["cat", target + "/machine-id"]}, Binds=[f"{course}/outbound:{target}:ro"])
    finally:
        os.unlink(f"{course}/outbound")
        for name in ("inbound/mal", "inbound", "feedback/mal", "feedback", "course", ""):
            os.rmdir(f"{course}/{name}")

def by_a_build():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        text = f"FROM {IMAGE}\nUSER 0\nRUN id".encode()
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    status, text = call("POST", "/build?rm=1&networkmode=none", raw=out.getvalue())
    return "uid=0(root)" in text, text

def asks(status, method, path, body=None):
    found, text = call(method, path, body)
    return found == status, text

def straight():
    status, text = call("GET", "/version", way=DIRECT)
    return status == 200, text

ATTACKS = {
    "Docker's own socket": straight,
    "the server's disk": lambda: runs(Binds=["/:/mnt:ro"]),
    "the server's disk by another kind of mount": lambda: runs(Mounts=[{"Type": "bind", "Source": "/", "Target": "/mnt"}]),
    "all privileges": lambda: made({"User": "0"}, Binds=["/:/mnt"], Privileged=True),
    "root": lambda: runs({"User": "0", "Entrypoint": ["id"], "Cmd": []}, "uid=0(root)"),
    "root who may mount": lambda: runs({"Cmd": ["sh", "-c", "grep CapBnd /proc/self/status"]}, "CapBnd:\t0000000000200000", CapAdd=["SYS_ADMIN"]),
    "the server's processes": lambda: runs({"Cmd": ["cat", "/proc/1/comm"]}, "systemd", PidMode="host"),
    "a volume that is the disk": by_a_volume,
    "a course that is a link": by_a_link,
    "a program in another's container": lambda: asks(201, "POST", "/containers/somebodys/exec", {"Cmd": ["id"], "AttachStdout": True}),
    "another's container, looked at": lambda: asks(200, "GET", "/containers/somebodys/json"),
    "another's container, stopped": lambda: asks(204, "POST", "/containers/somebodys/stop?t=0"),
    "an image of one's own": by_a_build,
    "a network of one's own": lambda: asks(201, "POST", "/networks/create", {"Name": "attack"}),
    "another network for a container": lambda: runs({"Cmd": ["echo", secret]}, NetworkMode="host"),
    "a container without limits": lambda: runs({"Cmd": ["echo", secret]}, Memory=0, MemorySwap=0, PidsLimit=0),
}
found = {}
for name, attack in ATTACKS.items():
    try:
        success, text = attack()
    except OSError as error:
        success, text = False, type(error).__name__
    found[name] = [success, text[-300:]]
    if name.startswith("a network") and success:
        call("DELETE", "/networks/attack")
print(json.dumps(found))
"""
# Attack → what has to be said; the filter's answers name the field or the call.
REFUSED = {
    "Docker's own socket": "PermissionError",
    "the server's disk": "'/:/mnt:ro' is not of the student",
    "the server's disk by another kind of mount": "HostConfig.Mounts is not allowed",
    "all privileges": "User is not allowed",
    "root": "User is not allowed",
    "root who may mount": "HostConfig.CapAdd is not allowed",
    "the server's processes": "HostConfig.PidMode is not allowed",
    "a volume that is the disk": "the hub does not need this call",
    "a course that is a link": "PermissionError",
    "a program in another's container": "the hub does not need this call",
    "another's container, looked at": "'somebodys' is not of a student's container",
    "another's container, stopped": "'somebodys' is not of a student's container",
    "an image of one's own": "the hub does not need this call",
    "a network of one's own": "the hub does not need this call",
    "another network for a container": "HostConfig.NetworkMode must be 'jupyterhub'",
    "a container without limits": "HostConfig.Memory must be",
}
# systemd-analyze security: 0 is closed, 10 open.
EXPOSURE = {"nginx": 3.0, "jupyterhub-proxy": 3.0, "jupyterhub": 2.0, "hubrun-docker-filter": 2.0}


@pytest.fixture(scope="module")
def attacked(machine: Machine) -> Iterator[dict[str, tuple[bool, str]]]:
    """What came of each attack. A container of somebody else's runs meanwhile."""
    image = machine.run(
        "python3 -c \"import json; print(json.load(open('/etc/jupyterhub/docker-filter.json'))['images'][0])\""
    ).strip()
    machine.run("docker run -d --rm --name somebodys --network none $1 sleep 600", image)
    try:
        found = machine.run('runuser -u jupyterhub -- python3 -I -c "$1" $2', PROGRAM, image, seconds=240)
        yield json.loads(found)
    finally:
        machine.run("docker rm -f somebodys")


@pytest.mark.parametrize("attack", REFUSED)
def test_the_hubs_account_does_not_become_root_by_docker(attacked: dict[str, tuple[bool, str]], attack: str) -> None:
    success, said = attacked[attack]
    assert not success and REFUSED[attack] in said, said


def test_every_attack_was_made(attacked: dict[str, tuple[bool, str]]) -> None:
    assert attacked.keys() == REFUSED.keys()


def test_what_was_refused_is_in_the_journal_with_the_way_to_allow_it(machine: Machine, attacked: object) -> None:
    journal = machine.run("journalctl -u hubrun-docker-filter -o cat --since -10min")
    assert (
        "refused: POST /v1.41/containers/create?name=jupyter-mal: HostConfig.Binds: '/:/mnt:ro' is not of the student"
        in journal
    )
    assert '"mounts" in /etc/jupyterhub/docker-filter-local.json' in journal


def test_hub_and_proxy_are_in_no_group_but_their_own(machine: Machine) -> None:
    for unit, account in (("jupyterhub", "jupyterhub"), ("jupyterhub-proxy", "jupyterhub-proxy")):
        status = machine.run('cat /proc/$(systemctl show "$1" -p MainPID --value)/status', unit)
        facts = dict(line.split(":", 1) for line in status.splitlines())
        own = machine.run("id -u $1; id -g $1", account).split()
        assert facts["Uid"].split() == [own[0]] * 4 and set(facts["Groups"].split()) <= {own[1]}
        assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0 and facts["NoNewPrivs"].strip() == "1"


def test_a_filter_that_dies_is_there_again_and_the_hub_waits_for_it(machine: Machine) -> None:
    ask = "for n in 1 2 3 4 5; do runuser -u jupyterhub -- curl -fsS --max-time 20 --unix-socket /run/hubrun-docker-filter.sock http://docker/version > /dev/null && echo ok; done"
    machine.run("kill -9 $(systemctl show hubrun-docker-filter -p MainPID --value)")
    assert machine.run(ask, seconds=110).split() == ["ok"] * 5


@pytest.mark.parametrize("unit", EXPOSURE)
def test_units_are_closed_as_far_as_they_go(machine: Machine, unit: str) -> None:
    found = json.loads(machine.run('systemd-analyze security --no-pager --json=short "$1.service"', unit))
    last = machine.run('systemd-analyze security --no-pager "$1.service" | tail -1', unit)
    assert found and float(last.split("service: ")[1].split()[0]) < EXPOSURE[unit], last


@pytest.mark.parametrize("unit", EXPOSURE)
def test_students_go_before_the_hub_when_memory_runs_out(machine: Machine, unit: str) -> None:
    found = machine.run('systemctl show "$1" -p MemoryMax -p OOMScoreAdjust', unit)
    facts = dict(line.split("=") for line in found.splitlines())
    assert facts["MemoryMax"].isdecimal() and int(facts["OOMScoreAdjust"]) <= -500
