"""Before the hub starts: the operator's own parts that do not load are passed over, and those of before go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubrun_hub.programs.own_parts import choose


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/20-hub.py").write_text("ours")
    (tmp_path / "conf.d/90-local.py").write_text("first")
    return tmp_path


def tried(folder: Path, wrong: str | None = "") -> tuple[str, str, bool]:
    """What was said, what the hub then reads as 90-local.py, and whether it was tried at all."""
    asked = []

    def loads() -> str | None:
        asked.append(1)
        return wrong

    environment = folder / "own.env"
    said = choose(folder, environment, loads)
    place = folder / "conf.d"
    if environment.exists():
        place = Path(environment.read_text().strip().removeprefix("HUBRUN_OWN_PARTS="))
        assert not (place / "20-hub.py").exists(), "ours is read from its own place"
    part = place / "90-local.py"
    return said, part.read_text() if part.exists() else "", bool(asked)


def test_what_loads_is_tried_once_and_kept(folder: Path) -> None:
    assert tried(folder) == ("", "first", True)
    assert tried(folder, "not asked") == ("", "first", False)
    assert (folder / "conf.d.loaded").stat().st_mode & 0o777 == 0o750
    assert (folder / "conf.d.loaded/90-local.py").stat().st_mode & 0o777 == 0o640


def test_what_does_not_load_leaves_the_old_one_on_until_it_is_corrected(folder: Path) -> None:
    tried(folder)
    (folder / "conf.d/90-local.py").write_text("broken")
    assert tried(folder, "line 2: NameError") == ("line 2: NameError", "first", True)
    assert tried(folder, "line 2: NameError") == ("line 2: NameError", "first", True), "also at the next start"
    (folder / "conf.d/90-local.py").write_text("second")
    assert tried(folder) == ("", "second", True)
    assert not (folder / "own.env").exists()


def test_another_part_of_the_operators_and_one_that_is_removed_count_as_well(folder: Path) -> None:
    tried(folder)
    (folder / "conf.d/50-more.py").write_text("broken")
    said, read, _ = tried(folder, "50-more.py, line 1")
    assert (said, read) == ("50-more.py, line 1", "first")
    assert not (folder / "conf.d.loaded/50-more.py").exists()
    (folder / "conf.d/50-more.py").unlink()
    (folder / "conf.d/90-local.py").unlink()
    assert tried(folder) == ("", "", True)
    assert list((folder / "conf.d.loaded").iterdir()) == []


def test_without_one_of_before_the_hub_starts_with_what_is_there(folder: Path) -> None:
    assert tried(folder, "line 2: NameError") == ("line 2: NameError", "first", True)
    assert not (folder / "own.env").exists()


def test_what_could_not_be_tried_is_neither_kept_nor_passed_over(folder: Path) -> None:
    tried(folder)
    (folder / "conf.d/90-local.py").write_text("second")
    assert tried(folder, None) == ("", "second", True)
    assert (folder / "conf.d.loaded/90-local.py").read_text() == "first"
