"""The benchmarks' pure parts: what a figure comes to, what was changed, which state is compared; and the proxy."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))  # benchmarks are run from the checkout and not installed

from benchmarks import (  # noqa: E402
    baselines,
    figures,
    install,
    launch,
    many,
    many_hub,
    nothing,
    postgresql,
    processes,
    proxy,
    run,
    stand_in,
    state,
)
from benchmarks.figures import Figure  # noqa: E402

from hubrun import params  # noqa: E402
from hubrun.errors import CheckFailed, CommandFailed  # noqa: E402
from hubrun.ssh.session import Session  # noqa: E402
from sshd import Sshd  # noqa: E402

# -- figures


def test_the_ratio_is_that_of_the_medians_and_one_slow_round_does_not_spoil_it() -> None:
    figure = Figure("install", [40, 41, 300], [100, 102, 99], goal=0.41)
    assert figure.result == 0.41
    assert figure.verdict == "met"


def test_a_goal_that_is_just_missed_is_called_missed() -> None:
    assert Figure("install", [41.1], [100], goal=0.41).verdict == "MISSED"


def test_without_a_baseline_the_value_itself_is_compared() -> None:
    assert Figure("memory", [499.0, 480.0, 501.0], goal=500, unit="MB").verdict == "met"
    assert Figure("memory", [501.0], goal=500, unit="MB").verdict == "MISSED"


def test_what_was_not_measured_says_so_and_why() -> None:
    figure = Figure("eight", missing="no time was left", goal=2)
    assert figure.verdict == "not measured"
    assert "no time was left" in shown(figure)


def test_a_baseline_that_was_cut_short_can_show_that_a_goal_is_met_but_not_that_it_is_missed() -> None:
    assert Figure("install", [40], [200], goal=0.4, at_least=True).verdict == "met"
    assert Figure("install", [100], [200], goal=0.4, at_least=True).verdict == "unknown"
    assert "≥ 200" in shown(Figure("install", [40], [200], goal=0.4, at_least=True))


def test_the_table_shows_median_range_ratio_goal_and_verdict() -> None:
    text = shown(Figure("nothing to do", [4.0, 5.0, 6.5], [10.0, 10.0, 10.0], 0.25))
    for part in ("5.0 s (4.0–6.5)", "10.0 s", "0.50", "≤ 0.25", "MISSED"):
        assert part in text


def shown(*several: Figure) -> str:
    console = Console(width=160, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(figures.table(several))
    return console.export_text()


# -- what the other tools say they did


def test_a_change_by_pyinfra_is_seen_and_a_failure_is_no_result() -> None:
    def printed(**operation: list[str]) -> str:
        results = {"operations": [{"name": "file /etc/a", **operation}], "failed_hosts": []}
        return "--> some text\n" + json.dumps({"plan": [], "results": results}) + "\nmore"

    assert baselines.pyinfra_changes(printed(no_change=["server"], success=[])) == []
    assert baselines.pyinfra_changes(printed(no_change=[], success=["server"])) == ["file /etc/a"]
    with pytest.raises(CheckFailed):
        baselines.pyinfra_changes("Traceback …")


# -- a stand-in for the server


def test_the_server_is_asked_once_and_what_it_said_is_repeated_as_late_with_a_clock_that_goes_on(
    tmp_path: Path,
) -> None:
    sshd = Sshd(tmp_path)
    try:
        with stand_in.StandIn(params.build(sshd.parameters(), "test"), sshd.host_key) as server:
            known_hosts = tmp_path / "known_hosts_of_both"
            known_hosts.write_text(sshd.known(sshd.host_key).replace(str(sshd.port), str(server.port)))
            changes = {"ssh_port": server.port, "ssh_known_hosts_file": str(known_hosts)}
            site = params.build(sshd.parameters(**changes), "test")
            scripts = ["date +%s; echo 1700000000; sleep 0.6", "echo no >&2; exit 3"]
            answers = []
            for _ in range(3):
                session = Session.open(site)
                began = time.monotonic()
                answers.append((session.ask(scripts), time.monotonic() - began))
                session.close()
                time.sleep(1)
            assert (server.asked, server.unknown) == (3, 1)
            assert len([each for each in sshd.inputs if b"date +%s" in each]) == 1
    finally:
        sshd.close()
    clocks = []
    for outputs, took in answers:
        clock, constant = outputs[0].stdout.split()
        clocks.append(int(clock))
        assert (constant, outputs[1].exit_code) == ("1700000000", 3)
        assert took > 0.5
    assert clocks[0] + 2 <= clocks[2] <= clocks[0] + 12
    assert abs(clocks[2] - time.time()) < 5


RECAP = """
TASK [packages] ****************
ok: [server]

TASK [files] *******************
ok: [server] => (item=a)
{}: [server] => (item=b)

PLAY RECAP *********************
server                     : ok=2    changed={}    unreachable=0    failed={}    skipped=0
"""


def test_a_change_by_ansible_is_seen_and_a_failure_is_no_result() -> None:
    assert baselines.ansible_changes(RECAP.format("ok", 0, 0)) == []
    assert baselines.ansible_changes(RECAP.format("changed", 1, 0)) == ["files"]
    with pytest.raises(CheckFailed):
        baselines.ansible_changes(RECAP.format("ok", 0, 1))


def test_both_tools_are_pinned_with_hashes_and_no_index_is_named() -> None:
    text = baselines.PINS.read_text()
    assert "pyinfra==" in text and "ansible-core==" in text
    assert "://" not in text and "--index" not in text
    assert text.count("==") <= text.count("--hash=")


# -- the state that is compared


def test_labels_of_resources_say_what_the_other_tools_are_to_bring_about() -> None:
    wanted = state.wanted(
        [
            "packages nginx, curl", "packages curl", "no packages docker-ce", "user jupyterhub",
            "user jupyterhub outside sudo, adm, root", "file /etc/a.conf", "secrets /etc/b.env", "directory /etc/c",
            "no /etc/nginx/sites-enabled/default", "service nginx", "service certbot.timer",
            "Docker settings log-driver, live-restore", "Docker network jupyterhub", "image hubrun-singleuser",
            "virtual environment /opt/jupyterhub", "node packages /opt/jupyterhub/proxy", "certificate for hub.test",
        ]
    )  # fmt: skip
    assert wanted.packages == ["nginx", "curl"]
    assert wanted.no_packages == ["docker-ce"]
    assert wanted.users == ["jupyterhub"]
    assert wanted.files == ["/etc/a.conf", "/etc/docker/daemon.json", "/opt/jupyterhub/proxy/package-lock.json"]
    assert wanted.closed == ["/etc/b.env"]
    assert wanted.folders == ["/etc/c"]
    assert wanted.absent == ["/etc/nginx/sites-enabled/default"]
    assert wanted.units == ["nginx.service", "certbot.timer"]
    assert (wanted.networks, wanted.images) == (["jupyterhub"], ["hubrun-singleuser"])
    assert wanted.venvs == ["/opt/jupyterhub"]
    assert wanted.left_out == ["user jupyterhub outside sudo, adm, root", "certificate for hub.test"]


def test_docker_stats_is_read_in_mb() -> None:
    text = "jupyter-ada 96.5MiB / 1GiB\njupyter-bob 1.5GiB / 2GiB\n"
    assert launch.stats(text) == [("jupyter-ada", 96.5), ("jupyter-bob", 1536.0)]


def test_a_longer_runbook_has_its_summary_still_at_the_end(tmp_path: Path) -> None:
    book = PROJECT / "runbooks" / "01_server.ipynb"
    before = json.loads(book.read_text())["cells"]
    after = json.loads(nothing.with_steps(book, 5, tmp_path).read_text())["cells"]
    assert len(after) == len(before) + 5
    assert [cell["source"] for cell in after[-2:]] == [cell["source"] for cell in before[-2:]]


def test_the_parts_of_the_guide_are_told_from_when_each_ended() -> None:
    assert install.parts("text\n== server after 5 s\nmore\n== hub after 25 s\n") == "server 5 s, hub 20 s"


# -- processes


def test_a_process_that_takes_too_long_is_ended_with_its_children() -> None:
    done = processes.run(["sh", "-c", "sleep 60 & echo $!; wait"], 0.5)
    assert done.cut_short and done.seconds < 5
    status = Path(f"/proc/{int(done.output.split()[0])}/status")
    end = time.monotonic() + 10
    while status.exists() and "(zombie)" not in status.read_text():
        assert time.monotonic() < end, "it lives"
        time.sleep(0.05)


def test_the_memory_of_children_counts() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(60 << 20); import time; time.sleep(1)'])"
    done = processes.run([sys.executable, "-S", "-c", code], 20, watch=True)
    assert 60 < done.peak_mb < 200


# -- the proxy


class _Echo(socketserver.BaseRequestHandler):
    """Greets, as an SSH server does, and answers each line with itself."""

    def handle(self) -> None:
        self.request.sendall(b"hello\n")
        for line in self.request.makefile("rb"):
            self.request.sendall(line)


@pytest.fixture
def port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_proxy_counts_a_round_trip_for_each_answer_that_was_waited_for(port: int) -> None:
    with proxy.Proxy(port, 0.01) as slow:
        with socket.create_connection(("127.0.0.1", slow.port)) as client, client.makefile("rb") as lines:
            assert lines.readline() == b"hello\n"
            began = time.monotonic()
            for number in range(5):
                client.sendall(b"%d\n" % number)
                assert lines.readline() == b"%d\n" % number
            took = time.monotonic() - began
        (trips,) = slow.connections
    assert trips.count == 5
    assert 5 * 0.02 <= took < 5 * 0.02 + 0.5


def test_what_is_sent_without_waiting_is_one_round_trip_in_however_many_pieces(port: int) -> None:
    with proxy.Proxy(port, 0.1) as slow:
        with socket.create_connection(("127.0.0.1", slow.port)) as client, client.makefile("rb") as lines:
            lines.readline()
            for number in range(5):
                client.sendall(b"%d\n" % number)
                time.sleep(0.01)
            assert [lines.readline() for _ in range(5)] == [b"%d\n" % number for number in range(5)]
        assert slow.take()[0].count == 1
        assert slow.take() == []


def test_a_greeting_is_no_round_trip_and_an_end_is_passed_on(port: int) -> None:
    with proxy.Proxy(port, 0.01) as slow, socket.create_connection(("127.0.0.1", slow.port)) as client:
        client.settimeout(5)
        assert client.recv(100) == b"hello\n"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
        assert slow.connections[0].count == 0


def test_the_proxy_is_gone_afterwards_and_a_dead_target_closes_the_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = unused.getsockname()[1]
    with proxy.Proxy(dead, 0.001) as slow:
        there = slow.port
        with socket.create_connection(("127.0.0.1", there)) as client:
            client.settimeout(5)
            assert client.recv(10) == b""
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", there), timeout=1)


# -- the command


def test_a_part_that_is_not_known_is_refused_with_those_that_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--only", "nonsense"], cwd=PROJECT, capture_output=True
    )
    assert done.returncode == 2
    assert b"install" in done.stderr and b"trips" in done.stderr


def test_who_came_later_and_got_in_before_is_counted() -> None:
    assert launch.overtaken({}) == launch.overtaken({0: 1.0, 1: 2.0, 2: 3.0}) == 0
    assert launch.overtaken({0: 5.0, 1: 2.0, 2: 3.0, 4: 4.0, 9: 6.0}) == 3


# -- many people


def seen(times: float = 1.0) -> many.Seen:
    parts = {"hub": 0.1, "database": 0.02, "proxy": 0.01, "commits": 0.005}
    used = {name: value * times for name, value in parts.items()}
    return many.Seen([times, 2 * times, 3 * times], used, dict(used), times, times, times, dict(used))


def test_each_figure_of_many_is_of_both_databases() -> None:
    without = seen()
    without.cpu.pop("database")  # SQLite is in the hub
    found = {figure.name.partition(": ")[2]: figure for figure in many.compared(200, 20, seen(2.0), without)}
    assert found["a launch's requests"].result == 2.0
    assert found["processor of the hub for a start"].ours == [200.0]
    both = found["processor of hub and database for a start"]
    assert (both.ours, both.baseline) == ([pytest.approx(240.0)], [100.0])
    assert found["the hub waits for the database to write, for a start"].ours == [10.0]
    assert found["memory of the proxy"].unit == "MB"


def test_many_alone_needs_no_practice_server(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure("many", [1.0])
    asked: list[object] = []
    monkeypatch.setattr(many, "measure", lambda folder, say, steps: asked.append(steps) or [figure])
    monkeypatch.setattr(run.Bench, "_on_servers", lambda self: pytest.fail("it made a practice server"))
    assert run.Bench(["many"], quick=False).run() == [figure]
    assert run.Bench(["many"], quick=False, long=True).run() == [figure]
    assert asked == [many.STEPS, many.LONG]
    (left,) = run.Bench(["many"], quick=True).run()
    assert "left out" in left.missing


def test_where_many_cannot_be_measured_it_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgresql, "PROGRAMS", tmp_path)
    (figure,) = run.Bench(["many"], quick=False).run()
    assert "PostgreSQL: it is not installed. apt-get install postgresql" in figure.missing


def test_who_plays_the_students_answers_at_all_their_addresses_and_to_this_machine_alone() -> None:
    with many_hub.students() as port:
        for address in ("127.0.0.1", "127.1.3.9", "127.2.249.250"):
            with socket.create_connection((address, port), 5) as to:
                to.sendall(b"GET /user/ada/api HTTP/1.1\r\nHost: x\r\n\r\n")
                assert to.recv(100).startswith(b"HTTP/1.1 200 OK")
        socket.create_connection(("127.0.0.1", port), 5).close()  # who only looks ends nothing


def test_a_start_of_the_hub_that_fails_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = many_hub.Site(tmp_path / "hub", 1)

    def fails(seconds: float) -> None:
        raise AssertionError("the hub does not start:\nits log")

    monkeypatch.setattr(site.hub, "start", fails)
    with pytest.raises(CommandFailed) as caught:
        site.start_hub()
    assert "its log" in caught.value.detail
