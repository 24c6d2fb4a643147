"""Runs on a terminal: the list, and one in full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

import five_runs
from hubrun.errors import BadInput
from hubrun.records.ledger.history import History, Run
from hubrun.records.ledger.manifest import FILE, Manifest, Packages, Step, Tick
from hubrun.records.ledger.summary import duration
from hubrun.records.pages.terminal_tables import list_table, show


def printed(renderable: RenderableType, width: int = 160) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    return console.export_text()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    records = tmp_path_factory.mktemp("records")
    five_runs.write(records)
    return History(records, five_runs.SITE)


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def test_the_list_has_a_line_for_each_run_with_the_newest_last(history: History) -> None:
    head, *lines = printed(list_table([history])).splitlines()
    assert head.split() == ["site", "run", "when", "took", "mode", "status", "changes", "attempts", "signed", "by"]
    assert [line.split()[1] for line in lines] == [run.name for run in history.runs()]
    first, second, resumed, check, last = (" ".join(line.split()[2:]) for line in lines)
    assert first == "14 Sep 2026 10:12 4 min 15 s install changed 16 changed 1 yes anna@desk"
    assert second == "15 Sep 2026 12:16 3.8 s install ok nothing 1 yes anna@desk"
    assert resumed == "12 Oct 2026 19:16 1 min 15 s install changed 1 changed, 1 failed 2 yes anna@desk"
    assert check == "1 Nov 2026 15:48 5.1 s check would change 2 would change 1 no anna@desk"
    assert last == "1 Nov 2026 16:00 5.1 s install changed 2 changed 1 yes anna@desk"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the run has no manifest"),
        ("{", "is not a manifest of hubrun"),
        ('{"predicate": {"version": 99}}', "the manifest has version 99, and this hubrun knows 1"),
    ],
)
def test_a_run_that_cannot_be_read_is_a_line_that_says_so(tmp_path: Path, content: str | None, why: str) -> None:
    five_runs.Writer(tmp_path).run(does={})
    history = History(tmp_path, five_runs.SITE)
    broken = history.folder / "20260101T000000Z-abcdef"
    broken.mkdir()
    if content is not None:
        (broken / "manifest.json").write_text(content)
    said = printed(list_table([history]), width=400)
    assert said.splitlines()[1].split() == ["biology", broken.name, "unreadable"]
    assert len([line for line in said.splitlines() if "install" in line]) == 1
    assert f"biology/{broken.name}: " in said and why in said
    with pytest.raises(BadInput, match=why):
        show(Run(broken))


def test_a_failed_run_says_first_where_and_why(tmp_path: Path) -> None:
    five_runs.Writer(tmp_path).run(breaks=("03_https", "Certificate", "time-out", "no answer after 60 s"))
    first, second, *_ = printed(show(History(tmp_path, five_runs.SITE).runs()[0])).splitlines()
    assert first.startswith("install of biology: failed")
    assert second == "failed in 03_https › Certificate: time-out: no answer after 60 s"


def test_a_resumed_run_shows_both_attempts(history: History) -> None:
    said = printed(show(history.runs()[2]), width=300)
    assert said.startswith("install of biology: changed")
    assert f"failed in 03_https › Certificate (attempt 1 of 2): error: {five_runs.REASON}" in said
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "03_https (attempt 1) failed 1 min 02 s" in lines and "03_https (attempt 2) changed 10.2 s" in lines
    assert f"before it {history.runs()[2].name}, attempt 1" in lines
    assert "secrets taken out LTI_CLIENT_SECRET 2 ×" in lines


def test_a_run_in_full_says_who_what_and_which_packages_changed(history: History) -> None:
    lines = [" ".join(line.split()) for line in printed(show(history.runs()[0])).splitlines()]
    for line in (
        "when 14 Sep 2026 10:12, 4 min 15 s",
        "by anna@desk, from 192.0.2.7",
        "server hub: Debian GNU/Linux 12 (bookworm), 6.1.0-25-amd64",
        "software hubrun 0.2.0, commit 449fd2709f3c",
        f"signature signed by {five_runs.KEY.fingerprint}",
        "before it nothing: the first run of this site",
        "Updates changed 24.7 s 1 changed",
        "changed swap /swapfile, 2048 MB 01_server › Swap",
        "make /swapfile of 2048 MB",
        "deb openssl 3.0.14-1~deb12u2 → 3.0.17-1~deb12u3",
        "deb nginx not there → 1.22.1-9+deb12u2",
        "upload_limit_mb 100",
        "nbgrader yes",
    ):
        assert line in lines, line


def test_a_check_says_what_would_change_and_an_unsigned_run_why(history: History) -> None:
    said = printed(show(history.runs()[3]))
    assert "\nWould change\n" in said and "versions were not read after the run" in said
    assert "not signed: no SSH agent answers and no key file was given" in said


@pytest.mark.parametrize(
    ("packages", "words"),
    [
        (Packages(), "versions were not read before and after the run"),
        (Packages(after={"deb a": "1"}), "versions were not read before the run"),
        (Packages(before={"deb a": "1"}, after={"deb a": "1"}), "all 1 are as they were"),
        (Packages(before={"deb a": "1"}, after={}), "1 → gone"),
    ],
)
def test_packages_in_words(tmp_path: Path, packages: Packages, words: str) -> None:
    five_runs.Writer(tmp_path).run(does={}, packages=packages)
    assert words in printed(show(History(tmp_path, five_runs.SITE).runs()[0]))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (3599.6, "1 h 00 min"), (7260, "2 h 01 min")],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_a_person_ticked_is_shown_with_who_and_when(tmp_path: Path) -> None:
    record = five_runs.Writer(tmp_path).run()
    tick = Tick(item="Publish the item", by="ben", at="2026-11-26T12:00:00+00:00")
    record.runbooks[-1].steps.append(Step(title="The tool in Canvas, by hand", status="ticked", ticked=[tick]))
    (tmp_path / record.site / record.run / FILE).write_bytes(Manifest(predicate=record).encoded())
    (run,) = History(tmp_path, record.site).runs()
    lines = [" ".join(line.split()) for line in printed(show(run)).splitlines()]
    at = lines.index("The tool in Canvas, by hand ticked 1 ticked")
    assert lines[at + 1] == "☑ Publish the item: ben, 26 Nov 2026 13:00"
