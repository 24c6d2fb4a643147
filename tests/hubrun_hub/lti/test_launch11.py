"""The hub's front door, tried on a real JupyterHub: who gets in, as whom, and what the others are told.

Canvas with LTI 1.1 is played by hubrun's own signer; LTI 1.3 is in test_launch13.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from oauthlib.oauth1 import SIGNATURE_TYPE_BODY
from oauthlib.oauth1 import Client as OAuth1

from hubrun_hub.lti.user_names import hub_name
from lti_hub import HOST, KEY, LAUNCH_URL, PUBLIC_URL, SECRET, Browser, Hub, form, hub_python, running_hub

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


# ------------------------------------------------------------------------------------------------ LTI 1.1


@dataclass(frozen=True)
class Case:
    """A launch (the arguments of `form`), changes after the signature, headers and a query; and what must come of it."""

    name: str
    launch: dict[str, Any] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    status: int = 302
    reason: str = ""
    user: str = ""
    location: str = "/hub/"


GOOD = [
    Case("good", user="ada"),
    Case("upper case", {"username": "ADA"}, user="ada"),
    Case("blanks around the name", {"username": " ada "}, user="ada"),
    Case("200 characters", {"username": "x" * 200}, user="xxxxxxxxxxxxxxxxxxxxxxx--viqmeprsagbuaudhtyoyrfa3tj"),
    Case("another script", {"username": "张伟"}, user="user--uoqlv7il53ke3e2rpy54crmpkz"),
    Case("a path", {"username": "../../etc/passwd"}, user="etc-passwd--g5knnsz2hdqrqxs3hawv6pxt6e"),
    Case("an address", {"username": "ada@example.edu"}, user="ada-example-edu--4zqyhua5mz675byy3rhfyvbk3g"),
    Case("150 s old, as Canvas's button may be", {"age_s": 150}, user="ada"),
    Case("9 minutes old", {"age_s": 540}, user="ada"),
    Case("9 minutes ahead", {"age_s": -540}, user="ada"),
    Case("missing name", {"username": None, "user_id": "id-1"}, user=hub_name("somebody@example.edu")),
    Case("empty name", {"username": "", "user_id": "id-1"}, user=hub_name("somebody@example.edu")),
    Case("blank name", {"username": "  ", "user_id": "id-2", "lis_person_contact_email_primary": None}, user="id-2"),
    Case(
        "variable for a name",
        {"username": "$Person.sourcedId", "user_id": "id-3", "lis_person_contact_email_primary": None},
        user="id-3",
    ),
    Case("without a course", {"context_id": None}, user="ada"),
    Case("forged X-Forwarded-Proto", headers={"X-Forwarded-Proto": "http"}, user="ada"),
    Case(
        "forged X-Forwarded-Host", headers={"X-Forwarded-Host": "evil.example", "Forwarded": "proto=http"}, user="ada"
    ),
    Case("forged Host", headers={"Host": "evil.example", "X-Scheme": "gopher"}, user="ada"),
    Case("a page of the hub", {"custom_next": "/hub/home"}, user="ada", location="/hub/home"),
    Case(
        "a deep link in the query",
        {
            "url": f"{LAUNCH_URL}?custom_next=%2Fhub%2Fuser-redirect%2Fgit-pull%3Frepo%3Dhttps%253A%252F%252Fgit.example%252Fr"
        },
        query="?custom_next=%2Fhub%2Fuser-redirect%2Fgit-pull%3Frepo%3Dhttps%253A%252F%252Fgit.example%252Fr",
        user="ada",
        location="/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgit.example%2Fr",
    ),
    Case("a whole address of the hub", {"custom_next": f"{PUBLIC_URL}hub/token"}, user="ada", location="/hub/token"),
    Case("the launch address itself", {"custom_next": "/hub/lti/launch/"}, user="ada"),
    Case("capitals in the media type", headers={"Content-Type": "Application/X-WWW-Form-URLEncoded"}, user="ada"),
]
BAD = [
    Case("unknown key", {"key": "another-key"}, status=401, reason="not-trusted"),
    Case("wrong secret", {"secret": "another-secret"}, status=401, reason="not-trusted"),
    Case("no secret", {"secret": ""}, status=401, reason="not-trusted"),
    Case("tampered name", after={"lis_person_sourcedid": "grace"}, status=401, reason="not-trusted"),
    Case("added field", after={"custom_next": "/hub/home"}, status=401, reason="not-trusted"),
    Case("signed for another address", {"url": "https://evil.example/hub/lti/launch"}, status=401, reason="not-trusted"),
    Case("11 minutes old", {"age_s": 660}, status=401, reason="expired"),
    Case("11 minutes ahead", {"age_s": -660}, status=401, reason="clock"),
    Case("without user_id", {"user_id": None}, status=400, reason="no-name"),
    Case("empty id", {"user_id": ""}, status=400, reason="no-name"),
    Case("blank id", {"user_id": "  "}, status=400, reason="no-name"),
    Case("variable for an id", {"user_id": "$User.id"}, status=400, reason="no-name"),
    Case(
        "nobody is logged in to Canvas, and a link says who comes",
        {"ext_roles": "urn:lti:sysrole:ims/lis/None", "user_id": "ada's"},
        status=400,
        reason="no-name",
    ),
    Case("wrong message", {"lti_message_type": "ContentItemSelectionRequest"}, status=400, reason="wrong-message"),
    Case("no message type", {"lti_message_type": None}, status=400, reason="wrong-message"),
    Case("no version", {"lti_version": None}, status=400, reason="no-launch"),
    Case("LTI 2.0", {"lti_version": "LTI-2p0"}, status=400, reason="lti-version"),
    Case("another signature", after={"oauth_signature_method": "HMAC-SHA256"}, status=400, reason="signature-method"),
    Case("no resource link", {"resource_link_id": None}, status=400, reason="no-launch"),
    Case("blocked", {"username": "mallory"}, status=403, reason="not-admitted"),
    *(
        Case(f"off-site: {next_url!a}", {"custom_next": next_url}, status=400, reason="bad-link")
        for next_url in (
            "https://evil.example/", "http://evil.example", "//evil.example/", "///evil.example/", r"\\evil.example",
            r"/\evil.example", "/%5Cevil.example", "/%2Fevil.example", "%2F%2Fevil.example", "https%3A%2F%2Fevil.example",
            "/%252Fevil.example", f"https://{HOST}@evil.example/", f"https://evil.example\\@{HOST}/", "/\t/evil.example",
            f"https://{HOST}.evil.example/", f"http://{HOST}/hub/home", "https://hub.example.edu/hub/home",
            "javascript:alert(1)", "hub/home", "/hub/../..//evil.example", "https:evil.example", "https:///evil.example",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", GOOD + BAD, ids=lambda case: case.name)
def test_launch_matrix_of_lti_1_1(hub: Hub, case: Case) -> None:
    browser = Browser(hub)
    answer = browser.post(f"/hub/lti/launch{case.query}", {**form(**case.launch), **case.after}, headers=case.headers)
    assert (answer.status, answer.reason) == (case.status, case.reason), answer.response.text
    assert answer.logged_in == bool(case.user)
    assert browser.user == case.user
    if case.user:
        # A link that pulls a repository goes on with a ticket: see test_pull_links.
        location, ticket, _ = answer.location.partition("&hubrun_ticket=")
        assert (location, bool(ticket)) == (case.location, "/git-pull?" in case.location)


@pytest.mark.parametrize("field", ["lis_person_sourcedid", "roles", "context_id"])
def test_who_somebody_is_and_what_they_may_is_not_for_a_link_to_say(hub: Hub, browser: Browser, field: str) -> None:
    """Canvas copies the query of a link, which every teacher can write, into the form it signs, where a field is missing."""
    query = f"?{field}=grace"
    launch = form(**{"username" if field == "lis_person_sourcedid" else field: "grace"})
    answer = browser.post(f"/hub/lti/launch{query}", launch)
    assert (answer.status, answer.reason, answer.logged_in) == (400, "bad-link", False)


@pytest.mark.parametrize("signed", ["each once, as Canvas does", "in the form and in the query (RFC 5849, 3.4.1.3.1)"])
def test_a_query_that_stands_in_the_form_too_is_signed_once_or_twice(browser: Browser, signed: str) -> None:
    url = f"{LAUNCH_URL}?custom_next=%2Fhub%2Fhome&x=1"
    launch = form(url=url)
    if "RFC" in signed:
        launch = {name: value for name, value in launch.items() if not name.startswith("oauth_")}
        signer = OAuth1(KEY, client_secret=SECRET, signature_type=SIGNATURE_TYPE_BODY, callback_uri="about:blank")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        launch = dict(parse_qsl(signer.sign(url, "POST", body=urlencode(launch), headers=headers)[2]))
    path = url.removeprefix(PUBLIC_URL.rstrip("/"))
    assert browser.post(path, {**launch, "x": "2"}).reason == "not-trusted"
    if "RFC" in signed:
        assert browser.post(f"{path}&x=2", launch).reason == "not-trusted"
    assert browser.post(path, launch).location == "/hub/home"


def test_a_launch_works_once(hub: Hub, browser: Browser) -> None:
    launch = form()
    assert browser.post("/hub/lti/launch", launch).logged_in
    again = Browser(hub).post("/hub/lti/launch", launch)
    assert (again.status, again.reason, again.logged_in) == (401, "replayed", False)


def test_a_failed_attempt_does_not_use_a_launch_up(hub: Hub, browser: Browser) -> None:
    launch = form()
    assert browser.post("/hub/lti/launch", {**launch, "roles": "Instructor"}).reason == "not-trusted"
    assert browser.post("/hub/lti/launch", launch).logged_in


def test_two_launches_in_the_same_second_are_two(hub: Hub, browser: Browser) -> None:
    assert browser.post("/hub/lti/launch", form()).logged_in
    assert browser.post("/hub/lti/launch", form()).logged_in


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"%ff=%fe", b"oauth_consumer_key=x", b"{}", b"oauth_timestamp=soon&" + b"x=1"],
    ids=["nothing", "no text", "no UTF-8", "one field", "JSON", "no time"],
)
def test_what_is_no_launch_is_told_so(browser: Browser, body: bytes) -> None:
    answer = browser.post("/hub/lti/launch", body)
    assert (answer.status, answer.reason) == (400, "no-launch")


def test_a_time_stamp_that_is_no_number_is_no_launch(browser: Browser) -> None:
    answer = browser.post("/hub/lti/launch", {**form(), "oauth_timestamp": "soon"})
    assert (answer.status, answer.reason) == (400, "no-launch")


def test_a_form_of_another_kind_is_no_launch(browser: Browser) -> None:
    answer = browser.post("/hub/lti/launch", b"{}", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.reason) == (400, "no-launch")


def test_of_a_field_that_is_there_twice_both_are_signed(hub: Hub, browser: Browser) -> None:
    """Another value before or after the signed one must not be read in its place."""
    launch = form()
    for pairs in ([("lis_person_sourcedid", "grace"), *launch.items()], [*launch.items(), ("roles", "Instructor")]):
        answer = browser.post("/hub/lti/launch", pairs)
        assert (answer.status, answer.reason) == (401, "not-trusted")


# ------------------------------------------------------------------------------------------------ pages


def test_opening_the_launch_address_says_to_come_from_canvas(browser: Browser) -> None:
    answer = browser.get("/hub/lti/launch")
    assert (answer.status, answer.reason) == (405, "not-launched")
    assert "Canvas" in answer.response.text


def test_a_bookmark_of_somebody_who_is_logged_in_just_works(browser: Browser) -> None:
    browser.post("/hub/lti/launch", form())
    answer = browser.get("/hub/lti/launch")
    assert (answer.status, answer.location) == (302, "/hub/")


def test_the_login_page_says_to_come_from_canvas(browser: Browser) -> None:
    for path in ("/hub/login", "/hub/login?next=%2Fuser%2Fada%2Flab"):
        answer = browser.get(path)
        assert (answer.status, answer.reason) == (403, "no-session")
    away = browser.get("/hub/home")
    assert (away.status, away.location) == (302, "/hub/login?next=%2Fhub%2Fhome")


def test_the_login_page_lets_nobody_in(browser: Browser) -> None:
    for data in ({"username": "ada", "password": "x"}, {"launch": "ada"}, {}):
        answer = browser.post("/hub/login", data)
        assert (answer.status, answer.logged_in) == (403, False)
    assert browser.user == ""


def test_the_api_gives_nobody_a_token_for_saying_who_they_are(hub: Hub, browser: Browser) -> None:
    """JupyterHub hands what an anonymous request says of itself to the authenticator (POST /users/NAME/tokens)."""
    browser.post("/hub/lti/launch", form())
    for says in ({"launch": "ada"}, {"username": "ada", "password": "x"}, "ada", None):
        answer = httpx.post(f"http://127.0.0.1:{hub.port}/hub/api/users/ada/tokens", json={"auth": says})
        assert answer.status_code == 403


def test_a_page_is_in_the_hubs_style_and_shows_no_detail(hub: Hub, browser: Browser) -> None:
    page = browser.post("/hub/lti/launch", form(secret="wrong")).response
    assert "css/style.min.css" in page.text and "jupyterhub-logo" in page.text
    assert "signature" not in page.text and KEY not in page.text and "oauth" not in page.text
    other = browser.post("/hub/lti/launch", form(key="wrong")).response
    when = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
    token = re.compile(r'xsrf_token: "[^"]*"')
    same = [token.sub("", when.sub("", each.text)) for each in (page, other)]
    assert same[0] == same[1], "an unknown key and a wrong secret look alike"
    assert page.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("launch", "line"),
    [
        ({"age_s": 660}, r"LTI launch by consumer default refused \(expired\): signed 66[0-2] s ago, 600 are allowed"),
        ({"age_s": -660}, r"by consumer default refused \(clock\): signed 6(59|60) s in the future, 600 are allowed"),
        ({"key": "no-such-key"}, r"LTI launch refused \(not-trusted\): no consumer has its key"),
        ({"secret": "wrong"}, r"LTI launch by consumer default refused \(not-trusted\): wrong signature"),
        ({"user_id": " "}, r"by consumer default refused \(no-name\): no user_id"),
        ({"user_id": "$User.id"}, r"refused \(no-name\): no user_id"),
        ({"lti_message_type": "x\nfaked line"}, r"refused \(wrong-message\): a 'x\\nfaked line', not a basic-lti"),
    ],
    ids=["old", "ahead", "key", "secret", "name", "variable", "line break"],
)
def test_the_log_has_a_line_that_an_operator_can_act_on(hub: Hub, launch: dict[str, Any], line: str) -> None:
    before = len(hub.log)
    sent = form(**launch)
    Browser(hub).post("/hub/lti/launch", sent)
    new = hub.log[before:]
    assert re.search(line, new), new
    for hidden in (SECRET, sent["oauth_signature"], sent["oauth_nonce"], "no-such-key", sent["user_id"].strip()):
        assert not hidden or hidden not in new


# ------------------------------------------------------------------------------------------------ groups

BIO, CHEM = "course-bio-101", "course-chem-7"


def enter(hub: Hub, user: str, course: str, roles: str) -> set[str]:
    """Launch, and return the groups of which the user is then."""
    answer = Browser(hub).post(
        "/hub/lti/launch", form(user, course=course, context_title=f"The course {course}", roles=roles)
    )
    assert answer.logged_in
    return hub.groups(user)


def test_groups_are_joined_and_another_courses_launch_takes_none_away(hub: Hub) -> None:
    assert enter(hub, "linus", "bio-101", "Learner") == {BIO}
    assert enter(hub, "linus", "chem-7", "Instructor") == {BIO, CHEM, f"{CHEM}-instructors"}
    assert enter(hub, "linus", "bio-101", "Learner") == {BIO, CHEM, f"{CHEM}-instructors"}


def test_a_role_that_is_lost_is_lost_in_that_course_only(hub: Hub) -> None:
    enter(hub, "barbara", "bio-101", "Instructor")
    enter(hub, "barbara", "chem-7", "Instructor")
    assert enter(hub, "barbara", "bio-101", "Learner") == {BIO, CHEM, f"{CHEM}-instructors"}


def test_groups_that_were_made_by_hand_stay(hub: Hub) -> None:
    assert enter(hub, "grace", "bio-101", "Instructor") == {"made-by-hand", BIO, f"{BIO}-instructors"}


def test_the_group_says_what_people_call_the_course(hub: Hub) -> None:
    enter(hub, "linus", "bio-101", "Learner")
    [group] = [group for group in hub.api("GET", "/groups") if group["name"] == BIO]
    assert group["properties"] == {
        "lti_consumer": "default", "lti_context": "bio-101", "label": "bio-101", "title": "The course bio-101",
        "folder": "bio-101", "sis": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("roles", "teaches"),
    [
        ("Instructor", True),
        ("Learner,Instructor", True),
        ("urn:lti:role:ims/lis/Instructor", True),
        ("urn:lti:role:ims/lis/TeachingAssistant", True),
        ("urn:lti:role:ims/lis/Instructor/PrimaryInstructor", True),
        ("Learner", False),
        ("", False),
        ("Learner,urn:lti:instrole:ims/lis/Instructor", False),
        ("urn:lti:instrole:ims/lis/Administrator", False),
        ("urn:lti:sysrole:ims/lis/SysAdmin", False),
        ("Mentor", False),
        ("Mentor,ContentDeveloper", True),
    ],
)
def test_who_teaches_is_said_by_the_role_in_the_course(hub: Hub, roles: str, teaches: bool) -> None:
    assert (f"{CHEM}-instructors" in enter(hub, "margaret", "chem-7", roles)) == teaches


def test_nobody_administers_the_hub_but_admin_users(hub: Hub) -> None:
    enter(hub, "barbara", "bio-101", "Instructor,urn:lti:instrole:ims/lis/Administrator")
    enter(hub, "root-of-all", "bio-101", "Learner")
    admins = {user["name"] for user in hub.api("GET", "/users") if user["admin"]}
    assert admins == {"root-of-all"}


def test_an_administrator_made_by_hand_is_none_after_the_next_launch(hub: Hub) -> None:
    enter(hub, "eve", "bio-101", "Learner")
    hub.api("PATCH", "/users/eve", json={"admin": True})
    assert hub.api("GET", "/users/eve")["admin"]
    enter(hub, "eve", "bio-101", "Learner")
    assert not hub.api("GET", "/users/eve")["admin"]


# ------------------------------------------------------------------------------------------------ consumers


def test_a_consumer_comes_and_goes_with_its_file_while_the_hub_runs(hub: Hub, browser: Browser) -> None:
    launch = {"key": "key-of-bio", "secret": "secret-of-bio"}
    assert browser.post("/hub/lti/launch", form(**launch)).reason == "not-trusted"
    file = hub.consumer("bio", **launch)
    assert browser.post("/hub/lti/launch", form(**launch)).logged_in
    assert browser.user == "bio__ada"
    file.unlink()
    assert Browser(hub).post("/hub/lti/launch", form(**launch)).reason == "not-trusted"
    assert Browser(hub).post("/hub/lti/launch", form()).logged_in, "the other is not touched"
    assert browser.user == "bio__ada", "who is in stays in"


def test_the_same_name_from_two_consumers_is_two_people_with_courses_of_their_own(hub: Hub) -> None:
    hub.consumer("uni2", "key-of-uni2", "secret-of-uni2")
    ours, theirs = Browser(hub), Browser(hub)
    ours.post("/hub/lti/launch", form("alan", context_id="x1", role="Learner"))
    theirs.post(
        "/hub/lti/launch", form("alan", key="key-of-uni2", secret="secret-of-uni2", context_id="x1", role="Instructor")
    )
    assert (ours.user, theirs.user) == ("alan", "uni2__alan"), "the first one's people keep their names"
    assert hub.groups("alan") == {"course-x1"}
    assert hub.groups("uni2__alan") == {"course-uni2__x1", "course-uni2__x1-instructors"}
    forger = Browser(hub)
    forger.post("/hub/lti/launch", form("uni2__alan"))
    assert forger.user.startswith("uni2-alan--"), "no name of another consumer's can be had by a user id"


def test_two_keys_of_one_lms_share_their_people_when_their_files_say_so(hub: Hub, browser: Browser) -> None:
    hub.consumer("more", "key-of-more", "secret-of-more", prefix="")
    browser.post("/hub/lti/launch", form("ada", key="key-of-more", secret="secret-of-more"))
    assert browser.user == "ada"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "LTI_CLIENT_KEY is missing or empty"),
        ("LTI_CLIENT_KEY=broken-key\nLTI_CLIENT_SECRET=\n", "LTI_CLIENT_SECRET is missing or empty"),
        ("LTI_CLIENT_KEY=broken-key\nLTI_CLIENT_SECRET=s3cr3t\nLTI_PREFIX=No-Prefix\n", "is not a prefix"),
        (f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET=s3cr3t\n", "consumer default has the same LTI_CLIENT_KEY"),
    ],
    ids=["empty", "no secret", "no prefix", "another's key"],
)
def test_a_consumer_with_a_broken_file_is_shut_out_and_the_others_work(hub: Hub, content: str, complaint: str) -> None:
    file = hub.folder / "consumers.d" / "broken.env"
    file.write_text(content)
    before = len(hub.log)
    broken = form(key="broken-key", secret="s3cr3t") if KEY not in content else form(secret="s3cr3t")
    assert Browser(hub).post("/hub/lti/launch", broken).reason == "not-trusted"
    assert Browser(hub).post("/hub/lti/launch", form()).logged_in
    new = hub.log[before:]
    assert "LTI consumer broken is shut out: " in new and complaint in new
    assert "s3cr3t" not in new


def test_a_file_that_cannot_be_read_shuts_out_its_consumer_only(hub: Hub) -> None:
    folder = hub.folder / "consumers.d" / "broken.env"
    folder.mkdir()  # root may read every file, but no folder as a file
    assert Browser(hub).post("/hub/lti/launch", form()).logged_in
    assert "LTI consumer broken is shut out: [Errno 21]" in hub.log


# ------------------------------------------------------------------------------------------------ the hub's environment


def test_docker_takes_every_name_as_its_escaping_makes_it() -> None:
    """`names` counts on how DockerSpawner escapes; here its own code does it."""
    identities = [
        "ada",
        "o.brien-2",
        "ada@example.edu",
        "x" * 200,
        "张伟",
        "a5f4cb2e-1d0e-4b55-9f2c-0c8ddd1f7ab3",
        ".-" * 40,
    ]
    names = [hub_name(identity, prefix) for identity in identities for prefix in ("", "bio", "abcdefghijkl")]
    code = "import json, sys; from dockerspawner import DockerSpawner as D; print(json.dumps(list(map(D._escape, sys.argv[1:]))))"
    done = subprocess.run([hub_python(), "-c", code, *names], capture_output=True, text=True, check=True)
    containers = [f"jupyter-{escaped}" for escaped in json.loads(done.stdout)]
    assert len(set(containers)) == len(set(names))
    for container in containers:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", container)


def test_a_hub_that_does_not_know_its_public_address_does_not_start(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")
    config = hub.folder / "jupyterhub_config.py"
    config.write_text(re.sub(r"c\.JupyterHub\.public_url = .*\n", "", config.read_text()))
    with pytest.raises(AssertionError, match="LaunchAuthenticator needs c.JupyterHub.public_url"):
        hub.start()


# ------------------------------------------------------------------------------------------------ restarts


def test_a_launch_that_was_used_stays_used_when_the_hub_restarts(hub: Hub, browser: Browser) -> None:
    launch = form()
    assert browser.post("/hub/lti/launch", launch).logged_in
    hub.stop()
    hub.start()
    answer = Browser(hub).post("/hub/lti/launch", launch)
    assert (answer.status, answer.reason) == (401, "replayed")
    assert browser.user == "ada", "and who is in stays in"
