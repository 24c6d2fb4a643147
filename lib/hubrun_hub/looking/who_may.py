"""Who may look at whose server, and until when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..courses import exam_schedule as schedule
from ..courses.course_settings import settings_of
from ..courses.exam_schedule import Group
from ..courses.mounts import memberships, words_of

AT_MOST = timedelta(minutes=30)

NOT_YOURS = "is in no course that you teach"
TEACHES = "teaches a course"
OF_OTHERS = "is in a course that you do not teach"
NOT_ALLOWED = "is in a course of which whoever runs this hub did not allow it"
EXAM = "sits in an exam"


def why_not(site: Mapping[str, Any], viewer: Iterable[Group], owner: Iterable[Group], user: str, now: datetime) -> str:
    """Why somebody in the groups `viewer` may not look at the servers of `user`, who is in `owner`; "" where they may.

    site: what the site's file says (`docker_filter.settings.SITE`), with exams that were moved (`exam_schedule.with_changes`).
    """
    theirs = list(owner)
    says = words_of(theirs)
    taught = {each.course for each in memberships(name for name, _ in viewer) if each.teaches}
    courses = memberships(name for name, _ in theirs)
    if not any(each.course in taught for each in courses):
        return NOT_YOURS
    if any(each.teaches for each in courses):
        return TEACHES
    if any(each.course not in taught for each in courses):
        return OF_OTHERS
    if not all(settings_of(site, says[each.course]).get("staff_may_look") for each in courses):
        return NOT_ALLOWED
    if any(exam.is_on(now) or exam.was_just_on(now) for exam, _ in schedule.sat(site, theirs, user)):
        return EXAM
    return ""


def until(site: Mapping[str, Any], owner: Iterable[Group], user: str, now: datetime) -> datetime:
    """When a look that begins now at a server of `user`, who is in `owner`, ends: after half an hour, or as an exam of theirs begins."""
    exams = [exam.begins for exam, _ in schedule.sat(site, owner, user) if exam.begins > now]
    return min([now + AT_MOST, *exams])
