"""The parameter `courses`: what is otherwise in one course than in the rest of the site."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hubrun.params import text_kinds as kinds


class CourseParams(BaseModel):
    """One course. `course` is its id in the LMS, its SIS id, or its label; `consumer`: of which consumer, "" for any.

    shared: whether it has a folder that its staff write to and its students read. groups: group → its members, as users of
    the hub; each group has a folder. data: a folder of the server that the course may read.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    course: Annotated[kinds.Title, Field(min_length=1)]
    consumer: kinds.ConsumerName = ""
    shared: bool = False
    groups: dict[kinds.GroupName, list[Annotated[kinds.HubName, Field(min_length=1)]]] = {}
    data: kinds.DataPath = ""

    @property
    def has_folders(self) -> bool:
        """Whether people's servers get a folder of it besides nbgrader's."""
        return bool(self.shared or self.groups or self.data)


def check_courses(courses: list[CourseParams]) -> None:
    """Raise ValueError where a course is there twice: of two entries none could be said to count."""
    seen: set[tuple[str, str]] = set()
    for each in courses:
        if (each.course, each.consumer) in seen:
            raise ValueError(f"courses: {each.course} is there twice")
        seen.add((each.course, each.consumer))
