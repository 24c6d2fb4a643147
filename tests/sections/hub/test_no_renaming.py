"""A renaming that a version before left half done is said before anything is changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hubrun.sections.hub import config


def test_a_renaming_that_is_half_done_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "STATE", str(tmp_path))
    test = config.no_renaming_test()
    assert subprocess.run(["sh", "-c", test.script], check=False).returncode == 0
    (tmp_path / "renaming.json").touch()
    assert subprocess.run(["sh", "-c", test.script], check=False).returncode != 0
    assert "of the version that you had before" in test.remedy
