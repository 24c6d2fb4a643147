"""Secrets in files of the hub's, replaced: what stays of the file, and what a run that was killed leaves."""

from __future__ import annotations

import os
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hubrun_hub import rotation
from hubrun_hub.programs import rotate

OLD = "0a" * 32
ENV = f"# of the operator\nLTI_CLIENT_KEY=key\nLTI_CLIENT_SECRET={OLD}\nLTI_PREFIX=bio\n"


@pytest.fixture(autouse=True)
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "NOTE", tmp_path / "kept" / "rotated.json")


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / "bio.env"
    path.write_text(ENV)
    path.chmod(0o600)
    return path


def values(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def test_the_one_before_is_good_for_its_days_and_all_else_stays(env: Path) -> None:
    rotation.renew_lti(env, 7)
    now = values(env)
    assert re.fullmatch("[0-9a-f]{64}", now["LTI_CLIENT_SECRET"]) and now["LTI_CLIENT_SECRET"] != OLD
    assert now["LTI_FORMER_SECRET"] == OLD
    assert abs(int(now["LTI_FORMER_UNTIL"]) - time.time() - 7 * 86400) < 5
    assert (now["LTI_CLIENT_KEY"], now["LTI_PREFIX"]) == ("key", "bio")
    assert env.read_text().startswith("# of the operator\n") and len(env.read_text().splitlines()) == 6
    first = now["LTI_CLIENT_SECRET"]
    rotation.renew_lti(env, 7)
    assert values(env)["LTI_FORMER_SECRET"] == first and OLD not in env.read_text(), "there are never three"


def test_without_days_the_one_before_is_gone_at_once_and_so_it_is_when_it_is_ended(env: Path) -> None:
    rotation.renew_lti(env, 0)
    assert OLD not in env.read_text() and "FORMER" not in env.read_text()
    rotation.renew_lti(env, 7)
    second = values(env)["LTI_CLIENT_SECRET"]
    rotation.end_lti(env)
    assert "FORMER" not in env.read_text() and values(env)["LTI_CLIENT_SECRET"] == second
    assert abs(rotation.times(env)["rotated"] - time.time()) < 5 and rotation.times(env)["until"] == 0


def test_one_line_of_a_file_or_all_of_it(tmp_path: Path) -> None:
    proxy, cookie = tmp_path / "proxy.env", tmp_path / "cookie_secret"
    proxy.write_text(f"OTHER=1\nTOKEN={OLD}\n")
    cookie.write_text(f"{OLD}\n")
    rotation.renew(proxy, "TOKEN")
    rotation.renew(cookie)
    assert re.fullmatch(r"OTHER=1\nTOKEN=[0-9a-f]{64}\n", proxy.read_text())
    assert re.fullmatch(r"[0-9a-f]{64}\n", cookie.read_text())
    assert OLD not in proxy.read_text() + cookie.read_text()
    assert all(rotation.times(path)["rotated"] for path in (proxy, cookie))


@pytest.mark.skipif(os.geteuid() != 0, reason="files of others are root's to make")
def test_it_stays_the_hubs_own_and_closed(env: Path) -> None:
    os.chown(env, 998, 997)
    rotation.renew_lti(env, 7)
    found = env.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (998, 997, 0o600)
    assert stat.S_IMODE(rotation.NOTE.stat().st_mode) == 0o600


def test_what_the_hubs_account_put_in_the_way_is_not_followed(env: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    env.with_name(f".{env.name}.rotated").symlink_to(precious)
    rotation.renew_lti(env, 7)
    assert precious.read_text() == "mine" and not env.is_symlink()


def test_killed_before_the_file_is_in_place_it_counts_as_not_done(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, left = os.replace, [None]

    def killed(source: Path, target: Path) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        rotation.renew_lti(env, 7)
    monkeypatch.setattr(os, "replace", replace)
    assert env.read_text() == ENV and rotation.NOTE.exists() and rotation.times(env)["rotated"] == 0
    rotation.renew_lti(env, 7)
    assert values(env)["LTI_FORMER_SECRET"] == OLD


def test_changed_by_somebody_else_since_it_does_not_count(env: Path) -> None:
    rotation.renew_lti(env, 0)
    assert rotation.times(env)["rotated"]
    env.write_text(ENV)
    assert rotation.times(env) == {"rotated": 0, "until": 0}
    rotation.NOTE.write_text("{ half")
    assert rotation.times(env)["rotated"] == 0


def test_the_program_says_when_and_never_what(env: Path) -> None:
    assert re.fullmatch(r"rotated=0\nuntil=0\nnow=\d+", rotate.main("lti", "look", str(env)))
    said = rotate.main("lti", "renew", str(env), "7")
    assert re.fullmatch(r"rotated=[1-9]\d+\nuntil=[1-9]\d+\nnow=\d+", said)
    assert re.fullmatch(r"rotated=[1-9]\d+\nuntil=0\nnow=\d+", rotate.main("lti", "end", str(env)))
    assert re.fullmatch(r"rotated=[1-9]\d+\nuntil=0\nnow=\d+", rotate.main("file", "renew", str(env), "LTI_PREFIX"))
    assert rotate.main("lti", "look", str(env.with_name("none"))).startswith("rotated=0\nuntil=0\n")


def test_two_runs_that_both_found_it_due_make_one_and_the_one_that_the_lms_has_stays_good(env: Path) -> None:
    rotate.main("lti", "renew", str(env), "7")
    said = rotate.main("lti", "renew", str(env), "7")
    assert values(env)["LTI_FORMER_SECRET"] == OLD and "rotated=0" not in said
    rotate.main("lti", "end", str(env))
    assert "FORMER" not in env.read_text()


def test_whoever_comes_while_another_run_is_at_it_waits(env: Path) -> None:
    with ThreadPoolExecutor(1) as other:
        with rotation.alone():
            later = other.submit(rotate.main, "lti", "renew", str(env), "7")
            time.sleep(0.2)
            assert env.read_text() == ENV
        later.result(10)
    assert values(env)["LTI_FORMER_SECRET"] == OLD
