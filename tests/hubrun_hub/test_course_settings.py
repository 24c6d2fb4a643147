"""Which entry of the parameter `courses` is meant by what launches said of a course."""

from __future__ import annotations

import pytest

from hubrun_hub.courses.course_settings import settings_of

SITE = {
    "course_settings": [
        {"course": "BIO-101", "memory_mb": 1},
        {"course": "BIO-101", "consumer": "chem", "memory_mb": 2},
        {"course": "sis-7", "memory_mb": 3},
        {"course": "4c1f", "memory_mb": 4},
    ]
}
CASES = {
    "by its label": ({"label": "BIO-101", "lti_consumer": "default"}, 1),
    "of the consumer that is named": ({"label": "BIO-101", "lti_consumer": "chem"}, 2),
    "by its SIS id before its label": ({"label": "BIO-101", "sis": "sis-7", "lti_consumer": "default"}, 3),
    "by its id before all": ({"lti_context": "4c1f", "label": "BIO-101", "sis": "sis-7"}, 4),
    "another": ({"label": "BIO-102", "sis": "", "lti_context": "x"}, None),
    "one of which nothing is known": ({}, None),
}


@pytest.mark.parametrize(("says", "expected"), CASES.values(), ids=CASES.keys())
def test_the_surest_name_counts(says: dict[str, object], expected: int | None) -> None:
    assert settings_of(SITE, says).get("memory_mb") == expected
    assert settings_of({}, says) == {}
