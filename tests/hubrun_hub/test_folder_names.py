"""What courses are called in containers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubrun_hub.courses.folder_names import folder_name, is_folder_name
from hubrun_hub.courses.mounts import Membership, named, places

HEX = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d"


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("BIO 101 / Frühling", "BIO 101 - Frühling"),
        ("bio-101", "bio-101"),
        ("BIO_101.2", "BIO_101.2"),
        ("生物学 101", "生物学 101"),
        ("हिन्दी", "हिन्दी"),
        ("Biology: motion & light", "Biology - motion light"),
        ("../../etc/passwd", "etc - passwd"),
        ("a*b?[c]{d}~$x", "a b c d x"),
        (".ssh", "ssh"),
        ("-rf --force", "rf force"),
        ("C:\\x|y", "C - x - y"),
        ("\u202eabc\u200d", "abc"),
        ("x" * 500, "x" * 60),
        ("", HEX), ("///", HEX), ("…", HEX), ("courses", HEX), ("Courses", HEX),
    ],
)  # fmt: skip
def test_a_folder_is_called_as_people_call_the_course(label: str, folder: str) -> None:
    assert folder_name([label], HEX, []) == folder


def test_two_courses_of_one_name_have_folders_of_their_own() -> None:
    assert folder_name(["BIO 101", "Biology, autumn"], HEX, ["bio 101"]) == "Biology autumn"
    assert folder_name(["BIO 101"], HEX, ["BIO 101", "BIO 101 2"]) == "BIO 101 3"


@settings(deadline=None)
@given(st.lists(st.text(), max_size=3), st.lists(st.text(max_size=20), max_size=3))
def test_any_label_gives_a_name_that_is_one_component_and_nobody_elses(labels: list[str], taken: list[str]) -> None:
    found = folder_name(labels, HEX, taken)
    if found != HEX:
        assert is_folder_name(found)
        assert found.casefold() not in {name.casefold() for name in taken}
        assert not set(found) & set("/\\:*?[]{}~$`'\"<>|&;#%+=\0\n") and found[0] not in ".-_ " and len(found) <= 60
        assert folder_name([found], HEX, []) == found


def test_words_of_a_group_that_are_no_name_count_for_nothing() -> None:
    """An administrator may write what they like into a group; two courses must not meet in one folder."""
    courses = [Membership("a", False), Membership("b", True), Membership("c", False), Membership("d", False)]
    words = {
        "a": {"folder": "../b", "label": "A / 1"}, "b": {"folder": "BIO"}, "c": {"folder": "bio", "title": "Chem"},
        "d": {"folder": "a", "label": 7},
    }  # fmt: skip
    found = named(courses, words)
    assert [member.inside for member in found] == ["a", "BIO", "c", "d"]
    assert [member.shown for member in found] == ["A / 1", "", "Chem", "7"]
    targets = [mount["bind"] for mount in places("ada", found).binds.values()]
    assert len(set(targets)) == len(targets)


def test_a_course_whose_name_is_like_its_id_has_it() -> None:
    assert named([Membership("bio-101", False)], {"bio-101": {"folder": "BIO-101"}})[0].inside == "BIO-101"


folders = st.sampled_from(["", "a", "b", "A", "BIO", "bio", "..", "x/y", "courses"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), folders), max_size=4, unique_by=lambda one: one[0]))
def test_no_two_courses_of_a_person_are_in_one_place(given_courses: list[tuple[str, bool, str]]) -> None:
    members = named(
        [Membership(course, teaches) for course, teaches, _ in given_courses],
        {course: {"folder": folder} for course, _, folder in given_courses},
    )
    inside = [member.inside.casefold() for member in members]
    assert len(set(inside)) == len(inside)
    for source, mount in places("ada", members).binds.items():
        assert mount["bind"].startswith("/srv/nbgrader/") and ".." not in mount["bind"].split("/")
        assert source.split("/")[3] in "abcd"
