"""The runbooks as they are kept: clean, equal to their twins, their parameters those of the schema, short plain cells."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from click.testing import CliRunner
from papermill.cli import papermill

from hubrun import params
from hubrun.environment import PROJECT
from hubrun.errors import BadInput
from hubrun.params import Site, documentation
from hubrun.runbook import site_from

NOTEBOOKS = sorted((PROJECT / "runbooks").glob("*.ipynb"))
BOOKS = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
NAMES = [
    "01_server", "02_hub_lti", "03_https", "04_docker_spawner", "05_canvas", "06_verify",
    "10_backup", "11_restore", "12_image", "13_upgrade", "14_rotate", "15_remove", "16_uninstall", "17_watch",
]  # fmt: skip
each = pytest.mark.parametrize("name", BOOKS)


def code(name: str) -> list[Any]:
    return [cell for cell in BOOKS[name].cells if cell.cell_type == "code"]


def parameters_cell(name: str) -> Any:
    (cell,) = (cell for cell in code(name) if "parameters" in cell.metadata.get("tags", []))
    return cell


def test_there_is_a_runbook_and_a_twin_for_each_section_and_nothing_else() -> None:
    assert list(BOOKS) == NAMES
    assert sorted(path.stem for path in (PROJECT / "runbooks").glob("*.py")) == NAMES


@each
def test_the_twin_says_the_same_cell_by_cell(name: str) -> None:
    # `jupytext --test` compares a notebook with itself, not with its twin.
    twin = jupytext.read(PROJECT / "runbooks" / f"{name}.py")
    parts = [
        [(cell.cell_type, cell.metadata.get("tags", []), cell.source) for cell in book.cells]
        for book in (BOOKS[name], twin)
    ]
    assert parts[0] == parts[1]
    assert len(parts[0]) > 5


@each
def test_a_runbook_holds_no_trace_of_a_run(name: str) -> None:
    book = BOOKS[name]
    assert [cell for cell in code(name) if cell.outputs or cell.execution_count is not None] == []
    assert book.metadata.kernelspec.name == "python3"
    assert set(book.metadata) <= {"kernelspec", "jupytext", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in book.cells)
    assert all(set(cell.metadata.get("tags", [])) <= {"parameters"} for cell in book.cells)
    nbformat.validate(book)


@each
def test_the_parameters_are_those_of_the_schema(name: str) -> None:
    assert parameters_cell(name).source == documentation.cell(name[:2]), f"./hubrun params --cell {name[:2]}"


@each
def test_a_runbook_makes_its_site_of_its_parameters_and_hands_the_runs_own_on(name: str) -> None:
    text = "\n".join(cell.source for cell in code(name))
    assert "site_from(globals())" in text
    assert "check_mode=check, plan_first=plan_first" in text


@each
def test_papermill_lists_each_parameter_with_its_help(name: str) -> None:
    asked = CliRunner().invoke(papermill, ["--help-notebook", str(PROJECT / "runbooks" / f"{name}.ipynb")])
    shown = " ".join(asked.output.split())
    for parameter, field in params.fields(name[:2]):
        assert f"{parameter}: {documentation.kind(field)} (default " in shown, parameter
        assert " ".join(str(field.description).split()) in shown, parameter
    assert "check: bool (default False)" in shown and "plan_first: bool (default False)" in shown


@each
def test_cells_are_plain(name: str) -> None:
    # A runbook calls the library; it holds no helpers, no loops and no string-built shell.
    unwanted = (
        ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.Try, ast.With,
        ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
        ast.If, ast.IfExp, ast.BoolOp, ast.Compare, ast.Match, ast.JoinedStr, ast.BinOp,
    )  # fmt: skip
    for cell in code(name):
        tree = ast.parse(cell.source)
        assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, unwanted)] == []
        assert "subprocess" not in cell.source and "get_ipython" not in cell.source
        if "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 40
            texts = [
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            # a name, a path or an address; a command of a shell has spaces, or characters that mean something to it
            assert [text for text in texts if not re.fullmatch(r"[\w./@:-]+", text)] == []


@each
def test_no_cell_takes_the_name_of_a_parameter(name: str) -> None:
    # The Parameters and Target cells can be run again at any time, and take what stands under a parameter's name. `site`
    # is theirs: the site's name, and then the site.
    parameters = {*Site.model_fields, "check", "plan_first"} - {"site"}
    for cell in code(name):
        if "parameters" in cell.metadata.get("tags", []):
            continue
        nodes = list(ast.walk(ast.parse(cell.source)))
        taken = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        taken |= {node.asname or node.name.partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
        assert taken & parameters == set()


@each
def test_each_step_says_what_a_person_would_have_typed_or_why_there_is_nothing(name: str) -> None:
    above, without = "", []
    for cell in BOOKS[name].cells:
        if cell.cell_type == "markdown":
            above = cell.source
        elif not re.match(r"## (Parameters|Target|Summary)\n", above) and "by hand" not in above.lower():
            without.append(above.splitlines()[0])
    assert without == []


@each
def test_each_step_has_a_heading_of_its_own_with_its_reason(name: str) -> None:
    first, titles, above = BOOKS[name].cells[0], [], ""
    assert re.match(rf"# {name[:2]} · \S", first.source)
    for word in ("**About.**", "**Before.**", "**After.**"):
        assert word in first.source
    for cell in BOOKS[name].cells:
        if cell.cell_type == "markdown":
            above = cell.source
        elif heading := re.match(r"## (.+)\n\n.{10,}", above):
            titles += [heading[1]] if heading[1] not in titles[-1:] else []
        else:
            pytest.fail(f"no heading with a reason above {cell.source}")
    assert len(titles) == len(set(titles)), "two steps of the same name cannot be told apart in the record"
    assert titles[:2] == ["Parameters", "Target"]
    assert titles[-1] == "Summary"
    assert "sb.glue(" in code(name)[-1].source


# -- a notebook's parameters as a site -----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)  # site_from changes to it, and this brings us back


def cell_values(**changes: Any) -> dict[str, Any]:
    """The variables of a notebook after its parameters cell, with what IPython and imports add."""
    values: dict[str, Any] = {}
    exec(parameters_cell("01_server").source, values)  # noqa: S102
    return values | {"In": [""], "Out": {}, "_i1": "x", "exit": sys.exit, "Path": Path} | changes


def test_the_cells_values_are_the_site_and_what_ipython_adds_is_not() -> None:
    site = site_from(cell_values(site="a", domain="hub.example.edu", swap_mb=0))
    assert site.given().keys() == {name for name, _ in params.fields("01")}
    assert (site.site, site.swap_mb, site.upgrade) == ("a", 0, "full")


def test_the_cell_that_makes_the_site_can_be_run_again() -> None:
    values = cell_values(site="a", domain="hub.example.edu")
    values["site"] = first = site_from(values)
    assert site_from(values) == first
    assert site_from(values | {"swap_mb": 7}).swap_mb == 7  # the Parameters cell was changed, its name was not
    assert site_from(values | {"site": "b"}).site == "b"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "parameters: site is missing; domain is missing"),
        ({"site": "a", "domain": 12}, "domain is 12: must be text"),
        ({"site": "a", "domain": "hub.example.edu", "domian": "x"}, "unknown parameter domian, did you mean domain?"),
        ({"site": "a", "domain": "hub.example.edu", "swap_mb": "1"}, "swap_mb is '1': must be a whole number"),
        ({"site": "a", "domain": "hub.example.edu", "nodes": Path()}, "nodes is of type PosixPath, no value of a parameter. Run it again"),
        ({"site": "a", "domain": "hub.example.edu", "check": "yes"}, "parameters cell: check is 'yes': must be true or false"),
        ({"site": "a", "domain": "hub.example.edu", "plan_first": 1}, "parameters cell: plan_first is 1: must be true or false"),
        ({"site": "a", "domain": "hub.example.edu", "plan_first": True}, "plan_first is for a person who runs each cell again"),
    ],
)  # fmt: skip
def test_a_wrong_value_in_the_cell_is_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        site_from(cell_values(**changes))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
