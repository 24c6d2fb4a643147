"""Grades, names and chosen links on a real JupyterHub: the LMS is lti_services, the gradebooks are read by the service's own code."""

from __future__ import annotations

import html
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubrun_hub.exams import collect, servers
from hubrun_hub.gradebooks.serve import serve
from hubrun_hub.lti.services import lms_dates
from hubrun_hub.programs import due
from lti_hub import PUBLIC_URL, Browser, Hub, form, running_hub
from lti_platform import MEMBERSHIP, Answer
from lti_services import Order, ServicesLms
from nbgrader_book import Book

pytestmark = pytest.mark.hub

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
RETURN = "https://canvas.example.edu/deep_linking_response"
TEACHER = [f"{MEMBERSHIP}#Instructor"]
SAME_SITE = {"Origin": PUBLIC_URL.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
SETTINGS = """
c.LaunchAuthenticator.services = True
c.LaunchAuthenticator.inner_addresses = True
c.LaunchAuthenticator.gradebook_socket = {socket!r}
"""


@pytest.fixture(scope="module")
def courses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("courses")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, courses: Path) -> Iterator[Hub]:
    path = str(tmp_path_factory.mktemp("run") / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                serve(connection, courses)

        threading.Thread(target=accept, daemon=True).start()
        with running_hub(tmp_path_factory.mktemp("hub"), SETTINGS.format(socket=path)) as hub:
            yield hub
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def lms(hub: Hub) -> Iterator[ServicesLms]:
    """An LMS of this test alone, and so its courses are."""
    lms = ServicesLms("the-key-of-canvas", "the-secret-of-canvas")
    lms.client_id = f"client-{time.monotonic_ns()}"
    (hub.folder / "consumers.d" / "default.json").write_text(lms.settings(token_url=lms.token_url, prefix=""))
    yield lms
    lms.close()
    assert lms.broken == []


class School:
    """A course with people who launched, and its gradebook."""

    def __init__(self, hub: Hub, lms: ServicesLms, courses: Path) -> None:
        self.hub, self.lms = hub, lms
        self.course = f"bio-{time.monotonic_ns()}"
        self.book = Book(courses, self.course)
        self.book.assignment("ps1")
        self.teacher = Browser(hub)
        assert self.launch(self.teacher, "tea", roles=TEACHER).logged_in
        lms.tool_keys = hub_keys(hub)

    def launch(self, browser: Browser, name: str, **claims: Any) -> Answer:
        context = {"id": self.course, "label": "BIO", "title": "Biology"}
        question = self.lms.begin(browser)
        said = self.lms.claims(question, name, context=context, **claims) | self.lms.services()
        return self.lms.answer(browser, question, self.lms.key.sign(said))

    def student(self, name: str, **claims: Any) -> Browser:
        self.lms.students[name] = (name.title(), "Learner", "Active")
        browser = Browser(self.hub)
        assert self.launch(browser, name, **claims).logged_in
        return browser

    @property
    def address(self) -> str:
        return f"/hub/lti/grades/{self.course}"

    def page(self, assignment: str = "ps1", query: str = "") -> str:
        answer = self.teacher.get(f"{self.address}?assignment={assignment}{query}")
        assert answer.status == 200, answer.response.text
        return answer.response.text

    def states(self, assignment: str = "ps1") -> dict[str, tuple[str, str, str]]:
        """Hub user → what the page says: points here, in the LMS, and what happens."""
        rows = re.findall(r'<tr data-state="(\w+)">(.*?)</tr>', self.page(assignment), re.DOTALL)
        found = {}
        for state, row in rows:
            head, here, there = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)[:3]
            user = re.search(r"<small[^>]*>([^<]*)</small>", head) or re.search(r"^\s*([^<\s]+)", head)
            assert user
            found[user.group(1)] = (here, there, state)
        return found

    def fields(self, page: str, do: str) -> dict[str, str]:
        """The hidden fields of the form with this button."""
        for each in re.findall(r"<form.*?</form>", page, re.DOTALL):
            if f'value="{do}"' in each:
                hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', each)
                return {name: html.unescape(value) for name, value in hidden} | {"do": do}
        raise AssertionError(f"no form to {do}")

    def post(self, fields: Any) -> str:
        answer = self.teacher.post(
            self.address, list(fields.items()) if isinstance(fields, dict) else fields, headers=SAME_SITE
        )
        if answer.status == 302:
            answer = self.teacher.get(answer.location)
        assert answer.status == 200, (answer.status, answer.response.text[-2000:])
        return answer.response.text

    def send(self, *by_hand: str) -> str:
        fields = self.fields(self.page(), "send")
        return self.post([*fields.items(), *(("by_hand", user) for user in by_hand)])


def hub_keys(hub: Hub) -> list[dict[str, str]]:
    """As an LMS gets them: where the hub publishes them. It signs with a key of its own from the first question on."""
    keys: list[dict[str, str]] = Browser(hub).get("/hub/lti13/jwks").response.json()["keys"]
    return keys


@pytest.fixture
def school(hub: Hub, lms: ServicesLms, courses: Path) -> School:
    school = School(hub, lms, courses)
    known = lms.verified
    # The key may be made at the first question: an LMS asks again for a key that it does not know.
    lms.verified = lambda token: known(token) or (setattr(lms, "tool_keys", hub_keys(hub)), known(token))[1]  # type: ignore[method-assign]
    return school


def test_grades_are_shown_first_and_sent_with_a_click_and_once(school: School) -> None:
    school.student("ada")
    school.student("bob")
    school.student("eve")
    school.book.submit("ps1", "ada", 2.0)
    school.book.submit("ps1", "bob", 1.0, waits=True)
    school.book.submit("ps1", "stranger", 1.0)
    assert school.states() == {
        "ada": ("2", "", "NEW"), "bob": ("1", "", "MANUAL"), "eve": ("", "", "MISSING"), "stranger": ("1", "", "UNKNOWN"),
    }  # fmt: skip
    assert (school.lms.columns, school.lms.posted) == ({}, []), "nothing is sent, and no column made, by a look"

    assert "1 of 1 grades arrived" in school.send()
    [column] = school.lms.columns.values()
    assert (column["label"], column["scoreMaximum"], column["resourceId"]) == ("ps1", 10.0, "nbgrader/ps1")
    assert [(each["userId"], each["scoreGiven"], each["scoreMaximum"]) for each in school.lms.posted] == [
        ("ada", 2.0, 10.0)
    ]
    assert school.states()["ada"] == ("2", "2", "SAME")
    assert "There was nothing to send" in school.send()
    assert len(school.lms.posted) == 1

    school.book.submit("ps1", "ada", 1.0)
    assert school.states()["ada"] == ("1", "2", "CHANGED")
    assert "1 of 1" in school.send()
    assert school.states()["ada"] == ("1", "1", "SAME")
    record = re.findall(r"<td>tea</td><td>ps1</td><td>(\w+)</td><td>([^<]*)</td><td>([^<]*)</td>", school.page())
    assert record == [("ada", "1 of 10", "arrived"), ("ada", "2 of 10", "arrived")]


def test_a_grade_that_was_changed_by_hand_is_named_and_not_overwritten_unasked(school: School) -> None:
    school.student("ada")
    school.student("bob")
    school.book.submit("ps1", "ada", 1.0)
    school.book.submit("ps1", "bob", 2.0)
    school.send()
    school.lms.by_hand("c1", "ada", 9.0)
    school.book.submit("ps1", "ada", 2.0)
    assert school.states() == {"ada": ("2", "9", "BY_HAND"), "bob": ("2", "2", "SAME")}
    assert "There was nothing to send" in school.send()
    assert "1 of 1" in school.send("ada", "bob")  # bob's is there, and is not sent again
    assert [each["userId"] for each in school.lms.posted].count("bob") == 1
    assert school.states()["ada"] == ("2", "2", "SAME")


def test_what_changed_since_it_was_shown_is_not_sent(school: School) -> None:
    school.student("ada")
    school.book.submit("ps1", "ada", 1.0)
    fields = school.fields(school.page(), "send")
    school.book.submit("ps1", "ada", 0.0)
    assert "something changed" in school.post(fields)
    assert school.lms.posted == []
    again = school.fields(school.page(), "send")
    school.post(again)
    assert "something changed" in school.post(again), "a second click on the same page"
    assert len(school.lms.posted) == 1


def test_a_maximum_that_the_lms_changed_and_a_failure_and_who_dropped(school: School) -> None:
    for name in ("ada", "bob", "eve"):
        school.student(name)
        school.book.submit("ps1", name, 2.0)
    school.lms.students["new"] = ("Newton", "Learner", "Active")
    school.lms.students["eve"] = ("Eve", "Learner", "Inactive")
    page = school.page(query="&names=again")
    assert "eve: is not in the course any more" in page and "Newton: never opened JupyterHub" in page
    assert school.states()["eve"] == ("2", "", "LEFT")
    school.lms.orders = [Order("/scores", 403)]
    page = school.send()
    assert "1 of 2 grades arrived" in page and "does the tool have the scopes" in page
    school.lms.columns["c1"]["scoreMaximum"] = 50
    states = school.states()
    assert sorted(state for _, _, state in states.values()) == ["LEFT", "NEW", "SAME"]
    assert "1 of 1" in school.send()
    assert len(school.lms.columns) == 1 and len(school.lms.posted) == 2
    assert {each["userId"] for each in school.lms.posted} == {"ada", "bob"}


# -- who is in the course, for formgrader


def told(school: School, user: str = "tea") -> Any:
    """What the server of this person is told of the course, as their own asks."""
    given = {"scopes": ["users:activity!user", "access:servers!user"]}
    token = school.hub.api("POST", f"/users/{user}/tokens", json=given)["token"]
    url = f"http://127.0.0.1:{school.hub.port}/hub/lti/roster/{school.course}"
    answer = httpx.get(url, headers={"Authorization": f"token {token}"}, verify=False)
    return answer.json() if answer.status_code == 200 else answer.status_code


def test_students_are_known_before_they_ever_came_by_the_user_that_their_launch_gives(school: School) -> None:
    lms, mine = school.lms, f"{time.monotonic_ns()}"
    sis = {name: f"{name}.{mine}" for name in ("nina", "olga", "paul", "quin")}
    ids = {name: f"{text}-id" for name, text in sis.items()}
    for name, id in ids.items():
        lms.students[id] = (f"{name.title()} Name", "Learner", "Active")
        lms.said[id] = {
            "lis_person_sourcedid": sis[name],
            "lti11_legacy_user_id": f"1-{id}",
            "family_name": "Name",
            "given_name": name.title(),
        }
    del lms.said[ids["olga"]]["lis_person_sourcedid"]
    lms.said[ids["quin"]]["lis_person_sourcedid"] = sis["paul"]  # who of them comes first has the name
    lms.students["colleague"] = ("Carl Colleague", "Instructor", "Active")
    found = told(school)
    assert found == {"names": {sis["nina"]: "Nina\tName"}, "students": [sis["nina"]], "left": []}
    page = school.page()
    assert "Nina Name: never opened JupyterHub</li>" in page
    assert "Olga Name: never opened JupyterHub; comes into formgrader then" in page
    assert told(school, school.student("ada").user) == 403, "of a course only who teaches it is told"

    assert not {"nina", sis["nina"]} & school.hub.users()
    nina = Browser(school.hub)
    assert school.launch(nina, sis["nina"], sub=ids["nina"]).logged_in and nina.user == sis["nina"]
    olga = Browser(school.hub)
    assert school.launch(olga, sis["olga"], sub=ids["olga"]).logged_in
    lms.students[ids["nina"]] = ("Nina Name", "Learner", "Inactive")
    school.page(query="&names=again")
    found = told(school)
    assert found["left"] == [sis["nina"]] and sis["nina"] not in found["students"]
    assert {"ada", sis["olga"]} <= set(found["students"])
    lms.students[ids["nina"]] = ("Nina Name", "Learner", "Active")
    school.page(query="&names=again")
    assert told(school)["left"] == [], "who comes back has not left"


def test_an_lms_that_does_not_answer_keeps_no_page_of_formgrader_waiting(school: School) -> None:
    school.student("ada")
    school.lms.orders = [Order("/members", 500, times=99)]
    began = time.monotonic()
    assert told(school)["students"] == ["ada"] and time.monotonic() - began < 5


CSV = "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,"


def test_without_the_service_a_file_out_of_canvas_says_who_is_in_the_course(school: School) -> None:
    hub, mine = school.hub, f"{time.monotonic_ns()}"
    course, new, came = f"chem-{mine}", f"rita.{mine}", f"sven.{mine}"
    teacher, student = Browser(hub), Browser(hub)

    def canvas(number: int, login: str) -> dict[str, str]:
        return {"custom_canvas_user_id": f"{number}{mine}", "custom_canvas_user_login_id": login}

    assert teacher.post("/hub/lti/launch", form("tim", course=course, role="Instructor")).logged_in
    assert student.post("/hub/lti/launch", form(came, course=course, **canvas(8, came))).logged_in
    address = f"/hub/lti/grades/{course}"

    def give(*rows: str) -> str:
        text = "\n".join([CSV, *rows])
        page = teacher.get(address).response.text
        xsrf = re.findall(r'name="_xsrf" value="([^"]+)"', page)[0]
        answer = teacher.post(
            address, {"_xsrf": xsrf, "do": "roster"}, files={"file": ("grades.csv", text.encode())}, headers=SAME_SITE
        )
        assert answer.status == 200, answer.response.text
        return answer.response.text

    rita = f'"Roe, Rita",7{mine},{new},r,C'
    assert "The file was not read: it has more than 5000 rows" in give(*[rita] * 5001)
    page = give(rita, f'"Sun, Sven",8{mine},{came},{came},C', f'"Toe, Tom",9{mine},,t,C')
    assert "The file has 3 students" in page and "Rita Roe: never opened JupyterHub</li>" in page
    assert "Tom Toe: never opened JupyterHub; comes into formgrader then" in page and "Sven Sun" not in page
    school.course = course
    found = told(school, "tim")
    assert (found["students"], found["left"]) == ([new, came], []) and found["names"][new] == "Rita\tRoe"
    assert f"{came}: is not in the course any more" in give(rita)
    assert told(school, "tim")["left"] == [came]
    first = Browser(hub)
    assert first.post("/hub/lti/launch", form(new, course=course, **canvas(7, new))).logged_in and first.user == new
    assert told(school, "tim")["students"] == [new]
    sent = {"_xsrf": student.cookies["_xsrf"], "do": "roster"}
    assert student.post(address, sent, files={"file": ("x.csv", b"")}, headers=SAME_SITE).status == 403


def test_where_the_lms_says_who_is_in_the_course_no_file_is_taken(school: School) -> None:
    page = school.page()
    assert 'value="roster"' not in page
    sent = {"_xsrf": school.teacher.cookies["_xsrf"], "do": "roster"}
    assert (
        school.teacher.post(school.address, sent, files={"file": ("x.csv", CSV.encode())}, headers=SAME_SITE).status
        == 400
    )


def test_who_joins_after_the_lms_was_asked_who_is_in_the_course_has_not_left(school: School) -> None:
    school.student("ada")
    school.book.submit("ps1", "ada", 2.0)
    assert school.states()["ada"] == ("2", "", "NEW")
    school.student("new")
    school.book.submit("ps1", "new", 1.0)
    for _ in range(2):
        assert school.states() == {"ada": ("2", "", "NEW"), "new": ("1", "", "NEW")}
    asked = [each for each in school.lms.asked if "/members" in each and "start=" not in each]
    assert len(asked) == 2, "once more, and not at each look"


def test_courses_of_one_title_are_told_apart(school: School) -> None:
    question = school.lms.begin(school.teacher)
    context = {"id": f"{school.course}-2", "label": "BIO", "title": "Biology"}
    claims = school.lms.claims(question, "tea", context=context, roles=TEACHER)
    assert school.lms.answer(school.teacher, question, school.lms.key.sign(claims)).logged_in
    page = school.teacher.get("/hub/lti/grades").response.text
    names = dict(re.findall(r'<a href="/hub/lti/grades/([^"]+)">([^<]+)</a>', page))
    assert {school.course, f"{school.course}-2"} <= names.keys() and len(set(names.values())) == len(names)


def test_the_hubs_own_page_leads_who_teaches_to_grades_and_exams(school: School) -> None:
    assert "/hub/lti/grades" in (page := school.teacher.get("/hub/home").response.text) and "/hub/exams" in page
    assert "/hub/lti/grades" not in school.student("ada").get("/hub/home").response.text


def test_only_who_teaches_the_course_sees_and_sends(school: School) -> None:
    ada = school.student("ada")
    school.book.submit("ps1", "ada", 1.0)
    fields = school.fields(school.page(), "send")
    assert ada.get(school.address).status == 403
    assert ada.post(school.address, fields, headers=SAME_SITE).status == 403
    assert Browser(school.hub).get(school.address).status in (302, 403)
    other = Browser(school.hub)
    context = {"id": "other", "label": "", "title": ""}
    question = school.lms.begin(other)
    claims = school.lms.claims(question, "prof", context=context, roles=TEACHER) | {"name": "Ida Professor"}
    assert school.lms.answer(other, question, school.lms.key.sign(claims)).logged_in
    assert other.get(school.address).status == 403
    school.book.submit("ps1", "prof", 1.0)
    assert "prof" in school.states() and "Ida" not in school.page(), "a gradebook, which staff write, tells no names"
    assert school.teacher.post(school.address, fields | {"_xsrf": "x"}, headers=SAME_SITE).status == 403
    assert school.lms.posted == []


def test_grades_by_lti_11_go_to_the_column_of_the_link_that_was_chosen(school: School, hub: Hub) -> None:
    lms, browsers = school.lms, {name: Browser(hub) for name in ("ada", "bob")}
    for name, browser in browsers.items():
        lms.students[name] = (name, "Learner", "Active")
        says = {
            "course": school.course, "launch_presentation_return_url": f"{lms.url}/courses/1", "resource_link_id": "l-1",
            "resource_link_title": "First lab", "lis_outcome_service_url": lms.outcome_url,
            "lis_result_sourcedid": lms.sourcedid(name),
        }  # fmt: skip
        assert browser.post("/hub/lti/launch", form(name, **says), headers={"Origin": lms.url}).logged_in
    school.book.submit("ps1", "ada", 2.0)
    school.book.submit("ps1", "bob", 2.0, extra=20.0)
    lms.outcomes[lms.sourcedid("bob")] = "0.5"
    choose = school.fields(school.page(), "choose")
    answer = school.teacher.post(school.address, choose | {"link": "l-1"}, headers=SAME_SITE)
    assert answer.status == 302
    assert school.states() == {"ada": ("2", "", "NEW"), "bob": ("22", "5", "BY_HAND")}
    assert "2 of 2" in school.send("bob")
    assert lms.outcomes == {lms.sourcedid("ada"): "0.2", lms.sourcedid("bob"): "1"}
    assert {state for _, _, state in school.states().values()} == {"SAME"}


def test_an_outcome_service_that_a_links_address_gives_counts_for_nothing(school: School, hub: Hub) -> None:
    other = ServicesLms("the-key-of-canvas", "the-secret-of-canvas")
    browser, lms = Browser(hub), school.lms
    says = {
        "course": school.course,
        "launch_presentation_return_url": f"{lms.url}/courses/1",
        "resource_link_id": "l-2",
    }
    query = f"lis_outcome_service_url={other.outcome_url}&lis_result_sourcedid=1"
    # As Canvas copies the query, and as a browser may leave it away.
    for visitor, address in ((browser, "/hub/lti/launch"), (Browser(hub), f"/hub/lti/launch?{query}")):
        launched = form("eve", url=f"{PUBLIC_URL}hub/lti/launch?{query}", **says)
        assert visitor.post(address, launched, headers={"Origin": lms.url}).logged_in
    assert "l-2" not in school.page()
    other.close()
    assert other.asked == []


def test_the_file_of_services_is_the_hubs_alone_and_a_person_leaves_it_with_their_user(school: School) -> None:
    school.student("ada")
    school.book.submit("ps1", "ada", 2.0)
    school.send()
    path = school.hub.folder / "lti_services.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((school.hub.folder / "lti_tool_jwk.json").stat().st_mode) == 0o600
    assert '"d"' in (school.hub.folder / "lti_tool_jwk.json").read_text()
    assert all("d" not in key for key in hub_keys(school.hub))
    school.hub.api("DELETE", "/users/ada")
    assert school.states()["ada"][2] == "UNKNOWN"


# -- deep linking ----------------------------------------------------------------------------------------------------


def choose(school: School, roles: list[str] = TEACHER, **settings: Any) -> Answer:
    """The LMS asks in a frame what a link shall open: no cookies, but what the hub just set."""
    browser = Browser(school.hub)
    question = school.lms.begin(browser)
    browser.cookies.clear()
    said = {"deep_link_return_url": RETURN, "accept_types": ["ltiResourceLink"], "data": "the-data", **settings}
    claims = school.lms.claims(
        question, "tea", message_type="LtiDeepLinkingRequest", resource_link=None, roles=roles,
        context={"id": school.course, "label": "BIO", "title": "Biology"},
        launch_presentation={"document_target": "iframe", "return_url": "https://canvas.example.edu/courses/7"},
    ) | {f"{DL}deep_linking_settings": said}  # fmt: skip
    form = {"id_token": school.lms.key.sign(claims), "state": question["state"]}
    return browser.post(question["redirect_uri"], form, headers={"Sec-Fetch-Dest": "iframe"})


def picked(school: School, page: str, **entered: str) -> tuple[dict[str, Any] | None, str]:
    """What goes back to the LMS when this is entered; and the page."""
    ticket = re.search(r'name="ticket" value="([^"]*)"', page)
    assert ticket
    answer = Browser(school.hub).post("/hub/lti/pick", {"ticket": ticket[1], **entered}, headers=SAME_SITE)
    assert answer.status == 200
    token = re.search(r'name="JWT" value="([^"]*)"', answer.response.text)
    return (school.lms.verified(token[1]) if token else None), answer.response.text


def test_a_teacher_chooses_an_assignment_and_its_grades_go_to_that_column(school: School) -> None:
    answer = choose(school)
    assert answer.status == 200 and not answer.logged_in
    hosts = f"https://{school.lms.url.removeprefix('http://')} https://canvas.example.edu"
    assert f"frame-ancestors {hosts};" in answer.response.headers["Content-Security-Policy"]
    assert "ps1 (10 points)" in answer.response.text
    said, page = picked(school, answer.response.text, kind="assignment", assignment="ps1", title="Lab 1", points="20")
    assert said is not None
    assert f'action="{RETURN}"' in page
    assert said["iss"] == school.lms.client_id and said["aud"] == school.lms.issuer
    assert said[f"{DL}data"] == "the-data"
    [item] = said[f"{DL}content_items"]
    assert (item["title"], item["url"]) == ("Lab 1", f"{PUBLIC_URL}hub/lti/launch")
    assert item["window"] == {"targetName": "_blank"}
    # The LMS makes the column of the item; grades go there from then on.
    school.lms.columns["c7"] = item["lineItem"]
    school.student("ada")
    school.book.submit("ps1", "ada", 2.0)
    assert "1 of 1" in school.send()
    assert school.lms.columns.keys() == {"c7"} and school.lms.columns["c7"]["scoreMaximum"] == 20
    assert school.states()["ada"] == ("2", "2", "SAME")


def test_what_is_wrong_is_said_and_nothing_that_was_entered_is_lost(school: School) -> None:
    page = choose(school).response.text
    said, page = picked(school, page, kind="git", repo="http://x/<y>", path="lab.ipynb")
    assert said is None and 'role="alert"' in page
    assert 'value="http://x/&lt;y&gt;"' in page and 'value="lab.ipynb"' in page
    assert re.search(r'id="kind-git" checked', page)
    for entered in (
        {"kind": "assignment", "assignment": "no"},
        {"kind": ""},
        {"kind": "assignment", "assignment": "ps1", "points": "0"},
    ):
        assert picked(school, page, **entered)[0] is None
    said, _ = picked(school, page, kind="hub")
    assert said is not None and said[f"{DL}content_items"][0]["title"] == "JupyterHub"


def test_only_staff_chooses(school: School) -> None:
    answer = choose(school, roles=[f"{MEMBERSHIP}#Learner"])
    assert (answer.status, answer.reason) == (403, "not-staff")
    assert choose(school, deep_link_return_url="http://evil.example/").reason == "no-launch"
    gone = Browser(school.hub).post("/hub/lti/pick", {"ticket": "x"}, headers=SAME_SITE)
    assert gone.reason == "late-click"


# -- due dates -------------------------------------------------------------------------------------------------------


class DueLink:
    """A link to ps1 that a teacher chose with due dates, and what the hub has heard of its dates."""

    def __init__(self, school: School, **entered: str) -> None:
        self.school = school
        said, _ = picked(school, choose(school).response.text, kind="assignment", assignment="ps1", **entered)
        assert said is not None
        [item] = said[f"{DL}content_items"]
        self.custom: dict[str, str] = item.get("custom", {})

    def claims(self, name: str, staff: bool = False, **more: Any) -> dict[str, Any]:
        custom = self.school.lms.custom(self.custom, name, staff)
        return {"custom": custom, **({"roles": TEACHER} if staff else {}), **more}

    def open(self, name: str, staff: bool = False, **more: Any) -> Browser:
        browser = Browser(self.school.hub)
        assert self.school.launch(browser, name, **self.claims(name, staff, **more)).logged_in
        return browser

    @property
    def heard(self) -> dict[str, str]:
        """User, "" for all others → the day and the hour of their date."""
        found = lms_dates.read(self.school.hub.folder / "lti_services.sqlite").get(self.school.course, {})
        assert found.keys() <= {"ps1"}
        return {user: at[8:13] for user, at in found.get("ps1", {}).items()}


def test_the_lms_says_when_work_is_due_of_each_person_who_opens_the_link(school: School) -> None:
    assert DueLink(school).custom == {}, "nobody asked for it"
    link, due = DueLink(school, due="yes"), school.lms.due
    due.update({"": "2026-12-08T22:59:59.000Z", "ben": "2026-12-10T23:59:59+01:00"})
    link.open("ada")
    link.open("ben")
    assert link.heard == {"ada": "08T22", "ben": "10T22"}
    link.open("tea", staff=True)
    assert link.heard[""] == "10T22", "to staff Canvas says the latest of all"
    link.open("eve", roles=["http://purl.imsglobal.org/vocab/lis/v2/institution/person#Observer"])
    assert "eve" not in link.heard
    # A teacher moves a date: whoever opens the link again has it, and nobody else.
    due["ada"] = "2026-12-12T12:00:00Z"
    link.open("ben")
    assert link.heard == {"ada": "08T22", "ben": "10T22", "": "10T22"}
    link.open("ada")
    assert link.heard["ada"] == "12T12"
    # And takes it away again.
    due.clear()
    link.open("ada")
    assert link.heard == {"ada": "", "ben": "10T22", "": "10T22"}


def test_an_lms_that_knows_both_variables_says_a_persons_own_date_beside_that_of_all(school: School) -> None:
    link = DueLink(school, due="yes")
    school.lms.variables.add("ResourceLink.submission.user.endDateTime")
    school.lms.due.update({"": "2026-12-08T22:00:00Z", "ben": "2026-12-10T22:00:00Z"})
    for name, staff in (("ada", False), ("ben", False), ("tea", True)):
        link.open(name, staff=staff)
    assert link.heard == {"ada": "08T22", "ben": "10T22", "": "08T22"}


def test_an_lms_that_knows_neither_says_no_date(school: School) -> None:
    school.lms.variables.clear()
    school.lms.due[""] = "2026-12-08T22:00:00Z"
    link = DueLink(school, due="yes")
    link.open("ada")
    assert link.heard == {"ada": ""}


def test_neither_a_page_that_was_left_open_nor_a_launch_that_was_used_brings_a_date_back(school: School) -> None:
    link, lms, browser = DueLink(school, due="yes"), school.lms, Browser(school.hub)
    context = {"id": school.course, "label": "BIO", "title": "Biology"}

    def signed(question: dict[str, str], age_s: int) -> str:
        more = {"context": context, "iat": int(time.time()) - age_s}
        return lms.key.sign(lms.claims(question, "ada", **link.claims("ada", **more)))

    lms.due[""] = "2026-12-20T22:00:00Z"
    left_open = lms.begin(browser)
    old = signed(left_open, age_s=600)
    lms.due[""] = "2026-12-08T22:00:00Z"
    question = lms.begin(browser)
    new = signed(question, age_s=0)
    assert lms.answer(browser, question, new).logged_in
    assert lms.answer(browser, left_open, old).logged_in, "it is a launch as any other"
    assert link.heard == {"ada": "08T22"}
    lms.due[""] = "2026-12-09T22:00:00Z"
    link.open("ada")
    lms.answer(browser, question, new)
    assert link.heard == {"ada": "09T22"}


def test_what_a_links_address_says_is_no_date(school: School) -> None:
    query = "assignment=ps1&due=2027-01-01T00:00:00Z&custom_assignment=ps1&custom_due=2027-01-01T00:00:00Z"
    browser, address = Browser(school.hub), f"{PUBLIC_URL}hub/lti/launch?{query}"
    assert browser.post(f"/hub/lti/launch?{query}", form("ada", url=address, course=school.course)).logged_in
    school.student("ben", target_link_uri=address, custom={})
    assert lms_dates.read(school.hub.folder / "lti_services.sqlite").get(school.course) is None


def test_work_is_taken_when_the_lms_said_while_the_hub_is_down(
    school: School, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, hub, course, now = DueLink(school, due="yes"), school.hub, school.course, datetime.now(UTC)
    for name, hours in (("ada", -1), ("ben", 1), ("eve", -1)):
        school.lms.due[name] = (now + timedelta(hours=hours)).isoformat()
        link.open(name)
    hub.stop()
    try:
        # On a server this is root's: the homes and the folders of courses, the site's file, and the hub's two databases.
        own = (now + timedelta(hours=2)).isoformat()
        entry = {"course": course, "due": {"ps1": {"people": {"eve": own}}}}
        monkeypatch.setattr(due.settings, "read", lambda _: {"lms_dates": True, "course_settings": [entry]})
        monkeypatch.setattr(due.lms_dates, "FILE", hub.folder / "lti_services.sqlite")
        people = servers.people(hub.folder / "jupyterhub.sqlite")
        monkeypatch.setattr(servers, "people", lambda: people)
        monkeypatch.setattr(due, "ROOT", str(tmp_path))
        monkeypatch.setattr(collect, "home_of", lambda user, _: tmp_path / "homes" / user)
        folder = next(properties["folder"] for name, properties in people["ada"] if name == f"course-{course}")
        for name in ("ada", "ben", "eve"):
            (tmp_path / "homes" / name / folder / "ps1").mkdir(parents=True)
            (tmp_path / "homes" / name / folder / "ps1/ps1.ipynb").write_text(name)
            (tmp_path / course / "inbound" / name).mkdir(parents=True)
        assert due.main() == 0
        taken = [path.read_text() for path in (tmp_path / course / "inbound").glob("*/*/ps1.ipynb")]
        assert taken == ["ada"], "ben has an hour more in the LMS, and eve two by the operator's word"
    finally:
        hub.start()
