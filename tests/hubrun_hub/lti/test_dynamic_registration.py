"""An LMS registers the hub by a link, tried on a real JupyterHub; the LMS is played by lti_registration."""

from __future__ import annotations

import hashlib
import json
import secrets
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.lti.registration import tool_registration
from lti_hub import HOST, PUBLIC_URL, Browser, Hub, running_hub
from lti_platform import Answer
from lti_registration import TOOL, RegisteringLms

pytestmark = pytest.mark.hub

SETTINGS = """
c.LaunchAuthenticator.registration_dir = "registration.d"
# The LMS is on this machine.
c.LaunchAuthenticator.inner_addresses = True
"""
NAME = "chem"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), SETTINGS) as hub:
        (hub.folder / "registration.d").mkdir()
        yield hub


@pytest.fixture(autouse=True)
def _each_begins_without_consumers(hub: Hub) -> Iterator[None]:
    yield
    for folder in ("consumers.d", "registration.d", "lti_registered"):
        for path in (hub.folder / folder).glob("*"):
            path.unlink()


@pytest.fixture
def lms() -> Iterator[RegisteringLms]:
    lms = RegisteringLms()
    yield lms
    lms.close()


@pytest.fixture
def browser(hub: Hub) -> Browser:
    return Browser(hub)


@pytest.fixture
def link(hub: Hub, lms: RegisteringLms) -> str:
    """What 05 makes, and what root's file says of the consumer."""
    asked(hub, lms)
    return made_link(hub)


def asked(hub: Hub, lms: RegisteringLms, **changes: Any) -> Path:
    path = hub.folder / "consumers.d" / f"{NAME}.json"
    settings = {
        "lms": "moodle", "issuer": lms.issuer, "registration": True, "prefix": "chem",
        "authorize_url": f"{lms.url}/authorize", "jwks_url": f"{lms.url}/jwks", **changes,
    }  # fmt: skip
    path.write_text(json.dumps(settings))
    return path


def made_link(hub: Hub, seconds: float = 3600, name: str = NAME) -> str:
    token = secrets.token_hex(32)
    known = {"sha256": hashlib.sha256(token.encode()).hexdigest(), "expires": int(time.time() + seconds)}
    (hub.folder / "registration.d" / f"{name}.json").write_text(json.dumps(known))
    return f"{PUBLIC_URL}hub/lti13/register?token={token}"


def is_registered(answer: Answer) -> bool:
    return answer.status == 200 and 'id="lti-registered"' in answer.response.text


def launched(browser: Browser, lms: RegisteringLms) -> Answer:
    """Somebody clicks the tool that was registered last."""
    lms.client_id = list(lms.tools)[-1]
    claims = {"ext": {"user_username": "ada"}, "lis": None}
    return lms.launch(browser, **claims)


def test_an_lms_registers_in_one_click_and_launches_in_the_next(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    asked(hub, lms, username_key="ext_user_username")
    before = len(hub.log)
    answer = lms.begin_registration(browser, link)
    assert is_registered(answer), answer.response.text
    assert lms.broken == []
    assert 'postMessage({ subject: "org.imsglobal.lti.close" }' in answer.response.text
    assert "Moodle at 127.0.0.1" in answer.response.text
    [(client_id, tool)] = lms.tools.items()
    assert tool == tool_registration(f"{PUBLIC_URL}hub/", "ext_user_username", "moodle")

    assert launched(browser, lms).logged_in
    assert browser.user == "chem__ada", "the prefix is root's, the name Moodle's own field"
    # What is kept is the hub's alone to read, and the log has no token.
    [kept] = (hub.folder / "lti_registered").glob("*")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and json.loads(kept.read_text())["client_ids"] == [client_id]
    log = hub.log[before:]
    assert f"registered the hub: client id {client_id}" in log
    assert link.partition("token=")[2] not in log and "registration_token" not in log


def test_a_link_serves_once_and_the_lms_is_not_asked_again(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    assert is_registered(lms.begin_registration(browser, link))
    lms.paths.clear()
    answer = lms.begin_registration(browser, link)
    assert (answer.status, answer.reason, lms.paths) == (403, "registration-link", [])
    assert len(lms.tools) == 1


def test_of_two_at_once_one_registers(hub: Hub, browser: Browser, lms: RegisteringLms, link: str) -> None:
    token = secrets.token_urlsafe(16)
    lms._tokens = {token}
    url = f"{link}&openid_configuration={lms.url}/openid-configuration&registration_token={token}"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: Browser(hub).get(url), range(4)))
    assert sorted(answer.status for answer in answers) == [200, 403, 403, 403]
    assert len(lms.tools) == 1


def test_a_person_who_opens_the_link_is_told_where_it_goes_and_it_still_works(
    browser: Browser, lms: RegisteringLms, link: str
) -> None:
    answer = browser.get(link)
    assert (answer.status, answer.reason) == (400, "not-pasted")
    assert "paste it into Moodle" in answer.response.text
    assert is_registered(lms.begin_registration(browser, link))


def test_without_a_link_nobody_makes_the_hub_ask_anything(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    expired = made_link(hub, -1)
    forged = [
        f"{PUBLIC_URL}hub/lti13/register?token={'0' * 64}", f"{PUBLIC_URL}hub/lti13/register?x=", link[:-1], expired,
        # What the hub knows of a link is not the link.
        f"{PUBLIC_URL}hub/lti13/register?token={json.loads((hub.folder / 'registration.d/chem.json').read_text())['sha256']}",
    ]  # fmt: skip
    for each in forged:
        answer = lms.begin_registration(browser, each)
        assert (answer.status, answer.reason) == (403, "registration-link"), each
    assert lms.paths == [] and not lms.tools


def test_a_link_of_a_consumer_that_root_does_not_let_register_is_of_no_use(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    file = hub.folder / "consumers.d" / f"{NAME}.json"
    for text in (None, lms.settings(client_ids=["1"], prefix="chem")):
        file.unlink(missing_ok=True)
        if text:
            file.write_text(text)
        assert lms.begin_registration(browser, link).reason == "registration-link"
    assert lms.paths == []


def test_a_link_registers_the_lms_of_the_parameters_and_no_other(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    """A student who got hold of the link would be everybody on this hub, were it good for an LMS of theirs."""
    other = RegisteringLms()
    try:
        other.issuer = lms.issuer  # it may well say so
        assert other.begin_registration(browser, link).reason == "registration"
        assert other.paths == [], "the hub does not even ask there"
        # A file that a student uploaded to the LMS itself, with keys of theirs.
        for name in ("jwks_uri", "authorization_endpoint"):
            lms.says = lambda said, name=name: {**said, name: f"{lms.url}/pluginfile.php/5/mine.json"}  # type: ignore[misc]
            assert lms.begin_registration(browser, link).reason == "registration"
        # At the LMS's own host, but of another issuer: Sakai takes it from the address (lti13/well_known?issuerURL=).
        lms.says = lambda said: {**said, "issuer": "https://evil.example"}
        assert lms.begin_registration(browser, link).reason == "registration"
        assert not lms.tools and not list((hub.folder / "lti_registered").glob("*"))
    finally:
        other.close()


@pytest.mark.parametrize(
    "configuration",
    [
        "https://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "gopher://127.0.0.1/",
        "{url}@evil.example/", "{url}.evil.example/", "//evil.example/", "https://[", "http://localhost:8081/hub/api", "x" * 5000,
    ],
)  # fmt: skip
def test_the_hub_asks_nowhere_else(browser: Browser, lms: RegisteringLms, link: str, configuration: str) -> None:
    answer = lms.begin_registration(browser, link, openid_configuration=configuration.format(url=lms.url))
    assert (answer.status, answer.reason) == (400, "registration") and lms.paths == []


BAD: dict[str, Any] = {
    "no JSON": b"<html>", "a list": [], "too large": b'{"x": "' + b"x" * 300_000 + b'"}', "deep": b"[" * 100_000,
    "no issuer": {"issuer": None}, "no registration_endpoint": {"registration_endpoint": None},
    "keys without TLS": {"jwks_uri": "http://lms.example/keys"}, "keys that are a file": {"jwks_uri": "file:///etc/passwd"},
    "keys that are a list": {"jwks_uri": ["https://x.example"]}, "no authorization_endpoint": {"authorization_endpoint": ""},
    "another algorithm": {"id_token_signing_alg_values_supported": ["HS256"]},
    "algorithms that are none": {"id_token_signing_alg_values_supported": "RS256"},
    "an endpoint inside": {"registration_endpoint": "http://169.254.169.254/"},
    "an endpoint that is not there": {"registration_endpoint": "http://127.0.0.1:1/register"},
}  # fmt: skip


@pytest.mark.parametrize("says", BAD.values(), ids=BAD)
def test_what_an_lms_says_of_itself_wrongly_registers_nothing_and_the_link_still_works(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str, says: Any
) -> None:
    lms.says = lambda said: {**said, **says} if isinstance(says, dict) else says
    before = len(hub.log)
    assert lms.begin_registration(browser, link).reason == "registration"
    assert not list((hub.folder / "lti_registered").glob("*")) and "Traceback" not in hub.log[before:]
    lms.says = lambda said: said
    assert is_registered(lms.begin_registration(browser, link))


@pytest.mark.parametrize(
    "answer",
    [
        b"x", [], {}, {"client_id": None}, {"client_id": 7}, {"client_id": ""}, {"client_id": "a b"},
        {"client_id": "x" * 256}, {"client_id": "<script>"}, {"client_id": "a\nb"}, {"client_id": ["1"]},
    ],
)  # fmt: skip
def test_a_registration_without_a_client_id_is_none(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str, answer: Any
) -> None:
    lms.answers = lambda _: answer
    assert lms.begin_registration(browser, link).reason == "registration"
    assert not list((hub.folder / "lti_registered").glob("*"))


@pytest.mark.parametrize(("step", "status"), [("config", 302), ("config", 500), ("register", 307), ("register", 400)])
def test_an_lms_that_redirects_or_refuses_registers_nothing(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str, step: str, status: int
) -> None:
    lms.status[step] = status
    assert lms.begin_registration(browser, link).reason == "registration"
    assert "/elsewhere" not in lms.paths and not list((hub.folder / "lti_registered").glob("*"))


def test_a_registration_token_is_not_needed_and_what_is_none_is_refused(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    """DR 3.4: it is optional."""
    for token in ("a b", "x\r\nHost: evil.example", "ä"):
        assert lms.begin_registration(browser, link, registration_token=token).reason == "registration"
    assert lms.paths == []
    lms.begin_registration(browser, link, registration_token=None)
    assert lms.paths == ["/openid-configuration", "/register"], "this LMS wants one, and says no"


def test_what_was_registered_outlives_a_restart_and_ends_with_roots_file(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    assert is_registered(lms.begin_registration(browser, link))
    hub.stop()
    hub.start()
    lms.client_id = list(lms.tools)[-1]
    assert lms.launch(browser).logged_in
    # Another issuer, another LMS: what the old one said counts no more.
    file = asked(hub, lms, issuer="https://another.example")
    assert Browser(hub).get(f"/hub/lti13/oauth_login?iss={lms.issuer}&login_hint=x").reason == "not-trusted"
    assert "is of another issuer than the one that may register" in hub.log
    file.unlink()
    assert Browser(hub).get(f"/hub/lti13/oauth_login?iss={lms.issuer}&login_hint=x").reason == "not-trusted"


def test_what_the_hub_may_write_gives_nobody_another_prefix_or_a_consumer_of_its_own(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    assert is_registered(lms.begin_registration(browser, link))
    folder = hub.folder / "lti_registered"
    kept = json.loads((folder / f"{NAME}.json").read_text())
    (folder / f"{NAME}.json").write_text(
        json.dumps({**kept, "prefix": "", "lms": "canvas", "jwks_url": "https://evil.example/k"})
    )
    (folder / "extra.json").write_text(json.dumps({**kept, "client_ids": ["extra"], "prefix": ""}))
    lms.client_id = list(lms.tools)[-1]
    assert lms.launch(browser).logged_in and browser.user == "chem__ada"
    assert (
        Browser(hub).get(f"/hub/lti13/oauth_login?iss={lms.issuer}&login_hint=x&client_id=extra").reason
        == "not-trusted"
    )


def test_the_page_may_be_shown_in_the_lms_and_others_not(browser: Browser, lms: RegisteringLms, link: str) -> None:
    """Canvas and Moodle show it in a frame of their own page."""
    answers = [lms.begin_registration(browser, link), browser.get(link), browser.get("/hub/lti13/config")]
    policies = [answer.response.headers["Content-Security-Policy"] for answer in answers]
    assert [policy.partition(";")[0] for policy in policies] == [
        "frame-ancestors https:",
        "frame-ancestors https:",
        "frame-ancestors 'none'",
    ]
    assert answers[0].response.headers["Referrer-Policy"] == "no-referrer"


def test_it_is_registered_by_get_alone(browser: Browser, link: str) -> None:
    assert browser.post(link, {}).status in (403, 405)


def test_a_refused_page_names_the_lms_of_the_consumer(
    hub: Hub, browser: Browser, lms: RegisteringLms, link: str
) -> None:
    assert is_registered(lms.begin_registration(browser, link))
    lms.client_id = list(lms.tools)[-1]
    page = lms.launch(browser, message_type="LtiDeepLinkingRequest").response.text
    assert "Moodle asked for something else" in page and "Canvas" not in page
    # Of two LMSs it is not known whose a stranger is.
    page = Browser(hub).get("/hub/login").response.text
    assert "your learning platform says who you are" in page


def test_the_domain_of_the_tool_has_its_port() -> None:
    assert (
        tool_registration("https://hub.example.edu:8443/hub/", "x", "moodle")[TOOL]["domain"] == "hub.example.edu:8443"
    )
    assert HOST in PUBLIC_URL
