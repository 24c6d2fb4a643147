"""Questions asked ahead: what is believed early, what is asked again, and what is kept for the next run."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from books import Ear
from hubrun import private_state
from hubrun.desired.checks import Test
from hubrun.desired.resource import Action, Resource
from hubrun.desired.server import Server
from hubrun.environment import ENGINE
from hubrun.errors import CheckFailed, CommandFailed
from hubrun.params import Site
from hubrun.records.ledger.history import ASKED
from hubrun.records.run import kernels
from hubrun.records.run import site_run as record_run
from hubrun.redaction.redact import HERE
from hubrun.ssh import prefetch, session
from hubrun.ssh.output import Output
from hubrun.ssh.prefetch import EXPECTED, PrefetchedAnswers, Question
from hubrun.ssh.prefetch_store import ProbeStore, RunbookProbes
from sshd import Sshd, serve

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_a_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in the kernel of a run, which is the only place where answers are kept."""
    monkeypatch.setenv(ENGINE, "salt")
    monkeypatch.setattr(session, "_shared", {})
    monkeypatch.setattr(EXPECTED, "headless", True)
    yield
    EXPECTED.runbooks = []
    EXPECTED.asked.clear()


# -- the answers


@dataclass
class Asker:
    """Plays the server: it answers a question with how often it was asked; "bad" cannot be asked."""

    calls: list[list[str]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, scripts: Sequence[str]) -> list[Output]:
        self.go.wait(5)
        self.calls.append(list(scripts))
        if "bad" in scripts:
            raise CommandFailed("a probe ended early", "here")
        return [Output(0, f"{script} {sum(script in call for call in self.calls)}") for script in scripts]


@pytest.fixture
def asker() -> Asker:
    asker = Asker()
    asker.go.set()
    return asker


def expect(*runbooks: list[Question]) -> None:
    EXPECTED.runbooks = list(runbooks)


def test_what_a_runbook_is_expected_to_ask_is_asked_together_with_the_first_and_the_next_ones_beside_it(
    asker: Asker,
) -> None:
    expect([Question("a"), Question("b")], [Question("c"), Question("d")])
    answers = PrefetchedAnswers(asker)
    answers.start(["first"], traces=True)
    outputs = {script: answers.take(script) for script in ("first", "a", "b", "c", "d")}
    assert {script: output and (output.stdout, output.early) for script, output in outputs.items()} == {
        script: (f"{script} 1", True) for script in outputs
    }
    assert sorted(map(sorted, asker.calls)) == [["a", "b", "first"], ["c", "d"]]


def test_nothing_is_asked_twice(asker: Asker) -> None:
    expect([Question("a")], [Question("a"), Question("b")])
    answers = PrefetchedAnswers(asker)
    answers.start([], traces=True)
    answers.start([], traces=True)
    assert answers.take("a") and answers.take("b") and answers.take("a")
    assert sorted(asker.calls) == [["a"], ["b"]]


def test_a_plan_does_not_ask_what_leaves_traces(asker: Asker) -> None:
    expect([Question("a"), Question("container", True)])
    answers = PrefetchedAnswers(asker)
    answers.start([], traces=False)
    assert answers.take("a") and answers.take("container") is None
    assert asker.calls == [["a"]]


def test_after_a_change_nothing_counts_any_more_not_even_what_is_under_way(asker: Asker) -> None:
    expect([Question("a")])
    answers = PrefetchedAnswers(asker)
    asker.go.clear()
    answers.start([], traces=True)
    answers.keep("b", Output(0, "b"))
    answers.forget()
    asker.go.set()
    assert answers.take("a") is None and answers.take("b") is None


def test_an_old_answer_does_not_count(asker: Asker) -> None:
    answers = PrefetchedAnswers(asker)
    answers.keep("a", Output(0, "a", since=time.monotonic() - prefetch.GOOD_FOR - 1))
    late = Output(0, "b", since=time.monotonic() - prefetch.GOOD_FOR + 5)
    answers.keep("b", late)
    assert answers.take("a") is None
    assert answers.take("b") == replace(late, early=True)


def test_a_clock_that_is_set_back_makes_no_answer_young_again(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = PrefetchedAnswers(asker)
    answers.keep("a", Output(0, "a", at=time.time() + 3600, since=time.monotonic() - prefetch.GOOD_FOR - 1))
    assert answers.take("a") is None


def test_what_could_not_be_asked_ahead_is_asked_in_its_turn(asker: Asker) -> None:
    expect([Question("bad")], [Question("a")])
    answers = PrefetchedAnswers(asker)
    answers.start([], traces=True)
    assert answers.take("bad") is None and answers.take("a")


def test_where_a_person_steps_through_nothing_is_kept(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EXPECTED, "headless", False)
    answers = PrefetchedAnswers(asker)
    answers.keep("a", Output(0, "a"))
    answers.start(["b"], traces=True)
    assert answers.take("a") is None and answers.take("b") is None


# -- a server with answers from before


@dataclass(frozen=True)
class Content(Resource):
    """A file with a text; its folder keeps a line for each look at it."""

    path: Path
    text: str

    @property
    def label(self) -> str:
        return "file"

    def probe(self) -> str:
        return f"echo look >> {self.path}.looks; cat {self.path}"

    def plan(self, found: str) -> list[Action]:
        return [] if found == self.text else [Action("write it", f"printf %s '{self.text}' > {self.path}")]

    def looks(self) -> int:
        looks = Path(f"{self.path}.looks")
        return len(looks.read_text().splitlines()) if looks.exists() else 0


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with serve(tmp_path) as server:
        yield server


def wait_for_the_look(content: Content) -> None:
    end = time.monotonic() + 5
    while not content.looks() and time.monotonic() < end:
        time.sleep(0.02)


def test_what_was_right_when_asked_ahead_is_ok_and_is_not_looked_at_again(sshd: Sshd, tmp_path: Path) -> None:
    content = Content(tmp_path / "file", "right")
    content.path.write_text("right")
    expect([Question(content.probe())])
    server = Server.connect(Site(**sshd.parameters()))
    server.ensure(content)
    assert server.results[0].status == "ok" and content.looks() == 1


def test_what_is_to_be_changed_is_looked_at_anew_first(sshd: Sshd, tmp_path: Path) -> None:
    content = Content(tmp_path / "file", "right")
    content.path.write_text("wrong")
    expect([Question(content.probe())])
    server = Server.connect(Site(**sshd.parameters()))
    wait_for_the_look(content)
    content.path.write_text("right")  # somebody was quicker
    server.ensure(content)
    assert server.results[0].status == "ok" and content.looks() == 2


def test_after_a_change_everything_is_looked_at_anew(sshd: Sshd, tmp_path: Path) -> None:
    one, other = Content(tmp_path / "one", "right"), Content(tmp_path / "other", "right")
    other.path.write_text("right")
    expect([Question(one.probe()), Question(other.probe())])
    server = Server.connect(Site(**sshd.parameters()))
    server.ensure(one)
    other.path.write_text("spoilt by the change")
    server.ensure(other)
    assert [result.status for result in server.results] == ["changed", "changed"]
    assert other.path.read_text() == "right"


def test_a_check_that_did_not_hold_when_asked_ahead_is_made_again(sshd: Sshd, tmp_path: Path) -> None:
    holds, fails = Test("it is there", f"test -e {tmp_path}/it"), Test("it is not", f"test ! -e {tmp_path}/it")
    expect([Question(f"exec 2>&1\n{holds.script}"), Question(f"exec 2>&1\n{fails.script}")])
    server = Server.connect(Site(**sshd.parameters()))
    server.probe(f"exec 2>&1\n{holds.script}")
    (tmp_path / "it").touch()
    server.check(holds)
    with pytest.raises(CheckFailed, match="it is not"):
        server.run("true")  # may change anything
        server.check(fails)


def test_the_same_script_is_run_once_for_several_tests(sshd: Sshd, tmp_path: Path) -> None:
    script = f"echo x >> {tmp_path}/runs; echo one; echo two"
    server = Server.connect(Site(**sshd.parameters()))
    server.check(Test("one", script, prints="^one$"), Test("two", script, prints="^two$"))
    assert (tmp_path / "runs").read_text() == "x\n"


def test_a_plan_names_tests_that_leave_traces_and_does_not_run_them(sshd: Sshd, tmp_path: Path) -> None:
    server = Server.connect(Site(**sshd.parameters()), check_mode=True)
    server.check(Test("quiet", "true"), Test("container", f"touch {tmp_path}/trace", traces=True))
    assert not (tmp_path / "trace").exists()


def test_a_second_runbook_needs_no_command_for_what_is_known(sshd: Sshd, tmp_path: Path) -> None:
    content = Content(tmp_path / "file", "right")
    content.path.write_text("right")
    expect([Question("true")], [Question(content.probe())])
    site = Site(**sshd.parameters())
    Server.connect(site)
    wait_for_the_look(content)
    before = len(sshd.commands)
    server = Server.connect(site)
    server.ensure(content)
    assert len(sshd.commands) == before and server.facts["kernel"]


def test_another_server_gets_a_login_of_its_own(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    first = Server.connect(Site(**sshd.parameters()))
    with serve(tmp_path / "second") as other:
        second = Server.connect(Site(**other.parameters()))
        assert second.session is not first.session and other.commands


def test_a_login_that_is_gone_is_made_anew(sshd: Sshd) -> None:
    first = Server.connect(Site(**sshd.parameters()))
    sshd.drop()
    end = time.monotonic() + 5
    while first.session._connection.transport.is_active() and time.monotonic() < end:
        time.sleep(0.02)
    assert Server.connect(Site(**sshd.parameters())).probe("echo here")[0].stdout == "here"


def test_answers_know_when_they_were_given(sshd: Sshd) -> None:
    server = Server.connect(Site(**sshd.parameters()))
    early, late = server.probe("date +%s.%N", "sleep 0.5; date +%s.%N")
    assert early.at == pytest.approx(float(early.stdout), abs=0.3)
    assert late.at == pytest.approx(float(late.stdout), abs=0.3)


# -- what is kept for the next run


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this account keeps what is its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/hubrun/asked"


def remembered(site: str = "bio", host_key: str = "SHA256:a") -> dict[str, list[Question]]:
    return ProbeStore(site, host_key).runbooks


def learned(name: str = "01", questions: Sequence[Question] = (Question("a"),)) -> Path:
    """Keep questions of a run, and return the file."""
    memory = ProbeStore("bio", "SHA256:a")
    memory.learn(name, list(questions), everything=True)
    memory.save()
    (file,) = private_state.folder("asked").iterdir()
    return file


def test_questions_are_kept_by_runbook_and_found_again(state: Path) -> None:
    questions = [Question("a"), Question("b", True)]
    learned("01_server", questions)
    assert remembered() == {"01_server": questions}


def test_they_are_of_one_site_on_one_server(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned()
    assert remembered("chem") == {} and remembered("bio", "SHA256:b") == {} and remembered("bio", "") == {}
    monkeypatch.setattr("hubrun.ssh.prefetch_store.PROJECT", Path("/another/checkout"))
    assert remembered() == {}


def test_they_are_this_accounts_alone(state: Path) -> None:
    state.mkdir(parents=True, mode=0o755)
    file = learned()
    assert file.parent == state
    assert (file.stat().st_mode & 0o777, state.stat().st_mode & 0o777) == (0o600, 0o700)
    assert state.parent.stat().st_mode & 0o777 == 0o700


def test_a_plan_keeps_the_questions_that_it_did_not_ask(state: Path) -> None:
    memory = ProbeStore("bio", "SHA256:a")
    memory.learn("04", [Question("old"), Question("container", True)], everything=True)
    memory.learn("04", [Question("new")], everything=False)
    assert memory.runbooks["04"] == [Question("new"), Question("container", True)]


def test_a_question_with_a_secret_is_not_written_down(state: Path) -> None:
    HERE.learn("correct-horse-battery", "a test's secret")
    memory = ProbeStore("bio", "SHA256:a")
    memory.learn("01", [Question("grep correct-horse-battery file"), Question("b")], everything=True)
    assert memory.runbooks["01"] == [Question("b")]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"01": 3}', '{"01": [[1, 2, 3]]}', '{"01": [[1, 2, 3, 4]]}', '{"01": [[]]}']
)
def test_a_file_that_cannot_be_read_is_as_good_as_none(state: Path, text: str) -> None:
    learned().write_text(text)
    assert remembered() == {}


def _open_to_others(file: Path) -> None:
    file.chmod(0o620)


def _readable(file: Path) -> None:
    file.chmod(0o644)


def _a_link(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def _two_names(file: Path) -> None:
    (file.parent.parent / "elsewhere").hardlink_to(file)


def _a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _a_folder_that_is_a_link(file: Path) -> None:
    file.parent.rename(file.parent.parent / "elsewhere")
    file.parent.symlink_to(file.parent.parent / "elsewhere")


@pytest.mark.parametrize(
    "spoil",
    [_open_to_others, _readable, _a_link, _two_names, _a_pipe, _a_folder_that_is_a_link],
    ids=lambda f: f.__name__,
)
def test_a_file_that_somebody_else_may_have_written_is_not_believed(state: Path, spoil: Callable[[Path], None]) -> None:
    file = learned()
    assert remembered() != {}
    spoil(file)
    assert remembered() == {}


def test_somebody_elses_file_is_not_believed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert remembered() == {}


def test_nothing_in_a_folder_of_records_is_run_on_the_server(sshd: Sshd, tmp_path: Path, state: Path) -> None:
    """An appended script in records/SITE/.asked.json was run as root by `plan`, and erased itself."""
    site = Site(**sshd.parameters())
    records = tmp_path / "records"
    planted = records / site.site / ASKED
    planted.parent.mkdir(parents=True)
    evil = f"touch {tmp_path}/pwned"
    books = [tmp_path / "01_look.ipynb"]
    planted.write_text(json.dumps({book.stem: [[evil, False]] for book in books}))
    planted.chmod(0o600)
    nbformat.write(notebook_that_looks(sshd), books[0])
    for _ in range(2):
        with kernels.SharedKernel() as kernel, record_run.opened(site, "check", records, books) as run:
            with Server.connect(site) as server:
                run.record.server = server.identity()
            run.execute(Ear().listen, kernel)
            assert run.record.runbooks[0].status == "ok", run.record.runbooks[0].reason
            assert run.record.asked_ahead == []
    assert not (tmp_path / "pwned").exists() and not planted.exists()
    assert sshd.inputs and not any(evil.encode() in each for each in sshd.inputs)


def test_what_only_an_earlier_run_asked_is_named_in_the_record(sshd: Sshd, tmp_path: Path, state: Path) -> None:
    site = Site(**sshd.parameters())
    books = [tmp_path / "01_look.ipynb"]
    nbformat.write(notebook_that_looks(sshd), books[0])
    with Server.connect(site) as server:
        identity = server.identity()
    memory = ProbeStore(site.site, identity["host_key"])
    memory.learn(
        "01_look", [Question("echo of an older version"), Question("starts a container", True)], everything=True
    )
    memory.save()
    with kernels.SharedKernel() as kernel, record_run.opened(site, "check", tmp_path / "records", books) as run:
        run.record.server = identity
        run.execute(Ear().listen, kernel)
    assert run.record.asked_ahead == ["echo of an older version"]


def notebook_that_looks(sshd: Sshd) -> Any:
    """A runbook that logs in and asks one thing."""
    text = (
        "# %% tags=['parameters']\n\n# %%\nfrom hubrun import Server, site_from\n"
        "server = Server.connect(site_from(globals()), check_mode=True)\nserver.probe('echo looked')\n"
    )
    made = jupytext.reads(text, fmt="py:percent")
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def test_what_the_kernel_answers_becomes_the_questions() -> None:
    asked = RunbookProbes()
    asked.take({"status": "ok", "data": {"text/plain": repr('[["it\'s", true]]')}})
    assert asked.asked == [Question("it's", True)]
    asked.take({"status": "error"})
    assert asked.asked == [Question("it's", True)]
