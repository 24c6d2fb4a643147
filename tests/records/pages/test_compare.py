"""What differs between two runs, and what is left out because it differs by nature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import five_runs
from hubrun.records.ledger.manifest import Manifest, Packages, Record, RunbookRecord, Software, Step
from hubrun.records.pages import rendering
from hubrun.records.pages.compare import compare, normalized, text


def a_run(*steps: Step, **fields: Any) -> Manifest:
    """A run of one runbook."""
    book = fields.pop("book", {})
    base: dict[str, Any] = {
        "run": "r", "site": "biology", "mode": "install", "status": "ok", "started": "2026-09-14T08:12:09+00:00",
        "software": Software(version="1"), "runbooks": [RunbookRecord(name="01_server", status="ok", steps=list(steps), **book)],
    }  # fmt: skip
    return Manifest(predicate=Record(**base | fields))


def step(
    results: list[dict[str, Any]] | None = None, checks: list[dict[str, Any]] | None = None, **fields: Any
) -> Step:
    return Step(**{"title": "Swap", "status": "ok", "results": results or [], "checks": checks or []} | fields)


def result(resource: str = "file /etc/a", status: str = "ok", *actions: str, diff: str = "") -> dict[str, Any]:
    return {"resource": resource, "status": status, "actions": list(actions), "diff": diff, "seconds": 0.1}


def check(came: str, ok: bool = True, expected: str = "exit code 0", name: str = "memory") -> dict[str, Any]:
    return {"check": name, "ok": ok, "expected": expected, "came": came}


differences = compare


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return [Manifest(predicate=record) for record in five_runs.write(tmp_path_factory.mktemp("records"))]


def test_of_a_run_and_the_same_run_later_nothing_differs(tmp_path: Path) -> None:
    writer = five_runs.Writer(tmp_path)
    first, second = (Manifest(predicate=writer.run(does={})) for _ in range(2))
    second.predicate.runbooks[0].seconds = 99
    second.predicate.server["memory_mb"] = "31999"
    said = text(first, second, compare(first, second))
    assert first.predicate.run != second.predicate.run
    assert said.splitlines()[3:] == ["nothing differs"]


def test_of_a_run_with_one_parameter_changed_that_and_what_followed_from_it(runs: list[Manifest]) -> None:
    found = compare(runs[1], runs[4])
    nginx = f"03_https › Port 443 › file {five_runs.NGINX}"
    assert found[:9] == [
        "- parameters › upload_limit_mb: 100", "+ parameters › upload_limit_mb: 200",
        "- run › status: ok", "+ run › status: changed",
        "- 03_https: ok", "+ 03_https: changed",
        "- 03_https › Port 443: ok", f"- {nginx}: ok", "- 03_https › Port 443 › service nginx: ok",
    ]  # fmt: skip
    assert found[9:11] == ["+ 03_https › Port 443: changed", f"+ {nginx}: changed"]
    said = text(runs[1], runs[4], found)
    assert said.splitlines()[-1] == f"{len(found)} lines differ"
    assert f"+ {nginx}: change {five_runs.NGINX}" in found and f"+ {nginx}: +    client_max_body_size 200m;" in found
    places = {line[2:].partition(": ")[0].partition(" › ")[0] for line in found}
    assert places == {"parameters", "run", "03_https"}


def test_what_a_check_foresaw_and_an_install_did_is_no_difference(runs: list[Manifest]) -> None:
    changed = [line for line in compare(runs[3], runs[4]) if f"file {five_runs.NGINX}" in line]
    assert [line.rpartition(": ")[2] for line in changed] == ["would change", "changed"]


def test_of_a_resumed_run_the_last_attempt_counts(runs: list[Manifest]) -> None:
    found = differences(runs[1], runs[2])
    assert "- 03_https: ok" in found and "+ 03_https: changed" in found
    assert "failed" not in str(found)


def test_versions_packages_and_the_server_are_compared_and_its_memory_is_not() -> None:
    a = a_run(
        server={"kernel": "6.1.0-25", "memory_mb": "1"}, packages=Packages(after={"deb nginx": "1", "deb curl": "7"})
    )
    b = a_run(
        server={"kernel": "6.1.0-26", "memory_mb": "2"},
        packages=Packages(after={"deb nginx": "2", "deb certbot": "2"}),
        software=Software(version="1", commit="c" * 40, dirty=True),
    )
    assert differences(a, b) == [
        "- software › commit: empty", "- software › dirty: no",
        "- server › kernel: 6.1.0-25",
        f"+ software › commit: {'c' * 40}", "+ software › dirty: yes",
        "+ server › kernel: 6.1.0-26",
        "- packages › deb curl: 7",
        "- packages › deb nginx: 1",
        "+ packages › deb certbot: 2",
        "+ packages › deb nginx: 2",
    ]  # fmt: skip


def test_versions_that_one_run_could_not_read_are_one_difference() -> None:
    a, b = a_run(packages=Packages(after={"deb nginx": "1"})), a_run()
    assert differences(a, b) == ["- packages: 1 packages", "+ packages: could not be read"]


def test_a_check_changed_nothing_so_what_was_there_before_is_compared() -> None:
    a, b = a_run(packages=Packages(after={"deb nginx": "1"})), a_run(packages=Packages(before={"deb nginx": "1"}), mode="check")  # fmt: skip
    assert differences(a, b) == ["- run › mode: install", "+ run › mode: check"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (check("exit code 0, 24105 MB"), check("exit code 0, 23998 MB")),
        (check("certificate 288335e9d30037fa…, 89 days left"), check("certificate 1f0035e9d30037aa…, 12 days left")),
        (check("valid until Feb 21 17:33:14 2027 GMT"), check("valid until Mar  1 07:33:14 2028 GMT")),
        (check("timed out after 60 s", ok=False), check("timed out after 60.1 s", ok=False)),
    ],
)
def test_measurements_of_a_check_are_no_difference(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert differences(a_run(step(checks=[a])), a_run(step(checks=[b]))) == []


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (check("200"), check("200", ok=False)),
        (check("200"), check("200", expected="200")),
        (check("HTTP 401", ok=False), check("HTTP 500", ok=False)),
    ],
)
def test_what_a_check_found_is_a_difference(a: dict[str, Any], b: dict[str, Any]) -> None:
    found = differences(a_run(step(checks=[a])), a_run(step(checks=[b])))
    assert [line.partition(": ")[0] for line in found] == [
        "- 01_server › Swap › check memory",
        "+ 01_server › Swap › check memory",
    ]


def test_a_resource_whose_name_holds_the_parameter_is_shown_under_both_names() -> None:
    a, b = (a_run(step([result("user x"), result(f"swap /swapfile, {size} MB")])) for size in (0, 512))
    assert differences(a, b) == [
        "- 01_server › Swap › swap /swapfile, 0 MB: ok",
        "+ 01_server › Swap › swap /swapfile, 512 MB: ok",
    ]


def test_a_resource_that_one_run_has_is_no_change_of_another() -> None:
    a, b = a_run(step([result("user x")])), a_run(step([result("service y"), result("user x")]))
    assert differences(a, b) == ["+ 01_server › Swap › service y: ok"]


def test_amounts_in_what_was_done_come_from_parameters_and_random_names_do_not() -> None:
    def with_token(token: str, wait: str) -> Manifest:
        return a_run(step([result("file /x", "changed", f"put {token}", diff=f"+timeout {wait};\n")]))

    a, same, other = with_token("cc1f124014f0782c", "60s"), with_token("aa1f124014f0782d", "60s"), with_token("cc1f124014f0782c", "90s")  # fmt: skip
    assert differences(a, same) == []
    assert differences(a, other) == [
        "- 01_server › Swap › file /x: +timeout 60s;",
        "+ 01_server › Swap › file /x: +timeout 90s;",
    ]


def test_facts_are_compared_without_times_and_without_the_summary_that_repeats_the_steps() -> None:
    a = a_run(
        book={
            "facts": {
                "summary": {"x": 1},
                "verified": True,
                "launch": {"url": "https://a/", "seconds": 3, "said": "in 0.3 s"},
            }
        }
    )
    b = a_run(
        book={
            "facts": {
                "summary": {"x": 2},
                "verified": False,
                "launch": {"url": "https://a/", "seconds": 9, "said": "in 4 s"},
            }
        }
    )
    assert differences(a, b) == ["- 01_server › fact verified: yes", "+ 01_server › fact verified: no"]


def test_another_reason_of_the_same_failure_is_a_difference_and_its_duration_is_not() -> None:
    a, later, other = (
        a_run(step(status="failed", cause="time-out", reason=reason))
        for reason in ("no end after 60 s", "no end after 61.2 s", "no space left")
    )
    assert differences(a, later) == []
    assert differences(a, other) == [
        "- 01_server › Swap: failed: no end after 60 s",
        "+ 01_server › Swap: failed: no space left",
    ]


def test_a_runbook_and_a_step_that_one_run_has_are_named() -> None:
    a, b = a_run(step()), a_run(step(), step(title="Time"))
    b.predicate.runbooks.append(RunbookRecord(name="02_hub_lti", status="failed"))
    assert differences(a, b) == ["+ 01_server › Time: ok", "+ 02_hub_lti: failed"]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("took 0.3 s", "took #"), ("2026-11-23T17:32:24+00:00 done", "# done"), ("12 days", "#"), ("pid 812", "#"),
        ("uv 0.13.9", "uv 0.13.9"), ("exit code 1", "exit code 1"), ("install sudo, 5 more", "install sudo, 5 more"),
        ("/tmp/x8s file", "# file"), ("6.1.0-25-amd64", "6.1.0-25-amd64"), ("facade", "facade"),
    ],
)  # fmt: skip
def test_only_what_a_machine_made_up_is_taken_out_of_text(said: str, left: str) -> None:
    assert normalized(said) == left


def test_the_page_shows_the_same_and_escapes_what_it_shows(runs: list[Manifest]) -> None:
    evil = a_run(parameters={"domain": "<script>alert(1)</script>"})
    plain = a_run(parameters={"domain": "a"})
    page = rendering.comparison(plain.predicate, evil.predicate, compare(plain, evil))
    assert "2 lines differ<" in page and "&lt;script&gt;alert(1)" in page and "<script" not in page
    assert "<h1>Nothing differs</h1>" in rendering.comparison(runs[0].predicate, runs[0].predicate, [])


def test_a_difference_names_its_place(runs: list[Manifest]) -> None:
    found = [line for line in compare(runs[0], runs[1]) if "02_hub_lti › JupyterHub › " in line]
    assert [line[0] for line in found if line.endswith(": make /opt/jupyterhub")] == ["-"]
