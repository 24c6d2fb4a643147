"""What is looked at before anything is changed: the scripts run here, on what a server would show; and the remedies."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import proxy_server
from hubrun.desired.checks import Check
from hubrun.desired.diagnosis import remedy_for
from hubrun.desired.supported_systems import SYSTEMS
from hubrun.params import Site
from hubrun.sections.server import preflight
from hubrun.ssh.session import PROBE_SECONDS


class Machine:
    """A stand-in for a server: files and programs that say what the test wants, in place of this machine's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.moved: dict[str, str] = {}
        self.environment: dict[str, str] = {}

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
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", **self.environment}
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
    for image in ("base:1.2", "jupyter/scipy-notebook:2023-10-20", "my.own:1"):
        assert places(**own, base_image=image) == [], "a dot is a registry's before a slash alone"
    assert places(**own, base_image="localhost/base:1") == [("localhost", 443)]
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


# -- apt, which is asked itself -----------------------------------------------------------------------------------


class Apt:
    """Real apt on this machine, with sources, lists and settings of its own, and a mirror that is served here."""

    def __init__(self, machine: Machine) -> None:
        self.machine, root = machine, machine.root
        self.sources, self.conf = root / "sources.list", root / "apt.conf"
        for folder in ("lists", "parts", "mirror/dists/x", "run"):
            (root / folder).mkdir(parents=True)
        (root / "mirror/dists/x/Release").write_text("Origin: test\nSuite: x\nArchitectures: all\nComponents: main\n")
        self.settings = f'''
            Dir::Etc::sourcelist "{self.sources}"; Dir::Etc::sourceparts "{root}/parts"; Dir::Etc::parts "{root}/parts";
            Dir::State::status "/dev/null"; APT::Sandbox::User ""; Acquire::AllowInsecureRepositories "true";
            APT::Update::Post-Invoke {{ "touch {root}/hook"; }}; APT::Update::Post-Invoke-Success {{ "touch {root}/hook"; }};
        '''
        machine.moved["/var/lib/apt/lists"] = str(root / "lists")
        machine.moved["/etc/apt/"] = f"{root}/etc-apt/"
        machine.moved["/run/hubrun-apt"] = f"{root}/run/hubrun-apt"
        # What nobody answers is known at once.
        machine.moved['Timeout "10"'] = 'Timeout "2"'

    def judge(self, source: str, settings: str = "", **parameters: Any) -> Check:
        self.sources.write_text(f"deb {source} x main\n")
        self.conf.write_text(self.settings + settings)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("http_proxy", "https_proxy", "no_proxy"):
                patch.delenv(name, raising=False)
            self.machine.environment = {"APT_CONFIG": str(self.conf)}
            found = self.machine.judge("apt reaches", **parameters)
        assert list((self.machine.root / "run").iterdir()) == [] and not (self.machine.root / "hook").exists()
        return found


@pytest.fixture
def apt(machine: Machine) -> Apt:
    if not shutil.which("apt-get"):
        pytest.skip("no apt here")
    return Apt(machine)


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
def mirror(request: pytest.FixtureRequest, apt: Apt) -> Iterator[str]:
    """Where apt's mirror is served."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(apt.machine.root / "mirror"))
    SimpleHTTPRequestHandler.log_message = lambda *_: None  # type: ignore[assignment,misc]

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in request.param else socket.AF_INET

    try:
        server = Server((request.param, 0), handler)
    except OSError:
        pytest.skip("no IPv6 here")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    host = f"[{request.param}]" if ":" in request.param else request.param
    yield f"http://{host}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_apt_says_itself_whether_it_reaches_its_mirror(apt: Apt, mirror: str) -> None:
    check = apt.judge(mirror)
    assert check.ok and mirror in check.came, check.came
    # As Debian's cloud images have it.
    (apt.machine.root / "mirrors.list").write_text(f"{mirror}\n")
    check = apt.judge(f"mirror+file:{apt.machine.root}/mirrors.list")
    assert check.ok and "mirrors.list" in check.came, check.came
    assert apt.judge(f"file:{apt.machine.root}/mirror").ok


def test_a_mirror_that_apt_does_not_reach_is_told_in_apts_words(apt: Apt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check = apt.judge(f"http://127.0.0.1:{port}")
    assert not check.ok and "E: " in check.came and f"127.0.0.1:{port}" in check.came
    assert "http_proxy" in check.cause and "apt-get update" in check.cause
    assert not apt.judge("http://mirror.invalid/debian").ok
    (apt.machine.root / "mirrors.list").write_text(f"http://127.0.0.1:{port}\n")
    assert not apt.judge(f"mirror+file:{apt.machine.root}/mirrors.list").ok


def test_apts_own_proxy_is_used_as_apt_would(apt: Apt, mirror: str) -> None:
    with proxy_server.proxy("me:p:w") as there:
        there.leads = ("::1" if "[" in mirror else "127.0.0.1", int(mirror.rpartition(":")[2]))
        far = "http://deb.example.invalid/debian"
        (apt.machine.root / "mirror/debian").symlink_to(".")
        with_password = f'Acquire::http::Proxy "http://me:p%3aw@127.0.0.1:{there.port}/";'
        assert apt.judge(far, with_password).ok
        assert any("deb.example.invalid" in each for each in there.seen)
        strict = 'Acquire::AllowInsecureRepositories "false";'
        refused = apt.judge(far, f'{strict} Acquire::http::Proxy "http://127.0.0.1:{there.port}";')
        assert not refused.ok and "407" in refused.came, refused.came
        there.seen.clear()
        host = mirror.removeprefix("http://").rpartition(":")[0].strip("[]")
        assert apt.judge(
            mirror, f'Acquire::http::Proxy "http://127.0.0.1:1"; Acquire::http::Proxy::{host} "DIRECT";'
        ).ok
        assert there.seen == []


def test_the_sites_proxy_counts_before_01_has_told_apt_of_it(
    apt: Apt, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Site,
        "proxy_environment",
        property(lambda site: {"http_proxy": site.http_proxy.replace("proxy.example.edu", "127.0.0.1")}),
    )
    with proxy_server.proxy() as there:
        there.leads = ("::1" if "[" in mirror else "127.0.0.1", int(mirror.rpartition(":")[2]))
        assert apt.judge("http://deb.example.invalid/", http_proxy=f"http://proxy.example.edu:{there.port}").ok
        assert there.seen


@pytest.mark.parametrize("port", [443, 80])
def test_a_place_is_asked_for_by_way_of_the_sites_proxy(port: int) -> None:
    """The script by itself: the schema takes no proxy on the loopback."""
    with proxy_server.proxy() as there, socket.create_server(("127.0.0.1", 0)) as far:
        answers = threading.Thread(target=lambda: far.accept()[0].sendall(b"HTTP/1.0 200 OK\r\n\r\n"), daemon=True)
        answers.start()
        there.leads = far.getsockname()

        def reached() -> tuple[int, str]:
            script = preflight.quote(preflight._BY_PROXY, "127.0.0.1", there.port, "acme.example.edu", port)
            done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30, check=False)
            return done.returncode, done.stdout.strip()

        assert reached() == (0, "reached")
        assert there.seen == ["CONNECT acme.example.edu:443" if port == 443 else "HEAD http://acme.example.edu/"]
        there.refuses = True
        code, said = reached()
        assert code == 1 and said.startswith("the proxy answers: 403 Not by this proxy")
    assert reached()[0] != 0


def test_what_no_proxy_names_is_asked_for_without() -> None:
    site = Site(
        site="x",
        domain="hub.example.edu",
        http_proxy="http://proxy.example.edu:3128",
        no_proxy=["acme.example.edu", ".campus.edu", "10.0.0.0/8"],
    )
    for host, direct in {
        "acme.example.edu": True,
        "a.acme.example.edu": True,
        "registry.campus.edu": True,
        "campus.edu": True,
        "10.3.2.1": True,
        "quay.io": False,
        "notcampus.edu": False,
        "192.0.2.1": False,
    }.items():
        assert ("proxy.example.edu" in preflight._reached(site, host, 443)) != direct, host


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


def test_a_registry_is_not_asked_for_an_image_that_is_on_the_server(machine: Machine) -> None:
    machine.program("docker", '[ "$*" = "image inspect 127.0.0.1:1/base:1" ]')
    assert machine.judge("the server reaches 127.0.0.1", base_image="127.0.0.1:1/base:1", docker_channel="distro").ok
    machine.program("docker", "exit 1")
    check = machine.judge("the server reaches 127.0.0.1", base_image="127.0.0.1:1/base:1", docker_channel="distro")
    assert not check.ok


@pytest.mark.parametrize("proxy", ["", "http://proxy.example.edu:3128"])
def test_where_nothing_answers_that_is_said_before_the_time_of_all_questions_is_over(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tests are one question to the server."""
    monkeypatch.setenv("KEY", '{"type": "service_account", "project_id": "x", "private_key": "x", "client_email": "x"}')
    site = Site(site="x", domain="hub.example.edu", http_proxy=proxy, acme_dns="google", acme_dns_env="KEY")
    limits = [int(each) for test in preflight.preflight(site) for each in re.findall(r"\btimeout (\d+)", test.script)]
    assert len(limits) == 6 and sum(limits) <= PROBE_SECONDS - 10
