"""Who may look at whose server, and until when: a table with hostile rows; and what the parameters refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubrun.errors import BadInput
from hubrun.params import build
from hubrun.sections.hub import config
from hubrun_hub.courses import exam_schedule as schedule
from hubrun_hub.looking import who_may
from hubrun_hub.looking.who_may import EXAM, NOT_ALLOWED, NOT_YOURS, OF_OTHERS, TEACHES, why_not

TLS = {"subdomains": True, "tls": "files", "tls_certificate": "/etc/ssl/a.pem", "tls_key": "/etc/ssl/a.key"}
EXAM_AT = {
    "from": "2026-12-01 09:00 UTC", "until": "2026-12-01 10:00 UTC", "assignment": "midterm", "extra_minutes": {"slow": 30},
}  # fmt: skip
COURSES: list[dict[str, Any]] = [
    {"course": "BIO", "staff_may_look": True, "exam": EXAM_AT},
    {"course": "CHEM", "staff_may_look": True},
    {"course": "ART"},
    {"course": "GEO", "consumer": "other", "staff_may_look": True},
]
PARAMS = {"site": "x", "domain": "hub.example.edu", "courses": COURSES, **TLS}
SITE = json.loads(config.filter_settings(build(PARAMS, "here")))
BEFORE, DURING = datetime(2026, 12, 1, 8, 0, tzinfo=UTC), datetime(2026, 12, 1, 9, 30, tzinfo=UTC)


def groups(names: str, **more: Any) -> list[schedule.Group]:
    """Groups by courses: `bio` of a student, `bio!` of its staff; a name with `-` is a group's own."""
    found: list[schedule.Group] = []
    for name in names.split():
        course = name.rstrip("!")
        says = {"lti_context": course.upper(), "lti_consumer": "default", **more}
        staff = f"course-{course}-instructors" if name.endswith("!") else ""
        found += [(name if "-" in name else f"course-{course}", says), *([(staff, says)] if staff else [])]
    return found


CASES = {
    "staff of the one course": ("bio!", "bio", BEFORE, ""),
    "a student of it": ("bio", "bio", BEFORE, NOT_YOURS),
    "nobody in particular": ("", "bio", BEFORE, NOT_YOURS),
    "staff of another course": ("chem!", "bio", BEFORE, NOT_YOURS),
    "staff of another course who studies this one": ("chem! bio", "bio", BEFORE, NOT_YOURS),
    "a person without a course": ("bio!", "", BEFORE, NOT_YOURS),
    "staff of both courses of the student": ("bio! chem!", "bio chem", BEFORE, ""),
    "staff of one of two": ("bio!", "bio chem", BEFORE, OF_OTHERS),
    "staff of one, and student of the other": ("bio! chem", "bio chem", BEFORE, OF_OTHERS),
    "a colleague": ("bio!", "bio!", BEFORE, TEACHES),
    "a student who teaches elsewhere": ("bio! chem!", "bio chem!", BEFORE, TEACHES),
    "a course that does not allow it": ("art!", "art", BEFORE, NOT_ALLOWED),
    "one of two that does not": ("bio! art!", "bio art", BEFORE, NOT_ALLOWED),
    "of another consumer": ("geo!", "geo", BEFORE, NOT_ALLOWED),
    "a course of which the site says nothing": ("law!", "law", BEFORE, NOT_ALLOWED),
    "in the exam": ("bio!", "bio", DURING, EXAM),
    "in the exam of one of two": ("bio! chem!", "bio chem", DURING, EXAM),
    "while the exam's work is taken": ("bio!", "bio", DURING + timedelta(minutes=30, seconds=30), EXAM),
    "after the exam": ("bio!", "bio", DURING + timedelta(hours=1), ""),
    "another's exam": ("chem!", "chem", DURING, ""),
    # Groups that somebody made, by whichever names.
    "no group of a course": ("made-by-hand", "made-by-hand", BEFORE, NOT_YOURS),
    "instructors of instructors": ("course-bio-instructors-instructors", "bio", BEFORE, NOT_YOURS),
    "the word alone": ("course--instructors", "bio", BEFORE, NOT_YOURS),
}  # fmt: skip


@pytest.mark.parametrize(("viewer", "owner", "now", "expected"), CASES.values(), ids=CASES.keys())
def test_who_may_look(viewer: str, owner: str, now: datetime, expected: str) -> None:
    assert why_not(SITE, groups(viewer), groups(owner), "ada", now) == expected


def test_who_has_more_time_is_not_looked_at_until_their_own_end() -> None:
    at = DURING + timedelta(minutes=45)
    assert [why_not(SITE, groups("bio!"), groups("bio"), user, at) for user in ("ada", "slow")] == ["", EXAM]


def test_what_the_viewers_own_groups_say_of_a_course_counts_for_nothing() -> None:
    """The student's course is the one that the LMS vouched for in the student's launches."""
    renamed = groups("art!", lti_context="BIO", label="BIO")
    assert why_not(SITE, renamed, groups("art"), "ada", BEFORE) == NOT_ALLOWED


def test_nobody_may_look_where_the_site_says_nothing() -> None:
    assert why_not({}, groups("bio!"), groups("bio"), "ada", BEFORE) == NOT_ALLOWED


@pytest.mark.parametrize(
    ("owner", "minutes_before", "expected"),
    [("bio", 60, 30), ("bio", 10, 10), ("bio", -90, 30), ("bio!", 10, 30), ("chem", 10, 30)],
)
def test_a_look_ends_after_half_an_hour_or_as_an_exam_begins(owner: str, minutes_before: int, expected: int) -> None:
    now = datetime(2026, 12, 1, 9, 0, tzinfo=UTC) - timedelta(minutes=minutes_before)
    assert who_may.until(SITE, groups(owner), "ada", now) - now == timedelta(minutes=expected)


def test_without_an_address_for_each_person_the_site_is_refused() -> None:
    with pytest.raises(BadInput, match="staff_may_look needs subdomains: true"):
        build({**PARAMS, "subdomains": False}, "here")


def test_the_hub_has_a_page_for_it_only_where_a_course_allows_it() -> None:
    off = build({**PARAMS, "courses": [{"course": "BIO", "staff_may_look": False}]}, "here")
    assert "looking" in config.render("40-docker.py", build(PARAMS, "here"))
    assert "looking" not in config.render("40-docker.py", off)
