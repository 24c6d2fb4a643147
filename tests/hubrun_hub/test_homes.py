"""Homes on a disk of their own: on a real btrfs in a file, where this machine can mount one; Docker is played."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import homes_disk
from homes_disk import make_subvolume, mounted, real
from hubrun_hub import student_volume, test_student
from hubrun_hub.backup import site
from hubrun_hub.docker_filter.homes import HomesAway, home, remove_home
from hubrun_hub.homes import btrfs, courses, folders, move, move_courses, serve, snapshots
from hubrun_hub.homes.frozen import frozen
from hubrun_hub.homes.places import HomeError, Homes, driver_options, is_subvolume, limit_bytes
from hubrun_hub.joining import homes as joining
from hubrun_hub.programs import homes as homes_program
from hubrun_hub.removing import people as removing

MB = 2**20
NOON = datetime(2026, 11, 26, 12, 0)


def test_snapshots_of_a_day_and_the_last_of_each_of_two_weeks_are_kept() -> None:
    hours = [NOON - timedelta(hours=number) for number in range(24 * 20)]
    names = {each.strftime("%Y-%m-%d_%H-%M") for each in hours} | {"README"}
    kept = snapshots.kept(names, NOON)
    assert "README" in kept, "what is not ours stays"
    kept -= {"README"}
    assert {each for each in kept if each >= "2026-11-25_13"} == {
        each for each in names if "2026-11-25_13" <= each < "3"
    }
    assert sorted(each for each in kept if each < "2026-11-25_13") == [
        f"2026-11-{day}_23-00" for day in range(12, 25)
    ], "of each day before, its last one"
    assert snapshots.kept(kept, NOON) == kept
    assert snapshots.kept(["2026-10-01_10-00"], NOON) == set()


def test_a_name_is_one_part_of_a_path(tmp_path: Path) -> None:
    homes = Homes(tmp_path)
    for user in ("../ben", "a/b", "a\nb", ".", "ö", "-"):
        person = homes.person(user)
        assert person.parent == tmp_path / "people" and person.name.isascii() and person.name.strip(".")
    for user in ("", "x" * 300):
        with pytest.raises(HomeError, match="cannot be the name of a home"):
            homes.person(user)


def test_without_the_disk_nobody_gets_a_home(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="is not mounted"):
        Homes(tmp_path).check_mounted()


def test_a_mistake_in_the_settings_is_named(tmp_path: Path) -> None:
    (tmp_path / "homes.json").write_text('{"user_disk_gb": 3}')
    assert limit_bytes(tmp_path / "homes.json") == 3 * 2**30
    (tmp_path / "homes.json").write_text("[]")
    with pytest.raises(HomeError, match="is not what it should be"):
        limit_bytes(tmp_path / "homes.json")


# -- on btrfs


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with homes_disk.made(tmp_path_factory.mktemp("homes")) as root:
        yield root


@pytest.fixture
def homes(disk: Path, tmp_path: Path) -> Iterator[Homes]:
    made = Homes(disk, tmp_path / "locks")
    yield made
    for name in made.names():
        serve.remove(made, student_volume.user_of(f"jupyterhub-user-{name}"))


def as_student(place: Path, script: str) -> str:
    """What a shell of the student's says; the folders above are root's alone, so it starts where the home is."""
    command = ["setpriv", "--reuid", "1000", "--regid", "100", "--clear-groups", "sh", "-c", script]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False).stdout.strip()


FILL = "dd if=/dev/zero of=fill bs=1M count=200 2>/dev/null; sync; stat -c %s fill"


@real
def test_who_writes_without_end_reaches_the_limit_and_can_delete(homes: Homes, tmp_path: Path) -> None:
    serve.make(homes, "ada", 50 * MB)
    serve.make(homes, "ben", 50 * MB)
    with mounted(homes, "ada", tmp_path / "ada") as ada, mounted(homes, "ben", tmp_path / "ben") as ben:
        assert 40 * MB < int(as_student(ada, FILL)) <= 50 * MB
        assert as_student(ada, "echo more > more || echo full") == "full"
        assert as_student(ben, "echo text > note; sync; cat note") == "text", "and nobody else notices"
        as_student(ada, "touch more")
    # Their server starts again while the home is full.
    with mounted(homes, "ada", tmp_path / "ada") as ada:
        assert as_student(ada, "echo more > more || echo full") == "full"
        assert (
            as_student(
                ada, "rm fill && echo gone; for _ in 1 2 3 4 5; do echo text > note && break; sleep 1; done; cat note"
            )
            == "gone\ntext"
        )


@real
def test_a_subvolume_of_ones_own_which_would_have_no_limit_cannot_be_made(homes: Homes, tmp_path: Path) -> None:
    serve.make(homes, "ada", 50 * MB)

    with mounted(homes, "ada", tmp_path / "ada") as ada, pytest.raises(OSError, match="Inappropriate ioctl"):
        make_subvolume(ada)
    # Without the overlay it can.
    make_subvolume(homes.person("ada"))
    assert is_subvolume(homes.person("ada") / "nested")
    btrfs.remove(homes.root, homes.person("ada") / "nested")


@real
def test_another_limit_counts_at_once_and_takes_nothing_away(homes: Homes, tmp_path: Path) -> None:
    serve.make(homes, "ada", 50 * MB)
    number = btrfs.number_of(homes.person("ada"))
    with mounted(homes, "ada", tmp_path / "ada") as ada:
        as_student(ada, FILL)
        btrfs.set_limit(homes.person("ada"), 80 * MB)
        assert (
            int(as_student(ada, "dd if=/dev/zero of=more bs=1M count=20 2>/dev/null; sync; stat -c %s more")) == 20 * MB
        )
        btrfs.set_limit(homes.person("ada"), 10 * MB)
        assert btrfs.usage(homes.root, number).limit == 10 * MB
        assert as_student(ada, "echo x > other || echo full; stat -c %s more; rm fill more; echo x > other; cat other").splitlines()[1:] == [str(20 * MB), "x"]  # fmt: skip


@real
def test_snapshots_are_made_of_what_changed_cannot_be_written_to_and_give_back_what_was_deleted(homes: Homes, tmp_path: Path) -> None:  # fmt: skip
    serve.make(homes, "ada", 50 * MB)
    serve.make(homes, "ben", 50 * MB)
    with mounted(homes, "ada", tmp_path / "ada") as ada:
        as_student(ada, "mkdir week1; echo solution > week1/task.ipynb")
        os.sync()
        assert snapshots.take(homes, 50 * MB, NOON) == []
        as_student(ada, "rm -r week1")
        os.sync()
        snapshots.take(homes, 50 * MB, NOON + timedelta(hours=1))
        snapshots.take(homes, 50 * MB, NOON + timedelta(hours=2))
        there = homes.snapshots("ada")
        assert sorted(path.name for path in there.iterdir()) == ["2026-11-26_12-00", "2026-11-26_13-00", "README.txt"]
        assert len(list(homes.snapshots("ben").glob("2026*"))) == 1
        saved = there / "2026-11-26_12-00"
        assert (
            as_student(saved, "cat week1/task.ipynb; echo x > week1/task.ipynb || echo no; rm -r week1 || echo no")
            == "solution\nno\nno"
        )
        shutil.copytree(saved / "week1", ada / "week1-before")
        assert (ada / "week1-before/task.ipynb").read_text() == "solution\n"
    assert "0.0 GB of 0.0 GB are used (on 2026-11-26 at" in (there / "README.txt").read_text()
    snapshots.take(homes, 50 * MB, NOON + timedelta(days=30))
    assert [path.name for path in there.iterdir() if path.name < "2026-12"] == [], "and those are gone"


@real
def test_a_backup_reads_homes_of_one_moment_and_nothing_of_that_is_left_after_a_kill_either(
    homes: Homes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for user in ("ada", "ben"):
        serve.make(homes, user, 50 * MB)
    (homes.person("ada") / "note").write_text("before")
    plain = tmp_path / "cleo"
    folders = {"ada": homes.person("ada"), "ben": homes.person("ben"), "cleo": plain}
    killed = homes.root / "moving/.backup/ada"
    killed.parent.mkdir()
    btrfs.run("subvolume", "snapshot", "-r", homes.person("ben"), killed)
    homes.person("ben").rename(homes.root / "gone")
    with frozen(homes, folders) as found:
        (homes.person("ada") / "note").write_text("after")
        assert (found["ada"] / "note").read_text() == "before"
        with pytest.raises(OSError, match="Read-only"):
            (found["ada"] / "note").write_text("changed")
        assert found["cleo"] == plain and found["ben"] == homes.person("ben"), "one that has none is read as it is"
    assert "ben: no snapshot" in capsys.readouterr().err
    (homes.root / "gone").rename(homes.person("ben"))
    assert list(killed.parent.iterdir()) == []


@real
def test_snapshots_of_one_person_hold_no_more_than_the_home_may(homes: Homes, tmp_path: Path) -> None:
    serve.make(homes, "ada", 50 * MB)
    with mounted(homes, "ada", tmp_path / "ada") as ada:
        for hour in range(5):
            as_student(ada, "rm -f fill; dd if=/dev/urandom of=fill bs=1M count=30 2>/dev/null")
            os.sync()
            snapshots.take(homes, 50 * MB, NOON + timedelta(hours=hour))
    names = sorted(path.name for path in homes.snapshots("ada").glob("2026*"))
    assert names == ["2026-11-26_15-00", "2026-11-26_16-00"], "the oldest went"


@real
def test_when_the_disk_is_nearly_full_the_oldest_snapshots_go_and_no_home(homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    serve.make(homes, "ada", 50 * MB)
    serve.make(homes, "ben", 50 * MB)
    snapshots.take(homes, 50 * MB, NOON)
    monkeypatch.setattr(snapshots, "_FREE", 1.1)
    said = snapshots.take(homes, 50 * MB, NOON + timedelta(hours=1))
    assert said == ["the disk is nearly full: 2 snapshots are removed, the oldest of all"]
    assert homes.names() == ["ada", "ben"]


# -- the socket


@contextmanager
def listening(homes: Homes, folder: Path) -> Iterator[str]:
    """The socket as systemd serves it: a thread for each connection."""
    settings = folder / "homes.json"
    settings.write_text('{"user_disk_gb": 1}')
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "homes.sock"))
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve.serve, args=(connection, homes, settings), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield str(folder / "homes.sock")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


class Docker:
    """Remembers volumes: name → options; answers as Docker's daemon does."""

    def __init__(self, **volumes: dict[str, str]) -> None:
        self.volumes = {f"jupyterhub-user-{name}": options for name, options in volumes.items()}

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        name = path.rpartition("/")[2]
        status = 200
        if method == "POST":
            asked = json.loads(body)
            name, status = asked["Name"], 201
            self.volumes.setdefault(name, asked["DriverOpts"])
        if name not in self.volumes:
            return b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "no such volume"}'
        found = {"Name": name, "Options": self.volumes[name] or None}
        return f"HTTP/1.0 {status} OK\r\n\r\n".encode() + json.dumps(found).encode()


async def asked(path: str, user: str, homes: Homes, docker: Docker) -> list[str]:
    async with home(path, user, str(homes.root), docker.ask) as found:
        return found.binds


@real
def test_a_new_person_gets_a_home_with_its_limit_and_the_folder_of_snapshots(homes: Homes, tmp_path: Path) -> None:
    docker = Docker()
    with listening(homes, tmp_path) as path:
        binds = asyncio.run(asked(path, "ada", homes, docker))
        assert binds == [f"{homes.root}/snapshots/ada:/home/jovyan/snapshots:ro"]
        assert docker.volumes == {"jupyterhub-user-ada": driver_options(homes.person("ada"))}
        assert btrfs.usage(homes.root, btrfs.number_of(homes.person("ada"))).limit == 2**30
        files = homes.person("ada")
        assert (files.stat().st_uid, files.stat().st_gid) == (1000, 100)
        (files / "note").write_text("kept")
        docker.volumes.clear()  # docker volume prune
        assert asyncio.run(asked(path, "ada", homes, docker)) == binds and (files / "note").read_text() == "kept"


@real
@pytest.mark.parametrize("kind", ["file", "link", "full folder"])
def test_a_persons_own_snapshots_stay_theirs(homes: Homes, tmp_path: Path, kind: str) -> None:
    serve.make(homes, "ada", 50 * MB)
    place = homes.person("ada") / "snapshots"
    if kind == "file":
        place.touch()
    elif kind == "link":
        place.symlink_to("/etc")
    else:
        place.mkdir()
        (place / "mine").touch()
    with listening(homes, tmp_path) as path:
        assert asyncio.run(asked(path, "ada", homes, Docker())) == []


@real
def test_files_in_a_volume_of_dockers_own_stay_there_until_they_are_moved(homes: Homes, tmp_path: Path) -> None:
    with listening(homes, tmp_path) as path:
        docker = Docker(ada={})
        assert asyncio.run(asked(path, "ada", homes, docker)) == [] and homes.names() == []
        serve.make(homes, "ada", 50 * MB)  # as a move that was killed leaves it
        with pytest.raises(HomesAway, match="the files of ada are being moved"):
            asyncio.run(asked(path, "ada", homes, docker))


@real
def test_no_empty_home_is_made_for_somebody_whose_files_are_elsewhere(homes: Homes, tmp_path: Path) -> None:
    """Another disk is mounted, or Docker does not say what it has."""

    async def broken(method: str, path: str, body: bytes = b"") -> bytes:
        return b'HTTP/1.0 500 Error\r\n\r\n{"message": "the daemon is ill"}'

    async def ill(path: str) -> None:
        async with home(path, "ada", str(homes.root), broken):
            pass

    with listening(homes, tmp_path) as path:
        with pytest.raises(HomesAway, match="the files of ada are not on the disk"):
            asyncio.run(asked(path, "ada", homes, Docker(ada=driver_options(homes.person("ada")))))
        with pytest.raises(HomesAway, match="the daemon is ill"):
            asyncio.run(ill(path))
    assert homes.names() == []


@real
def test_nobody_moves_a_home_for_which_a_container_is_made(homes: Homes, tmp_path: Path) -> None:
    async def go(path: str) -> None:
        async with home(path, "ada", str(homes.root), Docker().ask):
            with pytest.raises(HomeError, match="are being moved"), homes.alone("ada"):
                pass
        for _ in range(50):  # the other side sees the end a moment later
            try:
                with homes.alone("ada"):
                    return
            except HomeError:
                await asyncio.sleep(0.1)
        raise AssertionError("the home is held for ever")

    with listening(homes, tmp_path) as path:
        asyncio.run(go(path))


@real
def test_only_a_test_students_home_is_removed_by_the_socket(homes: Homes, tmp_path: Path) -> None:
    one = test_student.name("535fa0")
    for user in (one, "ada"):
        serve.make(homes, user, 50 * MB)
    snapshots.take(homes, 50 * MB, NOON)
    with listening(homes, tmp_path) as path:
        asyncio.run(remove_home(path, one))
        assert homes.names() == ["ada"] and [each.name for each in (homes.root / "snapshots").iterdir()] == ["ada"]
        with pytest.raises(HomesAway, match="is not understood"):
            asyncio.run(remove_home(path, "ada"))
    assert homes.names() == ["ada"]


def test_without_the_socket_the_hub_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(HomesAway, match="does not answer"):
        asyncio.run(asked(str(tmp_path / "none"), "ada", Homes(tmp_path), Docker()))


# -- files from before


class Volumes:
    """Docker's volumes in a folder; `docker` as `move` asks it. kill: the call before which the run is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.options: dict[str, int] = {}
        self.used: set[str] = set()
        self.kill: str = ""

    def data(self, name: str) -> Path:
        return self.folder / name / "_data"

    def add(self, user: str) -> Path:
        self.create(student_volume.volume(user), 0)
        return self.data(student_volume.volume(user))

    def create(self, name: str, options: int) -> None:
        if name not in self.options:
            self.data(name).mkdir(parents=True)
            self.options[name] = options

    def run(self, *words: Any, program: str = "btrfs", seconds: float = 600) -> str:
        if self.kill and self.kill in " ".join(map(str, (program, *words))):
            raise KeyboardInterrupt
        if program != "docker":
            return REAL_RUN(*words, program=program, seconds=seconds)
        match words:
            case ("volume", "inspect", _, "{{.Mountpoint}}", name):
                return f"{self.data(name)}\n"
            case ("volume", "create", *options, name):
                self.create(name, len(options) // 2)
            case ("volume", "rm", name):
                shutil.rmtree(self.folder / name)
                del self.options[name]
            case ("ps", *_, found):
                return "abc\n" if found.partition("=")[2] in self.used else ""
            case _:
                raise AssertionError(words)
        return ""

    def told(self, *words: str) -> str:
        """What `docker volume` says to `folders`."""
        if words[0] == "ls":
            return "\n".join(self.options)
        options = {name: {str(number): "" for number in range(self.options[name])} or None for name in words[1:]}
        return json.dumps(
            [{"Name": name, "Options": options[name], "Mountpoint": str(self.data(name))} for name in options]
        )


REAL_RUN = btrfs.run


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volumes:
    made = Volumes(tmp_path / "volumes")
    monkeypatch.setattr(btrfs, "run", made.run)
    monkeypatch.setattr(folders, "_docker", made.told)
    return made


def hostile_home(data: Path) -> None:
    (data / "week1").mkdir()
    (data / "week1/task.ipynb").write_text("solution")
    (data / "a name\nwith a line").write_text("x")
    (data / "link").symlink_to("/etc/shadow")
    (data / "away").symlink_to("../../../../../..")
    os.link(data / "week1/task.ipynb", data / "hard")
    os.mkfifo(data / "fifo")
    with (data / "sparse").open("wb") as file:
        file.truncate(64 * MB)
    os.setxattr(data / "week1", "user.note", b"x")
    os.chmod(data / "week1", 0o2775)
    for path in [*data.rglob("*"), data]:
        os.chown(path, 1000, 100, follow_symlinks=False)
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)


def look(folder: Path) -> dict[str, Any]:
    """All of a tree: kinds, modes, owners, times, what is in files, and where links lead."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        state = path.lstat()
        text = os.readlink(path) if path.is_symlink() else path.read_bytes()[:100] if path.is_file() else b""
        found[str(path.relative_to(folder))] = (state.st_mode, state.st_uid, state.st_gid, state.st_mtime_ns, state.st_size if path.is_file() else 0, text)  # fmt: skip
    return found


@real
def test_files_are_where_the_next_server_has_them_and_an_empty_mount_point_is_nobodys(
    homes: Homes, volumes: Volumes, tmp_path: Path
) -> None:
    settings = tmp_path / "homes.json"
    plain = volumes.add("ada")
    assert folders.folders(homes, settings) == {"ada": plain}
    settings.touch()
    for user in ("ben", "eve", "zoe"):
        serve.make(homes, user, 50 * MB)
    folders.make_volume(homes, "ben")  # its folder is empty while ben has no server
    volumes.add("zoe")  # who is being moved
    assert folders.folders(homes, settings) == {"ada": plain} | {
        user: homes.person(user) for user in ("ben", "eve", "zoe")
    }
    with pytest.raises(HomeError, match="is not mounted"):
        folders.folders(Homes(tmp_path / "away"), settings)


@real
def test_a_site_that_comes_back_gets_its_homes_on_the_disk_whatever_they_hold_and_then_their_limit(
    homes: Homes, volumes: Volumes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve.make(homes, "ben", 10 * MB)
    monkeypatch.setattr(site, "Homes", lambda: homes)
    monkeypatch.setattr(site, "limit_bytes", lambda: 10 * MB)
    monkeypatch.setattr(folders, "on_a_disk", lambda *_: True)
    monkeypatch.setattr(folders, "folders", lambda: {"ben": homes.person("ben")})
    with site._homes(["ada", "ben"]):
        with pytest.raises(HomeError, match="are being moved"), homes.alone("ada"):
            pass
        for user in ("ada", "ben"):
            (homes.person(user) / "large").write_bytes(os.urandom(30 * MB))
            os.chown(homes.person(user) / "large", 1000, 100)
        os.sync()
    for user in ("ada", "ben"):
        assert btrfs.usage(homes.root, btrfs.number_of(homes.person(user))).limit == 10 * MB
        with mounted(homes, user, tmp_path / user) as place:
            assert as_student(place, "stat -c %s large; echo x > more || echo full").splitlines() == [
                f"{30 * MB}",
                "full",
            ]
    assert (homes.root / "limit").read_text() == f"{10 * MB}\n"


@real
def test_everything_of_a_home_comes_along_and_the_volume_of_before_is_kept(homes: Homes, volumes: Volumes) -> None:
    data = volumes.add("ada")
    hostile_home(data)
    before = look(data)
    assert list(move.move(homes, 50 * MB)) == ["ada: moved"]
    files = homes.person("ada")
    assert look(files) == before
    assert (files / "hard").stat().st_ino == (files / "week1/task.ipynb").stat().st_ino
    assert os.getxattr(files / "week1", "user.note") == b"x" and (files / "sparse").stat().st_blocks < 100
    assert volumes.options == {"jupyterhub-old-ada": 0, "jupyterhub-user-ada": 3}
    assert look(volumes.data("jupyterhub-old-ada")) == before
    assert list(move.move(homes, 50 * MB)) == [], "and again there is nothing to do"


@real
def test_whoever_works_is_moved_when_they_have_stopped(homes: Homes, volumes: Volumes) -> None:
    (volumes.add("ada") / "note").write_text("x")
    volumes.used = {"jupyterhub-user-ada"}
    assert list(move.move(homes, 50 * MB)) == ["ada: their server runs; they are moved when it has stopped"]
    assert homes.names() == []
    volumes.used = set()
    assert list(move.move(homes, 50 * MB)) == ["ada: moved"]


@real
def test_one_who_cannot_be_moved_holds_up_nobody(
    homes: Homes, volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = volumes.add("ada")
    (deep / "note").write_text("x")
    (volumes.add("ben") / "note").write_text("x")
    try:
        here = os.open(deep, os.O_RDONLY)
        for _ in range(1200):  # a path that is longer than the kernel takes at once
            os.mkdir("deep", dir_fd=here)
            below = os.open("deep", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        said = list(move.move(homes, 50 * MB))
    finally:  # pytest itself fails on it
        subprocess.run(["rm", "-rf", deep / "deep"], check=True)
    assert said[1:] == ["ben: moved"] and said[0].startswith("ada: not moved: rsync")
    assert (deep / "note").read_text() == "x" and volumes.options["jupyterhub-user-ada"] == 0
    assert (homes.root / "moving/ada.failed").exists() and not (homes.root / "moving/ben.failed").exists()
    assert list(move.move(homes, 50 * MB)) == ["ada: moved"]
    assert not (homes.root / "moving/ada.failed").exists()


@real
def test_a_home_of_nothing_but_holes_is_not_read_and_no_room_to_say_so_holds_up_nobody(
    homes: Homes, volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move, "_COPY_S", 5)
    os.truncate(os.open(volumes.add("ada") / "huge", os.O_CREAT | os.O_WRONLY), 8 << 40)
    (volumes.add("ben") / "note").write_text("x")
    (homes.root / "moving/ada.failed").mkdir()  # as little can be written there as on a full disk
    said = list(move.move(homes, 50 * MB))
    (homes.root / "moving/ada.failed").rmdir()
    assert said == ["ada: not moved: its files say that they have 8192 GB, and have 0", "ben: moved"]


def test_each_hour_snapshots_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[str] = []
    monkeypatch.setattr(homes_program.Homes, "check_mounted", lambda homes: None)
    monkeypatch.setattr(homes_program, "limit_bytes", lambda: 1)
    monkeypatch.setattr(snapshots, "take", lambda *_: came.append("taken") or [])
    monkeypatch.setattr(courses, "set_limits", lambda *_: came.append("limited") or [])
    monkeypatch.setattr(btrfs, "forget_removed", lambda *_: None)
    monkeypatch.setattr(move, "move", lambda *_: came.append("moved") or [])
    monkeypatch.setattr(move_courses, "move", lambda *_: came.append("courses moved") or [])
    assert homes_program.main("hourly") == 0
    assert came == ["taken", "limited", "moved", "courses moved"]


@real
def test_who_has_more_than_the_limit_loses_nothing(homes: Homes, volumes: Volumes, tmp_path: Path) -> None:
    data = volumes.add("ada")
    (data / "large").write_bytes(os.urandom(30 * MB))
    os.chown(data, 1000, 100)
    os.chown(data / "large", 1000, 100)
    assert list(move.move(homes, 10 * MB)) == ["ada: moved"]
    assert (homes.person("ada") / "large").stat().st_size == 30 * MB
    with mounted(homes, "ada", tmp_path / "ada") as ada:
        assert as_student(ada, "echo x > more || echo full; rm large; echo x > more; cat more").splitlines()[-1] == "x"


STEPS = [
    "btrfs subvolume create", "rsync -aHAXS", "rsync -aHAXS --numeric-ids --one-file-system --no-devices -nci", "filesystem sync",
    "qgroup limit", "docker volume create jupyterhub-old", "docker volume inspect --format {{.Mountpoint}}", "docker volume rm", "docker volume create --opt",
]  # fmt: skip


@real
@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_is_killed_is_carried_on_and_loses_nothing(homes: Homes, volumes: Volumes, step: str) -> None:
    data = volumes.add("ada")
    hostile_home(data)
    before = look(data)
    volumes.kill = step
    with pytest.raises(KeyboardInterrupt):
        list(move.move(homes, 50 * MB))
    volumes.kill = ""
    found = list(move.move(homes, 50 * MB))
    if step != "docker volume create --opt":  # the filter makes that volume when the person comes
        assert found == ["ada: moved"] and volumes.options["jupyterhub-user-ada"] == 3
    assert look(homes.person("ada")) == before and look(volumes.data("jupyterhub-old-ada")) == before


@real
def test_a_home_that_differs_from_the_volume_replaces_nothing(homes: Homes, volumes: Volumes) -> None:
    (volumes.add("ada") / "note").write_text("newer")
    serve.make(homes, "ada", 50 * MB)
    (homes.person("ada") / "note").write_text("older")
    (said,) = move.move(homes, 50 * MB)
    assert "differ" in said and (volumes.data("jupyterhub-user-ada") / "note").read_text() == "newer"


@real
def test_two_homes_become_one_and_come_apart_again_when_something_fails(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_HOMES", homes)
    monkeypatch.setattr(joining, "_volume_of", lambda user: True)
    monkeypatch.setattr(joining, "limit_bytes", lambda: 50 * MB)
    for user in ("ada", "ben"):
        serve.make(homes, user, 50 * MB)
        (homes.person(user) / "large").write_bytes(os.urandom(30 * MB))
    hostile_home(homes.person("ada"))
    before = look(homes.person("ada"))
    (homes.person("ben") / ".from-ada.copy").mkdir()  # of a run that was killed
    undo: list[Any] = []
    joining._join_volumes("ada", "ben", undo)
    joined = homes.person("ben") / "from-ada"
    assert look(joined) == before and (homes.person("ben") / "large").stat().st_size == 30 * MB
    assert homes.names() == ["ben"] and not (homes.person("ben") / ".from-ada.copy").exists()
    assert btrfs.usage(homes.root, btrfs.number_of(homes.person("ben"))).limit == 50 * MB
    for step in reversed(undo):
        step()
    assert homes.names() == ["ada", "ben"] and look(homes.person("ada")) == before and not joined.exists()


@real
def test_a_home_that_is_removed_is_out_of_the_way_at_once_and_goes_with_its_snapshots(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("ada", "ben"):
        serve.make(homes, user, 50 * MB)
        (homes.person(user) / "work").write_text(user)
    snapshots.take(homes, 50 * MB, datetime.now())
    monkeypatch.setattr(removing, "Homes", lambda: homes)
    monkeypatch.setattr(removing, "volumes", lambda users: [])
    monkeypatch.setattr(removing, "docker", lambda *words: "")
    removing._put_homes_away(["ada"])
    assert homes.names() == ["ben"]
    serve.make(homes, "ada", 50 * MB)  # whoever comes with the name meanwhile
    removing.empty_trash(None)
    assert list((homes.person("ada")).iterdir()) == [] and (homes.person("ben") / "work").read_text() == "ben"
    assert list((homes.root / "moving").iterdir()) == []
    assert len(list(homes.snapshots("ben").iterdir())) == 2  # one, and README.txt
