"""LTI 1.3 at the hub's front door, tried on a real JupyterHub; the LMS is played by lti_platform."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tornado.web import create_signed_value, decode_signed_value

from hubrun_hub.lti.registration import developer_key
from hubrun_hub.lti.user_names import hub_name
from lti_hub import KEY, LAUNCH_URL, PAUSE_S, PUBLIC_URL, SECRET, Browser, Hub, form, running_hub
from lti_platform import CALLBACK, MEMBERSHIP, Answer, Key, Lms

pytestmark = pytest.mark.hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _only_the_first_consumer_stays(hub: Hub) -> Iterator[None]:
    yield
    for path in (hub.folder / "consumers.d").iterdir():
        if path.is_dir():
            path.rmdir()
        elif path.name != "default.json":
            path.unlink()


@pytest.fixture
def browser(hub: Hub) -> Browser:
    return Browser(hub)


@pytest.fixture(scope="module")
def lms(hub: Hub) -> Iterator[Lms]:
    lms = Lms()
    lms.write(hub.folder / "consumers.d")
    yield lms
    lms.close()


def now() -> int:
    return int(time.time())


HUGE = "x" * 200
OFF_SITE = {"next": "//evil.example/"}

# name, changes of the claims, and the user that comes of it or the reason of the refusal
GOOD_13: list[tuple[str, dict[str, Any], str]] = [
    ("good", {}, "ada"),
    ("upper case", {"username": "ADA"}, "ada"),
    ("200 characters", {"username": HUGE}, hub_name(HUGE)),
    ("another script", {"username": "张伟"}, hub_name("张伟")),
    ("a path", {"username": "../../etc/passwd"}, hub_name("../../etc/passwd")),
    ("half of a surrogate pair", {"username": "a\ud800"}, hub_name("a\ud800")),
    ("missing name", {"username": None, "sub": "id-1"}, "id-1"),
    ("empty name", {"username": "", "sub": "id-1"}, "id-1"),
    ("name of another type", {"lis": {"person_sourcedid": ["ada"]}, "sub": "id-2"}, "id-2"),
    ("no claim for the name", {"lis": "x", "sub": "id-3"}, "id-3"),
    ("variable for a name", {"username": "$Person.sourcedId", "sub": "id-4"}, "id-4"),
    ("only an address", {"username": None, "sub": "id-5", "email": "x@y"}, hub_name("x@y")),
    (
        "a link's custom field is not a name",
        {"username": None, "custom": {"lis_person_sourcedid": "ada"}, "sub": "id-6"},
        "id-6",
    ),
    ("shown in Canvas 40 minutes ago", {"iat": lambda: now() - 2400}, "ada"),
    ("9 minutes ahead", {"iat": lambda: now() + 540, "nbf": lambda: now() + 540}, "ada"),
    ("expired 9 minutes ago", {"iat": lambda: now() - 3000, "exp": lambda: now() - 540}, "ada"),
    ("two audiences", {"aud": ["10000000000001", "another"]}, "ada"),
    ("without azp", {"azp": None}, "ada"),
    ("without a course", {"context": None}, "ada"),
    ("a course without words", {"context": {"id": "bio-101", "label": "", "title": ""}}, "ada"),
    ("roles and custom fields of another type", {"roles": 5, "custom": 7}, "ada"),
    ("a course with half of a surrogate pair", {"context": {"id": "\ud800", "title": "\ud800"}}, "ada"),
]
BAD_13: list[tuple[str, dict[str, Any], str]] = [
    ("wrong issuer", {"iss": "https://canvas.beta.instructure.com"}, "not-trusted"),
    ("wrong audience", {"aud": "10000000000002"}, "not-trusted"),
    ("no audience", {"aud": None}, "not-trusted"),
    ("wrong azp", {"azp": "10000000000002"}, "not-trusted"),
    ("two audiences without azp", {"aud": ["10000000000001", "another"], "azp": None}, "no-launch"),
    ("wrong nonce", {"nonce": "0" * 64}, "not-trusted"),
    ("no nonce", {"nonce": None}, "not-trusted"),
    ("expired", {"exp": lambda: now() - 660}, "expired"),
    ("expired long ago", {"exp": lambda: now() - 3600}, "expired"),
    ("no expiry", {"exp": None}, "not-trusted"),
    ("no iat", {"iat": None}, "not-trusted"),
    ("iat is not a number", {"iat": "soon"}, "no-launch"),
    ("iat is not a finite number", {"iat": float("nan")}, "no-launch"),
    ("a number of 400 digits", {"exp": 10**400}, "no-launch"),
    ("half of a surrogate pair in a link", {"custom": {"next": "/hub/\ud800"}}, "bad-link"),
    ("more than an hour old", {"iat": lambda: now() - 3660, "exp": lambda: now() + 3600}, "expired"),
    ("11 minutes ahead", {"iat": lambda: now() + 661}, "clock"),
    ("good 11 minutes from now on", {"nbf": lambda: now() + 661}, "clock"),
    ("nbf is not a number", {"nbf": "soon"}, "no-launch"),
    ("wrong version", {"version": "1.2"}, "no-launch"),
    ("deep linking", {"message_type": "LtiDeepLinkingRequest"}, "wrong-message"),
    ("no message type", {"message_type": None}, "wrong-message"),
    ("no resource link", {"resource_link": {}}, "no-launch"),
    ("resource link of another type", {"resource_link": "x"}, "no-launch"),
    ("no deployment", {"deployment_id": None}, "no-launch"),
    ("no roles", {"roles": None}, "no-launch"),
    ("nobody's id", {"sub": None}, "no-name"),
    ("empty id", {"sub": " "}, "no-name"),
    ("id of another type", {"sub": ["ada"]}, "not-trusted"),
    ("half of a surrogate pair for an id", {"sub": "a\ud800"}, "no-name"),
    ("an id without end", {"sub": "x" * 2000}, "no-name"),
    ("a variable for an id", {"sub": "$User.id"}, "no-name"),
    ("blocked", {"username": "mallory"}, "not-admitted"),
    ("off-site custom field", {"custom": OFF_SITE}, "bad-link"),
    ("context of another type", {"context": "x"}, "no-launch"),
    ("target that is not an address", {"target_link_uri": "https://["}, "bad-link"),
    ("off-site target", {"target_link_uri": "https://evil.example/"}, "bad-link"),
    ("off-site custom_next", {"target_link_uri": f"{LAUNCH_URL}?custom_next=%2F%2Fevil.example"}, "bad-link"),
]


def evaluated(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value() if callable(value) else value for name, value in changes.items()}


@pytest.mark.parametrize(("changes", "user"), [case[1:] for case in GOOD_13], ids=[case[0] for case in GOOD_13])
def test_launch_matrix_of_lti_1_3_good(browser: Browser, lms: Lms, changes: dict[str, Any], user: str) -> None:
    answer = lms.launch(browser, **evaluated(changes))
    assert (answer.status, answer.reason, answer.location) == (302, "", "/hub/"), answer.response.text
    assert answer.logged_in
    assert browser.user == user


@pytest.mark.parametrize(("changes", "reason"), [case[1:] for case in BAD_13], ids=[case[0] for case in BAD_13])
def test_launch_matrix_of_lti_1_3_bad(browser: Browser, lms: Lms, changes: dict[str, Any], reason: str) -> None:
    answer = lms.launch(browser, **evaluated(changes))
    assert (answer.reason, answer.logged_in) == (reason, False)
    assert 400 <= answer.status < 500
    assert browser.user == ""


STRANGER = Key("key-1")


@pytest.mark.parametrize(
    "sign",
    [
        lambda lms, claims: lms.key.sign(claims, alg="none"),
        lambda lms, claims: lms.key.sign(claims, alg="none") + "x",
        lambda lms, claims: lms.key.sign(claims, alg="HS256", secret=lms.key.public_pem),
        lambda lms, claims: lms.key.sign(claims, alg="HS256", secret=json.dumps(lms.key.jwk).encode()),
        lambda lms, claims: lms.key.sign(claims, alg="RS256", secret=lms.key.public_pem),
        lambda lms, claims: lms.key.sign(claims, alg="RS384"),
        lambda lms, claims: STRANGER.sign(claims),
        lambda lms, claims: STRANGER.sign(claims, kid="no-such-key"),
        lambda lms, claims: lms.key.sign(claims)[:-8] + "AAAAAAAA",
        lambda lms, claims: ".".join(
            [lms.key.sign({**claims, "x": 1}).split(".")[0], *lms.key.sign({**claims, "x": 1}).split(".")[1:2]]
            + [lms.key.sign(claims).split(".")[2]]
        ),
        lambda lms, claims: "",
        lambda lms, claims: "x.y.z",
    ],
    ids=[
        "alg none", "alg none with a signature", "HS256 with the public key", "HS256 with the JWK", "HMAC called RS256",
        "RS384", "another key of that name", "key not in JWKS", "damaged signature", "tampered", "empty", "no token",
    ],
)  # fmt: skip
def test_a_token_that_the_lms_did_not_sign_is_refused(browser: Browser, lms: Lms, sign: Any) -> None:
    question = lms.begin(browser)
    answer = lms.answer(browser, question, sign(lms, lms.claims(question)))
    assert (answer.status, answer.reason, answer.logged_in) == (401, "not-trusted", False)


def test_the_question_to_the_lms_is_what_the_specification_asks_for(hub: Hub, browser: Browser, lms: Lms) -> None:
    question = lms.begin(browser)
    assert question.items() >= {
        "response_type": "id_token", "response_mode": "form_post", "scope": "openid", "prompt": "none",
        "client_id": lms.client_id, "redirect_uri": CALLBACK, "login_hint": "hint", "lti_message_hint": "message hint",
    }.items()  # fmt: skip
    [cookie] = [morsel for name, morsel in browser.attributes.items() if name.startswith("__Host-lti13-")]
    assert (cookie["samesite"], cookie["secure"], cookie["httponly"], cookie["path"]) == ("None", True, True, "/")
    assert cookie["max-age"] == "600"
    assert question["nonce"] not in question["state"] and cookie.value not in question["state"] + question["nonce"]


def test_the_log_does_not_tell_what_the_lms_and_the_hub_say_of_a_person(hub: Hub, browser: Browser, lms: Lms) -> None:
    before = len(hub.log)
    question = lms.begin(browser, login_hint="hint-of-ada")
    token = lms.key.sign(lms.claims(question))
    assert lms.answer(browser, question, token).logged_in
    new = hub.log[before:]
    assert f"302 GET /hub/lti13/oauth_login -> {lms.url}/authorize (" in new
    for hidden in ("hint", question["nonce"], question["state"], token[-40:], "a5f4cb2e"):
        assert hidden not in new


def test_the_hubs_own_cookies_stay_for_the_same_site(browser: Browser, lms: Lms) -> None:
    lms.launch(browser)
    assert browser.attributes["jupyterhub-hub-login"]["samesite"] == ""
    assert browser.attributes["jupyterhub-hub-login"]["secure"]
    assert not [name for name in browser.cookies if name.startswith("__Host-lti13-")], "the launch's own is gone"


def test_a_login_can_begin_by_post_and_forged_headers_change_nothing(hub: Hub, browser: Browser, lms: Lms) -> None:
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "Host": "evil.example"}
    says = {"iss": lms.issuer, "login_hint": "hint", "target_link_uri": LAUNCH_URL, "client_id": lms.client_id}
    answer = browser.post("/hub/lti13/oauth_login", says, headers=forged)
    question = dict(parse_qsl(urlsplit(answer.location).query))
    assert question["redirect_uri"] == CALLBACK
    answer = browser.post(
        CALLBACK, {"id_token": lms.key.sign(lms.claims(question)), "state": question["state"]}, headers=forged
    )
    assert (answer.location, browser.user) == ("/hub/", "ada")


def test_a_client_id_is_needed_only_where_there_are_several(hub: Hub, browser: Browser, lms: Lms) -> None:
    assert lms.begin(browser, client_id=None)["client_id"] == lms.client_id
    lms.write(hub.folder / "consumers.d", client_ids=[lms.client_id, "another"])
    answer = browser.get(f"/hub/lti13/oauth_login?iss={lms.issuer}&login_hint=h&target_link_uri={LAUNCH_URL}")
    assert (answer.status, answer.reason) == (401, "not-trusted")
    lms.write(hub.folder / "consumers.d")


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("iss=https://evil.example&client_id=10000000000001&login_hint=h", 401, "not-trusted"),
        ("iss=https://canvas.instructure.com&client_id=another&login_hint=h", 401, "not-trusted"),
        ("iss=https://canvas.instructure.com&client_id=10000000000001", 400, "no-launch"),
        ("", 400, "no-launch"),
    ],
    ids=["unknown issuer", "unknown client id", "no hint", "nothing"],
)
def test_a_login_that_begins_wrong_is_refused(browser: Browser, lms: Lms, query: str, status: int, reason: str) -> None:
    answer = browser.get(f"/hub/lti13/oauth_login?{query}")
    assert (answer.status, answer.reason) == (status, reason)


def test_a_launch_in_a_browser_that_keeps_no_cookies_says_so(hub: Hub, browser: Browser, lms: Lms) -> None:
    question = lms.begin(browser)
    token = lms.key.sign(lms.claims(question))
    answer = lms.answer(Browser(hub), question, token)
    assert (answer.status, answer.reason, answer.logged_in) == (400, "no-cookie", False)
    assert "cookie" in answer.response.text
    for state in ("", "x", question["state"][:-4] + "0000"):
        answer = lms.answer(browser, {**question, "state": state}, token)
        assert (answer.status, answer.reason, answer.logged_in) == (400, "no-cookie", False)


def test_a_login_that_took_longer_than_ten_minutes_is_over(hub: Hub, browser: Browser, lms: Lms) -> None:
    question = lms.begin(browser)
    secret = bytes.fromhex((hub.folder / "jupyterhub_cookie_secret").read_text().strip())
    content = decode_signed_value(secret, "lti13-state", question["state"])
    assert content is not None
    for age_s, reason in ((601, "no-cookie"), (590, "")):
        state = create_signed_value(
            secret, "lti13-state", content, clock=lambda age_s=age_s: time.time() - age_s
        ).decode()
        answer = lms.answer(browser, {**question, "state": state}, lms.key.sign(lms.claims(question)))
        assert answer.reason == reason


def test_a_launch_belongs_to_the_browser_in_which_it_began(hub: Hub, browser: Browser, lms: Lms) -> None:
    """Somebody else's answer must not log us in as them, nor ours them as us."""
    theirs = Browser(hub)
    question, their_question = lms.begin(browser), lms.begin(theirs)
    their_token = lms.key.sign(lms.claims(their_question, "mallory2"))
    assert lms.answer(browser, their_question, their_token).reason == "no-cookie"
    assert lms.answer(browser, question, their_token).reason == "not-trusted"
    assert browser.user == ""


def test_two_tabs_that_launch_at_a_time_do_not_disturb_each_other(browser: Browser, lms: Lms) -> None:
    one, two = lms.begin(browser), lms.begin(browser)
    assert lms.answer(browser, one, lms.key.sign(lms.claims(one))).logged_in
    assert lms.answer(browser, two, lms.key.sign(lms.claims(two))).logged_in


def test_a_token_works_once_also_for_whoever_has_the_cookie(hub: Hub, browser: Browser, lms: Lms) -> None:
    question = lms.begin(browser)
    stolen = dict(browser.cookies)
    token = lms.key.sign(lms.claims(question))
    assert lms.answer(browser, question, token).logged_in
    thief = Browser(hub, stolen)
    answer = lms.answer(thief, question, token)
    assert (answer.status, answer.reason, answer.logged_in) == (401, "replayed", False)
    reloaded = lms.answer(browser, question, token)
    assert (reloaded.status, reloaded.reason, reloaded.logged_in) == (401, "replayed", False), "see test_second_click"
    assert lms.answer(Browser(hub), question, token).reason == "replayed", "another browser, without the cookie"


def test_logins_that_are_begun_and_left_do_not_pile_up(browser: Browser, lms: Lms) -> None:
    for _ in range(30):
        lms.begin(browser)
    assert len([name for name in browser.cookies if name.startswith("__Host-lti13-")]) <= 8
    assert lms.launch(browser).logged_in


def test_of_many_open_logins_the_newest_eight_go_on(browser: Browser, lms: Lms) -> None:
    questions = []
    for _ in range(10):
        questions.append(lms.begin(browser))
        time.sleep(0.002)  # their cookies are told apart by the millisecond
    ended = [lms.answer(browser, each, lms.key.sign(lms.claims(each))) for each in questions]
    assert [each.reason for each in ended] == ["no-cookie"] * 2 + [""] * 8


def test_an_error_of_the_lms_is_told(browser: Browser, lms: Lms) -> None:
    question = lms.begin(browser)
    answer = browser.post(CALLBACK, {"error": "login_required", "state": question["state"]})
    assert (answer.status, answer.reason) == (403, "lms-error")


def test_opening_the_addresses_of_lti_1_3_says_to_come_from_canvas(browser: Browser) -> None:
    answer = browser.get("/hub/lti13/oauth_callback")
    assert (answer.status, answer.reason) == (405, "not-launched")


def test_keys_that_the_lms_rotates_are_found_and_a_flood_of_unknown_ones_does_not_hammer_it(
    hub: Hub, browser: Browser
) -> None:
    lms = Lms("https://rotating.example", "1")
    lms.write(hub.folder / "consumers.d", "rotating")
    assert lms.launch(browser).logged_in
    assert lms.launch(browser).logged_in
    assert lms.fetched == 1, "kept"
    lms.key = Key("key-2")
    lms.published = [lms.key.jwk]
    time.sleep(PAUSE_S + 0.1)
    assert lms.launch(browser).logged_in
    assert lms.fetched == 2
    for number in range(10):
        question = lms.begin(browser)
        answer = lms.answer(browser, question, STRANGER.sign(lms.claims(question), kid=f"made-up-{number}"))
        assert answer.reason == "not-trusted"
    assert lms.fetched == 2
    assert lms.launch(browser).logged_in, "known keys go on working"
    lms.close()


def test_an_lms_whose_keys_cannot_be_had_is_told_and_not_asked_at_every_click(hub: Hub, browser: Browser) -> None:
    lms = Lms("https://broken.example", "1")
    lms.broken = True
    lms.write(hub.folder / "consumers.d", "broken13")
    for _ in range(3):
        answer = lms.launch(browser)
        assert (answer.status, answer.reason, answer.logged_in) == (503, "no-keys", False)
    assert lms.fetched == 1
    lms.broken = False
    time.sleep(PAUSE_S + 0.1)
    assert lms.launch(browser).logged_in
    lms.close()


def test_the_hub_answers_others_while_an_lms_is_slow_with_its_keys(hub: Hub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lms = Lms("https://slow.example", "1")
        lms.write(hub.folder / "consumers.d", "slow", jwks_url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        answers: list[Answer] = []
        waiting = threading.Thread(target=lambda: answers.append(lms.launch(Browser(hub))))
        waiting.start()
        asked, _ = silent.accept()  # now the hub waits for an answer
        with asked:
            began = time.monotonic()
            assert Browser(hub).post("/hub/lti/launch", form()).logged_in
            assert time.monotonic() - began < PAUSE_S
            assert waiting.is_alive()
            waiting.join()
    assert answers[0].reason == "no-keys"
    lms.close()


def test_a_weak_key_is_refused(hub: Hub, browser: Browser) -> None:
    lms = Lms("https://weak.example", "1")
    lms.key = Key("weak", bits=1024)
    lms.published = [lms.key.jwk]
    lms.write(hub.folder / "consumers.d", "weak")
    assert lms.launch(browser).reason == "not-trusted"
    lms.close()


def test_deployments_can_be_limited(hub: Hub, browser: Browser, lms: Lms) -> None:
    lms.write(hub.folder / "consumers.d", deployment_ids=["1:another"])
    assert lms.launch(browser).reason == "not-trusted"
    assert lms.launch(browser, deployment_id="1:another").logged_in
    lms.write(hub.folder / "consumers.d")


def test_a_consumer_that_is_revoked_during_a_login_is_refused(hub: Hub, browser: Browser, lms: Lms) -> None:
    question = lms.begin(browser)
    (hub.folder / "consumers.d" / "default.json").unlink()
    assert lms.answer(browser, question, lms.key.sign(lms.claims(question))).reason == "not-trusted"
    assert browser.post("/hub/lti/launch", form()).logged_in, "its LTI 1.1 goes on"
    lms.write(hub.folder / "consumers.d")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"issuer": ""}, "issuer is missing or no text"),
        ({"client_ids": []}, "client_ids is missing or empty"),
        ({"client_ids": "10000000000001"}, "client_ids is not a list of texts"),
        ({"jwks_url": "http://canvas.example.edu/jwks"}, "jwks_url is not an https address"),
        ({"authorize_url": "file:///etc/passwd"}, "authorize_url is not an https address"),
        ({"prefix": "No"}, "'No' is not a prefix"),
        ({}, "consumer default has the same issuer and client id"),
    ],
)
def test_a_platform_with_a_broken_file_is_shut_out(hub: Hub, lms: Lms, changes: dict[str, Any], complaint: str) -> None:
    lms.write(hub.folder / "consumers.d", "zbroken", **changes)
    before = len(hub.log)
    assert lms.launch(Browser(hub)).logged_in, "the others work"
    assert "LTI consumer zbroken is shut out: " in hub.log[before:] and complaint in hub.log[before:]


def test_an_lms_whose_keys_are_in_its_file_launches_until_it_expires(hub: Hub, browser: Browser) -> None:
    lms = Lms("https://inline.example", "1")
    settings = json.loads(lms.settings())
    del settings["jwks_url"]
    file = hub.folder / "consumers.d" / "inline.json"
    file.write_text(json.dumps({**settings, "jwks": {"keys": [lms.key.jwk]}, "expires": now() + 5}))
    lms.close()  # nobody need answer
    known = lms.key
    lms.key = Key(known.kid)
    assert lms.launch(Browser(hub)).reason == "not-trusted", "another key under its name"
    lms.key = known
    lms.launch(browser)
    assert browser.user == "inline__ada"
    late = Browser(hub)
    question = lms.begin(late)
    while now() < json.loads(file.read_text())["expires"]:
        time.sleep(0.2)
    assert lms.answer(late, question, lms.key.sign(lms.claims(question))).reason == "not-trusted"
    before = len(hub.log)
    says = f"iss=https://inline.example&login_hint=x&target_link_uri={lms.launch_url}"
    assert Browser(hub).get(f"/hub/lti13/oauth_login?{says}").reason == "not-trusted"
    assert "LTI consumer inline is shut out" in hub.log[before:]


def test_one_person_has_one_name_and_one_home_with_both_versions(hub: Hub, lms: Lms) -> None:
    for name in ("ada", "Ada@Example.EDU", "张伟"):
        with_11, with_13 = Browser(hub), Browser(hub)
        with_11.post("/hub/lti/launch", form(name, context_id="bio-101"))
        lms.launch(with_13, name)
        assert with_11.user == with_13.user == hub_name(name)
    assert hub.groups("ada") >= {"course-bio-101"}


def test_two_platforms_with_the_same_user_are_two_people(hub: Hub, browser: Browser, lms: Lms) -> None:
    other = Lms("https://moodle.example", "1")
    other.write(hub.folder / "consumers.d", "moodle")
    other.launch(browser)
    assert browser.user == "moodle__ada"
    other.close()


@pytest.mark.parametrize(
    ("roles", "groups"),
    [
        ([f"{MEMBERSHIP}#Instructor"], "course-unix-1 course-unix-1-instructors"),
        (
            [f"{MEMBERSHIP}#Learner", f"{MEMBERSHIP}/Instructor#TeachingAssistant"],
            "course-unix-1 course-unix-1-instructors",
        ),
        ([f"{MEMBERSHIP}#Learner"], "course-unix-1"),
        ([f"{MEMBERSHIP}/Learner#Instructor"], "course-unix-1"),
        (
            [f"{MEMBERSHIP}#Learner", "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor"],
            "course-unix-1",
        ),
        (["http://purl.imsglobal.org/vocab/lis/v2/system/person#SysAdmin", 7, None], ""),
        ([], ""),
    ],
)
def test_roles_of_lti_1_3(hub: Hub, lms: Lms, roles: list[Any], groups: str) -> None:
    assert lms.launch(Browser(hub), "ken", roles=roles, context={"id": "unix-1"}).logged_in
    assert hub.groups("ken") == set(groups.split())


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"custom": {"next": "/hub/user-redirect/lab"}}, "/hub/user-redirect/lab"),
        ({"target_link_uri": f"{LAUNCH_URL}?custom_next=%2Fhub%2Fhome"}, "/hub/home"),
        ({"target_link_uri": f"{CALLBACK}?custom_next={PUBLIC_URL}hub/home"}, "/hub/home"),
        ({"target_link_uri": f"{PUBLIC_URL}hub/user-redirect/lab?x=%2F%2F"}, "/hub/user-redirect/lab?x=%2F%2F"),
        ({"target_link_uri": CALLBACK}, "/hub/"),
        ({"target_link_uri": f"{PUBLIC_URL}hub/lti13/oauth_login"}, "/hub/"),
        ({"target_link_uri": f"{LAUNCH_URL}/?x=1"}, "/hub/"),
        ({"target_link_uri": f"{LAUNCH_URL}?custom_next=%2Fhub%2Flti%2Flaunch"}, "/hub/"),
        ({"custom": {"next": "/hub/lti/launch"}, "target_link_uri": f"{PUBLIC_URL}hub/home"}, "/hub/home"),
        ({"target_link_uri": PUBLIC_URL}, "/"),
        ({"target_link_uri": PUBLIC_URL[:-1]}, "/"),
    ],
)
def test_deep_links_of_lti_1_3(browser: Browser, lms: Lms, changes: dict[str, Any], location: str) -> None:
    answer = lms.launch(browser, **changes)
    assert (answer.status, answer.location) == (302, location)


def test_the_hub_serves_the_developer_key_for_canvas(hub: Hub, browser: Browser) -> None:
    served = json.loads(browser.get("/hub/lti13/config", headers={"Host": "evil.example"}).response.text)
    [jwk] = json.loads(browser.get("/hub/lti13/jwks").response.text)["keys"]
    assert served == developer_key(f"{PUBLIC_URL}hub/", "lis_person_sourcedid", public_jwk=jwk)
    assert set(jwk) == {"kty", "alg", "use", "kid", "n", "e"}, "no private half"
    again = json.loads(browser.get("/hub/lti13/jwks").response.text)
    assert again == {"keys": [jwk]}, "the key is made once"
    assert not [file for file in hub.folder.rglob("*") if file.is_file() and b"PRIVATE KEY" in file.read_bytes()]


# ------------------------------------------------------------------------------------------------ other fields for the name


@pytest.fixture
def hub_by(tmp_path: Path) -> Iterator[Callable[[str], tuple[Hub, Lms]]]:
    """Makes a hub that knows people by another field."""
    made: list[tuple[Hub, Lms]] = []

    def make(username_key: str) -> tuple[Hub, Lms]:
        hub, lms = Hub(tmp_path / "hub", username_key), Lms()
        made.append((hub, lms))
        hub.consumer("default", KEY, SECRET)
        lms.write(hub.folder / "consumers.d")
        hub.start()
        return hub, lms

    yield make
    for hub, lms in made:
        hub.stop()
        lms.close()


def test_a_custom_field_that_a_teacher_wrote_into_a_link_opens_nobody_elses_home(
    hub_by: Callable[[str], tuple[Hub, Lms]],
) -> None:
    hub, lms = hub_by("custom_canvas_user_login_id")
    as_ada = {"custom": {"canvas_user_login_id": "ada"}}
    assert lms.launch(Browser(hub), sub="ada-in-canvas", **as_ada).logged_in
    teacher, ada = Browser(hub), Browser(hub)
    assert lms.launch(teacher, sub="teacher-in-canvas", **as_ada).logged_in
    assert teacher.user.startswith("ada--"), "a home of the teacher's own"
    lms.launch(ada, sub="ada-in-canvas", **as_ada)
    assert ada.user == "ada", "and Ada stays Ada"
    own = {"custom": {"canvas_user_login_id": "teacher", "canvas_user_id": "42"}}
    again = Browser(hub)
    assert lms.launch(again, sub="teacher-in-canvas", **own).logged_in and again.user == teacher.user
    with closing(sqlite3.connect(hub.folder / "lti_people.sqlite")) as db:
        noted = dict(db.execute("SELECT field, value FROM field WHERE person = 2"))
    assert noted["custom_canvas_user_login_id"] == "teacher"
    assert "custom_canvas_user_id" not in noted, "a link's own field, which no key asks for, says nothing of anybody"
    assert Browser(hub).post("/hub/lti/launch", form("x", user_id="11", custom_canvas_user_login_id="ada")).logged_in


def test_a_custom_field_names_people_in_both_versions(hub_by: Callable[[str], tuple[Hub, Lms]]) -> None:
    hub, lms = hub_by("custom_netid")
    one, two, three = Browser(hub), Browser(hub), Browser(hub)
    assert one.post("/hub/lti/launch", form("sis-1", custom_netid="Ada")).logged_in
    same = {"lti1p1": {"user_id": form("sis-1")["user_id"]}}
    assert lms.launch(two, "sis-1", custom={"netid": "ADA"}, **same).logged_in
    assert lms.launch(three, "sis-3", custom={"netid": 42}).logged_in
    assert (one.user, two.user, three.user) == ("ada", "ada", "42")
    assert lms.launch(three, "sis-4", custom={"netid": True}).logged_in and three.user == "sis-4"
    assert three.post("/hub/lti/launch", form("sis-5", custom_netid=None)).logged_in and three.user == "sis-5"
    forged = form("sis-1", custom_netid="grace")
    assert Browser(hub).post("/hub/lti/launch?custom_netid=grace", forged).reason == "bad-link"
    served = json.loads(one.get("/hub/lti13/config").response.text)
    assert served["custom_fields"] == {} and served["extensions"][0]["privacy_level"] == "public", (
        "people add the field"
    )


def test_opaque_ids_keep_their_case_in_both_versions(hub_by: Callable[[str], tuple[Hub, Lms]]) -> None:
    hub, lms = hub_by("user_id")
    users = []
    for name in ("aB", "ab"):
        one, two = Browser(hub), Browser(hub)
        one.post("/hub/lti/launch", form(None, user_id=name))
        lms.launch(two, None, sub=name)
        assert one.user == two.user != ""
        users.append(one.user)
    assert users[1] == "ab" and users[0] == hub_name("aB", exact=True)
