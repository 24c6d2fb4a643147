"""What the hub keeps of a launch for a later change of lti_username_key, tried on a real JupyterHub."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lti_hub import LAUNCH_URL, Browser, Hub, form, running_hub
from lti_platform import Lms

pytestmark = pytest.mark.hub

LOGIN = "custom_canvas_user_login_id"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


def notes(hub: Hub) -> Path:
    return hub.folder / "lti_people.sqlite"


def noted(hub: Hub, user: str) -> dict[tuple[str, str], tuple[str, str, str]]:
    """(field, version) → (value, consumer, prefix)"""
    query = "SELECT field, version, value, consumer, prefix FROM identity WHERE user = ?"
    with closing(sqlite3.connect(notes(hub))) as db:
        return {tuple(row[:2]): tuple(row[2:]) for row in db.execute(query, (user,))}


def test_each_field_that_may_say_who_somebody_is_is_noted_with_both_versions_of_user_id(hub: Hub) -> None:
    hub.consumer("bio", "key-of-bio", "secret-of-bio")
    launch = form("Ada", key="key-of-bio", secret="secret-of-bio", **{LOGIN: "Ada.L", "user_id": "opaque"})
    assert Browser(hub).post("/hub/lti/launch", launch).logged_in
    assert noted(hub, "bio__ada") == {
        ("lis_person_sourcedid", ""): ("Ada", "bio", "bio"),
        (LOGIN, ""): ("Ada.L", "bio", "bio"),
        ("lis_person_contact_email_primary", ""): ("somebody@example.edu", "bio", "bio"),
        ("user_id", "1.1"): ("opaque", "bio", "bio"),
    }
    lms = Lms()
    try:
        lms.write(hub.folder / "consumers.d", "bio", prefix="bio")
        assert lms.launch(Browser(hub), "ada", sub="subject").status == 302
    finally:
        lms.close()
        (hub.folder / "consumers.d" / "bio.json").unlink()
    after = noted(hub, "bio__ada")
    assert (after["user_id", "1.1"][0], after["user_id", "1.3"][0]) == ("opaque", "subject")
    assert (after["lis_person_sourcedid", ""][0], after[LOGIN, ""][0]) == ("ada", "Ada.L")
    assert notes(hub).stat().st_mode & 0o777 == 0o600
    assert "Ada.L" not in hub.log and "opaque" not in hub.log


def test_what_the_address_of_a_link_says_of_somebody_is_not_noted(hub: Hub) -> None:
    query = f"{LOGIN}=victim"
    launch = form("bob", url=f"{LAUNCH_URL}?{query}", **{LOGIN: "victim"})
    assert Browser(hub).post(f"/hub/lti/launch?{query}", launch).logged_in
    assert (LOGIN, "") not in noted(hub, "bob")
    assert ("lis_person_sourcedid", "") in noted(hub, "bob")


def test_a_link_that_names_a_student_opens_nobody_elses_home(hub: Hub) -> None:
    """Canvas has no SIS id of some teachers, nor of Student View. Then it signs what the link's address says of them."""
    assert Browser(hub).post("/hub/lti/launch", form("eve", user_id="eve-in-canvas")).logged_in
    link = f"{LAUNCH_URL}?lis_person_sourcedid=eve"
    assert Browser(hub).post("/hub/lti/launch", form(None, url=link, user_id="teacher")).reason == "other-person"
    assert Browser(hub).post("/hub/lti/launch", form("eve", user_id="eve-in-canvas")).logged_in, "and Eve stays Eve"
    assert noted(hub, "eve")["user_id", "1.1"][0] == "eve-in-canvas"
    assert "teacher" not in hub.log


def test_an_lms_that_has_another_id_in_each_course_is_not_held_to_one(hub: Hub) -> None:
    """Open edX has, by default; it is not Canvas, whose links could say who comes."""
    family = {"tool_consumer_info_product_family_code": "openedx"}
    for course in ("one", "two"):
        assert Browser(hub).post("/hub/lti/launch", form("fay", user_id=course, **family)).logged_in


def test_an_account_that_was_merged_comes_in_again_once_the_old_one_is_forgotten(hub: Hub) -> None:
    assert Browser(hub).post("/hub/lti/launch", form("gus", user_id="old")).logged_in
    assert Browser(hub).post("/hub/lti/launch", form("gus", user_id="new")).reason == "other-person"
    with closing(sqlite3.connect(notes(hub))) as db, db:
        db.execute("DELETE FROM identity WHERE user = 'gus' AND field = 'user_id'")
    assert Browser(hub).post("/hub/lti/launch", form("gus", user_id="new")).logged_in


def test_what_is_kept_of_somebody_goes_with_their_user(hub: Hub) -> None:
    assert Browser(hub).post("/hub/lti/launch", form("cho")).logged_in
    assert noted(hub, "cho")
    hub.api("DELETE", "/users/cho")
    assert noted(hub, "cho") == {}


def test_a_launch_goes_on_when_nothing_can_be_noted_and_the_log_says_so(hub: Hub) -> None:
    aside = notes(hub).rename(notes(hub).with_suffix(".aside"))
    notes(hub).mkdir()
    try:
        assert Browser(hub).post("/hub/lti/launch", form("dot", **{LOGIN: "secret-login"})).logged_in
    finally:
        notes(hub).rmdir()
        aside.rename(notes(hub))
    assert "dot is not noted" in hub.log and "secret-login" not in hub.log
