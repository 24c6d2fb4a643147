"""Cells as a person runs them in a notebook: the plan first, and errors that say what to do. In a real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from hubrun.desired.cards import MIME
from hubrun.environment import PROJECT
from sshd import Sshd, serve

pytestmark = pytest.mark.slow

CONNECT = "from hubrun import Server, Test, site_from\nfrom hubrun.resources.files import File\nserver = Server.connect(site_from(globals()), plan_first=plan_first)\n"


@dataclass
class Ran:
    """What came of one cell: "ok" or "error", what it shows, and its error."""

    status: str
    shown: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(each["text/plain"] for each in self.shown)


class Notebook:
    """A notebook of which a person runs cells, in JupyterLab's way: each is sent with its id."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client

    def run(self, cell: str, source: str) -> Ran:
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True, "user_expressions": {}}  # fmt: skip
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(message)
        shown: dict[str, dict[str, Any]] = {}
        error: dict[str, Any] = {}
        while True:
            got = self.client.get_iopub_msg(timeout=60)
            if got["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            kind, what = got["msg_type"], got["content"]
            if kind in ("display_data", "update_display_data", "execute_result"):
                shown[what.get("transient", {}).get("display_id", str(len(shown)))] = what["data"]
            elif kind == "error":
                error = what
            elif kind == "status" and what["execution_state"] == "idle":
                break
        while (reply := self.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != message["header"][
            "msg_id"
        ]:
            pass
        return Ran(reply["content"]["status"], list(shown.values()), error)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(PROJECT))
    try:
        yield Notebook(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def parameters(sshd: Sshd, **changes: Any) -> str:
    values = sshd.parameters() | {"check": False, "plan_first": False} | changes
    return "\n".join(f"{name} = {value!r}" for name, value in values.items())


def test_a_plan_is_shown_first_and_done_when_the_cell_is_run_again(
    notebook: Notebook, sshd: Sshd, tmp_path: Path
) -> None:
    place = tmp_path / "f"
    write = f"server.ensure(File({str(place)!r}, 'wanted\\n'))\nserver.check(Test('it is there', 'test -s {place}'))"
    notebook.run("p", parameters(sshd, plan_first=True))
    target = notebook.run("t", CONNECT + "server")
    assert "plan first: a step shows what it would change" in target.text

    first = notebook.run("w", write)
    assert first.status == "ok" and not place.exists()
    assert f"would change  file {place}" in first.text and "+wanted" in first.text
    assert "Run this cell again to do this." in first.text and "not checked  it is there" in first.text

    place.write_text("somebody was here\n")
    second = notebook.run("w", write)
    assert place.read_text() == "somebody was here\n"
    assert "another plan than the one that was shown" in second.text and "-somebody was here" in second.text

    third = notebook.run("w", write)
    assert place.read_text() == "wanted\n"
    assert f"changed  file {place}" in third.text and "1 check passed" in third.text and "again" not in third.text
    assert notebook.run("w", write).text.startswith("1 ok in ")

    place.write_text("drift\n")
    notebook.run("w", write)
    edited = notebook.run("w", write.replace("wanted", "other"))
    assert place.read_text() == "drift\n" and "+other" in edited.text


def test_a_step_that_failed_is_one_card_and_carries_on_when_it_was_repaired(
    notebook: Notebook, sshd: Sshd, tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    folder.write_text("in the way")
    step = f"server.ensure(File({str(tmp_path / 'a')!r}, 'a\\n'), File({str(folder / 'f')!r}, 'x\\n'))"
    notebook.run("p", parameters(sshd))
    notebook.run("t", CONNECT)
    failed = notebook.run("s", step)
    assert failed.status == "error" and failed.error["ename"] == "CommandFailed"
    (card,) = failed.shown
    assert failed.text.startswith("1 changed, 1 failed in ")
    assert (
        "To do: " in card["text/plain"]
        and "run this cell again: it carries on from what is there" in card["text/plain"]
    )
    assert "log<span" in card["text/html"], "the log is there to be opened"
    assert {result["status"] for result in card[MIME]["results"]} == {"changed", "failed"}
    # for programs there is an error with its name and text, and no traceback
    assert failed.error["evalue"].startswith(f"file {folder}/f: ")
    assert len(failed.error["traceback"]) == 1 and "\n" not in failed.error["traceback"][0]

    folder.unlink()
    folder.mkdir()
    again = notebook.run("s", step)
    assert again.status == "ok" and again.text.startswith("1 ok, 1 changed in ")


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("domain = ''\n" + CONNECT, "BadInput", ["domain is missing", "Nothing was changed", "run this cell again"]),
        ("ssh_port = 1\n" + CONNECT, "Unreachable", ["failed  ", "To do: "]),
        (CONNECT + "server.check(Test('never', 'echo no; false', remedy='turn it on'))", "CheckFailed",
         ["1 of 1 checks failed", "failed  never", "to do:    turn it on", "then run this cell again"]),
        (CONNECT + "server.run('echo the reason >&2; exit 3')", "CommandFailed", ["the reason", "To do: "]),
        (CONNECT + "server.ensure(3)", "AttributeError", ["fault of hubrun", "report it", "lib/hubrun/desired/server.py"]),
        ("import hubrun.runbook as r\nr.show_errors_as_cards()\nservre.ensure()", "NameError",
         ["servre", "run the cells above, from Parameters on"]),
    ],
)  # fmt: skip
def test_an_error_is_a_card_and_one_line(
    notebook: Notebook, sshd: Sshd, source: str, name: str, says: list[str]
) -> None:
    notebook.run("p", parameters(sshd))
    ran = notebook.run("c", source)
    assert (ran.status, ran.error["ename"]) == ("error", name)
    for part in says:
        assert part in ran.text
    assert len([each for each in ran.shown if "ailed" in each["text/plain"]]) == 1
    assert len(ran.error["traceback"]) == 1 and "\n" not in ran.error["traceback"][0]
    visible = re.sub("<details>.*?</details>", "", "".join(each["text/html"] for each in ran.shown), flags=re.DOTALL)
    assert "Traceback" not in visible and 'File "' not in visible


def test_what_a_person_wrote_into_a_cell_keeps_pythons_own_words(notebook: Notebook) -> None:
    ran = notebook.run("c", "import hubrun.runbook as r\nr.show_errors_as_cards()\n1 / 0")
    assert ran.error["ename"] == "ZeroDivisionError" and ran.shown == []
    assert "1 / 0" in re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(ran.error["traceback"]))


def headless(*cells: str) -> nbformat.NotebookNode:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    return book


def test_a_program_that_runs_the_notebook_stops_at_the_error_and_can_name_it(sshd: Sshd) -> None:
    book = headless(parameters(sshd), CONNECT + "server.run('false')", "print('never')")
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(book, resources={"metadata": {"path": str(PROJECT)}}).execute()
    assert caught.value.ename == "CommandFailed"
    (error,) = (output for output in book.cells[1].outputs if output.output_type == "error")
    assert error.evalue == caught.value.evalue and book.cells[2].outputs == []


def test_without_a_person_there_is_no_plan_first(sshd: Sshd) -> None:
    book = headless(parameters(sshd, plan_first=True), CONNECT)
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(book, resources={"metadata": {"path": str(PROJECT)}}).execute()
    assert caught.value.ename == "BadInput"
    assert "plan_first is for a person who runs each cell again" in caught.value.evalue
