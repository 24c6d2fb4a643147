"""Two sites and their pages, to look at: for tests in a browser, and for the pictures of the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import five_runs
from hubrun.records.ledger import history
from hubrun.records.ledger.report import Report
from hubrun.records.pages import website


@dataclass
class Site:
    """The pages of a history, by what they are."""

    index: Path
    places: dict[str, Path]


def make_site(records: Path) -> Site:
    """Two sites: biology with its five runs, and chemistry, whose last run failed; and their pages."""
    five_runs.write(records)
    chemistry = five_runs.Writer(records, "chemistry", datetime.fromisoformat("2026-09-07T09:00:00+00:00"))
    server = five_runs.SERVER | {"hostname": "chem"}
    chemistry.run(server=server)
    for week in range(8):
        chemistry.now += timedelta(days=7, hours=week % 3)
        chemistry.run(does={}, server=server, mode="check" if week % 2 else "install")
    chemistry.now += timedelta(days=2)
    docker = {"04_docker_spawner": five_runs.JOB["04_docker_spawner"][0].resources}
    why = "the SSH connection to hub.chem.example.edu ended while docker.io was installed. Look whether the server is up, then go on with --resume"  # fmt: skip
    failed = chemistry.run(does=docker, breaks=("04_docker_spawner", "Docker", "connection lost", why), server=server)
    signers = {five_runs.KEY.fingerprint: "anna@example.edu"}
    reports = {
        "biology": Report(runs=5, files=31, signed=5, unsigned=1, signers=signers),
        "chemistry": Report(runs=10, files=58, signed=10, signers=signers),
    }
    index = website.write_site(records, reports)
    biology = [run.name for run in history.History(records, "biology").runs()]
    folder = index.parent / "biology"
    places = {
        "index": index,
        "site": folder / "index.html",
        "run": folder / biology[0] / "index.html",
        "resumed run": folder / biology[2] / "index.html",
        "notebook": folder / biology[2] / "attempt-1" / "03_https.html",
        "failed run": index.parent / "chemistry" / failed.run / "index.html",
    }
    return Site(index, places)
