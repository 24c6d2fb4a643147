"""Who sits in which exam when; what a container in one gets; and what is taken at its end from hostile students."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubrun.errors import BadInput
from hubrun.params import build
from hubrun.sections.hub import config
from hubrun_hub.courses import exam_address as address
from hubrun_hub.courses import exam_changes
from hubrun_hub.courses import exam_schedule as schedule
from hubrun_hub.courses import spawner as course_spawner
from hubrun_hub.courses.exam_schedule import LABEL, sits_in
from hubrun_hub.courses.spawner import CourseMounts
from hubrun_hub.docker_filter import serve
from hubrun_hub.docker_filter.create import _exam, in_exam
from hubrun_hub.docker_filter.settings import Refused, Settings
from hubrun_hub.exams import collect, servers
from hubrun_hub.exams.servers import Server, misplaced
from hubrun_hub.not_started import NotStarted
from hubrun_hub.programs import exam
from hubrun_student.nbgrader.submissions import Submission, graded

BIO = {
    "from": "2026-12-01 09:00 Europe/Zurich",
    "until": "2026-12-01 11:00 Europe/Zurich",
    "hosts": ["canvas.example.edu"],
    "assignment": "midterm",
    "extra_minutes": {"ben": 30},
}
CHEM = {"from": "2026-12-01 10:00 Europe/Zurich", "until": "2026-12-01 10:30 Europe/Zurich"}
COURSES = [{"course": "BIO", "shared": True, "groups": {"red": ["ada"]}, "exam": BIO}, {"course": "CHEM", "exam": CHEM}]
SITE = json.loads(config.filter_settings(build({"site": "x", "domain": "hub.example.edu", "courses": COURSES}, "here")))
BIO_KEY, CHEM_KEY = (exam.key for exam in schedule.exams(SITE))


def at(time: str) -> datetime:
    """A time of the day of the exam in Zurich, which is an hour before UTC then."""
    return datetime.fromisoformat(f"2026-12-01T{time}+01:00").astimezone(UTC)


def groups(*names: str) -> list[schedule.Group]:
    return [
        (f"course-{name}", {"label": name.removesuffix("-instructors").upper(), "folder": f"{name} 101"})
        for name in names
    ]


SITS = {
    "a second before": (["bio"], "08:59:59", None),
    "the first second": (["bio"], "09:00:00", ("bio", BIO_KEY)),
    "the last second": (["bio"], "10:59:59", ("bio", BIO_KEY)),
    "the end": (["bio"], "11:00:00", None),
    "another course": (["math"], "10:00:00", None),
    "its staff": (["bio", "bio-instructors"], "10:00:00", None),
    "staff of another course": (["bio", "chem", "chem-instructors"], "10:15:00", ("bio", BIO_KEY)),
    "two at a time: the one that ends first": (["bio", "chem"], "10:15:00", ("chem", CHEM_KEY)),
    "and then the other": (["bio", "chem"], "10:30:00", ("bio", BIO_KEY)),
    "in no course": ([], "10:00:00", None),
    "with more time, after the end": (["bio"], "11:29:59", ("bio", BIO_KEY), "ben"),
    "with more time, after their own": (["bio"], "11:30:00", None, "ben"),
    "with more time, before the beginning": (["bio"], "08:59:59", None, "ben"),
    "with more time in a course that they are not in": (["math"], "11:15:00", None, "ben"),
    "with more time in a course that they teach": (["bio", "bio-instructors"], "11:15:00", None, "ben"),
}  # fmt: skip


@pytest.mark.parametrize("case", SITS.values(), ids=SITS.keys())
def test_who_sits_in_which_exam(case: Any) -> None:
    names, time, expected, user = (*case, "ada")[:4]
    sits = sits_in(SITE, groups(*names), user, at(time))
    assert (sits and (sits[1], sits[0].key)) == expected


def test_a_longer_exam_is_the_same_one_and_one_that_begins_at_another_time_is_another() -> None:
    def key(**changes: str) -> str:
        site = build(
            {"site": "x", "domain": "hub.example.edu", "courses": [{"course": "BIO", "exam": BIO | changes}]}, "here"
        )
        return schedule.exams(json.loads(config.filter_settings(site)))[0].key

    assert (
        key(until="2026-12-01 11:30 Europe/Zurich", extra_minutes={})
        == BIO_KEY
        != key(**{"from": "2026-12-01 08:30 Europe/Zurich"})
    )


def test_an_exam_of_several_days_says_on_which_it_ends() -> None:
    (exam, _) = schedule.exams(SITE)
    assert exam.until == "11:00"
    assert replace(exam, ends=exam.ends + timedelta(days=1)).until == "2026-12-02 11:00"


# -- servers that run


def server(user: str, exam: str = "") -> Server:
    return Server(f"id-{user}", exam, "172.29.0.9", user)


def test_servers_are_ended_that_are_not_where_their_people_sit() -> None:
    people = {
        "ada": groups("bio"),
        "ben": groups("bio"),
        "tea": groups("bio", "bio-instructors"),
        "kim": groups("math"),
    }
    running = [
        server("ada"),
        server("ben", BIO_KEY),
        server("tea"),
        server("kim"),
        server("gone", BIO_KEY),
        server("new"),
    ]

    def ended(time: str) -> list[str]:
        return [each.user for each in misplaced(running, people, SITE, at(time))]

    assert ended("08:59:00") == ["ben", "gone"]
    assert ended("10:00:00") == ["ada", "gone"]
    assert ended("11:00:00") == ["gone"], "ben has more time"
    assert ended("11:30:00") == ["ben", "gone"]


# What staff changed at their page: what each of three people has of the exam then.
CHANGED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "nothing": ({}, "11:00", "11:30", "11:00"),
    "more for everybody": ({"until": "2026-12-01T11:10:00+01:00"}, "11:10", "11:40", "11:10"),
    "more for somebody": ({"extra_minutes": {"cleo": 15}}, "11:00", "11:30", "11:15"),
    "less for somebody": ({"extra_minutes": {"ben": 5}}, "11:00", "11:05", "11:00"),
    "none for somebody": ({"extra_minutes": {"ben": 0}}, "11:00", "11:00", "11:00"),
    "ended for everybody": ({"stopped": "2026-12-01T10:30:00+01:00"}, "10:30", "10:30", "10:30"),
    "ended when others had": ({"stopped": "2026-12-01T11:20:00+01:00"}, "11:00", "11:20", "11:00"),
    "ended, and more before": (
        {"until": "2026-12-01T11:10:00+01:00", "stopped": "2026-12-01T11:05:00+01:00", "extra_minutes": {"cleo": 60}},
        "11:05", "11:05", "11:05",
    ),
    "what is nothing": ({"extra_minutes": {"ben": -5, "cleo": "9", "ada": True}, "stopped": 1, "until": []}, "11:00", "11:30", "11:00"),
    "too much": ({"extra_minutes": {"ada": 1441}}, "11:00", "11:30", "11:00"),
    "no list of people": ({"extra_minutes": ["ada"]}, "11:00", "11:30", "11:00"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "ada", "ben", "cleo"), CHANGED.values(), ids=CHANGED.keys())
def test_each_person_has_their_own_end(change: dict[str, Any], ada: str, ben: str, cleo: str) -> None:
    site = schedule.with_changes(SITE, {BIO_KEY: {"bio": change}})
    found = {user: schedule.sat(site, groups("bio"), user)[0][0].until for user in ("ada", "ben", "cleo")}
    assert found == {"ada": ada, "ben": ben, "cleo": cleo}
    (exam,) = (each for each, course in schedule.sat(site, groups("bio"), "ada") if course == "bio")
    last = max(found.values())
    whole = schedule.exam_of(site, {"label": "BIO"}, "bio")
    assert whole and f"{whole.over:%H:%M}" == last and exam.over == exam.ends
    assert whole.is_near(whole.over) and not whole.is_near(whole.over + timedelta(seconds=60))


def test_staff_of_another_course_of_the_same_label_change_nothing() -> None:
    """Whoever teaches anything can call it BIO."""
    changes = {"stopped": "2026-12-01T09:10:00+01:00", "extra_minutes": {"ada": 600}}
    site = schedule.with_changes(SITE, {BIO_KEY: {"sandbox": changes, "junk": 1}})
    assert [each.until for each, _ in schedule.sat(site, groups("bio"), "ada")] == ["11:00"]
    longer = schedule.with_changes(SITE, {BIO_KEY: {"bio": {"extra_minutes": {"ada": 600}}}})
    near = {each.key for each in schedule.exams(longer) if each.is_near(at("20:00:00"))}
    assert near == {BIO_KEY}, "its hosts are found as long as somebody sits in it"
    assert not [each for each in schedule.exams(SITE) if each.is_near(at("20:00:00"))]


def test_what_is_forgotten_names_nobody(tmp_path: Path) -> None:
    file = tmp_path / "exams.json"
    exam_changes.forget(file, ["ada"])
    assert not file.exists()
    kept = {"until": "2026-12-01T11:10:00+01:00"}
    exam_changes.write(
        {"k": {"bio": {**kept, "extra_minutes": {"ada": 5, "ben": 6}}, "gone": {"extra_minutes": {"ada": 5}}}}, file
    )
    assert file.stat().st_mode & 0o777 == 0o600
    exam_changes.forget(file, ["ada"], ["gone"])
    assert exam_changes.read(file) == {"k": {"bio": {**kept, "extra_minutes": {"ben": 6}}}}


def test_dockers_lines_are_read() -> None:
    assert servers.parsed("abc <no value>|172.29.0.2|o.brien") == Server("abc", "", "172.29.0.2", "o.brien")
    assert servers.parsed(f"abc {BIO_KEY}|172.29.192.1|ada") == Server("abc", BIO_KEY, "172.29.192.1", "ada")
    assert servers.parsed("abc |172.29.192.1|ada").exam == ""


@pytest.mark.parametrize(
    "trouble", ["no line of ours", "x\n|", subprocess.TimeoutExpired("docker", 20), OSError("gone")]
)
def test_an_exam_begins_whatever_a_node_says(monkeypatch: pytest.MonkeyPatch, trouble: str | Exception) -> None:
    stopped: list[tuple[str, ...]] = []

    def docker(*words: str, node: str, check: bool = True) -> str:
        if words[0] == "stop":
            stopped.append((node, *words[3:]))
        if node == "bad" and isinstance(trouble, Exception):
            raise trouble
        if words[0] == "inspect":
            return trouble if node == "bad" and isinstance(trouble, str) else f"c-{node} |172.29.0.2|ada\n"
        return f"c-{node}\n"

    monkeypatch.setattr(servers, "_docker", docker)
    monkeypatch.setattr(servers, "nodes", lambda: ["bad", "good"])
    found = servers.running()
    assert [(each.node, each.container) for each in found] == [("manager", "c-manager"), ("good", "c-good")]
    lost = Server("c-bad", "", "172.28.4.2", "ben", "bad")
    with suppress(subprocess.TimeoutExpired, OSError):
        servers.stop([lost, *found])
    assert sorted(stopped) == [("bad", "c-bad"), ("good", "c-good"), ("manager", "c-manager")]


def test_no_node_says_what_this_servers_rules_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rules: list[Any] = []
    there = [
        Server("a", BIO_KEY, "172.29.192.1", "ada"),
        Server("b", BIO_KEY, "172.29.192.2 . 192.0.2.1 } ; flush ruleset #", "ben", "node-1"),
    ]
    (tmp_path / "hosts.json").write_text("{}")
    monkeypatch.setattr(address, "HOSTS", tmp_path / "hosts.json")
    monkeypatch.setattr(sys, "argv", ["exam"])
    monkeypatch.setattr(exam.settings, "read", lambda file: {**SITE, "course_settings": []})
    monkeypatch.setattr(exam_changes, "read", dict)
    for name, answer in {"people": {}, "running": there, "misplaced": [], "stop": None}.items():
        monkeypatch.setattr(servers, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(exam, "_load", lambda *what: rules.append(what) or True)
    assert exam.main() == 0
    assert rules == [({"172.29.192.1": BIO_KEY}, {}, [])]


def test_addresses_of_a_host_that_lead_to_the_server_itself_are_left_out() -> None:
    assert address.usable(["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "10.1.1.1", "203.0.113.9"]) == [
        "10.1.1.1",
        "203.0.113.9",
    ]
    assert address.joined({"a": ["203.0.113.1"], "gone": ["203.0.113.9"]}, {"a": ["203.0.113.2"]}) == {
        "a": ["203.0.113.1", "203.0.113.2"]
    }


# -- the spawner


class Docker:
    volume_binds: dict[str, Any] = {}
    extra_create_kwargs: Any = {"labels": {"own": "1"}}
    log = SimpleNamespace(**dict.fromkeys(("info", "warning", "error"), lambda *_: None))

    person = "ada"

    def __init__(self, *names: str) -> None:
        self.user = SimpleNamespace(
            name=self.person, groups=[SimpleNamespace(name=name, properties=says) for name, says in groups(*names)]
        )

    def get_env(self) -> dict[str, str]:
        return {"http_proxy": "http://proxy:3128", "HTTPS_PROXY": "http://proxy:3128", "no_proxy": "x"}

    def _event(self) -> dict[str, Any]:
        return {"message": "It is your turn."}

    async def start(self) -> Any:
        return await self.create_object()

    async def create_object(self) -> Any:
        kwargs = self.extra_create_kwargs
        return (await kwargs(self) if callable(kwargs) else kwargs), self.volume_binds, self.get_env(), self._event()


class Spawner(CourseMounts, Docker):
    site = SITE
    readable_folders = True


def started(monkeypatch: pytest.MonkeyPatch, time: str, *names: str) -> Any:
    class Clock:
        @staticmethod
        def now(zone: Any) -> datetime:
            return at(time).astimezone(zone)

    monkeypatch.setattr(course_spawner, "datetime", Clock)
    spawner: Any = Spawner(*names)
    return asyncio.run(spawner.start())


@pytest.mark.parametrize(
    ("time", "node"), [("08:59:59", "node-2"), ("09:00:00", "manager"), ("10:59:59", "manager"), ("11:00:00", "node-2")]
)  # fmt: skip
def test_a_server_in_an_exam_runs_on_the_manager_alone(monkeypatch: pytest.MonkeyPatch, time: str, node: str) -> None:
    class Clock:
        @staticmethod
        def now(zone: Any) -> datetime:
            return at(time).astimezone(zone)

    monkeypatch.setattr(course_spawner, "datetime", Clock)
    monkeypatch.setattr(Docker, "only_node", "node-2", raising=False)
    assert Spawner("bio").only_node == node


def test_a_server_in_an_exam_says_so_and_sees_its_course_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs, binds, environment, event = started(monkeypatch, "10:00:00", "bio", "math")
    assert kwargs["labels"] == {"own": "1", LABEL: BIO_KEY}
    assert "/srv/nbgrader/bio/shared" in binds and all(source.startswith("/srv/nbgrader/bio/") for source in binds)
    assert "/srv/nbgrader/bio/groups/red" not in binds, "where others of the group write to"
    assert "until 11:00" in environment["HUBRUN_NOTICE"] and "canvas.example.edu" in event["message"]
    assert not {"http_proxy", "HTTPS_PROXY"} & environment.keys(), "the proxy would lead to everywhere"
    kwargs, binds, environment, event = started(monkeypatch, "08:00:00", "bio", "math")
    assert (
        kwargs == {"labels": {"own": "1"}}
        and any("/math/" in source for source in binds)
        and "/srv/nbgrader/bio/groups/red" in binds
    )
    assert "HUBRUN_NOTICE" not in environment and event == {"message": "It is your turn."}


def test_nobodys_server_starts_while_an_exams_work_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotStarted, match="503"):
        started(monkeypatch, "11:00:10", "bio")
    started(monkeypatch, "11:00:10", "bio", "bio-instructors")
    started(monkeypatch, "11:01:00", "bio")


def test_who_has_more_time_is_told_their_own_end_and_waits_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Docker, "person", "ben")
    kwargs, binds, environment, _ = started(monkeypatch, "11:00:10", "bio", "math")
    assert kwargs["labels"][LABEL] == BIO_KEY and "until 11:30" in environment["HUBRUN_NOTICE"]
    assert all(source.startswith("/srv/nbgrader/bio/") for source in binds)
    with pytest.raises(NotStarted, match="503"):
        started(monkeypatch, "11:30:10", "bio")


# -- the service before Docker

SETTINGS = Settings(
    ("image",), "jupyterhub", 1024, 1.0, 512, "/srv/nbgrader", subnet="172.29.0.0/16", gateway="172.29.0.1",
    course_settings=tuple(SITE["course_settings"]),
)  # fmt: skip


@pytest.mark.parametrize(
    "labels", [{"hubrun.student": "ben"}, {LABEL: "none"}, {LABEL: 1}, {LABEL: [1]}, {LABEL: BIO_KEY, "x": "y"}]
)
def test_another_label_is_refused(labels: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="Labels"):
        _exam(labels, [], SETTINGS)


def test_a_container_in_an_exam_has_an_address_hosts_and_no_name_server() -> None:
    body: dict[str, Any] = {"HostConfig": {"Dns": ["9.9.9.9"], "DnsSearch": ["x"], "DnsOptions": ["y"]}}
    in_exam(body, "172.29.192.1", {"canvas.example.edu": ["203.0.113.2", "203.0.113.3"]}, SETTINGS)
    assert body == {
        "HostConfig": {"Dns": ["172.29.0.1"], "ExtraHosts": ["canvas.example.edu:203.0.113.2", "canvas.example.edu:203.0.113.3"]},
        "NetworkingConfig": {"EndpointsConfig": {"jupyterhub": {"IPAMConfig": {"IPv4Address": "172.29.192.1"}}}},
    }  # fmt: skip


def test_each_container_gets_an_address_of_its_own_and_none_without_its_hosts(tmp_path: Path) -> None:
    service = serve.Filter(hosts=tmp_path / "hosts.json")
    there = {"Containers": {"a": {"IPv4Address": "172.29.192.0/16"}, "b": {"IPv4Address": "172.29.0.2/16"}}}

    async def ask(*_: Any) -> bytes:
        return b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(there).encode()

    service.manager.ask = ask  # type: ignore[method-assign]

    async def several() -> list[str]:
        return [await service._address(SETTINGS) for _ in range(3)]

    assert asyncio.run(several()) == ["172.29.192.1", "172.29.192.2", "172.29.192.3"]
    with pytest.raises(serve.FilterError, match="exam: "):
        service._hosts(BIO_KEY)
    (tmp_path / "hosts.json").write_text(json.dumps({BIO_KEY: {"canvas.example.edu": []}}))
    assert service._hosts(BIO_KEY) == {"canvas.example.edu": []}


# -- what is taken at the end


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home/BIO 101/midterm/data").mkdir(parents=True)
    (tmp_path / "home/BIO 101/midterm/midterm.ipynb").write_text("answers")
    (tmp_path / "home/BIO 101/midterm/data/a.csv").write_text("1")
    (tmp_path / "inbound/ada").mkdir(parents=True)
    return tmp_path / "home"


def taken(home: Path) -> Path | None:
    before = os.umask(0o077)  # as the program has it
    try:
        return collect.take(home, ("BIO 101", "midterm"), home.parent / "inbound/ada", "ada")
    finally:
        os.umask(before)


def test_work_is_taken_as_it_is_and_its_student_cannot_remove_it(home: Path) -> None:
    (home / "BIO 101/midterm/timestamp.txt").write_text("2001-01-01")
    os.utime(home / "BIO 101/midterm/midterm.ipynb", (0, 0))
    changed = max(each.stat().st_ctime for each in (home / "BIO 101/midterm").rglob("*"))
    path = taken(home)
    stamp = datetime.fromtimestamp(changed, UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    assert path and path.name.startswith(f"ada+midterm+{stamp}+"), "when it changed last, whatever its files say"
    assert (path / "midterm.ipynb").read_text() == "answers" and (path / "data/a.csv").read_text() == "1"
    assert (path / "timestamp.txt").read_text() == stamp
    modes = {each.stat().st_mode & 0o7777 for each in path.rglob("*") if each.is_file()}
    assert modes == {0o644}, "whoever collects it is not root"
    assert f"{path.stat().st_mode & 0o7777:o} {path.parent.stat().st_mode & 0o7777:o}" == "755 1777"
    assert os.listdir(home.parent / "inbound") == ["ada"] and os.listdir(path.parent) == [path.name]


def test_what_a_time_that_was_killed_left_goes_and_what_a_student_called_so_stays(home: Path) -> None:
    inbound = home.parent / "inbound/ada"
    for name in (".taken.killed", ".taken.of-ada"):
        (inbound / name).mkdir(0o700)
        (inbound / name / "half").touch()
    os.chown(inbound / ".taken.of-ada", 1000, 100)
    path = taken(home)
    assert path and sorted(os.listdir(inbound)) == sorted([".taken.of-ada", path.name])


def test_no_link_is_followed_and_nothing_but_plain_files_is_taken(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "shadow").write_text("root")
    work = home / "BIO 101/midterm"
    (work / "file").symlink_to(secret / "shadow")
    (work / "folder").symlink_to(secret)
    (work / ".git").mkdir()
    os.mkfifo(work / "pipe")
    path = taken(home)
    assert path and sorted(each.name for each in path.iterdir()) == [
        "data",
        "midterm.ipynb",
        "submission_secret.txt",
        "timestamp.txt",
    ]


@pytest.mark.parametrize("part", ["BIO 101", "BIO 101/midterm"])
def test_a_link_in_the_place_of_a_folder_is_none(home: Path, tmp_path: Path, part: str) -> None:
    (home / part).rename(tmp_path / "aside")
    (home / part).symlink_to(tmp_path / "aside")
    assert taken(home) is None and not os.listdir(tmp_path / "inbound/ada")


def test_a_home_that_is_a_link_is_an_error(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home)
    with pytest.raises(OSError):
        collect.take(tmp_path / "link", ("BIO 101", "midterm"), tmp_path / "inbound/ada", "ada")


@pytest.mark.parametrize("kind", ["large", "many", "many hidden", "deep"])
def test_too_much_is_not_taken_and_nothing_is_left_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    work = home / "BIO 101/midterm"
    if kind == "large":
        with (work / "file").open("wb") as file:
            file.truncate(1 << 40)
    elif kind.startswith("many"):
        monkeypatch.setattr(collect, "MOST_FILES", 50)
        for number in range(60):
            place = work if "hidden" in kind else work / ("data" if number % 2 else "more")
            place.mkdir(exist_ok=True)
            (place / f"{'.' if 'hidden' in kind else ''}{number}").touch()
    else:
        (work / "/".join("d" * 30)).mkdir(parents=True)
    with pytest.raises(collect.TooMuch):
        taken(home)
    assert os.listdir(home.parent / "inbound") == ["ada"] and not os.listdir(home.parent / "inbound/ada")


SENT = {
    "none": ([], None, ""),
    "the latest": (["10:00 sent", "11:00 sent"], None, "11:00"),
    "the latest that is in time": (["10:00 sent", "11:00 sent"], "10:30", "10:00"),
    "a late one rather than none": (["11:00 sent"], "10:30", "11:00"),
    "what was taken, and not what was sent afterwards": (["10:00 taken", "11:05 sent"], None, "10:00"),
    "what was taken last, as who gets an extension": (["10:00 taken", "10:30 sent", "11:00 taken"], None, "11:00"),
    "nothing, where there was nothing to take": (["11:00 empty", "11:05 sent"], None, ""),
    "what was sent before there was nothing to take": (["10:00 sent", "11:00 empty", "11:05 sent"], None, "10:00"),
    "and what was taken where there was something": (["10:00 taken", "11:00 empty", "11:05 sent"], None, "10:00"),
}


@pytest.mark.parametrize(("found", "due", "expected"), SENT.values(), ids=SENT.keys())
def test_which_submission_is_graded(found: list[str], due: str | None, expected: str) -> None:
    def time(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-12-01 {text}")

    def submission(text: str) -> Submission:
        at, kind = text.split()
        return Submission("ada", Path(text), time(at), None if kind == "sent" else time(at), kind == "empty")

    there = [submission(one) for one in reversed(found)]
    chosen = graded(there, time(due) if due else None)
    assert (f"{chosen.arrived:%H:%M}" if chosen else "") == expected


# -- the parameters


@pytest.mark.parametrize(
    "exam",
    [
        {"from": "2026-12-01 09:00", "until": "2026-12-01 11:00 UTC"}, {"from": "2026-12-01 11:00 UTC", "until": "2026-12-01 11:00 UTC"},
        {"from": "2026-12-01 09:00 Europe/Zurich", "until": "2026-12-01 08:00 Europe/London"},
        {"from": "2026-11-31 09:00 UTC", "until": "2026-12-01 11:00 UTC"}, {"from": "2026-12-01 24:00 UTC", "until": "2026-12-02 11:00 UTC"},
        BIO | {"hosts": ["https://canvas.example.edu"]}, BIO | {"hosts": ["-x.example.edu"]}, BIO | {"hosts": ["203.0.113.2"]},
        BIO | {"extra_minutes": {"ada": 0}}, BIO | {"extra_minutes": {"ada": 1441}},
        BIO | {"extra_minutes": {"": 5}}, BIO | {"extra_minutes": {"ada": "25 %"}}, BIO | {"extra_minutes": ["ada"]},
        BIO | {"assignment": "../x"}, BIO | {"assignment": "a+b"}, BIO | {"assignment": ".x"}, BIO | {"more": 1},
    ],
)  # fmt: skip
def test_an_exam_that_is_none_is_refused(exam: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"courses\[0\].exam"):
        build({"site": "x", "domain": "hub.example.edu", "courses": [{"course": "BIO", "exam": exam}]}, "here")


def test_times_reach_the_server_with_their_offset_in_summer_and_in_winter() -> None:
    summer = BIO | {"from": "2026-07-01 09:00 Europe/Zurich", "until": "2026-07-01 11:00 Europe/Zurich"}
    site = build({"site": "x", "domain": "hub.example.edu", "courses": [{"course": "BIO", "exam": summer}]}, "here")
    (exam,) = schedule.exams(json.loads(config.filter_settings(site)))
    assert exam.begins.utcoffset() == timedelta(hours=2) and f"{exam.ends:%H:%M}" == "11:00"


def test_jupyterlab_tells_of_the_exam_when_its_page_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("hubrun_student.image")
    (exam, _) = schedule.exams(SITE)
    monkeypatch.setenv("HUBRUN_NOTICE", course_spawner.notice(exam))
    said = asyncio.run(image.NewerImage("1.0")())
    assert said == (
        "Exam of BIO until 11:00. Of the network you reach canvas.example.edu, and see this course alone. Then your server ends."
    )
