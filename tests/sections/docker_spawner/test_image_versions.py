"""Which of the students' images is to count, by the parameter `image` and what is on the server; and how they are shown."""

from __future__ import annotations

import pytest

from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.sections.docker_spawner import image_versions
from hubrun.sections.docker_spawner.image_versions import described, parse, wanted

VALUES = {"site": "x", "domain": "hub.example.edu"}
OWN = described(Site(**VALUES)).tag.rpartition(":")[2]
A, B, GONE, BROKEN = "a" * 12, "b" * 12, "c" * 12, "d" * 12
FOUND = f"""was {GONE} 2026-09-01T10:00Z
was {A} -
was {B} 2026-10-01T10:00Z
was {OWN} 2026-11-01T10:00Z
built {OWN} sha256:3 2.1GB
built {B} sha256:2 2GB
built {A} sha256:1 2GB
built {BROKEN} sha256:4 2GB
current sha256:3
server sha256:3 c1 4 class ada
server sha256:1 c2 -1 class ben of b
server sha256:9 c3 7 class cy
"""


BUILDS = ["builds in the background"]


def chosen(found: str, **values: str) -> str:
    return wanted(Site(**VALUES, **values), parse(found)).rpartition(":")[2]


def test_without_a_choice_it_is_what_the_parameters_describe_whatever_is_there() -> None:
    assert chosen(FOUND) == chosen("") == OWN
    assert [each.label for each in image_versions.built(Site(**VALUES))] == BUILDS + ["image hubrun-singleuser"]


def test_the_previous_one_is_the_same_after_it_was_made_current() -> None:
    assert chosen(FOUND, image="previous") == B
    back = FOUND.replace(f"was {B} 2026-10-01T10:00Z\n", "").replace("built", f"was {B} 2026-11-02T10:00Z\nbuilt", 1)
    assert chosen(back.replace("current sha256:3", "current sha256:2"), image="previous") == B


def test_an_id_names_one_that_is_there_and_nothing_is_built() -> None:
    assert chosen(FOUND, image=A) == A
    assert [each.label for each in image_versions.built(Site(**VALUES, image=A))] == BUILDS
    assert wanted(Site(**VALUES, image=A, image_name="reg.example.edu:5000/class:2026"), parse(FOUND)) == f"reg.example.edu:5000/class:{A}"  # fmt: skip


@pytest.mark.parametrize(("found", "image"), [(FOUND, GONE), (FOUND, "e" * 12), ("", "previous"), (f"was {OWN} -\nbuilt {OWN} sha256:3 2GB", "previous")])  # fmt: skip
def test_one_that_is_not_there_is_bad_input(found: str, image: str) -> None:
    with pytest.raises(BadInput, match=f"no such image of hubrun-singleuser is there: {image}"):
        chosen(found, image=image)


def test_the_card_says_which_counts_since_when_and_who_runs_on_which() -> None:
    text = str(image_versions.card(parse(FOUND)))
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["current", f"{OWN}:", "1", "server", "(2.1GB,", "since", "2026-11-01T10:00Z)"],
        ["kept", f"{B}:", "0", "servers", "(2GB,", "since", "2026-10-01T10:00Z)"],
        ["kept", f"{A}:", "1", "server", "(2GB)"],
        ["not", "current", f"{BROKEN}:", "0", "servers", "(2GB)"],
        ["removed", "other", "images:", "1", "server"],
    ]
    more = [row.more for row in image_versions.card(parse(FOUND)).rows]
    assert more == ["ada, idle for 4 min", "", "ben of b, idle for an unknown time", "", "cy, idle for 7 min"]
    assert image_versions.card(parse("")).title == "no image of students' servers is here"
