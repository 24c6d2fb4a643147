"""When what was taken is autograded, in which container, and what is tried again; nbgrader itself is in test_by_server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubrun.errors import BadInput
from hubrun.params import build
from hubrun.sections.docker_spawner import by_the_clock
from hubrun.sections.hub import config
from hubrun_hub.autograding import container, records
from hubrun_hub.autograding.records import FEEDBACK, PAUSES, Try
from hubrun_hub.autograding.waiting import Work, waiting
from hubrun_hub.courses import due_records
from hubrun_hub.courses.due_dates import Due, Late
from hubrun_hub.courses.due_records import Taken
from hubrun_hub.courses.mounts import words_of
from hubrun_hub.docker_filter import folders
from hubrun_hub.exams import servers
from hubrun_hub.failed import Failed
from hubrun_hub.homes.places import HomeError
from hubrun_hub.programs import autograde
from hubrun_hub.removing import look

NOW = datetime(2026, 12, 8, 12, tzinfo=UTC)
DUE = {"ps1": "2026-12-08 11:55 UTC"}
COURSE: dict[str, Any] = {"course": "BIO", "due": DUE, "autograde": True}


def site_of(*courses: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = build({"site": "x", "domain": "hub.example.edu", "courses": list(courses), **more}, "here")
    return dict(json.loads(config.filter_settings(found)))


# -- what waits


def minutes(ago: float) -> datetime:
    return NOW - timedelta(minutes=ago)


def due(user: str, ago: float, name: str = "ps1", course: str = "bio") -> Due:
    return Due(minutes(ago), course, name, user, "BIO 101")


def key(ago: float, name: str = "ps1") -> str:
    return Taken(name, minutes(ago)).key


def asked(
    *found: Due, untaken: tuple[str, ...] = (), says: object = True, tries: dict[str, dict[str, Try]] | None = None
) -> list[Work]:
    """What waits now, where all that was due is taken but that of `untaken`. tries: of users of bio."""
    taken: dict[tuple[str, str], list[Taken]] = {}
    for each in found:
        if each.at <= NOW and each.user not in untaken:
            taken.setdefault((each.course, each.user), []).append(Taken(each.assignment, each.at))
    known = {("bio", user): said for user, said in (tries or {}).items()}
    return waiting({"bio": says, "chem": says}, found, taken, known, NOW)


def test_an_assignment_waits_until_it_is_taken_of_everybody_who_was_due_by_now() -> None:
    both = (due("ada", 5), due("ben", 5), due("cleo", -60))
    assert asked(*both) == [Work("bio", "ps1", {"ada": (key(5),), "ben": (key(5),)}, False)]
    assert asked(*both, untaken=("ben",)) == []
    late = (due("ada", 11), due("ben", 11))
    assert asked(*late, untaken=("ben",)) == [Work("bio", "ps1", {"ada": (key(11),)}, False)], "but not for ever"
    assert asked(*both, says=None) == asked(*both, says=False) == asked(due("ada", -5)) == []
    assert asked(due("ada", 8 * 24 * 60)) == []


def test_who_had_more_time_comes_alone_and_what_was_due_first_comes_first() -> None:
    done = {"ada": {key(90): Try(1, minutes(89), "graded", True)}}
    (work,) = asked(due("ada", 90), due("ben", 5), tries=done)
    assert work.keys == {"ben": (key(5),)}
    # Taken again, as an extension came afterwards.
    (work,) = asked(due("ada", 90), due("ada", 3), tries=done)
    assert work.keys == {"ada": (key(3),)}
    found = asked(due("kim", 5, "lab", "chem"), due("ada", 30), due("ada", 3, "ps2"))
    assert [(each.course, each.assignment) for each in found] == [("bio", "ps1"), ("chem", "lab"), ("bio", "ps2")]


def test_feedback_waits_until_nobody_has_more_time() -> None:
    people = (due("ada", 90), due("ben", -5))
    done = {"ada": {key(90): Try(1, minutes(89), "graded", True)}}
    (work,) = asked(*people, says="feedback")
    assert not work.feedback and work.keys == {"ada": (key(90),)}
    assert asked(*people, says="feedback", tries=done) == []
    (work,) = asked(due("ada", 90), due("ben", 5), says="feedback", tries=done)
    assert work.feedback
    assert work.keys == {"ada": (key(90) + FEEDBACK,), "ben": (key(5), key(5) + FEEDBACK)}
    day = 24 * 60
    for ago, comes in ((day, False), (9 * day, False), (10 * day, True), (16 * day, True), (18 * day, None)):
        found = asked(due("ada", ago)._replace(late=Late(10, 10)), says="feedback")
        assert [each.feedback for each in found] == ([] if comes is None else [comes])


def test_what_failed_is_tried_again_ever_later_and_not_for_ever() -> None:
    at, begun = NOW, []
    said = Try()
    for _ in range(20):
        if said.is_wanted(at):
            said = said.begun(at)
            begun.append(at)
        at += timedelta(hours=30)
    assert len(begun) == len(PAUSES) + 1 == said.tries
    once = Try().begun(NOW)
    assert not once.is_wanted(NOW + PAUSES[0] - timedelta(seconds=1)) and once.is_wanted(NOW + PAUSES[0])
    kept = json.loads(json.dumps({"ps1/x": once.kept(), "ps2/x": Try().kept()}))
    assert records.tries(kept) == {"ps1/x": once, "ps2/x": Try()}


# -- the container


GROUPS = [("course-bio", {"label": "BIO", "folder": "BIO 101"})]


def options(command: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in zip(command, command[1:], strict=False):
        if name.startswith("--"):
            found.setdefault(name, []).append(value)
    return found


def test_the_container_has_the_folders_of_one_course_and_nothing_else() -> None:
    site = site_of(COURSE | {"staff_memory_mb": 3000, "user_cpus": 4.0}, timezone="Europe/Zurich")
    command = container.command(site, "bio", words_of(GROUPS))
    found = options(command)
    assert found["--mount"] == [
        "type=bind,source=/srv/nbgrader/bio/course,target=/srv/nbgrader/courses/BIO 101",
        "type=bind,source=/srv/nbgrader/bio/inbound,target=/srv/nbgrader/inbound/BIO 101,readonly",
        "type=bind,source=/srv/nbgrader/bio/feedback,target=/srv/nbgrader/feedback/BIO 101",
    ]
    assert found["--network"] == ["none"] and found["--cap-drop"] == ["ALL"] and "--read-only" in command
    assert found["--security-opt"] == ["no-new-privileges"] and found["--pids-limit"]
    assert found["--memory"] == found["--memory-swap"] == ["3000m"] and found["--cpus"] == ["1"]
    assert found["--workdir"] == ["/srv/nbgrader/courses/BIO 101"]
    assert {"HUBRUN_TEACHES=bio", "JUPYTER_CONFIG_PATH=/usr/local/share/hubrun/instructor", "TZ=Europe/Zurich"} <= set(
        found["--env"]
    )
    assert not [each for each in command if "volume" in each or "docker.sock" in each or "TOKEN" in each]
    assert command[-5:] == ["hubrun-singleuser", "python", "-I", "-m", "hubrun_student.programs.autograde"]


def test_a_course_with_an_image_of_its_own_is_graded_in_that() -> None:
    site = site_of(COURSE | {"extra_pip_packages": ["pandas==2.3.3"], "gpus": 1})
    command = container.command(site, "bio", words_of(GROUPS))
    assert command[-5] == site["course_settings"][0]["image_name"] != "hubrun-singleuser"
    assert "--gpus" not in command


def test_a_folder_that_is_not_there_is_not_made_by_docker(tmp_path: Path) -> None:
    command = container.command(site_of(COURSE), "bio", words_of(GROUPS), str(tmp_path))
    with pytest.raises(Failed, match="none of the course's staff has opened JupyterHub yet"):
        container.check_folders(command)
    for each in ("course", "inbound", "feedback"):
        (tmp_path / "bio" / each).mkdir(parents=True)
    container.check_folders(command)


def played(folder: Path, script: str) -> list[str]:
    """A program in Docker's place."""
    path = folder / "played.py"
    path.write_text(script)
    return [sys.executable, str(path)]


def test_what_the_container_says_is_read_and_anything_else_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "end", lambda: None)
    command = played(
        tmp_path,
        """
import json, sys
job = json.loads(sys.stdin.readline())
print("Entered start.sh")
print('hubrun-autograde: {"begun": "' + job["users"][0] + '"}')
print("hubrun-autograde: [1]"); print("hubrun-autograde: {"); print("x" * 100000)
print('hubrun-autograde: {"done": "ada", "words": "graded"}')
""",
    )
    said = [each for each in container.run(command, {"users": ["ada"]}) if each]
    assert said == [{"begun": "ada"}, {"done": "ada", "words": "graded"}]
    with pytest.raises(Failed, match="No such image: hubrun"):
        list(container.run(played(tmp_path, "import sys; sys.exit('Error: No such image: hubrun\\x1b')"), {}))


def test_one_that_goes_on_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker, ended = tmp_path / "end", []

    def end() -> None:
        ended.append(1)
        if len(ended) > 1:
            marker.touch()

    monkeypatch.setattr(container, "end", end)
    monkeypatch.setattr(container, "_MOST_S", 0.5)
    script = f"import os, sys, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.05)\nsys.exit(137)"
    with pytest.raises(Failed, match="it ended with 137"):
        list(container.run(played(tmp_path, script), {}))


# -- the program


class Server:
    """A server on which work was taken, with a Docker that is played: `says` are the answers of the next containers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.site = folder / "courses", site_of(COURSE)
        self.people: dict[str, list[Any]] = {}
        self.says: list[list[dict[str, str]] | Failed] = []
        self.jobs: list[dict[str, Any]] = []
        self.put_away = False
        monkeypatch.setattr(autograde, "ROOT", str(self.root))
        monkeypatch.setattr(autograde, "_now", lambda: self.now)
        monkeypatch.setattr(autograde, "_hub_is_put_away", lambda: self.put_away)
        monkeypatch.setattr(autograde.settings, "read", lambda _: self.site)
        monkeypatch.setattr(servers, "people", lambda: self.people)
        monkeypatch.setattr(container, "check_folders", lambda _: None)
        monkeypatch.setattr(container, "run", self.run)
        self.now = NOW

    def take(self, *users: str, course: str = "bio", name: str = "ps1") -> None:
        for user in users:
            groups = [(f"course-{course}", {"label": course.upper(), "folder": course})]
            self.people.setdefault(user, []).extend(groups)
            record = self.root / course / "due" / user
            due_records.write(record, due_records.read(record) | {Taken(name, minutes(5)).key: "taken as x"})

    def run(self, command: list[str], job: dict[str, Any]) -> Iterator[dict[str, str]]:
        self.jobs.append(job | {"course": command[command.index("--workdir") + 1].rsplit("/", 1)[1]})
        says = self.says.pop(0) if self.says else [each for user in job["users"] for each in done(user)]
        if isinstance(says, Failed):
            raise says
        for each in says:
            if each == {"killed": ""}:
                raise Failed("it ended with 137")
            yield each

    def said(self, user: str, course: str = "bio") -> Try:
        (found,) = records.tries(due_records.read(self.root / course / "graded" / user)).values()
        return found


def done(user: str) -> list[dict[str, str]]:
    return [{"begun": user}, {"done": user, "words": "graded"}]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


def test_all_are_graded_once(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.take("ada", "ben")
    assert autograde.main() == 0
    assert server.jobs == [{"assignment": "ps1", "users": ["ada", "ben"], "feedback": False, "course": "bio"}]
    assert server.said("ada") == Try(1, NOW, "graded", True)
    assert autograde.main() == 0 and len(server.jobs) == 1
    assert capsys.readouterr().out == "bio, ps1: 2 of 2 are done\n"


def test_a_course_whose_grading_fails_holds_up_no_other(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.site = site_of(COURSE, COURSE | {"course": "CHEM"})
    server.take("ada")
    server.take("kim", course="chem")
    server.says = [Failed("No such image: bio")]
    assert autograde.main() == 1
    assert [each["course"] for each in server.jobs] == ["bio", "chem"]
    assert server.said("kim", "chem").done and server.said("ada") == Try(1, NOW, "No such image: bio", False)
    assert "<4>bio, ps1: not autograded: No such image: bio" in capsys.readouterr().out
    assert autograde.main() == 0 and len(server.jobs) == 2, "not at once again"
    server.now += PAUSES[0]
    assert autograde.main() == 0 and server.said("ada").done and server.said("ada").tries == 2


def test_who_ends_the_container_delays_themselves_alone(server: Server) -> None:
    server.take("ada", "ben", "cleo")
    server.says = [[*done("ada"), {"begun": "ben"}, {"killed": ""}]]
    assert autograde.main() == 1
    assert server.said("ada").done and not server.said("ben").done and server.said("ben").tries == 1
    server.now += PAUSES[0]
    server.says = [[*done("cleo"), {"begun": "ben"}, {"failed": "ben", "words": "dead\n\x1b kernel"}]]
    assert autograde.main() == 0
    assert server.jobs[1]["users"] == ["ben", "cleo"]
    assert server.said("ben") == Try(2, server.now, "dead \\x1b kernel", False)
    for pause in PAUSES[1:]:
        server.now += pause
        server.says = [[{"begun": "ben"}, {"failed": "ben", "words": "dead"}]]
        autograde.main()
    server.now += timedelta(hours=25)
    tried = len(server.jobs)
    assert server.said("ben").tries == len(PAUSES) + 1
    assert autograde.main() == 0 and len(server.jobs) == tried, "it is the teacher's then"


def test_what_was_not_begun_in_time_comes_at_once_the_next_time(server: Server) -> None:
    server.take("ada", "ben")
    server.says = [done("ada")]
    assert autograde.main() == 0 and autograde.main() == 0
    assert [each["users"] for each in server.jobs] == [["ada", "ben"], ["ben"]] and server.said("ben").tries == 1


def test_a_container_says_nothing_of_others(server: Server) -> None:
    server.take("ada")
    server.take("kim", course="chem")
    server.says = [[{"begun": "../x"}, *done("kim"), {"done": "ada", "words": "without having begun"}, *done("ada")]]
    assert autograde.main() == 0 and server.said("ada").said == "graded"
    assert [path.name for path in server.root.glob("*/graded/*")] == ["ada"]


def test_nothing_is_graded_while_people_are_removed_and_nobody_comes_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.take("ada", "ben")
    server.put_away = True
    assert autograde.main() == 0 and server.jobs == []
    server.put_away = False

    def removed(command: list[str], job: dict[str, Any]) -> Iterator[dict[str, str]]:
        yield {"begun": "ada"}
        for path in look.folders_of(server.root, ["ada"]):
            path.unlink()
        yield {"done": "ada", "words": "graded"}
        yield from done("ben")

    monkeypatch.setattr(container, "run", removed)
    assert autograde.main() == 0
    assert sorted(str(path.relative_to(server.root)) for path in server.root.rglob("*") if path.is_file()) == [
        "bio/due/ben",
        "bio/graded/ben",
    ]
    folders.remove(server.root, "ben")
    assert not [path for path in server.root.rglob("*") if path.is_file()]


def test_while_the_folders_of_courses_are_moved_it_is_tried_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.take("ada")
    with monkeypatch.context() as patch:
        patch.setattr(autograde.hand_ins, "staying", _moved)
        assert autograde.main() == 1 and server.jobs == []
    assert autograde.main() == 0 and server.said("ada").done


def _moved(_: object) -> Any:
    raise HomeError("the folders of courses are being moved")


# -- the site


def test_a_site_without_it_has_no_new_line() -> None:
    plain = {"site": "x", "domain": "hub.example.edu", "lti_services": True}
    for courses, units in (
        ([], ["hubrun-due"]),
        ([{"course": "BIO", "autograde": False}], ["hubrun-due"]),
        ([{"course": "BIO", "autograde": "feedback"}], ["hubrun-due", "hubrun-autograde"]),
    ):
        found = build({**plain, "courses": courses}, "here")
        wanted = [f"{name}.timer" for name in units]
        assert [each.name for each in by_the_clock.units(found) if type(each).__name__ == "Service"] == wanted  # type: ignore[attr-defined]
        assert len(by_the_clock.tests(found)) == len(units)
    assert "autograde" not in json.dumps(site_of({"course": "BIO"}, lti_services=True))


@pytest.mark.parametrize(
    "course", [{"autograde": True}, {"autograde": "sometimes", "due": DUE}, {"autograde": 1, "due": DUE}]
)
def test_what_it_cannot_be_is_refused(course: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="autograde"):
        site_of({"course": "BIO", **course})


@pytest.mark.parametrize("says", [True, "feedback"])
def test_its_unit_runs_where_a_course_asks_for_it(says: object) -> None:
    site = build({"site": "x", "domain": "hub.example.edu", "courses": [COURSE | {"autograde": says}]}, "here")
    unit = config.render("hubrun-autograde.service", site)
    (pattern,) = (line.split("'")[1] for line in unit.splitlines() if line.startswith("ExecCondition="))
    assert re.search(pattern, config.filter_settings(site))
    off = build({"site": "x", "domain": "hub.example.edu", "courses": [COURSE | {"autograde": False}]}, "here")
    assert not re.search(pattern, config.filter_settings(off))
