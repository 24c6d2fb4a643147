"""Who sees which folder of which course; and the code for containers that has to stand up to hostile students."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubrun_hub.courses import mounts
from hubrun_hub.courses.mounts import Membership, memberships
from hubrun_hub.courses.spawner import CourseMounts
from hubrun_student.nbgrader import safe_copy, sandbox
from hubrun_student.nbgrader.safe_copy import LimitExceeded

BIO, CHEM = "course-bio", "course-chem"
BIO_TEACHER, CHEM_TEACHER = "course-bio-instructors", "course-chem-instructors"


def seen(user: str, *groups: str) -> dict[str, str]:
    """Where from → where to and how, of the container of `user` in `groups`."""
    found = mounts.places(user, memberships(groups), "/host")
    return {
        source.removeprefix("/host/"): f"{bind['bind'].removeprefix('/srv/nbgrader/')} {bind['mode']}"
        for source, bind in found.binds.items()
    }


STUDENT = {
    "bio/outbound": "exchange/bio/outbound ro",
    "bio/inbound/ada": "exchange/bio/inbound rw",
    "bio/feedback/ada": "exchange/bio/feedback ro",
}
TEACHER = STUDENT | {
    "bio/outbound": "exchange/bio/outbound rw",
    "bio/course": "courses/bio rw",
    "bio/inbound": "inbound/bio ro",
    "bio/feedback": "feedback/bio rw",
}
OTHER = {
    "chem/outbound": "exchange/chem/outbound ro",
    "chem/inbound/ada": "exchange/chem/inbound rw",
    "chem/feedback/ada": "exchange/chem/feedback ro",
}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], {}),
        (["staff", "coursebio", "xcourse-bio"], {}),
        ([BIO], STUDENT),
        ([BIO, CHEM], STUDENT | OTHER),
        ([BIO, BIO_TEACHER], TEACHER),
        ([BIO_TEACHER], TEACHER),
        ([CHEM, BIO, BIO_TEACHER], TEACHER | OTHER),
    ],
)
def test_groups_decide_what_a_container_sees(groups: list[str], expected: dict[str, str]) -> None:
    assert seen("ada", *groups) == expected


@pytest.mark.parametrize(
    ("groups", "role", "courses", "teaches"),
    [
        ([], "student", "", ""),
        ([CHEM, BIO], "student", "bio chem", ""),
        ([CHEM, BIO, CHEM_TEACHER], "instructor", "bio chem", "chem"),
    ],
)
def test_the_container_is_told_its_courses(groups: list[str], role: str, courses: str, teaches: str) -> None:
    environment = mounts.places("ada", memberships(groups)).environment
    assert environment == {
        "JUPYTER_CONFIG_PATH": f"/usr/local/share/hubrun/{role}",
        "HUBRUN_COURSES": courses,
        "HUBRUN_TEACHES": teaches,
        "HUBRUN_COURSE_NAMES": json.dumps({course: [course, course] for course in courses.split()}),
    }


HOSTILE = [
    "", ".", "..", "../bio", "bio/../chem", "/etc", "bio/course", "a b", "bio:rw", "bio\n", "Bio", "bïo", "{username}",
    "bio-", "-instructors", "a-instructors", "bio\0", "~", "x" * 300, "*", "bio,chem",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_course_with_a_strange_name_is_none(name: str) -> None:
    assert memberships([f"course-{name}-instructors"]) == []
    if name not in ("-instructors", "a-instructors"):  # of these, the first is nothing and the second course a's
        assert memberships([f"course-{name}"]) == []


def test_a_group_that_could_be_of_two_courses_is_of_neither() -> None:
    assert memberships(["course-a-instructors-instructors"]) == []
    assert memberships(["course-a-instructors"]) == [Membership("a", True)]


@pytest.mark.parametrize("user", [name for name in HOSTILE if name != "a-instructors"])
def test_somebody_with_a_strange_name_sees_no_course(user: str) -> None:
    assert seen(user, BIO, BIO_TEACHER) == {}


names = st.one_of(
    st.from_regex(r"[a-z0-9]{1,6}([._-]{1,2}[a-z0-9]{1,6}){0,2}", fullmatch=True),
    st.sampled_from(HOSTILE),
    st.text(max_size=8),
)
groups = st.lists(
    st.one_of(st.text(max_size=12), names.map("course-{}".format), names.map("course-{}-instructors".format)),
    max_size=6,
)


@given(user=names, other=names, joined=groups)
def test_no_container_sees_another_persons_folder_or_one_outside_the_courses(
    user: str, other: str, joined: list[str]
) -> None:
    binds = mounts.places(user, memberships(joined), "/host").binds
    teaches = {
        name.removeprefix("course-").removesuffix("-instructors") for name in joined if name.endswith("-instructors")
    }
    targets = [bind["bind"] for bind in binds.values()]
    assert len(set(targets)) == len(targets)
    for source, bind in binds.items():
        parts = PurePosixPath(source).parts
        assert parts[:2] == ("/", "host") and ".." not in parts and str(PurePosixPath(source)) == source
        assert f"course-{parts[2]}" in joined or parts[2] in teaches
        if parts[2] in teaches:
            continue
        # A student: one folder to write to, their own; and nobody else's.
        assert parts[3:] in (("outbound",), ("inbound", user), ("feedback", user))
        assert (bind["mode"] == "rw") == (parts[3] == "inbound")
        assert other == user or other not in parts[4:]


# -- the spawner


class Docker:
    """What CourseMounts needs of a DockerSpawner."""

    volume_binds = {"jupyterhub-user-ada": {"bind": "/home/jovyan", "mode": "rw"}}

    def __init__(self, *groups: str, user: str = "ada") -> None:
        self.user = SimpleNamespace(name=user, groups=[SimpleNamespace(name=group) for group in groups])
        self.said: list[str] = []
        self.log = SimpleNamespace(
            **dict.fromkeys(("info", "warning", "error"), lambda *args: self.said.append(args[0] % args[1:]))
        )

    def get_env(self) -> dict[str, str]:
        return {"HUBRUN_TEACHES": "everything", "KEPT": "1"}


class Spawner(CourseMounts, Docker):
    pass


def test_a_spawner_adds_the_courses_to_the_home() -> None:
    spawner: Any = Spawner(BIO)
    spawner.course_places = spawner.find_places("/host")
    assert set(spawner.volume_binds) == {
        "jupyterhub-user-ada",
        *(f"/host/bio/{part}" for part in ("outbound", "inbound/ada", "feedback/ada")),
    }
    assert spawner.get_env()["HUBRUN_TEACHES"] == "" and spawner.get_env()["KEPT"] == "1"
    # Out of the group: with the next start, the home alone.
    spawner.user.groups = []
    spawner.course_places = spawner.find_places("/host")
    assert set(spawner.volume_binds) == {"jupyterhub-user-ada"}


def test_courses_are_called_as_people_call_them_once_the_image_knows() -> None:
    spawner: Any = Spawner(BIO, CHEM, CHEM_TEACHER)
    for group in spawner.user.groups:
        group.properties = (
            {"label": "BIO 101 / Frühling", "folder": "BIO 101 - Frühling"} if group.name == BIO else None
        )
    assert spawner.find_places("/host").binds["/host/bio/outbound"]["bind"] == "/srv/nbgrader/exchange/bio/outbound"
    spawner.readable_folders = True
    found = spawner.find_places("/host")
    inside = "/srv/nbgrader/exchange/BIO 101 - Frühling"
    assert {source: to["bind"] for source, to in found.binds.items() if "/bio/" in source} == {
        "/host/bio/outbound": f"{inside}/outbound",
        "/host/bio/inbound/ada": f"{inside}/inbound",
        "/host/bio/feedback/ada": f"{inside}/feedback",
    }
    assert found.environment["HUBRUN_COURSES"] == "bio chem", "the id stays the key"
    assert json.loads(found.environment["HUBRUN_COURSE_NAMES"]) == {
        "bio": ["BIO 101 - Frühling", "BIO 101 / Frühling"],
        "chem": ["chem", "chem"],
    }


class Refusal(Exception):
    """As docker.errors.APIError, which is on the server alone."""

    explanation = "courses: /srv/nbgrader/bio must be a folder (no link) of root's"


def test_when_folders_cannot_be_made_the_server_starts_without_courses_and_the_log_says_why() -> None:
    class NoFolders(Docker):
        async def start(self) -> object:
            return await self.create_object()

        async def create_object(self) -> object:
            if len(self.volume_binds) > 1:
                raise Refusal
            return self.volume_binds, self.get_env()

    class Mounts(CourseMounts, NoFolders):
        pass

    spawner: Any = Mounts(BIO)
    binds, environment = asyncio.run(spawner.start())
    assert set(binds) == {"jupyterhub-user-ada"} and environment["HUBRUN_COURSES"] == ""
    assert "ada starts without any course: courses: /srv/nbgrader/bio must be" in spawner.said[-1]


def test_another_refusal_is_none_of_the_courses() -> None:
    class Full(Docker):
        async def create_object(self) -> object:
            raise OSError("no space left")

    class Mounts(CourseMounts, Full):
        pass

    with pytest.raises(OSError, match="no space"):
        asyncio.run(Mounts(BIO).create_object())


# -- collecting from a folder that a student writes to


def test_plain_files_are_copied_and_everything_else_is_left_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("solutions")
    source = tmp_path / "in"
    (source / "data").mkdir(parents=True)
    (source / "data/a.csv").write_text("1")
    (source / "ps1.ipynb").write_text("{}")
    (source / "link").symlink_to(secret)
    (source / "folder").symlink_to(tmp_path)
    os.mkfifo(source / "pipe")
    seen = safe_copy.copy(source, tmp_path / "out", 1 << 20)
    assert sorted(seen.left_out) == ["folder", "link", "pipe"]
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")} == {
        "data",
        "data/a.csv",
        "ps1.ipynb",
    }


def test_no_repository_is_collected_which_would_run_what_its_settings_name(tmp_path: Path) -> None:
    source, ran = tmp_path / "in", tmp_path / "ran"
    (source / "data").mkdir(parents=True)
    (source / "ps1.ipynb").write_text("{}")
    (source / "data/.Rprofile").write_text("1")
    subprocess.run(["git", "init", "-q", source], check=True)
    subprocess.run(["git", "-C", source, "config", "core.fsmonitor", f"touch {ran} #"], check=True)

    def look_into(folder: Path) -> bool:
        """Whether something ran when git was asked for the folder's state, as JupyterLab's extension does."""
        ran.unlink(missing_ok=True)
        subprocess.run(["git", "-C", folder, "status"], capture_output=True, check=False)
        return ran.exists()

    assert look_into(source)
    seen = safe_copy.copy(source, tmp_path / "out", 1 << 20)
    assert sorted(seen.left_out) == [".git", "data/.Rprofile"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["data", "ps1.ipynb"]
    assert not look_into(tmp_path / "out")


def test_a_submission_that_is_a_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError):
        safe_copy.look(tmp_path / "link", 1 << 20)


def test_the_time_of_a_submission_cannot_be_set_back(tmp_path: Path) -> None:
    began = time.time() - 1
    (tmp_path / "in").mkdir()
    (tmp_path / "in/ps1.ipynb").write_text("{}")
    os.utime(tmp_path / "in/ps1.ipynb", (0, 0))
    os.utime(tmp_path / "in", (0, 0))
    assert safe_copy.look(tmp_path / "in", 1 << 20).changed > began


@pytest.mark.parametrize("kind", ["large", "many", "deep"])
def test_too_much_is_refused(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    if kind == "large":
        with (source / "file").open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "many":
        for number in range(300):
            (source / str(number)).touch()
    else:
        (source / "/".join("d" * 60)).mkdir(parents=True)
    for action in (lambda: safe_copy.look(source, 1 << 20), lambda: safe_copy.copy(source, tmp_path / "out", 1 << 20)):
        with pytest.raises(LimitExceeded):
            action()


def test_a_file_that_turns_into_a_link_meanwhile_is_never_followed(tmp_path: Path) -> None:
    """The student's container swaps a file and a link as fast as it can."""
    secret = tmp_path / "secret"
    secret.write_text("solutions")
    source = tmp_path / "in"
    source.mkdir()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for make in (lambda path: path.write_text("mine"), lambda path: path.symlink_to(secret)):
                candidate = source / "candidate"
                make(candidate)
                candidate.rename(source / "file")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(200):
            target = tmp_path / f"out{number}"
            with suppress(OSError):  # gone or a link by then: an error of this one submission
                safe_copy.copy(source, target, 1 << 20)
            assert not any("solutions" in path.read_text() for path in target.rglob("*"))
    finally:
        stop.set()
        thread.join()


# -- the sandbox of autograding


def landlock() -> bool:
    try:
        sandbox.call(sandbox.CREATE_RULESET, None, 0, sandbox.VERSION)
    except OSError:
        return False
    return True


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
def test_graded_code_reaches_its_folder_and_the_system_alone(tmp_path: Path) -> None:
    work, scratch, outside = tmp_path / "work", tmp_path / "scratch", tmp_path / "outside"
    for folder in (work, scratch, outside):
        folder.mkdir()
    (outside / "solution").write_text("secret")
    (tmp_path / "connection.json").write_text("{}")
    code = f"""
import os
def attempt(name, action):
    try:
        action()
        print(name, "yes")
    except Exception as error:
        print(name, type(error).__name__)
attempt("own", lambda: open("mine", "w").write("x"))
attempt("home", lambda: open(os.environ["HOME"] + "/x", "w").write("x"))
attempt("connection", lambda: open({str(tmp_path / "connection.json")!r}).read())
attempt("read", lambda: open({str(outside / "solution")!r}).read())
attempt("write", lambda: open({str(outside / "new")!r}, "w"))
attempt("rename", lambda: os.rename("mine", {str(outside / "mine")!r}))
attempt("link", lambda: os.symlink("/etc/passwd", "link"))
attempt("hard", lambda: os.link({str(outside / "solution")!r}, "hard"))
print(sorted(name for name in os.environ if "JUPYTERHUB" in name or "HUBRUN" in name))
"""
    command = [
        sys.executable, "-I", sandbox.__file__, str(scratch), str(tmp_path / "connection.json"), "--",
        "/usr/bin/env", "python3", "-I", "-c", code,
    ]  # fmt: skip
    # The system's own interpreter: this one may be anywhere.
    environment = {"PATH": "/usr/bin:/bin", "JUPYTERHUB_API_TOKEN": "secret", "HUBRUN_TEACHES": "bio"}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    *lines, names = done.stdout.splitlines()
    answers = dict(line.split() for line in lines)
    assert [name for name, answer in answers.items() if answer == "yes"] == ["own", "home", "connection"], answers
    assert names == "[]"


def test_the_containers_code_imports_nothing_of_hubrun() -> None:
    for package in ("hubrun_hub.courses", "hubrun_hub.docker_filter", "hubrun_student.nbgrader"):
        spec = importlib.util.find_spec(package)
        assert spec and spec.origin
        for path in Path(spec.origin).parent.rglob("*.py"):
            assert "import hubrun." not in path.read_text() and "from hubrun." not in path.read_text(), path
