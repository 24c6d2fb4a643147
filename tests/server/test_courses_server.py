"""Courses with images, limits and a GPU of their own: the right server for each launch, and one home for all of them.

There is no GPU here. What stands for one is said by its name: a stub of nvidia-smi, and of the hook that NVIDIA's toolkit puts
into Docker, which brings the stub into a container that asked for a GPU. Docker itself, and what it is asked for, are real.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from canvas import key_and_secret
from conftest import set_up
from machines import Machine, hubrun
from typing_extensions import override

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun_hub.courses.servers import is_course_server
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(1200)]

STUBS = r"""
cat > /usr/bin/nvidia-smi << 'END'
#!/bin/sh
echo "GPU 0: a stub, no GPU (UUID: GPU-stub)"
END
cat > /usr/bin/nvidia-container-runtime-hook << 'END'
#!/usr/bin/python3
import json, os, shutil, sys
bundle = json.load(sys.stdin)["bundle"]
root = json.load(open(os.path.join(bundle, "config.json")))["root"]["path"]
shutil.copy("/usr/bin/nvidia-smi", os.path.join(bundle, root, "usr/bin/nvidia-smi"))
END
chmod 755 /usr/bin/nvidia-smi /usr/bin/nvidia-container-runtime-hook
"""
ML: dict[str, Any] = {
    "course": "ML 2", "extra_pip_packages": ["cowsay"], "user_memory_mb": 700, "user_cpus": 0.5, "gpus": 1,
}  # fmt: skip
BIO = {"course": "BIO 101", "user_memory_mb": 1500}
ART = {"course": "ART 1", "user_memory_mb": 600, "user_cpus": 2.0, "staff_memory_mb": 1600}
PIDS = "systemctl show jupyterhub jupyterhub-proxy hubrun-docker-filter docker -p MainPID --value"


class Student(Browser):
    """A browser in which somebody opens the server of a course; another one for each, as for each course in Canvas."""

    server = ""

    @property
    @override
    def home_path(self) -> str:
        return f"{super().home_path}{self.server and self.server + '/'}"

    def open(self, path: str) -> None:
        end = time.monotonic() + 180
        page = self.get(path)
        while not page.url.path.startswith(super().home_path):
            assert page.is_success and time.monotonic() < end, f"{page.status_code} {page.url}: {page.text[:2000]}"
            time.sleep(0.5)
            page = self.get(str(page.url))
        self._server = str(page.url.copy_with(raw_path=b"/", fragment=None)).rstrip("/")
        part = page.url.path.removeprefix(super().home_path).partition("/")[0]
        self.server = part if is_course_server(part) else ""

    def stop_own(self) -> None:
        """Stop the server that this browser opened; the others go on."""
        self.kernel_id = ""
        user = f"/hub/api/users/{self.user}"
        self._fetch("DELETE", f"{user}/servers/{self.server}" if self.server else f"{user}/server")
        end = time.monotonic() + 60
        while self.server in self._json("GET", user)["servers"]:
            assert time.monotonic() < end
            time.sleep(0.5)


def launched(machine: Machine, course: str, user: str = "ada", role: str = "Learner") -> Student:
    site = params.load(machine.site)
    browser = Student(Route.to(site))
    form = signed_form(site.launch_url, *key_and_secret(machine), user, course=course, role=role)
    launch = browser.launch(site.launch_url, form)
    assert launch.user == user, launch.came
    browser.open(launch.location)
    return browser


def containers(machine: Machine, user: str = "ada") -> dict[str, dict[str, Any]]:
    """What Docker says of the servers of a person, by their names."""
    asks = "docker ps -q --filter volume=jupyterhub-user-$1 | xargs -r docker inspect"
    found = {}
    for each in json.loads(machine.run(asks, user) or "[]"):
        says = dict(line.split("=", 1) for line in each["Config"]["Env"] if "=" in line)
        found[says["JUPYTERHUB_SERVER_NAME"]] = each
    return found


def limits(container: dict[str, Any]) -> tuple[int, float]:
    """Memory in MB, and cores."""
    config = container["HostConfig"]
    return config["Memory"] >> 20, config["CpuQuota"] / config["CpuPeriod"]


@pytest.fixture(scope="module")
def stat(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("stat") / "requirements.txt"
    path.write_text("# what this course reads with\ninflection  # small\n")
    return {"course": "STAT 9", "requirements_file": str(path), "user_memory_mb": 900}


def install(machine: Machine, *courses: dict[str, Any]) -> Any:
    return hubrun("install", machine.site, "--only", "04", "--set", f"courses={json.dumps(courses)}", seconds=900)


@pytest.fixture(scope="module")
def courses(stat: dict[str, Any]) -> Iterator[Machine]:
    for machine in set_up("courses"):
        machine.run(STUBS)
        pids = machine.run("systemctl show jupyterhub jupyterhub-proxy -p MainPID --value")
        ended = install(machine, ML, stat, BIO, ART)
        assert ended.code == 0, ended.tail
        assert machine.run("systemctl show jupyterhub jupyterhub-proxy -p MainPID --value") == pids, "no restart"
        yield machine


@pytest.fixture(scope="module")
def ada(courses: Machine) -> Iterator[dict[str, Student]]:
    """Ada, who is in four courses, as she comes from each."""
    with ExitStack() as browsers:
        yield {
            course: browsers.enter_context(launched(courses, course))
            for course in ("BIO 101", "ART 1", "ML 2", "STAT 9")
        }


def test_a_second_run_changes_nothing(courses: Machine, stat: dict[str, Any]) -> None:
    ended = install(courses, ML, stat, BIO, ART)
    assert ended.code == 0 and {status for _, status in ended.results} <= {"ok"}, ended.tail


def test_each_launch_opens_the_server_with_its_courses_image(ada: dict[str, Student]) -> None:
    there = "import importlib.util as found; print(*[bool(found.find_spec(each)) for each in ('cowsay', 'inflection')])"
    assert {course: browser.run_cell(there) for course, browser in ada.items()} == {
        "BIO 101": "False False",
        "ART 1": "False False",
        "ML 2": "True False",
        "STAT 9": "False True",
    }
    assert ada["BIO 101"].server == ada["ART 1"].server == ""
    assert ada["ML 2"].server.startswith("ml-2-") and ada["STAT 9"].server.startswith("stat-9-")


def test_all_of_them_have_one_home(ada: dict[str, Student]) -> None:
    ada["ML 2"].write_file("note.txt", "written in ML")
    assert {browser.read_file("note.txt") for browser in ada.values()} == {"written in ML"}


def test_limits_are_those_of_the_course_and_the_larger_ones_where_two_share_a_server(
    courses: Machine, ada: dict[str, Student]
) -> None:
    found = containers(courses)
    assert set(found) == {"", ada["ML 2"].server, ada["STAT 9"].server}
    assert limits(found[ada["ML 2"].server]) == (700, 0.5)
    assert limits(found[ada["STAT 9"].server])[0] == 900
    # BIO's was there when ART was launched: the next start has the larger of both.
    ada["BIO 101"].stop_own()
    with launched(courses, "ART 1"):
        assert limits(containers(courses)[""]) == (1500, 2.0)


def test_who_teaches_gets_more(courses: Machine) -> None:
    with launched(courses, "ART 1", "cho", "Instructor"):
        assert limits(containers(courses, "cho")[""]) == (1600, 2.0)


def test_the_gpu_is_there_for_the_course_that_has_one_alone(courses: Machine, ada: dict[str, Student]) -> None:
    look = "import shutil, subprocess; print(shutil.which('nvidia-smi') and subprocess.getoutput('nvidia-smi -L'))"
    assert "a stub, no GPU" in ada["ML 2"].run_cell(look)
    assert ada["STAT 9"].run_cell(look) == "None"
    asked = {name: each["HostConfig"]["DeviceRequests"] for name, each in containers(courses).items()}
    assert [each["Count"] for each in asked[ada["ML 2"].server]] == [1]
    assert not asked[ada["STAT 9"].server] and not asked[""]


def test_nobody_else_gets_into_a_courses_server(courses: Machine, ada: dict[str, Student]) -> None:
    with launched(courses, "ML 2", "ben") as ben:
        page = ben.get(f"{ada['ML 2'].home_path}lab")
        assert not page.url.path.startswith(ada["ML 2"].home_path) or page.status_code in (401, 403, 404)
        assert ben.get("/hub/spawn/ben/mine").status_code == 403
        assert ben.get(f"/hub/spawn/ben/{ada['STAT 9'].server}").status_code == 403, "ben is not in STAT"
        assert set(containers(courses, "ben")) == {ben.server}


def test_all_servers_of_a_person_who_is_joined_or_removed_are_stopped(courses: Machine) -> None:
    with launched(courses, "ML 2", "dan"), launched(courses, "BIO 101", "dan"):
        assert len(containers(courses, "dan")) == 2
        courses.run(
            "/usr/bin/python3 -I -B -c \"import sys; sys.path.insert(0, '/usr/local/lib/hubrun'); "
            "from hubrun_hub.joining.homes import stop_servers; stop_servers(['dan'])\"",
            seconds=120,
        )
        assert containers(courses, "dan") == {}


def test_a_course_that_changes_restarts_nothing_and_counts_at_the_next_start(
    courses: Machine, ada: dict[str, Student], stat: dict[str, Any]
) -> None:
    before = courses.run(PIDS), courses.run("docker ps -q --filter label=hubrun.student | sort")
    ended = install(courses, ML, {**stat, "user_memory_mb": 950}, BIO, ART)
    assert ended.code == 0, ended.tail
    assert (courses.run(PIDS), courses.run("docker ps -q --filter label=hubrun.student | sort")) == before
    ada["STAT 9"].stop_own()
    with launched(courses, "STAT 9") as again:
        assert limits(containers(courses)[again.server])[0] == 950


def test_the_image_of_a_course_that_is_gone_goes(courses: Machine, ada: dict[str, Student]) -> None:
    ada["STAT 9"].stop_own()
    ended = install(courses, ML, BIO, ART)
    assert ended.code == 0, ended.tail
    left = courses.run(
        "docker image ls --format '{{.Repository}}'; docker ps -a --format '{{.Names}}'; ls /etc/jupyterhub"
    )
    assert "ml-2" in left and "stat-9" not in left, left
    with launched(courses, "STAT 9") as browser:
        assert browser.server == ""
