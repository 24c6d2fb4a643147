"""The parameter `courses`: what is otherwise in one course than in the rest of the site.

Each name is that of the parameter of the site in whose place it counts; packages of a course come besides those of the site.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hubrun.params import text_kinds as kinds
from hubrun_hub.courses.servers import server_name

# What an image of the course's own is made of, and which one counts.
IMAGE = ("base_image", "image", "tensorflow", "pytorch", "extra_pip_packages", "requirements_file")
_Memory = Annotated[int, Field(ge=256)]
_Cpus = Annotated[float, Field(gt=0)]


class CourseParams(BaseModel):
    """One course. `course` is its id in the LMS, its SIS id, or its label; `consumer`: of which consumer, "" for any.

    What is None or "" is as in the rest of the site. staff_*: for those who teach it. requirements_file: here, as pip has it.
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

    @property
    def image_suffix(self) -> str:
        """What stands behind the name of the site's image for one of its own; "" where it says nothing of an image."""
        own = any(getattr(self, name) not in (None, "", []) for name in IMAGE)
        return "-" + server_name(self.course, f"{self.consumer}/{self.course}") if own else ""


def check_courses(courses: list[CourseParams]) -> None:
    """Raise ValueError where a course is there twice: of two entries none could be said to count."""
    seen: set[tuple[str, str]] = set()
    for each in courses:
        if (each.course, each.consumer) in seen:
            raise ValueError(f"courses: {each.course} is there twice")
        seen.add((each.course, each.consumer))
