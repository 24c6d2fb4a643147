"""Whether 02 stops before it changes anything: for a mistake of the operator's alone, and for nothing that is ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hubrun.params import Site
from hubrun.sections.hub import config

LOCAL = "/etc/jupyterhub/conf.d/90-local.py"
TRACEBACK = "Traceback (most recent call last):\n  File \"check_config.py\", line 3\nModuleNotFoundError: No module named 'jupyterhub'"
# What the check on the server says, of this version or of one before, and its exit code → whether 02 goes on.
SAID = {
    "it loads": ("", 0, True),
    "the token between hub and proxy is gone": ("/etc/jupyterhub/conf.d/20-hub.py, line 37: KeyError: 'CONFIGPROXY_AUTH_TOKEN'", 1, True),
    "an older part of ours, judged by a newer program": (
        "/etc/jupyterhub/conf.d/20-hub.py, line 9: c.JupyterHub.x: no such setting\n/etc/jupyterhub/conf.d/25-lti.py, line 2: c.LTI11Authenticator: no class in use has this name", 1, True,
    ),
    "the file that reads the parts": ("/etc/jupyterhub/jupyterhub_config.py: SyntaxError: x", 1, True),
    "Python is gone, as after an upgrade of Debian": ("runuser: failed to execute /opt/jupyterhub/bin/python: No such file or directory", 127, True),
    "Python is gone, on Debian 12": ("runuser: failed to execute /opt/jupyterhub/bin/python: No such file or directory", 1, True),
    "Python cannot be started": ("permission denied", 126, True),
    "Python has no JupyterHub": ("the hub's Python, /opt/jupyterhub/bin/python, cannot import JupyterHub: ImportError: x", 3, True),
    "Python has no JupyterHub, by a program of before": (TRACEBACK, 1, True),
    "the program is gone in part": ("/opt/jupyterhub/bin/python: can't find '__main__' module in '/usr/local/lib/hubrun/hubrun_hub'", 1, True),
    "the operator's file": (f"{LOCAL}, line 2: NameError: name 'x' is not defined", 1, False),
    "the operator's file beside ours": (f"/etc/jupyterhub/conf.d/20-hub.py, line 1: c.X: no such setting\n{LOCAL}, line 2: c.Y: no such setting", 1, False),
    "another file of the operator's": ("/etc/jupyterhub/conf.d/50-more.py, line 2: NameError: x", 1, False),
    "a file whose name begins like ours": ("/etc/jupyterhub/conf.d/20-hub.pyx.py, line 2: NameError: x", 1, False),
    "what Docker's filter refuses": ("no student's server would start: hubrun-docker-filter refuses HostConfig.Privileged is not allowed", 1, False),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_only_what_is_the_operators_own_stops_02(tmp_path: Path, name: str) -> None:
    said, code, goes_on = SAID[name]
    (tmp_path / "said").write_text(said + "\n")
    (tmp_path / "runuser").write_text(f"#!/bin/sh\ncat {tmp_path}/said\nexit {code}\n")
    (tmp_path / "runuser").chmod(0o755)
    test = config.present_test(Site(site="x", domain="hub.example.edu"))
    script = test.script.replace("[ -e /etc/jupyterhub/jupyterhub_config.py ]", "true")
    done = subprocess.run(
        ["sh", "-c", f"exec 2>&1\n{script}"],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
    )
    check = test.judge(done.returncode, done.stdout)
    assert check.ok == goes_on, done.stdout
    if not goes_on:
        assert "20-hub.py," not in done.stdout, "ours is not to be repaired by hand"
        assert said.splitlines()[-1] in done.stdout and "Correct the file" in check.cause


def test_a_fresh_server_has_nothing_to_load(tmp_path: Path) -> None:
    test = config.present_test(Site(site="x", domain="hub.example.edu"))
    done = subprocess.run(["sh", "-c", test.script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (0, "there is none yet\n")
