"""Which part somebody has in the course that they launch from, by the roles that the LMS sends.

Only a role *in the course* counts. A professor may be a student in a colleague's course, and whoever administers an
account, observes a student or is a guest is in no course by that. The vocabulary is LIS: short names and URNs in LTI 1.1
(IMS LTI 1.1.1, appendix A.2), URIs in LTI 1.3 (appendix A.2.3), where a sub-role stands behind its principal role.

What each LMS sends is in its own source:
- Canvas: lib/lti/substitutions_helper.rb (all maps), gems/lti_outbound/…/lti_role.rb (1.1). An observer may come as
  Learner/NonCreditLearner beside Mentor; a TA of LTI 1.3 once as membership/instructor#….
- Moodle: mod/lti/locallib.php, lti_get_ims_role: Learner or Instructor, and beside it what an administrator is.
- Open edX: openedx/xblock-lti-consumer, LTI_1P1_ROLE_MAP (lti_xblock.py) and LTI_1P3_ROLE_MAP (lti_1p3/constants.py).
  Who teaches is `Administrator` in LTI 1.1; releases before 2026 say in LTI 1.3 nothing of the course at all.
- Sakai: SakaiLTIUtil.java, getFallBackRole: Learner or Instructor.
- Blackboard: Learner, and each privileged role as Instructor or as the administrator chose (release notes 3900.17).
- Brightspace: institution and course alike, "urn:lti:instrole:ims/lis/Learner,Learner", as its administrator mapped them
  (D2L, "Configure Learning Tool Interoperability Legacy (LTI 1.1) Support").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

# Of a user that the LMS made for a look at the course as a student (LTI 1.3, A.2.4).
_TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#testuser"
_IN_COURSE = re.compile(
    r"(?:urn:lti:role:ims/lis/|http://purl\.imsglobal\.org/vocab/lis/v2/membership[#/])?(\w+)(?:[/#](\w+))?",
    re.IGNORECASE | re.ASCII,
)
_PERSON = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"


class Part(Enum):
    """What somebody is in a course."""

    NONE = "none"
    STUDENT = "student"
    STAFF = "staff"


_PARTS = {
    "learner": Part.STUDENT,
    "learnerrole": Part.STUDENT,
    "instructor": Part.STAFF,
    "teachingassistant": Part.STAFF,
    "contentdeveloper": Part.STAFF,
}
# Looks things up for others, and has no business with grades.
_NOT = {("contentdeveloper", "librarian")}
# Spellings of one LMS that mean nothing in another's mouth, in lower case.
_OF_ONE_LMS = {
    "openedx": {
        "student": Part.STUDENT,
        "administrator": Part.STAFF,
        f"{_PERSON}student": Part.STUDENT,
        f"{_PERSON}instructor": Part.STAFF,
    },
    "brightspace": {"student": Part.STUDENT},
}


def part(roles: Iterable[str], lms: str = "") -> Part:
    """Return what somebody with these roles is in the course; who is staff and student is staff. `lms` as in `presets`."""
    given = [role.strip().lower() for role in roles]
    found = [(match[1], match[2] or "") for role in given if (match := _IN_COURSE.fullmatch(role))]
    observes = any(principal == "mentor" for principal, _ in found)
    parts = {_OF_ONE_LMS.get(lms, {}).get(role, Part.NONE) for role in given}
    parts |= {
        _PARTS.get(principal, Part.NONE)
        for principal, sub in found
        if (principal, sub) not in _NOT and not (observes and sub == "noncreditlearner")
    }
    return Part.STAFF if Part.STAFF in parts else Part.STUDENT if Part.STUDENT in parts else Part.NONE


def is_test_user(roles: Iterable[str]) -> bool:
    """Whether the LMS made this user for a look at the course as a student: Canvas's "Student View", in LTI 1.3."""
    return any(role.strip().lower() == _TEST_USER for role in roles)
