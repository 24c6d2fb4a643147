"""What is half done is said before anything is changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hubrun.sections.hub import config
from hubrun_hub.backup import site, state
from hubrun_hub.backup.repository import Snapshot


def test_a_renaming_that_is_half_done_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "STATE", str(tmp_path))
    test = config.no_renaming_test()
    assert subprocess.run(["sh", "-c", test.script], check=False).returncode == 0
    (tmp_path / "renaming.json").touch()
    assert subprocess.run(["sh", "-c", test.script], check=False).returncode != 0
    assert "of the version that you had before" in test.remedy


def test_a_restore_that_is_half_done_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "KEPT", str(tmp_path))
    test = config.no_restore_test()
    for said, code in (("", 0), (site.BEGUN, 1), (site.WRITTEN, 0), (site.DONE, 0)):
        if said:
            state.write(site._note(Snapshot("1", "2026-11-20", False), said), tmp_path / "restored.json")
        assert subprocess.run(["sh", "-c", test.script], check=False).returncode == code
