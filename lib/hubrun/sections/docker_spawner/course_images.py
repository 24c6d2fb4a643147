"""The images of a site: its own, and those of courses. Each of these is that of a site that is otherwise in what its course says."""

from __future__ import annotations

import re
from typing import NamedTuple

from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.params.courses import CourseParams
from hubrun.params.site import read_local
from hubrun.params.text_kinds import is_requirement


class StudentImage(NamedTuple):
    """An image: the site whose parameters describe it, and by what its files and its keeper differ from those of the site's."""

    site: Site
    suffix: str = ""


def images(site: Site) -> list[StudentImage]:
    """The images of a site, its own first. Raises BadInput for a file of requirements that is none."""
    return [StudentImage(site), *(_of(site, course) for course in site.courses if course.image_suffix)]


def _of(site: Site, course: CourseParams) -> StudentImage:
    says = {name: getattr(course, name) for name in ("base_image", "tensorflow", "pytorch")}
    packages = [*site.extra_pip_packages, *course.extra_pip_packages, *_requirements(course.requirements_file)]
    update = {
        **{name: value for name, value in says.items() if value not in (None, "")},
        "extra_pip_packages": packages, "image_name": site.image_repository + course.image_suffix, "image": course.image,
        "gpus": site.gpus if course.gpus is None else course.gpus, "courses": [],
    }  # fmt: skip
    return StudentImage(site.model_copy(update=update), course.image_suffix)


def _requirements(path: str) -> list[str]:
    """The packages of a requirements.txt here (pip.pypa.io, "Requirements File Format"); options and other files are not taken."""
    found = []
    for number, line in enumerate(read_local("requirements_file", path).splitlines() if path else (), 1):
        if not (package := re.sub(r"(^|\s)#.*", "", line).strip()):
            continue
        if not is_requirement(package):
            raise BadInput(
                f"{path}, line {number} is not a package such as pandas>=2,<3", "parameter courses, requirements_file",
                "Options of pip, links and other files are not taken",
            )  # fmt: skip
        found.append(package)
    return found
