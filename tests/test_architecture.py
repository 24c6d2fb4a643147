"""The house is as docs/explanation/architecture.md says: which folders there are, and which package imports which."""

from __future__ import annotations

import ast
import os
import re
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import grimp
import pytest

from hubrun import server_paths
from hubrun.environment import PROJECT

TEXT = (PROJECT / "docs/explanation/architecture.md").read_text()
TREE, LAYERS = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
PACKAGES = ("hubrun", "hubrun_hub", "hubrun_student")
# Names that are there twice and mean the same: a command and what it is about, a runbook and what it needs.
SAME = {"lab", "nodes", "params", "practice", "records", "server"}


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
    assert here == set(height), "docs/explanation/architecture.md must name each package in its list of layers"
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

    # all that the image has of the hub's: student_image.SHARED
    used = {other for one, others in elsewhere.items() if part(one) == "hubrun_student" for other in others}
    assert {each for each in used if part(each) == "hubrun_hub"} == {"hubrun_hub.pull_ticket"}


# Python that a shell would run, by its text. Practice servers' own images are not of a site.
PYTHON_IN_SHELL = re.compile(
    r"""python[\w.]*(["',]* +["']*-[A-Za-z]+)*["',]* +["']*(-[A-Za-z]*c\b|-(["' ]|$))""", re.MULTILINE
)


def test_code_of_ours_reaches_a_server_in_one_way() -> None:
    """As hubrun_hub by `SourceTree`, or as hubrun_student in the image; and no Python stands in a string of shell."""
    folders = [PROJECT / name for name in ("lib", "runbooks")]
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".j2", ".sh", ".Dockerfile")
    ]
    texts = {
        str(path.relative_to(PROJECT)): path.read_text()
        for path in [*files, PROJECT / "Dockerfile.singleuser"]
        if "images" not in path.parts
    }
    assert len(texts) > 200
    assert not {name for name, text in texts.items() if PYTHON_IN_SHELL.search(text)}
    reads = {name for name, text in texts.items() if re.search(r"""files\(["']hubrun_(hub|student)""", text)}
    assert reads == {"lib/hubrun/sections/hub/config.py"}
    trees = {name for name, text in texts.items() if re.search(r"(?<!class )\bSourceTree\(", text)}
    assert trees == {"lib/hubrun/sections/hub/config.py"}
    image = {name for name, text in texts.items() if re.search(r"lib/hubrun_(hub|student)", text)}
    assert image <= {"lib/hubrun/sections/docker_spawner/student_image.py", "Dockerfile.singleuser"}


@pytest.mark.parametrize(
    "text",
    [
        "python3 -c 'import os'", "{}/bin/python -I -c {}", "python -Ic x", "python3 -IS - <<'END'", "/usr/bin/python3.11 - <<EOF",
        '[sys.executable, "-c"]'.replace("sys.executable", '"python3"'),
    ],
)  # fmt: skip
def test_python_in_shell_is_seen(text: str) -> None:
    assert PYTHON_IN_SHELL.search(text)


@pytest.mark.parametrize("text", ["python3 -I -B /usr/local/lib/hubrun/hubrun_hub connect", "python3 -m venv --clear {}", "python -m compileall -q x", "python3-venv"])  # fmt: skip
def test_a_program_is_not_python_in_shell(text: str) -> None:
    assert not PYTHON_IN_SHELL.search(text)


def test_a_program_imports_nothing_that_somebody_may_have_planted(tmp_path: Path) -> None:
    """Root runs them: neither the working folder, nor a home, nor a variable says what they import."""
    for name in ("sqlite3", "runpy", "hubrun_hub"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    home = tmp_path / ".local/lib/python3.11/site-packages"
    home.mkdir(parents=True)
    (home / "usercustomize.py").write_text("raise SystemExit('planted')")
    database = tmp_path / "hub.sqlite"
    with sqlite3.connect(database) as made:
        made.execute("CREATE TABLE users (name)")
        made.execute("INSERT INTO users VALUES ('ada')")
    command = server_paths.program("is_user").replace(server_paths.HUB_CODE, str(PROJECT / "lib" / "hubrun_hub"))
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": str(home / "usercustomize.py"),
    }
    done = subprocess.run(
        ["sh", "-c", f"{command} {database} ada"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("user\n", "")


def test_no_module_is_in_a_circle(imports: dict[str, set[str]]) -> None:
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
    assert rules == {("run", "ledger"), ("pages", "ledger"), ("lab", "ledger"), ("lab", "run")}


def test_a_name_is_there_once() -> None:
    paths = [path for path in Path(PROJECT, "lib", "hubrun").rglob("*.py") if "images" not in path.parts]
    modules = [path.parent.name if path.stem == "__init__" else path.stem for path in paths]
    assert {name for name, times in Counter(modules).items() if times > 1} == SAME


def test_no_two_test_modules_have_one_name() -> None:
    """pytest imports each by its name alone."""
    names = Counter(path.name for path in (PROJECT / "tests").rglob("*.py"))
    assert [name for name, times in names.items() if times > 1] == []


# What came with Python 3.11 or later: Ubuntu 22.04, whose Python the hub and our programs have, is at 3.10.
LATER = {
    "datetime": {"UTC"}, "typing": {"Self", "Never", "LiteralString", "assert_never", "override"}, "enum": {"StrEnum"},
    "asyncio": {"timeout", "TaskGroup", "Runner"}, "contextlib": {"chdir"}, "hashlib": {"file_digest"}, "itertools": {"batched"},
}  # fmt: skip


def asked_of_python(node: ast.AST) -> list[tuple[str, str]]:
    """The names of modules that a statement imports or takes, with the module of each; "": the module itself."""
    if isinstance(node, ast.Import):
        return [(each.name, "") for each in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [(str(node.module), each.name) for each in node.names]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return [(node.value.id, node.attr)]
    return []


def test_what_runs_on_a_server_asks_for_no_python_that_is_not_there() -> None:
    found = [
        f"{path}: {module}.{name}"
        for path in (PROJECT / "lib/hubrun_hub").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10)))
        for module, name in asked_of_python(node)
        if module == "tomllib" or name in LATER.get(module, ())
    ]
    assert found == []
