"""What the hub asks of an LMS after a launch: grades and names by LTI 1.3, grades by LTI 1.1 (the LMS is lti_services)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from hubrun_hub.lti.cross_site import host_of
from hubrun_hub.lti.roles import Part
from hubrun_hub.lti.services import canvas_csv, roster
from hubrun_hub.lti.services.calls import Calls, ServiceError, Unclear, below, next_page, with_query
from hubrun_hub.lti.services.claims import SCOPES, Services, of_11, of_13
from hubrun_hub.lti.services.grades import Gradebook, Score
from hubrun_hub.lti.services.outcomes import Outcomes
from hubrun_hub.lti.services.tokens import Tokens, Tool
from lti_platform import Key
from lti_services import AGS, LINEITEM, NRPS, RESULT_READ, SCORE, Order, ServicesLms

NEW, FORMER = Key("new"), Key("former")


@pytest.fixture
def lms() -> Iterator[ServicesLms]:
    lms = ServicesLms()
    lms.tool_keys = [NEW.jwk]
    lms.students = {f"id-{n}": (f"Person {n}", "Learner", "Active") for n in range(5)}
    yield lms
    lms.close()
    assert lms.broken == []


class Hub:
    """The hub's side; `waited` is how long it would have waited."""

    def __init__(self, lms: ServicesLms, *, former: Key | None = None, scopes: Any = SCOPES) -> None:
        self.waited: list[float] = []

        async def sleep(seconds: float) -> None:
            self.waited.append(seconds)

        self.lms = lms
        self.calls = Calls(True, sleep)
        self.tokens = Tokens(
            lambda claims, old: (former.sign(dict(claims)) if former else "") if old else NEW.sign(dict(claims)),
            self.calls,
        )
        self.tool = Tool(lms.token_url, lms.client_id, "")
        self.grades = Gradebook(self.tool, scopes, self.tokens, self.calls)
        self.outcomes = Outcomes("the-key", "the-secret", self.calls)

    def members(self) -> list[roster.Member]:
        return run(roster.members(self.lms.memberships, "canvas", self.tool, self.tokens, self.calls))

    def column(self, name: str = "ps1", maximum: float = 10.0) -> str:
        return run(self.grades.column(self.lms.lineitems, f"nbgrader/{name}", name, maximum)).url


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def score(user: str = "id-1", points: float | None = 7.0, maximum: float = 10.0, at: float = 1_800_000_000.25) -> Score:
    return Score(user, points, maximum, at)


# -- columns and scores ----------------------------------------------------------------------------------------------


def test_a_column_is_made_once_and_found_from_then_on(lms: ServicesLms) -> None:
    hub = Hub(lms)
    lms.columns = {f"old{n}": {"label": "x", "scoreMaximum": 1, "resourceId": f"r{n}"} for n in range(5)}
    first = hub.column()
    assert [hub.column(), Hub(lms).column()] == [first, first]
    lms.filters = False  # an LMS that lists them all, over several pages
    assert hub.column() == first
    assert len(lms.columns) == 6


def test_a_score_says_points_of_the_maximum_and_the_lms_brings_them_to_its_own(lms: ServicesLms) -> None:
    hub = Hub(lms)
    url = hub.column()
    lms.columns["c1"]["scoreMaximum"] = 50  # a teacher changed it
    run(hub.grades.send(url, score(points=7.5)))
    assert lms.posted == [
        {
            "column": "c1", "userId": "id-1", "timestamp": "2027-01-15T08:00:00.250+00:00", "scoreGiven": 7.5,
            "scoreMaximum": 10.0, "activityProgress": "Completed", "gradingProgress": "FullyGraded",
        }
    ]  # fmt: skip
    assert run(hub.grades.results(url)) == {"id-1": 0.75}


def test_the_results_of_all_pages_are_read_and_a_score_that_is_taken_back_is_none(lms: ServicesLms) -> None:
    hub = Hub(lms)
    url = hub.column()
    for n in range(5):
        run(hub.grades.send(url, score(f"id-{n}", float(n))))
    run(hub.grades.send(url, score("id-2", None, at=1_800_000_001)))
    assert run(hub.grades.results(url)) == {"id-0": 0.0, "id-1": 0.1, "id-3": 0.3, "id-4": 0.4}


def test_a_class_is_one_question_for_a_token(lms: ServicesLms) -> None:
    hub = Hub(lms)
    url = hub.column()

    async def everybody() -> None:
        await asyncio.gather(*(hub.grades.send(url, score(f"id-{n}")) for n in range(5)))

    run(everybody())
    assert lms.asked.count("POST /token") == 1


def test_a_token_that_ends_soon_is_not_used(lms: ServicesLms) -> None:
    lms.expires_in = 30
    hub = Hub(lms)
    hub.column()
    assert lms.asked.count("POST /token") == 2


def test_a_token_that_the_lms_withdrew_is_asked_for_once_more_and_no_oftener(lms: ServicesLms) -> None:
    hub = Hub(lms)
    url = hub.column()
    lms.revoke()
    run(hub.grades.send(url, score()))
    assert len(lms.posted) == 1
    lms.orders = [Order("/scores", 401, times=9)]
    lms.asked.clear()
    with pytest.raises(ServiceError, match="does not accept the hub's key"):
        run(hub.grades.send(url, score()))
    assert lms.asked.count("POST /course/lineitems/c1/lineitem/scores") == 2


# Order, what comes of a score: how often it is sent, seconds waited, or what is said.
ANSWERS: list[tuple[str, Order, int, list[float], str]] = [
    ("busy, says when", Order("/scores", 429, {"Retry-After": "3"}), 2, [3.0], ""),
    ("busy for an hour", Order("/scores", 429, {"Retry-After": "3600"}), 2, [20.0], ""),
    ("busy until a day of the past", Order("/scores", 429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}), 2, [0.0], ""),
    ("busy, in words", Order("/scores", 503, {"Retry-After": "soon"}), 2, [1.0], ""),
    ("fails three times", Order("/scores", 500, times=3), 4, [1.0, 2.0, 4.0], ""),
    ("fails after it took it", Order("/scores", 500, done=True), 2, [1.0], ""),
    ("goes dead after it took it", Order("/scores", 0, done=True), 2, [1.0], ""),
    ("always fails", Order("/scores", 500, times=9), 4, [1.0, 2.0, 4.0], "answered 500: it failed"),
    ("always busy", Order("/scores", 429, times=9), 4, [1.0, 2.0, 4.0], "too much to do"),
    ("forbidden", Order("/scores", 403, times=9), 1, [], "does the tool have the scopes"),
    ("unknown", Order("/scores", 404, times=9), 1, [], "does not know it any more"),
    ("older than what is there", Order("/scores", 409, times=9), 1, [], "has something newer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("order", "times", "waited", "says"), [each[1:] for each in ANSWERS], ids=[each[0] for each in ANSWERS]
)
def test_a_score_reaches_the_lms_once_or_it_is_said_why_not(
    lms: ServicesLms, order: Order, times: int, waited: list[float], says: str
) -> None:
    hub = Hub(lms)
    url = hub.column()
    lms.asked.clear()
    lms.orders = [Order(**vars(order))]
    if says:
        with pytest.raises(ServiceError, match=says):
            run(hub.grades.send(url, score()))
        assert lms.scores == {}
    else:
        run(hub.grades.send(url, score()))
        assert run(hub.grades.results(url)) == {"id-1": 0.7}
        assert len({each["timestamp"] for each in lms.posted}) == 1, "sent again, it is the same score"
    assert lms.asked.count("POST /course/lineitems/c1/lineitem/scores") == times
    assert hub.waited == waited


def test_a_token_whose_answer_was_lost_is_asked_for_with_another_assertion(lms: ServicesLms) -> None:
    lms.orders = [Order("/token", 500, done=True)]
    assert Hub(lms).column()
    assert lms.asked.count("POST /token") == 2


@pytest.mark.parametrize("status", [500, 0, 504])
def test_a_column_whose_answer_was_lost_is_not_made_twice(lms: ServicesLms, status: int) -> None:
    hub = Hub(lms)
    lms.orders = [Order("/lineitems", status, method="POST", done=True)]
    assert hub.column() == lms.column_url("c1")
    assert len(lms.columns) == 1
    assert lms.asked.count("POST /course/lineitems") == 1


def test_a_column_that_could_not_be_made_is_said_and_not_tried_blindly(lms: ServicesLms) -> None:
    lms.orders = [Order("/lineitems", 500, method="POST", times=9)]
    with pytest.raises(Unclear):
        Hub(lms).column()
    assert lms.asked.count("POST /course/lineitems") == 1
    lms.orders = [Order("/lineitems", 429, method="POST")]
    Hub(lms).column()
    assert len(lms.columns) == 1


def test_a_score_that_is_older_than_the_lms_has_is_not_taken(lms: ServicesLms) -> None:
    hub = Hub(lms)
    url = hub.column()
    run(hub.grades.send(url, score(points=9, at=1_800_000_100)))
    with pytest.raises(ServiceError, match="newer"):
        run(hub.grades.send(url, score(points=1, at=1_800_000_000)))
    assert run(hub.grades.results(url)) == {"id-1": 0.9}


def test_somebody_who_is_gone_from_the_lms_is_said(lms: ServicesLms) -> None:
    hub = Hub(lms)
    with pytest.raises(ServiceError) as error:
        run(hub.grades.send(hub.column(), score("id-99")))
    assert error.value.status == 404


def test_what_the_lms_does_not_offer_is_not_asked_for(lms: ServicesLms) -> None:
    with pytest.raises(ServiceError, match="does not offer this course's tool lineitem"):
        Hub(lms, scopes={RESULT_READ, SCORE}).column()
    assert lms.asked == []


def test_a_scope_that_is_not_granted_is_named(lms: ServicesLms) -> None:
    lms.scopes -= {SCORE}
    with pytest.raises(ServiceError, match="does not allow the tool .*scope/score"):
        Hub(lms).column()


def test_an_lms_that_has_the_key_before_by_hand_is_asked_with_that(lms: ServicesLms) -> None:
    lms.tool_keys = [FORMER.jwk]
    assert Hub(lms, former=FORMER).column()
    with pytest.raises(ServiceError, match="gives the hub no token .400 invalid_client."):
        Hub(lms).column()


@pytest.mark.parametrize(
    "answer",
    ["{}", "[]", "x", '{"access_token": 7}', '{"access_token": "a\\nb"}', '{"access_token": "a", "expires_in": "x"}'],
)
def test_what_is_not_a_token_is_not_used(lms: ServicesLms, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lms, "_token", lambda *_: (200, {}, answer.encode()))
    with pytest.raises(ServiceError, match="not a token"):
        Hub(lms).column()


def test_a_next_page_elsewhere_does_not_get_the_token(lms: ServicesLms, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ServicesLms()
    for following in (
        f"{other.url}/course/lineitems",
        f"{lms.url}/course/lineitems?of=7&resource_id=nbgrader%2Fps1&limit=100",
    ):
        link = {"Link": f'<{following}>; rel="next"'}
        monkeypatch.setattr(lms, "_list", lambda *_, link=link: (200, link, b"[]"))
        with pytest.raises(ServiceError, match="next page"):
            Hub(lms).column()
    other.close()
    assert other.asked == []


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ("", ""), ('<https://a/2>; rel="next"', "https://a/2"), ("<https://a/2>; rel=next", "https://a/2"),
        ('<https://a/1>; rel="first", <https://a/2?x=a,b>; title="x"; REL="next last"', "https://a/2?x=a,b"),
        ("<?p=2>; rel=next", "https://a/?p=2"), ('<https://a/1>; rel="prev"', ""), ('<https://a/1>; rel="nextish"', ""),
        ("<https://a/1>; rel=next-page", ""), ("nonsense", ""),
    ],
)  # fmt: skip
def test_the_next_page_is_what_the_header_says(links: str, found: str) -> None:
    assert next_page("https://a/", links) == found


def test_addresses_keep_their_query() -> None:
    assert below("https://a/x/lineitem?type_id=1", "scores") == "https://a/x/lineitem/scores?type_id=1"
    assert with_query("https://a/x?role=&of=7", limit="2") == "https://a/x?role=&of=7&limit=2"


# -- names -----------------------------------------------------------------------------------------------------------


def test_the_roster_has_everybody_with_their_part_and_who_left(lms: ServicesLms) -> None:
    lms.students = {
        "a": ("Ada Lovelace", "Learner", "Active"), "b": ("=HYPERLINK(1)", "Instructor", "Active"),
        "c": ("Grace", "Learner", "Inactive"), "d": ("Alan", "Learner", "Deleted"), "e": ("", "Mentor", "Active"),
    }  # fmt: skip
    assert [(each.id, each.name, each.part, each.active) for each in Hub(lms).members()] == [
        ("a", "Ada Lovelace", Part.STUDENT, True), ("b", "HYPERLINK(1)", Part.STAFF, True),
        ("c", "Grace", Part.STUDENT, False), ("d", "Alan", Part.STUDENT, False), ("e", "", Part.NONE, True),
    ]  # fmt: skip


SAID: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "Canvas": (
        "canvas", {"lis_person_sourcedid": "S-1", "email": "ada@example.edu", "lti11_legacy_user_id": "u1"},
        {"lis_person_sourcedid": "S-1", "lis_person_contact_email_primary": "ada@example.edu", "user_id": "a"},
    ),
    "a variable that is not filled in": ("canvas", {"lis_person_sourcedid": "$Person.sourcedId"}, {"user_id": "a"}),
    "what is no text": ("canvas", {"lis_person_sourcedid": ["x"], "email": None, "custom_canvas_user_id": "7"}, {"user_id": "a"}),
    "a text that nothing is kept of": ("canvas", {"lis_person_sourcedid": "x" * 1001, "email": "a\0b"}, {"user_id": "a"}),
    "a number": ("canvas", {"lis_person_sourcedid": 17}, {"lis_person_sourcedid": "17", "user_id": "a"}),
    # There the sourcedid of a list is not what a launch says as that (presets).
    "Open edX": ("openedx", {"lis_person_sourcedid": "other", "preferred_username": "ada"}, {"lis_person_sourcedid": "ada", "user_id": "a"}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "said", "fields"), SAID.values(), ids=SAID.keys())
def test_of_a_list_counts_what_a_launch_says_too(name: str, said: dict[str, Any], fields: dict[str, str]) -> None:
    member = roster._member({"user_id": "a", "roles": [], **said}, name)
    assert member and (member.fields, member.ids) == (fields, (("sub", "a"),))
    assert member.id_11 == said.get("lti11_legacy_user_id", "")


CSV = """\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,ps1 (12)
,,,,,Manual Posting
    Points Possible,,,,,10
"Lovelace, Ada",7,S-7,ada,BIO,9
"=HYPERLINK(1), Eve",8,,eve@example.edu,"BIO, and CHEM",
Cher,9,S-9,$User.username,BIO,N/A
"Student, Test",99,,0123456789abcdef0123456789abcdef01234567,BIO,
"""


def test_students_come_from_the_gradebook_that_canvas_exports() -> None:
    found = canvas_csv.read(CSV.encode(), "lis_person_sourcedid")
    assert [(each.id, each.name, each.part, each.active, each.ids) for each in found] == [
        ("canvas 7", "Ada\tLovelace", Part.STUDENT, True, ()), ("canvas 8", "Eve\tHYPERLINK(1)", Part.STUDENT, True, ()),
        ("canvas 9", "Cher", Part.STUDENT, True, ()),
    ]  # fmt: skip
    assert found[0].fields == {
        "custom_canvas_user_id": "7", "lis_person_sourcedid": "S-7", "custom_canvas_user_sis_id": "S-7",
        "custom_canvas_user_login_id": "ada",
    }  # fmt: skip
    assert "lis_person_sourcedid" not in found[1].fields and "custom_canvas_user_login_id" not in found[2].fields
    apart = "LastName;FirstName;ID;SIS Login ID;Section\r\nLovelace;Ada;7;ada;BIO\r\n"
    [ada] = canvas_csv.read(apart.encode(), "custom_canvas_user_login_id")
    assert (ada.name, ada.fields) == (
        "Ada\tLovelace",
        {"custom_canvas_user_id": "7", "custom_canvas_user_login_id": "ada"},
    )


@pytest.mark.parametrize(
    ("data", "key", "why"),
    [
        (b"", "lis_person_sourcedid", "not what Canvas exports"), (b"\x89PNG\r\n\xff", "lis_person_sourcedid", "no CSV"),
        (b"id,first_name\nada,Ada\n", "lis_person_sourcedid", "not what Canvas exports"),
        (b"Student,ID,SIS Login ID\nAda,7,ada\n", "lis_person_sourcedid", "no column SIS User ID"),
        (CSV.encode(), "lis_person_contact_email_primary", "does not have what names people"),
        (b"Student,ID,SIS User ID\n" + b'"' + b"x" * 200_000, "lis_person_sourcedid", "no CSV"),
        (b"Student,ID,SIS User ID\n" + b"Ada,7,a\n" * 5001, "lis_person_sourcedid", "more than 5000"),
        (b"x" * (5 << 20), "lis_person_sourcedid", "too large"),
    ],
)  # fmt: skip
def test_another_file_is_refused_with_the_reason(data: bytes, key: str, why: str) -> None:
    with pytest.raises(canvas_csv.NotAList, match=why):
        canvas_csv.read(data, key)


# -- LTI 1.1 ---------------------------------------------------------------------------------------------------------


def test_a_grade_by_basic_outcomes_is_set_read_and_taken_back(lms: ServicesLms) -> None:
    hub, ada = Hub(lms), lms.sourcedid("id-1")
    assert run(hub.outcomes.read(lms.outcome_url, ada)) is None
    for given, kept in ((0.7, 0.7), (1.2, 1.0), (-1.0, 0.0), (1 / 3, 0.333333)):
        run(hub.outcomes.replace(lms.outcome_url, ada, given))
        assert run(hub.outcomes.read(lms.outcome_url, ada)) == kept
    run(hub.outcomes.delete(lms.outcome_url, ada))
    assert run(hub.outcomes.read(lms.outcome_url, ada)) is None


def test_a_grade_for_nobody_is_said_in_the_words_of_the_lms(lms: ServicesLms) -> None:
    with pytest.raises(ServiceError, match="did not take it .failure.: no such <result>"):
        run(Hub(lms).outcomes.replace(lms.outcome_url, lms.sourcedid("nobody"), 0.5))


def test_another_secret_is_refused(lms: ServicesLms) -> None:
    with pytest.raises(ServiceError) as error:
        run(Outcomes("the-key", "another", Calls(True)).replace(lms.outcome_url, lms.sourcedid("id-1"), 0.5))
    assert error.value.status == 401
    assert lms.outcomes == {}


def test_a_grade_whose_answer_was_lost_is_the_same_grade(lms: ServicesLms) -> None:
    hub = Hub(lms)
    lms.orders = [Order("/outcomes", 500, done=True)]
    run(hub.outcomes.replace(lms.outcome_url, lms.sourcedid("id-1"), 0.5))
    assert lms.outcomes == {lms.sourcedid("id-1"): "0.5"}


@pytest.mark.parametrize("body", [b"", b"<a/>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a", b"{}"])
def test_what_is_not_such_a_message_is_no_success(
    lms: ServicesLms, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lms, "_outcome", lambda *_: (200, {}, body))
    with pytest.raises(ServiceError):
        run(Hub(lms).outcomes.replace(lms.outcome_url, lms.sourcedid("id-1"), 0.5))


# -- what a launch says ----------------------------------------------------------------------------------------------


def test_a_token_says_where_the_services_are(lms: ServicesLms) -> None:
    found = of_13(lms.services("c1"), {"id": "link-1", "title": "Lab 1"}, "client")
    assert found == Services(
        "link-1",
        "Lab 1",
        "client",
        lms.lineitems,
        lms.column_url("c1"),
        (LINEITEM, RESULT_READ, SCORE),
        lms.memberships,
    )


@pytest.mark.parametrize(
    "claims",
    [{}, {f"{AGS}claim/endpoint": 7}, {f"{AGS}claim/endpoint": {"scope": "x", "lineitems": ["x"], "lineitem": "a\nb"}},
     {f"{NRPS}claim/namesroleservice": [], f"{AGS}claim/endpoint": {"lineitems": "x" * 3000, "scope": [7, None]}}],
)  # fmt: skip
def test_nonsense_is_no_service(claims: dict[str, Any]) -> None:
    assert of_13(claims, "x", "client") == Services(client_id="client")


GOOD_11 = {"lis_outcome_service_url": "https://lms.example/o", "lis_result_sourcedid": "1-2", "resource_link_id": "l"}


@pytest.mark.parametrize(
    ("changes", "hosts", "known"),
    [
        ({}, {"lms.example"}, True), ({}, {"evil.example"}, False), ({}, set(), False),
        ({"lis_result_sourcedid": ""}, {"lms.example"}, False),
        ({"lis_outcome_service_url": "javascript:x"}, {"lms.example"}, False),
        ({"lis_outcome_service_url": "https://lms.example:444/o"}, {"lms.example"}, False),
    ],
)  # fmt: skip
def test_a_form_says_where_its_outcomes_go_if_that_is_at_the_lms(
    changes: dict[str, str], hosts: set[str], known: bool
) -> None:
    found = of_11({**GOOD_11, **changes}, lambda url: host_of(url) in hosts)
    assert bool(found.outcome_url) is bool(found.sourcedid) is known
    assert found.link == "l"
