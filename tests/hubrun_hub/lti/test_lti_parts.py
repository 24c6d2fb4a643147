"""Parts of the hub's front door that need no hub: where a launch may lead, nonces, pages, the developer key."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubrun_hub.lti import consumers
from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.launch import id_11_of
from hubrun_hub.lti.launch_targets import ForeignTarget, path_on
from hubrun_hub.lti.nonces import Nonces, digest_of
from hubrun_hub.lti.pages import PAGES
from hubrun_hub.lti.refusals import Reason, Refusal
from hubrun_hub.lti.registration import developer_key
from hubrun_hub.lti.return_url import page_of

HUB = urlsplit("https://hub.example.edu/")


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/hub/home", "/hub/home"),
        ("/hub/user-redirect/lab/tree/a%20b.ipynb", "/hub/user-redirect/lab/tree/a%20b.ipynb"),
        ("/hub/user-redirect/lab/tree/a b.ipynb", "/hub/user-redirect/lab/tree/a%20b.ipynb"),
        ("/hub/user-redirect/lab/tree/Übung.ipynb", "/hub/user-redirect/lab/tree/%C3%9Cbung.ipynb"),
        (
            "/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgit.example%2Fr&branch=main#x",
            "/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgit.example%2Fr&branch=main#x",
        ),
        (
            "/hub/user-redirect/git-pull?repo=https://git.example/r",
            "/hub/user-redirect/git-pull?repo=https://git.example/r",
        ),
        ("https://hub.example.edu/hub/home", "/hub/home"),
        ("https://hub.example.edu:443/hub/home?x=1", "/hub/home?x=1"),
        ("HTTPS://HUB.example.EDU/hub/home", "/hub/home"),
        ("https://hub.example.edu", "/"),
        ("/", "/"),
    ],
)
def test_a_page_of_the_hub_is_a_target(address: str, path: str) -> None:
    assert path_on(HUB, address) == path


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/", "https://hub.example.edu:8443/", "http://hub.example.edu/", "https://hub.example.edu:x/",
        "https://hub.example.edu@evil.example/", "https://me@hub.example.edu/", "https://hub.example.edu.evil.example/",
        "//hub.example.edu/", "//evil.example", "///evil.example", "////evil.example", "/./\\evil.example", "\\/evil.example",
        "/\n/evil.example", "\x00//evil.example", "/\x7f/evil.example", "/%09/evil.example", "/%2f%2fevil.example",
        "/%252f%252fevil.example", "/%5cevil.example", "/hub/..%2f..//evil.example", "hub", "", "data:text/html,x",
        "javascript://hub.example.edu/%0aalert(1)", "https:/evil.example", "https://[", "https://hub.example.edu//evil.example",
        "/hub/../../evil", "/hub/%2e%2e/%2e%2e/evil",
    ],
)  # fmt: skip
def test_another_site_is_no_target(address: str) -> None:
    with pytest.raises(ForeignTarget):
        path_on(HUB, address)


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("/\\.:@%25fhubexampled#? \t\n"), max_size=30).map(lambda text: "/" + text))
def test_a_target_is_a_path_of_printable_ascii_whatever_was_asked_for(address: str) -> None:
    try:
        path = path_on(HUB, address)
    except ForeignTarget:
        return
    assert path.startswith("/") and not path.startswith(("//", "/\\"))
    assert path.isascii() and path.isprintable() and " " not in path
    assert path_on(HUB, path) == path


def test_a_nonce_counts_once_in_its_scope_and_is_forgotten_when_it_is_of_no_use(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path / "nonces.sqlite")
    assert nonces.use(digest_of("a", "n1"), now=100, until=131)
    assert not nonces.use(digest_of("a", "n1"), now=130, until=131)
    assert nonces.use(digest_of("b", "n1"), now=130, until=161)
    assert nonces.use(digest_of("a", "n2"), now=140, until=171)
    assert len(nonces) == 2, "the first one's time is over"


def test_a_scope_and_a_nonce_do_not_run_into_one_another(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path / "nonces.sqlite")
    assert nonces.use(digest_of("a", "bc"), now=0, until=9)
    assert nonces.use(digest_of("ab", "c"), now=0, until=9)


def test_whom_a_launch_let_in_is_known_for_as_long_as_its_nonce(tmp_path: Path) -> None:
    nonces, used = Nonces(tmp_path / "nonces.sqlite"), digest_of("a", "n")
    nonces.note_user(used, "eve")
    assert nonces.user_of(used) == "" and not nonces.is_used(used, now=0), "it was not used"
    nonces.use(used, now=0, until=9)
    nonces.note_user(used, "ada")
    assert (nonces.user_of(used), nonces.is_used(used, now=9), nonces.is_used(used, now=10)) == ("ada", True, False)
    nonces.free(used)
    assert not nonces.use(used, now=9, until=19), "it let somebody in"
    nonces.use(digest_of("a", "given up"), now=9, until=19)
    nonces.free(digest_of("a", "given up"))
    assert nonces.use(digest_of("a", "given up"), now=9, until=9)
    nonces.use(digest_of("a", "m"), now=10, until=19)
    assert nonces.user_of(used) == ""


def test_the_file_of_a_version_that_did_not_know_the_users_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "nonces.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE nonce (digest BLOB PRIMARY KEY, until REAL) WITHOUT ROWID")
        db.execute("INSERT INTO nonce VALUES (?, 99)", (digest_of("a", "n"),))
    nonces = Nonces(path)
    assert not nonces.use(digest_of("a", "n"), now=0, until=9)
    nonces.note_user(digest_of("a", "n"), "ada")
    assert nonces.user_of(digest_of("a", "n")) == "ada"


@pytest.mark.parametrize(
    ("return_url", "page"),
    [
        ("https://canvas.example.edu/courses/101/external_content/success/x", "https://canvas.example.edu/courses/101"),
        ("https://canvas.example.edu/courses/1~2", "https://canvas.example.edu/courses/1~2"),
        ("https://moodle.example.edu:8443/mod/lti/return.php?course=7", "https://moodle.example.edu:8443/"),
        ("http://lms.example.edu", "http://lms.example.edu/"),
        ("https://user:pass@lms.example.edu/x", "https://lms.example.edu/"),
        ("about:blank", ""), ("javascript:alert(1)//https://x", ""), ("//evil.example/", ""), ("", ""), (None, ""), (7, ""),
        ("https://", ""), ("https://[bad/", ""), ("https://x:y/", ""), ("https://a b/", ""), ("https://a'b/", ""),
        ("https://x/\n", ""), ("https://" + "x" * 400, ""), ('https://x"><script>/', ""),
    ],
)  # fmt: skip
def test_the_page_to_go_back_to_is_one_of_the_web(return_url: object, page: str) -> None:
    assert page_of(return_url) == page


def test_nonces_outlive_the_process_and_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "nonces.sqlite"
    used = digest_of("a", "n")
    assert Nonces(path).use(used, now=0, until=9)
    assert not Nonces(path).use(used, now=0, until=9)
    with sqlite3.connect(path) as db:
        stored = db.execute("SELECT digest FROM nonce").fetchone()[0]
    assert len(stored) == 32, "however long a nonce is, a digest of it is kept"
    path.write_bytes(b"no database" * 100)
    assert Nonces(path).use(used, now=0, until=9)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_refusal_has_a_page_that_says_what_to_do(reason: Reason) -> None:
    page = PAGES[reason]
    assert 400 <= page.status < 500 or (
        page.status == 503 and reason in (Reason.NO_KEYS, Reason.DISK_FULL, Reason.NO_PEOPLE)
    )
    assert page.title and page.what.endswith(".") and page.advice.endswith(".")


def test_a_refusal_is_one_line_whatever_the_lms_sent() -> None:
    text = str(Refusal(Reason.LMS_ERROR, "x\n[E] faked\r\x1b[31m\u2028\ud800", "bio"))
    assert text == r"LTI launch by consumer bio refused (lms-error): x\n[E] faked\r\x1b[31m\u2028\ud800"


def test_the_developer_key_has_what_canvas_requires_and_asks_for_no_more_than_it_needs() -> None:
    key = developer_key("https://hub.example.edu/hub/", "lis_person_sourcedid", title="Jupyter")
    assert key["title"] == "Jupyter" and key["description"]
    assert key["oidc_initiation_url"] == "https://hub.example.edu/hub/lti13/oauth_login"
    assert key["target_link_uri"] == "https://hub.example.edu/hub/lti13/oauth_callback"
    assert key["redirect_uris"] == [key["target_link_uri"]]
    assert key["public_jwk_url"] == "https://hub.example.edu/hub/lti13/jwks" and "public_jwk" not in key
    assert key["scopes"] == []
    [canvas] = key["extensions"]
    assert (canvas["platform"], canvas["domain"]) == ("canvas.instructure.com", "hub.example.edu")
    assert canvas["privacy_level"] == "name_only"
    placements = canvas["settings"]["placements"]
    assert [each["placement"] for each in placements] == ["course_navigation", "link_selection", "assignment_selection"]
    assert {each["windowTarget"] for each in placements} == {"_blank"}
    assert {each["message_type"] for each in placements} == {"LtiResourceLinkRequest"}
    assert json.loads(json.dumps(key)) == key


@pytest.mark.parametrize(
    ("username_key", "privacy", "fields"),
    [
        ("custom_canvas_user_login_id", "anonymous", {"canvas_user_login_id": "$Canvas.user.loginId"}),
        ("lis_person_contact_email_primary", "email_only", {}),
        ("user_id", "anonymous", {}),
        ("custom_username", "public", {}),  # people add the field there: which variable it is, they know
    ],
)
def test_the_developer_key_sends_the_name(username_key: str, privacy: str, fields: dict[str, str]) -> None:
    key = developer_key("https://hub.example.edu/hub/", username_key)
    assert (key["extensions"][0]["privacy_level"], key["custom_fields"]) == (privacy, fields)


def test_a_field_that_canvas_does_not_know_makes_no_developer_key() -> None:
    with pytest.raises(
        ValueError, match="Canvas sends no ext_x; it sends lis_person_sourcedid, .*, and custom_… fields"
    ):
        developer_key("https://hub.example.edu/hub/", "ext_x")


# -- consumers whose keys are in their file --------------------------------------------------------------------------

RSA = {"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"jwks_url": "https://lms.example/keys"}, "has jwks and jwks_url"),
        ({"jwks": {"keys": []}}, "jwks is not a set of keys"),
        ({"jwks": [RSA]}, "jwks is not a set of keys"),
        ({"jwks": {"keys": [RSA, 7]}}, "jwks is not a set of keys"),
        ({"jwks": {"keys": [{**RSA, "kid": ""}]}}, "jwks is not a set of keys"),
        ({"jwks": {"keys": [{**RSA, "d": "AQAB"}]}}, "something else than public RSA keys"),
        ({"jwks": {"keys": [RSA, {"kty": "oct", "kid": "s", "k": "AQAB"}]}}, "something else than public RSA keys"),
        ({"expires": "tomorrow"}, "expires is not a whole number"),
        ({"expires": None}, "expires is not a whole number"),
        ({"expires": True}, "expires is not a whole number"),
        ({"expires": float("nan")}, "expires is not a whole number"),
        ({"expires": float("inf")}, "expires is not a whole number"),
        ({"expires": int(time.time())}, "expired"),
        ({"expires": -1}, "expired"),
    ],
)
def test_keys_of_its_own_or_an_end_that_are_none_shut_a_consumer_out(
    changes: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    whole = {"issuer": "https://x.example", "client_ids": ["1"], "authorize_url": "https://x.example/a"}
    (tmp_path / "x.json").write_text(
        json.dumps({**whole, "jwks": {"keys": [RSA]}, "expires": int(time.time()) + 60, **changes})
    )
    found, [problem] = consumers.read(tmp_path, None)
    assert found == [] and complaint in problem


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, "34212"),
        ({"oauth_consumer_key_sign": "forged"}, ""),
        ({"user_id": "other"}, "other"),
        ({"oauth_consumer_key_sign": None}, "34212"),
        ({"oauth_consumer_key": "another consumer's", "oauth_consumer_key_sign": "x"}, "34212"),
        ({"user_id": "$User.id"}, ""),
        ({"user_id": None}, "legacy"),
        ({"user_id": ["x"]}, "legacy"),
    ],
)
def test_the_id_of_lti_1_1_in_a_launch_of_1_3(said: dict[str, Any], found: str) -> None:
    """With the example of the specification: IMS LTI 1.3 migration guide, "LTI 1.1 Migration Claim"."""
    claim = "https://purl.imsglobal.org/spec/lti/claim/"
    lti1p1 = {
        "user_id": "34212", "oauth_consumer_key": "179248902",
        "oauth_consumer_key_sign": "lWd54kFo5qU7xshAna6v8BwoBm6tmUjc6GTax6+12ps=",
    } | said  # fmt: skip
    claims = {
        "nonce": "172we8671fd8z", "exp": 1551290856, "iss": "https://lmsvendor.com", "sub": "3",
        f"{claim}deployment_id": "689302", f"{claim}lti1p1": lti1p1, f"{claim}lti11_legacy_user_id": "legacy",
    }  # fmt: skip
    consumer = Consumer("default", "", "179248902", "my-lti11-secret")
    assert id_11_of(claims, consumer, "PM48OJSfGDTAzAo") == found
    # It stays so while the LMS has the secret of before.
    rotated = Consumer("default", "", "179248902", "another-secret", former_secret="my-lti11-secret")
    assert id_11_of(claims, rotated, "PM48OJSfGDTAzAo") == found
