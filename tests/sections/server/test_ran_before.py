"""Runbooks out of their order, and parameters that a run leaves unapplied: who comes first is named."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from histories import make_run
from hubrun import params
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.records.ledger.history import History
from hubrun.records.ledger.manifest import Record, RunbookRecord, Software
from hubrun.records.ledger.unapplied import unapplied
from hubrun.resources.system import CA_FOLDER
from hubrun.sections.server.accounts import free_names
from hubrun.sections.server.preflight import preflight
from hubrun.sections.server.ran_before import ran_before

SITE = Site(site="x", domain="hub.example.edu")
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUe\n-----END CERTIFICATE-----\n"


def run(script: str, programs: Path, **moved: str) -> tuple[int, str]:
    for path, place in moved.items():
        script = script.replace(path, place)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["sh", "-c", f"exec 2>&1\n{script}"], capture_output=True, text=True, env=environment, check=False)  # fmt: skip
    return done.returncode, done.stdout.strip()


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("python", "account", "missing"),
    [
        ("exit 0", "echo jupyterhub:x:990:990::/var/lib/jupyterhub:/usr/sbin/nologin", ""),
        ("exit 1", "echo jupyterhub:x:990:990::/var/lib/jupyterhub:/usr/sbin/nologin", "missing: python3-venv"),
        ("exit 0", "exit 2", "missing: the account jupyterhub"),
    ],
)
def test_what_01_leaves_is_looked_for_before_others_build_on_it(
    python: str, account: str, missing: str, tmp_path: Path
) -> None:
    for name in ("curl", "gpg", "openssl", "ip"):
        program(tmp_path, name, "")
    program(tmp_path, "python3", python)
    program(tmp_path, "getent", account)
    (test,) = ran_before(SITE, "01_server")
    code, said = run(test.script, tmp_path)
    check = test.judge(code, said)
    assert check.ok == (not missing) and missing in said
    assert check.ok or check.cause.startswith("Run 01_server first: --only 01")


@pytest.mark.parametrize("name", ["02_hub_lti", "03_https", "04_docker_spawner"])
def test_what_the_others_leave_is_looked_for_likewise(name: str, tmp_path: Path) -> None:
    *_, test = ran_before(SITE, "01_server", name)
    code, said = run(test.script, tmp_path)
    check = test.judge(code, said)
    assert not check.ok and "missing: /" in said and check.cause.startswith(f"Run {name} first: --only {name[:2]}")


def test_authorities_that_01_has_not_brought_are_named_with_their_parameter(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(PEM)
    site = SITE.model_copy(update={"ca_certificates": [str(file)]})
    *_, test = ran_before(site, "01_server")
    digest = hashlib.sha256(PEM.encode()).hexdigest()
    there = f"{CA_FOLDER}/hubrun-{digest[:16]}.crt={digest}"
    assert test.judge(0, there).ok
    check = test.judge(0, "")
    assert not check.ok and "01_server applies ca_certificates" in check.cause
    assert len(ran_before(SITE, "01_server")) == 1


# -- accounts


WHOSE = {
    "free": ("", "", ""),
    "ours": ("jupyterhub:x:990:990::/var/lib/jupyterhub:/usr/sbin/nologin", "jupyterhub:x:990:", ""),
    "a person's, that hubrun took over": ("jupyterhub:x:1003:1003::/home/j:/usr/sbin/nologin", "jupyterhub:x:1003:", ""),
    "the first person's": ("jupyterhub:x:1000:1000::/home/j:/usr/sbin/nologin", "jupyterhub:x:1000:", "has the number 1000"),
    "a person's": ("jupyterhub:x:1001:1001::/home/j:/bin/bash", "jupyterhub:x:1001:", "is a person's login"),
    "a person's of a directory": ("jupyterhub:*:70012:513:J:/home/j:/bin/sh", "jupyterhub:x:513:", "is a person's login"),
    "the system's": ("jupyterhub:x:33:33::/var/www:/usr/sbin/nologin", "jupyterhub:x:33:", "is the system's own"),
    "nobody's": ("jupyterhub:x:65534:65534::/:/usr/sbin/nologin", "nogroup:x:65534:", "is the system's own"),
    "root's, under another name": ("jupyterhub:x:0:0::/root:/bin/bash", "jupyterhub:x:0:", "is the system's own"),
    "in the group of all": ("jupyterhub:x:990:100::/srv:/usr/sbin/nologin", "", "has no group of its own"),
    "a group alone": ("", "jupyterhub:x:990:", "there is a group jupyterhub, and no account"),
}  # fmt: skip


@pytest.mark.parametrize(("passwd", "group", "says"), WHOSE.values(), ids=WHOSE.keys())
def test_an_account_that_is_somebodys_is_named_before_it_becomes_the_hubs(
    passwd: str, group: str, says: str, tmp_path: Path
) -> None:
    program(tmp_path, "getent", f"case $1 in passwd) said='{passwd}';; *) said='{group}';; esac; [ -n \"$said\" ] && echo \"$said\"")  # fmt: skip
    hub, proxy = free_names(SITE)
    code, said = run(hub.script, tmp_path)
    check = hub.judge(code, said)
    assert check.ok == (not says) and says in said
    assert check.ok or "Choose another hub_user" in check.cause
    assert proxy.title == "the proxy's account, jupyterhub-proxy, is not a person's account"
    titles = [test.title for test in preflight(SITE)]
    assert {hub.title, proxy.title} <= {*titles}


@pytest.mark.parametrize(
    ("passwd", "ok"),
    [("", True), ("anna:x:1001:1001::/home/anna:/bin/bash", True), ("anna:x:120:120::/var/lib/anna:/usr/sbin/nologin", False), ("anna:x:33:33::/var/www:/usr/sbin/nologin", False)],
)  # fmt: skip
def test_a_services_account_does_not_become_a_persons(passwd: str, ok: bool, tmp_path: Path) -> None:
    program(tmp_path, "getent", f'[ "$1" = passwd ] && [ -n "{passwd}" ] && echo "{passwd}"')
    *_, admin = free_names(SITE.model_copy(update={"admin_user": "anna"}))
    code, said = run(admin.script, tmp_path)
    assert admin.judge(code, said).ok == ok


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ssh_user": "jupyterhub"}, "hub_user and ssh_user must differ"),
        ({"hub_user": "jupyterhub-proxy"}, "which is the proxy's"),
    ],
)
def test_an_account_that_has_another_task_is_refused_as_the_hubs(changes: dict[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        params.build({"site": "x", "domain": "hub.example.edu", **changes}, "test")


# -- parameters that a run of some runbooks does not apply


def this_run(*books: str, **parameters: object) -> Record:
    record = Record(run="now", site="practice", mode="install", started="", software=Software(version="", commit=""))
    record.parameters = {"site": "practice", **parameters}
    record.runbooks = [RunbookRecord(name=name) for name in books]
    return record


def test_a_parameter_that_this_run_does_not_apply_everywhere_is_named(tmp_path: Path) -> None:
    make_run(tmp_path, day=1, parameters={"site": "practice", "ca_certificates": ["a.pem"]})
    history = History(tmp_path, "practice")
    assert unapplied(history, this_run("02_hub_lti", ca_certificates=["a.pem"])) == {}
    changed = {"ca_certificates": ["a.pem", "b.pem"], "idle_minutes": 5, "ssh_port": 2222, "swap_mb": 1}
    assert unapplied(history, this_run("02_hub_lti", **changed)) == {"ca_certificates": ["01_server"], "swap_mb": ["01_server"]}  # fmt: skip
    assert unapplied(history, this_run("01_server", "02_hub_lti", **changed)) == {}
    # A parameter that went has its default again.
    assert unapplied(history, this_run("02_hub_lti")) == {"ca_certificates": ["01_server"]}
    assert unapplied(history, this_run("01_server")) == {"ca_certificates": ["02_hub_lti"]}


def test_the_last_run_that_applied_it_counts_and_no_plan_or_failure(tmp_path: Path) -> None:
    history = History(tmp_path, "practice")
    make_run(tmp_path, day=1, parameters={"idle_minutes": 5})
    make_run(tmp_path, day=2, parameters={"idle_minutes": 9}, status="failed")
    make_run(tmp_path, day=3, parameters={"idle_minutes": 9}, mode="check")
    assert unapplied(history, this_run("01_server", idle_minutes=5)) == {}
    assert unapplied(history, this_run("01_server", idle_minutes=9)) == {"idle_minutes": ["02_hub_lti"]}
    make_run(tmp_path, day=4, parameters={"idle_minutes": 9})
    assert unapplied(history, this_run("01_server", idle_minutes=9)) == {}
