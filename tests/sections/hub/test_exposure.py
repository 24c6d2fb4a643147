"""Ports and files with secrets: what the tests say when what they guard is broken, and when they cannot tell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hubrun import server_paths
from hubrun.desired.checks import Check, Test
from hubrun.params import Site
from hubrun.sections.docker_spawner import docker_setup
from hubrun.sections.hub import config, exposure
from hubrun.sections.server import accounts, upkeep

SITE = Site(site="bio", domain="hub.example.edu", docker_subnet="172.29.0.0/16")
GOOD = ("127.0.0.1:8000", "127.0.0.1:8001", "172.29.0.1:8081", "0.0.0.0:443", "[::]:22")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs are found before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def judged(test: Test, **replaced: str) -> Check:
    """What comes of a test, with paths in its script replaced."""
    script = test.script
    for old, new in replaced.items():
        script = script.replace(old, new)
    done = subprocess.run(["sh", "-c", f"exec 2>&1\n{script}"], capture_output=True, text=True, check=False)
    return test.judge(done.returncode, done.stdout)


def ports(folder: Path, *sockets: str, code: int = 0) -> Check:
    lines = "".join(f"LISTEN 0 128 {each} 0.0.0.0:*\n" for each in sockets)
    program(folder, "ss", f"cat <<'EOF'\n{lines}EOF\nexit {code}")
    return judged(exposure.closed_to_outside(SITE, 8000, 8001, 8081))


def test_ports_on_the_servers_own_addresses_are_closed_to_the_outside(programs: Path) -> None:
    check = ports(programs, *GOOD)
    assert check.ok and check.came.endswith(
        "8000 is open on 127.0.0.1; 8001 is open on 127.0.0.1; 8081 is open on 172.29.0.1"
    )
    assert ports(programs, "[::1]:8000", "127.0.0.1:8000", "[::1]:8001", "127.0.0.1:8081").ok


@pytest.mark.parametrize("address", ["0.0.0.0", "*", "[::]", "192.0.2.7", "[2001:db8::7]", "127.0.0.11", "172.29.0.10"])
def test_one_socket_on_any_other_address_fails_it(programs: Path, address: str) -> None:
    check = ports(programs, *GOOD, f"{address}:8081")
    assert not check.ok and f"8081 is open on 172.29.0.1 {address}" in check.came


@pytest.mark.parametrize("missing", GOOD[:3])
def test_a_port_on_which_nothing_listens_fails_it(programs: Path, missing: str) -> None:
    check = ports(programs, *(each for each in GOOD if each != missing))
    assert not check.ok and f"nothing listens on {missing.rpartition(':')[2]}" in check.came


def test_no_answer_of_ss_fails_it(programs: Path) -> None:
    assert not ports(programs).ok
    assert "does not say" in ports(programs, *GOOD, code=255).came
    program(programs, "ss", "nosuchprogram -ltnH")
    assert not judged(exposure.closed_to_outside(SITE, 8000)).ok


def secret(
    folder: Path, tmp_path: Path, mode: int, reader: str = "echo 'cat: x: Permission denied' >&2; exit 1"
) -> Check:
    (test, *_) = exposure.secrets_closed(SITE)
    path = tmp_path / "proxy.env"
    path.write_text("TOKEN=hunter2\n")
    path.chmod(mode)
    program(folder, "runuser", reader)
    check = judged(test, **{server_paths.PROXY_ENV: str(path)})
    assert "hunter2" not in check.came
    return check


def test_a_secret_that_only_its_owner_can_read_is_closed(programs: Path, tmp_path: Path) -> None:
    assert secret(programs, tmp_path, 0o600).ok


def test_a_secret_that_others_can_read_fails(programs: Path, tmp_path: Path) -> None:
    assert [secret(programs, tmp_path, mode).came.rpartition(", ")[2] for mode in (0o644, 0o640, 0o602)] == [
        "its mode is 644", "its mode is 640", "its mode is 602",
    ]  # fmt: skip
    check = secret(programs, tmp_path, 0o600, 'shift 3; exec "$@"')
    assert not check.ok and "the account nobody can read it" in check.came


def test_a_secret_that_could_not_be_tried_fails(programs: Path, tmp_path: Path) -> None:
    check = secret(programs, tmp_path, 0o600, "echo 'runuser: user nobody does not exist' >&2; exit 1")
    assert not check.ok and "does not exist" in check.came
    (test, *_) = exposure.secrets_closed(SITE)
    check = judged(test, **{server_paths.PROXY_ENV: str(tmp_path / "nothing")})
    assert not check.ok and "No such file" in check.came


def test_each_file_with_secrets_has_a_test_of_its_own_and_the_rest_of_the_folder_one(tmp_path: Path) -> None:
    site = Site(
        site="bio", domain="hub.example.edu", consumers=[{"name": "chem"}, {"name": "law", "lti_version": "1.3"}]
    )  # type: ignore[list-item]
    *each, others = exposure.secrets_closed(site)
    paths = [
        server_paths.PROXY_ENV,
        server_paths.VERIFY_ENV,
        server_paths.LTI_ENV,
        "/etc/jupyterhub/consumers.d/chem.env",
    ]
    assert [test.title for test in each] == [f"{path} is closed to others" for path in paths]
    folder = {exposure.FOLDER: str(tmp_path / "etc")}
    assert not judged(others, **folder).ok, "a folder that is not there"
    (tmp_path / "etc").mkdir()
    assert judged(others, **folder).ok
    (tmp_path / "etc/old.env").touch(0o640)
    check = judged(others, **folder)
    assert not check.ok and check.came.endswith("etc/old.env")


def groups(folder: Path, tmp_path: Path, status: str, group: str = "echo docker:x:997:") -> Check:
    program(folder, "getent", group)
    program(folder, "systemctl", "echo 77")
    (tmp_path / "77").mkdir(exist_ok=True)
    (tmp_path / "77/status").write_text(status)
    (test,) = (test for test in docker_setup.access_tests(SITE) if "Docker's group" in test.title)
    return judged(test, **{"/proc/": f"{tmp_path}/"})


def test_the_hubs_process_is_judged_by_its_own_groups(programs: Path, tmp_path: Path) -> None:
    good = "Uid:\t990\t990\t990\t990\nGid:\t990\t990\t990\t990\nGroups:\t9970 990 \n"
    assert groups(programs, tmp_path, good).ok
    for bad in (good.replace("9970", "9970 997"), good.replace("Gid:\t990", "Gid:\t997")):
        check = groups(programs, tmp_path, bad)
        assert not check.ok and "it has the group docker (997)" in check.came
    check = groups(programs, tmp_path, good, group="exit 2")
    assert not check.ok and "no group docker" in check.came
    program(programs, "getent", "echo docker:x:997:")
    program(programs, "systemctl", "echo 0")
    (test,) = (test for test in docker_setup.access_tests(SITE) if "Docker's group" in test.title)
    check = judged(test)
    assert not check.ok and "the hub does not run" in check.came


# -- the others of the runbooks


def test_packages_are_complete_only_when_dpkg_says_so(programs: Path) -> None:
    (test,) = (test for test in upkeep.package_tests() if "package" in test.title)
    program(programs, "dpkg", "true")
    assert judged(test).ok
    for script in ("echo 'half: nginx'", "exit 2", "nosuchprogram"):
        program(programs, "dpkg", script)
        assert not judged(test).ok


def test_a_timer_will_run_when_it_has_a_next_time(programs: Path) -> None:
    (test, *_) = upkeep.tests(SITE)
    timer = "logrotate.timer logrotate.service"
    program(programs, "systemctl", f"echo 'Thu 2026-11-26 00:00:00 UTC 4h left - - {timer}'")
    assert judged(test).ok
    for line in (f"n/a n/a n/a n/a {timer}", f"- - - - {timer}", ""):
        program(programs, "systemctl", f"echo '{line}'")
        assert not judged(test).ok


@pytest.mark.parametrize(
    ("said", "ok"),
    [
        ("sudo: a password is required", True),
        ("sudo: interactive authentication is required", True),
        ("jupyterhub is not in the sudoers file.", True),
        ("sudo: /etc/sudoers:1:1: syntax error", False),
        ("runuser: user jupyterhub does not exist", False),
        ("runuser: failed to execute sudo: No such file or directory", False),
    ],
)
def test_sudo_must_refuse_for_its_own_reason(said: str, ok: bool) -> None:
    _, test, _ = accounts.tests(SITE)
    assert test.judge(1, said).ok == ok
    assert not test.judge(0, said).ok


def test_each_unit_that_starts_at_boot_is_asked_for_itself(programs: Path) -> None:
    program(programs, "systemctl", '[ "$2" = nginx ] && { echo disabled; exit 1; }; echo enabled')
    assert [test.title for test in config.boot_tests() if not judged(test).ok] == ["nginx starts at boot"]
    program(programs, "systemctl", "echo enabled-runtime")
    assert not any(judged(test).ok for test in config.boot_tests())


def test_a_configuration_that_is_missing_loads_on_a_fresh_server_and_nowhere_else(tmp_path: Path) -> None:
    nowhere = {server_paths.CONFIG: str(tmp_path / "nothing")}
    assert judged(config.present_test(SITE), **nowhere).ok
    assert not judged(config.settings_test(SITE), **nowhere).ok
