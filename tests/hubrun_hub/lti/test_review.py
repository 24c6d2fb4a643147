"""An LMS asks to look at a submission: who gets where."""

from __future__ import annotations

import pytest

from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.launch import REVIEW, Course, Launch
from hubrun_hub.lti.refusals import Refusal
from hubrun_hub.lti.review import reviewed
from hubrun_hub.lti.services.claims import Services

USERS, CHOSEN = {"ada": "id-1", "bob/x": "id-2"}, {"ps 1": "link-1", "ps2": ""}
FORMGRADER = "/hub/user-redirect/formgraders/bio/formgrader/manage_students"


def launch(role: str, asked: object, link: str = "", me: str = "id-9") -> Launch:
    return Launch(
        Consumer("default", ""), "", (role,), Course("bio"), "", ids=(("sub", me),), services=Services(link=link),
        message=REVIEW, asks={"for_user": asked},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "link", "target"),
    [
        ({"user_id": "id-1"}, "", "/ada"), ({"user_id": "id-1"}, "link-1", "/ada/ps%201"), ({"user_id": "id-2"}, "x", "/bob%2Fx"),
        ({"user_id": "nobody"}, "link-1", ""), ({}, "", ""), (7, "", ""), (None, "", ""),
    ],
)  # fmt: skip
def test_staff_gets_to_that_persons_page_in_formgrader(asked: object, link: str, target: str) -> None:
    assert reviewed(launch("Instructor", asked, link), "bio", USERS, CHOSEN).target == FORMGRADER + target


def test_a_student_asks_for_themself_alone() -> None:
    assert reviewed(launch("Learner", {"user_id": "id-9"}), "bio", USERS, CHOSEN).target == ""
    for role in ("Learner", "Mentor"):
        with pytest.raises(Refusal):
            reviewed(launch(role, {"user_id": "id-1"}), "bio", USERS, CHOSEN)
