"""From the signed POST to a kernel that answers, against `docker run` of the same image; and a class of a hundred."""

from __future__ import annotations

import os
import re
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from benchmarks.figures import Figure

from hubrun import server_paths
from hubrun.desired.server import Server
from hubrun.errors import CheckFailed, HubrunError
from hubrun.lms import browser as browsers
from hubrun.lms import kernel_client
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.lms.lti11 import LaunchRequest
from hubrun.practice.docker_engine import Say
from hubrun.sections.verify import outside_checks
from hubrun.sections.verify.test_users import STUDENTS
from hubrun.sections.verify.verification import Verification
from hubrun.shell import quote

LIMIT = 120.0  # seconds for one launch
CLASS_LIMIT = 600.0
STUDENTS_OF_CLASS = 100
ARRIVE_WITHIN = 30.0  # seconds
_POLL = 0.1
_PORT = 8899
_PORTS = 9100  # of a class
_PROBE, _VOLUME, _TOKEN = "hubrun-bench", "hubrun-bench", "bench"


@dataclass(frozen=True)
class Launches:
    """Students of a converged server. address: where its published ports are reached from here."""

    server: Server
    address: str
    say: Say

    def __post_init__(self) -> None:
        browsers._POLL_S = _POLL  # else what is measured is how often we ask

    @property
    def canvas(self) -> Verification:
        return Verification(self.server)

    def one(self, rounds: int) -> list[Figure]:
        """One student at a time, without a home yet, and `docker run` with the same limits and a new volume."""
        ours: list[float] = []
        theirs: list[float] = []
        work: list[float] = []
        bare_work: list[float] = []
        try:
            for number in range(-1, rounds):
                before = _worked()
                took = self._student(STUDENTS[0])
                between = _worked()
                bare = self._docker_run()
                after = _worked()
                self.canvas.clean_up()
                if number < 0:
                    continue  # the first reads the image from disk
                ours.append(took)
                theirs.append(bare)
                work.append(between - before)
                bare_work.append(after - between)
                self.say(f"  round {number + 1}: {took:.1f} s, docker run {bare:.1f} s")
        finally:
            self.canvas.clean_up()
        note = "of the whole machine: server, and who launches"
        return [
            Figure("launch to a kernel that answers: docker run", ours, theirs, 1.1),
            Figure("processor-seconds of a launch until then: docker run", work, bare_work, note=note),
        ]

    def of_a_class(self) -> list[Figure]:
        """A hundred students who launch within thirty seconds; each runs a cell. All are gone afterwards.

        Beside as many `docker run` of the image at the same pace, without a hub.
        """
        canvas = self.canvas
        names = [f"hubrunbench{number:03d}" for number in range(STUDENTS_OF_CLASS)]
        site = self.server.site
        # Signed at once: the last launches when its signature is 30 s old, and minutes are allowed.
        signed = canvas.sign([LaunchRequest(site.launch_url, canvas.form(name)) for name in names])
        opened: list[Browser] = []
        failures: list[str] = []
        seconds: list[float] = []
        ready: dict[int, float] = {}
        lock = threading.Lock()
        began = time.monotonic()

        def arrive(number: int) -> None:
            time.sleep(max(0.0, began + number * ARRIVE_WITHIN / STUDENTS_OF_CLASS - time.monotonic()))
            browser = Browser(canvas.route)
            with lock:
                opened.append(browser)
            try:
                at, took = _work(browser, site.launch_url, signed[number], names[number], CLASS_LIMIT)
            except HubrunError as error:
                with lock:
                    failures.append(f"{names[number]}: {error.what}")
            else:
                with lock:
                    seconds.append(took)
                    ready[number] = at

        try:
            with ThreadPoolExecutor(STUDENTS_OF_CLASS) as pool:
                list(pool.map(arrive, range(STUDENTS_OF_CLASS)))
            memory = self._memory(names)
        finally:
            self._gone(opened, names)
        bare = self._docker_runs()
        note = failures[0] if failures else ""
        title = f"{STUDENTS_OF_CLASS} students within {ARRIVE_WITHIN:.0f} s"
        missing = "" if seconds else "nobody was served"
        return [
            Figure(f"{title}: not served", [len(failures)], goal=0, unit="", note=note),
            Figure(
                f"{title}: half of them to a kernel's answer: docker run at the same pace", _half(seconds), _half(bare), 1.3, missing=missing,
                note=_spread(seconds),
            ),
            Figure(
                f"{title}: slowest to a kernel's answer: docker run at the same pace", [max(seconds, default=0)], [max(bare, default=0)], 1.3,
                missing=missing, note=f"{len(bare)} of {STUDENTS_OF_CLASS} docker run answered; {_spread(bare)}",
            ),
            Figure(
                f"{title}: overtaken on the way to JupyterLab, at most", [overtaken(ready)], unit="students", missing=missing,
                note="as many as start at once may be",
            ),
            Figure(
                f"{title}: memory of one student's container", [statistics.median(memory)] if memory else [], unit="MB",
                missing="" if memory else "docker stats named none", note="median; JupyterLab and one kernel",
            ),
        ]  # fmt: skip

    def _student(self, name: str) -> float:
        canvas, url = self.canvas, self.server.site.launch_url
        (signed,) = canvas.sign([LaunchRequest(url, canvas.form(name))])
        with Browser(canvas.route) as browser:
            return _work(browser, url, signed, name, LIMIT)[1]

    def _docker_run(self) -> float:
        """Seconds from `docker run` to a kernel's answer; what the SSH command itself costs is taken off."""
        before = time.monotonic()
        self.server.run("true")
        overhead = time.monotonic() - before
        try:
            began = time.monotonic()
            self.server.run("{}", self._bare(_PROBE, _VOLUME, _PORT), seconds=60)
            return self._kernel_answers(_PORT, began, LIMIT) - overhead
        finally:
            self.server.run("docker rm -f {} && docker volume rm {}", _PROBE, _VOLUME, check=False)

    def _docker_runs(self) -> list[float]:
        """Seconds of each `docker run` of a class that answered, at the pace of the class and all from the server itself."""
        numbers = range(STUDENTS_OF_CLASS)
        pause = f"{ARRIVE_WITHIN / STUDENTS_OF_CLASS:.3f}"
        starts = [
            quote(
                "{} > /dev/null 2>&1 &\nsleep {}\n",
                self._bare(f"{_PROBE}-{each}", f"{_VOLUME}-{each}", _PORTS + each),
                pause,
            )
            for each in numbers
        ]
        found: list[float] = []
        began = time.monotonic()

        def answers(number: int) -> None:
            came = began + number * ARRIVE_WITHIN / STUDENTS_OF_CLASS
            time.sleep(max(0.0, came - time.monotonic()))
            with suppress(HubrunError):  # one that did not answer
                found.append(self._kernel_answers(_PORTS + number, came, CLASS_LIMIT))

        try:
            with ThreadPoolExecutor(STUDENTS_OF_CLASS + 1) as pool:
                started = pool.submit(self.server.run, f"{''.join(starts)}wait", seconds=CLASS_LIMIT, check=False)
                list(pool.map(answers, numbers))
                started.result()
        finally:
            names = [f"{_PROBE}-{each}" for each in numbers]
            self.server.run("docker rm -f {}; docker volume rm {}", names, names, seconds=300, check=False)
        return found

    def _bare(self, name: str, volume: str, port: int) -> list[str]:
        """The command of a container with the limits of a student's, whose JupyterLab is at a port of the server."""
        site = self.server.site
        memory = f"{site.user_memory_mb}m"
        return [
            "docker", "run", "-d", "--name", name, "--network", server_paths.NETWORK, "-p", f"{port}:8888",
            "-v", f"{volume}:/home/jovyan", "--memory", memory, "--memory-swap", memory, "--cpus", str(site.user_cpus),
            "--pids-limit", str(site.user_processes), "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init",
            site.image_name, "start-notebook.py", f"--IdentityProvider.token={_TOKEN}",
        ]  # fmt: skip

    def _kernel_answers(self, port: int, began: float, limit: float) -> float:
        """Seconds from `began` to the answer of a kernel of the JupyterLab at this port. Raises CheckFailed."""
        # A name of its own and an address: so that no web proxy of this machine is asked.
        route = Route(f"http://bench.localhost:{port}", self.address)
        headers = {"Authorization": f"token {_TOKEN}", "Origin": route.url}
        try:
            with route.client(limit) as client:
                _until(lambda: client.get(f"{route.url}/lab", headers=headers).is_success, began + limit)
                started = client.post(f"{route.url}/api/kernels", headers=headers, json={}).raise_for_status().json()
            url = f"ws://bench.localhost:{port}/api/kernels/{started['id']}/channels"
            _answers(kernel_client.execute(route, url, headers, "6*7", limit), "docker run")
            return time.monotonic() - began
        except httpx.HTTPError as error:
            raise CheckFailed(f"no kernel was started ({error})", "docker run") from None

    def _memory(self, names: Sequence[str]) -> list[float]:
        """MB that each student's container uses, as docker stats has it: without the page cache."""
        wanted = [f"volume=jupyterhub-user-{name}" for name in names]
        found = self.server.run("for each in {}; do docker ps --filter $each --format {}; done", wanted, "{{.Names}}")
        containers = found.stdout.split()
        # A container that has gone would make docker stats say nothing of the others.
        script = "docker stats --no-stream --format {} $(docker ps --format {})"
        shown = self.server.run(script, "{{.Name}} {{.MemUsage}}", "{{.Names}}", seconds=60, check=False).stdout
        return [used for name, used in stats(shown) if name in containers]

    def _gone(self, opened: Sequence[Browser], names: Sequence[str]) -> None:
        def stop(browser: Browser) -> None:
            try:
                if browser.user:
                    browser.stop()
            except HubrunError:
                pass  # its container is removed below
            finally:
                browser.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(stop, opened))
        left = "for name in {}; do docker rm -f $(docker ps -aq --filter volume=jupyterhub-user-$name); docker volume rm jupyterhub-user-$name; done >/dev/null 2>&1"
        self.server.run(left, names, seconds=180, check=False)


def _work(browser: Browser, url: str, signed: dict[str, str], name: str, limit: float) -> tuple[float, float]:
    """When JupyterLab was there (monotonic), and seconds from the POST to a kernel's answer. Raises CheckFailed."""
    began = time.monotonic()
    accepted = outside_checks.check_accepted(browser.launch(url, signed), name)
    if not accepted.ok:
        raise CheckFailed(f"the launch was refused: {accepted.came}", name)
    browser.start(limit)
    ready = time.monotonic()
    _answers(browser.run_cell("6*7", limit), name)
    return ready, time.monotonic() - began


def _answers(came: str, who: str) -> None:
    if came != "42":
        raise CheckFailed(f"the kernel answered {came!r}", who)


def _until(ready: Callable[[], bool], deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass  # nothing listens yet
        time.sleep(_POLL)
    raise CheckFailed(f"JupyterLab did not answer within {LIMIT:.0f} s", "docker run")


def overtaken(ready: Mapping[int, float]) -> int:
    """The most places that one student lost: how many came after them and had JupyterLab before. Pure."""
    return max((sum(ready[later] < at for later in ready if later > number) for number, at in ready.items()), default=0)


def _worked() -> float:
    """Seconds that all processors together have worked since this machine started (proc_stat(5))."""
    _, user, nice, system, _, _, irq, softirq, *_ = Path("/proc/stat").read_text().split()[:8]
    return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")


def _half(seconds: Sequence[float]) -> list[float]:
    return [statistics.median(seconds)] if seconds else []


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    return f"fastest {min(seconds):.0f} s, median {statistics.median(seconds):.0f} s"


def stats(text: str) -> list[tuple[str, float]]:
    """(container, MB) of each line of `docker stats` such as "jupyter-ada 96.3MiB / 1GiB". Pure."""
    factor = {"B": 2**-20, "KiB": 2**-10, "MiB": 1.0, "GiB": 1024.0}
    found = re.findall(r"^(\S+) ([0-9.]+)(B|KiB|MiB|GiB) /", text, re.MULTILINE)
    return [(name, float(number) * factor[unit]) for name, number, unit in found]
