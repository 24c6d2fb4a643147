"""`./hubrun` alone, and a command that there is not: what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Hubrun, command_line
from histories import make_run
from hubrun.cli import main, overview, params_files
from hubrun.cli.overview import SiteState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project: the folder of its params files, as which `params` is typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(params_files, "FOLDER", tmp_path / "params")
    monkeypatch.setattr(params_files, "PRACTICE", tmp_path / ".practice")
    monkeypatch.setattr(main, "RECORDS", tmp_path / "records")
    (tmp_path / "params").mkdir()
    return tmp_path / "params"


@pytest.fixture
def hubrun(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hubrun:
    return command_line(monkeypatch, capsys)


def add(folder: Path, name: str = "bio") -> None:
    (folder / f"{name}.yaml").write_text(f"site: {name}\ndomain: hub.example.edu\n")


# -- what is said, of what there is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (SiteState("params/bio.yaml"), "plan params/bio.yaml"),
        (SiteState("params/bio.yaml", broken=True), "plan params/bio.yaml"),
        (SiteState("params/bio.yaml", "install", "failed"), "install params/bio.yaml --resume"),
        (SiteState("params/bio.yaml", "install", "interrupted"), "install params/bio.yaml --resume"),
        (SiteState("params/bio.yaml", "check", "failed"), "plan params/bio.yaml"),
        (SiteState("params/bio.yaml", "check", "would change"), "install params/bio.yaml"),
        (SiteState("params/bio.yaml", "check", "ok"), "plan params/bio.yaml"),
        (SiteState("params/bio.yaml", "install", "changed"), "plan params/bio.yaml"),
        (SiteState("params/bio.yaml", "install", "running"), "records list"),
        (SiteState("../my sites/bio.yaml"), "plan '../my sites/bio.yaml'"),
    ],
)
def test_each_site_has_a_reason_and_a_command(state: SiteState, command: str) -> None:
    reason, next_, *_ = overview.lines([state])
    assert reason.startswith(f"{state.file}: ") and reason.endswith(":")
    assert next_ == f"    ./hubrun {command}"


def test_many_sites_are_counted_and_not_listed() -> None:
    said = overview.lines([SiteState(f"params/{number}.yaml") for number in range(10)])
    assert len([line for line in said if line.startswith("    ./hubrun plan")]) == 8
    assert any(line.startswith("and 2 more in ") for line in said)


# -- what there is -------------------------------------------------------------------------------------------------


def test_without_a_site_it_says_how_to_begin(hubrun: Hubrun, folder: Path) -> None:
    add(folder, "practice")
    add(folder, "example")
    code, out, err = hubrun()
    assert (code, err) == (0, [])
    assert "./hubrun practice\n" in out and "./hubrun new SITE\n" in out and "plan" not in out


def test_the_last_run_says_what_comes_next(hubrun: Hubrun, folder: Path, tmp_path: Path) -> None:
    add(folder)
    assert "    ./hubrun plan params/bio.yaml\n" in hubrun().out
    make_run(tmp_path / "records", "bio", 1, "would change", mode="check")
    assert "    ./hubrun install params/bio.yaml\n" in hubrun().out
    make_run(tmp_path / "records", "bio", 2, "failed")
    make_run(tmp_path / "records", "other", 3)
    make_run(tmp_path / "records", "bio", 4, "ok", mode="prune")  # that runs nothing
    assert "the last install failed. To go on:\n    ./hubrun install params/bio.yaml --resume\n" in hubrun().out
    killed = make_run(tmp_path / "records", "bio", 5, "interrupted").folder / "manifest.json"
    killed.write_text(killed.read_text().replace('"status": "interrupted"', '"status": "running"', 1))
    assert "    ./hubrun records list\n" in hubrun().out


@pytest.mark.parametrize(
    "content", ["", "site", "site: ../x\n", "site: 7\n", "domain: hub.example.edu\n", "a: [", "\0", "\xff"]
)
def test_a_params_file_that_is_broken_is_left_to_plan(content: str, hubrun: Hubrun, folder: Path) -> None:
    (folder / "bio.yaml").write_text(content, encoding="latin-1")
    code, out, err = hubrun()
    assert (code, err) == (0, [])
    assert "is not right. This says what:\n    ./hubrun plan params/bio.yaml\n" in out


def test_a_record_that_is_broken_is_left_to_plan(hubrun: Hubrun, folder: Path, tmp_path: Path) -> None:
    add(folder)
    (make_run(tmp_path / "records", "bio").folder / "manifest.json").write_text("{")
    code, out, _ = hubrun()
    assert code == 0 and "is not right. This says what:\n    ./hubrun plan params/bio.yaml\n" in out


def test_from_another_folder_a_file_is_named_in_full(
    hubrun: Hubrun, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert f"./hubrun plan {folder / 'bio.yaml'}\n" in hubrun().out


# -- a command line that cannot be right -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["params/bio.yaml"], "params/bio.yaml: is a params file, and not a command. Did you mean ./hubrun plan params/bio.yaml?"),
        (["bio", "--only", "03"], "bio: is a site, and not a command. Did you mean ./hubrun plan params/bio.yaml --only 03?"),
        (["instal"], "Error: No such command 'instal'. Did you mean 'install'?"),
        (["practice.yaml"], "Did you mean ./hubrun plan practice.yaml?"),
        (["install"], "There is params/bio.yaml"),
        (["launch"], "There is params/bio.yaml"),
        (["people", "--csv", "x"], "There is params/bio.yaml"),
        (["new"], "Error: Missing argument 'SITE'."),
        (["plan", "--jsn", "x"], "'--json', '--set'?)"),
        (["", "x"], "Error: No such command ''."),
        (["../bio"], "Error: No such command '../bio'."),
    ],
)  # fmt: skip
def test_a_wrong_command_says_what_was_meant(arguments: list[str], says: str, hubrun: Hubrun, folder: Path) -> None:
    add(folder)
    code, out, err = hubrun(*arguments)
    assert (code, out) == (1 if arguments[0] == "plan" else 2, "")
    assert err[-1].removeprefix("hubrun: ").endswith(says)


def test_where_there_is_no_params_file_it_says_how_to_make_one(hubrun: Hubrun) -> None:
    code, _, err = hubrun("install")
    assert (code, err[-1]) == (2, "./hubrun new SITE makes one")


def test_a_practice_server_that_is_there_is_named(hubrun: Hubrun, folder: Path) -> None:
    file = folder.parent / ".practice/mine/site.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("site: mine\ndomain: hub.mine.localhost\n")
    _, out, _ = hubrun()
    assert "./hubrun plan .practice/mine/site.yaml" in out
