"""Courses on the disk of homes: on a real btrfs in a file, where this machine can mount one; Docker and systemd are played."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

import homes_disk
from homes_disk import make_subvolume, mounted_with, real
from hubrun_hub.backup import site
from hubrun_hub.courses.mounts import Membership
from hubrun_hub.docker_filter import folders
from hubrun_hub.docker_filter.folders import UnsafeFolder
from hubrun_hub.docker_filter.homes import limited
from hubrun_hub.exams import collect
from hubrun_hub.homes import btrfs, courses, move_courses, serve
from hubrun_hub.homes import folders as home_folders
from hubrun_hub.homes.places import HomeError, Homes, hand_in_options, is_subvolume
from hubrun_hub.joining import homes as joining
from hubrun_hub.removing import people as removing

MB = 2**20
LIMIT = 40 * MB
STUDENT = ["setpriv", "--reuid", "1000", "--regid", "100", "--clear-groups", "sh", "-c"]


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    with homes_disk.made(tmp_path) as root:
        made = Homes(root, tmp_path / "locks", tmp_path / "nbgrader")
        yield made
        subprocess.run(["umount", made.courses], check=False, stderr=subprocess.DEVNULL)


REAL_RUN = btrfs.run


class Server:
    """What `move_courses` asks of Docker and systemd. kill: the command before which the run is killed."""

    def __init__(self, homes: Homes, unit: Path) -> None:
        self.homes, self.unit = homes, unit
        self.used, self.kill, self.came = "", "", list[str]()

    def run(self, *words: Any, program: str = "btrfs", seconds: float = 600) -> str:
        said = " ".join(map(str, (program, *words)))
        if self.kill and self.kill in said:
            raise KeyboardInterrupt
        self.came.append(said)
        if program == "systemctl":
            if words[0] == "start" and not os.path.ismount(self.homes.courses):
                subprocess.run(["mount", "--bind", self.homes.root / "courses", self.homes.courses], check=True)
            return ""
        return REAL_RUN(*words, program=program, seconds=seconds)

    def docker(self, *words: str, node: str) -> str:
        self.came.append(" ".join(("docker", *words)))
        return self.used

    def move(self) -> list[str]:
        return move_courses.move(self.homes, LIMIT, self.unit)


@pytest.fixture
def server(homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    (tmp_path / "srv-nbgrader.mount").touch()
    made = Server(homes, tmp_path / "srv-nbgrader.mount")
    monkeypatch.setattr(btrfs, "run", made.run)
    monkeypatch.setattr(move_courses, "docker", made.docker)
    return made


@pytest.fixture
def moved(homes: Homes, server: Server) -> Homes:
    assert server.move() == ["courses: moved"]
    return homes


def there(homes: Homes, course: str, *users: str) -> Path:
    """The folders of these people in a course, as a launch has them made; the course's folder."""
    for user in users:
        courses.make(homes, course, user, LIMIT)
        folders.make(homes.courses, user, [Membership(course, False)])
    return homes.courses / course


def as_student(place: Path, script: str) -> str:
    return subprocess.run([*STUDENT, script], cwd=place, capture_output=True, text=True, check=False).stdout.strip()


def handing_in(homes: Homes, course: str, user: str) -> AbstractContextManager[Path]:
    """What the person's container has at inbound."""
    return mounted_with(hand_in_options(homes.root, course, user), homes.locks / f"{course}-{user}")


def limit_of(homes: Homes, path: Path) -> int:
    return btrfs.usage(homes.root, btrfs.number_of(path)).limit


FILL = "dd if=/dev/zero of=fill bs=1M count={} 2>&1 | grep -o 'Disk quota exceeded'; sync; stat -c %s fill"


@real
def test_who_hands_in_without_end_reaches_the_limit_and_nobody_else_notices(moved: Homes) -> None:
    course = there(moved, "bio", "ada", "ben")
    with handing_in(moved, "bio", "ada") as ada, handing_in(moved, "bio", "ben") as ben:
        said, size = as_student(ada, FILL.format(30)).splitlines()
        assert said == "Disk quota exceeded" and 5 * MB < int(size) <= 10 * MB
        assert (
            as_student(ben, "mkdir ben+ps1+now+x && echo text > ben+ps1+now+x/a; sync; cat ben+ps1+now+x/a") == "text"
        )
        assert (
            as_student(course / "course", "mkdir -p submitted && echo grade > submitted/a; sync; cat submitted/a")
            == "grade"
        )
        assert (course / "inbound/ben/ben+ps1+now+x/a").read_text() == "text\n", "staff see it at once"
        # What was handed in can go again, by every way.
        assert as_student(ada, "rm fill; mkdir -p a/b && mv a c && rmdir c/b c && echo gone; ls -A") == "gone"
        with pytest.raises(OSError, match="Inappropriate ioctl"):
            make_subvolume(ada)
    # A newcomer comes into a course in which somebody is at the limit.
    there(moved, "bio", "eve")
    assert (course / "inbound/eve").stat().st_mode & 0o7777 == 0o1777


@real
def test_what_is_due_is_taken_though_its_student_filled_the_folder_and_they_cannot_remove_it(
    moved: Homes, tmp_path: Path
) -> None:
    home, settings = tmp_path / "home", tmp_path / "homes.json"
    (home / "bio/ps1").mkdir(parents=True)
    (home / "bio/ps1/ps1.ipynb").write_text("answers" * 1000)
    settings.write_text('{"user_disk_gb": 1}')
    inbound = there(moved, "bio", "ada") / "inbound/ada"
    with handing_in(moved, "bio", "ada") as ada:
        assert as_student(ada, FILL.format(30)).splitlines()[0] == "Disk quota exceeded"
        with pytest.raises(OSError, match="Disk quota"):
            collect.take(home, ("bio", "ps1"), inbound, "ada")
        with courses.without_limit(inbound, settings):
            taken = collect.take(home, ("bio", "ps1"), inbound, "ada")
        assert taken and (taken / "ps1.ipynb").read_text() == "answers" * 1000
        assert as_student(ada, f"cat '{taken.name}/ps1.ipynb'") == "answers" * 1000
        assert as_student(ada, f"rm -rf '{taken.name}'; mv '{taken.name}' x; rm -f fill; ls -A") == taken.name
    assert limit_of(moved, inbound) == 2**30 // 4


@real
def test_staff_who_fill_their_course_stop_at_its_limit_and_others_go_on(
    moved: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courses, "_COURSE", 1)
    bio, law = there(moved, "bio", "ada"), there(moved, "law", "ben")
    assert as_student(bio / "course", FILL.format(80)).splitlines()[0] == "Disk quota exceeded"
    assert as_student(law / "course", "echo text > a; sync; cat a") == "text"
    with handing_in(moved, "bio", "ada") as ada:
        assert as_student(ada, "echo text > a; sync; cat a") == "text", "what students hand in is counted apart"


@real
def test_a_subvolume_that_staff_make_by_hand_is_frozen_by_the_next_hour(moved: Homes) -> None:
    course = there(moved, "bio", "ada") / "course"
    make_subvolume(course)
    (course / "nested").chmod(0o777)
    assert as_student(course, "echo x > nested/a; cat nested/a") == "x"
    (said,) = courses.set_limits(moved, LIMIT)
    assert said == "'courses/bio/course/nested' is not a folder of ours: nobody can write to it any more"
    assert as_student(course, "head -c 1M /dev/zero > nested/b || echo full").startswith("full")
    assert limit_of(moved, course.parent) == 10 * LIMIT and limit_of(moved, course.parent / "inbound/ada") == LIMIT // 4
    # A link in its place leads nowhere: limits are given by number.
    REAL_RUN("subvolume", "delete", course / "nested")
    (course / "nested").symlink_to(moved.root / "people")
    assert courses.set_limits(moved, LIMIT) == []


# -- the socket, and Docker


def said(homes: Homes, settings: Path, *lines: str) -> list[str]:
    """What the service answers."""
    settings.write_text('{"user_disk_gb": 1}')
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve.serve, args=(theirs, homes, settings), daemon=True)
    thread.start()
    with ours, ours.makefile("rw") as stream:
        found = []
        for line in lines:
            stream.write(f"{line}\n")
            stream.flush()
            found.append(stream.readline().strip())
    thread.join(10)
    return found


@real
def test_the_filter_hears_where_a_course_is_and_without_the_mount_nobody_writes_beneath(
    homes: Homes, server: Server, tmp_path: Path
) -> None:
    ask = ('["open", "ada"]', '["course", "bio"]')
    assert said(homes, tmp_path / "homes.json", *ask) == ["none", "none"], "not moved yet"
    server.move()
    assert said(homes, tmp_path / "homes.json", *ask) == ["none", "there"]
    own = homes.courses / "bio/inbound/ada"
    assert is_subvolume(own) and limit_of(homes, own) == 2**28 and limit_of(homes, homes.courses / "bio") == 10 * 2**30
    assert said(homes, tmp_path / "homes.json", '["course", "bio"]') == ["error this is not understood"], "whose?"
    for name in ("../law", "a/b", "", ".removing"):
        (_, answer) = said(homes, tmp_path / "homes.json", ask[0], f'["course", "{name}"]')
        assert answer.startswith("away no name for a folder")
    subprocess.run(["umount", homes.courses], check=True)
    assert (
        said(homes, tmp_path / "homes.json", *ask)[1]
        == f"away the folders of courses are not mounted at {homes.courses}"
    )
    with pytest.raises(UnsafeFolder, match="is not the one on the disk"):
        limited({"Binds": []}, str(homes.courses), "ada", ["bio"], str(homes.root))
    assert list(homes.courses.iterdir()) == []


@real
def test_a_link_in_the_place_of_a_folder_is_refused(moved: Homes, tmp_path: Path) -> None:
    there(moved, "bio", "ada")
    (moved.courses / "law").symlink_to(tmp_path)
    (moved.courses / "bio/inbound/ben").symlink_to(tmp_path)
    for course, user in (("law", "ada"), ("bio", "ben")):
        with pytest.raises(HomeError, match="must be a folder"):
            courses.make(moved, course, user, LIMIT)


def test_what_is_handed_in_is_mounted_as_a_volume_that_goes_with_its_container(tmp_path: Path) -> None:
    (tmp_path / "courses").mkdir()
    (tmp_path / "nbgrader").symlink_to("courses")
    folder = str(tmp_path / "nbgrader")
    binds = [
        f"{folder}/bio/inbound:/i:ro",
        f"{folder}/bio/inbound/ada:/in:rw",
        f"{folder}/law/inbound/ada:/law:rw",
        "volume:/home:rw",
    ]
    host: dict[str, Any] = {"Binds": list(binds)}
    limited(host, folder, "ada", ["bio"], str(tmp_path))
    assert host["Binds"] == [binds[0], *binds[2:]]
    (mount,) = host["Mounts"]
    assert mount["Target"] == "/in" and "Source" not in mount, (
        "Docker gives it no name, and removes it with the container"
    )
    assert mount["VolumeOptions"] == {
        "NoCopy": True, "DriverConfig": {"Name": "local", "Options": hand_in_options(tmp_path, "bio", "ada")},
    }  # fmt: skip
    assert f"upperdir={tmp_path}/courses/bio/inbound/ada," in mount["VolumeOptions"]["DriverConfig"]["Options"]["o"]


# -- from before


def before(folder: Path) -> dict[str, Any]:
    """A site's courses on the server's own disk, with what people may put there; what is in them."""
    for path in (
        "bio/outbound/ps1",
        "bio/course/source",
        "bio/feedback/ada",
        "bio/inbound/ada/sub",
        "bio/inbound/ben",
        "law/inbound",
    ):
        (folder / path).mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "bio/course/gradebook.db").write_bytes(b"grades")
    (folder / "bio/inbound/ada/sub/a.ipynb").write_text("solution")
    os.link(folder / "bio/inbound/ada/sub/a.ipynb", folder / "bio/inbound/ada/sub/b.ipynb")
    (folder / "bio/inbound/ben/link").symlink_to("/etc/shadow")
    (folder / "bio/inbound/ben/out").symlink_to("../../../..")
    (folder / "bio/inbound/away").symlink_to("/etc")
    (folder / "bio/inbound/ben/a\nname").write_text("x")
    (folder / "note of the operator").write_text("kept")
    for path in folder.rglob("*"):
        if not path.is_dir() or path.parts[-2] not in ("nbgrader", "bio"):
            os.chown(path, 1000, 100, follow_symlinks=False)
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    return look(folder)


def look(folder: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        text = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        # A folder in which subvolumes were made is younger.
        changed = 0 if path.is_dir() else state.st_mtime_ns
        found[str(path.relative_to(folder))] = (state.st_mode, state.st_uid, state.st_gid, changed, text)
    return found


@real
def test_courses_are_moved_when_nobody_uses_them_with_all_that_is_in_them(homes: Homes, server: Server) -> None:
    wanted = before(homes.courses)
    server.used = f"jupyterhub-user-ada,{homes.courses}/bio/outbound,/x\n"
    assert server.move() == ["courses: servers run that use their folders; they are moved when none does"]
    assert look(homes.courses) == wanted and not os.path.ismount(homes.courses)
    server.used = "jupyterhub-user-ada,/srv/other\n"
    assert server.move() == ["courses: moved"]
    assert os.path.ismount(homes.courses) and look(homes.courses) == wanted
    assert homes.courses.stat().st_mode & 0o777 == 0o700
    assert look(homes.courses.with_name("nbgrader-old")) == wanted
    assert limit_of(homes, homes.courses / "bio/inbound/ada") == LIMIT // 4
    assert limit_of(homes, homes.courses / "law") == 10 * LIMIT
    assert [each for each in server.came if each.startswith("systemctl")] == [
        "systemctl start srv-nbgrader.mount", "systemctl try-restart hubrun-docker-filter.service",
    ]  # fmt: skip
    assert server.move() == []


@real
def test_a_launch_waits_while_courses_are_moved(
    homes: Homes, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_WAIT_S", 0)
    monkeypatch.setattr(courses, "WAIT_S", 0)
    with homes.held(courses.ALL, ""):
        assert said(homes, tmp_path / "homes.json", '["open", "ada"]') == [
            "error the folders of courses are being moved"
        ]
    with homes.held(courses.ALL, "", shared=True):
        assert said(homes, tmp_path / "homes.json", '["open", "ada"]') == ["none"]
        assert server.move() == ["courses: not moved: the folders of courses are being moved"]
    assert (homes.root / "courses.failed").exists() and server.move() == ["courses: moved"]
    assert not (homes.root / "courses.failed").exists()


@real
def test_a_trap_of_one_student_stays_behind_and_one_of_staff_is_named(homes: Homes, server: Server) -> None:
    before(homes.courses)
    os.truncate(os.open(homes.courses / "bio/inbound/ben/huge", os.O_CREAT | os.O_WRONLY), 8 << 40)
    trap = homes.courses / "bio/course/huge"
    os.truncate(os.open(trap, os.O_CREAT | os.O_WRONLY), 8 << 40)
    (line,) = server.move()
    assert (
        line.startswith(f"courses: not moved: {trap.parent}: its files say") and not (homes.root / "courses").exists()
    )
    trap.unlink()
    line, end = server.move()
    assert (
        line.startswith("courses: ben has what they handed in in bio in the old folder alone")
        and end == "courses: moved"
    )
    assert list((homes.courses / "bio/inbound/ben").iterdir()) == []
    assert (homes.courses / "bio/inbound/ada/sub/a.ipynb").read_text() == "solution"


STEPS = [
    "btrfs subvolume create", "du -sB1", "rsync -aHAXS", "--exclude=/inbound/ada", "filesystem sync", "qgroup limit",
    "systemctl start", "systemctl try-restart",
]  # fmt: skip


@real
@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_is_killed_is_carried_on_and_loses_nothing(homes: Homes, server: Server, step: str) -> None:
    wanted = before(homes.courses)
    server.kill = step
    with pytest.raises(KeyboardInterrupt):
        server.move()
    server.kill = ""
    server.move()
    assert os.path.ismount(homes.courses) and look(homes.courses) == wanted
    assert look(homes.courses.with_name("nbgrader-old")) == wanted
    assert limit_of(homes, homes.courses / "bio/inbound/ada") == LIMIT // 4
    assert not (homes.root / "courses.new").exists()


def test_without_the_unit_nothing_is_moved(tmp_path: Path) -> None:
    homes = Homes(tmp_path / "none", tmp_path / "locks", tmp_path / "nbgrader")
    assert move_courses.move(homes, LIMIT, tmp_path / "no.mount") == []


# -- what goes, and what comes together


@real
def test_what_a_test_student_handed_in_goes_with_its_subvolume(moved: Homes) -> None:
    course = there(moved, "bio", "ada", "ben")
    number = btrfs.number_of(course / "inbound/ada")
    (course / "inbound/ada/sub").mkdir()
    (course / "inbound/ada/sub/a").write_text("x")
    folders.remove(moved.courses, "ada")
    serve.remove(moved, "ada")
    assert sorted(each.name for each in (course / "inbound").iterdir()) == ["ben"]
    assert [each.name for each in (moved.root / "work/.hand-ins/bio").iterdir()] == ["ben"]
    REAL_RUN("subvolume", "sync", moved.root, number)
    btrfs.forget_removed(moved.root)
    assert not (btrfs._qgroups(moved.root) / f"0_{number}").exists()
    assert limit_of(moved, course / "inbound/ben") == LIMIT // 4, "and of others nothing is forgotten"


@real
def test_people_and_courses_are_put_away_and_removed(moved: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "Homes", lambda: moved)
    monkeypatch.setattr(removing, "docker", lambda *_: "")
    course = there(moved, "bio", "ada", "ben")
    for below in ("inbound", "feedback"):
        (course / below / "ada/a").write_text("x")
        removing.throw_away(course / below / "ada", moved.courses)
    there(moved, "law", "ada")
    (moved.courses / "law/inbound/ada/a").write_text("x")
    (moved.courses / "law").rename(moved.courses / ".removing/law")
    removing.empty_trash(moved.courses)
    assert sorted(btrfs.subvolumes(moved.root)) == ["courses", "courses/bio", "courses/bio/inbound/ben"]
    assert sorted(each.name for each in course.iterdir()) == ["course", "feedback", "inbound", "outbound"]
    assert [each.name for each in moved.courses.iterdir()] == ["bio"]


@real
def test_what_two_homes_handed_in_becomes_one_and_comes_apart_again(
    moved: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbound = there(moved, "bio", "ada", "ben") / "inbound"
    (inbound / "ada/ps1").mkdir()
    (inbound / "ada/ps1/a").write_bytes(os.urandom(9 * MB))
    (inbound / "ben/ps2").write_bytes(os.urandom(9 * MB))
    os.sync()
    wanted = look(inbound)
    undo: list[Any] = []
    joining._join_folders(inbound, "ada", "ben", undo)
    for step in reversed(undo):
        step()
    assert look(inbound) == wanted
    (gone,) = joining._join_folders(inbound, "ada", "ben", [])
    joining._removed(gone)
    assert sorted(each.name for each in (inbound / "ben").iterdir()) == ["ps1", "ps2"] and not gone.exists()
    assert (inbound / "ben/ps1/a").stat().st_size == 9 * MB


@real
def test_a_site_that_comes_back_has_its_courses_as_subvolumes_whatever_they_hold(
    moved: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(moved, "bio", "ada")
    monkeypatch.setattr(site, "Homes", lambda: moved)
    monkeypatch.setattr(site, "limit_bytes", lambda: LIMIT)
    monkeypatch.setattr(home_folders, "on_a_disk", lambda *_: True)
    monkeypatch.setattr(home_folders, "folders", lambda: {})
    monkeypatch.setattr(courses, "staying", lambda *_: nullcontext())
    with site._homes([], [("bio", "ada"), ("law", "ben")]):
        for path in ("bio/inbound/ada", "law/inbound/ben"):
            (moved.courses / path / "large").write_bytes(os.urandom(30 * MB))
        os.sync()
    for path in ("bio/inbound/ada", "law/inbound/ben"):
        assert (
            limit_of(moved, moved.courses / path) == LIMIT // 4
            and (moved.courses / path / "large").stat().st_size == 30 * MB
        )
