"""Launches over HTTPS, through nginx and proxy, to the hub of a server that is set up: who gets in, as whom, who does not.

The LMSs are the tests' own (lti_platform): what hubrun does to check a server has no part in this.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from canvas import CONSUMERS, LTI_ENV, Consumers, Student, Visitor, consumers, key_and_secret, settings, trust
from machines import Machine, differences, hubrun
from websocket import ABNF, WebSocket, create_connection

from lti_platform import MEMBERSHIP, Answer, Key, Platform, signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

LAUNCH = "/hub/lti/launch"
# Where somebody goes who tries to get away from the hub, and where a forged header says that the hub is.
EVIL = "evil.example"
FORGED = {
    "X-Forwarded-Proto": "http", "X-Forwarded-Host": EVIL, "X-Forwarded-Port": "80", "X-Forwarded-For": "127.0.0.1",
    "X-Scheme": "http", "X-Real-IP": "127.0.0.1", "Forwarded": f"for=127.0.0.1;host={EVIL};proto=http",
}  # fmt: skip
OFF_SITE = {
    "an absolute address": f"https://{EVIL}/",
    "two slashes": f"//{EVIL}/",
    "a backslash": f"/\\{EVIL}/",
    "two backslashes": f"\\\\{EVIL}/",
    "two slashes, encoded": f"/%2f{EVIL}/",
    "a backslash, encoded": f"/%5c{EVIL}/",
    "an absolute address, encoded": f"https%3A%2F%2F{EVIL}%2F",
    "encoded twice": f"/%252f{EVIL}/",
    "a tab between the slashes": f"/\t/{EVIL}/",
    "a script": "javascript:alert(1)",
}
# How the hub calls people whose names in the LMS cannot be the names of containers. Their files hang on it.
NAMES = {
    "x" * 200: "xxxxxxxxxxxxxxxxxxxxxxx--viqmeprsagbuaudhtyoyrfa3tj",
    "张伟": "user--uoqlv7il53ke3e2rpy54crmpkz",
    "../../etc/passwd": "etc-passwd--g5knnsz2hdqrqxs3hawv6pxt6e",
    "MIA": "mia",
}


@dataclass(frozen=True)
class Canvas:
    """Who may launch at the server, and with what: LTI 1.1 with key and secret, 1.3 with `platform`."""

    root: str
    key: str
    secret: str = field(repr=False)
    platform: Platform
    others: Consumers

    def form(self, username: str | None = "mia", **launch: Any) -> dict[str, str]:
        given = {"url": self.root + LAUNCH, "key": self.key, "secret": self.secret, "username": username, **launch}
        return signed_form(**given)


@pytest.fixture(scope="module")
def canvas(machine: Machine) -> Iterator[Canvas]:
    """The server's own consumer, which gets LTI 1.3 beside its 1.1."""
    root = machine.info["url"].rstrip("/")
    platform = Platform("https://canvas.instructure.com", "10000000000001", "https://canvas.example.edu", f"{root}/")
    local = 'c.LaunchAuthenticator.admin_users = {"lea"}\nc.LaunchAuthenticator.blocked_users = {"ned"}\n'
    with settings(machine, local), consumers(machine) as others:
        others.admit("default", platform)
        yield Canvas(root, *key_and_secret(machine), platform, others)
        # Where a test has started it; the hub, which restarts now, sees that it is gone.
        machine.run(
            "docker rm -f $(docker ps -aq --filter volume=jupyterhub-user-mia); docker volume rm -f jupyterhub-user-mia"
        )


@pytest.fixture
def visitor(machine: Machine) -> Iterator[Visitor]:
    with Visitor(machine.info) as visitor:
        yield visitor


def check(visitor: Visitor, answer: Answer, status: int, reason: str, user: str, location: str = "/hub/") -> None:
    """What came of a launch: status, the page's word for it, the login cookie, and who the hub takes us for."""
    assert (answer.status, answer.reason) == (status, reason), answer.response.text
    assert (answer.logged_in, visitor.logged_in, visitor.user) == (bool(user), bool(user), user)
    if user:
        assert answer.location.partition("&hubrun_ticket=")[0] == location


# ------------------------------------------------------------------------------------------------ LTI 1.1


@dataclass(frozen=True)
class Case:
    """A launch (the arguments of `signed_form`), what is changed after it was signed, headers; and what comes of it."""

    name: str
    launch: dict[str, Any] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 302
    reason: str = ""
    user: str = ""
    location: str = "/hub/"


# What Canvas sends with the privacy level "anonymous".
NAMELESS = {"lis_person_contact_email_primary": None, "custom_canvas_user_login_id": None}
CASES = [
    Case("good", user="mia"),
    *(Case(f"the name {name[:20]!a}", {"username": name}, user=user) for name, user in NAMES.items()),
    *(Case(f"{age} s old", {"age_s": age}, user="mia") for age in (20, 150, 540)),
    Case("forged headers", headers=FORGED, user="mia"),
    Case(
        "a page of this hub", {"custom_next": "/hub/user-redirect/lab/tree/a%20b.ipynb?x=%2F%2F"}, user="mia",
        location="/hub/user-redirect/lab/tree/a%20b.ipynb?x=%2F%2F",
    ),
    Case("wrong key", {"key": "no-such-key"}, status=401, reason="not-trusted"),
    Case("wrong secret", {"secret": "no-such-secret"}, status=401, reason="not-trusted"),
    Case("tampered field", after={"lis_person_sourcedid": "root"}, status=401, reason="not-trusted"),
    Case("added field", after={"custom_next": "/hub/home"}, status=401, reason="not-trusted"),
    Case("signed for another site", {"url": f"https://{EVIL}{LAUNCH}"}, status=401, reason="not-trusted"),
    Case(
        "signed for another site, which the headers name", {"url": f"https://{EVIL}{LAUNCH}"}, headers=FORGED,
        status=401, reason="not-trusted",
    ),
    Case("11 minutes old", {"age_s": 660}, status=401, reason="expired"),
    Case("11 minutes ahead", {"age_s": -660}, status=401, reason="clock"),
    Case("missing name", {**NAMELESS, "username": None, "user_id": "id-1"}, user="id-1"),
    Case("empty name", {**NAMELESS, "username": "", "user_id": "id-1"}, user="id-1"),
    Case("a name that Canvas did not fill in", {**NAMELESS, "username": "$Person.sourcedId", "user_id": "id-2"}, user="id-2"),
    Case("without an id of the person", {"user_id": None}, status=400, reason="no-name"),
    Case("with an empty id of the person", {"user_id": " "}, status=400, reason="no-name"),
    Case("shut out by the operator", {"username": "ned"}, status=403, reason="not-admitted"),
    *(Case(f"off-site: {name}", {"custom_next": url}, status=400, reason="bad-link") for name, url in OFF_SITE.items()),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_launch_matrix_of_lti_1_1(canvas: Canvas, visitor: Visitor, case: Case) -> None:
    answer = visitor.post(LAUNCH, {**canvas.form(**case.launch), **case.after}, headers=case.headers)
    check(visitor, answer, case.status, case.reason, case.user, case.location)


def test_the_login_cookie_is_for_this_hub_over_tls_alone(canvas: Canvas, visitor: Visitor) -> None:
    lines = visitor.post(LAUNCH, canvas.form(), headers=FORGED).response.headers.get_list("set-cookie")
    [line] = [line.lower() for line in lines if line.startswith("jupyterhub-hub-login=")]
    settings = {part.strip() for part in line.split(";")[1:]}
    assert {"secure", "httponly", "path=/hub/"} <= settings
    assert not any(each.startswith(("domain=", "samesite=none")) for each in settings)


def test_a_launch_works_once(canvas: Canvas, machine: Machine, visitor: Visitor) -> None:
    form = canvas.form()
    check(visitor, visitor.post(LAUNCH, form), 302, "", "mia")
    with Visitor(machine.info) as thief:
        check(thief, thief.post(LAUNCH, form), 401, "replayed", "")
    check(visitor, visitor.post(LAUNCH, canvas.form()), 302, "", "mia")


def test_a_request_for_another_host_gets_no_answer(canvas: Canvas, visitor: Visitor) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        visitor.post(LAUNCH, canvas.form(url=f"https://{EVIL}{LAUNCH}"), headers={"Host": EVIL})


def test_one_user_id_from_two_lmss_is_two_people(canvas: Canvas, machine: Machine) -> None:
    pair = {"key": "key-of-zoo", "secret": secrets.token_hex(16)}
    canvas.others.write("zoo.env", f"LTI_CLIENT_KEY={pair['key']}\nLTI_CLIENT_SECRET={pair['secret']}\n")
    moodle = Platform("https://moodle.example.edu", "1", "https://moodle.example.edu", f"{canvas.root}/")
    canvas.others.admit("moodle", moodle)
    with Visitor(machine.info) as ours, Visitor(machine.info) as theirs, Visitor(machine.info) as third:
        check(ours, ours.post(LAUNCH, canvas.form("42")), 302, "", "42")
        check(theirs, theirs.post(LAUNCH, canvas.form("42", **pair)), 302, "", "zoo__42")
        check(third, moodle.launch(third, "42"), 302, "", "moodle__42")
    with Visitor(machine.info) as forger:
        check(forger, forger.post(LAUNCH, canvas.form("zoo__42")), 302, "", "zoo-42--3jondwhboxszroz23c7egtl7et")


# ------------------------------------------------------------------------------------------------ LTI 1.3

GOOD_13 = [
    ("missing name", {"username": None, "sub": "id-3"}, "id-3"),
    ("a name that Canvas did not fill in", {"username": "$Person.sourcedId", "sub": "id-4"}, "id-4"),
    ("good", {}, "mia"),
    *((f"the name {name[:20]!a}", {"username": name}, user) for name, user in NAMES.items()),
    ("shown in Canvas 40 minutes ago", {"iat": -2400}, "mia"),
]
# name, changes of the claims (times as seconds from now), status, reason
BAD_13: list[tuple[str, dict[str, Any], int, str]] = [
    ("wrong issuer", {"iss": f"https://{EVIL}"}, 401, "not-trusted"),
    ("wrong audience", {"aud": "10000000000002"}, 401, "not-trusted"),
    ("wrong nonce", {"nonce": "0" * 64}, 401, "not-trusted"),
    ("no nonce", {"nonce": None}, 401, "not-trusted"),
    ("expired", {"iat": -1200, "exp": -660}, 401, "expired"),
    ("11 minutes ahead", {"iat": 660, "exp": 3600}, 401, "clock"),
    ("without an id of the person", {"sub": None}, 400, "no-name"),
    ("with an empty id of the person", {"sub": ""}, 400, "no-name"),
    *((f"off-site: {name}", {"custom": {"next": url}}, 400, "bad-link") for name, url in OFF_SITE.items()),
]


def dated(changes: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return {name: now + value if name in ("iat", "exp") else value for name, value in changes.items()}


@pytest.mark.parametrize(("changes", "user"), [case[1:] for case in GOOD_13], ids=[case[0] for case in GOOD_13])
def test_the_launch_matrix_of_lti_1_3_good(
    canvas: Canvas, visitor: Visitor, changes: dict[str, Any], user: str
) -> None:
    check(visitor, canvas.platform.launch(visitor, **{"username": "mia", **dated(changes)}), 302, "", user)


@pytest.mark.parametrize(
    ("changes", "status", "reason"), [case[1:] for case in BAD_13], ids=[case[0] for case in BAD_13]
)
def test_the_launch_matrix_of_lti_1_3_bad(
    canvas: Canvas, visitor: Visitor, changes: dict[str, Any], status: int, reason: str
) -> None:
    answer = canvas.platform.launch(visitor, **{"username": "mia", **dated(changes)})
    check(visitor, answer, status, reason, "")


STRANGER = Key("key-1")
FORGERIES: dict[str, Any] = {
    "tampered": lambda key, claims: ".".join([
        *key.sign({**claims, "sub": "x"}).split(".")[:2], key.sign(claims).split(".")[2]
    ]),
    "alg none": lambda key, claims: key.sign(claims, alg="none"),
    "HS256 with the public key": lambda key, claims: key.sign(claims, alg="HS256", secret=key.public_pem),
    "HS256 with the public key as it is published": lambda key, claims: key.sign(
        claims, alg="HS256", secret=json.dumps(key.jwk).encode()
    ),
    "another key of that name": lambda key, claims: STRANGER.sign(claims),
    "key not in JWKS": lambda key, claims: STRANGER.sign(claims, kid="key-9"),
}  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_token_that_the_lms_did_not_sign_is_refused(canvas: Canvas, visitor: Visitor, forge: Any) -> None:
    question = canvas.platform.begin(visitor)
    token = forge(canvas.platform.key, canvas.platform.claims(question, "mia"))
    check(visitor, canvas.platform.answer(visitor, question, token), 401, "not-trusted", "")


def test_a_token_works_once_also_for_whoever_has_the_cookie(canvas: Canvas, machine: Machine, visitor: Visitor) -> None:
    question = canvas.platform.begin(visitor)
    token = canvas.platform.key.sign(canvas.platform.claims(question, "mia"))
    with Visitor(machine.info) as thief, Visitor(machine.info) as other:
        thief.client.cookies.update(visitor.client.cookies)
        check(visitor, canvas.platform.answer(visitor, question, token), 302, "", "mia")
        check(thief, canvas.platform.answer(thief, question, token), 401, "replayed", "")
        check(other, canvas.platform.answer(other, question, token), 401, "replayed", "")


def test_forged_headers_do_not_lead_the_lms_astray(canvas: Canvas, visitor: Visitor) -> None:
    visitor.client.headers.update(FORGED)
    question = canvas.platform.begin(visitor)
    assert question["redirect_uri"] == f"{canvas.root}/hub/lti13/oauth_callback"
    token = canvas.platform.key.sign(canvas.platform.claims(question, "mia"))
    check(visitor, canvas.platform.answer(visitor, question, token), 302, "", "mia")


def test_keys_that_the_lms_has_rotated_count_within_seconds_and_the_old_ones_no_more(
    canvas: Canvas, machine: Machine, visitor: Visitor
) -> None:
    lms = canvas.platform
    old, lms.key = lms.key, Key("key-2")
    canvas.others.publish("default", lms.key.jwk)
    end = time.monotonic() + 10
    while (answer := lms.launch(visitor, "mia")).status == 401 and time.monotonic() < end:
        time.sleep(0.5)  # the hub asks for new keys every five seconds at most
    check(visitor, answer, 302, "", "mia")
    with Visitor(machine.info) as stranger:
        question = lms.begin(stranger)
        answer = lms.answer(stranger, question, old.sign(lms.claims(question, "mia")))
        check(stranger, answer, 401, "not-trusted", "")


# ------------------------------------------------------------------------------------------------ groups

# Read past the hub: who is in which group, and who administers.
_MEMBERS = """
import json, sqlite3
db = sqlite3.connect("file:/var/lib/jupyterhub/jupyterhub.sqlite?mode=ro", uri=True)
users = {name: {"admin": bool(admin), "groups": []} for name, admin in db.execute("SELECT name, admin FROM users")}
for name, group in db.execute(
    "SELECT users.name, groups.name FROM users JOIN user_group_map m ON m.user_id = users.id "
    "JOIN groups ON groups.id = m.group_id ORDER BY 2"
):
    users[name]["groups"].append(group)
print(json.dumps(users))
"""
LAUNCHES = (("lit-1", "Instructor"), ("lit-1", "Instructor"), ("art-2", "Learner"), ("art-2", "Learner"))
ORDERS = sorted(set(itertools.permutations(LAUNCHES)))


def members(machine: Machine) -> dict[str, dict[str, Any]]:
    return dict(json.loads(machine.run("/opt/jupyterhub/bin/python -", data=_MEMBERS.encode())))


@pytest.fixture(scope="module")
def enrolled(canvas: Canvas, machine: Machine) -> dict[str, dict[str, Any]]:
    """Users and their groups after people have launched from two courses, each in another order and by both versions."""
    for number, order in enumerate(ORDERS):
        for turn, (course, role) in enumerate(order):
            for name, teaches in ((f"ida{number}", role), (f"jon{number}", _other(role))):
                with Visitor(machine.info) as visitor:
                    if (turn + number) % 2:
                        answer = visitor.post(LAUNCH, canvas.form(name, course=course, role=teaches))
                    else:
                        roles = [f"{MEMBERSHIP}#{teaches}", f"{MEMBERSHIP}#Mentor"]
                        answer = canvas.platform.launch(visitor, name, roles=roles, context={"id": course})
                    assert answer.logged_in, answer.response.text
    return members(machine)


def _other(role: str) -> str:
    return {"Instructor": "Learner", "Learner": "Instructor"}[role]


@pytest.mark.parametrize("number", range(len(ORDERS)), ids=lambda number: " ".join(c for c, _ in ORDERS[number]))
def test_who_teaches_one_course_and_learns_in_another_is_in_their_groups_whatever_came_first(
    enrolled: dict[str, dict[str, Any]], number: int
) -> None:
    assert enrolled[f"ida{number}"]["groups"] == ["course-art-2", "course-lit-1", "course-lit-1-instructors"]
    assert enrolled[f"jon{number}"]["groups"] == ["course-art-2", "course-art-2-instructors", "course-lit-1"]


def test_who_loses_a_role_loses_it_in_that_course_alone(canvas: Canvas, machine: Machine) -> None:
    for course, role in (("lit-1", "Instructor"), ("art-2", "Instructor"), ("lit-1", "Learner")):
        with Visitor(machine.info) as visitor:
            assert visitor.post(LAUNCH, canvas.form("kit", course=course, role=role)).logged_in
    assert members(machine)["kit"]["groups"] == ["course-art-2", "course-art-2-instructors", "course-lit-1"]


def test_who_administers_the_hub_is_said_by_admin_users_alone(canvas: Canvas, machine: Machine) -> None:
    for name, role in (("lea", "Learner"), ("lou", "Instructor,urn:lti:instrole:ims/lis/Administrator")):
        with Visitor(machine.info) as visitor:
            assert visitor.post(LAUNCH, canvas.form(name, role=role)).logged_in
    assert [name for name, user in members(machine).items() if user["admin"]] == ["lea"]


# ------------------------------------------------------------------------------------------------ parameters


def install(machine: Machine, *values: str) -> None:
    ended = hubrun("install", machine.site, "--only", "02", *(f"--set={value}" for value in values), seconds=120)
    assert ended.code == 0, ended.tail


def digests(machine: Machine) -> dict[str, str]:
    lines = machine.run(f"sha256sum {LTI_ENV} {CONSUMERS}/*").splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def came_of(canvas: Canvas, machine: Machine) -> tuple[int, str, str]:
    """Status, reason and user that come of a launch."""
    with Visitor(machine.info) as visitor:
        answer = visitor.post(LAUNCH, canvas.form())
        return answer.status, answer.reason, visitor.user


def open_events(student: Student) -> WebSocket:
    """A websocket to the student's own server, as an open JupyterLab has it."""
    url = f"{student.root}/user/{student.name}/api/events/subscribe"
    request = student.client.build_request("GET", url)
    return create_connection(
        url.replace("https:", "wss:"), 60, sslopt={"context": trust(student.info["ca_bundle"])},
        header={"Cookie": request.headers["Cookie"]}, suppress_origin=True,
    )  # fmt: skip


def test_a_consumer_comes_and_goes_by_parameter_and_nobody_notices(canvas: Canvas, machine: Machine) -> None:
    with Student(machine.info, "mia") as mia:
        assert mia.launch(canvas.key, canvas.secret).status_code == 302
        assert mia.open_lab().url.path == "/user/mia/lab"
        with contextlib.closing(open_events(mia)) as events:
            before, others = machine.snapshot(), digests(machine)
            install(machine, "consumers=[{name: art}, {name: bio}]")
            pairs = {name: key_and_secret(machine, f"{CONSUMERS}/{name}.env") for name in ("bio", "art")}
            bio, art = (replace(canvas, key=key, secret=secret) for key, secret in pairs.values())
            different = len({text for each in (canvas, bio, art) for text in (each.key, each.secret)})
            assert different == 6, "everybody has their own key and secret"
            assert came_of(bio, machine) == (302, "", "bio__mia")
            assert came_of(art, machine) == (302, "", "art__mia")
            with_both = digests(machine)
            install(machine, "consumers=[{name: art}]")
            assert came_of(bio, machine) == (401, "not-trusted", "")
            assert came_of(art, machine) == (302, "", "art__mia")
            assert came_of(canvas, machine) == (302, "", "mia")
            after = digests(machine)
            assert after == {path: digest for path, digest in with_both.items() if not path.endswith("/bio.env")}
            assert after[LTI_ENV] == others[LTI_ENV]
            # A restart or a reload of a service would be among these, and a container that was made again is not there.
            changed = differences(before, machine.snapshot())
            assert changed and [line for line in changed if CONSUMERS not in line] == []
            events.ping()
            while events.recv_data(control_frame=True)[0] != ABNF.OPCODE_PONG:
                pass  # else it raises: mia's websocket is the one that was opened before
