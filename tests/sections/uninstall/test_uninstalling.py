"""What 16_uninstall takes away: by what was noted before, nothing of others, and students' files with a second yes alone."""

from __future__ import annotations

import ast
import base64
import fnmatch
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from hubrun import params
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.desired.supported_systems import SYSTEMS
from hubrun.environment import PROJECT
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.before import NotedBefore
from hubrun.resources.docker import DaemonSettingsBefore
from hubrun.resources.gone import PRELUDE, Gone
from hubrun.sections.uninstall import traces, uninstalling, yes


@dataclass
class Answer:
    stdout: str
    stderr: str = ""
    exit_code: int = 0


@dataclass
class Played:
    """A server that says what was counted."""

    site: Site
    says: str
    check_mode: bool = False
    asked: list[str] = field(default_factory=list)

    def probe(self, *scripts: str) -> list[Answer]:
        self.asked += scripts
        return [Answer(self.says) for _ in scripts]


def server(
    says: str = "people=3\ncourses=1\nsize=2G\ngiven=\nstate=there\nnoted=2026-11-26T10:00Z\n",
    check: bool = False,
    **changes: Any,
) -> Server:
    site = params.build({"site": "bio", "domain": "hub.example.edu", **changes}, "here")
    return cast(Server, Played(site, says, check))


def everything() -> list[Resource]:
    whole = server(uninstall_files="3")
    return [
        *uninstalling.service(whole.site),
        *uninstalling.software(whole.site),
        *uninstalling.files(whole),
        *uninstalling.docker(whole),
        *uninstalling.packages(whole.site),
        *uninstalling.leftovers(whole),
    ]


@pytest.mark.parametrize(
    "resource", [each for each in everything() if isinstance(each, Gone)], ids=lambda each: each.label
)
def test_its_shell_is_valid_and_a_server_without_it_is_left_alone(resource: Resource) -> None:
    (action,) = resource.plan("there something, 1M\n")
    for script in (resource.probe(), action.script):
        assert subprocess.run(["dash", "-n"], input=script, text=True, capture_output=True).stderr == ""
    assert resource.plan("") == [] and "something, 1M" in action.title


def test_what_there_is_much_of_is_counted_and_all_of_it_stands_in_the_plan() -> None:
    (action,) = Gone("volumes", "volumes", "x").plan("".join(f"there volume {number}\n" for number in range(20)))
    assert action.title.endswith("; and 8 more") and "volume 19" in action.shown


class TestYes:
    def test_without_the_first_nothing_is_begun_and_a_plan_may_be_seen(self) -> None:
        with pytest.raises(BadInput, match="uninstall_confirm=hub.example.edu"):
            yes.show(server())
        yes.show(server(check=True))

    @pytest.mark.parametrize(
        "changes",
        [{"uninstall_confirm": "lab.example.edu"}, {"uninstall_confirm": "hub.example.edu", "uninstall_files": "4"}],
    )
    def test_one_to_something_else_is_refused_in_a_plan_too(self, changes: dict[str, str]) -> None:
        with pytest.raises(BadInput, match="says yes to"):
            yes.show(server(check=True, **changes))

    def test_files_stay_without_the_second(self) -> None:
        one = server(uninstall_confirm="hub.example.edu")
        yes.show(one)
        assert uninstalling.files(one) == [] and uninstalling.docker(one) == []
        assert "no notes of hubrun" not in {each.label for each in uninstalling.leftovers(one)}

    def test_the_second_counts_on_when_half_of_the_files_are_gone(self) -> None:
        assert uninstalling.files(server("people=1\ngiven=3\nstate=there\n", uninstall_files="3"))
        assert not uninstalling.files(server("people=1\ngiven=\nstate=there\n", uninstall_files="3"))

    def test_where_no_file_is_left_it_takes_none(self) -> None:
        nobody = server("people=0\ngiven=\n", uninstall_confirm="hub.example.edu")
        assert "no notes of hubrun" in {each.label for each in uninstalling.leftovers(nobody)}


def test_every_package_that_hubrun_installs_is_known_to_the_uninstall() -> None:
    named: set[str] = {name for system in SYSTEMS.values() for name in system.docker}
    for path in [*PROJECT.glob("runbooks/*.py"), *PROJECT.glob("lib/hubrun/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Packages":
                named |= {
                    each.value
                    for each in ast.walk(node)
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    named |= {"logrotate", "unattended-upgrades", "python3", "python3-venv", "certbot", "systemd-timesyncd"}
    known = ("sudo", *uninstalling.PACKAGES, *uninstalling.ENGINE)
    assert len(named) > 15
    assert [name for name in named if not any(fnmatch.fnmatch(name, each) for each in known)] == []


def run(script: str, folder: Path, **environment: str) -> str:
    """What a piece of shell prints, with programs of ours in front, and the note in `folder`."""
    prelude = PRELUDE.replace("/var/lib/hubrun/before", str(folder / "before"))
    done = subprocess.run(
        ["dash", "-euc", prelude + script],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def play(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


class TestShell:
    def test_packages_go_that_came_and_that_nobody_needs_and_none_without_a_note(self, tmp_path: Path) -> None:
        play(tmp_path, "dpkg-query", "for each in nginx curl python3; do echo $each installed; done")
        play(tmp_path, "apt-mark", f'echo "$*" > {tmp_path}/marked')
        play(tmp_path, "apt-get", 'for each in nginx nginx-common libold; do echo "Purg $each [1.0]"; done')
        script = traces.UNNEEDED + "unneeded nginx curl python3"
        assert run(script, tmp_path) == ""
        (tmp_path / "before").write_text("package curl\npackage libold\n")
        assert run(script, tmp_path).split() == ["nginx", "nginx-common"]
        marked = (tmp_path / "marked").read_text().split()
        assert marked[-3:] == ["auto", "nginx", "python3"] and any(
            "extended_states=/run/hubrun-apt" in each for each in marked
        )

    @pytest.mark.parametrize(
        ("ours", "others", "volumes", "alone"),
        [
            ("ab12\nimage", "", "jupyterhub-user-ada", True),
            ("", "", "", True),
            ("", "wiki", "", False),
            ("ab12", "another-jupyterhubs", "", False),
            ("", "", "wiki-data", False),
        ],
    )
    def test_docker_stays_where_something_of_others_is_in_it(
        self, tmp_path: Path, ours: str, others: str, volumes: str, alone: bool
    ) -> None:
        lists = {"ps": f"{ours}\n{others}", "volume": volumes, "*--filter*": ours}
        for name, text in lists.items():
            (tmp_path / name.strip("*-")).write_text("".join(f"{line}\n" for line in text.split()))
        play(
            tmp_path,
            "docker",
            f'cd {tmp_path}; case "$*" in *--filter*) cat filter;; ps*) cat ps;; volume*) cat volume;; esac',
        )
        said = run(traces.UNNEEDED + "if alone; then echo alone; fi", tmp_path)
        assert (said == "alone\n") == alone

    def test_docker_that_does_not_answer_is_not_taken_for_an_empty_one(self, tmp_path: Path) -> None:
        play(tmp_path, "docker", "exit 1")
        assert run(traces.UNNEEDED + "if alone; then echo alone; fi", tmp_path) == ""

    def test_settings_of_docker_become_what_they_were_and_others_stay(self) -> None:
        def coded(text: str) -> str:
            return base64.b64encode(text.encode()).decode()

        settings = DaemonSettingsBefore(("live-restore", "log-driver", "log-opts"), "/var/lib/hubrun/before")
        now = coded('{"live-restore": true, "log-driver": "local", "log-opts": {}, "dns": ["10.0.0.1"]}')
        was = coded('{"log-driver": "journald"}')
        (action,) = settings.plan(f"now={now}\nwas={was}\n")
        assert json.loads(action.data) == {"dns": ["10.0.0.1"], "log-driver": "journald"}
        assert settings.plan(f"now={coded(action.data.decode())}\nwas={was}\n") == []
        (gone,) = settings.plan("now=" + coded('{"live-restore": true}') + "\n")
        assert gone.title == "remove /etc/docker/daemon.json"
        assert settings.plan("now=\n") == [] and settings.plan("") == []

    def test_firewall_rules_go_that_came_with_hubrun_and_no_other(self, tmp_path: Path) -> None:
        play(
            tmp_path,
            "ufw",
            "printf 'ufw allow 22/tcp\\nufw allow 80/tcp\\nufw allow 443/tcp\\nufw allow from 172.29.0.0/16 to 172.29.0.1 port 8081 proto tcp\\n'",
        )
        (tmp_path / "before").write_text("ufw allow 80/tcp\n")
        said = run(traces.UFW + "added", tmp_path)
        assert said.splitlines() == ["allow 443/tcp", "allow from 172.29.0.0/16 to 172.29.0.1 port 8081 proto tcp"]

    def test_the_time_zone_is_put_back_only_where_it_is_known(self, tmp_path: Path) -> None:
        play(tmp_path, "readlink", "echo /usr/share/zoneinfo/Europe/Zurich")
        assert run(traces.ZONE_LOOK + "\ntrue", tmp_path) == ""
        (tmp_path / "before").write_text("zone Etc/UTC\n")
        assert run(traces.ZONE_LOOK + "\ntrue", tmp_path) == "there the time zone Europe/Zurich (before: Etc/UTC)\n"
        (tmp_path / "before").write_text("zone Europe/Zurich\n")
        assert run(traces.ZONE_LOOK + "\ntrue", tmp_path) == ""


def test_what_the_server_was_is_noted_once_and_never_where_hubrun_is_already(tmp_path: Path) -> None:
    note = NotedBefore(str(tmp_path / "kept/before"), (str(tmp_path / "opt"), "no-such-account-1"))
    assert subprocess.run(["dash", "-c", note.probe()], capture_output=True, text=True).stdout == ""
    (action,) = note.plan("")
    subprocess.run(["dash", "-euc", action.script], check=True)
    lines = (tmp_path / "kept/before").read_text().splitlines()
    assert "account root" in lines and "group root" in lines and any(line.startswith("package dpkg") for line in lines)
    assert lines[-1].startswith("noted 20")
    said = subprocess.run(["dash", "-c", note.probe()], capture_output=True, text=True).stdout
    assert said == "there\n" and note.plan(said) == []
    assert (
        NotedBefore("/nowhere/x", ("root",)).plan(
            subprocess.run(
                ["dash", "-c", NotedBefore("/nowhere/x", ("root",)).probe()], capture_output=True, text=True
            ).stdout
        )
        == []
    )
