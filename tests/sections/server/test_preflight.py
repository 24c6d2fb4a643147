"""What is looked at before anything is changed: the scripts run here, on what a server would show; and the remedies."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hubrun.desired.checks import Check
from hubrun.desired.diagnosis import remedy_for
from hubrun.desired.supported_systems import SYSTEMS
from hubrun.params import Site
from hubrun.sections.server import preflight


class Machine:
    """A stand-in for a server: files and programs that say what the test wants, in place of this machine's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.moved: dict[str, str] = {}

    def file(self, path: str, text: str) -> None:
        place = self.root / path.strip("/").replace("/", "-")
        place.write_text(text)
        self.moved[path] = str(place)

    def program(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def judge(self, title: str, **parameters: Any) -> Check:
        """What the one test whose title begins so finds here."""
        site = Site(**{"site": "x", "domain": "hub.example.edu", **parameters})
        (test,) = (test for test in preflight.preflight(site) if test.title.startswith(title))
        script = test.script
        for path, place in self.moved.items():
            script = script.replace(path, place)
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            ["sh", "-c", f"exec 2>&1\n{script}"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=30,
            check=False,
        )
        return test.judge(done.returncode, done.stdout)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("identity", "ok"),
    [*((key, True) for key in SYSTEMS), (("debian", "11"), False), (("fedora", "42"), False), (("debian", "1"), False)],
)
def test_only_systems_of_the_table_are_taken(machine: Machine, identity: tuple[str, str], ok: bool) -> None:
    machine.file("/etc/os-release", f'ID={identity[0]}\nVERSION_ID="{identity[1]}"\nPRETTY_NAME="The System"\n')
    check = machine.judge("operating system")
    assert (check.ok, "The System" in check.came) == (ok, True)
    assert ok or check.cause == "Use Debian 12, Debian 13, Ubuntu 22.04, Ubuntu 24.04"


@pytest.mark.parametrize(
    ("arch", "ok"), [("amd64", True), ("arm64", True), ("armhf", False), ("md64", False), ("i386", False)]
)
def test_only_known_processors_are_taken(machine: Machine, arch: str, ok: bool) -> None:
    machine.program("dpkg", f"echo {arch}")
    assert machine.judge("processor").ok == ok


@pytest.mark.parametrize(("kb", "ok"), [(1800 * 1024, True), (1799 * 1024, False), (16_000_000, True)])
def test_memory_is_compared_with_the_bound(machine: Machine, kb: int, ok: bool) -> None:
    machine.file("/proc/meminfo", f"MemTotal:  {kb} kB\nMemFree: 5 kB\n")
    check = machine.judge("memory", min_memory_mb=1800)
    assert check.ok == ok and f"{kb // 1024} MB" in check.came


DF = 'case $2 in {full}) left={left};; *) left=50000;; esac\necho "Filesystem MB Used Available"\necho "/dev/x 60000 1 $left 1% /"'


@pytest.mark.parametrize(
    ("full", "left", "says"),
    [
        ("none", 0, "50000 MB left"),
        ("/var", 12287, "/var has 12287 MB left, 12288 MB are needed"),
        ("/", 100, "/ has 100 MB left"),
        ("/tmp", 64, "50000 MB left"),
        ("/tmp", 63, "/tmp has 63 MB left, 64 MB are needed"),
    ],
)
def test_each_place_that_fills_up_is_named(machine: Machine, full: str, left: int, says: str) -> None:
    machine.program("df", DF.format(full=full, left=left))
    machine.moved["/opt/jupyterhub"] = str(machine.root / "nowhere")
    check = machine.judge("disk space", min_disk_gb=12)
    assert says in check.came
    assert check.ok == (says == "50000 MB left")


def test_what_cannot_be_found_out_has_not_passed(machine: Machine) -> None:
    machine.program("df", "exit 1")
    assert not machine.judge("disk space").ok
    machine.file("/proc/meminfo", "")
    assert not machine.judge("memory").ok
    machine.program("awk", "exit 2")
    assert not machine.judge("port 80 ").ok
    machine.moved["/run/systemd/system"] = str(machine.root)
    machine.program("systemctl", "exit 1")
    assert not machine.judge("systemd").ok


@pytest.mark.parametrize(("left", "ok"), [(1024, True), (1023, False)])
def test_an_installed_hub_has_used_the_space_already(machine: Machine, left: int, ok: bool) -> None:
    machine.program("jupyterhub", "")
    machine.moved["/opt/jupyterhub"] = str(machine.root)
    machine.program("df", DF.format(full="/srv", left=left))
    assert machine.judge("disk space", min_disk_gb=12).ok == ok


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Any:
    """A port of this machine that this process holds."""
    try:
        with socket.create_server(
            ("127.0.0.1" if request.param == socket.AF_INET else "::1", 0), family=request.param
        ) as server:
            yield server
    except OSError:
        pytest.skip("no IPv6 here")


def port(listener: socket.socket, machine: Machine, number: int = 0) -> Check:
    """The finding about port 80, where the port of `listener`, or this number, stands for it."""
    machine.moved["port=80\n"] = f"port={number or listener.getsockname()[1]}\n"
    return machine.judge("port 80 is free")


def test_who_holds_a_port_is_named(listener: socket.socket, machine: Machine) -> None:
    check = port(listener, machine)
    name = Path("/proc/self/comm").read_text().strip()
    assert not check.ok
    assert check.came == f"exit code 1, held by {name} (process {os.getpid()})"
    assert "systemctl disable --now" in check.cause


@pytest.mark.slow
def test_nginx_may_hold_the_port(listener: socket.socket, machine: Machine) -> None:
    machine.program("cat", "echo nginx")
    assert port(listener, machine).ok


def test_a_free_port_is_free(listener: socket.socket, machine: Machine) -> None:
    number = listener.getsockname()[1]
    listener.close()
    assert port(listener, machine, number).ok


def test_a_connection_from_the_port_to_elsewhere_does_not_hold_it(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert port(client, machine).ok  # it is in state ESTABLISHED


@pytest.mark.parametrize(("skew", "ok"), [(0, True), (13, True), (-13, True), (60, False), (-60, False)])
def test_a_clock_that_is_off_is_told_with_its_error(machine: Machine, skew: int, ok: bool) -> None:
    machine.program("date", f"echo {int(time.time()) + skew}")
    check = machine.judge("clock")
    assert check.ok == ok
    assert ok or (f"{skew} s" in check.came or f"{skew - 1} s" in check.came) and "timedatectl" in check.cause


def test_it_looks_for_the_places_that_the_parameters_will_need() -> None:
    def places(**parameters: Any) -> list[tuple[str, int]]:
        return preflight._outside(Site(**{"site": "x", "domain": "hub.example.edu", **parameters}))

    assert places() == [("acme-v02.api.letsencrypt.org", 443), ("download.docker.com", 443), ("quay.io", 443)]
    own = {"tls": "files", "tls_certificate": "/c", "tls_key": "/k", "docker_channel": "distro"}
    assert places(**own, base_image="local/base:1") == []
    assert places(**own, base_image="registry.example.edu:5000/base:1") == [("registry.example.edu", 5000)]
    assert places(acme_directory="https://acme.example.edu:14000/dir", docker_channel="distro", base_image="base") == [
        ("acme.example.edu", 14000)
    ]
    assert places(
        **own | {"docker_channel": "docker-ce"}, docker_apt_url="http://mirror.example.edu/d", base_image="base"
    ) == [("mirror.example.edu", 80)]


def test_a_place_that_does_not_answer_fails_and_one_that_does_passes(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"https://127.0.0.1:{server.getsockname()[1]}/dir"
        assert machine.judge("the server reaches 127.0.0.1", acme_directory=here).ok
    assert not machine.judge("the server reaches 127.0.0.1", acme_directory=here).ok


@pytest.mark.parametrize(
    ("proxy", "targets", "host"),
    [
        ("", "http://127.0.0.1:PORT/debian", "127.0.0.1:PORT"),
        ("http://127.0.0.1:PORT/", "http://deb.example.invalid/debian", "127.0.0.1:PORT"),
    ],
    ids=["mirror", "proxy"],
)
def test_the_package_mirror_or_apts_proxy_must_answer(machine: Machine, proxy: str, targets: str, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = str(server.getsockname()[1])
        machine.program("apt-config", f"echo {proxy.replace('PORT', number)}")
        machine.program("apt-get", f"""echo "'{targets.replace("PORT", number)}/InRelease' deb_InRelease 0 ;" """)
        assert (
            machine.judge("the server reaches its package mirror").came
            == f"exit code 0, {host.replace('PORT', number)}"
        )
    assert not machine.judge("the server reaches its package mirror").ok


def test_every_finding_comes_with_a_remedy() -> None:
    tests = preflight.preflight(Site(site="x", domain="hub.example.edu"))
    assert len(tests) == len({test.title for test in tests}) >= 12
    assert [test.title for test in tests if not test.remedy] == []


# -- remedies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("cp: error writing 'x': No space left on device", "The disk is full"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "The disk is full"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend", "Another apt or dpkg"),
        ("Err:1 http://mirror.example Temporary failure resolving 'mirror.example'", "cannot resolve"),
        ("curl: (6) Could not resolve host: pypi.example", "cannot resolve"),
        ("SSLError(CertificateError: certificate verify failed: self-signed certificate", "ca_certificates"),
        ("invalid peer certificate: UnknownIssuer", "ca_certificates"),
        ("x509: certificate signed by unknown authority", "ca_certificates"),
        ("E: Failed to fetch http://x Hash Sum mismatch", "The mirror sent something other"),
        ("W: GPG error: NO_PUBKEY 7EA0A9C3F273FCD8", "signature"),
        ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", "Another program has the port"),
        ("curl: (7) Failed to connect to x port 443: Connection refused", "A download failed"),
        ("toomanyrequests: You have reached your pull rate limit", "limits requests"),
        ("virtual memory exhausted: Cannot allocate memory", "swap_mb"),
        ("touch: cannot touch 'x': Read-only file system", "read-only"),
        ("something new", "it carries on from what is there"),
        ("", "it carries on from what is there"),
    ],
)
def test_a_failure_that_everybody_meets_has_its_remedy(text: str, remedy: str) -> None:
    assert remedy in remedy_for(f"Reading package lists...\n{text}\n")
