"""What the site says of one course, found by what the LMS calls it. Pure.

The site's file (`docker_filter.settings.SITE`, "course_settings") has a list of entries, each with "course" and "consumer"
and what is otherwise in that course. A course's group keeps what its launches said of it (`lti.groups`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# What of a group's properties may be a course's name in the parameters, the surest first: a label is what teachers write.
_NAMES = ("lti_context", "sis", "label")


def settings_of(site: Mapping[str, Any], says: Mapping[str, object]) -> Mapping[str, Any]:
    """The entry for the course of a group with these properties; {} where the site says nothing of it."""
    entries: Iterable[Mapping[str, Any]] = site.get("course_settings", ())
    mine = [each for each in entries if each.get("consumer", "") in ("", says.get("lti_consumer", ""))]
    for name in _NAMES:
        for each in sorted(mine, key=lambda entry: not entry.get("consumer")):
            if says.get(name) and each["course"] == says[name]:
                return each
    return {}
