"""The parameter `courses`: what is otherwise in one course than in the rest of the site."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hubrun.params import text_kinds as kinds


class CourseParams(BaseModel):
    """One course. `course` is its id in the LMS, its SIS id, or its label; `consumer`: of which consumer, "" for any."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    course: Annotated[kinds.Title, Field(min_length=1)]
    consumer: kinds.ConsumerName = ""


def check_courses(courses: list[CourseParams]) -> None:
    """Raise ValueError where a course is there twice: of two entries none could be said to count."""
    seen: set[tuple[str, str]] = set()
    for each in courses:
        if (each.course, each.consumer) in seen:
            raise ValueError(f"courses: {each.course} is there twice")
        seen.add((each.course, each.consumer))
