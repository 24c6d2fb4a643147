"""The house is as docs/architecture.md says: which folders there are, and which package imports which."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import grimp
import pytest

from hubrun.environment import PROJECT

TEXT = (PROJECT / "docs" / "architecture.md").read_text()
TREE, LAYERS = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
PACKAGES = ("hubrun", "hubrun_hub", "hubrun_student")
# Names that are there twice and mean the same: a command and what it is about, a runbook and what it needs.
SAME = {"params", "practice", "records", "server"}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, at its top, in a function, or for types alone."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def part(module: str) -> str:
    """`hubrun.ssh.channel` is in `ssh`; `hubrun_hub.lti.pages` is in `hubrun_hub`."""
    first, *rest = module.split(".")
    return rest[0] if first == "hubrun" and rest else first


def between(imports: dict[str, set[str]], inside: str) -> set[tuple[str, str]]:
    """Which package in the package `inside` imports which other one in it."""
    depth = inside.count(".") + 1
    pairs = {
        (one.split(".")[depth], other.split(".")[depth])
        for one, others in imports.items()
        for other in others
        if one.startswith(f"{inside}.") and other.startswith(f"{inside}.")
    }
    return {(one, other) for one, other in pairs if one != other}


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """The groups of modules that import each other: what is left when those that import nothing are taken away."""
    left = {one: others & edges.keys() for one, others in edges.items()}
    while ends := {one for one, others in left.items() if not others}:
        left = {one: others - ends for one, others in left.items() if one not in ends}
    return [set(left)] if left else []


def test_the_folders_are_those_of_the_list() -> None:
    said, package = {"lib"}, ""
    for line in TREE.splitlines()[1:]:
        name = line.split()[0].rstrip("/")
        package = name if line.startswith("  h") else package
        said.add(f"lib/{name}" if name == package else f"lib/{package}/{name}")
    # by their files: an empty folder is what git leaves of one that moved
    files = [
        path.relative_to(PROJECT)
        for path in (PROJECT / "lib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    found = {"/".join(path.parts[:depth]) for path in files for depth in (1, 2, 3)}
    found -= {f"lib/{name}/__init__.py" for name in PACKAGES[1:]}
    assert found == said


def test_a_package_imports_only_from_those_below_it(imports: dict[str, set[str]]) -> None:
    layers = [line.split(" | ") for line in LAYERS.splitlines()]
    height = {name: number for number, names in enumerate(layers) for name in names}
    here = {part(module) for module in imports if module.startswith("hubrun.")} - {"__main__"}
    assert here == set(height), "docs/architecture.md must name each package in its list of layers"
    wrong = [
        f"{one} imports {other}"
        for one, others in imports.items()
        for other in others
        if part(one) in height
        and part(other) in height
        and part(one) != part(other)
        and height[part(one)] >= height[part(other)]
    ]
    assert wrong == []
    # what the runbooks import; nothing of ours does
    assert [one for one, others in imports.items() if "hubrun" in others] == []


def test_what_runs_elsewhere_imports_nothing_of_hubrun(imports: dict[str, set[str]]) -> None:
    elsewhere = {one: others for one, others in imports.items() if not re.match(r"hubrun(\.|$)", one)}
    assert len(elsewhere) > 40
    assert [
        f"{one} imports {other}"
        for one, others in elsewhere.items()
        for other in others
        if part(other) not in PACKAGES[1:]
    ] == []
    assert [
        one
        for one, others in elsewhere.items()
        if one.startswith("hubrun_hub") and any(map("hubrun_student".__eq__, map(part, others)))
    ] == []


def test_no_module_is_in_a_circle(imports: dict[str, set[str]]) -> None:
    # the ticket is put beside the handlers in the image only, so that its import is taken for one of the package
    del imports["hubrun_student.pull"]
    assert circles(imports) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) != []


@pytest.mark.parametrize("package", ["hubrun.records", "hubrun.sections", "hubrun_hub"])
def test_no_package_in_a_package_is_in_a_circle(imports: dict[str, set[str]], package: str) -> None:
    edges: dict[str, set[str]] = {}
    for one, other in between(imports, package):
        edges.setdefault(one, set()).add(other)
        edges.setdefault(other, set())
    assert edges and circles(edges) == []


def test_in_records_the_ledger_is_below() -> None:
    graph = grimp.build_graph("hubrun", cache_dir=None)
    rules = between({one: set(graph.find_modules_directly_imported_by(one)) for one in graph.modules}, "hubrun.records")
    assert rules == {("run", "ledger"), ("pages", "ledger")}


def test_a_name_is_there_once() -> None:
    paths = [path for path in Path(PROJECT, "lib", "hubrun").rglob("*.py") if "images" not in path.parts]
    modules = [path.parent.name if path.stem == "__init__" else path.stem for path in paths]
    assert {name for name, times in Counter(modules).items() if times > 1} == SAME
