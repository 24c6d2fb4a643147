"""Who joins a course: the roles that six LMSs send, as their own sources make them (see hubrun_hub/lti/roles.py)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubrun_hub import test_student
from hubrun_hub.lti import launch11, user_names
from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.full_names import full_name
from hubrun_hub.lti.groups import part_in
from hubrun_hub.lti.launch import Course, Launch
from hubrun_hub.lti.roles import Part, is_test_user, part

ROLE, INSTITUTION, SYSTEM = "urn:lti:role:ims/lis/", "urn:lti:instrole:ims/lis/", "urn:lti:sysrole:ims/lis/"
LIS = "http://purl.imsglobal.org/vocab/lis/v2/"
MEMBER, PERSON = f"{LIS}membership#", f"{LIS}institution/person#"
TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"
NONE, STUDENT, STAFF = Part.NONE, Part.STUDENT, Part.STAFF

# LMS, what its field `roles` says (in LTI 1.1 with commas), and what that is in the course.
TABLE = [
    # Canvas, LTI 1.1: current_lis_roles of lib/lti/substitutions_helper.rb with LtiUserCreator's ENROLLMENT_MAP.
    ("canvas", "Learner", STUDENT),
    ("canvas", "Instructor", STAFF),
    ("canvas", f"{ROLE}TeachingAssistant", STAFF),
    ("canvas", "ContentDeveloper", STAFF),
    ("canvas", f"{INSTITUTION}Observer,{ROLE}Mentor", NONE),
    ("canvas", f"{INSTITUTION}Administrator", NONE),
    ("canvas", f"Instructor,{INSTITUTION}Administrator", STAFF),
    ("canvas", f"{SYSTEM}None", NONE),
    ("canvas", f"{INSTITUTION}Administrator,{SYSTEM}SysAdmin", NONE),
    ("canvas", f"Learner,{INSTITUTION}Observer,{ROLE}Mentor", STUDENT),
    # ... and as its ext_roles has it (LIS_ROLE_MAP).
    ("canvas", f"{INSTITUTION}Student,{ROLE}Learner/NonCreditLearner,{ROLE}Mentor,{SYSTEM}User", NONE),
    ("canvas", f"{INSTITUTION}Student,{ROLE}Learner,{SYSTEM}User", STUDENT),
    # Canvas, LTI 1.3: LIS_V2_LTI_ADVANTAGE_ROLE_MAP.
    ("canvas", [f"{MEMBER}Learner", f"{PERSON}Student", f"{LIS}system/person#User"], STUDENT),
    ("canvas", [f"{MEMBER}Instructor", f"{PERSON}Instructor", f"{LIS}system/person#User"], STAFF),
    ("canvas", [f"{LIS}membership/Instructor#TeachingAssistant", f"{MEMBER}Instructor"], STAFF),
    ("canvas", [f"{LIS}membership/instructor#TeachingAssistant"], STAFF),
    ("canvas", [f"{MEMBER}ContentDeveloper", f"{PERSON}Instructor"], STAFF),
    ("canvas", [f"{MEMBER}Mentor", f"{PERSON}Observer", f"{LIS}system/person#User"], NONE),
    ("canvas", [f"{PERSON}Administrator", f"{LIS}system/person#User"], NONE),
    ("canvas", [f"{MEMBER}Learner", TEST_USER, f"{LIS}system/person#User"], STUDENT),
    ("canvas", [f"{LIS}system/person#None"], NONE),
    # A group of Canvas: its members are in no course by that.
    ("canvas", [f"{MEMBER}Member", f"{MEMBER}Manager"], NONE),
    # Moodle: lti_get_ims_role of mod/lti/locallib.php, and its tests.
    ("moodle", "Learner", STUDENT),
    ("moodle", "Instructor", STAFF),
    ("moodle", f"Instructor,{SYSTEM}Administrator,{INSTITUTION}Administrator", STAFF),
    ("moodle", f"{SYSTEM}Administrator,{INSTITUTION}Administrator", NONE),
    ("moodle", f"Instructor,{LIS}person#Administrator", STAFF),
    ("moodle", [f"{PERSON}Administrator", f"{MEMBER}Instructor", f"{LIS}system/person#Administrator"], STAFF),
    ("moodle", [f"{MEMBER}Learner"], STUDENT),
    ("moodle", "", NONE),
    # Open edX: xblock-lti-consumer, LTI_1P1_ROLE_MAP, LTI_1P3_ROLE_MAP, and the latter as it was up to 2025.
    ("openedx", "Student,Learner", STUDENT),
    ("openedx", "Student", STUDENT),
    ("openedx", "Administrator", STAFF),
    ("openedx", "Instructor", STAFF),
    ("openedx", [f"{LIS}system/person#None", f"{PERSON}None", f"{MEMBER}Learner"], STUDENT),
    ("openedx", [f"{LIS}system/person#None", f"{PERSON}None", f"{MEMBER}Instructor"], STAFF),
    ("openedx", [f"{MEMBER}Learner", f"{LIS}membership/Instructor#TeachingAssistant"], STAFF),
    ("openedx", [f"{PERSON}Student"], STUDENT),
    ("openedx", [f"{PERSON}Instructor", f"{PERSON}Student"], STAFF),
    # Sakai: getFallBackRole of SakaiLTIUtil.java.
    ("sakai", "Learner", STUDENT),
    ("sakai", "Instructor", STAFF),
    ("sakai", f"Instructor,Administrator,{SYSTEM}Administrator,{INSTITUTION}Administrator", STAFF),
    ("sakai", [f"{MEMBER}Learner"], STUDENT),
    ("sakai", [f"{MEMBER}Guest", f"{PERSON}Guest"], NONE),
    # Blackboard: course roles as its administrator maps them.
    ("blackboard", f"{ROLE}Learner", STUDENT),
    ("blackboard", f"{ROLE}Instructor", STAFF),
    ("blackboard", f"{ROLE}TeachingAssistant/Grader", STAFF),
    ("blackboard", [f"{MEMBER}Learner", f"{PERSON}Student"], STUDENT),
    ("blackboard", [f"{MEMBER}ContentDeveloper"], STAFF),
    ("blackboard", [f"{PERSON}Guest"], NONE),
    ("blackboard", [f"{PERSON}Observer", f"{PERSON}Faculty"], NONE),
    # Brightspace: the full URN of the institution, and the short name.
    ("brightspace", f"{INSTITUTION}Learner,Learner", STUDENT),
    ("brightspace", f"{INSTITUTION}Student,Student,{INSTITUTION}Learner,Learner", STUDENT),
    ("brightspace", f"{INSTITUTION}Student,Student", STUDENT),
    ("brightspace", f"{INSTITUTION}Instructor,Instructor", STAFF),
    ("brightspace", f"{INSTITUTION}Observer,Observer", NONE),
    ("brightspace", f"{INSTITUTION}Guest,Guest", NONE),
    ("brightspace", f"{INSTITUTION}Administrator,Administrator,{SYSTEM}User", NONE),
    ("brightspace", [f"{MEMBER}Mentor", f"{PERSON}Mentor"], NONE),
    # What one LMS calls so, another does not mean so.
    ("canvas", "Student", NONE),
    ("canvas", "Administrator", NONE),
    ("canvas", [f"{PERSON}Instructor"], NONE),
    # The vocabulary itself.
    ("canvas", "LearnerRole", STUDENT),
    ("canvas", " learner ", STUDENT),
    ("canvas", f"{ROLE}Learner/GuestLearner", STUDENT),
    ("canvas", [f"{LIS}membership/Learner#Instructor"], STUDENT),
    ("canvas", [f"{LIS}membership/Learner#NonCreditLearner"], STUDENT),
    ("canvas", [f"{LIS}membership/Mentor#Instructor", f"{LIS}membership/Mentor#LearnerAdvisor"], NONE),
    ("canvas", [f"{LIS}membership/Administrator#Support", f"{LIS}membership#Officer"], NONE),
    ("canvas", f"{ROLE}ContentDeveloper/ContentExpert", STAFF),
    ("canvas", f"{ROLE}ContentDeveloper/Librarian", NONE),
    ("canvas", "Learner\u0130,Instruct\u00f6r,Lear\u0000ner", NONE),
    ("canvas", [f"{MEMBER}Learner/../Instructor", f"https://evil.example/?{MEMBER}Instructor"], NONE),
]  # fmt: skip


def groups_of(lms: str, roles: str | list[str]) -> Part:
    given = tuple(roles.split(",")) if isinstance(roles, str) else tuple(roles)
    return part_in(Launch(Consumer("x", "", lms=lms), "ada", given, Course("1"), ""))


@pytest.mark.parametrize(("lms", "roles", "expected"), TABLE)
def test_a_role_in_the_course_says_who_joins_it(lms: str, roles: str | list[str], expected: Part) -> None:
    assert groups_of(lms, roles) is expected


def test_the_table_is_of_six_lmss() -> None:
    assert {lms for lms, _, _ in TABLE} == {"canvas", "moodle", "openedx", "sakai", "blackboard", "brightspace"}


def test_from_outside_a_course_nobody_has_a_part() -> None:
    assert part_in(Launch(Consumer("x", ""), "ada", ("Instructor",), None, "")) is Part.NONE


@settings(deadline=None)
@given(st.lists(st.text(max_size=40)), st.sampled_from(["", "canvas", "openedx", "nonsense"]))
def test_whatever_a_role_is_called_something_is_decided(roles: list[str], lms: str) -> None:
    known = ("learner", "instructor", "teachingassistant", "contentdeveloper", "student", "administrator")
    found = part(roles, lms)
    assert found is NONE or any(word in role.lower() for role in roles for word in known)


# ------------------------------------------------------------------------------------------------ Test Student

FAKE = {
    "lis_person_name_full": "Test Student",
    "custom_canvas_user_login_id": "f0d1b2c3a4958677685940312203f4e5d6c7b8a9", "roles": "Learner", "user_id": "535fa0",
}  # fmt: skip


def test_the_test_student_is_known_by_their_role_in_lti_1_3() -> None:
    assert is_test_user([f"{MEMBER}Learner", TEST_USER])
    assert not is_test_user([f"{MEMBER}Learner", f"{PERSON}TestUser", "TestUser"])


def test_the_test_student_of_lti_1_1_is_known_by_all_that_makes_one() -> None:
    assert launch11.is_test_student("canvas", FAKE)


@pytest.mark.parametrize(
    "changes",
    [
        {"lis_person_name_full": "Ada Lovelace"},
        {"lis_person_sourcedid": "a1"},
        {"lis_person_contact_email_primary": "ada@example.edu"},
        {"custom_canvas_user_login_id": "ada"},
        {"custom_canvas_user_login_id": "F0D1B2C3A4958677685940312203F4E5D6C7B8A9"},
    ],
)
def test_nobody_who_is_somebody_is_taken_for_the_test_student(changes: dict[str, str]) -> None:
    """Who is called Test Student, or can write that name into their profile, keeps a home."""
    assert not launch11.is_test_student("canvas", FAKE | changes)


def test_in_another_lms_nobody_is_the_test_student_of_canvas() -> None:
    assert not launch11.is_test_student("moodle", FAKE)


identities = st.one_of(
    st.text(max_size=60), st.from_regex(r"([a-z0-9]{1,12}__)?test-student-{1,4}[a-z2-7]{12}", fullmatch=True),
    st.just(test_student.name("1")), st.just(f"bio__{test_student.name('1')}"),
)  # fmt: skip


@settings(deadline=None)
@given(identities, st.sampled_from(["", "bio", "a" * 12]), st.booleans())
def test_nobody_gets_the_name_of_a_test_student(identity: str, prefix: str, exact: bool) -> None:
    """Whoever can choose their login could otherwise have a home that the hub throws away, or see that of a teacher."""
    try:
        user = user_names.hub_name(identity, prefix, exact=exact)
    except user_names.NoIdentity:
        return
    assert not test_student.is_one(user)


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "bio", "z9" * 6]))
def test_a_test_student_is_one_of_their_consumer(stable_id: str, prefix: str) -> None:
    name = test_student.name(stable_id, prefix)
    assert test_student.is_one(name) and test_student.prefix_of(name) == prefix
    assert len(user_names.escaped(name)) <= user_names.ESCAPED_LIMIT


# ------------------------------------------------------------------------------------------------ people's names


@pytest.mark.parametrize(
    ("given_by_lms", "kept"),
    [
        (("Ada King Lovelace", "Ada", "King Lovelace"), "Ada\tKing Lovelace"),
        (("Ada Lovelace", None, None), "Ada Lovelace"),
        ((None, "Ada", None), "Ada"),
        ((None, None, None), ""),
        ((7, ["Ada"], {}), ""),
        (("=HYPERLINK(\"https://evil.example\")", "@cmd", "+1-2"), "cmd\t1-2"),
        (("-2+3\r\n=cmd|' /C calc'!A0", "", ""), "2+3 =cmd|' /C calc'!A0"),
        (("Ada\u202eecalevoL\x00\x1b[31m", "", ""), "Ada ecalevoL [31m"),
        (("Zoë  \t Ångström ", "", ""), "Zoë Ångström"),
        (("A" * 5000, "", ""), "A" * 100),
    ],
)  # fmt: skip
def test_names_are_text_that_a_spreadsheet_does_not_run(given_by_lms: tuple[object, ...], kept: str) -> None:
    assert full_name(*given_by_lms) == kept
