"""A runbook and its twin: what differs is said with its place, and what was compared is not compared again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hubrun.errors import BadInput
from hubrun.records.run import site_run, twins

CELLS = [
    new_markdown_cell("# 01 · The server"),
    new_markdown_cell("## Swap\n\nSmall servers need it."),
    new_code_cell("server.ensure(Swap())", metadata={"tags": ["x"]}),
]


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A runbook and its twin, which say the same, in a project of their own."""
    import jupytext

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(site_run, "PROJECT", tmp_path)
    notebook, twin = (tmp_path / "runbooks" / f"01_server.{kind}" for kind in ("ipynb", "py"))
    notebook.parent.mkdir()
    book = new_notebook(cells=CELLS)
    nbformat.write(book, notebook)
    jupytext.write(book, twin, fmt="py:percent")
    return notebook, twin


def refusal() -> str:
    with pytest.raises(BadInput) as caught:
        site_run.runbooks()
    said = str(caught.value)
    assert (caught.value.exit_code, said.count("\n")) == (2, 0)
    return said


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_twins_that_say_the_same_are_run(pair: tuple[Path, Path]) -> None:
    assert site_run.runbooks() == [pair[0]]


@pytest.mark.parametrize("form", [0, 1])
def test_an_edit_in_one_of_the_two_is_said_with_its_cell_and_both_ways_out(form: int, pair: tuple[Path, Path]) -> None:
    site_run.runbooks()
    edit(pair[form], "Swap()", "Swap(64)")
    said = refusal()
    assert said.startswith("runbooks/01_server.ipynb: differs from its twin 01_server.py in cell 3 (Swap). If ")
    assert ".venv/bin/jupytext --update --to ipynb runbooks/01_server.py" in said
    assert ".venv/bin/jupytext --to py:percent runbooks/01_server.ipynb" in said
    assert refusal() == said
    edit(pair[1 - form], "Swap()", "Swap(64)")
    assert site_run.runbooks() == [pair[0]]


def test_the_runbooks_that_are_not_run_may_differ(pair: tuple[Path, Path]) -> None:
    other = pair[0].with_name("02_hub.ipynb")
    other.write_bytes(pair[0].read_bytes())
    other.with_suffix(".py").write_text("# %%\nelse\n")
    assert site_run.runbooks(only="01") == [pair[0]]
    assert "02_hub.ipynb" in refusal()


def test_a_twin_that_is_not_there_is_nothing_to_stop_for(pair: tuple[Path, Path]) -> None:
    pair[1].unlink()
    assert site_run.runbooks() == [pair[0]]


@pytest.mark.parametrize(
    ("form", "content", "says"),
    [
        (0, b"{", "runbooks/01_server.ipynb: is not a notebook that can be read. git diff runbooks/01_server.ipynb"),
        (0, b"[]", "runbooks/01_server.ipynb: is not a notebook that can be read"),
        (1, b"\xff", "runbooks/01_server.py: cannot be read: not a text file"),
        (1, b"", "differs from its twin 01_server.py in cell 1"),
        (1, b"# %%\nif (\n", "differs from its twin 01_server.py in cell 1"),
    ],
)
def test_a_broken_file_is_one_line(form: int, content: bytes, says: str, pair: tuple[Path, Path]) -> None:
    pair[form].write_bytes(content)
    assert says in refusal()


def test_a_folder_in_place_of_a_twin_is_one_line(pair: tuple[Path, Path]) -> None:
    pair[1].unlink()
    pair[1].mkdir()
    assert "runbooks/01_server.py: cannot be read: Is a directory" in refusal()


@pytest.mark.parametrize(
    ("mine", "its", "place"),
    [
        (CELLS, CELLS, ""),
        ([], [], ""),
        (CELLS, CELLS[:2], "cell 3 (Swap)"),
        (CELLS[:1], CELLS, "cell 2 (01 · The server)"),
        (CELLS[2:], [], "cell 1"),
        (CELLS, [*CELLS[:2], new_code_cell("server.ensure(Swap())")], "cell 3 (Swap)"),
        (CELLS, [*CELLS[:2], new_markdown_cell("server.ensure(Swap())")], "cell 3 (Swap)"),
        (CELLS, [CELLS[0], new_markdown_cell("## Swap space"), CELLS[2]], "cell 2 (Swap)"),
    ],
)
def test_the_place_is_the_first_cell_that_differs(mine: list[Any], its: list[Any], place: str) -> None:
    assert twins.difference(mine, its) == place


# -- what was compared before ----------------------------------------------------------------------------------


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The notebooks that were compared with jupytext."""
    compared: list[Path] = []
    compare: Callable[..., None] = twins._compare

    def count(notebook: Path, *others: Any) -> None:
        compared.append(notebook)
        compare(notebook, *others)

    monkeypatch.setattr(twins, "_compare", count)
    return compared


def test_a_pair_is_compared_once_until_one_of_them_changes(pair: tuple[Path, Path], comparisons: list[Path]) -> None:
    for _ in range(3):
        site_run.runbooks()
    assert comparisons == [pair[0]]
    pair[1].write_text(pair[1].read_text() + "\n")  # another text that says the same
    for _ in range(3):
        site_run.runbooks()
    assert comparisons == [pair[0]] * 2


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b'{"x": 1'])
def test_without_what_is_remembered_they_are_compared_again(
    content: bytes, pair: tuple[Path, Path], comparisons: list[Path], tmp_path: Path
) -> None:
    site_run.runbooks()
    (tmp_path / "state/hubrun/twins.json").write_bytes(content)
    assert site_run.runbooks() == [pair[0]]
    assert len(comparisons) == 2


def test_where_nothing_can_be_remembered_they_are_compared_each_time(
    pair: tuple[Path, Path], comparisons: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert site_run.runbooks() == [pair[0]]
    assert len(comparisons) == 2


def test_what_somebody_else_may_have_written_is_not_believed(
    pair: tuple[Path, Path], comparisons: list[Path], tmp_path: Path
) -> None:
    site_run.runbooks()
    (tmp_path / "state/hubrun/twins.json").chmod(0o666)
    site_run.runbooks()
    assert len(comparisons) == 2


# -- the two ways out ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["--update --to ipynb runbooks/01_server.py", "--to py:percent runbooks/01_server.ipynb"]
)
def test_either_command_makes_them_say_the_same(command: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    edit(pair[1], "Swap()", "Swap(64)")
    assert command in refusal()
    subprocess.run([Path(sys.executable).with_name("jupytext"), *command.split()], cwd=tmp_path, check=True)
    assert site_run.runbooks() == [pair[0]]
    kept = nbformat.read(pair[0], as_version=4).cells[2].source
    assert kept == ("server.ensure(Swap(64))" if "--update" in command else "server.ensure(Swap())")
