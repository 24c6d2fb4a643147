"""Several sites at once, without a server: who is told what when some of them cannot be right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubrun.cli import many_sites
from hubrun.environment import PROJECT
from hubrun.errors import BadInput

pytestmark = pytest.mark.slow

PYTHON = sys.executable
# Plays `python -m hubrun plan FILE …`: says something, and ends as the file's name asks for.
_CHILD = """
import json, sys, time
from hubrun.records.ledger.manifest import Manifest, Record, Software
command, file = sys.argv[3], sys.argv[4]
name = file.rsplit("/")[-1].removesuffix(".yaml")
print(f"  ok           Target of {name}", file=sys.stderr, flush=True)
if name == "bad":
    print("hubrun: bad.yaml: domain: no host name", file=sys.stderr)
    sys.exit(2)
if name == "slow":
    time.sleep(60)
status = {"new": "would change", "broken": "failed"}.get(name, "ok")
record = Record(run="r", site=name, mode="check", started="", status=status, reason=f"why {name}", software=Software(version="0"))
print(json.dumps(Manifest(predicate=record).model_dump(by_alias=True)))
"""


@pytest.fixture(autouse=True)
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text(_CHILD)
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{PYTHON}" "{tmp_path}/child.py" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(many_sites.sys, "executable", str(wrapper))


def plan(*names: str, at_once: int = 4) -> tuple[int, dict[str, many_sites.Job]]:
    code, jobs = many_sites.run(["plan"], [Path(f"/x/{name}.yaml") for name in names], [], at_once)
    return code, {job.file.stem: job for job in jobs}


def test_one_with_bad_input_fails_with_its_clear_error_and_the_others_finish(capfd: pytest.CaptureFixture[str]) -> None:
    code, jobs = plan("good", "bad", "new", at_once=1)
    assert code == 1
    assert {name: job.status for name, job in jobs.items()} == {"good": "ok", "bad": "failed", "new": "would change"}
    assert jobs["bad"].error == "bad.yaml: domain: no host name"
    printed = capfd.readouterr().err
    assert "/x/bad.yaml: bad.yaml: domain: no host name" in printed and "good" in printed


def test_a_run_that_failed_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    code, jobs = plan("broken", "good")
    assert code == 1 and jobs["broken"].error == "why broken"
    assert "/x/broken.yaml: why broken" in capfd.readouterr().err


@pytest.mark.parametrize(("names", "code"), [(("good", "fine"), 0), (("good", "new"), 2)])
def test_the_exit_code_says_whether_there_is_something_to_do(names: tuple[str, ...], code: int) -> None:
    assert plan(*names)[0] == code


def test_a_site_that_is_given_twice_is_bad_input() -> None:
    with pytest.raises(BadInput, match="/x/a.yaml: is given twice"):
        plan("a", "b", "a")


def test_what_ends_us_ends_all_and_nothing_more_is_begun(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom hubrun.cli import many_sites\n"
        f"many_sites.sys.executable = {str(tmp_path / 'python')!r}\n"
        "many_sites.run(['plan'], [Path('/x/slow.yaml'), Path('/y/slow.yaml'), Path('/x/good.yaml')], [], 2)\n"
    )
    process = subprocess.Popen([PYTHON, "-c", script], stderr=subprocess.PIPE, text=True, cwd=PROJECT)
    assert process.stderr
    process.stderr.readline()
    time.sleep(1.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    printed = process.stderr.read()
    assert process.wait(20) != 0 and time.monotonic() - began < 10
    assert "not run" in printed, printed
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path / "child.py") not in left


def test_the_manifests_of_all_are_printed_for_scripts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("site: a\n")
    done = subprocess.run(
        [PROJECT / "hubrun", "plan", tmp_path / "a.yaml", tmp_path / "b.yaml", "--json"],
        capture_output=True, text=True, timeout=60, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found.keys() == {str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")}
    assert (
        "domain" in found[str(tmp_path / "a.yaml")]["error"]
        and "No such file" in found[str(tmp_path / "b.yaml")]["error"]
    )
    assert "Traceback" not in done.stderr
