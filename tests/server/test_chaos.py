"""Students who launch while nginx, the proxy, the hub or Docker end: nobody sees a bare error, and all come in.

Three faults; `./hubrun test --long` has a launch every second for half an hour, with all faults in random order.
HUBRUN_SEED repeats the order of an earlier run.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest
from canvas import Student, key_and_secret
from machines import Machine

LONG = bool(os.environ.get("HUBRUN_LONG"))
pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(3600 if LONG else 600)]

_END = "kill -{signal} $(systemctl show {unit} -p MainPID --value)"
FAULTS = {
    "nginx is killed": _END.format(signal="KILL", unit="nginx"),
    "nginx ends": _END.format(signal="TERM", unit="nginx"),
    "the proxy is killed": _END.format(signal="KILL", unit="jupyterhub-proxy"),
    "the hub is killed": _END.format(signal="KILL", unit="jupyterhub"),
    "the hub ends": _END.format(signal="TERM", unit="jupyterhub"),
    "the hub is restarted": "systemctl restart jupyterhub",
    "hub and proxy are restarted": "systemctl restart jupyterhub-proxy jupyterhub",
    "Docker is restarted": "systemctl restart docker",
    "Docker is away for a while": "systemctl stop docker.socket docker.service; sleep 5; systemctl start docker.socket docker.service",
    "what stands between hub and Docker is killed": _END.format(signal="KILL", unit="hubrun-docker-filter"),
    "networks are pruned": "docker network prune -f",
    "what is unused is pruned": "docker system prune -af",
}
SHORT = ("nginx is killed", "the hub is killed", "Docker is restarted")
WITHIN_S = 60.0
MINUTES = 30
# Seconds from one fault to the next, in the long form. More than WITHIN_S: else nobody could be late after any fault.
PAUSE_S = 65
STUDENTS = 40 if LONG else 10
# Pages of ours, by what is in them: one that waits, and those that say what is the matter.
OURS = re.compile(
    r'data-hubrun="away"|id="hubrun-(waiting|failed)"|id="lti-refused"|Your server (did not start|is not running|does not start)'
)
# A page that goes on by itself, and where to: not_running.html.
GOES_ON = re.compile(r'window\.location\.replace\(("[^"]+") ')


@dataclass
class Seen:
    """What students saw: answers that are no pages of ours, and seconds until each was in JupyterLab.

    They are counted from the launch, or from the last fault that came while somebody waited (`fault_at`, time.monotonic):
    who waits for a server that is starting when the hub ends has to begin again.
    """

    key: str
    secret: str
    bare: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    fault_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def come_in(self, student: Student, doing: str) -> None:
        """Launch, and go on as the pages do, until JupyterLab is there; then its server is stopped."""
        began = time.monotonic()
        came_in = self._try(student, doing)
        while not came_in and time.monotonic() - began < 2 * (WITHIN_S + PAUSE_S):
            time.sleep(random.uniform(1.0, 3.0))  # nosec B311
            came_in = self._try(student, doing)
        took = time.monotonic() - (max(began, self.fault_at) if came_in else began)
        with self._lock:
            self.seconds.append(took)
            if took > WITHIN_S:
                self.late.append(f"{student.name} while {doing}: {took:.0f} s")

    def _try(self, student: Student, doing: str) -> bool:
        try:
            page = student.launch(self.key, self.secret)
            if page.status_code == 302:
                page = student.client.get("/hub/spawn", follow_redirects=True)
                while page.url.path.startswith("/hub/spawn-pending/") and page.is_success:
                    time.sleep(1)
                    on = GOES_ON.search(page.text)
                    page = student.client.get(json.loads(on[1]) if on else page.url, follow_redirects=True)
                if page.is_success and page.url.path.startswith("/user/"):
                    page = student.client.get(f"/user/{student.name}/lab", follow_redirects=True)
        except httpx.TransportError:  # nobody listens on port 443: the browser's own page, for less than a second
            return False
        if page.status_code >= 400 and not OURS.search(page.text):
            with self._lock:
                self.bare.append(
                    f"{student.name} while {doing}: {page.status_code} at {page.url.path}: {page.text[:150]}"
                )
        return page.is_success and page.url.path.startswith(f"/user/{student.name}/lab")


@pytest.fixture
def seen(machine: Machine) -> Iterator[Seen]:
    yield Seen(*key_and_secret(machine))
    machine.run(
        "docker ps -aq --filter network=jupyterhub | xargs -r docker rm -f;"
        "docker volume ls -q --filter name=jupyterhub-user-chaos | xargs -r docker volume rm -f",
        seconds=300,
    )


def storm(machine: Machine, seen: Seen, faults: list[tuple[str, str]], pause: float) -> None:
    """A launch each second while the faults come, `pause` seconds apart.

    Everybody is in before, so that nobody waits in line for a class that arrives; after each fault, two servers are gone.
    """
    students = [Student(machine.info, f"chaos{number:02d}") for number in range(STUDENTS)]
    with ThreadPoolExecutor(STUDENTS) as pool:
        for come in [pool.submit(seen.come_in, student, "a class arrives") for student in students]:
            come.result()
    print(f"{STUDENTS} arrived at once, the last after {max(seen.seconds):.0f} s")
    seen.seconds.clear()
    seen.late.clear()
    going: dict[str, Future[None]] = {}
    doing, over = "nothing", threading.Event()

    def launches(pool: ThreadPoolExecutor) -> None:
        for number in range(10**6):
            student = students[number % STUDENTS]
            if student.name not in going or going[student.name].done():
                going[student.name] = pool.submit(seen.come_in, student, doing)
            if over.wait(1):
                return

    with ThreadPoolExecutor(STUDENTS) as pool, ThreadPoolExecutor(1) as other:
        launching = other.submit(launches, pool)
        for doing, command in faults:  # noqa: B007 - what launches meanwhile are said to come from
            seen.fault_at = time.monotonic()
            machine.run(command + " || true", seconds=120)
            time.sleep(pause)
            machine.run("docker ps -q --filter network=jupyterhub | tail -n 2 | xargs -r docker kill || true")
        over.set()
        launching.result()
    for student in students:
        student.client.close()
    print(f"{len(seen.seconds)} came in, slowest after {max(seen.seconds, default=0):.0f} s")


def test_nobody_sees_a_bare_error_whatever_restarts(machine: Machine, seen: Seen) -> None:
    seed = int(os.environ.get("HUBRUN_SEED") or random.randrange(10**6))  # nosec B311
    print(f"HUBRUN_SEED={seed}")
    order, faults = random.Random(seed), list(FAULTS.items())  # nosec B311
    if LONG:
        faults = [order.choice(faults) for _ in range(MINUTES * 60 // PAUSE_S)]
    else:
        faults = [(name, FAULTS[name]) for name in SHORT]
    storm(machine, seen, faults, PAUSE_S if LONG else 8)
    assert not seen.bare and not seen.late, "\n".join([*seen.bare, *seen.late])
