"""Reading the parts of the hub's configuration: their order, one `c` for all, and whose parts are read from where."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from hubrun_hub import config_parts
from hubrun_hub.config_parts import read_parts


def read(folder: Path, own: Path | None = None, **parts: str) -> Any:
    """The configuration of these parts: a20="…" is 20-hub.py, and so on."""
    names = {f"a{name[:2]}": name for name in (*config_parts.OURS, "10-early.py", "90-local.py", "95-later.py")}
    for name, text in parts.items():
        (folder / names[name]).write_text(text)
    c = Config()
    read_parts(c, folder, own)
    return c


def test_a_later_part_has_the_last_word_and_sees_what_was_said_before(tmp_path: Path) -> None:
    c = read(
        tmp_path,
        a10="c.Spawner.cmd = 'early'\nc.Spawner.debug = True",
        a20="c = get_config()\nc.Spawner.cmd = 'ours'\nc.DockerSpawner.volumes = {'home': '/home'}",
        a90="c.DockerSpawner.volumes['/x'] = '/x'",
        a95="c.Spawner.cmd = c.Spawner.cmd + ' later'",
    )
    assert c.Spawner == {"cmd": "ours later", "debug": True}
    assert c.DockerSpawner.volumes == {"home": "/home", "/x": "/x"}


def test_the_operators_parts_are_read_from_where_they_loaded_last(tmp_path: Path) -> None:
    own = tmp_path / "loaded"
    own.mkdir()
    (own / "90-local.py").write_text("c.Spawner.cmd = 'of before'")
    (own / "10-early.py").write_text("c.Spawner.debug = True")
    c = read(tmp_path, own, a20="c.Spawner.cmd = 'ours'", a90="nonsense(")
    assert c.Spawner == {"cmd": "of before", "debug": True}


def test_a_part_that_is_passed_over_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_parts, "SKIPPED", {"25-lti.py"})
    assert read(tmp_path, a20="c.A.x = 1", a25="1 / 0", a90="c.A.y = 2").A == {"x": 1, "y": 2}


def test_without_ours_nothing_is_put_back(tmp_path: Path) -> None:
    assert read(tmp_path, a90="c.JupyterHub.services = []") == {"JupyterHub": {"services": []}}


def test_what_is_no_list_stays_for_the_hub_to_complain_of(tmp_path: Path) -> None:
    c = read(tmp_path, a20="c.JupyterHub.services = [{'name': 'x'}]", a90="c.JupyterHub.services = {'name': 'y'}")
    assert c.JupyterHub.services == {"name": "y"}


@pytest.mark.parametrize("section", ["Authenticator", "LaunchAuthenticator"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_both_hooks_of_a_login_are_run_ours_first(tmp_path: Path, section: str, kind: str) -> None:
    ours = "def ours(a, h, login): return [*login, 'ours']\nc.Authenticator.post_auth_hook = ours"
    c = read(
        tmp_path, a20=ours, a90=f"{kind} own(a, h, login): return [*login, 'own']\nc.{section}.post_auth_hook = own"
    )
    assert asyncio.run(c[section].post_auth_hook(None, None, [])) == ["ours", "own"]


def test_a_mistake_is_at_its_line_of_its_file(tmp_path: Path) -> None:
    with pytest.raises(NameError) as caught:
        read(tmp_path, a20="c.A.x = 1", a90="\n\nnowhere")
    traceback = caught.value.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback and (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno) == (
        str(tmp_path / "90-local.py"),
        3,
    )
