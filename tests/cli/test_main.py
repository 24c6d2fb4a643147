"""The command line: exit codes, one clear line for bad input, and nothing left behind by it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest
import yaml

from books import until
from command_line import Hubrun, command_line
from hubrun import params
from hubrun.desired.server import Server
from hubrun.environment import PROJECT
from hubrun.errors import CommandFailed
from hubrun.records.ledger.manifest import Step
from hubrun.records.run import site_run
from hubrun.records.run.kernel_server import KernelServer
from hubrun.records.run.signals import Stopped
from hubrun.records.run.site_run import Run
from sshd import Sshd, make_key, serve

pytestmark = pytest.mark.slow


@pytest.fixture
def hubrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Hubrun:
    """Runs `./hubrun …` in this process, with records in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def site_file(sshd: Sshd, tmp_path: Path) -> Path:
    """The params file of a site that can be logged in to."""
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(sshd.parameters()))
    return path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that were begun; no runbook is executed."""
    begun: list[Run] = []

    def execute(run: Run, *_: Any) -> None:
        for book in run.record.runbooks:
            book.status = "ok"
        begun.append(run)

    monkeypatch.setattr(Run, "execute", execute)
    return begun


# -- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (None, [], "cannot read the params file: No such file or directory"),
        ("site: a\ndomian: hub.example.edu\n", [], "unknown parameter domian (line 2), did you mean domain?"),
        ("site: a\ndomain: 12\n", [], "domain (line 2) is 12: must be text; put it in quotes"),
        ({}, ["--set", "domain=x"], "domain is 'x': must be a host name"),
        ({}, ["--set", "nonsense=1"], "unknown parameter nonsense"),
        ({}, ["--from", "9"], "there is no runbook 9"),
        ({}, ["--only", "zz"], "there is no runbook zz"),
        ({"ssh_port": 1}, [], "root@127.0.0.1:1: cannot connect: connection refused"),
        ({"ssh_key_file": "/nowhere"}, [], "there is no key file /nowhere"),
        ({"ssh_host_fingerprint": "SHA256:" + "x" * 43}, [], "the pinned one SHA256:xxx"),
        ({}, ["--records", "site.yaml"], "the record cannot be written: Not a directory"),
        ({}, ["--records", "/proc/nowhere"], "the record cannot be written"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["install", "plan"])
def test_bad_input_is_one_line_and_an_exit_code_and_leaves_no_record(
    command: str, content: Any, options: list[str], says: str,
    hubrun: Hubrun, runs: list[Run], sshd: Sshd, site_file: Path, tmp_path: Path,
) -> None:  # fmt: skip
    site_file.unlink()
    if content is not None:
        site_file.write_text(content if isinstance(content, str) else yaml.safe_dump(sshd.parameters(**content)))
    given = [] if "--records" in options else ["--records", tmp_path / "records"]
    ended = hubrun(command, "site.yaml", *options, *given)
    assert ended.code == (1 if command == "plan" else 2)
    assert [line for line in ended.err if not line.startswith("  … ")] == ended.err[-1:]
    assert ended.err[-1].startswith("hubrun: ") and says in ended.err[-1]
    assert runs == [] and not (tmp_path / "records").exists()


def test_a_changed_host_key_is_one_line_and_nothing_was_run(
    hubrun: Hubrun, runs: list[Run], sshd: Sshd, tmp_path: Path
) -> None:
    from paramiko import Ed25519Key

    (tmp_path / "known").write_text(sshd.known(Ed25519Key.from_private_key_file(str(make_key(tmp_path / "other")))))
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(sshd.parameters(ssh_known_hosts_file=str(tmp_path / "known"))))
    before = len(sshd.commands)
    ended = hubrun("install", "site.yaml", "--records", "records")
    assert (ended.code, len(sshd.commands), runs) == (2, before, [])
    assert "host key has changed" in ended.err[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["install", "site.yaml", "--set", "nonsense"], "'nonsense' is not of the form name=value"),
        (["install", "site.yaml", "--frm", "03"], "'--from'"),
        (["instal", "site.yaml"], "No such command 'instal'. Did you mean 'install'?"),
        (["practice", "up", "--os", "plan9"], "'plan9' is not one of"),
        (["practice", "up", "--name", "No Such"], "No Such"),
        (["lab", "nowhere.yaml"], "cannot read the params file"),
        (["params/site.yaml"], "Did you mean ./hubrun plan params/site.yaml?"),
        (["site.yml", "--only", "03"], "Did you mean ./hubrun plan site.yml --only 03?"),
        (["records", "lst"], "Did you mean 'list'?"),
        (["practice", "don"], "Did you mean 'down'?"),
    ],
)
def test_a_command_line_that_cannot_be_right_is_exit_code_2(hubrun: Hubrun, arguments: list[str], says: str) -> None:
    ended = hubrun(*arguments)
    assert ended.code == 2
    assert says in ended.err[-1]


def test_a_port_on_which_no_ssh_answers_is_one_line(sshd: Sshd, tmp_path: Path) -> None:
    """In a process of its own: pytest takes what is logged, and Paramiko logs tracebacks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (tmp_path / "site.yaml").write_text(yaml.safe_dump(sshd.parameters(ssh_port=port)))
        command = [sys.executable, "-m", "hubrun", "plan", tmp_path / "site.yaml", "--records", tmp_path / "records"]
        plan = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        client, _ = listening.accept()
        with client:
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    _, err = plan.communicate(timeout=60)
    assert plan.returncode == 1
    assert "Traceback" not in err and "not as an SSH server does" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plan", "site.yaml"], 1),
        (["install", "site.yaml"], 2),
        (["install", "site.yaml", "--only", "01"], 2),
        (["lab", "site.yaml"], 2),
        (["practice"], 2),
    ],
)
def test_a_runbook_that_differs_from_its_twin_stops_everything_that_runs_it(
    arguments: list[str], code: int, hubrun: Hubrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was begun: neither a connection, nor JupyterLab, nor a practice server."""
    shutil.copytree(PROJECT / "runbooks", tmp_path / "runbooks")
    monkeypatch.setattr(site_run, "PROJECT", tmp_path)
    with (tmp_path / "runbooks/01_server.py").open("a") as twin:
        twin.write("# more\n")
    (tmp_path / "site.yaml").write_text("site: x\ndomain: hub.example.edu\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was begun"))
    monkeypatch.setattr("hubrun.practice.up", lambda *_: pytest.fail("a practice server was begun"))
    for server in (Server, KernelServer):
        monkeypatch.setattr(server, "connect", lambda *_: pytest.fail("a server was logged in to"))
    ended = hubrun(*arguments)
    assert (ended.code, ended.out, len(ended.err)) == (code, "", 1)
    assert ended.err[0].startswith("hubrun: runbooks/01_server.ipynb: differs from its twin 01_server.py in cell ")
    assert "(Summary). If the .py is right: .venv/bin/jupytext " in ended.err[0]


@pytest.mark.parametrize("arguments", [["plan"], ["install", "--check"]])
@pytest.mark.parametrize(
    "wrong",
    [["site.yaml"], ["site.yaml", "site.yaml"], ["site.yaml", "--from", "9"], ["site.yaml", "--set", "ssh_port=1"]],
)
def test_a_plan_that_could_not_be_made_does_not_say_that_there_is_something_to_do(
    arguments: list[str], wrong: list[str], hubrun: Hubrun, sshd: Sshd, tmp_path: Path
) -> None:
    if len(wrong) == 3:
        (tmp_path / "site.yaml").write_text(yaml.safe_dump(sshd.parameters()))
    assert hubrun(*arguments, *wrong, "--records", tmp_path / "records").code == 1


@pytest.mark.parametrize("wrong", [[], ["site.yaml", "--frm", "03"], ["site.yaml", "--set", "nonsense"]])
def test_a_plan_that_is_asked_for_wrongly_ends_with_1_as_well(hubrun: Hubrun, wrong: list[str]) -> None:
    assert hubrun("plan", *wrong).code == 1


def test_the_operators_help_has_no_commands_of_the_project_itself(hubrun: Hubrun) -> None:
    shown = hubrun("--help").out
    assert "  plan " in shown and "  test " not in shown and "  bench " not in shown


# -- exit codes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "mode", "code"),
    [
        (["install"], "ok", "install", 0),
        (["install"], "changed", "install", 0),
        (["install"], "failed", "install", 1),
        (["install"], "interrupted", "install", 1),
        (["plan"], "ok", "check", 0),
        (["plan"], "would change", "check", 2),
        (["plan"], "failed", "check", 1),
        (["install", "--check"], "would change", "check", 2),
    ],
)
def test_the_exit_code_says_how_it_ended(
    arguments: list[str],
    status: str,
    mode: str,
    code: int,
    hubrun: Hubrun,
    site_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def execute(run: Run, *_: Any) -> None:
        first, second = run.record.runbooks[:2]
        first.status, second.status, second.reason = "ok", status, "CommandFailed: hub: no"  # type: ignore[assignment]
        second.steps = [Step(title="Install the hub", status=status)]  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "execute", execute)
    ended = hubrun(*arguments, site_file, "--records", "records", "--json")
    manifest = json.loads(ended.out)
    assert (ended.code, manifest["predicate"]["status"], manifest["predicate"]["mode"]) == (code, status, mode)
    (folder,) = (Path("records") / "here").glob("2*")
    assert manifest == json.loads((folder / "manifest.json").read_text())
    assert any(str(folder) in line for line in ended.err)
    on = f"to go on: ./hubrun install {site_file} --resume" if mode == "install" else f"./hubrun plan {site_file}"
    wrong = status in ("failed", "interrupted")
    assert (f"{status}: 02_hub_lti, Install the hub: CommandFailed: hub: no" in ended.err) == wrong
    assert any(line.endswith(on) for line in ended.err) == wrong


def test_how_to_go_on_has_what_was_given_with_set(
    hubrun: Hubrun, site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(run: Run, *_: Any) -> None:
        run.record.runbooks[0].status, run.record.runbooks[0].reason = "failed", "no"

    monkeypatch.setattr(Run, "execute", execute)
    given = ("--set", "swap_mb=64", "--set", "canvas_item_title=Biology 101")
    ended = hubrun("run", "image", site_file, "--records", "r", *given)
    (line,) = [line for line in ended.err if "to go on: " in line]
    assert line.endswith(f"./hubrun run 12_image {site_file} --set swap_mb=64 --set canvas_item_title='Biology 101'")


def test_from_only_and_set_choose_what_is_run(hubrun: Hubrun, runs: list[Run], site_file: Path) -> None:
    hubrun("install", site_file, "--records", "r", "--from", "05")
    hubrun("install", site_file, "--records", "r", "--only", "03", "--set", "swap_mb=64", "--set", "admin_users=[ada]")
    assert [[book.name for book in run.record.runbooks] for run in runs] == [["05_canvas", "06_verify"], ["03_https"]]
    assert (runs[1].site.swap_mb, runs[1].site.admin_users) == (64, ["ada"])


def test_the_server_is_only_looked_at_before_the_first_runbook(
    hubrun: Hubrun, runs: list[Run], sshd: Sshd, site_file: Path
) -> None:
    before = len(sshd.commands)
    assert hubrun("install", site_file, "--records", "r").code == 0
    assert len(sshd.commands) == before + 3  # what it is; its packages, twice


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), Stopped("SIGTERM")])
def test_an_interrupt_is_130_and_on_record(
    interrupt: KeyboardInterrupt, hubrun: Hubrun, site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise interrupt

    monkeypatch.setattr(Run, "execute", stop)
    ended = hubrun("install", site_file, "--records", "r")
    assert ended.code == 130
    assert ended.err[-1] == "hubrun: interrupted"
    (kept,) = (Path("r") / "here").glob("2*/manifest.json")
    record = json.loads(kept.read_text())["predicate"]
    cause = "SIGTERM" if isinstance(interrupt, Stopped) else "Ctrl-C"
    assert (record["status"], record["cause"]) == ("interrupted", cause)


@pytest.mark.parametrize("option", [["--from", "03"], ["--only", "03"], ["--check"]])
def test_resume_knows_by_itself_where_to_go_on(
    option: list[str], hubrun: Hubrun, runs: list[Run], site_file: Path
) -> None:
    ended = hubrun("install", site_file, "--records", "r", "--resume", *option)
    assert (ended.code, runs) == (1 if "--check" in option else 2, [])
    assert ended.err == ["hubrun: --resume: cannot be combined with --from, --only or --check. It knows where to go on"]


def test_a_run_that_had_been_killed_is_said_to_be_closed(hubrun: Hubrun, runs: list[Run], site_file: Path) -> None:
    hubrun("install", site_file, "--records", "r")
    manifest = runs[0].folder / "manifest.json"
    manifest.write_text(
        manifest.read_text().replace('"status": "ok",\n  "cause"', '"status": "running",\n  "cause"', 1)
    )
    ended = hubrun("install", site_file, "--records", "r")
    assert ended.code == 0
    assert f"an earlier run had been killed; its record was closed: {runs[0].folder}" in ended.err


def test_a_failure_outside_a_runbook_shows_the_end_of_its_output(
    hubrun: Hubrun, site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CommandFailed("docker build: no space left on device", "image base", "Free space", "one\ntwo")

    monkeypatch.setattr(KernelServer, "connect", fail)
    ended = hubrun("install", site_file)
    assert ended.code == 1
    assert ended.err[-3:] == [
        "hubrun: image base: docker build: no space left on device. Free space",
        "    one",
        "    two",
    ]


# -- help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["install", "plan", "practice", "lab", "params", "./hubrun practice", "./hubrun new SITE"]),
        (["install"], ["--from", "--only", "--set", "--records", "--json", "--check", "--resume", "(records)"]),
        (["plan"], ["--from", "--set", "2 when something is"]),
        (["practice"], ["--name", "--os", "up", "info", "down", "reset", "ssh"]),
        (["practice", "info"], ["--json"]),
        (["params"], ["--yaml", "--cell"]),
        (["lab"], ["--port", "--no-browser"]),
        (["new"], ["--domain", "--host", "never written over"]),
    ],
)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_each_command_explains_itself(hubrun: Hubrun, arguments: list[str], words: list[str], option: str) -> None:
    ended = hubrun(*arguments, option)
    assert ended.code == 0
    assert [word for word in words if word not in ended.out] == []


def test_the_schema_is_printed_as_file_and_as_cell(hubrun: Hubrun) -> None:
    assert yaml.safe_load(hubrun("params", "--yaml").out).keys() == {"site", "domain"}
    assert hubrun("params", "--cell", "03").out.count("\n") == len(list(params.fields("03"))) + 2


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose preparation is stood in for: a Python that says what it gets, and a uv that takes its time."""
    clone = tmp_path / "clone"
    (clone / "requirements").mkdir(parents=True)
    shutil.copy(PROJECT / "hubrun", clone)
    for path in ("pyproject.toml", "requirements/run.txt", "requirements/dev.txt"):
        (clone / path).write_text("")
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text(
        """#!/bin/sh
echo "$1 $2" >> "$LOG"; sleep 0.2
[ "$1" = venv ] || exit 0
for last; do :; done
mkdir -p "$last/bin"
printf '#!/bin/sh\n: > "$LOG.runs"; sleep "${RUNS:-0}"; echo ran "$@"\n' > "$last/bin/python"
chmod +x "$last/bin/python"
"""
    )
    uv.chmod(0o755)
    return clone


def bootstrap(clone: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    environment = {"PATH": f"{clone.parent}/bin:{os.environ['PATH']}", "LOG": str(clone / "log"), **variables}
    return subprocess.Popen(
        [clone / "hubrun", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_two_commands_in_one_clone_prepare_it_once(clone: Path) -> None:
    commands = [bootstrap(clone, "plan") for _ in range(3)]
    assert [command.communicate()[0] for command in commands] == ["ran -m hubrun plan\n"] * 3
    assert (clone / "log").read_text().splitlines() == ["venv -q", "pip install", "pip install"]


def test_what_a_command_runs_with_is_not_changed_under_it(clone: Path) -> None:
    bootstrap(clone, "plan").wait()
    (clone / "log.runs").unlink()
    runs = bootstrap(clone, "lab", RUNS="2")
    until((clone / "log.runs").exists)
    (clone / "pyproject.toml").write_text("changed")
    later = bootstrap(clone, "plan")
    out, err = later.communicate()
    assert runs.poll() == 0 and out == "ran -m hubrun plan\n"
    assert err.splitlines()[0] == "hubrun: waiting for another command that uses .venv"


@pytest.mark.parametrize("arguments", [["test", "--help"], ["test", "--fast", "-h"]])
def test_asking_what_test_is_prepares_nothing(clone: Path, arguments: list[str]) -> None:
    asked = bootstrap(clone, *arguments)
    out, err = asked.communicate()
    assert (asked.returncode, err, [path.name for path in clone.glob(".venv")]) == (0, "", [])
    assert out.startswith("Usage: ./hubrun test") and "--fast" in out


@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        (["test", "--fast", "--", "-k", "x"], "{}/tests/run.py --fast -- -k x"),
        (["bench", "--quick"], "-m benchmarks.run --quick"),
    ],
)
def test_what_is_for_work_on_the_project_is_no_command_of_the_library(
    clone: Path, hubrun: Hubrun, arguments: list[str], run: str
) -> None:
    assert bootstrap(clone, *arguments).communicate()[0] == f"ran {run.format(clone)}\n"
    assert "No such command" in hubrun(*arguments[:1]).err[-1]


def test_the_bootstrap_passes_arguments_and_exit_code_on() -> None:
    done = subprocess.run(
        [PROJECT / "hubrun", "install", "/no where/site.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.startswith("hubrun: /no where/site.yaml: cannot read the params file")
        and done.stderr.count("\n") == 1
    )


def test_what_python_compiled_is_kept_also_where_the_environment_says_otherwise() -> None:
    compiled = Path(cache_from_source(str(PROJECT / "lib/hubrun/cli/main.py")))
    compiled.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([PROJECT / "hubrun", "--help"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert compiled.exists()
