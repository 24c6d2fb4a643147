"""200 people launch within ten seconds: login only, a real JupyterHub on loopback, LTI 1.1 and 1.3 mixed.

From this folder: `PYTHONPATH=tests:. .venv/bin/python benchmarks/logins.py [PEOPLE] [SECONDS]`. They come twice: as new people, then
again. It prints how long a launch took, how long of that the file of who is who, and whether the hub's log has a traceback.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.processes import cpu_s

from lti_hub import Browser, Hub, form, running_hub
from lti_platform import Lms

# The hub's own clock for what the file costs: around `resolve`.
_TIMED = """
import time
from hubrun_hub.lti import people_file


class Timed(people_file.People):
    def resolve(self, *args):
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            return super().resolve(*args)
        finally:
            cpu = time.thread_time() - cpu
            print(f"RESOLVED {(time.perf_counter() - began) * 1000:.3f} ms, CPU {cpu * 1000:.3f} ms", flush=True)


import hubrun_hub.lti.authenticator as door
door.People = Timed
"""


def percentile(times: list[float], part: float) -> float:
    """The time within which this part of them was done."""
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def arrive(hub: Hub, lms: Lms, people: int, seconds: float) -> tuple[list[float], int]:
    """Let them come, evenly spread; how long each launch took, and how many got the login's cookie."""
    took: list[float] = [0.0] * people
    came: list[bool] = [False] * people
    began = time.perf_counter()

    def launch(number: int) -> None:
        time.sleep(max(0.0, began + number * seconds / people - time.perf_counter()))
        name, browser = f"student{number}", Browser(hub)
        if number % 2:
            question = lms.begin(browser)
            token = lms.key.sign(lms.claims(question, name))
            start = time.perf_counter()
            came[number] = lms.answer(browser, question, token).logged_in
        else:
            signed = form(name)
            start = time.perf_counter()
            came[number] = browser.post("/hub/lti/launch", signed).logged_in
        took[number] = time.perf_counter() - start

    threads = [threading.Thread(target=launch, args=(number,)) for number in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, sum(came)


def main(people: int = 200, seconds: float = 10.0) -> int:
    """Print the figures; 1 when somebody did not get in, or the log has a traceback."""
    failed = False
    with tempfile.TemporaryDirectory() as folder, running_hub(Path(folder) / "hub", _TIMED) as hub:
        assert hub._process
        pid = hub._process.pid
        lms = Lms()
        # Its keys in the file: what is measured is the hub, and not this process as a server of keys.
        known = {name: value for name, value in json.loads(lms.settings()).items() if name != "jwks_url"}
        (hub.folder / "consumers.d/default.json").write_text(json.dumps(known | {"jwks": {"keys": [lms.key.jwk]}}))
        for what in ("new people", "the same again"):
            before, cpu = len(hub.log), cpu_s(pid)
            took, came = arrive(hub, lms, people, seconds)
            cost = [float(each) for each in re.findall(r"RESOLVED ([\d.]+) ms", hub.log[before:])]
            busy = [float(each) for each in re.findall(r"RESOLVED .* CPU ([\d.]+) ms", hub.log[before:])]
            print(
                f"{what}: {came} of {people} logged in; a launch {statistics.median(took):.3f} s, p95 "
                f"{percentile(took, 0.95):.3f} s, longest {max(took):.3f} s; who is who {statistics.median(cost):.2f} ms, "
                f"p95 {percentile(cost, 0.95):.2f} ms, longest {max(cost):.2f} ms, CPU {statistics.median(busy):.2f} ms, p95 {percentile(busy, 0.95):.2f} ms; the hub's CPU {cpu_s(pid) - cpu:.1f} s"
            )
            failed = failed or came < people
        traces = hub.log.count("Traceback")
        print(f"tracebacks in the hub's log: {traces}")
        for trace in hub.log.split("Traceback")[1:]:
            print(trace[:3000])
        lms.close()
    return 1 if failed or traces else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2]), *map(float, sys.argv[2:3])))
