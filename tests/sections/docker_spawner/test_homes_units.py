"""Homes on a disk of their own: what a site gets that asks for them, and that another gets nothing of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from hubrun.params import Site
from hubrun.sections.docker_spawner import docker_setup, homes
from hubrun.sections.hub import config
from hubrun.sections.server import homes_here

PLAIN = Site(site="x", domain="hub.example.edu")
IN_FILE = Site(site="x", domain="hub.example.edu", homes_gb=50, user_disk_gb=5)
ON_DISK = Site(site="x", domain="hub.example.edu", homes_device="/dev/vdb", homes_old="remove")


def test_a_site_without_them_is_as_it_was() -> None:
    assert homes.disk(PLAIN) == homes.moved(PLAIN) == [] and homes.tests(PLAIN) == []
    settings = json.loads(config.filter_settings(PLAIN))
    assert "nbgrader.mount" not in config.render("hubrun-docker-filter.service", PLAIN)
    assert "homes" not in settings and settings["environment"] == {}
    assert homes.forget(PLAIN, "ada") == "docker volume rm jupyterhub-user-ada > /dev/null 2>&1 || true"
    assert [test.title for test in homes_here.tests(PLAIN)] == ["students' files stay where they are"]


def test_a_site_with_them_gets_disk_limit_and_snapshots() -> None:
    labels = [resource.label for resource in homes.disk(IN_FILE)]
    assert "btrfs-progs" in labels[0]
    assert "homes at /srv/jupyterhub/homes" in labels and labels[-1] == "5 GB for each home"
    assert [resource.label for resource in homes.moved(IN_FILE)] == [
        "everybody's files at /srv/jupyterhub/homes",
        "file /etc/systemd/system/srv-nbgrader.mount",
        "courses at /srv/jupyterhub/homes/courses",
        "service hubrun-homes-hourly.timer",
    ]
    assert "no files from before" in [resource.label for resource in homes.moved(ON_DISK)]
    settings = json.loads(config.filter_settings(IN_FILE))
    assert settings["homes"] == "/srv/jupyterhub/homes"
    assert settings["environment"]["JUPYTER_RUNTIME_DIR"] == "/tmp/.jupyter-runtime"
    assert len(homes.moved(IN_FILE.model_copy(update={"nbgrader": False}))) == 2
    compile(config.render("40-docker.py", IN_FILE), "40-docker.py", "exec")
    assert "homes remove ada ben" in homes.forget(IN_FILE, "ada", "ben")


def test_another_limit_changes_nothing_that_a_service_reads_at_its_start() -> None:
    more = IN_FILE.model_copy(update={"user_disk_gb": 9})
    for name in (
        "40-docker.py",
        "20-hub.py",
        "hubrun-docker-filter.service",
        "hubrun-homes.socket",
        "hubrun-homes@.service",
    ):
        assert config.render(name, more) == config.render(name, IN_FILE), name
    assert config.filter_settings(more) == config.filter_settings(IN_FILE)
    assert docker_setup.proven_images(more, ["class:1"]) == docker_setup.proven_images(IN_FILE, ["class:1"])


@pytest.mark.parametrize(
    "name",
    [
        "hubrun-homes@.service",
        "hubrun-homes.socket",
        "hubrun-homes-hourly.service",
        "hubrun-homes-hourly.timer",
        "srv-nbgrader.mount",
    ],
)
def test_systemd_understands_the_units(tmp_path: Path, name: str) -> None:
    for each in (
        "hubrun-homes@.service",
        "hubrun-homes.socket",
        "hubrun-homes-hourly.service",
        "hubrun-homes-hourly.timer",
        "srv-nbgrader.mount",
    ):
        (tmp_path / each).write_text(config.render(each, IN_FILE))
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / name], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "hubrun-homes" in line]
    assert done.returncode == 0 and not said, done.stderr


def test_a_disk_and_a_file_are_two_different_wishes() -> None:
    with pytest.raises(ValueError, match="homes_device or homes_gb, not both"):
        Site(site="x", domain="hub.example.edu", homes_device="/dev/vdb", homes_gb=5)
