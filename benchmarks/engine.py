"""What our engine and its record cost: a run with nothing to do, against the same runbooks with papermill's own engine.

    .venv/bin/python benchmarks/engine.py params/SITE.yaml [ROUNDS]

The server must be set up already. Each figure is a whole process of its own; the two take turns, so that a noisy
machine disturbs both. `./hubrun install` also connects once more, takes down what is installed before and after, and
signs: that is part of what the record costs, and is counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# 06_verify is a test of minutes-long patience with students' servers: its time says nothing about an engine.
NAMES = ("01_server", "02_hub_lti", "03_https", "04_docker_spawner", "05_canvas")
GOAL = 1.1
_PAPERMILL = """
import logging, sys
from hubrun import params  # first, as in ours: it keeps something slow out of what papermill imports
import papermill
logging.getLogger("papermill").setLevel(logging.ERROR)
site, out, *names = sys.argv[1:]
values = params.load(site).model_dump(exclude_unset=True)
for name in names:
    papermill.execute_notebook(f"runbooks/{name}.ipynb", f"{out}/{name}.ipynb", parameters=values, progress_bar=False)
"""

# `./hubrun install`, without 06.
_HUBRUN = """
import sys
from pathlib import Path
from hubrun.cli.sites import run_site
from hubrun.records.run import site_run
site, out, *books = sys.argv[1:]
site_run.runbooks = lambda first, only: [Path(book) for book in books]
sys.exit(run_site(Path(site), "install", records=Path(out)))
"""


def seconds(*command: str | Path) -> float:
    """How long a command takes that must end with 0."""
    began = time.monotonic()
    done = subprocess.run(list(map(str, command)), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    took = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))[:200]} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return took


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    site, rounds = Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) == 3 else 3
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            theirs.append(seconds(sys.executable, "-c", _PAPERMILL, site, folder, *NAMES))
            ours.append(
                seconds(sys.executable, "-c", _HUBRUN, site, folder, *(f"runbooks/{name}.ipynb" for name in NAMES))
            )
            print(f"round {number + 1}: papermill {theirs[-1]:.1f} s, hubrun {ours[-1]:.1f} s", file=sys.stderr)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"papermill's own engine  {statistics.median(theirs):6.1f} s (median of {rounds})")
    print(f"hubrun install          {statistics.median(ours):6.1f} s")
    print(f"ratio                   {ratio:6.2f}   goal ≤ {GOAL}: {'met' if ratio <= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
