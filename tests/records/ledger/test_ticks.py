"""What a person ticks in a runbook's text is kept: the item, who, and when it was first seen ticked."""

from __future__ import annotations

from copy import deepcopy

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hubrun.environment import PROJECT
from hubrun.records.ledger.close import summarize
from hubrun.records.ledger.manifest import RunbookRecord, Tick
from hubrun.records.ledger.steps import derive
from hubrun.records.ledger.ticks import kept, ticks

NOON, EVENING = "2026-11-26T12:00:00.000+00:00", "2026-11-26T18:00:00.000+00:00"
LIST = "## By hand\n\n- [ ] Add the **app**\n- [ ] Publish it\n"


def book(text: str = LIST) -> NotebookNode:
    return new_notebook(cells=[new_markdown_cell(text, id="list"), new_code_cell("- 1", id="code")])


def ticked(text: str, item: str) -> str:
    assert f"[ ] {item}" in text
    return text.replace(f"[ ] {item}", f"[x] {item}")


def test_the_first_save_that_has_it_ticked_says_who_and_when() -> None:
    first = ticks(None, book(), "anna", NOON)
    assert kept(first.cells[0]) == [] and "hubrun" not in first.cells[0].metadata
    one = ticks(first, book(ticked(LIST, "Publish it")), "anna", NOON)
    # JupyterLab saves what it has: it knows nothing of what the saves before added
    both = ticks(one, book(ticked(ticked(LIST, "Publish it"), "Add the **app**")), "ben", EVENING)
    assert kept(both.cells[0]) == [
        {"item": "Add the **app**", "by": "ben", "at": EVENING},
        {"item": "Publish it", "by": "anna", "at": NOON},
    ]


def test_nothing_but_ticks_is_added_and_what_came_in_stays_as_it_was() -> None:
    after = book(ticked(LIST, "Publish it"))
    after.cells[0].metadata["tags"] = ["x"]
    before = deepcopy(after)
    marked = ticks(None, after, "anna", NOON)
    assert after == before
    assert marked.cells[1] is after.cells[1]
    assert marked.cells[0].metadata == {"tags": ["x"], "hubrun": {"ticks": kept(marked.cells[0])}}
    assert ticks(marked, deepcopy(marked), "ben", EVENING) == marked


def test_what_is_unticked_is_gone_and_a_new_tick_is_a_new_one() -> None:
    one = ticks(None, book(ticked(LIST, "Publish it")), "anna", NOON)
    none = ticks(one, book(), "anna", NOON)
    assert kept(none.cells[0]) == []
    again = ticks(none, book(ticked(LIST, "Publish it")), "ben", EVENING)
    assert kept(again.cells[0]) == [{"item": "Publish it", "by": "ben", "at": EVENING}]


def test_a_browser_cannot_say_who_ticked() -> None:
    forged = book(ticked(LIST, "Publish it"))
    forged.cells[0].metadata["hubrun"] = {"ticks": [{"item": "Publish it", "by": "the dean", "at": NOON}]}
    assert kept(ticks(book(), forged, "anna", EVENING).cells[0]) == [
        {"item": "Publish it", "by": "anna", "at": EVENING}
    ]


def test_two_items_that_say_the_same_are_two() -> None:
    one = ticks(None, book("- [x] Run it again\n- [ ] Run it again"), "anna", NOON)
    both = ticks(one, book("- [x] Run it again\n- [x] Run it again"), "ben", EVENING)
    assert [tick["by"] for tick in kept(both.cells[0])] == ["anna", "ben"]


@pytest.mark.parametrize(
    ("line", "items"),
    [("* [X] a ", ["a"]), ("1. [x] a", ["a"]), ("  - [x] a", ["a"]), ("- [x]a", []), ("- [ ] a", []), ("[x] a", []), ("- [x] ", [])],
)  # fmt: skip
def test_an_item_is_what_github_takes_for_one(line: str, items: list[str]) -> None:
    assert [tick["item"] for tick in kept(ticks(None, book(line), "anna", NOON).cells[0])] == items


def test_a_list_without_a_cell_is_a_step_once_something_is_ticked() -> None:
    text = ticked(LIST, "Publish it")
    cells = [new_markdown_cell("## Key\n\n- [x] Make it"), new_code_cell("1"), new_markdown_cell(text)]
    nb = ticks(None, new_notebook(cells=cells), "anna", NOON)
    nb.cells[1].metadata["hubrun"] = {"status": "ok", "cause": "", "reason": "", "started": NOON, "ended": EVENING}
    key, by_hand = derive(nb)
    assert (key.title, key.status, key.ticked) == ("Key", "ok", [Tick(item="Make it", by="anna", at=NOON)])
    assert (by_hand.title, by_hand.status, by_hand.started) == ("By hand", "ticked", "")
    assert by_hand.ticked == [Tick(item="Publish it", by="anna", at=NOON)]
    entry = RunbookRecord(name="05_canvas")
    summarize(entry, nb)
    assert (entry.status, entry.ended) == ("ok", EVENING)
    assert [step.title for step in derive(new_notebook(cells=[*cells[:2], new_markdown_cell(LIST)]))] == ["Key"]


def test_the_lists_of_05_can_be_ticked() -> None:
    import nbformat

    nb = nbformat.read(PROJECT / "runbooks" / "05_canvas.ipynb", as_version=4)
    boxes = sum(cell.source.count("- [ ] ") for cell in nb.cells if cell.cell_type == "markdown")
    for cell in nb.cells:
        cell.source = cell.source.replace("- [ ] ", "- [x] ")
    marked = ticks(None, nb, "anna", NOON)
    assert sum(len(step.ticked) for step in derive(marked)) == boxes > 15
