"""The parameter `courses`: what is otherwise in one course than in the rest of the site.

Each name is that of the parameter of the site in whose place it counts; packages of a course come besides those of the site.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hubrun.params import text_kinds as kinds
from hubrun_hub.courses.exam_schedule import MOST_EXTRA_MINUTES
from hubrun_hub.courses.servers import server_name

# What an image of the course's own is made of, and which one counts.
IMAGE = ("base_image", "image", "tensorflow", "pytorch", "extra_pip_packages", "requirements_file")
_Memory = Annotated[int, Field(ge=256)]
_Cpus = Annotated[float, Field(gt=0)]


class ExamParams(BaseModel):
    """An exam, from a moment until another, each as `2026-12-01 09:00 Europe/Zurich`. hosts: what its servers may reach.

    assignment: nbgrader's name of what is taken out of each student's home at the end, "" for nothing. extra_minutes: user of
    the hub → how much longer their exam is.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    begins: kinds.Moment = Field(alias="from")
    until: kinds.Moment
    hosts: list[kinds.Domain] = []
    assignment: kinds.Assignment = ""
    extra_minutes: dict[
        Annotated[kinds.HubName, Field(min_length=1)], Annotated[int, Field(ge=1, le=MOST_EXTRA_MINUTES)]
    ] = {}

    @model_validator(mode="after")
    def _in_order(self) -> ExamParams:
        if moment(self.begins) >= moment(self.until):
            raise ValueError(f"an exam that ends after it begins, not from {self.begins} until {self.until}")
        return self

    def on_server(self) -> dict[str, Any]:
        """What the server's file says of it (hubrun_hub/courses/exam_schedule.py): times in ISO 8601, with their offset."""
        times = {"from": moment(self.begins).isoformat(), "until": moment(self.until).isoformat()}
        longer = {"extra_minutes": self.extra_minutes} if self.extra_minutes else {}
        return {**times, "hosts": self.hosts, "assignment": self.assignment, **longer}


def moment(text: str) -> datetime:
    """The moment that a text of the kind `Moment` names."""
    day, time, zone = text.split()
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=ZoneInfo(zone))


class LateParams(BaseModel):
    """What counts of what is submitted after it was due: for `days` days of 24 hours, each of which, begun, costs
    `percent_per_day` per cent of the points."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    percent_per_day: Annotated[int, Field(ge=0, le=100)]
    days: Annotated[int, Field(ge=1, le=100)]


class CourseParams(BaseModel):
    """One course. `course` is its id in the LMS, its SIS id, or its label; `consumer`: of which consumer, "" for any.

    What is None or "" is as in the rest of the site. staff_*: for those who teach it. requirements_file: here, as pip has it.
    staff_may_look: whether its staff may open servers of its students (hubrun_hub/looking).
    shared: whether it has a folder that its staff write to and its students read. groups: group → its members, as users of
    the hub; each group has a folder. data: a folder of the server that the course may read. due: assignment → when each
    student's work is taken; extensions: assignment → user of the hub → another moment for them.
    late: what counts that is submitted after that; None: nothing. autograde: whether the server then collects and autogrades
    it (hubrun_hub/autograding); "feedback": and sends feedback back where no person grades.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    course: Annotated[kinds.Title, Field(min_length=1)]
    consumer: kinds.ConsumerName = ""
    user_memory_mb: _Memory | None = None
    user_cpus: _Cpus | None = None
    user_processes: Annotated[int, Field(ge=64)] | None = None
    staff_memory_mb: _Memory | None = None
    staff_cpus: _Cpus | None = None
    idle_minutes: Annotated[int, Field(ge=0)] | None = None
    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    base_image: kinds.Image = ""
    image: Annotated[str, Field(pattern=kinds.IMAGE_ID)] = ""
    tensorflow: bool | None = None
    pytorch: Literal["none", "cpu", "cuda"] | None = None
    extra_pip_packages: list[Annotated[kinds.Pip, Field(min_length=1)]] = []
    requirements_file: kinds.LocalPath = ""
    shared: bool = False
    groups: dict[kinds.GroupName, list[Annotated[kinds.HubName, Field(min_length=1)]]] = {}
    data: kinds.DataPath = ""
    staff_may_look: bool = False
    exam: ExamParams | None = None
    due: dict[kinds.Assignment, kinds.Moment] = {}
    extensions: dict[kinds.Assignment, dict[Annotated[kinds.HubName, Field(min_length=1)], kinds.Moment]] = {}
    late: LateParams | None = None
    autograde: bool | Literal["feedback"] = False

    @property
    def image_suffix(self) -> str:
        """What stands behind the name of the site's image for one of its own; "" where it says nothing of an image."""
        own = any(getattr(self, name) not in (None, "", []) for name in IMAGE)
        return "-" + server_name(self.course, f"{self.consumer}/{self.course}") if own else ""

    @property
    def has_folders(self) -> bool:
        """Whether people's servers get a folder of it besides nbgrader's."""
        return bool(self.shared or self.groups or self.data)

    @property
    def has_due(self) -> bool:
        """Whether something of it is taken at a moment that stands here."""
        return bool(self.due or (self.exam and self.exam.assignment))

    def on_server(self) -> dict[str, Any]:
        """What the server's file says of it: what was given, and nothing else."""
        given = self.model_dump(exclude_unset=True, exclude_none=True, exclude={*IMAGE, "exam", "due", "extensions"})
        due = {
            assignment: {
                **({"due": moment(self.due[assignment]).isoformat()} if assignment in self.due else {}),
                "people": {user: moment(own).isoformat() for user, own in self.extensions.get(assignment, {}).items()},
            }
            for assignment in [*self.due, *sorted(self.extensions.keys() - self.due.keys())]
        }
        return given | ({"exam": self.exam.on_server()} if self.exam else {}) | ({"due": due} if due else {})


def check_courses(courses: list[CourseParams], lms_dates: bool) -> None:
    """Raise ValueError where a course is there twice, as of two entries none could be said to count; or for an extension of
    what is due at no time, and autograding of it. lms_dates: whether the LMS may say one."""
    seen: set[tuple[str, str]] = set()
    for number, each in enumerate(courses):
        if not lms_dates and (more := sorted(each.extensions.keys() - each.due.keys())):
            raise ValueError(f"courses[{number}]: extensions of assignments that have a due date: {more[0]} has none")
        if each.late and not (lms_dates or each.due):
            raise ValueError(f"courses[{number}]: late needs something that is due (due, or dates of the LMS)")
        if each.autograde and not (lms_dates or each.has_due):
            raise ValueError(
                f"courses[{number}]: autograde needs work that is taken when it is due: `due`, or an exam's assignment"
            )
        if (each.course, each.consumer) in seen:
            raise ValueError(f"courses: {each.course} is there twice")
        seen.add((each.course, each.consumer))
