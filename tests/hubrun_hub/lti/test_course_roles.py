"""Observers, Test Students, and what teachers see of a course and its people: in a real hub."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from hubrun_hub import test_student
from lti_hub import Browser, Hub, form, running_hub
from lti_platform import MEMBERSHIP, Lms

pytestmark = [pytest.mark.hub, pytest.mark.timeout(180)]

OBSERVER = "urn:lti:instrole:ims/lis/Observer,urn:lti:role:ims/lis/Mentor"
TEST_USER = [f"{MEMBERSHIP}#Learner", "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"]
# Servers that answer, and a note of each home that went for good.
SPAWNER = """
import asyncio, socket
from jupyterhub.spawner import Spawner

class Small(Spawner):
    process = None

    async def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", "consumers.d")
        return "127.0.0.1", port

    async def poll(self):
        return None if self.process and self.process.returncode is None else 0

    async def stop(self, now=False):
        self.process.terminate()
        await self.process.wait()

    def delete_forever(self):
        with open("gone", "a") as file:
            file.write(self.user.name + "\\n")

c.JupyterHub.spawner_class = Small
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("roles") / "hub", SPAWNER) as hub:
        yield hub


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that shows a page to who has no part in the course."""
    settings = 'c.LaunchAuthenticator.outside_course = "page"\n'
    with running_hub(tmp_path_factory.mktemp("strict") / "hub", settings) as hub:
        yield hub


def launch(
    hub: Hub, user: str, roles: str = "Learner", context_id: str | None = "bio", **fields: str | None
) -> Browser:
    browser = Browser(hub)
    answer = browser.post("/hub/lti/launch", form(user, roles=roles, context_id=context_id, **fields))
    assert answer.logged_in, answer.reason
    return browser


def wait(until: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# ------------------------------------------------------------------------------------------------ who is in


def test_an_observer_comes_in_and_is_in_no_course(hub: Hub) -> None:
    launch(hub, "omar", OBSERVER)
    assert hub.groups("omar") == set()
    assert "omar is neither student nor staff of the course launched from: roles" in hub.log


def test_who_becomes_an_observer_cannot_hand_in_any_more(hub: Hub) -> None:
    """The versions before let all of them in as students."""
    launch(hub, "olga", "Learner")
    launch(hub, "olga", "Instructor", "chem")
    launch(hub, "olga", OBSERVER)
    assert hub.groups("olga") == {"course-chem", "course-chem-instructors"}, "another course is not touched"
    launch(hub, "olga", "Learner")
    assert "course-bio" in hub.groups("olga")


def test_a_site_may_show_them_a_page(strict: Hub) -> None:
    launch(strict, "olga", "Learner")
    for roles in (OBSERVER, "urn:lti:instrole:ims/lis/Administrator", "urn:lti:instrole:ims/lis/Guest", ""):
        answer = Browser(strict).post("/hub/lti/launch", form("olga", roles=roles, context_id="bio"))
        assert (answer.status, answer.reason, answer.logged_in) == (403, "not-in-course", False)
        assert strict.groups("olga") == set(), "who came as a student before is none any more"
        launch(strict, "olga", "Learner")
    assert Browser(strict).post("/hub/lti/launch", form("otto", roles=OBSERVER)).reason == "not-in-course"
    assert "otto" not in strict.users()


def test_the_page_is_not_for_the_hubs_own_administrators_nor_outside_a_course(strict: Hub) -> None:
    launch(strict, "root-of-all", "urn:lti:instrole:ims/lis/Administrator")
    launch(strict, "oscar", OBSERVER, None, context_label=None, context_title=None)
    assert strict.groups("root-of-all") == strict.groups("oscar") == set()


# ------------------------------------------------------------------------------------------------ Test Student


def student_view(hub: Hub, number: int, course: str = "bio", **fields: str | None) -> str:
    """A launch of LTI 1.1 as Canvas sends it in "Student View"; the hub user."""
    says: dict[str, Any] = {
        "user_id": f"opaque-fake-{number}", "lis_person_name_full": "Test Student", "context_id": course,
        "lis_person_contact_email_primary": None, "custom_canvas_user_login_id": f"{number:040x}",
    }  # fmt: skip
    browser = Browser(hub)
    answer = browser.post("/hub/lti/launch", form(None, **(says | fields)))
    assert answer.logged_in, answer.reason
    user = test_student.name(f"opaque-fake-{number}")
    assert browser.user == user
    return user


def test_students(hub: Hub) -> set[str]:
    return {user for user in hub.users() if test_student.is_one(user)}


test_students.__test__ = False  # type: ignore[attr-defined]


def test_test_students_come_in_work_and_leave_one_home_behind(hub: Hub) -> None:
    launch(hub, "ada")
    launch(hub, "test-student")
    for number in range(1, 5):
        user = student_view(hub, number, "bio" if number % 2 else "chem")
        assert hub.groups(user) == {"course-bio" if number % 2 else "course-chem"}, "as a student, and of this course"
        hub.api("POST", f"/users/{user}/server")
        wait(lambda: hub.api("GET", f"/users/{user}")["servers"].get("", {}).get("ready", False))  # noqa: B023
        assert student_view(hub, number, "bio" if number % 2 else "chem") == user, "comes back to the same home"
        hub.api("DELETE", f"/users/{user}/server")
        wait(lambda: not hub.api("GET", f"/users/{user}")["servers"])  # noqa: B023
        wait(lambda: test_students(hub) == {user})  # noqa: B023
    gone = (hub.folder / "gone").read_text().split()
    assert gone == [test_student.name(f"opaque-fake-{number}") for number in range(1, 4)]
    assert {"ada", "test-student"} <= hub.users(), "nobody else goes"
    with sqlite3.connect(hub.folder / "lti_people.sqlite") as people:
        assert "opaque-fake" not in " ".join(people.iterdump()), "of nobody, nothing is kept"


def test_who_is_at_work_is_not_thrown_out_by_another_course(hub: Hub) -> None:
    first = student_view(hub, 11, "bio")
    hub.api("POST", f"/users/{first}/server")
    wait(lambda: hub.api("GET", f"/users/{first}")["servers"].get("", {}).get("ready", False))
    second = student_view(hub, 12, "chem")
    wait(lambda: test_students(hub) == {first, second})
    time.sleep(1)
    assert test_students(hub) == {first, second}
    hub.api("DELETE", f"/users/{first}/server")
    wait(lambda: test_students(hub) == {second})
    # In the same course Canvas has put another into their place ("Reset Student").
    hub.api("POST", f"/users/{second}/server")
    wait(lambda: hub.api("GET", f"/users/{second}")["servers"].get("", {}).get("ready", False))
    third = student_view(hub, 13, "chem")
    wait(lambda: test_students(hub) == {third})
    assert second in (hub.folder / "gone").read_text().split()


def test_the_test_student_of_lti_1_3_is_known_by_the_role(hub: Hub) -> None:
    lms = Lms()
    lms.write(hub.folder / "consumers.d")
    browser = Browser(hub)
    assert lms.launch(browser, None, sub="fake-1-3", roles=TEST_USER, context={"id": "bio"}).logged_in
    assert browser.user == test_student.name("fake-1-3")
    assert hub.groups(browser.user) == {"course-bio"}
    wait(lambda: test_students(hub) == {browser.user})
    lms.close()


def test_a_teachers_link_makes_nobody_a_test_student(hub: Hub) -> None:
    """Where the LMS tells neither names nor logins, a link could: whoever comes by it would lose what they make."""
    query = f"lis_person_name_full=Test%20Student&custom_canvas_user_login_id={1:040x}"
    fields = {
        "lis_person_name_full": None, "custom_canvas_user_login_id": None, "lis_person_contact_email_primary": None,
        "user_id": "opaque-nora",
    }  # fmt: skip
    browser = Browser(hub)
    url = f"https://hub.example.edu:8443/hub/lti/launch?{query}"
    browser.post(f"/hub/lti/launch?{query}", form(None, url=url, **fields))
    assert test_student.name("opaque-nora") not in hub.users()


def test_each_consumer_has_test_students_of_its_own(hub: Hub) -> None:
    ours = student_view(hub, 21)
    hub.consumer("uni2", "key-of-uni2", "secret-of-uni2")
    browser = Browser(hub)
    fields = {"lis_person_name_full": "Test Student", "lis_person_contact_email_primary": None}
    answer = browser.post(
        "/hub/lti/launch",
        form(
            None, key="key-of-uni2", secret="secret-of-uni2", user_id="opaque-fake-22",
            custom_canvas_user_login_id=f"{22:040x}", **fields,
        ),
    )  # fmt: skip
    assert answer.logged_in
    theirs = browser.user
    assert theirs == test_student.name("opaque-fake-22", "uni2")
    time.sleep(1)
    assert {ours, theirs} <= test_students(hub)


# ------------------------------------------------------------------------------------------------ what people see


def group(hub: Hub, name: str) -> dict[str, Any]:
    [found] = [group for group in hub.api("GET", "/groups") if group["name"] == name]
    return dict(found["properties"])


def test_a_course_gets_a_folder_that_people_can_read_and_keeps_it(hub: Hub) -> None:
    launch(hub, "ada", context_id="x1", context_label="BIO 101 / Frühling", context_title="Biology")
    assert group(hub, "course-x1")["folder"] == "BIO 101 - Frühling"
    launch(hub, "ada", context_id="x1", context_label="BIO 102", context_title="Biology II")
    assert group(hub, "course-x1")["folder"] == "BIO 101 - Frühling", "students' files are in it"
    assert group(hub, "course-x1")["label"] == "BIO 102", "what is shown follows"
    launch(hub, "ada", context_id="x2", context_label="bio 101 / frühling", context_title="Biology")
    assert group(hub, "course-x2")["folder"] == "Biology", "no two courses are in one folder"
    launch(hub, "ada", context_id="x3", context_label="x2", context_title="")
    assert group(hub, "course-x3")["folder"] == "x2 2", "nor where another's id is the name"


def test_a_course_that_the_version_before_knew_gets_its_folder_with_the_next_launch(hub: Hub) -> None:
    launch(hub, "ada", context_id="old", context_label="OLD 1")
    hub.api("PUT", "/groups/course-old/properties", json={"label": "OLD 1"})
    launch(hub, "ben", context_id="old", context_label="OLD 1")
    assert group(hub, "course-old")["folder"] == "OLD 1"


def names(hub: Hub, token: str, course: str = "bio", **request: Any) -> httpx.Response:
    return httpx.get(
        f"http://127.0.0.1:{hub.port}/hub/lti/names/{course}", headers={"Authorization": f"token {token}"}, verify=False,
        **request,
    )  # fmt: skip


def token(hub: Hub, user: str, *scopes: str) -> str:
    made = hub.api("POST", f"/users/{user}/tokens", json={"scopes": list(scopes)} if scopes else {})
    return str(made["token"])


def test_a_teachers_server_is_told_the_names_of_the_course_and_nobody_elses_is(hub: Hub) -> None:
    launch(
        hub, "bea", lis_person_name_full="Bea Body", lis_person_name_given="Bea", lis_person_name_family="=Body",
        custom_next=None,
    )  # fmt: skip
    launch(hub, "carl", lis_person_name_full="Carl Chem", context_id="chem")
    teacher = launch(hub, "tess", "Instructor", lis_person_name_full="Tess Teacher")
    found = names(hub, token(hub, "tess")).json()
    assert found["bea"] == "Bea\tBody" and found["tess"] == "Tess Teacher"
    assert "carl" not in found, "of another course"
    # What a person's own server has.
    assert names(hub, token(hub, "tess", "users:activity!user", "access:servers!user")).status_code == 200
    # What another's server gets of the teacher when they visit it.
    assert names(hub, token(hub, "tess", "access:servers!user", "read:users:name!user")).status_code == 403
    for user, course in (("bea", "bio"), ("tess", "chem"), ("tess", "bio-instructors"), ("carl", "bio")):
        assert names(hub, token(hub, user), course).status_code == 403
    assert names(hub, "no-token").status_code == 403
    assert names(hub, hub.token).status_code == 403, "a service teaches nothing"
    assert teacher.get("/hub/lti/names/bio").status == 403, "what is in a browser is no reason to tell"
    assert names(hub, "none", params={"token": token(hub, "tess")}).status_code == 403


def test_a_name_goes_with_its_user_and_is_in_no_log(hub: Hub) -> None:
    launch(hub, "zoe", lis_person_name_full="Zoe Zebra", lis_person_name_given=None)
    file = hub.folder / "lti_full_names.sqlite"
    assert file.stat().st_mode & 0o077 == 0
    assert b"Zoe Zebra" in file.read_bytes() and "Zebra" not in hub.log
    hub.api("DELETE", "/users/zoe")
    with sqlite3.connect(file) as db:
        assert not db.execute("SELECT * FROM full_name WHERE user = 'zoe'").fetchall()


def test_a_links_own_address_does_not_name_people(hub: Hub) -> None:
    url = "https://hub.example.edu:8443/hub/lti/launch?lis_person_name_full=Everybody"
    answer = Browser(hub).post(
        "/hub/lti/launch?lis_person_name_full=Everybody",
        form("nina", url=url, lis_person_name_full=None, context_id="bio"),
    )
    assert answer.logged_in
    assert "nina" not in names(hub, token(hub, "tess")).json()


def test_names_that_cannot_be_written_keep_nobody_out(hub: Hub) -> None:
    file = hub.folder / "lti_full_names.sqlite"
    good = file.read_bytes()
    file.write_bytes(b"not a database" * 100)
    try:
        launch(hub, "yves", lis_person_name_full="Yves")
        assert "lti_full_names.sqlite cannot be written" in hub.log
    finally:
        file.write_bytes(good)
