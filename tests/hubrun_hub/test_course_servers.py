"""Which server a launch from a course opens, what it gets, and where the launch leads. Pure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hubrun_hub.courses.servers import is_course_server, path_on, server_name, servers

SITE: dict[str, Any] = {
    "memory_mb": 1024, "cpus": 1.0, "processes": 512, "idle_minutes": 60,
    "course_settings": [
        {"course": "BIO", "user_memory_mb": 2048, "staff_memory_mb": 6144, "idle_minutes": 90},
        {"course": "CHEM", "user_memory_mb": 512, "user_cpus": 3.0, "user_processes": 1024, "idle_minutes": 0},
        {"course": "ML", "user_memory_mb": 8192, "staff_cpus": 8.0, "gpus": 1, "image_name": "class-ml"},
        {"course": "GPU", "gpus": 2},
    ],
}  # fmt: skip
BIO, CHEM, ML, GPU, PLAIN = "BIO", "CHEM", "ML", "GPU", "ART"


def groups(*courses: str, teaches: str = "") -> list[tuple[str, dict[str, object]]]:
    """The groups of somebody in these courses, whose ids are their labels in lower case."""
    names = [(each, f"course-{each.lower()}") for each in courses]
    names += [(teaches, f"course-{teaches.lower()}-instructors")] if teaches else []
    return [(name, {"label": label, "folder": f"{label} 1"}) for label, name in names]


# Courses, the one that is taught → memory_mb, cpus, processes, idle_minutes of the default server.
DEFAULT: dict[str, tuple[tuple[str, ...], str, tuple[float, ...]]] = {
    "nobody's": ((), "", (1024, 1.0, 512, 60)),
    "of a course of which nothing is said": ((PLAIN,), "", (1024, 1.0, 512, 60)),
    "of one course": ((BIO,), "", (2048, 1.0, 512, 90)),
    "of one course that gives less": ((CHEM,), "", (512, 3.0, 1024, 0)),
    "the larger of two": ((BIO, CHEM), "", (2048, 3.0, 1024, 0)),
    "the larger of one and the site's": ((PLAIN, CHEM), "", (1024, 3.0, 1024, 0)),
    "of who teaches": ((BIO,), BIO, (6144, 1.0, 512, 90)),
    "of who teaches another": ((BIO, CHEM), CHEM, (2048, 3.0, 1024, 0)),
    "a course with a server of its own counts only there": ((BIO, ML), "", (2048, 1.0, 512, 90)),
    "of who has only servers of courses": ((ML, GPU), "", (1024, 1.0, 512, 60)),
}


@pytest.mark.parametrize(("courses", "teaches", "expected"), DEFAULT.values(), ids=DEFAULT.keys())
def test_on_the_default_server_the_larger_of_the_limits_counts(
    courses: tuple[str, ...], teaches: str, expected: tuple[float, ...]
) -> None:
    default = servers(SITE, groups(*courses, teaches=teaches))[""]
    assert default.limits[:4] == expected
    assert (default.limits.gpus, default.limits.image) == (0, "")


def test_a_course_with_an_image_or_gpus_has_a_server_of_its_own() -> None:
    found = servers(SITE, groups(BIO, ML, GPU, teaches=ML))
    assert {each.courses: (each.title, *each.limits) for each in found.values()} == {
        ("bio",): ("", 2048, 1.0, 512, 90, 0, ""),
        ("ml",): ("ML 1", 8192, 8.0, 512, 60, 1, "class-ml"),
        ("gpu",): ("GPU 1", 1024, 1.0, 512, 60, 2, ""),
    }


def test_where_the_whole_site_has_gpus_a_course_without_differs() -> None:
    site = {**SITE, "gpus": 1, "course_settings": [{"course": "BIO", "gpus": 0}, {"course": "GPU", "gpus": 1}]}
    found = servers(site, groups(BIO, GPU))
    assert {each.courses: each.limits.gpus for each in found.values()} == {("gpu",): 1, ("bio",): 0}


def test_a_site_that_says_nothing_of_courses_has_one_server_for_each_person() -> None:
    site = {"memory_mb": 1024, "cpus": 1.0, "processes": 512}
    found = servers(site, groups(BIO, ML, teaches=BIO))
    assert list(found) == [""] and found[""].limits == (1024, 1.0, 512, None, 0, "")


NAMES = ["BIO 101", "BIO 101 - Frühling", "101", "機械学習", "", "a" * 80, "--", "ML-2", "Ünïcode_and.dots", "-x-"]


@pytest.mark.parametrize("text", NAMES)
def test_names_of_servers_are_such_as_jupyterhub_takes(text: str) -> None:
    name = server_name(text, "c1")
    assert re.fullmatch(r"[a-z](?:-?[a-z0-9])*", name) and len(name) <= 30, name
    assert is_course_server(name)
    assert name != server_name(text, "c2"), "another course's"


def test_names_that_are_no_courses() -> None:
    assert not any(is_course_server(name) for name in ("", "lab", "my-server", "bio-12345", "Bio-123456"))


URL = "/user/ada/ml-1-abcdef/"
TARGETS = {
    "/hub/": URL, "": URL, "/hub": URL, "/": URL, "/hub/spawn": URL, "/hub/user-redirect/": URL,
    "/hub/user-redirect/lab/tree/a%20b.ipynb?reset=1": f"{URL}lab/tree/a%20b.ipynb?reset=1",
    "/user-redirect/git-pull?repo=https%3A%2F%2Fg.example%2Fx&hubrun_ticket=9.a": f"{URL}git-pull?repo=https%3A%2F%2Fg.example%2Fx&hubrun_ticket=9.a",
}  # fmt: skip


@pytest.mark.parametrize(("target", "next_url"), TARGETS.items())
def test_a_launch_starts_the_server_of_its_course_and_goes_on_to_its_page(target: str, next_url: str) -> None:
    url = urlsplit(path_on(URL, target, "/hub/"))
    assert url.path == "/hub/spawn/ada/ml-1-abcdef"
    assert parse_qs(url.query) == {"next": [next_url]}


@pytest.mark.parametrize("target", ["/hub/home", "/user/ada/lab", "/hub/user/ada/lab", "/services/x/", "/hub/token"])
def test_a_launch_that_leads_elsewhere_goes_there(target: str) -> None:
    assert path_on(URL, target, "/hub/") == target


def test_a_place_in_a_page_and_an_address_of_ones_own_are_kept() -> None:
    own = "https://ada.hub.example.edu/user/ada/ml-1-abcdef/"
    url = urlsplit(path_on(own, "/hub/user-redirect/lab/tree/x.ipynb#Part-2", "/hub/"))
    assert (url.path, url.fragment) == ("/hub/spawn/ada/ml-1-abcdef", "Part-2")
    assert parse_qs(url.query) == {"next": [f"{own}lab/tree/x.ipynb"]}
