"""The copies of a session without a browser or a kernel: parameters, what a browser saves, and what the server saw."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from books import book, code, forget, marks, places, printed
from hubrun import atomic_write, params
from hubrun.desired.cards import MIME
from hubrun.environment import MESSAGE, PROJECT
from hubrun.records.lab import cell_outputs
from hubrun.records.lab import recorder as recorder_module
from hubrun.records.lab.cell_outputs import CellOutputs
from hubrun.records.lab.notebook_copy import NotebookCopy
from hubrun.records.lab.parameters_cell import filled
from hubrun.records.lab.recorder import Recorder, Request
from hubrun.records.ledger import close
from hubrun.records.ledger.steps import derive
from hubrun.runbook import site_from

# -- parameters

SITES = [
    {"site": "a", "domain": "hub.example.edu"},
    {"site": "a", "domain": "hub.example.edu", "http_port": 8080, "swap_mb": 2048, "extra_packages": ["vim"], "ssh_user": ""},
    {"site": "a", "domain": "hub.example.edu", "consumers": [{"name": "bio"}], "canvas_tool_name": 'The "ü" \\ hub', "nbgrader": False, "user_cpus": 0.5},
]  # fmt: skip


@pytest.mark.parametrize("values", SITES)
@pytest.mark.parametrize("runbook", sorted((PROJECT / "runbooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_a_copy_describes_the_same_site_as_an_install_of_the_file(
    runbook: Path, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # site_from changes to the project, and this brings us back
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    site = params.load(tmp_path / "site.yaml")
    copy = NotebookCopy(runbook, tmp_path / runbook.name, site.given())
    cell = next(cell for cell in copy.nb.cells if "parameters" in cell.metadata.get("tags", []))
    namespace: dict[str, Any] = {}
    exec(cell.source, namespace)  # noqa: S102
    assert site_from(namespace) == site
    assert cell.source.count("# ") >= 10  # the help stays


def test_a_value_goes_into_its_own_line_and_others_to_the_end() -> None:
    source = 'a: str = "ü"  # help: "x"\nb = [\n  1,\n]  # list\nc = d = 3\nimport os\n'
    assert filled(source, {"a": "é", "b": [2], "d": True, "new": "x"}) == (
        'a: str = "é"  # help: "x"\nb = [2]  # list\nc = d = True\nimport os\n\nnew = "x"'
    )


# -- what a browser saves, and what the server saw


@pytest.fixture
def copy(tmp_path: Path) -> NotebookCopy:
    path = book(tmp_path, "01_one", ("One", ["print(1)", "print(2)"]), ("Two", ["print(3)"]))
    (tmp_path / "run").mkdir()
    return NotebookCopy(path, tmp_path / "run" / path.name, {"site": "biology"}, "anna")


@pytest.fixture
def recorder(copy: NotebookCopy) -> Recorder:
    return Recorder([copy])


def ids(copy: NotebookCopy) -> dict[str, str]:
    return {cell.source: cell.id for cell in copy.nb.cells}


def on_disk(copy: NotebookCopy) -> NotebookNode:
    copy.save()
    return nbformat.read(copy.file, as_version=4)


def test_what_a_person_ticks_is_kept_with_who_and_when_and_makes_a_runbook_one_that_was_done(
    copy: NotebookCopy,
) -> None:
    copy.nb.cells.append(new_markdown_cell("## By hand\n\n- [ ] Publish it\n- [ ] Add the app"))
    copy.save()
    assert not copy.ran
    content = copy.opened()
    content.cells[-1].source = content.cells[-1].source.replace("[ ] Publish", "[x] Publish")
    copy.merge(content)
    (step,) = (step for step in derive(on_disk(copy)) if step.title == "By hand")
    assert [(tick.item, tick.by) for tick in step.ticked] == [("Publish it", "anna")]
    assert step.status == "ticked" and copy.ran
    copy.merge(copy.opened())  # JupyterLab saves again, and does not know of the ticks
    (again,) = (each for each in derive(on_disk(copy)) if each.title == "By hand")
    assert again == step


def ask(
    recorder: Recorder, copy: NotebookCopy, source: str, message: str = "", cell: str = "", kernel: str = "k"
) -> list[str]:
    """A cell is to be run; what becomes of the request."""
    became: list[str] = []
    recorder.asked(
        Request(
            kernel, message or source, cell or ids(copy).get(source, ""), copy.file.name, source,
            lambda: became.append("sent"), lambda: became.append("refused"),
        )
    )  # fmt: skip
    return became


def run(
    recorder: Recorder, copy: NotebookCopy, source: str, *shows: tuple[str, dict[str, Any]], cell: str = ""
) -> None:
    """A cell is run from its beginning to its end, as the messages say it."""
    message = os.urandom(8).hex()
    assert ask(recorder, copy, source, message, cell) == ["sent"]
    say(recorder, message, "execute_input", {"code": source, "execution_count": 1})
    for kind, content in shows:
        say(recorder, message, kind, content)
    say(recorder, message, "status", {"execution_state": "idle"})


def say(recorder: Recorder, parent: str, kind: str, content: dict[str, Any]) -> None:
    recorder.heard("k", kind, parent, content, len(json.dumps(content)))


def out(text: str) -> tuple[str, dict[str, Any]]:
    return "stream", {"name": "stdout", "text": text}


def card(status: str) -> tuple[str, dict[str, Any]]:
    data = {MIME: {"results": [{"resource": "file", "status": status}]}, "text/plain": "card"}
    return "display_data", {"data": data, "metadata": {}, "transient": {"display_id": "d"}}


ERROR = ("error", {"ename": "ValueError", "evalue": "no", "traceback": ["ValueError: no"]})


def test_the_browser_says_what_the_cells_are_and_the_server_what_came_of_them(
    recorder: Recorder, copy: NotebookCopy
) -> None:
    run(recorder, copy, "print(1)", out("1\n"))
    saved = json.loads(json.dumps(copy.opened()))
    saved["cells"][3]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "made up"}]
    saved["cells"][3]["metadata"]["hubrun"] = {"status": "ok"}
    saved["cells"][4]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "never ran"}]
    saved["cells"][4]["metadata"]["hubrun"] = {"status": "ok"}
    saved["cells"].append(new_markdown_cell("- [x] ticked"))
    copy.merge(saved)
    kept = on_disk(copy)
    assert [printed(cell) for cell in code(kept)] == ["1\n", "", ""]
    assert marks(kept) == [("ok", ""), ("not run", ""), ("not run", "")]
    assert kept.cells[-1].source == "- [x] ticked"
    assert "trusted" not in str(kept)


def test_a_cell_is_kept_as_it_was_run_and_a_draft_of_it_is_the_browsers(recorder: Recorder, copy: NotebookCopy) -> None:
    run(recorder, copy, "print(1)", out("1\n"))
    saved = copy.opened()
    saved.cells[3].source = "print('a draft')"
    copy.merge(saved)
    assert code(on_disk(copy))[0].source == "print(1)"
    assert copy.opened().cells[3].source == "print('a draft')"
    run(recorder, copy, "print('a draft')", out("a draft\n"))
    kept = code(on_disk(copy))[0]
    assert (kept.source, printed(kept)) == ("print('a draft')", "a draft\n")
    assert [(each["source"], each["status"]) for each in kept.metadata["hubrun"]["earlier"]] == [("print(1)", "ok")]


def test_a_cell_that_was_run_stays_when_the_browser_has_it_no_more(recorder: Recorder, copy: NotebookCopy) -> None:
    run(recorder, copy, "print(2)", out("2\n"))
    saved = copy.opened()
    del saved.cells[3:5]  # print(1), which was not run, and print(2)
    saved.cells[-1].cell_type = "code"
    copy.merge(saved)
    assert [cell.source for cell in code(on_disk(copy))] == ["print(2)", "print(3)"]


def test_a_cell_that_no_browser_saved_is_put_behind_the_one_before_it(recorder: Recorder, copy: NotebookCopy) -> None:
    run(recorder, copy, "print(1)")
    run(recorder, copy, "print('new')", out("new\n"), cell="new")
    run(recorder, copy, "print('of a console')", out("x"))
    assert [cell.source for cell in code(on_disk(copy))] == [
        "print(1)", "print('new')", "print('of a console')", "print(2)", "print(3)",
    ]  # fmt: skip
    saved = copy.opened()
    saved.cells = [saved.cells[-1], *saved.cells[:-1]]
    moved = next(cell for cell in saved.cells if cell.id == "new")
    saved.cells.remove(moved)
    saved.cells.insert(0, moved)
    copy.merge(saved)
    assert code(on_disk(copy))[0].source == "print('new')"


def test_what_is_no_notebook_is_refused_and_changes_nothing(copy: NotebookCopy) -> None:
    before = on_disk(copy)
    with pytest.raises(ValueError):
        copy.merge({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "x", "id": "x"}]})
    assert on_disk(copy) == before


def test_a_step_says_each_time_that_it_was_run_and_what_was_changed(recorder: Recorder, copy: NotebookCopy) -> None:
    run(recorder, copy, "print(1)", card("changed"), ERROR)
    run(recorder, copy, "print(3)")
    run(recorder, copy, "print(1)", card("ok"))
    first, one, two = derive(on_disk(copy))
    assert [(run.cell, run.status, run.reason) for run in one.runs] == [(1, "failed", "ValueError: no"), (1, "ok", "")]
    assert [each["status"] for each in one.results] == ["changed", "ok"]
    assert (first.status, one.status, two.status) == ("not run", "ok", "ok")
    assert one.started < two.started < one.ended


def test_a_kernel_gets_a_cell_when_the_disk_says_that_it_runs_and_one_at_a_time(
    recorder: Recorder, copy: NotebookCopy
) -> None:
    seen: list[list[tuple[str, str]]] = []
    recorder.asked(
        Request(
            "k", "print(1)", ids(copy)["print(1)"], copy.file.name, "print(1)",
            lambda: seen.append(marks(nbformat.read(copy.file, as_version=4))), lambda: None,
        )
    )  # fmt: skip
    assert seen == [[("running", ""), ("not run", ""), ("not run", "")]]
    second = ask(recorder, copy, "print(2)")
    other = ask(recorder, copy, "print(3)", kernel="other")
    assert (second, other) == ([], ["sent"])
    say(recorder, "print(1)", "execute_input", {"execution_count": 1})
    say(recorder, "print(1)", "status", {"execution_state": "idle"})
    assert second == ["sent"]


def test_what_waits_behind_an_error_is_not_run(recorder: Recorder, copy: NotebookCopy) -> None:
    ask(recorder, copy, "print(1)")
    second = ask(recorder, copy, "print(2)")
    say(recorder, "print(1)", "execute_input", {"execution_count": 1})
    say(recorder, "print(1)", *ERROR)
    say(recorder, "print(1)", "status", {"execution_state": "idle"})
    assert second == ["refused"]
    assert marks(on_disk(copy)) == [("failed", "error"), ("not run", ""), ("not run", "")]


def test_what_a_kernel_refuses_leaves_no_trace(recorder: Recorder, copy: NotebookCopy) -> None:
    run(recorder, copy, "print(1)", out("1\n"))
    before = on_disk(copy)
    for source in ("print(1)", "print(2)"):
        assert ask(recorder, copy, source, f"again {source}") == ["sent"]
        assert on_disk(copy) != before
        recorder.replied(f"again {source}", {"status": "aborted"})
        say(recorder, f"again {source}", "status", {"execution_state": "idle"})
        assert on_disk(copy) == before


def test_a_reply_tells_what_was_missed(recorder: Recorder, copy: NotebookCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_LATE", 0)
    ask(recorder, copy, "print(1)")
    recorder.replied("print(1)", {"status": "error", "ename": "ValueError", "evalue": "no"})
    recorder.look()
    assert marks(on_disk(copy)) == [("failed", "error"), ("not run", ""), ("not run", "")]
    assert recorder.busy() == set()


def test_a_reply_that_comes_first_is_the_same_run(recorder: Recorder, copy: NotebookCopy) -> None:
    ask(recorder, copy, "print(1)")
    recorder.replied("print(1)", {"status": "ok", "execution_count": 7})
    say(recorder, "print(1)", "execute_input", {"execution_count": 7})
    say(recorder, "print(1)", *out("1\n"))
    say(recorder, "print(1)", "status", {"execution_state": "idle"})
    (cell, *_) = code(on_disk(copy))
    assert (printed(cell), cell.metadata["hubrun"]["status"], cell.metadata["hubrun"]["earlier"]) == ("1\n", "ok", [])
    assert cell.execution_count == 7


def test_a_kernel_that_is_lost_interrupts_what_it_ran_and_no_other_kernels(
    recorder: Recorder, copy: NotebookCopy
) -> None:
    ask(recorder, copy, "print(1)")
    second = ask(recorder, copy, "print(2)")
    ask(recorder, copy, "print(3)", kernel="other")
    assert recorder.busy() == {"k", "other"}
    recorder.lost("k", "kernel died", "it died")
    assert marks(on_disk(copy)) == [("interrupted", "kernel died"), ("not run", ""), ("running", "")]
    assert (recorder.busy(), second) == ({"other"}, ["refused"])


def test_a_session_that_ends_begins_nothing_more(recorder: Recorder, copy: NotebookCopy) -> None:
    ask(recorder, copy, "print(1)")
    second = ask(recorder, copy, "print(2)")
    recorder.stopping = "SIGTERM"
    say(recorder, "print(1)", "error", {"ename": "KeyboardInterrupt", "evalue": "", "traceback": []})
    say(recorder, "print(1)", "status", {"execution_state": "idle"})
    assert marks(on_disk(copy))[:2] == [("interrupted", "SIGTERM"), ("not run", "")]
    assert second == ["refused"]


def test_what_a_session_leaves_undone_is_interrupted_or_not_run(recorder: Recorder, copy: NotebookCopy) -> None:
    ask(recorder, copy, "print(1)")
    second = ask(recorder, copy, "print(2)")
    recorder.close()
    assert marks(on_disk(copy)) == [("interrupted", "stopped"), ("not run", ""), ("not run", "")]
    assert second == []  # there is nobody to be told


def test_a_cell_that_ran_when_the_session_was_killed_is_interrupted(recorder: Recorder, copy: NotebookCopy) -> None:
    run(recorder, copy, "print(1)", card("changed"))
    ask(recorder, copy, "print(1)", "again")
    nb = close._repair(copy.file)
    assert marks(nb) == [("interrupted", "killed"), ("not run", ""), ("not run", "")]
    (_, step, _) = derive(nb)
    assert [(run.status, run.cause) for run in step.runs] == [("changed", ""), ("interrupted", "killed")]
    assert step.results == [{"resource": "file", "status": "changed"}]


def test_a_copy_that_cannot_be_written_is_written_later(copy: NotebookCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    really, copy.dirty = atomic_write.write, True

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_write, "write", full)
    copy.save()
    assert copy.error and copy.dirty and json.loads(copy.unsaved)["cells"]
    monkeypatch.setattr(atomic_write, "write", really)
    copy.save()
    assert not copy.error and not copy.unsaved and copy.file.exists()


def test_a_secret_is_taken_out_of_what_was_written_before_it_was_known(
    recorder: Recorder, copy: NotebookCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    secret = "vK7-uQz'4 pLm9"
    run(recorder, copy, "print(1)", out(secret[:5]), out(secret[5:]))
    saved = copy.opened()
    saved.cells.append(new_code_cell(f"# {secret}", metadata={"note": secret}))
    copy.merge(saved)
    recorder.heard("k", MESSAGE, "", {"kind": "value", "what": [secret, "a password"]}, 10)
    assert copy.dirty
    copy.save()
    assert places(copy.file.parent, secret) == []
    assert copy.counts["a password"] >= 3


# -- outputs


def test_a_progress_line_gives_way_to_its_card(recorder: Recorder, copy: NotebookCopy) -> None:
    line = {"data": {"text/plain": "installing"}, "metadata": {}, "transient": {"display_id": "d"}}
    later = ("update_display_data", card("changed")[1])
    run(recorder, copy, "print(1)", ("display_data", line), later)
    (cell, *_) = code(on_disk(copy))
    assert [output.data["text/plain"] for output in cell.outputs] == ["card"]
    assert cell.metadata["hubrun"]["status"] == "changed"


def test_outputs_are_cleared_at_once_or_with_the_next_one() -> None:
    outputs = CellOutputs()
    kept = outputs.outputs
    for kind, content in [out("1"), ("clear_output", {"wait": True}), ("comm_msg", {})]:
        outputs.take(kind, content, 1)
    assert kept[0].text == "1"
    outputs.take(*out("2"), 1)
    assert [each.text for each in kept] == ["2"]
    outputs.take("clear_output", {"wait": False}, 1)
    assert kept == []


def test_what_is_printed_without_end_is_kept_at_its_beginning_and_end() -> None:
    outputs = CellOutputs()
    for number in range(60_000):
        outputs.take(*out(f"line {number}\n"), 1)
    (kept,) = outputs.outputs
    assert len(kept.text) < 3 * cell_outputs.TEXT
    assert kept.text.startswith("line 0\n") and kept.text.endswith("line 59999\n")
    assert "characters, which the record leaves out" in kept.text
    assert all(line.startswith(("line ", "…")) for line in kept.text.splitlines() if line)


def test_outputs_that_are_too_many_or_too_large_are_left_out_and_that_is_said() -> None:
    outputs = CellOutputs()
    for _ in range(cell_outputs.MOST + 50):
        outputs.take(*card("ok"), 1)
    assert len(outputs.outputs) == cell_outputs.MOST + 1
    assert "no more than" in outputs.outputs[-1].text
    large = CellOutputs()
    large.take("display_data", {"data": {"text/plain": "x"}, "metadata": {}}, cell_outputs.LARGEST + 1)
    assert large.outputs[0].data["text/plain"] == "… an output of 8 MB, which the record leaves out …"
